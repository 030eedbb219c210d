"""The whole configuration of a serial device: all its problems are reported together, with their paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.message import InternalMsg, ReplyTo
from gateway.routing.command_index import CommandIndex
from interfaces.serial_interface.rules import SerialRules, check_rules, command_addresses, rule_words
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction
from tests.support.configuration import serial_params

READING = {"action": "READING", "arguments": "*"}
DIM = {"match": {"action": "DIM"}, "arguments": {"level": {"type": "integer"}}, "write": "DIM {level}"}


def problems(**options: Any) -> list[Problem]:
    return list(check_rules(serial_params(**options)))


def encode(arguments: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {"encode": [DIM, {"match": {"action": "A"}, "arguments": arguments or {}, **options}]}


def poll(kind: str = "polls", **options: Any) -> dict[str, Any]:
    return {"conversation": {kind: [{"write": "U?"}, options]}}


BINARY = {"fields": [{"type": "u8", "name": "a", "at": -1}]}


def published(*names: str, **publish: Any) -> dict[str, Any]:
    arguments = {name: f"{{{name}}}" for name in names} if names else "*"
    return {"regex": "(?P<t>.)(?P<u>.)", "publish": publish, "message": {"action": "A", "arguments": arguments}}


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([published("t", deadband={"typo": 1})], [(("decode", 0, "publish", "deadband", "typo"), "did you mean 't'?")]),
        ([published(deadband={"t": 1, "typo": 1})], [(("decode", 0, "publish", "deadband", "typo"), "")]),
        ([published("t", by=["t", "u"])], [(("decode", 0, "publish", "by", 1), "")]),
        ([published("t", by=["t"]), published("t", by=["u"])], [(("decode", 1, "publish", "by", 0), "")]),
        ([published("t", deadband={"t": 1, "u": 2}), published("u", deadband={"u": 2, "t": 1})], []),
        ([published("t", by=["t", "u"]), published("u", by=["t", "u"])], []),
        ([{**published(by=["x"]), "regex": "(?P<x>.)"}, published(by=["t"], deadband=1)], []),
        ([{"pairs": {}, "message": READING, "publish": {"deadband": {"any": 1}}}], []),
        ([{"json": {}, "message": READING, "publish": {"by": ["any"]}}], []),
        (
            [
                {
                    "regex": "(?P<t>.)",
                    "publish": {"by": ["u"]},
                    "messages": [READING, {**READING, "arguments": {"u": 1}}],
                }
            ],
            [],
        ),
    ],
)
def test_a_name_in_publish_that_no_message_has_is_a_finding(rules: list[Any], found: list[Any]) -> None:
    result = problems(decode=rules)
    assert [problem.path for problem in result] == [path for path, _ in found]
    assert all(problem.what.startswith("no message has the argument '") and problem.remedy for problem in result)


def test_a_name_in_publish_of_an_answer_that_no_message_has_is_a_finding() -> None:
    (problem,) = problems(**poll(write="U?", response=published("t", deadband={"typo": 1})))
    assert problem.path == ("conversation", "polls", 1, "response", "publish", "deadband", "typo")
    assert problems(**poll(write="U?", response={"regex": "(?P<t>.)", "publish": {"by": ["any"]}})) == []


@pytest.mark.parametrize(
    ("options", "path", "what"),
    [
        ({"framing": {"type": "gap"}}, ("framing",), "needs 'gap'"),
        ({"framing": {"start": "\u20ac"}}, ("framing", "start"), "is not bytes"),
        ({"checksum": {"type": "x"}}, ("checksum", "type"), "unknown checksum 'x'"),
        ({"decode": [{"regex": "a", "message": READING}, {"message": READING}]}, ("decode", 1), "this one has none"),
        ({"decode": [{"regex": "(", "message": READING}]}, ("decode", 0, "regex"), "not a regular expression"),
        ({"decode": [{"regex": "a", "values": {"b": "int"}, "message": READING}]}, ("decode", 0, "values", "b"),
         "'b' is not a value of this rule"),
        ({"decode": [{"regex": "a", "messages": [READING, {"action": "{b}"}]}]}, ("decode", 0, "messages", 1),
         "{b} is not a value of this rule"),
        ({"address": {"device": "{x}"}, "decode": [{"regex": "a", "message": READING}]}, ("decode", 0, "message"),
         "{x} is not a value of this rule"),
        ({"decode": [{"regex": "a"}]}, ("decode", 0), "a rule needs a message"),
        ({"decode": [{"regex": "a", "ignore": True, "message": READING}]}, ("decode", 0, "message"),
         "a frame that is ignored makes nothing"),
        ({"decode": [{"regex": "a", "ignore": True, "reply": {"write": "A"}}]}, ("decode", 0, "reply"),
         "a frame that is ignored makes nothing"),
        ({"decode": [{"regex": "a", "reply": {"framing": "raw"}}]}, ("decode", 0, "reply"), "this one has none"),
        ({"decode": [{"regex": "a", "reply": {"write": "{b}"}}]}, ("decode", 0, "reply"), "{b} is not a value"),
        ({"decode": [{"regex": "a", "reply": {"write": "{"}}]}, ("decode", 0, "reply", "write"), "braces"),
        ({"decode": [{"regex": "a", "reply": {"hex": "0A"}}]}, ("decode", 0, "reply"), "cannot be framed"),
        ({"checksum": {"type": "xor", "reply": {"write": "{b}"}}}, ("checksum", "reply"), "{b} is not a value"),
        ({"checksum": {"type": "xor", "reply": {"hex": "0A"}}}, ("checksum", "reply"), "cannot be framed"),
        ({"conversation": {"counter": [2, 1]}}, ("conversation", "counter"), "first number is larger"),
        (encode(write="{count:x2}"), ("encode", 1), "bytes to write cannot be made"),
        ({"conversation": {"counter": [0, 256], "polls": [{"hex": "A5 {count:02x}"}]}}, ("conversation", "polls", 0),
         "argument 'count' becomes '100'"),
        (encode(write="x", response={"regex": "(?P<count>.)", "same": ["count"]}), ("encode", 1, "response", "same", 0),
         "'count' is not an argument"),
        (encode(), ("encode", 1), "this one has none"),
        (encode(write="a", hex="00"), ("encode", 1), "this one has write and hex"),
        (encode(write="{"), ("encode", 1, "write"), "braces"),
        (encode(write="{a.b}"), ("encode", 1, "write"), "write {name}"),
        (encode(write="a\nb"), ("encode", 1), "cannot be framed: it contains bytes that end a frame"),
        (encode(hex="0z"), ("encode", 1, "hex"), "two hexadecimal digits"),
        (encode(hex="0a"), ("encode", 1), "cannot be framed"),
        (encode(binary={"fields": [{"type": "u8", "is": 256}]}), ("encode", 1, "binary", "fields", 0), "does not fit"),
        (encode(binary={"fields": [{"type": "u8", "is": 10}]}), ("encode", 1), "cannot be framed"),
        (encode({"a": {}}, binary=BINARY), ("encode", 1, "binary", "fields", 0), "needs the length"),
        (encode(write="{a}"), ("encode", 1, "write"), "{a} is not an argument"),
        (encode({"a": {"pattern": "("}}, write="a"), ("encode", 1, "arguments", "a"), "not a regular expression"),
        (encode({"a": {"convert": "x"}}, write="a"), ("encode", 1, "arguments", "a"), "is not a converter"),
        (encode({"a": {"minimum": 0}}, write="a"), ("encode", 1, "arguments", "a", "minimum"),
         "only a number has a minimum"),
        (encode({"a": {"type": "boolean", "maximum": 0}}, write="a"), ("encode", 1, "arguments", "a", "maximum"),
         "only a number has a maximum"),
        (encode({"a": {"type": "number", "pattern": "x"}}, write="a"), ("encode", 1, "arguments", "a", "pattern"),
         "only a text has a pattern"),
        (encode({"a": {"type": "integer", "max_length": 2}}, write="a"), ("encode", 1, "arguments", "a", "max_length"),
         "only a text has a max_length"),
        (encode({"a": {"type": "integer", "minimum": 5, "maximum": 3}}, write="a"),
         ("encode", 1, "arguments", "a", "maximum"), "no number is at least 5 and at most 3"),
        (encode({"a": {"choices": ["x", 2]}}, write="a"), ("encode", 1, "arguments", "a", "choices", 1),
         "argument 'a' is 2: expected a text"),
        (encode({"a": {"type": "integer", "choices": [1, 9], "maximum": 5}}, write="a"),
         ("encode", 1, "arguments", "a", "choices", 1), "argument 'a' is 9: expected at most 5"),
        (encode({"a": {"type": "integer", "default": "x"}}, write="a"), ("encode", 1, "arguments", "a"),
         "argument 'a' is 'x': expected a whole number"),
        (encode(write="a", response={"regex": "("}), ("encode", 1, "response", "regex"), "not a regular expression"),
        (encode(write="a", refusal={"same": ["a"]}), ("encode", 1, "refusal"), "this one has none"),
        (encode(write="a", response={"regex": "(?P<a>.)", "same": ["a"]}), ("encode", 1, "response", "same", 0),
         "'a' is not an argument"),
        (encode({"a": {}}, write="a", response={"regex": ".", "same": ["a"]}), ("encode", 1, "response", "same", 0),
         "'a' is not a value of the answer"),
        (encode({"reason": {}}, write="a"), ("encode", 1, "arguments", "reason"), "'reason' is reserved"),
        (encode(write="a", response={"regex": "(?P<requested>.)"}), ("encode", 1, "response"),
         "'requested' is reserved"),
        (encode(write="a", refusal={"regex": "(?P<response>.)"}), ("encode", 1, "refusal"),
         "'response' is reserved"),
        (poll(write="a", response={"regex": "a", "message": {"action": "A", "arguments": {"response": 1}}}),
         ("conversation", "polls", 1, "response", "message", "arguments", "response"), "is reserved"),
        ({"decode": [{"regex": "a", "messages": [READING, {"action": "A", "arguments": {"reason": "x"}}]}]},
         ("decode", 0, "messages", 1, "arguments", "reason"), "is reserved"),
        ({"decode": [{"regex": "(?P<reason>.)", "message": {"action": "A", "arguments": "*"}}]},
         ("decode", 0, "message", "arguments"), "'reason' is reserved"),
        (poll(), ("conversation", "polls", 1), "this one has none"),
        (poll(write="{a}"), ("conversation", "polls", 1, "write"), "{a} is not an argument"),
        (poll("opening", write="\r"), ("conversation", "opening", 1), "cannot be framed"),
        (poll("opening", hex="0z"), ("conversation", "opening", 1, "hex"), "two hexadecimal digits"),
        (poll(write="a", response={"regex": "a", "message": {"action": "{b}"}}),
         ("conversation", "polls", 1, "response", "message"), "{b} is not a value"),
    ],
)  # fmt: skip
def test_a_problem_has_its_path(options: dict[str, Any], path: tuple[str | int, ...], what: str) -> None:
    (problem,) = problems(**options)
    assert problem.path == path
    assert what in problem.what


@pytest.mark.parametrize(
    ("options", "path", "what"),
    [
        ({"encoding": "gbk"}, ("encoding",), "'gbk' has no code page"),
        ({"encoding": "cp-437x"}, ("encoding",), "is not a character encoding"),
        ({"decode": [{"fields": {"separator": "::", "quote": '"', "at": {"a": 0}}, "message": READING}]},
         ("decode", 0, "fields"), "the separator is one character"),
        ({"decode": [{"regex": "(?P<a>.*)", "nested": {"of": "{b}", "json": {}}, "message": READING}]},
         ("decode", 0, "nested", "of"), "{b} is not a value"),
        ({"decode": [{"join": {"first": "("}, "regex": "x", "message": READING}]},
         ("decode", 0, "join", "first"), "not a regular expression"),
        ({"decode": [{"json": {"at": {"a": "a"}}, "values": {"b": "int"}, "message": READING}]},
         ("decode", 0, "values", "b"), "'b' is not a value of this rule"),
    ],
)  # fmt: skip
def test_the_problems_of_texts(options: dict[str, Any], path: tuple[str | int, ...], what: str) -> None:
    (problem,) = problems(**options)
    assert (problem.path, what in problem.what) == (path, True), problem


def test_all_problems_are_reported_together() -> None:
    decode = [{"regex": "(", "message": READING}, {"regex": "a", "values": {"b": "int", "c": "x"}}]
    reported = problems(framing={"type": "gap"}, checksum={"type": "x"}, decode=decode, **encode(), **poll())
    assert [problem.path for problem in reported] == [
        ("framing",), ("checksum", "type"), ("decode", 0, "regex"), ("decode", 1), ("decode", 1, "values", "b"),
        ("decode", 1, "values", "c"), ("decode", 1, "values", "c"), ("encode", 1), ("conversation", "polls", 1),
    ]  # fmt: skip


def test_a_wrong_framing_does_not_hide_other_problems() -> None:
    reported = problems(framing={"type": "gap"}, **encode(write="{"))
    assert [problem.path for problem in reported] == [("framing",), ("encode", 1, "write")]


def test_a_rule_that_no_command_reaches() -> None:
    level = {"level": {"type": "integer"}}
    rule = {"match": {"action": "SET", "device": None}, "write": "A"}
    others: list[dict[str, Any]] = [
        {"arguments": level},
        {"match": {"action": "OTHER"}},
        {"match": {"action": "SET", "device": "d"}, "arguments": level},
        {"match": {"action": "SET", "device": "d"}},
    ]
    found = problems(encode=[rule, *({**rule, **other} for other in others)])
    assert [problem.path for problem in found] == [("encode", 3), ("encode", 4)]
    assert "no command reaches this rule: rule 2 matches the same" in found[0].what


def test_valid_options_have_no_problems() -> None:
    params = serial_params(
        decode=[{"regex": "T (?P<t>.*)", "values": {"t": "float"}, "message": READING}],
        **encode(write="OFF", response={"regex": "OK"}),
        conversation={"opening": [{"write": "HI"}], "polls": [{"hex": "55 3F"}]},
    )
    assert not list(check_rules(params))
    rules = SerialRules(params)
    assert [step.make({}) for step in rules.steps if not step.names] == [b"OFF", b"HI", b"U?"]
    assert [message.arguments for message in rules.decoder.decode(b"T 1.5") or []] == [{"t": 1.5}]
    assert rules.encoder.accepts(InternalMsg(iscmd=True, action="A"))


def test_a_checksum_may_be_set_by_its_parameters() -> None:
    assert not problems(checksum={"type": {"width": 16, "poly": 0x8005, "init": 0xFFFF, "refin": True, "refout": True}})


def test_the_constant_words_of_messages() -> None:
    message = {"action": "A", "location": "hall", "device": "sensor{id}"}
    params = serial_params(
        address={"function": "climate", "location": "house"},
        decode=[
            {"regex": "(?P<id>.)", "message": message},
            {"regex": "x", "messages": [{"action": "B"}, {"action": "{"}]},
        ],
        conversation={
            "opening": [{"write": "HI"}, {"write": "ID", "response": {"regex": "x", "message": {"action": "C"}}}],
            "polls": [{"write": "U?", "response": {"regex": "x", "messages": [{"action": "D", "function": "power"}]}}],
        },
    )
    decode, conversation = ("decode", 1, "messages", 0), ("conversation", "polls", 0, "response", "messages", 0)
    assert set(rule_words(params)) == {
        (("address", "function"), "function", "climate"),
        (("address", "location"), "location", "house"),
        (("decode", 0, "message", "location"), "location", "hall"),
        (("decode", 0, "message", "action"), "action", "A"),
        ((*decode, "action"), "action", "B"),
        (("conversation", "opening", 1, "response", "message", "action"), "action", "C"),
        ((*conversation, "action"), "action", "D"),
        ((*conversation, "function"), "function", "power"),
    }
    assert len(list(rule_words(params))) == 8, "the words of the address come once"


# --- the answer in the reply to a command


def result(frame: bytes, *values: dict[str, Any]) -> Result:
    return Result(Transaction(b"DIM 7", Priority.COMMAND), Outcome.DONE, "", frame, values)


@pytest.mark.parametrize(
    ("answer", "arguments"),
    [
        (result(b""), {"level": 7}),
        (result(b"OK"), {"level": 7, "answer": "OK"}),
        (result(b"OK", {}), {"level": 7, "answer": "OK"}),
        (result(b"\xffOK"), {"level": 7, "answer": "\\xffOK"}),
        (result(b"OK 8", {"now": 8}), {"level": 7, "now": 8}),
        (result(b"OK 8 9", {"now": 8}, {"then": 9}), {"level": 7, "now": 8, "then": 9}),
        (result(b"OK 8", {"level": 8, "response": "?"}), {"level": 8}),
        (result(b"OK 8", {"requested": 8, "now": 8}), {"level": 7, "now": 8}),
    ],
)
def test_a_reply_contains_the_answer_of_the_device(answer: Result, arguments: dict[str, Any]) -> None:
    """What the device has answered goes before what was requested; nothing replaces the outcome."""
    reply = InternalMsg(iscmd=True, action="DIM", arguments={"level": 7}).reply("OK")
    rules = SerialRules(serial_params())
    assert rules.with_answer(reply, answer, {}).arguments == {**arguments, "response": "OK", "reason": ""}
    asked = reply.answered_at(ReplyTo("answers/me", b"1"))
    reply_to = rules.with_answer(asked, answer, {}).reply_to
    assert reply_to is not None
    assert reply_to._replace(read=frozenset()) == ReplyTo("answers/me", b"1"), "it is sent to the response topic"
    assert reply_to.read == (arguments.keys() - {"level"}) | ({"level"} if arguments["level"] == 8 else set())


# --- addresses


WORD = st.sampled_from(["a", "b", ""])
MATCH = st.fixed_dictionaries(
    {"action": st.sampled_from(["ON", "OFF"])},
    optional=dict.fromkeys(("function", "gateway", "location", "device"), WORD | st.none()),
)


@given(
    st.dictionaries(st.sampled_from(["function", "location", "device"]), WORD),
    st.lists(MATCH, max_size=3),
    st.tuples(st.booleans(), WORD, WORD, WORD, WORD, st.just("me"), st.sampled_from(["ON", "DIM"])).map(
        lambda words: InternalMsg(*words)
    ),
)
def test_the_command_addresses_are_those_of_accepted_commands(
    address: dict[str, str], matches: list[dict[str, Any]], msg: InternalMsg
) -> None:
    encode = [{"match": match, "write": "x"} for match in matches]
    params = serial_params(address=address, encode=encode)
    reported = CommandIndex({"it": command_addresses(params)}).interfaces_for(msg)
    assert bool(reported) == SerialRules(params).encoder.accepts(msg)


ANSWER = {"regex": "OK"}
ASK = {"match": {"action": "A"}, "write": "A", "retries": 2, "response": ANSWER}


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        (encode(write="A", retries=2), [("encode", 1, "retries")]),
        (encode(write="A", retries=2, refusal=ANSWER), [("encode", 1, "retries")]),
        (encode(write="A", retries=2, response=ANSWER), []),
        (encode(steps=[{"write": "A", "retries": 1}, {"write": "B"}]), [("encode", 1, "steps", 0, "retries")]),
        (poll(write="A", retries=2), [("conversation", "polls", 1, "retries")]),
        (poll("opening", write="A", retries=2), [("conversation", "opening", 1, "retries")]),
        ({"encode": [{**DIM, "retries": 2}, ASK]}, []),
        ({"encode": [{**DIM, "retries": 1}, ASK]}, [("encode", 0, "retries")]),
        (encode(write="A", retries=0, timeout=2), []),
    ],
)  # fmt: skip
def test_retries_without_an_answer_that_is_awaited_are_a_finding(
    options: dict[str, Any], paths: list[tuple[Any, ...]]
) -> None:
    result = problems(**options)
    assert [problem.path for problem in result] == paths
    assert all(problem.what.startswith("'retries' does nothing without 'response'") for problem in result)
