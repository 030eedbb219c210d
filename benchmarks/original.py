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
READLINE = f"the original ({VERSION}), readline"
WAYS = {
    f"the original ({VERSION}), threaded": "thread",
    READLINE: "readline",
    f"the original ({VERSION}), one loop": "loop",
}
"""Its variants: a thread that reads what is there, one with pyserial's readline(), and its single loop."""

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
way: {way}
"""


@functools.cache
def python() -> str | None:
    """Return the Python that has the original, installed at need; None, and say why, if that cannot be."""
    found = _FOLDER / "bin" / "python"
    imports = [
        str(found),
        "-c",
        "import serial, mqttgateway.start_gateway, configparser; configparser.ConfigParser.readfp",
    ]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if not list(_FOLDER.glob("lib/*/site-packages/serial")):
            subprocess.run([sys.executable, "-m", "venv", str(_FOLDER)], check=True, capture_output=True, timeout=120)
            pip = [str(found), "-m", "pip", "install", "--quiet", f"mqttgateway=={VERSION}", "pyserial"]
            subprocess.run(pip, check=True, capture_output=True, timeout=120)
        subprocess.run(imports, check=True, capture_output=True, timeout=20)
        return str(found)
    print(
        f"  the original ({VERSION}) cannot be installed here, or does not run on this Python (3.11 at most): left out"
    )
    return None


@contextlib.contextmanager
def original(lab: Lab, way: str, port: int, device: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it on a pty; it says `ready` as a status."""
    conf = lab.folder / "original.conf"
    conf.write_text(_CONF.format(port=port, device=device, way=way))
    command = [str(python()), str(Path("benchmarks/peers/original.py")), "--conf", str(conf)]
    with ending(spawn(command, fresh_log(lab, "original"))) as process:
        yield process
