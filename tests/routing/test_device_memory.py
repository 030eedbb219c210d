"""The devices of an interface at work: what passes, what is published, and what is left for the next run."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.devices.document import DOCUMENT_KINDS
from gateway.devices.point import AUTO, Device, Feed, Point, PointType, Write
from gateway.message import InternalMsg, ReportRule
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.documents import Documents
from tests.conftest import ExpectedLogs

TEMPERATURE = Point("temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),))
BOILER = Device("boiler", (TEMPERATURE,), silent_after=30)


def status(celsius: object) -> InternalMsg:
    return InternalMsg(action="TEMPERATURE", arguments={"celsius": celsius})  # type: ignore[dict-item]


class Bench:
    """A memory with a clock of its own, and what it has published and written to the disk."""

    def __init__(self, *devices: Device, kept: dict[str, bytes] | None = None, max_devices: int = 100) -> None:
        self.now = 0.0
        self.wall: float | None = None  # as `now`
        self.cleared: list[str] = []
        self.published: list[tuple[float, str, bytes]] = []
        self.kept: list[tuple[float, str, bytes]] = []
        documents = Documents(
            lambda topic, payload: self.published.append((self.now, topic, payload)),
            lambda topic, payload: self.kept.append((self.now, topic, payload)),
            lambda device, kind: f"home/gw/{device}/{kind}",
            clear=self.cleared.append,
        )
        self.memory = DeviceMemory(lambda: self.now, lambda: self.now if self.wall is None else self.wall, documents)
        self.memory.configure(devices, {}, kept or {}, max_devices)

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

    def last(self, device: str) -> dict[str, Any]:
        """Return the state document of a device that was published last."""
        topic = f"home/gw/{device}/state"
        return json.loads(next(payload for _, each, payload in reversed(self.published) if each == topic))  # type: ignore[no-any-return]

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


def test_a_device_was_heard_when_it_has_sent_something_and_not_when_its_interface_works(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 30 s")
    bench = Bench(BOILER)
    bench.memory.recover_all()
    bench.advance(5)
    assert [device.age for device in bench.memory.statuses()] == [None]
    bench.push(status(21.5))
    bench.advance(5)
    bench.memory.lose_all("the port is gone")
    bench.memory.recover_all()
    bench.advance(29)
    assert [(device.is_online, device.age) for device in bench.memory.statuses()] == [(None, 34.0)]
    bench.advance(1)
    assert [(device.is_online, device.age) for device in bench.memory.statuses()] == [(False, 35.0)]


def test_an_availability_is_published_only_when_it_has_changed() -> None:
    bench = Bench(BOILER)
    bench.memory.recover_all()
    bench.push(status(21.5))
    for _ in range(3):
        bench.memory.lose_all("the port is gone")
        bench.memory.recover_all()  # whether the device is there is unknown, and unknown is offline as well
    bench.push(status(21.5))
    payloads = [payload for _, topic, payload in bench.published if topic.endswith("/availability")]
    assert payloads == [b"offline", b"online", b"offline", b"online"]


def test_later_changes_wait_for_the_interval_and_messages_do_not() -> None:
    bench = Bench(BOILER)
    for value in (1, 2, 3):
        assert bench.push(status(value)) is not None
    bench.advance(5)
    assert bench.states() == [(0, 1), (1, 3)]


@pytest.mark.parametrize("is_told_first", [True, False])
def test_the_state_that_a_command_has_changed_does_not_wait_for_the_interval(is_told_first: bool) -> None:
    """Whoever has pressed a switch looks at it."""
    heater = Point("heater", PointType.BOOLEAN, (Feed("HEATING", "on"),), (Write("HEAT", "on"),))
    bench = Bench(BOILER._replace(points=(TEMPERATURE, heater), interval=10))
    told = InternalMsg(action="HEATING", arguments={"on": True})
    outcome = InternalMsg(True, action="HEAT", arguments={"on": True}).reply("OK")
    bench.push(status(1))
    bench.now = 1.0
    for msg in (told, outcome) if is_told_first else (outcome, told):
        bench.push(msg)
    assert bench.last("boiler")["heater"] is True
    bench.push(status(2))
    assert bench.last("boiler")["temperature"] == 1
    bench.advance(20)
    assert bench.last("boiler")["temperature"] == 2


def test_what_a_rule_holds_back_is_sent_at_the_end_of_its_interval() -> None:
    bench = Bench()
    rule = ReportRule(interval=2.0)
    assert bench.push(status(1).reported_by(rule)) is not None
    assert bench.push(status(2).reported_by(rule)) is None
    assert bench.advance(5) == [status(2)]
    assert bench.published == []
    assert bench.memory.stats()["readings_suppressed"] == 1


def test_a_refresh_repeats_values_and_no_event() -> None:
    rule = ReportRule(refresh=10)
    bell = Point("bell", PointType.EVENT, (Feed("RING", None, "RING"), Feed("CARD", "number")), report=rule)
    bench = Bench(BOILER._replace(points=(TEMPERATURE._replace(report=rule), bell), silent_after=None))
    for msg in status(20), InternalMsg(action="RING"), InternalMsg(action="CARD", arguments={"number": "1"}):
        assert bench.push(msg) == msg
    assert bench.advance(35) == [status(20)] * 3
    assert bench.push(InternalMsg(action="RING"))


def test_at_the_end_what_is_held_back_is_sent_if_it_is_still_something_new() -> None:
    bench = Bench(BOILER)
    rule = ReportRule(on_change=True, interval=3600)
    for celsius, percent in ((1, 1), (2, 2), (3, 1)):
        bench.push(status(celsius).reported_by(rule))
        bench.push(InternalMsg(action="HUMIDITY", arguments={"percent": percent}).reported_by(rule))
    assert bench.memory.finish() == [status(3)]
    assert bench.memory.finish() == []
    assert bench.states() == [(0, 1), (0, 3)]


@pytest.mark.parametrize("of_message", [None, ReportRule(on_change=True, deadband=1.0)], ids=["point", "message"])
def test_an_argument_that_always_differs_sends_nothing_that_a_deadband_holds_back(
    of_message: ReportRule | None,
) -> None:
    rule = None if of_message else ReportRule(on_change=True, deadband=1.0)
    bench = Bench(BOILER._replace(points=(TEMPERATURE._replace(report=rule),)))

    def dated(celsius: float, at: str) -> InternalMsg:
        msg = InternalMsg(action="TEMPERATURE", arguments={"celsius": celsius, "at": at})
        return msg.reported_by(of_message).with_uncompared(("at",))

    passed = [bench.push(dated(celsius, f"12:00:0{n}")) for n, celsius in enumerate((20.0, 20.5, 21.5))]
    assert passed == [dated(20.0, "12:00:00"), None, dated(21.5, "12:00:02")]
    assert dated(1.0, "").replace(action="OTHER").uncompared == dated(1.0, "").read_at(1.0).uncompared == ("at",)


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


def test_what_would_tell_of_devices_that_a_reload_has_added_is_known_once() -> None:
    bench = Bench(BOILER)
    assert bench.memory.take_added() == (), "it begins with them"
    other = BOILER._replace(id="other", where={"unit": 2})
    bench.memory.configure([BOILER, other], {}, {})
    assert set(bench.memory.take_added()) == {feed.action for point in other.points for feed in point.feeds} != set()
    assert not bench.memory.take_added()
    bench.memory.configure([BOILER], {}, {})
    assert not bench.memory.take_added()


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    silent_after=st.sampled_from([None, 3.0, "auto"]),
    steps=st.lists(st.sampled_from(["push", "lose", "recover", "wait", "unanswered", "reload"]), max_size=20),
)
def test_the_availability_of_a_device_agrees_with_its_status(
    expected_logs: ExpectedLogs, silent_after: float | str | None, steps: list[str]
) -> None:
    expected_logs.allow("device 'boiler' is offline")
    device = BOILER._replace(silent_after=silent_after)
    bench = Bench(device)
    do: dict[str, Callable[[], object]] = {
        "push": lambda: bench.push(status(21.5)),
        "lose": lambda: bench.memory.lose_all("the port is gone"),
        "recover": lambda: bench.memory.recover_all(),
        "wait": lambda: bench.advance(2),
        "unanswered": lambda: bench.memory.unanswered(status(21.5)),
        "reload": lambda: bench.memory.configure([device], {}, {}),
    }
    for step in steps:
        do[step]()
        published = {topic: payload for _, topic, payload in bench.published}
        state = json.loads(published.get("home/gw/boiler/state", b'{"_status": "unknown"}'))
        availability = published.get("home/gw/boiler/availability", b"offline")
        assert (state["_status"] == "online") is (availability == b"online")


def test_a_reload_publishes_only_the_documents_of_devices_that_have_changed(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 30 s", "device 'attic' is offline")
    attic = BOILER._replace(id="attic", address={"device": "attic"})
    bench = Bench(BOILER, attic)
    bench.push(status(21.5))
    bench.push(status(21.5).replace(device="attic"))
    bench.advance(10)
    bench.published.clear()
    bench.memory.configure([BOILER, attic._replace(points=(TEMPERATURE._replace(unit="K"),))], {}, {})
    assert [topic for _, topic, _ in bench.published] == ["home/gw/attic/state"]
    bench.advance(30)
    assert bench.last("boiler")["_status"] == bench.last("attic")["_status"] == "offline", "silence goes on"


def test_a_device_that_is_gone_and_comes_back_is_kept_for_the_next_run_at_once() -> None:
    bench = Bench(BOILER)
    bench.push(status(21.5))
    bench.memory.configure([], {}, {})
    bench.memory.configure([BOILER], {}, {})
    bench.kept.clear()
    bench.push(status(22.5))
    assert [topic for _, topic, _ in bench.kept] == ["home/gw/boiler/state", "home/gw/boiler/availability"]


METER = Device("meter{unit}", (TEMPERATURE,), where={"unit": "{unit}"})


def of_unit(unit: object, celsius: float = 21.5) -> InternalMsg:
    return status(celsius).with_arguments({"celsius": celsius, "unit": unit})  # type: ignore[dict-item]


def left_by(*units: object, template: Device = METER, **options: Any) -> dict[str, bytes]:
    """Return what a run leaves in which these units were heard, one each second."""
    bench = Bench(template, **options)
    for unit in units:
        bench.push(of_unit(unit))
        bench.advance(1)
    bench.memory.remember_all()
    assert not any(b"_address" in payload for _, _, payload in bench.published), "it is not published"
    return {topic: payload for _, topic, payload in bench.kept}


def test_devices_of_a_template_come_back_at_the_start_as_an_earlier_run_has_left_them() -> None:
    bench = Bench(METER, kept=left_by(3, "a/b"))
    assert bench.memory.topics[:: len(DOCUMENT_KINDS)] == ["home/gw/metera_b/state", "home/gw/meter3/state"]
    document = bench.last("meter3")
    assert (document["temperature"], document["_status"]) == (21.5, "unknown")
    assert document["_quality"] == {"temperature": "stale"}
    bench.memory.recover_all()
    bench.push(of_unit(3, 22.0))
    assert bench.last("meter3")["_status"] == "online" and bench.last("meter3")["_quality"] == {}
    assert bench.last("metera_b")["_status"] == "unknown"
    assert Bench(METER, kept={topic: payload for _, topic, payload in bench.kept}).memory.topics


def test_a_reload_publishes_nothing_again_of_what_is_on_the_disk() -> None:
    bench = Bench(BOILER, METER, kept=left_by(3, 4))
    bench.push(status(21.5))
    bench.push(of_unit(4))
    bench.advance(5)
    kept = {topic: payload for _, topic, payload in bench.kept}
    bench.published.clear()
    assert bench.memory.configure([BOILER, METER], {}, kept) == []
    bench.advance(5)
    assert bench.published == []


def test_a_device_of_an_earlier_run_that_is_not_heard_is_offline_as_a_declared_one_is(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("device 'meter3' is offline: nothing heard for 30 s")
    template = METER._replace(silent_after=30.0)
    bench = Bench(template, kept=left_by(3, template=template))
    bench.memory.recover_all()
    bench.advance(29)
    assert bench.last("meter3")["_status"] == "unknown"
    bench.advance(2)
    assert bench.last("meter3")["_status"] == "offline"


@pytest.mark.parametrize(
    "template",
    [
        METER._replace(id="unit{unit}"),
        METER._replace(where={"channel": "{unit}"}),
        METER._replace(address={"device": "other"}),
        BOILER,
    ],
)
def test_a_device_that_its_template_does_not_make_any_more_is_gone(template: Device) -> None:
    bench = Bench(template, kept=left_by(3))
    assert not any("meter3" in topic for topic in bench.memory.topics)


def test_what_is_no_document_of_a_template_adds_no_device() -> None:
    kept = {
        f"home/gw/meter{number}/state": payload
        for number, payload in enumerate(
            [b'{"_address":', b'{"_address":[],"_where":{}}', b'{"_address":{"device":1},"_where":{"unit":2}}']
        )
    }
    assert Bench(METER, kept=kept).memory.topics == []
    (state,) = (payload for topic, payload in left_by(3).items() if topic.endswith("state"))
    assert Bench(METER, kept={"home/gw/other/state": state}).memory.topics == []


def test_a_device_that_was_not_heard_since_the_start_gives_its_place_to_a_new_one(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("there are 2 already; raise max_devices")
    bench = Bench(METER, kept=left_by(1, 2, 3), max_devices=2)
    assert bench.memory.topics[:: len(DOCUMENT_KINDS)] == [
        "home/gw/meter3/state",
        "home/gw/meter2/state",
    ]  # the newest values
    bench.push(of_unit(2))
    bench.push(of_unit(9))
    assert bench.memory.topics[:: len(DOCUMENT_KINDS)] == ["home/gw/meter2/state", "home/gw/meter9/state"]
    assert bench.cleared == ["home/gw/meter3/state", "home/gw/meter3/availability"]
    bench.push(of_unit(3))
    assert bench.memory.stats()["devices_rejected"] == 1
    assert bench.memory.stats()["devices"] == 2


def test_a_device_of_a_template_is_kept_for_the_run_after_next_though_it_is_not_heard() -> None:
    second = Bench(METER, kept=left_by(3))
    second.memory.remember_all()
    kept = {topic: payload for _, topic, payload in second.kept}
    assert Bench(METER, kept=kept).last("meter3")["temperature"] == 21.5


def test_a_value_that_json_cannot_have_is_not_kept() -> None:
    assert Bench(METER, kept=left_by(b"x", {1}, float("nan"))).memory.topics == []


def test_the_pauses_of_an_earlier_run_count_for_the_limit_of_silence(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 150 s")
    device = BOILER._replace(silent_after=AUTO)
    first = Bench(device)
    for value in range(5):
        first.push(status(value))
        first.advance(30)
    first.memory.remember_all()
    bench = Bench(device, kept={topic: payload for _, topic, payload in first.kept})
    bench.memory.recover_all()
    bench.advance(151)
    assert bench.last("boiler")["_status"] == "offline"


def test_the_last_document_is_written_to_the_disk_though_none_follows() -> None:
    bench = Bench(BOILER._replace(silent_after=None))
    bench.push(status(1))
    bench.advance(10)
    bench.push(status(2))
    bench.advance(100)
    written = [(at, json.loads(payload)["temperature"]) for at, topic, payload in bench.kept if "/state" in topic]
    assert written == [(0, 1), (60, 2)]


def test_a_device_that_only_takes_commands_has_documents_as_well() -> None:
    lamp = Point("lamp", PointType.BOOLEAN, writes=(Write("SET", "on"),), assumed=True)
    bench = Bench(Device("lamp", (lamp,)))
    bench.memory.recover_all()
    bench.push(InternalMsg(True, action="SET", arguments={"on": True}).reply("OK"))
    bench.advance(1)
    payloads = [json.loads(payload) for _, topic, payload in bench.published if topic.endswith("state")]
    assert [(content["_status"], content.get("lamp")) for content in payloads] == [("online", None), ("online", True)]


def test_a_document_that_cannot_be_written_stops_nothing(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the state document of the device 'boiler' cannot be written: ValueError")
    bench = Bench(BOILER, BOILER._replace(id="other", address={"device": "other"}))
    bench.push(status(1))
    bench.push(status(2).read_at(float("nan")))
    bench.push(status(3).replace(device="other"))
    bench.push(status(4).replace(device="other"))
    bench.advance(1)
    assert bench.last("other")["temperature"] == 4
    bench.push(status(5))
    bench.advance(1)
    assert bench.last("boiler")["temperature"] == 5


def in_another_thread(function: Callable[[], object]) -> bool:
    """Call `function` in another thread, and return whether it has returned within a short time."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(0.3)
    return not thread.is_alive()


