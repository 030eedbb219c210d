"""What those who follow messages are told of the way between bytes and messages. Only called while somebody follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from gateway.core.tap import Recorder
from gateway.message import InternalMsg
from interfaces.rules.decoding import Decoder, IgnoredFrame
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.transaction import Result, Transaction

_LOST_BYTES = {
    "bytes_discarded": ("framing", "{} bytes outside of frames"),
    "partial_frames_discarded": ("framing", "a frame without an end"),
    "echoes_removed": ("echo", "the line has returned what was written"),
    "answers_unattributed": ("answer", "nobody knows which request it answers"),
}
"""The counters of a session that tell of bytes without a frame: where they are dropped, and why."""


class Counts(Protocol):
    """What counts what it drops: a `Session`."""

    def stats(self) -> dict[str, int]:
        """Return the counters."""


def followed(
    recorder: Recorder, name: str, session: Counts, work: Callable[[], Iterable[InternalMsg]], data: bytes = b""
) -> Iterator[InternalMsg]:
    """Yield what `work`, a method of `session`, yields for `data`, and tell what it drops that is no frame."""
    if data:
        recorder.read(name, len(data))
    before = session.stats()
    yield from work()
    after = session.stats()
    for counter, (where, reason) in _LOST_BYTES.items():
        if count := after[counter] - before[counter]:
            recorder.bytes_dropped(name, where, reason.format(count))


def tell_decoded(
    recorder: Recorder, name: str, decoder: Decoder, frame: bytes, messages: Sequence[InternalMsg]
) -> None:
    """Tell which rules have made `messages` of a frame, just after they have."""
    try:
        rules = decoder.find_rules(frame)
    except CodecError:
        rules = []
    words = " and ".join(rule.name for rule in rules) or "?"
    if messages:
        recorder.decoded(name, frame, words, messages)
    elif isinstance(messages, IgnoredFrame):
        recorder.frame_dropped(name, "rule", "the rule ignores it", frame, words)
    else:
        recorder.frame_dropped(name, "rule", "the rule makes no message of this frame alone", frame, words)


def tell_written(
    recorder: Recorder, name: str, data: bytes, current: Transaction | None, results: Sequence[Result]
) -> None:
    """Tell for which command `data` was written: the one that waits for its answer, or that has ended with it."""
    transaction = current or next((result.transaction for result in results), None)
    subject = None if transaction is None else transaction.subject.run.subject
    if isinstance(subject, InternalMsg):
        recorder.written(name, subject, data)


def tell_answered(recorder: Recorder, name: str, result: Result) -> None:
    """Tell that a frame has answered a command."""
    subject = result.transaction.subject.run.subject
    if result.frame and isinstance(subject, InternalMsg):
        recorder.answered(name, subject, result.frame)
