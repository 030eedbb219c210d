from __future__ import annotations

import itertools
import logging
import math
import threading
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.receipt import Receipt
from gateway.errors import DeliveryError
from gateway.message import Lane, Publication
from gateway.outbox import outbox as outbox_module
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.options import DISK_DEFAULTS, DiscardPolicy, OutboxOptions
from gateway.outbox.outbox import Outbox
from gateway.outbox.pending_writes import MAX_BYTES, MAX_ENTRIES
from gateway.outbox.queues import HEAD, Entry, Source
from gateway.outbox.retained import MAX_BYTES as RETAINED_BYTES
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

OVERHEAD = 500  # bytes that the outbox counts for each publication beyond its topic and payload

Step = tuple[str, int]


def options(**changed: Any) -> OutboxOptions:
    """Return options without lifetimes."""
    return OutboxOptions(**{"command_lifetime": 0.0, **changed})


def publication(number: int, size: int = 10, *, is_command: bool = False) -> Publication:
    return Publication(f"t/{number:06}", b"x" * size, is_command=is_command)


def number_of(entry: Entry) -> int:
    return int(entry.publication.topic.removeprefix("t/"))


def numbers(entries: list[Entry]) -> list[int]:
    return [number_of(each) for each in entries]


def size_of(entry: Entry) -> int:
    return len(entry.publication.topic) + len(entry.publication.payload) + OVERHEAD


# --- normal operation


