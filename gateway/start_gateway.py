"""Wires configuration, map, client, outbox and interfaces together, and runs them until told to stop.

    device -> interface -> Outlet (filters, map) -> Outbox -> MgClient -> broker
    broker -> MgClient -> Router (map, guard, filters) -> MsgList -> interface -> device

The main thread runs the network; each interface has a thread of its own (see ARCHITECTURE.md).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.configuration.settings import Configuration, InterfaceOptions, OutboxOptions
from gateway.core.inbox import Room, Wakeup
from gateway.early_signals import EarlySignals
from gateway.errors import ConfigurationError, GatewayError
from gateway.logs.init_logger import init_logger
from gateway.message import OFFLINE, Lane, Publication
from gateway.mqtt.client import MgClient
from gateway.mqtt.link_state import LinkState
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.outbox import Outbox
from gateway.routing.router import Route, Router
from gateway.routing.stale_retained import stale_topics
from gateway.runtime.interface_host import InterfaceHost, routes_of
from gateway.runtime.process_limits import apply_process_limits
from gateway.runtime.reloader import Reloader
from gateway.runtime.watch import Watch

if TYPE_CHECKING:
    from gateway.control.protocol import Answer
    from gateway.control.server import ControlServer
    from gateway.outbox.writer import OutboxWriter

LOG = logging.getLogger(__name__)

_FINDINGS = 20  # lines that say what is wrong with a configuration
_STOP_INTERFACES = 1.5  # s for all interfaces to end their turn
_SAME_SIGNAL = 0.2  # s; timeout(1) and some supervisors send one signal twice, to the process and to its group
_STOP_LINK = 6.0  # s for what still waits to reach the broker; with the above, below 10


class Gateway:
    """A gateway, made from a configuration: `run` it, `reload` and `stop` it from a signal handler or another thread.

    `load` reads the configuration again, for `reload`. Raises `GatewayError` if there are too many interfaces for
    the limits of the process.
    """

    def __init__(self, configuration: Configuration, load: Callable[[], Configuration] | None = None) -> None:
        apply_process_limits(len(configuration.interfaces))
        self.configuration = configuration
        self._wakeup = Wakeup(for_signals=True)
        self._reloader = Reloader(load or (lambda: configuration), self._wakeup.set)
        self._is_reload_wanted = False
        self._reload_answers: list[tuple[int, Answer]] = []  # with the time of reading that they wait for
        self.started = time.monotonic()
        self._retired: list[InterfaceHost] = []  # taken out of the configuration; their threads may not have ended yet
        self._refused_before = 0  # by the outlets of those that have ended
        self._room = Room()
        self._known_routes: list[Route] = []
        self._control: ControlServer | None = None
        self._watch = Watch(self._looks)
        self.outbox, self.writer = _open_outbox(configuration.outbox)
        self.stations = {options.name: self._station(options) for options in configuration.interfaces}
        self.router = Router(answer=self.outbox.put)
        self.router.use(self._routes(), configuration.availability_topics, configuration.response_topics)
        self.client = MgClient(
            configuration.mqtt,
            self.outbox,
            self._wakeup,
            on_msg=self.router.deliver,
            availability_topic=configuration.availability_topic(),
            run_topic=configuration.run_topic,
            command_lifetime=configuration.outbox.command_lifetime,
        )
        self.outbox.attach(self.client.transmitter)
        self._subscribe()
        self._remove_orphans()
        self._stop = False

    @property
    def received(self) -> dict[str, int]:
        """How many messages the broker has sent, and what became of them, by its name. Any thread may ask."""
        return {**self.router.counts, **self.client.receive_counts}

    def _subscribe(self) -> None:
        maps = [station.options.msg_map for station in self.stations.values()]
        replays = self.configuration.replays
        self.client.mg_subscribe(
            self.router.filters,
            # All else that is retained, or has waited, is either a command, and refused, or an old status.
            wants_retained=replays,
            wants_session=replays,
            # Interfaces with senders of their own hear one another, by way of the broker.
            no_local=len({msg_map.sender for msg_map in maps}) == 1,
            max_age=self.configuration.commands.max_age,
        )

    def _station(self, options: InterfaceOptions) -> InterfaceHost:
        topic = self.configuration.availability_topic(options.name)
        return InterfaceHost(options, self.outbox, lambda payload: self.client.set_state(topic, payload), self._room)

    def _looks(self) -> Iterator[Callable[[], None]]:
        """Yield what is to look after itself every few seconds."""
        yield from [station.look for station in (*self.stations.values(), *self._retired)]
        if self.writer is not None:
            yield self.writer.look
        if self._control is not None:
            yield self._control.look

    def _routes(self) -> list[Route]:
        self._known_routes = routes_of(self.stations.values(), self.configuration.commands, self._known_routes)
        return self._known_routes

    def _remove_orphans(self) -> None:
        """Have the broker forget what an earlier run, with another map, had retained."""
        configuration = self.configuration
        states = [configuration.availability_topic(name) for name in ("", *(i.name for i in configuration.interfaces))]
        states.append(configuration.run_topic)
        maps = dict.fromkeys(interface.msg_map for interface in configuration.interfaces)
        for topic in (found := list(stale_topics(self.outbox.retained, maps, states))):
            self.outbox.put(Publication(topic, b"", qos=1, retain=True, lane=Lane.LATEST))
        if found:
            LOG.info(
                "removed from the broker: %d retained topics of another map (%s)", len(found), ", ".join(found[:5])
            )
        for topic in states:
            self.outbox.remember(topic, OFFLINE)  # the last of it, said by the client itself

    def run(self) -> bool:
        """Run until `stop` is called; return whether everything accepted has reached the broker."""
        LOG.info("%s %s started with %s", self.configuration.name, __version__, self.configuration.file)
        for warning in self.configuration.warnings:
            LOG.warning("%s", warning)
        for note in self.configuration.notes:  # an old file mostly has the level of warnings, and would not get them
            LOG.log(logging.INFO if LOG.isEnabledFor(logging.INFO) else logging.WARNING, "%s", note)
        if self.writer is not None:
            self.writer.start()
        with self._demo_broker():
            self.client.mg_connect()
            self._start_stations()
            control = self._control = self._open_control()
            # Nearly all that is loaded stays: looking through it for garbage takes milliseconds. What a reload leaves
            # of it in cycles is not freed; that is once.
            gc.freeze()
            try:
                while not self._stop:
                    self._look_for_reload()
                    if control is not None and control.has_requests:
                        control.run_requests()
                    self.client.loop_with_reconnect()
                    self._watch.look()
                    self._forget_retired()
            finally:
                self._control = None
                if control is not None:
                    control.close()
            return self._shut_down()

    def _open_control(self) -> ControlServer | None:
        from gateway.runtime.requests import open_control  # by now the link and the devices are being opened

        return open_control(self, self._wakeup, os.environ)

    def _demo_broker(self) -> contextlib.AbstractContextManager[None]:
        if not self.configuration.mqtt.demo_broker:
            return contextlib.nullcontext()
        from gateway.runtime import demo_broker  # with what starts processes, which nobody else needs

        return demo_broker.running_if_needed(self.configuration.mqtt, lambda: self._stop)

    def reload(self) -> None:
        """Ask `run` to read the configuration again, and to go on with it if it is right; returns at once."""
        self._is_reload_wanted = True
        self._wakeup.set()

    def reload_for(self, answer: Answer) -> None:
        """Do as `reload` does, and give `answer` what has come of it. The main thread calls it."""
        self._reload_answers.append((self._reloader.ask(), answer))

    def _look_for_reload(self) -> None:
        if self._is_reload_wanted:
            self._is_reload_wanted = False
            self._reloader.ask()
        fresh = self._reloader.take()
        if fresh is None:
            return
        done = [answer for number, answer in self._reload_answers if number <= self._reloader.taken]
        self._reload_answers = self._reload_answers[len(done) :]
        if isinstance(fresh, Configuration) and fresh.name != self.configuration.name:
            fresh = GatewayError(f"the name cannot become {fresh.name!a} while it runs: start it anew")
        if isinstance(fresh, Configuration):
            try:
                apply_process_limits(len(fresh.interfaces))
            except GatewayError as err:
                fresh = err
        if isinstance(fresh, GatewayError):
            lines = str(fresh).splitlines()
            for line in lines[:_FINDINGS]:
                LOG.error("not reloaded: %s", line)
            more = [f"... and {len(lines) - _FINDINGS} more"] if len(lines) > _FINDINGS else []
            for answer in done:
                answer.refuse("\n".join(["not reloaded, all stays as it was:", *lines[:_FINDINGS], *more]),
                              is_configuration_wrong=isinstance(fresh, ConfigurationError))  # fmt: skip
            return
        before = self.configuration
        summary = self._take_over(fresh)
        LOG.info("reloaded %s: %s", fresh.file, summary)
        for warning in set(fresh.warnings) - set(before.warnings):
            LOG.warning("%s", warning)
        for answer in done:
            answer({"file": str(fresh.file), "changes": summary})

    def _take_over(self, fresh: Configuration) -> str:
        """Go on with another configuration; return what is new.

        The links to devices and broker stay. What only a start can change is said.
        """
        before = self.configuration
        later = [what for what, old, new in (
            ("mqtt", before.mqtt, fresh.mqtt), ("outbox", before.outbox, fresh.outbox),
            ("the root of availability", before.root, fresh.root),
        ) if old != new]  # fmt: skip
        self.configuration = fresh._replace(mqtt=before.mqtt, outbox=before.outbox, root=before.root)
        changes = ["commands"] if fresh.commands != before.commands else []
        changes += self._take_over_log(before)
        stations, found = dict(self.stations), {}
        for options in fresh.interfaces:
            station = stations.pop(options.name, None)
            if station is None:
                station = self._station(options)
                station.start()
                changes.append(f"{options.name} is new")
            else:
                news = station.reconfigure(options)
                changes += [f"{options.name}: {', '.join(news)}"] if news else []
            found[options.name] = station
        self.stations = found  # as a whole: other threads look at them meanwhile
        for name, station in stations.items():
            station.retire()
            self._retired.append(station)
            self.client.forget_state(before.availability_topic(name))
            changes.append(f"{name} is gone")
        self.router.use(self._routes(), self.configuration.availability_topics, self.configuration.response_topics)
        self._watch_hooks()
        self._subscribe()
        self._remove_orphans()
        if later:
            which, it = ("have", "them") if len(later) > 1 else ("has", "it")
            changes.append(f"{', '.join(later)} {which} changed: start the gateway anew for {it}")
        return "; ".join(changes) or "nothing has changed"

    def _start_stations(self) -> None:
        for station in self.stations.values():
            station.start()
        self._watch_hooks()

    def _watch_hooks(self) -> None:
        if any(station.has_hooks for station in self.stations.values()):
            self._watch.start_thread()  # for the main thread calls them, and cannot look while it hangs

    def _forget_retired(self) -> None:
        ended = [station for station in self._retired if station.has_ended] if self._retired else []
        for station in ended:
            self._retired.remove(station)
            self._refused_before += station.outlet.refused

    def _take_over_log(self, before: Configuration) -> list[str]:
        fresh = self.configuration
        if fresh.log == before.log and set(fresh.secrets) <= set(before.secrets):
            return []
        try:
            init_logger(fresh.log, {*before.secrets, *fresh.secrets})
        except (OSError, ValueError) as err:
            LOG.error("the log file %a cannot be opened: %s: the log stays as it was", fresh.log.file, err)
            self.configuration = fresh._replace(log=before.log, secrets=before.secrets)  # tried again
            return ["the log stays as it was, see there"]
        return ["log"] if fresh.log != before.log else []

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
        stations = [*self.stations.values(), *self._retired]
        for station in stations:
            station.request_stop()
        deadline = time.monotonic() + _STOP_INTERFACES
        for station in stations:
            if not station.join(max(0.0, deadline - time.monotonic())):
                name = station.options.name
                LOG.error("%s: the interface does not stop; it is left behind at %s", name, station.where())
        # What is on disk need not wait for a broker that is not there.
        is_up = self.client.link_state is LinkState.UP
        self.client.mg_stop(_STOP_LINK if is_up or not self.outbox.is_durable else 0.0)
        counts = self.outbox.counts()
        lost = left = counts.waiting + counts.in_flight
        if self.writer is not None:
            lost = self.writer.close()
            if left > lost:
                LOG.info("%d messages wait on disk for the next start", left - lost)
        if lost:
            LOG.error("%d messages did not reach the broker and are lost", lost)
        received = ", ".join(f"{number} {what}" for what, number in self.received.items())
        refused = self._refused_before + sum(station.outlet.refused for station in stations)
        sent = counts.in_words(kept=left - lost) + (f", {refused} refused" if refused else "")
        self._watch.close()
        LOG.info("stopped; sent: %s; received: %s", sent, received or "nothing")
        return not lost


def _open_outbox(options: OutboxOptions) -> tuple[Outbox, OutboxWriter | None]:
    """Return the outbox, and what keeps it on disk, if that is wanted. Raises `StoreError`."""
    limits = (
        options.max_messages,
        options.max_bytes,
        options.discard,
        options.command_lifetime,
        options.status_lifetime,
    )
    if options.file is None:
        return Outbox(*limits), None
    from gateway.outbox.store import open_store  # with SQLite, which no other gateway needs
    from gateway.outbox.writer import OutboxWriter

    outbox = DurableOutbox(*limits, commit_interval=options.commit_interval)
    return outbox, OutboxWriter(outbox, open_store(options.file, LOG.error, owns_folder=not options.is_place_chosen))


def start_gateway(
    configuration: Configuration,
    load: Callable[[], Configuration] | None = None,
    early: EarlySignals | None = None,
) -> bool:
    """Run a gateway until SIGTERM or SIGINT; a second signal leaves at once. The main thread must call it.

    SIGHUP has it read its configuration again, by `load`; if that signal is among the `early` ones, first thing. Where
    it means that the terminal was closed in which the gateway was started, it ends the gateway.
    Returns whether everything that was accepted has reached the broker, or is on disk.
    """
    gateway = Gateway(configuration, load)
    try:
        with _signals_stop(gateway), _threads_logged():
            if early is not None and early.is_reload_wanted:  # asked only now: no later one can be missed
                gateway.reload()
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

    has_terminal = os.isatty(0)

    def hang_up(number: int, frame: FrameType | None) -> None:
        # A terminal that was closed sends this, too: nobody would see the gateway run on, with the device in its hands.
        if has_terminal and not os.isatty(0):
            handle(number, frame)
        else:
            gateway.reload()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
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
