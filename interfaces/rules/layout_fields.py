"""The fields of a binary layout that have a value: numbers, bytes, texts. Pure.

`Scan` is the state of reading a frame; every `LayoutPart` reads from it, and moves it on.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gateway.core.counting import counted
from gateway.errors import GatewayError
from interfaces.rules.repetition import MAX_REPETITIONS, Repetition

# type -> struct code; struct has no numbers of other widths, so these are converted with int.from_bytes
_NUMBERS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q",
            "f32": "f", "f64": "d"}  # fmt: skip
_SIZES = {**{name: struct.calcsize(code) for name, code in _NUMBERS.items()}, "u24": 3, "i24": 3}
_ORDERS = {"big": ">", "little": "<"}
_ANY_WIDTH = ("uint", "int")
_LOST = "several fields of the layout have this name, and only the last one is used: give each of them another name"
_MAX_WIDTH = 16  # bytes of a number: JSON, and many programs that read it, have no use for more digits


class LayoutError(GatewayError):
    """The fields of a layout are contradictory, or a value is missing or does not fit into its field.

    `path` leads from the layout to the field that is meant; it is empty for a value.
    """

    path: tuple[str | int, ...] = ()

    def inside(self, *steps: str | int) -> LayoutError:
        """Return this error with the steps that lead to the part of the layout where it was found."""
        self.path = (*steps, *self.path)
        return self


class Scan:
    """A frame while it is read: `position` is where the next field begins, `values` are those read so far.

    Offsets count from `base`: the beginning of the frame, or of a repetition in it, whose `outer` values are those
    around it.
    """

    position = 0
    base = 0
    budget = MAX_REPETITIONS
    """How many more repetitions there may be."""
    repetitions: Sequence[Repetition] = ()
    lost: Mapping[str, str] = MappingProxyType({})

    def __init__(self, frame: bytes, outer: Scan | None = None, end: int | None = None) -> None:
        self.frame = frame
        self.outer = outer
        self.end = len(frame) if end is None else end
        """Where the frame ends, or the repetitions in it do."""
        self.values: dict[str, Any] = {}
        if outer is not None:
            self.position = self.base = outer.position

    @property
    def root(self) -> Scan:
        """The scan of the whole frame, which counts the repetitions, and collects what they bring."""
        return self if self.outer is None else self.outer.root

    def value(self, name: str) -> Any:
        """Return a value that an earlier field has read, here or around this repetition; None: there is none."""
        if name in self.values:
            return self.values[name]
        return None if self.outer is None else self.outer.value(name)

    def number(self, name: str) -> int | None:
        """Return a whole number that an earlier field has read; None: there is none of this name."""
        value = self.value(name)
        return value if isinstance(value, int) else None


class LayoutPart(ABC):
    """One entry of a layout. `names` are the values that it reads; `lists` are those of them that are lists.

    Of a repetition, `in_cases` are the values that depend on another one: a repetition makes no lists of them.
    """

    OPTIONS: frozenset[str]
    """The options that it may have, apart from its type."""

    REQUIRED: tuple[str, ...] = ()

    names: Sequence[str] = ()
    lists: frozenset[str] = frozenset()
    in_cases: frozenset[str] = frozenset()

    has_namesake = False
    """Whether an earlier field of the same list has one of its names: only the last value is used."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.kind: str = options["type"]
        self.at: int | None = options.get("at")
        for name, value in options.items():
            if name not in self.OPTIONS and name != "type" and value is not False:
                raise LayoutError(f"{self.kind}: it has no option {name!a}")
        for name in self.REQUIRED:
            if name not in options:
                raise LayoutError(f"{self.kind}: {name!a} is missing")

    @abstractmethod
    def read_from(self, scan: Scan) -> bool:
        """Read the values, and move on; return False if the frame does not match."""

    def start_in(self, scan: Scan) -> int:
        """Return where it begins; negative if that is before the frame."""
        if self.at is None:
            return scan.position
        return self.at + (scan.base if self.at >= 0 else scan.end)


