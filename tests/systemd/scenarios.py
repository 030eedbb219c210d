"""What is tried with the service in a booted machine. Each scenario has one of its own, and fails by an assertion."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.systemd.faults import faults
from tests.systemd.machine import PROGRAM, Machine
from tests.systemd.service import (
    CELLAR,
    ENTRY,
    configure,
    drop_in,
    installed,
    is_active,
    plug_in,
    serial,
    status,
    unplug,
    wait_status,
)

Scenario = Callable[[str], str]
"""Gets the release of Debian, and returns what it has measured, or ""."""

_FILES = (
    "/etc/systemd/system/mqttgateway@.service",
    "/etc/sysusers.d/mqttgateway.conf",
    "/etc/udev/rules.d/60-mqttgateway.rules",
)


def _wait_restarted(machine: Machine, first: int) -> float:
    """Wait until the gateway runs in another process than the `first`."""

    def is_restarted() -> bool:
        return is_active(machine, ENTRY) and machine.pid(ENTRY) not in (0, first)

    return machine.wait(is_restarted, "a new process", ENTRY, 90)


def _start_milliseconds(machine: Machine, unit: str) -> float:
    began, ended = (
        machine.show(unit, f"{name}Monotonic") for name in ("InactiveExitTimestamp", "ActiveEnterTimestamp")
    )
    return (int(ended) - int(began)) / 1000


def _pushed(machine: Machine) -> int:
    return int(json.loads(status(machine, "entry"))["interfaces"]["serial"]["pushed"])


def _has_reading(received: Callable[[], list[str]], device: str) -> bool:
    return any(f"/{device}/" in line for line in received())


def _numbers(lines: list[str]) -> list[int]:
    return [int(match[1]) for line in lines if (match := re.search(r'"n": ?(\d+)', line))]


# --- start and stop


def start(suite: str) -> str:
    """An image with the service is booted: READY before a broker is there; then the status line has the link."""
    conf = "interface: {type: dummy}\nroot: home\ntopics: [home/+/+/+/+/+/C]\n"
    before = f"{PROGRAM} install-service; printf '{conf}' > /etc/mqttgateway/entry.conf; systemctl enable {ENTRY}"
    with Machine(suite, before.replace("\n", "\\n")) as machine:
        machine.wait(lambda: is_active(machine, ENTRY), "the service to be started", ENTRY)
        wait_status(machine, ENTRY, "link")
        ready = machine.show(ENTRY, "ActiveEnterTimestampMonotonic")
        begun = machine.show("init.scope", "ActiveEnterTimestampMonotonic")
        to_ready = (int(ready) - int(begun)) / 1e6
        machine.run("systemctl", "start", "mosquitto")
        linked = wait_status(machine, ENTRY, "link up", 60)
        assert machine.run("ps", "-o", "user=", str(machine.pid(ENTRY))).strip().startswith("mqttgat")
        exposure = re.search(r"([\d.]+) OK", machine.run("systemd-analyze", "security", f"{ENTRY}.service"))
        assert exposure is not None
        assert float(exposure[1]) <= 1.5
        return (
            f"from systemd's first unit to READY {to_ready:.2f} s, of which the service takes "
            f"{_start_milliseconds(machine, ENTRY):.0f} ms; link in the status {linked:.1f} s after the broker; "
            f"exposure {exposure[1]}"
        )


def killed(suite: str) -> str:
    """After kill -9 it is started again, and goes on."""
    with installed(suite) as machine:
        configure(machine, "entry")
        machine.run("systemctl", "start", ENTRY)
        first = machine.pid(ENTRY)
        machine.run("kill", "-9", str(first))
        took = machine.wait(lambda: is_active(machine, ENTRY) and machine.pid(ENTRY) not in (0, first), "a new process")
        assert machine.show(ENTRY, "NRestarts") == "1"
        wait_status(machine, ENTRY, "link up")
        return f"READY again after {took:.1f} s"


def wrong_configuration(suite: str) -> str:
    """Exit code 78 is final, and the status shows why."""
    with installed(suite) as machine:
        configure(machine, "entry", more="nonsense: 1")
        machine.run("systemctl", "start", ENTRY, code=1)
        machine.wait(lambda: machine.show(ENTRY, "ActiveState") == "failed", "the end", ENTRY)
        assert machine.show(ENTRY, "ExecMainStatus") == "78"
        assert machine.show(ENTRY, "NRestarts") == "0"
        assert "nonsense: unknown option" in machine.run("systemctl", "status", "-l", ENTRY, code=3)
        return ""


def wrong_command_line(suite: str) -> str:
    """Exit code 2 is final, too."""
    with installed(suite) as machine:
        configure(machine, "entry")
        drop_in(machine, f"[Service]\nExecStart=\nExecStart={PROGRAM} --nonsense\n")
        machine.run("systemctl", "start", ENTRY, code=1)
        machine.wait(lambda: machine.show(ENTRY, "ActiveState") == "failed", "the end", ENTRY)
        assert (machine.show(ENTRY, "ExecMainStatus"), machine.show(ENTRY, "NRestarts")) == ("2", "0")
        return ""


def stopped_with_backlog(suite: str) -> str:
    """A stop while the broker is away loses nothing: the next start delivers all that was accepted."""
    count = 900  # Mosquitto keeps no more than 1,000 for a subscriber that is slower
    with installed(suite) as machine:
        machine.run("systemctl", "stop", "mosquitto")
        configure(machine, "entry", f"{{type: plant.py, interval: 0.001, count: {count}}}")
        machine.run("systemctl", "start", ENTRY)

        machine.wait(lambda: _pushed(machine) >= count, "all to be accepted", ENTRY, 60)
        machine.run("systemctl", "stop", ENTRY)
        assert machine.show(ENTRY, "Result") == "success"
        configure(machine, "entry", "{type: plant.py, count: 0}")
        machine.run("systemctl", "start", "mosquitto")
        received = machine.listen("home/plant/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: len(received()) >= count, "all to arrive", ENTRY, 60)
        numbers = _numbers(received())
        wrong = next((place for place, number in enumerate(numbers) if number != place), len(numbers))
        assert numbers == list(range(count)), f"{len(numbers)}; {numbers[max(0, wrong - 2) : wrong + 5]} at {wrong}"
        return f"{count} of {count}, in their order"


# --- reloading


def reloaded(suite: str) -> str:
    """A reload tells whether the new configuration is in use; with a bad one the service goes on."""
    with installed(suite) as machine:
        configure(machine, "entry", more="log: {level: info}")
        machine.run("systemctl", "start", ENTRY)
        first = machine.pid(ENTRY)
        configure(machine, "entry", more="log: {level: debug}")
        machine.run("systemctl", "reload", ENTRY)
        assert "reloaded /etc/mqttgateway/entry.conf: log" in machine.journal(ENTRY)
        configure(machine, "entry", more="nonsense: 1")
        machine.run("systemctl", "reload", ENTRY, code=1)
        machine.wait_log(ENTRY, "reload rejected; running configuration unchanged")
        assert "nonsense: unknown option" in machine.journal(ENTRY)
        assert (is_active(machine, ENTRY), machine.pid(ENTRY)) == (True, first)
        configure(machine, "entry", more="log: {level: info}")
        machine.run("systemctl", "kill", "--signal=HUP", "--kill-who=main", ENTRY)
        machine.wait_log(ENTRY, "reloaded /etc/mqttgateway/entry.conf", 2)
        machine.wait(lambda: machine.show(ENTRY, "SubState") == "running", "the end of the reload", ENTRY)
        wait_status(machine, ENTRY, "link up")
        return ""


# --- what hangs


def main_thread_hangs(suite: str) -> str:
    """A hook hangs in the main thread: the line is logged, and the watchdog has systemd start it again."""
    with installed(suite) as machine:
        configure(machine, "entry", more="filters: {in: [{hook: 'plant.py:hang'}]}")
        drop_in(machine, "[Service]\nWatchdogSec=20\n")
        machine.run("systemctl", "start", ENTRY)
        wait_status(machine, ENTRY, "link up")
        first = machine.pid(ENTRY)
        machine.gateway("send", "--conf", "entry.conf", "--function", "plant", "--action", "HANG", "--wait", "0")
        machine.wait_log(ENTRY, "the hook 'plant.py:hang' has not returned for")
        assert "plant.py:" in machine.journal(ENTRY)
        took = _wait_restarted(machine, first)
        journal = machine.journal(ENTRY)
        assert 'plant.py", line' in journal, "each thread is shown where it was"
        assert machine.show(ENTRY, "NRestarts") == "1"
        return f"started again {took:.0f} s after the line was named (WatchdogSec=20)"


def outbox_thread_hangs(suite: str) -> str:
    """The thread that writes to the disk does not advance: systemd starts the service again, and nothing is lost."""
    with installed(suite) as machine:
        configure(machine, "entry")
        drop_in(machine, "[Service]\nWatchdogSec=8\n")
        received = machine.listen("home/plant/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: len(received()) > 20, "messages", ENTRY)
        first = machine.pid(ENTRY)
        with _second_thread_stopped(machine.pid_outside(ENTRY)):  # the outbox is the first that the main thread starts
            took = _wait_restarted(machine, first)
        assert "watchdog" in machine.run("journalctl", "--no-pager", "-u", ENTRY).lower()
        before = len(received())
        machine.wait(lambda: len(received()) > before, "messages", ENTRY)
        return f"started again after {took:.0f} s (30 s for a step, WatchdogSec=8)"


def interface_hangs(suite: str) -> str:
    """One of two interfaces hangs: named with its line, the other works on; restarted late, and once an hour."""
    with installed(suite) as machine:
        interfaces = "{stuck: {type: plant.py, stall: /run/stall}, well: {type: plant.py}}"
        configure(machine, "entry", interfaces, "hang_limit: 30")
        received = machine.listen("home/plant/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: len(received()) > 20, "messages", ENTRY)
        first = machine.pid(ENTRY)
        machine.write("/run/stall", "")
        machine.gateway("send", "--conf", "entry.conf", "--function", "plant", "--action", "X", "--wait", "0")
        named = wait_status(machine, ENTRY, "has not returned from loop()", 20)
        assert re.search(r"stuck.*plant\.py:\d+ \(", machine.show(ENTRY, "StatusText"))
        before = len(received())
        machine.wait(lambda: len(received()) > before + 20, "messages of the other interface", ENTRY)
        assert machine.pid(ENTRY) == first
        restarted = _wait_restarted(machine, first)
        assert "read_stubborn_device" in machine.journal(ENTRY)
        assert "code=exited, status=75" in machine.run("journalctl", "--no-pager", "-u", ENTRY)
        second = machine.pid(ENTRY)
        machine.gateway("send", "--conf", "entry.conf", "--function", "plant", "--action", "X", "--wait", "0")
        wait_status(machine, ENTRY, "has not returned from loop()", 60)
        before = len(received())
        machine.wait(lambda: len(received()) > before + 20 * 50, "50 s of messages", ENTRY, 90)
        assert machine.pid(ENTRY) == second, "it hangs again, but is restarted at most once an hour"
        return f"named in the status after {named:.0f} s, restarted {restarted:.0f} s later (hang_limit: 30)"


@contextlib.contextmanager
def _second_thread_stopped(process: int) -> Iterator[None]:
    """Stop the second thread of a process, as a debugger does, until the process ends or the context is left."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    seize, interrupt, detach = 0x4206, 0x4207, 17
    _, thread, *_ = sorted(int(path.name) for path in Path(f"/proc/{process}/task").iterdir())
    for request in (seize, interrupt):
        assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())
    wall = 0x40000000  # __WALL
    os.waitpid(thread, wall)  # it has stopped
    # If the process is ended, it is only gone once its tracer has noticed.
    threading.Thread(target=os.waitpid, args=(thread, wall), daemon=True).start()
    try:
        yield
    finally:
        libc.ptrace(detach, thread, None, None)


