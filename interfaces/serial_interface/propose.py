"""Rules for frames that no rule takes: proposed, and tried with all of them. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gateway.configuration.schema_check import Schema, fill_defaults
from gateway.configuration.schema_fit import fits_quickly
from gateway.configuration.yaml_reader import load_yaml
from gateway.configuration.yaml_writer import flow, scalar, without_variables
from gateway.core.proposal import Proposal
from gateway.errors import GatewayError
from gateway.message import InternalMsg
from interfaces.rules.candidates import Options, candidates, ignoring
from interfaces.rules.decoding import Decoder, DecodeRule, IgnoredFrame, PartialMessages, check_decode_rule
from interfaces.rules.extractors import framing_of
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.rules import SerialRules

_decoders: deque[tuple[Mapping[str, Any], Decoder]] = deque(maxlen=8)
_BY_HAND = (
    "no rule could be proposed that reads all of these frames: look up in the manual of the device what they "
    "consist of, and write one (docs/serial.md, Decode)"
)


def propose(params: Mapping[str, Any], frames: Sequence[bytes], name: str, schema: Schema) -> Proposal:
    """Return rules for `frames`, which look alike, and which the interface called `name` has dropped.

    `schema` is that of all options of the interface.
    """
    try_all = partial(_working, params, frames, schema)
    decode = _decoder_of(params).decode
    if all(_is_taken(decode, frame) for frame in frames):
        return Proposal(is_taken=True)
    framings = {framing_of(frame) for frame in frames}
    framing: Options = {"framing": framings.pop()} if len(framings) == 1 and framings != {""} else {}
    encoding, address = params["encoding"], params["address"]
    device = None if address.get("device") else re.sub(r"[^\w.-]+", "_", name)
    rule, messages = next(try_all(framing, candidates(frames, encoding, device)), ("", ()))
    ignore = next(try_all(framing, ignoring(frames, encoding)), ("", ()))[0]
    return Proposal("decode", rule, ignore, tuple(messages), note="" if rule else _BY_HAND)


def _decoder_of(params: Mapping[str, Any]) -> Decoder:
    """Return the rules of an interface; those that were asked for last are kept, since there may be thousands."""
    for known, decoder in tuple(_decoders):
        if known is params:
            return decoder
    decoder = SerialRules(params).decoder
    _decoders.append((params, decoder))
    return decoder


def _is_taken(decode: Any, frame: bytes) -> bool:
    try:
        return decode(frame) is not None
    except CodecError:
        return False


def _working(
    params: Mapping[str, Any], frames: Sequence[bytes], schema: Schema, framing: Options, proposed: Iterator[Options]
) -> Iterator[tuple[str, Sequence[InternalMsg]]]:
    """Yield those rules that read all frames, as the text to paste, with the messages of the last frame."""
    of_rule = schema["properties"]["decode"]["items"]
    for options in proposed:
        options = {**framing, **options}
        text = _text(options)
        try:
            (data,) = load_yaml(text, "proposal", {}).data
            if data != options or not fits_quickly(data, {**of_rule, "$defs": schema["$defs"]}):
                continue
            filled = fill_defaults(data, of_rule, schema)
            if any(check_decode_rule(filled, params["address"], params["encoding"])):
                continue
            rule = DecodeRule(filled, params["address"], params["encoding"])
            results = [rule.decode(frame) for frame in frames]
        except GatewayError:
            continue
        if rule.is_quick and all(_is_good(result, options) for result in results):
            yield text, results[-1] or ()


def _is_good(result: list[InternalMsg] | None, options: Mapping[str, Any]) -> bool:
    if options.get("ignore"):
        return isinstance(result, IgnoredFrame)
    return bool(result) and not isinstance(result, PartialMessages)


def _text(options: Mapping[str, Any]) -> str:
    """Return a rule as an item of a list: each of its options in a line."""
    lines = [f"{scalar(name)}: {flow(value)}" for name, value in without_variables(options).items()]
    return "\n".join(f"{'- ' if index == 0 else '  '}{line}" for index, line in enumerate(lines)) + "\n"
