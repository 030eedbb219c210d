"""mqttgateway 1.1.4 from the package index, in its own virtual environment, if it can be installed and runs."""

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
READLINE = f"mqttgateway {VERSION}, readline"
WAYS = {
    f"mqttgateway {VERSION}, threaded": "thread",
    READLINE: "readline",
    f"mqttgateway {VERSION}, one loop": "loop",
}
"""Its variants: a thread that reads all available bytes, one with pyserial's readline(), and its single loop."""

_FOLDER = ROOT / ".bench" / "legacy"
_CONF = """\
[MQTT]
host: 127.0.0.1
port: {port}
root: bench
topics: bench/+/+/+/+/+/C
clientid: legacy
[INTERFACE]
device: {device}
way: {way}
"""


@functools.cache
def python() -> str | None:
    """Return the Python of an environment with version 1.1.4; install it if necessary.

    If that is impossible, print the reason and return None.
    """
    program = _FOLDER / "bin" / "python"
    imports = [
        str(program),
        "-c",
        "import serial, mqttgateway.start_gateway, configparser; configparser.ConfigParser.readfp",
    ]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if not list(_FOLDER.glob("lib/*/site-packages/serial")):
            subprocess.run([sys.executable, "-m", "venv", str(_FOLDER)], check=True, capture_output=True, timeout=120)
            pip = [str(program), "-m", "pip", "install", "--quiet", f"mqttgateway=={VERSION}", "pyserial"]
            subprocess.run(pip, check=True, capture_output=True, timeout=120)
        subprocess.run(imports, check=True, capture_output=True, timeout=20)
        return str(program)
    print(f"  mqttgateway {VERSION} is left out: it cannot be installed or does not run on this Python (3.11 at most)")
    return None


@contextlib.contextmanager
def legacy_gateway(lab: Lab, way: str, port: int, device: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it on a pty; it publishes `ready` as a status."""
    conf = lab.folder / "legacy.conf"
    conf.write_text(_CONF.format(port=port, device=device, way=way))
    command = [str(python()), str(Path("benchmarks/peers/legacy.py")), "--conf", str(conf)]
    with ending(spawn(command, fresh_log(lab, "legacy"))) as process:
        yield process
