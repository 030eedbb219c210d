"""What has become of the publications in the outbox: counted, and logged where it matters."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from gateway.outbox.files import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS

LOG = logging.getLogger("gateway.outbox")

_HIGH_WATER = 0.8  # of the limit: time to say so
_LOW_WATER = 0.5  # of the limit: well again
_PERIOD = 60.0  # s between two lines about the same loss; an operator reads a log, not a film
_MOST_LINES = 10  # about dead letters of one reason in a period
_MAX_REASONS = 100  # of dead letters, which are the broker's words


class OutboxCounts(NamedTuple):
    """What has become of the publications so far; `waiting` and `in_flight` are of this moment.

    `restored` waited on disk when the gateway started; `superseded` ones were states with a newer one behind them.
    `dead_letters_dropped` were set aside, by this run or one before, and more came than are kept.
    """

    accepted: int = 0
    restored: int = 0
    delivered: int = 0
    superseded: int = 0
    dropped_old: int = 0
    refused_new: int = 0
    expired: int = 0
    set_aside: int = 0
    dead_letters_dropped: int = 0
    waiting: int = 0
    in_flight: int = 0

    def __str__(self) -> str:
        return self.in_words(kept=0)

    def in_words(self, kept: int) -> str:
        """Return the counts at the end of a run, of which so many are `kept` on disk for the next one."""
        words = [f"{self.delivered} delivered"]
        words += [f"{number} {what}" for what, number in (
            ("superseded by newer ones", self.superseded),
            ("dropped as the oldest", self.dropped_old),
            ("refused as the newest", self.refused_new),
            ("expired", self.expired),
            ("set aside", self.set_aside),
            ("dead letters dropped", self.dead_letters_dropped),
            ("kept on disk", kept),
            ("not delivered", max(0, self.waiting + self.in_flight - max(0, kept))),
        ) if number > 0]  # fmt: skip
        return ", ".join(words)

    @property
    def dropped(self) -> int:
        """All that was not delivered and never will be."""
        return self.dropped_old + self.refused_new + self.expired + self.set_aside


class _Dead:
    """Dead letters of one reason: since when (s) they are counted, how many lines there were, and what is held back."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.lines = 0
        self.held_back = 0
        self.last = ""


