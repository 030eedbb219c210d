"""The rules of one serial device, built from its configuration and checked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.core.quoting import did_you_mean
from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg
from gateway.routing.command_index import Addresses
from interfaces.rules.code_pages import encoding_problems
from interfaces.rules.content import make_content
from interfaces.rules.decoding import Decoder, DecodeRule, check_decode_rule
from interfaces.rules.encoding import Encoder, EncodeRule, check_content
from interfaces.rules.joined_rules import JoinedRules, with_joins
from interfaces.rules.message_template import NO_CLOCK, MessageTemplate, PartialValues, WallClock
from interfaces.rules.template import TemplateError
from interfaces.rules.word_match import WordMatch, check_match
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framing
from interfaces.serial_interface.polling import Request
from interfaces.serial_interface.transaction import Result


class SerialRules:
    """The framing, the rules and the requests of one device, from the parameters of the serial interface.

    `clock` gives the time at which a frame was received, for the messages with `{time}`.
    """

    def __init__(self, params: Mapping[str, Any], clock: WallClock = NO_CLOCK) -> None:
        address, encoding = params["address"], params["encoding"]
        self.encoding = encoding
        self.codec = FrameCodec(params["framing"], params.get("checksum"))
        every = params["decode_every_rule"]
        rules = [DecodeRule(rule, address, encoding, clock) for rule in params["decode"]]
        joined_rules = with_joins(rules, encoding, every=every)
        self.decoder = Decoder(joined_rules, every=every)
        self.joins = [rule for rule in joined_rules if isinstance(rule, JoinedRules)]
        self.encoder = Encoder([EncodeRule(rule, address, encoding, clock) for rule in params["encode"]])
        conversation = params["conversation"]
        self.opening = [Request(options, address, encoding, clock) for options in conversation["opening"]]
        self.polls = [Request(options, address, encoding, clock) for options in conversation["polls"]]

    @property
    def is_quick(self) -> bool:
        """Whether no frame takes long to read."""
        answers = [rule.answer for rule in self.encoder.rules]
        answers += [request.answer for request in (*self.opening, *self.polls)]
        readers = [reader for answer in answers for reader in (answer.response, answer.refusal) if reader is not None]
        return all(reader.extractor.is_quick for reader in readers) and all(
            rule.is_quick for rule in self.decoder.rules
        )

    def with_answer(self, reply: InternalMsg, result: Result) -> InternalMsg:
        """Return the reply to a command with the device's answer: its values, or its text as `answer`."""
        if not result.frame:
            return reply
        arguments = {
            name: value
            for values in result.values
            if not (isinstance(values, PartialValues) and values.group)  # one outcome cannot have all repetitions
            for name, value in values.items()
            if name not in OUTCOME_WORDS
        }
        if not arguments:
            arguments = {"answer": result.frame.decode(self.encoding, "backslashreplace")}
        return reply.replace(arguments={**arguments, **reply.arguments}).answered_at(reply.reply_to)


def check_rules(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems in the options of a serial device that their schema cannot find."""
    address, encoding = params["address"], params["encoding"]
    encoding_problem = next(encoding_problems(encoding), None)
    if encoding_problem is not None:
        yield encoding_problem
        return
    framing_problems = list(check_framing(params["framing"], params.get("checksum"), did_you_mean))
    yield from framing_problems
    for index, options in enumerate(params["decode"]):
        for problem in check_decode_rule(options, address, encoding):
            yield problem._replace(path=("decode", index, *problem.path))
    codec = None if framing_problems else FrameCodec(params["framing"], params.get("checksum"))
    sections: list[tuple[tuple[str, ...], Any]] = [(("encode",), params["encode"])]
    sections += [(("conversation", kind), params["conversation"][kind]) for kind in ("opening", "polls")]
    for path, rules in sections:
        for index, options in enumerate(rules):
            for problem in _check_writing(options, encoding, codec):
                yield problem._replace(path=(*path, index, *problem.path))
    yield from _check_reachable(params["encode"], address)


def _check_reachable(rules: Sequence[Mapping[str, Any]], address: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the rules that no command reaches, because an earlier one accepts all that they accept."""
    for index, rule in enumerate(rules):
        words = EncodeRule.words_of(rule, address)
        for earlier, other in enumerate(rules[:index]):
            others = EncodeRule.words_of(other, address)
            covers = all(word is None or words.get(name) == word for name, word in others.items())
            if covers and other.get("arguments", {}) == rule.get("arguments", {}):
                text = f"no command reaches this rule: rule {earlier + 1} matches the same commands and arguments"
                yield Problem(("encode", index), text, "remove one of them, or give them other words or arguments")
                break


def _check_writing(options: Mapping[str, Any], encoding: str, codec: FrameCodec | None) -> Iterator[Problem]:
    """Yield the problems of what a rule or a request writes; paths begin at it."""
    arguments = options.get("arguments", {})
    problems = [*check_match(options.get("match", {}), arguments), *check_content(options, encoding, arguments)]
    yield from problems
    if problems or codec is None:
        return
    content = make_content(options, encoding)
    try:
        if not content.names:
            codec.wrap(content.make({}))
    except FramingError as err:
        yield Problem((), f"the written bytes cannot be framed: {err}")


def rule_words(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield path, field and word of each word that a rule's message has whatever the device sends.

    The words of `address` come once, with their own path, if any rule uses them.
    """
    address = params["address"]
    seen: set[str] = set()
    for path, message in _messages(params):
        try:
            words = MessageTemplate(message, address).constant_words
        except TemplateError:
            continue  # reported by check_rules
        for field, word in words.items():
            if field in message:
                yield (*path, field), field, word
            elif field not in seen:
                seen.add(field)
                yield ("address", field), field, word


def command_addresses(params: Mapping[str, Any]) -> Addresses:
    """Return the addresses of the commands that any rule of `encode` matches, without their actions."""
    return [WordMatch(rule["match"], params["address"]).address for rule in params["encode"]]


def _messages(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield path and options of each message template."""
    conversation = params["conversation"]
    rules: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [
        (("decode", index), rule) for index, rule in enumerate(params["decode"])
    ]
    requests = [(("conversation", kind), conversation[kind]) for kind in ("opening", "polls")]
    writing: list[tuple[tuple[str, ...], Any]] = [(("encode",), params["encode"]), *requests]
    rules += [
        ((*path, index, kind), request[kind])
        for path, section in writing
        for index, request in enumerate(section)
        for kind in ("response", "refusal")
        if kind in request
    ]
    for path, rule in rules:
        if "message" in rule:
            yield (*path, "message"), rule["message"]
        for index, message in enumerate(rule.get("messages", ())):
            yield (*path, "messages", index), message
