"""The warnings of a serial device in the log: dropped frames, bytes without frames, unanswered requests.

Each kind of warning is logged once, and then with its count once per period.
"""

from __future__ import annotations

import enum
import logging
import re
import time
from collections.abc import Callable

from gateway.core.counting import counted
from gateway.core.package_logger import package_logger
from gateway.core.tap import TAP
from gateway.core.throttled_exception import ThrottledException, kind_of
from gateway.core.unknown import CHECKSUM, PARTS, RULE, UNKNOWN, VALUE

LOG = package_logger(__name__)

_MAX_KINDS = 100  # kinds of frames without a rule that are distinguished
_LOGGED_KINDS = 20  # of which so many are logged as soon as they occur
_MAX_KIND_LENGTH = 40  # bytes of a frame that distinguish its kind
_MAX_SENT = 60  # characters of a frame where the log shows what the device has sent
_MAX_BEGINNING = 40  # bytes that the log shows if there is no frame in them
_MAX_COMMAND = 300  # characters of a frame in the command that the log shows
_NUMBER = re.compile(rb"[-+]?[0-9][0-9.]*")


class FrameDropped(ThrottledException):
    """A frame that no rule matches, that does not fit its rule, or whose checksum is wrong."""

    period = 600.0


class ValueLeftOut(ThrottledException):
    """A value of a frame that could not be converted; the others have been used."""

    period = 600.0


class NothingAnswers(ThrottledException):
    """Nothing on the line has answered: the port is closed and opened again."""

    period = 600.0


class NoFrames(ThrottledException):
    """More bytes than a frame may have, and no frame in them; or no frame has ended for a long time."""

    period = 600.0


class EchoNoticed(ThrottledException):
    """The line has been found to return what is written, or not to do so any more."""

    period = 600.0


class ReplyDropped(ThrottledException):
    """A rule had to reply more often than is allowed."""

    period = 600.0


class RequestFailed(ThrottledException):
    """The device has not answered a request of the configuration, or has refused it."""

    period = 600.0


class LateAnswer(ThrottledException):
    """The device has answered later than its timeout allows."""

    period = 600.0


class DropReason(enum.Enum):
    """Why a frame is dropped; the values are the names of the counters in `stats()`."""

    BAD_CHECKSUM = "frames_bad_checksum"
    UNREADABLE = "frames_unreadable"
    UNMATCHED = "frames_unmatched"
    UNJOINED = "frames_unjoined"


_WHERE = {
    DropReason.BAD_CHECKSUM: "checksum",
    DropReason.UNREADABLE: "value",
    DropReason.UNMATCHED: "rule",
    DropReason.UNJOINED: "rule",
}
"""At which stage a frame is dropped, as those who follow messages are told."""

_KINDS = {
    DropReason.BAD_CHECKSUM: CHECKSUM,
    DropReason.UNREADABLE: VALUE,
    DropReason.UNMATCHED: RULE,
    DropReason.UNJOINED: PARTS,
}
"""As what a frame is collected that could not be used."""


