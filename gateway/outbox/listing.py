"""Lists of waiting messages and dead letters for people: in pages, and with long texts cut."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.message import Lane
from gateway.outbox.queues import Entry
from gateway.outbox.rows import DeadLetterRow, Row

MAX_SHOWN = 60
"""How many characters of a payload are shown; of a topic, ten times as many."""

DEAD_LETTER = "dead letters"
"""What the dead letters of an outbox are called, also in the JSON of one, in the place of its lane."""

PAGE_ROWS = 5000
"""How many rows are read for one page: the thread that reads them must soon be free for its other work."""


class Listed(NamedTuple):
    """One message: since when it waits (s, Unix time), its lane, topic and payload, and why it is a dead letter."""

    since: float
    lane: str
    topic: str
    payload: str
    reason: str = ""


class Page(NamedTuple):
    """A part of a list: the messages to show, how many match in each lane, and where the next page begins.

    `next` is None at the end.
    """

    rows: list[Listed]
    lanes: dict[str, int]
    next: int | None


def page_of(
    messages: Iterable[tuple[int, Listed]], matches: Callable[[str], bool], count: int, limit: int = PAGE_ROWS
) -> Page:
    """Return a page of up to `count` messages whose topic `matches`, from the first `limit` of `messages`.

    Each message comes with its number.
    """
    rows: list[Listed] = []
    lanes: dict[str, int] = {}
    last: int | None = None
    read = 0
    for number, row in itertools.islice(messages, limit):
        last, read = number, read + 1
        if matches(row.topic):
            lanes[row.lane] = lanes.get(row.lane, 0) + 1
            if len(rows) < count:
                rows.append(row._replace(topic=_cut(row.topic, 10 * MAX_SHOWN), reason=_cut(row.reason, 1000)))
    return Page(rows, lanes, last if read == limit else None)


def from_row(row: Row) -> tuple[int, Listed]:
    """Return the number of a row that waits, and the row as it is listed."""
    return row.number, Listed(row.since, Lane(row.lane).name.lower(), row.topic, shown(row.payload))


def from_dead_letter(row: DeadLetterRow) -> tuple[int, Listed]:
    """Return the number of a dead letter, and the dead letter as it is listed."""
    return row.number or 0, Listed(row.since, DEAD_LETTER, row.topic, shown(row.payload), row.reason)


def from_entry(entry: Entry, wall_offset: float) -> tuple[int, Listed]:
    """Return the number of an entry in memory, and the entry as it is listed.

    `wall_offset` (s) is added to its time to make that Unix time.
    """
    publication = entry.publication
    return entry.number, Listed(
        entry.since + wall_offset, Lane(entry.lane).name.lower(), publication.topic, shown(publication.payload)
    )


def shown(payload: bytes) -> str:
    """Return a payload as text that contains no control characters and is cut to `MAX_SHOWN` characters."""
    text = payload[: 4 * MAX_SHOWN + 4].decode("utf-8", "backslashreplace")
    text = text if text.isprintable() else ascii(text)[1:-1]
    return _cut(text, MAX_SHOWN)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
