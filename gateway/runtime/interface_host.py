"""One interface at work: its inbox, its outlet and the supervisor of its thread. It outlives a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.configuration.settings import InterfaceOptions
from gateway.core.activity import Call
from gateway.core.inbox import ByteBudget, MsgList
from gateway.message import OFFLINE, ONLINE, InternalMsg
from gateway.outbox.outbox import Outbox
from gateway.routing.command_guard import CommandGuard, CommandOptions
from gateway.routing.message_filter import FilterRule, HookStep, MessageFilter
from gateway.routing.outlet import Outlet
from gateway.routing.router import Route
from gateway.runtime.supervisor import Supervisor
from gateway.translation.mqtt_map import MsgMap


class InterfaceHost:
    """An interface with all that it is given. `say` publishes its availability; any thread may call it.

    `budget` limits the memory of the messages that wait for all interfaces. Only the main thread calls the methods,
    but for `look`.
    """

    def __init__(
        self, options: InterfaceOptions, outbox: Outbox, say: Callable[[bytes], None], budget: ByteBudget
    ) -> None:
        self.options = options
        self.inbox = MsgList(budget=budget)
        filters = _watched(options.filters.outgoing, options.name)
        self.outlet = Outlet(options.name, options.msg_map, outbox, self._say_available, filters)
        self.route: Route | None = None
        self._say = say
        self._is_retired = False
        self._supervisor = Supervisor(options.name, self._builder(options), self.inbox, self.outlet)

    @property
    def failures(self) -> int:
        """How often the interface has failed, and was built anew."""
        return self._supervisor.failures

    def start(self) -> None:
        """Start the thread of the interface."""
        self._supervisor.start()

    def request_stop(self) -> None:
        """Ask the interface to end; returns at once."""
        self._supervisor.request_stop()

    def retire(self) -> None:
        """Ask the interface to end for good: nothing is said of its availability any more."""
        self._is_retired = True
        self._supervisor.request_stop("the interface was taken out of the configuration")

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; return whether it has come."""
        return self._supervisor.join(timeout)

    @property
    def has_ended(self) -> bool:
        """Whether its thread has come to its end."""
        return self._supervisor.has_ended

    @property
    def has_hooks(self) -> bool:
        """Whether the main thread calls somebody's code for it."""
        return any(isinstance(step, HookStep) for each in self.options.filters.incoming for step in each.steps)

    def where(self) -> str:
        """Return where in the code the thread of the interface stands."""
        return self._supervisor.where()

    def look(self) -> None:
        """Answer what the interface leaves waiting, and log it if it hangs. Any thread may call it."""
        self._supervisor.look()

    def reconfigure(self, options: InterfaceOptions) -> list[str]:
        """Go on with other options; return what of them is new. `routes_of` is to be called after it."""
        before = self.options
        is_same_map = options.msg_map.means_the_same(before.msg_map)
        self.options = options = options._replace(msg_map=before.msg_map) if is_same_map else options
        changes = [] if is_same_map else ["map"]
        changes += ["filters"] if options.filters != before.filters else []
        is_other = (options.cls.__module__, options.cls.__qualname__) != (
            before.cls.__module__,
            before.cls.__qualname__,
        )
        if is_other or dict(options.params) != dict(before.params):
            changes.append("type" if is_other else "options")
            self._supervisor.change(None if is_other else options.params, self._builder(options))
        return changes

    def share_map(self, maps: Iterable[MsgMap]) -> None:
        """Use that of `maps` that means the same as the map it has, if there is one: a map has one route."""
        own = self.options.msg_map
        same = next((msg_map for msg_map in maps if msg_map.means_the_same(own)), own)
        self.options = self.options._replace(msg_map=same)

    def use(self, route: Route) -> None:
        """Send and receive by `route` from now on."""
        self.route = route
        route.inboxes[self.options.name] = self.inbox
        if self.options.filters.incoming:
            route.filters[self.options.name] = _watched(self.options.filters.incoming, self.options.name)
        if self.options.addresses is not None:
            route.addresses[self.options.name] = self.options.addresses
        route.outlets[self.options.name] = self.outlet.answer
        outgoing = _watched(self.options.filters.outgoing, self.options.name)
        self.outlet.set_route(route.msg_map, outgoing, route.loops.record_sent, route.outcomes)

    def _builder(self, options: InterfaceOptions) -> Callable[[], Any]:
        return lambda: options.cls(options.params, self.inbox, self.outlet)

    def _say_available(self, is_available: bool) -> None:
        if not self._is_retired:
            self._say(ONLINE if is_available else OFFLINE)


def _watched(filters: Iterable[MessageFilter], interface: str) -> list[MessageFilter]:
    """Return the same filters with hooks that are named if they do not return."""
    return [each._replace(steps=[_watched_step(step, interface) for step in each.steps]) for each in filters]


def _watched_step(step: FilterRule | HookStep, interface: str) -> FilterRule | HookStep:
    if isinstance(step, FilterRule):
        return step
    function, what = step.function, f"{interface}: the hook {step.name!a}"

    def call(msg: InternalMsg) -> InternalMsg | None:
        with Call(what):
            return function(msg)

    return step._replace(function=call)


def routes_of(stations: Iterable[InterfaceHost], commands: CommandOptions, before: Iterable[Route] = ()) -> list[Route]:
    """Return the routes to `stations`, one for each map, and have them use it.

    What the routes of `before` knew of commands and loops is kept, also where all their interfaces have other names by
    now: a reload must not let a second one pass.
    """
    stations, known = list(stations), list(dict.fromkeys(before))
    in_use = {id(station.route) for station in stations}
    left = [route for route in known if id(route) not in in_use]
    groups: dict[int, list[InterfaceHost]] = {}
    for station in stations:
        if station.route is None:
            station.share_map(route.msg_map for route in known)
        groups.setdefault(id(station.options.msg_map), []).append(station)
    routes = []
    for group in groups.values():
        msg_map = group[0].options.msg_map
        old = next((station.route for station in group if station.route is not None), None) or _take(left, msg_map)
        if old is None:
            route = Route(msg_map, {}, guard=CommandGuard(commands))
        else:
            guard = CommandGuard(commands, old.guard)
            route = Route(msg_map, {}, guard=guard, loops=old.loops, outcomes=old.outcomes)
        for station in group:
            station.use(route)
        routes.append(route)
    return routes


def _take(left: list[Route], msg_map: MsgMap) -> Route | None:
    """Take out of `left` the route that has most likely become that of `msg_map`; None if there is none."""

    def likeness(route: Route) -> tuple[bool, int]:
        return route.msg_map.means_the_same(msg_map), len(set(route.msg_map.topics) & set(msg_map.topics))

    likeliest = max(left, key=likeness, default=None)
    if likeliest is not None:
        left.remove(likeliest)
    return likeliest
