"""A subscriber with little overhead, which records what the broker passes on, in that order."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

from tests.support.packets import CONNACK, CONNECT, PUBLISH, SUBACK, SUBSCRIBE, Packet, Splitter, packet, text
from tests.support.waiting import wait_until

_RETRY = 0.01  # s between two tries to connect
_CHUNK = 1 << 16


class Witness:
    """Subscribed to `topic_filter` with QoS 0, by MQTT 3.1.1 on a plain socket; connects again until it is closed.

    `pairs` holds topic and payload of each received message, except retained ones.
    """

    def __init__(self, port: int, topic_filter: str = "home/#") -> None:
        self.pairs: list[tuple[str, bytes]] = []
        self._port = port
        self._filter = topic_filter
        self._is_over = threading.Event()
        self._is_subscribed = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="witness")

    def __enter__(self) -> Witness:
        self._thread.start()
        self.wait_subscribed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._hang_up()
        self._thread.join(10)

    def wait_subscribed(self) -> None:
        """Return once it receives all later publications."""
        wait_until(self._is_subscribed.is_set, what="the witness to be subscribed")

    def wait_lost(self) -> None:
        """Return once it has read everything that a killed broker had sent."""
        wait_until(lambda: not self._is_subscribed.is_set(), what="the witness to notice the end of the broker")

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), 10) as self._socket:
                    self._listen(self._socket)
            except OSError:
                pass
            self._is_subscribed.clear()
            self._is_over.wait(_RETRY)

    def _listen(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        sock.sendall(packet(CONNECT, text("MQTT") + b"\x04\x02\0\0" + text("")))  # level 4, clean, no keepalive
        splitter = Splitter()
        while not self._is_over.is_set() and (data := sock.recv(_CHUNK)):
            for received in splitter.feed(data):
                self._on_packet(sock, received)

    def _on_packet(self, sock: socket.socket, received: Packet) -> None:
        if received.kind == CONNACK:
            sock.sendall(packet(SUBSCRIBE, b"\0\1" + text(self._filter) + b"\0", flags=2))
        elif received.kind == SUBACK:
            self._is_subscribed.set()
        elif received.kind == PUBLISH and not received.flags & 1:
            self.pairs.append((received.topic, received.payload))

    def _hang_up(self) -> None:
        sock = self._socket
        try:
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            pass
