from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.inbox import Wakeup
from gateway.message import Arrival
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.paho_hooks import HookedClient, Received
from gateway.mqtt.recall import TIMEOUT, Recall
from gateway.mqtt.receiver import LINGER, Receiver
from gateway.mqtt.retained_states import RetainedStates
from gateway.mqtt.send_lock import Progress, SendLock
from gateway.mqtt.sender import Sender
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock

GRANTED = ReasonCode(PacketTypes.SUBACK, "Granted QoS 1")
REFUSED = ReasonCode(PacketTypes.SUBACK, "Not authorized")


class RecordingClient(mqtt.Client):
    """A paho client that records what it should send."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self.subscribes: list[tuple[str, dict[str, Any]]] = []
        self.unsubscribes: list[list[str]] = []

    def subscribe(self, topic: Any, *_: Any, **arguments: Any) -> tuple[MQTTErrorCode, int | None]:
        self.subscribes.append((topic, arguments))
        return MQTTErrorCode.MQTT_ERR_SUCCESS, len(self.subscribes)

    def unsubscribe(self, topic: Any, *_: Any, **__: Any) -> tuple[MQTTErrorCode, int | None]:
        self.unsubscribes.append(topic)
        return MQTTErrorCode.MQTT_ERR_SUCCESS, len(self.unsubscribes)


class Bench:
    """A receiver on MQTT 5 with a fake clock; `received` is what it has delivered."""

    def __init__(self, *filters: str, run_topic: str = "", recalled: tuple[str, ...] = ("gw/+/state",)) -> None:
        self.clock = FakeClock()
        self.client = RecordingClient()
        self.received: list[str] = []
        self.recalled: list[tuple[str, bytes] | None] = []  # None: the end
        recall = Recall(recalled, lambda topic, payload: self.recalled.append((topic, payload)), self._end_recall)
        self.memory = BrokerMemory(run_topic, RetainedStates(self.clock), lambda: None, 0.0, self.clock)
        self.memory.can_keep_session()
        self.receiver = Receiver(
            self.client, filters, self._deliver, self.clock, self.memory,
            wants_retained=False, no_local=False, recall=recall,
        )  # fmt: skip
        self.memory.link_up(session_present=False)
        self.receiver.link_up(is_v5=True, session_present=False)

    def _end_recall(self) -> None:
        self.recalled.append(None)

    def receive_own(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Receive a message on a topic of the gateway itself."""
        message = mqtt.MQTTMessage(topic=topic.encode())
        message.payload, message.retain = payload, retain
        self.receiver.on_message(message)

    def _deliver(self, arrival: Arrival) -> None:
        assert arrival.payload != b"bad"
        self.received.append(arrival.topic)

    def answer(self, code: ReasonCode = GRANTED) -> None:
        """Answer all subscriptions."""
        for mid in range(1, len(self.client.subscribes) + 1):
            self.receiver.on_suback(mid, [code])

    def change(self, *filters: str) -> None:
        self.receiver.change_filters(filters, wants_retained=False, no_local=False, is_up=True)

    def number(self, topic_filter: str) -> int:
        """Return the subscription identifier of a filter."""
        (arguments,) = (arguments for topic, arguments in self.client.subscribes if topic == topic_filter)
        number: int = arguments["properties"].SubscriptionIdentifier
        return number

    def receive(self, topic: str, *numbers: int, payload: bytes = b"") -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if numbers:
            properties.SubscriptionIdentifier = numbers[0]
        self.receiver.on_message(Received(topic, payload, 0, False, False, 0, properties))


def subscribed(bench: Bench) -> Sequence[str]:
    return [topic for topic, _ in bench.client.subscribes]


def test_each_filter_is_subscribed_to_and_the_last_answer_completes_it() -> None:
    bench = Bench("a/#", "b/#")
    assert subscribed(bench) == ["a/#", "b/#"]
    bench.receiver.on_suback(2, [GRANTED])
    assert bench.receiver.stats()["unanswered_subscriptions"] == 1
    bench.receiver.on_suback(1, [GRANTED])
    assert bench.receiver.is_subscribed
    assert bench.receiver.time_left == math.inf


def test_old_filters_are_given_up_some_time_after_the_new_ones_are_answered() -> None:
    """The broker may still have messages in its queue that only an old filter has brought."""
    bench = Bench("old/#", "both/#")
    bench.answer()
    bench.change("both/#", "new/#")
    assert subscribed(bench) == ["old/#", "both/#", "new/#"]
    bench.clock.now += 60
    bench.receiver.tick()
    assert bench.client.unsubscribes == [], "the new one is not answered yet"
    bench.answer()
    bench.receiver.tick()
    assert bench.client.unsubscribes == [], "not immediately"
    assert bench.receiver.time_left == LINGER
    bench.clock.now += LINGER - 0.001
    bench.receiver.tick()
    assert bench.client.unsubscribes == []
    bench.clock.now += 0.002
    assert bench.receiver.time_left == 0
    bench.receiver.tick()
    bench.receiver.tick()
    assert bench.client.unsubscribes == [["old/#"]]
    assert bench.receiver.time_left == math.inf


