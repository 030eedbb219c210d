from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.topic import word_problem
from gateway.errors import MessageError, TopicError, WordError
from gateway.message import ADDRESS_FIELDS, InternalMsg, Lane, Publication
from gateway.translation.delivery import DeliveryRule, DeliveryRules
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.syntax import MessageForm
from tests.support.strategies import (
    any_maps_and_messages,
    any_topics,
    any_words,
    field_data,
    make_map,
    map_data,
    maps,
    maps_and_messages,
    messages,
    own_names,
    payloads,
    plain_names,
    roots,
    topics,
    words,
)


def plain_map(**fields: FieldMap) -> MsgMap:
    return MsgMap("home", fields=fields, sender="gw")


def read(payload: bytes, msg_map: MsgMap | None = None) -> InternalMsg:
    return (msg_map or plain_map()).mqtt2internal("home/////other/C", payload)


def exact(msg: InternalMsg) -> tuple[InternalMsg, str]:
    """A message for comparing: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    return msg, repr(dict(msg.arguments))


def assert_round_trip(msg_map: MsgMap, msg: InternalMsg) -> Publication:
    for _ in "first", "again":  # the second time from what is remembered of the first
        publication = msg_map.internal2mqtt(msg)
        back = msg_map.mqtt2internal(publication.topic, publication.payload)
        assert exact(back) == exact(msg.replace(sender=msg.sender or msg_map.sender))
    return publication


# --- a word for an empty level


def test_a_word_stands_for_an_empty_level() -> None:
    msg_map = MsgMap("home", sender="gw", empty_level="-")
    bare = InternalMsg(True, device="lamp", action="on")
    assert assert_round_trip(msg_map, bare).topic == "home/-/-/-/lamp/gw/C"
    assert msg_map.mqtt2internal("home/-/-/-/lamp/-/C", b"on") == InternalMsg(True, device="lamp", action="on")
    assert msg_map.mqtt2internal("home////lamp//C", b"on") == InternalMsg(True, device="lamp", action="on")
    with pytest.raises(WordError, match="device: '-' would be written as '-', which is read as ''"):
        msg_map.internal2mqtt(bare.replace(device="-"))


def test_a_word_for_an_empty_level_passes_a_strict_map_and_gives_way_to_an_entry() -> None:
    strict = FieldMap("location", "strict", {"hall": ["flur"]})
    own = FieldMap("device", "loose", {"": ["all"], "lamp": ["-"]})
    msg_map = MsgMap("home", fields={"location": strict, "device": own}, sender="gw", empty_level="-")
    assert msg_map.internal2mqtt(InternalMsg(True, action="on")).topic == "home/-/-/-/all/gw/C"
    assert msg_map.mqtt2internal("home/-/-/-/-/x/C", b"on").device == "lamp"
    assert msg_map.fields["location"].readable() == frozenset({"flur", "-", ""})


def test_a_word_for_an_empty_level_stands_in_topics_only() -> None:
    msg_map = MsgMap("home", sender="gw", empty_level="-")
    publication = msg_map.internal2mqtt(InternalMsg(False, arguments={"-": "", "a": "-"}))
    assert publication == Publication("home/-/-/-/-/gw/S", b'{"-": "", "a": "-"}', 1)
    syntax = (MessageForm(True, "{device}/{action}", "empty", constants=dict.fromkeys(ADDRESS_FIELDS, "")),)
    in_topic = MsgMap("", sender="gw", syntax=syntax, empty_level="none")
    assert in_topic.internal2mqtt(InternalMsg(True, device="lamp")).topic == "lamp/none"
    assert in_topic.mqtt2internal("none/none", b"") == InternalMsg(True)


def test_maps_with_other_words_for_an_empty_level_do_not_mean_the_same() -> None:
    one, other = (MsgMap("home", sender="gw", empty_level=word) for word in ("", "-"))
    assert not one.means_the_same(other)
    assert other.for_sender("x").empty_level == "-"
    assert other.for_sender("gw").means_the_same(other)


@given(maps_and_messages())
def test_no_level_is_empty_where_a_word_stands_for_it(case: tuple[MsgMap, InternalMsg]) -> None:
    msg_map, msg = case
    try:
        topic = msg_map.internal2mqtt(msg).topic
    except MessageError:
        return
    if msg_map.empty_level and not any("" in words for f in msg_map.fields.values() for words in f.entries.values()):
        assert all(topic.split("/"))


# --- laws


@settings(max_examples=250)
@given(maps_and_messages())
def test_what_a_map_writes_it_reads_back(case: tuple[MsgMap, InternalMsg]) -> None:
    msg_map, msg = case
    try:
        msg_map.internal2mqtt(msg)
    except MessageError:
        return
    assert_round_trip(msg_map, msg)


@settings(max_examples=250)
@given(any_maps_and_messages())
def test_what_an_unchecked_map_writes_of_whatever_an_interface_says_it_reads_back(
    case: tuple[MsgMap, InternalMsg],
) -> None:
    msg_map, msg = case
    try:
        msg_map.internal2mqtt(msg)
    except MessageError as err:
        assert str(err).isprintable()
        return
    levels = assert_round_trip(msg_map, msg).topic.removeprefix(f"{msg_map.root}/").split("/")
    assert len(levels) == 6
    assert not any(map(word_problem, levels))


@settings(max_examples=250)
@given(maps_and_messages(), plain_names)
def test_a_gateway_can_write_its_own_topics_and_none_of_another_sender(
    case: tuple[MsgMap, InternalMsg], other: str
) -> None:
    msg_map, msg = case
    try:
        topic = msg_map.internal2mqtt(msg._replace(sender="")).topic
    except MessageError:
        return
    assert msg_map.can_write(topic)
    assert not msg_map.can_write(f"{topic}/more")
    *levels, sender, kind = topic.split("/")
    if other != sender:
        assert not msg_map.can_write("/".join([*levels, other, kind]))


@given(roots, plain_names, messages())
def test_a_map_without_field_maps_writes_every_message_of_legal_words(root: str, sender: str, msg: InternalMsg) -> None:
    assert_round_trip(MsgMap(root, sender=sender), msg)


@settings(max_examples=250)
@given(st.data(), maps())
def test_reading_whatever_comes_raises_nothing_but_message_errors(data: st.DataObject, msg_map: MsgMap) -> None:
    topic, payload = data.draw(any_topics(msg_map.root)), data.draw(payloads)
    try:
        msg_map.mqtt2internal(topic, payload)
    except MessageError as err:
        assert str(err).isprintable()


@settings(max_examples=250)
@given(st.data(), map_data(), plain_names)
def test_what_a_map_reads_it_can_write_to_what_reads_the_same(
    data: st.DataObject, fields: Mapping[str, Any], sender: str
) -> None:
    if any(sender in aliases for aliases in fields.get("sender", {}).get("map", {}).values()):
        sender = f"{sender}-own"  # the map knows another by this name, whose messages cannot be written
    msg_map = make_map(fields, sender)
    topic = data.draw(topics(msg_map.root) | topics(msg_map.root, any_words))
    try:
        msg = msg_map.mqtt2internal(topic, data.draw(payloads))
    except MessageError:
        return
    assert_round_trip(msg_map, msg)


@given(st.data(), map_data(), messages())
def test_the_gateway_knows_its_own_messages_whatever_the_sender_map_says(
    data: st.DataObject, fields: Mapping[str, Any], msg: InternalMsg
) -> None:
    msg_map = make_map({"root": "home", "topics": [], **{k: v for k, v in fields.items() if k == "sender"}},
                       data.draw(own_names(fields)))  # fmt: skip
    for own in msg.replace(sender=""), msg.replace(sender=msg_map.sender), msg.reply("OK"):
        publication = msg_map.internal2mqtt(own)
        assert msg_map.is_echo(msg_map.mqtt2internal(publication.topic, publication.payload))


@given(st.data(), maps())
def test_a_map_hears_the_topics_that_it_reads(data: st.DataObject, msg_map: MsgMap) -> None:
    topic = data.draw(topics(msg_map.root))
    try:
        msg_map.mqtt2internal(topic, b"{}")
        readable = True
    except WordError:
        readable = False
    assert msg_map.can_match(topic) == readable


# --- the map of a field


@given(st.sampled_from(FIELDS), field_data(), words)
def test_a_field_map_writes_the_first_mqtt_word_and_reads_them_all(
    field: str, data: dict[str, Any], other: str
) -> None:
    entries = data["map"]
    field_map = FieldMap(field, data["maptype"], entries)
    if data["maptype"] == "none":
        assert (field_map.write(other), field_map.read(other)) == (other, other)
        return
    for internal, aliases in entries.items():
        assert field_map.write(internal) == aliases[0]
        assert {field_map.read(alias) for alias in aliases} == {internal}
    if other not in {word for aliases in entries.values() for word in aliases}:
        if data["maptype"] == "loose" or not other:
            assert field_map.read(other) == other
        else:
            with pytest.raises(WordError, match="is not in the map: add it there, or make the map loose"):
                field_map.read(other)


@pytest.mark.parametrize("field", FIELDS)
def test_a_strict_map_refuses_a_word_it_does_not_know_and_names_field_and_word(field: str) -> None:
    strict = FieldMap(field, "strict", {"kitchen": ["kueche"]})
    for translate in strict.write, strict.read:
        with pytest.raises(WordError) as info:
            translate("bath")
        assert str(info.value) == f"{field}: 'bath' is not in the map: add it there, or make the map loose"


def test_the_empty_word_passes_a_strict_map() -> None:
    strict = FieldMap("location", "strict", {"kitchen": ["kueche"]})
    assert (strict.write(""), strict.read("")) == ("", "")


def test_the_empty_word_passes_no_map_that_gives_it_a_meaning() -> None:
    named = FieldMap("location", "strict", {"": ["everywhere"], "kitchen": ["kueche"]})
    assert named.write("") == "everywhere"
    assert named.read("everywhere") == ""
    taken = FieldMap("location", "strict", {"hall": [""]})
    assert (taken.write("hall"), taken.read("")) == ("", "hall")
    with pytest.raises(WordError, match="location: '' would be written as '', which is read as 'hall'"):
        taken.write("")


def test_a_word_that_would_be_read_as_another_is_not_written() -> None:
    loose = FieldMap("action", "loose", {"open": ["auf"]})
    with pytest.raises(WordError) as info:
        loose.write("auf")
    assert str(info.value) == (
        "action: 'auf' would be written as 'auf', which is read as 'open': give it a word of its own in the map"
    )


def test_each_field_is_translated_by_its_own_map() -> None:
    fields = {name: FieldMap(name, "strict", {name: [f"mqtt-{name}"]}) for name in FIELDS}
    msg = InternalMsg(True, *ADDRESS_FIELDS, "action", {"argkey": "argvalue", "": 1})
    publication = assert_round_trip(plain_map(**fields), msg)
    assert publication.topic == "home/" + "/".join(f"mqtt-{name}" for name in ADDRESS_FIELDS) + "/C"
    assert json.loads(publication.payload) == {"action": "mqtt-action", "mqtt-argkey": "mqtt-argvalue", "": 1}


# --- topics


def test_a_topic_is_root_five_fields_and_the_kind_with_empty_levels_for_missing_words() -> None:
    msg = InternalMsg(True, "lighting", location="kitchen", sender="me", action="ON")
    assert plain_map().internal2mqtt(msg).topic == "home/lighting//kitchen//me/C"
    assert plain_map().internal2mqtt(msg.replace(iscmd=False)).topic == "home/lighting//kitchen//me/S"
    assert plain_map().mqtt2internal("home/lighting//kitchen//me/C", b"ON") == msg


@pytest.mark.parametrize("field", ["iscmd", *ADDRESS_FIELDS])
def test_messages_that_differ_in_one_field_have_different_topics(field: str) -> None:
    msg_map = plain_map()
    first: dict[str, Any] = {field: False if field == "iscmd" else "a"}
    second: dict[str, Any] = {field: True if field == "iscmd" else "b"}
    topics = {assert_round_trip(msg_map, InternalMsg(**words)).topic for words in (first, second)}
    assert len(topics) == 2


def test_a_command_goes_out_at_most_once_and_a_status_with_the_qos_of_the_map() -> None:
    msg_map = MsgMap("home", sender="gw", status_qos=1)
    command, status = (msg_map.internal2mqtt(InternalMsg(kind, action="ON")) for kind in (True, False))
    assert (command.qos, command.is_command, command.retain) == (0, True, False)
    assert (status.qos, status.is_command, status.retain) == (1, False, False)
    assert MsgMap("home", sender="gw", status_qos=0).internal2mqtt(InternalMsg()).qos == 0


def test_a_root_of_several_levels_works_both_ways() -> None:
    msg = InternalMsg(True, "gate", action="OPEN")
    assert assert_round_trip(MsgMap("site/home", sender="gw"), msg).topic == "site/home/gate////gw/C"


@pytest.mark.parametrize("topic", ["site////////C", "site/homes//////C", "home//////C", "Site/home//////C", "", "/"])
def test_a_topic_of_another_root_is_refused(topic: str) -> None:
    with pytest.raises(TopicError) as info:
        MsgMap("site/home", sender="gw").mqtt2internal(topic, b"ON")
    assert str(info.value) == f"topic {topic!r}: the root is not 'site/home'"


@pytest.mark.parametrize(
    ("topic", "levels"), [("home/", "1 level"), ("home/a/b/c/d/C", "5 levels"), ("home/a/b/c/d/e/f/C", "7 levels")]
)
def test_a_topic_of_another_number_of_levels_is_refused(topic: str, levels: str) -> None:
    with pytest.raises(TopicError) as info:
        plain_map().mqtt2internal(topic, b"ON")
    assert str(info.value) == (
        f"topic {topic!r}: {levels} after the root instead of 6 (function/gateway/location/device/sender/C or S)"
    )


@pytest.mark.parametrize("kind", ["", "c", "CS", "X"])
def test_a_topic_that_is_neither_command_nor_status_is_refused(kind: str) -> None:
    with pytest.raises(TopicError, match=f"the last level is '{kind}' instead of C or S"):
        plain_map().mqtt2internal(f"home//////{kind}", b"ON")


ILLEGAL = ["a+", "#", "a/b", "\x00", "\x1b[2J", "\x85", "\ud800", "\uffff", "x" * 257]


@pytest.mark.parametrize("field", ADDRESS_FIELDS)
@pytest.mark.parametrize("word", ILLEGAL, ids=ascii)
def test_an_illegal_word_never_reaches_a_topic_and_is_named_with_its_field(field: str, word: str) -> None:
    named: dict[str, Any] = {field: word}
    with pytest.raises(WordError) as info:
        plain_map().internal2mqtt(InternalMsg(**named))
    shown = ascii(word) if len(word) < 257 else f"{ascii(word)[:76]}...'"
    assert str(info.value) == f"{field}: {shown}: {word_problem(word)}"


@pytest.mark.parametrize("word", ["+", "\x00", "\ud800", "x" * 257], ids=ascii)
def test_an_illegal_word_of_a_received_topic_is_refused_since_it_could_not_be_written_back(word: str) -> None:
    with pytest.raises(WordError, match=r"^location: "):
        plain_map().mqtt2internal(f"home///{word}///C", b"ON")


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """A function that returns the bytes that are allocated since the start of the test."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_the_memory_for_topics_is_bounded_in_both_directions(memory: Callable[[], int]) -> None:
    msg_map = plain_map()
    for number in range(20_000):
        assert_round_trip(msg_map, InternalMsg(device=str(number)))
    at_20_000 = memory()
    for number in range(20_000, 32_000):
        assert_round_trip(msg_map, InternalMsg(device=str(number)))
    assert memory() < 1.2 * at_20_000


