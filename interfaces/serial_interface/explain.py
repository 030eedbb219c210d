"""What a serial device's configuration makes of a frame or a command, for `mqttgateway check`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.rules.answers import AnswerReader
from interfaces.rules.decoding import (
    UNMATCHED,
    BadValue,
    DecodeRule,
    IgnoredFrame,
    PartialMessages,
    bad_values,
    rule_name,
)
from interfaces.rules.extractors import Values
from interfaces.rules.joined_rules import JoinedRules
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock, make_messages
from interfaces.rules.mismatch import nearest
from interfaces.rules.steps import Step, each_step
from interfaces.serial_interface.collecting import Collected, read_collected
from interfaces.serial_interface.framing.several import NamedFrame
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.rules import MUCH_LATER, SerialRules

_INSTEAD = ": while that is waited for, only the answer's own messages are made"


def explain_frame(
    params: Mapping[str, Any], data: bytes, clock: WallClock = NO_CLOCK
) -> Iterator[str | InternalMsg | Problem]:
    """Yield, as texts and messages, what becomes of `data`: bytes from the device, or a frame without its framing.

    `clock` gives the time for messages that contain it.
    """
    rules = SerialRules(params, clock)
    codec = rules.codec
    frames = [*codec.feed(data, 0.0), *codec.feed(b"", MUCH_LATER), *codec.flush_partial()]
    if not frames:
        yield "no complete frame; treating the bytes as an unframed payload"
        frames = [_unframed(rules, data)]
    before: list[bytes] = []
    for frame, error in frames:
        framing = f"{frame.framing} " if isinstance(frame, NamedFrame) and frame.framing else ""
        yield f"{framing}frame {format_bytes(frame)}"
        if error:
            yield Problem((), f"dropped: {error}")
            if (reply := rules.checksum_reply(frame)) is not None:
                yield f"replies {format_bytes(rules.reply(reply))}"
            continue
        if codec.kind_of(frame).checksum is not None:
            yield "checksum OK"
        yield from _explain_rules(rules, params, frame, before)
        before.append(frame)


def _unframed(rules: SerialRules, data: bytes) -> tuple[bytes, str]:
    """Return `data` as a frame of the first framing, and `""` or the reason why its checksum is wrong."""
    frame = rules.codec.kind_of(data).verified(data)
    return frame, frame.error


def _explain_rules(
    rules: SerialRules, params: Mapping[str, Any], frame: bytes, before: list[bytes]
) -> Iterator[str | InternalMsg | Problem]:
    is_matched = is_answer = False
    try:
        for line in _explain_decoding(rules, frame):
            yield line
            is_matched = True
        for name, reader, verb in _readers(rules):
            if reader.until is not None and not reader.ends(frame):
                if reader.wants(frame):
                    yield f"part of what {verb} {name} and ends with {reader.until!a}"
                    is_answer = True
                continue
            sets = reader.read(frame) if reader.until is None else _read_before(reader, before)
            if sets is not None:
                yield f"{verb} {name}{_INSTEAD if is_matched and reader.messages else ''}"
                yield from _left_out(bad_values(name, sets))
                yield from make_messages(reader.messages, sets)
                is_answer = True
        if is_matched or is_answer:
            return
        yield from (f"joined frames {format_bytes(text)}" for text in _joined_texts(rules, frame))
        waiting = [name for name, reader, _ in _readers(rules)
                   if reader.until is not None and reader.has_framing(frame) and not reader.ends(frame)]  # fmt: skip
        reason = nearest(_options_of_rules(rules, params, frame), frame, rules.encoding)
    except CodecError as err:
        yield Problem((), f"dropped: {err}")
        return
    yield Problem((), f"dropped: {UNMATCHED}")
    if waiting:
        yield f"only ignored while the end of an answer is awaited, such as that to {waiting[0]}"
    if reason is not None:
        yield reason


def _explain_decoding(rules: SerialRules, frame: bytes) -> Iterator[str | InternalMsg | Problem]:
    """Yield what the decode rules make of a frame; nothing if none matches. Raises `CodecError`, as they do."""
    error: CodecError | None = None
    messages: list[InternalMsg] | None = None
    try:
        messages = rules.decoder.decode(frame)
    except CodecError as err:
        error = err
    matching = rules.decoder.find_rules(frame)
    if matching:
        yield from (f"joined frames {format_bytes(text)}" for text in _joined_texts(rules, frame))
    parts = [rule for rule in matching if isinstance(rule, JoinedRules)]
    for rule in matching:
        yield f"{'collected by' if rule in parts else 'matched'} rule {rule.name!a}"
    if error is not None:
        raise error
    if parts:
        yield "no message yet: it is joined with frames that follow"
    if isinstance(messages, IgnoredFrame):
        yield "ignored: no message, and nothing in the log"
    elif not messages and any(rule.messages for rule in matching if isinstance(rule, DecodeRule)):
        yield "no message: its values are empty"
    yield from _left_out(messages.bad if isinstance(messages, PartialMessages) else ())
    yield from messages or ()
    yield from _replies(rules, messages)


def _joined_texts(rules: SerialRules, frame: bytes) -> Iterator[bytes]:
    """Yield each text of several frames that `frame`, which was decoded just before, has ended."""
    yield from (text for join in rules.joins if (text := join.joined_text(frame)))


def _options_of_rules(
    rules: SerialRules, params: Mapping[str, Any], frame: bytes
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and options of each rule that reads single frames, and of each answer, and its end if `frame` is none.

    Raises `CodecError`, as `AnswerReader.ends` does.
    """
    yield from ((f"{rule_name(options)!a}", options) for options in params["decode"] if "join" not in options)
    conversation = params["conversation"]
    sections = (({"steps": conversation["opening"]},), conversation["polls"], params["encode"])
    steps = (step for section in sections for options in section for _, step in each_step(options))
    for (name, step), options in zip(_named_steps(rules), steps, strict=True):
        if step.answer.response is not None and step.answer.response.ends(frame):
            continue  # it is the end, but what came before it is not the answer
        for kind in ("response", "refusal"):
            if kind in options:
                yield f"the {kind} of {name}", options[kind]
            if "until" in options.get(kind, {}):
                end = {"regex": options[kind]["until"], "framing": options[kind].get("framing")}
                yield f"the end of the {kind} of {name}", end
    if "restarted" in conversation:
        yield "'restarted'", conversation["restarted"]


