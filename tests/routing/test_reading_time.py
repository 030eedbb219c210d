"""The time of a reading: which messages have it, and how it travels, also with a message that is sent later."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import Argument, InternalMsg, Publication, ReportRule
from gateway.outbox.outbox import Outbox
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.documents import Documents
from gateway.routing.outlet import Outlet
from gateway.routing.reading_time import ReadingTime
from gateway.translation.mqtt_map import MsgMap
from tests.conftest import ExpectedLogs

NOON = 1_795_953_600.0  # 2026-11-29T12:00:00Z
BOILER = Device("boiler", (Point("t", PointType.NUMBER, (Feed("T", "t"),)),), address={"device": "boiler"})


def reading(**arguments: Argument) -> InternalMsg:
    return InternalMsg(device="boiler", action="T", arguments=arguments)


class Bench:
    """An outlet with clocks of its own: `now` seconds after noon."""

    def __init__(self, reading_time: ReadingTime | None, *devices: Device) -> None:
        self.now = 0.0
        self.documents: dict[str, Any] = {}
        documents = Documents(publish=lambda topic, payload: self.documents.update({topic: payload}))
        memory = DeviceMemory(lambda: self.now, lambda: NOON + self.now, documents)
        memory.configure(devices, {}, {})
        self.outbox = Outbox()
        self.outlet = Outlet("dev", MsgMap("home", sender="gw"), self.outbox, devices=memory)
        self.outlet.reading_time = reading_time

    def push(self, now: float, msg: InternalMsg) -> None:
        self.now = now
        assert self.outlet.push(msg)

    def tick(self, now: float) -> None:
        self.now = now
        self.outlet.tick()

    def sent(self) -> list[Publication]:
        return [entry.publication for entry in self.outbox.take(100)]

    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(publication.payload) for publication in self.sent()]


def at(seconds: float) -> str:
    return f"2026-11-29T12:00:{seconds:06.3f}Z"


@pytest.mark.parametrize(
    ("reading_time", "payload", "user_property"),
    [
        (None, {"action": "T", "t": 21.5}, ("", "")),
        (ReadingTime("at"), {"action": "T", "t": 21.5, "at": at(1.25)}, ("", "")),
        (ReadingTime("", "read"), {"action": "T", "t": 21.5}, ("read", at(1.25))),
        (ReadingTime("at", "read"), {"action": "T", "t": 21.5, "at": at(1.25)}, ("read", at(1.25))),
    ],
)
def test_the_time_travels_as_configured(
    reading_time: ReadingTime | None, payload: dict[str, Any], user_property: tuple[str, str]
) -> None:
    bench = Bench(reading_time)
    bench.push(1.25, reading(t=21.5))
    (publication,) = bench.sent()
    assert (json.loads(publication.payload), publication.user_property) == (payload, user_property)


@pytest.mark.parametrize(
    "msg", [InternalMsg(True, action="HEAT", arguments={"on": True}), InternalMsg(True, action="HEAT").reply("OK")]
)
def test_commands_and_outcomes_have_no_time_of_reading(msg: InternalMsg) -> None:
    bench = Bench(ReadingTime("at", "read"))
    bench.push(1, msg)
    (publication,) = bench.sent()
    assert (b"at" in publication.payload, publication.user_property) == (False, ("", ""))


def test_the_time_that_the_device_has_sent_itself_is_kept() -> None:
    bench = Bench(ReadingTime("at"))
    bench.push(1, reading(t=21.5, at="11:59"))
    assert bench.payloads() == [{"action": "T", "t": 21.5, "at": "11:59"}]


def test_a_value_that_is_none_is_left_out_and_the_rest_has_its_time(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: T: 'h' is left out")
    bench = Bench(ReadingTime("at"))
    bench.push(1, reading(t=21.5, h=float("nan")))
    assert bench.payloads() == [{"action": "T", "t": 21.5, "at": at(1)}]


def test_the_time_is_no_change() -> None:
    bench = Bench(ReadingTime("at", "read"))
    for now, value in [(1, 21.5), (2, 21.5), (3, 22.0)]:
        bench.push(now, reading(t=value).reported_by(ReportRule(on_change=True)))
    assert [(payload["t"], payload["at"]) for payload in bench.payloads()] == [(21.5, at(1)), (22.0, at(3))]


def test_what_waits_for_the_end_of_an_interval_has_the_time_of_its_reading() -> None:
    bench = Bench(ReadingTime("at", "read"))
    for now, value in [(0, 1), (1, 2), (2, 3)]:
        bench.push(now, reading(t=value).reported_by(ReportRule(interval=10)))
    bench.tick(10)
    sent = [(json.loads(each.payload)["at"], each.user_property[1]) for each in bench.sent()]
    assert sent == [(at(0), at(0)), (at(2), at(2))]


@pytest.mark.parametrize("values", [(20, 20, 20), (20, 20, 20.5)])
def test_what_is_refreshed_is_the_last_reading_with_its_time(values: tuple[float, ...]) -> None:
    bench = Bench(ReadingTime("at"))
    rule = ReportRule(on_change=True, deadband=1, refresh=30)
    for now, value in zip((0, 4, 9), values, strict=True):
        bench.push(now, reading(t=value).reported_by(rule))
    bench.tick(30)
    assert [(payload["t"], payload["at"]) for payload in bench.payloads()] == [(20, at(0)), (values[-1], at(9))]


def test_the_state_document_has_the_same_time() -> None:
    bench = Bench(ReadingTime("at"), BOILER)
    bench.push(7.5, reading(t=21.5))
    (payload,) = bench.payloads()
    assert payload["at"] == json.loads(bench.documents["boiler/state"])["_time"]["t"] == at(7.5)


def test_an_interface_may_have_read_a_message_earlier() -> None:
    bench = Bench(ReadingTime("at"), BOILER)
    bench.push(9, reading(t=21.5).read_at(NOON + 2).replace(sender="meter"))
    assert bench.payloads()[0]["at"] == at(2)


@pytest.mark.parametrize("reading_time", [None, ReadingTime("at", "read")])
@pytest.mark.parametrize("time", [math.nan, -math.inf, 1e18, -1e12, "noon", [1]])
def test_a_time_that_cannot_be_used_is_replaced_by_the_present_one(
    reading_time: ReadingTime | None, time: Any, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("is no time of a reading: the present time is used instead")
    bench = Bench(reading_time, BOILER)
    bench.push(1, reading(t=21).read_at(time))
    (document,) = (json.loads(document) for topic, document in bench.documents.items() if topic.endswith("state"))
    assert document["_time"] == {"t": at(1)}
    if reading_time is not None:
        (publication,) = bench.sent()
        assert (json.loads(publication.payload)["at"], publication.user_property) == (at(1), ("read", at(1)))
    assert bench.outlet.stats()["bad_values"] == 1
