"""Checksums of frames: by name, over a slice, as bytes or as text. Pure.

`CHECKSUMS` and `FORMS` are the registries of algorithms and of notations. CRCs are computed by crccheck, from the
catalogue of Greg Cook (https://reveng.sourceforge.io/crc-catalogue/).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway.core.counting import counted
from gateway.errors import GatewayError
from interfaces.serial_interface.framing.sums import ADLER, Algorithm, ByteOrder, fletcher, make_sum


class ChecksumError(GatewayError):
    """A frame does not have the checksum that it should have."""


def _xor(data: bytes) -> int:
    return functools.reduce(operator.xor, data, 0)


CHECKSUMS: Mapping[str, Algorithm] = {
    "xor": Algorithm(_xor, 8),
    "sum-8": Algorithm(lambda data: sum(data) & 0xFF, 8),
    "sum-16": Algorithm(lambda data: sum(data) & 0xFFFF, 16),
    "lrc": Algorithm(lambda data: -sum(data) & 0xFF, 8),  # two's complement of the sum
    "ones-8": Algorithm(lambda data: ~sum(data) & 0xFF, 8),
    "fletcher-8": fletcher(8, 256),  # RFC 1145
    "fletcher-16": fletcher(8, 255),
    "fletcher-32": fletcher(16, 65535),
    "adler-32": ADLER,
}
"""The checksums that are not CRCs, by name; numbers of several bytes are summed in the byte order `big`."""

_LITTLE: Mapping[str, Algorithm] = {"fletcher-32": fletcher(16, 65535, "little")}
"""Those whose value is another one in the byte order `little`."""

_CRC_SHORT_NAMES = {
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
def _crc_catalogue() -> Mapping[str, type[Any]]:
    from crccheck.crc import ALLCRCCLASSES  # a hundred classes, of which most devices need none

    return {name.lower(): crc_class for crc_class in ALLCRCCLASSES for name in crc_class._names}


def find_algorithm(name: str, order: ByteOrder = "big") -> Algorithm | None:
    """Return the algorithm called `name` (in any case), or None if there is none of that name.

    `order` is the byte order of the numbers in a frame, where an algorithm sums numbers of several bytes.
    """
    name = name.lower()
    if order == "little" and name in _LITTLE:
        return _LITTLE[name]
    if name in CHECKSUMS:
        return CHECKSUMS[name]
    crc_class = _crc_catalogue().get(_CRC_SHORT_NAMES.get(name, name))
    return None if crc_class is None else Algorithm(crc_class.calc, crc_class._width)


def algorithm_names() -> list[str]:
    """Return all names that `find_algorithm` accepts."""
    return [*CHECKSUMS, *_CRC_SHORT_NAMES, *_crc_catalogue()]


def custom_algorithm(parameters: Mapping[str, Any], order: ByteOrder) -> Algorithm:
    """Return the algorithm with these parameters: a sum over numbers in this byte order, or a CRC."""
    return make_sum(parameters, order) if "sum" in parameters else custom_crc(parameters)


def custom_crc(parameters: Mapping[str, Any]) -> Algorithm:
    """Return the CRC with the parameters of the catalogue: width, poly, init, refin, refout, xorout."""
    from crccheck.crc import Crc

    width = parameters["width"]
    values = [parameters.get(name, 0) for name in ("poly", "init")]
    flags = [parameters.get(name, False) for name in ("refin", "refout")]

    def calculate(data: bytes) -> int:
        # A Crc object keeps its state after `final`. One object for all frames would therefore give each frame after
        # the first a wrong checksum.
        return int(Crc(width, *values, *flags, parameters.get("xorout", 0)).process(data).final())

    return Algorithm(calculate, width)


class Form(NamedTuple):
    """One way to write a checksum into a frame.

    `size(bits)` is the number of bytes for a value of that width; `write(value, bits, order)` returns them.
    Where `ignores_case` is true, letters of a received checksum may have either case.
    """

    size: Callable[[int], int]
    write: Callable[[int, int, ByteOrder], bytes]
    ignores_case: bool = False


def _bytes_for(bits: int) -> int:
    return (bits + 7) // 8


def _digits_for(bits: int) -> int:
    return len(str((1 << bits) - 1))


FORMS: Mapping[str, Form] = {
    "binary": Form(_bytes_for, lambda value, bits, order: value.to_bytes(_bytes_for(bits), order)),
    "hex": Form(
        lambda bits: 2 * _bytes_for(bits),
        lambda value, bits, order: value.to_bytes(_bytes_for(bits), order).hex().upper().encode(),
        ignores_case=True,
    ),
    "decimal": Form(_digits_for, lambda value, bits, _order: b"%0*d" % (_digits_for(bits), value)),
}
"""The ways to write a checksum, by the value of the option `form`."""


class Checksum:
    """The checksum of one device: its position in a frame, and the slice of the frame that it covers.

    `start` and `end` are the covered slice, as in Python (end None: up to the checksum, or up to the end of the frame
    if the slice begins after the checksum); the bytes of the checksum itself count as zeros. `at` is the offset of the
    checksum, from the end of the frame if negative. `form` is a key of `FORMS`; hexadecimal digits are written in upper
    case and accepted in either case.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        at: int | None = None,
        start: int = 0,
        end: int | None = None,
        form: str = "binary",
        big_endian: bool = True,
    ) -> None:
        self._calculate, self._bits = algorithm
        self._form = FORMS[form]
        self._order: ByteOrder = "big" if big_endian else "little"
        self.size = self._form.size(self._bits)
        self._at = -self.size if at is None else at
        self._start, self._end = start, end

    def verify(self, frame: bytes) -> None:
        """Raise `ChecksumError`, with the expected and the actual value, unless the checksum is valid."""
        at = self._offset(len(frame))
        actual = frame[at : at + self.size]
        if at < 0 or len(actual) < self.size:
            raise ChecksumError(f"too short for a checksum: {counted(len(frame), 'byte')}")
        expected = self._expected(frame, at)
        if actual != expected and not (self._form.ignores_case and actual.upper() == expected):
            raise ChecksumError(f"wrong checksum: expected {_as_text(expected)}, found {_as_text(actual)}")

    def is_valid(self, frame: bytes) -> bool:
        """Return whether the checksum of `frame` is valid."""
        try:
            self.verify(frame)
        except ChecksumError:
            return False
        return True

    def append(self, content: bytes) -> bytes:
        """Return `content` with its checksum inserted; raise `ChecksumError` if it is too short for that position."""
        at = self._offset(len(content) + self.size)
        if not 0 <= at <= len(content):
            raise ChecksumError(f"too short for a checksum: {counted(len(content), 'byte')}")
        frame = content[:at] + bytes(self.size) + content[at:]
        return content[:at] + self._expected(frame, at) + content[at:]

    def strip(self, frame: bytes) -> bytes:
        """Return `frame` without its checksum."""
        at = self._offset(len(frame))
        return frame[:at] + frame[at + self.size :]

    def _offset(self, length: int) -> int:
        return self._at if self._at >= 0 else length + self._at

    def _expected(self, frame: bytes, at: int) -> bytes:
        blank = frame[:at] + bytes(self.size) + frame[at + self.size :]
        start = slice(self._start, None).indices(len(frame))[0]
        end = self._end if self._end is not None else at if start < at else len(frame)
        return self._form.write(self._calculate(blank[start:end]), self._bits, self._order)


def _as_text(data: bytes) -> str:
    return data.hex(" ") if not data.isalnum() else ascii(data)[1:]
