"""Text that stands for bytes: the content of a frame in hexadecimal or base64. Pure functions.

`CODINGS` is the registry. To add a notation, write its two functions and enter them there.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Coding(NamedTuple):
    """One notation of bytes as text: both directions. `decode` raises `ValueError` if the text is not in it."""

    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


def _to_hex(data: bytes) -> bytes:
    return data.hex().upper().encode()


def _to_base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _from_base64(text: bytes) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


CODINGS: Mapping[str, Coding] = {
    "hex": Coding(_to_hex, binascii.unhexlify),  # digits in either case, and nothing else
    "base64": Coding(_to_base64, _from_base64),
}
"""The notations by the value of the option `content`."""
