"""How commands show in a terminal what comes from elsewhere: as one line, control characters escaped, in colours."""

from __future__ import annotations

import sys

GREY, BLUE, GREEN, YELLOW, RED, _RESET = "\033[2m", "\033[34m", "\033[32m", "\033[33m", "\033[31m", "\033[0m"


def paint(text: str, colour: str, colours: bool) -> str:
    """Return `text` in a colour, if `colours` are to be used."""
    return f"{colour}{text}{_RESET}" if colours else text


def readable(text: str | bytes, encoding: str | None = None) -> str:
    """Return a text, or bytes that should be UTF-8, as one line that a terminal with this encoding shows as it is.

    Control characters, which could change the terminal, are escaped, and so is what the encoding does not have: as in
    JSON, so that a document can be copied.
    """
    text = text.decode(errors="backslashreplace") if isinstance(text, bytes) else text
    if text.isascii() and text.isprintable():  # as nearly all is, at a hundredth of the cost
        return text
    encoding = encoding or sys.stdout.encoding or "ascii"
    return "".join(c if c.isprintable() and _is_in(encoding, c) else _escaped(c) for c in text)


def _is_in(encoding: str, character: str) -> bool:
    return character < "\x80" or character.encode(encoding, "ignore") != b""


def _escaped(character: str) -> str:
    if character < "\x80":
        return ascii(character)[1:-1]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
