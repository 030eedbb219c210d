"""Notes of the tap as answers of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable

from gateway.control.protocol import encode_line
from gateway.core.tap import Note
from gateway.page.feed import News
from gateway.runtime.live_view import NoteWriter
from gateway.web.app import Content

_BEFORE, _BEHIND = encode_line({"note": {}}).split(b"{}")  # around a note: its line is written once for all views


def answer(writer: NoteWriter, news: News) -> Content:
    """Return what a reader gets: the notes, the number to ask for next, and how many it has missed.

    `has_gap`: time has passed in which nothing was followed.
    """
    return _content(writer, (note for _, note in news.notes), next=news.next, missed=news.missed, has_gap=news.has_gap)


def beginning(writer: NoteWriter, notes: Iterable[tuple[int, Note]], following: int) -> Content:
    """Return what whoever begins to read gets: `notes` that have passed, and the number to ask for next."""
    return _content(writer, (note for _, note in notes), next=following, missed=0, has_gap=False)


def _content(writer: NoteWriter, notes: Iterable[Note], **more: object) -> Content:
    lines = (writer.line(note).removeprefix(_BEFORE).removesuffix(_BEHIND) for note in notes)
    rest = json.dumps(more).encode("ascii").removeprefix(b"{")
    return Content("application/json", b'{"notes": [%b], %b' % (b", ".join(lines), rest))
