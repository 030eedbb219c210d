"""The commands `install-service` and `uninstall-service`: the files by which systemd runs gateways.

Each file that is written ends with a checksum of itself. So a later call knows whether the file is as it was written:
then it may be replaced or removed. What somebody has changed, or what was there before, is left alone.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.core.paths import NAME, SERVICE_CONF, shipped
from gateway.errors import GatewayError

_PROGRAM = f"/opt/{NAME}/bin/{NAME}"  # in the unit as it is shipped
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (from the service, by its sandbox)
_CHECKSUM = re.compile(rf"# {NAME} has written this file: ([0-9a-f]{{64}})\n\Z")


class _File(NamedTuple):
    source: str  # folder and name of the shipped file
    target: str
    what: str


_FILES = (
    _File("systemd/mqttgateway@.service", f"etc/systemd/system/{NAME}@.service", "the unit"),
    _File("packaging/mqttgateway.sysusers", f"etc/sysusers.d/{NAME}.conf", f"the user {NAME}"),
    _File("packaging/mqttgateway.rules", f"etc/udev/rules.d/60-{NAME}.rules", "rules for serial adapters"),
)
_AFTER_INSTALL = (
    ("systemd-sysusers", f"{NAME}.conf"),
    ("udevadm", "control", "--reload"),
    ("udevadm", "trigger", "--subsystem-match=tty", "--subsystem-match=usb-serial"),
    ("systemctl", "daemon-reload"),
)
_SOCKETS = {"udevadm": "/run/udev/control", "systemctl": "/run/systemd/private"}
_AFTER_UNINSTALL = (("udevadm", "control", "--reload"), ("systemctl", "daemon-reload"))


def install_service(options: argparse.Namespace) -> int:
    """Write the files of the service, and have systemd read them; return the exit code."""
    program = _program(options.root)
    _require_root(options, "install-service")
    steps = _Steps(options)
    texts = {file: _with_checksum(_shipped_text(file, program)) for file in _FILES}
    changed = [file for file in _FILES if _is_of_others(steps.path(file.target))]
    if changed:
        raise GatewayError(
            "nothing was done, because these files were changed, or written by somebody else: "
            f"{', '.join(str(steps.path(file.target)) for file in changed)}: move your changes into a drop-in "
            f"('systemctl edit {NAME}@NAME') or a file of another name, remove the file, and repeat this"
        )
    written = [steps.write(file, texts[file]) for file in _FILES]
    steps.create_folder(SERVICE_CONF)
    if any(written):
        steps.run(_AFTER_INSTALL)
    steps.print(_next_steps(program))
    return 0


def uninstall_service(options: argparse.Namespace) -> int:
    """Remove the files that `install_service` has written, as far as they are unchanged; return the exit code."""
    _require_root(options, "uninstall-service")
    steps = _Steps(options)
    instances = _instances(options.root)
    if instances:
        raise GatewayError(
            f"nothing was done, because these gateways run, or are enabled: {' '.join(instances)}: "
            f"first run 'systemctl disable --now {' '.join(instances)}'"
        )
    removed = [steps.remove(file) for file in _FILES]
    if any(removed):
        steps.run(_AFTER_UNINSTALL)
    steps.print(
        f"\nNot removed: the user {NAME}, the configurations in {SERVICE_CONF}, and what waits for the broker in "
        f"/var/lib/{NAME}."
    )
    return 0 if all(removed) else 1


class _Steps:
    """Does and prints, or with `--dry-run` only prints, one step after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._root = Path(options.root or "/")
        self._is_dry = options.dry_run
        self._runs_commands = options.root is None

    def path(self, target: str) -> Path:
        return self._root / target

    def print(self, line: str) -> None:
        print(line)  # noqa: T201

    def write(self, file: _File, text: str) -> bool:
        """Write a file, unless it is there already; return whether it was written."""
        path = self.path(file.target)
        if _text_of(path) == text:
            self._print("unchanged", f"{path} ({file.what})")
            return False

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(text)
            temporary.chmod(0o644)
            temporary.replace(path)

        self._do("write", f"{path} ({file.what})", write)
        return True

    def create_folder(self, folder: Path) -> None:
        path = self.path(str(folder.relative_to("/")))
        if not path.is_dir():
            self._do("create", f"{path} (for the configurations)", lambda: path.mkdir(0o755, parents=True))

    def remove(self, file: _File) -> bool:
        """Remove a file; return False if it is left there because it is not as it was written."""
        path = self.path(file.target)
        if _text_of(path) is None:
            self._print("not there", str(path))
        elif _is_of_others(path):
            self._print("left", f"{path}: it was changed, or written by somebody else: remove it yourself")
            return False
        else:
            self._do("remove", str(path), path.unlink)
        return True

    def run(self, commands: Sequence[tuple[str, ...]]) -> None:
        for command in commands:
            if self._runs_commands and (problem := _obstacle(command[0])):
                self._print("left out", f"{' '.join(command)}: {problem}")
            elif self._runs_commands:
                self._do("run", " ".join(command), functools.partial(_run, command))

    def _do(self, verb: str, what: str, action: Callable[[], object]) -> None:
        self._print(f"would {verb}" if self._is_dry else verb, what)
        if not self._is_dry:
            try:
                action()
            except OSError as err:
                raise GatewayError(f"cannot {verb} {err.filename or what}: {err.strerror}") from err

    def _print(self, verb: str, what: str) -> None:
        self.print(f"{verb:<12} {what}")


