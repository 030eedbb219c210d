"""Connects configuration, maps, client, outbox and interfaces, and runs them until the gateway is stopped.

    device -> interface -> Outlet (filters, map) -> Outbox -> MgClient -> broker
    broker -> MgClient -> Router (map, guard, filters) -> MsgList -> interface -> device

The main thread runs the network; each interface has a thread of its own (see ARCHITECTURE.md).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.configuration.settings import Configuration
from gateway.core.counting import counted
from gateway.core.errands import Errands
from gateway.core.inbox import Wakeup
from gateway.core.package_logger import package_logger
from gateway.core.paths import state_folder
from gateway.early_signals import EarlySignals
from gateway.errors import HangError
from gateway.integrations.homeassistant.options import announced_filter
from gateway.logs.init_logger import init_logger, log_stats
from gateway.logs.levels import reset_levels
from gateway.message import OFFLINE, Lane, Publication
from gateway.mqtt.client import MgClient
from gateway.mqtt.link_state import LinkState
from gateway.routing.documents import Documents
from gateway.routing.router import Listener, Router
from gateway.routing.stale_retained import stale_topics
from gateway.runtime.document_recall import DocumentRecall
from gateway.runtime.gather_health import HealthGatherer
from gateway.runtime.hang_limit import HangLimit
from gateway.runtime.health import assess, headline
from gateway.runtime.health_reports import HealthReports
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.interface_hosts import InterfaceHosts
from gateway.runtime.open_outbox import open_outbox
from gateway.runtime.process_limits import apply_process_limits
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.service_manager import ServiceManager
from gateway.runtime.signals import handle_signals
from gateway.runtime.start_report import start_lines
from gateway.runtime.stats import FILE_PREFIX, Stats, summary
from gateway.runtime.thread_errors import log_thread_errors
from gateway.runtime.watch import Watch

if TYPE_CHECKING:
    from gateway.control.protocol import Answer
    from gateway.control.server import ControlServer
    from gateway.page.host import PageHost
    from gateway.runtime.health import Health
    from gateway.runtime.home_assistant import HomeAssistant
    from gateway.runtime.supervisor import Hang

LOG = package_logger(__name__)

STOP_LINK_SECONDS = 6.0
"""Seconds for what still waits to reach the broker at a stop; with the time for the interfaces, less than 10."""


class Gateway:
    """A gateway, built from a configuration: `run` it; call `reload` and `stop` in a signal handler or any thread.

    `load` reads the configuration again, for `reload`. Raises `GatewayError` if there are too many interfaces for
    the limits of the process, or if the outbox cannot be opened.
    """

    def __init__(self, configuration: Configuration, load: Callable[[], Configuration] | None = None) -> None:
        apply_process_limits(len(configuration.interfaces))
        self.configuration = configuration
        self.started = time.monotonic()
        self._is_stopping = False
        self._wakeup = Wakeup(for_signals=True)
        self.errands = Errands(self._wakeup.set)
        self._reloads = ReloadRequests(load or (lambda: configuration), self._wakeup)
        self._watch = Watch(self._checks)
        self._control: ControlServer | None = None
        self._page: PageHost | None = None
        self._manager = ServiceManager(
            os.environ, lambda: self._headline, lambda: self.writer is None or not self.writer.is_hanging
        )
        self._hang_limit = self._new_hang_limit()
        self._hang = ""  # because of which the process ends
        self._headline = ""

        self.outbox, self.writer = open_outbox(configuration.outbox)
        self._recall = DocumentRecall(lambda topic, payload: self.client.set_state(topic, payload))
        documents = Documents(
            self._recall.publish,
            self.outbox.record_retained,
            lambda device, kind: self.configuration.document_topic(device, kind),
            self._wakeup.set,
            self.clear_retained,
        )
        self._interfaces = InterfaceHosts(configuration.interfaces, self.outbox, self._publish_availability, documents)
        self.outbox.on_level_change = self._interfaces.notify_level
        self.router = Router(answer=self.outbox.put)
        self.client = MgClient(
            configuration.mqtt,
            self.outbox,
            self._wakeup,
            on_msg=self.router.deliver,
            availability_topic=configuration.availability_topic(),
            run_topic=configuration.run_topic,
            recall=self._recall.request(*self._recalled_topics()),
            command_lifetime=configuration.outbox.command_lifetime,
        )
        self.outbox.attach(self.client.transmitter)
        self.main_thread = threading.get_ident()
        self._control_problem = ""
        self.health: Callable[[], Health] = HealthGatherer(self)
        """Returns how the gateway is. Any thread may call it."""
        self.health_reports = HealthReports(
            self.health, self._interfaces.refresh_stats, self.client.set_state, self.outbox.put,
            lambda: self.client.maximum_packet,
        )  # fmt: skip
        self.health_reports.topic = configuration.health_topic
        self.health_reports.on_headline = self._set_headline
        self._home_assistant = self._new_home_assistant()
        self._configure_devices()
        self._set_routes()
        self._clear_stale_topics()

    def _recalled_topics(self) -> list[str]:
        """Return the filters of the topics on which an earlier run may have left documents, and announced devices.

        Without a file, that is not known: all devices may have been removed since, and Home Assistant be forgotten.
        """
        configuration, is_durable = self.configuration, self.outbox.is_durable
        filters = []
        if self._interfaces.has_devices or not is_durable:
            filters.append(configuration.document_topic("+", "state"))
        if configuration.home_assistant.enabled or not is_durable:
            filters.append(announced_filter(configuration.home_assistant, configuration.name))
        return filters

    # --- what it consists of; any thread may read it

    @property
    def hosts(self) -> Mapping[str, InterfaceHost]:
        """The hosts of the configured interfaces, by name."""
        return self._interfaces.by_name

    @property
    def live_topics(self) -> set[str]:
        """The topics on which this gateway publishes states of its own, and documents, as long as it runs."""
        configuration = self.configuration
        announced = self._home_assistant.topics if self._home_assistant is not None else ()
        documents = self._interfaces.document_topics
        states = {configuration.run_topic, configuration.health_topic}
        return {*configuration.availability_topics, *states, *documents, *announced}

    @property
    def control_failure(self) -> str:
        """Why nobody can reach this gateway on its control socket; `""`: everybody can who may."""
        return self._control_problem or (self._control.failure if self._control is not None else "")

    @property
    def page_failure(self) -> str:
        """Why the page cannot be reached; `""`: it can, or there is none."""
        return self._page.failure if self._page is not None else ""

    @property
    def received(self) -> dict[str, int]:
        """How many messages the broker has sent, and what became of them."""
        return {**self.router.counts, **self.client.receive_counts}

    def stats(self) -> Stats:
        """Return all counters, by part (see `gateway.runtime.stats`). Any thread may call it; it waits for no lock."""
        file = self.writer.stats() if self.writer is not None else {}
        return {
            "mqtt": self.client.stats(),
            "outbox": {**self.outbox.stats(), **{f"{FILE_PREFIX}{name}": number for name, number in file.items()}},
            "routing": self.router.stats(),
            "interfaces": self._interfaces.stats(),
            "removed_interfaces": self._interfaces.removed_stats(),
            "home_assistant": self._home_assistant.stats() if self._home_assistant is not None else {},
            "log": log_stats(),
        }

    # --- wiring: from interfaces to routes, subscriptions and retained topics

    def _publish_availability(self, name: str, payload: bytes) -> None:
        self.client.set_state(self.configuration.availability_topic(name), payload)

    def _configure_devices(self, removed: Iterable[str] = ()) -> None:
        """Use the devices of the configuration, and clear what the broker retains of those that are gone.

        `removed` are the availability topics of interfaces that are gone.
        """
        self._interfaces.remember_devices()  # a device may move to another interface, or be removed
        self._clear_gone({*removed, *self._interfaces.configure_devices(dict(self.outbox.retained))})
        if self._home_assistant is not None:
            self._home_assistant.configure(self.configuration, self.hosts)

    def _new_home_assistant(self, recalled: Collection[str] = ()) -> HomeAssistant | None:
        """Return what announces the devices; None if nothing is announced, and nothing was by an earlier run.

        `recalled` are topics that the broker retains of an earlier run.
        """
        options = self.configuration.home_assistant
        if not options.enabled and not any(topic.endswith("/config") for topic in (*self.outbox.retained, *recalled)):
            return None
        from gateway.runtime.home_assistant import HomeAssistant  # most gateways need none of it

        home_assistant = HomeAssistant(
            self.client, self.outbox, random.uniform, is_recall_awaited=self._recall.is_waiting
        )
        self.outbox.on_forgotten = home_assistant.announce_all
        return home_assistant

    def _clear_gone(self, topics: Collection[str]) -> None:
        """Clear the `topics` of devices and interfaces that are gone, unless others have their names now."""
        live = self.live_topics
        for topic in topics:
            if topic not in live:
                self.clear_retained(topic)
        for name, host in self.hosts.items():
            if self.configuration.availability_topic(name) in topics:
                host.publish_availability()

    def _set_routes(self) -> None:
        """Route messages between the interfaces and the broker, and subscribe to the topics of the maps."""
        configuration = self.configuration
        routes = self._interfaces.routes(configuration.commands)
        own_topics = [*configuration.availability_topics, *self._interfaces.document_topics, configuration.health_topic]
        listeners: dict[str, Listener] = {self.health_reports.check_topic: self.health_reports.on_check}
        if self._home_assistant is not None:
            listeners.update(self._home_assistant.listeners)
        if configuration.management:
            from gateway.runtime.management import MqttManagement, management_kinds

            reply_topic = f"{configuration.manage_topic}/reply"
            management = MqttManagement(management_kinds(self), self.outbox.put, reply_topic)
            listeners[configuration.manage_topic] = management.on_request
        self.router.set_routes(routes, own_topics, configuration.response_topics, listeners)
        replays = configuration.replays
        self.client.mg_subscribe(
            self.router.filters,
            # Without `replay`, nothing that is retained or was queued at the broker is wanted: a command is rejected
            # then, and a status is out of date.
            wants_retained=replays,
            wants_session=replays,
            # Interfaces with senders of their own receive each other's messages, by way of the broker.
            no_local=len({host.options.msg_map.sender for host in self.hosts.values()}) == 1,
            max_age=configuration.commands.max_age,
        )

    def _clear_stale_topics(self) -> None:
        """Clear the retained topics at the broker that an earlier run, with another map, has published."""
        configuration = self.configuration
        states = [*configuration.availability_topics, configuration.run_topic]
        maps = dict.fromkeys(interface.msg_map for interface in configuration.interfaces)
        # A copy: during a reload, other threads send, and what they send with retain is added to the original.
        stale = list(stale_topics(dict(self.outbox.retained), maps, self.live_topics))
        for topic in stale:
            self.clear_retained(topic)
        if stale:
            LOG.info(
                "clearing %s that this configuration does not publish: %s",
                counted(len(stale), "retained topic"),
                ", ".join(stale[:5]),
            )
        for topic in states:
            self.outbox.record_retained(topic, OFFLINE)  # the last one, which the client publishes itself
        self.outbox.record_retained(configuration.health_topic, b"{}")  # of which each run publishes its own

    def clear_retained(self, topic: str) -> bool:
        """Have the broker retain nothing on `topic`, on which nothing is published any more; return False if the
        outbox is full.

        A topic is cleared on the way on which it was published, messages in the outbox and documents as states.
        Otherwise, what still waits on that way could be published later, or what is published there again be lost.
        """
        if not self.configuration.is_own_topic(topic):
            return self.outbox.put(Publication(topic, b"", qos=1, retain=True, lane=Lane.LATEST))
        payload = self.outbox.retained.get(topic)
        if payload:  # of an earlier run: or the outbox would publish it again for a broker that has lost its memory
            self.outbox.record_retained(topic, payload)
        self._recall.publish(topic, b"")
        return True

    # --- running

    def run(self) -> bool:
        """Run until `stop` is called; return whether everything that was accepted has reached the broker."""
        self.main_thread = threading.get_ident()
        self._log_start()
        if self.writer is not None:
            self.writer.start()
        with self._demo_broker():
            self.client.mg_connect()
            self._interfaces.start()
            self._watch_main_thread()
            control = self._control = self._open_control()
            self._configure_page()
            # Nearly all objects that exist now stay until the end, and checking them for garbage would take
            # milliseconds each time. Those that a reload makes unused and that are part of a cycle are not freed: that
            # happens only once, for later reloads replace newer objects.
            gc.freeze()
            self._manager.ready()
            try:
                while not self._is_stopping:
                    self._reload_if_requested()
                    self.errands.run()
                    self.client.loop_with_reconnect(self._due_in)
                    self._notify_link()
                    if self._recall.is_due:
                        self._finish_recall()
                    self._interfaces.tick()
                    if self._home_assistant is not None:
                        self._home_assistant.step()
                    self.health_reports.step()
                    self._watch.check()
                    self._interfaces.drop_ended()
                    self._manager.tick()
            finally:
                self._manager.stopping(self._hang)
                self._control = None
                if control is not None:
                    control.close()
                if self._page is not None:
                    self._page.close()
            return self._shut_down()

    @property
    def hang(self) -> str:
        """Why the gateway has stopped, and is to be started again: an interface that hangs; "" in any other case."""
        return self._hang

    @property
    def _due_in(self) -> float | None:
        """The seconds until one of the parts that the loop steps through has something to do; None: none of them."""
        dues = [self._interfaces.due_in, self._manager.due_in, self.health_reports.due_in]
        if self._home_assistant is not None:
            dues.append(self._home_assistant.due_in)
        due = min(due for due in dues if due is not None)
        return None if due == math.inf else due

    def _set_headline(self, line: str) -> None:
        self._headline = line

    def _hangs(self) -> dict[str, Hang]:
        hangs = {name: host.hang() for name, host in self.hosts.items()}
        return {name: hang for name, hang in hangs.items() if hang is not None}

    def _notify_link(self) -> None:
        client = self.client
        self._interfaces.set_link(
            is_up=client.link_state is LinkState.UP, session_present=client.session_present, number=client.connects
        )

    def _finish_recall(self) -> None:
        """Use what the broker retains of the devices of an earlier run, and clear the devices that are gone."""
        gone = self._recall.finish(self._restore)
        self._clear_gone({*gone, *(topic.removesuffix("state") + "availability" for topic in gone)})

    def _restore(self, retained: Mapping[str, bytes]) -> Collection[str]:
        """Restore what the broker `retained` of an earlier run, by topic; return the topics that are not cleared."""
        announced = {topic: payload for topic, payload in retained.items() if topic.endswith("/config")}
        known = self._interfaces.recall({topic: retained[topic] for topic in retained.keys() - announced.keys()})
        if self._home_assistant is None and announced:
            self._home_assistant = self._new_home_assistant(announced)
            if self._home_assistant is not None:
                self._home_assistant.configure(self.configuration, self.hosts)
        if self._home_assistant is not None:
            self._home_assistant.recall(announced)
        return {*known, *announced}

    def _log_start(self) -> None:
        configuration = self.configuration
        LOG.info("%s %s started with %s", configuration.name, __version__, configuration.file)
        for line in start_lines(configuration):
            LOG.info("%s", line)
        for warning in configuration.warnings:
            LOG.warning("%s", warning)
        # A configuration of an earlier version mostly sets the level to `warning`, which would hide its notes.
        level = logging.INFO if LOG.isEnabledFor(logging.INFO) else logging.WARNING
        for note in configuration.notes:
            LOG.log(level, "%s", note)

    def _demo_broker(self) -> contextlib.AbstractContextManager[None]:
        if not self.configuration.mqtt.demo_broker:
            return contextlib.nullcontext()
        from gateway.runtime import demo_broker  # imports `subprocess`, which no other gateway needs

        return demo_broker.running_if_needed(self.configuration.mqtt, lambda: self._is_stopping)

    def _open_control(self) -> ControlServer | None:
        from gateway.runtime.requests import open_control  # imported while the link and the devices are being opened

        control = open_control(self, os.environ)
        self._control_problem = "" if control is not None else "see the log"
        return control

    def _configure_page(self) -> None:
        """Serve the page as the configuration says."""
        options = self.configuration.web
        if self._page is None and options.enabled:
            from gateway.page.host import PageHost  # most gateways have no page

            self._page = PageHost(self)
        if self._page is not None:
            self._page.configure(options)

    def _checks(self) -> Iterator[Callable[[], None]]:
        """Yield what has to be checked every few seconds."""
        if self._manager.is_there and threading.get_ident() != self.main_thread:
            yield self._tell_of_hang  # before the others, which may log: the main thread may hang in that
        yield from [host.check for host in self._interfaces]
        yield self._stop_if_hanging
        if self.writer is not None:
            yield self.writer.check_files
        if self._control is not None:
            yield self._control.check
        if self._page is not None and self._page.failure:
            self.errands.add(self._page.check)

    def _new_hang_limit(self) -> HangLimit | None:
        """Return what ends the process if an interface hangs; None if nothing would start it again afterwards."""
        folder = state_folder(os.environ) if self._manager.is_there else None
        return HangLimit(folder / f"{self.configuration.name}.hang") if folder is not None else None

    def _stop_if_hanging(self) -> None:
        if self._hang_limit is None or self._is_stopping:
            return
        if not self.outbox.is_durable and self.client.link_state is not LinkState.UP:
            return  # what waits for the broker would be lost
        reason = self._hang_limit.reason_to_restart(self._hangs(), self.configuration.hang_limit)
        if reason:
            self._hang = reason
            LOG.error("%s: the gateway is being restarted for it", reason)
            self.stop()

    def _tell_of_hang(self) -> None:
        """Have systemd show that the main thread hangs, and where: it cannot do so itself."""
        health = self.health()
        if health.hang:
            self._manager.tell(headline(assess(health), health))

    def _watch_main_thread(self) -> None:
        # While the main thread hangs, as in a hook, it can neither check anything nor tell systemd.
        if self._interfaces.has_hooks or self._manager.is_there:
            self._watch.start_thread()

    # --- reloading

    def reload(self) -> None:
        """Ask `run` to read the configuration again, and to use it if it is valid; returns immediately."""
        self._reloads.request()

    def reload_for(self, answer: Answer) -> None:
        """Do the same as `reload`, and send the outcome to `answer`. Only the main thread calls it."""
        self._reloads.request_for(answer)

    def _reload_if_requested(self) -> None:
        if self._manager.is_there:
            self._manager.set_reloading(self._reloads.is_reading)
        new_configuration = self._reloads.poll(self.configuration)
        if new_configuration is not None:
            previous = self.configuration
            self._reloads.report_applied(new_configuration, self._apply(new_configuration))
            self._configure_page()  # after the report, for which a thread of the page may wait
            for warning in set(new_configuration.warnings) - set(previous.warnings):
                LOG.warning("%s", warning)
        if self._manager.is_there:
            self._manager.set_reloading(self._reloads.is_reading)

    def _apply(self, new_configuration: Configuration) -> str:
        """Change over to another configuration; return what has changed, in words.

        The links to the devices and to the broker stay. What only a restart can change keeps its old value, and is
        named.
        """
        previous = self.configuration
        at_restart = [name for name, old, new in (
            ("mqtt", previous.mqtt, new_configuration.mqtt),
            ("outbox", previous.outbox, new_configuration.outbox),
            ("the root of availability", previous.root, new_configuration.root),
        ) if old != new]  # fmt: skip
        self.configuration = new_configuration._replace(mqtt=previous.mqtt, outbox=previous.outbox, root=previous.root)
        changes = [name for name in ("commands", "hang_limit", "management", "web")
                   if getattr(new_configuration, name) != getattr(previous, name)]  # fmt: skip
        changes += self._apply_log_settings(previous)
        interface_changes, removed = self._interfaces.reconfigure(new_configuration.interfaces)
        changes += interface_changes
        if new_configuration.home_assistant != previous.home_assistant:
            changes.append("home_assistant")
            if self._home_assistant is None:
                self._home_assistant = self._new_home_assistant()
        self._configure_devices(previous.availability_topic(name) for name in removed)
        self._set_routes()
        self._interfaces.start()
        self._watch_main_thread()
        self._clear_stale_topics()
        if at_restart:
            changes.append(f"restart the gateway to apply the changes of {', '.join(at_restart)}")
        return "; ".join(changes) or "nothing has changed"

    def _apply_log_settings(self, previous: Configuration) -> list[str]:
        configuration = self.configuration
        names, previous_names = ([each.name for each in one.interfaces] for one in (configuration, previous))
        is_same = configuration.log == previous.log and names == previous_names
        if is_same and set(configuration.secrets) <= set(previous.secrets):
            reset_levels()
            return []
        try:
            init_logger(configuration.log, {*previous.secrets, *configuration.secrets}, interfaces=names)
        except (OSError, ValueError) as err:
            LOG.error(
                "the log file %a cannot be opened: %s: keeping the previous log settings", configuration.log.file, err
            )
            # With the previous settings in the configuration, the next reload tries the new ones again.
            self.configuration = configuration._replace(log=previous.log, secrets=previous.secrets)
            return ["keeping the previous log settings: the log file cannot be opened"]
        return ["log"] if configuration.log != previous.log else []

    # --- stopping

    def stop(self) -> None:
        """Ask `run` to end; returns immediately."""
        self._is_stopping = True
        self._wakeup.set()

    def signal_fileno(self) -> int:
        """Return the descriptor for `signal.set_wakeup_fd`: it makes `run` check immediately whether to stop."""
        return self._wakeup.signal_fileno()

    def close(self) -> None:
        """Close the descriptors that `run` has used, once nothing can call `stop` any more."""
        self._wakeup.close()

    def _shut_down(self) -> bool:
        """Stop the interfaces first, so that their last statuses are sent; then publish `offline` and disconnect."""
        LOG.info("stopping")
        offline = {name: host.devices.stats()["devices_offline"] for name, host in self.hosts.items()}
        self._interfaces.stop()
        self._interfaces.finish()
        if self._recall.is_due:
            self._finish_recall()
        # What is kept on disk need not wait for a broker that is not there.
        is_up = self.client.link_state is LinkState.UP
        self.client.mg_stop(STOP_LINK_SECONDS if is_up or not self.outbox.is_durable else 0.0)
        counts = self.outbox.counts()
        lost = undelivered = counts.waiting + counts.in_flight - self.outbox.count_derived()
        if self.writer is not None:
            lost = self.writer.close()
            if undelivered > lost:
                waiting = counted(undelivered - lost, "message waits", "messages wait")
                LOG.info("%s on disk for the next start", waiting)
        if lost:
            words = "is lost" if lost == 1 else "are lost"
            LOG.error("%s did not reach the broker and %s", counted(lost, "message"), words)
        self._watch.close()
        stats = self.stats()
        for name, number in offline.items():  # and not those that are offline because of the stop
            stats["interfaces"][name]["devices_offline"] = number
        LOG.info("stopped; sent: %s; %s", counts.in_words(kept=undelivered - lost), summary(stats))
        return not lost


def start_gateway(
    configuration: Configuration,
    load: Callable[[], Configuration] | None = None,
    early: EarlySignals | None = None,
) -> bool:
    """Run a gateway until SIGTERM or SIGINT; a second signal ends the process immediately. Only for the main thread.

    SIGHUP makes it read its configuration again, by `load`. If that signal is among the `early` ones, it does so right
    after the start. Where SIGHUP means that the terminal was closed in which the gateway was started, it stops.
    Returns whether everything that was accepted has reached the broker, or is on disk. Raises `HangError` if it has
    ended because of an interface that hangs, and is to be started again.
    """
    gateway = Gateway(configuration, load)
    try:
        with handle_signals(gateway), log_thread_errors():
            # Only now that the new handlers are set: a SIGHUP that arrives later is handled by them.
            if early is not None and early.is_reload_wanted:
                gateway.reload()
            is_complete = gateway.run()
            if gateway.hang:
                raise HangError(gateway.hang)
            return is_complete
    finally:
        gateway.close()
