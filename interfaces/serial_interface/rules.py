"""Everything that a configuration says about one serial device, built and checked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.quoting import did_you_mean
from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg
from gateway.routing.command_index import Addresses
from interfaces.rules.decoding import Decoder, DecodeRule, MessageTemplate, check_decode_rule
from interfaces.rules.encoding import Content, Encoder, EncodeRule, check_content
from interfaces.rules.template import TemplateError
from interfaces.serial_interface.conversation import Result
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framing
from interfaces.serial_interface.polling import Request


class SerialRules:
    """The framing, the rules and the requests of one device, from the options of the serial interface."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        address, encoding = params["address"], params["encoding"]
        self.encoding = encoding
        self.wire = FrameCodec(params["framing"], params.get("checksum"))
        every = params["decode_every_rule"]
        self.decoder = Decoder([DecodeRule(rule, address, encoding) for rule in params["decode"]], every=every)
        self.encoder = Encoder([EncodeRule(rule, address, encoding) for rule in params["encode"]])
        self.opening = [Request(given, address, encoding) for given in params["conversation"]["opening"]]
        self.polls = [Request(given, address, encoding) for given in params["conversation"]["polls"]]

    @property
    def is_quick(self) -> bool:
        """Whether no frame takes long to read."""
        answers = [rule.answer for rule in self.encoder.rules]
        answers += [request.answer for request in (*self.opening, *self.polls)]
        readers = [reader for answer in answers for reader in (answer.response, answer.refusal) if reader is not None]
        return all(one.matcher.is_quick for one in (*readers, *(rule.reader for rule in self.decoder.rules)))

    def with_answer(self, reply: InternalMsg, result: Result) -> InternalMsg:
        """Return a command's reply with what the device has answered: its values, or its text as `answer`."""
        if not result.frame:
            return reply
        found = {name: value for values in result.values for name, value in values.items() if name not in OUTCOME_WORDS}
        if not found:
            found = {"answer": result.frame.decode(self.encoding, "backslashreplace")}
        return reply.replace(arguments={**found, **reply.arguments}).answered_at(reply.reply_to)


def check_rules(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the options of a serial device, beyond their schema."""
    address, encoding = params["address"], params["encoding"]
    wire_problems = list(check_framing(params["framing"], params.get("checksum"), did_you_mean))
    yield from wire_problems
    for index, options in enumerate(params["decode"]):
        for problem in check_decode_rule(options, address, encoding):
            yield Problem(("decode", index, *problem.path), problem.what, problem.remedy)
    wire = None if wire_problems else FrameCodec(params["framing"], params.get("checksum"))
    written: list[tuple[tuple[str, ...], Any]] = [(("encode",), params["encode"])]
    written += [(("conversation", kind), params["conversation"][kind]) for kind in ("opening", "polls")]
    for path, rules in written:
        for index, options in enumerate(rules):
            for problem in _check_writing(options, encoding, wire):
                yield Problem((*path, index, *problem.path), problem.what, problem.remedy)


def _check_writing(options: Mapping[str, Any], encoding: str, wire: FrameCodec | None) -> Iterator[Problem]:
    """Yield what is wrong with what a rule or a request writes; paths begin at it."""
    problems = list(check_content(options, encoding, options.get("arguments", {})))
    yield from problems
    if problems or wire is None:
        return
    content = Content(options, encoding)
    try:
        if not content.names:
            wire.wrap(content.make({}))
    except FramingError as err:
        yield Problem((), f"what is written cannot be framed: {err}")


def rule_words(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield path, field and word of each word that a rule's message has whatever the device says.

    The words of `address` come once, with their own path, if any rule makes use of them.
    """
    address = params["address"]
    seen: set[str] = set()
    for path, message in _messages(params):
        try:
            words = MessageTemplate(message, address).constant_words
        except TemplateError:
            continue  # said by check_rules
        for field, word in words.items():
            if field in message:
                yield (*path, field), field, word
            elif field not in seen:
                seen.add(field)
                yield ("address", field), field, word


def command_addresses(params: Mapping[str, Any]) -> Addresses:
    """Return the addresses of the commands that any rule of `encode` is for, their actions left aside."""
    addresses = [EncodeRule.words_of(rule, params["address"]) for rule in params["encode"]]
    return [
        {name: word for name, word in words.items() if word is not None and name != "action"} for words in addresses
    ]


def _messages(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    conversation = params["conversation"]
    rules: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [
        (("decode", index), rule) for index, rule in enumerate(params["decode"])
    ]
    for kind in ("opening", "polls"):
        rules += [
            (("conversation", kind, index, "response"), request["response"])
            for index, request in enumerate(conversation[kind])
            if "response" in request
        ]
    for path, rule in rules:
        if "message" in rule:
            yield (*path, "message"), rule["message"]
        for index, message in enumerate(rule.get("messages", ())):
            yield (*path, "messages", index), message
