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

from tests.systemd.machine import HERE, PROGRAM, Machine

Scenario = Callable[[str], str]
"""Gets the release of Debian, and returns what it has measured, or ""."""

ENTRY, CELLAR = "mqttgateway@entry", "mqttgateway@cellar"
_FILES = (
    "/etc/systemd/system/mqttgateway@.service",
    "/etc/sysusers.d/mqttgateway.conf",
    "/etc/udev/rules.d/60-mqttgateway.rules",
)


@contextlib.contextmanager
def _installed(suite: str) -> Iterator[Machine]:
    """A machine with a broker, and the service installed; the interface and the hook of plant.py are there."""
    with Machine(suite) as machine:
        machine.write(
            "/etc/mosquitto/conf.d/queue.conf", "max_queued_messages 0\n"
        )  # none is dropped for a slow listener
        machine.run("systemctl", "start", "mosquitto")
        machine.gateway("install-service")
        machine.write("/etc/mqttgateway/plant.py", (HERE / "plant.py").read_text())
        machine.write("/opt/line.py", (HERE / "line.py").read_text())
        yield machine


def _configure(machine: Machine, name: str, interface: str = "{type: plant.py}", more: str = "") -> None:
    lines = (
        "mqtt: {host: localhost, reconnect_max: 1}",
        "root: home",
        'topics: ["home/+/+/+/+/+/C"]',
        f"interface: {interface}" if interface.startswith("{type") else f"interfaces: {interface}",
        more,
    )
    machine.write(f"/etc/mqttgateway/{name}.conf", "\n".join(lines) + "\n")


def _drop_in(machine: Machine, text: str) -> None:
    machine.write("/etc/systemd/system/mqttgateway@.service.d/test.conf", text)
    machine.run("systemctl", "daemon-reload")


def _plug_in(machine: Machine, name: str = "entry", interval: float = 0.05) -> None:
    machine.run("systemd-run", "-q", f"--unit=line-{name}", "-pUser=mqttgateway", "-pRuntimeDirectory=line",
                "-pRuntimeDirectoryPreserve=yes", "/opt/mqttgateway/bin/python", "/opt/line.py",
                f"/run/line/{name}", str(interval))  # fmt: skip
    machine.wait(lambda: machine.run("sh", "-c", f"readlink /run/line/{name} || true"), "the line")


def _unplug(machine: Machine, name: str = "entry") -> None:
    machine.run("systemctl", "stop", f"line-{name}")
    machine.run("rm", f"/run/line/{name}")


def _serial(name: str = "entry") -> str:
    return (
        f"{{type: serial, port: /run/line/{name}, address: {{function: line, device: {name}}}, "
        "decode: [{regex: 'N=(?P<n>[0-9]+)', values: {n: int}, message: {action: N, arguments: {n: '{n}'}}}]}"
    )


def _is_active(machine: Machine, unit: str) -> bool:
    return machine.show(unit, "ActiveState") == "active"


def _wait_restarted(machine: Machine, first: int) -> float:
    """Wait until the gateway runs in another process than the `first`."""

    def is_restarted() -> bool:
        return _is_active(machine, ENTRY) and machine.pid(ENTRY) not in (0, first)

    return machine.wait(is_restarted, "a new process", ENTRY, 90)


def _wait_status(machine: Machine, unit: str, text: str, timeout: float = 15) -> float:
    def what() -> str:
        return machine.show(unit, "StatusText")

    return machine.wait(lambda: text in what(), f"the status to have {text!r}", unit, timeout)


def _start_milliseconds(machine: Machine, unit: str) -> float:
    began, ended = (
        machine.show(unit, f"{name}Monotonic") for name in ("InactiveExitTimestamp", "ActiveEnterTimestamp")
    )
    return (int(ended) - int(began)) / 1000


def _status(machine: Machine, name: str) -> str:
    return machine.run("sh", "-c", f"{PROGRAM} status {name} --json || true")  # its exit code tells how the gateway is


