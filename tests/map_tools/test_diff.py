from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.topic import filter_matches
from gateway.errors import MessageError
from gateway.map_tools.diff import Change, compare
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap
from tests.support.proofs import declared_maps, filters, loadable_maps, loaded
from tests.support.strategies import MapData, field_data, make_map, messages, texts, topics, words
from tests.support.syntaxes import forms_of, messages_for, topics_for

LAMPS: dict[str, Any] = {
    "root": "home",
    "topics": ["home/lighting/+/+/+/+/C"],
    "function": {"maptype": "strict", "map": {"lighting": ["lighting"]}},
    "action": {"maptype": "strict", "map": {"LAMP_ON": ["on", "ON"], "LAMP_OFF": ["off"]}},
}


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    return list(compare(loaded(old), loaded(new)))


def lines(differences: list[Change]) -> list[str]:
    return [f"{change.where} {change.kind}: {change.what}" for change in differences]


def with_actions(**words: list[str]) -> dict[str, Any]:
    return {**LAMPS, "action": {"maptype": "strict", "map": words}}


def test_a_map_means_the_same_as_itself() -> None:
    assert changes(LAMPS, LAMPS) == []


def test_the_order_of_entries_and_of_aliases_means_nothing() -> None:
    old = with_actions(A=["a", "x", "y"], B=["b"])
    assert changes(old, with_actions(B=["b"], A=["a", "y", "x"])) == []


def test_a_word_that_is_written_differently() -> None:
    differences = changes(LAMPS, with_actions(LAMP_ON=["ON", "on"], LAMP_OFF=["off"]))
    assert lines(differences) == ["action written: 'LAMP_ON' was written as 'on', is written as 'ON'"]
    assert differences[0].example and differences[0].example.message
    assert differences[0].example.message.action == "LAMP_ON"
    assert (differences[0].old, differences[0].new) == ("home/lighting////gw/S on", "home/lighting////gw/S ON")


def test_a_word_that_means_something_else() -> None:
    differences = changes(with_actions(A=["a"], B=["b"]), with_actions(A=["b"], B=["a"]))
    assert lines(differences) == [
        "action written: 'A' was written as 'a', is written as 'b'",
        "action written: 'B' was written as 'b', is written as 'a'",
        "action read: 'a' was read as 'A', is read as 'B'",
        "action read: 'b' was read as 'B', is read as 'A'",
    ]
    assert differences[2].example and differences[2].example.payload == b"a"
    assert (differences[2].old, differences[2].new) == (
        "command lighting/-/-/-/other A",
        "command lighting/-/-/-/other B",
    )


def test_a_missing_word() -> None:
    differences = changes(LAMPS, with_actions(LAMP_ON=["on"], LAMP_OFF=["off"]))
    assert lines(differences) == ["action read: 'ON' was read as 'LAMP_ON', is refused"]


def test_another_maptype_shows_in_the_words_that_are_not_in_the_map() -> None:
    differences = changes(LAMPS, {**LAMPS, "function": {"maptype": "loose", "map": {"lighting": ["lighting"]}}})
    assert lines(differences) == [
        "function maptype: maptype was strict, is loose",
        "function written: any other word was refused, is written unchanged",
        "function read: any other word was refused, is read unchanged",
    ]


def test_a_field_that_is_no_longer_mapped() -> None:
    differences = changes(LAMPS, {name: value for name, value in LAMPS.items() if name != "action"})
    assert "action written: 'LAMP_ON' was written as 'on', is written unchanged" in lines(differences)
    assert "action read: 'on' was read as 'LAMP_ON', is read unchanged" in lines(differences)


def test_another_root() -> None:
    differences = changes({"root": "home", "topics": []}, {"root": "site/home", "topics": []})
    assert lines(differences) == ["root root: was 'home', is 'site/home'"]
    assert (differences[0].old, differences[0].new) == ("home/////gw/S on", "site/home/////gw/S on")


def test_another_own_name_and_another_qos() -> None:
    old = MsgMap("home", sender="a", status_qos=0)
    assert lines(list(compare(old, MsgMap("home", sender="b", status_qos=1)))) == [
        "own name own name: was 'a', is 'b'",
        "QoS QoS: of a status was 0, is 1",
    ]


def test_filters_that_match_more_or_less() -> None:
    new = {**LAMPS, "topics": ["home/lighting/+/+/lamp/+/C", "home/lighting/+/+/+/+/S"]}
    differences = changes(LAMPS, new)
    assert sorted(lines(differences)) == [
        "topics filter: what 'home/lighting/+/+/+/+/C' matches was received, is not received",
        "topics filter: what 'home/lighting/+/+/+/+/S' matches was not received, is received",
    ]
    for change in differences:
        assert change.example
        is_received = [
            any(filter_matches(topic_filter, change.example.topic) for topic_filter in data["topics"])
            for data in (LAMPS, new)
        ]
        assert is_received == [change.old == "received", change.new == "received"] and is_received[0] != is_received[1]


