from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
from hypothesis import given

from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg, Publication, ReplyTo
from tests.support.strategies import any_words, messages


@pytest.mark.parametrize("name", [*ADDRESS_FIELDS, "action"])
def test_none_is_the_missing_word(name: str) -> None:
    words: dict[str, Any] = {name: None}
    assert getattr(InternalMsg(**words), name) == ""
    assert InternalMsg(**words) == InternalMsg()


def test_none_for_the_arguments_is_no_arguments() -> None:
    assert InternalMsg(arguments=None) == InternalMsg()


def test_a_message_is_a_status_by_default() -> None:
    assert not InternalMsg().iscmd


def test_a_field_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        InternalMsg().action = "OPEN"  # type: ignore[misc]


def test_an_argument_cannot_be_changed() -> None:
    for msg in (InternalMsg(), InternalMsg(arguments={"level": 1})):
        with pytest.raises(TypeError):
            msg.arguments["level"] = 2  # type: ignore[index]


def test_a_message_keeps_its_arguments_when_the_caller_changes_his() -> None:
    mine: dict[str, Argument] = {"level": 1}
    msg = InternalMsg(arguments=mine)
    mine["level"] = 2
    assert msg.arguments == {"level": 1}


def test_replace_makes_a_new_message_with_the_other_fields_the_same() -> None:
    msg = InternalMsg(True, "lighting", location="kitchen", action="ON", arguments={"level": 1})
    moved = msg.replace(location="bath")
    assert moved == InternalMsg(True, "lighting", location="bath", action="ON", arguments={"level": 1})
    assert msg.location == "kitchen"


def test_a_message_keeps_where_it_is_to_be_answered_with_other_arguments_and_in_a_copy() -> None:
    asked = InternalMsg(True, action="DIM").answered_at(ReplyTo("answers"))
    assert asked.with_arguments({"level": 1}).reply_to == ReplyTo("answers")
    assert copy.copy(asked).reply_to == ReplyTo("answers")
    assert asked._replace(action="ON") == asked.replace(action="ON")


def test_a_message_is_no_list_of_messages() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        list(InternalMsg())


def test_a_message_is_equal_to_no_other_thing_and_wherever_it_is_to_be_answered() -> None:
    msg = InternalMsg(action="ON")
    assert msg == msg.answered_at(ReplyTo("answers"))
    assert msg != msg.replace(action="OFF")
    assert msg != tuple(msg[:])
    assert (msg == mock.ANY) is True


def test_argument_returns_the_value_of_a_name_and_the_default_for_no_such_name() -> None:
    msg = InternalMsg(arguments={"level": 0, "unit": None})
    assert msg.argument("level", 9) == 0
    assert msg.argument("unit", "V") is None
    assert msg.argument("other") is None
    assert msg.argument("other", 9) == 9


OWN = ("response", "reason", "requested")


def foreign(msg: InternalMsg) -> dict[str, Argument]:
    return {name: value for name, value in msg.arguments.items() if name not in OWN}


@given(messages(), any_words)
def test_a_successful_outcome_is_the_message_as_a_status_with_response_and_reason_and_no_sender(
    msg: InternalMsg, reason: str
) -> None:
    before = msg.replace()
    reply = msg.reply("OK", reason)
    assert msg == before
    assert not reply.iscmd
    assert reply.sender == ""
    assert reply.replace(iscmd=msg.iscmd, sender=msg.sender, arguments=msg.arguments) == msg
    assert reply.arguments == {**foreign(msg), "response": "OK", "reason": reason}


@given(messages(), any_words.filter(lambda word: word != "OK"), any_words)
def test_a_failed_outcome_keeps_the_requested_arguments_apart(msg: InternalMsg, response: str, reason: str) -> None:
    reply = msg.reply(response, reason)
    assert (reply.iscmd, reply.sender) == (False, "")
    expected = {"requested": dict(msg.arguments)} if msg.arguments else {}
    assert reply.arguments == {"response": response, "reason": reason, **expected}


def test_a_lamp_that_was_not_switched_on_is_not_reported_as_on() -> None:
    refused = InternalMsg(True, action="SET", arguments={"on": True}).reply("REFUSED", "the device refused it")
    assert refused.argument("on") is None
    assert refused.argument("requested") == {"on": True}


def test_a_reply_needs_no_reason() -> None:
    assert InternalMsg(True).reply("OK").arguments == {"response": "OK", "reason": ""}


def test_a_message_reads_as_kind_address_action_and_arguments() -> None:
    msg = InternalMsg(True, "lighting", location="kitchen", action="ON", arguments={"level": 1, "room": "B"})
    assert str(msg) == "command lighting/-/kitchen/-/- ON level=1 room='B'"
    assert str(InternalMsg(sender="dummy")) == "status -/-/-/-/dummy -"
    assert str(InternalMsg(device="Küche", arguments={"t": "grün\x1b"})) == r"status -/-/-/Küche/- - t='grün\x1b'"


@given(any_words, any_words, any_words, any_words)
def test_a_message_reads_as_one_printable_line_whatever_it_holds(word: str, action: str, key: str, value: str) -> None:
    assert str(InternalMsg(device=word, action=action, arguments={key: value, "list": [value]})).isprintable()


def test_a_message_of_a_careless_interface_can_still_be_shown() -> None:
    wrong: dict[str, Any] = {"device": 5, "action": None, "arguments": {7: b"x"}}
    assert str(InternalMsg(**wrong)) == "status -/-/-/5/- - 7=b'x'"


def test_a_publication_asks_for_nothing_special_by_default() -> None:
    publication = Publication("home/a", b"ON")
    assert (publication.qos, publication.retain, publication.is_command) == (0, False, False)