class Reports:
    """Logs the warnings of the device of the interface `name`. `clock` returns monotonic seconds."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        """The name of the interface."""
        self._clock = clock
        self._unmatched_kinds: set[bytes] = set()

    @property
    def unmatched_kinds(self) -> int:
        """How many kinds of frames without a rule have been dropped, up to a limit of 100."""
        return len(self._unmatched_kinds)

    def forget_kinds(self) -> None:
        """Forget the kinds of frames without a rule, because the rules are new ones."""
        self._unmatched_kinds.clear()

    def frame_dropped(self, reason: DropReason, frame: bytes, error: str = "") -> None:
        """Log that `frame` has been dropped; `error` is the text of the checksum or conversion error."""
        recorder, is_unmatched = TAP.recorder, reason is DropReason.UNMATCHED
        if recorder is not None:
            recorder.frame_dropped(self.name, _WHERE[reason], error or "no rule matches", frame)
        if (unknown := UNKNOWN.collector) is not None:
            unknown.frame(self.name, _KINDS[reason], frame, error or "no rule matches")
        is_new_kind = is_unmatched and self._is_new_kind(frame)
        level = logging.INFO if is_unmatched or reason is DropReason.UNJOINED else logging.WARNING
        # Noise on a line gives checksum errors of many texts; they are one kind of warning.
        kind = "" if reason is DropReason.BAD_CHECKSUM else kind_of(error)
        cause = f"the device sent {shown_bytes(frame)}, but no rule matches it" if is_unmatched else error
        dropped = FrameDropped(
            f"{self.name}: frame dropped: {cause}",
            key=f"{self.name} {reason.value} {kind}",
            level=level,
            clock=self._clock,
        )
        if dropped.trigger or is_new_kind:
            details = f": {frame.hex(' ')}" if reason is DropReason.BAD_CHECKSUM else self._remedy(reason, frame)
            LOG.log(level, "%s%s", dropped.report or dropped, details)
        elif is_unmatched:
            LOG.debug("%s", dropped)

    def _is_new_kind(self, frame: bytes) -> bool:
        """Record the kind of a frame without a rule; return whether it is a new one, and one of the first."""
        kinds, kind = self._unmatched_kinds, _kind_of_frame(frame)
        if kind in kinds or len(kinds) >= _MAX_KINDS:
            return False
        kinds.add(kind)
        return len(kinds) <= _LOGGED_KINDS

    def value_left_out(self, place: str, error: str, frame: bytes) -> None:
        """Log that a value of `frame` was left out; `place` is its rule and its name, `error` the reason with both."""
        recorder = TAP.recorder
        if recorder is not None:
            recorder.frame_dropped(self.name, "value", error, frame)
        warning = ValueLeftOut(f"{self.name}: value left out: {error}", key=f"{self.name} {place}", clock=self._clock)
        if warning.trigger:
            LOG.warning("%s: the device sent %s%s", warning.report, shown_bytes(frame), self._remedy(None, frame))

    def nothing_answers(self, count: int) -> None:
        """Log that `count` requests in a row were not answered, and that the port is therefore reopened."""
        self._warn(
            NothingAnswers,
            f"{self.name}: nothing has answered {counted(count, 'request')} in a row: closing the port and opening it "
            "again",
            key=self.name,
        )

    def no_frames(self, count: int, last: bytes) -> None:
        """Log that `count` bytes have been discarded, and that there was no frame in them; `last` came last."""
        discarded = counted(count, "byte discarded that contains no frame", "bytes discarded that contain no frame")
        if (unknown := UNKNOWN.collector) is not None:
            unknown.noise(self.name, last, discarded)
        self._warn(
            NoFrames,
            f"{self.name}: {discarded}: check baudrate, parity and framing",
            key=self.name,
        )

    def no_frame_ended(self, count: int, beginning: bytes, seconds: float) -> None:
        """Log that the device has sent `count` bytes within `seconds`, and no frame has ended."""
        if (unknown := UNKNOWN.collector) is not None:
            unknown.noise(self.name, beginning, f"{counted(count, 'byte')} in {seconds:.0f} s and no frame ended")
        shown = ascii(beginning[:_MAX_BEGINNING])[1:]
        self._warn(
            NoFrames,
            f"{self.name}: {counted(count, 'byte')} in {seconds:.0f} s and no frame ended: "
            f"check framing (the terminator?), baudrate and parity; the bytes begin with {shown}",
            key=f"{self.name} open-ended",
        )

    def echo_noticed(self, has_echo: bool) -> None:
        """Log that the line returns what is written, or not any more."""
        if has_echo:
            text = "the line returns what is written: this echo is taken off from now on (as with echo: true)"
        else:
            text = "the line does not return any more what is written: nothing is taken off from now on"
        warning = EchoNoticed(f"{self.name}: {text}", key=f"{self.name} {has_echo}", clock=self._clock)
        if warning.trigger:
            LOG.info(warning.report)

    def reply_dropped(self, source: str, most: int) -> None:
        """Log that `source` had to reply more than `most` times in a second."""
        self._warn(
            ReplyDropped,
            f"{self.name}: {source}: a reply was not sent: at most {most} are sent in a second; does the other side "
            "reply to replies?",
            key=f"{self.name} {source}",
        )

    def request_failed(self, request: str, reason: str, frame: bytes = b"") -> None:
        """Log that the request of this name was not answered, or was refused by `frame`."""
        recorder = TAP.recorder
        if recorder is not None:
            recorder.frame_dropped(self.name, "answer", f"{request!a}: {reason}", frame)
        details = f": {_as_text(frame)}" if frame else ""
        self._warn(
            RequestFailed,
            f"{self.name}: {request!a}: {reason}{details}",
            key=f"{self.name} {request}: {kind_of(reason)}",
        )

    def late_answer(self, request: str, seconds: float, timeout: float) -> None:
        """Log that a request or a command was answered `seconds` after it was written, later than its timeout (s)."""
        self._warn(
            LateAnswer,
            f"{self.name}: {request}: answered after {seconds:.3g} s, but the timeout is {timeout:g} s: the answer is "
            "used as a reading; choose a longer timeout",
            key=f"{self.name} {request}",
        )

    def _warn(self, kind: type[ThrottledException], text: str, key: str) -> None:
        warning = kind(text, key=key, clock=self._clock)
        if warning.trigger:
            LOG.warning(warning.report)

    def _remedy(self, reason: DropReason | None, frame: bytes) -> str:
        """Return how many other kinds of frames have no rule, and the command that explains why `frame` was dropped."""
        others = self.unmatched_kinds - 1 if reason is DropReason.UNMATCHED else 0
        counted = "1 other kind of frame has" if others == 1 else f"{others} other kinds of frames have"
        more = f" ({counted} no rule either)" if others > 0 else ""
        option, text = ("frame", _shell_quoted(frame)) if _is_text(frame) else ("hex", frame.hex(" "))
        return f"{more}; to try it: mqttgateway check --conf FILE --{option} {_shortened(text, _MAX_COMMAND, frame)}"


def _shortened(text: str, limit: int, frame: bytes) -> str:
    return f"'{text}'" if len(text) <= limit else f"'{text[:limit]}...' ({counted(len(frame), 'byte')})"


def shown_bytes(frame: bytes) -> str:
    """Return a frame as a line of the log, or of the health of the gateway, shows it."""
    if _is_text(frame):
        return _shortened(frame.decode("ascii"), _MAX_SENT, frame)
    return f"the bytes {_shortened(frame.hex(' '), _MAX_SENT, frame)}"


def _as_text(frame: bytes) -> str:
    """Return a frame as printable text, so that no byte of it can control a terminal or forge a line of the log."""
    return ascii(frame)[1:] if _is_text(frame) else frame.hex(" ")


def _shell_quoted(frame: bytes) -> str:
    """Return a frame that is text as the argument of `check --frame`, to stand within single quotes of a shell."""
    return frame.decode("ascii").replace("\\", r"\\").replace("'", r"\x27")


def _is_text(frame: bytes) -> bool:
    return frame.isascii() and frame.decode("ascii").isprintable()


def _kind_of_frame(frame: bytes) -> bytes:
    """Return what frames of one kind have in common: a text without its numbers, or the first two bytes."""
    return _NUMBER.sub(b"#", frame)[:_MAX_KIND_LENGTH] if _is_text(frame) else frame[:2]
