"""Which filters are subscribed to, and which copy of a message counts where several of them match it. Pure.

A broker may send a message once for each filter that matches it (MQTT 5.0, section 3.3.4; Mosquitto does). Filters
that overlap are therefore subscribed to with a number each, which comes with every copy: that of the oldest filter
counts. A filter without a number, subscribed to when nothing overlapped, counts as 0.

A session that is resumed may have filters of an earlier run, with another map. Nobody knows these, and their copies
must not count beside those of ours: there all filters have a number, and each always the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from paho.mqtt.matcher import MQTTMatcher

from gateway.core.topic import filter_levels

_NUMBERS = 268_435_455  # that there are


class _Match(NamedTuple):
    """A filter, as those that match a topic are compared: the lowest age is that of the oldest."""

    age: int
    is_shared: bool
    number: int


class Subscriptions:
    """The filters that the broker has, and their numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._matcher: MQTTMatcher | None = None  # where there are numbers
        self._is_resumed = False

    def begin_anew(self, *, is_resumed: bool) -> None:
        """Forget all filters, since there is another link; `is_resumed`: the session may have more than ours."""
        self._numbers.clear()
        self._matcher = None
        self._is_resumed = is_resumed

    def add(self, filters: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield `filters` with their numbers; 0: it needs none."""
        others = [known for known in self._numbers if known not in filters]
        needed = self._is_resumed or overlap([*filters, *others], at_least_one_of=frozenset(filters))
        for topic_filter in filters:
            self._numbers[topic_filter] = self._number(topic_filter) if needed else 0
        self._index()
        for topic_filter in filters:
            yield topic_filter, self._numbers[topic_filter]

    def remove(self, filters: Iterable[str]) -> None:
        """Forget `filters`: the broker has them no more."""
        for topic_filter in filters:
            self._numbers.pop(topic_filter, None)
        self._index()

    def counts(self, topic: str, numbers: Collection[int], *, may_have_waited: bool = False) -> bool:
        """Tell whether the copy of a message that has come with `numbers` is the one that counts.

        It is that of the filter which was subscribed to first: of those that were added later the broker may have
        known nothing yet. One with none of our numbers is of a filter that is left, and ours have brought another; but
        one that `may_have_waited` in the session counts: ours had none yet.
        """
        if self._matcher is None:
            return not numbers or may_have_waited
        matches = self._matcher.iter_match(topic)  # type: ignore[no-untyped-call]
        found: list[_Match] = [match for of_levels in matches for match in of_levels]
        own = numbers or (0,)
        if not found or any(match.is_shared and match.number in own for match in found):
            return True  # another member of the group may have got the others
        if may_have_waited and not any(match.number in own for match in found):
            return True
        oldest = min((match for match in found if not match.is_shared), default=None)
        return oldest is not None and oldest.number in own

    def _number(self, topic_filter: str) -> int:
        """Return a number that tells `topic_filter` from others, in every run (MQTT 5.0, section 3.8.2.1.2)."""
        number = zlib.crc32(topic_filter.encode()) % _NUMBERS
        while number + 1 in self._numbers.values():
            number = (number + 1) % _NUMBERS
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
        for plain, of_levels in by_levels.items():
            self._matcher[plain] = of_levels


def overlap(filters: Sequence[str], at_least_one_of: Collection[str]) -> bool:
    """Tell whether a topic can match two of `filters`, one of them of `at_least_one_of`."""
    levels = [(filter_levels(one), one in at_least_one_of) for one in filters]
    return any(
        (is_new or other_is_new) and _overlap(one, other)
        for index, (one, is_new) in enumerate(levels)
        for other, other_is_new in levels[index + 1 :]
    )


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    for mine, theirs in zip(one, other, strict=False):
        if "#" in (mine, theirs):
            return True
        if mine != theirs and "+" not in (mine, theirs):
            return False
    short, long = sorted((one, other), key=len)
    return len(short) == len(long) or list(long[len(short) :]) == ["#"] or short[-1:] == ["#"]
