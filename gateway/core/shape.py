"""What frames of one kind have in common, however their values differ. Pure.

Frames that differ only in numbers, in texts in quotes, or in the words behind `=` have the same shape; so have JSON
objects with the same members, texts of equally many fields that begin with the same one, and bytes of the same length
that begin with the same two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

LONGEST_SHAPE = 120
"""Characters of a shape."""

_LONGEST = 600  # bytes of a frame that count
_LEAST_SEPARATORS = 3  # in a text of fields
_MOST_MEMBERS = 30  # of a JSON object
_BEGINNING = 2  # bytes that tell one kind of bytes from another

SEPARATORS = ",;|\t"
"""The separators of a text of fields."""

LITERAL = "literal"
"""The kind of a piece that is the same in all frames of a shape. The others are those of `_VALUE`."""

_VALUE = re.compile(
    r"""
      (?P<quoted> "[^"\r\n]*" )
    | (?P<address> (?<![0-9A-Za-z]) [0-9A-Fa-f]{2} (?: [:-] [0-9A-Fa-f]{2} ){3,} (?![0-9A-Za-z]) )
    | (?P<sum> (?<=\*) [0-9A-Fa-f]{2} (?= \s* \Z ) )
    | (?P<hex> (?<![0-9A-Za-z]) (?: 0[xX] [0-9A-Fa-f]+ | (?= [A-Fa-f]* [0-9] ) (?= [0-9]* [A-Fa-f] ) [0-9A-Fa-f]{4,} )
        (?![0-9A-Za-z]) )
    | (?P<word> (?<==) [A-Za-z_]+ )
    | (?P<number> (?: (?<![0-9A-Za-z.)]) [-+] )? [0-9]+ (?: \.[0-9]+ )* (?: [eE][-+]?[0-9]+ (?![0-9A-Za-z]) )? )
    """,
    re.VERBOSE,
)
_SAME_DIGITS = bytes.maketrans(b"123456789", b"1" * 9)  # not 0, with which hexadecimal digits begin
_PLACE = {"quoted": '"…"', "word": "…"}  # how a shape shows a value; others are "#"


class Piece(NamedTuple):
    """A part of a text: what kind it is, and its text."""

    kind: str
    text: str


def shape_of(frame: bytes) -> str:
    """Return the shape of a frame, as a text that a person can read."""
    beginning = frame[:_LONGEST]
    members = _members(frame) if frame[:1] == b"{" and len(frame) <= _LONGEST else None
    if members is not None:
        return _cut(f"{{{', '.join(members)}}}")
    shape = _shape_of_text(beginning.translate(_SAME_DIGITS))
    return f"{len(frame)} bytes {frame[:_BEGINNING].hex(' ')} …" if shape is None else shape


@lru_cache(512)
def _shape_of_text(frame: bytes) -> str | None:
    """Return the shape of a text, whose digits do not count; None if it is none."""
    text = text_of(frame)
    if text is None:
        return None
    separator = separator_of(text)
    if separator is None:
        return _cut(_placed(text))
    fields = text.split(separator)
    return _cut(f"{_placed(fields[0])}{separator}… ({len(fields)} fields)")


def _cut(shape: str) -> str:
    return shape if len(shape) <= LONGEST_SHAPE else f"{shape[: LONGEST_SHAPE - 1]}…"


def text_of(frame: bytes) -> str | None:
    """Return a frame as a text, or None if it is none: it has control characters, or too few of ASCII."""
    try:
        text = frame.decode()
    except UnicodeDecodeError:
        text = frame.decode("latin-1")
        if sum(byte >= 0x80 for byte in frame) * 4 > len(frame):
            return None
    is_text = text.isprintable() or all(char.isprintable() or char in "\t\r\n" for char in text)
    return text if is_text else None


def separator_of(text: str) -> str | None:
    """Return what separates the fields of a text, or None if it has no fields, or pairs."""
    best = max(SEPARATORS, key=text.count)
    return best if text.count(best) >= _LEAST_SEPARATORS > text.count("=") else None


def pieces(text: str) -> Iterator[Piece]:
    """Yield the parts of a text: what all frames of its shape have, and between them the values."""
    end = 0
    for match in _VALUE.finditer(text):
        if match.start() > end:
            yield Piece(LITERAL, text[end : match.start()])
        yield Piece(match.lastgroup or "", match.group())
        end = match.end()
    if end < len(text):
        yield Piece(LITERAL, text[end:])


def _placed(text: str) -> str:
    return "".join(piece.text if piece.kind == LITERAL else _PLACE.get(piece.kind, "#") for piece in pieces(text))


def _members(frame: bytes) -> list[str] | None:
    """Return the names of the members of a JSON object, sorted; None if the frame is none."""
    try:
        value = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return sorted(value)[:_MOST_MEMBERS] if isinstance(value, dict) else None
