"""A USB serial adapter, an FTDI to the kernel, that is plugged in after the service has started, and pulled out."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.broker import Mosquitto
from tests.systemd.machine import PROGRAM
from tests.vm.disk import Disk
from tests.vm.machine import BOOT_TIMEOUT, HOST, Machine, make_image

_ENTRY = "mqttgateway@entry"
_SERIAL = "CELLAR42"
_PORT = f"/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{_SERIAL}-if00-port0"
_CONF = f"""
mqtt: {{host: {HOST}, port: PORT, reconnect_max: 1}}
root: home
topics: ["home/+/+/+/+/+/C"]
interface:
  type: serial
  port: {_PORT}
  address: {{function: line, device: entry}}
  decode: [{{regex: 'N=(?P<n>[0-9]+)', values: {{n: int}}, message: {{action: N, arguments: {{n: '{{n}}'}}}}}}]
  encode: [{{match: {{action: SET}}, arguments: {{value: {{type: integer}}}}, write: 'SET {{value}}'}}]
  devices: [{{id: cellar, points: {{n: {{from: N.n}}}}}}]
"""
_INTERVAL = 0.2  # s between two lines of the device
_TIMEOUT = BOOT_TIMEOUT


def serial_adapter(folder: Path) -> str:
    """Plug it in, pull it out and plug it in again, under the running service; return what was measured."""
    image, address, files = folder / "disk.img", folder / "disk", folder / "files"
    with Mosquitto(folder) as broker, broker.client("home/#") as client:
        conf = files / "etc/mqttgateway/entry.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(_CONF.replace("PORT", str(broker.port)))
        make_image(image, files, f"{PROGRAM} install-service; systemctl enable {_ENTRY}")

        def readings() -> int:
            return sum(topic.endswith("/S") and b'"N"' in payload for topic, payload in client.pairs())

        def is_told(state: bytes) -> bool:
            told = [payload for topic, payload in client.pairs() if topic == "home/entry/cellar/availability"]
            return told[-1:] == [state]

        with Disk(image, address), Machine(folder, address) as machine:
            machine.wait_shell()
            machine.wait(lambda: _is_started(machine), "the service", _ENTRY, _TIMEOUT)
            booted = machine.age
            machine.wait_log(_ENTRY, _PORT, timeout=_TIMEOUT)  # it says that it is not there
            with _device(machine.line(_SERIAL)) as received:
                machine.plug_in(_SERIAL)
                first = machine.wait(readings, "readings", _ENTRY, _TIMEOUT)
                machine.wait(lambda: is_told(b"online"), "the device online", _ENTRY, _TIMEOUT)
                _check_permission(machine)
                client.publish("home/line///entry/desk/C", '{"action": "SET", "value": 7}')
                machine.wait(lambda: b"SET 7" in received, "the command at the device", _ENTRY, _TIMEOUT)
                process = machine.pid(_ENTRY)

                machine.unplug(_SERIAL)
                noticed = machine.wait(lambda: is_told(b"offline"), "the device offline", _ENTRY, _TIMEOUT)
                machine.wait_log(_ENTRY, "will keep retrying", 2, timeout=_TIMEOUT)
                machine.wait(lambda: "offline" in machine.show(_ENTRY, "StatusText"), "it in the status", _ENTRY)
                before = readings()
                machine.plug_in(_SERIAL)
                again = machine.wait(lambda: readings() > before, "readings again", _ENTRY, _TIMEOUT)
                machine.wait(lambda: is_told(b"online"), "the device online again", _ENTRY, _TIMEOUT)
                assert machine.pid(_ENTRY) == process, "the service was started again"
                machine.check()
    return (
        f"the service runs {booted:.0f} s after the machine was switched on; first reading {first:.1f} s after the "
        f"adapter was plugged in, its device offline {noticed:.1f} s after it was pulled out, readings {again:.1f} s "
        "after it was plugged in again"
    )


def _is_started(machine: Machine) -> bool:
    state = machine.show(_ENTRY, "ActiveState")
    assert state != "failed", machine.journal(_ENTRY)
    return state == "active"


def _check_permission(machine: Machine) -> None:
    """The service opens the port as a user without rights, by the group alone; the driver does not wait for more."""
    user = machine.run("ps", "-o", "user:20=", str(machine.pid(_ENTRY))).strip()
    assert user == "mqttgateway"
    assert machine.run("stat", "-L", "-c", "%U:%G %a", _PORT).strip() == "root:dialout 660"
    (latency,) = machine.run("sh", "-c", "cat /sys/bus/usb-serial/devices/*/latency_timer").split()
    assert latency == "1", "the rule of udev was not followed"
    assert "ftdi_sio" in machine.run("sh", "-c", "readlink /sys/bus/usb-serial/devices/*/driver")


@contextlib.contextmanager
def _device(sock: socket.socket) -> Iterator[bytearray]:
    """A device at the end of a line: it sends a number again and again, and what it receives is in the result."""
    received, is_over = bytearray(), threading.Event()

    def talk() -> None:
        number = 0
        sock.settimeout(_INTERVAL)
        while not is_over.is_set():
            try:
                received.extend(sock.recv(1024))
            except TimeoutError:
                with contextlib.suppress(TimeoutError):  # nobody reads
                    sock.sendall(b"N=%d\r\n" % number)
                number += 1

    thread = threading.Thread(target=talk, name="device")
    thread.start()
    try:
        yield received
    finally:
        is_over.set()
        thread.join()
