from __future__ import annotations

import math

from gateway.mqtt.retained_states import RetainedStates


class Sent:
    """What a state was published as."""

    def __init__(self) -> None:
        self.is_there = False

    def is_published(self) -> bool:
        return self.is_there


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.states = RetainedStates(lambda: self.now)
        self.published: list[tuple[str, bytes]] = []
        self.sent: list[Sent] = []

    def publish(self, topic: str, payload: bytes) -> Sent:
        self.published.append((topic, payload))
        self.sent.append(Sent())
        return self.sent[-1]

    def say(self, room: int = 100) -> list[tuple[str, bytes]]:
        self.published.clear()
        self.states.resume()
        self.states.say(self.publish, lambda: room - len(self.published))
        return list(self.published)


def test_only_the_latest_of_each_topic_waits_however_often_it_changes() -> None:
    bench = Bench()
    for number in range(1000):
        bench.states.set("a", b"%d" % number)
        bench.states.set("b", b"x")
    assert bench.say() == [("a", b"999"), ("b", b"x")]
    assert not bench.states.has_unsaid


def test_a_state_that_changes_before_its_predecessor_is_acknowledged_is_published_all_the_same() -> None:
    bench = Bench()
    bench.states.set("a", b"online")
    assert bench.say() == [("a", b"online")]
    bench.states.set("a", b"online")
    assert bench.say() == [], "the same is on its way"
    bench.states.set("a", b"offline")
    assert bench.say() == [("a", b"offline")]
    bench.sent[-1].is_there = True
    bench.states.set("a", b"offline")
    assert bench.say() == [("a", b"offline")], "it was told to say so again, and nothing is on its way"


def test_what_the_broker_does_not_take_is_tried_again_after_a_growing_time() -> None:
    bench = Bench()
    bench.states.set("a", b"1")
    bench.states.set("b", b"1")
    bench.say()
    for delay in (10.0, 20.0, 40.0):
        assert bench.states.suspend("a") == delay
        assert bench.states.time_left == delay
        bench.states.forget_said()
        bench.states.say_all_again()
        assert bench.say() == [("b", b"1")]
        bench.now += delay
        assert bench.say() == [("a", b"1")], "once"
        assert bench.say() == []
        assert bench.states.time_left == math.inf
    assert bench.states.accepted("a")
    assert not bench.states.accepted("a")
    assert bench.states.suspend("a") == 10.0


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.states.set("a", b"1")
    bench.states.suspend("a")
    bench.states.forget("a")
    assert bench.say() == []
    assert not bench.states.suspended
    bench.now += 1000
    assert bench.say() == []
