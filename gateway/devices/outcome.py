"""What the outcome of a command says of a device: which values it has read, and which were only requested. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.devices.argument_values import stands_for
from gateway.devices.point import Device, Point
from gateway.devices.report import has_moved
from gateway.devices.value import is_value
from gateway.message import OUTCOME_WORDS, Argument, InternalMsg


def read_arguments(outcome: InternalMsg) -> frozenset[str]:
    """Return the names of the arguments of an outcome that the device has given.

    An argument that has the value that was requested says nothing of the state, unless the answer of the device
    contained it: `InternalMsg.reply` copies it from the command. The same applies if the request is not known.
    """
    reply_to = outcome.reply_to
    if reply_to is None or reply_to.requested is None:
        return frozenset()
    requested = reply_to.requested
    return frozenset(
        name
        for name, value in outcome.arguments.items()
        if name not in OUTCOME_WORDS
        and (name in reply_to.read or name not in requested or _differs(value, requested[name]))
    )


def _differs(value: object, requested: object) -> bool:
    return not is_value(value) or has_moved(requested, value, 0.0)


def is_refused_by_device(outcome: InternalMsg) -> bool:
    """Return whether the device itself has answered a command, but not with `OK`.

    The outcome contains then what it has answered. One that has left the last step of a command unanswered may have
    answered the steps before.
    """
    is_answered = outcome.reply_to is not None and bool(outcome.reply_to.read)
    return is_answered and outcome.argument("response") not in ("TIMEOUT", "OFFLINE")


def command_arguments(msg: InternalMsg) -> Mapping[str, Argument]:
    """Return the arguments of a command, from itself or from its outcome."""
    requested = msg.arguments.get("requested")
    return {**(requested if isinstance(requested, Mapping) else {}), **msg.arguments}


def is_meant(where: Mapping[str, Argument], arguments: Mapping[str, Argument]) -> bool:
    """Return whether a command with `arguments` is for what `where` distinguishes; one that is missing may be any.

    Nobody has converted the arguments of a command that was refused: a client may have sent a number as text.
    """
    return all(stands_for(arguments.get(name, value), value) for name, value in where.items())


def written_points(device: Device, outcome: InternalMsg) -> Iterator[tuple[Point, Argument]]:
    """Yield the points that a command has written, each with its value; `outcome` is that of the command."""
    arguments = command_arguments(outcome)
    for point in device.points:
        if not is_meant(point.where, arguments):
            continue
        for write in point.writes:
            if write.action == outcome.action:
                yield point, write.value if write.argument is None else outcome.argument(write.argument)
