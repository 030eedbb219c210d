"""Wires configuration, map, client, outbox and interfaces together, and runs them until told to stop.

    device -> interface -> Outlet (filters, map) -> Outbox -> MgClient -> broker
    broker -> MgClient -> Router (map, guard, filters) -> MsgList -> interface -> device

The main thread runs the network; each interface has a thread of its own (see ARCHITECTURE.md).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from gateway import demo_broker
from gateway.app_properties import version
from gateway.command_guard import CommandGuard
from gateway.durable_outbox import DurableOutbox
from gateway.interface import Interface
from gateway.load_config import Configuration, InterfaceOptions, OutboxOptions
from gateway.mailbox import MsgList, Wakeup
from gateway.message import OFFLINE, ONLINE, Lane, Publication
from gateway.mqtt_client import LinkState, MgClient
from gateway.outbox import Outbox
from gateway.outbox_store import open_store
from gateway.outbox_writer import OutboxWriter
from gateway.outlet import Outlet
from gateway.retained import orphans
from gateway.router import Route, Router
from gateway.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_STOP_INTERFACES = 1.5  # s for all interfaces to end their turn
_SAME_SIGNAL = 0.2  # s; timeout(1) and some supervisors send one signal twice, to the process and to its group
_STOP_LINK = 6.0  # s for what still waits to reach the broker; with the above, below 10


class Gateway:
    """A gateway, made from a configuration: `run` it, `stop` it from a signal handler or another thread."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._wakeup = Wakeup(for_signals=True)
        self.outbox, self._writer = _open_outbox(configuration.outbox, self._wakeup.set)
        routes: dict[int, Route] = {}
        self.outlets: list[Outlet] = []
        self.supervisors = [self._supervise(interface, routes) for interface in configuration.interfaces]
        self.router = Router(
            list(routes.values()), answer=self.outbox.put, own_topics=configuration.availability_topics
        )
        self.client = MgClient(
            configuration.mqtt,
            self.outbox,
            self._wakeup,
            filters=self.router.filters,
            on_msg=self.router.deliver,
            availability_topic=configuration.availability_topic(),
            command_lifetime=configuration.outbox.command_lifetime,
            # Interfaces with senders of their own hear one another, by way of the broker.
            no_local=len({interface.msg_map.sender for interface in configuration.interfaces}) == 1,
        )
        self._remove_orphans()
        self._stop = False

    def _supervise(self, options: InterfaceOptions, routes: dict[int, Route]) -> Supervisor:
        inbox = MsgList()
        new = Route(options.msg_map, {}, guard=CommandGuard(self.configuration.commands))
        route = routes.setdefault(id(options.msg_map), new)
        route.inboxes[options.name] = inbox
        route.filters[options.name] = options.filters.incoming
        topic = self.configuration.availability_topic(options.name)

        def say_available(is_available: bool) -> None:
            self.client.set_state(topic, ONLINE if is_available else OFFLINE)

        outlet = Outlet(
            options.name,
            options.msg_map,
            self.outbox,
            say_available,
            filters=options.filters.outgoing,
            note_sent=route.loops.note_sent,
        )
        self.outlets.append(outlet)

        def build() -> Interface:
            return options.cls(options.params, inbox, outlet)  # type: ignore[no-any-return]

        return Supervisor(options.name, build, inbox, outlet)

    def _remove_orphans(self) -> None:
        """Have the broker forget what an earlier run, with another map, had retained."""
        configuration = self.configuration
        states = [configuration.availability_topic(name) for name in ("", *(i.name for i in configuration.interfaces))]
        maps = dict.fromkeys(interface.msg_map for interface in configuration.interfaces)
        for topic in (found := list(orphans(self.outbox.retained, maps, states))):
            self.outbox.put(Publication(topic, b"", qos=1, retain=True, lane=Lane.LATEST))
        if found:
            LOG.info(
                "removed from the broker: %d retained topics of another map (%s)", len(found), ", ".join(found[:5])
            )
        for topic in states:
            self.outbox.remember(topic, OFFLINE)  # the last of it, said by the client itself

    def run(self) -> bool:
        """Run until `stop` is called; return whether everything accepted has reached the broker."""
        LOG.info("%s %s started with %s", self.configuration.name, version(), self.configuration.file)
        for note in self.configuration.notes:  # an old file mostly has the level of warnings, and would not get them
            LOG.log(logging.INFO if LOG.isEnabledFor(logging.INFO) else logging.WARNING, "%s", note)
        if self._writer is not None:
            self._writer.start()
        with demo_broker.running_if_wanted(self.configuration.mqtt, lambda: self._stop):
            self.client.mg_connect()
            for supervisor in self.supervisors:
                supervisor.start()
            while not self._stop:
                self.client.loop_with_reconnect()
            return self._shut_down()

    def stop(self) -> None:
        """Ask `run` to end; returns at once."""
        self._stop = True
        self._wakeup.set()

    def signal_fileno(self) -> int:
        """Return the descriptor for `signal.set_wakeup_fd`: `run` then looks at once whether to stop."""
        return self._wakeup.signal_fileno()

    def close(self) -> None:
        """Give back what `run` has used, once nothing can call `stop` any more."""
        self._wakeup.close()

    def _shut_down(self) -> bool:
        """Interfaces first, so that their last statuses still go out; then `offline`; then DISCONNECT."""
        LOG.info("stopping")
        for supervisor in self.supervisors:
            supervisor.request_stop()
        deadline = time.monotonic() + _STOP_INTERFACES
        for supervisor in self.supervisors:
            if not supervisor.join(max(0.0, deadline - time.monotonic())):
                LOG.error("%s: the interface does not stop; it is left behind", supervisor.name)
        # What is on disk need not wait for a broker that is not there.
        is_up = self.client.link_state is LinkState.UP
        self.client.mg_stop(_STOP_LINK if is_up or not self.outbox.is_durable else 0.0)
        counts = self.outbox.counts()
        lost = left = counts.waiting + counts.in_flight
        if self._writer is not None:
            lost = self._writer.close()
            if left > lost:
                LOG.info("%d messages wait on disk for the next start", left - lost)
        if lost:
            LOG.error("%d messages did not reach the broker and are lost", lost)
        received = ", ".join(f"{number} {what}" for what, number in self.router.counts.items())
        refused = sum(outlet.refused for outlet in self.outlets)
        sent = f"{counts}, {refused} refused" if refused else counts
        LOG.info("stopped; sent: %s; received: %s", sent, received or "nothing")
        return not lost