def _program(root: str | None) -> str:
    """Return the path of the program that runs now. Raises `GatewayError` if the service could not run it."""
    program = Path(sys.executable).parent / NAME
    if not os.access(program, os.X_OK):
        raise GatewayError(f"{program} is missing: install the program with pip, as the README describes")
    if root is None and any(program.is_relative_to(folder) for folder in _HIDDEN):
        raise GatewayError(
            f"the service could not run {program}: its sandbox hides the folders of users and temporary files: "
            f"install the program into /opt/{NAME}, as the README describes"
        )
    if re.search(r"[^\w./+-]", str(program)):
        raise GatewayError(f"the unit cannot name {str(program)!a}: install the program into /opt/{NAME}")
    return str(program)


def _require_root(options: argparse.Namespace, command: str) -> None:
    if os.geteuid() != 0 and not options.dry_run and options.root is None:
        raise GatewayError(
            f"only root can do this: sudo {Path(sys.executable).parent / NAME} {command} (--dry-run shows what it does)"
        )


def _shipped_text(file: _File, program: str) -> str:
    folder, _, name = file.source.partition("/")
    return (shipped(folder) / name).read_text().replace(_PROGRAM, program)


def _with_checksum(text: str) -> str:
    return f"{text}# {NAME} has written this file: {hashlib.sha256(text.encode()).hexdigest()}\n"


def _text_of(path: Path) -> str | None:
    """Return the text of a file; None if there is nothing at `path`, "" if that is no file, as a link to nowhere."""
    try:
        if not path.is_file():
            return "" if os.path.lexists(path) else None
        return path.read_text(errors="replace")
    except OSError as err:
        raise GatewayError(f"{path}: {err.strerror}") from err


def _is_of_others(path: Path) -> bool:
    """Return whether there is a file at `path` that is not as it was written by this program."""
    text = _text_of(path)
    if text is None:
        return False
    match = _CHECKSUM.search(text)
    return match is None or _with_checksum(text[: match.start()]) != text


def _instances(root: str | None) -> list[str]:
    """Return the units of the gateways that run or are enabled."""
    if root is not None or _obstacle("systemctl"):
        return []
    words: list[str] = []
    for command in ("list-units", "list-unit-files"):
        # With another exit code than 0 if there is none.
        listed = _output(("systemctl", command, "--plain", "--no-legend", f"{NAME}@*.service"))
        words += [line.split()[0] for line in listed.stdout.splitlines() if line.split()]
    return sorted({unit for unit in words if unit != f"{NAME}@.service"})


def _obstacle(program: str) -> str:
    """Return why a program is of no use here; "" if it is."""
    if shutil.which(program) is None:
        return f"{program} is not installed"
    socket = Path(_SOCKETS.get(program, "/"))
    return "" if socket.exists() else f"{socket} is missing: what it would talk to does not run here"


def _run(command: Sequence[str]) -> None:
    ran = _output(command)
    if ran.returncode:
        raise GatewayError(f"'{' '.join(command)}' failed: {(ran.stderr or ran.stdout).strip()}")


def _output(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (the ones above)


def _next_steps(program: str) -> str:
    return f"""
Next, for a gateway called NAME:
  write {SERVICE_CONF}/NAME.conf, beside its map if it has one
  {program} check --conf NAME.conf
  sudo systemctl enable --now {NAME}@NAME
  systemctl status {NAME}@NAME"""
