from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.inbox import MsgList
from gateway.core.package_logger import TRAFFIC
from gateway.core.unknown import UNKNOWN, WORD_IN, Collector
from gateway.message import Arrival, InternalMsg, Lane, Publication, ReplyTo
from gateway.outbox.outbox import Outbox
from gateway.routing.command_guard import CommandGuard, CommandOptions
from gateway.routing.command_index import Addresses
from gateway.routing.message_filter import FilterRule, HookStep, MessageFilter
from gateway.routing.outlet import Outlet
from gateway.routing.response_topics import ResponseTopics
from gateway.routing.router import Route, Router
from gateway.translation.delivery import DeliveryRule, DeliveryRules
from gateway.translation.mqtt_map import FieldMap, MsgMap
from gateway.translation.payload import MAX_PAYLOAD_BYTES
from gateway.translation.syntax import MessageForm
from tests.conftest import ExpectedLogs


class House:
    """A router for a lamp and a heater of one map, and a boat with a map of its own."""

    def __init__(self, limit: int = 100) -> None:
        self.lamp, self.heater, self.boat = MsgList(limit), MsgList(), MsgList()
        action = FieldMap("action", "strict", {"ON": ["on", "an"]})
        home = MsgMap("home", ["home/+/+/+/+/+/C", "home/#"], {"action": action}, sender="gw")
        boat = MsgMap("boat", ["boat/#", "$share/crew/home/alarm/#"], sender="skipper")
        self.router = Router(
            [Route(home, {"lamp": self.lamp, "heater": self.heater}), Route(boat, {"boat": self.boat})]
        )

    def close(self) -> None:
        for inbox in (self.lamp, self.heater, self.boat):
            inbox.close()


@pytest.fixture
def house() -> Iterator[House]:
    built = House()
    yield built
    built.close()


def pulled(inbox: MsgList) -> list[InternalMsg]:
    return [msg for _ in range(len(inbox)) if (msg := inbox.pull()) is not None]


def test_a_command_reaches_only_those_that_have_an_address_for_it() -> None:
    lamp, heater, log = MsgList(), MsgList(), MsgList()
    inboxes = {"lamp": lamp, "heater": heater, "log": log}
    msg_map = MsgMap("home", ["home/#"], sender="gw")
    addresses: dict[str, Addresses] = {"lamp": [{"device": "lamp"}], "heater": [{"device": "heater"}]}
    router = Router([Route(msg_map, inboxes, addresses=addresses)])
    router.deliver(Arrival("home/lighting//hall/lamp/me/C", b"ON"))
    assert [len(pulled(inbox)) for inbox in (lamp, heater, log)] == [1, 0, 1]
    router.deliver(Arrival("home/lighting//hall/lamp/me/S", b"ON"))
    assert [len(pulled(inbox)) for inbox in (lamp, heater, log)] == [0, 0, 1]
    for inbox in inboxes.values():
        inbox.close()


def test_a_command_without_recipient_is_counted() -> None:
    lamp = MsgList()
    router = Router([Route(MsgMap("home", ["home/#"], sender="gw"), {"lamp": lamp}, addresses={"lamp": []})])
    router.deliver(Arrival("home/lighting//hall/lamp/me/C", b"ON"))
    assert (len(lamp), router.counts) == (0, {"received": 1, "for nobody": 1})
    lamp.close()


def test_an_interface_with_filters_sees_every_message_for_they_may_make_another_of_it() -> None:
    gate = MsgList()
    rename = MessageFilter("gate", [HookStep("hooks.rename", lambda msg: msg.replace(device="gate"))])
    route = Route(
        MsgMap("home", ["home/#"], sender="gw"),
        {"gate": gate},
        {"gate": [rename]},
        addresses={"gate": [{"device": "gate"}]},
    )
    Router([route]).deliver(Arrival("home/x///door/me/C", b"OPEN"))
    assert [msg.device for msg in pulled(gate)] == ["gate"]
    gate.close()


def test_a_message_reaches_every_interface_of_its_map_once(house: House) -> None:
    house.router.deliver(Arrival("home/lighting/g/hall/lamp/me/C", b"an"))
    expected = [InternalMsg(True, "lighting", "g", "hall", "lamp", "me", "ON")]
    assert (pulled(house.lamp), pulled(house.heater), pulled(house.boat)) == (expected, expected, [])
    assert house.router.counts == {"received": 1, "delivered": 2}


def test_every_map_reads_what_its_own_filters_match(house: House) -> None:
    house.router.deliver(Arrival("boat/pump////me/C", b"on"))
    assert (pulled(house.lamp), len(pulled(house.boat))) == ([], 1)
    house.router.deliver(Arrival("attic/pump////me/C", b"on"))
    assert house.router.counts == {"received": 2, "delivered": 1}


def test_the_filters_to_subscribe_to_are_those_of_all_maps_each_once() -> None:
    one, other = MsgMap("home", ["home/a/#", "home/b/#"], sender="a"), MsgMap("home", ["home/b/#", "x/#"], sender="b")
    assert Router([Route(one, {}), Route(other, {})]).filters == ("home/a/#", "home/b/#", "x/#")


def test_two_maps_with_one_filter_both_get_the_message() -> None:
    inboxes = {"a": MsgList(), "b": MsgList()}
    routes = [Route(MsgMap("home", ["home/#"], sender=name), {name: inbox}) for name, inbox in inboxes.items()]
    router = Router(routes)
    router.deliver(Arrival("home/////me/C", b"on"))
    router.deliver(Arrival("home/////a/C", b"on"))  # an echo for one is a new message for the other
    assert [len(inbox) for inbox in inboxes.values()] == [1, 2]
    assert router.counts == {"received": 2, "delivered": 3, "echo": 1}
    for inbox in inboxes.values():
        inbox.close()


