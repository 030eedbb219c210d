"""Checksums that are sums: of bytes or of longer numbers, from their parameters; Fletcher's and Adler's sums. Pure."""

from __future__ import annotations

import functools
import operator
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from gateway.errors import Problem

ByteOrder = Literal["big", "little"]


class Algorithm(NamedTuple):
    """A checksum algorithm: the function that computes the value, and the width of the value in bits."""

    calculate: Callable[[bytes], int]
    bits: int


_KINDS: Mapping[str, tuple[Callable[[int, int], int], Callable[[Iterable[int]], int]]] = {
    "add": (operator.add, sum),
    "xor": (operator.xor, lambda numbers: functools.reduce(operator.xor, numbers, 0)),
}
"""How two numbers, and how many numbers, are joined, by the value of the parameter `sum`."""

_OF_SUMS = ("sum", "unit", "width", "init", "negate", "modulo", "offset")
_OF_CRCS = ("width", "poly", "init", "refin", "refout", "xorout")


def make_sum(parameters: Mapping[str, Any], order: ByteOrder) -> Algorithm:
    """Return the sum with these parameters, over numbers of `unit` bytes in this byte order.

    The value is `init` plus each number, or minus each with `negate`, or with each by exclusive or. A last number that
    is not complete is filled up with zero bytes. `offset` is added to the remainder: it makes a printable character.
    """
    unit, width = parameters.get("unit", 1), parameters.get("width", 8)
    init = parameters.get("init", 0)
    modulo: int = parameters.get("modulo", 1 << width)
    offset: int = parameters.get("offset", 0)
    join, total = _KINDS[parameters["sum"]]
    sign = -1 if parameters.get("negate") else 1
    places = range(unit)
    shifts = [8 * (unit - 1 - place if order == "big" else place) for place in places]

    def calculate(data: bytes) -> int:
        # The bytes of all numbers that have the same place are summed together: no loop over single numbers.
        sums = (total(data[place::unit]) << shift for place, shift in zip(places, shifts, strict=True))
        return int(join(init, sign * total(sums))) % modulo + offset

    return Algorithm(calculate, width)


def check_parameters(parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the parameters of a sum or of a CRC that their schema cannot find."""
    is_sum = "sum" in parameters
    if not is_sum and not {"width", "poly"} <= parameters.keys():
        what = "a checksum has the parameter 'sum', or else 'width' and 'poly' of a CRC"
        yield Problem((), what, "add sum: add, sum: xor, or the parameters of the CRC")
        return
    known, kind = (_OF_SUMS, "sum") if is_sum else (_OF_CRCS, "CRC")
    for name in parameters:
        if name not in known:
            yield Problem((name,), f"a {kind} has no such parameter", f"use {', '.join(known)}")
    if not is_sum and parameters.get("init", 0) < 0:
        yield Problem(("init",), "the initial value of a CRC is not negative", "use the value of the catalogue")
    if parameters.get("sum") == "xor" and "negate" in parameters:
        yield Problem(
            ("negate",), "an exclusive or cannot be negated", "set init to 0xFF: it inverts all bits of the result"
        )
    width = parameters.get("width", 8)
    if is_sum and parameters.get("modulo", 0) > 1 << width:
        what = f"a sum of {width} bits is less than {1 << width}"
        yield Problem(("modulo",), what, "use a larger width, or remove modulo")
    elif is_sum and (most := parameters.get("modulo", 1 << width)) + parameters.get("offset", 0) > 1 << width:
        what = f"the largest sum, {most - 1} + {parameters['offset']}, needs more than {width} bits"
        yield Problem(("offset",), what, "set modulo, as the manual does before it adds, or use a larger width")


def fletcher(bits: int, modulo: int, order: ByteOrder = "big") -> Algorithm:
    """Return Fletcher's checksum over numbers of `bits` (8 or 16): the sum of them, and above it that of all sums."""

    def calculate(data: bytes) -> int:
        numbers: Iterable[int] = data if bits == 8 else _words(data, order)
        return (sum(accumulate(numbers)) % modulo) << bits | sum(numbers) % modulo

    return Algorithm(calculate, 2 * bits)


def _words(data: bytes, order: ByteOrder) -> array[int]:
    """Return the 16-bit numbers in `data`; a last byte is filled up with a zero byte."""
    words = array("H", data + bytes(len(data) % 2))
    if order != _ORDER_OF_ARRAYS:
        words.byteswap()
    return words


_ORDER_OF_ARRAYS = "little" if array("H", b"\1\0")[0] == 1 else "big"

ADLER = Algorithm(zlib.adler32, 32)
"""The checksum of zlib (RFC 1950)."""
