from __future__ import annotations

import logging
import math
import threading
import tracemalloc
from dataclasses import asdict
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lane import Entry
from gateway.message import Publication
from gateway.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until

OVERHEAD = 500  # bytes that the outbox counts for each publication beyond its topic and payload

Discard = Literal["old", "new"]
Step = tuple[str, int]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def publication(number: int, size: int = 10, *, is_command: bool = False) -> Publication:
    return Publication(f"t/{number:06}", b"x" * size, is_command=is_command)


def number_of(entry: Entry) -> int:
    return int(entry.publication.topic.removeprefix("t/"))


def numbers(entries: list[Entry]) -> list[int]:
    return [number_of(each) for each in entries]


def size_of(entry: Entry) -> int:
    return len(entry.publication.topic) + len(entry.publication.payload) + OVERHEAD


# --- the ordinary way


def test_publications_come_out_in_their_order_and_are_delivered_once_settled() -> None:
    outbox = Outbox()
    assert not outbox.has_waiting
    for number in range(5):
        assert outbox.put(publication(number))
    taken = outbox.take(3)
    assert numbers(taken) == [0, 1, 2]
    assert (len(outbox), outbox.has_waiting) == (5, True)
    outbox.settle(taken[:1])
    outbox.settle(taken[1:])
    assert numbers(outbox.take(10)) == [3, 4]
    assert outbox.take(10) == []
    assert (len(outbox), outbox.has_waiting) == (2, False)
    counts = outbox.counts()
    assert (counts.accepted, counts.delivered, counts.dropped, counts.waiting, counts.in_flight) == (5, 3, 0, 0, 2)


def test_what_is_put_back_goes_out_first_and_in_its_order() -> None:
    outbox = Outbox()
    for number in range(6):
        outbox.put(publication(number))
    taken = outbox.take(4)
    outbox.settle(taken[:1])
    outbox.put_back(each for each in taken if number_of(each) in (1, 3))
    assert outbox.counts().in_flight == 1
    assert numbers(outbox.take(10)) == [1, 3, 4, 5]


def test_every_put_is_told_in_the_thread_that_put() -> None:
    told: list[str] = []
    outbox = Outbox(on_put=lambda: told.append(threading.current_thread().name))
    thread = threading.Thread(target=outbox.put, args=(publication(1),), name="device")
    thread.start()
    thread.join()
    assert told == ["device"]


# --- the limits


def test_discarding_old_keeps_the_newest(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "outbox 100 % full (3 messages waiting)",
        "outbox full: the oldest messages are dropped until the broker takes them faster (3 waiting, 1 dropped so far)",
    )
    outbox = Outbox(max_messages=3, discard="old")
    assert all(outbox.put(publication(number)) for number in range(5))
    assert (outbox.counts().dropped_old, outbox.counts().refused_new) == (2, 0)
    assert numbers(outbox.take(10)) == [2, 3, 4]


def test_discarding_new_keeps_the_oldest(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "outbox 100 % full (3 messages waiting)",
        "outbox full: new messages are refused until the broker takes them faster (3 waiting, 1 dropped so far)",
    )
    outbox = Outbox(max_messages=3, discard="new")
    assert [outbox.put(publication(number)) for number in range(5)] == [True, True, True, False, False]
    assert (outbox.counts().dropped_old, outbox.counts().refused_new) == (0, 2)
    assert numbers(outbox.take(10)) == [0, 1, 2]


