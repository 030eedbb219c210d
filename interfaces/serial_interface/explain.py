"""What a serial device's configuration makes of a frame or a command, for `mqttgateway check`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.rules.answers import AnswerReader
from interfaces.rules.decoding import UNMATCHED, BadValue, PartialMessages, bad_values, rule_name
from interfaces.rules.joined_rules import JoinedRules
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock, make_messages
from interfaces.rules.mismatch import nearest
from interfaces.serial_interface.framing.checksum import ChecksumError
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.rules import SerialRules

_INSTEAD = ": while that is waited for, only the answer's own messages are made"
_MUCH_LATER = 1e9  # s; longer than any silence that ends a frame


def explain_frame(
    params: Mapping[str, Any], data: bytes, clock: WallClock = NO_CLOCK
) -> Iterator[str | InternalMsg | Problem]:
    """Yield, as texts and messages, what becomes of `data`: bytes from the device, or a frame without its framing.

    `clock` gives the time for messages that contain it.
    """
    rules = SerialRules(params, clock)
    codec = rules.codec
    frames = [*codec.feed(data, 0.0), *codec.feed(b"", _MUCH_LATER), *codec.flush_partial()]
    if not frames:
        yield "no complete frame; treating the bytes as an unframed payload"
        frames = [_unframed(rules, data)]
    for frame, error in frames:
        yield f"frame {format_bytes(frame)}"
        if error:
            yield Problem((), f"dropped: {error}")
            continue
        if codec.checksum is not None:
            yield "checksum OK"
        yield from _explain_rules(rules, params, frame)


def _unframed(rules: SerialRules, data: bytes) -> tuple[bytes, str]:
    """Return `data` as a frame, and `""` or the reason why its checksum is wrong."""
    checksum = rules.codec.checksum
    if checksum is None:
        return data, ""
    try:
        checksum.verify(data)
    except ChecksumError as err:
        return data, str(err)
    return checksum.strip(data) if rules.codec.strips else data, ""


def _explain_rules(
    rules: SerialRules, params: Mapping[str, Any], frame: bytes
) -> Iterator[str | InternalMsg | Problem]:
    is_matched = is_answer = False
    try:
        try:
            messages, error = rules.decoder.decode(frame), None
        except CodecError as err:
            messages, error = None, err
        yield from (f"joined frames {format_bytes(join.joined_text)}" for join in rules.joins if join.joined_text)
        rule = rules.decoder.find_rule(frame)
        if rule is not None:
            is_matched = True
            is_part = isinstance(rule, JoinedRules)
            yield f"{'collected by' if is_part else 'matched'} rule {rule.name!a}"
            if error is not None:
                raise error
            if is_part:
                yield "no message yet: it is joined with frames that follow"
            elif not messages:
                yield "no message: its values are empty"
            yield from _left_out(messages.bad if isinstance(messages, PartialMessages) else ())
            yield from messages or ()
        for name, reader, verb in _readers(rules):
            sets = reader.read(frame)
            if sets is not None:
                yield f"{verb} {name}{_INSTEAD if is_matched and reader.messages else ''}"
                yield from _left_out(bad_values(name, sets))
                yield from make_messages(reader.messages, sets)
                is_answer = True
    except CodecError as err:
        yield Problem((), f"dropped: {err}")
        return
    if not is_matched and not is_answer:
        yield Problem((), f"dropped: {UNMATCHED}")
        reason = nearest(_options_of_rules(rules, params), frame, rules.encoding)
        if reason is not None:
            yield reason


def _options_of_rules(rules: SerialRules, params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and options of each rule that reads single frames, and of each answer."""
    yield from ((f"{rule_name(options)!a}", options) for options in params["decode"] if "join" not in options)
    conversation = params["conversation"]
    requests = zip((*rules.opening, *rules.polls), (*conversation["opening"], *conversation["polls"]), strict=True)
    named = [(f"the request {request.name!a}", options) for request, options in requests]
    named += [(f"the command {options['match']['action']!a}", options) for options in params["encode"]]
    for name, options in named:
        for kind in ("response", "refusal"):
            if kind in options:
                yield f"the {kind} of {name}", options[kind]


def _readers(rules: SerialRules) -> Iterator[tuple[str, AnswerReader, str]]:
    """Yield each answer that may end a request or a command: of what, its reader, and what it does."""
    answers = [(f"the request {request.name!a}", request.answer) for request in (*rules.opening, *rules.polls)]
    answers += [(f"the command {rule.words.get('action')!a}", rule.answer) for rule in rules.encoder.rules]
    for name, answer in answers:
        if answer.response is not None:
            yield name, answer.response, "answers"
        if answer.refusal is not None:
            yield name, answer.refusal, "refuses"


def _left_out(bad: Iterable[BadValue]) -> Iterator[str]:
    yield from (f"left out: {error}" for _, error in bad)


def explain_command(params: Mapping[str, Any], msg: InternalMsg) -> Iterator[str | Problem]:
    """Yield, as texts, what is written to the device for a command, or why the command is refused."""
    rules = SerialRules(params)
    if not rules.encoder.accepts(msg):
        yield Problem((), "not for this device: no encode rule has these words")
        return
    try:
        rule, _, content = rules.encoder.encode(msg)
        data = rules.codec.wrap(content)
    except (CodecError, FramingError) as err:
        yield Problem((), f"refused: {err}")
        return
    yield f"writes {format_bytes(data)}"
    if rule.answer.response is not None:
        seconds = params["conversation"]["timeout"] if rule.answer.timeout is None else rule.answer.timeout
        yield f"then waits {seconds:g} s for the answer"


def format_bytes(data: bytes) -> str:
    """Return bytes as text with control characters escaped; binary or short ones also in hexadecimal."""
    text = ascii(data)[1:]
    return f"{text} ({data.hex(' ')})" if "\\x" in text or len(data) <= 16 else text