def test_a_reload_reads_what_is_kept_while_messages_go_on() -> None:
    first = Bench(BOILER)
    first.push(status(1))
    kept = {topic: payload for _, topic, payload in first.kept}
    passed: list[bool] = []

    def topic(device: str, kind: str) -> str:
        if is_reloading:
            passed.append(in_another_thread(lambda: memory.observe(status(2))))
        return f"home/gw/{device}/{kind}"

    is_reloading = False
    memory = DeviceMemory(lambda: 0.0, lambda: 0.0, Documents(topic=topic))
    memory.configure([BOILER], {}, {})
    memory.observe(status(1))
    is_reloading = True
    memory.configure([BOILER], {}, kept)
    is_reloading = False
    assert passed[0]


def test_many_documents_are_written_a_few_at_a_time() -> None:
    events: list[str] = []

    def topic(device: str, kind: str) -> str:
        events.append("state")
        return f"home/gw/{device}/{kind}"

    now = 0.0
    documents = Documents(lambda _topic, _payload: events.append("published"), topic=topic)
    memory = DeviceMemory(lambda: now, lambda: now, documents)
    memory.configure([BOILER._replace(id=f"b{number}", silent_after=None) for number in range(100)], {}, {})

    def recover() -> None:
        memory.recover_all()

    def refresh() -> None:
        nonlocal now
        now = 3600.0
        memory.tick()

    for write in recover, refresh:
        events.clear()
        write()
        runs = [len(list(run)) for is_read, run in itertools.groupby(events, "state".__eq__) if is_read]
        assert events.count("published") >= 100 and max(runs) <= 32, "two topics each"