def test_very_long_topics_use_no_memory(memory: Callable[[], int]) -> None:
    msg_map = plain_map()
    word = "x" * 200
    before = memory()
    for number in range(1000):
        msg_map.mqtt2internal(f"home/{word}/{word}/{word}/{number}//C", b"ON")
    assert memory() - before < 500_000, "other clients could fill the memory with them"


@pytest.mark.parametrize("rules", [(), (DeliveryRule({"action": ("RAISE",)}, Lane.BULK),)])
def test_an_action_in_the_payload_is_not_cached(rules: Sequence[DeliveryRule], memory: Callable[[], int]) -> None:
    msg_map = MsgMap("home", sender="gw", delivery=DeliveryRules(rules))
    lanes = [
        msg_map.internal2mqtt(InternalMsg(device="lamp", action=action)).lane for action in ("a" * 9, "RAISE", "c")
    ]
    assert lanes == [Lane.EVENT, Lane.BULK if rules else Lane.EVENT, Lane.EVENT]
    before = memory()
    for number in range(500):
        msg_map.internal2mqtt(InternalMsg(device="lamp", action=f"{number}" + "a" * 2000))
    assert memory() - before < 200_000
    with pytest.raises(WordError, match=r"action: .* is not text"):
        msg_map.internal2mqtt(InternalMsg(device="lamp", action=["x"]))  # type: ignore[arg-type]