class LossLog:
    """Logs what the outbox loses: the first at once, then totals once a period, and what is left over at its end.

    `clock` returns the time in s. Any thread may call it.
    """

    def __init__(self, discard: str, clock: Callable[[], float]) -> None:
        which = "the oldest messages are dropped" if discard == "old" else "new messages are refused"
        self._full = f"outbox full: {which} until the broker takes them faster"
        self._clock = clock
        self._lock = Lock()
        self._dropped = self._logged = 0  # since the outbox was well
        self._full_since = self._expired_since = -_PERIOD
        self._expired = 0
        self._dead_dropped = 0
        self._dead_dropped_since = -_PERIOD
        self._dead: OrderedDict[str, _Dead] = OrderedDict()
        self._forgotten_since = -_PERIOD
        self.is_pending = False
        """Whether `tick` may have something to log."""

    def log_full(self, count: int, waiting: int) -> None:
        """Log that `count` messages were dropped or refused at the limit, while so many wait."""
        with self._lock:
            self._dropped += count
            now = self._clock()
            if self._logged and now - self._full_since < _PERIOD:
                self.is_pending = True
                return
            self._full_since, self._logged = now, self._dropped
            LOG.error("%s (%d waiting, %d dropped so far)", self._full, waiting, self._dropped)

    def log_room(self) -> None:
        """Log how many were dropped in all, now that the outbox has room again."""
        with self._lock:
            self._log_room()

    def _log_room(self) -> None:
        if self._dropped > self._logged:
            LOG.error("outbox full: this is over; %d messages were dropped in all", self._dropped)
        self._dropped = self._logged = 0

    def log_expired(self, count: int) -> None:
        """Log that `count` messages were dropped for their age."""
        with self._lock:
            self._expired += count
            self.is_pending = True
            self._log_expired(self._clock())

    def _log_expired(self, now: float) -> None:
        if self._expired and now - self._expired_since >= _PERIOD:
            LOG.warning("%d messages were dropped: no broker took them in their lifetime", self._expired)
            self._expired, self._expired_since = 0, now

    def log_dead_letter(self, topic: str, size: int, reason: str) -> None:
        """Log that a message of `size` bytes was set aside, and why; of very many with one reason, how many."""
        with self._lock:
            self._log_dead_letter(topic, size, reason)

    def _log_dead_letter(self, topic: str, size: int, reason: str) -> None:
        now = self._clock()
        kind = re.sub(r"[0-9]+", "0", reason)
        dead = self._dead.get(kind)
        if dead is not None and now - dead.since >= _PERIOD:
            self._end(kind, now)
            dead = None
        if dead is None:
            dead = self._dead[kind] = _Dead(now)
            if len(self._dead) > _MAX_REASONS:
                self._end(next(iter(self._dead)), now)
        if dead.lines < _MOST_LINES:
            dead.lines += 1
            LOG.error("set aside: %d bytes to %a: %s", size, topic, reason)
            return
        dead.held_back += 1
        dead.last = f"{topic!a}: {reason}"
        self.is_pending = True

    def _end(self, kind: str, now: float) -> None:
        dead = self._dead.pop(kind)
        if dead.held_back:
            LOG.error("set aside: %d more in %.0f s, the last of them to %s",
                      dead.held_back, now - dead.since, dead.last)  # fmt: skip

    def log_dead_letters_dropped(self, count: int) -> None:
        """Log that `count` messages that were set aside are dropped, since more came than are kept."""
        with self._lock:
            self._dead_dropped += count
            self.is_pending = True
            self._log_dead_dropped(self._clock())

    def _log_dead_dropped(self, now: float) -> None:
        if self._dead_dropped and now - self._dead_dropped_since >= _PERIOD:
            LOG.error(
                "dropped: the oldest %d messages that were set aside: of those the last %d are kept, or %d MiB",
                self._dead_dropped, MAX_DEAD_LETTERS, MAX_DEAD_LETTER_BYTES // 1024**2,
            )  # fmt: skip
            self._dead_dropped, self._dead_dropped_since = 0, now

    def log_not_remembered(self, topic: str) -> None:
        """Log that the outbox does not remember what is retained on `topic`, having enough of it."""
        now = self._clock()
        if now - self._forgotten_since >= _PERIOD:
            self._forgotten_since = now
            LOG.warning(
                "too much is retained to remember all of it: %a is not sent again if the broker loses it", topic
            )

    def tick(self) -> None:
        """Log what was held back, and whose period is over."""
        with self._lock:
            now = self._clock()
            self._log_expired(now)
            self._log_dead_dropped(now)
            for kind in [kind for kind, dead in self._dead.items() if now - dead.since >= _PERIOD]:
                self._end(kind, now)
            if self._dropped > self._logged and now - self._full_since >= _PERIOD:
                self._log_room()
            held_back = any(dead.held_back for dead in self._dead.values())
            self.is_pending = bool(self._expired or self._dead_dropped or self._dropped > self._logged or held_back)


class LevelGauge:
    """Says when the outbox is filling up, and when it is well again."""

    def __init__(self) -> None:
        self.is_high = False
        """Whether that it is filling up was the last that there was to log."""

    @property
    def next_watermark(self) -> float:
        """Up to which level (0 to 1) there surely is nothing to say."""
        return 0.0 if self.is_high else _HIGH_WATER

    def crossed_watermark(self, level: float) -> bool:
        """Tell whether the level (0 to 1) is to be said."""
        return level <= _LOW_WATER if self.is_high else level >= _HIGH_WATER

    def say(self, level: float, waiting: int) -> None:
        """Say a level that is news."""
        self.is_high = not self.is_high
        if self.is_high:
            LOG.warning("outbox %d %% full (%d messages waiting)", level * 100, waiting)
        else:
            LOG.info("outbox back to %d %% (%d messages waiting)", level * 100, waiting)
