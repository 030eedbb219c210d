"""The serial interface: a device on a serial port, described in the configuration, without code.

    port -> Wire (framing, checksum) -> Conversation (is it an answer?) -> Decoder -> messages
    command -> Encoder -> Wire -> Conversation (when?) -> port

This is the shell: it owns the port and the clock. All the rest is pure and lies in modules of its own.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

from gateway.core.inbox import MsgList
from gateway.core.throttled_exception import ThrottledException, kind_of
from gateway.errors import DeviceError, Problem
from gateway.interface import DeviceInterface
from gateway.message import InternalMsg
from gateway.routing.command_index import Addresses
from gateway.routing.outlet import Outlet
from interfaces.rules.decoding import UNMATCHED, CodecError
from interfaces.rules.encoding import Answer
from interfaces.serial_interface.conversation import Conversation, Outcome, Priority, RateLimit, Result, Transaction
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.polling import Request, Schedule
from interfaces.serial_interface.port import DescriptorPort, Port, hide_password, open_port
from interfaces.serial_interface.rules import SerialRules, check_rules, command_addresses, rule_words

LOG = logging.getLogger(__name__)

# One interface at a time reads and decodes. Python runs one thread at a time anyway, but where many want to run, its
# lock passes to another one at each system call; those that wait here do not ask for it: with a hundred devices,
# 40 % more gets through. It must not be held over anything that waits, or takes long without Python's lock.
_READING = threading.Lock()
_AT_ONCE = nullcontext()

_MAX_KINDS = 100  # kinds of frames without a rule that are told apart, for the log
_MAX_SIGNS = 40  # bytes of a frame that are kept for it
_MAX_SHOWN = 300  # characters of a frame in the log
_NUMBER = re.compile(rb"[-+]?[0-9][0-9.]*")

_LOOK = 0.05  # s between two looks at a port without a descriptor (rfc2217://, loop://)


class FrameRefused(ThrottledException):
    """A frame that no rule takes, that does not fit its rule, or whose checksum is wrong."""

    period = 600.0


class Garbage(ThrottledException):
    """Bytes in which there is no frame, and more of them than a frame may have."""

    period = 600.0


class NoAnswer(ThrottledException):
    """The device does not answer a poll."""

    period = 600.0


class SerialInterface(DeviceInterface):
    """Bridges one serial device: `decode` rules make messages of its frames, `encode` rules write commands.

    `counts` holds what has become of frames: frames, unmatched, bad checksum, unreadable, answers.
    """

    answers_at_close = True

    SCHEMA: ClassVar[Mapping[str, Any]] = json.loads(
        Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    )

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with the rules, beyond their schema."""
        yield from check_rules(params)

    @classmethod
    def words(cls, params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """Yield the words that the rules themselves put into messages."""
        yield from rule_words(params)

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses:
        """Return the addresses of the commands that its rules know, whatever their actions."""
        return command_addresses(params)

    @classmethod
    def explain_frame(cls, params: Mapping[str, Any], data: bytes) -> Iterator[str | InternalMsg | Problem]:
        """Yield what becomes of bytes from the device."""
        from interfaces.serial_interface.explain import explain_frame  # for people who ask, not for a run

        yield from explain_frame(params, data)

    @classmethod
    def explain_command(cls, params: Mapping[str, Any], msg: InternalMsg) -> Iterator[str | Problem]:
        """Yield what is written for a command."""
        from interfaces.serial_interface.explain import explain_command

        yield from explain_command(params, msg)

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.rules = SerialRules(params)
        self.wire = self.rules.wire
        self._frame_timeout: float | None = params["framing"].get("timeout")
        self.counts: Counter[str] = Counter()
        self._schedule = Schedule(self.rules.opening, self.rules.polls)
        self._conversation = Conversation(self._pacing())
        self._port: Port | None = None
        self.measures_silence = params["framing"]["type"] == "gap"
        self._may_queue = False
        self._last_heard = self._last_look = 0.0
        self._settled_at = 0.0
        self._unmatched: set[bytes] = set()  # the kinds of frames that no rule has matched
        self._thrown = self._frames_before = 0  # bytes thrown away up to the last frame, and the frames until then

    def reconfigure(self, params: Mapping[str, Any]) -> bool:
        """Take over other rules while the port stays open; with any other option it must be opened anew."""
        is_asked = bool(self._schedule.opening or self.rules.polls)  # those requests have the address in them
        soft = {"decode", "decode_every_rule", "encode", *(() if is_asked else ("address",))}
        if any(params.get(name) != self.params.get(name) for name in {*params, *self.params} - soft):
            return False
        rules = SerialRules(params)
        rules.wire = self.wire  # which may have half a frame
        self.rules, self.params = rules, params
        self._unmatched.clear()
        self._look_whether_it_may_queue()
        return True

    def _look_whether_it_may_queue(self) -> None:
        """Note whether it may read after others. Who measures silence may not: that is from read to read."""
        is_own = isinstance(self._port, DescriptorPort)  # what pyserial reads may wait
        self._may_queue = is_own and not self.measures_silence and self.rules.is_quick

    def _pacing(self) -> RateLimit:
        return RateLimit(**self.params["conversation"]["pacing"])

    # --- the port

    def open(self) -> None:
        """Open the port and begin the conversation."""
        self._port = open_port(self.params)
        self._look_whether_it_may_queue()
        now = time.monotonic()
        self.wire.framer.reset()
        self._conversation = Conversation(self._pacing())
        self._settled_at = now + self.params["settle"]
        self._schedule.start(self._settled_at)
        for request in self._schedule.opening:
            self._ask(request, Priority.OPENING, now)

    def close(self) -> None:
        """Close the port; what is still to be done gets its outcome: offline."""
        port, self._port = self._port, None
        for result in self._conversation.abort():
            for answer in self._answer(result):
                self.msglist_out.push(answer)
        if port is not None:
            port.close()

    def fileno(self) -> int | None:
        """Return the descriptor of the port, if it has one."""
        return self._port.fileno() if self._port is not None else None

    def describe(self) -> str:
        """Name the port, without a password that its URL may hold."""
        return hide_password(self.params["port"])

    def time_to_read(self) -> float | None:
        """Return in how many seconds something is due that no byte from the device will bring about."""
        framer = self.wire.framer
        due = _earliest(framer.due(), self._conversation.due(), self._schedule.due())
        if due is not None:
            due = max(due, self._settled_at)
        if self._frame_timeout is not None and framer.is_unfinished:
            due = _earliest(due, self._last_heard + self._frame_timeout)
        if self.fileno() is None:
            due = _earliest(due, self._last_look + _LOOK)
        return None if due is None else due - time.monotonic()

    # --- from the device

    def read(self) -> Iterable[InternalMsg]:
        """Return the messages of all frames that are complete, and see to what is due."""
        messages: list[InternalMsg] = []
        try:
            with _READING if self.is_readable and self._may_queue else _AT_ONCE:
                now = self._last_look = time.monotonic()
                self.wire.framer.listened_since(self.listening_since)
                data = self._opened_port().read(is_readable=self.is_readable)
                if data:
                    self._last_heard = now
                messages.extend(self._frames(self.wire.feed(data, now), now))
        except Exception:
            yield from messages  # what came before it
            raise
        yield from messages
        timeout, framer = self._frame_timeout, self.wire.framer
        if timeout is not None and framer.is_unfinished and now - self._last_heard >= timeout:
            yield from self._frames(self.wire.give_up(), now)
        self._watch_garbage()
        if self.rules.polls or not self._conversation.is_idle:
            yield from self._turn(now)

    def _frames(self, frames: Iterable[tuple[bytes, str]], now: float) -> Iterator[InternalMsg]:
        counts, decode = self.counts, self.rules.decoder.decode
        hear = self._conversation.hear if self._conversation.listens else None
        frames = list(frames)
        counts["frames"] += len(frames)
        for frame, problem in frames:
            if problem:
                self._refuse("bad checksum", frame, problem)
                continue
            try:
                result = hear(frame, now) if hear is not None else None
                if result is not None:
                    counts["answers"] += 1
                    yield from self._answer(result, now)
                    continue
                messages = decode(frame, now)
            except CodecError as err:
                self._refuse("unreadable", frame, str(err))
                continue
            if messages is None:
                self._refuse("unmatched", frame, UNMATCHED)
            else:
                yield from messages

    def _watch_garbage(self) -> None:
        thrown, longest = self.wire.framer.discarded_bytes, self.wire.framer.max_length
        if self.counts["frames"] > self._frames_before:
            self._frames_before, self._thrown = self.counts["frames"], thrown
        elif thrown - self._thrown > longest:
            name, count = self.msglist_out.name, thrown - self._thrown
            garbage = Garbage(
                f"{name}: {count} bytes thrown away, and no frame in them: check baudrate, parity and framing", key=name
            )
            if garbage.trigger:
                LOG.warning(garbage.report)
            self._thrown = thrown

    def _refuse(self, kind: str, frame: bytes, why: str) -> None:
        self.counts[kind] += 1
        name = self.msglist_out.name
        level = logging.INFO if kind == "unmatched" else logging.WARNING
        reason = "" if kind == "bad checksum" else kind_of(why)  # noise on a line has many, and they are one
        refused = FrameRefused(f"{name}: frame dropped: {why}", key=f"{name} {kind} {reason}", level=level)
        if kind == "unmatched" and len(self._unmatched) < _MAX_KINDS:
            self._unmatched.add(_kind_of_frame(frame))
        if refused.trigger:
            shown = f": {frame.hex(' ')}" if kind == "bad checksum" else self._how_to_try(kind, frame)
            LOG.log(level, "%s%s", refused.report, shown)

    def _how_to_try(self, kind: str, frame: bytes) -> str:
        """Return how many other kinds of frames were dropped, and the command that shows why this one was."""
        others = len(self._unmatched) - 1 if kind == "unmatched" else 0
        more = f" ({others} other kind{'s' if others > 1 else ''} so far)" if others else ""
        option, text = ("frame", _within_quotes(frame)) if _is_text(frame) else ("hex", frame.hex(" "))
        shown = f"'{text}'" if len(text) <= _MAX_SHOWN else f"'{text[:_MAX_SHOWN]}... ({len(frame)} bytes)"
        return f"{more}: try it with check --{option} {shown}"

    # --- to the device

    def accepts(self, msg: InternalMsg) -> bool:
        """Tell whether `msg` is a command for this device."""
        return self.rules.encoder.accepts(msg)

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        """Put a command into the conversation; its outcome follows as a status."""
        if not self.accepts(msg):
            return
        now = time.monotonic()
        try:
            rule = self.rules.encoder.rule_for(msg)
            data, arguments = self.wire.wrap(rule.encode(msg)), rule.arguments_of(msg)
            exchange = self._exchange(data, rule.answer, Priority.COMMAND, msg, arguments)
        except (CodecError, FramingError) as err:
            yield msg.reply(Outcome.REFUSED.value, str(err))
            return
        if not self._conversation.submit(exchange, now):
            yield msg.reply(Outcome.REFUSED.value, "too many commands wait for the device already")
            return
        yield from self._turn(now)

    def _exchange(
        self, data: bytes, answer: Answer, urgency: Priority, subject: object, arguments: Mapping[str, Any]
    ) -> Transaction:
        default = self.params["conversation"]["timeout"]
        return Transaction(
            data,
            urgency,
            subject,
            answer.response.read_for(arguments) if answer.response is not None else None,
            answer.refusal.read_for(arguments) if answer.refusal is not None else None,
            default if answer.timeout is None else answer.timeout,
            answer.retries,
        )

    def _ask(self, request: Request, urgency: Priority, now: float) -> None:
        exchange = self._exchange(self.wire.wrap(request.content), request.answer, urgency, request, {})
        if not self._conversation.submit(exchange, now):
            self._schedule.ended(request)

    def _turn(self, now: float) -> Iterator[InternalMsg]:
        """Write what may be written now, and say what has become of what was."""
        if now < self._settled_at:
            return
        for request in self._schedule.take(now, self._conversation.last_written):
            self._ask(request, Priority.POLL, now)
        while True:
            data, results = self._conversation.turn(now)
            if data:
                try:
                    self._opened_port().write(data)
                except DeviceError as err:
                    for result in results:
                        yield from self._answer(Result(result.exchange, Outcome.OFFLINE, f"the device failed: {err}"))
                    raise
            for result in results:
                yield from self._answer(result, now)
            if not data:
                return

    def _answer(self, result: Result, now: float = 0.0) -> Iterator[InternalMsg]:
        """Make messages of the end of an exchange: a command's reply, or what a poll has read."""
        subject = result.exchange.subject
        if isinstance(subject, InternalMsg):
            reply = subject.reply(result.outcome.value, result.reason)
            yield self.rules.with_answer(reply, result)
            return
        request: Request = subject
        self._schedule.ended(request)
        if result.outcome in (Outcome.TIMED_OUT, Outcome.REFUSED):
            name = self.msglist_out.name
            what = f"{result.reason}: {_shown(result.frame)}" if result.frame else result.reason
            silent = NoAnswer(
                f"{name}: {request.name!a}: {what}", key=f"{name} {request.name}: {kind_of(result.reason)}"
            )
            if silent.trigger:
                LOG.warning(silent.report)
        for values in result.values if result.outcome is Outcome.DONE else ():
            for template in request.messages:
                msg = template.make(values)
                keep = request.change_filter
                if msg is not None and (keep is None or keep.passes(msg, now)):
                    yield msg

    def _opened_port(self) -> Port:
        if self._port is None:
            raise DeviceError("it is not open")
        return self._port


def _earliest(*times: float | None) -> float | None:
    found: float | None = None
    for when in times:
        if when is not None and (found is None or when < found):
            found = when
    return found


def _shown(frame: bytes) -> str:
    """Write a frame so that no byte of it can do anything to a terminal or a log."""
    return ascii(frame)[1:] if _is_text(frame) else frame.hex(" ")


def _within_quotes(frame: bytes) -> str:
    """Return a frame that is text as `check --frame` takes it, within single quotes of a shell."""
    return frame.decode("ascii").replace("\\", r"\\").replace("'", r"\x27")


def _is_text(frame: bytes) -> bool:
    return frame.isascii() and frame.decode("ascii").isprintable()


def _kind_of_frame(frame: bytes) -> bytes:
    """Return what tells a frame from those of another kind: text without its numbers, or the first two bytes."""
    return _NUMBER.sub(b"#", frame)[:_MAX_SIGNS] if _is_text(frame) else frame[:2]
