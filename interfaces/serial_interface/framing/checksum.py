"""Checksums of frames: by name, over a slice, as bytes or as text. Pure.

CRCs are computed by crccheck, from the catalogue of Greg Cook (https://reveng.sourceforge.io/crc-catalogue/).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal

from gateway.errors import GatewayError

Sum = tuple[Callable[[bytes], int], int]  # the sum of bytes, and its width in bits


class ChecksumError(GatewayError):
    """A frame does not have the checksum that it should have."""


def _xor(data: bytes) -> int:
    return functools.reduce(operator.xor, data, 0)


_SUMS: Mapping[str, Sum] = {
    "xor": (_xor, 8),
    "sum-8": (lambda data: sum(data) & 0xFF, 8),
    "sum-16": (lambda data: sum(data) & 0xFFFF, 16),
    "lrc": (lambda data: -sum(data) & 0xFF, 8),  # two's complement of the sum, as in Modbus ASCII
    "ones-8": (lambda data: ~sum(data) & 0xFF, 8),
}

_CRC_NICKNAMES = {
    "modbus": "crc-16/modbus",
    "crc-16": "crc-16/arc",
    "arc": "crc-16/arc",
    "ccitt": "crc-16/ibm-3740",
    "ccitt-false": "crc-16/ibm-3740",
    "kermit": "crc-16/kermit",
    "xmodem": "crc-16/xmodem",
    "x-25": "crc-16/ibm-sdlc",
    "crc-8": "crc-8/smbus",
    "maxim": "crc-8/maxim-dow",
    "crc-32": "crc-32/iso-hdlc",
}


@functools.cache
def _catalogue() -> Mapping[str, type[Any]]:
    from crccheck.crc import ALLCRCCLASSES  # a hundred classes, which most devices need none of

    return {name.lower(): found for found in ALLCRCCLASSES for name in found._names}


def find_sum(name: str) -> Sum | None:
    """Return the sum called `name` (any case), or None if there is none of that name."""
    name = name.lower()
    if name in _SUMS:
        return _SUMS[name]
    found = _catalogue().get(_CRC_NICKNAMES.get(name, name))
    return None if found is None else (found.calc, found._width)


def sum_names() -> list[str]:
    """Return all names that `find_sum` knows."""
    return [*_SUMS, *_CRC_NICKNAMES, *_catalogue()]


def custom_crc(parameters: Mapping[str, Any]) -> Sum:
    """Return the CRC with the parameters of the catalogue: width, poly, init, refin, refout, xorout."""
    from crccheck.crc import Crc

    width = parameters["width"]
    values = [parameters.get(name, 0) for name in ("poly", "init")]
    flags = [parameters.get(name, False) for name in ("refin", "refout")]
    # A Crc object keeps its state, so that each frame needs one of its own.
    return (
        lambda data: int(Crc(width, *values, *flags, parameters.get("xorout", 0)).process(data).final()),
        width,
    )


class Checksum:
    """Where a checksum stands in a frame, and what it is taken over.

    `start` and `end` are the slice it is taken over, as in Python (end None: up to the checksum, or up to the
    end of the frame if the slice begins behind the checksum); the checksum itself counts as zeros. `at` is where
    it begins, from the end of the frame if negative. `form` is binary, hex (either case is read, upper case is
    written) or decimal.
    """

    def __init__(
        self,
        sum_of: Sum,
        *,
        at: int | None = None,
        start: int = 0,
        end: int | None = None,
        form: Literal["binary", "hex", "decimal"] = "binary",
        big_endian: bool = True,
    ) -> None:
        self._calculate, bits = sum_of
        self._bytes = (bits + 7) // 8
        self._form = form
        self._order: Literal["big", "little"] = "big" if big_endian else "little"
        self.size = {"binary": self._bytes, "hex": 2 * self._bytes, "decimal": len(str((1 << bits) - 1))}[form]
        self._at = -self.size if at is None else at
        self._start, self._end = start, end

    def verify(self, frame: bytes) -> None:
        """Raise `ChecksumError`, with what was expected and what was found, unless the checksum is right."""
        at = self._place(len(frame))
        found = frame[at : at + self.size]
        if at < 0 or len(found) < self.size:
            raise ChecksumError(f"too short for a checksum: {len(frame)} bytes")
        expected = self._calculated(frame, at)
        if found != expected and not (self._form == "hex" and found.upper() == expected):
            raise ChecksumError(f"wrong checksum: expected {_shown(expected)}, found {_shown(found)}")

    def is_good(self, frame: bytes) -> bool:
        """Tell whether the checksum of `frame` is right."""
        try:
            self.verify(frame)
        except ChecksumError:
            return False
        return True

    def append(self, content: bytes) -> bytes:
        """Return the frame that `content` becomes; raise `ChecksumError` if it is too short for a checksum there."""
        at = self._place(len(content) + self.size)
        if not 0 <= at <= len(content):
            raise ChecksumError(f"too short for a checksum: {len(content)} bytes")
        frame = content[:at] + bytes(self.size) + content[at:]
        return content[:at] + self._calculated(frame, at) + content[at:]

    def strip(self, frame: bytes) -> bytes:
        """Return `frame` without its checksum."""
        at = self._place(len(frame))
        return frame[:at] + frame[at + self.size :]

    def _place(self, length: int) -> int:
        return self._at if self._at >= 0 else length + self._at

    def _calculated(self, frame: bytes, at: int) -> bytes:
        blank = frame[:at] + bytes(self.size) + frame[at + self.size :]
        start = slice(self._start, None).indices(len(frame))[0]
        end = self._end if self._end is not None else at if start < at else len(frame)
        number = self._calculate(blank[start:end])
        if self._form == "decimal":
            return b"%0*d" % (self.size, number)
        binary = number.to_bytes(self._bytes, self._order)
        return binary if self._form == "binary" else binary.hex().upper().encode()


def _shown(data: bytes) -> str:
    return data.hex(" ") if not data.isalnum() else ascii(data)[1:]
