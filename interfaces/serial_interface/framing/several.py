"""Several kinds of frames on one line: at each byte, the first kind that fits is the frame. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from interfaces.serial_interface.framing.checksum import Checksum, ChecksumError
from interfaces.serial_interface.framing.delimited import DelimitedFramer, EscapedFramer
from interfaces.serial_interface.framing.framer import Accepts, Framer, IsValid, Match, Verdict, to_bytes
from interfaces.serial_interface.framing.framers import make_framer
from interfaces.serial_interface.framing.stuffed import StuffedMarkers


class NamedFrame(bytes):
    """A frame that knows its framing by name; `error` is the reason why its checksum is wrong, or `""`."""

    framing: str = ""
    error: str = ""


class Matcher(Protocol):
    """What several framings on one line consist of: a framer, or one that can only read beside others."""

    max_length: int

    def match_at(self, buffer: bytearray, position: int, accepts: Accepts, *, is_new: bool) -> Match | Verdict:
        """Return the frame whose start is at `position`, if there is one."""

    def wrap(self, frame: bytes) -> bytes:
        """Return the bytes to send for `frame`; raise `ValueError` if a receiver would read something else."""


class Kind:
    """One kind of frames: its framing, its checksum, its name, and the bytes that are written before each frame."""

    def __init__(self, options: Mapping[str, Any], checksum: Checksum | None, *, strips: bool) -> None:
        self.name: str = options.get("name", "")
        self.is_embedded: bool = options.get("embedded", False)
        self.preamble = to_bytes(options.get("preamble", ""))
        self.start = to_bytes(options.get("start", ""))
        self.checksum, self.strips = checksum, strips
        self.is_valid: IsValid | None = None if checksum is None else checksum.is_valid
        self.matcher: Matcher
        self.framer: Framer | None = None
        if options.get("stuffing"):
            self.matcher = StuffedMarkers.from_options(options)
        else:
            self.matcher = self.framer = make_framer(options, self.is_valid)
        self.begin = self.framer.opening if isinstance(self.framer, EscapedFramer) else self.start
        """The bytes with which each frame begins beside others: `start`, or a delimiter that needs no option."""

    def wrap(self, content: bytes, *, is_chosen: bool) -> bytes:
        """Return the bytes to send for `content`.

        `is_chosen` is whether the configuration says that they are sent in this framing, and not only that it is read.
        Raises `ValueError` or `ChecksumError` if a receiver would read something else.
        """
        frame = content if self.checksum is None else self.checksum.append(content)
        if is_chosen and self.framer is not None:
            self.framer.check_written(frame)
        return self.preamble + self.matcher.wrap(frame)

    def read(self, frame: bytes) -> bytes:
        """Return a frame with a valid checksum as the rules read it: without that, and with its name, if it has one."""
        return self.named(frame) if self.name else self._stripped(frame)

    def verified(self, frame: bytes) -> NamedFrame:
        """Return a frame with the name of its framing, without its checksum, or with the reason why that is wrong."""
        if self.checksum is not None:
            try:
                self.checksum.verify(frame)
            except ChecksumError as err:
                return self.named(frame, str(err))
        return self.named(frame)

    def named(self, frame: bytes, error: str = "") -> NamedFrame:
        """Return a frame with the name of its framing, without its checksum if that is right."""
        result = NamedFrame(frame if error else self._stripped(frame))
        result.framing, result.error = self.name, error
        return result

    def _stripped(self, frame: bytes) -> bytes:
        return self.checksum.strip(frame) if self.strips and self.checksum is not None else frame


class SeveralFramer(Framer):
    """Frames of several kinds. Each of them begins with its `start`; at a place where several fit, the first counts.

    All other bytes are read by `rest`, or discarded. `rest_kind` is the kind of its frames, if they are not verified
    yet. A frame ends what `rest` has begun, unless it is `embedded` in it. The frames are `NamedFrame`s; those with a
    wrong checksum are among them, each with its `error`.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        rest: Framer | None = None,
        rest_kind: Kind | None = None,
        *,
        embedded: bool = False,
    ) -> None:
        longest = max(kind.matcher.max_length for kind in kinds)
        super().__init__(longest if rest is None else max(longest, rest.max_length))
        self._kinds = kinds
        self._rest, self._rest_kind, self._embedded = rest, rest_kind, embedded
        self._starts = re.compile(b"|".join(re.escape(kind.begin) for kind in kinds))
        self._partial_starts = {kind.begin[:length] for kind in kinds for length in range(1, len(kind.begin))}
        self._longest_partial = max(map(len, self._partial_starts), default=0)
        self._preamble_length = max(len(kind.preamble) for kind in kinds)
        self._undecided: tuple[int, bool] | None = None  # the kind that needs more bytes; whether its start is there
        self._line: DelimitedFramer | None = None  # the last frame was one of its lines; blank ones may follow
        self._tail = b""  # bytes without a frame that are not counted yet: a preamble is no loss
        self._in_sync = True
        self._matched = kinds[0]  # the kind of the frame that was found last
        self._candidate: NamedFrame | None = None  # the first frame with a wrong checksum at the present place
        self._has_rejected = False  # since the last frame
        self._shared: EscapedFramer | None = None  # the delimiter that ended its last frame may begin the next one
        self._behind = bytearray()  # the bytes since then, and what was discarded before them
        self._discarded_then = (0, 0)
        self.share_checks(1)

    def share_checks(self, budgets: int) -> None:
        """Use only this part of the budget of checksums, and divide it with the framer of the other bytes."""
        self._budgets = budgets if self._rest is None else 2 * budgets
        if self._rest is not None:
            self._rest.share_checks(2 * budgets)

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Accept the bytes that have arrived; return the complete frames, each with the name of its framing."""
        self._buffer += data
        frames: list[bytes] = []
        position, end = 0, len(self._buffer)
        while position < end:
            if self._line is not None:
                blank = self._line.blank_at(self._buffer, position)
                if blank is None:
                    break
                position += blank
                if blank:
                    continue
                self._line = None
            begin = self._next_start(position)
            if begin > position:
                self._undecided = None
            self._pass_on(position, begin, frames)
            position = begin
            if position == end:
                break
            if self._shared is not None and self._buffer.startswith(self._shared.opening, position):
                shared = self._match_behind(self._shared, position)
                if shared is not None:
                    frames += self._accepted(shared)
                    position += shared.length
                    continue
            found = self._match(position)
            if found is Verdict.NEED_MORE:
                break
            if isinstance(found, Match):
                frames += self._accepted(found)
                position += found.length
            else:
                self._report_candidate(frames)
                self._pass_on(position, position + 1, frames)
                position += 1
        self._remove(position)
        return frames

    def _next_start(self, position: int) -> int:
        """Return the offset of the next place where a kind of frame may begin, or the end of the buffer."""
        found = self._starts.search(self._buffer, position)
        if found:
            return found.start()
        end = len(self._buffer)
        for length in range(min(self._longest_partial, end - position), 0, -1):
            if bytes(self._buffer[end - length :]) in self._partial_starts:
                return end - length
        return end

    def _match(self, position: int) -> Match | Verdict:
        """Return the first kind of frame that begins at `position`, and remember in `_undecided` which it may be."""
        buffer = self._buffer
        first, is_new = (0, True) if self._undecided is None else (self._undecided[0], not self._undecided[1])
        self._undecided = None
        for index in range(first, len(self._kinds)):
            kind = self._kinds[index]
            has_start = buffer.startswith(kind.begin, position)
            if has_start:
                found = kind.matcher.match_at(buffer, position, partial(self._accepts, kind), is_new=is_new)
            else:
                found = Verdict.NEED_MORE if kind.begin.startswith(buffer[position:]) else Verdict.NO
            if found is Verdict.NEED_MORE:
                self._undecided = index, has_start
                return found
            if isinstance(found, Match):
                self._matched = kind
                return found
            is_new = True
        return Verdict.NO

    def _match_behind(self, framer: EscapedFramer, position: int) -> Match | None:
        """Return the frame that has begun with the delimiter of the last one, and ends with that at `position`.

        Text may follow a frame as well. So its bytes were passed on without delay, and are taken back here.
        """
        self._shared = None
        frame, kind = framer.decoded(self._behind), self._matched
        if kind.is_valid is None or not frame or not self._may_check(len(frame), position) or not kind.is_valid(frame):
            return None
        self._tail = b""
        if self._rest is not None:
            self._rest.reset()
            self._collect_counts(self._rest)
        self.discarded_bytes, self.discarded_frames = self._discarded_then
        return Match(len(framer.opening), frame)

    def _accepts(self, kind: Kind, frame: bytes, end: int) -> bool | None:
        """Return whether `frame`, which ends at this offset of the buffer, has a valid checksum; None if unknown."""
        if kind.is_valid is None:
            return True
        if not self._may_check(len(frame), end):
            return None
        if kind.is_valid(frame):
            return True
        if self._candidate is None:
            self._candidate = kind.verified(frame)
        return False

    def _accepted(self, match: Match) -> Iterable[bytes]:
        """Return the frame that was found, behind those that it ends."""
        kind, before = self._matched, []
        if self._rest is not None and not self._embedded:
            self._rest.reset()
            before = self._of_rest(self._rest, [])
        tail, preamble, self._tail = self._tail, kind.preamble, b""
        known = next((n for n in range(min(len(tail), len(preamble)), 0, -1) if tail.endswith(preamble[-n:])), 0)
        self._count(len(tail) - known)
        self._in_sync, self._has_rejected, self._candidate = True, False, None
        self._line = kind.framer if isinstance(kind.framer, DelimitedFramer) else None
        if isinstance(kind.framer, EscapedFramer) and kind.is_valid is not None and not self._embedded:
            self._shared = kind.framer
            self._discarded_then = self.discarded_bytes, self.discarded_frames
            self._behind.clear()
        return (*before, kind.named(match.frame))

    def _report_candidate(self, frames: list[bytes]) -> None:
        """Append the frame with a wrong checksum that was found at the present place, once for each loss of frames."""
        if self._candidate is not None and not self._has_rejected:
            self._has_rejected = True
            frames.append(self._candidate)
        self._candidate = None

    def _pass_on(self, begin: int, end: int, frames: list[bytes]) -> None:
        """Have the bytes in `buffer[begin:end]`, which no kind of frame takes, read as others, or discard them."""
        if begin == end:
            return
        data = bytes(self._buffer[begin:end])
        if self._shared is not None:
            self._behind += data
            if len(self._behind) > self._shared.max_length:
                self._shared = None
        if self._rest is not None:
            frames += self._of_rest(self._rest, self._rest.feed(data))
            return
        self._tail += data
        counted = max(0, len(self._tail) - self._preamble_length)
        self._tail = self._tail[counted:]
        self._count(counted)

    def _of_rest(self, rest: Framer, frames: list[bytes]) -> list[bytes]:
        """Return frames that `rest` has found, and those that it has rejected, with the name of its framing."""
        self._collect_counts(rest)
        frames = rest.with_rejected(frames)
        return frames if self._rest_kind is None else [self._rest_kind.verified(frame) for frame in frames]

    def _collect_counts(self, rest: Framer) -> None:
        self.discarded_bytes += rest.discarded_bytes
        self.discarded_frames += rest.discarded_frames
        rest.discarded_bytes = rest.discarded_frames = 0

    def _count(self, count: int) -> None:
        """Count bytes that are no part of a frame; the first of them also count as one lost frame."""
        self.discarded_bytes += count
        if count and self._in_sync:
            self._in_sync = False
            self.discarded_frames += 1

    @property
    def has_partial_frame(self) -> bool:
        """Whether part of a frame has arrived."""
        return bool(self._buffer) or (self._rest is not None and self._rest.has_partial_frame)

    def reset(self) -> None:
        """Discard a partial frame."""
        self._count(len(self._tail) + len(self._buffer))
        self._remove(len(self._buffer))
        self._tail, self._undecided, self._candidate, self._line, self._shared = b"", None, None, None, None
        self._in_sync, self._has_rejected = True, False
        if self._rest is not None:
            self._rest.reset()
            self._collect_counts(self._rest)

    def flush_partial(self) -> list[bytes]:
        """Discard the first bytes of a frame that will never be complete; return the frames that follow them."""
        frames = self._give_back()
        if self._rest is not None:
            frames += self._of_rest(self._rest, self._rest.flush_partial())
        return frames

    def finish(self) -> list[bytes]:
        """Return the frames that end because nothing will follow: a line needs no terminator then."""
        frames = [*self._last_line(), *self._give_back()]
        if self._rest is not None:
            frames += self._of_rest(self._rest, self._rest.finish())
        return frames

    def _last_line(self) -> Iterable[bytes]:
        """Return the line that the buffer holds without its terminator, if there is one."""
        index, has_start = (0, False) if self._undecided is None else self._undecided
        kind = self._kinds[index]
        if not has_start or not isinstance(kind.framer, DelimitedFramer) or isinstance(kind.framer, EscapedFramer):
            return ()
        whole = self._buffer + kind.framer.ending
        found = kind.framer.match_at(whole, 0, partial(self._accepts, kind), is_new=False)
        if not isinstance(found, Match) or found.length < len(whole):
            return ()
        self._matched = kind
        self._remove(len(self._buffer))
        return self._accepted(found)

    def _give_back(self) -> list[bytes]:
        """Discard the first bytes of a frame that will never be complete; return the frames that follow them."""
        frames: list[bytes] = []
        self._shared = None
        while self._buffer:
            self._undecided = self._line = None
            self._report_candidate(frames)
            self._pass_on(0, 1, frames)
            self._remove(1)
            frames += self.feed(b"")
        self._count(len(self._tail))
        self._tail = b""
        return frames

    def wrap(self, frame: bytes) -> bytes:
        """Return `frame` in the first framing."""
        return self._kinds[0].matcher.wrap(frame)


def make_line_framer(kinds: Sequence[Kind]) -> Framer:
    """Return the framer for all kinds of frames of one line.

    Frames that are embedded are taken out first. The last of the other kinds reads what those before it leave over, if
    it has no `start`.
    """
    main = [kind for kind in kinds if not kind.is_embedded]
    rest = main[-1] if main and (len(main) == 1 or not main[-1].start) else None
    native = rest.framer if rest is not None and not (rest.preamble and rest.start) else None
    if native is None:
        framer: Framer = SeveralFramer(main)
        rest = None
    elif len(main) > 1:
        framer, rest = SeveralFramer(main[:-1], native, rest), None
    else:
        framer = native
    embedded = [kind for kind in kinds if kind.is_embedded]
    return SeveralFramer(embedded, framer, rest, embedded=True) if embedded else framer
