"""A scripted network between gateway and broker: slow, in small chunks, hanging, or cut off.

    with Proxy(broker.port, Passage(up=Way(after_packets=20, end="reset")), Passage()) as proxy:
        ...                     # the first connection is reset after 20 packets, all others pass unchanged

Each connection follows one passage of the script, in the order of their arrival; the last is repeated. Random
values have a seed.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from tests.support.packets import CONNECT, Packet, Splitter

_CHUNK = 1 << 16
_DEADLINE = 20.0  # s; no test takes that long
_TICK = 0.02  # s between two chunks if there is a rate


@dataclass(frozen=True)
class Way:
    """The treatment of the bytes in one direction of a connection.

    `longest` (bytes; 0: any) limits the length of the chunks, which is random; `rate` (bytes/s; 0: any) limits the
    throughput; the first chunk is delayed by `delay` s, and the bytes after `pause_after` bytes by `pause` s. After
    `after_bytes` or `after_packets`, whichever comes first, `end` follows: both directions are closed or reset, or
    this one discards all further bytes silently (`hang`).
    """

    longest: int = 0
    rate: float = 0.0
    delay: float = 0.0
    pause: float = 0.0
    pause_after: int = 0
    after_bytes: int | None = None
    after_packets: int | None = None
    end: Literal["close", "reset", "hang"] = "close"


@dataclass(frozen=True)
class Passage:
    """The treatment of one connection: up to the broker, and down from it."""

    up: Way = Way()
    down: Way = Way()


class Proxy:
    """Listens on `port` of the loopback for connections to the broker at `broker_port`.

    `on_packet(number of the connection, is up, packet)` is called for each packet before it is passed on, in
    the thread of its direction.
    """

    def __init__(
        self,
        broker_port: int,
        *script: Passage,
        seed: int = 1,
        on_packet: Callable[[int, bool, Packet], None] | None = None,
    ) -> None:
        self._broker_port = broker_port
        self._script = script or (Passage(),)
        self._seed = seed
        self._on_packet = on_packet
        self._threads: list[threading.Thread] = []
        self._open_connections: list[_ProxiedConnection] = []
        self._is_over = threading.Event()
        self._passes = threading.Event()
        self._passes.set()
        self._accepts = threading.Event()
        self._accepts.set()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, name="proxy")

    def __enter__(self) -> Proxy:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._accepting.join(_DEADLINE)
        self._listener.close()
        self.resume()
        self.cut()
        for thread in self._threads:
            thread.join(_DEADLINE)

    # --- methods for tests, which affect all connections

    def hang(self) -> None:
        """Forward nothing, and close nothing."""
        self._passes.clear()

    def resume(self) -> None:
        """Forward again, also the bytes that have arrived meanwhile."""
        self._passes.set()

    def cut(self, *, reset: bool = False) -> None:
        """Close all connections, or reset them."""
        for connection in list(self._open_connections):
            connection.end(reset=reset)

    def refuse_connections(self) -> None:
        """Cut all connections, and close new ones immediately, until `accept_connections` is called."""
        self._accepts.clear()
        self.cut()

    def accept_connections(self) -> None:
        """Accept connections again."""
        self._accepts.set()

    # --- its threads

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open_connections = [connection for connection in self._open_connections if connection.is_open]
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            try:
                if not self._accepts.is_set():
                    raise ConnectionRefusedError
                broker = socket.create_connection(("127.0.0.1", self._broker_port), 5)
            except OSError:
                client.close()
                continue
            self._join(client, broker)

    def _join(self, client: socket.socket, broker: socket.socket) -> None:
        passage = self._script[min(self.connections, len(self._script) - 1)]
        connection = _ProxiedConnection(self.connections, client, broker, self._on_packet)
        self.connections += 1
        self._open_connections.append(connection)
        for is_up, way in ((True, passage.up), (False, passage.down)):
            name = f"proxy {'up' if is_up else 'down'}"
            thread = threading.Thread(target=self._pass, args=(way, connection, is_up), name=name)
            self._threads.append(thread)
            thread.start()

    def _pass(self, way: Way, connection: _ProxiedConnection, is_up: bool) -> None:
        generator = random.Random(f"{self._seed} {connection.number} {is_up}")
        source, target = (connection.client, connection.broker) if is_up else (connection.broker, connection.client)
        limits = _Limits(way)
        until_pause = way.pause_after
        with contextlib.suppress(OSError):  # the other direction has ended, or the test is over
            while data := source.recv(_CHUNK):
                if limits.is_first:
                    self._is_over.wait(way.delay)
                if way.pause and until_pause >= 0 > until_pause - len(data):
                    self._is_over.wait(way.pause)
                until_pause -= len(data)
                self._send(way, target, limits.allow(data, connection.scan(is_up, data)), generator)
                if limits.is_reached:
                    while way.end == "hang" and source.recv(_CHUNK):
                        pass
                    break
        connection.end(reset=limits.is_reached and way.end == "reset")
        connection.leave()

    def _send(self, way: Way, target: socket.socket, data: bytes, generator: random.Random) -> None:
        while data:
            size = len(data)
            if way.rate:
                size = max(1, int(way.rate * _TICK))
            if way.longest:
                size = min(size, generator.randint(1, way.longest))
            self._passes.wait(_DEADLINE)
            target.sendall(data[:size])
            if way.rate and self._is_over.wait(min(size, len(data)) / way.rate):
                return
            data = data[size:]


class _Limits:
    """Counts the bytes and packets of one direction."""

    def __init__(self, way: Way) -> None:
        self._bytes = way.after_bytes
        self._packets = way.after_packets
        self.is_first = True
        self.is_reached = False

    def allow(self, data: bytes, ends: list[int]) -> bytes:
        """Return the part of `data` that may pass; `ends` are the ends of packets in it."""
        self.is_first = False
        size = len(data)
        if self._bytes is not None:
            size = min(size, self._bytes)
            self._bytes -= size
        if self._packets is not None and len(ends) >= self._packets:
            size = min(size, ends[self._packets - 1] if self._packets else 0)
            self._packets = 0
        elif self._packets is not None:
            self._packets -= len(ends)
        self.is_reached = 0 in (self._bytes, self._packets)
        return data[:size]


class _ProxiedConnection:
    """One connection: its two sockets, and the packets on them."""

    def __init__(
        self,
        number: int,
        client: socket.socket,
        broker: socket.socket,
        on_packet: Callable[[int, bool, Packet], None] | None,
    ) -> None:
        self.number = number
        self.client = client
        self.broker = broker
        self.is_open = True
        self._on_packet = on_packet
        self._splitters = {True: Splitter(), False: Splitter()}
        self._incomplete = {True: 0, False: 0}  # bytes of a packet that is not complete yet
        self._is_mqtt: bool | None = None  # unknown until the client has sent something
        self._lock = threading.Lock()
        self._is_reset = False
        self._users = 2  # threads
        for sock in (client, broker):
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def scan(self, is_up: bool, data: bytes) -> list[int]:
        """Return the ends of packets in `data`; none, if the client did not start with CONNECT, as with TLS."""
        if self._is_mqtt is None:
            self._is_mqtt = is_up and data[0] == CONNECT << 4  # a handshake of TLS begins with 0x16
        if not self._is_mqtt:
            return []
        packets = self._splitters[is_up].feed(data)
        self._splitters[False].version = self._splitters[True].version
        ends, at = [], -self._incomplete[is_up]
        for each in packets:
            at += each.size
            ends.append(at)
            if self._on_packet is not None:
                self._on_packet(self.number, is_up, each)
        self._incomplete[is_up] = len(data) - at
        return ends

    def end(self, *, reset: bool = False) -> None:
        """End both directions, so that their threads end; the last one closes or resets the sockets."""
        with self._lock:
            self._is_reset = self._is_reset or reset
            for sock in (self.client, self.broker):
                with contextlib.suppress(OSError):  # this one is closed; the other may be open
                    if self._is_reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD if self._is_reset else socket.SHUT_RDWR)

    def leave(self) -> None:
        """Close the sockets when both threads have ended."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.is_open = False
                self.client.close()
                self.broker.close()
