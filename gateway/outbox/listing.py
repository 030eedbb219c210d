"""What waits and what is set aside, as a list for people: in pages, and cut, however much there is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.message import Lane
from gateway.outbox.queues import Entry
from gateway.outbox.store import DeadLetterRow, Row

MAX_SHOWN = 60
"""Characters of a payload in a list, and, times ten, of a topic."""

SET_ASIDE = "set aside"
"""What stands in the place of a lane where a message is set aside."""

PAGE_ROWS = 5000
"""Rows that are looked at for one page, so that whoever looks is soon free for something else."""


class Listed(NamedTuple):
    """One message: since when it waits (s, Unix time), its lane, topic and payload, and why it was set aside."""

    since: float
    lane: str
    topic: str
    payload: str
    reason: str = ""


class Page(NamedTuple):
    """A part of a list: the messages to be shown, how many are meant in each lane, and where the next page begins.

    `next` is None at the end.
    """

    rows: list[Listed]
    lanes: dict[str, int]
    next: int | None


def page_of(
    found: Iterable[tuple[int, Listed]], is_meant: Callable[[str], bool], count: int, limit: int = PAGE_ROWS
) -> Page:
    """Return the first of `found` (each with its number) as a page that shows up to `count` of those meant."""
    rows: list[Listed] = []
    lanes: dict[str, int] = {}
    last: int | None = None
    looked_at = 0
    for number, row in itertools.islice(found, limit):
        last, looked_at = number, looked_at + 1
        if is_meant(row.topic):
            lanes[row.lane] = lanes.get(row.lane, 0) + 1
            if len(rows) < count:
                rows.append(row._replace(topic=_cut(row.topic, 10 * MAX_SHOWN), reason=_cut(row.reason, 1000)))
    return Page(rows, lanes, last if looked_at == limit else None)


def from_row(row: Row) -> tuple[int, Listed]:
    """Return the number of a row that waits, and the row as it is listed."""
    return row.number, Listed(row.since, Lane(row.lane).name.lower(), row.topic, shown(row.payload))


def from_dead_letter(row: DeadLetterRow) -> tuple[int, Listed]:
    """Return the number of a row that is set aside, and the row as it is listed."""
    return row.number or 0, Listed(row.since, SET_ASIDE, row.topic, shown(row.payload), row.reason)


def from_entry(entry: Entry, wall_offset: float) -> tuple[int, Listed]:
    """Return the number of an entry in memory, and it as it is listed; `wall_offset` makes its time Unix time (s)."""
    sent = entry.publication
    return entry.number, Listed(
        entry.since + wall_offset, Lane(entry.lane).name.lower(), sent.topic, shown(sent.payload)
    )


def shown(payload: bytes) -> str:
    """Return a payload as text that can harm no terminal, cut."""
    text = payload[: 4 * MAX_SHOWN + 4].decode("utf-8", "backslashreplace")
    text = text if text.isprintable() else ascii(text)[1:-1]
    return _cut(text, MAX_SHOWN)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
