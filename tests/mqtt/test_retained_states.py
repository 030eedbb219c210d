from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.retained_states import RetainedStates
from tests.support.fake_clock import FakeClock


class Sent:
    """A state that was published, and that the broker does or does not have yet."""

    def __init__(self) -> None:
        self.is_acknowledged = False

    def is_published(self) -> bool:
        return self.is_acknowledged


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.states = RetainedStates(self.clock)
        self.published: list[tuple[str, bytes]] = []
        self.sent: list[Sent] = []

    def _publish(self, topic: str, payload: bytes) -> Sent:
        self.published.append((topic, payload))
        self.sent.append(Sent())
        return self.sent[-1]

    def publish(self, room: int = 100) -> list[tuple[str, bytes]]:
        """Publish the pending states, and return them."""
        self.published.clear()
        self.states.resume_due()
        self.states.publish_pending(self._publish, lambda: room - len(self.published))
        return list(self.published)


def test_only_the_latest_value_of_each_topic_is_published_however_often_it_changes() -> None:
    bench = Bench()
    assert bench.states.is_idle
    for number in range(1000):
        bench.states.set("a", b"%d" % number)
        bench.states.set("b", b"x")
    assert bench.states.has_pending
    assert bench.states.stats() == {"states": 2, "states_pending": 2, "states_suspended": 0, "states_published": 0}
    assert bench.publish() == [("a", b"999"), ("b", b"x")]
    assert (bench.states.has_pending, bench.states.is_idle) == (False, True)
    assert bench.states.stats() == {"states": 2, "states_pending": 0, "states_suspended": 0, "states_published": 2}


def test_without_room_states_remain_pending_in_their_order() -> None:
    bench = Bench()
    for topic in "abc":
        bench.states.set(topic, b"1")
    assert bench.publish(room=0) == []
    assert bench.publish(room=2) == [("a", b"1"), ("b", b"1")]
    assert bench.publish() == [("c", b"1")]


def test_a_value_that_is_not_acknowledged_yet_is_not_published_twice() -> None:
    bench = Bench()
    bench.states.set("a", b"online")
    assert bench.publish() == [("a", b"online")]
    bench.states.set("a", b"online")
    assert bench.publish() == [], "it is on its way"
    bench.sent[-1].is_acknowledged = True
    bench.states.set("a", b"online")
    assert bench.publish() == [("a", b"online")], "nothing is on its way any more"


def test_a_state_that_changes_before_its_predecessor_is_acknowledged_is_published_all_the_same() -> None:
    bench = Bench()
    bench.states.set("a", b"online")
    assert bench.publish() == [("a", b"online")]
    bench.states.set("a", b"offline")
    assert bench.publish() == [("a", b"offline")], "the broker would retain the older value"
    bench.states.set("a", b"online")
    assert bench.publish() == [("a", b"online")], "it is the last value that counts, not the first"


def test_a_state_whose_publication_was_lost_with_the_link_is_published_again() -> None:
    bench = Bench()
    bench.states.set("a", b"online")
    bench.publish()
    bench.states.reset_published()
    bench.states.republish_all()
    assert bench.publish() == [("a", b"online")]


def test_a_state_that_the_broker_does_not_accept_is_tried_again_after_a_growing_time() -> None:
    bench = Bench()
    bench.states.set("a", b"1")
    bench.states.set("b", b"1")
    bench.publish()
    for delay in (10.0, 20.0, 40.0):
        assert bench.states.suspend("a") == delay
        assert bench.states.time_left == delay
        assert not bench.states.is_idle
        bench.states.reset_published()
        bench.states.republish_all()
        assert bench.publish() == [("b", b"1")]
        bench.clock.now += delay
        assert bench.publish() == [("a", b"1")], "once"
        assert bench.publish() == []
        assert bench.states.time_left == math.inf
    assert bench.states.accepted("a")
    assert not bench.states.accepted("a")
    assert bench.states.suspend("a") == 10.0


def test_suspended_states_are_published_immediately_once_the_broker_works_again() -> None:
    bench = Bench()
    bench.states.set("a", b"1")
    bench.publish()
    bench.states.suspend("a")
    bench.states.reset_published()
    bench.states.resume_all()
    assert bench.publish() == [("a", b"1")]
    assert not bench.states.suspended


def test_a_state_that_is_forgotten_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.states.set("a", b"1")
    bench.states.suspend("a")
    bench.states.forget("a")
    assert bench.publish() == []
    assert not bench.states.suspended
    bench.clock.now += 1000
    assert bench.publish() == []


def cleared(bench: Bench) -> list[str]:
    """Return the list to which the topics are added that are forgotten once they are clear."""
    topics: list[str] = []
    bench.states.on_cleared = topics.append
    return topics


def test_a_topic_that_is_cleared_is_forgotten_once_the_broker_has_acknowledged_it() -> None:
    bench = Bench()
    topics = cleared(bench)
    bench.states.set("a", b"1")
    bench.publish()
    bench.states.set("a", b"")
    bench.states.accepted("a")  # the state before
    assert bench.publish() == [("a", b"")]
    bench.states.republish_all()  # on a new link
    bench.states.reset_published()
    assert bench.publish() == [("a", b"")] and topics == []
    bench.sent[-1].is_acknowledged = True
    bench.states.accepted("a")
    bench.states.republish_all()
    assert bench.publish() == [] and topics == ["a"]
    assert bench.states.stats()["states"] == 0 and bench.states.is_idle


@given(st.lists(st.sampled_from(["set", "clear", "publish", "acknowledge", "new link"]), max_size=20))
def test_what_is_set_or_cleared_last_is_what_the_broker_has_at_the_end(steps: list[str]) -> None:
    bench = Bench()
    topics, wanted, unsettled = cleared(bench), b"", 0
    for number, step in enumerate([*steps, "new link", "publish"]):
        if step in ("set", "clear"):
            wanted = b"%d" % number if step == "set" else b""
            bench.states.set("a", wanted)
        elif step == "publish":
            bench.publish()
        elif step == "new link":
            bench.states.reset_published()
            bench.states.republish_all()
            unsettled = len(bench.sent)
        elif unsettled < len(bench.sent):
            bench.sent[unsettled].is_acknowledged = True
            bench.states.accepted("a")
            unsettled += 1
    is_forgotten = bench.states.stats()["states"] == 0
    if not is_forgotten:
        assert bench.published == [("a", wanted)]
    elif "clear" in steps or "set" in steps:
        assert wanted == b"" and topics
