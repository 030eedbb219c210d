"""Where the time of a line goes: each stage by itself, in this process, and their sum against the whole path.

The last two stages need a socket: a connected pair, whose other end is read by a thread that discards.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import contenders
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, WrongResultError
from benchmarks.rounds import run_rounds
from benchmarks.topics import lines, payloads
from gateway.message import InternalMsg, Publication
from gateway.mqtt_map import MsgMap
from gateway.outbox import Outbox
from gateway.outlet import Outlet
from gateway.schema_check import fill_defaults
from interfaces.serial_interface import SerialInterface
from interfaces.serial_rules import SerialRules

_CHUNK = 4096  # bytes of a read from a pty
_BATCH = 100  # publications taken from the outbox at a time


def run(lab: Lab) -> None:
    """Print the cost of each stage, of their sum, and of the stages in one piece."""
    count = 5_000 if lab.fast else 20_000
    print(f"stages: {count:,} lines, processor time of each stage by itself, from bytes to packets.")
    params = fill_defaults(contenders.serial_options("loop://"), SerialInterface.SCHEMA)
    stages = _Stages(SerialRules(params), MsgMap("bench", sender="bench", status_qos=0), count)
    names = (
        "framing",
        "decoding",
        "map, JSON included",
        "JSON alone",
        "hand-over and outbox",
        "socket, one write for each",
    )
    metrics = [
        Metric(name, "us/line", 2) for name in (*names, "paho, socket included", "sum", "device to outbox, in one")
    ]
    run_rounds(lab, {"stages": stages.measure}, metrics)


class _Stages:
    def __init__(self, rules: SerialRules, msg_map: MsgMap, count: int) -> None:
        self._rules, self._map, self._count = rules, msg_map, count
        self._data = b"".join(lines(count))

    def measure(self) -> Figures:
        """Run each stage on what the one before has made."""
        found: dict[str, float] = {}

        def timed(name: str, work: Callable[[], object]) -> None:
            start = time.thread_time()
            work()
            found[name] = (time.thread_time() - start) / self._count * 1e6

        frames: list[bytes] = []
        msgs: list[InternalMsg] = []
        publications: list[Publication] = []
        decode, write = self._rules.decoder.decode, self._map.internal2mqtt
        timed("framing", lambda: frames.extend(self._framed()))
        timed("decoding", lambda: msgs.extend(msg for frame in frames for msg in decode(frame, 0.0) or ()))
        timed("map, JSON included", lambda: publications.extend(map(write, msgs)))
        dumps = json.dumps
        timed("JSON alone", lambda: [dumps({"action": msg.action, **msg.arguments}) for msg in msgs])
        if [publication.payload for publication in publications] != payloads(self._count):
            raise WrongResultError("what comes out is not what went in")
        outbox = Outbox()
        timed("hand-over and outbox", lambda: self._pass(outbox, publications))
        link = _discarded()
        send = link.send
        timed("socket, one write for each", lambda: [send(publication.payload) for publication in publications])
        client = _client(link)
        timed("paho, socket included", lambda: [client.publish(p.topic, p.payload, 0) for p in publications])
        parts = ("framing", "decoding", "map, JSON included", "hand-over and outbox", "paho, socket included")
        found["sum"] = sum(found[part] for part in parts)
        outlet = Outlet("device", self._map, outbox)
        timed(
            "device to outbox, in one",
            lambda: [outlet.push(msg) for f in self._framed() for msg in decode(f, 0.0) or ()],
        )
        return found

    def _framed(self) -> list[bytes]:
        chunks = range(0, len(self._data), _CHUNK)
        return [frame for at in chunks for frame, _ in self._rules.wire.feed(self._data[at : at + _CHUNK])]

    def _pass(self, outbox: Outbox, publications: list[Publication]) -> None:
        """Put all, take all, settle all, as interface and main thread do between them."""
        for at in range(0, len(publications), _BATCH):
            for publication in publications[at : at + _BATCH]:
                outbox.put(publication)
            while entries := outbox.take(_BATCH):
                outbox.settle(entries)


def _discarded() -> socket.socket:
    """Return a socket whose other end is read by a thread, and nothing made of it."""
    ours, theirs = socket.socketpair()

    def discard() -> None:
        with theirs:
            while theirs.recv(1 << 18):
                pass

    threading.Thread(target=discard, daemon=True).start()
    return ours


def _client(link: socket.socket) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client._sock = link  # a link that is up, without a broker; the client closes it when it goes
    client.on_socket_register_write = lambda *_: None
    return client