def test_an_older_document_is_not_written_to_the_disk_after_a_newer_one() -> None:
    disk: list[object] = []
    threads: list[threading.Thread] = []
    now = 0.0

    def push(value: int) -> None:
        memory.observe(status(value))
        memory.publish_changed()

    def push_later() -> None:
        nonlocal now
        now = 100.0
        push(3)

    def remember(topic: str, payload: bytes) -> None:
        value = json.loads(payload).get("temperature") if topic == "boiler/state" else None
        if value == 2:
            threads.append(threading.Thread(target=push_later))
            threads[0].start()
            threads[0].join(0.3)  # it has to wait
        if value is not None:
            disk.append(value)

    memory = DeviceMemory(lambda: now, lambda: now, Documents(remember=remember))
    memory.configure([BOILER], {}, {})
    push(1)
    now = 5.0
    push(2)
    memory.remember_all()
    threads[0].join(10)
    assert disk == [1, 2, 3]


def test_a_device_that_has_given_its_place_and_is_back_keeps_its_documents(expected_logs: ExpectedLogs) -> None:
    bench = Bench(METER, kept=left_by(1, 2), max_devices=2)
    bench.memory.observe(of_unit(9))  # takes the place of unit 1
    bench.memory.observe(of_unit(1))  # takes that of unit 2, before anything is published
    bench.memory.publish_changed()
    assert bench.memory.topics[:: len(DOCUMENT_KINDS)] == ["home/gw/meter9/state", "home/gw/meter1/state"]
    assert bench.cleared == ["home/gw/meter2/state", "home/gw/meter2/availability"]


