"""The health document is published at an interval, on change, and to whoever asks for it; never too often."""

from __future__ import annotations

import json

import pytest

from gateway.message import Arrival, Publication, ReplyTo
from gateway.runtime.health import Health
from gateway.runtime.health_reports import HealthReports
from tests.conftest import ExpectedLogs
from tests.runtime.test_health import LAMP, LOST, devices, health
from tests.support.fake_clock import FakeClock


class Desk:
    """Health reports whose gateway is `health`, with what they have published and answered."""

    def __init__(self, largest: int | None = None) -> None:
        self.clock = FakeClock()
        self.health: Health = devices(LAMP)
        self.published: list[tuple[str, bytes]] = []
        self.answers: list[Publication] = []
        self.headlines: list[str] = []
        self.refreshed = self.gathered = 0
        self.reports = HealthReports(
            self._gather, self._refresh, lambda topic, payload: self.published.append((topic, payload)),
            self.answers.append, lambda: largest, self.clock,
        )  # fmt: skip
        self.reports.topic = "home/hall/health"
        self.reports.on_headline = self.headlines.append

    def _gather(self) -> Health:
        self.gathered += 1
        return self.health

    def _refresh(self) -> None:
        self.refreshed += 1

    def run(self, seconds: float, step: float = 0.1) -> None:
        """Let the main thread run every `step` seconds."""
        for _ in range(round(seconds / step)):
            self.clock.now += step
            self.reports.step()

    def ask(self, reply_to: ReplyTo | None = None, *, retain: bool = False) -> None:
        self.reports.on_check(Arrival(self.reports.check_topic, b"", retain=retain), reply_to)


def test_a_document_is_published_at_once_and_then_every_minute() -> None:
    desk = Desk()
    desk.reports.step()
    assert [(topic, json.loads(payload)["level"]) for topic, payload in desk.published] == [
        ("home/hall/health", "well")
    ]
    desk.run(59)
    assert len(desk.published) == 1
    desk.run(2)
    assert len(desk.published) == 2, "half a second after the interfaces were asked to count"
    assert desk.refreshed == 2
    desk.run(600, 1)
    assert len(desk.published) in (11, 12)


def test_a_change_is_published_soon() -> None:
    desk = Desk()
    desk.run(10)
    desk.health = devices(LOST)
    desk.run(3.2)
    assert [json.loads(payload)["level"] for _, payload in desk.published] == ["well", "degraded"]
    assert desk.headlines[-1].endswith("lost is offline: 3 requests in a row were not answered")
    desk.health = devices(LOST)._replace(uptime=99.0, time=2000.0)
    desk.run(20)
    assert len(desk.published) == 2 == len(desk.headlines), "what changes all the time is no change"


def test_a_wall_of_flapping_devices_brings_about_few_documents() -> None:
    desk = Desk()
    for number in range(600):
        desk.health = devices(*((LOST if number % 2 else LAMP)._replace(id=f"d{each}") for each in range(50)))
        desk.run(0.1)
    assert len(desk.published) <= 60 / 3 + 3
    assert desk.gathered <= 60 / 3 + 3


def test_the_main_thread_is_woken_for_what_has_to_wait_and_for_nothing_else() -> None:
    desk = Desk()
    desk.reports.step()
    assert desk.reports.due_in == 60.0
    desk.clock.now += 1
    desk.reports.step()  # it ran for something: has anything changed?
    assert desk.reports.due_in == 2.0
    desk.clock.now += 2
    desk.reports.step()
    assert desk.reports.due_in == 57.0


def test_whoever_asks_gets_the_document_on_the_response_topic() -> None:
    desk = Desk()
    desk.ask(ReplyTo("my/response", b"7"))
    (answer,) = desk.answers
    assert (answer.topic, answer.qos, answer.retain, answer.correlation) == ("my/response", 1, False, b"7")
    assert json.loads(answer.payload)["name"] == "hall"
    assert desk.published == []
    desk.ask()
    desk.ask(ReplyTo("", b"7"))
    assert [topic for topic, _ in desk.published] == ["home/hall/health"] * 2
    desk.ask(retain=True)
    assert len(desk.answers) + len(desk.published) == 3, "a retained question would be asked at each connect"


@pytest.mark.parametrize("reply_to", [ReplyTo("my/response"), None])
def test_a_flood_of_questions_costs_one_look_and_few_answers(
    expected_logs: ExpectedLogs, reply_to: ReplyTo | None
) -> None:
    """A thousand answers of 64 KiB would push everything else out of the outbox."""
    expected_logs.expect("not answered: more than 10 messages a second on home/hall/health/check")
    desk = Desk()
    for _ in range(1000):
        desk.ask(reply_to)
    assert desk.gathered == 1 and len(desk.answers) + len(desk.published) == 10
    desk.clock.now += 1.5
    desk.ask(reply_to)
    assert desk.gathered == 2 and len(desk.answers) + len(desk.published) == 11


def test_the_document_fits_into_what_the_broker_accepts() -> None:
    desk = Desk(largest=6000)
    desk.health = devices(*(LAMP._replace(id=f"device{number}") for number in range(500)))
    desk.reports.step()
    ((_, payload),) = desk.published
    assert len(payload) <= 6000 - 1024
    assert json.loads(payload)["not_shown"]["devices"] > 400


def test_the_signature_knows_a_device_that_is_heard_for_the_first_time() -> None:
    desk = Desk()
    desk.health = devices(LAMP._replace(age=None))
    desk.run(10)
    desk.health = devices(LAMP)
    desk.run(5)
    assert len(desk.published) == 2
    assert health().devices == {}
