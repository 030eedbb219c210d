from __future__ import annotations

import pytest

from gateway.mqtt.run_topic import RunTopic

TOPIC = "home/gw/run"


class Bench:
    """A run topic with a clock of its own, and what it has called."""

    def __init__(self, topic: str = TOPIC) -> None:
        self.now = 100.0
        self.forgotten = 0
        self.forbidden: list[bool] = []
        self.run = RunTopic(topic, "a1", self._forgotten, self.forbidden.append, lambda: self.now)

    def _forgotten(self) -> None:
        self.forgotten += 1

    def uses_topic(self) -> bool:
        return self.run.is_used

    def connect(self, *, session_present: bool) -> bytes:
        self.run.connecting()
        self.run.link_up(session_present=session_present)
        return self.run.token


def test_what_comes_before_the_token_of_this_link_may_have_waited_and_what_comes_behind_it_is_new() -> None:
    bench = Bench()
    token = bench.connect(session_present=True)
    assert bench.run.may_have_waited
    bench.run.take(token, retain=False)
    assert not bench.run.may_have_waited


@pytest.mark.parametrize("payload", [b"", b"a1", b"a1 0", b"b2 1", b"a1 1 ", b"\xff"])
def test_no_other_payload_is_the_barrier_nor_a_retained_copy_of_the_token(payload: bytes) -> None:
    bench = Bench()
    token = bench.connect(session_present=True)
    bench.run.take(payload, retain=False)
    bench.run.take(token, retain=True)
    assert bench.run.may_have_waited


def test_the_token_of_an_earlier_link_that_waited_in_the_session_is_no_barrier() -> None:
    bench = Bench()
    before = bench.connect(session_present=True)
    token = bench.connect(session_present=True)
    bench.run.take(before, retain=False)
    assert bench.run.may_have_waited
    bench.run.take(token, retain=False)
    assert not bench.run.may_have_waited


def test_a_broker_that_has_kept_a_token_of_this_process_remembers_us() -> None:
    bench = Bench()
    first = bench.connect(session_present=False)
    bench.run.take(first, retain=False)
    assert bench.forgotten == 1, "it has never heard of us"
    second = bench.connect(session_present=False)
    bench.run.take(first, retain=True)
    bench.run.take(second, retain=False)
    assert bench.forgotten == 1


@pytest.mark.parametrize("retained", [None, b"", b"b2 7", b"a10 1", b"\xff\xfe"])
def test_a_broker_that_has_kept_nothing_or_that_of_another_process_does_not(retained: bytes | None) -> None:
    bench = Bench()
    token = bench.connect(session_present=False)
    if retained is not None:
        bench.run.take(retained, retain=True)
    assert bench.forgotten == 0, "it is not known yet"
    bench.run.take(token, retain=False)
    bench.run.take(token, retain=False)
    assert bench.forgotten == 1


def test_without_a_topic_nothing_is_remembered() -> None:
    bench = Bench("")
    bench.connect(session_present=False)
    assert (bench.forgotten, bench.run.is_used, bench.forbidden) == (1, False, [])


def test_a_topic_that_is_refused_is_not_used_for_a_growing_time_and_not_waited_for() -> None:
    bench = Bench()
    bench.connect(session_present=True)
    bench.run.forbid()
    bench.run.forbid()
    assert (bench.forgotten, bench.forbidden) == (1, [True])
    assert bench.run.may_have_waited, "on this link nothing can be told apart any more"
    bench.now += 9
    bench.connect(session_present=False)
    assert not bench.uses_topic()
    assert bench.forgotten == 2
    bench.now += 2
    token = bench.connect(session_present=False)
    assert bench.uses_topic()
    bench.run.forbid()
    bench.now += 19
    bench.connect(session_present=False)
    assert not bench.uses_topic()
    bench.run.try_again()
    token = bench.connect(session_present=False)
    assert bench.uses_topic()
    bench.run.take(token, retain=False)
    bench.run.forbid()
    bench.now += 11
    bench.connect(session_present=False)
    assert bench.uses_topic(), "it had worked, so the time begins anew"


def test_a_token_that_was_acknowledged_and_does_not_come_back_although_the_broker_answers_is_forbidden() -> None:
    bench = Bench()
    bench.connect(session_present=True)
    bench.now += 60
    bench.run.look(heard_since=bench.now)
    assert not bench.forbidden, "the broker has not even taken it"
    bench.run.token_taken()
    taken = bench.now
    bench.now += 60
    bench.run.look(heard_since=taken - 1)
    assert not bench.forbidden, "the network may hang"
    bench.run.message_came()
    bench.run.look(heard_since=bench.now)
    bench.now += 9
    bench.run.look(heard_since=bench.now)
    assert not bench.forbidden, "it is still sending what had waited"
    bench.now += 2
    bench.run.look(heard_since=bench.now)
    assert bench.forbidden == [True]
