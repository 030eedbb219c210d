"""Two gateways in a booted machine: to one of them everything happens, and the other one must not notice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.systemd.machine import HERE, Machine
from tests.systemd.service import CELLAR, ENTRY, configure, plug_in, start_unit, status, unplug

WELL = r"^link up \([^)]*\); (\d+) of \1 (interface|device)s? online(; last (warning|error) at .*)?$"
"""The status line of a gateway that is well; what was wrong before may be named behind it."""

ONLINE = r"^link up \([^)]*\); (\d+) of \1 (interface|device)s? online"
"""The same of one that works, but of which something else may be named."""

WITHIN = 10.0
"""Seconds within which the status line has to name a fault."""

PORT = 1884
FOLDER = "/var/lib/mqttgateway/disk"
"""The folder of the outbox: a disk of its own, small."""

_BACK = 90.0  # s within which it has to be well again
_UNTOUCHED = r"^link up \([^)]*\); 1 of 1 interface online$"
_CONF, _SAYS, _BROKEN = "/etc/mqttgateway/entry.conf", "/run/line/entry.says", "/run/broken"
_READING = {"regex": r"N=(?P<n>[0-9]+)", "values": {"n": "int"},
            "message": {"action": "N", "arguments": {"n": "{n}"}}}  # fmt: skip
LINE = {"type": "serial", "port": "/run/line/entry", "address": {"function": "line", "device": "entry"}}


class Shown(str):
    """A pattern of what `systemctl status` shows of a service that does not start, which has no status line."""


class Site:
    """Of the gateways `entry` and `cellar`, each has a broker of its own; `entry` reads a serial line.

    Everything that happens to `entry` is undone by `reset`.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._undo: list[Callable[[], object]] = []
        self._broker = ""
        machine.write("/etc/mqttgateway/broken.py", (HERE / "broken.py").read_text())
        configure(machine, "cellar", "{type: plant.py}")
        machine.run("systemctl", "start", CELLAR)
        self.wait_line(CELLAR, _UNTOUCHED, _BACK)

    # --- what is made ready

    def start(self, *, mqtt: Mapping[str, Any] = {}, is_well: bool = True, broker: str = "", **more: Any) -> None:
        """Start `entry` with these options, and its broker, if it does not run, with the lines `broker`."""
        if not self._broker:
            self.start_broker(broker)
        self.configure(mqtt=mqtt, **more)
        self.run("systemctl", "start", "--no-block", ENTRY)
        if is_well:
            self.wait_line(ENTRY, WELL, _BACK)

    def configure(self, *, mqtt: Mapping[str, Any] = {}, line: Mapping[str, Any] = {}, **more: Any) -> None:
        """Write the configuration of `entry`; `interfaces` are beside its serial line, for which `line` are options."""
        place = {} if "servers" in mqtt else {"host": "localhost", "port": PORT}
        link = {**place, "reconnect_max": 1, "keepalive": 2, "connect_timeout": 2, **mqtt}
        decode = {} if "conversation" in line else {"decode": [_READING]}
        interfaces = {"line": {**LINE, **decode, **line}, **more.pop("interfaces", {})}
        document = {"mqtt": link, "interfaces": interfaces, "outbox": {"file": f"{FOLDER}/entry.outbox"}, **more}
        if "map" not in more:
            document = {"root": "home", "topics": ["home/+/+/+/+/+/C"], **document}
        self.machine.write(_CONF, json.dumps(document), "640")
        self.run("chgrp", "mqttgateway", _CONF)

    def reset(self) -> None:
        """Stop `entry` and its broker, and undo everything else; the serial line is plugged in then."""
        self.run("systemctl", "kill", "--kill-who=main", "-s", "CONT", ENTRY, "broker", check=False)
        self.run("systemctl", "stop", ENTRY)
        self.run("systemctl", "reset-failed", check=False)
        while self._undo:
            self._undo.pop()()
        self.stop_broker()
        self.run("rm", "-f", _SAYS, _BROKEN)
        if not self.machine.run("sh", "-c", "readlink /run/line/entry || true"):
            self.plug_in()
        self.run("sh", "-c", f"umount -q {FOLDER}; mkdir -p {FOLDER}")
        owner = "uid=mqttgateway,gid=mqttgateway"
        self.run("mount", "-t", "tmpfs", "-o", f"size=2m,mode=700,{owner}", "disk", FOLDER)

    # --- what happens to it

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the machine."""
        return self.machine.run(*(command if check else ("sh", "-c", '"$@" || true', "sh", *command)))

    def undo(self, *command: str) -> None:
        """Have `reset` run a command."""
        self._undo.append(lambda: self.run(*command, check=False))

    def start_unit(self, name: str, command: str) -> None:
        """Run a program as a unit, until `reset` or until it is stopped."""
        start_unit(self.machine, name, command)
        self.undo("systemctl", "stop", name)

    def start_python(self, name: str, code: str) -> None:
        """Run a program in Python, which has paho, as a unit."""
        self.machine.write(f"/opt/{name}.py", code)
        self.start_unit(name, f"/opt/mqttgateway/bin/python /opt/{name}.py")

    def start_broker(
        self, lines: str = "", *, listener: str = f"listener {PORT} localhost", name: str = "broker"
    ) -> None:
        """Start a Mosquitto with these lines of configuration."""
        allowed = "" if "allow_anonymous" in lines else "allow_anonymous true\n"
        text = f"{listener}\nuser root\n{allowed}{lines}"
        self.machine.write(f"/etc/mosquitto/{name}.conf", text)
        start_unit(self.machine, name, f"/usr/sbin/mosquitto -c /etc/mosquitto/{name}.conf")
        if name == "broker":
            self._broker = name

    def stop_broker(self) -> None:
        """Stop the broker of `entry`."""
        self.run("systemctl", "stop", "broker", check=False)
        self._broker = ""

    def signal(self, unit: str, name: str) -> None:
        """Send a signal to the main process of a unit."""
        self.run("systemctl", "kill", "--kill-who=main", "-s", name, unit)

    def plug_in(self) -> None:
        """Plug the serial line in."""
        plug_in(self.machine, "entry")

    def unplug(self) -> None:
        """Unplug the serial line."""
        unplug(self.machine, "entry")

    def say(self, text: str) -> None:
        """Have the device send this instead of its readings."""
        self.machine.write(_SAYS, text)

    def say_readings(self) -> None:
        """Have the device send its readings."""
        self.run("rm", _SAYS)

    def break_interfaces(self) -> None:
        """Have the interfaces of broken.py be broken from now on."""
        self.machine.write(_BROKEN, "")

    def mend_interfaces(self) -> None:
        """Have the interfaces of broken.py work again."""
        self.run("rm", _BROKEN)

    def send(self, action: str = "X") -> None:
        """Send a command to the interfaces of `entry`."""
        self.machine.gateway("send", "--conf", "entry.conf", "--function", "f", "--action", action, "--wait", "0")

    def reload(self, **options: Any) -> None:
        """Change the configuration of `entry` while it runs."""
        self.configure(**options)
        self.run("systemctl", "reload", ENTRY)

    # --- what is told of it

    def wait_line(self, unit: str, pattern: str, timeout: float) -> float:
        """Wait until the status line of a unit matches, and return for how long that took (s)."""
        last = ""

        def is_told() -> bool:
            nonlocal last
            last = self.machine.show(unit, "StatusText")
            return re.search(pattern, last) is not None

        try:
            return self.machine.wait(is_told, f"the status line to match {pattern!r}", timeout=timeout)
        except AssertionError as err:
            told = status(self.machine, unit.partition("@")[2])
            log = self.run("journalctl", "-o", "cat", "--no-pager", "-n", "15", "-u", unit)
            raise AssertionError(f"{err}; it is {last!r}\n{told[:1000]}\n{log}") from err

    def wait_told(self, pattern: str) -> float:
        """Wait until what is told of `entry` matches, and check that the other gateway is well; return for how long."""
        if isinstance(pattern, Shown):
            took = self.machine.wait(lambda: re.search(pattern, self.shown), pattern, ENTRY, WITHIN)
        else:
            took = self.wait_line(ENTRY, pattern, _BACK if pattern in (WELL, ONLINE) else WITHIN)
        self.check_other()
        return took

    @property
    def shown(self) -> str:
        """What `systemctl status` shows of `entry`, and its journal: systemd 252 shows too few lines of that itself."""
        return self.run("systemctl", "status", "--no-pager", "-l", ENTRY, check=False) + self.machine.journal(ENTRY)

    def check_other(self) -> None:
        """Check that the other gateway is well, and has never been restarted."""
        line = self.machine.show(CELLAR, "StatusText")
        assert re.search(_UNTOUCHED, line), f"the other gateway: {line}"
        assert self.machine.show(CELLAR, "NRestarts") == "0"


def write_files(machine: Machine, folder: str, *files: Path) -> list[str]:
    """Copy files of this machine into a folder, readable by everyone; return their paths."""
    for file in files:
        machine.write(f"{folder}/{file.name}", file.read_text())
    return [f"{folder}/{file.name}" for file in files]
