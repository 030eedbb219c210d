"""The contract of a framer: it splits a stream of bytes into frames. Pure: no port, and the time is an argument.

A framer is fed with bytes as they arrive and returns the frames that are complete. The same bytes give the same
frames, however they are split into chunks; only a framing that ends frames by silence depends on time. Bytes that are
not part of a frame are discarded and counted in `discarded_bytes` and `discarded_frames`.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

from gateway.errors import Problem

_CHECKED_PER_BYTE = 64  # bytes that checksums may cover for each received byte: half a processor at 115,200 baud
_CHECKED_INITIALLY = 65536  # bytes that checksums may cover in addition to that

MAX_LENGTH = 4096
"""Default of the longest frame, in bytes. Longer frames are discarded and counted."""

IsValid: TypeAlias = Callable[[bytes], bool]
"""Returns whether bytes that look like a frame are one: whether their checksum is valid."""


Accepts: TypeAlias = Callable[[bytes, int], bool | None]
"""Returns whether a frame that ends at an offset of the buffer is valid; None if that may not be found out."""


class Match(NamedTuple):
    """A frame in a buffer: how many bytes it takes there, and the frame itself."""

    length: int
    frame: bytes


class Verdict(enum.Enum):
    """Why there is no frame at a place of a buffer: there is none, or the bytes that follow will tell."""

    NO = "no"
    NEED_MORE = "need more"


class Framer(ABC):
    """Splits a stream of bytes into frames, and adds the framing to a frame that is sent.

    A subclass names the options of `framing` that it reads, besides `type`, `max_length` and `timeout`, in `OPTIONS`;
    those that must be present in `REQUIRED`.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()
    REQUIRED: ClassVar[tuple[str, ...]] = ()

    idle_seconds: float | None = None
    """The silence (s) that ends a frame, where silence does; else None."""

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        self.max_length = max_length
        self.discarded_bytes = 0
        self.discarded_frames = 0
        self.rejected: list[bytes] = []  # frames whose checksum is wrong; `with_rejected` clears the list
        self._places: list[int] = []  # of each of them: how many of the frames since then go before it
        self._found = 0  # frames since `with_rejected`
        self._buffer = bytearray()
        self._removed = 0  # bytes that have left the buffer; with it, an offset in the buffer is one in the stream
        self._budgets = 1  # into how many budgets of checksums that of the line is divided
        self._checked = 0  # bytes that checksums have covered while frames were searched for
        self._is_skipping = False  # the current frame is too long; its remaining bytes are discarded as they arrive

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> Framer:
        """Return the framer for the section `framing` of a configuration.

        `is_valid` returns whether a frame has a valid checksum; None if the device has no checksums.
        """
        raise NotImplementedError

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the problems of the section `framing` that its schema cannot find; paths begin at the section."""
        for name in cls.REQUIRED:
            if name not in options:
                yield Problem((), f"framing of type {options['type']!a} needs {name!r}", f"add {name}: ...")

    @abstractmethod
    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:
        """Accept the bytes that have arrived at the time `now` (s); return the frames that are complete."""

    def wrap(self, frame: bytes) -> bytes:
        """Return the bytes to send for `frame`; raise `ValueError` if a receiver would read something else."""
        return frame

    def check_written(self, frame: bytes) -> None:  # noqa: B027  (most framings add all that they need)
        """Raise `ValueError` if `frame`, which `wrap` is given, has not the length, start or stop that it should have.

        Called where a framing was chosen for what is sent. A framing that is only meant for what is read says nothing
        of that: a device may have commands of another length.
        """

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the frame whose `start` is at `position` of `buffer`, where several framings share one line.

        `is_new` is false if this place was tried before, when fewer bytes had arrived.
        """
        raise NotImplementedError

    def without_stray_bytes(self, frame: bytes) -> bytes | None:  # noqa: ARG002
        """Return the valid frame with which an invalid one ends, or None if there is none."""
        return None

    def with_rejected(self, frames: list[bytes]) -> list[bytes]:
        """Return the `frames` since the last call, and those with a wrong checksum, in the order of the line."""
        self._found = 0
        if not self.rejected:
            return frames
        result: list[bytes] = []
        begin = 0
        for frame, place in zip(self.rejected, self._places, strict=True):
            result += [*frames[begin:place], frame]
            begin = place
        self.rejected, self._places = [], []
        return result + frames[begin:]

    def _reject(self, frame: bytes) -> None:
        """Keep a frame whose checksum is wrong, so that it can be reported."""
        self.rejected.append(frame)
        self._places.append(self._found)

    def due(self) -> float | None:
        """Return the time (s) at which `feed(b"", now)` would end a frame by silence, or None."""
        return None

    def restart_silence(self, now: float) -> None:  # noqa: B027  (only one framing measures silence)
        """Measure silence from `now` (s) on: the device was not read before, so bytes may have arrived unseen."""

    def reset(self) -> None:
        """Discard a partial frame, because the connection is a new one."""
        self.discarded_frames += self.has_partial_frame
        self._is_skipping = False
        self._discard(len(self._buffer))

    def flush_partial(self) -> list[bytes]:
        """Discard a partial frame that will never be complete; return complete frames that it contains."""
        self.reset()
        return []

    def finish(self) -> list[bytes]:
        """Return the frames that end because the device has said that nothing will follow, and discard the rest."""
        return self.flush_partial()

    @property
    def has_partial_frame(self) -> bool:
        """Whether part of a frame has arrived."""
        return self._is_skipping or bool(self._buffer)

    def share_checks(self, budgets: int) -> None:
        """Use only this part of the budget of checksums, because other framers read the same line."""
        self._budgets = budgets

    def _discard(self, count: int) -> None:
        self.discarded_bytes += count
        self._remove(count)

    def _remove(self, count: int) -> None:
        self._removed += count
        del self._buffer[:count]

    def _may_check(self, size: int, offset: int) -> bool:
        """Return whether a checksum over `size` bytes may be computed for a frame that ends at `offset` of the buffer.

        Without this budget, bytes that look like many nested frames would cost the square of their number, and a
        faulty device could occupy a processor. The budget depends on the bytes alone and not on the chunks in which
        they arrive, so that any chunking gives the same frames.
        """
        if size > self._checkable(offset):
            return False
        self._checked += size
        return True

    def _checkable(self, offset: int) -> int:
        """Return how many bytes checksums may still cover for frames that end at `offset` of the buffer."""
        budget = _CHECKED_INITIALLY + _CHECKED_PER_BYTE * (self._removed + offset)
        return budget // self._budgets - self._checked


def to_bytes(text: str) -> bytes:
    """Return the bytes of a marker or terminator as a configuration has it: characters 0 to 255."""
    return text.encode("latin-1")


def as_text(data: bytes) -> str:
    """Return how a configuration has the bytes of a marker, in quotes."""
    return ascii(data.decode("latin-1"))
