"""What the page tells of messages and bytes as they pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.control.protocol import ControlError
from gateway.core.tap import READ, TAP
from gateway.message import InternalMsg, Publication
from gateway.page.feed import Feed
from gateway.page.live import Live
from gateway.page.source import Source
from gateway.start_gateway import Gateway
from gateway.web.access import RequestError, Visitor
from gateway.web.app import Content, Request
from tests.support.configuration import write_conf
from tests.support.waiting import wait_until

VISITOR = Visitor(may_read=True, may_write=False, is_secure=True)


class View:
    """The live view of a gateway that is built and does not run, and what a reader of it has seen."""

    def __init__(self, folder: Path) -> None:
        options = {"type": "serial", "port": "loop://"}
        conf = write_conf(folder, 1, interfaces={"a": options, "b": options}, mqtt={"username": "u", "password": "Hd1"})
        self.gateway = Gateway(load_configuration(conf, {}))
        self.feeds = Feed(), Feed(is_raw=True)
        routes = Live(Source(self.gateway), *self.feeds).routes()
        self._answers = {path: route.answer for (_, path), route in routes.items()}

    def close(self) -> None:
        for feed in self.feeds:
            feed.close()
        self.gateway.close()

    def ask(self, path: str, visitor: Visitor = VISITOR, /, **query: object) -> dict[str, Any]:
        texts = {name: str(value) for name, value in query.items()}
        answer = self._answers[path](Request(texts, {}, visitor))
        if isinstance(answer, Content):
            assert (answer.type, answer.tag) == ("application/json", "")
            answer = json.loads(answer.data)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    with closing(View(tmp_path)) as view:
        yield view
    wait_until(lambda: TAP.recorder is None and TAP.wire is None, what="nobody to follow any more")


def drop(interface: str, frame: bytes, where: str = "rule", rule: str = "") -> None:
    recorder = TAP.recorder
    assert recorder is not None
    recorder.frame_dropped(interface, where, "why not", frame, rule)


def publish(interface: str, topic: str) -> None:
    """Have a message pass from an interface to the broker, which acknowledges it."""
    recorder = TAP.recorder
    assert recorder is not None
    recorder.read(interface, 7)
    msg = InternalMsg(device="lamp", action="ON")
    recorder.decoded(interface, b"LAMP ON", "lamps", [msg])
    publication = Publication(topic, b"ON", 1)
    recorder.translated(interface, msg, [publication], "", "")
    recorder.sent([publication])
    recorder.accepted([publication])


def test_a_message_is_told_with_its_whole_way(view: View) -> None:
    begin = view.ask("/api/live")
    assert begin["notes"] == []
    publish("a", "home/lamp")
    answer = view.ask("/api/live", after=begin["next"], wait=10)
    (note,) = answer["notes"]
    assert [stage["stage"] for stage in note["stages"]] == [
        "read", "frame", "rule", "message", "publish", "sent", "acknowledged",
    ]  # fmt: skip
    assert (note["interface"], note["outcome"], note["direction"]) == ("a", "acknowledged", "from device")
    assert begin["next"] == answer["next"] - 1
    assert (answer["missed"], answer["has_gap"]) == (0, False)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a", "b", "a"]),
        ({"device": "b"}, ["b"]),
        ({"device": "lamp"}, ["a"]),
        ({"rule": "lamp*"}, ["a"]),
        ({"topic": "home/#"}, ["a"]),
        ({"topic": "home/+/x"}, []),
        ({"outcome": "dropped"}, ["b", "a"]),
        ({"outcome": "checksum"}, ["a"]),
        ({"drops": "1"}, ["b", "a"]),
        ({"drops": "1", "device": "a"}, ["a"]),
        ({"device": "", "topic": ""}, ["a", "b", "a"]),
    ],
)
def test_only_what_is_wanted_is_told(view: View, query: dict[str, str], expected: list[str]) -> None:
    begin = view.ask("/api/live")
    publish("a", "home/lamp")
    drop("b", b"T 1")
    drop("a", b"T 2", "checksum")
    wait_until(lambda: len(view.feeds[0].recent(lambda _: True, 9)) == 3, what="three notes")
    answer = view.ask("/api/live", after=begin["next"], **query)
    assert [note["interface"] for note in answer["notes"]] == expected
    assert answer["next"] == begin["next"] + 3


def test_a_filter_that_is_none_is_told_in_a_sentence(view: View) -> None:
    with pytest.raises(ControlError, match="the filter 'a/#/b'"):
        view.ask("/api/live", topic="a/#/b")


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "-2"}, {"after": "9" * 30}, {"wait": "61"}, {"wait": ""}])
def test_numbers_that_are_none_are_refused(view: View, query: dict[str, str]) -> None:
    with pytest.raises(RequestError):
        view.ask("/api/live", **query)


def test_bytes_are_those_of_one_interface(view: View) -> None:
    begin = view.ask("/api/wire", interface="a")
    assert TAP.wire is not None
    TAP.wire.note("b", READ, b"no")
    TAP.wire.note("a", READ, b"T 21.5\r\n")
    answer = view.ask("/api/wire", interface="a", after=begin["next"], wait=10)
    ((stage,),) = [note["stages"] for note in answer["notes"]]
    assert (stage["stage"], stage["text"], stage["bytes"]) == ("read", "T 21.5\\r\\n", 8)


def test_secrets_are_masked(view: View) -> None:
    begin = view.ask("/api/live")
    drop("a", b"PIN Hd1")
    text = json.dumps(view.ask("/api/live", after=begin["next"], wait=10))
    assert "PIN ***" in text
    assert "Hd1" not in text
    assert b"Hd1".hex() not in text


def test_hostile_text_is_told_as_it_is(view: View) -> None:
    begin = view.ask("/api/live")
    drop("a", b"<img src=x onerror=alert(1)>\x1b[2J\xff")
    (note,) = view.ask("/api/live", after=begin["next"], wait=10)["notes"]
    assert note["stages"][-1]["text"] == "<img src=x onerror=alert(1)>\\x1b[2J\\xff"


def test_the_interfaces_are_told_whose_bytes_can_be_followed(view: View) -> None:
    assert view.ask("/api/live/interfaces") == {"interfaces": ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("device", "H*"), ("device", "[H*]*"), ("rule", "r-H*"), ("rule", "r-[H*]?*"), ("topic", "home/Hd1/#")],
)
def test_no_filter_tells_whether_a_guess_of_a_secret_is_right(view: View, name: str, pattern: str) -> None:
    """Patterns were compared with what is behind the mask: a secret could be found out character by character."""
    begin = view.ask("/api/live")
    recorder = TAP.recorder
    assert recorder is not None
    msg = InternalMsg(device="Hd1", action="ON")
    recorder.decoded("a", b"LAMP ON", "r-Hd1", [msg])
    publication = Publication("home/Hd1/x/S", b"ON", 1)
    recorder.translated("a", msg, [publication], "", "")
    recorder.sent([publication])
    recorder.accepted([publication])
    assert view.ask("/api/live", after=begin["next"], wait=10)["notes"]
    right, wrong = (
        view.ask("/api/live", after=begin["next"], **{name: each})["notes"]
        for each in (pattern, pattern.replace("H", "G"))
    )
    assert right == wrong


def test_bytes_of_a_device_that_knows_a_secret_need_the_token(view: View) -> None:
    """A device that repeats a code one character at a time showed it: no mask finds a part of it."""
    configuration = view.gateway.configuration
    a, b = configuration.interfaces
    params = {**b.params, "encode": [{"write": "PIN 2718-code#"}]}
    view.gateway.configuration = configuration._replace(
        interfaces=(a, b._replace(params=params)), secrets=(*configuration.secrets, "2718-code")
    )
    assert view.ask("/api/wire", interface="a")["notes"] == []
    with pytest.raises(RequestError, match="one character at a time: to see its bytes, enter the token") as caught:
        view.ask("/api/wire", interface="b")
    assert caught.value.status == "403 Forbidden"
    assert "2718" not in str(caught.value)
    assert view.ask("/api/wire", VISITOR._replace(may_write=True), interface="b")["notes"] == []
