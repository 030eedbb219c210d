"""Framing by a start marker and a stop marker. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from gateway.errors import Problem
from interfaces.serial_interface.framing.content import CODINGS, Coding
from interfaces.serial_interface.framing.framer import (
    MAX_LENGTH,
    Accepts,
    Framer,
    IsValid,
    Match,
    Verdict,
    to_bytes,
)
from interfaces.serial_interface.framing.stuffing import check_stuffing


class MarkerFramer(Framer):
    """Frames between a `start` and a `stop` marker; `after` bytes that follow the stop marker belong to the frame.

    With `keep`, the markers are part of the frame. A start marker inside a frame begins a new one: the bytes before it
    are the beginning of a damaged frame. Where `is_valid` (the checksum) distinguishes frames from other bytes, markers
    may occur in a frame by chance: each pair of them is tried.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("start", "stop", "after", "keep", "stuffing", "content")
    REQUIRED: ClassVar[tuple[str, ...]] = ("start", "stop")

    def __init__(
        self,
        start: bytes,
        stop: bytes,
        max_length: int = MAX_LENGTH,
        *,
        after: int = 0,
        keep: bool = False,
        coding: Coding | None = None,
        is_valid: IsValid | None = None,
    ) -> None:
        super().__init__(max_length)
        self._start, self._stop, self._after, self._keep = start, stop, after, keep
        self._coding = coding
        self._is_valid = is_valid
        self._tried = 0  # the same as `_searched` for `match_at`, from the beginning of the frame
        self._searched = 0  # stop markers before this offset have been tried
        self._rejected_up_to = 0  # the place in the stream of the stop marker of the last rejected frame

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> MarkerFramer:
        """Return the framer for `framing: {type: markers}`."""
        return cls(
            to_bytes(options["start"]),
            to_bytes(options["stop"]),
            options["max_length"],
            after=options.get("after", 0),
            keep=options.get("keep", False),
            coding=CODINGS.get(options.get("content", "")),
            is_valid=is_valid,
        )

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the problems of the section `framing`: options that exclude each other, and an unfit stuffing."""
        yield from super().check(options)
        if "content" in options:
            for name in ("after", "keep", "stuffing"):
                if options.get(name):
                    yield Problem((name,), f"{name!a} and 'content' are mutually exclusive", "remove one of them")
        if options.get("stuffing"):
            yield from check_stuffing(options["stuffing"], options.get("stop", ""))

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Accept the bytes that have arrived; return the frames that are complete."""
        self._buffer += data
        frames: list[bytes] = []
        while (stop := self._buffer.find(self._stop, self._searched)) >= 0:
            end = stop + len(self._stop) + self._after
            if end > len(self._buffer):
                break
            self._searched = stop + 1
            frame = self._pop_frame(stop, end)
            if frame is not None:
                frames.append(frame)
                self._found += 1
        self._trim(stop)
        return frames

    def reset(self) -> None:
        """Discard a partial frame."""
        self._drop(len(self._buffer))
        self._searched = 0

    def _pop_frame(self, stop: int, end: int) -> bytes | None:
        """Remove the frame that ends with this stop marker from the buffer, and return it; None if there is none."""
        earliest = max(0, stop - self.max_length - len(self._start))
        # On a line without faults the first start marker is the real one. Without a checksum nothing distinguishes a
        # frame from damaged bytes; then the last start marker gives the shortest frame, the most likely one.
        find = self._buffer.rfind if self._is_valid is None else self._buffer.find
        begin = find(self._start, earliest, stop)
        markers = 0 if self._keep else len(self._start) + len(self._stop)
        while begin >= 0:
            if self._is_valid is None or self._may_check(end - begin - markers, end):
                frame = self._content(begin, stop, end)
                if frame is not None and (self._is_valid is None or self._is_valid(frame)):
                    self._drop(begin)
                    self._remove(end - begin)
                    self._searched = 0
                    return frame
            # Jump over the start markers for which the budget of checksums does not suffice. Where very many of them
            # follow one another, a visit to each would take seconds.
            begin = find(self._start, max(begin + 1, end - markers - self._checkable(end)), stop)
        return None

    def _content(self, begin: int, stop: int, end: int, buffer: bytearray | None = None) -> bytes | None:
        """Return the frame in `buffer[begin:end]`, whose stop marker is at `stop`; None if it is no valid text."""
        buffer = self._buffer if buffer is None else buffer
        if self._keep:
            return bytes(buffer[begin:end])
        content = bytes(buffer[begin + len(self._start) : stop] + buffer[stop + len(self._stop) : end])
        try:
            return content if self._coding is None else self._coding.decode(content)
        except ValueError:
            return None

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the frame whose start marker is at `position`, if there is one."""
        first = position + len(self._start)
        if is_new:
            self._tried = len(self._start)
        limit = first + self.max_length + len(self._stop)
        while (stop := buffer.find(self._stop, position + self._tried, limit)) >= 0:
            end = stop + len(self._stop) + self._after
            if end > len(buffer):
                return Verdict.NEED_MORE
            self._tried = stop + 1 - position
            frame = self._content(position, stop, end, buffer)
            later = buffer.rfind(self._start, position + 1, stop)
            if self._is_valid is None:
                return Verdict.NO if frame is None or later >= 0 else Match(end - position, frame)
            is_accepted = accepts(frame, end) if frame is not None else False
            if frame is not None and is_accepted:
                return Match(end - position, frame)
            # A frame that begins later and ends here shows that this one is damaged. Without this line, intact frames
            # would wait until the damaged one is too long.
            inner = self._content(later, stop, end, buffer) if later >= 0 else None
            if is_accepted is None or (inner is not None and accepts(inner, end)):
                return Verdict.NO
        self._tried = max(self._tried, min(len(buffer), limit) - len(self._stop) + 1 - position)
        return Verdict.NEED_MORE if len(buffer) < limit else Verdict.NO

    def _trim(self, stop: int) -> None:
        """Drop the bytes that can no longer become part of a frame."""
        earliest_stop = stop if stop >= 0 else len(self._buffer) - len(self._stop) + 1
        self._drop(max(0, earliest_stop - self.max_length - len(self._start)))
        begin = self._buffer.find(self._start)
        self._drop(begin if begin >= 0 else max(0, len(self._buffer) - len(self._start) + 1))
        if stop < 0:
            self._searched = max(self._searched, len(self._buffer) - len(self._stop) + 1, 0)

    def _reject_at(self, begin: int) -> None:
        """Keep the bytes between an abandoned start marker and the next stop marker, so that they can be reported.

        Of several start markers before one stop marker, only the first one counts: there is one frame at most.
        """
        if self._removed + begin < self._rejected_up_to:
            return
        stop = self._buffer.find(self._stop, begin + len(self._start))
        end = stop + len(self._stop) + self._after
        is_short = stop - begin - len(self._start) <= self.max_length
        if self._is_valid is not None and stop >= 0 and is_short and end <= len(self._buffer):
            frame = self._content(begin, stop, end)
            if frame is not None:
                self._reject(frame)
                self._rejected_up_to = self._removed + stop

    def _drop(self, count: int) -> None:
        begin = self._buffer.find(self._start)
        while 0 <= begin < count:
            self.discarded_frames += 1
            self._reject_at(begin)
            begin = self._buffer.find(self._start, begin + 1)
        self._discard(count)
        self._searched = max(0, self._searched - count)

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame` between its markers; raise `ValueError` if it contains a marker that ends or begins a frame.

        With `keep`, `frame` already has its markers.
        """
        text = frame if self._coding is None else self._coding.encode(frame)
        cut = len(text) - self._after
        whole = frame if self._keep else self._start + text[:cut] + self._stop + text[cut:]
        stop = len(whole) - self._after - len(self._stop)
        if stop < len(self._start) or not (whole.startswith(self._start) and whole.startswith(self._stop, stop)):
            raise ValueError("it does not begin and end with the markers")
        reader = self._reader(len(whole))
        is_read_back = reader.feed(whole) == [frame] and not reader.discarded_bytes
        # The device may accept longer frames than this one reads: a frame over `max_length` may be written, but what
        # a reader with that limit finds in it must not be another frame.
        if not is_read_back or self._reader(self.max_length).feed(whole) not in ([frame], []):
            raise ValueError("it contains bytes that begin or end a frame")
        return whole

    def _reader(self, max_length: int) -> MarkerFramer:
        """Return another framer of this kind."""
        return MarkerFramer(
            self._start,
            self._stop,
            max_length,
            after=self._after,
            keep=self._keep,
            coding=self._coding,
            is_valid=self._is_valid,
        )