@pytest.mark.parametrize("discard", DiscardPolicy)
def test_a_batch_is_taken_as_one_put_after_the_other(discard: DiscardPolicy, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    together, singly = (Outbox(options(max_messages=5, discard=discard)) for _ in range(2))
    batch = [publication(number) for number in range(8)]
    refused = together.put_all(batch)
    assert refused == sum(not singly.put(each) for each in batch) == (3 if discard is DiscardPolicy.NEW else 0)
    assert together.counts() == singly.counts()
    assert numbers(together.take(10)) == numbers(singly.take(10))


def test_publications_are_taken_in_order_and_are_delivered_once_settled() -> None:
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


def test_requeued_publications_are_sent_first_and_in_order() -> None:
    outbox = Outbox()
    for number in range(6):
        outbox.put(publication(number))
    taken = outbox.take(4)
    outbox.settle(taken[:1])
    outbox.requeue(each for each in taken if number_of(each) in (1, 3))
    assert outbox.counts().in_flight == 1
    assert numbers(outbox.take(10)) == [1, 3, 4, 5]


def test_on_put_is_called_in_the_thread_that_put() -> None:
    threads: list[str] = []
    outbox = Outbox()
    outbox.on_put = lambda _: threads.append(threading.current_thread().name)
    thread = threading.Thread(target=outbox.put, args=(publication(1),), name="device")
    thread.start()
    thread.join()
    assert threads == ["device"]


def test_publications_that_the_link_sends_directly_are_not_put() -> None:
    offered: list[list[int]] = []
    takes = True

    def send_directly(publications: Sequence[Publication], may_wait: bool) -> bool:
        offered.append([int(each.topic.removeprefix("t/")) for each in publications])
        if takes:
            outbox.count_direct(publications)
        return takes

    outbox = Outbox()
    outbox.send_directly = send_directly
    assert outbox.put(publication(1))
    assert outbox.put_all([publication(2), publication(3)]) == 0
    outbox.put(publication(4), Receipt())  # a thread waits for that one
    outbox.put_all([publication(5)])
    assert offered == [[1], [2, 3]], "nothing overtakes what waits"
    counts = outbox.counts()
    assert (counts.accepted, counts.delivered, counts.waiting) == (5, 3, 2)
    taken = outbox.take(2)
    outbox.put(publication(6))
    outbox.settle([*taken, *outbox.take(1)])
    takes = False
    outbox.put(publication(7))
    assert offered[2:] == [[7]], "nor what is in flight"
    assert numbers(outbox.take(1)) == [7]


def test_publications_accepted_by_the_link_and_not_written_are_in_flight() -> None:
    outbox = Outbox()
    entries = outbox.track_in_flight([publication(1), publication(2)])
    assert (outbox.counts().accepted, outbox.counts().in_flight, outbox.is_empty) == (2, 2, False)
    outbox.settle(entries[:1])
    outbox.requeue(entries[1:])
    assert numbers(outbox.take(10)) == [2]
    outbox.settle(entries[1:])
    assert (outbox.counts().delivered, outbox.is_empty) == (2, True)


def test_publications_that_the_link_has_not_written_keep_the_order_of_their_topic_whatever_the_lanes() -> None:
    def on(lane: Lane, number: int) -> Publication:
        return Publication("t", b"%d" % number, lane=lane)

    outbox = Outbox()
    entries = outbox.track_in_flight([on(Lane.BULK, 1), on(Lane.EVENT, 2)])
    outbox.put(on(Lane.EVENT, 3))
    outbox.requeue(entries)
    assert [int(each.publication.payload) for each in outbox.take(10)] == [1, 2, 3]


def test_stats_have_all_counts_and_levels() -> None:
    outbox = Outbox(options(max_messages=100))
    for number in range(5):
        outbox.put(publication(number))
    outbox.put(retained("state", b"on"))
    outbox.settle(outbox.take(2))
    outbox.take(1)
    stats, counts = outbox.stats(), outbox.counts()
    assert {name: stats[name] for name in counts._fields} == counts._asdict()
    assert (stats["waiting_bytes"], stats["level_percent"], stats["blocked_producers"]) == (
        3 * (OVERHEAD + 18) - 18 + 7, 3, 0,
    )  # fmt: skip
    assert all(type(value) is int for value in stats.values())


def test_stats_are_read_while_another_thread_has_the_lock() -> None:
    read: list[dict[str, int]] = []

    def clock() -> float:  # is called with the lock
        reader = threading.Thread(target=lambda: read.append(outbox.stats()), daemon=True)
        reader.start()
        reader.join(5)
        return 0.0

    outbox = Outbox(clock=clock)
    outbox.take(1)
    assert len(read) == 1


def test_stats_of_an_outbox_on_disk_tell_what_is_not_committed_and_what_is_only_on_disk() -> None:
    outbox = DurableOutbox()
    for number in range(HEAD + 10):
        outbox.put(Publication("t", b"%06d" % number, 1))
    stats = outbox.stats()
    assert (stats["uncommitted"], stats["uncommitted_bytes"], stats["spilled"]) == (HEAD + 10, (HEAD + 10) * 107, 0)
    outbox.mark_committed(outbox.next_batch())
    stats = outbox.stats()
    assert (stats["uncommitted"], stats["spilled"], stats["spilled_bytes"]) == (0, 10, 1070)
    assert outbox.rebuild() == 10
    assert (outbox.stats()["lost_with_file"], outbox.stats()["spilled"]) == (10, 0)


# --- the limits


def test_discarding_old_keeps_the_newest(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "outbox 100 % full (3 messages waiting)",
        "outbox full: the oldest messages are dropped until the broker accepts them faster"
        " (3 waiting, 1 dropped so far)",
    )
    outbox = Outbox(options(max_messages=3, discard=DiscardPolicy.OLD))
    assert all(outbox.put(publication(number)) for number in range(5))
    assert (outbox.counts().dropped_old, outbox.counts().refused_new) == (2, 0)
    assert numbers(outbox.take(10)) == [2, 3, 4]


def test_discarding_new_keeps_the_oldest(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "outbox 100 % full (3 messages waiting)",
        "outbox full: new messages are refused until the broker accepts them faster (3 waiting, 1 dropped so far)",
    )
    outbox = Outbox(options(max_messages=3, discard=DiscardPolicy.NEW))
    assert [outbox.put(publication(number)) for number in range(5)] == [True, True, True, False, False]
    assert (outbox.counts().dropped_old, outbox.counts().refused_new) == (0, 2)
    assert numbers(outbox.take(10)) == [0, 1, 2]


def test_as_many_old_ones_are_dropped_as_a_large_new_one_needs(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full: the oldest", "% full")
    outbox = Outbox(options(max_bytes=4 * (OVERHEAD + 8 + 100)))
    for number in range(4):
        outbox.put(publication(number, 100))
    assert outbox.put(publication(4, 200))
    assert numbers(outbox.take(10)) == [2, 3, 4]


@pytest.mark.parametrize("discard", DiscardPolicy)
def test_one_that_could_never_fit_is_refused_and_drops_no_other(
    discard: DiscardPolicy, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("outbox full")
    outbox = Outbox(options(max_bytes=10_000, discard=discard))
    for number in range(3):
        outbox.put(publication(number))
    assert not outbox.put(publication(3, 10_000))
    assert numbers(outbox.take(10)) == [0, 1, 2]


def test_what_is_requeued_into_a_full_outbox_is_dropped_oldest_first(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox = Outbox(options(max_messages=4))
    for number in range(3):
        outbox.put(publication(number))
    taken = outbox.take(3)
    for number in range(3, 6):
        outbox.put(publication(number))
    outbox.requeue(taken)
    assert outbox.counts().dropped_old == 2
    assert numbers(outbox.take(10)) == [2, 3, 4, 5]


def test_what_is_requeued_before_one_that_does_not_fit_is_dropped_with_it(expected_logs: ExpectedLogs) -> None:
    """It is older; if it was kept because it is small, an older message would outlive a newer one."""
    expected_logs.expect("outbox full: the oldest messages are dropped", "% full")
    outbox = Outbox(options(max_bytes=4 * (OVERHEAD + 18)))
    outbox.put_all([publication(1), publication(2, size=800)])
    taken = outbox.take(2)
    outbox.put_all([publication(3), publication(4)])
    outbox.requeue(taken)
    assert numbers(outbox.take(10)) == [3, 4]
    assert outbox.counts().dropped_old == 2


def test_the_bytes_that_are_counted_are_those_that_are_used(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    limit = 1024 * 1024
    outbox = Outbox(options(max_bytes=limit))
    tracemalloc.start()
    try:
        for number in range(2 * limit // OVERHEAD):
            outbox.put(publication(number, number % 50))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outbox.counts().dropped_old > 0
    assert 0.5 * limit < used < 1.1 * limit


def test_filling_up_is_logged_once_and_so_is_having_room_again(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("outbox 80 % full (8 messages waiting)")
    outbox = Outbox(options(max_messages=10))
    for number in range(9):
        outbox.put(publication(number))
    for count in (2, 3, 1):
        outbox.settle(outbox.take(count))
        if count == 2:
            outbox.put(publication(9))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "outbox 80 % full (8 messages waiting)"),
        ("INFO", "outbox back to 50 % (5 messages waiting)"),
    ]


def test_filling_up_with_bytes_counts_as_well(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox 90 % full (1 message waiting)")
    Outbox(options(max_bytes=10_000)).put(publication(0, 9000 - OVERHEAD - 8))


# --- commands that come too late


def test_a_command_that_waited_too_long_is_dropped_and_a_status_is_not(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("2 messages were dropped: no broker accepted them within their lifetime")
    clock = FakeClock(0.0)
    outbox = Outbox(options(command_lifetime=30.0), clock=clock)
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


def test_a_lifetime_of_zero_has_no_end() -> None:
    clock = FakeClock(0.0)
    outbox = Outbox(options(command_lifetime=0.0), clock=clock)
    outbox.put(publication(0, is_command=True))
    clock.now = 1e9
    assert numbers(outbox.take(1)) == [0]


# --- invariants

steps = st.lists(
    st.tuples(st.sampled_from(["put", "put command"]), st.integers(0, 3000))
    | st.tuples(st.sampled_from(["take", "settle", "requeue"]), st.integers(0, 8))
    | st.tuples(st.just("wait"), st.integers(0, 20)),
    max_size=80,
)


class Bench:
    """An outbox and everything that was ever put into it, to check the invariants."""

    def __init__(self, discard: DiscardPolicy, max_messages: int, max_bytes: int) -> None:
        self.max_messages, self.max_bytes = max_messages, max_bytes
        self.clock = FakeClock(0.0)
        self.outbox = Outbox(
            options(max_messages=max_messages, max_bytes=max_bytes, discard=discard, command_lifetime=30.0),
            clock=self.clock,
        )
        self.puts = self.accepted = self.settled = self.taken = self.requeue = 0
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
        elif step == "requeue":
            back = self.in_flight[-amount:] if amount else []
            self.in_flight = self.in_flight[: len(self.in_flight) - len(back)]
            self.requeue += len(back)
            self.outbox.requeue(back)
        else:
            self.clock.now += amount

    def check_counts(self) -> None:
        counts = self.outbox.counts()
        assert counts.accepted == self.accepted
        assert counts.accepted + counts.refused_new == self.puts
        assert counts.dropped == counts.dropped_old + counts.refused_new + counts.expired + counts.dead_letters
        assert self.puts == counts.delivered + counts.dropped + counts.waiting + counts.in_flight
        assert counts.delivered == self.settled
        assert counts.in_flight == len(self.in_flight)
        assert len(self.outbox) == counts.waiting + counts.in_flight
        assert self.outbox.has_waiting == (counts.waiting > 0)
        assert min(counts) >= 0
        assert counts.waiting <= self.max_messages

    def check_waiting(self) -> None:
        """Check everything that waits. The bench is of no use afterwards."""
        self.clock.now = 0.0  # nothing expires
        waiting = self.outbox.take(1_000_000)
        assert sum(map(size_of, waiting)) <= self.max_bytes
        order = numbers(waiting)
        assert order == sorted(set(order))
        assert not set(order) & set(numbers(self.in_flight)), "nothing is in flight twice"


@given(steps, st.sampled_from(DiscardPolicy), st.integers(1, 12), st.sampled_from([1000, 4000, 100_000]))
def test_the_counts_add_up_the_order_is_kept_and_no_limit_is_exceeded(
    done: list[Step], discard: DiscardPolicy, max_messages: int, max_bytes: int
) -> None:
    logging.getLogger("mqttgateway.outbox").setLevel(logging.CRITICAL)  # its lines are tested above
    try:
        bench = Bench(discard, max_messages, max_bytes)
        for step, amount in done:
            bench.do(step, amount)
            bench.check_counts()
        bench.check_waiting()
    finally:
        logging.getLogger("mqttgateway.outbox").setLevel(logging.NOTSET)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "batch", "state", "take", "settle", "requeue", "republish"]),
            st.integers(1, 12),
        ),
        max_size=50,
    ),
    st.sampled_from(DiscardPolicy),
    st.integers(1, 20),
    st.sampled_from([2000, 8000, 1_000_000]),
)
def test_no_limit_is_exceeded_whatever_is_put_and_requeued(
    done: list[Step], discard: DiscardPolicy, max_messages: int, max_bytes: int
) -> None:
    logging.getLogger("mqttgateway.outbox").setLevel(logging.CRITICAL)
    outbox, in_flight, number = (
        Outbox(options(max_messages=max_messages, max_bytes=max_bytes, discard=discard)),
        [],
        itertools.count(),
    )
    try:
        for step, amount in done:
            if step == "put":
                for _ in range(amount):
                    outbox.put(publication(next(number)))
            elif step == "batch":
                outbox.put_all([publication(next(number)) for _ in range(amount)])
            elif step == "state":
                outbox.put(retained(f"state/{amount}", b"%d" % next(number)))
            elif step == "take":
                in_flight += outbox.take(amount)
            elif step == "settle":
                outbox.settle(in_flight[:amount])
                del in_flight[:amount]
            elif step == "requeue":
                outbox.requeue(in_flight[-amount:])
                del in_flight[-amount:]
            else:
                outbox.republish_retained()
            assert outbox.counts().waiting <= max_messages
            assert outbox.stats()["waiting_bytes"] <= max_bytes
    finally:
        logging.getLogger("mqttgateway.outbox").setLevel(logging.NOTSET)


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 10))
def test_old_keeps_the_last_and_new_the_first(sizes: list[int], max_messages: int) -> None:
    logging.getLogger("mqttgateway.outbox").setLevel(logging.CRITICAL)
    try:
        old, new = (
            Outbox(options(max_messages=max_messages, discard=DiscardPolicy.OLD)),
            Outbox(options(max_messages=max_messages, discard=DiscardPolicy.NEW)),
        )
        for number, size in enumerate(sizes):
            old.put(publication(number, size))
            new.put(publication(number, size))
    finally:
        logging.getLogger("mqttgateway.outbox").setLevel(logging.NOTSET)
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
            outbox.requeue(batch[3:])
            batch = batch[:3]
        outbox.settle(batch)
        taken += batch
    for thread in threads:
        thread.join()
    for name in names:
        assert [int(each.publication.payload) for each in taken if each.publication.topic == name] == list(range(count))
    counts = outbox.counts()
    assert (counts.accepted, counts.delivered, counts.dropped, len(outbox)) == (count * 4, count * 4, 0, 0)


