"""The session with one serial device: from bytes to messages, and from commands to bytes, without port and clock.

    bytes -> FrameCodec (framing, checksum) -> Conversation (is it an answer?) -> Decoder -> messages
    command -> Encoder -> FrameCodec -> Conversation (when?) -> bytes

All times are in seconds and arguments, so that a test needs neither a device nor a pause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.errors import DeviceError
from gateway.message import ADDRESS_AND_ACTION, InternalMsg
from interfaces.rules.answers import Answer, AnswerReader
from interfaces.rules.decoding import BadValue, PartialMessages, bad_values
from interfaces.rules.message_template import BadReading, CodecError, bad_readings, make_messages
from interfaces.serial_interface.conversation import Conversation
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.polling import Request, Schedule
from interfaces.serial_interface.reports import DropReason, Reports
from interfaces.serial_interface.rules import SerialRules
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction

_COUNTED_OUTCOMES = {
    Outcome.DONE: "done",
    Outcome.TIMED_OUT: "timed_out",
    Outcome.REFUSED: "refused",
    Outcome.OFFLINE: "offline",
}
_COUNTERS = (
    "frames_received",
    *(reason.value for reason in DropReason),
    "values_unreadable",
    "answers_received",
    "answers_late",
    "frames_sent",
    "ports_reopened",
    *(f"{kind}_{outcome}" for kind in ("commands", "requests") for outcome in _COUNTED_OUTCOMES.values()),
)


class _Command(NamedTuple):
    """A command that was submitted, and the answers that its rule expects."""

    msg: InternalMsg
    answer: Answer


class Session:
    """The framing, the rules, the conversation and the polls of one device. Belongs to one thread.

    Call `start` when the port is open, `receive` with bytes, `submit` with a command, `step` and
    `expire_partial_frame` when `due` has come, and `end` when the port is closed. Messages are returned by generators:
    those before an error are still delivered.

    `on_request_ended` is called with each message that the answer to a request would have made, as far as that is
    known without the answer, and with whether the device has answered at all; only where the message did not come.
    `on_bad_reading` is called with each message of which values could not be converted, and their errors by argument.
    """

    def __init__(
        self,
        rules: SerialRules,
        options: SerialOptions,
        reports: Reports,
        on_request_ended: Callable[[InternalMsg, bool], None] = lambda _msg, _is_answered: None,
        on_bad_reading: Callable[[InternalMsg, Mapping[str, str]], None] = lambda _msg, _errors: None,
    ) -> None:
        self.rules = rules
        self._on_request_ended = on_request_ended
        self._on_bad_reading = on_bad_reading
        self.codec = rules.codec
        self._options = options
        self._reports = reports
        self._counts = dict.fromkeys(_COUNTERS, 0)  # no key is ever added, so that any thread may copy it
        self._schedule = Schedule(rules.opening, rules.polls)
        self._conversation = Conversation(options.rate_limit)
        self._writable_at = 0.0
        self._last_byte = 0.0
        # For the warning about bytes without frames: the counters at the last frame, or at the last warning.
        self._frames_before = self._discarded_before = 0
        self._unanswered = 0  # requests and commands in a row, since the last frame

    @property
    def has_requests(self) -> bool:
        """Whether there are opening requests or polls."""
        return bool(self.rules.opening or self.rules.polls)

    @property
    def measures_silence(self) -> bool:
        """Whether silence ends a frame."""
        return self.codec.framer.idle_seconds is not None

    def use_rules(self, rules: SerialRules) -> None:
        """Replace the rules for decoding and encoding; the framing and a partial frame stay, and so do the requests."""
        self._forget_parts()
        rules.codec = self.codec
        self.rules = rules
        self._reports.forget_kinds()

    def stats(self) -> dict[str, int]:
        """Return the counters. Any thread may call this."""
        framer = self.codec.framer
        return {
            **self._counts,
            "unmatched_kinds": self._reports.unmatched_kinds,
            "answers_unattributed": self._conversation.unattributed,
            "bytes_discarded": framer.discarded_bytes,
            "partial_frames_discarded": framer.discarded_frames,
        }

    # --- the port

    def start(self, now: float) -> None:
        """Begin, because the port has been opened at `now`: discard old bytes, and submit the opening requests."""
        self._begin(now)
        self._schedule.start(self._writable_at)

    def restart(self, now: float) -> None:
        """Go on with a port that was opened again at `now`: as `start`, but commands and polls go on waiting."""
        self._conversation.discard(Priority.OPENING)
        self._begin(now)
        self._counts["ports_reopened"] += 1

    def _begin(self, now: float) -> None:
        self.codec.framer.reset()
        self._conversation.reset()
        self._forget_parts()
        self._unanswered = 0
        self._writable_at = now + self._options.settle
        for request in self._schedule.opening:
            self._submit_request(request, Priority.OPENING, now)

    @property
    def is_dead(self) -> bool:
        """Whether so many requests in a row were not answered that the port is to be closed and opened again."""
        return 0 < self._options.reopen_after <= self._unanswered

    def end(self) -> Iterator[InternalMsg]:
        """Yield the outcome of each command that has not ended: offline."""
        for result in self._conversation.abort():
            yield from self._result_messages(result)

    def due(self) -> float | None:
        """Return the time at which something is due that no byte from the device will cause, or None."""
        framer = self.codec.framer
        due = earliest(framer.due(), self._conversation.due(), self._schedule.due())
        if due is not None:
            due = max(due, self._writable_at)
        timeout = self._options.frame_timeout
        if timeout is not None and framer.has_partial_frame:
            due = earliest(due, self._last_byte + timeout)
        return due

    def report_dead(self) -> None:
        """Log that nothing answers."""
        self._reports.nothing_answers(self._unanswered)

    # --- from the device

    def receive(self, data: bytes, now: float) -> Iterator[InternalMsg]:
        """Accept the bytes that have arrived at `now`; yield the messages of the frames that are complete."""
        if data:
            self._last_byte = now
        return self.decode_frames(self.codec.feed(data, now), now)

    def expire_partial_frame(self, now: float) -> Iterator[InternalMsg]:
        """Discard a partial frame whose time is over; yield the messages of frames that it contains.

        Call this only after everything that has arrived was passed to `receive`: else the missing bytes may be there.
        """
        timeout, framer = self._options.frame_timeout, self.codec.framer
        if timeout is not None and framer.has_partial_frame and now >= self._last_byte + timeout:
            yield from self.decode_frames(self.codec.flush_partial(), now)
        self._check_for_frames()

    def decode_frames(self, frames: Iterable[tuple[bytes, str]], now: float) -> Iterator[InternalMsg]:
        """Yield the messages of frames, each with its checksum error or `""`; count and report dropped ones."""
        counts = self._counts
        on_frame = self._conversation.on_frame if self._conversation.needs_frames else None
        frames = list(frames)
        counts["frames_received"] += len(frames)
        if (self._unanswered or self.rules.polls) and any(not error for _, error in frames):
            self._unanswered = 0
            self._schedule.mark_heard()
        for frame, checksum_error in frames:
            if checksum_error:
                self._drop(DropReason.BAD_CHECKSUM, frame, checksum_error)
                continue
            try:
                results = on_frame(frame, now) if on_frame is not None else None
            except CodecError as err:
                self._drop(DropReason.UNREADABLE, frame, str(err))
                self._pass_on_bad(err.readings)
                continue
            if results is None:
                yield from self._decode(frame)
            else:
                for result in results:
                    yield from self._answered(result)
        if self.rules.joins:
            self._report_unjoined()

    def _answered(self, result: Result) -> Iterator[InternalMsg]:
        """Yield the messages of an answer; if it makes none of its own, those of the decode rules."""
        self._counts["answers_received"] += 1
        yield from self._result_messages(result)
        if not _makes_messages(result):
            yield from self._decode(result.frame, is_answer=True)

    def _decode(self, frame: bytes, *, is_answer: bool = False) -> Iterable[InternalMsg]:
        """Return the messages that the decode rules make of a frame."""
        try:
            messages = self.rules.decoder.decode(frame)
        except CodecError as err:
            self._drop(DropReason.UNREADABLE, frame, str(err))
            self._pass_on_bad(err.readings)
            return ()
        if messages is None:
            if not is_answer:
                self._drop(DropReason.UNMATCHED, frame)
            return ()
        if type(messages) is PartialMessages:
            self._report_bad(messages.bad, frame)
            self._pass_on_bad(messages.readings)
        return messages

    def _report_bad(self, bad: Iterable[BadValue], frame: bytes) -> None:
        for place, error in bad:
            self._counts["values_unreadable"] += 1
            self._reports.value_left_out(place, error, frame)

    def _pass_on_bad(self, readings: Iterable[BadReading]) -> None:
        for msg, errors in readings:
            self._on_bad_reading(msg, errors)

    def _drop(self, reason: DropReason, frame: bytes, error: str = "") -> None:
        self._counts[reason.value] += 1
        self._reports.frame_dropped(reason, frame, error)

    def _forget_parts(self) -> None:
        """Drop the frames that rules have collected, because those that belong to them will not come."""
        for join in self.rules.joins:
            join.forget_parts()
        self._report_unjoined()

    def _report_unjoined(self) -> None:
        for join in self.rules.joins:
            for frame, count, reason in join.take_unjoined():
                self._counts[DropReason.UNJOINED.value] += count
                self._reports.frame_dropped(DropReason.UNJOINED, frame, f"rule {join.name!a}: {reason}")

    def _check_for_frames(self) -> None:
        """Report a device of which more bytes than a frame may have were discarded, without any frame."""
        framer, frames = self.codec.framer, self._counts["frames_received"]
        if frames > self._frames_before:
            self._frames_before, self._discarded_before = frames, framer.discarded_bytes
        elif framer.discarded_bytes - self._discarded_before > framer.max_length:
            self._reports.no_frames(framer.discarded_bytes - self._discarded_before)
            self._discarded_before = framer.discarded_bytes

    # --- to the device

    def submit(self, msg: InternalMsg, now: float) -> InternalMsg | None:
        """Queue a command; return the reply if it is refused. Call `step` to write it."""
        try:
            rule, arguments, content = self.rules.encoder.encode(msg)
            data = self.codec.wrap(content)
        except (CodecError, FramingError) as err:
            return self._refuse(msg, str(err))
        # Its outcome has the values that were written: a client may have sent the number as text.
        typed = msg.with_arguments({name: arguments[name] for name in msg.arguments})
        transaction = self._transaction(data, rule.answer, Priority.COMMAND, _Command(typed, rule.answer), arguments)
        if not self._conversation.submit(transaction, now):
            waiting = self._options.rate_limit.max_waiting
            return self._refuse(msg, f"the send queue is full: {waiting} commands are already waiting")
        return None

    def _refuse(self, msg: InternalMsg, reason: str) -> InternalMsg:
        self._counts["commands_refused"] += 1
        return msg.reply(Outcome.REFUSED.value, reason)

    def _submit_request(self, request: Request, priority: Priority, now: float) -> None:
        transaction = self._transaction(self.codec.wrap(request.content), request.answer, priority, request, {})
        if not self._conversation.submit(transaction, now):
            self._schedule.mark_ended(request)

    def _transaction(
        self, data: bytes, answer: Answer, priority: Priority, subject: object, arguments: Mapping[str, Any]
    ) -> Transaction:
        return Transaction(
            data,
            priority,
            subject,
            answer.response.read_for(arguments) if answer.response is not None else None,
            answer.refusal.read_for(arguments) if answer.refusal is not None else None,
            self._options.answer_timeout if answer.timeout is None else answer.timeout,
            answer.retries,
        )

    def ask(self, actions: Collection[str], now: float) -> None:
        """Make the polls due whose answers make a message with one of these actions. Call `step` to write them."""
        self._schedule.ask(actions, max(now, self._writable_at))

    def step(self, now: float, write: Callable[[bytes], None]) -> Iterator[InternalMsg]:
        """Write with `write` what is due at `now`, and end transactions; yield the messages that they make.

        `write` may raise `DeviceError`; the outcomes of transactions that have ended are yielded before.
        """
        has_work = bool(self.rules.polls) or not self._conversation.is_idle
        if not has_work or now < self._writable_at:
            return
        for request in self._schedule.pop_due(now, self._conversation.last_written):
            self._submit_request(request, Priority.POLL, now)
        while True:
            data, results = self._conversation.step(now)
            if data:
                try:
                    write(data)
                except DeviceError as err:
                    for result in results:
                        if result.frame:
                            yield from self._answered(result)
                            continue
                        offline = Result(result.transaction, Outcome.OFFLINE, f"the device failed: {err}")
                        yield from self._result_messages(offline)
                    raise
                self._counts["frames_sent"] += 1
            for result in results:
                yield from self._answered(result) if result.frame else self._result_messages(result)
            if not data:
                return

    def _result_messages(self, result: Result) -> Iterator[InternalMsg]:
        """Yield the messages that the end of a transaction makes: a command's reply, and the readings of the answer."""
        subject: _Command | Request = result.transaction.subject
        if result.is_late:
            yield from self._late_messages(subject, result)
            return
        if result.is_unanswered:
            self._unanswered += 1
        if isinstance(subject, _Command):
            self._counts[f"commands_{_COUNTED_OUTCOMES[result.outcome]}"] += 1
            yield self.rules.with_answer(subject.msg.reply(result.outcome.value, result.reason), result)
            yield from self._answer_messages(_name(subject), result)
            return
        self._counts[f"requests_{_COUNTED_OUTCOMES[result.outcome]}"] += 1
        if result.outcome in (Outcome.TIMED_OUT, Outcome.REFUSED):
            self._reports.request_failed(subject.name, result.reason, result.frame)
        messages = list(self._answer_messages(_name(subject), result))
        self._end_request(subject, result, messages)
        yield from messages

    def _late_messages(self, subject: _Command | Request, result: Result) -> Iterator[InternalMsg]:
        """Yield the readings of an answer that has come after its transaction had ended; it is no outcome any more."""
        self._counts["answers_late"] += 1
        if result.seconds > result.transaction.timeout:
            self._reports.late_answer(_name(subject), result.seconds, result.transaction.timeout)
        if isinstance(subject, Request):
            self._schedule.mark_answered(subject)
        yield from self._answer_messages(_name(subject), result)

    def _end_request(self, request: Request, result: Result, messages: Iterable[InternalMsg]) -> None:
        """Record how a request has ended, for its schedule and for the devices that its answer is about."""
        is_answered = bool(result.frame or result.transaction.error)
        is_known = is_answered or result.is_unanswered
        self._schedule.mark_ended(request, is_answered=is_answered if is_known else None)
        if not is_known:
            return
        made = {msg[ADDRESS_AND_ACTION] for msg in messages}
        for template in request.messages:
            msg = template.constant_message
            if msg is not None and msg[ADDRESS_AND_ACTION] not in made:
                self._on_request_ended(msg, is_answered)

    def _answer_messages(self, place: str, result: Result) -> Iterator[InternalMsg]:
        """Yield the messages that the answer which has ended a transaction makes; report the values left out."""
        reader = _reader(result)
        if reader is None:
            return
        self._report_bad(bad_values(place, result.values), result.frame)
        self._pass_on_bad(bad_readings(reader.messages, result.values))
        try:
            yield from make_messages(reader.messages, result.values)
        except CodecError as err:
            self._drop(DropReason.UNREADABLE, result.frame, f"{place}: {err}")


def _name(subject: _Command | Request) -> str:
    """Return what a log line calls a command or a request."""
    return f"request {subject.name!a}" if isinstance(subject, Request) else f"command {subject.msg.action!a}"


def _reader(result: Result) -> AnswerReader | None:
    """Return what has read the frame that ended a transaction; None: no frame has."""
    if not result.frame:
        return None
    answer: Answer = result.transaction.subject.answer
    return answer.refusal if result.outcome is Outcome.REFUSED else answer.response


def _makes_messages(result: Result) -> bool:
    """Return whether the answer makes messages of its own, so that no decode rule is asked about it."""
    reader = _reader(result)
    return reader is not None and bool(reader.messages)


def earliest(*times: float | None) -> float | None:
    """Return the earliest of the times that are not None, or None."""
    result: float | None = None
    for when in times:
        if when is not None and (result is None or when < result):
            result = when
    return result
