"""What is wrong with what an interface passes to its outlet: logged, limited in rate, and raised nowhere."""

from __future__ import annotations

from gateway.core.throttled_exception import ThrottledException


class PushRefused(ThrottledException):
    """A message of an interface cannot be written by the map, or a filter drops it."""


class WrongType(ThrottledException):
    """An interface has passed an object that is not a message, or not an iterable of messages."""


class BadValue(ThrottledException):
    """A value of a message is none: it is left out, and the rest of the message is sent."""


class LateAnswer(ThrottledException):
    """An interface has answered a command too late: the gateway has answered it in its place already."""


class UnknownDevice(ThrottledException):
    """An interface has called `heard` with an unknown id.

    That is no error of the interface: the configuration may declare other devices than the interface does, or none.
    """
