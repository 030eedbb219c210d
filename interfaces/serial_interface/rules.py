"""The rules of one serial device, built from its configuration and checked. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.core.quoting import did_you_mean
from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg
from gateway.routing.command_index import Addresses
from interfaces.rules.answers import AnswerReader
from interfaces.rules.code_pages import encoding_problems
from interfaces.rules.content import content_kinds, make_content
from interfaces.rules.decoding import Decoder, DecodeRule, DueReply, argument_names, check_decode_rule
from interfaces.rules.encoding import Encoder, EncodeRule, check_content
from interfaces.rules.joined_rules import JoinedRules, with_joins
from interfaces.rules.message_template import NO_CLOCK, CodecError, MessageTemplate, WallClock, single_values
from interfaces.rules.own_values import OWN_VALUES, OwnValues
from interfaces.rules.reply import Reply, check_reply
from interfaces.rules.steps import SPEEDS, Step, check_sequence, each_step
from interfaces.rules.template import TemplateError
from interfaces.rules.word_match import WordMatch
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framings, checksums, framing_names
from interfaces.serial_interface.polling import Request
from interfaces.serial_interface.ports.address import scheme_of
from interfaces.serial_interface.transaction import Result

MUCH_LATER = 1e9  # s; longer than any silence that ends a frame


class SerialRules:
    """The framing, the rules and the requests of one device, from the parameters of the serial interface.

    `clock` gives the time: at which a frame was received, for messages with `{time}`, and at which one is written.
    """

    def __init__(self, params: Mapping[str, Any], clock: WallClock = NO_CLOCK) -> None:
        address, encoding = params["address"], params["encoding"]
        self.encoding = encoding
        self._make_codec = functools.partial(
            FrameCodec, params["framing"], params.get("checksum"), params.get("write_framing")
        )
        self.codec = self._make_codec()
        self._checksum_replies = {
            name: DueReply(f"checksum of {name!a}" if name else "checksum", Reply(options["reply"], encoding), {})
            for _, name, options in checksums(params)
            if "reply" in options
        }
        every = params["decode_every_rule"]
        rules = [DecodeRule(rule, address, encoding, clock) for rule in params["decode"]]
        joined_rules = with_joins(rules, encoding, every=every)
        self.decoder = Decoder(joined_rules, every=every)
        self.joins = [rule for rule in joined_rules if isinstance(rule, JoinedRules)]
        self.encoder = Encoder([EncodeRule(rule, address, encoding, clock) for rule in params["encode"]])
        conversation = params["conversation"]
        self.own_values = OwnValues(conversation["counter"], clock)
        steps = conversation["opening"]
        self.opening = Request({"name": "opening", "steps": steps}, address, encoding, clock) if steps else None
        self.polls = [Request(options, address, encoding, clock) for options in conversation["polls"]]
        restarted = conversation.get("restarted")
        self.restarted = AnswerReader(restarted, address, encoding, clock) if restarted is not None else None

    @property
    def steps(self) -> Iterator[Step]:
        """The steps of all rules and requests that write."""
        for rule in self.encoder.rules:
            yield from rule.steps
        for request in (*([self.opening] if self.opening is not None else []), *self.polls):
            yield from request.steps

    @property
    def reads(self) -> bool:
        """Whether anything that the device sends is expected to be read."""
        return bool(self.decoder.rules or self.polls)

    @property
    def is_quick(self) -> bool:
        """Whether no frame takes long to read."""
        readers = [reader for step in self.steps for reader in (step.answer.response, step.answer.refusal)]
        readers += [self.restarted]
        return all(rule.is_quick for rule in self.decoder.rules) and all(
            reader.is_quick for reader in readers if reader is not None
        )

    def matches(self, frame: bytes) -> bool:
        """Return whether a decode rule matches `frame`."""
        return any(rule.matches(frame) for rule in self.decoder.rules)

    def frames_of(self, data: bytes) -> list[bytes]:
        """Return the frames in `data`, if nothing came before or after it."""
        codec = self._make_codec()
        frames = [*codec.feed(data, 0.0), *codec.feed(b"", MUCH_LATER), *codec.flush_partial()]
        return [frame for frame, error in frames if not error]

    def checksum_reply(self, frame: bytes) -> DueReply | None:
        """Return the reply to a frame whose checksum is wrong, if there is to be one."""
        return self._checksum_replies.get(self.codec.kind_of(frame).name) if self._checksum_replies else None

    def reply(self, due: DueReply) -> bytes:
        """Return the bytes of a reply.

        Raises `CodecError` or `FramingError` if it cannot be written.
        """
        return self.codec.wrap(due.reply.make(due.values, self.own_values), due.reply.framing)

    def with_answer(self, reply: InternalMsg, result: Result, earlier: Mapping[str, Any]) -> InternalMsg:
        """Return the reply to a command with the device's answer: its values, or its text as `answer`.

        `earlier` are the values that it has answered to the steps before.
        """
        sets = (earlier, *single_values(result.values))
        arguments = {name: value for values in sets for name, value in values.items() if name not in OUTCOME_WORDS}
        if not arguments and not result.frame:
            return reply
        return reply.with_read(arguments or {"answer": result.frame.decode(self.encoding, "backslashreplace")})


def check_rules(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems in the options of a serial device that their schema cannot find."""
    address, encoding = params["address"], params["encoding"]
    encoding_problem = next(encoding_problems(encoding), None)
    if encoding_problem is not None:
        yield encoding_problem
        return
    framing_problems = list(check_framings(params, did_you_mean))
    yield from framing_problems
    yield from _check_framing_names(params)
    for index, options in enumerate(params["decode"]):
        for problem in check_decode_rule(options, address, encoding):
            yield problem._replace(path=("decode", index, *problem.path))
    yield from _check_published(params)
    codec = None
    if not framing_problems:
        codec = FrameCodec(params["framing"], params.get("checksum"), params.get("write_framing"))
    conversation = params["conversation"]
    counter = conversation["counter"]
    if counter[0] > counter[1]:
        yield Problem(("conversation", "counter"), "the first number is larger than the last one", "exchange them")
    for path, rules in ((("encode",), params["encode"]), (("conversation", "polls"), conversation["polls"])):
        for index, options in enumerate(rules):
            problems = list(check_content(options, encoding, options.get("arguments", {})))
            problems += () if problems else _check_framed(options, encoding, codec, counter)
            yield from (problem._replace(path=(*path, index, *problem.path)) for problem in problems)
    yield from _check_opening(params, codec)
    yield from _check_replies(params, codec)
    yield from _check_restarted(conversation.get("restarted"), address, encoding)
    yield from _check_speeds(params)
    yield from _check_retries(params)
    yield from _check_reachable(params["encode"], address)


