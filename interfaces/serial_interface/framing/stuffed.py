"""Framing by markers that cannot occur inside a frame, because some bytes are written as others there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from interfaces.serial_interface.framing.framer import Accepts, Match, Verdict, to_bytes
from interfaces.serial_interface.framing.stuffing import codes_of


class StuffedMarkers:
    """Frames between a start and a stop marker, in which certain bytes are written as others.

    `codes` are these bytes, each with what is written for it: twice the same, or an escape byte and another one. So the
    stop marker cannot occur in a frame. `after` bytes follow it. With `keep`, the frame is all of it as it stands on
    the line. A start marker that cannot occur in a frame either begins another one.
    """

    def __init__(
        self,
        start: bytes,
        stop: bytes,
        codes: Mapping[bytes, bytes],
        max_length: int,
        *,
        after: int = 0,
        keep: bool = False,
    ) -> None:
        self.max_length = max_length
        self._start, self._stop, self._codes = start, stop, codes
        self._after, self._keep = after, keep
        self._plain = {code: plain for plain, code in codes.items()}
        # Where a code is not complete, or is none: what is written twice, or the escape byte.
        leads = {plain if code == 2 * plain else code[:1] for plain, code in codes.items()}
        ends = {start} if start[:1] in codes.keys() - leads else set()
        self._longest = max(map(len, (*self._plain, stop)))
        self._written = _any_of(self._plain)
        self._read = _any_of(codes)
        self._events = re.compile(
            b"|".join(each.pattern for each in (self._written, *map(_one, (stop, *leads, *ends))))
        )
        # Data up to the last code. A loop over them would take very long where each byte may begin a frame.
        self._passed = re.compile(
            b"(?:(?:(?!%b).)*+(?:%b))*+" % (self._events.pattern, self._written.pattern), re.DOTALL
        )
        self._tried = 0  # the bytes before this offset from the beginning of the frame have been read

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> StuffedMarkers:
        """Return them for `framing: {type: markers, stuffing: ...}`."""
        start, stop = to_bytes(options["start"]), to_bytes(options["stop"])
        after, keep = options.get("after", 0), options.get("keep", False)
        codes = {to_bytes(plain): to_bytes(code) for plain, code in codes_of(options["stuffing"]).items()}
        return cls(start, stop, codes, options["max_length"], after=after, keep=keep)

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the frame whose start marker is at `position`, if there is one."""
        first = position + len(self._start)
        if is_new:
            self._tried = len(self._start)
        limit = first + self.max_length + self._longest
        if passed := self._passed.match(buffer, position + self._tried, limit):
            self._tried = passed.end() - position
        while found := self._events.search(buffer, position + self._tried, limit):
            at = found.start()
            if found[0] in self._plain:
                self._tried = found.end() - position
                continue
            end = at + len(self._stop) + self._after
            if found[0] == self._stop and at - first <= self.max_length:
                return Verdict.NEED_MORE if end > len(buffer) else self._match(buffer, position, at, end, accepts)
            behind = bytes(buffer[at : at + self._longest])
            is_open = any(text.startswith(behind) for text in (*self._plain, self._stop))
            return Verdict.NEED_MORE if is_open and at - first <= self.max_length else Verdict.NO
        self._tried = max(self._tried, min(len(buffer), limit) - self._longest + 1 - position)
        return Verdict.NEED_MORE if len(buffer) < limit else Verdict.NO

    def _match(self, buffer: bytearray, position: int, stop: int, end: int, accepts: Accepts) -> Match | Verdict:
        content = bytes(buffer[position + len(self._start) : stop])
        frame = self._written.sub(lambda code: self._plain[code[0]], content) + bytes(
            buffer[stop + len(self._stop) : end]
        )
        if self._keep:
            frame = bytes(buffer[position:end])
        return Match(end - position, frame) if content and accepts(frame, end) else Verdict.NO

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame` between its markers, with its bytes written as others where needed.

        With `keep`, `frame` already has all that. Raises `ValueError` if a receiver would read something else.
        """
        cut = len(frame) - self._after
        stuffed = self._read.sub(lambda plain: self._codes[plain[0]], frame[: max(0, cut)])
        whole = frame if self._keep else self._start + stuffed + self._stop + frame[max(0, cut) :]
        reader = StuffedMarkers(self._start, self._stop, self._codes, len(whole), after=self._after, keep=self._keep)
        is_framed = len(frame) > self._after and whole.startswith(self._start)
        found = reader.match_at(bytearray(whole), 0, lambda _frame, _end: True, is_new=True) if is_framed else None
        if found != Match(len(whole), frame):
            raise ValueError("it does not begin and end with the markers, or contains bytes that end a frame")
        return whole


def _any_of(texts: Iterable[bytes]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, texts)))


def _one(text: bytes) -> re.Pattern[bytes]:
    return _any_of([text])