def _pushed(machine: Machine) -> int:
    return int(json.loads(_status(machine, "entry"))["interfaces"]["serial"]["pushed"])


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
        machine.wait(lambda: _is_active(machine, ENTRY), "the service to be started", ENTRY)
        _wait_status(machine, ENTRY, "link")
        ready = machine.show(ENTRY, "ActiveEnterTimestampMonotonic")
        begun = machine.show("init.scope", "ActiveEnterTimestampMonotonic")
        to_ready = (int(ready) - int(begun)) / 1e6
        machine.run("systemctl", "start", "mosquitto")
        linked = _wait_status(machine, ENTRY, "link up", 60)
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
    with _installed(suite) as machine:
        _configure(machine, "entry")
        machine.run("systemctl", "start", ENTRY)
        first = machine.pid(ENTRY)
        machine.run("kill", "-9", str(first))
        took = machine.wait(
            lambda: _is_active(machine, ENTRY) and machine.pid(ENTRY) not in (0, first), "a new process"
        )
        assert machine.show(ENTRY, "NRestarts") == "1"
        _wait_status(machine, ENTRY, "link up")
        return f"READY again after {took:.1f} s"


def wrong_configuration(suite: str) -> str:
    """Exit code 78 is final, and the status shows why."""
    with _installed(suite) as machine:
        _configure(machine, "entry", more="nonsense: 1")
        machine.run("systemctl", "start", ENTRY, code=1)
        machine.wait(lambda: machine.show(ENTRY, "ActiveState") == "failed", "the end", ENTRY)
        assert machine.show(ENTRY, "ExecMainStatus") == "78"
        assert machine.show(ENTRY, "NRestarts") == "0"
        assert "nonsense: unknown option" in machine.run("systemctl", "status", "-l", ENTRY, code=3)
        return ""


def wrong_command_line(suite: str) -> str:
    """Exit code 2 is final, too."""
    with _installed(suite) as machine:
        _configure(machine, "entry")
        _drop_in(machine, f"[Service]\nExecStart=\nExecStart={PROGRAM} --nonsense\n")
        machine.run("systemctl", "start", ENTRY, code=1)
        machine.wait(lambda: machine.show(ENTRY, "ActiveState") == "failed", "the end", ENTRY)
        assert (machine.show(ENTRY, "ExecMainStatus"), machine.show(ENTRY, "NRestarts")) == ("2", "0")
        return ""


def stopped_with_backlog(suite: str) -> str:
    """A stop while the broker is away loses nothing: the next start delivers all that was accepted."""
    count = 900  # Mosquitto keeps no more than 1,000 for a subscriber that is slower
    with _installed(suite) as machine:
        machine.run("systemctl", "stop", "mosquitto")
        _configure(machine, "entry", f"{{type: plant.py, interval: 0.001, count: {count}}}")
        machine.run("systemctl", "start", ENTRY)

        machine.wait(lambda: _pushed(machine) >= count, "all to be accepted", ENTRY, 60)
        machine.run("systemctl", "stop", ENTRY)
        assert machine.show(ENTRY, "Result") == "success"
        _configure(machine, "entry", "{type: plant.py, count: 0}")
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
    with _installed(suite) as machine:
        _configure(machine, "entry", more="log: {level: info}")
        machine.run("systemctl", "start", ENTRY)
        first = machine.pid(ENTRY)
        _configure(machine, "entry", more="log: {level: debug}")
        machine.run("systemctl", "reload", ENTRY)
        assert "reloaded /etc/mqttgateway/entry.conf: log" in machine.journal(ENTRY)
        _configure(machine, "entry", more="nonsense: 1")
        machine.run("systemctl", "reload", ENTRY, code=1)
        machine.wait_log(ENTRY, "reload rejected; running configuration unchanged")
        assert "nonsense: unknown option" in machine.journal(ENTRY)
        assert (_is_active(machine, ENTRY), machine.pid(ENTRY)) == (True, first)
        _configure(machine, "entry", more="log: {level: info}")
        machine.run("systemctl", "kill", "--signal=HUP", "--kill-who=main", ENTRY)
        machine.wait_log(ENTRY, "reloaded /etc/mqttgateway/entry.conf", 2)
        machine.wait(lambda: machine.show(ENTRY, "SubState") == "running", "the end of the reload", ENTRY)
        _wait_status(machine, ENTRY, "link up")
        return ""


