"""How the time of a reading travels with it: as an argument, as a user property of MQTT 5, or as both."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.message import InternalMsg, Publication, iso_time

LOG = package_logger("gateway.interface")


class BadTime(ThrottledException):
    """The time that an interface gives for a reading cannot be used."""

    logged_as = "gateway.interface"


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


def is_time(wall: object) -> bool:
    """Return whether `wall` is a time (s, Unix time) that a message or a document can contain."""
    try:
        iso_time(wall)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return False
    return True


def read_now(msg: InternalMsg, interface: str, now: float) -> InternalMsg:
    """Return `msg`, of which the time cannot be used, with the time `now` (s, Unix time); log that once."""
    error = BadTime(
        f"{interface}: {msg.action}: {msg.time!r:.60} is no time of a reading: the present time is used instead; give "
        "seconds of Unix time to read_at",
        key=f"{interface} {msg.action}",
    )
    if error.trigger:
        LOG.warning(error.report)
    return msg.read_at(now)