def test_what_the_broker_retains_of_a_device_that_a_template_may_make_waits_for_it() -> None:
    bench = Bench(METER)
    documents = {topic: payload for topic, payload in left_by(3, 4).items() if topic.endswith("state")}
    foreign = {"home/gw/other/state": documents["home/gw/meter3/state"], "home/gw/meter5/state": b"on"}
    assert bench.memory.recall({**documents, **foreign}) == documents.keys()
    assert bench.last("meter3")["_status"] == "unknown"
    assert bench.last("meter3")["_quality"]["temperature"] == "stale"
    assert (0.0, "home/gw/meter3/availability", b"offline") in bench.published
    bench.push(of_unit(3).with_arguments({"unit": 3, "other": 1}))
    assert bench.last("meter3")["temperature"] == 21.5
    assert set(bench.memory.configure([BOILER], {}, {})) == {
        f"home/gw/meter{unit}/{kind}" for unit in (3, 4) for kind in ("state", "availability")
    }


@pytest.mark.parametrize("moment", ["while devices are looked at", "before what is left of it is published"])
def test_a_device_that_is_found_during_the_recall_begins_with_what_the_broker_retains(moment: str) -> None:
    humidity = Point("humidity", PointType.NUMBER, (Feed("HUMIDITY", "percent"),))
    template = METER._replace(points=(TEMPERATURE, humidity))
    retained = {topic: payload for topic, payload in left_by(3, template=template).items() if topic.endswith("state")}
    published: list[dict[str, Any]] = []
    threads: list[threading.Thread] = []

    def find() -> None:
        memory.observe(InternalMsg(action="HUMIDITY", arguments={"percent": 40, "unit": 3}))
        memory.publish_changed()

    def start(at: str) -> None:
        if at == moment and not threads:
            threads.append(threading.Thread(target=find))
            threads[0].start()
            threads[0].join(0.3)  # it may have to wait

    def topic_of(device: str, kind: str) -> str:
        if is_recalling and device == "boiler":
            start("while devices are looked at")
        return f"home/gw/{device}/{kind}"

    def publish(topic: str, payload: bytes) -> None:
        if topic == "home/gw/meter3/state":
            start("before what is left of it is published")
            published.append(json.loads(payload))

    is_recalling = False
    memory = DeviceMemory(lambda: 0.0, lambda: 0.0, Documents(publish, topic=topic_of))
    memory.configure([BOILER, template], {}, {})
    is_recalling = True
    assert memory.recall(retained) == retained.keys()
    threads[0].join(10)
    assert (published[-1]["_status"], published[-1]["humidity"]) == ("online", 40)
    assert published[-1]["temperature"] == 21.5


