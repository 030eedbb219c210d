"""Decides which copy of a message counts if several of the filters subscribed to match it. Pure.

A broker may send a message once for each filter that matches it (MQTT 5.0, section 3.3.4; Mosquitto does). Each of the
filters that overlap is therefore subscribed to with a number (a subscription identifier), which comes with every copy:
the copy of the oldest filter counts. A filter without a number, subscribed to when nothing overlapped, counts as 0.

A session that is resumed may contain filters of an earlier run with another map. They are unknown here, and their
copies must not count beside those of our filters: in such a session all filters have a number, and each always the
same.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from paho.mqtt.matcher import MQTTMatcher

from gateway.core.topic import filter_levels

_MAX_NUMBER = 268_435_455


class _Match(NamedTuple):
    """A filter that matches a topic; matches are compared by age, and the lowest age is that of the oldest filter."""

    age: int
    is_shared: bool
    number: int


class Subscriptions:
    """The filters that the broker has, and their numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._matcher: MQTTMatcher | None = None  # None if no filter has a number
        self._is_resumed = False

    def reset(self, *, is_resumed: bool) -> None:
        """Forget all filters, for a new link; `is_resumed`: its session may contain other filters than ours."""
        self._numbers.clear()
        self._matcher = None
        self._is_resumed = is_resumed

    def add(self, filters: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield `filters` with their numbers; 0: the filter needs none."""
        others = [topic_filter for topic_filter in self._numbers if topic_filter not in filters]
        needed = self._is_resumed or overlap([*filters, *others], at_least_one_of=frozenset(filters))
        for topic_filter in filters:
            self._numbers[topic_filter] = self._number(topic_filter) if needed else 0
        self._index()
        for topic_filter in filters:
            yield topic_filter, self._numbers[topic_filter]

    def remove(self, filters: Iterable[str]) -> None:
        """Forget `filters`: the broker does not have them any more."""
        for topic_filter in filters:
            self._numbers.pop(topic_filter, None)
        self._index()

    def counts(self, topic: str, numbers: Collection[int], *, may_have_waited: bool = False) -> bool:
        """Return whether the copy of a message that has come with `numbers` is the one that counts.

        It is the copy of the filter that was subscribed to first: the broker may not have known a later one yet. A copy
        without any of our numbers comes from a filter that was given up, and our filters have brought another copy; but
        it counts if it `may_have_waited` in the session, where our filters had no number yet.
        """
        if self._matcher is None:
            return not numbers or may_have_waited
        nodes = self._matcher.iter_match(topic)  # type: ignore[no-untyped-call]
        matches: list[_Match] = [match for node in nodes for match in node]
        numbers = numbers or (0,)
        if not matches or any(match.is_shared and match.number in numbers for match in matches):
            return True  # another member of the group may have received the other copies
        if may_have_waited and not any(match.number in numbers for match in matches):
            return True
        oldest = min((match for match in matches if not match.is_shared), default=None)
        return oldest is not None and oldest.number in numbers

    def _number(self, topic_filter: str) -> int:
        """Return a number that distinguishes `topic_filter` in every run (MQTT 5.0, section 3.8.2.1.2)."""
        number = zlib.crc32(topic_filter.encode()) % _MAX_NUMBER
        while number + 1 in self._numbers.values():
            number = (number + 1) % _MAX_NUMBER
        return number + 1

    def _index(self) -> None:
        self._matcher = None
        if not any(self._numbers.values()):
            return
        by_levels: dict[str, list[_Match]] = {}
        for age, (topic_filter, number) in enumerate(self._numbers.items()):
            plain = "/".join(filter_levels(topic_filter))
            by_levels.setdefault(plain, []).append(_Match(age, topic_filter.startswith("$share/"), number))
        self._matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        for plain, matches in by_levels.items():
            self._matcher[plain] = matches


def overlap(filters: Sequence[str], at_least_one_of: Collection[str]) -> bool:
    """Return whether a topic can match two of `filters`, one of them in `at_least_one_of`."""
    levels = [(filter_levels(topic_filter), topic_filter in at_least_one_of) for topic_filter in filters]
    return any(
        (is_new or other_is_new) and _overlap(first, second)
        for index, (first, is_new) in enumerate(levels)
        for second, other_is_new in levels[index + 1 :]
    )


def _overlap(first: Sequence[str], second: Sequence[str]) -> bool:
    for a, b in zip(first, second, strict=False):
        if "#" in (a, b):
            return True
        if a != b and "+" not in (a, b):
            return False
    short, long = sorted((first, second), key=len)
    return len(short) == len(long) or list(long[len(short) :]) == ["#"] or short[-1:] == ["#"]