def _check_framing_names(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield where a rule or a request has a framing that the device has not."""
    read, written = framing_names(params)
    places = [(place, options, read) for place, options in _reading(params)]
    places += [(place, step, written) for place, step in (*_writing(params), *_replying(params))]
    for place, options, names in places:
        name = options.get("framing")
        if name is not None and name not in names:
            yield Problem((*place, "framing"), f"there is no framing {name!a}", did_you_mean(name, names))


def _check_published(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the names in `publish` that no message has as an argument.

    Several rules may share an option, by `defaults` for example: then one of them is enough.
    """
    encoding = params["encoding"]
    shared: dict[tuple[str, Any], list[tuple[tuple[str | int, ...], Mapping[str, Any]]]] = {}
    for path, rule in _reading(params):
        publish = rule.get("publish", {})
        if isinstance(deadbands := publish.get("deadband"), Mapping):
            shared.setdefault(("deadband", frozenset(deadbands.items())), []).append((path, rule))
        if publish.get("by"):
            shared.setdefault(("by", tuple(publish["by"])), []).append((path, rule))
    for (option, _), rules in shared.items():
        path, rule = rules[0]
        if any(list(check_decode_rule(each, {}, encoding, needs_message=False)) for _, each in rules):
            continue  # reported elsewhere
        known: set[str] = set()
        for _, each in rules:
            names = argument_names(each, encoding)
            if names is None:
                break
            known |= names
        else:
            for index, name in enumerate(rule["publish"][option]):
                if name not in known:
                    place = index if option == "by" else name
                    text = f"no message has the argument {name!a}"
                    yield Problem((*path, "publish", option, place), text, did_you_mean(name, known))


def _check_restarted(options: Mapping[str, Any] | None, address: Mapping[str, str], encoding: str) -> Iterator[Problem]:
    if options is None:
        return
    path = ("conversation", "restarted")
    for name in ("until", "same"):
        if name in options:
            yield Problem((*path, name), f"{name!a} is an option of the answer to a request", "remove it")
            return
    for problem in check_decode_rule(options, address, encoding, needs_message=False):
        yield problem._replace(path=(*path, *problem.path))


def _check_opening(params: Mapping[str, Any], codec: FrameCodec | None) -> Iterator[Problem]:
    path, encoding = ("conversation", "opening"), params["encoding"]
    steps, counter = params["conversation"]["opening"], params["conversation"]["counter"]
    problems = list(check_sequence(steps, encoding, path=path))
    yield from problems
    for problem in () if problems else _check_framed({"steps": steps}, encoding, codec, counter):
        yield problem._replace(path=(*path, *problem.path[1:]))


def _check_speeds(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the steps that change the speed of a line where that cannot be done, or not be undone."""
    for path, options in _writing(params):
        if "baudrate" not in options:
            continue
        if scheme_of(params["port"]) in ("socket", "ssl", "tcp-listen", "udp"):
            yield Problem((*path, "baudrate"), "a network connection has no speed", "use rfc2217://, or remove it")
        elif str(params["baudrate"]) not in SPEEDS:
            text = f"the line could not return to its own speed: {params['baudrate']} is none that drivers have by name"
            yield Problem((*path, "baudrate"), text, "use a usual speed for the port, or remove this one")


def _check_retries(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield `retries` that never take place, because no answer is awaited.

    Several entries of a section may share the option, by `defaults` for example: then one of them is enough.
    """
    shared: dict[tuple[Any, ...], list[tuple[tuple[str | int, ...], bool]]] = {}
    for path, step in _writing(params):
        if retries := step.get("retries", 0):
            section = next(name for name in path if name in ("encode", "polls", "opening"))
            shared.setdefault((section, retries), []).append((path, "response" in step))
    for entries in shared.values():
        if not any(has_response for _, has_response in entries):
            text = "'retries' does nothing without 'response': a frame is only sent again if its answer does not come"
            yield Problem((*entries[0][0], "retries"), text, "describe the answer in 'response', or remove 'retries'")


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


def _check_framed(
    options: Mapping[str, Any], encoding: str, codec: FrameCodec | None, counter: Sequence[int]
) -> Iterator[Problem]:
    """Yield what a rule or a request writes and this framing cannot send; paths begin at it."""
    for path, step in each_step(options):
        if codec is None or not any(content_kinds(step)):
            continue
        if make_content(step, encoding).names <= OWN_VALUES - options.get("arguments", {}).keys():
            for problem in _check_frame(step, encoding, codec, counter):
                yield problem._replace(path=path)


def _check_frame(
    options: Mapping[str, Any], encoding: str, codec: FrameCodec, counter: Sequence[int]
) -> Iterator[Problem]:
    """Yield the problems of what is written without an argument, from the first to the last number of the counter."""
    content = make_content(options, encoding)
    try:
        for count in counter if content.names else counter[:1]:
            codec.wrap(content.make(OwnValues((count, count), NO_CLOCK).values()), options.get("framing", ""))
    except KeyError:
        return  # an unknown framing, which is reported elsewhere
    except FramingError as err:
        yield Problem((), f"the written bytes cannot be framed: {err}")
    except CodecError as err:
        yield Problem((), f"the bytes to write cannot be made: {err}")


def _check_replies(params: Mapping[str, Any], codec: FrameCodec | None) -> Iterator[Problem]:
    """Yield the problems of the reply to a wrong checksum, and of replies that cannot be framed."""
    encoding = params["encoding"]
    for path, _, checksum in checksums(params):
        problems = check_reply(checksum["reply"], encoding, frozenset()) if "reply" in checksum else ()
        yield from (problem._replace(path=(*path, "reply", *problem.path)) for problem in problems)
    for path, options in _replying(params):
        if codec is None or list(check_reply(options, encoding, OWN_VALUES)):
            continue  # reported already, or it depends on the frame
        for problem in _check_frame(options, encoding, codec, params["conversation"]["counter"]):
            yield problem._replace(path=path)


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
    for path, rule in _reading(params):
        if "message" in rule:
            yield (*path, "message"), rule["message"]
        for index, message in enumerate(rule.get("messages", ())):
            yield (*path, "messages", index), message


def _reading(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield path and options of each rule, and of each other part that reads frames."""
    yield from ((("decode", index), rule) for index, rule in enumerate(params["decode"]))
    for path, step in _writing(params):
        yield from (((*path, kind), step[kind]) for kind in ("response", "refusal") if kind in step)
    if "restarted" in params["conversation"]:
        yield ("conversation", "restarted"), params["conversation"]["restarted"]


def _writing(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield path and options of each step of what is written."""
    conversation = params["conversation"]
    sections: list[tuple[tuple[str, ...], Any]] = [(("encode",), params["encode"])]
    sections += [(("conversation", kind), conversation[kind]) for kind in ("opening", "polls")]
    for path, section in sections:
        for index, options in enumerate(section):
            yield from (((*path, index, *inner), step) for inner, step in each_step(options))


def _replying(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield path and options of each reply to a frame."""
    yield from (((*path, "reply"), options["reply"]) for path, _, options in checksums(params) if "reply" in options)
    yield from (
        (("decode", index, "reply"), rule["reply"]) for index, rule in enumerate(params["decode"]) if "reply" in rule
    )
