"""The trial: kills the node that the gateway is on, measures how it goes on, and counts at the end."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt

from tests.cluster.line import DEVICES, Line, interface
from tests.cluster.nodes import NODES, Cluster
from tests.cluster.subscriber import Subscriber, new_client, retained_at
from tests.support.configuration import write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.ledger import Entry, Verdict, entry_of, judge
from tests.support.packets import CONNACK, PUBACK, PUBLISH, Packet
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

_LINKED, _DELIVERED = 60.0, 120.0  # s within which the gateway has another node, and everything is delivered
_STABLE = 31.0  # s after which the gateway trusts a link: it reconnects sooner after the loss of such a one
_CURRENT = 20.0  # s within which the node has the documents as they are
_ELSEWHERE = 5.0  # s within which another node has them, if it ever has
_DOCUMENT = f"home/gw/{DEVICES[0]}/state"


class Kill(NamedTuple):
    """What followed a kill, in seconds after it."""

    node: int
    next_node: int
    link: float
    """until the gateway was connected to the next node"""
    delivered: float
    """until the subscriber received a line that was read after the kill"""
    command: float
    """until a command reached the device"""
    document: float | None
    """until the next node had the document of the device as it is; None: it passed it on, and retained an old one"""
    is_stale_elsewhere: bool
    """whether the third node had an older document than that after all of it"""


class Trial:
    """`kills` kills of a cluster: the same for the same seed, as far as the machine allows."""

    def __init__(self, folder: Path, cluster: Cluster, seed: int, rate: float, say: Callable[[str], None]) -> None:
        self.kills: list[Kill] = []
        self.sessions_lost = 0
        """How often the cluster has forgotten the session of the subscriber."""
        self.sent_out_of_order: list[Entry] = []
        """What the gateway has sent for the first time on a connection after a higher number of its topic."""
        self.waiting_at_end = 0.0
        """Seconds until all was delivered, after the last line."""
        self._folder = folder
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._say = say
        self._line = Line(folder, rate)
        self._proxies = [Proxy(cluster.port(node), on_packet=self._observer(node)) for node in NODES]
        self._subscriber = Subscriber([cluster.port(node) for node in NODES], cluster.protocol)
        self._connacks: list[tuple[float, int]] = []  # when the gateway was connected to which node
        self._in_flight: dict[tuple[int, int, bytes], Entry] = {}
        self._acknowledged: list[Entry] = []
        self._sent: set[tuple[int, int, Entry]] = set()  # by node and connection
        self._highest: dict[tuple[int, int, str], int] = {}  # of these, by device
        self._pings = 0

    def run(self, kills: int) -> Verdict:
        """Return the verdict on all lines."""
        servers = [f"127.0.0.1:{proxy.port}" for proxy in self._proxies]
        conf = write_conf(
            self._folder, 0, mqtt={"servers": servers}, interfaces={"line": interface(self._line.device.path)}
        )
        document = json.loads(conf.read_text())
        del document["mqtt"]["port"]
        conf.write_text(json.dumps(document))
        with contextlib.ExitStack() as stack:
            for proxy in self._proxies:
                stack.enter_context(proxy)
            stack.enter_context(self._subscriber)
            stack.enter_context(self._line)
            gateway = stack.enter_context(GatewayProcess(conf))
            gateway.wait_log("is open")
            wait_until(lambda: self._connacks, _LINKED, lambda: f"the gateway to be connected:\n{gateway.log}")
            self._line.start()
            try:
                for number in range(kills):
                    self._kill()
                    self._say(_words(number + 1, self.kills[-1]))
                self._finish()
            except AssertionError as err:
                raise AssertionError(
                    f"{err}\n{self._verdict()}\nthe log of the gateway:\n{gateway.log[-3000:]}"
                ) from None
            assert "Traceback" not in gateway.log, gateway.log
            return self._verdict()

    @property
    def _node(self) -> int:
        """The node that the gateway is on, or was on last."""
        return self._connacks[-1][1]

    def _kill(self) -> None:
        wait_until(lambda: time.monotonic() - self._connacks[-1][0] >= _STABLE, 2 * _LINKED, "a stable link", 0.1)
        self._line.wait_sent(len(self._line.sent) + self._chance.randint(200, 800))
        node = self._node
        links, ping = len(self._connacks), self._pings + 1
        began = time.monotonic()
        self._cluster.kill(node)
        self._proxies[node].refuse_connections()
        newest = len(self._line.sent) - 1
        wait_until(lambda: len(self._connacks) > links, _LINKED, "the gateway to be connected to another node")
        connected, next_node = self._connacks[links]
        other = next(each for each in NODES if each not in (node, next_node))
        command = self._command(other, ping) - began
        if self._cluster.needs_all_nodes:
            self._revive(node)
        wait_until(lambda: self._subscriber.received_after(newest), _DELIVERED, "a line of after the kill")
        delivered = self._subscriber.received_after(newest) or 0.0
        document = self._document(newest)
        is_stale = self._is_stale(other, newest)
        self.kills.append(
            Kill(
                node,
                next_node,
                connected - began,
                delivered - began,
                command,
                None if document is None else document - began,
                is_stale,
            )
        )
        if not self._cluster.needs_all_nodes:
            self._revive(node)

    def _revive(self, node: int) -> None:
        self._line.wait_sent(len(self._line.sent) + self._chance.randint(0, 1000))
        self._cluster.start(node)
        self._cluster.wait_complete()
        self._proxies[node].accept_connections()

    @contextlib.contextmanager
    def _client(self, node: int) -> Iterator[mqtt.Client]:
        client = new_client(self._cluster.protocol)
        client.connect("127.0.0.1", self._cluster.port(node))
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def _command(self, node: int, first: int) -> float:
        """Send commands by `node` until one reaches the device; return when it did."""

        def arrived() -> bool:
            self._pings += 1
            client.publish(f"home/load///{DEVICES[0]}/tester/C", json.dumps({"action": "PING", "n": self._pings}))
            return self._line.ping_received(first) is not None

        with self._client(node) as client:
            wait_until(arrived, _DELIVERED, "a command to reach the device", pause=0.1)
        return self._line.ping_received(first) or 0.0

    def _document(self, newest: int) -> float | None:
        """Return when the node of the gateway had the document of the device; None if that node is to blame.

        It is if the subscriber has received that document, and so the node, too.
        """
        try:
            wait_until(
                lambda: self._is_current(self._node, newest),
                _CURRENT,
                lambda: f"{_DOCUMENT} at node {self._node} as it is now",
            )
        except AssertionError:
            if not _is_newer(self._subscriber.latest.get(_DOCUMENT), newest):
                raise
            return None
        return time.monotonic()

    def _is_stale(self, node: int, newest: int) -> bool:
        """Return whether a node that the gateway is not on still has an older document, after some time."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._is_current(node, newest), _ELSEWHERE)
            return False
        return True

    def _is_current(self, node: int, newest: int) -> bool:
        """Return whether a node has retained a document of the device that is newer than the line `newest`."""
        return _is_newer(retained_at(self._cluster.port(node), self._cluster.protocol, _DOCUMENT), newest)

    def _finish(self) -> None:
        self._line.stop()
        began = time.monotonic()
        # What is acknowledged and not received is lost by the broker, unless it is still on its way.
        sent = set(self._line.sent)
        wait_until(
            lambda: sent <= {*self._subscriber.entries, *self._acknowledged}, _DELIVERED, "all to be delivered", 0.1
        )
        with contextlib.suppress(AssertionError):
            wait_until(lambda: sent <= set(self._subscriber.entries), _LINKED, "all to be received", 0.1)
        self.waiting_at_end = time.monotonic() - began
        self.sessions_lost = self._subscriber.sessions_lost

    def _verdict(self) -> Verdict:
        return judge(self._line.sent, self._subscriber.entries, self._acknowledged)

    def _observer(self, node: int) -> Callable[[int, bool, Packet], None]:
        def on_packet(connection: int, is_up: bool, packet: Packet) -> None:
            """Record the connections to a node, and its acknowledgements."""
            at = node, connection
            if is_up and packet.kind == PUBLISH and packet.qos and (entry := entry_of(packet.topic, packet.payload)):
                self._in_flight[*at, packet.mid] = entry
                device, number = entry
                if (*at, entry) in self._sent:
                    return
                self._sent.add((*at, entry))
                if number < self._highest.get((*at, device), -1):
                    self.sent_out_of_order.append(entry)
                self._highest[*at, device] = number
            elif not is_up and packet.kind == PUBACK and packet.reason < 0x80:
                acknowledged = self._in_flight.pop((*at, packet.mid), None)
                if acknowledged is not None:
                    self._acknowledged.append(acknowledged)
            elif not is_up and packet.kind == CONNACK and not packet.body[1]:
                self._connacks.append((time.monotonic(), node))

        return on_packet


def _is_newer(document: bytes | None, newest: int) -> bool:
    """Return whether a document of the device is newer than the line `newest`."""
    return document is not None and bool(json.loads(document).get("number", -1) > newest)


def _words(number: int, kill: Kill) -> str:
    stale = ", an old one at the third node" if kill.is_stale_elsewhere else ""
    document = "an old one" if kill.document is None else f"{kill.document:.2f}"
    return (
        f"kill {number}: node {kill.node} -> {kill.next_node}; connected after {kill.link:.2f} s, delivered "
        f"{kill.delivered:.2f}, command {kill.command:.2f}, document {document}{stale}"
    )
