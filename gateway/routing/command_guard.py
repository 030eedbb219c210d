"""Refuses commands that must not be executed: late, retained, or duplicate ones.

Pure: both clocks are arguments. A command is executed at most once, and in time, or not at all. A delivery rule of the
map with `replay` makes exceptions for commands that are harmless when they are late.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

from gateway.core.option_schema import section_defaults
from gateway.errors import RefusedError
from gateway.message import Argument, Arrival, InternalMsg
from gateway.translation.delivery import Delivery

_CORRELATED = 600.0  # s in which equal correlation data means the same command; senders repeat within seconds
_MAX_ADMITTED = 10_000  # commands, about 1.5 MiB; at some ten commands a second they last longer than the above
_MAX_SEEN = 1_000  # commands without correlation data: a broker sends again only what was in flight at the disconnect
_MILLISECONDS = 1e11  # a timestamp above this is in milliseconds: as seconds it would be the year 5138


_DEFAULT = section_defaults(__file__)


class CommandOptions(NamedTuple):
    """The `commands` section of a configuration. Times in seconds."""

    timestamp_argument: str = ""
    timestamp_required: bool = False
    max_age: float = _DEFAULT["max_age"]
    duplicate_window: float = _DEFAULT["duplicate_window"]
    response_topics: tuple[str, ...] = _DEFAULT["response_topics"]


class CommandGuard:
    """Checks each command that one map reads, before it is delivered to the interfaces.

    `previous` is the guard before a reload of the configuration; what it has seen is taken over.
    """

    def __init__(self, options: CommandOptions | None = None, previous: CommandGuard | None = None) -> None:
        self._options = options or CommandOptions()
        # The time of each admitted command, by what makes two commands the same.
        self._admitted: OrderedDict[int, float] = previous._admitted if previous is not None else OrderedDict()
        # Commands without correlation data, executed or refused: a copy of one (DUP) does not get a second answer.
        self._seen: dict[int, None] = previous._seen if previous is not None else {}

    def admit(self, arrival: Arrival, msg: InternalMsg, delivery: Delivery, now: float, wall: float) -> float:
        """Return for how long (s) the command `msg`, which arrived as `arrival`, may still be executed.

        `now` is a monotonic time, `wall` the time of day (s since 1970). Raises `RefusedError` if it must not be
        executed.
        """
        is_correlated = arrival.reply_to is not None and arrival.reply_to.correlation != b""
        window = max(_CORRELATED if is_correlated else 0.0, self._options.duplicate_window)
        # A refused command counts, too: its sender is informed, and the command must not be executed when it arrives
        # again. That does not hold for a retained command, since no client is informed that it was refused.
        counts_if_refused = is_correlated and not arrival.retain
        if counts_if_refused:
            self._check_new(arrival, window, now)
        elif arrival.qos and not arrival.retain:
            key = command_key(arrival)
            if key in self._seen:
                if arrival.duplicate:
                    raise _duplicate()
                del self._seen[key]
            elif len(self._seen) >= _MAX_SEEN:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = None  # inserted again, so that the most recent one is the last
        if not delivery.replay:
            _check_live(arrival)
        seconds = self._time_left(arrival, msg, delivery, wall)
        if (window or delivery.replay) and not counts_if_refused:
            self._check_new(arrival, window, now)
        return seconds

    def without_timestamp(self, msg: InternalMsg) -> InternalMsg:
        """Return the command as its interface receives it: no device knows the argument with the timestamp."""
        name = self._options.timestamp_argument
        if not name or name not in msg.arguments:
            return msg
        return msg.without_arguments((name,))

    def stats(self) -> dict[str, int]:
        """Return the counts: how many commands are remembered to detect duplicates."""
        return {"commands_remembered": len(self._admitted) + len(self._seen)}

    def _time_left(self, arrival: Arrival, msg: InternalMsg, delivery: Delivery, wall: float) -> float:
        seconds = math.inf
        if arrival.expiry is not None:
            seconds = arrival.expiry - arrival.late  # the broker does not count the time that the network took
            if seconds <= 0:
                raise RefusedError("expired command", "the message expiry of the command is over")
        longest = delivery.lifetime
        if longest is None:
            longest = math.inf if delivery.replay else self._options.max_age
        age = self._age(msg, wall)
        if age is not None:
            if not -self._options.max_age <= age <= longest:
                when = f"{age:.0f} s old" if age > 0 else f"dated {-age:.0f} s in the future"
                remedy = "check the clocks of both sides, or commands.max_age"
                key = f"{'old' if age > 0 else 'future'} {arrival.topic}"  # without the age, which always differs
                raise RefusedError("expired command", f"the command is {when}", remedy, key=key)
            return min(seconds, longest - age)
        if delivery.lifetime is not None:
            if arrival.retain or arrival.resumed or arrival.duplicate or arrival.late:
                why = "the command was delayed and has no timestamp, but its rule limits its age (lifetime)"
                remedy = "set commands.timestamp_argument, and let senders fill in that argument"
                raise RefusedError("undated command", why, remedy)
            return min(seconds, delivery.lifetime)
        return seconds

    def _age(self, msg: InternalMsg, wall: float) -> float | None:
        """Return the age (s) of the command by its timestamp; None if it has none, and needs none."""
        name = self._options.timestamp_argument
        if not name:
            return None
        if name not in msg.arguments:
            if not self._options.timestamp_required:
                return None
            remedy = "let the sender add it, or set commands.timestamp_required to false"
            raise RefusedError("undated command", f"the command lacks the argument {name!a}", remedy)
        when = timestamp(msg.arguments[name])
        if when is None:
            remedy = "write it as 2026-11-20T22:48:13Z, or in seconds or milliseconds since 1970"
            raise RefusedError("undated command", f"the argument {name!a} is not a time", remedy)
        return wall - when

    def _check_new(self, arrival: Arrival, window: float, now: float) -> None:
        """Refuse a command that was admitted in the last `window` seconds; remember any other."""
        key = command_key(arrival)
        admitted = self._admitted.get(key)
        # A retained command, or one that is sent again, is a copy of an equal one, however long ago that was.
        is_copy = arrival.retain or arrival.duplicate
        if admitted is not None and (is_copy or now - admitted < window):
            raise _duplicate()
        self._admitted[key] = now
        self._admitted.move_to_end(key)
        if len(self._admitted) > _MAX_ADMITTED:
            self._admitted.popitem(last=False)


def command_key(arrival: Arrival) -> int:
    """Return a number for what makes two commands the same: topic, payload and correlation data.

    The response topic is not part of it: a sender that restarts may use another one, or none. Only the number is
    remembered, so that the memory used does not depend on what senders put into their commands.
    """
    correlation = b"" if arrival.reply_to is None else arrival.reply_to.correlation
    return hash((arrival.topic, arrival.payload, correlation))


def _check_live(arrival: Arrival) -> None:
    """Refuse a command that may have been sent before this gateway was connected, or that is sent again."""
    if arrival.retain:
        remedy = "publish it without retain, and clear it with an empty retained message"
        raise RefusedError("retained command", "retained commands are never executed", remedy)
    if arrival.duplicate:
        # This process never received the first one, so that no other answer is published for this one.
        why = "the broker sent the command again, and it may have been executed already"
        raise RefusedError("duplicate command", why, "check whether it was executed, and send it again if not")
    if arrival.resumed:
        remedy = "send it again; if it is harmless when late, give it a delivery rule with replay in the map"
        why = "the command was queued while the gateway was offline"
        raise RefusedError("queued command", why, remedy)
    if arrival.late:
        why = "the network may have delayed the command for longer than commands.max_age"
        raise RefusedError("late command", why, "send it again, and check the network if this happens often")


def _duplicate() -> RefusedError:
    # It has no outcome of its own: its sender would mistake that for the outcome of the first command.
    return RefusedError("duplicate command", "duplicate command", is_answered=False)


def timestamp(value: Argument) -> float | None:
    """Return a time in a message as seconds since 1970; None if the value is not a time.

    It is text in ISO 8601 with its offset from UTC, or seconds or milliseconds since 1970, as a number or text.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    except ValueError:
        return _iso_time(str(value))
    if not math.isfinite(number):
        return None
    return number / 1000 if abs(number) > _MILLISECONDS else number


def _iso_time(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
        return when.timestamp() if when.tzinfo is not None else None  # without offset the time zone is unknown
    except (ValueError, OverflowError):
        return None
