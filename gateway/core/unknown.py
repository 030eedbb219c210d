"""What the gateway could not use: frames that no rule takes, and words that no map knows, grouped and counted.

Whoever drops a frame or a word looks at `UNKNOWN`: one attribute, which is None while there is no page to show it. It
is global, as the threads of a process are. What is collected is bounded: of too many groups, that of the busiest source
goes that was seen longest ago, and is counted. Any thread may call the methods, with any lock held.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from gateway.core.shape import shape_of
from gateway.errors import WordError

RULE, VALUE, CHECKSUM, PARTS = "rule", "value", "checksum", "parts"
"""Kinds of frames that were dropped: no rule takes them, no value of them can be read, their checksum is wrong, or the
others of their text did not come."""

FRAMING = "framing"
"""Bytes that never became a frame."""

WORD_OUT, WORD_IN = "word out", "word in"
"""Words that the map does not know: of a message from the interface, or from the broker."""

MOST_GROUPS = 200
"""Groups that are kept."""

MOST_EXAMPLES, LONGEST_EXAMPLE = 4, 1024
"""Different examples of a group, and the bytes of one."""

_LONGEST_TEXT = 300  # characters of a word, a reason, and where it was


class Example(NamedTuple):
    """What was dropped: a frame, of which `size` bytes there were, or for a word, where it was (as UTF-8)."""

    data: bytes
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the frame."""
        return len(self.data) == self.size


class Group(NamedTuple):
    """What of one interface was dropped for the same cause, and looks the same.

    `kind` is one of those above, `shape` what all of it has in common; of a word, that is the word, and `field` where
    in a message it stands. It was seen so many `times`, first and last at `first` and `last` (s, Unix time). `reason`
    is why the last one was dropped.
    """

    number: int
    interface: str
    kind: str
    shape: str
    field: str
    times: int
    first: float
    last: float
    reason: str
    examples: tuple[Example, ...]


class _Entry:
    """A group that grows."""

    __slots__ = ("count", "examples", "first", "last", "number", "reason")

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.count = 0
        self.first = self.last = now
        self.reason = ""
        self.examples: dict[bytes, Example] = {}


_Source = tuple[str, str]  # an interface and a kind
_Key = tuple[str, str]  # a shape and a field


class Collector:
    """Collects the groups."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._sources: dict[_Source, OrderedDict[_Key, _Entry]] = {}
        self._size = self._number = self._forgotten = 0

    def frame(self, interface: str, kind: str, frame: bytes, reason: str = "") -> None:
        """Record that a frame was dropped."""
        shape = "" if kind == CHECKSUM else shape_of(frame)  # what is damaged has no shape
        self._add((interface, kind), (shape, ""), frame, reason)

    def noise(self, interface: str, beginning: bytes, reason: str) -> None:
        """Record that bytes, which begin so, never became a frame."""
        self._add((interface, FRAMING), ("", ""), beginning, reason)

    def word(self, interface: str, error: WordError, where: object, *, is_incoming: bool) -> None:
        """Record that a word was refused. `where` it was: the topic, or the message."""
        text = ""
        with suppress(Exception):  # the words of a message are those of an interface, which may be anything
            text = str(where)[:_LONGEST_TEXT]
        reason = str(error)
        key = (error.word or reason)[:_LONGEST_TEXT], error.field
        self._add((interface, WORD_IN if is_incoming else WORD_OUT), key, text.encode("utf-8", "replace"), reason)

    def groups(self) -> tuple[list[Group], int]:
        """Return all groups, the one that was seen last first, and how many had to be forgotten."""
        with self._lock:
            groups = [
                Group(
                    entry.number, interface, kind, shape, field, entry.count, entry.first, entry.last, entry.reason,
                    tuple(entry.examples.values()),
                )
                for (interface, kind), entries in self._sources.items()
                for (shape, field), entry in entries.items()
            ]  # fmt: skip
            forgotten = self._forgotten
        return sorted(groups, key=lambda group: group.last, reverse=True), forgotten

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._sources.clear()
            self._size = self._forgotten = 0

    def _add(self, source: _Source, key: _Key, data: bytes, reason: str) -> None:
        now = self._wall_clock()
        with self._lock:
            entries = self._sources.get(source)
            if entries is None:
                entries = self._sources[source] = OrderedDict()
            entry = entries.get(key)
            if entry is None:
                self._number += 1
                entry = entries[key] = _Entry(self._number, now)
                self._size += 1
                if self._size > MOST_GROUPS:
                    self._forget_one()
            else:
                entries.move_to_end(key)
            entry.count += 1
            entry.last = now
            entry.reason = reason[:_LONGEST_TEXT]
            examples = entry.examples
            if len(examples) < MOST_EXAMPLES:
                short = data if len(data) <= LONGEST_EXAMPLE else bytes(data[:LONGEST_EXAMPLE])
                if short not in examples:
                    examples[short] = Example(short, len(data))

    def _forget_one(self) -> None:
        """Forget the group that was seen longest ago of the source that has most groups. The caller holds the lock."""
        source = max(self._sources, key=lambda each: len(self._sources[each]))
        self._sources[source].popitem(last=False)
        if not self._sources[source]:
            del self._sources[source]
        self._size -= 1
        self._forgotten += 1


class Unknown:
    """Where those look who drop something: `collector` is None while nobody wants to know."""

    def __init__(self) -> None:
        self.collector: Collector | None = None


UNKNOWN = Unknown()
"""What this process could not use."""
