from __future__ import annotations

import pytest

from gateway.mqtt.run_topic import RunTopic
from tests.support.fake_clock import FakeClock

TOPIC = "home/gw/run"


class Bench:
    """A run topic with a fake clock; counts its callbacks."""

    def __init__(self, topic: str = TOPIC) -> None:
        self.clock = FakeClock()
        self.forgotten = 0
        self.forbidden = 0
        self.secrets = iter(b"s%d" % number for number in range(1000))
        self.run = RunTopic(topic, "a1", self._forgotten, self._forbidden, self.clock, lambda: next(self.secrets))

    def _forgotten(self) -> None:
        self.forgotten += 1

    def _forbidden(self) -> None:
        self.forbidden += 1

    def times_forbidden(self) -> int:
        return self.forbidden

    def uses_topic(self) -> bool:
        return self.run.is_used

    def connect(self, *, session_present: bool) -> bytes:
        self.run.connecting()
        self.run.link_up(session_present=session_present)
        return self.run.token


def test_messages_before_the_token_of_this_link_may_have_waited_and_those_after_it_are_new() -> None:
    bench = Bench()
    token = bench.connect(session_present=True)
    assert bench.run.may_have_waited
    bench.run.on_message(token, retain=False)
    assert not bench.run.may_have_waited


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"a1",
        b"a1 0 s1",
        b"b2 1 s1",
        b"a1 1 ",
        b"a1 1 s2",
        b"a1 2 s1",
        b"a1 1",
        b"a1 " + b"9" * 5000 + b" s1",
        b"\xff",
    ],
)
def test_neither_another_payload_nor_a_retained_copy_of_the_token_separates_old_from_new(payload: bytes) -> None:
    bench = Bench()
    token = bench.connect(session_present=True)
    bench.run.on_message(payload, retain=False)
    bench.run.on_message(token, retain=True)
    assert bench.run.may_have_waited


def test_a_token_of_an_earlier_link_that_waited_in_the_session_does_not_separate_old_from_new() -> None:
    bench = Bench()
    earlier = bench.connect(session_present=True)
    token = bench.connect(session_present=True)
    bench.run.on_message(earlier, retain=False)
    assert bench.run.may_have_waited
    bench.run.on_message(token, retain=False)
    assert not bench.run.may_have_waited


def test_any_token_of_this_link_separates_old_from_new_because_the_broker_may_drop_the_first_one() -> None:
    bench = Bench()
    bench.connect(session_present=True)
    bench.run.next_token()
    assert bench.run.on_message(bench.run.next_token(), retain=False)
    assert not bench.run.may_have_waited


def test_a_broker_that_retained_the_last_token_that_it_acknowledged_remembers_us() -> None:
    bench = Bench()
    first = bench.connect(session_present=False)
    bench.run.token_acknowledged(first)
    bench.run.on_message(first, retain=False)
    assert bench.forgotten == 1, "it does not know us yet"
    bench.run.token_acknowledged(bench.run.next_token())
    last = bench.run.next_token()  # the link is lost before its acknowledgement: the broker may have it or not
    for retained in (last, b"a1 2 s1"):
        token = bench.connect(session_present=False)
        bench.run.on_message(retained, retain=True)
        bench.run.on_message(token, retain=False)
        assert bench.forgotten == 1


@pytest.mark.parametrize("retained", [None, b"", b"b2 7 s1", b"a10 1 s1", b"a1 1 s1", b"\xff\xfe"])
def test_a_broker_that_retained_nothing_or_another_token_does_not_remember_us(
    retained: bytes | None,
) -> None:
    """A killed broker may restart with a copy of its memory from half an hour ago."""
    bench = Bench()
    bench.run.token_acknowledged(bench.connect(session_present=False))
    bench.run.on_message(bench.run.token, retain=False)
    bench.run.token_acknowledged(bench.run.next_token())
    bench.forgotten = 0
    token = bench.connect(session_present=False)
    if retained is not None:
        bench.run.on_message(retained, retain=True)
    assert bench.forgotten == 0, "it is not known yet"
    bench.run.on_message(token, retain=False)
    bench.run.on_message(token, retain=False)
    assert bench.forgotten == 1


def test_without_a_topic_nothing_is_remembered() -> None:
    bench = Bench("")
    bench.connect(session_present=False)
    assert (bench.forgotten, bench.run.is_used, bench.forbidden) == (1, False, 0)


def test_a_topic_that_is_refused_is_not_used_for_a_growing_time() -> None:
    bench = Bench()
    bench.connect(session_present=True)
    bench.run.forbid()
    bench.run.forbid()
    assert (bench.forgotten, bench.forbidden) == (1, 1)
    assert bench.run.may_have_waited, "on this link nothing separates old messages from new ones any more"
    bench.clock.now += 9
    bench.connect(session_present=False)
    assert not bench.uses_topic()
    assert bench.forgotten == 2
    bench.clock.now += 2
    token = bench.connect(session_present=False)
    assert bench.uses_topic()
    bench.run.forbid()
    bench.clock.now += 19
    bench.connect(session_present=False)
    assert not bench.uses_topic()
    bench.run.try_again()
    token = bench.connect(session_present=False)
    assert bench.uses_topic()
    bench.run.on_message(token, retain=False)
    bench.run.forbid()
    bench.clock.now += 11
    bench.connect(session_present=False)
    assert bench.uses_topic(), "it had worked, so the delays start again"


def test_a_topic_whose_acknowledged_token_does_not_come_back_is_forbidden_sooner_if_nothing_had_waited() -> None:
    bench = Bench()
    token = bench.connect(session_present=False)
    bench.clock.now += 60
    bench.run.check()
    assert bench.times_forbidden() == 0, "the broker has not even acknowledged it"
    bench.run.token_acknowledged(token)
    bench.clock.now += 9
    bench.run.message_came()
    bench.run.check()
    assert bench.times_forbidden() == 0
    bench.clock.now += 2
    bench.run.check()
    assert bench.times_forbidden() == 1, "whatever else comes"


def test_while_a_broker_sends_what_had_waited_its_token_is_expected_but_not_forever() -> None:
    bench = Bench()
    bench.run.token_acknowledged(bench.connect(session_present=True))
    for _ in range(6):
        bench.clock.now += 9
        bench.run.message_came()
        bench.run.check()
    assert bench.times_forbidden() == 0
    bench.clock.now += 9
    bench.run.message_came()
    bench.run.check()
    assert bench.times_forbidden() == 1


def test_a_broker_that_closes_the_link_over_the_subscription_is_recognized() -> None:
    bench = Bench()
    for _ in range(2):
        bench.connect(session_present=False)
        bench.run.closed_early()
    bench.run.subscribed()
    for _ in range(2):
        bench.run.closed_early()
    assert bench.times_forbidden() == 0, "three in a row"
    bench.run.closed_early()
    assert bench.times_forbidden() == 1