def test_a_device_that_was_never_heard_is_unknown_and_not_available() -> None:
    bench = Bench(BOILER)
    bench.memory.recover_all()
    assert bench.last("boiler")["_status"] == "unknown"
    assert bench.published[-1] == (0.0, "home/gw/boiler/availability", b"offline")
    before = len(bench.published)
    bench.memory.recover_all()
    assert len(bench.published) == before, "once"
    bench.push(status(1))
    assert bench.published[-1] == (0.0, "home/gw/boiler/availability", b"online")


def test_what_is_due_for_many_points_wakes_the_process_once_a_second_at_most() -> None:
    rule = ReportRule(on_change=True, refresh=300)
    points = tuple(
        Point(f"p{number}", PointType.NUMBER, (Feed("T", f"p{number}"),), report=rule) for number in range(10)
    )
    bench = Bench(*(Device(f"d{number}", points, address={"device": f"d{number}"}) for number in range(20)))
    for number in range(200):
        bench.advance(1.53125)  # exact as a float
        bench.push(InternalMsg(device=f"d{number % 20}", action="T", arguments={f"p{number // 20}": 1.0}))
    bench.advance(0)
    end, moments, messages = bench.now + 300, set(), 0
    while bench.now + bench.memory.due_in < end:
        bench.now += bench.memory.due_in
        moments.add(bench.now)
        messages += len(bench.memory.tick())
    assert all(moment == int(moment) for moment in moments)
    assert messages >= 190


