"""Framing by length: a fixed one, or one that the frame contains. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from gateway.core.counting import counted
from gateway.errors import Problem
from interfaces.serial_interface.framing.framer import (
    MAX_LENGTH,
    Accepts,
    Framer,
    IsValid,
    Match,
    Verdict,
    as_text,
    to_bytes,
)


class LengthFramer(Framer):
    """Frames whose length they contain, or, where `size` is 0, frames of a fixed length; `start` begins each of them.

    The whole frame has `length` bytes, or, with `size`, `unit` times the number that the bits `mask` of `size` bytes at
    `offset` hold, plus `correction`. It ends with `stop`. Where that is missing, or `is_valid` (the checksum) rejects a
    frame, the search continues one byte further, so that a lost byte costs one frame and not all that follow.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("start", "offset", "size", "byte_order", "mask", "unit", "correction", "stop")
    REQUIRED: ClassVar[tuple[str, ...]] = ("size",)

    def __init__(
        self,
        length: int = 0,
        max_length: int = MAX_LENGTH,
        *,
        start: bytes = b"",
        offset: int = 0,
        size: int = 0,
        big_endian: bool = True,
        mask: int | None = None,
        unit: int = 1,
        correction: int = 0,
        stop: bytes = b"",
        is_valid: IsValid | None = None,
    ) -> None:
        super().__init__(max_length)
        self._length, self._start, self._offset, self._size = length, start, offset, size
        self._order: Literal["big", "little"] = "big" if big_endian else "little"
        self._mask = (1 << 8 * size) - 1 if mask is None else mask
        self._unit, self._correction, self._stop = unit, correction, stop
        self._has_parts = mask is not None or unit != 1
        self._is_valid: IsValid = (lambda _: True) if is_valid is None else is_valid
        self._head = max(offset + size, len(start), 1)  # bytes that must be there before the length is known
        self._in_sync = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> LengthFramer:
        """Return the framer for `framing: {type: length}`."""
        return cls(
            0,
            options["max_length"],
            start=to_bytes(options.get("start", "")),
            offset=options.get("offset", 0),
            size=options.get("size", 0),
            big_endian=options.get("byte_order", "big") == "big",
            mask=options.get("mask"),
            unit=options.get("unit", 1),
            correction=options.get("correction", 0),
            stop=to_bytes(options.get("stop", "")),
            is_valid=is_valid,
        )

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Accept the bytes that have arrived; return the complete frames, each as a whole."""
        self._buffer += data
        frames: list[bytes] = []
        position, end = 0, len(self._buffer)
        while True:
            begin = self._buffer.find(self._start, position) if self._start else position
            if begin < 0:
                begin = max(position, end - len(self._start) + 1)
                self._skip(begin - position)
                position = begin
                break
            self._skip(begin - position)
            position = begin
            if end - position < self._head:
                break
            length = self._length_in(self._buffer, position)
            if not self._head <= length <= self.max_length:
                self._skip(1)
                position += 1
                continue
            stop = position + length
            if end < stop:
                break
            has_stop = self._buffer.endswith(self._stop, position, stop)
            may_check = has_stop and self._may_check(length, stop)
            # Copied only if somebody reads it: a long frame is tried at each byte.
            frame = bytes(self._buffer[position:stop]) if may_check or (has_stop and self._in_sync) else b""
            if may_check and self._is_valid(frame):
                frames.append(frame)
                self._found += 1
                position += length
                self._in_sync = True
            else:
                if self._in_sync and has_stop:
                    self._reject(frame)
                self._skip(1)
                position += 1
        self._remove(position)
        return frames

    def reset(self) -> None:
        """Discard a partial frame."""
        self._skip(len(self._buffer))
        self._buffer.clear()
        self._in_sync = True

    def flush_partial(self) -> list[bytes]:
        """Discard the first bytes of a frame that will never be complete; return the frames that follow them."""
        frames: list[bytes] = []
        while self._buffer:
            self._skip(1)
            self._remove(1)
            frames += self.feed(b"")
        return frames

    def _length_in(self, buffer: bytes | bytearray, position: int) -> int:
        if not self._size:
            return self._length
        field = buffer[position + self._offset : position + self._offset + self._size]
        number = int.from_bytes(field, self._order)
        return ((number & self._mask) * self._unit if self._has_parts else number) + self._correction

    def check_written(self, frame: bytes) -> None:
        """Raise `ValueError` if a receiver would not take all of `frame` for one frame, whatever `max_length` is."""
        size = len(frame)
        if not frame.startswith(self._start):
            raise ValueError(f"it does not begin with {as_text(self._start)}")
        if not frame.endswith(self._stop):
            raise ValueError(f"it does not end with {as_text(self._stop)}")
        if size < self._head:
            raise ValueError(f"it has {size} bytes, and the length in it needs {self._head}")
        length = self._length_in(frame, 0)
        if size != length:
            raise ValueError(f"it has {size} bytes instead of {length}")

    def match_at(
        self,
        buffer: bytearray,
        position: int,
        accepts: Accepts,
        *,
        is_new: bool,  # noqa: ARG002
    ) -> Match | Verdict:
        """Return the frame whose `start` is at `position`, if there is one."""
        available = len(buffer) - position
        if available < self._head:
            return Verdict.NEED_MORE
        length = self._length_in(buffer, position)
        if not self._head <= length <= self.max_length:
            return Verdict.NO
        if available < length:
            return Verdict.NEED_MORE
        if not buffer.endswith(self._stop, position, position + length):
            return Verdict.NO
        frame = bytes(buffer[position : position + length])
        if not accepts(frame, position + length):
            return Verdict.NO
        return Match(length, frame)

    def _skip(self, count: int) -> None:
        """Count bytes that are no part of a frame; the first of them also count as one lost frame."""
        self.discarded_bytes += count
        if count and self._in_sync:
            self._in_sync = False
            self.discarded_frames += 1


class FixedFramer(LengthFramer):
    """Frames of a fixed length."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("start", "length", "stop")
    REQUIRED: ClassVar[tuple[str, ...]] = ("length",)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> FixedFramer:
        """Return the framer for `framing: {type: fixed}`."""
        start, stop = (to_bytes(options.get(name, "")) for name in ("start", "stop"))
        return cls(options["length"], options["max_length"], start=start, stop=stop, is_valid=is_valid)

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the problems of the section `framing`; a length that no frame can have is one."""
        yield from super().check(options)
        shortest = max(1, len(options.get("start", "")), len(options.get("stop", "")))
        longest = options["max_length"]
        if not shortest <= options.get("length", shortest) <= longest:
            possible = f"{shortest} (start, stop) to {longest} (max_length) are possible"
            yield Problem(
                ("length",), f"no frame has {counted(options['length'], 'byte')}: {possible}", "correct one of them"
            )
