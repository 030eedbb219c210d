"""How the time of a reading travels with it: as an argument, as a user property of MQTT 5, or as both. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.message import InternalMsg, Publication, iso_time


class ReadingTime(NamedTuple):
    """The names of the argument and of the user property that contain the time; an empty name: there is none.

    Only readings have a time: no command has one, and no outcome of a command.
    """

    argument: str = ""
    property: str = ""

    def dated(self, msg: InternalMsg, now: float) -> InternalMsg:
        """Return `msg` with its time, which is `now` (s, Unix time) unless it has one."""
        if msg.iscmd or "response" in msg.arguments or msg.time is not None:
            return msg
        return msg.read_at(now)

    def with_argument(self, msg: InternalMsg) -> InternalMsg:
        """Return `msg` with its time as an argument. An argument of that name is kept: it is the device's own time."""
        if msg.time is None or not self.argument or self.argument in msg.arguments:
            return msg
        return msg.with_arguments({**msg.arguments, self.argument: iso_time(msg.time)})

    def with_property(self, publication: Publication, msg: InternalMsg) -> Publication:
        """Return `publication`, which is that of `msg`, with the time of `msg` as a user property."""
        if msg.time is None or not self.property:
            return publication
        return publication._replace(user_property=(self.property, iso_time(msg.time)))
