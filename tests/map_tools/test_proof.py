from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.errors import MessageError
from gateway.map_tools.probe import Probe
from gateway.map_tools.proof import check_words
from gateway.message import ADDRESS_FIELDS, InternalMsg, Publication
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from tests.support.proofs import (
    ExampleCheck,
    any_loadable_maps,
    check_map,
    declared_maps,
    fields_with_flaws,
    loadable_maps,
    loaded,
    with_own_sender,
    word_of,
)
from tests.support.strategies import MapData, texts, words

# --- the law


@st.composite
def _messages(draw: st.DrawFn, msg_map: MsgMap, faulty_fields: set[str], *, any_word: bool) -> InternalMsg:
    """Draw a message of the words of a map; from fields that have flaws, only a word that is known to have none."""
    samples = Probe(msg_map).forms[0].samples

    def word(name: str) -> str:
        field = msg_map.fields[name]
        if name in faulty_fields:
            return samples[name]
        own = sorted(field.entries) if field.maptype != "none" else []
        others = words if name in ADDRESS_FIELDS else texts
        if field.maptype == "none" or (any_word and field.maptype == "loose"):
            return draw(others | st.sampled_from(own) if own else others)
        return draw(st.sampled_from([*own, ""] if name not in ("argkey",) else own or [""]))

    address: dict[str, Any] = {name: word(name) for name in (*ADDRESS_FIELDS, "action")}
    arguments = {word("argkey"): word("argvalue") for _ in range(draw(st.integers(0, 2)))}
    if "action" not in msg_map.fields["argkey"].entries:
        arguments.pop("action", None)  # the payload keeps it for the action, in every map
    return InternalMsg(draw(st.booleans()), **address, arguments=arguments)


@settings(max_examples=120)
@given(st.data(), loadable_maps())
def test_a_map_without_errors_and_warnings_neither_refuses_nor_changes_a_message_in_its_words(
    data: st.DataObject, case: tuple[MapData, MsgMap]
) -> None:
    _, msg_map = case
    fields = fields_with_flaws(list(check_words(msg_map)), "error", "warning")
    msg = data.draw(_messages(msg_map, fields, any_word=False))
    publication = msg_map.internal2mqtt(msg)
    assert msg_map.mqtt2internal(publication.topic, publication.payload) == with_own_sender(msg_map, msg)


@settings(max_examples=120)
@given(st.data(), loadable_maps())
def test_without_notes_that_holds_for_every_message_in_legal_words(
    data: st.DataObject, case: tuple[MapData, MsgMap]
) -> None:
    _, msg_map = case
    fields = fields_with_flaws(list(check_words(msg_map)), "error", "warning", "note")
    msg = data.draw(_messages(msg_map, fields, any_word=True))
    publication = msg_map.internal2mqtt(msg)
    assert msg_map.mqtt2internal(publication.topic, publication.payload) == with_own_sender(msg_map, msg)


@settings(max_examples=120)
@given(any_loadable_maps())
def test_each_mqtt_word_without_a_finding_is_read_as_its_entry(msg_map: MsgMap) -> None:
    flaws = [flaw for flaw in check_words(msg_map) if flaw.severity != "note"]
    faulty = {flaw.path for flaw in flaws}
    assume(not any(flaw.path[0] == "syntax" for flaw in flaws))
    probe = Probe(msg_map)
    for name in FIELDS:
        if msg_map.fields[name].maptype == "none":
            continue
        for internal, aliases in msg_map.fields[name].entries.items():
            for index, mqtt in enumerate(aliases):
                for made in (form.with_mqtt_word(name, mqtt) for form in probe.forms):
                    if made and (name, "map", internal, index) not in faulty:
                        assert word_of(name, msg_map.mqtt2internal(*made)) == internal


@settings(max_examples=120)
@given(st.data(), declared_maps())
def test_a_map_of_any_syntax_without_errors_and_warnings_writes_its_words_and_reads_them_back(
    data: st.DataObject, case: tuple[MapData, MsgMap]
) -> None:
    fields, msg_map = case
    faulty_fields = fields_with_flaws(list(check_words(msg_map)), "error", "warning")
    quiet = msg_map.for_sender("gw", ())
    form = data.draw(st.sampled_from(Probe(msg_map).forms))
    for name in FIELDS:
        entries = fields.get(name, {}).get("map", {})
        if entries and msg_map.fields[name].maptype != "none" and name not in faulty_fields:
            msg = form.with_word(name, data.draw(st.sampled_from(sorted(entries))))
            try:
                quiet.internal2mqtt(form.message)
            except MessageError as err:
                assert any(str(err) in flaw.what for flaw in check_words(msg_map))
                continue
            if msg is not None and not (name == "sender" and msg.sender == ""):
                publication = quiet.internal2mqtt(msg)
                back = quiet.mqtt2internal(publication.topic, publication.payload)
                assert back.replace(sender="") == msg.replace(sender="")


@settings(max_examples=300)
@given(any_loadable_maps())
def test_each_example_shows_its_flaw(msg_map: MsgMap) -> None:
    for flaw in check_map(msg_map):
        assert ExampleCheck(msg_map, flaw).is_shown(), flaw