# --- devices


def line_unplugged(suite: str) -> str:
    """A serial line that is unplugged and comes back, and one that is not there at the start, are opened."""
    with installed(suite) as machine:
        configure(machine, "entry", serial())
        received = machine.listen("home/line/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait_log(ENTRY, "/run/line/entry")
        plug_in(machine)
        first = machine.wait(received, "readings", ENTRY, 60)
        unplug(machine)
        machine.wait_log(ENTRY, "will keep retrying", 2)
        before = len(received())
        plug_in(machine)
        again = machine.wait(lambda: len(received()) > before, "readings", ENTRY, 60)
        wanted = machine.show(ENTRY, "Wants").split()
        assert {"modprobe@usbserial.service", "modprobe@cdc_acm.service"} <= set(wanted)
        return f"the first reading {first:.1f} s after it was plugged in, and {again:.1f} s after it was again"


def two_instances(suite: str) -> str:
    """Two instances share user and folders, each with a socket of its own; the end of one leaves the other alone."""
    with installed(suite) as machine:
        for name in ("entry", "cellar"):
            configure(machine, name, serial(name))
        machine.run("systemctl", "start", ENTRY, CELLAR)
        for name in ("entry", "cellar"):
            plug_in(machine, name)
        received = machine.listen("home/line/#")
        for name in ("entry", "cellar"):
            machine.wait(functools.partial(_has_reading, received, name), "readings", "mqttgateway@*")
            assert f'"name": "{name}"' in status(machine, name)
        owners = machine.run("sh", "-c", "stat -c '%U %a' /run/mqttgateway/*/*.sock /var/lib/mqttgateway/*.outbox")
        assert set(owners.splitlines()) == {"mqttgateway 600"}, owners
        machine.run("systemctl", "stop", ENTRY)
        assert "no gateway called 'entry' runs here" in status(machine, "entry")
        assert '"name": "cellar"' in status(machine, "cellar")
        machine.run("systemctl", "restart", CELLAR)
        wait_status(machine, CELLAR, "link up")
        return ""


# --- what it may


def credentials(suite: str) -> str:
    """A password that only root can read reaches the broker; a reload reads it again."""
    with installed(suite) as machine:
        machine.run("mosquitto_passwd", "-b", "-c", "/etc/mosquitto/passwords", "gate", "open sesame")
        machine.run("chmod", "644", "/etc/mosquitto/passwords")
        listener = "listener 1883 localhost\npassword_file /etc/mosquitto/passwords\nallow_anonymous false\n"
        machine.write("/etc/mosquitto/conf.d/passwords.conf", listener)
        machine.run("systemctl", "restart", "mosquitto")
        machine.write("/etc/credstore/mqttgateway.entry.mqtt.password", "open sesame\n", "600")
        configure(machine, "entry")
        mqtt = "mqtt: {host: localhost, username: gate, password_file: mqtt.password}"
        machine.run("sed", "-i", f"s/^mqtt:.*/{mqtt}/", "/etc/mqttgateway/entry.conf")
        assert "/etc/mqttgateway/entry.conf: OK" in machine.gateway("check", "--conf", "entry.conf")
        machine.run("systemctl", "start", ENTRY)
        wait_status(machine, ENTRY, "link up")
        machine.run("systemctl", "reload", ENTRY)
        assert "open sesame" not in machine.journal(ENTRY)
        return ""


def sandbox(suite: str) -> str:
    """It may raise the number of its open files, as 600 interfaces need, and write only where the unit says."""
    with installed(suite) as machine:
        interfaces = ", ".join(f"i{number}: {{type: plant.py, count: 1, interval: 5}}" for number in range(600))
        configure(machine, "entry", f"{{{interfaces}}}", "log: {file: /var/log/mqttgateway/entry.log}")
        machine.run("systemctl", "start", ENTRY)
        wait_status(machine, ENTRY, "link up")
        assert "started with" in machine.run("cat", "/var/log/mqttgateway/entry.log")
        assert int(machine.run("sh", "-c", f"ls /proc/{machine.pid(ENTRY)}/fd | wc -l")) > 600
        configure(machine, "cellar", more="log: {file: /etc/mqttgateway/cellar.log}")
        machine.run("systemctl", "start", CELLAR, code=1)
        assert "the log file '/etc/mqttgateway/cellar.log' cannot be opened" in machine.journal(CELLAR)
        return ""


# --- installing


def uninstalled(suite: str) -> str:
    """Installing is repeatable, and never overwrites what was changed; uninstalling removes what was written."""
    with installed(suite) as machine:
        assert machine.gateway("install-service").count("unchanged ") == len(_FILES)
        dry = machine.gateway("uninstall-service", "--dry-run")
        assert dry.count("would remove ") == len(_FILES)
        configure(machine, "entry")
        machine.run("systemctl", "enable", "--now", ENTRY)
        assert f"systemctl disable --now {ENTRY}.service" in machine.gateway("uninstall-service", code=1)
        machine.run("systemctl", "disable", "--now", ENTRY)
        machine.run("sed", "-i", "s/RestartSec=5/RestartSec=1/", _FILES[0])
        assert _FILES[0] in machine.gateway("install-service", code=1)
        assert f"left         {_FILES[0]}" in machine.gateway("uninstall-service", code=1)
        machine.run("rm", _FILES[0])
        assert machine.gateway("uninstall-service").count("not there ") == len(_FILES)
        machine.run("systemctl", "daemon-reload")
        assert machine.show(ENTRY, "LoadState") == "not-found"
        machine.run("sh", "-c", f"! ls {' '.join(_FILES)}")
        assert "only root can do this: sudo " in machine.run(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "install-service", code=1
        )
        return ""


def from_dynamic_user(suite: str) -> str:
    """Messages that a gateway of a user made for each run (earlier units) has left are delivered."""
    with installed(suite) as machine:
        machine.run("systemctl", "stop", "mosquitto")
        configure(machine, "entry", "{type: plant.py, interval: 0.01, count: 100}")
        drop_in(machine, "[Service]\nUser=\nDynamicUser=yes\n")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: _pushed(machine) >= 100, "messages", ENTRY)
        machine.run("systemctl", "stop", ENTRY)
        drop_in(machine, "")
        configure(machine, "entry", "{type: plant.py, count: 0}")
        machine.run("systemctl", "start", "mosquitto")
        received = machine.listen("home/plant/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: len(received()) >= 100, "all to arrive", ENTRY)
        assert _numbers(received()) == list(range(100))
        return ""


SCENARIOS: tuple[Scenario, ...] = (
    start, killed, wrong_configuration, wrong_command_line, stopped_with_backlog, reloaded, main_thread_hangs,
    outbox_thread_hangs, interface_hangs, line_unplugged, two_instances, credentials, sandbox, uninstalled,
    from_dynamic_user, faults,
)  # fmt: skip