def test_until_old_filters_are_given_up_their_messages_count() -> None:
    bench = Bench("a/+", "+/b")
    bench.answer()
    old = bench.number("a/+")
    bench.change("+/b", "a/b/c")
    bench.answer()
    bench.receive("a/x", old)
    assert bench.received == ["a/x"]
    bench.clock.now += LINGER
    bench.receiver.tick()
    bench.receiver.on_unsuback(1)
    bench.receive("a/b", old)
    assert bench.received == ["a/x"], "the filter that is left has brought another copy"
    assert bench.receiver.stats()["copies"] == 1


def test_a_filter_that_comes_back_before_it_was_given_up_stays() -> None:
    bench = Bench("a/#")
    bench.answer()
    bench.change("b/#")
    bench.change("a/#")
    bench.answer()
    bench.clock.now += LINGER
    bench.receiver.tick()
    assert bench.client.unsubscribes == [["b/#"]]


# --- what an earlier run has left


def test_what_the_broker_retains_is_recalled_until_the_token_comes_back() -> None:
    bench = Bench("home/#", run_topic="gw/run")
    assert [topic for topic, _ in bench.client.subscribes] == ["home/#", "gw/+/state", "gw/run"]
    bench.answer()
    bench.receive_own("gw/boiler/state", b"{}", retain=True)
    bench.receive_own("gw/boiler/state", b"new")
    bench.receive_own("gw/run", b"of an earlier run", retain=True)
    assert bench.recalled == [("gw/boiler/state", b"{}")]
    bench.receive_own("gw/run", bench.memory.run.token)
    assert bench.recalled == [("gw/boiler/state", b"{}"), None]
    assert bench.client.unsubscribes == [["gw/+/state"]]
    bench.receiver.link_up(is_v5=True, session_present=False)
    assert "gw/+/state" not in [topic for topic, _ in bench.client.subscribes[3:]], "only on the first link"


def test_a_recall_ends_without_a_token_as_well() -> None:
    bench = Bench(run_topic="gw/run")
    bench.clock.now += TIMEOUT - 0.1
    bench.receiver.tick()
    assert bench.recalled == []
    assert bench.receiver.time_left == pytest.approx(0.1)
    bench.clock.now += 0.2
    bench.receiver.tick()
    assert (bench.recalled, bench.receiver.time_left) == ([None], math.inf)
    assert Bench(run_topic="").recalled == [None], "without the topic, nobody knows when it is over"


def test_a_run_topic_that_the_broker_refuses_is_subscribed_to_again_on_the_same_link(
    expected_logs: ExpectedLogs,
) -> None:
    """A node of a cluster refuses filters while the cluster elects a leader."""
    expected_logs.expect("the broker does not let the gateway write and read the topic 'gw/run'")
    bench = Bench("home/#", run_topic="gw/run", recalled=())
    bench.receiver.on_suback(1, [GRANTED])
    bench.receiver.on_suback(2, [REFUSED])
    is_used = []
    for delay in (10.0, 20.0):
        is_used.append(bench.memory.run.is_used)
        assert bench.receiver.time_left == delay
        bench.clock.now += delay
        bench.receiver.tick()
        is_used.append(bench.memory.run.is_used)
        bench.receiver.tick()
        mid = len(bench.client.subscribes)
        bench.receiver.on_suback(mid, [REFUSED if delay == 10.0 else GRANTED])
    assert subscribed(bench) == ["home/#", "gw/run", "gw/run", "gw/run"]
    bench.receive_own("gw/run", bench.memory.run.token)
    assert is_used == [False, True, False, True]
    assert not bench.memory.run.is_waiting
    assert bench.receiver.time_left == math.inf


def test_a_run_topic_whose_token_does_not_come_back_is_left_alone_on_the_same_link(expected_logs: ExpectedLogs) -> None:
    """Some brokers end the link over such a topic."""
    expected_logs.expect("the broker does not let the gateway write and read the topic 'gw/run'")
    bench = Bench(run_topic="gw/run", recalled=())
    bench.answer()
    bench.memory.run.token_acknowledged(bench.memory.run.token)
    bench.clock.now += 11.0
    bench.memory.run.check()
    assert not bench.memory.run.is_used
    bench.clock.now += 1000.0
    bench.receiver.tick()
    assert subscribed(bench) == ["gw/run"]
    assert bench.receiver.time_left == math.inf


def test_a_recall_that_the_broker_refuses_is_no_error() -> None:
    bench = Bench(run_topic="gw/run")
    bench.receiver.on_suback(1, [REFUSED])
    assert bench.recalled == [None]
    assert bench.receiver.stats()["refused_filters"] == 0


