"""A machine of its own (QEMU) that boots a Debian with the gateway as its service (see tree.sh)."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.units import CannotRunError, Units
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
HOST = "10.0.2.2"
"""This machine, as it is reached from the machine under test: its loopback."""
BOOT_TIMEOUT = 600.0
"""Seconds; with a processor of its own, it takes 20 to 40."""

_SYSTEMD = (
    "loglevel=6 systemd.debug_shell=ttyS1 systemd.show_status=no systemd.getty_auto=no module_blacklist=cfg80211,drm"
)
_CANNOT_RUN = 3  # what tree.sh ends with then
_LONGEST_LINE = 4000  # bytes that a terminal takes
_NETWORK = "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n"
_PREPARE = "systemctl enable systemd-networkd; systemctl mask apt-daily.timer apt-daily-upgrade.timer; "


def prepare(wheel: Path) -> int:
    """Make the tree and install the wheel in it; return 3, after saying why on standard error, where that cannot be."""
    return subprocess.run([HERE / "tree.sh", "prepare", wheel], check=False).returncode


def make_image(image: Path, files: Path, script: str) -> None:
    """Make an image with all that is in the folder `files`, and run a shell script in it."""
    network = files / "etc/systemd/network/vm.network"
    network.parent.mkdir(parents=True, exist_ok=True)
    network.write_text(_NETWORK)
    made = subprocess.run([HERE / "tree.sh", "image", image, files, _PREPARE + script], capture_output=True, text=True,
                          check=False)  # fmt: skip
    if made.returncode == _CANNOT_RUN:
        raise CannotRunError(made.stderr.removeprefix("cannot run here: ").strip())
    assert made.returncode == 0, made.stdout + made.stderr


class Machine(Units):
    """Boots from the disk that is served at the socket `disk`; it runs until it is killed, or left.

    With `init`, that program is process 1, and not systemd: then there is no shell for commands.
    """

    def __init__(self, folder: Path, disk: Path, init: str = "") -> None:
        self._folder = folder
        self.console = folder / "console.log"  # of this boot
        self._exchanges = 0
        self._files = contextlib.ExitStack()
        shell, monitor = folder / "shell", folder / "monitor"
        for leftover in (shell, monitor, self.console):
            leftover.unlink(missing_ok=True)
        kernel, initrd = sorted(_output(HERE / "tree.sh", "kernel").split(), reverse=True)
        command = [
            "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64,-svm", "-m", "512",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
            "-append", f"root=/dev/vda rw console=ttyS0 {f'init={init}' if init else _SYSTEMD}",
            "-blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={disk}",
            "-device", "virtio-blk-pci,drive=disk,write-cache=on",
            "-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci", "-device", "qemu-xhci",
            "-serial", f"file:{self.console}", "-serial", f"unix:{shell},server=on,wait=off",
            "-qmp", f"unix:{monitor},server=on,wait=off",
        ]  # fmt: skip
        self._began = time.monotonic()
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True)  # fmt: skip
        try:
            self._monitor = self._connect(monitor)
            self._answers = self._files.enter_context(self._monitor.makefile("r"))
            self._answers.readline()
            self._ask_monitor("qmp_capabilities")
            self._shell = self._connect(shell)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as a cut of the power does."""
        self._qemu.kill()
        self._qemu.wait()
        assert self._qemu.stderr is not None
        self._qemu.stderr.close()
        self._files.close()

    @property
    def age(self) -> float:
        """The seconds since it was switched on."""
        return time.monotonic() - self._began

    def check(self) -> None:
        """Fail if it has ended by itself, or its kernel has found a fault."""
        said = self.console.read_text(errors="replace") if self.console.exists() else ""
        assert self._qemu.poll() is None, f"the machine has ended:\n{said[-3000:]}"
        faults = re.findall(r".*(?:EXT4-fs error|I/O error|Kernel panic|Oops:|hung_task).*", said)
        assert not faults, "\n".join(faults)

    # --- commands

    def wait_shell(self) -> None:
        """Wait until commands can be run."""
        wait_until(self._has_shell, BOOT_TIMEOUT, lambda: f"a shell:\n{self.console.read_text()[-3000:]}")

    def _has_shell(self) -> bool:
        self.check()
        # A plain shell, without a line editor, that writes nothing but what the commands write.
        self._shell.sendall(b"\nexec sh\nstty -echo -onlcr; PS1=; PS2=\n")
        with contextlib.suppress(TimeoutError):
            self._exchange("true", 5)
            return True
        return False

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command in it as root, and return what it has written; fail if it ends with another code."""
        output, returned = self._exchange(" ".join(_quoted(word) for word in command), 120)
        assert returned == code, f"{' '.join(command)} ended with {returned}:\n{output}"
        return output

    def _exchange(self, command: str, timeout: float) -> tuple[str, int]:
        self._exchanges += 1  # an earlier answer may still come
        mark, text = f"answer-{self._exchanges}-", base64.b64encode(command.encode()).decode()
        # The marks are not in what is sent, for a terminal may echo it.
        run = f'sh -c "$(echo {text} | base64 -d)" 2>&1 < /dev/null'
        line = f"echo {mark}''begins; {run}; echo {mark}''ends $?\n"
        assert len(line) < _LONGEST_LINE
        self._shell.sendall(line.encode())
        received, deadline = "", time.monotonic() + timeout
        while not (answer := re.search(rf"{mark}begins\n(.*){mark}ends (\d+)\n", received, re.DOTALL)):
            self._shell.settimeout(max(0.1, deadline - time.monotonic()))
            received += self._shell.recv(65536).decode(errors="replace").replace("\r", "")
        return answer[1], int(answer[2])

    # --- the USB adapter

    def line(self, name: str) -> socket.socket:
        """Return the far end of the line of an adapter, which can then be plugged in."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        backend = {"addr": {"type": "unix", "data": {"path": str(path)}}, "server": True, "wait": False}
        self._ask_monitor("chardev-add", id=name, backend={"type": "socket", "data": backend})
        return self._connect(path)

    def plug_in(self, name: str) -> None:
        """Plug in the adapter of a line; `name` is its serial number, too."""
        self._ask_monitor("device_add", driver="usb-serial", chardev=name, id=f"adapter-{name}", serial=name)

    def unplug(self, name: str) -> None:
        """Pull out the adapter."""
        self._ask_monitor("device_del", id=f"adapter-{name}")

    def _ask_monitor(self, command: str, **arguments: Any) -> None:
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self._answers.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return

    def _connect(self, path: Path) -> socket.socket:
        sock = self._files.enter_context(socket.socket(socket.AF_UNIX))

        def is_connected() -> bool:
            if self._qemu.poll() is not None:
                assert self._qemu.stderr is not None
                raise CannotRunError(f"QEMU does not start: {self._qemu.stderr.read()}")
            return sock.connect_ex(str(path)) == 0

        wait_until(is_connected, 20, "QEMU")
        return sock


def _output(*command: Path | str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
