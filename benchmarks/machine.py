"""One line that describes the machine, without which no figure can be interpreted."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from tests.support.broker import find_tool


def machine_line() -> str:
    """Return cores, processor, kernel, load, and the versions of Python, Mosquitto and the libraries."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("paho-mqtt", "pyserial", "jsonschema"))
    return (
        f"{cores} cores ({_processor()}), {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, {_mosquitto()}, {libraries}"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _mosquitto() -> str:
    program = find_tool("mosquitto")
    if program is None:
        return "no mosquitto"
    usage = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, timeout=10).stdout
    return usage.splitlines()[0].strip() if usage else "mosquitto of unknown version"
