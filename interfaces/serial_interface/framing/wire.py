"""The framing and the checksum of one device, as its configuration declares them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

from gateway.errors import GatewayError, Problem
from interfaces.serial_interface.framing.checksum import (
    Checksum,
    ChecksumError,
    algorithm_names,
    custom_algorithm,
    find_algorithm,
)
from interfaces.serial_interface.framing.framers import FRAMINGS, make_framer
from interfaces.serial_interface.framing.sums import check_parameters


class FramingError(GatewayError):
    """A frame cannot be sent with this framing, because a receiver would read something else."""


class FrameCodec:
    """The framing and the checksum of one device, in both directions.

    `feed` and `flush_partial` yield pairs: a frame, and `""` or the reason why its checksum is wrong.
    """

    def __init__(self, options: Mapping[str, Any], checksum: Mapping[str, Any] | None) -> None:
        self.checksum = _make_checksum(checksum) if checksum else None
        self.strips = bool(checksum and checksum.get("strip"))
        self.framer = make_framer(options, None if self.checksum is None else self.checksum.is_valid)

    def feed(self, data: bytes, now: float = 0.0) -> Iterator[tuple[bytes, str]]:
        """Accept the bytes that have arrived at `now` (s); return the frames that are complete."""
        return self._verify(self.framer.feed(data, now))

    def flush_partial(self) -> Iterator[tuple[bytes, str]]:
        """Discard a partial frame that will never be complete; return the frames that it contains."""
        return self._verify(self.framer.flush_partial())

    def _verify(self, frames: list[bytes]) -> Iterator[tuple[bytes, str]]:
        return zip(frames, repeat("")) if self.checksum is None else self._verify_checksums(self.checksum, frames)

    def _verify_checksums(self, checksum: Checksum, frames: list[bytes]) -> Iterator[tuple[bytes, str]]:
        rejected, self.framer.rejected = self.framer.rejected, []
        for frame in [*rejected, *frames]:
            try:
                checksum.verify(frame)
            except ChecksumError as err:
                yield frame, str(err)
            else:
                yield checksum.strip(frame) if self.strips else frame, ""

    def wrap(self, content: bytes) -> bytes:
        """Return the bytes to send for `content`; raise `FramingError` if a receiver would read something else."""
        try:
            return self.framer.wrap(content if self.checksum is None else self.checksum.append(content))
        except (ValueError, ChecksumError) as err:
            raise FramingError(str(err)) from err


def _make_checksum(options: Mapping[str, Any]) -> Checksum:
    kind, order = options["type"], options.get("byte_order", "big")
    algorithm = find_algorithm(kind, order) if isinstance(kind, str) else custom_algorithm(kind, order)
    if algorithm is None:
        raise FramingError(f"unknown checksum {kind!a}")
    return Checksum(
        algorithm,
        at=options.get("at"),
        start=options.get("from", 0),
        end=options.get("to"),
        form=options.get("form", "binary"),
        big_endian=order == "big",
    )


def check_framing(
    framing: Mapping[str, Any], checksum: Mapping[str, Any] | None, near: Callable[[str, Iterable[str]], str]
) -> Iterator[Problem]:
    """Yield the problems of framing and checksum that their schema cannot find.

    `near(word, names)` returns a remedy that names the most similar of `names`.
    """
    for problem in FRAMINGS[framing["type"]].check(framing):
        yield problem._replace(path=("framing", *problem.path))
    for name in ("start", "stop", "terminator", "write_terminator"):
        option = framing.get(name, "")
        for text in [option] if isinstance(option, str) else option:
            if any(ord(character) > 255 for character in text):
                yield Problem(("framing", name), f"{text!a} is not bytes", 'write bytes as "\\xNN"')
    if checksum:
        yield from _check_checksum(checksum["type"], near)


def _check_checksum(kind: str | Mapping[str, Any], near: Callable[[str, Iterable[str]], str]) -> Iterator[Problem]:
    if isinstance(kind, Mapping):
        for problem in check_parameters(kind):
            yield problem._replace(path=("checksum", "type", *problem.path))
    elif find_algorithm(kind) is None:
        yield Problem(("checksum", "type"), f"unknown checksum {kind!a}", near(kind, algorithm_names()))
