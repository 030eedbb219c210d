"""The original from the package index, in a virtual environment of its own, where it can be had and runs."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.contenders import fresh_log
from benchmarks.lab import ROOT, Lab, ending, spawn

VERSION = "1.1.4"
NAME = f"the original ({VERSION}), threaded"
_FOLDER = ROOT / ".bench" / "original"
_CONF = """\
[MQTT]
host: 127.0.0.1
port: {port}
root: bench
topics: bench/+/+/+/+/+/C
clientid: original
[INTERFACE]
device: {device}
"""


@functools.cache
def python() -> str | None:
    """Return the Python that has the original, installed at need; None, and say why, if that cannot be."""
    found = _FOLDER / "bin" / "python"
    imports = [str(found), "-c", "import mqttgateway.start_gateway, configparser; configparser.ConfigParser.readfp"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if not found.exists():
            subprocess.run([sys.executable, "-m", "venv", str(_FOLDER)], check=True, capture_output=True, timeout=120)
            pip = [str(found), "-m", "pip", "install", "--quiet", f"mqttgateway=={VERSION}"]
            subprocess.run(pip, check=True, capture_output=True, timeout=120)
        subprocess.run(imports, check=True, capture_output=True, timeout=20)
        return str(found)
    print(f"  {NAME} cannot be installed here, or does not run on this Python (3.11 at most): left out")
    return None


@contextlib.contextmanager
def original(lab: Lab, port: int, device: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it on a pty; it says `ready` as a status."""
    conf = lab.folder / "original.conf"
    conf.write_text(_CONF.format(port=port, device=device))
    command = [str(python()), str(Path("benchmarks/peers/original.py")), "--conf", str(conf)]
    with ending(spawn(command, fresh_log(lab, "original"))) as process:
        yield process
