"""The gateway of docs/fleet.md: with access rules, it must be able to do all that it does."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.device import PtyDevice
from tests.support.docs import page
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

NAME, PASSWORD = "cellar", "secret"
_FOREIGN = ("home/roof/availability", "home/heating/cellar//boiler/roof/S", "home/roof/manage", "other/cellar/state")
"""Topics on which this gateway must not publish."""

_NOT_AUTHORIZED = 0x87

_OWN = ("home/cellar/availability", "home/cellar/run", "home/cellar/serial/availability")
_STATUS, _COMMAND = "home/heating/cellar//boiler/cellar/S", "home/heating/cellar//boiler/operator/C"


def write_cellar(folder: Path, port: int, line: Path) -> Path:
    """Write its configuration, for another broker and another serial line."""
    (block,) = [block for block in page("docs/fleet.md").blocks("yaml") if block.settings.get("file") == "cellar.conf"]
    text = re.sub(r"servers: .*", f"port: {port}", block.text)
    text = re.sub(r"password_file: .*", f"password: {PASSWORD}", text)
    file = folder / "cellar.conf"
    file.touch(mode=0o600)  # it contains the password
    file.write_text(re.sub(r"port: socket.*", f"port: {line}", text))
    return file


@contextlib.contextmanager
def client(port: int, user: str = "") -> Iterator[mqtt.Client]:
    """Connect with MQTT 5, and serve the connection by a thread."""
    is_connected = threading.Event()
    result = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    result.on_connect = lambda *_: is_connected.set()
    if user:
        result.username_pw_set(user, PASSWORD)
    result.connect("127.0.0.1", port)
    result.loop_start()
    try:
        assert is_connected.wait(30), "no CONNACK"
        yield result
    finally:
        result.disconnect()
        result.loop_stop()
        result.on_connect = None


def check_rights(folder: Path, port: int, operator: mqtt.Client) -> None:
    """Run it with its user; `operator` sees everything and sends a command. Then publish as that user what is foreign.

    Raises `AssertionError`.
    """
    received: list[str] = []
    operator.on_message = lambda _c, _u, message: received.append(message.topic)
    operator.subscribe("home/#", 1)
    with PtyDevice(folder, "tty-cellar") as line, GatewayProcess(write_cellar(folder, port, line.path)) as gateway:
        gateway.wait_log("is open", timeout=30)
        gateway.wait_log("connected to", timeout=30)
        line.write(b"T 21.5\r\n")
        wait_until(lambda: {*_OWN, _STATUS} <= {*received}, 30, lambda: f"all topics; got {received}\n{gateway.log}")
        operator.publish(_COMMAND, "HEAT_ON", 1)
        line.read_until(b"H1\r\n", 30)
        gateway.stop()
        assert not re.search("refused|does not let|dead letter|WARNING|ERROR", gateway.log), gateway.log
    operator.on_message = None
    with client(port, NAME) as own:
        for topic in _FOREIGN:
            assert _answer(own, topic) == _NOT_AUTHORIZED, topic


def _answer(own: mqtt.Client, topic: str) -> int:
    """Return the reason code with which the broker answers a publication."""
    codes: list[int] = []

    def on_publish(_client: Any, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        codes.append(reason.value)

    own.on_publish = on_publish
    own.publish(topic, b"x", 1)
    wait_until(lambda: codes, 30, f"the answer to {topic}")
    own.on_publish = None
    return codes[0]
