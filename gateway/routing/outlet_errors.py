"""What is wrong with what an interface passes to its outlet: logged, limited in rate, and raised nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from gateway.core.activity import current
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import MAX_UNTRUSTED_KEYS, ThrottledException, kind_of
from gateway.errors import FilteredError, MessageError, RefusedError
from gateway.message import InternalMsg, shown

LOG = package_logger("gateway.routing.outlet")
_MAX_LISTED = 10  # ids of devices that a log line names
_MAX_SHOWN = 60  # characters shown of an object that is not a message


class PushRefused(ThrottledException):
    """A message of an interface cannot be written by the map, or a filter drops it."""

    most_new_keys = MAX_UNTRUSTED_KEYS


class WrongType(ThrottledException):
    """An interface has passed an object that is not a message, or not an iterable of messages."""


class BadValue(ThrottledException):
    """A value of a message is none: it is left out, and the rest of the message is sent."""

    most_new_keys = MAX_UNTRUSTED_KEYS


class LateAnswer(ThrottledException):
    """An interface has answered a command too late: the gateway has answered it in its place already."""


class UnknownDevice(ThrottledException):
    """An interface has called `heard` with an unknown id.

    That is no error of the interface: the configuration may declare other devices than the interface does, or none.
    """


def log_bad_values(interface: str, msg: InternalMsg, bad: Iterable[str]) -> None:
    """Log that the arguments `bad` of a message are left out, since their values are none."""
    for name in bad:
        text = f"{interface}: {msg.action}: {name!a} is left out: {short(msg.arguments[name])} is no value of it"
        error = BadValue(text, key=f"{interface} {msg.action} {name}")
        if error.trigger:
            LOG.warning(error.report)


def log_refused(interface: str, msg: InternalMsg, err: MessageError) -> None:
    """Log that a message is not sent."""
    # By its kind: the word that cannot be written is in the error, and whoever sends on a bus may choose it.
    key, remedy, bug = f"{shown(msg.action):.60} {kind_of(str(err))}", "", None
    if isinstance(err, RefusedError):
        key, remedy, bug = err.key or key, f": {err.remedy}" if err.remedy else "", err.__cause__
    text = f"{interface}: not sent: {err} ({msg})"
    level = logging.INFO if isinstance(err, FilteredError) else logging.WARNING
    refusal = PushRefused(f"{text}{remedy}", key=f"{interface}: {key}", level=level)
    if refusal.trigger:
        LOG.log(level, refusal.report, exc_info=bug if refusal.is_first else None)


def log_late(interface: str, msg: InternalMsg) -> str:
    """Log that an outcome comes too late to be sent; return that as a reason."""
    response = f"the interface answered {shown(msg.arguments['response'])} too late"
    reason = f"{response}; the gateway had answered the command already"
    late = LateAnswer(f"{interface}: not sent: {reason} ({msg})", key=interface)
    if late.trigger:
        LOG.warning(late.report)
    return reason


def log_type(interface: str, verb: str, result: object, expected: str) -> None:
    """Log that an interface, or the call of one that is at work, has passed an object of another type."""
    call = current()
    where, kind = call.what if call is not None else interface, type(result).__name__
    wrong = WrongType(f"{where} {verb} {short(result)} ({kind}) instead of {expected}", key=f"{where} {verb} {kind}")
    if wrong.trigger:
        LOG.warning(wrong.report)


def log_unknown(interface: str, device: str, known: Sequence[str]) -> None:
    """Log that an interface has no device with this id, but others that are `known`; if it has any."""
    more = "" if len(known) <= _MAX_LISTED else " ..."
    text = f"there is no device with the id {device!a}: known here: {', '.join(known[:_MAX_LISTED])}{more}"
    unknown = UnknownDevice(f"{interface}: {text}", key=f"{interface} {device}")
    if known and unknown.trigger:
        LOG.warning(unknown.report)


def short(result: object) -> str:
    """Return an object as a short text for a log line."""
    text = str(result) if isinstance(result, InternalMsg) else shown(result)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
