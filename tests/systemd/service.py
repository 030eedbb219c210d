"""The service in a booted machine: installed, configured, its devices plugged in, and what systemd tells of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.systemd.machine import HERE, PROGRAM, Machine

ENTRY, CELLAR = "mqttgateway@entry", "mqttgateway@cellar"


@contextlib.contextmanager
def installed(suite: str) -> Iterator[Machine]:
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


def configure(machine: Machine, name: str, interface: str = "{type: plant.py}", more: str = "") -> None:
    lines = (
        "mqtt: {host: localhost, reconnect_max: 1}",
        "root: home",
        'topics: ["home/+/+/+/+/+/C"]',
        f"interface: {interface}" if interface.startswith("{type") else f"interfaces: {interface}",
        more,
    )
    machine.write(f"/etc/mqttgateway/{name}.conf", "\n".join(lines) + "\n")


def drop_in(machine: Machine, text: str) -> None:
    machine.write("/etc/systemd/system/mqttgateway@.service.d/test.conf", text)
    machine.run("systemctl", "daemon-reload")


def start_unit(machine: Machine, name: str, command: str, settings: str = "") -> None:
    """Run a program as a unit, which systemd need not have forgotten since it ended last, as one of systemd-run."""
    machine.write(f"/run/systemd/system/{name}.service", f"[Service]\nExecStart={command}\n{settings}")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", name)


def plug_in(machine: Machine, name: str = "entry", interval: float = 0.05) -> None:
    """Plug a serial line in, at /run/line/NAME."""
    command = f"/opt/mqttgateway/bin/python /opt/line.py /run/line/{name} {interval}"
    start_unit(machine, f"line-{name}", command,
               "User=mqttgateway\nRuntimeDirectory=line\nRuntimeDirectoryPreserve=yes\n")  # fmt: skip
    machine.wait(lambda: machine.run("sh", "-c", f"readlink /run/line/{name} || true"), "the line")


def unplug(machine: Machine, name: str = "entry") -> None:
    machine.run("systemctl", "stop", f"line-{name}")
    machine.run("rm", f"/run/line/{name}")


def serial(name: str = "entry") -> str:
    return (
        f"{{type: serial, port: /run/line/{name}, address: {{function: line, device: {name}}}, "
        "decode: [{regex: 'N=(?P<n>[0-9]+)', values: {n: int}, message: {action: N, arguments: {n: '{n}'}}}]}"
    )


def is_active(machine: Machine, unit: str) -> bool:
    return machine.show(unit, "ActiveState") == "active"


def wait_status(machine: Machine, unit: str, text: str, timeout: float = 15) -> float:
    def what() -> str:
        return machine.show(unit, "StatusText")

    return machine.wait(lambda: text in what(), f"the status to have {text!r}", unit, timeout)


def status(machine: Machine, name: str) -> str:
    return machine.run("sh", "-c", f"{PROGRAM} status {name} --json || true")  # its exit code tells how the gateway is
