"""What is wrong with a part of the gateway although it works, as its health tells it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Trouble(NamedTuple):
    """Something that is wrong at this moment: since when (s), what, and the remedy.

    `is_silence`: devices do not answer, which their own statuses may tell.
    """

    since: float
    what: str
    remedy: str
    is_silence: bool = False


RECENT = 600.0
"""Seconds for which something that happens again and again counts as wrong after it has happened last."""

MANY = 3
"""Interruptions within that time that are too many."""


class Recurrence:
    """Something that goes wrong again and again: a state that ends some time after it has happened last.

    Times are in seconds. One thread at a time may call `record`, any thread the others.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float, str] | None = None  # since when, when last, and the text

    def record(self, what: str, now: float) -> None:
        """Record that it has happened."""
        last = self._last
        since = last[0] if last is not None and now - last[1] < RECENT else now
        self._last = since, now, what

    def end(self) -> None:
        """Record that it is over, because what has caused it was changed."""
        self._last = None

    def current(self, now: float) -> tuple[float, str] | None:
        """Return since when it has been happening, and what has happened last; None: it does not."""
        last = self._last
        return None if last is None or now - last[1] >= RECENT else (last[0], last[2])


class Interruptions:
    """Something that works, but is interrupted again and again: a state that ends when that has become rare.

    Times are in seconds. One thread at a time may call `record`, any thread `current`.
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[float, ...], str] = (), ""

    def record(self, why: str, now: float) -> None:
        """Record that it has been interrupted."""
        self._last = (*self._last[0], now)[-MANY:], why

    def current(self, now: float) -> tuple[float, str] | None:
        """Return since when there have been `MANY`, if that is recent, and why it was the last time."""
        times, why = self._last
        return (times[0], why) if len(times) == MANY and now - times[0] < RECENT else None