# --- what the broker refuses


def test_a_refused_filter_is_tried_again_on_the_same_link(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """A node of a cluster refuses filters while the cluster elects a leader, and accepts them a moment later."""
    expected_logs.expect("the broker refused the filter 'b/#'")
    bench = Bench("a/#", "b/#")
    bench.receiver.on_suback(1, [GRANTED])
    bench.receiver.on_suback(2, [REFUSED])
    assert bench.receiver.is_subscribed
    delays = []
    for mid in range(3, 11):
        delays.append(bench.receiver.time_left)
        bench.clock.now += bench.receiver.time_left
        bench.receiver.tick()
        assert subscribed(bench)[2:] == ["b/#"] * (mid - 2), "only the refused one"
        bench.receiver.on_suback(mid, [GRANTED if mid == 10 else REFUSED])
    assert delays == pytest.approx([10, 20, 40, 80, 160, 320, 600, 600])
    assert bench.receiver.time_left == math.inf
    assert [record.message for record in caplog.records if "refused the filter" in record.message] == [
        "the broker refused the filter 'b/#': Not authorized: check its access rules"
    ], "once a day"
    assert "the broker accepts the filter 'b/#' now" in caplog.text


def test_only_what_the_link_refuses_is_tried_again(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the broker refused the filter 'a/#'", "the broker refused the filter 'b/#'")
    bench = Bench("a/#", "b/#")
    bench.answer(REFUSED)
    bench.change("b/#", "c/#")
    bench.receiver.on_suback(3, [GRANTED])
    bench.clock.now += 10.0
    bench.receiver.tick()
    assert subscribed(bench) == ["a/#", "b/#", "c/#", "b/#"], "a/# is not wanted any more"
    bench.receiver.link_up(is_v5=True, session_present=False)
    assert subscribed(bench)[4:] == ["b/#", "c/#"]
    bench.receiver.on_suback(5, [GRANTED])
    bench.receiver.on_suback(6, [GRANTED])
    bench.clock.now += bench.receiver.time_left
    bench.receiver.tick()
    assert bench.client.unsubscribes == [["a/#"]]
    assert bench.receiver.time_left == math.inf, "another link begins anew"


# --- what is not delivered


def test_what_is_not_delivered_is_counted(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a message on 'a/1' failed: ", "is, or has, a form", "the broker refused the filter 'a/#'")
    bench = Bench("a/#")
    bench.answer(REFUSED)
    assert list(bench.receiver.refused) == ["a/#"]
    bench.receive("a/1", payload=b"bad")
    bench.receiver.on_unusable("a/2", "a form that is not MQTT")
    bench.receive("a/3", 7)
    assert bench.receiver.stats() == {
        "copies": 1,
        "unusable": 1,
        "failed": 1,
        "filters": 1,
        "unanswered_subscriptions": 0,
        "refused_filters": 1,
    }
    bench.receiver.change_filters(["b"], wants_retained=False, no_local=False, is_up=False)
    assert bench.receiver.refused == {}, "it is not wanted any more"


def test_no_counter_has_the_name_of_one_of_sending() -> None:
    """`MgClient.stats` joins them."""
    bench, wakeup = Bench("a/#"), Wakeup()
    sender = Sender(HookedClient(CallbackAPIVersion.VERSION2), Outbox(), 0.0, bench.clock)
    lock = SendLock(lambda: Progress.DONE, wakeup, bench.clock)
    wakeup.close()
    names = [*sender.stats(), *bench.receiver.stats(), *lock.stats()]
    assert len(names) == len(set(names))
    assert {*sender.states.stats(), *sender.poison.stats()} <= set(names)


@pytest.mark.parametrize("bad", ["a/#/b", ""])
def test_an_invalid_filter_is_not_subscribed_to(bad: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(f"cannot subscribe to {bad!a}: ")
    assert subscribed(Bench("a/#", bad)) == ["a/#"]


def test_several_filters_are_recalled_and_one_that_is_refused_leaves_the_others() -> None:
    bench = Bench(run_topic="gw/run", recalled=("gw/+/state", "ha/+/gw/+/config"))
    assert [topic for topic, _ in bench.client.subscribes] == ["gw/+/state", "ha/+/gw/+/config", "gw/run"]
    bench.receiver.on_suback(1, [REFUSED])
    bench.receiver.on_suback(2, [GRANTED])
    bench.receive_own("ha/device/gw/boiler/config", b"{}", retain=True)
    assert bench.recalled == [("ha/device/gw/boiler/config", b"{}")]
    bench.receive_own("gw/run", bench.memory.run.token)
    assert bench.recalled[1:] == [None]
    assert bench.client.unsubscribes == [["ha/+/gw/+/config"]]