def test_a_word_that_is_not_text_is_refused_by_name() -> None:
    wrongs: dict[str, Any] = {"device": {"device": 5}, "action": {"action": 5}, "argkey": {"arguments": {5: 1}}}
    for field, wrong in wrongs.items():
        with pytest.raises(WordError, match=f"^{field}: 5 is not text: make it text$"):
            plain_map().internal2mqtt(InternalMsg(**wrong))


# --- outcomes


STRICT = {
    "action": FieldMap("action", "strict", {"SET": ["set"]}),
    "argkey": FieldMap("argkey", "strict", {"level": ["lvl"], "mode": ["m"]}),
    "argvalue": FieldMap("argvalue", "strict", {"WARM": ["warm"]}),
}


@pytest.mark.parametrize("response", ["OK", "REFUSED"])
def test_a_strict_map_swallows_no_outcome(response: str) -> None:
    msg_map = plain_map(**STRICT)
    command = read(b'{"action": "set", "lvl": 5, "m": "warm"}', msg_map)
    publication = assert_round_trip(msg_map, command.reply(response, "the device is away"))
    arguments = {"lvl": 5, "m": "warm"}
    assert json.loads(publication.payload) == {
        "action": "set", "response": response, "reason": "the device is away",
        **(arguments if response == "OK" else {"requested": arguments}),
    }  # fmt: skip


