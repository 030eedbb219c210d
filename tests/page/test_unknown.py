"""What the page tells of what could not be used: grouped, with what to paste, which works, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.yaml_reader import load_yaml
from gateway.core.unknown import CHECKSUM, FRAMING, PARTS, RULE, UNKNOWN, VALUE
from gateway.errors import MessageError, WordError
from gateway.message import InternalMsg
from gateway.page.source import Source
from gateway.page.unknown import UnknownView, framing_advice, map_line
from gateway.start_gateway import Gateway
from gateway.translation.field_map import FieldMap
from gateway.web.access import Visitor
from gateway.web.app import Request
from tests.support.configuration import write_conf

REQUEST = Request({}, {}, Visitor(may_read=True, may_write=False, is_secure=True))
MAP = {
    "root": "home",
    "topics": ["home/+/+/+/+/+/C"],
    "device": {"maptype": "strict", "map": {"LAMP": ["lamp"]}},
    "action": {"maptype": "strict", "map": {"T": ["t"]}},
}
RULE_OF_T = {"regex": "T (?P<t>[0-9]+)", "message": {"device": "LAMP", "action": "T", "arguments": "*"}}


class View:
    """The view of a gateway that is built and does not run."""

    def __init__(self, folder: Path, **interface: Any) -> None:
        options = {"type": "serial", "port": "loop://", "map": MAP, "decode": [RULE_OF_T], **interface}
        conf = write_conf(folder, 1, interfaces={"dev": options}, mqtt={"username": "u", "password": "Hidden+1"})
        self.gateway = Gateway(load_configuration(conf, {}))
        self.unknown = UnknownView(Source(self.gateway))
        assert UNKNOWN.collector is not None
        self.collector = UNKNOWN.collector

    def close(self) -> None:
        self.unknown.close()
        self.gateway.close()

    def groups(self) -> list[dict[str, Any]]:
        answer = self.unknown.routes()["GET", "/api/unknown"].answer(REQUEST)
        assert isinstance(answer, dict)
        json.dumps(answer)
        groups: list[dict[str, Any]] = answer["groups"]
        return groups


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    with closing(View(tmp_path)) as view:
        yield view
    assert UNKNOWN.collector is None


def test_a_frame_that_no_rule_takes_has_a_rule_to_paste_and_the_lines_that_its_map_lacks(view: View) -> None:
    view.collector.frame("dev", RULE, b"H 40", "no rule matches")
    view.collector.frame("dev", RULE, b"H 41", "no rule matches")
    (group,) = view.groups()
    assert (group["interface"], group["shape"], group["count"], group["option"]) == ("dev", "H #", 2, "decode")
    assert [each["text"] for each in group["examples"]] == ["H 40", "H 41"]
    assert group["rule"].startswith("- regex: 'H (?P<h>-?[0-9]+)'\n")
    assert group["ignore"] == "- regex: 'H -?[0-9]+'\n  ignore: true\n"
    assert group["lines"] == [
        {"field": "device", "line": '"dev": ["dev"]', "internal": "dev", "mqtt": "dev"},
        {"field": "action", "line": '"H": ["h"]', "internal": "H", "mqtt": "h"},
    ]
    (made,) = group["messages"]
    assert made["message"].endswith("dev/- H h=41")
    assert "is not in the map" in made["problem"]


def test_what_is_pasted_works(view: View, tmp_path: Path) -> None:
    view.collector.frame("dev", RULE, b"H 40")
    (group,) = view.groups()
    rules = load_yaml(group["rule"], "pasted", {}).data
    fields: dict[str, Any] = json.loads(json.dumps(MAP))
    for line in group["lines"]:
        fields[line["field"]]["map"] |= json.loads(f"{{{line['line']}}}")
    view.close()
    with closing(View(tmp_path, decode=rules, map=fields)) as mended:
        mended.collector.frame("dev", RULE, b"H 40")
        assert mended.groups() == [], "a rule takes them now"
        interface = mended.gateway.configuration.interfaces[0]
        published = interface.msg_map.internal2mqtt(InternalMsg(device="dev", action="H", arguments={"h": 40}))
        assert json.loads(published.payload) == {"action": "h", "h": 40}


def test_frames_that_a_rule_takes_by_now_are_not_shown(view: View) -> None:
    view.collector.frame("dev", RULE, b"T 5")
    assert view.groups() == []


@pytest.mark.parametrize(
    ("kind", "part"), [(VALUE, "converters"), (CHECKSUM, "what it covers"), (PARTS, "rule with join")]
)
def test_frames_that_were_dropped_for_another_cause_have_advice(view: View, kind: str, part: str) -> None:
    view.collector.frame("dev", kind, b"H 40", "why")
    (group,) = view.groups()
    assert part in group["advice"]
    assert (group["kind"], group["reason"]) == (kind, "why")


def test_a_frame_that_is_too_long_is_told_to_be(view: View) -> None:
    view.collector.frame("dev", RULE, b"x" * 5000)
    (group,) = view.groups()
    assert "too long" in group["advice"]
    assert group["rule"] == ""


def test_words_that_the_map_does_not_know_have_their_line(view: View) -> None:
    field = FieldMap("device", "strict", {"LAMP": ["lamp"]})
    for change, is_incoming in ((field.write, False), (field.read, True)):
        with pytest.raises(WordError) as err:
            change("Attic")
        view.collector.word("dev", err.value, "where it was", is_incoming=is_incoming)
    groups = {each["kind"]: each for each in view.groups()}
    assert groups["word out"]["lines"] == [
        {"field": "device", "line": '"Attic": ["attic"]', "internal": "Attic", "mqtt": "attic"}
    ]
    assert groups["word in"]["lines"] == [
        {"field": "device", "line": '"ATTIC": ["Attic"]', "internal": "ATTIC", "mqtt": "Attic"}
    ]
    assert groups["word in"]["examples"][0]["text"] == "where it was"
    view.collector.word("dev", WordError("device: known", "device", "LAMP"), "", is_incoming=False)
    assert len(view.groups()) == 2, "a word that the map knows by now is not shown"


@pytest.mark.parametrize("is_incoming", [True, False])
@pytest.mark.parametrize("word", ["attic", "a/b", 'with "quotes"', "é", "lamp", "LAMP ", "#"])
def test_a_line_of_the_map_makes_it_know_the_word(word: str, is_incoming: bool) -> None:
    entries = {"LAMP": ["lamp"], "HALL": ["hall", "corridor"]}
    field = FieldMap("device", "strict", entries)
    try:
        field.read(word) if is_incoming else field.write(word)
    except MessageError:
        line = map_line(field, word, is_incoming=is_incoming)["line"]
        mended = FieldMap("device", "strict", {**entries, **json.loads(f"{{{line}}}")})
        if is_incoming:
            assert mended.read(word)
        else:
            assert mended.read(mended.write(word)) == word
            assert not set("/+#") & set(mended.write(word))


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"T 21.5\rT 21.6\r", [r"\r (2 times)", r'framing: {terminator: "\r"}']),
        (b"T 21.5\x03T 21.6\x03", [r'framing: {terminator: "\x03"}']),
        (b"T 21.5\r\nT 21.6\r\nx\n", [r"\r\n (2 times)", r"\n (1 time)"]),
        (b"T 21.5T 21.6", ["without any line end"]),
        (bytes(range(128, 200)), ["no text", "baudrate"]),
        (b"", ["no text"]),
    ],
)
def test_bytes_without_a_frame_are_told_what_ends_lines_in_them(data: bytes, parts: list[str]) -> None:
    advice = framing_advice(data)
    assert all(part in advice for part in parts), advice


def test_noise_is_shown_with_its_bytes(view: View) -> None:
    view.collector.noise("dev", b"T 21.5\r", "7 bytes in 10 s and no frame ended")
    (group,) = view.groups()
    assert (group["kind"], group["reason"]) == (FRAMING, "7 bytes in 10 s and no frame ended")
    assert group["examples"][0]["text"] == "T 21.5\\r"


def test_secrets_are_masked_in_everything(view: View) -> None:
    """A rule that was proposed for a frame with a secret had most of it; a line of the map had it in small letters."""
    view.collector.frame("dev", RULE, b"LOGIN Hidden+1 5", "no rule")
    view.collector.frame("dev", RULE, b"x" * 1018 + b"Hidden+1", "no rule")  # it is cut within
    view.collector.word("dev", WordError("device: 'Hidden+1' is not", "device", "Hidden+1"), "x", is_incoming=False)
    view.collector.noise("dev", b"Hidden+1", "Hidden+1")
    text = json.dumps(view.groups())
    assert len(view.groups()) == 4
    assert "hidden" not in text.lower()
    assert "hidde" not in text.lower()
    assert b"Hidden+1".hex(" ") not in text
    assert "LOGIN *** 5" in text
    assert text.count("which is masked here") == 4


def test_an_interface_that_is_gone_is_not_shown(view: View) -> None:
    view.collector.frame("gone", RULE, b"H 40")
    assert view.groups() == []


def test_whoever_has_the_token_can_have_it_counted_anew(view: View) -> None:
    view.collector.frame("dev", RULE, b"H 40")
    route = view.unknown.routes()["POST", "/api/unknown/clear"]
    assert route.is_writing
    assert route.answer(REQUEST) == {}
    assert view.groups() == []
