"""What lies behind a map: the interfaces that take what it reads, and what is known of their commands."""

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
    """A map, and what lies behind it: the interfaces, by name, that take the messages it reads.

    `filters` holds the incoming filters of those that have any, and `addresses` what commands are for those that do
    not want every message. `outlets` send the outcomes of commands that an interface is not given; `outcomes` has how
    recent ones were answered.
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

    def listeners(self) -> tuple[CommandIndex, CommandIndex]:
        """Return whose filters are to see which message, and who is to have it.

        A filter may make any message of one, so that it sees all of them.
        """
        owners = CommandIndex({name: self.addresses.get(name) for name in self.inboxes})
        if not self.filters:
            return owners, owners
        seen = {name: None if name in self.filters else self.addresses.get(name) for name in self.inboxes}
        return CommandIndex(seen), owners