def _open_outbox(options: OutboxOptions, on_put: Callable[[], None]) -> tuple[Outbox, OutboxWriter | None]:
    """Return the outbox, and what keeps it on disk, if that is wanted. Raises `StoreError`."""
    limits = (
        options.max_messages,
        options.max_bytes,
        options.discard,
        options.command_lifetime,
        options.status_lifetime,
        on_put,
    )
    if options.file is None:
        return Outbox(*limits), None
    outbox = DurableOutbox(*limits, commit_interval=options.commit_interval)
    return outbox, OutboxWriter(outbox, open_store(options.file, LOG.error))


def start_gateway(configuration: Configuration) -> bool:
    """Run a gateway until SIGTERM or SIGINT; a second signal leaves at once. The main thread must call it.

    Returns whether everything that was accepted has reached the broker.
    """
    gateway = Gateway(configuration)
    try:
        with _signals_stop(gateway), _threads_logged():
            return gateway.run()
    finally:
        gateway.close()


@contextlib.contextmanager
def _signals_stop(gateway: Gateway) -> Iterator[None]:
    first: tuple[int, float] | None = None  # signal and time

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None:
            first = (number, now)
            gateway.stop()
        elif number != first[0] or now - first[1] > _SAME_SIGNAL:
            os.write(2, b"stopped at once by a second signal\n")
            os._exit(1)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    # Python runs the handler in the main thread, once that runs Python code: it must not begin to wait before.
    woken_before = signal.set_wakeup_fd(gateway.signal_fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _threads_logged() -> Iterator[None]:
    """Log what a thread that an interface has started itself dies of."""

    def log(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):  # it meant to end
            LOG.error("thread %s died: %r", name, args.exc_value, exc_info=args.exc_value)

    before, threading.excepthook = threading.excepthook, log
    try:
        yield
    finally:
        threading.excepthook = before
