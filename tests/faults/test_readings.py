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

from tests.support.broker import Mosquitto
from tests.support.configuration import write_conf
from tests.support.device import PtyDevice
from tests.support.gateway_process import GatewayProcess
from tests.support.health import status_of, wait_named
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
