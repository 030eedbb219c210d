"""The announcer: a few documents at a time, what is gone is taken back, and everything again when it is forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.receipt import Receipt
from gateway.integrations.homeassistant.announcer import Announcer
from gateway.integrations.homeassistant.discovery import MIGRATE, payload_of
from gateway.message import Lane, Publication
from tests.conftest import ExpectedLogs

Documents = Mapping[str, Mapping[str, Any]]


class Broker:
    """An outbox and a broker: `waiting` are the publications that are under way, `retained` what the broker has."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Publication, Receipt]] = []
        self.retained: dict[str, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.recorded: dict[str, bytes] = {}
        self.is_full = False
        self.most = 0
        self.now = 0.0
        self.announcer = Announcer(self.put, self.record, lambda: self.now, lambda _, bound: bound / 2)

    def put(self, publication: Publication, receipt: Receipt) -> bool:
        if self.is_full:
            return False
        assert publication.retain and publication.qos == 1 and publication.lane is Lane.BULK and receipt.is_derived
        self.waiting.append((publication, receipt))
        self.most = max(self.most, len(self.waiting))
        return True

    def record(self, topic: str, payload: bytes) -> None:
        self.recorded[topic] = payload
        if not payload:
            del self.recorded[topic]

    def deliver(self, index: int = 0) -> None:
        publication, receipt = self.waiting.pop(index)
        self.sent.append((publication.topic, publication.payload))
        self.retained[publication.topic] = publication.payload
        if not publication.payload:
            del self.retained[publication.topic]
        receipt.mark_delivered()

    def refuse(self, index: int = 0) -> None:
        _, receipt = self.waiting.pop(index)
        receipt.mark_dropped("not authorized")

    def stats(self) -> dict[str, int]:
        """Return the counters of the announcer that are not 0."""
        return {name: number for name, number in self.announcer.stats().items() if number}

    def run(self) -> list[tuple[str, bytes]]:
        """Deliver everything, as far as the announcer sends it without waiting for a time; return it."""
        self.sent.clear()
        self.announcer.step()
        while self.waiting:
            self.deliver()
            self.announcer.step()
        return list(self.sent)


def device(name: str) -> str:
    return f"homeassistant/device/gw/{name}/config"


def component(name: str, platform: str = "sensor") -> str:
    return f"homeassistant/{platform}/gw/{name}/config"


def document(**components: str) -> dict[str, Any]:
    """Return a document with components, each with its platform."""
    return {"components": {key: {"platform": platform, "unique_id": key} for key, platform in components.items()}}


def components_in(payload: bytes) -> dict[str, Any]:
    components = json.loads(payload)["components"]
    assert isinstance(components, dict)
    return components


def many(count: int, value: int = 0) -> dict[str, dict[str, Any]]:
    return {device(f"d{i}"): {"components": {}, "value": value} for i in range(count)}


def test_ten_documents_are_under_way_at_a_time_in_their_order() -> None:
    broker = Broker()
    broker.announcer.update(many(25))
    broker.announcer.step()
    assert len(broker.waiting) == 1, "the first one alone: it may be refused"
    broker.deliver()
    broker.announcer.step()
    assert len(broker.waiting) == 10 and broker.announcer.due_in > 1e9
    assert broker.stats() == {"documents": 25, "documents_waiting": 24, "documents_sent": 1}
    broker.deliver()
    broker.announcer.step()
    assert len(broker.waiting) == 10
    assert [topic for topic, _ in [*broker.sent, *broker.run()]][:25] == list(many(25))
    assert broker.retained == {topic: payload_of(each) for topic, each in many(25).items()}
    assert broker.recorded == broker.retained and broker.most == 10
    assert broker.stats() == {"documents": 25, "documents_sent": 25}


def test_nothing_is_sent_twice_and_what_has_changed_is() -> None:
    broker = Broker()
    broker.announcer.update(many(3))
    broker.run()
    broker.announcer.update(many(3))
    assert broker.run() == []
    broker.announcer.update({**many(3), device("d1"): document(a="sensor")})
    assert [topic for topic, _ in broker.run()] == [device("d1")]


def test_what_is_gone_is_emptied_and_forgotten() -> None:
    broker = Broker()
    broker.announcer.update(many(3))
    broker.run()
    broker.announcer.update(many(1))
    assert sorted(broker.run()) == [(device("d1"), b""), (device("d2"), b"")]
    assert set(broker.retained) == set(broker.recorded) == set(broker.announcer.topics) == {device("d0")}


def test_a_component_that_is_gone_is_removed_and_then_left_out() -> None:
    broker = Broker()
    broker.announcer.update({device("d"): document(a="sensor", b="switch", c="sensor")})
    broker.run()
    broker.announcer.update({device("d"): document(a="sensor", c="binary_sensor")})
    (_, first), (_, last) = broker.run()
    assert components_in(first) == {
        "a": {"platform": "sensor", "unique_id": "a"},
        "b": {"platform": "switch"},
        "c": {"platform": "sensor"},
    }, "what changes its platform is removed first"
    assert json.loads(last) == document(a="sensor", c="binary_sensor")
    assert broker.run() == []


def test_what_an_earlier_run_has_announced_is_taken_back() -> None:
    broker = Broker()
    old = {device("gone"): b"{}", device("d"): payload_of(document(a="sensor", b="sensor")), device("kept"): b"{}"}
    broker.retained.update(old)
    broker.announcer.restore(old)
    broker.announcer.update({device("d"): document(a="sensor")}, kept=[device("kept")])
    assert set(broker.announcer.topics) == set(old)
    broker.run()
    assert broker.retained == {device("d"): payload_of(document(a="sensor")), device("kept"): b"{}"}
    assert (device("gone"), b"") in broker.sent
    broker.announcer.update({device("d"): document(a="sensor")})
    broker.run()
    assert device("kept") not in broker.retained


@pytest.mark.parametrize(
    "garbage", [b"\xff", b"on", b"[]", b'{"components": 5}', b'{"components": {"a": 5}}', b"[" * 9999]
)
def test_garbage_that_is_retained_is_replaced(garbage: bytes) -> None:
    broker = Broker()
    broker.announcer.restore({device("d"): garbage})
    broker.announcer.update({device("d"): document(a="sensor")})
    assert broker.run() == [(device("d"), payload_of(document(a="sensor")))]


def test_everything_is_announced_again_when_the_broker_has_forgotten_it() -> None:
    broker = Broker()
    broker.announcer.update(many(25))
    broker.run()
    broker.retained.clear()
    broker.announcer.announce_all()
    broker.announcer.step()
    broker.announcer.update({**many(25), device("new"): {}})
    broker.run()
    assert set(broker.retained) == {*many(25), device("new")}, "also if a device comes meanwhile"


def test_everything_is_announced_again_some_seconds_after_home_assistant_has_started() -> None:
    broker = Broker()
    broker.announcer.update(many(2))
    broker.run()
    broker.announcer.home_assistant_started()
    assert broker.announcer.due_in == 5.0, "drawn between 0 and 10 s"
    broker.now = 3.0
    assert broker.run() == [] and broker.announcer.due_in == 2.0
    broker.announcer.home_assistant_started()
    assert broker.announcer.due_in == 2.0
    broker.now = 5.0
    assert len(broker.run()) == 2 and broker.announcer.due_in > 1e9


def test_a_flood_of_starts_of_home_assistant_draws_one_delay() -> None:
    broker = Broker()
    delays = [8.0, 0.0, 0.0]
    announcer = Announcer(broker.put, broker.record, lambda: broker.now, lambda _, __: delays.pop(0))
    for _ in range(1000):
        announcer.home_assistant_started()
    assert announcer.due_in == 8.0


def test_a_full_outbox_is_tried_again_later() -> None:
    broker = Broker()
    broker.is_full = True
    broker.announcer.update(many(2))
    assert broker.run() == [] and broker.announcer.due_in == 60.0
    broker.is_full = False
    broker.now = 59.0
    assert broker.run() == []
    broker.now = 60.0
    assert len(broker.run()) == 2


def test_what_the_broker_refuses_is_logged_once_and_tried_again_rarely(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "could not be published for Home Assistant: not authorized: let the limits and the access rules"
    )
    broker = Broker()
    broker.announcer.update(many(100))
    tries = 0
    while broker.now < 86_400:
        broker.announcer.step()
        while broker.waiting:
            assert len(broker.waiting) == 1
            broker.refuse()
            tries += 1
            broker.announcer.step()
        broker.now += broker.announcer.due_in
    assert tries < 35
    broker.announcer.try_again()
    assert len(broker.run()) == 100, "the broker has other rules now"


def test_one_document_that_is_refused_does_not_hold_others_back(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("could not be published for Home Assistant")
    broker = Broker()
    broker.announcer.update(many(100))
    broker.announcer.step()
    broker.refuse()
    assert [topic for topic, _ in broker.run()] == list(many(100))[1:]
    broker.announcer.update({**many(100), device("new"): {}})
    assert device("new") in [topic for topic, _ in broker.run()], "at once"


def test_a_change_of_the_form_lets_the_new_one_take_over() -> None:
    broker = Broker()
    old = {component("a"): {"name": "a"}, component("b", "switch"): {"name": "b"}}
    new = {device("d"): document(a="sensor", b="switch")}
    broker.announcer.update(old)
    broker.run()
    for now in (new, old):
        gone = [topic for topic in broker.retained if topic not in now]
        broker.announcer.update(now)
        sent = broker.run()
        assert sent[: len(gone)] == [(topic, MIGRATE) for topic in gone], "first, the old ones are marked"
        assert sent[-len(gone) :] == [(topic, b"") for topic in gone], "last, they are emptied"
        assert {topic: payload for topic, payload in sent if payload not in (MIGRATE, b"")} == {
            topic: payload_of(each) for topic, each in now.items()
        }
        assert broker.run() == []


def test_what_is_under_way_at_a_change_of_the_form_is_marked_as_well() -> None:
    broker = Broker()
    broker.announcer.update({component("a"): {"name": "a"}})
    broker.announcer.step()
    broker.announcer.update({device("d"): document(a="sensor")})
    assert [topic for topic, _ in broker.run()] == [component("a"), component("a"), device("d"), component("a")]
    assert broker.sent[1] == (component("a"), MIGRATE) and broker.sent[3] == (component("a"), b"")


EVENTS = ("step", "deliver", "refuse", "forget", "update", "start", "wait", "full")
ORDERS = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 99)), max_size=60)


