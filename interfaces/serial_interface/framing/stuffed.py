"""Framing by markers whose bytes are doubled where they occur inside a frame. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from interfaces.serial_interface.framing.framer import Accepts, Match, Verdict, to_bytes


class StuffedMarkers:
    """Frames between a start and a stop marker, in which the bytes `stuffing` are written twice.

    So the stop marker, which begins with them, cannot occur in a frame. `after` bytes follow it. With `keep`, the frame
    is all of it as it stands on the line, with the doubled bytes.
    """

    def __init__(
        self, start: bytes, stop: bytes, stuffing: bytes, max_length: int, *, after: int = 0, keep: bool = False
    ) -> None:
        self.max_length = max_length
        self._start, self._stop, self._stuffing = start, stop, stuffing
        self._after, self._keep = after, keep
        one = re.escape(stuffing)
        # Data up to the last doubled bytes. A loop over them would take very long where each byte may begin a frame.
        other = b"[^%b]" % one if len(stuffing) == 1 else b"(?:(?!%b).)" % one
        self._doubled = re.compile(b"(?:%b*+%b)*+" % (other, 2 * one), re.DOTALL)
        self._tried = 0  # the bytes before this offset from the beginning of the frame have been read

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> StuffedMarkers:
        """Return them for `framing: {type: markers, stuffing: ...}`."""
        start, stop, stuffing = (to_bytes(options[name]) for name in ("start", "stop", "stuffing"))
        after, keep = options.get("after", 0), options.get("keep", False)
        return cls(start, stop, stuffing, options["max_length"], after=after, keep=keep)

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the frame whose start marker is at `position`, if there is one."""
        first, pair = position + len(self._start), 2 * self._stuffing
        if is_new:
            self._tried = len(self._start)
        limit = first + self.max_length + len(pair)
        if doubled := self._doubled.match(buffer, position + self._tried, limit):
            self._tried = doubled.end() - position
        while (stop := buffer.find(self._stuffing, position + self._tried, limit)) >= 0:
            if buffer.startswith(pair, stop):
                self._tried = stop + len(pair) - position
                continue
            end = stop + len(self._stop) + self._after
            if buffer.startswith(self._stop, stop) and stop - first <= self.max_length:
                return Verdict.NEED_MORE if end > len(buffer) else self._match(buffer, position, stop, end, accepts)
            behind = bytes(buffer[stop : stop + max(len(pair), len(self._stop))])
            is_open = pair.startswith(behind) or self._stop.startswith(behind)
            return Verdict.NEED_MORE if is_open and stop - first <= self.max_length else Verdict.NO
        self._tried = max(self._tried, min(len(buffer), limit) - len(self._stuffing) + 1 - position)
        return Verdict.NEED_MORE if len(buffer) < limit else Verdict.NO

    def _match(self, buffer: bytearray, position: int, stop: int, end: int, accepts: Accepts) -> Match | Verdict:
        content = bytes(buffer[position + len(self._start) : stop])
        frame = content.replace(2 * self._stuffing, self._stuffing) + bytes(buffer[stop + len(self._stop) : end])
        if self._keep:
            frame = bytes(buffer[position:end])
        return Match(end - position, frame) if content and accepts(frame, end) else Verdict.NO

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame` between its markers, with its bytes doubled where needed.

        With `keep`, `frame` already has all that. Raises `ValueError` if a receiver would read something else.
        """
        cut = len(frame) - self._after
        doubled = frame[:cut].replace(self._stuffing, 2 * self._stuffing)
        whole = frame if self._keep else self._start + doubled + self._stop + frame[max(0, cut) :]
        reader = StuffedMarkers(self._start, self._stop, self._stuffing, len(whole), after=self._after, keep=self._keep)
        is_framed = len(frame) > self._after and whole.startswith(self._start)
        found = reader.match_at(bytearray(whole), 0, lambda _frame, _end: True, is_new=True) if is_framed else None
        if found != Match(len(whole), frame):
            raise ValueError("it does not begin and end with the markers, or contains bytes that end a frame")
        return whole
