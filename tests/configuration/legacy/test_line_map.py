"""Maps of 0.x, line by line: they load, mean what they meant, and their findings have their places."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.legacy.line_map import is_line_map, read_line_map
from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_map import load_map
from gateway.errors import ConfigurationError, WordError
from gateway.map_tools.check import check_file
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import MsgMap
from tests.support.strategies import make_map

MAPS = Path(__file__).parents[2] / "fixtures" / "maps"
REMEDY = "an MQTT word can have only one meaning: remove one of the two"
TAKEN = "read as a map of version 0.x, line by line: the root is 'house', as in its topics"


def load(folder: Path, text: str, encoding: str = "utf-8") -> tuple[MsgMap, list[str]]:
    """Return the map in a file with `text`, and the notes about it, without the path."""
    path, notes = folder / "gw.map", list[str]()
    path.write_bytes(text.encode(encoding))
    msg_map = load_map(path, sender="gw", log=notes.append)
    return msg_map, [note.removeprefix(f"{path}:").strip() for note in notes]


def findings(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return [str(finding).removeprefix(f"{folder}/") for finding in caught.value.findings]


def test_a_map_of_0_15_reads_and_writes_its_words() -> None:
    notes: list[str] = []
    path = MAPS / "of_0_15.map"
    msg_map = load_map(path, sender="gw", log=notes.append)
    assert notes[0] == f"{path}: {TAKEN}"
    assert [note.removeprefix(f"{path}:")[:38] for note in notes[1:]] == ["4:8: topics[2]: 'house/+/blinds/+/+/C'"]
    assert msg_map.topics == ("house/shading/+/+/+/+/C", "house/+/blinds2mqtt/+/+/+/C", "house/+/blinds/+/+/C")
    command = msg_map.mqtt2internal("house/shading/other/attic/skylight/me/C", b"close_blind")
    assert command == InternalMsg(True, "Shading", "other", "Attic", "Skylight", "me", "BLIND_DOWN")
    status = InternalMsg(function="Shading", location="Attic", action="BLIND_DOWN", arguments={"percent": 5})
    written = msg_map.internal2mqtt(status)
    assert (written.topic, written.payload) == ("house/shading//attic//gw/S", b'{"action": "down", "percent": 5}')
    with pytest.raises(WordError, match="location: 'cellar' is not in the map"):
        msg_map.mqtt2internal("house/shading//cellar//me/C", b"down")


def test_the_folder_that_stands_for_its_default_name_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(MAPS / "of_0_15.map", folder / "dummy2mqtt.map")
    conf = folder / "dummy2mqtt.conf"
    conf.write_text("[MQTT]\nmapping: on\nroot: home\ntopics: home/#\nmapfilename: ../data/\n")
    configuration = load_configuration(conf, {})
    assert configuration.root == "house"
    assert any(note.endswith(TAKEN) for note in configuration.notes)


def test_what_was_not_read_is_not_read_and_reported(tmp_path: Path) -> None:
    msg_map, notes = load(
        tmp_path,
        "# for the attic\n\ntopic: house/+/+/+/+/+/C, house/#: old\nfunction: a, A, more: yes\nlocation\n"
        "device: lamp\nsource: x, X\naction: ,X\naction:on,ON\r\n",
    )
    assert notes == [
        TAKEN,
        "ignored, since it is not of the form 'topic: TOPIC' or 'FIELD: MQTT word, internal word': line 5, 6, 7, 8",
    ]
    assert msg_map.topics == ("house/+/+/+/+/+/C",)
    assert msg_map.mqtt2internal("house/a//any/any/me/C", b"on").function == "A"


def test_many_lines_that_are_not_read_are_counted() -> None:
    _, notes = read_line_map("topic: house/a\n" + "nonsense\n" * 5000, "gw.map")
    assert notes[1].endswith(": line 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4990 more")


def test_findings_have_their_places(tmp_path: Path) -> None:
    assert findings(tmp_path, "topic: house/a#\nfunction: a/b, A\n\ndevice:  x,X\ndevice:  x,  Y\n") == [
        "gw.map:1:8: topics[0]: 'house/a#': '#' must be the whole last level: correct the filter",
        "gw.map:2:11: function.map.A[0]: 'a/b': '/' is not allowed in a topic: use another word",
        f"gw.map:4:10: device.map.X[0]: 'x' is already an MQTT word of 'Y': {REMEDY}",
    ]


def test_one_that_is_not_utf_8_is_read_as_latin_1(tmp_path: Path) -> None:
    msg_map, notes = load(tmp_path, "topic: house/#\nlocation: küche, Küche\n", "latin-1")
    assert notes == ["not UTF-8 at byte 26, and read as Latin-1: save it as UTF-8", TAKEN]
    assert msg_map.fields["location"].read("küche") == "Küche"


@pytest.mark.parametrize("text", ["function: a, A", "topic: +/a\nfunction: a, A", "topic: /a"])
def test_without_a_root_it_is_refused(text: str, tmp_path: Path) -> None:
    assert findings(tmp_path, text) == [
        "gw.map: no topic shows the root, with which every topic begins: add one, for example topic: home/+/+/+/+/+/C"
    ]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"topic": 1}', "root: house\nfunction: {}", "topics: [a]", "[topic: a]", "# topic: a", "\n"]
)
def test_what_is_none_is_not_taken_for_one(text: str) -> None:
    assert not is_line_map(text)


def test_map_check_shows_where_in_it_a_word_stands() -> None:
    report = check_file(MAPS / "of_0_15.map", {}, sender="gw")
    places = {(actual.finding.where, actual.finding.line, actual.finding.column) for actual in report.findings}
    assert {("topics[2]", 4, 8), ("topics[1]", 3, 7)} <= places
    assert all(line for _, line, _ in places)


WORDS = st.text("abcXYZ_09", min_size=1, max_size=5)


@given(
    st.dictionaries(WORDS, WORDS, min_size=1), st.sampled_from(["", " ", "\t"]), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_every_word_is_read_as_its_line_says_and_the_last_is_written(
    words: dict[str, str], space: str, end: str
) -> None:
    lines = [f"topic:{space}house/#", *(f"action{space}:{space}{mqtt}{space},{space}{words[mqtt]}" for mqtt in words)]
    text = end.join(lines)
    assert is_line_map(text)
    document, notes = read_line_map(text, "gw.map")
    assert len(notes) == 1
    action = make_map(document.data, "gw").fields["action"]
    written = {internal: mqtt for mqtt, internal in words.items()}
    assert {mqtt: action.read(mqtt) for mqtt in words} == words
    assert {internal: action.write(internal) for internal in written} == written