def test_as_many_old_ones_are_dropped_as_a_large_new_one_needs(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full: the oldest", "% full")
    outbox = Outbox(max_bytes=4 * (OVERHEAD + 8 + 100))
    for number in range(4):
        outbox.put(publication(number, 100))
    assert outbox.put(publication(4, 200))
    assert numbers(outbox.take(10)) == [2, 3, 4]


@pytest.mark.parametrize("discard", ["old", "new"])
def test_one_that_could_never_fit_is_refused_and_drops_no_other(discard: Discard, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full")
    outbox = Outbox(max_bytes=10_000, discard=discard)
    for number in range(3):
        outbox.put(publication(number))
    assert not outbox.put(publication(3, 10_000))
    assert numbers(outbox.take(10)) == [0, 1, 2]


def test_what_is_put_back_into_a_full_outbox_is_dropped_oldest_first(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox = Outbox(max_messages=4)
    for number in range(3):
        outbox.put(publication(number))
    taken = outbox.take(3)
    for number in range(3, 6):
        outbox.put(publication(number))
    outbox.put_back(taken)
    assert outbox.counts().dropped_old == 2
    assert numbers(outbox.take(10)) == [2, 3, 4, 5]


def test_the_bytes_that_are_counted_are_those_that_are_used(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    limit = 1024 * 1024
    outbox = Outbox(max_bytes=limit)
    tracemalloc.start()
    try:
        for number in range(2 * limit // OVERHEAD):
            outbox.put(publication(number, number % 50))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outbox.counts().dropped_old > 0
    assert 0.5 * limit < used < 1.1 * limit


def test_filling_up_is_said_once_and_so_is_being_well_again(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("outbox 80 % full (8 messages waiting)")
    outbox = Outbox(max_messages=10)
    for number in range(9):
        outbox.put(publication(number))
    outbox.take(2)
    outbox.put(publication(9))
    outbox.take(3)
    outbox.take(1)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "outbox 80 % full (8 messages waiting)"),
        ("INFO", "outbox back to 50 % (5 messages waiting)"),
    ]


def test_filling_up_with_bytes_counts_as_well(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox 90 % full (1 messages waiting)")
    Outbox(max_bytes=10_000).put(publication(0, 9000 - OVERHEAD - 8))


# --- commands that come too late


def test_a_command_that_waited_too_long_is_dropped_and_a_status_is_not(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("2 messages were dropped: no broker took them in their lifetime")
    clock = Clock()
    outbox = Outbox(command_lifetime=30.0, clock=clock)
    outbox.put(publication(0, is_command=True))
    outbox.put(publication(1))
    outbox.put(publication(2, is_command=True))
    clock.now = 10.0
    outbox.put(publication(3, is_command=True))
    outbox.put(publication(4))
    clock.now = 30.5
    assert numbers(outbox.take(2)) == [1, 3], "what is dropped takes no place"
    assert numbers(outbox.take(2)) == [4]
    counts = outbox.counts()
    assert (counts.expired, counts.dropped, counts.in_flight) == (2, 2, 3)


def test_a_lifetime_of_zero_is_for_ever() -> None:
    clock = Clock()
    outbox = Outbox(command_lifetime=0.0, clock=clock)
    outbox.put(publication(0, is_command=True))
    clock.now = 1e9
    assert numbers(outbox.take(1)) == [0]


# --- the laws

steps = st.lists(
    st.tuples(st.sampled_from(["put", "put command"]), st.integers(0, 3000))
    | st.tuples(st.sampled_from(["take", "settle", "put back"]), st.integers(0, 8))
    | st.tuples(st.just("wait"), st.integers(0, 20)),
    max_size=80,
)


class Bench:
    """An outbox and all that was ever put into it, to hold the laws against."""

    def __init__(self, discard: Discard, max_messages: int, max_bytes: int) -> None:
        self.max_messages, self.max_bytes = max_messages, max_bytes
        self.clock = Clock()
        self.outbox = Outbox(max_messages, max_bytes, discard, command_lifetime=30.0, clock=self.clock)
        self.puts = self.accepted = self.settled = self.taken = self.put_back = 0
        self.in_flight: list[Entry] = []

    def do(self, step: str, amount: int) -> None:
        if step in ("put", "put command"):
            self.accepted += self.outbox.put(publication(self.puts, amount, is_command=step == "put command"))
            self.puts += 1
        elif step == "take":
            taken = self.outbox.take(amount)
            assert len(taken) <= amount
            self.taken += len(taken)
            self.in_flight += taken
        elif step == "settle":
            count = min(amount, len(self.in_flight))
            self.outbox.settle(self.in_flight[:count])
            self.settled += count
            del self.in_flight[:count]
        elif step == "put back":
            back = self.in_flight[-amount:] if amount else []
            self.in_flight = self.in_flight[: len(self.in_flight) - len(back)]
            self.put_back += len(back)
            self.outbox.put_back(back)
        else:
            self.clock.now += amount

    def check_counts(self) -> None:
        counts = self.outbox.counts()
        assert counts.accepted == self.accepted
        assert counts.accepted + counts.refused_new == self.puts
        assert counts.dropped == counts.dropped_old + counts.refused_new + counts.expired + counts.set_aside
        assert self.puts == counts.delivered + counts.dropped + counts.waiting + counts.in_flight
        assert counts.delivered == self.settled
        assert counts.in_flight == len(self.in_flight)
        assert len(self.outbox) == counts.waiting + counts.in_flight
        assert self.outbox.has_waiting == (counts.waiting > 0)
        assert min(asdict(counts).values()) >= 0
        assert counts.waiting <= self.max_messages

    def check_waiting(self) -> None:
        """Look at everything that waits, which ends the bench."""
        self.clock.now = 0.0  # nothing expires
        waiting = self.outbox.take(1_000_000)
        assert sum(map(size_of, waiting)) <= self.max_bytes
        order = numbers(waiting)
        assert order == sorted(set(order))
        assert not set(order) & set(numbers(self.in_flight)), "nothing is in flight twice"


@given(steps, st.sampled_from(["old", "new"]), st.integers(1, 12), st.sampled_from([1000, 4000, 100_000]))
def test_the_counts_add_up_the_order_is_kept_and_no_limit_is_passed(
    done: list[Step], discard: Discard, max_messages: int, max_bytes: int
) -> None:
    logging.getLogger("gateway.outbox").setLevel(logging.CRITICAL)  # what it says is tested above
    try:
        bench = Bench(discard, max_messages, max_bytes)
        for step, amount in done:
            bench.do(step, amount)
            bench.check_counts()
        bench.check_waiting()
    finally:
        logging.getLogger("gateway.outbox").setLevel(logging.NOTSET)


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 10))
def test_old_keeps_the_last_and_new_the_first(sizes: list[int], max_messages: int) -> None:
    logging.getLogger("gateway.outbox").setLevel(logging.CRITICAL)
    try:
        old, new = Outbox(max_messages, discard="old"), Outbox(max_messages, discard="new")
        for number, size in enumerate(sizes):
            old.put(publication(number, size))
            new.put(publication(number, size))
    finally:
        logging.getLogger("gateway.outbox").setLevel(logging.NOTSET)
    everything = list(range(len(sizes)))
    assert numbers(old.take(100)) == everything[-max_messages:]
    assert numbers(new.take(100)) == everything[:max_messages]


def test_with_many_threads_nothing_is_lost_and_each_keeps_its_order() -> None:
    outbox, count, names = Outbox(), 2000, "abcd"
    threads = [
        threading.Thread(
            target=lambda name=name: [outbox.put(Publication(name, str(n).encode())) for n in range(count)]
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    taken: list[Entry] = []
    while len(taken) < count * len(names):
        batch = outbox.take(7)
        if len(batch) > 3:
            outbox.put_back(batch[3:])
            batch = batch[:3]
        outbox.settle(batch)
        taken += batch
    for thread in threads:
        thread.join()
    for name in names:
        assert [int(each.publication.payload) for each in taken if each.publication.topic == name] == list(range(count))
    counts = outbox.counts()
    assert (counts.accepted, counts.delivered, counts.dropped, len(outbox)) == (count * 4, count * 4, 0, 0)


def test_a_producer_is_held_back_while_the_broker_takes_and_loses_nothing() -> None:
    outbox = Outbox(max_messages=5000)
    total = 20_000

    def produce() -> None:
        for number in range(total):
            assert outbox.put(Publication("home/t", str(number).encode()))
            outbox.wait_for_room()

    producer = threading.Thread(target=produce)
    producer.start()
    taken: list[int] = []

    def take() -> bool:
        taken.extend(int(entry.publication.payload) for entry in outbox.take(100))
        return len(taken) == total

    wait_until(take, timeout=30, what=lambda: f"all messages; {outbox.counts()}", pause=0.0)
    producer.join()
    assert taken == list(range(total))
    assert outbox.counts().dropped == 0


def test_a_producer_is_not_held_back_while_the_broker_takes_nothing() -> None:
    now = iter(range(10_000_000))
    outbox = Outbox(max_messages=50_000, clock=lambda: float(next(now)))
    for _ in range(4000):
        outbox.put(Publication("home/t", b"x"))
    outbox.wait_for_room(longest=math.inf)  # returns: nothing was ever taken
    assert outbox.counts().waiting == 4000
