"""The converter between bytes and the text that stands for them: hexadecimal, base64, the armour of AIS. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from interfaces.rules.conversion import ConversionError, Converter

_SIXBIT = "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw"
"""The characters for 0 to 63 in the armour of AIS (NMEA 0183; ITU-R M.1371 describes the bytes inside)."""

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_BASE64, _TO_SIXBIT = str.maketrans(_SIXBIT, _BASE64), str.maketrans(_BASE64, _SIXBIT)


def _from_sixbit(text: str) -> bytes:
    """Return the bytes of an armoured text; bits at its end that fill no byte are left out, as they only pad it."""
    if not set(text) <= set(_SIXBIT):
        raise ValueError
    data = base64.b64decode(text.translate(_TO_BASE64) + "A" * (-len(text) % 4))
    return data[: 6 * len(text) // 8]


def _to_sixbit(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=").translate(_TO_SIXBIT)


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # some devices leave the padding out


_FORMS: Mapping[str, tuple[Callable[[str], bytes], Callable[[bytes], str]]] = {
    "hex": (bytes.fromhex, lambda data: data.hex().upper()),
    "base64": (_from_base64, lambda data: base64.b64encode(data).decode("ascii")),
    "sixbit": (_from_sixbit, _to_sixbit),
}


def _bytes(form: Any) -> Converter:
    """Return the converter that reads the bytes for which a text stands, and writes this text for bytes.

    Where a text is to be written, each of its characters is a byte, unless the next step is `text` with an encoding.
    """
    if not isinstance(form, str) or form not in _FORMS:
        raise ValueError(f"use one of {', '.join(_FORMS)}")
    decode, encode = _FORMS[form]

    def read(value: Any) -> bytes:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            raise ConversionError(f"{value!a} is not a text")
        try:
            return decode(text)
        except ValueError:  # also those of base64
            raise ConversionError(f"{value!a} is not {form}") from None

    def write(value: Any) -> str:
        try:
            return encode(value if isinstance(value, bytes) else str(value).encode("latin-1"))
        except UnicodeError:
            raise ConversionError(f"{value!a} has a character that is not one byte: add {{text: utf-8}}") from None

    return Converter(read, write, makes_bytes=True)


BYTES_CONVERTERS: dict[str, Callable[[Any], Converter]] = {"bytes": _bytes}