class Field(LayoutPart):
    """A number, bytes, a text, or bytes to skip."""

    OPTIONS = frozenset(("name", "at", "byte_order", "word_swap", "length", "correction", "bits", "is"))

    def __init__(self, options: Mapping[str, Any], default_order: str) -> None:
        super().__init__(options)
        self.name: str = options.get("name", "")
        self.order: str = options.get("byte_order", default_order)
        self.is_swapped: bool = options.get("word_swap", False)
        length = options.get("length")
        self.length_name = length if isinstance(length, str) else ""
        """The earlier value that is the length, or an empty text if the length is always the same."""
        self.size: int = _SIZES.get(self.kind) or (length if isinstance(length, int) else 1)
        self.is_open_ended: bool = self.kind in ("bytes", "text") and length is None
        self.has_fixed_size = not self.is_open_ended and not self.length_name
        self.is_number = self.kind in _SIZES or self.kind in _ANY_WIDTH
        self.bits: Mapping[str, Any] = options.get("bits", {})
        self.names = [*([self.name] if self.name else []), *self.bits]
        self._correction: int = options.get("correction", 0)
        self._check(options)
        self.read = self._reader()
        """Returns the value of the bytes of this field; None for a number of no bytes."""
        self.constant = self.write(options["is"]) if "is" in options else None
        """The bytes that the field must hold, if it is a constant."""

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise `LayoutError` for options with which the field could not be read, or not be written back."""
        if self.bits and not (self.is_number and self.kind[0] == "u"):
            raise LayoutError(f"{self.kind}: only unsigned numbers have bits")
        highest = max((max([bits] if isinstance(bits, int) else bits) for bits in self.bits.values()), default=0)
        if highest >= 8 * self.size and not self.length_name:
            raise LayoutError(f"{self.kind}: there is no bit {highest}; the highest is {8 * self.size - 1}")
        if self.is_swapped and (self.is_open_ended or self.size % 2):
            raise LayoutError(f"{self.kind}: only an even number of bytes has words to swap")
        if self.kind in _ANY_WIDTH and "length" not in options:
            raise LayoutError(f"{self.kind}: 'length' is missing: the number of its bytes")
        if self.kind in _ANY_WIDTH and self.size > _MAX_WIDTH:
            raise LayoutError(f"{self.kind}: a number has at most {_MAX_WIDTH} bytes")
        if self.length_name and self.kind in _SIZES:
            raise LayoutError(
                f"{self.kind}: it always has {counted(self.size, 'byte')}; for another length, use int or uint"
            )
        if self.length_name and (self.bits or self.is_swapped or "is" in options):
            raise LayoutError(f"{self.kind}: bits, is and word_swap need a length that is a number")
        if self.at is not None and self.at < 0 and self.has_fixed_size and self.size > -self.at:
            text = f"of its {self.size} bytes, only {-self.at} are left at {self.at} from the end: no frame matches"
            raise LayoutError(f"{self.name or self.kind}: {text}")
        if self._correction and not self.length_name:
            raise LayoutError(f"{self.kind}: a correction needs a length that is the name of a value")

    @property
    def needs(self) -> list[str]:
        """The values that are needed to write this field; padding and constants need none."""
        if self.bits or self.constant is not None or self.kind == "skip":
            return list(self.bits)
        return list(self.names)

    # --- reading

    def _reader(self) -> Callable[[bytes], Any]:
        value_of = self._value_of()
        return (lambda data: value_of(_swapped(data))) if self.is_swapped else value_of

    def _value_of(self) -> Callable[[bytes], Any]:
        """Return the function that returns the value of bytes, apart from a reverse order of words."""
        order: Any = self.order
        if self.kind in _NUMBERS:
            packing = struct.Struct(_ORDERS[order] + _NUMBERS[self.kind])
            unpack = packing.unpack
            if self.kind == "f32":
                return lambda data: _shortest(unpack(data)[0], packing, data)
            return lambda data: unpack(data)[0]
        if self.is_number:
            is_signed = self.kind[0] == "i"
            return lambda data: int.from_bytes(data, order, signed=is_signed) if data else None
        return lambda data: data

    def read_from(self, scan: Scan) -> bool:
        """Read the value; False if the frame is too short, or has another value where a constant is needed."""
        start = scan.position if self.at is None else self.start_in(scan)
        end = start + self.size if self.has_fixed_size else self._end_in(scan, start)
        if start < 0 or end < start or (end > scan.end and end > start):
            return False
        data = scan.frame[start:end]
        scan.position = end
        if self.constant is not None and self.constant != data:
            return False
        if self.names:
            value = self.read(data)
            before = (
                {name: scan.values[name] for name in self.names if name in scan.values} if self.has_namesake else {}
            )
            if self.name:
                scan.values[self.name] = value
            for name, bits in self.bits.items():
                scan.values[name] = _extract_bits(value, bits)
            for name, earlier in before.items():
                if scan.values[name] != earlier:
                    scan.root.lost = {**scan.root.lost, name: _LOST}
        return True

    def _end_in(self, scan: Scan, start: int) -> int:
        """Return where the field ends in a frame; before `start`, if it does not fit into it."""
        if self.is_open_ended:
            return max(start, scan.end)
        number = scan.number(self.length_name)
        length = -1 if number is None else number + self._correction
        return start + (length if length <= _MAX_WIDTH or not self.is_number else -1)

    # --- writing

    def write(self, value: Any) -> bytes:
        """Return the bytes for `value`; raise `LayoutError` if it does not fit."""
        try:
            data = self._packed(value)
        except ValueError as err:
            raise LayoutError(f"{self.name or self.kind}: {value!a} does not fit: {err}") from err
        return _swapped(data) if self.is_swapped else data

    def _packed(self, value: Any) -> bytes:
        """Return the bytes for `value`; raise `ValueError`, in words that need no knowledge of Python."""
        order: Any = self.order
        if self.kind in ("f32", "f64"):
            if not isinstance(value, int | float):
                raise ValueError("it is not a number")
            try:
                return struct.pack(_ORDERS[order] + _NUMBERS[self.kind], value)
            except (struct.error, OverflowError):
                raise ValueError(f"it is too large for {self.kind}") from None
        if self.is_number:
            return self._integer_bytes(whole_number(value), is_signed=self.kind[0] == "i")
        if isinstance(value, int) and not self.is_open_ended:
            return self._integer_bytes(value)  # a number in `bytes`: BCD digits, for example
        if isinstance(value, str):
            try:
                data = value.encode("latin-1")
            except UnicodeEncodeError as err:
                raise ValueError(f"the character {value[err.start]!a} is not one byte") from None
        elif isinstance(value, bytes | bytearray):
            data = bytes(value)
        else:
            raise ValueError("it is neither a text nor bytes")
        if self.is_open_ended:
            return data
        if len(data) > self.size:
            raise ValueError(f"longer than {counted(self.size, 'byte')}")
        return data.ljust(self.size, b"\x00")

    def _integer_bytes(self, number: int, *, is_signed: bool = False) -> bytes:
        order: Any = self.order
        bits = 8 * self.size
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed and bits else (0, (1 << bits) - 1)
        if not low <= number <= high:
            raise ValueError(f"{low} to {high} fit into {self.size} byte{'s' * (self.size != 1)}")
        return number.to_bytes(self.size, order, signed=is_signed)


def whole_number(value: Any) -> int:
    """Return an integer; raise `ValueError` if the value is none, in words that need no knowledge of Python."""
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("it is not a whole number") from None
    if isinstance(value, float) and number != value:
        raise ValueError("it is not a whole number")
    return number


def _swapped(data: bytes) -> bytes:
    """Return the 16-bit words of `data` in reverse order."""
    return b"".join(reversed([data[i : i + 2] for i in range(0, len(data), 2)]))


def _shortest(number: float, packing: struct.Struct, data: bytes) -> float:
    """Return the number with the fewest digits that has the same four bytes: 230.1, not 230.10000610351562.

    A whole number is left as it is: shorter ones have the same bytes only because four bytes cannot hold all digits.
    """
    if number.is_integer() or number - number != 0.0:  # the latter: infinite, or none
        return number
    for digits in (6, 7, 8):
        shorter = float(f"{number:.{digits}g}")
        if packing.pack(shorter) == data:
            return shorter
    return float(f"{number:.9g}")  # nine digits distinguish all of them


def _extract_bits(value: int, bits: int | Sequence[int]) -> int | bool:
    """Return one bit as a boolean, or a range of bits (first, last) as a number."""
    if isinstance(bits, int):
        return bool(value >> bits & 1)
    low, high = min(bits), max(bits)
    return value >> low & ((1 << (high - low + 1)) - 1)
