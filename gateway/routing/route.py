"""A route: a map, the interfaces behind it, and the state of their commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.core.inbox import MsgList
from gateway.message import InternalMsg
from gateway.routing.command_guard import CommandGuard
from gateway.routing.command_index import Addresses, CommandIndex
from gateway.routing.echo_loop import EchoLoops
from gateway.routing.message_filter import MessageFilter
from gateway.routing.outcomes import Outcomes
from gateway.translation.mqtt_map import MsgMap


class Route:
    """A map, and the interfaces, by name, that receive the messages it reads.

    `filters` holds the incoming filters of the interfaces that have any, and `addresses` the command addresses of
    those that do not receive every message. `outlets` send the outcomes of commands that are refused before their
    interface receives them; `outcomes` knows how recent commands were answered.
    """

    def __init__(
        self,
        msg_map: MsgMap,
        inboxes: dict[str, MsgList],
        filters: dict[str, Sequence[MessageFilter]] | None = None,
        guard: CommandGuard | None = None,
        loops: EchoLoops | None = None,
        addresses: dict[str, Addresses] | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        self.msg_map = msg_map
        self.inboxes = inboxes
        self.filters = {} if filters is None else filters
        self.guard = CommandGuard() if guard is None else guard
        self.loops = EchoLoops() if loops is None else loops
        self.addresses = {} if addresses is None else addresses
        self.outcomes = Outcomes() if outcomes is None else outcomes
        self.outlets: dict[str, Callable[[InternalMsg], object]] = {}

    def indexes(self) -> tuple[CommandIndex, CommandIndex]:
        """Return two indexes: whose filters examine a message, and which interfaces it is for.

        They differ only if there are filters: a filter can turn any message into another one, and so must examine all.
        """
        recipients = CommandIndex({name: self.addresses.get(name) for name in self.inboxes})
        if not self.filters:
            return recipients, recipients
        examiners = {name: None if name in self.filters else self.addresses.get(name) for name in self.inboxes}
        return CommandIndex(examiners), recipients

    def stats(self) -> dict[str, int]:
        """Return the counts of the command guard, the echo loops and the outcomes."""
        return {**self.guard.stats(), **self.loops.stats(), **self.outcomes.stats()}
