"""Wires configuration, map, client, outbox and interfaces together, and runs them until told to stop.

    device -> interface -> Outlet (map) -> Outbox -> MgClient -> broker
    broker -> MgClient -> Router (map) -> MsgList -> interface -> device

The main thread runs the network; each interface has a thread of its own (see ARCHITECTURE.md).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from gateway import demo_broker
from gateway.app_properties import version
from gateway.interface import Interface
from gateway.load_config import Configuration, InterfaceOptions
from gateway.mailbox import MsgList, Wakeup
from gateway.message import Publication
from gateway.mqtt_client import MgClient
from gateway.outbox import Outbox
from gateway.outlet import Outlet
from gateway.router import Route, Router
from gateway.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_STOP_INTERFACES = 1.5  # s for all interfaces to end their turn
_STOP_LINK = 6.0  # s for what still waits to reach the broker; with the above, below 10


class Gateway:
    """A gateway, made from a configuration: `run` it, `stop` it from a signal handler or another thread."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._wakeup = Wakeup()
        options = configuration.outbox
        self.outbox = Outbox(
            options.max_messages,
            options.max_bytes,
            options.discard,
            options.command_lifetime,
            on_put=self._wakeup.set,
        )
        routes: dict[int, Route] = {}
        self.supervisors = [self._supervise(interface, routes) for interface in configuration.interfaces]
        self.router = Router(list(routes.values()))
        self.client = MgClient(
            configuration.mqtt,
            self.outbox,
            self._wakeup,
            filters=self.router.filters,
            on_msg=self.router.deliver,
            availability_topic=configuration.availability_topic(),
        )
        self._stop = False

    def _supervise(self, options: InterfaceOptions, routes: dict[int, Route]) -> Supervisor:
        inbox = MsgList()
        route = routes.setdefault(id(options.msg_map), Route(options.msg_map, {}))
        route.inboxes[options.name] = inbox
        topic = self.configuration.availability_topic(options.name)
        outlet = Outlet(options.name, options.msg_map, self._accept, topic)

        def build() -> Interface:
            return options.cls(options.params, inbox, outlet)  # type: ignore[no-any-return]

        return Supervisor(options.name, build, inbox, outlet)

    def _accept(self, publication: Publication) -> bool:
        """Put `publication` into the outbox; slow its interface down while more comes than the broker takes."""
        is_accepted = self.outbox.put(publication)
        self.outbox.wait_for_room()
        return is_accepted

    def run(self) -> bool:
        """Run until `stop` is called; return whether everything accepted has reached the broker."""
        LOG.info("%s %s started with %s", self.configuration.name, version(), self.configuration.file)
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

    def _shut_down(self) -> bool:
        """Interfaces first, so that their last statuses still go out; then `offline`; then DISCONNECT."""
        LOG.info("stopping")
        for supervisor in self.supervisors:
            supervisor.request_stop()
        deadline = time.monotonic() + _STOP_INTERFACES
        for supervisor in self.supervisors:
            if not supervisor.join(max(0.0, deadline - time.monotonic())):
                LOG.error("%s: the interface does not stop; it is left behind", supervisor.name)
        complete = self.client.mg_stop(_STOP_LINK)
        counts = self.outbox.counts()
        if not complete:
            LOG.error("%d messages did not reach the broker and are lost", counts.waiting + counts.in_flight)
        LOG.info("stopped; out: %s; in: %s", counts, dict(self.router.counts))
        self._wakeup.close()
        return complete


def start_gateway(configuration: Configuration) -> bool:
    """Run a gateway until SIGTERM or SIGINT; a second signal leaves at once. The main thread must call it.

    Returns whether everything that was accepted has reached the broker.
    """
    gateway = Gateway(configuration)
    with _signals_stop(gateway), _threads_logged():
        return gateway.run()


@contextlib.contextmanager
def _signals_stop(gateway: Gateway) -> Iterator[None]:
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os.write(2, b"stopped at once by a second signal\n")
            os._exit(1)
        asked = True
        gateway.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _threads_logged() -> Iterator[None]:
    """Log what a thread that an interface has started itself dies of."""

    def log(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        if args.exc_value is not None:
            LOG.error("thread %s died: %r", name, args.exc_value, exc_info=args.exc_value)

    before, threading.excepthook = threading.excepthook, log
    try:
        yield
    finally:
        threading.excepthook = before