def test_a_producer_is_blocked_while_the_broker_is_slower_and_loses_nothing() -> None:
    outbox = Outbox(options(max_messages=5000))
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


def test_a_blocked_producer_continues_immediately_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("% full")
    monkeypatch.setattr(outbox_module, "STALLED", 3600.0)  # s that it sleeps if it is not woken
    outbox = Outbox(options(max_messages=10), clock=lambda: 0.0)
    for number in range(9):
        outbox.put(publication(number))
    outbox.take(1)
    producer = threading.Thread(target=outbox.wait_for_room, args=(7200.0,))
    producer.start()
    wait_until(lambda: outbox.stats()["blocked_producers"])
    outbox.take(8)
    producer.join(10)
    assert not producer.is_alive()


def test_a_producer_is_not_blocked_while_the_broker_accepts_nothing() -> None:
    now = iter(range(10_000_000))
    outbox = Outbox(options(max_messages=50_000), clock=lambda: float(next(now)))
    for _ in range(4000):
        outbox.put(Publication("home/t", b"x"))
    outbox.wait_for_room(longest=math.inf)  # returns: nothing was ever taken
    assert outbox.counts().waiting == 4000


# --- lanes


def test_of_a_state_only_the_newest_waits_and_the_receipts_of_older_ones_raise() -> None:
    outbox = Outbox()
    old, new = Receipt(), Receipt()
    outbox.put(Publication("a", b"1", lane=Lane.LATEST), old)
    assert old.is_accepted
    outbox.put(Publication("a", b"2", lane=Lane.LATEST), new)
    with pytest.raises(DeliveryError, match="dropped: a newer value has replaced it"):
        old.wait_delivered(0)
    outbox.settle(outbox.take(5))
    new.wait_delivered(0)
    counts = outbox.counts()
    assert (counts.accepted, counts.delivered, counts.superseded, counts.dropped) == (2, 1, 1, 0)