def _read_before(reader: AnswerReader, before: list[bytes]) -> list[Values] | None:
    """Return the values of the frames before the end of an answer, which may be the first ones."""
    last = max((index for index, frame in enumerate(before) if reader.ends(frame)), default=-1)
    frames = [frame for frame in before[last + 1 :] if reader.has_framing(frame)]
    return read_collected(reader.read, [Collected(frame, reader.wants(frame)) for frame in frames])


def _replies(rules: SerialRules, messages: object) -> Iterator[str | Problem]:
    """Yield what is written when the frame of these messages is received."""
    for due in messages.replies if isinstance(messages, PartialMessages) else ():
        try:
            yield f"replies {format_bytes(rules.reply(due))}"
        except (CodecError, FramingError) as err:
            yield Problem((), f"{due.source}: reply: {err}")


def _readers(rules: SerialRules) -> Iterator[tuple[str, AnswerReader, str]]:
    """Yield each answer that may end a request or a command: of what, its reader, and what it does."""
    for name, step in _named_steps(rules):
        answer = step.answer
        if answer.response is not None:
            yield name, answer.response, "answers"
        if answer.refusal is not None:
            yield name, answer.refusal, "refuses"
    if rules.restarted is not None:
        yield "the opening requests", rules.restarted, "repeats"


def _named_steps(rules: SerialRules) -> Iterator[tuple[str, Step]]:
    """Yield the steps of the opening, of the polls and of the commands, each with what it belongs to."""
    yield from ((f"the request {step.name!a}", step) for step in (rules.opening.steps if rules.opening else ()))
    yield from ((f"the request {request.name!a}", step) for request in rules.polls for step in request.steps)
    for rule in rules.encoder.rules:
        yield from ((f"the command {rule.words.get('action')!a}", step) for step in rule.steps)


def _left_out(bad: Iterable[BadValue]) -> Iterator[str]:
    yield from (f"left out: {error}" for _, error in bad)


def explain_command(
    params: Mapping[str, Any], msg: InternalMsg, clock: WallClock = NO_CLOCK
) -> Iterator[str | Problem]:
    """Yield, as texts, what is written to the device for a command, or why the command is refused.

    `clock` gives the time for what is written with it.
    """
    rules = SerialRules(params, clock)
    if not rules.encoder.accepts(msg):
        yield Problem((), "not for this device: no encode rule has these words")
        return
    try:
        rule, _, written = rules.encoder.encode(msg, rules.own_values.values)
        values = {**rules.own_values.values(), **written}
        lines = [line for step in rule.steps for line in _explain_step(step, values, rules, params)]
    except (CodecError, FramingError) as err:
        yield Problem((), f"refused: {err}")
        return
    yield from lines


def _explain_step(
    step: Step, values: Mapping[str, Any], rules: SerialRules, params: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what a step does, as far as that does not depend on the answers of the device."""
    missing = sorted(step.names - values.keys())
    if missing:
        yield f"writes {step.name!a} with {', '.join(missing)} of an earlier answer"
    elif step.content is not None:
        yield f"writes {format_bytes(rules.codec.wrap(step.make(values), step.framing))}"
    if step.content is not None and params["conversation"]["echo"] is True:
        yield "then takes off its echo"
    response = step.answer.response
    if response is not None:
        seconds = params["conversation"]["timeout"] if step.answer.timeout is None else step.answer.timeout
        end = f", whose last frame matches {response.until!a}" if response.has_end else ""
        yield f"then waits {seconds:g} s for the answer{end}"
    if step.pause:
        yield f"then waits {step.pause:g} s"


def format_bytes(data: bytes) -> str:
    """Return bytes as text with control characters escaped; binary or short ones also in hexadecimal."""
    text = ascii(data)[1:]
    return f"{text} ({data.hex(' ')})" if "\\x" in text or len(data) <= 16 else text
