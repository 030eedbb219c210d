"""Frames on the wire: framing and checksum as a configuration declares them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

from gateway.errors import GatewayError, Problem
from interfaces.serial_interface.framing.checksum import Checksum, ChecksumError, custom_crc, find_sum, sum_names
from interfaces.serial_interface.framing.escaping import (
    COBS_END,
    HDLC_FLAG,
    SLIP_END,
    cobs_decode,
    cobs_encode,
    hdlc_decode,
    hdlc_encode,
    slip_decode,
    slip_encode,
)
from interfaces.serial_interface.framing.framers import DelimitedFramer, Framer, GapFramer, LengthFramer, MarkerFramer


class FramingError(GatewayError):
    """A frame that cannot be sent with this framing."""


class FrameCodec:
    """The framing and the checksum of one device, both ways.

    `feed` returns the frames that are complete, and those whose checksum is wrong with the reason.
    """

    def __init__(self, options: Mapping[str, Any], checksum: Mapping[str, Any] | None) -> None:
        self.checksum = _checksum(checksum) if checksum else None
        self.strips = bool(checksum and checksum.get("strip"))
        self.framer = make_framer(options, self.checksum)
        self.bad_checksums = 0

    def feed(self, data: bytes, now: float = 0.0) -> Iterator[tuple[bytes, str]]:
        """Return each complete frame, and `""` or what is wrong with its checksum."""
        return self._judge(self.framer.feed(data, now))

    def give_up(self) -> Iterator[tuple[bytes, str]]:
        """Return what is hidden in a frame that will never be finished."""
        return self._judge(self.framer.give_up())

    def _judge(self, frames: list[bytes]) -> Iterator[tuple[bytes, str]]:
        return zip(frames, repeat("")) if self.checksum is None else self._verified(self.checksum, frames)

    def _verified(self, checksum: Checksum, frames: list[bytes]) -> Iterator[tuple[bytes, str]]:
        rejected, self.framer.rejected = self.framer.rejected, []
        for frame in [*rejected, *frames]:
            try:
                checksum.verify(frame)
            except ChecksumError as err:
                self.bad_checksums += 1
                yield frame, str(err)
            else:
                yield checksum.strip(frame) if self.strips else frame, ""

    def wrap(self, content: bytes) -> bytes:
        """Return the bytes that carry `content`; raise `FramingError` if they would be read as another."""
        try:
            return self.framer.wrap(content if self.checksum is None else self.checksum.append(content))
        except (ValueError, ChecksumError) as err:
            raise FramingError(str(err)) from err


def raw(text: str) -> bytes:
    """Return the bytes of a marker or terminator as written in a configuration: characters 0 to 255."""
    return text.encode("latin-1")


def make_framer(options: Mapping[str, Any], checksum: Checksum | None) -> Framer:
    """Return the framer that `options` declare."""
    kind, longest = options["type"], options["max_length"]
    if kind == "line":
        given = options["terminator"]
        terminators = [raw(text) for text in ([given] if isinstance(given, str) else given)]
        written = options.get("write_terminator")
        return DelimitedFramer(
            terminators,
            longest,
            write_delimiter=None if written is None else raw(written),
            start=raw(options.get("start", "")),
        )
    if kind == "markers":
        start, stop = raw(options["start"]), raw(options["stop"])
        is_good = checksum.is_good if checksum is not None else None
        return MarkerFramer(
            start, stop, longest, after=options.get("after", 0), keep=options.get("keep", False), is_good=is_good
        )
    if kind == "gap":
        return GapFramer(options["gap"], longest)
    if kind == "slip":
        return DelimitedFramer([SLIP_END], longest, decode=slip_decode, encode=slip_encode, opening=SLIP_END)
    if kind == "cobs":
        return DelimitedFramer([COBS_END], longest, decode=cobs_decode, encode=cobs_encode)
    if kind == "hdlc":
        return DelimitedFramer([HDLC_FLAG], longest, decode=hdlc_decode, encode=hdlc_encode, opening=HDLC_FLAG)
    return LengthFramer(
        options.get("length", 0),
        longest,
        start=raw(options.get("start", "")),
        offset=options.get("offset", 0),
        size=options.get("size", 0) if kind == "length" else 0,
        big_endian=options.get("byte_order", "big") == "big",
        correction=options.get("correction", 0),
        is_good=checksum.is_good if checksum is not None else lambda _: True,
    )


def _checksum(options: Mapping[str, Any]) -> Checksum:
    kind = options["type"]
    found = find_sum(kind) if isinstance(kind, str) else custom_crc(kind)
    if found is None:
        raise FramingError(f"no checksum is called {kind!a}")
    return Checksum(
        found,
        at=options.get("at"),
        start=options.get("from", 0),
        end=options.get("to"),
        form=options.get("form", "binary"),
        big_endian=options.get("byte_order", "big") == "big",
    )


_NEEDS = {"markers": ("start", "stop"), "fixed": ("length",), "length": ("size",), "gap": ("gap",)}


def check_framing(
    framing: Mapping[str, Any], checksum: Mapping[str, Any] | None, near: Callable[[str, Iterable[str]], str]
) -> Iterator[Problem]:
    """Yield what is wrong with framing and checksum, beyond their schema. `near` words a remedy."""
    kind = framing["type"]
    for name in _NEEDS.get(kind, ()):
        if name not in framing:
            yield Problem(("framing",), f"framing of the type {kind} needs {name!r}", f"add {name}: ...")
    shortest, longest = max(1, len(framing.get("start", ""))), framing["max_length"]
    if kind == "fixed" and not shortest <= framing.get("length", shortest) <= longest:
        what = f"no frame has {framing['length']} bytes: {shortest} (start) to {longest} (max_length) are possible"
        yield Problem(("framing", "length"), what, "correct one of them")
    for name in ("start", "stop", "terminator", "write_terminator"):
        given = framing.get(name, "")
        for text in [given] if isinstance(given, str) else given:
            if any(ord(character) > 255 for character in text):
                yield Problem(("framing", name), f"{text!a} is not bytes", 'write bytes as "\\xNN"')
    if checksum and isinstance(checksum["type"], str) and find_sum(checksum["type"]) is None:
        yield Problem(
            ("checksum", "type"), f"no checksum is called {checksum['type']!a}", near(checksum["type"], sum_names())
        )
