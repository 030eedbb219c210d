"""Byte stuffing: how a frame is encoded so that its delimiter cannot occur in it. Pure functions.

`ESCAPINGS` is the registry. To add a kind of byte stuffing, write its two functions and enter them there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

_SLIP_ESCAPE = 0xDB
_SLIP_ESCAPED = {0xDC: 0xC0, 0xDD: 0xDB}

_HDLC_FLAG = 0x7E
_HDLC_ESCAPE = 0x7D

_COBS_LONGEST_BLOCK = 0xFE  # data bytes in a block; the length byte 0xFF marks a block of this length


class Escaping(NamedTuple):
    """One kind of byte stuffing: its delimiter, and both directions.

    `decode` raises `ValueError` if the bytes are not validly encoded. `has_opening` is true where a delimiter is also
    written before each frame, so that the receiver discards noise.
    """

    delimiter: bytes
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    has_opening: bool


def slip_decode(data: bytes) -> bytes:
    """Return `data` with SLIP escapes (RFC 1055) removed; raise `ValueError` if an escape is invalid."""
    if _SLIP_ESCAPE not in data:
        return data
    head, *parts = data.split(bytes([_SLIP_ESCAPE]))
    result = bytearray(head)
    for part in parts:
        if not part or part[0] not in _SLIP_ESCAPED:
            raise ValueError("invalid SLIP escape")
        result.append(_SLIP_ESCAPED[part[0]])
        result += part[1:]
    return bytes(result)


def slip_encode(frame: bytes) -> bytes:
    """Return `frame` with SLIP escapes (RFC 1055)."""
    return frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")


def hdlc_decode(data: bytes) -> bytes:
    """Return `data` with the octet stuffing of asynchronous HDLC (RFC 1662, section 4) removed.

    Raises `ValueError` if an escape is invalid.
    """
    if _HDLC_ESCAPE not in data:
        return data
    head, *parts = data.split(bytes([_HDLC_ESCAPE]))
    result = bytearray(head)
    for part in parts:
        if not part:
            raise ValueError("invalid HDLC escape")
        result.append(part[0] ^ 0x20)
        result += part[1:]
    return bytes(result)


def hdlc_encode(frame: bytes) -> bytes:
    """Return `frame` with octet stuffing (RFC 1662) of the flag and of the escape itself."""
    result = bytearray()
    for byte in frame:
        if byte in (_HDLC_FLAG, _HDLC_ESCAPE):
            result += bytes((_HDLC_ESCAPE, byte ^ 0x20))
        else:
            result.append(byte)
    return bytes(result)


def cobs_decode(data: bytes) -> bytes:
    """Return `data` with COBS (Cheshire and Baker, 1999) removed; raise `ValueError` if a block is invalid."""
    result = bytearray()
    position = 0
    while position < len(data):
        code = data[position]
        block = data[position + 1 : position + code]
        if code == 0 or len(block) < code - 1:
            raise ValueError("invalid COBS block")
        result += block
        position += code
        if code < 0xFF and position < len(data):
            result.append(0)
    return bytes(result)


def cobs_encode(frame: bytes) -> bytes:
    """Return `frame` with Consistent Overhead Byte Stuffing."""
    result = bytearray()
    for number, part in enumerate(blocks := frame.split(b"\x00")):
        while len(part) >= _COBS_LONGEST_BLOCK:
            result += b"\xff" + part[:_COBS_LONGEST_BLOCK]
            part = part[_COBS_LONGEST_BLOCK:]
            if not part and number == len(blocks) - 1:
                return bytes(result)
        result += bytes([len(part) + 1]) + part
    return bytes(result)


ESCAPINGS: Mapping[str, Escaping] = {
    "slip": Escaping(b"\xc0", slip_encode, slip_decode, has_opening=True),
    "cobs": Escaping(b"\x00", cobs_encode, cobs_decode, has_opening=False),
    "hdlc": Escaping(bytes([_HDLC_FLAG]), hdlc_encode, hdlc_decode, has_opening=True),
}
"""The kinds of byte stuffing by the name of their framing."""
