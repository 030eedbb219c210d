"""One interface at work: its inbox, its outlet and the supervisor of its thread. It survives a reload."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any

from gateway.configuration.settings import InterfaceOptions
from gateway.core.activity import Call
from gateway.core.inbox import ByteBudget, MsgList
from gateway.core.trouble import Trouble
from gateway.message import OFFLINE, ONLINE, InternalMsg
from gateway.outbox.outbox import Outbox
from gateway.routing.command_guard import CommandGuard, CommandOptions
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.documents import Documents
from gateway.routing.message_filter import FilterRule, HookStep, MessageFilter
from gateway.routing.outlet import LinkStatus, Outlet
from gateway.routing.router import Route
from gateway.runtime.stats import DEVICE
from gateway.runtime.supervisor import Hang, Supervisor
from gateway.translation.mqtt_map import MsgMap


class InterfaceHost:
    """An interface with its inbox, outlet and thread.

    `publish` publishes its availability; any thread may call it. `room` limits the memory that the messages waiting for
    all interfaces may use. `documents` is where the state documents of its devices go. Only the main thread calls the
    methods, except `check`, `stats` and `notify`.
    """

    def __init__(
        self,
        options: InterfaceOptions,
        outbox: Outbox,
        publish: Callable[[bytes], None],
        budget: ByteBudget,
        documents: Documents | None = None,
    ) -> None:
        self.options = options
        self.inbox = MsgList(budget=budget, name=options.name)
        filters = _watched(options.filters.outgoing, options.name)
        # A clock that stands still while the machine is suspended: nothing could be heard of a device meanwhile.
        self.devices = DeviceMemory(time.monotonic, time.time, documents, options.name)
        self.outlet = Outlet(
            options.name, options.msg_map, outbox, self._publish_availability, filters, devices=self.devices
        )
        self.route: Route | None = None
        self._publish = publish
        self._is_retired = False
        self._is_named_like_device = _is_named_like_device(options)
        self._retiring = Lock()
        self._supervisor = Supervisor(options.name, self._builder(options), self.inbox, self.outlet)
        self._change: tuple[Mapping[str, Any] | None, Callable[[], Any]] | None = None  # for `start`

    @property
    def failures(self) -> int:
        """How often the interface has failed, and was built again."""
        return self._supervisor.failures

    @property
    def closed(self) -> str:
        """Why the interface is closed until it is opened on request; `""`: it is not closed."""
        return self._supervisor.closed

    @property
    def failing(self) -> tuple[float, str] | None:
        """When (s, monotonic) the interface failed last, and why, unless it has been running long enough since."""
        return self._supervisor.failing

    @property
    def heard_ago(self) -> float | None:
        """How long ago (s) the device sent anything; None: never, or it is not known."""
        return self._supervisor.heard_ago

    @property
    def understood_ago(self) -> float | None:
        """How long ago (s) the last frame came that was understood; None: never, or it is not known."""
        return self._supervisor.understood_ago

    @property
    def trouble(self) -> tuple[float, Trouble] | None:
        """For how long (s) something has been wrong although the interface works, and what; None: nothing."""
        return self._supervisor.trouble

    def hang(self) -> Hang | None:
        """Return where the interface hangs at this moment; None: it does not. Any thread may call it."""
        return self._supervisor.hang()

    def last_device_stats(self) -> dict[str, int]:
        """Return what the interface counts itself, as of the last `refresh_stats`. Any thread may call it."""
        return self._supervisor.last_device_stats()

    def refresh_stats(self) -> None:
        """Have the interface count again, in its own thread, for `last_device_stats`. Any thread may call it."""
        self._supervisor.refresh_stats()

    def close(self, reason: str, done: Callable[[str], None]) -> None:
        """Close the interface until `open` (see `Supervisor.close`)."""
        self._supervisor.close(reason, done)

    def open(self, done: Callable[[str], None]) -> None:
        """Open the interface again that was closed."""
        self._supervisor.open(done)

    def restart(self, done: Callable[[str], None]) -> None:
        """End the interface, and build it again."""
        self._supervisor.restart(done)

    def start(self) -> None:
        """Start the thread of the interface; if it runs already, have it change over to its new options, if any."""
        change, self._change = self._change, None
        if not self._supervisor.has_started:
            self._supervisor.start()
        elif change is not None:
            self.devices.doubt_ruled()
            self._supervisor.change(*change)

    def request_stop(self) -> None:
        """Ask the interface to end; returns immediately."""
        self._supervisor.request_stop()

    def retire(self) -> None:
        """Ask the interface to end for good, and publish its availability no more."""
        with self._retiring:  # whoever publishes the availability now has done so before the topic is cleared
            self._is_retired = True
        self._supervisor.request_stop("the interface was removed from the configuration")

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the thread to end; return whether it has ended."""
        return self._supervisor.join(timeout)

    @property
    def has_ended(self) -> bool:
        """Whether its thread has ended."""
        return self._supervisor.has_ended

    @property
    def has_hooks(self) -> bool:
        """Whether the main thread calls hooks (code of the gateway's user) for it."""
        return any(isinstance(step, HookStep) for each in self.options.filters.incoming for step in each.steps)

    def where(self) -> str:
        """Return where in the code the thread of the interface is."""
        return self._supervisor.where()

    def check(self) -> None:
        """Answer the commands that the interface leaves waiting, and log it if it hangs. Any thread may call it."""
        self._supervisor.check()

    def stats(self) -> dict[str, Any]:
        """Return the counters of the interface (see `gateway.runtime.stats`). Any thread may call it."""
        inbox = {f"inbox_{name}": number for name, number in self.inbox.stats().items()}
        return {**self.outlet.stats(), **self._supervisor.stats(), **inbox, DEVICE: self._supervisor.device_stats()}

    def set_link(self, link: LinkStatus) -> None:
        """Notify the interface, in its own thread, of the state of the link to the broker."""
        self.outlet.link = link
        self._supervisor.notify()

    def notify(self) -> None:
        """Notify the interface, in its own thread, of the level of the outbox. Any thread may call it."""
        self._supervisor.notify()

    def configure_devices(self, retained: Mapping[str, bytes]) -> list[str]:
        """Use the devices of the options; return the topics of the documents of devices that are gone.

        `retained` are the payloads that the broker retains, by topic: with them, devices begin as an earlier run has
        left them.
        """
        is_named_like_device = _is_named_like_device(self.options)
        with self._retiring:  # before the devices are others: whoever had the topic has published there before
            self._is_named_like_device |= is_named_like_device
        gone = self.devices.configure(
            self.options.devices, self.options.own_address, retained, self.options.max_devices
        )
        with self._retiring:
            self._is_named_like_device = is_named_like_device
        self.outlet.device_availability.notify_devices()  # of those that are new
        actions = self.devices.take_added()
        if actions:
            self.outlet.ask_later(actions)
            self._supervisor.notify()
        return gone

    def tick(self) -> None:
        """Do what is due for the devices by time alone."""
        if self.devices.is_used:
            self.outlet.tick()

    def finish(self) -> None:
        """Send what waits for the end of an interval, after the interface has ended."""
        if self.devices.is_used:
            self.outlet.finish()

    def reconfigure(self, options: InterfaceOptions) -> list[str]:
        """Change over to other options; return which of them have changed.

        Call `configure_devices` and `routes_of` after it, and then `start`: what the interface sends with its new
        options may feed other devices, and have another map.
        """
        previous = self.options
        is_same_map = options.msg_map.means_the_same(previous.msg_map)
        self.options = options = options._replace(msg_map=previous.msg_map) if is_same_map else options
        changes = [] if is_same_map else ["map"]
        changes += ["filters"] if options.filters != previous.filters else []
        are_other_devices = (options.devices, options.max_devices) != (previous.devices, previous.max_devices)
        changes += ["devices"] if are_other_devices else []
        changes += ["reading_time"] if options.reading_time != previous.reading_time else []
        is_other_type = (options.cls.__module__, options.cls.__qualname__) != (
            previous.cls.__module__,
            previous.cls.__qualname__,
        )
        if is_other_type or dict(options.params) != dict(previous.params):
            changes.append("type" if is_other_type else "options")
            self._change = (None if is_other_type else options.params), self._builder(options)
        return changes

    def share_map(self, maps: Iterable[MsgMap]) -> None:
        """Use one of `maps` if it is equivalent to the interface's own map: equivalent maps share a route."""
        current = self.options.msg_map
        shared = next((msg_map for msg_map in maps if msg_map.means_the_same(current)), current)
        self.options = self.options._replace(msg_map=shared)

    def set_route(self, route: Route) -> None:
        """Send and receive by `route` from now on."""
        self.route = route
        route.inboxes[self.options.name] = self.inbox
        if self.options.filters.incoming:
            route.filters[self.options.name] = _watched(self.options.filters.incoming, self.options.name)
        if self.options.addresses is not None:
            route.addresses[self.options.name] = self.options.addresses
        route.outlets[self.options.name] = self.outlet.answer
        outgoing = _watched(self.options.filters.outgoing, self.options.name)
        self.outlet.reading_time = self.options.reading_time
        self.outlet.set_route(route.msg_map, outgoing, route.loops.record_sent, route.outcomes)

    def _builder(self, options: InterfaceOptions) -> Callable[[], Any]:
        return lambda: options.cls(options.params, self.inbox, self.outlet)

    def _publish_availability(self, is_available: bool) -> None:
        with self._retiring:
            self._publish_unless_of_device(is_available)

    def publish_availability(self) -> None:
        """Publish its availability again: a device had its topic until now."""
        with self._retiring:
            self._publish_unless_of_device(self.outlet.is_available)

    def _publish_unless_of_device(self, is_available: bool) -> None:
        # The only device of the interface may have its name, and so its topic: then its documents tell the same.
        if not (self._is_retired or self._is_named_like_device):
            self._publish(ONLINE if is_available else OFFLINE)


