"""The session with one serial device: from bytes to messages, and from commands to bytes, without port and clock.

    bytes -> FrameCodec (framing, checksum) -> Conversation (is it an answer?) -> Decoder -> messages
    command -> Encoder -> FrameCodec -> Conversation (when?) -> bytes

All times are in seconds and arguments, so that a test needs neither a device nor a pause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.core.counting import counted
from gateway.core.tap import TAP
from gateway.errors import DeviceError
from gateway.message import ADDRESS_AND_ACTION, InternalMsg
from interfaces.rules.answers import AnswerReader
from interfaces.rules.decoding import BadValue, DueReply, IgnoredFrame, PartialMessages, ValueReader, bad_values
from interfaces.rules.message_template import BadReading, CodecError, bad_readings, make_messages
from interfaces.serial_interface.collecting import Collected
from interfaces.serial_interface.conversation import Conversation
from interfaces.serial_interface.echo import EchoFilter
from interfaces.serial_interface.followed import tell_answered, tell_decoded, tell_written
from interfaces.serial_interface.frame_watch import FrameWatch
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.opening import Opening
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.polling import Request, Schedule, earliest
from interfaces.serial_interface.reception import Reception
from interfaces.serial_interface.replies import MOST_PER_SECOND, Replies
from interfaces.serial_interface.reports import DropReason, Reports
from interfaces.serial_interface.results import makes_messages, name_of, reader_of
from interfaces.serial_interface.rules import SerialRules
from interfaces.serial_interface.steps import Asked, Run
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction

_SILENT = 3  # requests in a row without an answer: when the device sends a frame again, it may have been switched on
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
    "frames_ignored",
    "frames_sent",
    "replies_sent",
    "replies_dropped",
    "ports_reopened",
    *(f"{kind}_{outcome}" for kind in ("commands", "requests") for outcome in _COUNTED_OUTCOMES.values()),
)


class Session:
    """The framing, the rules, the conversation and the polls of one device. Belongs to one thread.

    Call `start` when the port is open, `receive` with bytes, `submit` with a command, `step` and
    `expire_partial_frame` when `due` has come, and `end` when the port is closed. Messages are returned by generators:
    those before an error are still delivered.

    `on_request_ended` is called for each request with the messages that its answer would have made and that did not
    come, as far as they are known without the answer, and with whether the device has answered at all.
    `on_bad_reading` is called with each message of which values could not be converted, and their errors by argument.
    `set_speed` changes the speed of the line (bit/s; 0: back to that of the options), and may raise `DeviceError`.
    """

    def __init__(
        self,
        rules: SerialRules,
        options: SerialOptions,
        reports: Reports,
        on_request_ended: Callable[[Sequence[InternalMsg], bool], None] = lambda _messages, _is_answered: None,
        on_bad_reading: Callable[[InternalMsg, Mapping[str, str]], None] = lambda _msg, _errors: None,
        set_speed: Callable[[int], None] = lambda _speed: None,
    ) -> None:
        self.rules = rules
        self._on_request_ended = on_request_ended
        self._on_bad_reading = on_bad_reading
        self._set_speed = set_speed
        self.codec = rules.codec
        self._options = options
        self._reports = reports
        self._counts = dict.fromkeys(_COUNTERS, 0)  # no key is ever added, so that any thread may copy it
        self._opening_request = rules.opening
        self._opening = Opening(is_needed=rules.opening is not None)
        self._schedule = Schedule(rules.polls)
        self._conversation = Conversation(options.rate_limit)
        self._echo = EchoFilter(options.echo, options.echo_endings, reports.echo_noticed)
        self._watch = FrameWatch()
        self.reception = Reception()
        """What is wrong with what the device sends."""
        self._replies = Replies(options.rate_limit.bytes_per_second)
        self._writable_at = 0.0
        self._last_byte = 0.0
        self._unanswered = 0  # requests and commands in a row, since the last frame
        self._speed = 0
        self.understood_at: float | None = None  # when the last frame came that was not dropped

    @property
    def has_requests(self) -> bool:
        """Whether there are opening requests or polls."""
        return bool(self._opening_request or self.rules.polls)

    @property
    def writes(self) -> bool:
        """Whether anything may be written to the device."""
        return self.has_requests or bool(self.rules.encoder.rules)

    @property
    def measures_silence(self) -> bool:
        """Whether silence ends a frame."""
        return self.codec.framer.idle_seconds is not None

    def use_rules(self, rules: SerialRules) -> None:
        """Replace the rules for decoding and encoding; the framing and a partial frame stay, and so do the requests."""
        self._forget_parts()
        rules.codec = self.codec
        rules.own_values = self.rules.own_values
        self.rules = rules
        self._reports.forget_kinds()
        self.reception.reset(is_read=self.rules.reads)
        self._replies.clear()

    def stats(self) -> dict[str, int]:
        """Return the counters. Any thread may call this."""
        framer = self.codec.framer
        return {
            **self._counts,
            "unmatched_kinds": self._reports.unmatched_kinds,
            "answers_unattributed": self._conversation.unattributed,
            "echoes_removed": self._echo.removed,
            "bytes_discarded": framer.discarded_bytes,
            "partial_frames_discarded": framer.discarded_frames,
        }

    # --- the port

    def start(self, now: float) -> None:
        """Begin, because the port has been opened at `now`: discard old bytes, and make the opening requests due."""
        self._conversation.reset(now)
        self.reception.reset(is_read=self.rules.reads)
        self._begin(now)
        self._schedule.start(self._writable_at)

    def restart(self, now: float) -> None:
        """Go on with a port that was opened again at `now`: as `start`, but commands and polls go on waiting."""
        self._conversation.discard_opening()
        # A slow device would answer an earlier request now: this must not be taken for the answer to the next one.
        self._conversation.reset(now, goes_on=True)
        self._begin(now)
        self._counts["ports_reopened"] += 1

    def _begin(self, now: float) -> None:
        self.codec.framer.reset()
        self._forget_parts()
        self._echo.reset()
        self._watch.reset()
        self._replies.clear()
        self._unanswered = self._speed = 0
        self._writable_at = now + self._options.settle
        self._opening.start(self._writable_at)

    @property
    def is_dead(self) -> bool:
        """Whether so many requests in a row were not answered that the port is to be closed and opened again."""
        return 0 < self._options.reopen_after <= self._unanswered

    def end(self) -> Iterator[InternalMsg]:
        """Yield the outcome of each command that has not ended: offline."""
        for result in self._conversation.abort():
            yield from self._result_messages(result, 0.0)
        yield from self._decode_released()

    def due(self) -> float | None:
        """Return the time at which something is due that no byte from the device will cause, or None."""
        framer = self.codec.framer
        conversation, schedule = self._conversation, self._schedule
        due = earliest(framer.due(), conversation.due(), schedule.due(), self._opening.due(), self._replies.due())
        if due is not None:
            due = max(due, self._writable_at)
        timeout = self._options.frame_timeout
        if timeout is not None and framer.has_partial_frame:
            due = earliest(due, self._last_byte + timeout)
        return earliest(due, self._echo.due(), self._watch.due())

    def report_dead(self) -> None:
        """Log that nothing answers."""
        self._reports.nothing_answers(self._unanswered)

    # --- from the device

    def receive(self, data: bytes, now: float) -> Iterator[InternalMsg]:
        """Accept the bytes that have arrived at `now`; yield the messages of the frames that are complete."""
        if data:
            self._last_byte, self._watch.last = now, data
            if self._echo:
                data = self._echo.received(data)
            if self._watch.is_waiting:
                self._watch.received(data, now)
            if not self.reception.is_proven:
                self.reception.bytes_came(self._watch.beginning, now)
        return self.decode_frames(self.codec.feed(data, now), now)

    def expire_partial_frame(self, now: float) -> Iterator[InternalMsg]:
        """Discard a partial frame whose time is over; yield the messages of frames that it contains.

        Call this only after everything that has arrived was passed to `receive`: else the missing bytes may be there.
        """
        if self._echo and (data := self._echo.expire(now)):
            yield from self.decode_frames(self.codec.feed(data, now), now)
        timeout, framer = self._options.frame_timeout, self.codec.framer
        if timeout is not None and framer.has_partial_frame and now >= self._last_byte + timeout:
            yield from self.decode_frames(self.codec.flush_partial(), now)
        self._check_for_frames()
        if self._watch.is_waiting and (no_frame := self._watch.overdue(now)):
            self._reports.no_frame_ended(*no_frame)

    def finish(self, now: float) -> Iterator[InternalMsg]:
        """Yield the messages of what has ended because the device has closed its connection, having said all."""
        return self.decode_frames(self.codec.finish(), now)

    def decode_frames(self, frames: Iterable[tuple[bytes, str]], now: float) -> Iterator[InternalMsg]:
        """Yield the messages of frames, each with its checksum error or `""`; count and report dropped ones."""
        counts = self._counts
        conversation = self._conversation
        is_plain = not conversation.needs_frames and self.rules.restarted is None
        frames, dropped = list(frames), self.reception.drops
        counts["frames_received"] += len(frames)
        if frames and self._watch.is_waiting:
            self._watch.end()
        if (self._unanswered or self.rules.polls) and any(not error for _, error in frames):
            if self._unanswered >= _SILENT:
                self._opening.repeat(now)
            self._unanswered = 0
            self._schedule.mark_heard()
        for frame, checksum_error in frames:
            if checksum_error:
                self._drop(DropReason.BAD_CHECKSUM, frame, checksum_error)
                if (reply := self.rules.checksum_reply(frame)) is not None:
                    self._reply(reply, frame)
            elif is_plain:
                yield from self._decode(frame) or ()
            else:
                yield from self._decode_in_conversation(frame, now)
                if conversation.released:
                    yield from self._decode_released()
        if self.reception.drops - dropped < len(frames):
            self.understood_at = now
            self.reception.used()
        if self.rules.joins:
            self._report_unjoined()

    def _decode_in_conversation(self, frame: bytes, now: float) -> Iterable[InternalMsg]:
        """Return the messages of a frame that may be an answer, or tell that the device has restarted."""
        restarted = self.rules.restarted
        try:
            if restarted is not None and (sets := restarted.read(frame)) is not None:
                self._opening.repeat(now)
                if restarted.messages:
                    return self._make_messages("restarted", restarted, sets, frame)
                return self._decode(frame, is_answer=True) or ()
            results = self._conversation.on_frame(frame, now)
        except CodecError as err:
            self._drop(DropReason.UNREADABLE, frame, str(err))
            self._pass_on_bad(err.readings)
            return ()
        if results is None:
            return self._decode_between(frame, now)
        return (msg for result in results for msg in self._answered(result, now))

    def _decode_between(self, frame: bytes, now: float) -> Iterable[InternalMsg]:
        """Return the messages of a frame that answers nothing by itself, but may be part of an answer with an end.

        A frame of which such an answer makes its messages is left to it, and others are read by the decode rules at
        once. Those are part of the answer only if they have values of it, or no rule matches them.
        """
        conversation = self._conversation
        transaction = conversation.collecting
        if transaction is None:
            return self._decode(frame) or ()
        reader: AnswerReader = transaction.subject.step.answer.response
        if not reader.has_framing(frame):
            return self._decode(frame) or ()
        is_wanted = reader.wants(frame)
        if is_wanted and reader.messages and conversation.collect(Collected(frame, is_wanted), now):
            return ()
        messages = self._decode(frame, is_answer=True)
        if messages is not None:
            if is_wanted:
                self._record_read(transaction, messages)
                conversation.collect(Collected(frame, is_wanted, is_decoded=True), now)
        elif not conversation.collect(Collected(frame, is_wanted), now):
            self._drop(DropReason.UNMATCHED, frame)
        return messages or ()

    def _decode_released(self) -> Iterator[InternalMsg]:
        """Yield the messages of frames that were collected, but have turned out to be no part of an answer."""
        while self._conversation.released:
            yield from self._decode(self._conversation.released.pop(0)) or ()

    def _answered(self, result: Result, now: float) -> Iterator[InternalMsg]:
        """Yield the messages of the end of a transaction; if it is an answer that makes none, those of the rules."""
        self._counts["answers_received"] += bool(result.frame)
        yield from self._result_messages(result, now)
        if result.frame and not makes_messages(result):
            messages = self._decode(result.frame, is_answer=True) or ()
            self._record_read(result.transaction, messages)
            yield from messages

    def _record_read(self, transaction: Transaction, messages: Iterable[InternalMsg]) -> None:
        """Record which messages the rules have made of an answer: a poll need not describe them again."""
        run = transaction.subject.run
        if isinstance(run.subject, Request):
            run.read.update((msg[ADDRESS_AND_ACTION], msg) for msg in messages)
            self._schedule.set_read(run.subject, run.read.values())

    def _decode(self, frame: bytes, *, is_answer: bool = False) -> Iterable[InternalMsg] | None:
        """Return the messages that the decode rules make of a frame; None if it is an answer that none matches."""
        try:
            messages = self.rules.decoder.decode(frame)
        except CodecError as err:
            self._drop(DropReason.UNREADABLE, frame, str(err))
            self._pass_on_bad(err.readings)
            return ()
        if messages is None:
            if is_answer:
                return None
            self._drop(DropReason.UNMATCHED, frame)
            return ()
        recorder = TAP.recorder
        if recorder is not None:
            tell_decoded(recorder, self._reports.name, self.rules.decoder, frame, messages)
        if type(messages) is not list:
            self._process_special(messages, frame)
        return messages

    def _process_special(self, messages: list[InternalMsg], frame: bytes) -> None:
        """Process what a frame calls for besides its messages."""
        if isinstance(messages, PartialMessages):
            self._report_bad(messages.bad, frame)
            self._pass_on_bad(messages.readings)
            for reply in messages.replies:
                self._reply(reply, frame)
        self._counts["frames_ignored"] += isinstance(messages, IgnoredFrame)

    def _reply(self, due: DueReply, frame: bytes) -> None:
        """Have a reply to `frame` written by the next `step`."""
        source = due.source
        try:
            data = self.rules.reply(due)
        except (CodecError, FramingError) as err:
            self._report_bad((BadValue(f"{source}: reply", f"{source}: reply: {err}"),), frame)
            return
        if not self._replies.add(source, data, self._last_byte):
            self._counts["replies_dropped"] += 1
            self._reports.reply_dropped(source, MOST_PER_SECOND)

    def _report_bad(self, bad: Iterable[BadValue], frame: bytes) -> None:
        for place, error in bad:
            self._counts["values_unreadable"] += 1
            self._reports.value_left_out(place, error, frame)

    def _pass_on_bad(self, readings: Iterable[BadReading]) -> None:
        for msg, errors in readings:
            self._on_bad_reading(msg, errors)

    def _drop(self, reason: DropReason, frame: bytes, error: str = "") -> None:
        self._counts[reason.value] += 1
        self.reception.dropped(reason, frame, error, self._last_byte)
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
        framer = self.codec.framer
        discarded = self._watch.without_frame(self._counts["frames_received"], framer.discarded_bytes)
        if discarded > framer.max_length:
            self._watch.forget_discarded(framer.discarded_bytes)
            self._reports.no_frames(discarded, self._watch.last)
            self.reception.bytes_came(b"", self._last_byte)

    # --- to the device

    def submit(self, msg: InternalMsg, now: float) -> InternalMsg | None:
        """Queue a command; return the reply if it is refused. Call `step` to write it."""
        try:
            rule, arguments, written = self.rules.encoder.encode(msg, self.rules.own_values.values)
            # Its outcome has the values that were written: a client may have sent the number as text.
            typed = msg.with_arguments({name: arguments[name] for name in msg.arguments})
            wrap, own, timeout = self.codec.wrap, self.rules.own_values, self._options.answer_timeout
            transaction = Run(typed, rule.steps, Priority.COMMAND, wrap, own, timeout, arguments, written).start()
        except (CodecError, FramingError) as err:
            return self._refuse(msg, str(err))
        if not self._conversation.submit(transaction, now):
            waiting = self._options.rate_limit.max_waiting
            return self._refuse(
                msg, f"the send queue is full: {counted(waiting, 'command is', 'commands are')} already waiting"
            )
        return None

    def _refuse(self, msg: InternalMsg, reason: str) -> InternalMsg:
        self._counts["commands_refused"] += 1
        return msg.reply(Outcome.REFUSED.value, reason)

    def _submit_request(self, request: Request, priority: Priority, now: float) -> Run:
        is_opening = request is self._opening_request
        wrap, own, timeout = self.codec.wrap, self.rules.own_values, self._options.answer_timeout
        run = Run(request, request.steps, priority, wrap, own, timeout, is_opening=is_opening)
        self._conversation.submit(run.start(), now)
        return run

    def _submit_opening(self, now: float) -> None:
        if self._opening_request is not None and self._opening.is_due(now):
            priority = Priority.OPENING if self._opening.is_urgent else Priority.POLL
            self._opening.mark_started(self._submit_request(self._opening_request, priority, now))

    def ask(self, actions: Collection[str], now: float) -> None:
        """Make the polls due whose answers make a message with one of these actions. Call `step` to write them."""
        self._schedule.ask(actions, max(now, self._writable_at))

    def step(self, now: float, write: Callable[[bytes], None]) -> Iterator[InternalMsg]:
        """Write with `write` what is due at `now`, and end transactions; yield the messages that they make.

        `write` may raise `DeviceError`; the outcomes of transactions that have ended are yielded before.
        """
        if self._replies and now >= self._writable_at:
            self._write_replies(now, write)
        conversation = self._conversation
        has_work = bool(self.rules.polls) or not conversation.is_idle or self._opening.due() is not None
        if not (has_work or self._speed != conversation.speed) or now < self._writable_at:
            return
        for request in self._schedule.pop_due(now, conversation.last_written):
            self._submit_request(request, Priority.POLL, now)
        while True:
            self._submit_opening(now)
            data, results = conversation.step(now)
            try:
                self._write(data, now, write)
                if data and (recorder := TAP.recorder) is not None:
                    tell_written(recorder, self._reports.name, data, conversation.current, results)
            except DeviceError as err:
                for result in results:
                    if result.frame:
                        yield from self._answered(result, now)
                        continue
                    offline = Result(result.transaction, Outcome.OFFLINE, f"the device failed: {err}")
                    yield from self._result_messages(offline, now)
                raise
            for result in results:
                yield from self._answered(result, now)
            yield from self._decode_released()
            if not data:
                return

    def _write(self, data: bytes, now: float, write: Callable[[bytes], None]) -> None:
        """Write `data`, if any, at the speed at which the device expects it; change to that at which it then answers.

        Raises `DeviceError`.
        """
        conversation = self._conversation
        if data:
            self._use_speed(conversation.write_speed)
            write(data)
            self._written(data, now)
        self._use_speed(conversation.speed)

    def _use_speed(self, speed: int) -> None:
        if speed != self._speed:
            self._set_speed(speed)
            self._speed = speed

    def _write_replies(self, now: float, write: Callable[[bytes], None]) -> None:
        while data := self._replies.pop(now):
            write(data)
            self._counts["replies_sent"] += 1
            self._conversation.pause_after(len(data), now)
            self._written(data, now, is_reply=True)

    def _written(self, data: bytes, now: float, *, is_reply: bool = False) -> None:
        """Record that `data` was written."""
        self._counts["frames_sent"] += 1
        self._replies.written(len(data), now)
        self._expect_echo(data, now, None if is_reply else self._conversation.current)

    def _expect_echo(self, data: bytes, now: float, current: Transaction | None) -> None:
        """Record that the line may return `data`, which was written for the transaction `current`, if for any."""
        if not self._echo.is_watching:
            return
        timeout = self._options.answer_timeout if current is None else current.timeout
        if current is None or current.response is None:
            self._echo.written(data, now + timeout)
        else:
            self._echo.written(data, now + timeout, lambda: not self._is_read(data, current))

    def _is_read(self, data: bytes, transaction: Transaction) -> bool:
        """Return whether `data` could come from the device: as an answer to `transaction`, or as a reading."""
        response: AnswerReader = transaction.subject.step.answer.response
        return any(
            transaction.fits(frame) or (response.has_end and response.wants(frame)) or self.rules.matches(frame)
            for frame in self.rules.frames_of(data)
        )

    def _result_messages(self, result: Result, now: float) -> Iterator[InternalMsg]:
        """Yield the messages that the end of a transaction makes: a command's reply, and the readings of the answer."""
        asked: Asked = result.transaction.subject
        run, subject = asked.run, asked.run.subject
        if result.is_late:
            yield from self._late_messages(asked, result)
            return
        if result.is_unanswered:
            self._unanswered += 1
        if (recorder := TAP.recorder) is not None:
            tell_answered(recorder, self._reports.name, result)
        messages = list(self._answer_messages(name_of(subject), result))
        run.made.update(msg[ADDRESS_AND_ACTION] for msg in messages)
        if isinstance(subject, Request):
            self._end_request(asked, result, now)
        elif not result.has_more:
            self._counts[f"commands_{_COUNTED_OUTCOMES[result.outcome]}"] += 1
            reply = subject.reply(result.outcome.value, run.reason(result))
            yield self.rules.with_answer(reply, result, run.answers)
        yield from messages

    def _late_messages(self, asked: Asked, result: Result) -> Iterator[InternalMsg]:
        """Yield the readings of an answer that has come after its transaction had ended; it is no outcome any more."""
        self._counts["answers_late"] += 1
        subject = asked.run.subject
        if result.seconds > result.transaction.timeout:
            self._reports.late_answer(name_of(subject), result.seconds, result.transaction.timeout)
        if isinstance(subject, Request):
            self._schedule.mark_answered(subject)
        yield from self._answer_messages(name_of(subject), result)

    def _end_request(self, asked: Asked, result: Result, now: float) -> None:
        """Record how a request, or a step of it, has ended: for when it is due again, and for its devices."""
        run, request = asked.run, asked.run.subject
        is_opening = run.is_opening
        if is_opening or not result.has_more:
            self._counts[f"requests_{_COUNTED_OUTCOMES[result.outcome]}"] += 1
        if result.has_more:
            return
        if result.outcome in (Outcome.TIMED_OUT, Outcome.REFUSED):
            name, reason = (asked.step.name, result.reason) if is_opening else (request.name, run.reason(result))
            self._reports.request_failed(name, reason, result.frame)
        if is_opening:
            self._opening.mark_ended(run, now, is_done=result.outcome is Outcome.DONE)
        is_answered = bool(result.frame or result.transaction.error or (run.answers and not result.is_unanswered))
        is_known = is_answered or result.is_unanswered
        self._schedule.mark_ended(request, is_answered=is_answered if is_known else None)
        if not is_known:
            return
        expected = [template.constant_message for template in request.messages]
        missing = [msg for msg in expected if msg is not None and msg[ADDRESS_AND_ACTION] not in run.made]
        if result.outcome is not Outcome.DONE:  # otherwise the rules are about to read the answer
            missing += [msg for msg in self._schedule.read_of(request) if msg[ADDRESS_AND_ACTION] not in run.read]
        self.reception.request_ended(request, request.name, now, is_answered=is_answered)
        if missing:
            self._on_request_ended(missing, is_answered)

    def _answer_messages(self, place: str, result: Result) -> Iterable[InternalMsg]:
        """Return the messages that the answer which has ended a transaction makes; report the values left out."""
        reader = reader_of(result)
        return () if reader is None else self._make_messages(place, reader, result.values, result.frame)

    def _make_messages(
        self, place: str, reader: ValueReader, sets: Sequence[Mapping[str, Any]], frame: bytes
    ) -> Iterator[InternalMsg]:
        """Yield the messages that a reader makes of the values of `frame`; report the values left out."""
        self._report_bad(bad_values(place, sets), frame)
        self._pass_on_bad(bad_readings(reader.messages, sets))
        try:
            if (recorder := TAP.recorder) is None:
                yield from make_messages(reader.messages, sets)
                return
            messages = list(make_messages(reader.messages, sets))
            recorder.decoded(self._reports.name, frame, place, messages)
            yield from messages
        except CodecError as err:
            self._drop(DropReason.UNREADABLE, frame, f"{place}: {err}")
