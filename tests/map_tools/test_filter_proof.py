from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.topic import filter_levels, filter_matches
from gateway.errors import MessageError
from gateway.map_tools.filter_proof import check_filters
from gateway.map_tools.probe import Probe
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import FieldMap, MsgMap
from tests.support.proofs import ExampleCheck, any_loadable_maps, check_map, loadable_maps, loaded
from tests.support.strategies import MapData, topics
from tests.support.syntaxes import readers, topics_for

STRICT = {"maptype": "strict", "map": {"lighting": ["lighting", "lights"], "heating": ["heat"]}}
LOOSE = {"maptype": "loose", "map": {"office": ["study"]}}


def home(*filters: str, **fields: Any) -> dict[str, Any]:
    return {"root": "home", "topics": list(filters), **fields}


CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no filters": (home(), "note", "deaf", ""),
    "the rest of the tree": (home("home/#"), "warning", "open-end", "home/#"),
    "the rest of a branch": (home("home/lighting/+/#"), "warning", "open-end", "home/lighting/+/#"),
    "everything": (home("#"), "warning", "open-end", "#"),
    "words that a strict map refuses": (
        home("home/+/+/+/+/+/C", function=STRICT), "note", "wide", "home/+/+/+/+/+/C"),
    "kinds that there are not": (home("home/lighting/+/+/+/+/+"), "note", "wide", "home/lighting/+/+/+/+/+"),
    "any root": (home("+/lighting/+/+/+/+/C"), "note", "wide", "+/lighting/+/+/+/+/C"),
    "own statuses": (home("home/+/+/+/+/+/S"), "note", "echo", "home/+/+/+/+/+/S"),
    "own commands": (home("home/+/+/+/+/+/C"), "note", "echo", "home/+/+/+/+/+/C"),
    "own commands, for a group of subscribers": (
        home("$share/g/home/+/+/+/+/+/C"), "note", "echo", "$share/g/home/+/+/+/+/+/C"),
    "nothing but own messages": (home("home/+/+/+/+/gw/S"), "warning", "only-own", "home/+/+/+/+/gw/S"),
    "filters that meet": (
        home("home/a/+/+/+/+/C", "home/+/+/b/+/+/C"), "warning", "overlap", "home/+/+/b/+/+/C"),
    "filters that meet under a rest": (
        home("home/a/#", "home/+/+/b/+/+/C"), "warning", "overlap", "home/+/+/b/+/+/C"),
    "a filter within another": (home("home/a/+/+/+/+/C", "home/+/+/+/+/+/C"), "note", "covered", "home/a/+/+/+/+/C"),
    "the internal word in a filter": (
        home("home/+/+/office/+/+/C", location=LOOSE), "warning", "internal-word", "home/+/+/office/+/+/C"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "severity", "kind", "topic_filter"), CASES.values(), ids=CASES)
def test_a_flaw_of_a_filter_is_found_and_shown(
    data: dict[str, Any], severity: str, kind: str, topic_filter: str
) -> None:
    msg_map = loaded(data)
    path = ("topics", topic_filter) if topic_filter else ("topics",)
    flaws = [flaw for flaw in check_filters(msg_map) if (flaw.kind, flaw.path) == (kind, path)]
    assert len(flaws) == 1, list(check_filters(msg_map))
    assert flaws[0].severity == severity
    assert ExampleCheck(msg_map, flaws[0]).is_shown()


def test_a_filter_of_an_old_map_that_matches_no_topic() -> None:
    field = FieldMap("function", "strict", {"lighting": ["lighting", "lights"]})
    msg_map = MsgMap("home", ["home/lighting", "home/lamps/+/+/+/+/C"], {"function": field}, sender="gw")
    kinds = {(flaw.kind, flaw.path) for flaw in check_filters(msg_map)}
    assert {("dead", ("topics", topic_filter)) for topic_filter in msg_map.topics} <= kinds
    assert ("unheard-alias", ("function", "map", "lighting", 1)) in kinds


def test_words_that_no_filter_matches() -> None:
    msg_map = loaded(home("home/lighting/+/+/+/+/C", function=STRICT))
    kinds = {(flaw.kind, flaw.path) for flaw in check_filters(msg_map)} - {("echo", ("topics", msg_map.topics[0]))}
    assert kinds == {
        ("unheard-alias", ("function", "map", "lighting", 1)),
        ("write-only", ("function", "map", "heating")),
    }