@pytest.mark.parametrize("maptype", ["loose", "strict"])
@pytest.mark.parametrize("name", ["response", "reason", "requested"])
def test_no_map_touches_the_words_of_outcomes(name: str, maptype: Any) -> None:
    """Also not one that has them, as a map of before that answered under other names."""
    argkey = FieldMap("argkey", maptype, {name: ["other"], "level": ["lvl"]})
    argvalue = FieldMap("argvalue", maptype, {"OK": ["ok"], "YES": ["OK"]})
    msg_map = plain_map(argkey=argkey, argvalue=argvalue)
    msg = InternalMsg(arguments={name: "OK", "level": 1})
    assert assert_round_trip(msg_map, msg).payload == f'{{"{name}": "OK", "lvl": 1}}'.encode()


def test_what_was_wanted_stands_in_the_words_of_its_sender() -> None:
    msg_map = plain_map(**STRICT)
    with pytest.raises(WordError, match="argkey: 'colour' is not in the map"):
        msg_map.internal2mqtt(InternalMsg(action="SET", arguments={"response": "ERROR", "requested": {"colour": 1}}))
    with pytest.raises(WordError, match="argkey: 'colour' is not in the map"):
        read(b'{"action": "set", "response": "ERROR", "requested": {"colour": 1}}', msg_map)