def test_other_filters_that_match_the_same() -> None:
    parts = {**LAMPS, "topics": ["home/lighting/+/+/+/+/C", "home/lighting/+/+/lamp/+/C"]}
    assert changes(LAMPS, parts) == []
    assert changes(LAMPS, {**LAMPS, "topics": ["home/+/+/+/+/+/C"]}) != []  # the empty function
    both = {"root": "home", "topics": ["home/+/+/+/+/+/+"]}
    assert changes(both, {**both, "topics": ["home/#"]}) == []
    assert changes(both, {**both, "topics": ["home/+/+/+/+/+/C", "home/+/+/+/+/+/S"]}) == []


def test_a_shared_filter() -> None:
    new = {**LAMPS, "topics": ["$share/g/home/lighting/+/+/+/+/C"]}
    assert lines(changes(LAMPS, new)) == ["topics filter: '$share/g/home/lighting/+/+/+/+/C' is new"]


def test_another_delivery() -> None:
    rules = [{"match": {"action": ["LAMP_ON", "LAMP_OFF"], "function": "lighting"}, "retain": True}]
    differences = changes(LAMPS, {**LAMPS, "delivery": rules})
    assert lines(differences) == ["delivery delivery: was lane event, not retained, is lane event, retained"] * 2
    assert [str(change.example) for change in differences] == [
        "status lighting/-/-/-/- LAMP_OFF: ", "status lighting/-/-/-/- LAMP_ON: "]  # fmt: skip


def test_another_delivery_of_outcomes() -> None:
    rules = [{"match": {"outcome": True}, "lane": "event"}]
    differences = changes(LAMPS, {**LAMPS, "delivery": rules})
    assert lines(differences) == ["delivery delivery: was lane reply, not retained, is lane event, not retained"]


def test_a_thousand_filters_and_words_are_no_trouble() -> None:
    entries = {f"f{number}": [f"f{number}"] for number in range(1000)}
    filters_of_each = [f"home/{word}/+/+/+/+/C" for word in entries]
    old = {"root": "home", "topics": filters_of_each, "function": {"maptype": "strict", "map": entries}}
    assert changes(old, old) == []
    differences = changes(old, {**old, "topics": filters_of_each[:-1]})
    assert lines(differences) == ["topics filter: what 'home/f999/+/+/+/+/C' matches was received, is not received"]


def test_maps_that_have_nothing_in_common() -> None:
    strict = [{"maptype": "strict", "map": {word: [word]}} for word in ("a", "b")]
    old, new = ({"root": "home", "topics": [], "function": field, "action": field} for field in strict)
    differences = changes(old, new)
    assert "action written: 'a' was written unchanged, is refused" in lines(differences)
    assert all(change.old != change.new for change in differences if change.example)


def a_syntax(**forms: list[dict[str, Any]]) -> dict[str, Any]:
    constants = {"function": "", "gateway": "", "location": "hall"}
    return {"root": "home", "topics": [], "syntax": {"constants": constants, "commands": [], "statuses": [], **forms}}


STATE = {"topic": "stat/{device}/{action}", "payload": "value"}
REPLY = {"topic": "reply/{device}/{action}", "payload": "json"}


def test_a_form_that_is_new_or_gone() -> None:
    one_form, both = a_syntax(statuses=[STATE]), a_syntax(statuses=[STATE, REPLY])
    always = "always function '', gateway '', location 'hall'"
    (new,) = changes(one_form, both)
    assert lines([new]) == [
        f"syntax form: the form 'reply/{{device}}/{{action}}' of statuses (payload json, {always}) is new"
    ]
    assert new.example and new.old.startswith("not sent: ") and new.new.startswith("reply//on ")
    (gone,) = changes(both, one_form)
    assert gone.what.endswith("is gone") and (gone.old, gone.new) == (new.new, new.old)


def test_a_form_that_has_another_payload_or_other_constants() -> None:
    (difference,) = changes(a_syntax(statuses=[STATE]), a_syntax(statuses=[{**STATE, "payload": "json"}]))
    assert "had payload value 'value', always" in difference.what and "has payload json, always" in difference.what
    assert (difference.old, difference.new) == ("stat//on ", "stat//on {}")
    (difference,) = changes(
        a_syntax(statuses=[STATE]), a_syntax(statuses=[{**STATE, "constants": {"location": "attic"}}])
    )
    assert "location 'hall', has" in difference.what and difference.what.endswith("location 'attic'")


def test_forms_in_another_order() -> None:
    (difference,) = changes(a_syntax(statuses=[STATE, REPLY]), a_syntax(statuses=[REPLY, STATE]))
    assert difference.kind == "form order"
    assert (difference.old, difference.new) == ("stat//on ", "reply//on {}")


