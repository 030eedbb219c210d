"""Says, for `mqttgateway check`, what a serial device's configuration makes of a frame, and of a command. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.rules.decoding import UNMATCHED, CodecError
from interfaces.serial_interface.framing.checksum import ChecksumError
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.rules import SerialRules


def explain_frame(params: Mapping[str, Any], data: bytes) -> Iterator[str | InternalMsg | Problem]:
    """Yield, in words and messages, what becomes of `data`: bytes from the wire, or a frame without its framing."""
    rules = SerialRules(params)
    # Much later, silence ends a frame too, and what is unfinished is given up.
    frames = [*rules.wire.feed(data, 0.0), *rules.wire.feed(b"", 1e9), *rules.wire.give_up()]
    if not frames:
        yield "no complete frame; treating the bytes as an unframed payload"
        frames = [_bare(rules, data)]
    for frame, problem in frames:
        yield f"frame {shown(frame)}"
        if problem:
            yield Problem((), f"dropped: {problem}")
            continue
        if rules.wire.checksum is not None:
            yield "checksum right"
        yield from _explain_rules(rules, frame)


def _bare(rules: SerialRules, data: bytes) -> tuple[bytes, str]:
    checksum = rules.wire.checksum
    if checksum is None:
        return data, ""
    try:
        checksum.verify(data)
    except ChecksumError as err:
        return data, str(err)
    return checksum.strip(data) if rules.wire.strips else data, ""


def _explain_rules(rules: SerialRules, frame: bytes) -> Iterator[str | InternalMsg | Problem]:
    taken = False
    try:
        rule = rules.decoder.rule_of(frame)
        if rule is not None:
            taken = True
            yield f"matched rule {rule.name!a}"
            messages = rules.decoder.decode(frame)
            if not messages:
                yield "no message: its values are empty"
            yield from messages or ()
        for request in [*rules.opening, *rules.polls]:
            found = request.answer.response.read(frame) if request.answer.response is not None else None
            if found is not None:
                taken = True
                yield f"it answers {request.name!a}"
                made = [template.make(values) for values in found for template in request.messages]
                yield from (msg for msg in made if msg is not None)
        for command in rules.encoder.rules:
            for answer, means in ((command.answer.response, "answers"), (command.answer.refusal, "refuses")):
                if answer is not None and answer.read(frame) is not None:
                    taken = True
                    yield f"it {means} the command {command.match.get('action')!a}"
    except CodecError as err:
        yield Problem((), f"dropped: {err}")
        return
    if not taken:
        yield Problem((), f"dropped: {UNMATCHED}")


def explain_command(params: Mapping[str, Any], msg: InternalMsg) -> Iterator[str | Problem]:
    """Yield, in words, what is written to the device for a command, or why it is refused."""
    rules = SerialRules(params)
    if not rules.encoder.accepts(msg):
        yield Problem((), "not for this device: no encode rule has these words")
        return
    try:
        rule = rules.encoder.rule_for(msg)
        data = rules.wire.wrap(rule.encode(msg))
    except (CodecError, FramingError) as err:
        yield Problem((), f"refused: {err}")
        return
    yield f"writes {shown(data)}"
    if rule.answer.response is not None:
        seconds = params["conversation"]["timeout"] if rule.answer.timeout is None else rule.answer.timeout
        yield f"then waits {seconds:g} s for the answer"


def shown(data: bytes) -> str:
    """Return bytes as text, control characters escaped; with what is not text, in hexadecimal too."""
    text = ascii(data)[1:]
    return f"{text} ({data.hex(' ')})" if "\\x" in text or len(data) <= 16 else text