def test_a_shared_subscription_gets_what_its_filter_matches(house: House, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dropped: topic 'home/alarm////me/S': the root is not 'boat' (on 'home/alarm////me/S')")
    house.router.deliver(Arrival("home/alarm////me/S", b"on"))
    assert house.router.counts == {"received": 1, "delivered": 2, "refused": 1}


def test_messages_of_this_gateway_are_dropped_as_echoes(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.router.deliver(Arrival("home/lighting///lamp/gw/S", b"on"))
    house.router.deliver(Arrival("home/lighting///lamp/gw/C", b"on", retain=True))
    assert house.router.counts == {"received": 2, "echo": 2}
    assert caplog.records == []


def test_a_retained_command_is_never_acted_on_and_a_retained_status_passes(
    house: House, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        "rejected: retained commands are never executed (on 'home/gate////me/C'): "
        "publish it without retain, and clear it with an empty retained message"
    )
    house.router.deliver(Arrival("home/gate////me/C", b"on", retain=True))
    house.router.deliver(Arrival("home/gate////me/S", b"on", retain=True))
    assert house.router.counts == {"received": 2, "retained command": 1, "delivered": 2}
    assert [msg.iscmd for msg in pulled(house.lamp)] == [False]


def test_an_unreadable_message_is_logged_once_as_a_warning(
    house: House, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    text = "dropped: the payload is empty: an action or a JSON object was expected (on 'home/a////me/C')"
    expected_logs.expect(text)
    house.router.deliver(Arrival("home/a////me/C", b""))
    house.router.deliver(Arrival("home/b////me/C", b""))
    assert [record.getMessage() for record in caplog.records] == [text]
    assert house.router.counts == {"received": 2, "refused": 2}


def test_a_word_that_a_strict_map_does_not_know_is_no_warning(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.router.deliver(Arrival("home/a////me/C", b"dance"))
    text = "dropped: action: 'dance' is not in the map: add it there, or make the map loose (on 'home/a////me/C')"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("INFO", text)]
    assert house.router.counts == {"received": 1, "refused": 1}


def test_a_full_inbox_is_logged_and_does_not_affect_the_others(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lamp: dropped: 1 message is already waiting")
    house = House(limit=1)
    for _ in range(3):
        house.router.deliver(Arrival("home/a////me/C", b"on"))
    assert (len(house.lamp), len(house.heater)) == (1, 3)
    assert house.router.counts == {"received": 3, "delivered": 4, "inbox full": 2}
    house.close()


def test_traffic_is_logged_a_line_for_each_interface(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.router.deliver(Arrival("home/a////me/C", b"on"))
    caplog.set_level(logging.CRITICAL, TRAFFIC)
    house.router.deliver(Arrival("home/a////me/C", b"on"))
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        (TRAFFIC, "lamp <- command a/-/-/-/me ON"),
        (TRAFFIC, "heater <- command a/-/-/-/me ON"),
    ]


# --- what is refused, and who is informed


class Desk:
    """A router for one gate, what its outlets send, and the answers that go only to those who asked."""

    def __init__(
        self,
        *,
        filters: Sequence[MessageFilter] = (),
        replay: bool = False,
        addresses: dict[str, Addresses] | None = None,
        limit: int = 100,
        response_topics: ResponseTopics | None = None,
        **options: Any,
    ) -> None:
        self.inbox, self.second = MsgList(limit, clock=lambda: self.now), MsgList(limit)
        self.answers: list[Publication] = []
        self.outbox = Outbox()
        rules = DeliveryRules([DeliveryRule({}, replay=replay)])
        msg_map = MsgMap("home", ["home/+/+/+/+/+/+", "response/gw/#"], sender="gw", delivery=rules)
        guard = CommandGuard(CommandOptions(**options))
        in_filters = {"gate": filters} if filters else {}
        inboxes = {"gate": self.inbox, "log": self.second}
        route = Route(msg_map, inboxes, in_filters, guard, addresses=addresses)
        self.outlets = {name: Outlet(name, msg_map, self.outbox) for name in route.inboxes}
        for name, outlet in self.outlets.items():
            outlet.set_route(msg_map, (), route.loops.record_sent, route.outcomes)
            route.outlets[name] = outlet.answer
        self.now = 0.0
        self.router = Router(
            [route], self.answers.append, lambda: self.now, lambda: 1e9, {"home/gw/availability"}, response_topics
        )
        self.loops = route.loops

    def sent(self) -> list[Publication]:
        """Take what the outlets have sent."""
        entries = self.outbox.take(1000)
        self.outbox.settle(entries)
        return [entry.publication for entry in entries]

    def outcomes(self) -> list[tuple[str, str, str]]:
        """Take topic, response and reason of each outcome that the outlets have sent."""
        result = [(one.topic, json.loads(one.payload)) for one in self.sent()]
        return [(topic, payload["response"], payload["reason"]) for topic, payload in result]

    def deliver(self, payload: bytes = b"OPEN", topic: str = "home/security///gate/me/C", **flags: Any) -> int:
        """Deliver a command; return how many messages this has given to the gate."""
        before = len(self.inbox)
        self.router.deliver(Arrival(topic, payload, **{"qos": 1, **flags}))
        return len(self.inbox) - before

    def close(self) -> None:
        self.inbox.close()
        self.second.close()


@pytest.fixture
def quiet(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("ed: ")


ME = ReplyTo("me/response", b"17")
GATE = "home/security///gate/gw/S"


@pytest.mark.parametrize(
    ("flags", "count", "text"),
    [
        (
            {"resumed": True},
            "queued command",
            (
                "rejected: the command was queued while the gateway was offline (on 'home/security///gate/me/C'): "
                "send it again; if it is harmless when late, give it a delivery rule with replay in the map"
            ),
        ),
        (
            {"duplicate": True},
            "duplicate command",
            (
                "rejected: the broker sent the command again, and it may have been executed already "
                "(on 'home/security///gate/me/C'): check whether it was executed, and send it again if not"
            ),
        ),
        (
            {"expiry": 0},
            "expired command",
            "rejected: the message expiry of the command is over (on 'home/security///gate/me/C')",
        ),
    ],
)
def test_a_refused_command_is_counted_and_logged_with_its_topic(
    flags: dict[str, Any], count: str, text: str, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(text)
    desk = Desk()
    assert [desk.deliver(payload, **flags) for payload in (b"OPEN", b"CLOSE", b"STOP")] == [0, 0, 0]
    assert [record.getMessage() for record in caplog.records if record.name == "mqttgateway.routing"] == [text]
    assert desk.router.counts == {"received": 3, count: 3}
    desk.close()


def test_a_status_passes_however_it_comes() -> None:
    desk = Desk()
    for flags in ({"retain": True}, {"resumed": True}, {"duplicate": True}, {"expiry": 0}, {}):
        assert desk.deliver(topic="home/security///gate/me/S", **flags) == 1
    desk.close()


def test_a_command_that_the_map_replays_passes() -> None:
    desk = Desk(replay=True)
    assert desk.deliver(retain=True) == 1
    assert desk.deliver(b"CLOSE", resumed=True) == 1
    desk.close()


def test_the_remaining_time_of_a_command_applies_in_the_inbox(expected_logs: ExpectedLogs) -> None:
    desk = Desk(timestamp_argument="time")
    text = "dropped: the interface did not read a command in time (command security/-/-/gate/me OPEN)"
    expected_logs.expect(text)
    for _ in range(2):
        desk.deliver(b'{"action": "OPEN", "time": 999999971}')  # 29 s ago
    assert desk.inbox.pull() is not None
    desk.now += 1.1
    assert desk.inbox.pull() is None
    desk.close()


def test_no_interface_receives_the_timestamp_of_a_command() -> None:
    """No device knows the argument: a serial one would refuse the command for it."""
    desk = Desk(timestamp_argument="time")
    desk.deliver(b'{"action": "OPEN", "wide": 1, "time": 1000000000}')
    desk.deliver(b'{"action": "OPEN", "wide": 1}')
    desk.deliver(b'{"action": "OPENED", "time": 1000000000}', topic="home/security///gate/me/S")
    assert [dict(msg.arguments) for msg in pulled(desk.inbox)] == [{"wide": 1}, {"wide": 1}, {"time": 1000000000}]
    desk.close()


def test_a_command_carries_where_it_is_to_be_answered_and_a_status_does_not() -> None:
    desk = Desk()
    desk.deliver(reply_to=ME)
    desk.deliver(topic="home/security///gate/me/S", reply_to=ME)
    assert [msg.reply_to and msg.reply_to[:2] for msg in pulled(desk.inbox)] == [ME[:2], None]
    assert (desk.answers, desk.sent()) == ([], []), "that is for the interface to do"
    desk.close()


def test_a_refused_command_has_an_outcome_on_its_status_topic_and_its_response_topic(quiet: None) -> None:
    desk = Desk()
    desk.deliver(b'{"action": "OPEN", "wide": 1}', resumed=True, reply_to=ME)
    status, answer = desk.sent()
    assert (status.topic, status.retain, status.lane) == (GATE, False, Lane.REPLY)
    assert (answer.topic, answer.correlation, answer.retain, answer.lane) == (ME.topic, b"17", False, Lane.REPLY)
    assert (
        json.loads(answer.payload)
        == json.loads(status.payload)
        == {
            "action": "OPEN",
            "response": "REFUSED",
            "reason": "the command was queued while the gateway was offline",
            "requested": {"wide": 1},
        }
    )
    assert desk.answers == []
    desk.close()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"resumed": True}, "the command was queued while the gateway was offline"),
        ({"expiry": 0}, "the message expiry of the command is over"),
        ({"payload": b'{"action": "OPEN", "time": 9e8}'}, "the command is 100000000 s old"),
        ({"payload": b'{"action": "OPEN", "time": "x"}'}, "the argument 'time' is not a time"),
    ],
)
def test_a_refused_command_without_response_topic_has_an_outcome(
    quiet: None, flags: dict[str, Any], reason: str
) -> None:
    desk = Desk(timestamp_argument="time")
    assert desk.deliver(**flags) == 0
    assert desk.outcomes() == [(GATE, "REFUSED", reason)]
    desk.close()


def test_a_command_for_a_full_inbox_has_an_outcome(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("gate: dropped: 1 message is already waiting")
    desk = Desk(limit=1, addresses={"log": []})
    assert [desk.deliver(reply_to=ME._replace(correlation=b"%d" % n)) for n in range(2)] == [1, 0]
    full = ("REFUSED", "gate accepts no more messages: 1 message is already waiting")
    assert desk.outcomes() == [(GATE, *full), (ME.topic, *full)]
    desk.close()


def test_a_command_for_an_interface_that_is_stopping_is_answered(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("gate: dropped: it is stopping")
    desk = Desk(addresses={"log": []})
    desk.inbox.stop_accepting()
    desk.deliver()
    assert desk.outcomes() == [(GATE, "REFUSED", "gate accepts no more messages: it is stopping")]
    desk.close()


def test_a_command_in_a_loop_has_an_outcome(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("echo loop between 'gw' and 'me'")
    desk = Desk()
    for _ in range(6):
        desk.loops.record_sent(InternalMsg(True, "security", device="gate", action="OPEN"))
        desk.deliver()
    (outcome,) = desk.outcomes()
    assert outcome[:2] == (GATE, "REFUSED") and outcome[2].startswith("echo loop between 'gw' and 'me'")
    desk.close()


ELSEWHERE: dict[str, Addresses] = {"gate": [{"device": "door"}], "log": [{"device": "log"}]}


@pytest.mark.parametrize("has_filters", [False, True])
@pytest.mark.parametrize("payload", [b"OPEN", b'{"action": NaN}'])
def test_a_command_for_other_gateways_is_not_answered_here(
    payload: bytes, has_filters: bool, expected_logs: ExpectedLogs
) -> None:
    """With five gateways on a broker, four would refuse the lamp of the fifth."""
    if has_filters or payload != b"OPEN":
        expected_logs.expect("ed: ")
    filters = only(FilterRule(False, {"action": ("OPEN",)})) if has_filters else ()
    desk = Desk(addresses=ELSEWHERE, filters=filters)
    desk.deliver(payload, reply_to=ME)
    desk.deliver(payload, reply_to=ME, resumed=True)
    assert (desk.sent(), desk.answers) == ([], [])
    desk.close()


def test_the_response_topic_of_a_command_for_other_gateways_is_not_checked() -> None:
    """Five gateways would warn of one topic."""
    desk = Desk(addresses={"gate": [{"device": "door"}], "log": []})
    desk.deliver(reply_to=ReplyTo("other/cmnd/lamp/POWER", b"1"))
    assert desk.router.counts == {"received": 1, "for nobody": 1}
    desk.close()


def test_a_word_that_a_strict_map_lacks_is_not_answered_here(house: House) -> None:
    answers: list[Publication] = []
    action = FieldMap("action", "strict", {"ON": ["on"]})
    inbox = MsgList()
    router = Router([Route(MsgMap("home", ["home/#"], {"action": action}, sender="gw"), {"a": inbox})], answers.append)
    router.deliver(Arrival("home/lighting////me/C", b"dance", reply_to=ME))
    assert answers == []
    inbox.close()


def test_an_interface_whose_filters_see_the_command_of_another_neither_gets_nor_answers_it(
    expected_logs: ExpectedLogs,
) -> None:
    """An interface that counts on its addresses would execute commands for others as soon as a filter is added."""
    expected_logs.expect("log: dropped: 1 message is already waiting")
    addresses: dict[str, Addresses] = {"gate": [{"device": "other"}], "log": [{"device": "gate"}]}
    desk = Desk(limit=1, addresses=addresses, filters=only(FilterRule(True, {})))
    assert [desk.deliver(), desk.deliver()] == [0, 0]
    assert desk.outcomes() == [(GATE, "REFUSED", "log accepts no more messages: 1 message is already waiting")]
    desk.close()


@pytest.mark.parametrize("why", ["undated", "unreadable", "full", "filtered"])
def test_a_command_that_the_interface_would_not_execute_is_not_answered_here(quiet: None, why: str) -> None:
    """An interface may declare no addresses, and decide in its code what is for its device."""
    filters = only(FilterRule(False, {"action": ("OPEN",)})) if why == "filtered" else ()
    desk = Desk(limit=0, filters=filters, timestamp_argument="time", timestamp_required=why == "undated")
    desk.inbox.accepts = desk.second.accepts = lambda msg: msg.iscmd and msg.device == "door"
    payload = b'{"action": NaN}' if why == "unreadable" else b"OPEN"
    desk.deliver(payload, reply_to=ME)
    assert (desk.sent(), desk.answers) == ([], [])
    desk.deliver(payload, reply_to=ME, topic="home/security///door/me/C")
    assert len(desk.sent() + desk.answers) == (1 if why == "unreadable" else 2), "for its own it does"
    desk.close()


def test_the_second_interface_answers_a_command_that_the_first_would_not_execute(quiet: None) -> None:
    desk = Desk()
    desk.inbox.accepts = lambda _: False
    desk.deliver(resumed=True)
    assert [topic for topic, *_ in desk.outcomes()] == [GATE]
    desk.close()


def test_a_failing_accepts_method_loses_no_outcome(expected_logs: ExpectedLogs, quiet: None) -> None:
    expected_logs.expect("accepts() failed: ZeroDivisionError('division by zero'): this is a bug in the interface")
    desk = Desk(addresses={"log": []})
    desk.inbox.accepts = lambda msg: len(msg.device) < 1 / 0
    desk.deliver(resumed=True)
    assert len(desk.outcomes()) == 1
    desk.close()


def test_a_command_that_one_interface_receives_is_refused_by_none(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("gate: dropped: 1 message is already waiting")
    desk = Desk(limit=1)
    desk.deliver()
    desk.second.pull()
    desk.deliver(reply_to=ME)
    assert desk.sent() == []
    desk.close()


@pytest.mark.parametrize("flags", [{"retain": True}, {"retain": True, "expiry": 0}])
def test_retained_commands_are_not_answered(quiet: None, flags: dict[str, Any]) -> None:
    desk = Desk()
    desk.deliver(**{"reply_to": ME, **flags})
    assert (desk.sent(), desk.answers) == ([], [])
    desk.close()


@pytest.mark.parametrize("reply_to", [None, ME])
def test_a_redelivered_command_whose_first_copy_was_lost_is_answered_once(
    quiet: None, reply_to: ReplyTo | None
) -> None:
    """The link was lost before the gateway had it, or the process that had it was killed: its sender must know."""
    desk = Desk()
    desk.deliver(duplicate=True, reply_to=reply_to)
    reason = "the broker sent the command again, and it may have been executed already"
    answers = [(ME.topic, "REFUSED", reason)] if reply_to else []
    assert desk.outcomes() == [(GATE, "REFUSED", reason), *answers]
    desk.deliver(duplicate=True, reply_to=reply_to)
    assert desk.sent() == [], "one outcome"
    desk.close()


def test_an_outcome_too_large_for_the_requested_arguments_omits_them(quiet: None, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("gate: not sent: the payload has ")
    desk = Desk()
    largest = b'{"action": "OPEN", "text": "' + b"x" * (MAX_PAYLOAD_BYTES - 30) + b'"}'
    desk.deliver(largest, resumed=True, reply_to=ME)
    reason = "the command was queued while the gateway was offline"
    assert desk.outcomes() == [(GATE, "REFUSED", reason), (ME.topic, "REFUSED", reason)]
    desk.close()


def test_a_refused_retained_command_is_not_answered_even_if_it_may_be_replayed(quiet: None) -> None:
    desk = Desk(replay=True)
    desk.deliver(retain=True, expiry=0, reply_to=ME)
    assert (desk.sent(), desk.router.counts["expired command"]) == ([], 1)
    desk.close()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"action": "OPEN", "level": NaN}', "the payload holds NaN, which is not valid JSON"),
        (b'{"action": "OPEN"', "the payload begins with '{' but is not JSON: Expecting ',' delimiter"),
        (b"\xff", "the payload is not UTF-8 (byte 0: 0xff)"),
        (b"", "the payload is empty: an action or a JSON object was expected"),
    ],
)  # fmt: skip
def test_an_unreadable_command_is_answered_only_on_its_response_topic(quiet: None, payload: bytes, reason: str) -> None:
    """Without an action, its outcome has no place on a status topic."""
    desk = Desk()
    desk.deliver(payload, reply_to=ME)
    desk.deliver(payload)
    desk.deliver(payload, reply_to=ME, retain=True)
    desk.deliver(payload, topic="home/security///gate/me/S", reply_to=ME)
    desk.deliver(payload, topic="home/security///gate/gw/C", reply_to=ME)
    (answer,) = desk.answers
    logged = json.loads(answer.payload)
    assert (list(logged), logged["response"]) == (["response", "reason"], "REFUSED")
    assert logged["reason"].startswith(reason)
    assert (answer.topic, answer.correlation, answer.lane, answer.retain) == (ME.topic, b"17", Lane.REPLY, False)
    assert desk.sent() == []
    desk.close()


# --- duplicates


def test_a_duplicate_is_answered_as_the_first_one_was(quiet: None) -> None:
    desk = Desk(addresses={"log": []})
    desk.deliver(reply_to=ME)
    (command,) = pulled(desk.inbox)
    desk.outlets["gate"].push(command.reply("OK", "it is open"))
    assert [one.topic for one in desk.sent()] == [GATE, ME.topic]
    you = ReplyTo("you/response", b"17")
    assert [desk.deliver(reply_to=one) for one in (ME, you, ReplyTo("", b"17"))] == [0, 0, 0]
    payload = {"action": "OPEN", "response": "OK", "reason": "it is open"}
    assert [(one.topic, one.correlation, json.loads(one.payload)) for one in desk.answers] == [
        (ME.topic, b"17", payload), (you.topic, b"17", payload)
    ]  # fmt: skip
    assert desk.sent() == [], "one outcome on the status topic"
    desk.close()


def test_a_duplicate_that_comes_before_the_outcome_is_answered_with_the_first_one(quiet: None) -> None:
    desk = Desk(addresses={"log": []})
    for topic in ("", ME.topic, ME.topic, "you/response"):
        desk.deliver(reply_to=ReplyTo(topic, b"17"))
    assert desk.answers == []
    (command,) = pulled(desk.inbox)
    desk.outlets["gate"].push(command.reply("TIMEOUT", "it does not answer"))
    sent = desk.sent()
    assert [(one.topic, one.correlation) for one in sent] == [
        (GATE, b""), (ME.topic, b"17"), ("you/response", b"17")
    ]  # fmt: skip
    assert len({one.payload for one in sent}) == 1
    desk.close()


def test_a_duplicate_of_a_refused_command_gets_the_reason_of_the_refusal(quiet: None) -> None:
    desk = Desk()
    desk.deliver(resumed=True, reply_to=ME)
    assert len(desk.sent()) == 2
    assert desk.deliver(reply_to=ME) == 0
    (answer,) = desk.answers
    assert json.loads(answer.payload)["reason"] == "the command was queued while the gateway was offline"
    assert desk.sent() == []
    desk.close()


def test_a_second_reason_of_one_kind_and_topic_is_reported(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("is not a time", "lacks the argument 'time'", "s old", "dated 100000000 s in")
    desk = Desk(timestamp_argument="time", timestamp_required=True)
    for payload in (b"OPEN", b'{"action": "OPEN", "time": "x"}', b'{"action": "OPEN", "time": 9e8}',
                    b'{"action": "OPEN", "time": 1.1e9}', b'{"action": "OPEN", "time": 8e8}'):  # fmt: skip
        desk.deliver(payload)
    logged = [record.getMessage() for record in caplog.records if record.name == "mqttgateway.routing"]
    assert len([text for text in logged if text.startswith("rejected: ")]) == 4, "an age is no other reason"
    desk.close()


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        ("response/#", "'#' is not allowed in a topic"),
        ("response/+/me", "'+' is not allowed in a topic"),
        ("$SYS/broker", "topics that begin with '$' belong to the broker"),
        ("response/\x00", "'\\x00' is not allowed in a topic"),
        ("/".join("a" * 65), "65 levels are too many (at most 64)"),
        ("home/security///gate/you/C", "this gateway subscribes to it"),
        ("response/gw/1", "this gateway subscribes to it"),
        ("home/response/availability", "it is an availability topic"),
        ("response/run", "it is an availability topic"),
        ("home/response/outcome", "it would be a document of a device"),
        ("home/response/event", "it would be a document of a device"),
    ],
)
def test_a_client_cannot_make_the_gateway_publish_on_a_forbidden_topic(
    topic: str, problem: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        f"no answer is published on {topic!a}: {problem} (requested by a command on 'home/security///gate/me/C'): "
        "use a topic that has a level named response, responses, reply or replies"
    )
    expected_logs.expect("ed: ")
    desk = Desk()
    assert desk.deliver(reply_to=ReplyTo(topic, b"1")) == 1, "the command itself is done"
    assert [msg.reply_to and msg.reply_to.topic for msg in pulled(desk.inbox)] == [""]
    desk.deliver(resumed=True, reply_to=ReplyTo(topic, b"2"))
    assert (desk.answers, [one.topic for one in desk.sent()]) == ([], [GATE])
    assert desk.router.counts["response topic refused"] == 2
    desk.close()


@pytest.mark.parametrize(
    "topic",
    ["other/gw/security//gate/gate/app/C", "other/cmnd/lamp/POWER", "HOME/a//b/c/d/C", "x" * 200, "other/responsex",
     "home/gw", "home/gw2/x", "answers/me", "other/stat/Response"],
)  # fmt: skip
def test_no_answer_is_published_on_a_topic_that_is_not_a_response_topic(
    topic: str, expected_logs: ExpectedLogs
) -> None:
    """The maps of others are not known: this may be a command to their devices, or the state of one."""
    expected_logs.expect(
        f"no answer is published on {topic!a}: it is not a response topic (requested by a command on "
        "'home/security///gate/me/C'): "
        "use a topic that has a level named response, responses, reply or replies, or below home/gw/, or allow it in "
        "commands.response_topics"
    )
    desk = Desk(response_topics=ResponseTopics("home/gw/", ["app/+/inbox"]))
    assert desk.deliver(reply_to=ReplyTo(topic, b"1")) == 1
    assert [msg.reply_to and msg.reply_to.topic for msg in pulled(desk.inbox)] == [""]
    desk.close()


@pytest.mark.parametrize(
    "topic", ["app/response", "responses/7", "a/reply/b", "replies", "home/gw/asked/7", "app/7/inbox"]
)
def test_an_answer_is_published_on_a_response_topic(topic: str) -> None:
    desk = Desk(response_topics=ResponseTopics("home/gw/", ["app/+/inbox"]))
    desk.deliver(reply_to=ReplyTo(topic, b"1"))
    assert [msg.reply_to and msg.reply_to.topic for msg in pulled(desk.inbox)] == [topic]
    desk.close()


def test_a_status_topic_is_for_answers_only_if_it_is_configured(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "no answer is published on 'home/lamp/reply': it would be a status (requested by a command on "
        "'home/gate/OPEN/set'): use a topic that has a level named response, responses, reply or replies, or "
        "below home/gw/, or allow it in "
        "commands.response_topics"
    )
    constants = {"function": "", "gateway": "", "location": ""}
    forms = (MessageForm(True, "{root}/{device}/{action}/set", "value", constants=constants),
             MessageForm(False, "{root}/{device}/{action}", "value", constants=constants))  # fmt: skip
    msg_map = MsgMap("home", ["home/+/+/set"], sender="gw", syntax=forms)
    for allowed, expected in ((), None), (("home/+/reply",), "home/lamp/reply"):
        inbox = MsgList()
        router = Router([Route(msg_map, {"gate": inbox})], response_topics=ResponseTopics("home/gw/", allowed))
        router.deliver(Arrival("home/gate/OPEN/set", b"1", reply_to=ReplyTo("home/lamp/reply")))
        assert [msg.reply_to and msg.reply_to.topic for msg in pulled(inbox)] == [expected]
        inbox.close()


def test_correlation_data_identifies_a_duplicate_even_if_its_response_topic_is_refused(
    quiet: None, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no answer is published on")
    desk = Desk()
    bad = ReplyTo("response/#", b"1")
    assert [desk.deliver(reply_to=bad), desk.deliver(reply_to=bad)] == [1, 0]
    desk.close()


# --- filters and hooks


def only(*steps: FilterRule | HookStep) -> list[MessageFilter]:
    return [MessageFilter("filters.in", steps)]


def test_each_interface_has_filters_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(filters=only(FilterRule(False, {"action": ("OPEN",)})))
    assert (desk.deliver(reply_to=ME), desk.deliver(b"CLOSE")) == (0, 1)
    assert len(desk.second) == 2
    assert desk.router.counts == {"received": 2, "delivered": 3, "filtered": 1}
    text = "gate: dropped: filters.in[0] denies it (on 'home/security///gate/me/C')"
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "mqttgateway.routing"] == [
        ("INFO", text)
    ]
    assert (desk.answers, desk.sent()) == ([], []), "the other one does it"
    desk.close()


def test_there_is_one_outcome_if_the_filters_of_all_interfaces_drop_a_command() -> None:
    deny = only(FilterRule(False, {}))
    inboxes = {name: MsgList() for name in "ab"}
    informed: list[tuple[str, InternalMsg]] = []
    routes = [Route(MsgMap("home", ["home/#"], sender=name), {name: inboxes[name]}, {name: deny}) for name in "ab"]
    for name, route in zip("ab", routes, strict=True):
        route.outlets[name] = lambda msg, name=name: informed.append((name, msg))  # type: ignore[misc]
    Router(routes).deliver(Arrival("home/////me/C", b"on", reply_to=ME))
    (outcome,) = informed
    assert (outcome[0], outcome[1].argument("reason")) == ("a", "filters.in[0] denies it")
    for inbox in inboxes.values():
        inbox.close()


def test_a_hook_changes_what_its_interface_gets() -> None:
    desk = Desk(filters=only(HookStep("h:f", lambda msg: msg.replace(action="CLOSE"))))
    desk.deliver(reply_to=ME)
    assert [(msg.action, msg.reply_to and msg.reply_to[:2]) for msg in pulled(desk.inbox)] == [("CLOSE", ME[:2])]
    assert [msg.action for msg in pulled(desk.second)] == ["OPEN"]
    desk.close()


def test_a_failing_hook_drops_the_message_and_is_logged_with_its_traceback_once(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(msg: InternalMsg) -> InternalMsg:
        raise ValueError("oh")

    text = (
        "gate: rejected: the hook 'h:f' failed (on 'home/security///gate/me/C'): ValueError: oh: fix the hook; "
        "until then it lets no message pass"
    )
    expected_logs.expect(text)
    desk = Desk(filters=only(HookStep("h:f", fails), FilterRule(True, {})))
    assert [desk.deliver(), desk.deliver(topic="home/security///gate/you/C")] == [0, 0]
    logged = [(r.getMessage(), bool(r.exc_info)) for r in caplog.records if r.name == "mqttgateway.routing"]
    assert logged == [(text, True)]
    assert desk.router.counts["hook failed"] == 2
    desk.close()


def test_another_fault_of_the_same_hook_is_logged_separately(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """Which stood in the shadow of the first for a minute; what changes with each message is no other fault."""

    def fails(msg: InternalMsg) -> Any:
        if msg.action == "OPEN":
            raise ValueError(f"oh {msg.device}")
        if msg.action == "CLOSE":
            raise ValueError("no lock")
        if msg.action == "STOP":
            raise KeyError(msg.action)
        return msg.action

    expected_logs.expect("the hook 'h:f' ")
    desk = Desk(filters=only(HookStep("h:f", fails)))
    for payload in b"OPEN", b"CLOSE", b"STOP", b"TURN":
        for device in "gate", "door":
            desk.deliver(payload, f"home/security///{device}/me/C")
    logged = [
        r.getMessage().split("): ")[1].split(": fix")[0] for r in caplog.records if r.name == "mqttgateway.routing"
    ]
    assert logged == [
        "ValueError: oh gate",
        "ValueError: no lock",
        "KeyError: 'STOP'",
        "it returned an object of the type str",
    ]
    desk.close()


def test_a_command_that_a_hook_makes_of_a_status_must_meet_the_conditions_for_commands(quiet: None) -> None:
    """Or the retained state of a button would open the gate at each start."""
    desk = Desk(filters=only(HookStep("h:f", lambda msg: msg.replace(iscmd=True))))
    button = "home/security///button/me/S"
    assert desk.deliver(topic=button) == 1
    assert desk.deliver(topic=button, retain=True) == 0
    assert desk.router.counts["retained command"] == 1
    desk.close()


# --- echo loops


def test_a_loop_is_broken_counted_and_logged_once(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        "rejected: echo loop between 'gw' and 'me': each repeats what the other sends (status -/-/-/x/me ON) "
        "(on 'home////x/me/S'): let only one of the two receive it: use narrower topics in a map, or filters"
    )
    expected_logs.expect(text)
    desk = Desk()
    admitted = 0
    for _ in range(50):
        desk.loops.record_sent(InternalMsg(device="x", action="ON"))
        admitted += desk.deliver(b"ON", "home////x/me/S", reply_to=ME)
    assert admitted == 5
    assert desk.router.counts["echo loop"] == 45
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [text]
    assert desk.answers == []
    desk.close()


levels = st.sampled_from(["home", "boat", "alarm", "a", "", "gw", "skipper", "me", "C", "S", "é", "$SYS", "\n"])
payloads = st.binary(max_size=20) | st.sampled_from(
    [b"on", b"an", b"x", b"", b'{"action": "on"}', b'{"a": NaN}', b"\xff"]
)
payloads |= st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3)).map(
    lambda members: json.dumps(members).encode()
)


@given(st.lists(st.tuples(st.lists(levels, min_size=1, max_size=8), payloads, st.booleans()), max_size=5))
def test_whatever_the_broker_sends_is_delivered_or_counted_and_never_raised(
    messages: list[tuple[list[str], bytes, bool]],
) -> None:
    logging.getLogger("mqttgateway.routing").setLevel(logging.CRITICAL)  # its log is tested above
    house = House(limit=2)
    expected: Counter[str] = Counter()
    try:
        for words, payload, retain in messages:
            house.router.deliver(Arrival("/".join(words), payload, retain))
            expected["home"] += words[0] == "home"
            expected["boat"] += words[0] == "boat" or words[:2] == ["home", "alarm"]
    finally:
        logging.getLogger("mqttgateway.routing").setLevel(logging.NOTSET)
    counts = house.router.counts
    assert counts["received"] == len(messages)
    to_home = len(house.heater)
    assert counts["delivered"] == len(house.lamp) + len(house.heater) + len(house.boat)
    assert counts["inbox full"] == to_home - len(house.lamp)
    not_delivered = counts["echo"] + counts["retained command"] + counts["refused"]
    assert to_home + len(house.boat) + not_delivered == expected["home"] + expected["boat"]
    assert all(msg.sender != "gw" for msg in pulled(house.heater))
    house.close()


_CMND = MessageForm(True, "cmnd/{device}/{action}", "value", constants={"function": "", "gateway": "", "location": ""})


@pytest.mark.parametrize(
    ("msg_map", "asked_on", "topic"),
    [
        (
            MsgMap("home", ["home/security/+/+/+/+/C"], sender="gw"),
            "home/security////me/C",
            "home/lighting////you/C",
        ),
        (MsgMap("home", ["cmnd/gate/+"], sender="gw", syntax=(_CMND,)), "cmnd/gate/OPEN", "cmnd/lamp/POWER"),
    ],
    ids=["seven levels", "declared"],
)
def test_no_answer_is_published_where_it_would_be_a_command(
    msg_map: MsgMap, asked_on: str, topic: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        f"no answer is published on {topic!a}: it would be a command (requested by a command on {asked_on!a})"
    )
    inbox = MsgList()
    router = Router([Route(msg_map, {"gate": inbox})])
    for reply_to in topic, "me/reply":
        router.deliver(Arrival(asked_on, b"on", reply_to=ReplyTo(reply_to)))
    assert [msg.reply_to and msg.reply_to.topic for msg in pulled(inbox)] == [None, "me/reply"]
    inbox.close()


def test_an_availability_that_a_map_reads_is_a_message_unless_it_is_of_this_gateway(
    expected_logs: ExpectedLogs,
) -> None:
    constants = {"function": "", "gateway": "", "location": "", "action": "THERE"}
    form = MessageForm(False, "{root}/{device}/availability", "value", constants=constants)
    inbox = MsgList()
    route = Route(MsgMap("home", ["home/#"], sender="gw", syntax=(form,)), {"lamp": inbox})
    router = Router([route], own_topics={"home/gw/availability"})
    for topic in "home/gw/availability", "home/plug/availability", "home/gw2/lamp/availability":
        router.deliver(Arrival(topic, b"online", True))
    assert pulled(inbox) == [InternalMsg(device="plug", action="THERE", arguments={"value": "online"})]
    expected_logs.expect("dropped: the payload is not UTF-8 (byte 0: 0xff) (on 'home/plug/availability')")
    router.deliver(Arrival("home/plug/availability", b"\xff"))
    assert router.counts == {"received": 4, "availability": 2, "delivered": 1, "refused": 1}
    inbox.close()


def test_an_availability_is_no_message(house: House) -> None:
    house.router.deliver(Arrival("home/gw/availability", b"online", True))
    house.router.deliver(Arrival("home/gw/dummy/availability", b"online", True))
    house.router.deliver(Arrival("home/other/run", b"1234", True))
    house.router.deliver(Arrival("home/other/boiler/state", b"{}", True))
    house.router.deliver(Arrival("home/other/boiler/outcome", b"{}"))
    assert house.router.counts == {"received": 5, "availability": 5}


def test_correlation_data_without_a_response_topic_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    assert desk.deliver(reply_to=ReplyTo("", b"1")) == 1
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []
    desk.close()


def test_the_counts_have_a_key_for_each_kind_and_agree_with_those_of_the_log(quiet: None) -> None:
    desk = Desk()
    assert set(desk.router.stats().values()) == {0}
    kinds = set(desk.router.stats())
    desk.deliver()
    desk.deliver(resumed=True)
    stats = desk.router.stats()
    assert (stats["received"], stats["delivered"], stats["queued_command"]) == (2, 2, 1)
    assert {kind.replace(" ", "_") for kind in desk.router.counts} <= kinds == set(stats)
    desk.close()


# --- topics to which a part of the gateway listens


def test_a_listener_gets_the_payloads_of_its_topic_which_no_map_has_to_read(house: House) -> None:
    heard: list[bytes] = []
    house.router.set_routes([Route(MsgMap("home", ["home/#"], sender="gw"), {"lamp": house.lamp})], [], None,
                            {"homeassistant/status": lambda arrival, _: heard.append(arrival.payload)})  # fmt: skip
    assert house.router.filters == ("home/#", "homeassistant/status")
    house.router.deliver(Arrival("homeassistant/status", b"online"))
    assert heard == [b"online"] and house.router.counts["availability"] == 1 and not pulled(house.lamp)
    house.router.set_routes([], [])
    assert list(house.router.filters) == []


def test_a_word_that_the_map_does_not_know_is_collected_while_somebody_wants_to_know(
    house: House, monkeypatch: pytest.MonkeyPatch, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("2 levels after the root")
    house.router.deliver(Arrival("home/a////me/C", b"dance"))
    collector = Collector()
    monkeypatch.setattr(UNKNOWN, "collector", collector)
    house.router.deliver(Arrival("home/a////me/C", b"dance"))
    house.router.deliver(Arrival("home/a/b", b"no topic of the map"))
    ((group,), _) = collector.groups()
    assert (group.interface, group.kind, group.field, group.shape) == ("lamp", WORD_IN, "action", "dance")
    assert (group.times, [example.data for example in group.examples]) == (1, [b"home/a////me/C"])
