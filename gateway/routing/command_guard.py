"""Keeps commands from devices that are late, said to nobody in particular, or there for the second time.

Pure: both clocks come in as arguments. A command reaches a device at most once, and fresh, or not at all; a
delivery rule of the map with `replay` opens this for commands that do no harm late.
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

_CORRELATED = 600.0  # s in which the same correlation data means the same command; senders repeat within seconds
_REMEMBERED = 10_000  # commands, about 1.5 MiB; at some ten commands a second they last longer than the above
_SEEN = 1_000  # commands without correlation data: a broker sends again only what was under way as the link ended
_MILLISECONDS = 1e11  # a timestamp over this counts milliseconds: as seconds it would be the year 5138


_DEFAULT = section_defaults(__file__)


class CommandOptions(NamedTuple):
    """The `commands` section of a configuration. Times in seconds."""

    timestamp_argument: str = ""
    timestamp_required: bool = False
    max_age: float = _DEFAULT["max_age"]
    duplicate_window: float = _DEFAULT["duplicate_window"]
    response_topics: tuple[str, ...] = _DEFAULT["response_topics"]


class CommandGuard:
    """Judges the commands that one map reads, each before it goes to the interfaces."""

    def __init__(self, options: CommandOptions | None = None, before: CommandGuard | None = None) -> None:
        self._options = options or CommandOptions()
        # When, by what makes two commands the same; the guard of before a reload has seen some.
        self._passed: OrderedDict[int, float] = before._passed if before is not None else OrderedDict()
        # Those without correlation data, done or refused: a copy of them (DUP) is not answered a second time.
        self._seen: dict[int, None] = before._seen if before is not None else {}

    def admit(self, arrival: Arrival, msg: InternalMsg, delivery: Delivery, now: float, wall: float) -> float:
        """Return for how long (s) the command `msg`, which came as `arrival`, is still worth doing.

        `now` is a monotonic time, `wall` the time of day (s since 1970). Raises `RefusedError` if it is not to
        be done.
        """
        is_correlated = arrival.reply_to is not None and arrival.reply_to.correlation != b""
        window = max(_CORRELATED if is_correlated else 0.0, self._options.duplicate_window)
        # A refused one counts, too: its sender is told so, and must not see it done when it comes again. Only of a
        # retained one nobody is told.
        counts_if_refused = is_correlated and not arrival.retain
        if counts_if_refused:
            self._check_new(arrival, window, now)
        elif arrival.qos and not arrival.retain:
            key = command_key(arrival)
            if key in self._seen:
                if arrival.duplicate:
                    raise _duplicate()
                del self._seen[key]
            elif len(self._seen) >= _SEEN:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = None  # the youngest is the last
        if not delivery.replay:
            _check_first_hand(arrival)
        seconds = self._time_left(arrival, msg, delivery, wall)
        if (window or delivery.replay) and not counts_if_refused:
            self._check_new(arrival, window, now)
        return seconds

    def without_timestamp(self, msg: InternalMsg) -> InternalMsg:
        """Return the command as its interface is to have it: the time was for the guard, and no device knows it."""
        name = self._options.timestamp_argument
        if not name or name not in msg.arguments:
            return msg
        return msg.with_arguments({key: value for key, value in msg.arguments.items() if key != name})

    def _time_left(self, arrival: Arrival, msg: InternalMsg, delivery: Delivery, wall: float) -> float:
        left = math.inf
        if arrival.expiry is not None:
            left = arrival.expiry - arrival.late  # the broker has not counted what the network took
            if left <= 0:
                raise RefusedError("expired command", "a command whose message expiry is over is not done")
        longest = delivery.lifetime
        if longest is None:
            longest = math.inf if delivery.replay else self._options.max_age
        age = self._age(msg, wall)
        if age is not None:
            if not -self._options.max_age <= age <= longest:
                when = f"{age:.0f} s old" if age > 0 else f"from {-age:.0f} s in the future"
                remedy = "check the clocks of both sides, or commands.max_age"
                what = f"a command that is {when} is not done"
                key = f"{'old' if age > 0 else 'future'} {arrival.topic}"  # without its age, which is always another
                raise RefusedError("expired command", what, remedy, key=key)
            return min(left, longest - age)
        if delivery.lifetime is not None:
            if arrival.retain or arrival.resumed or arrival.duplicate or arrival.late:
                what = "a command that waited, and may be replayed for a while only, does not say how old it is"
                remedy = "set commands.timestamp_argument, and let senders fill it in"
                raise RefusedError("undated command", what, remedy)
            return min(left, delivery.lifetime)
        return left

    def _age(self, msg: InternalMsg, wall: float) -> float | None:
        """Return how old (s) the command says it is; None if it does not, and need not."""
        name = self._options.timestamp_argument
        if not name:
            return None
        if name not in msg.arguments:
            if not self._options.timestamp_required:
                return None
            remedy = "let the sender add it, or set commands.timestamp_required to false"
            raise RefusedError("undated command", f"a command without the argument {name!a} is not done", remedy)
        when = timestamp(msg.arguments[name])
        if when is None:
            remedy = "write it as 2026-11-20T22:48:13Z, or in seconds or milliseconds since 1970"
            raise RefusedError("undated command", f"the argument {name!a} of a command is not a time", remedy)
        return wall - when

    def _check_new(self, arrival: Arrival, window: float, now: float) -> None:
        """Refuse what was there in the last `window` seconds; remember the others."""
        key = command_key(arrival)
        passed = self._passed.get(key)
        # A retained command, or one that is sent again, is the same as that of the like, however long ago.
        is_copy = arrival.retain or arrival.duplicate
        if passed is not None and (is_copy or now - passed < window):
            raise _duplicate()
        self._passed[key] = now
        self._passed.move_to_end(key)
        if len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)


def command_key(arrival: Arrival) -> int:
    """Return a number for what makes two commands the same: topic, payload and correlation data.

    The response topic is no part of it: a sender that starts anew may have another one, and may have none. Only the
    number is remembered, so that the memory does not grow with what senders put into their commands.
    """
    correlation = b"" if arrival.reply_to is None else arrival.reply_to.correlation
    return hash((arrival.topic, arrival.payload, correlation))


def _check_first_hand(arrival: Arrival) -> None:
    """Refuse whatever may have been said before this gateway listened, or is said for the second time."""
    if arrival.retain:
        remedy = "publish it without retain, and clear it with an empty retained message"
        raise RefusedError("retained command", "a retained command is never acted on", remedy)
    if arrival.duplicate:
        # This process never had the first one, so that nobody else would answer it.
        what = "a command that the broker sends again is not done, for it may be done already"
        raise RefusedError("duplicate command", what, "see whether it is done, and send it again if not")
    if arrival.resumed:
        remedy = "send it again; if it does no harm late, give it a delivery rule with replay in the map"
        raise RefusedError("queued command", "a command that waited for this gateway is not done", remedy)
    if arrival.late:
        what = "a command that the network may have held back for longer than commands.max_age is not done"
        raise RefusedError("late command", what, "send it again, and check the network if this happens often")


def _duplicate() -> RefusedError:
    # It has no outcome of its own: its sender would take that for the outcome of the first one.
    return RefusedError("duplicate command", "a duplicate: the same command was received before", is_answered=False)


def timestamp(value: Argument) -> float | None:
    """Return a time that a message gives as seconds since 1970; None if it is none.

    It is text as of ISO 8601 with its offset from UTC, or seconds or milliseconds since 1970, as number or text.
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
        return when.timestamp() if when.tzinfo is not None else None  # whose local time would it be?
    except (ValueError, OverflowError):
        return None
