"""A real Mosquitto for one test, and a plain paho client that records what it receives."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.waiting import wait_until


def find_tool(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def tool_or_skip(name: str, package: str) -> str:
    """Return the path of a tool; if it is missing, skip the test, or fail it in CI."""
    path = find_tool(name)
    if path is None:
        missing = f"{name} is missing: apt install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def mosquitto_or_skip() -> str:
    return tool_or_skip("mosquitto", "mosquitto")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_NO_LIMIT = "max_queued_messages 0\n"  # otherwise the broker drops messages that a slow listener has not read yet


class Mosquitto:
    """A broker process; `extra` is appended to its configuration. It can be killed, stopped and started again."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n", port: int | None = None) -> None:
        self.port = port or free_port()
        self.far_port = 0  # of a second listener, if a test configures one
        self.config = folder / f"mosquitto-{self.port}.conf"
        self.log = folder / f"mosquitto-{self.port}.log"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nuser root\npersistence false\n{_NO_LIMIT}{extra}")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([mosquitto_or_skip(), "-c", str(self.config), "-v"], stdout=log, stderr=log)
        wait_until(self._answers, what="mosquitto to answer")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def client(self, *filters: str, **options: Any) -> Listener:
        return Listener(self.port, *filters, **options)


class Listener:
    """A paho client with its own thread that keeps the messages that it receives; the test's view of the broker."""

    def __init__(self, port: int, *filters: str, qos: int = 1, username: str = "", password: str = "") -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._filters = filters
        self._qos = qos
        self._ready = threading.Event()
        self._pending = len(filters)
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if username:
            self.client.username_pw_set(username, password)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = lambda _c, _u, message: self.messages.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10), "the listener was not connected in time"

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        for topic_filter in self._filters:
            client.subscribe(topic_filter, self._qos)
        if not self._filters:
            self._ready.set()

    def _on_subscribe(self, *_: object) -> None:
        self._pending -= 1
        if self._pending <= 0:
            self._ready.set()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        # paho closes its pair of sockets when it is deleted: not by the garbage collector, which does the sockets first
        self.client.on_connect = self.client.on_subscribe = self.client.on_message = None

    def publish(self, topic: str, payload: str | bytes, qos: int = 1, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def wait_for(self, condition: Callable[[mqtt.MQTTMessage], bool], timeout: float = 10) -> mqtt.MQTTMessage:
        """Return the first message that meets `condition`, once it has arrived."""

        def first_match() -> mqtt.MQTTMessage | None:
            return next(filter(condition, list(self.messages)), None)

        wait_until(first_match, timeout=timeout, what=lambda: f"a message; got {self.pairs()}")
        message = first_match()
        assert message is not None
        return message

    def wait_topic(self, topic: str, payload: bytes | None = None, timeout: float = 10) -> mqtt.MQTTMessage:
        return self.wait_for(lambda m: m.topic == topic and payload in (None, m.payload), timeout)

    def pairs(self) -> list[tuple[str, bytes]]:
        return [(message.topic, bytes(message.payload)) for message in list(self.messages)]
