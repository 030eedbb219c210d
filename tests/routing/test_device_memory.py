"""The devices of an interface at work: what passes, what is published, and what is left for the next run."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg, ReportRule
from gateway.routing.device_memory import DeviceMemory, Documents
from tests.conftest import ExpectedLogs

TEMPERATURE = Point("temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),))
BOILER = Device("boiler", (TEMPERATURE,), silent_after=30)


def status(celsius: object) -> InternalMsg:
    return InternalMsg(action="TEMPERATURE", arguments={"celsius": celsius})  # type: ignore[dict-item]


class Bench:
    """A memory with a clock of its own, and what it has published and written to the disk."""

    def __init__(self, *devices: Device, kept: dict[str, bytes] | None = None) -> None:
        self.now = 0.0
        self.published: list[tuple[float, str, bytes]] = []
        self.kept: list[tuple[float, str, bytes]] = []
        documents = Documents(
            lambda topic, payload: self.published.append((self.now, topic, payload)),
            lambda topic, payload: self.kept.append((self.now, topic, payload)),
            lambda device, kind: f"home/gw/{device}/{kind}",
        )
        self.memory = DeviceMemory(lambda: self.now, lambda: self.now, documents)
        self.memory.configure(devices, {}, kept or {})

    def push(self, msg: InternalMsg) -> InternalMsg | None:
        passed, _ = self.memory.observe(msg)
        self.memory.publish_changed()
        return passed

    def advance(self, seconds: float) -> list[InternalMsg]:
        end = self.now + seconds
        sent: list[InternalMsg] = []
        while self.memory.due_in <= end - self.now:
            self.now += self.memory.due_in
            sent += self.memory.tick()
        self.now = end
        return sent

    def states(self) -> list[tuple[float, object]]:
        return [(at, json.loads(payload)["temperature"]) for at, topic, payload in self.published if "/state" in topic]


def test_a_reading_is_published_as_state_and_availability(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 30 s")
    bench = Bench(BOILER)
    passed = bench.push(status(21.5))
    assert passed is not None and passed == status(21.5)
    (_, topic, payload), availability = bench.published
    assert topic == "home/gw/boiler/state" and json.loads(payload)["temperature"] == 21.5
    assert availability == (0.0, "home/gw/boiler/availability", b"online")
    bench.advance(31)
    assert bench.published[-1] == (30, "home/gw/boiler/availability", b"offline")


def test_later_changes_wait_for_the_interval_and_messages_do_not() -> None:
    bench = Bench(BOILER)
    for value in (1, 2, 3):
        assert bench.push(status(value)) is not None
    bench.advance(5)
    assert bench.states() == [(0, 1), (1, 3)]


def test_what_a_rule_holds_back_is_sent_at_the_end_of_its_interval() -> None:
    bench = Bench()
    rule = ReportRule(interval=2.0)
    assert bench.push(status(1).reported_by(rule)) is not None
    assert bench.push(status(2).reported_by(rule)) is None
    assert bench.advance(5) == [status(2)]
    assert bench.published == []
    assert bench.memory.stats()["readings_suppressed"] == 1


def test_without_devices_and_rules_there_is_nothing_to_do() -> None:
    bench = Bench()
    msg = status(float("nan"))
    assert bench.push(msg) is msg
    assert bench.advance(10_000) == [] and bench.published == []


def test_a_document_is_written_to_the_disk_once_a_minute_and_at_the_end() -> None:
    bench = Bench(BOILER)
    for value in range(90):
        bench.push(status(value))
        bench.advance(1)
    times = [at for at, topic, _ in bench.kept if topic.endswith("state")]
    assert times == [0, 60]
    bench.memory.remember_all()
    assert json.loads(bench.kept[-1][2])["temperature"] == 89


def test_a_document_with_a_value_more_is_written_at_once() -> None:
    humidity = Point("humidity", PointType.NUMBER, (Feed("HUMIDITY", "percent"),))
    bench = Bench(BOILER._replace(points=(TEMPERATURE, humidity)))
    bench.push(status(21.5))
    bench.advance(2)
    bench.push(InternalMsg(action="HUMIDITY", arguments={"percent": 40}))
    bench.advance(2)
    bench.push(status(22.5))
    bench.advance(2)
    written = [(at, json.loads(payload)) for at, topic, payload in bench.kept if topic.endswith("state")]
    assert [at for at, _ in written] == [0, 2]
    # Otherwise the next run, after this one was killed, would publish a document that lacks the humidity.
    assert written[-1][1]["humidity"] == 40


def test_the_next_run_begins_with_what_was_known_as_stale() -> None:
    first = Bench(BOILER)
    first.push(status(21.5))
    kept = {topic: payload for _, topic, payload in first.kept}
    second = Bench(BOILER, kept=kept)
    (_, topic, payload), *_ = second.published
    document = json.loads(payload)
    assert (topic, document["temperature"]) == ("home/gw/boiler/state", 21.5)
    assert document["_quality"] == {"temperature": "stale"}


def test_devices_that_are_gone_after_a_reload_are_named() -> None:
    bench = Bench(BOILER)
    bench.push(status(21.5))
    assert bench.memory.configure([BOILER._replace(name="Boiler")], {}, {}) == []
    gone = bench.memory.configure([], {}, {})
    assert gone == ["home/gw/boiler/state", "home/gw/boiler/availability"]
    assert bench.memory.topics == []


def test_a_device_that_is_added_again_is_not_back(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    expected_logs.expect("device 'boiler' is offline: nothing heard for 30 s")
    bench = Bench(BOILER)
    bench.push(status(21.5))
    bench.advance(31)
    bench.memory.configure([], {}, {})
    bench.memory.configure([BOILER], {}, {})
    bench.push(status(21.5))
    assert "online again" not in caplog.text


def test_many_threads_push_and_nothing_is_torn() -> None:
    devices = [Device(f"d{n}", (TEMPERATURE,), address={"device": f"d{n}"}) for n in range(4)]
    bench = Bench(*devices)

    def push(device: str) -> None:
        for value in range(500):
            bench.push(status(value).replace(device=device))

    threads = [threading.Thread(target=push, args=(device.id,)) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.advance(5)
    last = {topic: json.loads(payload)["temperature"] for _, topic, payload in bench.published if "/state" in topic}
    assert last == {f"home/gw/{device.id}/state": 499 for device in devices}


def test_a_device_that_is_lost_alone_is_logged_once_and_again_when_it_is_back(
    caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 30 s")
    bench = Bench(BOILER)
    with caplog.at_level(logging.INFO):
        bench.push(status(21.5))
        bench.advance(90)
        bench.push(status(21.5))
        bench.memory.lose_all("the port is gone")  # which its interface logs
        bench.memory.recover_all()
        bench.push(status(21.5))
    lines = [record.getMessage() for record in caplog.records if record.name == "mqttgateway.interfaces"]
    assert lines == ["device 'boiler' is offline: nothing heard for 30 s", "device 'boiler' is online again"]


def test_a_device_that_is_gone_and_comes_back_is_kept_for_the_next_run_at_once() -> None:
    bench = Bench(BOILER)
    bench.push(status(21.5))
    bench.memory.configure([], {}, {})
    bench.memory.configure([BOILER], {}, {})
    bench.kept.clear()
    bench.push(status(22.5))
    assert [topic for _, topic, _ in bench.kept] == ["home/gw/boiler/state", "home/gw/boiler/availability"]


def test_a_device_of_a_template_begins_with_what_an_earlier_run_has_left() -> None:
    flow = Point("flow", PointType.NUMBER, (Feed("FLOW", "litres"),))
    then = "2026-01-01T00:00:00Z"
    kept = json.dumps({"temperature": 20, "flow": 7, "_time": {"temperature": then, "flow": then}}).encode()
    bench = Bench(Device("{device}", (TEMPERATURE, flow)), kept={"home/gw/north/state": kept})
    bench.push(status(21.5).replace(device="north"))
    document = json.loads(
        next(payload for _, topic, payload in reversed(bench.published) if topic == "home/gw/north/state")
    )
    assert (document["temperature"], document["flow"], document["_quality"]) == (21.5, 7, {"flow": "stale"})


def test_the_last_document_is_written_to_the_disk_though_none_follows() -> None:
    bench = Bench(BOILER._replace(silent_after=None))
    bench.push(status(1))
    bench.advance(10)
    bench.push(status(2))
    bench.advance(100)
    written = [(at, json.loads(payload)["temperature"]) for at, topic, payload in bench.kept if "/state" in topic]
    assert written == [(0, 1), (60, 2)]
