"""The values of a frame in which a part occurs again: lists, or the values of each repetition. Pure.

An extractor that has read such a frame returns one `FrameValues` in place of a plain dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

MAX_REPETITIONS = 4096
"""How many repetitions a frame may have, all of them together; a rule does not match a frame that has more."""


class Repetition(NamedTuple):
    """One repetition in a frame whose values are read apart (`each`): the number of its group, from 1, and its values.

    The repetitions that one option describes are a group.
    """

    group: int
    values: Mapping[str, Any]


class FrameValues(dict[str, Any]):
    """The values of a frame outside of its `repetitions`; a repetition that is not read apart has made lists.

    `lost` has the values that the frame has more than once, though there is room for one: why, by name.
    """

    def __init__(
        self, values: Mapping[str, Any], repetitions: Sequence[Repetition] = (), lost: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(values)
        self.repetitions = repetitions
        self.lost = lost or {}


def as_lists(names: Iterable[str], items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return a list for each name, with one entry for each of `items`: None where it has no such value."""
    return {name: [item.get(name) for item in items] for name in names}


def each_of(items: Iterable[Any], convert: Callable[[Any], Any]) -> list[Any]:
    """Return the list with each entry converted, also in the lists within it; empty entries are None."""
    return [
        each_of(item, convert) if type(item) is list else None if item is None or item == "" else convert(item)
        for item in items
    ]
