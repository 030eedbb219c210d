"""Draws a map: internal words left, MQTT words right; lines show which are written and which are only read. Pure.

This module draws for a terminal; `gateway.map_tools.svg` draws the same for a browser.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from gateway.message import ADDRESS_FIELDS
from gateway.translation.mqtt_map import FIELDS, MsgMap
from gateway.translation.syntax import SEVEN_LEVELS, BoundForm

MAX_ENTRIES = 1000
"""The number of entries drawn for one field; the others are only counted."""

OTHER_WORDS = {
    "none": "every word passes unchanged",
    "loose": "any other word passes unchanged",
    "strict": "any other word is refused",
}
"""What each type of map does with a word that it does not contain."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The part of a drawing for one field: its entries, each an internal word and its MQTT words, as readable text."""

    field: str
    maptype: str
    entries: tuple[tuple[str, tuple[str, ...]], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """The content of a drawing of a map.

    `empty` is a line about the word for empty levels, or empty; `forms` are those of a declared syntax; `plain` are
    the fields without entries.
    """

    title: str
    root: str
    empty: str
    filters: tuple[str, ...]
    forms: tuple[str, ...]
    panels: tuple[Panel, ...]
    plain: tuple[str, ...]


def drawing_of(msg_map: MsgMap, title: str) -> Drawing:
    """Return the drawing of a map."""
    panels, plain = [], []
    for name in FIELDS:
        field = msg_map.fields[name]
        if field.maptype == "none" or not field.entries:
            plain.append(name)
            continue
        drawn = list(field.entries.items())[:MAX_ENTRIES]
        entries = tuple((readable(internal), tuple(map(readable, words))) for internal, words in drawn)
        panels.append(Panel(name, field.maptype, entries, len(field.entries) - len(drawn)))
    filters = tuple(map(readable, msg_map.topics))
    forms = tuple(map(_form_text, msg_map.forms)) if msg_map.syntax != SEVEN_LEVELS else ()
    empty = f"empty levels are written as {readable(msg_map.empty_level)}" if msg_map.empty_level else ""
    return Drawing(readable(title), readable(msg_map.root), empty, filters, forms, tuple(panels), tuple(plain))


def _form_text(form: BoundForm) -> str:
    declared = form.form
    payload = f"value of {readable(declared.argument)}" if declared.payload == "value" else declared.payload
    constants = [f"{name} {readable(declared.constants.get(name, ''))}" for name in (*ADDRESS_FIELDS, "action")
                 if name not in declared.places and name != "sender"]  # fmt: skip
    always = f"; {', '.join(constants)}" if constants else ""
    return f"{'command' if declared.iscmd else 'status'} {readable(declared.topic)}, payload: {payload}{always}"


def readable(word: str) -> str:
    """Return a word as readable text: quoted and escaped if it is empty or contains invisible characters."""
    return word if word and word.isprintable() and word == word.strip() else ascii(word)


def columns(text: str) -> int:
    """Return how many columns a text occupies in a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, limit: int, mark: str = "…") -> str:
    """Return `text` in at most `limit` columns; if it is cut, it ends with `mark`."""
    if columns(text) <= limit:
        return text
    while text and columns(text) > limit - columns(mark):
        text = text[:-1]
    return text + mark


# --- in a terminal

# The line from an internal word to its only MQTT word, to the first of several, to a middle one, to the last one.
_BOXES = ("◀───▶ ", "◀─┬─▶ ", "  ├── ", "  ╰── ", "…")
_PLAIN = ("<---> ", "<-+-> ", "  +-- ", "  '-- ", "...")


def draw_in_terminal(drawing: Drawing, width: int, *, boxes: bool = True) -> Iterator[str]:
    """Yield the lines of a drawing, none wider than `width` columns; without `boxes` in ASCII characters only."""
    only, first, between, last, mark = _BOXES if boxes else _PLAIN
    yield cut(drawing.title, width, mark)
    yield cut(f"root {drawing.root}", width, mark)
    if drawing.empty:
        yield cut(drawing.empty, width, mark)
    yield cut("filters" if drawing.filters else "no filters: the gateway receives nothing", width, mark)
    yield from (cut(f"  {topic_filter}", width, mark) for topic_filter in drawing.filters)
    if drawing.forms:
        yield "forms"
    yield from (cut(f"  {form}", width, mark) for form in drawing.forms)
    for panel in drawing.panels:
        yield ""
        yield from wrap(f"{panel.field}, {panel.maptype}: {OTHER_WORDS[panel.maptype]}", width)
        widest = max(columns(internal) for internal, _ in panel.entries)
        left = min(widest, max((width - len(only) - 3) // 2, 8))
        for internal, words in panel.entries:
            shown = cut(internal, left, mark)
            shown += " " * (left - columns(shown))
            lines = [only] if len(words) == 1 else [first, *[between] * (len(words) - 2), last]
            for line, word in zip(lines, words, strict=True):
                yield cut(f"  {shown} {line}{word}", width, mark)
                shown = " " * left
        if panel.left_out:
            yield f"  {mark} {panel.left_out} more"
    yield ""
    if drawing.plain:
        yield from wrap(f"{', '.join(drawing.plain)}: {OTHER_WORDS['none']}", width)
    if drawing.panels:
        yield from wrap(f"internal word {only}MQTT word, written and read; {last.strip()} only read", width)
