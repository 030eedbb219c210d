"""A gateway that is up while nothing arrives: the device sends, or is asked, in vain. `status` tells why.

Each fault is a state: it is named within ten seconds, and no longer once it is mended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from gateway.control.client import ask
from tests.support.broker import Mosquitto
from tests.support.configuration import write_conf
from tests.support.device import PtyDevice
from tests.support.gateway_process import GatewayProcess
from tests.support.health import named_by, status_of, wait_named
from tests.support.waiting import wait_until

READING = {"regex": r"T (?P<t>\d+)", "values": {"t": "int"}, "message": {"action": "T", "arguments": {"t": "{t}"}}}
POLL = {"name": "ask", "write": "T?", "every": 0.5, "timeout": 0.2, "response": READING}

FAULTS: dict[str, tuple[dict[str, Any], bytes, bytes, str]] = {
    "another terminator": ({"framing": {"terminator": "#"}, "decode": [READING]}, b"T 21\r\n", b"#T 21#",
                           "boiler: the device sends, but no frame is complete; it begins with 'T 21"),
    "no rule": ({"decode": [READING]}, b"X 21\r\n", b"T 21\r\n",
                "boiler: no rule matches what the device sends: 'X 21'"),
    "no checksum": ({"checksum": {"type": "xor", "form": "hex"}, "decode": [READING]}, b"T 21\r\n",
                    b"T 2177\r\n", "boiler: the checksum of all that the device sends is wrong: 'T 21'"),
    "no answer": ({"conversation": {"polls": [POLL]}}, b"", b"T 21\r\n", "boiler: 1 request is not answered: 'ask'"),
}  # fmt: skip


@contextmanager
def sending(device: PtyDevice, data: bytes) -> Iterator[None]:
    """Have the device send `data` again and again."""
    ended = Event()

    def send() -> None:
        while not ended.wait(0.05):
            device.write(data)

    thread = Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_device_that_is_heard_in_vain_is_named(fault: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    options, useless, useful, named = FAULTS[fault]
    address = {"function": "heating", "location": "hall", "device": "boiler"}
    with PtyDevice(tmp_path) as device:
        interface = {"type": "serial", "port": str(device.path), "address": address, **options}
        conf = write_conf(tmp_path, mosquitto.port, interfaces={"boiler": interface})
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("is open")
            with sending(device, useless):
                wait_named(gateway, named)
                status = status_of(gateway)
                assert status["level"] == "degraded" and named in status["headline"]
                assert status["problems"][0]["remedy"]
            with sending(device, useful):
                wait_until(
                    lambda: status_of(gateway)["level"] == "well", 10, lambda: str(status_of(gateway)["problems"])
                )


def test_a_word_that_a_strict_map_lacks_is_named_until_it_is_there(tmp_path: Path, mosquitto: Mosquitto) -> None:
    address = {"function": "heating", "location": "hall", "device": "boiler"}
    reading = {"regex": r"(?P<word>\w+) \d+", "message": {"action": "{word}"}}
    strict: dict[str, Any] = {"maptype": "strict", "map": {"OTHER": ["other"]}}
    gateway_map = {"root": "home", "topics": ["home/+/+/+/+/+/C"], "action": strict}
    with PtyDevice(tmp_path) as device:
        interface = {"type": "serial", "port": str(device.path), "address": address, "decode": [reading]}
        conf = write_conf(tmp_path, mosquitto.port, interfaces={"boiler": interface}, map=gateway_map)
        with GatewayProcess(conf) as gateway, sending(device, b"T 21\r\n"):
            gateway.wait_log("is open")
            wait_named(gateway, "boiler: messages are not sent: action: 'T' is not in the map")
            assert status_of(gateway)["level"] == "degraded"
            strict["map"]["T"] = ["temperature"]
            write_conf(tmp_path, mosquitto.port, interfaces={"boiler": interface}, map=gateway_map)
            ask(conf.stem, "reload", {"XDG_RUNTIME_DIR": str(tmp_path)})
            wait_until(lambda: status_of(gateway)["level"] == "well", 10, lambda: str(status_of(gateway)["problems"]))


def test_an_interface_that_does_not_read_its_commands_is_named(tmp_path: Path, mosquitto: Mosquitto) -> None:
    code = "import time\nfrom gateway.api import Interface\n\n\nclass Lazy(Interface):\n    def loop(self):\n"
    (tmp_path / "lazy.py").write_text(f"{code}        time.sleep(0.2)\n")
    conf = write_conf(tmp_path, mosquitto.port, interfaces={"lazy": {"type": "lazy.py"}})
    with mosquitto.client("home/#") as client, GatewayProcess(conf) as gateway:
        client.wait_topic("home/gw/lazy/availability", b"online")
        wait_until(lambda: "home/+/+/+/+/+/C (QoS" in mosquitto.log.read_text(), what="the subscription")
        client.publish("home/f///d/me/C", "ON")
        wait_named(gateway, "lazy does not read its messages: 1 message is waiting")
        wait_until(lambda: status_of(gateway)["level"] == "well", 15, "the command to be answered")


def test_a_gateway_that_was_killed_is_told_from_one_that_was_stopped(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interfaces={"lamp": {"type": "dummy"}})
    for is_killed in (False, True):
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("control socket ")
            gateway.kill() if is_killed else gateway.stop()
            assert ("it was killed or has crashed" in named_by(gateway)) is is_killed


def test_a_device_that_comes_and_goes_is_named_also_while_it_is_there(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with PtyDevice(tmp_path) as device:
        options = {"type": "serial", "port": str(device.path), "address": {"function": "f"}, "decode": [READING]}
        conf = write_conf(tmp_path, mosquitto.port, interfaces={"boiler": options})
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("control socket ")
            for number in range(1, 4):
                gateway.wait_log("is open", number)
                # An unplugged device is named, until it is back.
                wait_until(lambda: status_of(gateway)["level"] == "well", what=lambda: str(status_of(gateway)))
                device.unplug()
                wait_named(gateway, "boiler is offline")
                device.plug_in()
            gateway.wait_log("is open", 4)
            wait_named(gateway, "boiler comes and goes: ")
