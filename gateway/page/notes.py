"""Numbered notes of the tap as answers of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gateway.core.tap import Note
from gateway.page.feed import News
from gateway.runtime.live_view import NoteWriter


def answer(writer: NoteWriter, news: News) -> dict[str, Any]:
    """Return what a reader gets: the notes, the number to ask for next, and how many it has missed."""
    return {"notes": documents(writer, news.notes), "next": news.next, "missed": news.missed}


def documents(writer: NoteWriter, notes: Iterable[tuple[int, Note]]) -> list[dict[str, Any]]:
    """Return notes as JSON shows them, without secrets, each with its number."""
    return [{"number": number, **json.loads(writer.line(note))["note"]} for number, note in notes]
