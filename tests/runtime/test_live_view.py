"""What a client of the control socket sees of messages: which ones, in which form, and never a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.protocol import ControlError
from gateway.core.tap import (
    ACKNOWLEDGED,
    ARRIVED,
    DROPPED,
    FRAME,
    MESSAGE,
    PUBLISH,
    READ,
    RULE,
    TAP,
    WRITTEN,
    Note,
    Step,
)
from gateway.message import Arrival, InternalMsg, Publication
from gateway.runtime.live_view import LiveView, Wanted, document
from tests.support.following import following

MSG = InternalMsg(device="probe", action="T", arguments={"t": 21.5})
STEPS: list[Step] = [
    (READ, 1.0, 8),
    (FRAME, 1.001, b"T 21.5\x1b"),
    (RULE, 1.002, "temperature"),
    (MESSAGE, 1.002, MSG),
    (PUBLISH, 1.0025, Publication("home////probe/gw/S", b"21.5", 1, retain=True)),
    (ACKNOWLEDGED, 1.01, None),
]


def test_a_note_as_json() -> None:
    assert document(Note(1_700_000_000.0, "dev", STEPS, ACKNOWLEDGED)) == {
        "time": "2023-11-14T22:13:20.000Z",
        "interface": "dev",
        "direction": "from device",
        "outcome": "acknowledged",
        "stages": [
            {"stage": "read", "ms": 0.0, "bytes": 8},
            {"stage": "frame", "ms": 1.0, "text": "T 21.5\\x1b", "hex": "542032312e351b", "bytes": 7},
            {"stage": "rule", "ms": 1.0, "rule": "temperature"},
            {"stage": "message", "ms": 0.0, "message": "status -/-/-/probe/- T t=21.5"},
            {
                "stage": "publish",
                "ms": 0.5,
                "topic": "home////probe/gw/S",
                "payload": "21.5",
                "bytes": 4,
                "qos": 1,
                "retain": True,
            },
            {"stage": "acknowledged", "ms": 7.5},
        ],
    }


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({}, True),
        ({"device": "probe"}, True),
        ({"device": "de?"}, True),
        ({"device": "lamp"}, False),
        ({"rule": "temp*"}, True),
        ({"rule": "bell"}, False),
        ({"topic": "home/#"}, True),
        ({"topic": "home/+"}, False),
        ({"outcome": "ack*"}, True),
        ({"outcome": "dropped"}, False),
        ({"drops": True}, False),
        ({"device": "probe", "rule": "bell"}, False),
    ],
)
def test_which_notes_a_client_sees(wanted: dict[str, Any], matches: bool) -> None:
    assert Wanted.of(wanted).matches(Note(0.0, "dev", STEPS, ACKNOWLEDGED)) is matches


def test_a_document_is_found_by_its_device_and_a_drop_by_its_stage() -> None:
    state: list[Step] = [(PUBLISH, 0.0, Publication("home/gw/lamp/state", b"{}", 1))]
    assert Wanted(device="lamp").matches(Note(0.0, "", state, ACKNOWLEDGED))
    dropped = Note(0.0, "dev", STEPS, DROPPED, "map", "a word is not in it")
    assert Wanted(outcome="map", drops=True).matches(dropped)
    assert document(dropped)["where"] == "map"
    assert not Wanted(outcome="filter").matches(dropped)
    assert Wanted(outcome="Map").matches(dropped)
    assert Wanted(outcome="timeout").matches(Note(0.0, "dev", state, "TIMEOUT"))


def test_a_wrong_filter_is_refused() -> None:
    with pytest.raises(ControlError, match="the filter 'a#'"):
        Wanted.of({"topic": "a#"})


def test_what_is_long_is_cut_with_its_length() -> None:
    steps: list[Step] = [
        (ARRIVED, 0.0, Arrival("home/x", "ü".encode() * 100_000)),
        (MESSAGE, 0.0, InternalMsg(arguments={"text": "x" * 100_000})),
        (WRITTEN, 0.0, b"\x00" * 100_000),
    ]
    arrived, message, written = document(Note(0.0, "dev", steps))["stages"]
    assert arrived["payload"].endswith("...")
    assert arrived["bytes"] == 200_000
    assert len(message["message"]) == 1003
    assert written["bytes"] == 100_000
    assert len(json.dumps([arrived, message, written])) < 20_000


class Odd:
    """What an interface may put into a message, though it may not."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


