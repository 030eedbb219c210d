from __future__ import annotations

import math

import pytest

from gateway.message import Lane, Publication
from gateway.mqtt.refusals import MOST_BYTES, Refusals
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Entry
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock


class Bench:
    """An outbox, and what is kept back of it. Each message is named by its topic and a number: `a1`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.outbox = Outbox(clock=self.clock)
        self.refusals = Refusals(self.outbox, self.clock)

    def put(self, *names: str, size: int = 0, lane: Lane = Lane.EVENT, lifetime: float | None = None) -> None:
        self.outbox.put_all([
            Publication(name[0], name.encode().ljust(size), 1, lane=lane, lifetime=lifetime) for name in names
        ])  # fmt: skip

    def send(self) -> list[Entry]:
        """Return what is sent now."""
        due = self.refusals.take_due(100) if self.refusals.is_due else []
        return due + self.refusals.filter(self.outbox.take(1_000_000))

    def refuse(self, *entries: Entry) -> None:
        """Let the broker refuse entries that are not to blame."""
        assert [self.refusals.refused(entry) for entry in entries] == [True] * len(entries)

    def accept(self, *entries: Entry) -> None:
        for entry in entries:
            self.refusals.accepted(entry)
        self.outbox.settle(entries)

    def wait(self, seconds: float | None = None) -> None:
        """Wait, until something is due if no time is given."""
        self.clock.now += self.refusals.time_left if seconds is None else seconds


def names(entries: list[Entry]) -> list[str]:
    return [entry.publication.payload.decode().strip() for entry in entries]


def test_a_topic_waits_behind_its_refused_message_and_others_go_on() -> None:
    bench = Bench()
    bench.put("a1", "b1", "a2")
    a1, b1, a2 = bench.send()
    bench.refuse(a1)
    bench.accept(b1)
    bench.put("a3", "b2", "a4")
    (b2,) = bench.send()
    bench.refuse(a2)  # its answer came later
    bench.accept(b2)
    assert names([b2]) == ["b2"]
    assert (len(bench.refusals), [*bench.refusals.topics]) == (4, ["a"])
    bench.wait()
    (again,) = bench.send()
    assert again is a1, "only the first is tried"
    bench.accept(again)
    rest = bench.send()
    assert names(rest) == ["a2", "a3", "a4"]
    bench.accept(*rest)
    assert (len(bench.refusals), bench.refusals.time_left, bench.refusals.is_active) == (0, math.inf, False)
    assert (bench.outbox.counts().delivered, bench.outbox.counts().dead_letters) == (6, 0)


def test_a_broker_that_refuses_everything_is_asked_ever_less_often_and_nothing_is_to_blame() -> None:
    bench = Bench()
    bench.put("a1", "b1", "a2")
    bench.refuse(*bench.send())
    delays = []
    for _ in range(100):
        delays.append(bench.refusals.time_left)
        bench.wait()
        tried = bench.send()
        assert sorted(names(tried)) == ["a1", "b1"]
        bench.refuse(*tried)
    assert delays[:7] == [1, 2, 4, 8, 16, 30, 30]
    bench.wait()
    first = bench.send()
    bench.accept(*first)
    bench.accept(*bench.send())
    assert (bench.outbox.counts().delivered, bench.outbox.counts().dead_letters) == (3, 0)


def test_when_one_topic_is_accepted_again_the_others_are_tried_at_once() -> None:
    bench = Bench()
    bench.put("a1", "b1")
    bench.refuse(*bench.send())
    for _ in range(6):
        bench.wait()
        bench.refuse(*bench.send())
    bench.wait()
    a1, b1 = bench.send()
    bench.refuse(a1)
    assert not bench.refusals.is_due
    bench.accept(b1)
    assert names(bench.send()) == ["a1"]
    bench.refuse(a1)
    assert bench.refusals.time_left == 1, "and soon again"


def test_a_message_is_to_blame_if_another_one_of_its_topic_is_accepted() -> None:
    bench = Bench()
    bench.put("a1", "a2")
    a1, a2 = bench.send()
    bench.refuse(a1)
    bench.accept(a2)
    bench.put("a3")
    assert bench.send() == []
    bench.wait()
    assert bench.send() == [a1]
    assert not bench.refusals.refused(a1)
    assert names(bench.send()) == ["a3"], "the topic works"


def test_a_message_is_to_blame_if_it_is_refused_for_ten_minutes_while_others_are_accepted() -> None:
    bench = Bench()
    bench.put("a1", "a2", "a3")
    a1, *_ = bench.send()
    bench.refuse(a1)
    began = bench.clock.now
    while True:
        bench.put("b1")
        bench.wait()
        tried = bench.send()
        if tried[0] is not a1:
            bench.refuse(tried.pop(0))
        b1 = tried.pop()
        bench.accept(b1)
        if not bench.refusals.refused(a1):
            break
    assert 600 <= bench.clock.now - began <= 660
    assert not bench.refusals.topics


def test_after_that_each_message_of_the_topic_is_judged_by_itself() -> None:
    bench = Bench()
    bench.put("a1")
    (a1,) = bench.send()
    bench.refuse(a1)
    bench.put("a2", "a3", "a4")
    assert bench.send() == []
    for seconds in (1, 700):
        bench.put("b1")
        bench.accept(*bench.send())
        bench.wait(seconds)
        assert bench.send() == [a1]
        is_kept = bench.refusals.refused(a1)
    assert not is_kept
    a2, a3, a4 = bench.send()
    assert names([a2, a3, a4]) == ["a2", "a3", "a4"]
    assert not bench.refusals.refused(a2)
    bench.accept(a3)
    bench.refuse(a4)


def test_what_is_kept_back_is_bounded_if_others_are_accepted(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the broker refuses its topic without saying why, and too many messages wait for it")
    bench = Bench()
    size = MOST_BYTES // 8
    bench.put(*(f"a{number}" for number in range(9)), size=size)
    first, *_ = bench.send()
    bench.refuse(first)
    bench.put("b1")
    bench.accept(*bench.send())
    bench.wait()
    assert bench.send() == [first]
    bench.put(*(f"a{number}" for number in range(10, 20)), size=size)
    bench.put("b2")
    assert names(bench.send()) == ["b2"]
    assert not bench.refusals.is_full
    assert (len(bench.refusals), bench.refusals.given_up, bench.outbox.counts().dead_letters) == (7, 4, 4)


def test_what_the_broker_refuses_altogether_waits_in_the_outbox() -> None:
    bench = Bench()
    bench.put("a1")
    bench.refuse(*bench.send())
    bench.put(*(f"a{number}" for number in range(2, 11)), size=MOST_BYTES // 8)
    assert bench.send() == []
    assert bench.refusals.is_full, "the sender takes nothing more"
    assert (bench.refusals.given_up, bench.outbox.counts().dead_letters) == (0, 0)


@pytest.mark.parametrize(("lane", "expected"), [(Lane.LATEST, ["a1", "a3"]), (Lane.EVENT, ["a1", "a2", "a3"])])
def test_of_states_only_the_latest_is_kept_back_behind_the_one_that_is_tried(lane: Lane, expected: list[str]) -> None:
    bench = Bench()
    bench.put("a1", lane=lane)
    bench.refuse(*bench.send())
    bench.wait()
    (a1,) = bench.send()
    for name in ("a2", "a3"):
        bench.put(name, lane=lane)
        assert bench.send() == []
    bench.refuse(a1)
    assert names(bench.refusals.release()) == expected


def test_a_message_whose_lifetime_is_over_is_not_sent_again(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("1 message was dropped: no broker accepted it within its lifetime")
    bench = Bench()
    bench.put("a1", lifetime=5.0)
    bench.put("a2")
    bench.refuse(*bench.send())
    bench.wait(6.0)
    assert names(bench.send()) == ["a2"]
    assert bench.outbox.counts().expired == 1


def test_topics_take_turns_if_there_is_not_room_for_all() -> None:
    bench = Bench()
    bench.put("a1", "b1", "c1")
    bench.refuse(*bench.send())
    tried = []
    for _ in range(3):
        bench.wait()
        (entry,) = bench.refusals.take_due(1)
        tried += names([entry])
        bench.refuse(entry)
    assert tried == ["a1", "b1", "c1"]