# --- what hangs


def main_thread_hangs(suite: str) -> str:
    """A hook hangs in the main thread: the line is logged, and the watchdog has systemd start it again."""
    with _installed(suite) as machine:
        _configure(machine, "entry", more="filters: {in: [{hook: 'plant.py:hang'}]}")
        _drop_in(machine, "[Service]\nWatchdogSec=20\n")
        machine.run("systemctl", "start", ENTRY)
        _wait_status(machine, ENTRY, "link up")
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
    with _installed(suite) as machine:
        _configure(machine, "entry")
        _drop_in(machine, "[Service]\nWatchdogSec=8\n")
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
    with _installed(suite) as machine:
        interfaces = "{stuck: {type: plant.py, stall: /run/stall}, well: {type: plant.py}}"
        _configure(machine, "entry", interfaces, "hang_limit: 30")
        received = machine.listen("home/plant/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: len(received()) > 20, "messages", ENTRY)
        first = machine.pid(ENTRY)
        machine.write("/run/stall", "")
        machine.gateway("send", "--conf", "entry.conf", "--function", "plant", "--action", "X", "--wait", "0")
        named = _wait_status(machine, ENTRY, "has not returned from loop()", 20)
        assert re.search(r"stuck.*plant\.py:\d+ \(", machine.show(ENTRY, "StatusText"))
        before = len(received())
        machine.wait(lambda: len(received()) > before + 20, "messages of the other interface", ENTRY)
        assert machine.pid(ENTRY) == first
        restarted = _wait_restarted(machine, first)
        assert "read_stubborn_device" in machine.journal(ENTRY)
        assert "code=exited, status=75" in machine.run("journalctl", "--no-pager", "-u", ENTRY)
        second = machine.pid(ENTRY)
        machine.gateway("send", "--conf", "entry.conf", "--function", "plant", "--action", "X", "--wait", "0")
        _wait_status(machine, ENTRY, "has not returned from loop()", 60)
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
    with _installed(suite) as machine:
        _configure(machine, "entry", _serial())
        received = machine.listen("home/line/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait_log(ENTRY, "/run/line/entry")
        _plug_in(machine)
        first = machine.wait(received, "readings", ENTRY, 60)
        _unplug(machine)
        machine.wait_log(ENTRY, "will keep retrying", 2)
        before = len(received())
        _plug_in(machine)
        again = machine.wait(lambda: len(received()) > before, "readings", ENTRY, 60)
        wanted = machine.show(ENTRY, "Wants").split()
        assert {"modprobe@usbserial.service", "modprobe@cdc_acm.service"} <= set(wanted)
        return f"the first reading {first:.1f} s after it was plugged in, and {again:.1f} s after it was again"


def two_instances(suite: str) -> str:
    """Two instances share user and folders, each with a socket of its own; the end of one leaves the other alone."""
    with _installed(suite) as machine:
        for name in ("entry", "cellar"):
            _configure(machine, name, _serial(name))
        machine.run("systemctl", "start", ENTRY, CELLAR)
        for name in ("entry", "cellar"):
            _plug_in(machine, name)
        received = machine.listen("home/line/#")
        for name in ("entry", "cellar"):
            machine.wait(functools.partial(_has_reading, received, name), "readings", "mqttgateway@*")
            assert f'"name": "{name}"' in _status(machine, name)
        owners = machine.run("sh", "-c", "stat -c '%U %a' /run/mqttgateway/*/*.sock /var/lib/mqttgateway/*.outbox")
        assert set(owners.splitlines()) == {"mqttgateway 600"}, owners
        machine.run("systemctl", "stop", ENTRY)
        assert "no gateway called 'entry' runs here" in _status(machine, "entry")
        assert '"name": "cellar"' in _status(machine, "cellar")
        machine.run("systemctl", "restart", CELLAR)
        _wait_status(machine, CELLAR, "link up")
        return ""


# --- what it may


def credentials(suite: str) -> str:
    """A password that only root can read reaches the broker; a reload reads it again."""
    with _installed(suite) as machine:
        machine.run("mosquitto_passwd", "-b", "-c", "/etc/mosquitto/passwords", "gate", "open sesame")
        machine.run("chmod", "644", "/etc/mosquitto/passwords")
        listener = "listener 1883 localhost\npassword_file /etc/mosquitto/passwords\nallow_anonymous false\n"
        machine.write("/etc/mosquitto/conf.d/passwords.conf", listener)
        machine.run("systemctl", "restart", "mosquitto")
        machine.write("/etc/credstore/mqttgateway.entry.mqtt.password", "open sesame\n", "600")
        _configure(machine, "entry")
        mqtt = "mqtt: {host: localhost, username: gate, password_file: mqtt.password}"
        machine.run("sed", "-i", f"s/^mqtt:.*/{mqtt}/", "/etc/mqttgateway/entry.conf")
        assert "/etc/mqttgateway/entry.conf: OK" in machine.gateway("check", "--conf", "entry.conf")
        machine.run("systemctl", "start", ENTRY)
        _wait_status(machine, ENTRY, "link up")
        machine.run("systemctl", "reload", ENTRY)
        assert "open sesame" not in machine.journal(ENTRY)
        return ""


def sandbox(suite: str) -> str:
    """It may raise the number of its open files, as 600 interfaces need, and write only where the unit says."""
    with _installed(suite) as machine:
        interfaces = ", ".join(f"i{number}: {{type: plant.py, count: 1, interval: 5}}" for number in range(600))
        _configure(machine, "entry", f"{{{interfaces}}}", "log: {file: /var/log/mqttgateway/entry.log}")
        machine.run("systemctl", "start", ENTRY)
        _wait_status(machine, ENTRY, "link up")
        assert "started with" in machine.run("cat", "/var/log/mqttgateway/entry.log")
        assert int(machine.run("sh", "-c", f"ls /proc/{machine.pid(ENTRY)}/fd | wc -l")) > 600
        _configure(machine, "cellar", more="log: {file: /etc/mqttgateway/cellar.log}")
        machine.run("systemctl", "start", CELLAR, code=1)
        assert "the log file '/etc/mqttgateway/cellar.log' cannot be opened" in machine.journal(CELLAR)
        return ""


# --- installing


def uninstalled(suite: str) -> str:
    """Installing is repeatable, and never overwrites what was changed; uninstalling removes what was written."""
    with _installed(suite) as machine:
        assert machine.gateway("install-service").count("unchanged ") == len(_FILES)
        dry = machine.gateway("uninstall-service", "--dry-run")
        assert dry.count("would remove ") == len(_FILES)
        _configure(machine, "entry")
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
    with _installed(suite) as machine:
        machine.run("systemctl", "stop", "mosquitto")
        _configure(machine, "entry", "{type: plant.py, interval: 0.01, count: 100}")
        _drop_in(machine, "[Service]\nUser=\nDynamicUser=yes\n")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: _pushed(machine) >= 100, "messages", ENTRY)
        machine.run("systemctl", "stop", ENTRY)
        _drop_in(machine, "")
        _configure(machine, "entry", "{type: plant.py, count: 0}")
        machine.run("systemctl", "start", "mosquitto")
        received = machine.listen("home/plant/#")
        machine.run("systemctl", "start", ENTRY)
        machine.wait(lambda: len(received()) >= 100, "all to arrive", ENTRY)
        assert _numbers(received()) == list(range(100))
        return ""


SCENARIOS: tuple[Scenario, ...] = (
    start, killed, wrong_configuration, wrong_command_line, stopped_with_backlog, reloaded, main_thread_hangs,
    outbox_thread_hangs, interface_hangs, line_unplugged, two_instances, credentials, sandbox, uninstalled,
    from_dynamic_user,
)  # fmt: skip