def test_what_cannot_be_shown_is_shown_as_that() -> None:
    msg = InternalMsg(device=Odd(), arguments={"a": Odd()})  # type: ignore[arg-type,dict-item]
    for shown in (msg, Odd()):
        steps: list[Step] = [(MESSAGE, 0.0, shown)]
        assert "Odd" in document(Note(0.0, "dev", steps))["stages"][0]["message"]


@given(st.text(min_size=4, max_size=40).filter(lambda text: text.isprintable() and text.strip() == text))
def test_no_secret_is_shown(secret: str) -> None:
    payload = json.dumps({"password": secret}).encode()
    written = f"LOGIN {secret}\n".encode(errors="surrogatepass")
    with following(secrets=[secret]) as view, following(secrets=[secret], is_raw=True) as raw:
        recorder, wire = TAP.recorder, TAP.wire
        assert recorder is not None
        assert wire is not None
        msg = InternalMsg(device="x", arguments={"password": secret})
        publication = Publication("home/x", payload, 1)
        recorder.translated("dev", msg, [publication], "", "")
        recorder.accepted([publication])
        recorder.frame_dropped("dev", "rule", f"no rule matches {secret}", written)
        wire.note("dev", WRITTEN, written)
        notes = view.notes() + raw.notes()
    values = [value for note in notes for stage in note["stages"] for value in stage.values() if isinstance(value, str)]
    values += [note.get("reason", "") for note in notes]
    assert len(notes) == 3
    own = {"message", "publish", "acknowledged", "frame", "read", "written", "home/x", "LOGIN ", "status", "password"}
    if not any(secret in word for word in own):
        assert not [value for value in values if secret in value]
        assert not [value for value in values if secret.encode(errors="surrogatepass").hex() in value]


def test_a_secret_that_a_reload_has_added_is_masked() -> None:
    secrets: list[str] = []
    view = LiveView(Wanted(), lambda: tuple(secrets))
    try:
        for text in ("first-secret", "second-secret"):
            secrets.append(text)
            recorder = TAP.recorder
            assert recorder is not None
            recorder.frame_dropped("dev", "rule", "no rule matches", text.encode())
            assert text.encode() not in view.lines()
    finally:
        view.close()


@pytest.mark.parametrize("filters", [{}, {"device": "x*"}, {"rule": "x*"}, {"outcome": "x*"}], ids=str)
def test_words_of_an_interface_that_are_no_texts_end_no_view(filters: dict[str, Any]) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("no")

        __repr__ = __str__

    odd: Any = Odd()
    steps: list[Step] = [(RULE, 1.0, 7), (MESSAGE, 1.0, InternalMsg(device=odd, action=odd, arguments={"a": odd}))]
    note = Note(1.0, "dev", steps, DROPPED, "map", "no")
    assert Wanted(**filters).matches(note) is not bool(filters)
    json.dumps(document(note))


@pytest.mark.parametrize(("device", "is_wanted"), [("tank", True), ("water", True), ("t?nk", True), ("pump", False)])
def test_a_command_that_the_map_cannot_read_is_found_by_the_levels_of_its_topic(device: str, is_wanted: bool) -> None:
    """It was found by the level before the last one, which is its sender: so not by the device that it was for."""
    arrived: list[Step] = [(ARRIVED, 1.0, Arrival("home/water///tank/me/C", b"dance"))]
    note = Note(0.0, "", arrived, DROPPED, "map", "action: 'dance' is not in the map")
    assert Wanted(device=device).matches(note) == is_wanted
