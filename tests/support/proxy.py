"""The network between gateway and broker, as its script says: slow, in pieces, hanging, cut off.

    with Proxy(broker.port, Passage(up=Way(after_packets=20, end="reset")), Passage()) as proxy:
        ...                     # the first connection is reset after 20 packets, all others are left alone

Each connection follows one passage of the script, in the order in which they come; the last is repeated. What
is random has a seed.
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
_TICK = 0.02  # s between two pieces where a rate is kept


@dataclass(frozen=True)
class Way:
    """What happens to what passes in one direction of a connection.

    `longest` (bytes; 0: any) bounds the pieces, whose lengths are random; `rate` (bytes/s; 0: any) how fast they
    pass; the first waits `delay` s, and what comes after `pause_after` bytes `pause` s. After `after_bytes` or
    `after_packets`, whichever comes first, this is the `end`: both directions are closed or reset, or this one swallows
    what comes and says nothing (`hang`).
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
    """What happens on one connection: on the way up to the broker, and down from it."""

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
        self._joints: list[_Joint] = []
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
        self.go_on()
        self.cut()
        for thread in self._threads:
            thread.join(_DEADLINE)

    # --- what a test does to all connections

    def hang(self) -> None:
        """Pass nothing on, and close nothing."""
        self._passes.clear()

    def go_on(self) -> None:
        """Pass on again, also what has come meanwhile."""
        self._passes.set()

    def cut(self, *, reset: bool = False) -> None:
        """Close all connections, or reset them."""
        for joint in list(self._joints):
            joint.end(reset=reset)

    def shut(self) -> None:
        """Cut all connections, and close new ones at once, until `open` is called."""
        self._accepts.clear()
        self.cut()

    def open(self) -> None:
        """Take connections again."""
        self._accepts.set()

    # --- its threads

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._joints = [joint for joint in self._joints if joint.is_open]
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
        joint = _Joint(self.connections, client, broker, self._on_packet)
        self.connections += 1
        self._joints.append(joint)
        for is_up, way in ((True, passage.up), (False, passage.down)):
            name = f"proxy {'up' if is_up else 'down'}"
            thread = threading.Thread(target=self._pass, args=(way, joint, is_up), name=name)
            self._threads.append(thread)
            thread.start()

    def _pass(self, way: Way, joint: _Joint, is_up: bool) -> None:
        chance = random.Random(f"{self._seed} {joint.number} {is_up}")
        source, target = (joint.client, joint.broker) if is_up else (joint.broker, joint.client)
        limits = _Limits(way)
        until_pause = way.pause_after
        with contextlib.suppress(OSError):  # the other direction has ended, or the test is over
            while data := source.recv(_CHUNK):
                if limits.is_first:
                    self._is_over.wait(way.delay)
                if way.pause and until_pause >= 0 > until_pause - len(data):
                    self._is_over.wait(way.pause)
                until_pause -= len(data)
                self._send(way, target, limits.take(data, joint.see(is_up, data)), chance)
                if limits.is_reached:
                    while way.end == "hang" and source.recv(_CHUNK):
                        pass
                    break
        joint.end(reset=limits.is_reached and way.end == "reset")
        joint.leave()

    def _send(self, way: Way, target: socket.socket, data: bytes, chance: random.Random) -> None:
        while data:
            size = len(data)
            if way.rate:
                size = max(1, int(way.rate * _TICK))
            if way.longest:
                size = min(size, chance.randint(1, way.longest))
            self._passes.wait(_DEADLINE)
            target.sendall(data[:size])
            if way.rate and self._is_over.wait(min(size, len(data)) / way.rate):
                return
            data = data[size:]


class _Limits:
    """Counts what passes in one direction."""

    def __init__(self, way: Way) -> None:
        self._bytes = way.after_bytes
        self._packets = way.after_packets
        self.is_first = True
        self.is_reached = False

    def take(self, data: bytes, ends: list[int]) -> bytes:
        """Return what of `data` may pass; `ends` is where packets end in it."""
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


class _Joint:
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
        self._rests = {True: 0, False: 0}  # bytes of a packet that is not complete yet
        self._is_mqtt: bool | None = None  # not known before the client has said something
        self._lock = threading.Lock()
        self._is_reset = False
        self._users = 2  # threads
        for sock in (client, broker):
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def see(self, is_up: bool, data: bytes) -> list[int]:
        """Return where in `data` packets end; nowhere, if the client did not begin with CONNECT, as with TLS."""
        if self._is_mqtt is None:
            self._is_mqtt = is_up and data[0] == CONNECT << 4  # a handshake of TLS begins with 0x16
        if not self._is_mqtt:
            return []
        found = self._splitters[is_up].feed(data)
        self._splitters[False].version = self._splitters[True].version
        ends, at = [], -self._rests[is_up]
        for each in found:
            at += each.size
            ends.append(at)
            if self._on_packet is not None:
                self._on_packet(self.number, is_up, each)
        self._rests[is_up] = len(data) - at
        return ends

    def end(self, *, reset: bool = False) -> None:
        """End both directions, whose threads then leave; the last one closes, and that resets what is to be reset."""
        with self._lock:
            self._is_reset = self._is_reset or reset
            for sock in (self.client, self.broker):
                with contextlib.suppress(OSError):  # this one has gone, the other may not
                    if self._is_reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD if self._is_reset else socket.SHUT_RDWR)

    def leave(self) -> None:
        """Close the sockets when both threads have left."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.is_open = False
                self.client.close()
                self.broker.close()
