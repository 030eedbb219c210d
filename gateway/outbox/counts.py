"""Counts what becomes of the publications in the outbox, and logs what is lost."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from gateway.core.counting import counted
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import Throttle, in_words
from gateway.outbox.options import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS, DiscardPolicy

LOG = package_logger(__name__)

_HIGH_WATER = 0.8  # of the limit: a warning is logged
_LOW_WATER = 0.5  # of the limit: it is logged that the outbox has room again
_PERIOD = 60.0  # s between two lines about the same loss, so that losses do not flood the log
_MOST_LINES = 10  # about dead letters with one reason, one after the other


class OutboxCounts(NamedTuple):
    """What has become of the publications so far; `waiting` and `in_flight` are those of this moment.

    `restored` ones waited on disk when the gateway started; `superseded` ones were states that a newer one replaced.
    `dead_letters` are those of this run; `dead_letters_dropped` were dropped because only the last ones are kept, and
    may be of an earlier run. `not_accepted` ones were refused by the broker as well, and are made anew by whoever has
    put them.
    """

    accepted: int = 0
    restored: int = 0
    delivered: int = 0
    superseded: int = 0
    dropped_old: int = 0
    refused_new: int = 0
    expired: int = 0
    dead_letters: int = 0
    not_accepted: int = 0
    dead_letters_dropped: int = 0
    waiting: int = 0
    in_flight: int = 0

    def __str__(self) -> str:
        return self.in_words(kept=0)

    def in_words(self, kept: int) -> str:
        """Return the counts at the end of a run, of which `kept` messages stay on disk for the next one."""
        words = [f"{self.delivered} delivered"]
        words += [f"{number} {what}" for what, number in (
            ("superseded by newer ones", self.superseded),
            ("dropped as the oldest", self.dropped_old),
            ("refused as the newest", self.refused_new),
            ("expired", self.expired),
            ("dead letters", self.dead_letters),
            ("not accepted", self.not_accepted),
            ("dead letters dropped", self.dead_letters_dropped),
            ("kept on disk", kept),
            ("not delivered", max(0, self.waiting + self.in_flight - max(0, kept))),
        ) if number > 0]  # fmt: skip
        return ", ".join(words)

    @property
    def dropped(self) -> int:
        """How many were not delivered and never will be."""
        return self.dropped_old + self.refused_new + self.expired + self.dead_letters


COUNTERS = tuple(name for name in OutboxCounts._fields if name not in ("waiting", "in_flight"))
"""The counts that only grow."""


class LossLog:
    """Logs what the outbox loses: the first loss immediately, then totals once a period, and a last total at its end.

    `clock` returns the time in s. Any thread may call the methods.
    """

    def __init__(self, policy: DiscardPolicy, clock: Callable[[], float]) -> None:
        self._full = f"outbox full: {policy.log_text} until the broker accepts them faster"
        self._clock = clock
        self._lock = Lock()
        self.dropped_since_full = 0
        """How many messages were dropped or refused since the outbox last had room."""
        self._logged = 0  # of these
        self._full_since = self._expired_since = -_PERIOD
        self._expired = 0
        self._dead_letters_dropped = 0
        self._dead_letters_dropped_since = -_PERIOD
        self._dead_letters = Throttle(burst=_MOST_LINES)
        self._not_remembered = Throttle()
        self.is_pending = False
        """Whether `tick` may have something to log."""

    def log_full(self, count: int, waiting: int) -> None:
        """Log that `count` messages were dropped or refused at the limit, while `waiting` ones wait."""
        with self._lock:
            self.dropped_since_full += count
            now = self._clock()
            if self._logged and now - self._full_since < _PERIOD:
                self.is_pending = True
                return
            self._full_since, self._logged = now, self.dropped_since_full
            LOG.error("%s (%d waiting, %d dropped so far)", self._full, waiting, self.dropped_since_full)

    def log_room(self) -> None:
        """Log how many messages were dropped in total, now that the outbox has room again."""
        with self._lock:
            self._log_room()

    def _log_room(self) -> None:
        if self.dropped_since_full > self._logged:
            LOG.warning("outbox has room again; %s dropped in total", _messages_were(self.dropped_since_full))
        self.dropped_since_full = self._logged = 0

    def log_expired(self, count: int) -> None:
        """Log that `count` messages were dropped because their lifetime was over."""
        with self._lock:
            self._expired += count
            self.is_pending = True
            self._log_expired(self._clock())

    def _log_expired(self, now: float) -> None:
        if self._expired and now - self._expired_since >= _PERIOD:
            them = "it within its lifetime" if self._expired == 1 else "them within their lifetime"
            LOG.warning("%s dropped: no broker accepted %s", _messages_were(self._expired), them)
            self._expired, self._expired_since = 0, now

    def log_dead_letter(self, topic: str, size: int, reason: str) -> None:
        """Log a dead letter of `size` bytes and its reason; of very many with one reason, only how many."""
        with self._lock:
            self._log_dead_letter(topic, size, reason)

    def _log_dead_letter(self, topic: str, size: int, reason: str) -> None:
        text = f"{topic!a}: {reason}"
        kind = re.sub(r"[0-9]+", "0", reason)
        times = self._dead_letters.count(kind, _PERIOD, self._clock(), text, logging.ERROR)
        if times is None:
            self.is_pending = True
            return
        more = f" ({times[0]} times in the last {in_words(times[1])})" if times[0] > 1 else ""
        LOG.error("dead letter: %s to %s%s", counted(size, "byte"), text, more)

    def _log_more_dead_letters(self, now: float) -> None:
        for more in self._dead_letters.pop_suppressed(now):
            LOG.error(
                "dead letter: %d more in %s, the last of them to %s", more.times, in_words(more.seconds), more.message
            )

    def log_dead_letters_dropped(self, count: int) -> None:
        """Log that `count` dead letters were dropped, because only the last ones are kept."""
        with self._lock:
            self._dead_letters_dropped += count
            self.is_pending = True
            self._log_dead_letters_dropped(self._clock())

    def _log_dead_letters_dropped(self, now: float) -> None:
        if self._dead_letters_dropped and now - self._dead_letters_dropped_since >= _PERIOD:
            LOG.error(
                "dropped the oldest %s: only the last %d are kept, or %d MiB",
                counted(self._dead_letters_dropped, "dead letter"), MAX_DEAD_LETTERS, MAX_DEAD_LETTER_BYTES // 1024**2,
            )  # fmt: skip
            self._dead_letters_dropped, self._dead_letters_dropped_since = 0, now

    def log_not_remembered(self, topic: str) -> None:
        """Log that what is retained on `topic` is not remembered, because too much is."""
        if self._not_remembered.count("", _PERIOD, self._clock()) is not None:
            LOG.warning(
                "too many retained messages to remember all of them: %a is not published again if the broker loses it",
                topic,
            )

    def tick(self) -> None:
        """Log what was held back, as far as its period is over."""
        with self._lock:
            now = self._clock()
            self._log_expired(now)
            self._log_dead_letters_dropped(now)
            self._log_more_dead_letters(now)
            if self.dropped_since_full > self._logged and now - self._full_since >= _PERIOD:
                self._log_room()
            self.is_pending = bool(
                self._expired
                or self._dead_letters_dropped
                or self.dropped_since_full > self._logged
                or self._dead_letters.is_pending
            )  # fmt: skip


class LevelGauge:
    """Logs when the outbox is filling up, and when it has room again: each once. Any thread may call the methods."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.is_high = False
        """Whether the last line logged was that the outbox is filling up."""
        self.next_watermark = _HIGH_WATER
        """Below this level (0 to 1) there certainly is no line to log."""

    def crossed_watermark(self, level: float) -> bool:
        """Return whether `level` (0 to 1) is to be logged."""
        return level <= _LOW_WATER if self.is_high else level >= _HIGH_WATER

    def log(self, level: float, waiting: int) -> bool:
        """Log `level` if it has crossed a watermark; return False if another thread has logged that already."""
        with self._lock:
            if not self.crossed_watermark(level):
                return False
            self.is_high = not self.is_high
            self.next_watermark = 0.0 if self.is_high else _HIGH_WATER
            if self.is_high:
                LOG.warning("outbox %d %% full (%s waiting)", level * 100, counted(waiting, "message"))
            else:
                LOG.info("outbox back to %d %% (%s waiting)", level * 100, counted(waiting, "message"))
            return True


def _messages_were(count: int) -> str:
    return counted(count, "message was", "messages were")