def test_rejected_devices_do_not_flood_the_log(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.expect("no device is added for the message")
    bench = Bench(Device("x_{device}", (TEMPERATURE,)), max_devices=100)
    for number in range(200):
        for device in (f"{number}{'y' * 70}", f"a.{number}", f"a_{number}"):
            bench.push(status(1).replace(device=device))
    assert len(caplog.records) == 3


def test_a_value_of_an_earlier_run_is_not_newer_than_now() -> None:
    document = (
        b'{"temperature": 1, "_status": "online", "_quality": {}, "_time": {"temperature": "9999-12-31T00:00:00Z"}}'
    )
    bench = Bench(BOILER, kept={"home/gw/boiler/state": document})
    assert bench.last("boiler")["_time"] == {"temperature": "1970-01-01T00:00:00.000Z"}
    other = Bench(BOILER)
    other.memory.recall({"home/gw/boiler/state": document})
    assert other.last("boiler")["_time"] == {"temperature": "1970-01-01T00:00:00.000Z"}


def test_a_thousand_devices_that_are_silent_at_once_do_not_flood_the_log(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("is offline: nothing heard for 5 s")
    bench = Bench(Device("x_{device}", (TEMPERATURE,), silent_after=5), max_devices=1000)
    for number in range(1000):
        bench.push(status(1).replace(device=f"{number}"))
    bench.advance(10)
    assert 0 < len(caplog.records) <= 50 and bench.memory.stats()["devices_offline"] == 1000


def test_the_declarations_of_devices_change_with_those_that_templates_find_and_lose() -> None:
    template = Device("b_{device}", (TEMPERATURE,))
    bench = Bench(BOILER._replace(address={"device": "boiler"}), template, max_devices=1)
    revision = bench.memory.revision
    assert [(device.id, made_by) for device, made_by, _ in bench.memory.declarations()] == [("boiler", "")]
    bench.push(status(21.5).replace(device="boiler"))
    assert bench.memory.revision == revision, "nothing has come or gone"
    bench.push(status(21.5).replace(device="lamp"))
    assert bench.memory.revision != revision
    assert [(device.id, made_by) for device, made_by, _ in bench.memory.declarations()] == [
        ("boiler", ""),
        ("b_lamp", "b_{device}"),
    ]
    revision = bench.memory.revision
    bench.memory.configure([BOILER], {}, {})
    assert bench.memory.revision != revision


def test_the_declarations_of_devices_change_with_the_points_that_those_of_templates_tell() -> None:
    humidity = Point("humidity", PointType.NUMBER, (Feed("TEMPERATURE", "percent"),))
    bench = Bench(Device("b_{device}", (TEMPERATURE, humidity)))
    bench.push(status(21.5).replace(device="lamp"))
    ((_, _, told),) = bench.memory.declarations()
    assert told == {"temperature"}
    revision = bench.memory.revision
    bench.advance(10)
    bench.push(status(22.5).replace(device="lamp"))
    assert bench.memory.revision == revision
    bench.advance(10)
    bench.push(status(22.5).replace(device="lamp", arguments={"percent": 40}))
    assert bench.memory.revision != revision
    ((_, _, told),) = bench.memory.declarations()
    assert told == {"temperature", "humidity"}


def test_it_is_known_which_documents_a_template_may_still_make() -> None:
    bench = Bench(BOILER, Device("b_{device}", (TEMPERATURE,), address={"function": "heating"}))
    assert bench.memory.may_find("home/gw/b_lamp/state")
    for topic in ("home/gw/boiler/state", "home/gw/c_lamp/state", "home/other/b_lamp/state"):
        assert not bench.memory.may_find(topic)


def test_a_snapshot_has_the_readings_of_one_device_and_when_it_was_heard() -> None:
    bench = Bench(BOILER)
    assert bench.memory.snapshot("other") is None
    bench.now = 5.0
    bench.push(status(21.5))
    bench.advance(2.0)
    snapshot = bench.memory.snapshot("boiler")
    assert snapshot is not None and snapshot.device == BOILER
    assert (snapshot.is_online, snapshot.age, snapshot.readings["temperature"].value) == (True, 2.0, 21.5)
    bench.push(status(22.0))
    assert snapshot.readings["temperature"].value == 21.5