def test_the_remedy_for_an_unheard_alias_works() -> None:
    data = home("home/lighting/+/+/+/+/C", function=STRICT)
    (flaw,) = [flaw for flaw in check_filters(loaded(data)) if flaw.kind == "unheard-alias"]
    remedy = "home/lights/+/+/+/+/C"
    assert remedy in flaw.remedy
    more = loaded({**data, "topics": [*data["topics"], remedy]})
    assert not [flaw for flaw in check_filters(more) if flaw.kind == "unheard-alias"]


def test_the_remedy_for_an_open_end_works() -> None:
    for topic_filter, remedy in (("home/lighting/#", "home/lighting/+/+/+/+/C"),
                                 ("$share/g/home/#", "$share/g/home/+/+/+/+/+/C")):  # fmt: skip
        (flaw,) = [flaw for flaw in check_filters(loaded(home(topic_filter))) if flaw.kind == "open-end"]
        assert remedy in flaw.remedy
        assert {flaw.kind for flaw in check_filters(loaded(home(remedy)))} == {"echo"}


GOOD = {
    "commands of one other": home("home/lighting/+/+/+/panel/C"),
    "two filters apart": home("home/a/+/+/+/panel/C", "home/b/+/+/+/panel/C"),
    "commands and statuses of one other": home("home/a/+/+/+/panel/C", "home/a/+/+/+/panel/S"),
    "every word of a strict map": home(
        "home/lighting/+/+/+/me/C", "home/lights/+/+/+/me/C", "home/heat/+/+/+/me/C", function=STRICT),
    "a shared filter beside a plain one": home("home/a/+/+/+/me/C", "$share/g/home/a/+/+/+/me/C"),
}  # fmt: skip


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_filters_without_flaws_have_no_findings(data: dict[str, Any]) -> None:
    assert list(check_filters(loaded(data))) == []


# --- laws


@settings(max_examples=120)
@given(st.data(), any_loadable_maps())
def test_an_overlap_of_two_filters_is_reported_for_one_of_them(data: st.DataObject, msg_map: MsgMap) -> None:
    probe = Probe(msg_map)
    reported = {str(flaw.path[1]) for flaw in check_filters(msg_map) if flaw.kind in ("overlap", "covered")}
    near = [
        form.topic_matching(topic_filter)
        for topic_filter in msg_map.topics
        for form in probe.forms_matching(topic_filter)
    ]
    assume(near)
    topic = data.draw(st.sampled_from(near) | topics(msg_map.root) | topics_for(msg_map.forms))
    matching = {topic_filter for topic_filter in msg_map.topics if filter_matches(topic_filter, topic)}
    if not readers(msg_map, topic):
        return
    assert len(matching - reported) <= 1, f"{topic}: {matching}"


@settings(max_examples=120)
@given(loadable_maps())
def test_a_filter_matches_each_word_without_a_finding(case: tuple[MapData, MsgMap]) -> None:
    _, msg_map = case
    if not msg_map.topics:
        return
    reported = {flaw.path for flaw in check_filters(msg_map) if flaw.kind in ("unheard-alias", "write-only")}
    probe = Probe(msg_map)
    for name in ADDRESS_FIELDS:
        field, at = msg_map.fields[name], probe.forms[0].level_of(name)
        if field.maptype == "none" or at is None:
            continue
        for internal, words in field.entries.items():
            if {field.read(word) for word in words} != {internal} or (name, "map", internal) in reported:
                continue
            if name == "sender" and internal == msg_map.sender:
                continue
            for index, word in enumerate(words[1:], 1):
                if (name, "map", internal, index) not in reported:
                    assert any(_matches_word(topic_filter, at, word) for topic_filter in msg_map.topics), (name, word)
            assert any(_matches_word(topic_filter, at, word) for topic_filter in msg_map.topics for word in words), (
                name,
                internal,
            )


def _matches_word(topic_filter: str, at: int, word: str) -> bool:
    levels = filter_levels(topic_filter)
    return (levels[-1] == "#" and at >= len(levels) - 1) or levels[at] in ("+", word)


