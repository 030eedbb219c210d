"""What the view of a device tells: readings in words, what can be written, and which messages are its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.core.tap import TAP
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.message import Argument, InternalMsg
from gateway.page.device import DeviceView, values_of
from gateway.page.feed import Feed as NewsFeed
from gateway.page.history import History
from gateway.page.source import Source
from gateway.start_gateway import Gateway
from gateway.web.access import RequestError, Visitor
from gateway.web.app import Content, Request
from tests.conftest import ExpectedLogs
from tests.page.test_overview import HOSTILE
from tests.support.configuration import trial, write_conf
from tests.support.waiting import wait_until

LEVEL = Point("level", PointType.NUMBER, (Feed("LEVEL", "percent"),), unit="%")
PUMP = Point("pump", PointType.BOOLEAN, (Feed("LEVEL", "pump"),), (Write("PUMP", "on"),), name="Pump")
MODE = Point("mode", PointType.CHOICE, (), (Write("AUTO", None, "auto"), Write("MANUAL", None, "manual")))
TEXT = Point("text", PointType.TEXT, (Feed("LEVEL", "text"),))
RESET = Point("reset", PointType.EVENT, (), (Write("RESET", None),))
SPEED = Point("speed", PointType.INTEGER, (), (Write("SPEED", "percent"),), minimum=0, maximum=100, unit="%")
POINTS = (LEVEL, PUMP, MODE, TEXT, RESET, SPEED)
TANK = Device("tank", POINTS, name="Tank hidden1", area="Garden", address={"device": "tank"})
TWINS = tuple(Device(f"unit{n}", (LEVEL,), address={"device": "bus"}, where={"unit": n}) for n in (1, 2))


class Desk:
    """A gateway that does not run, and the view of its devices."""

    def __init__(self, folder: Path, devices: tuple[Device, ...] = (TANK,)) -> None:
        conf = write_conf(
            folder, 1, interfaces={"dev": trial("Recorder")}, outbox={"store": "memory"},
            mqtt={"username": "u", "password": "hidden1"},
        )  # fmt: skip
        configuration = load_configuration(conf, {})
        (dev,) = configuration.interfaces
        self.gateway = Gateway(configuration._replace(interfaces=(dev._replace(devices=devices),)))
        self.messages = NewsFeed()
        self.view = DeviceView(Source(self.gateway), History(), self.messages)

    def close(self) -> None:
        self.messages.close()
        self.gateway.close()

    def push(self, device: str = "tank", **arguments: Argument) -> None:
        self.gateway.hosts["dev"].outlet.push(InternalMsg(device=device, action="LEVEL", arguments=arguments))

    def ask(self, path: str = "/api/device", **query: str) -> Mapping[str, Any]:
        request = Request({"interface": "dev", **query}, {}, Visitor(may_read=True, may_write=False, is_secure=True))
        answer = self.view.routes()["GET", path].answer(request)
        return json.loads(answer.data) if isinstance(answer, Content) else answer

    def readings(self) -> dict[str, Any]:
        return {each["key"]: each for each in self.ask(device="tank")["readings"]}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with closing(Desk(tmp_path)) as desk:
        yield desk


def test_a_reading_has_its_value_unit_time_and_quality_with_the_reason(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("LEVEL: 'percent' is left out")
    assert (
        desk.readings()["level"] | {"is_set": False, "value": None, "time": None, "quality": "unknown"}
        == (desk.readings()["level"])
    )
    desk.push(percent=50.5, pump=True)
    level = desk.readings()["level"]
    assert (level["value"], level["unit"], level["quality"], level["type"]) == (50.5, "%", "good", "number")
    assert level["time"] > 1e9 and desk.readings()["pump"]["value"] is True
    desk.push(percent=float("nan"))
    bad = desk.readings()["level"]
    assert (bad["value"], bad["quality"], bad["reason"]) == (50.5, "bad", "nan is no value")
    desk.gateway.hosts["dev"].devices.lose_all("unplugged: hidden1")
    answer = desk.ask(device="tank")
    assert answer["device"]["status"] == "offline" and answer["device"]["reason"] == "unplugged: ***"
    assert desk.readings()["pump"]["quality"] == "stale"


def test_nothing_contains_a_secret(desk: Desk) -> None:
    desk.push(text="the password is hidden1", percent=1)
    desk.ask("/api/device/messages", device="tank")  # from now on
    desk.push(text="again hidden1", percent=2)
    wait_until(lambda: desk.ask("/api/device/messages", device="tank")["notes"])
    notes = desk.ask("/api/device/messages", device="tank")["notes"]
    everything = json.dumps([desk.ask(device="tank"), notes])
    assert "***" in everything and "hidden1" not in everything


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts_and_are_bounded(tmp_path: Path, text: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("is no value of it")  # half a character
    device = Device("tank", (TEXT._replace(name=text, unit=text),), text, text, text, text, {"device": "tank"})
    with closing(Desk(tmp_path, (device,))) as desk:
        desk.push(text=text * 10)
        answer = json.loads(json.dumps(desk.ask(device="tank")))
        (reading,) = answer["readings"]
        assert answer["device"]["name"] == text == reading["name"]
        if reading["is_set"]:
            assert reading["value"].startswith(text) and len(reading["value"]) <= 1003
        assert len(json.dumps(answer)) < 20_000


def test_each_command_says_what_can_be_written(desk: Desk) -> None:
    commands = {each["key"]: each for each in desk.ask(device="tank")["commands"]}
    assert {key: (each["values"], each["is_button"]) for key, each in commands.items()} == {
        "pump": ([True, False], False),
        "mode": (["auto", "manual"], False),
        "reset": (None, True),
        "speed": (None, False),
    }
    assert (commands["speed"]["minimum"], commands["speed"]["maximum"], commands["speed"]["unit"]) == (0, 100, "%")
    assert [each["key"] for each in desk.ask(device="tank")["readings"]] == ["level", "pump", "text"]


@pytest.mark.parametrize(
    ("point", "values"),
    [
        (Point("p", PointType.BOOLEAN, (), (Write("ON", None, True),)), [True]),
        (Point("p", PointType.BOOLEAN, (), (Write("SET", "on"),)), [True, False]),
        (Point("p", PointType.CHOICE, (), (Write("SET", "m"),), choices=("a", 1)), ["a", 1]),
        (Point("p", PointType.CHOICE, (), (Write("SET", "m", choices=("a",)),), choices=("a", "b")), ["a"]),
        (Point("p", PointType.CHOICE, (), (Write("SET", "m", choices=("a", "c")),)), ["a", "c"]),
        (Point("p", PointType.TEXT, (), (Write("SET", "m"),)), None),
        (Point("p", PointType.EVENT, (), (Write("RING", None),)), None),
    ],
)
def test_the_values_of_a_command_are_those_that_it_can_write(point: Point, values: list[Argument] | None) -> None:
    assert values_of(point) == values


def test_an_interface_is_shown_with_its_devices(desk: Desk) -> None:
    answer = desk.ask()
    assert answer["devices"] == ["tank"] and "device" not in answer
    assert answer["interface"]["name"] == "dev"


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ({"interface": "<b>"}, "there is no interface '<b>': the overview lists all of them"),
        ({"device": "x" * 1000}, "dev has no device 'xxx"),
        ({"device": "\u202e"}, "dev has no device '\\u202e'"),
    ],
)
def test_what_there_is_not_is_named(desk: Desk, query: dict[str, str], what: str) -> None:
    with pytest.raises(RequestError) as raised:
        desk.ask(**query)
    assert raised.value.status == "404 Not Found" and str(raised.value).startswith(what)
    assert len(str(raised.value)) < 300


def test_messages_are_those_of_the_device_though_another_one_has_the_same_address(tmp_path: Path) -> None:
    with closing(Desk(tmp_path, TWINS)) as desk:
        desk.ask("/api/device/messages", device="unit1")
        wait_until(lambda: TAP.recorder is not None)
        for unit in (1, 2, 1):
            desk.push("bus", unit=unit, percent=unit)
        desk.push("other", percent=3)

        def notes(device: str) -> list[str]:
            found = desk.ask("/api/device/messages", device=device)["notes"]
            return [stage["message"] for note in found for stage in note["stages"] if "message" in stage]

        wait_until(lambda: len(notes("")) == 4, what="messages that wait for the broker, which is not there")
        assert len(notes("unit1")) == 2 and all("unit=1" in each for each in notes("unit1"))
        assert len(notes("unit2")) == 1