def test_an_argument_is_not_written_as_a_word_of_outcomes() -> None:
    msg_map = plain_map(argkey=FieldMap("argkey", "loose", {"level": ["response"]}))
    with pytest.raises(WordError, match="argkey: 'level': an argument cannot be written as 'response'"):
        msg_map.internal2mqtt(InternalMsg(arguments={"level": 1}))


def test_a_deeply_nested_command_can_be_answered() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    command = read(json.dumps({"a": deep}).encode())
    assert_round_trip(plain_map(), command.reply("REFUSED"))
    deeper: dict[str, Any] = {"requested": {"requested": {"requested": command.arguments["a"]}}}
    with pytest.raises(MessageError, match="nested over 20 deep"):
        plain_map().internal2mqtt(InternalMsg(arguments=deeper))


@settings(max_examples=250)
@given(maps_and_messages(), st.sampled_from(["OK", "REFUSED", "TIMEOUT"]), any_words)
def test_the_outcome_of_a_command_that_a_map_reads_can_be_written(
    case: tuple[MsgMap, InternalMsg], response: str, reason: str
) -> None:
    """The law of the above for outcomes: a command that can be read is one that can be answered."""
    msg_map, msg = case
    try:
        sent = msg_map.internal2mqtt(msg.replace(iscmd=True, sender="somebody"))
        command = msg_map.mqtt2internal(sent.topic, sent.payload)
    except MessageError:
        return
    assert_round_trip(msg_map, command.reply(response, reason.encode("utf-8", "replace").decode()))