@settings(max_examples=200)
@given(any_loadable_maps())
def test_own_messages_that_come_back_are_reported(msg_map: MsgMap) -> None:
    reported = {flaw.path for flaw in check_filters(msg_map) if flaw.kind in ("echo", "only-own", "unsent")}
    probe = Probe(msg_map)
    for form in probe.forms:
        try:
            publication = probe.unfiltered.internal2mqtt(form.message)
        except MessageError:
            continue
        for topic_filter in msg_map.topics:
            if filter_matches(topic_filter, publication.topic):
                assert ("topics", topic_filter) in reported


TASMOTA = {
    "root": "home",
    "syntax": {
        "constants": {"function": "", "gateway": "", "location": ""},
        "commands": [{"topic": "cmnd/{device}/{action}", "payload": "value"}],
        "statuses": [
            {"topic": "stat/{device}/{action}", "payload": "value"},
            {"topic": "tele/{device}/{action}", "payload": "json"},
        ],
    },
}


def kinds_of(*filters: str, **fields: Any) -> list[tuple[str, object]]:
    msg_map = loaded({**TASMOTA, "topics": list(filters), **fields})
    flaws = check_map(msg_map)
    assert all(ExampleCheck(msg_map, flaw).is_shown() for flaw in flaws)
    return [(flaw.kind, flaw.path[-1]) for flaw in flaws]


def test_messages_without_a_sender_that_a_filter_matches_are_reported_as_unsent() -> None:
    assert kinds_of("cmnd/lamp/+") == [("unsent", "cmnd/lamp/+")]
    assert kinds_of("stat/lamp/+") == [("unsent", "stat/lamp/+")]


def test_answers_that_a_filter_would_bring_back_are_not_sent() -> None:
    assert ("reply", "cmnd/lamp/+") in kinds_of("cmnd/lamp/+", "stat/lamp/+", "tele/lamp/+")
    assert ("reply", "cmnd/lamp/+") not in kinds_of("cmnd/lamp/+", "stat/lamp/+")


def test_filters_for_topics_of_several_sizes_and_forms() -> None:
    assert ("open-end", "cmnd/#") in kinds_of("cmnd/#")
    assert ("wide", "+/lamp/POWER") in kinds_of("+/lamp/POWER")
    assert ("overlap", "+/lamp/POWER") in kinds_of("cmnd/lamp/+", "+/lamp/POWER")
    strict = {"maptype": "strict", "map": {"POWER": ["POWER", "Power"], "DIM": ["dim"]}}
    kinds = kinds_of("cmnd/lamp/POWER", action=strict)
    assert ("unheard-alias", 1) in kinds and ("write-only", "DIM") in kinds
    assert ("unheard-alias", 1) not in kinds_of("cmnd/lamp/+", action=strict)


def test_a_map_of_a_field_for_which_no_form_has_a_place_is_unused() -> None:
    assert ("unused", "map") in kinds_of("cmnd/lamp/+", function={"maptype": "strict", "map": {"a": ["b"]}})


# --- a syntax that cannot be


class _NoSender(MsgMap):
    """A syntax that loses the sender: an echo is not known as one."""

    def for_sender(self, sender: str, topics: object = None) -> MsgMap:
        return self

    def mqtt2internal(self, topic: str, payload: bytes) -> InternalMsg:
        return super().mqtt2internal(topic, payload).replace(sender="")


def test_a_syntax_that_cannot_recognise_echoes_is_an_error() -> None:
    flaws = [flaw for flaw in check_filters(_NoSender("home", ["home/+/+/+/+/+/C"], sender="gw"))
             if flaw.severity == "error"]  # fmt: skip
    assert [(flaw.kind, flaw.path) for flaw in flaws] == [("loop", ("topics", "home/+/+/+/+/+/C"))]


def test_a_map_that_cannot_write_anything_is_left_to_the_check_of_its_words() -> None:
    assert list(check_filters(MsgMap("home", ["home/#"], sender="a/b"))) == []


def test_a_thousand_filters_are_no_trouble() -> None:
    filters = [f"home/a{i}/+/b{i}/+/+/C" for i in range(500)] + [f"home/+/+/+/+/s{i}/C" for i in range(500)]
    flaws = [flaw for flaw in check_filters(MsgMap("home", filters, sender="gw")) if flaw.kind == "overlap"]
    assert len(flaws) == 500