def test_a_requeued_state_is_dropped_for_a_newer_one() -> None:
    outbox = Outbox()
    outbox.put(Publication("a", b"1", lane=Lane.LATEST))
    taken = outbox.take(1)
    outbox.put(Publication("a", b"2", lane=Lane.LATEST))
    outbox.requeue(taken)
    assert [each.publication.payload for each in outbox.take(5)] == [b"2"]
    assert (outbox.counts().superseded, len(outbox)) == (1, 1)


def test_at_the_limit_bulk_is_dropped_first_and_replies_last(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox = Outbox(options(max_messages=4))
    for lane in Lane:
        outbox.put(Publication(lane.name, b"", lane=lane))
    left = []
    for number in range(3):
        outbox.put(Publication(f"new {number}", b"", lane=Lane.REPLY))
        left.append(outbox.counts().waiting)
    assert left == [4, 4, 4]
    assert [each.publication.topic for each in outbox.take(9)] == ["REPLY", "new 0", "new 1", "new 2"]


# --- lifetimes of their own


@pytest.mark.parametrize(("lifetime", "late", "arrives"), [(5.0, 6.0, False), (5.0, 4.0, True), (0.0, 1e9, True)])
def test_a_publication_may_have_a_lifetime_of_its_own(
    lifetime: float, late: float, arrives: bool, expected_logs: ExpectedLogs
) -> None:
    if not arrives:
        expected_logs.expect("1 message was dropped: no broker accepted it within its lifetime")
    clock, receipt = FakeClock(0.0), Receipt()
    outbox = Outbox(options(command_lifetime=1.0, status_lifetime=1.0), clock=clock)
    outbox.put(Publication("a", b"", lifetime=lifetime), receipt)
    clock.now = late
    assert bool(outbox.take(1)) == arrives
    if not arrives:
        with pytest.raises(DeliveryError, match="its lifetime is over"):
            receipt.wait_delivered(0)


# --- what is retained


def retained(topic: str, payload: bytes) -> Publication:
    return Publication(topic, payload, 1, retain=True)


def test_retained_payloads_are_republished_except_those_of_topics_that_wait_anyway() -> None:
    outbox = Outbox()
    for topic, payload in (("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4"), ("c", b"")):
        outbox.put(retained(topic, payload))
    outbox.put(Publication("not", b"retained", 1))
    outbox.settle(outbox.take(6))
    outbox.record_retained("e", b"5")
    outbox.record_retained("f", b"6")
    outbox.record_retained("f", b"")
    assert outbox.retained == {"a": b"1", "b": b"2", "d": b"4", "e": b"5"}
    outbox.put(retained("b", b"newer"))
    outbox.republish_retained()
    again = [(each.publication.topic, each.publication.payload) for each in outbox.take(9)]
    assert again == [("b", b"newer"), ("a", b"1"), ("d", b"4")], "e is republished by the part that has published it"


def test_what_is_in_flight_is_not_republished() -> None:
    outbox = Outbox()
    outbox.put(retained("a", b"1"))
    outbox.take(1)
    outbox.republish_retained()
    assert outbox.take(1) == []


def test_a_dead_letter_is_not_republished(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dead letter: 1 byte to 'a': too large")
    outbox = Outbox()
    outbox.put(retained("a", b"1"))
    outbox.dead_letter(outbox.take(1)[0], "too large")
    outbox.republish_retained()
    assert (outbox.take(1), outbox.counts().dead_letters) == ([], 1)


@pytest.mark.parametrize("kind", [Outbox, DurableOutbox])
def test_what_is_derived_is_neither_kept_nor_a_dead_letter(kind: type[Outbox]) -> None:
    outbox = kind(options())
    first, second = Receipt(is_derived=True), Receipt(is_derived=True)
    outbox.put(retained("a", b"1"), first)
    outbox.put(retained("b", b"2"), second)
    assert outbox.count_derived() == 2
    if isinstance(outbox, DurableOutbox):
        assert not outbox.at_risk and not outbox.next_batch().inserts
    one, other = outbox.take(9)
    outbox.dead_letter(one, "too large", "send less")
    outbox.settle([other])
    assert first.dropped == "too large" and second.is_delivered and not outbox.retained
    assert (outbox.counts().not_accepted, outbox.counts().dead_letters, outbox.count_derived()) == (1, 0, 0)


def test_republishing_keeps_to_the_limits(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox = Outbox(options(max_messages=2))
    for number in range(5):
        outbox.put(retained(f"t{number}", b"x"))
        outbox.settle(outbox.take(1))
    outbox.republish_retained()
    assert (outbox.counts().waiting, outbox.counts().refused_new) == (2, 3)


def test_requeued_entries_count_for_the_limits_of_what_comes_next(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox = Outbox(options(max_messages=10, discard=DiscardPolicy.NEW))
    for number in range(7):
        outbox.put(publication(number))
    in_flight = outbox.take(7)
    outbox.put(publication(7))
    outbox.requeue(in_flight)
    for number in range(8, 20):
        outbox.put(publication(number))
    assert len(outbox) == 10


def test_republished_entries_count_for_the_limits_of_what_comes_next(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox = Outbox(options(max_messages=10, discard=DiscardPolicy.NEW))
    for number in range(7):
        outbox.put(retained(f"state/{number}", b"on"))
    outbox.settle(outbox.take(10))
    outbox.put(publication(0))
    outbox.put(publication(1))
    outbox.republish_retained()
    for number in range(2, 12):
        outbox.put(publication(number))
    assert len(outbox) == 10


# --- flush


def test_flush_ends_immediately_when_a_message_is_dropped(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    outbox, source = Outbox(options(max_messages=1)), Source()
    outbox.put(publication(1), None, source)
    is_over = threading.Event()

    def produce() -> None:
        while not is_over.wait(0.05):
            outbox.put(publication(2))

    thread = threading.Thread(target=produce)
    thread.start()
    with pytest.raises(DeliveryError, match="1 message was dropped: the outbox is full"):
        outbox.flush(source, 30)
    is_over.set()
    thread.join()


def test_flush_waits_for_the_entries_of_its_source_only() -> None:
    outbox, mine, other = Outbox(), Source(), Source()
    outbox.put(publication(1), None, other)
    outbox.put(publication(2), None, mine)
    taken = outbox.take(2)
    with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged within 0 s$"):
        outbox.flush(mine, 0)
    outbox.settle(taken[1:])
    outbox.flush(mine, 0)
    with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged"):
        outbox.flush(other, 0)


def test_flush_does_not_wait_for_what_comes_after_the_call() -> None:
    outbox, mine = Outbox(), Source()
    outbox.put(publication(1), None, mine)
    done = threading.Event()

    def flush() -> None:
        outbox.flush(mine, 30)
        done.set()

    thread = threading.Thread(target=flush)
    thread.start()
    first = outbox.take(1)
    wait_until(lambda: outbox.stats()["blocked_producers"] == 1, what="the flush to begin")
    for number in range(10):  # a chatty neighbour, and another thread of the same interface
        outbox.put(publication(number))
        outbox.put(publication(number), None, mine)
    assert not done.is_set()
    outbox.settle(first)
    assert done.wait(10)
    assert len(outbox) == 20
    thread.join()


def test_flush_raises_once_for_what_was_lost_since_the_last_flush(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dead letter: ", "outbox full", "% full")
    outbox, mine, other = Outbox(options(max_messages=4, discard=DiscardPolicy.NEW)), Source(), Source()
    outbox.put(publication(1), None, mine)
    outbox.dead_letter(outbox.take(1)[0], "not authorized")
    outbox.put(publication(2), None, other)
    with pytest.raises(DeliveryError, match=r"^1 message was dropped: not authorized$"):
        outbox.flush(mine, 0)
    outbox.flush(mine, 0)
    for number in range(5):
        outbox.put(publication(number), None, mine)
    with pytest.raises(DeliveryError, match=r"^2 messages were dropped: the outbox is full$"):
        outbox.flush(mine, 0)


def test_a_state_with_a_newer_value_is_no_loss_to_flush() -> None:
    outbox, mine = Outbox(), Source()
    for value in (b"off", b"on"):
        outbox.put(Publication("lamp", value, 1, lane=Lane.LATEST), None, mine)
    outbox.settle(outbox.take(1))
    outbox.flush(mine, 0)


def test_flush_waits_for_what_the_link_has_not_written_yet() -> None:
    """QoS 0 bypasses an empty outbox; what the connection has not written yet is in flight."""
    outbox, mine, other = Outbox(), Source(), Source()
    tracked: list[Entry] = []

    def send_directly(publications: Sequence[Publication], _: bool) -> bool:
        tracked.extend(outbox.track_in_flight(publications))
        return True

    outbox.send_directly = send_directly
    outbox.put(publication(1), None, mine)
    outbox.flush(other, 0)
    with pytest.raises(DeliveryError, match="not acknowledged"):
        outbox.flush(mine, 0)
    outbox.settle(tracked)
    outbox.flush(mine, 0)


# --- what is lost is logged


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


def test_how_much_a_full_outbox_loses_is_logged_at_intervals_and_at_its_end(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("outbox has room again", "outbox full", "% full")
    clock = FakeClock(0.0)
    outbox = Outbox(options(max_messages=10), clock=clock)
    for number in range(339):
        outbox.put(publication(number))
    assert [line[-37:] for line in lines(caplog, "outbox full")] == ["faster (10 waiting, 1 dropped so far)"]
    clock.now += 61
    outbox.put(publication(1))
    assert [line[-39:] for line in lines(caplog, "outbox full")[1:]] == ["faster (10 waiting, 330 dropped so far)"]
    outbox.put(publication(2))
    outbox.settle(outbox.take(10))
    assert lines(caplog, "outbox has room") == ["outbox has room again; 331 messages were dropped in total"]


def test_what_never_fits_is_counted_in_the_log_though_the_outbox_is_nearly_empty(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("outbox has room again", "outbox full")
    clock = FakeClock(0.0)
    outbox = Outbox(options(max_bytes=10_000), clock=clock)
    for _ in range(20):
        outbox.put(Publication("t", bytes(20_000)))
    clock.now += 61
    outbox.put(publication(1))
    outbox.settle(outbox.take(1))
    assert lines(caplog, "outbox has room") == ["outbox has room again; 20 messages were dropped in total"]


def test_every_dead_letter_is_logged(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.expect("dead letter")
    outbox = Outbox()
    for number in range(3):
        outbox.put(Publication("home/lamp", b"%d" % number))
        outbox.dead_letter(outbox.take(1)[0], "not authorized")
    outbox.put(Publication("home/other", b"xyz"))
    outbox.dead_letter(outbox.take(1)[0], "too large")
    assert lines(caplog, "dead letter") == [
        *["dead letter: 1 byte to 'home/lamp': not authorized"] * 3,
        "dead letter: 3 bytes to 'home/other': too large",
    ]


def test_very_many_dead_letters_of_one_reason_are_counted(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dead letter")
    clock = FakeClock(0.0)
    outbox = Outbox(clock=clock)
    for number in range(500):
        outbox.put(Publication(f"t/{number}", b"x"))
        outbox.dead_letter(outbox.take(1)[0], f"a packet of {number} bytes is over the broker's limit")
    assert len(lines(caplog, "dead letter")) == 10
    clock.now += 61
    outbox.put(publication(1))
    outbox.settle(outbox.take(1))
    assert lines(caplog, "dead letter")[10:] == [
        "dead letter: 490 more in 61 s, the last of them to 't/499': a packet of 499 bytes is over the broker's limit"
    ]


def test_all_that_expires_is_counted_in_the_log(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.expect("in their lifetime")
    clock = FakeClock(0.0)
    outbox = Outbox(options(status_lifetime=1.0), clock=clock)
    for _ in range(3):
        outbox.put_all([publication(number) for number in range(4)])
        clock.now += 2
        outbox.take(10)
    clock.now += 60
    outbox.put(publication(1))
    outbox.settle(outbox.take(1))
    logged = lines(caplog, "in their lifetime")
    assert [line.split()[0] for line in logged] == ["4", "8"]


# --- bytes


def test_the_correlation_data_of_answers_counts(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    limit = 1024 * 1024
    outbox = Outbox(options(max_bytes=limit))
    tracemalloc.start()
    try:
        for _ in range(1000):
            outbox.put(Publication("a/b", b"OK", 1, lane=Lane.REPLY, correlation=bytes(60_000)))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * limit < used < 1.1 * limit


def test_receipts_count(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    limit = 1024 * 1024
    outbox = Outbox(options(max_bytes=limit, discard=DiscardPolicy.NEW))
    kept: list[Receipt] = []
    tracemalloc.start()
    try:
        receipt = Receipt()
        while outbox.put(publication(1), receipt):
            kept.append(receipt)
            receipt = Receipt()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * limit < used < 1.1 * limit


def test_a_topic_counts_with_its_bytes() -> None:
    outbox = Outbox(options(max_bytes=4 * (OVERHEAD + 30)))
    assert outbox.put(Publication("\u95e8" * 10, b""))
    (taken,) = outbox.take(1)
    assert taken.size == OVERHEAD + 30


def test_too_much_that_is_retained_is_logged_and_its_older_value_forgotten(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("too many retained messages to remember all of them: 'a' is not published again")
    outbox = Outbox(options(max_bytes=100 * 1024**2))
    for payload in (b"old", bytes(RETAINED_BYTES)):
        outbox.put(retained("a", payload))
        outbox.settle(outbox.take(1))
    assert outbox.retained == {}


# --- a disk that cannot be written


def test_uncommitted_entries_are_bounded_and_committed_ones_are_not_dropped_for_them(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("outbox full: the oldest")
    outbox = DurableOutbox()
    for number in range(1000):
        outbox.put(Publication(f"t/{number:06}", b"x", 1))
    outbox.mark_committed(outbox.next_batch())
    for number in range(1000, 1000 + MAX_ENTRIES + 500):
        outbox.put(Publication(f"t/{number:06}", b"x", 1))
    counts = outbox.counts()
    assert (counts.waiting, counts.dropped_old) == (1000 + MAX_ENTRIES, 500)
    assert numbers(outbox.take(1001)) == [*range(1000), 1500], "the oldest of those that are not on disk"


def test_a_message_larger_than_what_may_wait_for_the_disk_drops_no_other() -> None:
    outbox = DurableOutbox()
    outbox.put(Publication("t/0", b"x", 1))
    outbox.mark_committed(outbox.next_batch())
    assert outbox.put(Publication("t/1", bytes(MAX_BYTES + 1), 1))
    assert (outbox.counts().waiting, outbox.counts().dropped) == (2, 0)


def test_what_is_in_flight_is_never_dropped_for_a_disk_that_cannot_be_written(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full: the oldest")
    outbox = DurableOutbox()
    size = MAX_BYTES // 4
    for number in range(3):
        assert outbox.put(Publication(f"t/{number}", bytes(size), 1))
    taken = outbox.take(3)
    assert outbox.put(Publication("t/3", bytes(size // 2), 1))
    assert outbox.put(Publication("t/4", bytes(size // 2), 1)), "in the place of the one before"
    assert not outbox.put(Publication("t/5", bytes(size), 1)), "all else is in flight"
    outbox.settle(taken)
    counts = outbox.counts()
    assert (counts.delivered, counts.dropped_old, counts.refused_new) == (3, 2, 1)
    assert (counts.waiting, counts.in_flight) == (0, 0)


@pytest.mark.parametrize("discard", DiscardPolicy)
def test_while_the_disk_is_full_the_policy_decides(discard: DiscardPolicy, expected_logs: ExpectedLogs) -> None:
    outbox = DurableOutbox(DISK_DEFAULTS._replace(discard=discard))
    for number in range(100):
        outbox.put(Publication(f"t/{number:03}", b"x", 1))
    outbox.mark_committed(outbox.next_batch())
    for number in range(100, 110):
        outbox.put(Publication(f"t/{number:03}", b"x", 1))
    if discard is DiscardPolicy.OLD:
        expected_logs.expect("outbox full: the oldest")
    work = outbox.next_batch(disk_is_full=True)
    assert (len(work.inserts), len(work.removals)) == ((10, 10) if discard is DiscardPolicy.OLD else (0, 0))
    outbox.mark_uncommitted(work)
    again = outbox.next_batch(disk_is_full=True)
    assert again == work, "nothing more is dropped for the same"
    assert outbox.counts().dropped_old == len(work.removals)


def test_entries_are_committed_in_batches_of_limited_size() -> None:
    outbox = DurableOutbox()
    for number in range(10):
        outbox.put(Publication(f"t/{number:03}", bytes(95), 1))  # 200 bytes each
    parts: list[tuple[int, bool]] = []
    while outbox.wait_for_work() and (not parts or parts[-1][1]):  # without waiting
        work = outbox.next_batch(max_bytes=700)
        parts.append((len(work.inserts), work.has_more))
        outbox.mark_committed(work)
        if not work.has_more:
            outbox.put(Publication("more", b"", 1))
    assert parts == [(3, True), (3, True), (3, True), (1, False)]
    outbox.put(Publication("t", bytes(1000), 1))
    assert len(outbox.next_batch(max_bytes=1).inserts) == 1, "one, however large"


def test_only_as_much_room_is_made_as_a_batch_needs(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full: the oldest")
    outbox = DurableOutbox()
    for number in range(100):
        outbox.put(Publication(f"t/{number:03}", bytes(95), 1))
    outbox.mark_committed(outbox.next_batch())
    for number in range(100, 110):
        outbox.put(Publication(f"t/{number:03}", bytes(95), 1))
    for part in range(1, 4):
        work = outbox.next_batch(disk_is_full=True, max_bytes=600)
        assert (len(work.inserts), len(work.removals)) == (3, 3)
        outbox.mark_uncommitted(work)
        assert outbox.next_batch(disk_is_full=True, max_bytes=600) == work, "nothing more is dropped for the same"
        outbox.mark_committed(work)
        assert outbox.counts().dropped_old == 3 * part


def test_a_producer_is_blocked_by_a_disk_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "STALLED", 3600.0)  # s that it sleeps if it is not woken
    clock = iter(range(10_000_000))
    outbox = DurableOutbox(clock=lambda: next(clock) / 1000)
    for number in range(MAX_ENTRIES // 2):
        outbox.put(Publication(f"t/{number}", b"x", 1))
    thread = threading.Thread(target=outbox.wait_for_room, args=(1e9,))
    thread.start()
    wait_until(lambda: outbox.stats()["blocked_producers"])
    outbox.mark_committed(outbox.next_batch())
    wait_until(lambda: not thread.is_alive())


def test_commands_and_qos_0_are_not_for_the_disk() -> None:
    outbox, receipts = DurableOutbox(), [Receipt(), Receipt()]
    outbox.put(Publication("a", b"", 1, is_command=True), receipts[0])
    outbox.put(Publication("b", b"", 0), receipts[1])
    assert all(receipt.is_accepted for receipt in receipts)
    assert outbox.next_batch().inserts == []
    assert outbox.at_risk == 2
    outbox.rebuild()
    assert outbox.next_batch().inserts == []


def test_whoever_publishes_again_what_a_broker_has_forgotten_is_called() -> None:
    outbox, called = Outbox(), []
    outbox.on_forgotten = lambda: called.append(len(outbox))
    outbox.republish_retained()
    assert called == [0]


def test_the_age_of_the_oldest_message_in_memory() -> None:
    now = [100.0]
    outbox = Outbox(clock=lambda: now[0])
    assert outbox.oldest_age == 0.0
    outbox.put(publication(1))
    now[0] += 5
    outbox.put(publication(2))
    assert outbox.oldest_age == 5.0
    outbox.settle(outbox.take(1))
    assert outbox.oldest_age == 0.0
    now[0] -= 9
    assert outbox.oldest_age == 0.0, "a clock that was set back"


def test_the_oldest_is_found_whatever_its_lane_and_also_in_flight() -> None:
    clock = FakeClock()
    outbox = Outbox(clock=clock)
    for number, lane in enumerate((Lane.BULK, Lane.LATEST, Lane.EVENT, Lane.REPLY)):
        outbox.put(Publication(f"t{number}", b"1", qos=1, lane=lane))
        clock.now += 10
    assert outbox.oldest_age == 40.0
    taken = outbox.take(3)  # all but the bulk
    outbox.settle(taken)
    assert outbox.oldest_age == 40.0
    taken = outbox.take(1)
    assert outbox.oldest_age == 40.0, "in flight"
    outbox.requeue(taken)
    outbox.settle(outbox.take(1))
    assert outbox.oldest_age == 0.0
