"""Byte stuffing: how a frame is written so that its delimiter cannot occur in it. Pure functions."""

from __future__ import annotations

SLIP_END = b"\xc0"  # RFC 1055
_SLIP_ESCAPE = 0xDB
_SLIP_ESCAPED = {0xDC: 0xC0, 0xDD: 0xDB}

HDLC_FLAG = b"\x7e"  # RFC 1662, section 4
_HDLC_ESCAPE = 0x7D

COBS_END = b"\x00"  # Cheshire and Baker, "Consistent Overhead Byte Stuffing" (1999)


def slip_decode(data: bytes) -> bytes:
    """Take SLIP escaping off (RFC 1055); raise `ValueError` if it is broken."""
    if _SLIP_ESCAPE not in data:
        return data
    head, *parts = data.split(bytes([_SLIP_ESCAPE]))
    result = bytearray(head)
    for part in parts:
        if not part or part[0] not in _SLIP_ESCAPED:
            raise ValueError("broken SLIP escape")
        result.append(_SLIP_ESCAPED[part[0]])
        result += part[1:]
    return bytes(result)


def slip_encode(frame: bytes) -> bytes:
    """Put SLIP escaping on."""
    return frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")


def hdlc_decode(data: bytes) -> bytes:
    """Take octet stuffing as in asynchronous HDLC off (RFC 1662); raise `ValueError` if it is broken."""
    if _HDLC_ESCAPE not in data:
        return data
    head, *parts = data.split(bytes([_HDLC_ESCAPE]))
    result = bytearray(head)
    for part in parts:
        if not part:
            raise ValueError("broken HDLC escape")
        result.append(part[0] ^ 0x20)
        result += part[1:]
    return bytes(result)


def hdlc_encode(frame: bytes) -> bytes:
    """Put octet stuffing on, for the flag and the escape itself."""
    result = bytearray()
    for byte in frame:
        if byte in (0x7E, _HDLC_ESCAPE):
            result += bytes((_HDLC_ESCAPE, byte ^ 0x20))
        else:
            result.append(byte)
    return bytes(result)


def cobs_decode(data: bytes) -> bytes:
    """Take COBS off; raise `ValueError` if it is broken."""
    result = bytearray()
    position = 0
    while position < len(data):
        code = data[position]
        block = data[position + 1 : position + code]
        if code == 0 or len(block) < code - 1:
            raise ValueError("broken COBS block")
        result += block
        position += code
        if code < 0xFF and position < len(data):
            result.append(0)
    return bytes(result)


def cobs_encode(frame: bytes) -> bytes:
    """Put COBS on."""
    result = bytearray()
    for number, part in enumerate(blocks := frame.split(b"\x00")):
        while len(part) >= 0xFE:
            result += b"\xff" + part[:0xFE]
            part = part[0xFE:]
            if not part and number == len(blocks) - 1:
                return bytes(result)
        result += bytes([len(part) + 1]) + part
    return bytes(result)