# --- each kind


def field(maptype: str, **entries: list[str]) -> dict[str, Any]:
    return {"maptype": maptype, "map": entries}


READS = {"root": "home", "topics": ["home/+/+/+/+/+/C"]}
SENDS = {"root": "home", "topics": []}

CASES: dict[str, tuple[dict[str, Any], tuple[object, ...], str]] = {
    "a word as long as no payload may be": (
        {**SENDS, "action": field("loose", LONG=["x" * 300_000])}, ("action", "map", "LONG"), "unwritable"),
    "an argument as long as no payload may be": (
        {**SENDS, "argvalue": field("loose", LONG=["x" * 300_000])}, ("argvalue", "map", "LONG", 0), "unreadable"),
    "the gateway's own name stands for another": (
        {**SENDS, "sender": field("strict", other=["gw"])}, ("sender", "map", "other"), "unwritable"),
    "the gateway's own name is an alias of another": (
        {**SENDS, "sender": field("strict", other=["o", "gw"])}, ("sender", "map", "other", 1), "unreadable"),
    "others share the gateway's name": (
        {**SENDS, "sender": field("strict", gw=["gw", "old"])}, ("sender", "map", "gw", 1), "own-name"),
    "no sender": ({**SENDS, "sender": field("strict", **{"": ["nobody"]})}, ("sender", "map", ""), "never-written"),
    "an action like JSON": (
        {**SENDS, "action": field("strict", A=["a", "{a}"])}, ("action", "map", "A", 1), "json-only"),
    "an empty action": ({**SENDS, "action": field("strict", A=["a", ""])}, ("action", "map", "A", 1), "json-only"),
    "a map that is switched off": ({**SENDS, "device": field("none", lamp=["l"])}, ("device", "map"), "unused"),
    "an internal word like an alias": (
        {**SENDS, "location": field("loose", office=["office", "study"])},
        ("location", "map", "office", 1), "collision"),
    "an MQTT word like an internal one": (
        {**SENDS, "argkey": field("loose", B=["level"])}, ("argkey", "map", "B"), "undeclared-alias"),
    "the empty word means something": (
        {**SENDS, "location": field("strict", all=["all", ""])}, ("location", "map", "all", 1), "empty-word"),
    "the empty value means something": (
        {**SENDS, "argvalue": field("loose", NONE=[""])}, ("argvalue", "map", "NONE", 0), "empty-word"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "path", "kind"), CASES.values(), ids=CASES)
def test_a_flaw_is_found_and_shown(data: dict[str, Any], path: tuple[object, ...], kind: str) -> None:
    msg_map = loaded(data)
    flaws = [flaw for flaw in check_words(msg_map) if (flaw.path, flaw.kind) == (path, kind)]
    assert len(flaws) == 1, list(check_words(msg_map))
    assert ExampleCheck(msg_map, flaws[0]).is_shown()
    assert flaws[0].remedy


GOOD: dict[str, dict[str, Any]] = {
    "no field maps": READS,
    "strict, with aliases": {**READS, "function": field("strict", lighting=["lights", "lamps"])},
    "loose, the same words": {**READS, "action": field("loose", on=["on"], off=["off"])},
    "loose, words exchanged": {**READS, "action": field("loose", on=["off"], off=["on"])},
    "an entry for the empty word": {**READS, "location": field("strict", **{"": ["none"], "all": [""]})},
    "outcomes in strict maps": {
        **READS,
        "argkey": field("strict", level=["lvl"]),
        "argvalue": field("strict", A=["a"]),
    },
    "outcomes, and values that mean another word": {**READS, "argvalue": field("strict", YES=["OK"])},
    "the words of outcomes as they are": {
        **READS,
        "argkey": field("strict", response=["response"]),
        "argvalue": field("strict", A=["a"]),
    },
    "strict values where nothing is answered": {**SENDS, "argvalue": field("strict", OK=["1"])},
    "switched off, and the same words": {**READS, "device": field("none", lamp=["lamp"])},
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_words_without_flaws_have_no_findings(data: dict[str, Any]) -> None:
    assert list(check_words(loaded(data))) == []


# --- a syntax that cannot be


class _NoLocation(MsgMap):
    """A syntax whose topics have no location: what is written is not read back."""

    def for_sender(self, sender: str, topics: object = None) -> MsgMap:
        return self

    def internal2mqtt(self, msg: InternalMsg) -> Publication:
        return super().internal2mqtt(msg.replace(location=""))


def test_a_syntax_that_loses_a_field_is_an_error() -> None:
    msg_map = _NoLocation("home", fields={"location": FieldMap("location", "strict", {"hall": ["h"]})}, sender="gw")
    (flaw,) = [flaw for flaw in check_words(msg_map) if flaw.severity == "error"]
    assert (flaw.kind, flaw.path) == ("changed", ("location", "map", "hall"))


def test_a_map_that_cannot_write_anything_is_an_error() -> None:
    (flaw,) = check_words(MsgMap("home", sender="a/b"))
    assert (flaw.severity, flaw.kind) == ("error", "unwritable")
    assert "'/' is not allowed in a topic" in flaw.what
