from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.message import InternalMsg
from gateway.routing.echo_loop import EchoLoops

WARM = InternalMsg(function="climate", location="hall", device="stove", action="T", arguments={"c": 21.5, "ok": True})
THEIRS = WARM.replace(sender="b")


class Side:
    """One gateway, `a`, and its clock."""

    def __init__(self) -> None:
        self.now = 50.0
        self.loops = EchoLoops(lambda: self.now)
        self.refusal: RefusedError | None = None

    def admits(self, msg: InternalMsg = THEIRS) -> bool:
        try:
            self.loops.admit(msg, "a")
        except RefusedError as err:
            self.refusal = err
            return False
        return True

    def round_trips(self, count: int, pause: float, msg: InternalMsg = WARM) -> int:
        """Send `msg` and receive it from the other, `count` times; return how often it was admitted."""
        admitted = 0
        for _ in range(count):
            self.loops.record_sent(msg)
            self.now += pause / 2
            admitted += self.admits(msg.replace(sender="b"))
            self.now += pause / 2
        return admitted


def test_a_loop_is_broken_after_five_round_trips_and_both_senders_are_named() -> None:
    side = Side()
    assert side.round_trips(100, 0.01) == 5
    assert side.loops.stats() == {"loops_broken": 1, "contents_watched": 1}
    assert side.refusal is not None
    assert (side.refusal.kind, side.refusal.is_answered, side.refusal.key) == ("echo loop", True, "a b")
    assert str(side.refusal) == (
        "echo loop between 'a' and 'b': each repeats what the other sends "
        "(status climate/-/hall/stove/b T c=21.5 ok=True)"
    )


def test_two_sensors_that_send_the_same_each_second_are_not_a_loop() -> None:
    assert Side().round_trips(1000, 1.0) == 1000
    assert Side().round_trips(1000, 0.5) == 1000


def test_messages_in_one_direction_are_not_a_loop() -> None:
    side = Side()
    assert all(side.admits() for _ in range(1000))
    for _ in range(1000):
        side.loops.record_sent(WARM)
    assert [side.admits() for _ in range(1000)] == [True] * 1000, "a burst of our messages is one round trip"


def test_different_contents_are_not_a_loop() -> None:
    side = Side()
    for number in range(100):
        side.loops.record_sent(WARM.replace(arguments={"c": number}))
        assert side.admits(THEIRS.replace(arguments={"c": number}))
    assert side.round_trips(100, 0.01, WARM.replace(iscmd=True)) == 5
    assert side.admits(), "the status of the same words"
    assert side.admits(THEIRS.replace(location="cellar"))


def test_the_order_of_arguments_makes_no_difference() -> None:
    side = Side()
    repeated = THEIRS.replace(arguments={"ok": True, "c": 21.5})
    admitted = 0
    for _ in range(20):
        side.loops.record_sent(WARM)
        admitted += side.admits(repeated)
    assert admitted == 5


def test_a_break_ends_automatically_and_lasts_longer_each_time() -> None:
    side, cuts = Side(), []
    for _ in range(6):
        assert side.round_trips(6, 0.01) == 5
        began = side.now
        while not side.admits():
            side.now += 0.5
        cuts.append(round(side.now - began))
    assert cuts == [5, 10, 20, 40, 60, 60]
    side.now += 700
    assert side.round_trips(6, 0.01) == 5
    side.now += 5
    assert side.admits(), "after ten minutes it is a new loop"


def test_other_messages_are_received_during_a_break() -> None:
    side = Side()
    side.round_trips(10, 0.01)
    assert not side.admits()
    assert side.admits(THEIRS.replace(action="HUMIDITY"))


def test_memory_is_bounded() -> None:
    side = Side()
    for number in range(5000):
        side.loops.record_sent(WARM.replace(action=str(number)))
        side.loops.record_sent(WARM.replace(arguments={"c": number}))
    unread = side.loops._unread
    assert (len(unread), sum(map(len, unread.values()))) == (1000, 999 + 250)
    for number in range(5000):
        side.loops.record_sent(WARM.replace(arguments={"c": number}))
        assert side.admits(THEIRS.replace(arguments={"c": -1}))
    assert side.loops.stats()["contents_watched"] == 1000
    assert side.round_trips(10, 0.01) == 5


def test_a_loop_is_detected_among_many_other_sent_messages() -> None:
    side, admitted = Side(), 0
    for turn in range(10):
        admitted += side.round_trips(1, 0.01)
        for number in range(300):
            side.loops.record_sent(WARM.replace(action=f"{turn} {number}"))
    assert admitted == 5


@given(st.lists(st.tuples(st.sampled_from(("out", "in")), st.sampled_from((0.0, 0.1, 0.4, 1.0, 7.0))), max_size=200))
def test_there_are_never_more_than_five_round_trips_within_two_seconds(steps: list[tuple[str, float]]) -> None:
    side, is_out = Side(), False
    round_trips: list[float] = []
    for what, pause in steps:
        side.now += pause
        if what == "out":
            side.loops.record_sent(WARM)
            is_out = True
        elif side.admits():
            round_trips += [side.now] if is_out else []
            is_out = False
            assert sum(1 for at in round_trips if side.now - at <= 2.0) <= 5
        else:
            is_out = False


@pytest.mark.parametrize("count", [1, 5])
def test_a_few_round_trips_are_allowed(count: int) -> None:
    assert Side().round_trips(count, 0.001) == count