# --- whose message it is


def test_a_reply_carries_this_gateway_as_sender_so_that_the_asker_does_not_take_it_for_an_echo() -> None:
    gateway, asker = MsgMap("home", sender="gw"), MsgMap("home", sender="asker")
    question = asker.internal2mqtt(InternalMsg(True, "gate", location="door", action="OPEN"))
    command = gateway.mqtt2internal(question.topic, question.payload)
    answer = gateway.internal2mqtt(command.reply("OK", "done"))
    assert answer.topic == "home/gate//door//gw/S"
    back = asker.mqtt2internal(answer.topic, answer.payload)
    assert back.arguments == {"response": "OK", "reason": "done"}
    assert not asker.is_echo(back)
    assert gateway.is_echo(back)


SENDER_MAPS = {
    "unknown": {},
    "renamed": {"gw": ["us", "we"]},
    "taken": {"other": ["gw"]},
    "swapped": {"gw": ["other"], "other": ["gw"]},
}


@pytest.mark.parametrize("maptype", ["none", "loose", "strict"])
@pytest.mark.parametrize("entries", SENDER_MAPS.values(), ids=SENDER_MAPS)
def test_an_echo_is_recognised_and_another_sender_is_not_taken_for_one(
    maptype: Any, entries: dict[str, list[str]]
) -> None:
    msg_map = plain_map(sender=FieldMap("sender", maptype, {**entries, "third": ["3rd"]}))
    own = msg_map.internal2mqtt(InternalMsg(action="ON"))
    assert msg_map.is_echo(msg_map.mqtt2internal(own.topic, own.payload))
    third = msg_map.internal2mqtt(InternalMsg(sender="third", action="ON"))
    assert not msg_map.is_echo(msg_map.mqtt2internal(third.topic, third.payload))


def test_one_map_serves_several_senders_each_of_which_knows_only_its_own_messages() -> None:
    first = MsgMap("home", ["#"], {"sender": FieldMap("sender", "strict", {"c": ["C"]})}, sender="a", status_qos=0)
    second = first.for_sender("b")
    assert (second.root, second.topics, second.status_qos, second.sender) == ("home", ("#",), 0, "b")
    assert first.internal2mqtt(InternalMsg()).topic == "home/////a/S"
    assert second.internal2mqtt(InternalMsg()).topic == "home/////b/S"
    for msg_map, topic in (first, "home/////b/S"), (second, "home/////a/S"):
        assert not msg_map.is_echo(msg_map.mqtt2internal("home/////C/S", b"ON"))
        with pytest.raises(WordError, match="is not in the map"):
            msg_map.mqtt2internal(topic, b"ON")


def test_a_sender_whose_word_is_the_gateways_own_name_is_refused() -> None:
    msg_map = plain_map(sender=FieldMap("sender", "strict", {"other": ["gw"]}))
    with pytest.raises(WordError, match="sender: 'other' would be written as 'gw', which is read as 'gw'"):
        msg_map.internal2mqtt(InternalMsg(sender="other"))


def test_the_map_of_a_client_has_its_sender_and_is_made_once() -> None:
    """With hundreds of devices, each of them asks for it: their copies stayed in memory for as long as the gateway."""
    msg_map = plain_map()
    client = msg_map.of_client("panel")
    assert msg_map.of_client("panel") is client and msg_map.of_client("other") is not client
    command = InternalMsg(True, device="boiler", action="ON")
    assert client.internal2mqtt(command).topic == "home////boiler/panel/C"
    assert client.topics == ()
