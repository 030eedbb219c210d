"""What has become of the publications in the outbox: counted, and said where it matters."""

from __future__ import annotations

import logging
from typing import NamedTuple

from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger("gateway.outbox")

_HIGH_WATER = 0.8  # of the limit: time to say so
_LOW_WATER = 0.5  # of the limit: well again


class OutboxFull(ThrottledException):
    """A publication was dropped because the outbox is at its limit."""


class MessageExpired(ThrottledException):
    """A message waited longer than it is worth anything and was dropped."""


class SetAside(ThrottledException):
    """A publication was given up because no broker will take it."""


class OutboxCounts(NamedTuple):
    """What has become of the publications so far; `waiting` and `in_flight` are of this moment.

    `restored` waited on disk when the gateway started; `superseded` ones were states with a newer one behind them.
    """

    accepted: int = 0
    restored: int = 0
    delivered: int = 0
    superseded: int = 0
    dropped_old: int = 0
    refused_new: int = 0
    expired: int = 0
    set_aside: int = 0
    waiting: int = 0
    in_flight: int = 0

    def __str__(self) -> str:
        words = [f"{self.delivered} delivered"]
        words += [f"{number} {what}" for what, number in (
            ("superseded by newer ones", self.superseded),
            ("dropped as the oldest", self.dropped_old),
            ("refused as the newest", self.refused_new),
            ("expired", self.expired),
            ("set aside", self.set_aside),
            ("not delivered", self.waiting + self.in_flight),
        ) if number]  # fmt: skip
        return ", ".join(words)

    @property
    def dropped(self) -> int:
        """All that was not delivered and never will be."""
        return self.dropped_old + self.refused_new + self.expired + self.set_aside


def say_full(discard: str, waiting: int, dropped: int) -> None:
    """Say what the outbox does at its limit, and how much it has done so far."""
    which = "the oldest messages are dropped" if discard == "old" else "new messages are refused"
    err = OutboxFull(f"outbox full: {which} until the broker takes them faster")
    if err.trigger:
        LOG.error("%s (%d waiting, %d dropped so far)", err.report, waiting, dropped)


def say_expired(count: int) -> None:
    """Say that messages were dropped for their age."""
    err = MessageExpired(f"{count} messages were dropped: no broker took them in their lifetime")
    if err.trigger:
        LOG.warning(err.report)


def say_set_aside(topic: str, size: int, reason: str) -> None:
    """Say that a publication was given up."""
    err = SetAside(f"set aside: {size} bytes to {topic!a}: {reason}", key=topic)
    if err.trigger:
        LOG.error(err.report)


class LevelGauge:
    """Says when the outbox is filling up, and when it is well again."""

    def __init__(self) -> None:
        self._is_high = False

    @property
    def until_news(self) -> float:
        """Up to which level (0 to 1) there surely is nothing to say."""
        return 0.0 if self._is_high else _HIGH_WATER

    def is_news(self, level: float) -> bool:
        """Tell whether the level (0 to 1) is to be said."""
        return level <= _LOW_WATER if self._is_high else level >= _HIGH_WATER

    def say(self, level: float, waiting: int) -> None:
        """Say a level that is news."""
        self._is_high = not self._is_high
        if self._is_high:
            LOG.warning("outbox %d %% full (%d messages waiting)", level * 100, waiting)
        else:
            LOG.info("outbox back to %d %% (%d messages waiting)", level * 100, waiting)
