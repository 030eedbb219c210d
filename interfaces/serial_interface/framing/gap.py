"""Framing by silence, as in Modbus RTU. Pure: the time is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from interfaces.serial_interface.framing.framer import MAX_LENGTH, Framer, IsValid

_SHORTEST = 4  # bytes of a frame that is searched for behind stray bytes; shorter ones are too often valid by chance


class GapFramer(Framer):
    """Frames that end when no byte has arrived for `idle_seconds`.

    Stray bytes before a frame arrive without silence between: `is_valid` (the checksum) shows where the frame begins.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("gap",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("gap",)

    def __init__(self, idle_seconds: float, max_length: int = MAX_LENGTH, *, is_valid: IsValid | None = None) -> None:
        super().__init__(max_length)
        self._is_valid = is_valid
        self.idle_seconds = self._idle_seconds = idle_seconds
        self._last_byte = 0.0  # time (s) at which silence began

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> GapFramer:
        """Return the framer for `framing: {type: gap}`."""
        return cls(options["gap"], options["max_length"], is_valid=is_valid)

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:
        """Accept the bytes that have arrived at `now` (s); return the frame that silence has ended, if any."""
        frames: list[bytes] = []
        if now >= self._last_byte + self._idle_seconds:  # rounded as `due` is
            if self._buffer:
                frames.append(bytes(self._buffer))
                self._remove(len(self._buffer))
            self.discarded_frames += self._is_skipping
            self._is_skipping = False
        if data:
            self._buffer += data
            self._last_byte = now
            if self._is_skipping or len(self._buffer) > self.max_length:
                self._is_skipping = True
                self._discard(len(self._buffer))
        return frames

    def finish(self) -> list[bytes]:
        """Return the last frame, which silence would have ended."""
        return self.feed(b"", math.inf)

    def without_stray_bytes(self, frame: bytes) -> bytes | None:
        """Return the longest valid frame with which an invalid one ends; the bytes before it count as discarded."""
        if self._is_valid is None:
            return None
        for begin in range(1, len(frame) - _SHORTEST + 1):
            rest = frame[begin:]
            if self._may_check(len(rest), 0) and self._is_valid(rest):
                self.discarded_bytes += begin
                self.discarded_frames += 1
                return rest
        return None

    def restart_silence(self, now: float) -> None:
        """Measure silence from `now` (s) on: bytes that arrived unread before may belong to the same frame."""
        self._last_byte = max(self._last_byte, now)

    def due(self) -> float | None:
        """Return the time (s) at which the silence will have been long enough, or None."""
        return self._last_byte + self._idle_seconds if self.has_partial_frame else None
