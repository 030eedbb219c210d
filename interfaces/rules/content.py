"""What a rule or a request writes: a text, bytes in hexadecimal, or a layout. Pure.

A value that stands in it can neither end the frame nor begin another command.
"""

from __future__ import annotations

import re
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from interfaces.rules.layout import Layout, LayoutError
from interfaces.rules.message_template import CodecError
from interfaces.rules.template import Template, TemplateError

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""The control characters, which no value may contain."""

_HEX_WIDTH = re.compile(r"0?([0-9]+)[xX]")


class Content(ABC):
    """What a rule writes, without checksum and framing; `names` are the arguments that it needs.

    `bare_numbers` are those of them that are numbers, and whose digits would be taken for hexadecimal ones.
    """

    names: frozenset[str]
    bare_numbers: frozenset[str] = frozenset()

    def make(self, values: Mapping[str, Any]) -> bytes:
        """Return the bytes for `values`; raise `CodecError` if they cannot be written."""
        try:
            return self._make(values)
        except (TemplateError, LayoutError, ValueError) as err:
            raise CodecError(str(err)) from err

    @abstractmethod
    def _make(self, values: Mapping[str, Any]) -> bytes: ...


class TextContent(Content):
    """A text that contains `{name}` for arguments."""

    def __init__(self, text: str, encoding: str, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002
        self._template = Template(text)
        self._encoding = encoding
        self.names = self._template.names

    def _make(self, values: Mapping[str, Any]) -> bytes:
        text = self._template.fill(values, _check_no_control)
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError as err:
            character = err.object[err.start]
            source = next((f"argument {n!a}: " for n, v in values.items() if isinstance(v, str) and character in v), "")
            raise CodecError(f"{source}{character!a} cannot be written as {self._encoding}") from err


class HexContent(Content):
    """Bytes as hexadecimal digits that contain `{name}` for arguments.

    A text argument with a `max_length` is any number of bytes.
    """

    def __init__(self, text: str, encoding: str, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002
        self._template = Template(text)
        self.names = self._template.names
        self._bare = {name for _, name, spec in self._template.parts if name is not None and not spec}
        self.bare_numbers = frozenset(
            name
            for name in self._bare & arguments.keys()
            if arguments[name].get("type") in ("integer", "number") and "convert" not in arguments[name]
        )
        self._texts = {
            name
            for name, options in arguments.items()
            if options.get("type", "text") == "text" and "max_length" in options and "choices" not in options
        }

    def _make(self, values: Mapping[str, Any]) -> bytes:
        for name in sorted(self._bare):  # 10 would become the byte 0x10
            if type(values[name]) in (int, float):  # the digits of a key of a table are those of the configuration
                raise CodecError(f"{{{name}}} is the number {values[name]!a}: {hex_remedy(name)}")
        text = self._template.fill(values, self._check)
        try:
            return bytes.fromhex(text)
        except ValueError as err:
            raise CodecError(f"{text!a} is not a list of bytes: write two hexadecimal digits for each") from err

    def _check(self, name: str, spec: str, text: str) -> None:
        """Raise `CodecError` unless a value has hexadecimal digits, as many as may stand here."""
        if spec or name not in self._texts:
            _check_digits(name, spec, text)
        elif len(text) % 2 or not all(sign in string.hexdigits for sign in text):
            raise CodecError(f"argument {name!a} becomes {text!a}: expected an even number of hexadecimal digits")


class BinaryContent(Content):
    """Bytes in a layout, whose fields are arguments or constants."""

    def __init__(self, options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002
        self._layout = Layout(options["fields"], options["byte_order"], options.get("length"))
        self._layout.check_writable()
        self.names = self._layout.needs

    def _make(self, values: Mapping[str, Any]) -> bytes:
        return self._layout.write(values)


CONTENTS: Mapping[str, Callable[[Any, str, Mapping[str, Any]], Content]] = {
    "write": TextContent,
    "hex": HexContent,
    "binary": BinaryContent,
}
"""The kinds by the name of their option, of which each rule has one.

Each is made from its option, the encoding, and the options of the rule's arguments.
"""


def hex_remedy(name: str) -> str:
    """Return how to write a number in `hex`."""
    return f"write {{{name}:02x}} for the byte with this value, or {{{name}:02d}} for its digits (BCD)"


def content_kinds(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of content that a rule has; a valid rule has one."""
    yield from (kind for kind in CONTENTS if kind in options)


def check_kinds(options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem unless there is exactly one kind of content."""
    kinds = list(content_kinds(options))
    if len(kinds) != 1:
        present = " and ".join(kinds) if kinds else "none"
        message = f"exactly one of {', '.join(CONTENTS)} is needed; this one has {present}"
        yield Problem((), message, "keep or add one of them: it describes what is written")


def make_content(options: Mapping[str, Any], encoding: str) -> Content:
    """Return what a rule writes.

    Raises `TemplateError` or `LayoutError` if its text or layout is wrong, and `CodecError` if it has no arguments and
    cannot be written: such an error would otherwise be found only when the first command is written.
    """
    kind = next(content_kinds(options))
    content = CONTENTS[kind](options[kind], encoding, options.get("arguments", {}))
    if not content.names:
        content.make({})
    return content


def _check_no_control(name: str, _spec: str, text: str) -> None:
    """Raise `CodecError` if a value becomes a control character: the format of `{code:c}` makes one from a number."""
    if CONTROL.search(text):
        raise CodecError(f"argument {name!a} contains a control character")


def _check_digits(name: str, spec: str, text: str) -> None:
    """Raise `CodecError` unless a value has exactly the hexadecimal digits that the template reserves for it.

    These are as many as its format states, or two where it has none. More digits would become additional bytes, which
    the device could read as the beginning of another command.
    """
    width = _HEX_WIDTH.fullmatch(spec)
    digits = int(width[1]) if width else 2
    if len(text) != digits or not all(sign in string.hexdigits for sign in text):
        raise CodecError(f"argument {name!a} becomes {text!a}: {digits} hexadecimal digits are reserved for it")
