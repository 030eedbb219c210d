"""One interface at work: its inbox, its outlet and the supervisor of its thread. It outlives a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.command_guard import CommandGuard, CommandOptions
from gateway.configuration.settings import InterfaceOptions
from gateway.mailbox import MsgList
from gateway.message import OFFLINE, ONLINE
from gateway.outbox.outbox import Outbox
from gateway.outlet import Outlet
from gateway.router import Route
from gateway.supervisor import Supervisor


class Station:
    """An interface with all that it is given. `say` publishes its availability; any thread may call it.

    Only the main thread calls the methods.
    """

    def __init__(self, options: InterfaceOptions, outbox: Outbox, say: Callable[[bytes], None]) -> None:
        self.options = options
        self.inbox = MsgList()
        self.outlet = Outlet(options.name, options.msg_map, outbox, self._say_available, options.filters.outgoing)
        self.route: Route | None = None
        self._say = say
        self._is_retired = False
        self._supervisor = Supervisor(options.name, self._builder(options), self.inbox, self.outlet)

    def start(self) -> None:
        """Start the thread of the interface."""
        self._supervisor.start()

    def request_stop(self) -> None:
        """Ask the interface to end; returns at once."""
        self._supervisor.request_stop()

    def retire(self) -> None:
        """Ask the interface to end for good: nothing is said of its availability any more."""
        self._is_retired = True
        self._supervisor.request_stop()

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; return whether it has come."""
        return self._supervisor.join(timeout)

    def take_over(self, options: InterfaceOptions) -> list[str]:
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

    def use(self, route: Route) -> None:
        """Send and receive by `route` from now on."""
        self.route = route
        route.inboxes[self.options.name] = self.inbox
        if self.options.filters.incoming:
            route.filters[self.options.name] = self.options.filters.incoming
        if self.options.addresses is not None:
            route.addresses[self.options.name] = self.options.addresses
        route.outlets[self.options.name] = self.outlet.answer
        self.outlet.use(route.msg_map, self.options.filters.outgoing, route.loops.note_sent, route.outcomes)

    def _builder(self, options: InterfaceOptions) -> Callable[[], Any]:
        return lambda: options.cls(options.params, self.inbox, self.outlet)

    def _say_available(self, is_available: bool) -> None:
        if not self._is_retired:
            self._say(ONLINE if is_available else OFFLINE)


def routes_of(stations: Iterable[Station], commands: CommandOptions) -> list[Route]:
    """Return the routes to `stations`, one for each map, and have them use it.

    What a route of before knew of commands and loops is kept: a reload must not let a second one pass.
    """
    routes: dict[int, Route] = {}
    for station in stations:
        msg_map, before = station.options.msg_map, station.route
        route = routes.get(id(msg_map))
        if route is None:
            if before is None:
                route = Route(msg_map, {}, guard=CommandGuard(commands))
            else:
                guard = CommandGuard(commands, before.guard)
                route = Route(msg_map, {}, guard=guard, loops=before.loops, outcomes=before.outcomes)
            routes[id(msg_map)] = route
        station.use(route)
    return list(routes.values())
