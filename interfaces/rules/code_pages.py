"""The character encodings of devices: utf-8, and the code pages in which each character is one byte. Pure."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Iterator

from gateway.errors import GatewayError, Problem

_CONTROLS = range(32)
_NOTATIONS = frozenset(
    ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "charmap", "undefined", "mbcs", "oem")
)
"""What Python calls text encodings, but is a notation of text for another purpose, or none at all."""


class CodePageError(GatewayError):
    """A name is not that of a character encoding in which text of a device can be read."""


@functools.lru_cache(maxsize=100)
def check_encoding(name: str) -> None:
    """Raise `CodePageError` unless `name` is utf-8, or a code page with one byte for each character."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):  # a name with a zero byte is a ValueError
        raise CodePageError(f"{name!a} is not a character encoding") from None
    if known not in ("utf-8", "ascii") and not _is_code_page(known):
        raise CodePageError(f"{name!a} has no code page in which each character is one byte")


def check_text_encoding(name: str) -> None:
    """Raise `CodePageError` unless `name` is a character encoding: of any width, for a text whose bytes are known."""
    try:
        known = codecs.lookup(name).name
        "".encode(known)
    except (LookupError, ValueError):  # a codec between bytes, such as zlib; a name with a zero byte
        known = ""
    if not known or known.replace("-", "_") in _NOTATIONS:
        raise CodePageError(
            f"unknown encoding: {name}; use utf-8, ascii, latin-1, a code page such as cp437 or cp1252, "
            "or one with several bytes for a character, such as utf-16-le, shift_jis or gb18030"
        )


def encoding_problems(name: str) -> Iterator[Problem]:
    """Yield what is wrong with an option `encoding`; its path is that of the options around it."""
    try:
        check_encoding(name)
    except CodePageError as err:
        yield Problem(("encoding",), str(err), "use utf-8, ascii, latin-1, or a code page such as cp437 or cp1252")


def _is_code_page(name: str) -> bool:
    """Return whether each byte is one character, and each character one byte, whatever stands beside it."""
    characters: dict[int, str] = {}
    try:
        for byte in range(256):
            character = _decoded(bytes([byte]), name)
            if character is not None:
                characters[byte] = character
        if any(len(text) != 1 or text.encode(name) != bytes([byte]) for byte, text in characters.items()):
            return False
        text = bytes(characters).decode(name)
    except (LookupError, UnicodeError):  # a codec between bytes, such as zlib; characters that cannot be written
        return False
    if text != "".join(characters.values()) or _decoded(rb"\u0041", name) == "A":
        return False
    if not all(byte in characters for byte in _CONTROLS):
        return False  # an escape sequence that switches to other characters
    unused = [byte for byte in range(256) if byte not in characters]
    return not any(_decoded(bytes([byte, trail]), name) is not None for byte in unused for trail in range(256))


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeError:
        return None
