from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.package_logger import TRAFFIC
from gateway.core.unknown import UNKNOWN, WORD_OUT, Collector
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.errors import DeliveryError
from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg, Lane, Publication, ReplyTo, ReportRule
from gateway.outbox.options import DiscardPolicy, OutboxOptions
from gateway.outbox.outbox import Outbox
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.message_filter import FilterRule, HookStep, MessageFilter
from gateway.routing.outlet import Outlet
from gateway.translation.delivery import DeliveryRule, DeliveryRules
from gateway.translation.mqtt_map import FieldMap, MsgMap
from gateway.translation.syntax import MessageForm
from tests.conftest import ExpectedLogs
from tests.support.desk import Desk
from tests.support.waiting import wait_until


@pytest.fixture
def desk() -> Desk:
    action = FieldMap("action", "strict", {"LAMP_ON": ["on"], "LAMP_OFF": ["off"]})
    return Desk(MsgMap("home", fields={"action": action}, sender="gw", status_qos=1))


def test_a_message_goes_through_the_map_into_the_outbox(desk: Desk) -> None:
    assert desk.outlet.push(InternalMsg(function="lighting", device="lamp", action="LAMP_ON"))
    assert desk.outlet.push(InternalMsg(iscmd=True, function="lighting", action="LAMP_OFF", arguments={"dim": 5}))
    assert [entry.publication for entry in desk.outbox.take(10)] == [
        Publication("home/lighting///lamp/gw/S", b"on", qos=1),
        Publication("home/lighting////gw/C", b'{"action": "off", "dim": 5}', qos=0, is_command=True),
    ]
    assert (desk.outlet.pushed, desk.outlet.refused) == (2, 0)