def test_a_syntax_means_the_same_as_itself_and_as_the_one_that_it_is_by_default() -> None:
    assert changes(a_syntax(statuses=[STATE]), a_syntax(statuses=[STATE])) == []
    levels = "{root}/{function}/{gateway}/{location}/{device}/{sender}"
    declared = {"commands": [{"topic": f"{levels}/C"}], "statuses": [{"topic": f"{levels}/S"}]}
    assert changes(LAMPS, {**LAMPS, "syntax": declared}) == []


# --- laws


@settings(max_examples=100)
@given(st.data(), declared_maps(), declared_maps())
def test_maps_of_other_syntaxes_are_compared(
    data: st.DataObject, one: tuple[MapData, MsgMap], other: tuple[MapData, MsgMap]
) -> None:
    for old, new in ((one, other), (one, one)):
        differences = list(compare(old[1], new[1]))
        assert all(change.old != change.new for change in differences if change.example)
        topic = data.draw(topics_for((*old[1].forms, *new[1].forms)))
        msg = data.draw(messages_for(old[0], data.draw(st.sampled_from(forms_of(old[0])))))
        if not differences:
            is_received = [
                any(filter_matches(topic_filter, topic) for topic_filter in each[1].topics) for each in (old, new)
            ]
            assert is_received[0] == is_received[1] or not isinstance(
                outcome(old[1], "mqtt2internal", topic, b""), InternalMsg
            )
            assert outcome(old[1], "mqtt2internal", topic, b"{}") == outcome(new[1], "mqtt2internal", topic, b"{}")
            assert outcome(old[1].for_sender("gw", ()), "internal2mqtt", msg) == outcome(
                new[1].for_sender("gw", ()), "internal2mqtt", msg)  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn) -> tuple[MapData, MsgMap, MsgMap]:
    """Draw two maps, of which the second differs from the first in a few parts."""
    data, old = draw(loadable_maps())
    new = dict(data)
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True)):
        mqtt_words = words if name in ADDRESS_FIELDS else texts
        new[name] = draw(field_data(mqtt_words.filter(lambda word: word != "action")))
    can_match = make_map(new, old.sender).can_match
    if draw(st.booleans()):
        new["topics"] = [*data["topics"][1:], draw(filters(data))]
    new["topics"] = [topic_filter for topic_filter in new["topics"] if can_match(topic_filter)]
    return {**data, **new}, old, make_map(new, old.sender)


def outcome(msg_map: MsgMap, use: str, *what: Any) -> object:
    try:
        return getattr(msg_map, use)(*what)
    except MessageError as err:
        return type(err)


@settings(max_examples=80)
@given(st.data(), pairs())
def test_maps_between_which_there_is_no_difference_do_the_same(
    data: st.DataObject, case: tuple[MapData, MsgMap, MsgMap]
) -> None:
    fields, old, new = case
    differences = list(compare(old, new))
    changed = {change.where for change in differences}
    msg: InternalMsg = data.draw(messages(fields))
    topic = data.draw(topics(old.root))
    if not changed - {"topics"}:
        assert outcome(old, "internal2mqtt", msg) == outcome(new, "internal2mqtt", msg)
        assert outcome(old, "mqtt2internal", topic, b"on") == outcome(new, "mqtt2internal", topic, b"on")
    is_received = [any(filter_matches(topic_filter, topic) for topic_filter in each.topics) for each in (old, new)]
    read = [isinstance(outcome(each, "mqtt2internal", topic, b"{}"), InternalMsg) for each in (old, new)]
    if is_received[0] != is_received[1] and any(read):
        assert "topics" in changed


@settings(max_examples=80)
@given(pairs())
def test_each_example_is_of_a_difference(case: tuple[MapData, MsgMap, MsgMap]) -> None:
    _, old, new = case
    for change in compare(old, new):
        if change.example is None:
            continue
        assert change.old != change.new
        if change.kind == "written":
            assert outcome(old, "internal2mqtt", change.example.message) != outcome(
                new, "internal2mqtt", change.example.message)  # fmt: skip
        elif change.kind == "read":
            what = change.example.topic, change.example.payload
            assert outcome(old, "mqtt2internal", *what) != outcome(new, "mqtt2internal", *what)


_LEVELS = st.sampled_from(("+", "a", "b"))


@settings(max_examples=60)
@given(st.lists(st.tuples(_LEVELS, _LEVELS), max_size=8), st.data())
def test_filters_are_compared_as_if_all_topics_were_tried(levels: list[tuple[str, str]], data: st.DataObject) -> None:
    made = [f"home/{one}/{other}/+/+/+/C" for one, other in levels]
    cut = data.draw(st.integers(0, len(made)))
    old, new = MsgMap("home", made[:cut], sender="gw"), MsgMap("home", made[cut:], sender="gw")

    def received(msg_map: MsgMap) -> set[tuple[str, str]]:
        return {(a, b) for a in "abc" for b in "abc" for topic_filter in msg_map.topics
                if filter_matches(topic_filter, f"home/{a}/{b}////C")}  # fmt: skip

    assert bool(list(compare(old, new))) == (received(old) != received(new))
