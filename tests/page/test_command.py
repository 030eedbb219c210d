"""A command from the page goes the way of all others, has one outcome, and what cannot be sent is named before."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.core.tap import TAP
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.errors import GatewayError
from gateway.message import Argument
from gateway.page.command import Commands, checked
from gateway.page.source import Source
from gateway.start_gateway import Gateway
from gateway.web.access import RequestError, Visitor
from gateway.web.app import Request
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import trial, write_conf
from tests.support.waiting import wait_until

ON = Point("on", PointType.BOOLEAN, (Feed("SET", "on"),), (Write("SET", "on"),), name="Relay")
HANG = Point("hang", PointType.EVENT, (), (Write("HANG", None),))
SPEED = Point("speed", PointType.INTEGER, (), (Write("SPEED", "v"),), unit="%", minimum=0, maximum=100)
LEVEL = Point("level", PointType.NUMBER, (), (Write("LEVEL", "v"),), minimum=-1.5)
MODE = Point("mode", PointType.CHOICE, (), (Write("MODE", "m"),), choices=("auto", 1, True))
TEXT = Point("text", PointType.TEXT, (), (Write("TEXT", "t"),))
SLOW = Device("slow", (ON, HANG, SPEED), address={"device": "slow"})


class Desk:
    """A running gateway with one device, and what the page sends to it."""

    def __init__(self, folder: Path, port: int, *, seconds: float = 0.5, longest_wait: float = 15.0, **options: Any):
        interfaces = {"dev": trial("Slow", seconds=seconds)}
        configuration = load_configuration(write_conf(folder, port, interfaces=interfaces, **options), {})
        (dev,) = configuration.interfaces
        self.gateway = Gateway(configuration._replace(interfaces=(dev._replace(devices=(SLOW,)),)))
        self._thread = threading.Thread(target=self.gateway.run, name="main of the gateway")
        self._thread.start()
        self.commands = Commands(Source(self.gateway), longest_wait)
        try:
            wait_until(lambda: self.gateway.client.is_subscribed)
            wait_until(lambda: self.gateway.hosts["dev"].outlet.is_available)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.commands.close()
        self.gateway.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.gateway.close()

    def send(self, point: object, value: object = None, **names: object) -> Mapping[str, Any]:
        body = {"interface": "dev", "device": "slow", "point": point, "value": value, **names}
        request = Request({}, body, Visitor(may_read=True, may_write=True, is_secure=True))
        (route,) = self.commands.routes().values()
        assert route.is_writing, "whoever has no token must not send commands"
        answer = route.answer(request)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def desk(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Desk]:
    with closing(Desk(tmp_path, mosquitto.port)) as desk:
        yield desk


def test_a_command_is_executed_once_and_its_outcome_told_and_published(desk: Desk, mosquitto: Mosquitto) -> None:
    with mosquitto.client("home/#") as listener:
        first, second = desk.send("on", True), desk.send("on", True)
        wait_until(lambda: len([1 for topic, _ in listener.pairs() if topic == "home/gw/slow/outcome"]) == 2)
        outcomes = [json.loads(payload) for topic, payload in listener.pairs() if topic == "home/gw/slow/outcome"]
    for answer in (first, second):
        assert (answer["outcome"], answer["reason"], answer["topic"]) == ("OK", "", "home////slow/page/C")
        assert json.loads(answer["payload"]) == {"action": "SET", "on": True} and answer["ms"] < 5000
    assert [each["sender"] for each in outcomes] == ["page", "page"], "an equal command is no duplicate"
    assert TAP.recorder is None, "nobody follows messages any more"


def test_a_command_without_an_outcome_in_time_is_waiting(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with closing(Desk(tmp_path, mosquitto.port, seconds=1.0, longest_wait=0.2)) as desk:
        answer = desk.send("hang")
    assert answer["outcome"] == "waiting" and "no outcome after 0.2 s" in answer["reason"]


def test_of_more_commands_than_are_waited_for_the_others_are_refused_at_once(desk: Desk) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(desk.send, "hang") for _ in range(2)]
        wait_until(lambda: TAP.recorder is not None and len(TAP.recorder.followers) == 2)
        with pytest.raises(RequestError) as raised:
            desk.send("on", True)
        assert raised.value.status == "503 Service Unavailable"
        assert [answer.result()["outcome"] for answer in answers] == ["OK", "OK"]


def test_a_command_that_the_filters_deny_is_refused_with_the_reason(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("dropped", "filter")
    filters = {"in": [{"deny": {"action": "SET"}}]}
    with closing(Desk(tmp_path, mosquitto.port, filters=filters)) as desk:
        answer = desk.send("on", True)
        assert (answer["outcome"], answer["where"]) == ("REFUSED", "filter") and answer["reason"]
        assert desk.send("speed", 5)["outcome"] == "OK"


def test_a_command_carries_the_timestamp_that_the_gateway_wants(tmp_path: Path, mosquitto: Mosquitto) -> None:
    commands = {"timestamp_argument": "when", "timestamp_required": True}
    with closing(Desk(tmp_path, mosquitto.port, commands=commands)) as desk:
        answer = desk.send("on", False)
    assert answer["outcome"] == "OK" and "when" in json.loads(answer["payload"])


def test_a_strict_map_that_does_not_know_the_page_is_named_with_the_line_to_add(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    document = {"root": "home", "topics": ["home/+/+/+/+/+/C"], "sender": {"maptype": "strict", "map": {"x": ["x"]}}}
    (tmp_path / "strict_map.json").write_text(json.dumps(document))
    with closing(Desk(tmp_path, mosquitto.port, map="strict_map.json")) as desk, pytest.raises(RequestError) as raised:
        desk.send("on", True)
    assert str(raised.value) == (
        'the map does not know \'page\', the sender of its command: add "page": ["page"] to "sender" in the map'
    )


def test_a_command_on_a_topic_that_is_not_subscribed_is_refused_before(tmp_path: Path, mosquitto: Mosquitto) -> None:
    topics = ["home/+/+/+/+/homeassistant/C"]
    with closing(Desk(tmp_path, mosquitto.port, topics=topics)) as desk, pytest.raises(RequestError) as raised:
        desk.send("on", True)
    assert "does not subscribe to home////slow/page/C" in str(raised.value)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"point": "nothing"}, "nothing can be written to 'nothing'"),
        ({"interface": 5}, "there is no interface 5"),
        ({"device": ["slow"]}, "dev has no device"),
        ({"device": ""}, "nothing can be written to 'on'"),
        ({"point": 7}, "point must be a text"),
    ],
)
def test_what_there_is_not_is_named(desk: Desk, names: dict[str, object], what: str) -> None:
    with pytest.raises(GatewayError, match=re.escape(what)):
        desk.send(**{"point": "on", **names})


@pytest.mark.parametrize(
    ("point", "given", "value"),
    [
        (ON, True, True), (ON, "off", False), (ON, 1, True), (HANG, "anything", None),
        (SPEED, 5, 5), (SPEED, "5", 5), (SPEED, 100.0, 100), (LEVEL, 0.5, 0.5), (LEVEL, "-1.5", -1.5),
        (MODE, "auto", "auto"), (MODE, 1, 1), (MODE, True, True), (TEXT, "", ""), (TEXT, "<b>", "<b>"),
    ],
)  # fmt: skip
def test_values_are_read_as_the_type_of_the_point(point: Point, given: object, value: Argument) -> None:
    result = checked(point, given)
    assert result == value and type(result) is type(value)


@pytest.mark.parametrize(
    ("point", "given", "what"),
    [
        (ON, "maybe", "Relay must be true or false"),
        (ON, None, "Relay must be true or false"),
        (SPEED, 101, "speed must be a whole number from 0 to 100 %"),
        (SPEED, 5.5, "speed must be a whole number from 0 to 100 %"),
        (SPEED, [5], "speed must be a whole number from 0 to 100 %"),
        (SPEED, True, "speed must be a whole number from 0 to 100 %"),
        (LEVEL, -2, "level must be a number of at least -1.5"),
        (LEVEL, "1e999", "level must be a number of at least -1.5"),
        (LEVEL, None, "level must be a number of at least -1.5"),
        (MODE, "other", 'mode must be "auto", 1 or true'),
        (MODE, {"a": 1}, 'mode must be "auto", 1 or true'),
        (TEXT, 5, "text must be a text"),
        (TEXT, "\ud800", "text must be a text"),
        (TEXT, "x" * 17_000, "text must be a text"),
    ],
)
def test_another_value_is_refused_with_what_it_may_be(point: Point, given: object, what: str) -> None:
    with pytest.raises(RequestError, match=f"^{re.escape(what)}") as raised:
        checked(point, given)
    assert raised.value.status == "400 Bad Request"


def test_only_whoever_has_the_token_sends_commands(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    web = {"listen": f"127.0.0.1:{port}", "token": "0123456789abcdef"}
    with closing(Desk(tmp_path, mosquitto.port, web=web)):
        wait_until(lambda: "the page is at" in caplog.text)

        def post(**headers: str) -> tuple[int, Any]:
            with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
                body = json.dumps({"interface": "dev", "device": "slow", "point": "on", "value": True})
                connection.request("POST", "/api/command", body, {"Content-Type": "application/json", **headers})
                response = connection.getresponse()
                return response.status, json.loads(response.read())

        assert post()[0] == 401
        status, answer = post(Authorization="Bearer 0123456789abcdef")
        assert (status, answer["outcome"]) == (200, "OK")