def test_many_messages_are_pushed_as_one_after_the_other(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: not sent: action: 'LAMP_UP'")
    reply_to = InternalMsg(action="LAMP_OFF").answered_at(ReplyTo("answers", b"7"))
    actions = ["LAMP_ON", "LAMP_UP", *["LAMP_OFF"] * 250]

    def sent() -> Iterator[InternalMsg]:
        for action in actions:
            yield InternalMsg(device="lamp", action=action)
        yield reply_to
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        desk.outlet.push_all(sent())
    taken = [entry.publication for entry in desk.outbox.take(300)]
    assert (desk.outlet.pushed, desk.outlet.refused, len(taken)) == (252, 1, 253)
    assert taken[0].topic == "answers"  # an answer goes before events
    assert [one.payload for one in taken[1:]] == [b"on", *[b"off"] * 251]


def test_push_returns_whether_the_outbox_has_accepted(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full: new messages are refused", "% full")
    full = Outbox(OutboxOptions(max_messages=1, discard=DiscardPolicy.NEW))
    outlet = Outlet("dev", desk.map, full)
    assert outlet.push(InternalMsg(action="LAMP_ON"))
    assert not outlet.push(InternalMsg(action="LAMP_ON"))


def test_a_receipt_follows_its_message(desk: Desk) -> None:
    receipt = desk.outlet.publish(InternalMsg(action="LAMP_ON"))
    receipt.wait_accepted(0)  # in memory that is immediate
    with pytest.raises(DeliveryError, match="not delivered within 0 s"):
        receipt.wait_delivered(0)
    with pytest.raises(DeliveryError, match="1 message was not acknowledged within 0 s"):
        desk.outlet.flush(0)
    desk.outbox.settle(desk.outbox.take(1))
    receipt.wait_delivered(0)
    desk.outlet.flush(0)


def test_a_receipt_contains_the_reason_of_a_refusal(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: not sent: action: 'LAMP_UP'", "outbox full: new messages are refused", "% full")
    receipt = desk.outlet.publish(InternalMsg(action="LAMP_UP"))
    with pytest.raises(DeliveryError, match="the message was dropped: action: 'LAMP_UP' is not in the map"):
        receipt.wait_accepted(0)
    outlet = Outlet("dev", desk.map, Outbox(OutboxOptions(max_messages=1, discard=DiscardPolicy.NEW)))
    assert outlet.publish(InternalMsg(action="LAMP_ON")).is_accepted
    receipt = outlet.publish(InternalMsg(action="LAMP_ON"))
    assert not receipt.is_accepted
    with pytest.raises(DeliveryError, match="the message was dropped: the outbox is full"):
        receipt.wait_delivered(0)


def test_a_message_that_the_map_cannot_write_is_refused_counted_and_logged_once(
    desk: Desk, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        "dev: not sent: action: 'LAMP_UP' is not in the map: add it there, or make the map loose "
        "(status -/-/-/lamp/- LAMP_UP)"
    )
    expected_logs.expect(text)
    for _ in range(3):
        assert not desk.outlet.push(InternalMsg(device="lamp", action="LAMP_UP"))
    assert [record.getMessage() for record in caplog.records] == [text]
    assert (desk.outlet.pushed, desk.outlet.refused, len(desk.outbox)) == (0, 3, 0)


def test_each_kind_of_refusal_is_logged_separately(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("'LAMP_UP' is not in the map", "'a/b': '/' is not allowed in a topic")
    assert not desk.outlet.push(InternalMsg(action="LAMP_UP"))
    assert not desk.outlet.push(InternalMsg(location="a/b", action="LAMP_ON"))


def test_traffic_is_logged_a_line_a_message_where_it_is_wanted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.outlet.push(InternalMsg(device="lamp", action="LAMP_ON"))
    caplog.set_level(logging.CRITICAL, TRAFFIC)
    desk.outlet.push(InternalMsg(device="lamp", action="LAMP_OFF"))
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        (TRAFFIC, "INFO", "dev -> status -/-/-/lamp/- LAMP_ON")
    ]


def test_availability_is_published_only_when_it_changes(desk: Desk) -> None:
    for is_available in (True, True, False, False, True):
        desk.outlet.set_available(is_available)
    assert desk.availability == ["online", "offline", "online"]
    assert len(desk.outbox) == 0


# --- answers, and filters


def test_an_answer_is_published_on_its_status_topic_and_the_response_topic(desk: Desk) -> None:
    command = InternalMsg(True, function="lighting", device="lamp", sender="me", action="LAMP_ON")
    reply_to = command.answered_at(ReplyTo("answers/me", b"17"))
    assert desk.outlet.push(reply_to.reply("OK"))
    assert desk.outlet.push(command.reply("OK"))
    payload = b'{"action": "on", "response": "OK", "reason": ""}'
    status = Publication("home/lighting///lamp/gw/S", payload, qos=1, lane=Lane.REPLY)
    answer = status._replace(topic="answers/me", correlation=b"17")
    assert [entry.publication for entry in desk.outbox.take(10)] == [status, answer, status]
    assert desk.outlet.pushed == 2


def test_an_outcome_that_cannot_be_written_completely_is_published_without_its_arguments(
    desk: Desk, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: LAMP_ON: 'level' is left out: ")
    reply_to = InternalMsg(True, action="LAMP_ON").answered_at(ReplyTo("me/reply", b"17"))
    done = reply_to.reply("OK", "it is on")
    assert desk.outlet.push(done.with_arguments({**done.arguments, "level": b"\0"}))  # type: ignore[dict-item]
    sent = [entry.publication for entry in desk.outbox.take(10)]
    payload = b'{"action": "on", "response": "OK", "reason": "it is on"}'
    assert [(one.topic, one.payload) for one in sent] == [("home/////gw/S", payload), ("me/reply", payload)]


@pytest.mark.parametrize("response", ["OK", "REFUSED"])
def test_a_value_of_an_outcome_that_is_none_takes_only_itself_out(
    desk: Desk, expected_logs: ExpectedLogs, response: str
) -> None:
    expected_logs.expect("dev: LAMP_ON: 'level' is left out: nan is no value of it")
    command = InternalMsg(True, action="LAMP_ON").answered_at(ReplyTo("me/reply", b"17", 1))
    desk.outlet.open_commands.add(command, 100, 0.0)
    assert desk.outlet.push(command.reply(response).with_read({"level": float("nan"), "dim": 5}))
    payload = f'{{"action": "on", "dim": 5, "response": "{response}", "reason": ""}}'.encode()
    assert [entry.publication.payload for entry in desk.outbox.take(10)] == [payload, payload]
    assert desk.outlet.stats()["bad_values"] == 1 and desk.outlet.stats()["late_answers"] == 0


def test_an_integer_that_is_too_long_for_a_text_is_refused_with_its_message(
    desk: Desk, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: not sent: ")
    assert not desk.outlet.push(InternalMsg(action="LAMP_ON", arguments={"unit": 10**5000}))
    assert desk.outlet.refused == 1


NOWHERE = {"function": "", "gateway": "", "location": ""}
VALUES = (
    MessageForm(True, "cmnd/{device}/{action}", "value", constants=NOWHERE),
    MessageForm(False, "stat/{device}/{action}", "value", constants=NOWHERE),
)


def test_an_outcome_that_has_no_topic_in_the_map_is_published_on_the_response_topic(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("dev: not sent: there is no place for the argument 'response', only for 'value'")
    desk = Desk(MsgMap("home", sender="gw", syntax=VALUES, status_qos=1))
    command = InternalMsg(True, device="lamp", action="POWER", arguments={"value": 1})
    assert not desk.outlet.push(command.reply("OK"))
    assert not desk.outlet.push(command.answered_at(ReplyTo("me/reply", b"17")).reply("REFUSED", "no"))
    (answer,) = [entry.publication for entry in desk.outbox.take(10)]
    assert (answer.topic, answer.correlation, answer.qos, answer.lane) == ("me/reply", b"17", 1, Lane.REPLY)
    assert json.loads(answer.payload) == {
        "action": "POWER", "response": "REFUSED", "reason": "no", "requested": {"value": 1}
    }  # fmt: skip


def test_a_filtered_message_is_not_published(desk: Desk) -> None:
    desk.outlet.set_route(desk.map, [MessageFilter("filters.out", [FilterRule(False, {})])], lambda _: None)
    assert not desk.outlet.push(InternalMsg(True, action="LAMP_ON").answered_at(ReplyTo("me/reply")).reply("OK"))
    assert len(desk.outbox) == 0


def test_an_answer_is_neither_retained_nor_replaced_by_the_next_whatever_its_status_is(desk: Desk) -> None:
    rules = DeliveryRules([DeliveryRule({}, Lane.LATEST, outcome=True)])
    desk = Desk(MsgMap("home", sender="gw", delivery=rules))
    desk.outlet.push(InternalMsg(True, action="ON").answered_at(ReplyTo("answers/me")).reply("OK"))
    result = {entry.publication.topic: entry.publication for entry in desk.outbox.take(10)}
    assert (result["home/////gw/S"].retain, result["home/////gw/S"].lane) == (False, Lane.LATEST)
    assert (result["answers/me"].retain, result["answers/me"].lane) == (False, Lane.REPLY)


def latest_desk(*, retain: bool = False) -> Desk:
    return Desk(MsgMap("home", sender="gw", delivery=DeliveryRules([DeliveryRule({}, Lane.LATEST, retain=retain)])))


def waiting(desk: Desk) -> list[tuple[str, dict[str, Argument]]]:
    return [(msg.action, dict(msg.arguments)) for msg in desk.collect()]


def test_while_the_broker_is_away_the_newest_of_each_reading_waits() -> None:
    desk = latest_desk()
    messages: list[tuple[str, dict[str, Argument]]] = [
        ("V", {"v": 1}), ("A", {"a": 1}), ("W", {"w": 1}), ("V", {"v": 1, "hz": 50}), ("V", {"v": 2}), ("A", {"a": 2})
    ]  # fmt: skip
    for action, arguments in messages:
        desk.outlet.push(InternalMsg(device="meter", action=action, arguments=arguments))
    assert waiting(desk) == messages[2:], "the first V has no frequency, and the second one must not be lost for it"
    assert desk.outbox.counts().superseded == 2


def test_readings_that_a_rule_or_a_device_tells_apart_wait_beside_each_other() -> None:
    desk = latest_desk()
    device = Device("garage", points=(Point("power", PointType.NUMBER, feeds=(Feed("POWER", "watts"),)),),
                    address={"device": "meter"}, where={"unit": 4})  # fmt: skip
    desk.outlet.devices.configure([device], {}, {})
    rule = ReportRule(on_change=True, by=("id",))
    for number in range(3):
        for unit in (3, 4):
            desk.outlet.push(InternalMsg(device="meter", action="POWER", arguments={"unit": unit, "watts": number}))
        for tag in "xy":
            msg = InternalMsg(device="meter", action="TAG", arguments={"id": tag, "n": number})
            desk.outlet.push(msg.reported_by(rule))
    assert waiting(desk) == [
        ("POWER", {"unit": 3, "watts": 2}), ("POWER", {"unit": 4, "watts": 2}),
        ("TAG", {"id": "x", "n": 2}), ("TAG", {"id": "y", "n": 2}),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from("VAW"), st.integers(0, 3), st.booleans()), max_size=30))
def test_of_retained_readings_the_last_one_is_published_last(readings: list[tuple[str, int, bool]]) -> None:
    desk = latest_desk(retain=True)
    newest: dict[tuple[str, bool], InternalMsg] = {}
    for action, value, has_more in readings:
        msg = InternalMsg(device="meter", action=action, arguments={"x": value, **({"y": 1} if has_more else {})})
        desk.outlet.push(msg)
        newest.pop((action, has_more), None)
        newest[action, has_more] = msg
    assert waiting(desk) == [(msg.action, dict(msg.arguments)) for msg in newest.values()]


def test_a_command_that_is_passed_on_is_not_sent_to_where_answers_go(desk: Desk) -> None:
    desk.outlet.push(InternalMsg(True, action="LAMP_ON").answered_at(ReplyTo("answers/me")))
    assert [entry.publication.topic for entry in desk.outbox.take(10)] == ["home/////gw/C"]


# --- the documents of outcomes

LAMP = Device("lamp", (), address={"device": "lamp"})
ON = InternalMsg(True, device="lamp", sender="me", action="LAMP_ON", arguments={"pin": 1234, "dim": 5})


def test_the_outcome_of_a_command_for_a_device_is_a_document_as_well(desk: Desk) -> None:
    desk = Desk(desk.map, [LAMP])
    for outcome in ON.reply("OK"), ON.reply("REFUSED", "no"), ON.replace(device="bell").reply("OK"):
        assert desk.outlet.push(outcome)
    publications = [entry.publication for entry in desk.outbox.take(10)]
    assert [one.topic for one in publications].count("home/////gw/S") == 0
    (first, second) = [one for one in publications if one.topic.endswith("outcome")]
    assert (first.topic, first.qos, first.retain, first.lane) == ("home/gw/lamp/outcome", 1, False, Lane.REPLY)
    content = json.loads(second.payload)
    del content["_time"]
    arguments = {"pin": 1234, "dim": 5}
    assert content == {
        "action": "LAMP_ON", "arguments": arguments, "response": "REFUSED", "reason": "no", "sender": "me"
    }  # fmt: skip
    assert len(publications) == 5


def test_an_outcome_that_the_map_cannot_write_is_a_document_all_the_same(
    desk: Desk, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("action: 'LAMP_UP' is not in the map", "'dim' is left out: nan")
    desk = Desk(desk.map, [LAMP])
    assert not desk.outlet.push(ON.replace(action="LAMP_UP").reply("OK"))
    assert desk.outlet.push(ON.replace(arguments={"pin": 1, "dim": float("nan")}).reply("OK"))
    desk.collect()
    assert [(one["action"], one["arguments"]) for one in desk.outcomes] == [
        ("LAMP_UP", {"pin": 1234, "dim": 5}),
        ("LAMP_ON", {"pin": 1}),
    ]


def test_what_a_filter_drops_or_a_hook_hides_is_in_no_document(desk: Desk) -> None:
    def hide(msg: InternalMsg) -> InternalMsg | None:
        shown: dict[str, Argument] = {name: value for name, value in msg.arguments.items() if name != "pin"}
        requested = shown.get("requested")
        if isinstance(requested, dict):
            shown["requested"] = {"pin": "****", "dim": requested["dim"]}
        return None if msg.action == "LAMP_OFF" else msg.replace(arguments=shown)

    desk = Desk(desk.map, [LAMP])
    desk.outlet.set_route(desk.map, [MessageFilter("filters.out", [HookStep("hide", hide)])], lambda _: None)
    for outcome in ON.reply("OK"), ON.replace(action="LAMP_OFF").reply("OK"), ON.reply("ERROR"):
        desk.outlet.push(outcome)
    desk.collect()
    assert [one["arguments"] for one in desk.outcomes] == [{"dim": 5}, {"pin": "****", "dim": 5}]


def test_a_filter_holds_messages_back_before_the_map_sees_them(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    filters = [MessageFilter("filters.out", [FilterRule(False, {"location": ("a/b",)})])]
    sent: list[InternalMsg] = []
    outlet = Outlet("dev", desk.map, desk.outbox, filters=filters, record_sent=sent.append)
    assert not outlet.push(InternalMsg(location="a/b", action="LAMP_ON"))
    assert outlet.push(InternalMsg(location="hall", action="LAMP_ON"))
    assert (outlet.pushed, outlet.refused) == (1, 1)
    assert [msg.location for msg in sent] == ["hall"]
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "mqttgateway.routing"] == [
        ("INFO", "dev: not sent: filters.out[0] denies it (status -/-/a/b/-/- LAMP_ON)")
    ]


def test_a_failing_hook_is_logged_with_its_traceback_once(desk: Desk, expected_logs: ExpectedLogs,
                                                            caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    def fails(msg: InternalMsg) -> InternalMsg:
        raise ValueError(f"no {msg.action}")

    text = (
        "dev: not sent: the hook 'hooks.py:fails' failed (status -/-/-/-/- LAMP_ON): ValueError: no LAMP_ON: "
        "fix the hook; until then it lets no message pass"
    )
    expected_logs.expect(text)
    steps = [HookStep("hooks.py:fails", fails)]
    outlet = Outlet("dev", desk.map, desk.outbox, filters=[MessageFilter("filters.out", steps)])
    for action in ("LAMP_ON", "LAMP_OFF", "LAMP_ON"):
        assert not outlet.push(InternalMsg(action=action))
    assert [(r.getMessage(), bool(r.exc_info)) for r in caplog.records] == [(text, True)]
    assert (len(desk.outbox), outlet.refused) == (0, 3)


anything = st.none() | st.integers() | st.text(st.characters(), max_size=8) | st.sampled_from(["on", "a/b", "+", "\n"])


@given(
    st.fixed_dictionaries(dict.fromkeys((*ADDRESS_FIELDS, "action"), anything)),
    st.booleans(),
    st.dictionaries(anything, anything, max_size=3),
)
def test_push_counts_any_message_and_does_not_raise(
    words: dict[str, str], is_command: bool, arguments: dict[str, Argument]
) -> None:
    logging.getLogger("mqttgateway.routing").setLevel(logging.CRITICAL)  # its log is tested above
    try:
        desk = Desk()
        accepted = desk.outlet.push(InternalMsg(is_command, **words, arguments=arguments))
    finally:
        logging.getLogger("mqttgateway.routing").setLevel(logging.NOTSET)
    assert (desk.outlet.pushed, desk.outlet.refused) == ((1, 0) if accepted else (0, 1))
    assert len(desk.outbox) == desk.outlet.pushed


def test_pushes_of_several_threads_all_arrive() -> None:
    desk, count = Desk(), 500

    def push() -> None:
        name = threading.current_thread().name
        for number in range(count):
            desk.outlet.push(InternalMsg(device=name, action=str(number)))

    threads = [threading.Thread(target=push, name=name) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcd":
        assert [m.action for m in desk.collect() if m.device == name] == [str(number) for number in range(count)]


def test_the_counts_of_an_outlet(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("is not allowed in a topic")
    desk = Desk()
    desk.outlet.push(InternalMsg(device="lamp", action="ON"))
    desk.outlet.push(InternalMsg(device="a/b", action="ON"))
    counts = {name: count for name, count in desk.outlet.stats().items() if count}
    assert counts == {"pushed": 1, "refused": 1}
    assert {"late_answers", "devices", "bad_values", "readings_suppressed"} <= desk.outlet.stats().keys()


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_reading_that_the_outbox_has_refused_is_not_taken_for_reported(
    desk: Desk, expected_logs: ExpectedLogs, is_batch: bool
) -> None:
    expected_logs.expect("outbox full: new messages are refused", "% full")
    outbox = Outbox(OutboxOptions(max_messages=1, discard=DiscardPolicy.NEW))
    outlet = Outlet("dev", desk.map, outbox)
    on = InternalMsg(action="LAMP_ON", arguments={"dim": 5}).reported_by(ReportRule(on_change=True))
    outlet.push(InternalMsg(action="LAMP_OFF"))
    for _ in range(2):
        assert outlet.push_all([on]) == 1 if is_batch else not outlet.push(on)
    assert len(outbox.take(2)) == 1
    assert outlet.push(on)
    assert len(outbox.take(2)) == 1


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_reading_that_the_map_has_refused_is_not_taken_for_reported(
    desk: Desk, expected_logs: ExpectedLogs, is_batch: bool
) -> None:
    expected_logs.expect("dev: not sent: action: 'LAMP_UP'")
    reading = InternalMsg(action="LAMP_UP", arguments={"dim": 5}).reported_by(ReportRule(on_change=True))
    outlet = desk.outlet
    assert [outlet.push_all([reading]) == 1 if is_batch else not outlet.push(reading) for _ in range(2)] == [True, True]
    outlet.set_route(MsgMap("home", sender="gw"), (), lambda _: None)
    assert outlet.push(reading)
    assert [entry.publication.topic for entry in desk.outbox.take(10)] == ["home/////gw/S"]
    assert outlet.push(reading) and outlet.stats()["readings_suppressed"] == 1


def test_a_reading_that_a_filter_drops_does_not_make_the_one_before_it_news(desk: Desk) -> None:
    only_dark = FilterRule(False, {"action": ["LAMP_ON"]})
    off, on = (
        InternalMsg(action=action, arguments={"dim": 5}).reported_by(ReportRule(on_change=True))
        for action in ("LAMP_OFF", "LAMP_ON")
    )
    desk.outlet.set_route(desk.map, [MessageFilter("filters.out", [only_dark])], lambda _: None)
    assert [desk.outlet.push(msg) for msg in (off, on, off)] == [True, False, True]
    assert len(desk.outbox) == 1


# --- the order of what is pushed and what is due by time


class Watched(Outlet):
    """An outlet with a clock that is put forward, over a link that sends at once and keeps what it has sent."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sent: list[bytes] = []
        self.translated: list[InternalMsg] = []
        self.on_send: Callable[[], None] = lambda: None
        outbox = Outbox()
        outbox.attach(self)
        devices = DeviceMemory(lambda: self.seconds, lambda: self.seconds)
        msg_map = MsgMap("home", sender="gw", status_qos=0)
        super().__init__("dev", msg_map, outbox, record_sent=self.translated.append, devices=devices)

    def request_send(self, _may_wait: bool, /) -> None:
        """Send nothing: all is sent directly."""

    def send_directly(self, publications: Sequence[Publication], _may_wait: bool, /) -> bool:
        on_send, self.on_send = self.on_send, lambda: None
        on_send()
        self.sent += [publication.payload for publication in publications]
        return True

    def values(self) -> list[int]:
        return [json.loads(payload)["celsius"] for payload in self.sent]


def reading(celsius: int, **rule: Any) -> InternalMsg:
    return InternalMsg(action="T", arguments={"celsius": celsius}).reported_by(ReportRule(**rule))


@pytest.mark.parametrize("is_batch", [False, True])
def test_what_is_refreshed_does_not_overtake_what_is_pushed_meanwhile(is_batch: bool) -> None:
    outlet, newer = Watched(), reading(2, on_change=True, refresh=1.0)
    outlet.push(reading(1, on_change=True, refresh=1.0))
    outlet.seconds = 1.5
    pusher = threading.Thread(
        target=outlet.push_all if is_batch else outlet.push, args=([newer] if is_batch else newer,)
    )

    def push() -> None:  # while the main thread is about to send the reading that is refreshed
        pusher.start()
        wait_until(lambda: newer in outlet.translated)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: len(outlet.sent) > 1, timeout=0.3)

    outlet.on_send = push
    outlet.tick()
    pusher.join(10)
    assert outlet.values() == [1, 1, 2]


def test_what_waited_for_the_end_of_its_interval_does_not_overtake_a_batch_that_is_still_open() -> None:
    outlet = Watched()

    def read() -> Iterator[InternalMsg]:
        yield reading(1, interval=1.0)
        yield reading(2, interval=1.0)
        outlet.seconds = 2.5  # the device takes its time
        outlet.tick()

    outlet.push(reading(0, interval=1.0))
    outlet.seconds = 1.0
    outlet.push_all(read())
    assert outlet.values() == [0, 1]
    outlet.tick()
    assert outlet.values() == [0, 1, 2]


# --- what an interface may pass


class Broken:
    """An object of an interface, none of whose methods works."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("broken")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("broken")


@pytest.mark.parametrize("value", [10**5000, Broken(), [Broken()], float("nan"), b"x"], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("name", ["x", "response", "reason"])
def test_a_command_has_one_outcome_whatever_values_are_in_it(
    value: Any, name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("dev: not sent: ", "dev: HEAT: 'x' is left out: ")
    point = Point("on", PointType.BOOLEAN, (Feed("HEAT", "on"),))
    desk = Desk(devices=[Device("boiler", (point,), address={"device": "boiler"})])
    command = InternalMsg(True, device="boiler", action="HEAT", arguments={"on": True}).answered_at(ReplyTo("answers"))
    desk.outlet.open_commands.add(command, 10, 0.0)
    outcome = command.reply("OK")
    desk.outlet.push(outcome.with_arguments({**outcome.arguments, name: value}))
    published = [entry.publication for entry in desk.outbox.take(10)]
    assert {one.topic for one in published} == {"answers", "home////boiler/gw/S", "home/gw/boiler/outcome"}
    assert len(published) == 3 and not desk.outlet.open_commands.commands


@pytest.mark.parametrize("value", [Broken(), float("nan")], ids=lambda v: type(v).__name__)
def test_a_value_that_an_answer_cannot_have_is_bad_and_the_reason_of_the_outcome_stays(
    value: Any, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: HEAT: 'on' is left out: ")
    point = Point("on", PointType.BOOLEAN, (Feed("HEAT", "on"),))
    desk = Desk(devices=[Device("boiler", (point,), address={"device": "boiler"})])
    command = InternalMsg(True, device="boiler", action="HEAT", arguments={"on": True, "dim": 5})
    outcome = command.reply("OK")
    desk.outlet.push(outcome.with_arguments({**outcome.arguments, "on": value, "reason": ["hot"]}))
    (msg,) = desk.collect()
    assert msg.arguments == {"dim": 5, "response": "OK", "reason": ["hot"]}
    assert desk.outlet.stats()["bad_values"] == 1


@pytest.mark.parametrize("reason", ["a\udc80b", "x" * 300_000], ids=len)
def test_a_command_has_an_outcome_whatever_its_reason_is(reason: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("dev: not sent: ")  # that it is too long
    desk = Desk()
    desk.outlet.push(InternalMsg(True, action="HEAT").reply("ERROR", reason))
    (msg,) = desk.collect()
    assert msg.argument("response") == "ERROR" and 0 < len(str(msg.argument("reason"))) <= 1000


@pytest.mark.parametrize("value", [10**5000, Broken(), "a\udc80"], ids=lambda v: type(v).__name__)
def test_a_value_that_the_map_cannot_write_takes_only_itself_out(value: Any, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: T: 'x' is left out: ")
    desk = Desk()
    assert desk.outlet.push(InternalMsg(action="T", arguments={"x": value, "y": 1}))
    assert [msg.arguments for msg in desk.collect()] == [{"y": 1}]


def test_words_that_no_topic_can_have_do_not_flood_the_log(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dev: not sent: ")
    desk = Desk()
    for number in range(500):
        desk.outlet.push(InternalMsg(device=f"{'abc'[number % 3]}/{number:x}", action="T"))
    assert len(caplog.records) == 1 and desk.outlet.refused == 500
    for number in range(500):
        desk.outlet.push(InternalMsg(device="a/b", action=f"T{number}"))
    assert len(caplog.records) <= 50


CARD = Point("card", PointType.EVENT, (Feed("CARD", "number"),))
DOOR = Point("bell", PointType.EVENT, (Feed("RING", None, "RING"), Feed("KNOCK", None, "knocked")))


def entry(*points: Point) -> Desk:
    return Desk(devices=[Device("entry", points, address={"device": "entry"})])


def card(number: object, **arguments: Argument) -> InternalMsg:
    return InternalMsg(device="entry", action="CARD", arguments={"number": number, **arguments})  # type: ignore[dict-item]


def test_an_event_is_a_document_that_goes_out_after_its_message() -> None:
    desk = entry(CARD)
    assert desk.outlet.push(card("0012345").read_at(1_796_076_000.0))
    message, document = [entry.publication for entry in desk.outbox.take(10)]
    assert message.topic == "home////entry/gw/S"
    payload = b'{"point":"card","value":"0012345","_time":"2026-11-30T22:00:00.000Z"}'
    assert document == Publication("home/gw/entry/event", payload, qos=1, lane=Lane.EVENT)


def test_each_message_that_tells_an_event_has_a_document_and_no_other_has() -> None:
    battery = Point("battery", PointType.NUMBER, (Feed("CARD", "volts"),))
    desk = entry(CARD, DOOR, battery)
    messages = [card("1"), card("1", volts=3.0), InternalMsg(device="entry", action="CARD", arguments={"volts": 2.9})]
    messages += [InternalMsg(device="entry", action=action) for action in ("RING", "KNOCK", "KNOCK", "CLOSED")]
    messages += [InternalMsg(device="other", action="RING"), InternalMsg(True, device="entry", action="RING")]
    assert desk.outlet.push_all(messages) == 0
    assert len(desk.collect()) == len(messages)
    told = [("card", "1"), ("card", "1"), ("bell", "RING"), ("bell", "knocked"), ("bell", "knocked")]
    assert [(event["point"], event["value"]) for event in desk.events] == told


def test_what_is_no_event_has_no_document(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: CARD: 'number' is left out", "dev: not sent: ")
    desk = entry(CARD._replace(none=("---",), choices=("1", "2", "---")), DOOR._replace(choices=("knocked",)))
    for msg in card("---"), card("3"), card(1), card(float("nan"), x=1), InternalMsg(device="entry", action="RING"):
        desk.outlet.push(msg)
    desk.outlet.push(card("1").replace(location="a/b"))  # the map cannot write it
    desk.outlet.push(card("2"))
    desk.collect()
    assert [event["value"] for event in desk.events] == ["2"]


def test_an_event_that_a_rule_holds_back_has_no_document_unless_it_goes_out_later() -> None:
    desk = entry(CARD._replace(report=ReportRule(on_change=True, interval=0.05)))
    for number in "1", "1", "2", "3":  # all but the first one within the interval
        desk.outlet.push(card(number))
    desk.collect()
    assert [event["value"] for event in desk.events] == ["1"]

    def is_sent() -> bool:
        desk.outlet.tick()
        return len(desk.collect()) == 2

    wait_until(is_sent)
    assert [event["value"] for event in desk.events] == ["1", "3"]


def test_an_answer_to_a_command_tells_an_event_only_if_the_device_has_given_it() -> None:
    desk = entry(CARD)
    command = InternalMsg(True, device="entry", action="CARD", arguments={"number": "7"})
    desk.outlet.push(command.reply("OK"))
    desk.outlet.push(command.reply("REFUSED"))
    desk.collect()
    assert len(desk.outcomes) == 2 and desk.events == []
    desk.outlet.push(command.reply("OK").with_read({"number": "7"}))
    desk.collect()
    assert [event["value"] for event in desk.events] == ["7"]


def test_a_device_of_a_template_tells_the_event_by_which_it_is_found() -> None:
    desk = Desk(devices=[Device("{device}", (CARD,))])
    desk.outlet.push(card("1"))
    assert [entry.publication.topic for entry in desk.outbox.take(10)][1:] == ["home/gw/entry/event"]


def test_no_device_is_added_for_a_message_that_cannot_be_sent(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: not sent: ", "dev: T: 'x' is left out")
    point = Point("on", PointType.BOOLEAN, (Feed("T", "on"),))
    desk = Desk(devices=[Device("x_{device}", (point,))])
    desk.outlet.push(InternalMsg(device="a/b", action="T", arguments={"on": True}))
    assert desk.outlet.devices.stats()["devices"] == 0
    desk.outlet.push(InternalMsg(device="ab", action="T", arguments={"on": True, "x": float("nan")}))
    assert desk.outlet.devices.topics[0] == "home/gw/x_ab/state"


def test_a_word_that_the_map_does_not_know_is_collected_while_somebody_wants_to_know(
    desk: Desk, expected_logs: ExpectedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs.expect("'LAMP_UP' is not in the map")
    assert not desk.outlet.push(InternalMsg(action="LAMP_UP"))
    collector = Collector()
    monkeypatch.setattr(UNKNOWN, "collector", collector)
    assert not desk.outlet.push(InternalMsg(action="LAMP_UP"))
    assert not desk.outlet.push(InternalMsg(action="LAMP_UP", device="x"))
    ((group,), _) = collector.groups()
    assert (group.interface, group.kind, group.field, group.shape) == ("dev", WORD_OUT, "action", "LAMP_UP")
    assert (group.times, len(group.examples)) == (2, 2)
