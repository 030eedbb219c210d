"""From bytes to frames. Pure: no port, no clock; any chunking of the same bytes gives the same frames."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LENGTH = 4096
"""Default for the longest frame, in bytes; what is longer is thrown away and counted."""


class LineFramer:
    """Frames that end with one of several `terminators`. Empty frames are passed over.

    A frame longer than `max_length` bytes is thrown away up to its terminator. `discarded_bytes` and
    `discarded_frames` count what was.
    """

    def __init__(self, terminators: Sequence[bytes], max_length: int = MAX_LENGTH) -> None:
        longest_first = sorted(terminators, key=len, reverse=True)
        self._end = re.compile(b"|".join(map(re.escape, longest_first)))
        self._overlap = len(longest_first[0]) - 1
        self._max_length = max_length
        self._buffer = bytearray()
        self._searched = 0  # no terminator begins before this offset of the buffer
        self._is_skipping = False
        self.discarded_bytes = 0
        self.discarded_frames = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has come in; return the frames that are complete now, without their terminators."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        for match in self._end.finditer(self._buffer, self._searched):
            self._close(start, match.start(), frames)
            start = match.end()
        del self._buffer[:start]
        if len(self._buffer) - self._overlap > self._max_length:
            self._discard(len(self._buffer) - self._overlap)
            self._is_skipping = True
        self._searched = max(0, len(self._buffer) - self._overlap)
        return frames

    def reset(self) -> None:
        """Forget an unfinished frame: the connection is a new one."""
        self._discard(len(self._buffer))
        self._searched = 0
        self._is_skipping = False

    def _close(self, start: int, end: int, frames: list[bytes]) -> None:
        if self._is_skipping or end - start > self._max_length:
            self.discarded_bytes += end - start
            self.discarded_frames += 1
            self._is_skipping = False
        elif end > start:
            frames.append(bytes(self._buffer[start:end]))

    def _discard(self, count: int) -> None:
        self.discarded_bytes += count
        del self._buffer[:count]
