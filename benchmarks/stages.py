"""The processor time of a line: each stage alone, in this process, and their sum.

The last stage needs a socket: one end of a connected pair, whose other end is read by a thread that discards.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable

from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import contenders
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, WrongResultError
from benchmarks.rounds import run_rounds
from benchmarks.topics import STATUS_TOPIC, lines, payloads
from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import interface_schema
from gateway.core.inbox import MsgList
from gateway.message import InternalMsg, Publication
from gateway.mqtt.broker_limits import BrokerLimits
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.sender import Sender
from gateway.outbox.outbox import Outbox
from gateway.routing.outlet import Outlet
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.payload import make_payload
from interfaces.serial_interface import SerialInterface

_CHUNK = 2048  # bytes of a read from a pty
_BATCH = 100  # messages that the outlet passes to the outbox at a time
_SLICE = 1000  # lines
JSON, PASS = "of which JSON", "link: encode, write"
PUT, SEND = "through the outbox: put", "through the outbox: take, encode, write, settle"
_STAGES = ("framing", "decoding", "map", PASS)


def run(lab: Lab) -> None:
    """Print the cost of each stage, and of their sum."""
    count = 5_000 if lab.fast else 20_000
    print(f"stages: {count:,} lines, processor time of each stage alone, from bytes to packets (QoS 0).")
    print("  Messages bypass the outbox, as they do while it is empty; the last two rows are for the way through it.")
    names = (*_STAGES[:3], JSON, PASS, "sum", PUT, SEND)
    run_rounds(lab, {"stages": _Stages(count).measure}, [Metric(name, "us/line", 2) for name in names])


class _Stages:
    def __init__(self, count: int) -> None:
        self._count = count
        self._map = MsgMap("bench", sender="bench", status_qos=0)
        self._write_json = make_payload("action", {name: FieldMap(name) for name in FIELDS}, "value").write
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def measure(self) -> Figures:
        """Run each stage on the result of the previous one, a slice at a time, since a run has no more in memory."""
        self._seconds.clear()
        outbox = Outbox()
        params = fill_defaults(contenders.serial_options("loop://"), interface_schema(SerialInterface))
        interface = SerialInterface(params, MsgList(), Outlet("device", self._map, outbox))
        client = HookedClient(CallbackAPIVersion.VERSION2)
        client._sock = BufferedSocket(discarding_socket())  # type: ignore[assignment]  # a link that is up, without a broker
        sender = Sender(client, outbox, 0.0, time.monotonic)
        sender.link_up("nowhere", BrokerLimits(), is_v5=False)
        sender.begin()
        sender.send_pending()  # a new link first publishes the states
        device_lines, expected = lines(self._count), payloads(self._count)
        for at in range(0, self._count, _SLICE):
            publications = self._translate(interface, b"".join(device_lines[at : at + _SLICE]))
            if [publication[:2] for publication in publications] != [
                (STATUS_TOPIC, payload) for payload in expected[at : at + _SLICE]
            ]:
                raise WrongResultError("the publications are not those of the lines")
            batches = [publications[start : start + _BATCH] for start in range(0, _SLICE, _BATCH)]
            self._timed(PASS, lambda batches=batches: [sender.send_directly(batch) for batch in batches])  # type: ignore[misc]
            self._timed(PUT, lambda batches=batches: [outbox.put_all(batch) for batch in batches])  # type: ignore[misc]
            self._timed(SEND, lambda: _send(sender, client, outbox))
        if (sent := outbox.counts().delivered) != 2 * self._count:
            raise WrongResultError(f"{sent} of {2 * self._count} were sent")
        costs = {name: seconds / self._count * 1e6 for name, seconds in self._seconds.items()}
        return {**costs, "sum": sum(costs[stage] for stage in _STAGES)}

    def _translate(self, interface: SerialInterface, data: bytes) -> list[Publication]:
        frames: list[tuple[bytes, str]] = []
        msgs: list[InternalMsg] = []
        publications: list[Publication] = []
        chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
        feed = interface.session.codec.feed
        self._timed("framing", lambda: frames.extend(frame for chunk in chunks for frame in feed(chunk)))
        self._timed("decoding", lambda: msgs.extend(interface.session.decode_frames(frames, 0.0)))
        self._timed("map", lambda: publications.extend(map(self._map.internal2mqtt, msgs)))
        self._timed(JSON, lambda: [self._write_json(msg.action, msg.arguments) for msg in msgs])
        return publications

    def _timed(self, name: str, work: Callable[[], object]) -> None:
        start = time.thread_time()
        work()
        self._seconds[name] += time.thread_time() - start


def _send(sender: Sender, client: HookedClient, outbox: Outbox) -> None:
    """Send the waiting messages, as the main thread does."""
    while len(outbox):
        sender.send_pending()
        client.loop_write()
        sender.settle()


def discarding_socket() -> socket.socket:
    """Return a socket whose other end is read by a thread that discards everything."""
    ours, theirs = socket.socketpair()

    def discard() -> None:
        with theirs:
            while theirs.recv(1 << 18):
                pass

    threading.Thread(target=discard, daemon=True).start()
    return ours
