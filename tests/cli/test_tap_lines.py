"""The lines of a live view: they fit the terminal, nothing of them controls it, and nothing of a note is lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.tap_lines import TapLines

FRAME = {"stage": "frame", "ms": 0.12, "text": "T 21.5", "hex": "542032312e35", "bytes": 6}
PUBLISH = {"stage": "publish", "ms": 0.3, "topic": "home/x", "payload": "21.5", "bytes": 4, "qos": 1, "retain": False}
NOTE: dict[str, Any] = {
    "time": "2026-11-20T22:48:13.123Z",
    "interface": "boiler",
    "direction": "from device",
    "outcome": "acknowledged",
    "stages": [
        {"stage": "read", "ms": 0.0, "bytes": 8},
        FRAME,
        {"stage": "rule", "ms": 0.0, "rule": "temperature"},
        {"stage": "message", "ms": 0.05, "message": "status -/-/-/probe/- T t=21.5"},
        PUBLISH,
        {"stage": "sent", "ms": 12.0},
        {"stage": "acknowledged", "ms": 23_500.0},
    ],
}


def shown(note: dict[str, Any], width: int | None = None) -> list[str]:
    return [re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "TIME", line) for line in TapLines(width, colours=False).lines(note)]


def test_a_message_is_one_line_where_no_width_is_given() -> None:
    (line,) = shown(NOTE)
    assert line == (
        "TIME acknowledged boiler 8 bytes -> 'T 21.5' (0.12 ms) -> rule temperature "
        "-> status -/-/-/probe/- T t=21.5 (0.05 ms) -> home/x 21.5 (0.30 ms) -> sent (12 ms) -> acknowledged (23.5 s)"
    )


def test_in_a_terminal_it_breaks_at_its_stages() -> None:
    assert shown(NOTE, 80) == [
        "TIME acknowledged boiler 8 bytes -> 'T 21.5' (0.12 ms)",
        "    -> rule temperature -> status -/-/-/probe/- T t=21.5 (0.05 ms)",
        "    -> home/x 21.5 (0.30 ms) -> sent (12 ms) -> acknowledged (23.5 s)",
    ]


@pytest.mark.parametrize(
    ("outcome", "more", "end"),
    [
        ("dropped", {"where": "map", "reason": "it lacks a word"}, "-> dropped (map): it lacks a word"),
        ("held back", {"where": "held back", "reason": "it has not changed"}, "-> held back: it has not changed"),
        ("REFUSED", {"reason": "the device refused it"}, "-> REFUSED: the device refused it"),
        ("waiting", {}, "-> it waits in the outbox"),
    ],
)
def test_how_it_has_ended(outcome: str, more: dict[str, str], end: str) -> None:
    (line,) = shown({**NOTE, "outcome": outcome, "stages": [PUBLISH], **more})
    assert line.endswith(f"home/x 21.5 (0.30 ms) {end}")


def test_bytes_have_the_time_since_those_before_them_and_fit_a_terminal() -> None:
    lines = TapLines(80, colours=False)
    first = {**NOTE, "outcome": "", "stages": [{**FRAME, "stage": "read"}]}
    data = bytes(range(64))
    text = ascii(data)[2:-1]
    second = {
        **first,
        "time": "2026-11-20T22:48:13.175Z",
        "stages": [{"stage": "written", "ms": 0, "text": text, "hex": data.hex(), "bytes": 64}],
    }
    all_lines = [*lines.lines(first), *lines.lines(second)]
    assert all_lines[0].endswith("           boiler read    6 bytes: 'T 21.5'")
    assert all_lines[1] == "    54 20 32 31 2e 35"
    assert " +0.052 s boiler written 64 bytes: 00 01 02" in all_lines[2]
    assert all_lines[3] == "    00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"
    assert max(map(len, all_lines)) <= 80


NAMES = st.text(max_size=10)
BYTES = st.binary(max_size=60).map(
    lambda data: {"stage": "frame", "ms": 0.5, "text": ascii(data)[2:-1], "hex": data.hex(), "bytes": len(data)}
)
STAGES = st.lists(
    st.one_of(
        BYTES,
        st.builds(lambda topic, payload: {**PUBLISH, "topic": topic, "payload": payload}, st.text(), st.text()),
        st.builds(lambda text: {"stage": "message", "ms": 0.0, "message": text}, st.text()),
        st.builds(lambda text: {"stage": "rule", "ms": 0.0, "rule": text}, st.text()),
    ),
    min_size=1,
    max_size=6,
)


@given(STAGES, NAMES, st.sampled_from(["acknowledged", "dropped", "waiting", "OK"]), st.integers(40, 200))
def test_whatever_a_note_contains_the_lines_are_no_wider_and_control_nothing(
    stages: list[dict[str, Any]], name: str, outcome: str, width: int
) -> None:
    note = {**NOTE, "stages": stages, "interface": name, "outcome": outcome, "where": name, "reason": name}
    for line in TapLines(width, colours=False).lines(note):
        assert line.isprintable()
        assert len(line) <= max(width, 26 + 12 * len(name))  # the name stands at the beginning as it is
