"""From bytes to frames, and back. Pure: no port, and the clock comes in as an argument.

Every framer is fed with bytes as they come and returns the frames that are complete. Any chunking of the
same bytes gives the same frames; only `GapFramer`, whose frames end with silence, looks at the time. What
is not part of a frame is thrown away and counted: `discarded_bytes`, `discarded_frames`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

_CHECKS_PER_BYTE = 64  # bytes of checksums for each byte that has come in: half a processor at 115,200 baud
_CHECKS_AT_ONCE = 65536  # bytes of checksums on top

MAX_LENGTH = 4096
"""Default for the longest frame, in bytes; what is longer is thrown away and counted."""


class Framer(ABC):
    """Splits a stream of bytes into frames, and makes the bytes that carry a frame to the device."""

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        self.max_length = max_length
        self.discarded_bytes = 0
        self.discarded_frames = 0
        self.rejected: list[bytes] = []  # what looked like a frame and was not good; whoever reads it clears it
        self._buffer = bytearray()
        self._gone = 0  # bytes that have left the buffer, so that offsets in the stream are known
        self._checked = 0  # bytes that checksums were taken over to find frames
        self._is_skipping = False  # the frame is too long: what is left of it is thrown away as it comes

    @abstractmethod
    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:
        """Take what has come in at the time `now` (s); return the frames that are complete."""

    def wrap(self, frame: bytes) -> bytes:
        """Return the bytes that carry `frame`."""
        return frame

    def due(self) -> float | None:
        """Return the time (s) at which `feed(b"", now)` would end a frame, or None."""
        return None

    def listened_since(self, when: float) -> None:  # noqa: B027  (only silence counts for one of them)
        """Take note that nobody has listened between the last bytes and the time `when` (s)."""

    def reset(self) -> None:
        """Forget an unfinished frame: the connection is a new one."""
        self.discarded_frames += self.is_unfinished
        self._is_skipping = False
        self._discard(len(self._buffer))

    def give_up(self) -> list[bytes]:
        """Take it that an unfinished frame will never be finished; return frames that were hidden in it."""
        self.reset()
        return []

    @property
    def is_unfinished(self) -> bool:
        """Tell whether part of a frame has come in."""
        return self._is_skipping or bool(self._buffer)

    def _discard(self, count: int) -> None:
        self.discarded_bytes += count
        self._remove(count)

    def _remove(self, count: int) -> None:
        self._gone += count
        del self._buffer[:count]

    def _may_check(self, size: int, offset: int) -> bool:
        """Tell whether a checksum over `size` bytes may be taken for what ends at `offset` of the buffer.

        Bytes that look like many frames in one another must not cost more than their number allows. What is
        spent depends on the bytes alone, not on the pieces they come in.
        """
        if size > self._checks_left(offset):
            return False
        self._checked += size
        return True

    def _checks_left(self, offset: int) -> int:
        """Return over how many bytes a checksum may still be taken for what ends at `offset` of the buffer."""
        return _CHECKS_AT_ONCE + _CHECKS_PER_BYTE * (self._gone + offset) - self._checked


class DelimitedFramer(Framer):
    """Frames that end with one of several `delimiters`. Empty frames are passed over.

    `decode` takes the escaping off a frame and raises `ValueError` if it is broken; `encode` puts it on.
    A frame of over `max_length` bytes is thrown away up to its delimiter. What stands before the last `start`
    in a frame is the remainder of another, whose delimiter was lost: it is thrown away.
    """

    def __init__(
        self,
        delimiters: Sequence[bytes],
        max_length: int = MAX_LENGTH,
        *,
        decode: Callable[[bytes], bytes] | None = None,
        encode: Callable[[bytes], bytes] = lambda frame: frame,
        write_delimiter: bytes | None = None,
        opening: bytes = b"",
        start: bytes = b"",
    ) -> None:
        super().__init__(max_length)
        longest_first = sorted(filter(_can_come_first(delimiters), delimiters), key=len, reverse=True)
        self._delimiter = re.compile(b"|".join(map(re.escape, longest_first)))
        self._overlap = len(longest_first[0]) - 1
        self._beginnings = {d[:length] for d in delimiters for length in range(1, len(d))}
        self._decode = decode
        self._encode = encode
        self._opening = opening
        self._start = start
        first = next(delimiter for delimiter in delimiters if delimiter in longest_first)
        self._closing = first if write_delimiter is None else write_delimiter
        self._ending = re.compile(b"|".join(map(re.escape, filter(None, [*delimiters, self._closing]))))
        self._searched = 0  # no delimiter begins before this offset of the buffer
        self._held = b""  # a delimiter that has ended a frame, and may go on as a longer one
        # As most are: what lies between two delimiters is a frame, and only a last byte may go on as a longer one.
        is_short = not any(d[1:] in self._beginnings for d in delimiters if len(d) > 1)
        self._is_plain = decode is None and not start and self._overlap <= 1 and is_short

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Take what has come in; return the frames that are complete, without their delimiters."""
        if not data:
            return []
        self._buffer += self._held + data
        self._held = b""
        frames = self._split() if self._is_plain and not self._is_skipping else self._cut()
        surplus = len(self._buffer) - self._overlap
        if surplus > 0 and (self._is_skipping or surplus > self.max_length):
            self._is_skipping = True
            self._discard(surplus)
        self._searched = max(0, len(self._buffer) - self._overlap)
        return frames

    def _split(self) -> list[bytes]:
        """Take the frames that are complete out of the buffer, all in one step."""
        buffer, begin = self._buffer, self._searched
        pieces = self._delimiter.split(buffer[begin:] if begin else buffer)
        rest = pieces.pop()
        if not pieces:
            return pieces
        pieces[0] = bytes(buffer[:begin]) + pieces[0]
        if not rest and bytes(buffer[-1:]) in self._beginnings:
            self._held = bytes(buffer[-1:])
        frames = list(filter(None, pieces))
        if len(buffer) > self.max_length:
            good = [frame for frame in frames if len(frame) <= self.max_length]
            self.discarded_bytes += sum(map(len, frames)) - sum(map(len, good))
            self.discarded_frames += len(frames) - len(good)
            frames = good
        buffer[:] = rest
        return frames

    def _cut(self) -> list[bytes]:
        """Take the frames that are complete out of the buffer, one by one."""
        frames: list[bytes] = []
        start = 0
        for match in self._delimiter.finditer(self._buffer, self._searched):
            self._close(start, match.start(), frames)
            start = match.end()
            rest = len(self._buffer) - match.start()
            if rest <= self._overlap and bytes(self._buffer[-rest:]) in self._beginnings:
                self._held = bytes(self._buffer[-rest:])
                start = len(self._buffer)
                break
        del self._buffer[:start]
        return frames

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame`, escaped, with its delimiters; raise `ValueError` if it would be read as another."""
        encoded = self._encode(frame)
        whole = encoded + self._closing
        ending = self._ending.search(whole)
        if ending and ending.start() < len(encoded):
            raise ValueError("it holds what ends a frame")
        if self._start and encoded.rfind(self._start) > 0:
            raise ValueError("it holds what begins a frame")
        return self._opening + whole

    def reset(self) -> None:
        """Forget an unfinished frame."""
        super().reset()
        self._searched = 0
        self._held = b""

    def _close(self, start: int, end: int, frames: list[bytes]) -> None:
        if self._is_skipping or end - start > self.max_length:
            self._is_skipping = False
        elif end == start:
            return
        else:
            begin = self._buffer.rfind(self._start, start, end) if self._start else start
            if begin > start:
                self.discarded_bytes += begin - start
                self.discarded_frames += 1
                start = begin
            frame = bytes(self._buffer[start:end])
            try:
                frames.append(frame if self._decode is None else self._decode(frame))
            except ValueError:
                pass
            else:
                return
        self.discarded_bytes += end - start
        self.discarded_frames += 1


def _can_come_first(delimiters: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Return a test for a delimiter: whether, byte by byte, no other of the `delimiters` always ends before it.

    One that begins with another is different: it ends a frame where the other does, and takes what follows with it.
    """

    def test(one: bytes) -> bool:
        return any(one != other and one.startswith(other) for other in delimiters) or not any(
            other in one[1:-1] for other in delimiters
        )

    return test


class MarkerFramer(Framer):
    """Frames between a `start` and a `stop` marker; `after` bytes behind the stop marker belong to the frame.

    With `keep`, the markers are part of the frame. A start marker inside a frame begins it anew: what came
    before was the remainder of a broken one. Where `is_good` tells frames from others (a checksum, say),
    markers may stand in a frame by chance: each pair of them is tried.
    """

    def __init__(
        self,
        start: bytes,
        stop: bytes,
        max_length: int = MAX_LENGTH,
        *,
        after: int = 0,
        keep: bool = False,
        is_good: Callable[[bytes], bool] | None = None,
    ) -> None:
        super().__init__(max_length)
        self._start, self._stop, self._after, self._keep = start, stop, after, keep
        self._is_good = is_good
        self._searched = 0  # stop markers before this offset have been tried

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Take what has come in; return the frames that are complete."""
        self._buffer += data
        frames: list[bytes] = []
        while (stop := self._buffer.find(self._stop, self._searched)) >= 0:
            end = stop + len(self._stop) + self._after
            if end > len(self._buffer):
                break
            self._searched = stop + 1
            found = self._find_frame(stop, end)
            if found is not None:
                frames.append(found)
        self._trim(stop)
        return frames

    def reset(self) -> None:
        """Forget an unfinished frame."""
        self._drop(len(self._buffer))
        self._searched = 0

    def _find_frame(self, stop: int, end: int) -> bytes | None:
        """Return the frame that ends with this stop marker, if one does, and take it out of the buffer."""
        earliest = max(0, stop - self.max_length - len(self._start))
        # On a line without faults the first start marker is the real one. Without a checksum, the last is taken.
        find = self._buffer.rfind if self._is_good is None else self._buffer.find
        begin = find(self._start, earliest, stop)
        markers = 0 if self._keep else len(self._start) + len(self._stop)
        while begin >= 0:
            if self._is_good is None or self._may_check(end - begin - markers, end):
                inner = self._buffer[begin + len(self._start) : stop] + self._buffer[stop + len(self._stop) : end]
                frame = bytes(self._buffer[begin:end] if self._keep else inner)
                if self._is_good is None or self._is_good(frame):
                    self._drop(begin)
                    self._remove(end - begin)
                    self._searched = 0
                    return frame
            # Over what may not be checked: where very many look like frames, to look at each would take seconds.
            begin = find(self._start, max(begin + 1, end - markers - self._checks_left(end)), stop)
        return None

    def _trim(self, stop: int) -> None:
        """Drop what can no longer become part of a frame."""
        soonest = stop if stop >= 0 else len(self._buffer) - len(self._stop) + 1
        self._drop(max(0, soonest - self.max_length - len(self._start)))
        begin = self._buffer.find(self._start)
        self._drop(begin if begin >= 0 else max(0, len(self._buffer) - len(self._start) + 1))
        if stop < 0:
            self._searched = max(self._searched, len(self._buffer) - len(self._stop) + 1, 0)

    def _reject(self, begin: int) -> None:
        """Keep what stands between a start marker that is given up and the next stop marker, to be reported."""
        stop = self._buffer.find(self._stop, begin + len(self._start))
        end = stop + len(self._stop) + self._after
        is_short = stop - begin - len(self._start) <= self.max_length
        if self._is_good is not None and stop >= 0 and is_short and end <= len(self._buffer):
            inner = self._buffer[begin + len(self._start) : stop] + self._buffer[stop + len(self._stop) : end]
            self.rejected.append(bytes(self._buffer[begin:end] if self._keep else inner))

    def _drop(self, count: int) -> None:
        begin = self._buffer.find(self._start)
        while 0 <= begin < count:
            self.discarded_frames += 1
            self._reject(begin)
            begin = self._buffer.find(self._start, begin + 1)
        self._discard(count)
        self._searched = max(0, self._searched - count)

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame` between its markers; raise `ValueError` if it holds one where none may be.

        With `keep`, the frame brings its markers itself.
        """
        cut = len(frame) - self._after
        whole = frame if self._keep else self._start + frame[:cut] + self._stop + frame[cut:]
        stop = len(whole) - self._after - len(self._stop)
        if stop < len(self._start) or not (whole.startswith(self._start) and whole.startswith(self._stop, stop)):
            raise ValueError("it does not begin and end with its markers")
        reader = self._reader(len(whole))
        is_read = reader.feed(whole) == [frame] and not reader.discarded_bytes
        if not is_read or self._reader(self.max_length).feed(whole) not in ([frame], []):  # there it may be too long
            raise ValueError("it holds what begins or ends a frame")
        return whole

    def _reader(self, max_length: int) -> MarkerFramer:
        """Return another framer of this kind."""
        return MarkerFramer(
            self._start, self._stop, max_length, after=self._after, keep=self._keep, is_good=self._is_good
        )


class LengthFramer(Framer):
    """Frames of a fixed length, or of a length that stands in them; `start` is how each of them begins.

    The whole frame has `length` bytes, or, with `size`, the number in `size` bytes at `offset`, plus
    `correction`. `is_good` tells whether a frame is one (its checksum, say): where it is not, the search
    goes on one byte further, so that a lost byte costs one frame and not all that follow.
    """

    def __init__(
        self,
        length: int = 0,
        max_length: int = MAX_LENGTH,
        *,
        start: bytes = b"",
        offset: int = 0,
        size: int = 0,
        big_endian: bool = True,
        correction: int = 0,
        is_good: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        super().__init__(max_length)
        self._length, self._start, self._offset, self._size = length, start, offset, size
        self._order: Literal["big", "little"] = "big" if big_endian else "little"
        self._correction = correction
        self._is_good = is_good
        self._head = max(offset + size, len(start), 1)
        self._in_sync = True

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Take what has come in; return the frames that are complete, whole."""
        self._buffer += data
        frames: list[bytes] = []
        position, end = 0, len(self._buffer)
        while True:
            found = self._buffer.find(self._start, position) if self._start else position
            if found < 0:
                found = max(position, end - len(self._start) + 1)
                self._skip(found - position)
                position = found
                break
            self._skip(found - position)
            position = found
            if end - position < self._head:
                break
            length = self._length_at(position)
            if not self._head <= length <= self.max_length:
                self._skip(1)
                position += 1
                continue
            if end - position < length:
                break
            frame = bytes(self._buffer[position : position + length])
            if self._may_check(length, position + length) and self._is_good(frame):
                frames.append(frame)
                position += length
                self._in_sync = True
            else:
                if self._in_sync:
                    self.rejected.append(frame)
                self._skip(1)
                position += 1
        self._remove(position)
        return frames

    def reset(self) -> None:
        """Forget an unfinished frame."""
        self._skip(len(self._buffer))
        self._buffer.clear()
        self._in_sync = True

    def give_up(self) -> list[bytes]:
        """Look for frames behind the beginning of one that will never be finished."""
        frames: list[bytes] = []
        while self._buffer:
            self._skip(1)
            self._remove(1)
            frames += self.feed(b"")
        return frames

    def _length_at(self, position: int) -> int:
        if not self._size:
            return self._length
        field = self._buffer[position + self._offset : position + self._offset + self._size]
        return int.from_bytes(field, self._order) + self._correction

    def _skip(self, count: int) -> None:
        self.discarded_bytes += count
        if count and self._in_sync:
            self._in_sync = False
            self.discarded_frames += 1


class GapFramer(Framer):
    """Frames that end when nothing has come for `gap` seconds."""

    def __init__(self, gap: float, max_length: int = MAX_LENGTH) -> None:
        super().__init__(max_length)
        self._gap = gap
        self._last = 0.0

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:
        """Take what has come in at `now`; return the frame that silence has ended, if any."""
        frames: list[bytes] = []
        if now - self._last >= self._gap:
            if self._buffer:
                frames.append(bytes(self._buffer))
                self._buffer.clear()
            self.discarded_frames += self._is_skipping
            self._is_skipping = False
        if data:
            self._buffer += data
            self._last = now
            if self._is_skipping or len(self._buffer) > self.max_length:
                self._is_skipping = True
                self._discard(len(self._buffer))
        return frames

    def listened_since(self, when: float) -> None:
        """Count silence only while somebody listens: what came meanwhile may belong to the same frame."""
        self._last = max(self._last, when)

    def due(self) -> float | None:
        """Return when the silence will have been long enough."""
        return self._last + self._gap if self.is_unfinished else None
