"""Framing by delimiters: lines with terminators, and byte stuffing. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from gateway.errors import Problem
from interfaces.serial_interface.framing.content import CODINGS, Coding
from interfaces.serial_interface.framing.escaping import ESCAPINGS, Escaping
from interfaces.serial_interface.framing.framer import (
    MAX_LENGTH,
    Accepts,
    Framer,
    IsValid,
    Match,
    Verdict,
    as_text,
    to_bytes,
)


class DelimitedFramer(Framer):
    """Frames that end with one of several `delimiters`. Empty frames are ignored.

    `decode` removes the byte stuffing of a frame and raises `ValueError` if it is invalid; `encode` adds it. A frame of
    more than `max_length` bytes is discarded up to its delimiter. The bytes before the last `start` in a frame belong
    to an earlier frame whose delimiter was lost, or to no frame; they are discarded, however many they are. One of
    `prompts` at the beginning of a line is a frame without a delimiter.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("terminator", "write_terminator", "start", "content", "prompts")

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
        prompts: Sequence[bytes] = (),
    ) -> None:
        super().__init__(max_length)
        longest_first = sorted(filter(_can_match_first(delimiters), delimiters), key=len, reverse=True)
        self._delimiter = re.compile(b"|".join(map(re.escape, longest_first)))
        self._overlap = len(longest_first[0]) - 1
        self._partial_delimiters = {d[:length] for d in delimiters for length in range(1, len(d))}
        self._decode = decode
        self._encode = encode
        self._opening = opening
        self._start = start
        self._prompts = tuple(prompts)
        self.ending = next(delimiter for delimiter in delimiters if delimiter in longest_first)
        """The first of the delimiters."""
        self._closing = self.ending if write_delimiter is None else write_delimiter
        self._ending = re.compile(b"|".join(map(re.escape, filter(None, [*delimiters, self._closing]))))
        self._searched = 0  # no delimiter begins before this offset of the buffer
        self._tried = 0  # the same for `match_at`, from the beginning of the line
        self._last_delimiter = b""  # that of the line that `match_at` has found
        # A delimiter that has ended a frame, and may be the beginning of a longer one: CR, where CR LF is one, too.
        # The frame is delivered without waiting for the next byte; the delimiter is kept here, and put before the
        # bytes that follow, so that CR LF does not count as two delimiters.
        self._pending_delimiter = b""
        # The common case, which `_split` handles in one step: the bytes between two delimiters are a frame, and only a
        # last single byte may be the beginning of a longer delimiter.
        is_short = not any(d[1:] in self._partial_delimiters for d in delimiters if len(d) > 1)
        self._is_plain = decode is None and not start and not prompts and self._overlap <= 1 and is_short

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> DelimitedFramer:  # noqa: ARG003
        """Return the framer for `framing: {type: line}`."""
        terminator, written = options["terminator"], options.get("write_terminator")
        start, notation = to_bytes(options.get("start", "")), options.get("content")
        coding = None if notation is None else _coding_behind(start, CODINGS[notation])
        return cls(
            [to_bytes(text) for text in ([terminator] if isinstance(terminator, str) else terminator)],
            options["max_length"],
            write_delimiter=None if written is None else to_bytes(written),
            start=start,
            prompts=[to_bytes(text) for text in options.get("prompts", ())],
            decode=None if coding is None else coding.decode,
            encode=(lambda frame: frame) if coding is None else coding.encode,
        )

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the problems of the section `framing`; a prompt that looks like the end of a line is one."""
        yield from super().check(options)
        terminator, prompts = options.get("terminator", ()), options.get("prompts", ())
        terminators = [terminator] if isinstance(terminator, str) else terminator
        for index, prompt in enumerate(prompts):
            if any(end in prompt or _overlap(prompt, end) for end in terminators):
                yield Problem(("prompts", index), f"{prompt!a} contains part of a terminator", "leave it out")
            for other in prompts:
                if prompt != other and prompt.startswith(other):
                    text = f"{prompt!a} begins with {other!a}, which is a frame before the rest has arrived"
                    yield Problem(("prompts", index), text, "remove one of them")

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Accept the bytes that have arrived; return the complete frames, without their delimiters."""
        if not data:
            return []
        self._buffer += self._pending_delimiter + data
        self._pending_delimiter = b""
        frames = self._split() if self._is_plain and not self._is_skipping else self._split_stepwise()
        surplus = len(self._buffer) - self._overlap
        if surplus > 0 and (self._is_skipping or surplus > self.max_length):
            self._discard_surplus(surplus)
        self._searched = max(0, len(self._buffer) - self._overlap)
        return frames

    def _discard_surplus(self, surplus: int) -> None:
        """Discard those of the first `surplus` bytes, which no delimiter follows, that no frame can begin with."""
        if self._start:
            begin = self._buffer.rfind(self._start, 0, surplus)
            has_start = begin >= 0 and surplus - begin <= self.max_length
            surplus = begin if has_start else max(0, surplus - len(self._start) + 1)
        if surplus:
            self._is_skipping = True
            self._discard(surplus)

    def _split(self) -> list[bytes]:
        """Remove the complete frames from the buffer in one step, and return them."""
        buffer, begin = self._buffer, self._searched
        pieces = self._delimiter.split(buffer[begin:] if begin else buffer)
        remainder = pieces.pop()
        if not pieces:
            return pieces
        pieces[0] = bytes(buffer[:begin]) + pieces[0]
        if not remainder and bytes(buffer[-1:]) in self._partial_delimiters:
            self._pending_delimiter = bytes(buffer[-1:])
        frames = list(filter(None, pieces))
        if len(buffer) > self.max_length:
            accepted = [frame for frame in frames if len(frame) <= self.max_length]
            self.discarded_bytes += sum(map(len, frames)) - sum(map(len, accepted))
            self.discarded_frames += len(frames) - len(accepted)
            frames = accepted
        buffer[:] = remainder
        return frames

    def _split_stepwise(self) -> list[bytes]:
        """Remove the complete frames from the buffer one by one, and return them."""
        frames: list[bytes] = []
        start = 0
        has_prompts = bool(self._prompts)
        for match in self._delimiter.finditer(self._buffer, self._searched):
            if has_prompts:
                start = self._take_prompts(start, match.start(), frames)
            self._end_frame(start, match.start(), frames)
            start = match.end()
            remaining = len(self._buffer) - match.start()
            if remaining <= self._overlap and bytes(self._buffer[-remaining:]) in self._partial_delimiters:
                self._pending_delimiter = bytes(self._buffer[-remaining:])
                start = len(self._buffer)
                break
        if has_prompts:
            start = self._take_prompts(start, len(self._buffer), frames)
        self._remove(start)
        return frames

    def _take_prompts(self, start: int, end: int, frames: list[bytes]) -> int:
        """Append the prompts with which the line in `buffer[start:end]` begins; return where the others begin."""
        while not self._is_skipping:
            prompt = next((p for p in self._prompts if self._buffer.startswith(p, start, end)), None)
            if prompt is None:
                break
            frames.append(prompt)
            start += len(prompt)
        return start

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame` with byte stuffing and delimiters; raise `ValueError` if it would be read as another frame."""
        encoded = self._encode(frame)
        whole = encoded + self._closing
        ending = self._ending.search(whole)
        if ending and ending.start() < len(encoded):
            raise ValueError("it contains bytes that end a frame")
        if self._start and encoded.rfind(self._start) > 0:
            raise ValueError("it contains bytes that begin a frame")
        return self._opening + whole

    def check_written(self, frame: bytes) -> None:
        """Raise `ValueError` if a line does not begin with `start`, and no notation puts that before it."""
        if not self._encode(frame).startswith(self._start):
            raise ValueError(f"it does not begin with {as_text(self._start)}")

    def reset(self) -> None:
        """Discard a partial frame."""
        super().reset()
        self._searched = 0
        self._pending_delimiter = b""

    def finish(self) -> list[bytes]:
        """Return the last line, which needs no terminator where nothing will follow."""
        return self.feed(self.ending)

    def _end_frame(self, start: int, end: int, frames: list[bytes]) -> None:
        """Append the frame in `buffer[start:end]` to `frames`, or count it as discarded."""
        if self._is_skipping or end - start > self.max_length:
            self._end_long_line(start, end, frames)
            return
        if end == start:
            return
        begin = self._buffer.rfind(self._start, start, end) if self._start else start
        if begin < 0:
            begin = start
        frame = self._read(begin, end)
        if frame is None:
            begin = end
        else:
            frames.append(frame)
        if begin > start:
            self.discarded_bytes += begin - start
            self.discarded_frames += 1

    def _end_long_line(self, start: int, end: int, frames: list[bytes]) -> None:
        """Append the frame with which a line ends that is too long as a whole; `buffer[start:end]` is left of it."""
        self._is_skipping = False
        begin = self._buffer.rfind(self._start, start, end) if self._start else -1
        frame = self._read(begin, end) if begin >= 0 else None
        if frame is not None:
            frames.append(frame)
        self.discarded_bytes += (end if frame is None else begin) - start
        self.discarded_frames += 1

    def _read(self, begin: int, end: int, buffer: bytearray | None = None) -> bytes | None:
        """Return the frame in `buffer[begin:end]`, or None if it is too long or not validly encoded."""
        if end - begin > self.max_length:
            return None
        frame = bytes((self._buffer if buffer is None else buffer)[begin:end])
        try:
            return frame if self._decode is None else self._decode(frame)
        except ValueError:
            return None

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the line that begins with `start` at `position`, if there is one."""
        if is_new:
            self._tried = 0
        found = self._delimiter.search(buffer, position + self._tried)
        end = found.start() if found else max(position, len(buffer) - self._overlap)
        if end - position > self.max_length or buffer.find(self._start, position + 1, end) >= 0:
            return Verdict.NO
        if not found:
            self._tried = end - position
            return Verdict.NEED_MORE
        frame = self._read(position, end, buffer)
        if frame is None or not accepts(frame, end):
            return Verdict.NO
        self._last_delimiter = found[0]
        return Match(found.end() - position, frame)

    def blank_at(self, buffer: bytearray, position: int) -> int | None:
        """Return how many bytes at `position` complete the last delimiter or are an empty line behind it.

        None: the bytes that follow will tell.
        """
        ahead = bytes(buffer[position : position + self._overlap + 1])
        for before in (self._last_delimiter, b""):
            found = self._delimiter.match(before + ahead)
            if found and len(found[0]) > len(before):
                self._last_delimiter = found[0]
                return len(found[0]) - len(before)
            if before + ahead in self._partial_delimiters:
                return None
        return 0


class EscapedFramer(DelimitedFramer):
    """Frames with byte stuffing: `type` is a key of `ESCAPINGS`."""

    OPTIONS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, escaping: Escaping, max_length: int = MAX_LENGTH) -> None:
        self.opening = escaping.delimiter if escaping.has_opening else b""
        """The delimiter, if it is also written before each frame: a start of its own beside other framings."""
        super().__init__(
            [escaping.delimiter], max_length, decode=escaping.decode, encode=escaping.encode, opening=self.opening
        )
        self._delimiters = re.compile(re.escape(escaping.delimiter) + b"++")

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> EscapedFramer:  # noqa: ARG003
        """Return the framer for the byte stuffing that `type` names."""
        return cls(ESCAPINGS[options["type"]], options["max_length"])

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the frame between the delimiter at `position` and the next one, if there is one.

        Several delimiters in a row are the beginning of one frame: a device may send them while it has nothing to say.
        """
        run = self._delimiters.match(buffer, position, position + self.max_length + 1)
        first = run.end() if run else position
        if is_new:
            self._tried = 0
        end = buffer.find(self.opening, max(first, position + self._tried))
        if max(first - position, (len(buffer) if end < 0 else end) - first) > self.max_length:
            return Verdict.NO
        if end < 0:
            self._tried = len(buffer) - position
            return Verdict.NEED_MORE
        frame = self._read(first, end, buffer)
        if frame is None or not accepts(frame, end):
            return Verdict.NO
        return Match(end + len(self.opening) - position, frame)

    def finish(self) -> list[bytes]:
        """Return no frame: one with byte stuffing is complete only with its delimiter."""
        return self.flush_partial()

    def decoded(self, data: bytearray) -> bytes | None:
        """Return the frame in all bytes between two delimiters, or None if it is too long or not validly encoded."""
        return self._read(0, len(data), data)

    def blank_at(self, buffer: bytearray, position: int) -> int | None:  # noqa: ARG002
        """Return 0: a delimiter behind a frame begins the next one."""
        return 0


def _coding_behind(start: bytes, coding: Coding) -> Coding:
    """Return both directions of a notation for lines that begin with `start`, which is no part of their content."""

    def decode(line: bytes) -> bytes:
        if not line.startswith(start):
            raise ValueError("the start is missing")
        return coding.decode(line[len(start) :])

    return Coding(lambda frame: start + coding.encode(frame), decode)


def _overlap(text: str, end: str) -> bool:
    """Return whether `text` ends with the beginning of `end`."""
    return any(text.endswith(end[:length]) for length in range(1, len(end)))


def _can_match_first(delimiters: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Return a test for a delimiter: whether, byte by byte, no other of `delimiters` always ends before it.

    A delimiter that begins with another one passes: it ends a frame where the other one does, and includes the bytes
    that follow.
    """

    def test(delimiter: bytes) -> bool:
        return any(delimiter != other and delimiter.startswith(other) for other in delimiters) or not any(
            other in delimiter[1:-1] for other in delimiters
        )

    return test