@settings(max_examples=60)
@given(ORDERS)
def check_order(orders: list[tuple[str, int]]) -> None:
    broker = Broker()
    wanted: Documents = many(1000)
    broker.announcer.update(wanted)
    for what, number in orders:
        if what == "step":
            broker.announcer.step()
        elif what == "deliver" and broker.waiting:
            broker.deliver(number % len(broker.waiting))
        elif what == "refuse" and broker.waiting:
            broker.refuse(number % len(broker.waiting))
        elif what == "forget":
            broker.retained.clear()
            broker.announcer.announce_all()
        elif what == "update":
            wanted = many(900 + number, number % 3)
            broker.announcer.update(wanted)
        elif what == "start":
            broker.announcer.home_assistant_started()
        elif what == "wait":
            broker.now += number
        elif what == "full":
            broker.is_full = not broker.is_full
        assert len(broker.waiting) <= 10
    broker.is_full = False
    for _ in range(5):
        broker.run()
        broker.now += 4000
    assert broker.retained == {topic: payload_of(each) for topic, each in wanted.items()}
    assert broker.recorded == broker.retained and broker.most <= 10


def test_whatever_happens_ten_are_under_way_and_all_are_announced_at_the_end(expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("could not be published for Home Assistant")
    check_order()


def test_a_document_that_stays_refused_is_logged_once(expected_logs: ExpectedLogs, caplog: Any) -> None:
    expected_logs.expect("could not be published for Home Assistant")
    broker = Broker()
    broker.announcer.update(many(2))
    for _ in range(5):
        broker.announcer.step()
        while broker.waiting:
            publication, _ = broker.waiting[0]
            (broker.refuse if publication.topic == device("d0") else broker.deliver)()
        broker.announcer.step()
        broker.now += 4000
        broker.announcer.announce_all()
    assert sum("could not be published" in record.getMessage() for record in caplog.records) == 1
    broker.run()
    assert "accepts the announcements to Home Assistant again" in caplog.text
