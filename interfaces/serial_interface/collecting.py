"""The frames of an answer that has several of them, until its end has come. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from interfaces.rules.extractors import Values

_MAX_FRAMES = 1000
_MAX_BYTES = 65_536

TOO_LONG = f"it has more than {_MAX_FRAMES} frames or {_MAX_BYTES} bytes"
"""Why an answer is not read; a device that never ends its answer must not fill the memory."""


class Collected(NamedTuple):
    """A frame before the end of an answer.

    `is_wanted`: it has values of the answer by itself; `is_decoded`: the decode rules have read it, too.
    """

    frame: bytes
    is_wanted: bool = False
    is_decoded: bool = False


def read_collected(read: Callable[[bytes], list[Values] | None], collected: Sequence[Collected]) -> list[Values] | None:
    """Return what `read` makes of the frames of an answer, joined by line ends; None if they do not match.

    An echo of the request, or noise, may stand between them: then those count that have values by themselves. Raises
    what `read` raises.
    """
    values = read(b"\n".join(each.frame for each in collected))
    return read(b"\n".join(each.frame for each in collected if each.is_wanted)) if values is None else values


class Collector:
    """The frames since the last end. What comes after the limit is not accepted, and the answer is not complete."""

    def __init__(self) -> None:
        self._frames: list[Collected] = []
        self._size = 0
        self._is_complete = True

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, collected: Collected) -> bool:
        """Append a frame; return False if that would be too much."""
        size = self._size + len(collected.frame)
        if len(self._frames) >= _MAX_FRAMES or size > _MAX_BYTES:
            self._is_complete = False
            return False
        self._frames.append(collected)
        self._size = size
        return True

    def take(self) -> tuple[list[Collected], bool]:
        """Return the frames, and whether these are all that have come; begin again."""
        result = self._frames, self._is_complete
        self._frames, self._size, self._is_complete = [], 0, True
        return result