def _is_named_like_device(options: InterfaceOptions) -> bool:
    return any(device.id == options.name for device in options.devices)


def _watched(filters: Iterable[MessageFilter], interface: str) -> list[MessageFilter]:
    """Return the same filters with hooks that the log names if they do not return."""
    return [each._replace(steps=[_watched_step(step, interface) for step in each.steps]) for each in filters]


def _watched_step(step: FilterRule | HookStep, interface: str) -> FilterRule | HookStep:
    if isinstance(step, FilterRule):
        return step
    function, description = step.function, f"{interface}: the hook {step.name!a}"

    def call(msg: InternalMsg) -> InternalMsg | None:
        with Call(description):
            return function(msg)

    return step._replace(function=call)


def routes_of(hosts: Iterable[InterfaceHost], commands: CommandOptions, previous: Iterable[Route] = ()) -> list[Route]:
    """Return the routes to the interfaces of `hosts`, one for each map, and set them there.

    What the `previous` routes have recorded of commands and echo loops is kept, even where all interfaces of a route
    have other names now: otherwise a duplicate that arrives just after a reload would be executed.
    """
    hosts, previous = list(hosts), list(dict.fromkeys(previous))
    in_use = {id(host.route) for host in hosts}
    unused = [route for route in previous if id(route) not in in_use]
    groups: dict[int, list[InterfaceHost]] = {}
    for host in hosts:
        if host.route is None:
            host.share_map(route.msg_map for route in previous)
        groups.setdefault(id(host.options.msg_map), []).append(host)
    routes = []
    for group in groups.values():
        msg_map = group[0].options.msg_map
        old = next((host.route for host in group if host.route is not None), None) or _pop_likeliest(unused, msg_map)
        if old is None:
            route = Route(msg_map, {}, guard=CommandGuard(commands))
        else:
            guard = CommandGuard(commands, old.guard)
            route = Route(msg_map, {}, guard=guard, loops=old.loops, outcomes=old.outcomes)
        for host in group:
            host.set_route(route)
        routes.append(route)
    return routes


def _pop_likeliest(unused: list[Route], msg_map: MsgMap) -> Route | None:
    """Remove and return the route of `unused` that `msg_map` has most likely replaced; None if there is none."""

    def likeness(route: Route) -> tuple[bool, int]:
        return route.msg_map.means_the_same(msg_map), len(set(route.msg_map.topics) & set(msg_map.topics))

    likeliest = max(unused, key=likeness, default=None)
    if likeliest is not None:
        unused.remove(likeliest)
    return likeliest
