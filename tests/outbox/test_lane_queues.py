from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.receipt import Receipt
from gateway.message import Lane, Publication
from gateway.outbox import queues as lane_module
from gateway.outbox.lane_queues import LaneQueues
from gateway.outbox.queues import Entry

HEAD = 4
HEAD_BYTES = 100


@pytest.fixture(autouse=True, scope="module")
def _short_heads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane_module, "HEAD", HEAD)
        patch.setattr(lane_module, "HEAD_BYTES", HEAD_BYTES)
        yield


def entry(
    number: int, topic: str, lane: Lane = Lane.EVENT, size: int = 10, receipt: Receipt | None = None, key: bytes = b""
) -> Entry:
    made = Entry(Publication(topic, b"", 1, lane=lane, key=key), 0.0, number, size - len(topic) - len(key), lane)
    made.receipt = receipt
    return made


def put(lanes: LaneQueues, new: Entry) -> Entry | None:
    return next(iter(lanes.put([new])), None)


def take(lanes: LaneQueues) -> Entry | None:
    return next(iter(lanes.take(1)), None)


class Table:
    """The table of the file, as the queues expect it."""

    def __init__(self) -> None:
        self.rows: dict[int, Entry] = {}

    def insert(self, entries: Sequence[Entry]) -> None:
        for each in entries:
            each.is_committed = True
            self.rows[each.number] = row = copy.copy(each)
            row.receipt = None

    def select(self, lane: Lane, after: int, count: int) -> list[Entry]:
        rows = [row for number, row in sorted(self.rows.items()) if row.lane is lane and number > after]
        return [
            Entry(row.publication, 0.0, row.number, row.size - 1, row.lane, is_committed=True) for row in rows[:count]
        ]


class Bench:
    """Queues, a table, and a model of what waits and what is in flight."""

    def __init__(self) -> None:
        self.lanes, self.table = LaneQueues(spills=True), Table()
        self.number = 0
        self.waiting: dict[int, Entry] = {}
        self.in_flight: list[Entry] = []
        self.dropped_on_disk: set[int] = set()  # dropped while they were only on disk
        self.has_estimated = False
        self.requested: list[tuple[Lane, int, int]] = []

    # --- steps

    def put(self, topic: str, lane: Lane, size: int, key: bytes = b"") -> None:
        self.number += 1
        new = entry(self.number, topic, lane, size, key=key)
        same = [e for e in self.waiting.values() if e.lane is Lane.LATEST and e.publication[::8] == (topic, key)]
        replaced = put(self.lanes, new)
        self.waiting[new.number] = new
        assert (replaced is not None) == (bool(same) and new.lane is Lane.LATEST)
        if replaced is not None:
            assert [replaced] == same
            del self.waiting[replaced.number]
            self.end(replaced)

    def take(self, count: int) -> None:
        ready = self.lanes.has_ready
        all_taken = self.lanes.take(count)
        assert ready == bool(all_taken), "has_ready is True if take returns entries"
        assert len(all_taken) == count or not self.lanes.has_ready, "all that is ready is taken"
        for taken in all_taken:
            of_topic = [n for n, e in self.waiting.items() if e.publication.topic == taken.publication.topic]
            assert taken.number == min(of_topic), "the order of the topic"
            del self.waiting[taken.number]
            self.in_flight.append(taken)

    def settle(self, count: int) -> None:
        for _ in range(min(count, len(self.in_flight))):
            self.end(self.in_flight.pop(0))

    def requeue(self, count: int) -> None:
        for _ in range(min(count, len(self.in_flight))):
            back = self.in_flight.pop()
            if self.lanes.put_front(back):
                self.waiting[back.number] = back
            else:
                self.end(back)

    def drop(self) -> None:
        in_memory = {each.number for each in self.lanes.in_memory()}
        was_dropped, dropped = self.lanes.drop_oldest()
        assert was_dropped == bool(self.waiting)
        if not was_dropped:
            return
        last = max((e.lane for e in self.waiting.values()), key=lambda lane: lane)
        of_lane = [n for n, e in self.waiting.items() if e.lane is last]
        if dropped is not None:
            assert dropped.lane is last
            assert last is Lane.LATEST or dropped.number == min(of_lane)
            del self.waiting[dropped.number]
            self.end(dropped)
        else:
            victim = min(set(of_lane) - in_memory)
            assert victim == min(of_lane)
            del self.waiting[victim]
            self.dropped_on_disk.add(victim)
            self.has_estimated = True

    def starve(self, count: int) -> None:
        """Deliver all entries in memory, then drop `count` of the spilled ones."""
        self.take(1000)
        self.settle(1000)
        for _ in range(count):
            self.drop()

    def discard(self) -> None:
        """Drop the oldest uncommitted entry, as the outbox does if the disk cannot be written."""
        for each in sorted(self.lanes.in_memory(), key=lambda e: e.number):
            if not each.is_committed and each not in self.lanes.in_flight:
                self.lanes.discard(each)
                del self.waiting[each.number]
                self.end(each)
                return

    def commit(self) -> None:
        self.table.insert([each for each in self.lanes.in_memory() if not each.is_committed])
        self.lanes.spill()

    def request_reads(self) -> None:
        """Request reads. Their rows come later."""
        self.requested = list(self.lanes.pending_reads())

    def refill(self) -> None:
        for lane, after, count in self.requested:
            for dropped in self.lanes.refill(lane, count, self.table.select(lane, after, count)):
                self.dropped_on_disk.remove(dropped.number)
                self.end(dropped)
        self.requested = []

    def lose(self, count: int) -> None:
        """Replace the file by one with its spilled rows of some commits ago."""
        self.refill()
        last = self.number - count
        in_memory = {each.number: each for each in self.lanes.in_memory()}
        spilled_ranges = self.lanes.spilled_ranges()
        self.table.rows = {
            number: row
            for number, row in self.table.rows.items()
            if row.lane in spilled_ranges
            and spilled_ranges[row.lane][0] < number < spilled_ranges[row.lane][1]
            and number <= last
        }
        assert not set(self.table.rows) & set(in_memory)
        rows = list(self.table.rows.values())
        counts = [(lane, len(of_lane), sum(row.size for row in of_lane))
                  for lane in spilled_ranges if (of_lane := [row for row in rows if row.lane is lane])]  # fmt: skip
        of_topics = {topic: [row for row in rows if row.publication.topic == topic] for topic in "abc"}
        topics = [
            (topic, max(row.lane for row in of_topic), len(of_topic))
            for topic, of_topic in of_topics.items()
            if of_topic
        ]
        gone = [number for number in self.waiting if number not in in_memory and number not in self.table.rows]
        lost, _ = self.lanes.forget_spilled(counts, topics, last)
        assert lost == len(gone)
        for number in gone:
            del self.waiting[number]
        self.dropped_on_disk &= set(self.table.rows)
        for each in in_memory.values():
            each.is_committed = False

    def end(self, each: Entry) -> None:
        each.is_ended = True
        self.lanes.end([each])
        self.table.rows.pop(each.number, None)

    # --- invariants

    def check(self) -> None:
        lanes = self.lanes
        assert len(lanes) == len(self.waiting)
        assert lanes.in_flight == set(self.in_flight)
        if not self.has_estimated:
            assert lanes.bytes == sum(each.size for each in self.waiting.values())
        topics = {e.publication.topic for e in (*self.waiting.values(), *self.in_flight)}
        assert all(lanes.has_topic(topic) for topic in topics)
        numbers = [each.number for each in lanes.in_memory()]
        assert len(numbers) == len(set(numbers)), "no entry is there twice"
        assert set(numbers) <= set(self.waiting) | {e.number for e in self.in_flight}

    def empty(self) -> None:
        """Take all that waits, as a working writer and broker do."""
        self.refill()
        for _ in range(10 + self.number):
            self.commit()
            self.request_reads()
            self.refill()
            self.take(100)
            self.settle(1000)
        assert (self.waiting, self.dropped_on_disk, list(self.lanes.pending_reads())) == ({}, set(), [])
        assert (len(self.lanes), self.lanes.bytes, self.table.rows) == (0, 0, {})
        assert not self.lanes.has_ready
        assert not any(self.lanes.has_topic(topic) for topic in "abc")


keys = st.sampled_from([b"", b"v", b"w"])
puts = st.tuples(st.just("put"), st.sampled_from("abc"), st.sampled_from(Lane), st.integers(1, 50), keys)
counted = st.tuples(st.sampled_from(["take", "settle", "requeue", "starve", "lose"]), st.integers(1, 6))
plain = st.tuples(st.sampled_from(["drop", "drop", "discard", "commit", "commit", "request_reads", "refill", "refill"]))
bursts = st.tuples(st.just("burst"), st.sampled_from("abc"), st.sampled_from(Lane), st.integers(5, 20))


@settings(max_examples=600)
@given(st.lists(puts | bursts | counted | plain, max_size=60))
def test_nothing_is_lost_or_duplicated_and_each_topic_keeps_its_order(steps: list[tuple[object, ...]]) -> None:
    bench = Bench()
    for name, *arguments in steps:
        if name == "burst":
            topic, lane, count = arguments
            assert isinstance(count, int)
            for _ in range(count):
                bench.put(topic, lane, 1 + bench.number * 7 % 40)  # type: ignore[arg-type]
        elif name == "request_reads":
            bench.refill()
            bench.request_reads()
        else:
            step: Callable[..., None] = getattr(bench, str(name))
            step(*arguments)
        bench.check()
    bench.empty()


def test_replies_go_before_events_and_states_and_these_before_bulk() -> None:
    lanes = LaneQueues(spills=False)
    for number, lane in enumerate([Lane.BULK, Lane.LATEST, Lane.EVENT, Lane.REPLY, Lane.BULK, Lane.REPLY], 1):
        put(lanes, entry(number, f"t{number}", lane))
    assert [each.number for each in lanes.take(100)] == [4, 6, 3, 2, 1, 5]


def test_of_a_state_only_the_newest_waits_in_the_place_of_the_oldest() -> None:
    lanes = LaneQueues(spills=False)
    assert put(lanes, entry(1, "a", Lane.LATEST)) is None
    assert put(lanes, entry(2, "b", Lane.LATEST)) is None
    replaced = put(lanes, entry(3, "a", Lane.LATEST, size=30))
    assert replaced is not None
    assert replaced.number == 1
    lanes.end([replaced])
    assert (len(lanes), lanes.bytes) == (2, 40)
    assert [each.number for each in lanes.take(100)] == [3, 2]


def test_the_states_of_one_topic_wait_by_key_in_the_order_of_their_last_change() -> None:
    lanes = LaneQueues(spills=False)
    for number, (topic, key) in enumerate([("a", b"v"), ("b", b""), ("a", b"w")], 1):
        assert put(lanes, entry(number, topic, Lane.LATEST, key=key)) is None
    for number, topic, key, previous in [(4, "b", b"", 2), (5, "a", b"v", 1), (6, "a", b"v", 5)]:
        replaced = put(lanes, entry(number, topic, Lane.LATEST, key=key))
        assert replaced is not None
        assert replaced.number == previous
        lanes.end([replaced])
    assert [each.number for each in lanes.take(100)] == [4, 3, 6]


def test_an_event_does_not_replace_a_state_of_its_topic_nor_overtake_it() -> None:
    lanes = LaneQueues(spills=False)
    for number, lane in enumerate([Lane.LATEST, Lane.EVENT, Lane.LATEST, Lane.REPLY], 1):
        assert put(lanes, entry(number, "a", lane)) is None
    assert [each.number for each in lanes.take(100)] == [1, 2, 3, 4]


def test_nothing_overtakes_what_is_in_flight_and_may_come_back() -> None:
    lanes = LaneQueues(spills=False)
    put(lanes, entry(1, "a", Lane.EVENT))
    taken = take(lanes)
    assert taken is not None
    put(lanes, entry(2, "a", Lane.REPLY))
    assert lanes.put_front(taken)
    assert [each.number for each in lanes.take(100)] == [1, 2]


def test_while_the_first_lane_is_being_read_from_the_disk_nothing_is_ready() -> None:
    lanes = LaneQueues(spills=True)
    state = entry(9, "state", Lane.LATEST)
    lanes.restore([(Lane.EVENT, 3, 30)], [("a", Lane.EVENT, 3), ("state", Lane.LATEST, 1)], [state])
    assert not lanes.has_ready
    assert take(lanes) is None
    assert list(lanes.pending_reads()) == [(Lane.EVENT, 0, 3)]
    lanes.refill(Lane.EVENT, 3, [entry(number, "a") for number in (1, 2, 3)])
    assert [each.number for each in lanes.take(100)] == [1, 2, 3, 9]


def test_what_is_restored_in_two_lanes_keeps_its_order() -> None:
    lanes = LaneQueues(spills=True)
    rows = [entry(2, "a", Lane.LATEST), entry(4, "a", Lane.LATEST)]
    replaced = lanes.restore([(Lane.BULK, 1, 10), (Lane.LATEST, 2, 20)], [("a", Lane.BULK, 3)], rows)
    assert [each.number for each in replaced] == [2]
    lanes.end([replaced[0]])
    put(lanes, entry(6, "a", Lane.REPLY))
    assert len(lanes) == 3
    first = take(lanes)
    assert first is not None
    lanes.end([first])
    put(lanes, entry(7, "a", Lane.EVENT))
    lanes.refill(Lane.BULK, 1, [entry(5, "a", Lane.BULK)])
    assert [first.number, *(each.number for each in lanes.take(100))] == [4, 5, 6, 7]


def test_in_memory_nothing_is_spilled() -> None:
    lanes = LaneQueues(spills=False)
    for number in range(1, 10 * HEAD):
        put(lanes, entry(number, "a"))
    lanes.spill()
    assert list(lanes.pending_reads()) == []
    assert len(list(lanes.in_memory())) == len(lanes) == 10 * HEAD - 1


def filled(count: int, receipts: dict[int, Receipt] | None = None) -> tuple[LaneQueues, Table]:
    """Return queues in which all but the first few entries are spilled."""
    lanes, table = LaneQueues(spills=True), Table()
    for number in range(1, count + 1):
        put(lanes, entry(number, "a", receipt=(receipts or {}).get(number)))
    table.insert(list(lanes.in_memory()))
    lanes.spill()
    return lanes, table


def test_a_few_large_messages_fill_the_memory_of_a_lane_as_many_small_ones_do() -> None:
    lanes, table = LaneQueues(spills=True), Table()
    for number in range(1, 11):
        put(lanes, entry(number, "a", size=60))
    table.insert(list(lanes.in_memory()))
    lanes.spill()
    assert [each.number for each in lanes.in_memory()] == [1, 2]
    assert list(lanes.pending_reads()) == []
    assert take(lanes) is not None
    assert list(lanes.pending_reads()) == []
    assert take(lanes) is not None
    assert list(lanes.pending_reads()) == [(Lane.EVENT, 2, HEAD)]


def test_spilled_entries_need_no_memory() -> None:
    lanes, _ = filled(100)
    assert (len(list(lanes.in_memory())), len(lanes), lanes.bytes) == (HEAD, 100, 1000)


def test_a_receipt_belongs_to_its_message_again_when_that_is_read_back() -> None:
    receipts = {number: Receipt() for number in (1, 8)}
    lanes, table = filled(9, receipts)
    while (taken := take(lanes)) is not None:
        lanes.end([taken])
    [(lane, after, count)] = lanes.pending_reads()
    lanes.refill(lane, count, table.select(lane, after, count))
    again = {each.number: each.receipt for each in lanes.in_memory()}
    assert again[7] is None
    assert again[8] is receipts[8]


def test_a_receipt_that_no_thread_has_any_more_is_not_kept() -> None:
    receipts = {8: Receipt()}
    lanes, _ = filled(9, receipts)
    receipts.clear()
    gc.collect()
    assert lanes.forget_spilled() == (9 - HEAD, [])


def test_when_the_file_is_gone_entries_in_memory_are_kept() -> None:
    receipts = {9: Receipt()}
    lanes, _ = filled(9, receipts)
    taken = take(lanes)
    put(lanes, entry(10, "b"))
    assert lanes.forget_spilled() == (9 - HEAD, [receipts[9]])
    assert (len(lanes), lanes.bytes) == (HEAD, 10 * HEAD)
    assert [each.number for each in lanes.take(100)] == [2, 3, 4, 10]
    assert taken is not None
    for each in list(lanes.in_flight):
        lanes.end([each])
    assert not lanes.has_topic("a")
    assert not lanes.has_topic("b")


def test_what_is_dropped_while_it_is_read_is_dropped() -> None:
    lanes, table = filled(9)
    while take(lanes) is not None:
        pass
    [(lane, after, count)] = lanes.pending_reads()
    read = table.select(lane, after, count)
    assert [lanes.drop_oldest() for _ in range(2)] == [(True, None)] * 2
    assert [each.number for each in lanes.refill(lane, count, read)] == [5, 6]
    assert [each.number for each in lanes.take(100)] == [7, 8]


def test_when_all_spilled_entries_were_dropped_new_ones_are_sent() -> None:
    lanes, table = filled(6)
    while (taken := take(lanes)) is not None:
        lanes.end([taken])
    assert [lanes.drop_oldest() for _ in range(2)] == [(True, None)] * 2
    assert (len(lanes), lanes.bytes) == (0, 0)
    put(lanes, new := entry(7, "a"))
    table.insert([new])
    lanes.spill()
    [(lane, after, count)] = lanes.pending_reads()
    for dropped in lanes.refill(lane, count, table.select(lane, after, count)):
        lanes.end([dropped])
    for lane, after, count in list(lanes.pending_reads()):
        lanes.refill(lane, count, table.select(lane, after, count))
    assert [each.number for each in lanes.take(100)] == [7]


def test_rows_that_were_removed_from_the_file_are_not_requested_for_ever() -> None:
    lanes, table = filled(9)
    while take(lanes) is not None:
        pass
    [(lane, after, count)] = lanes.pending_reads()
    lanes.refill(lane, count, table.select(lane, after, count)[:2])
    assert len(lanes) == 2
    assert [each.number for each in lanes.take(100)] == [5, 6]
    assert list(lanes.pending_reads()) == []


def test_when_all_spilled_entries_were_dropped_the_oldest_later_one_is_dropped() -> None:
    lanes, _ = filled(HEAD + 3)
    for number in (90, 91):
        put(lanes, entry(number, "a"))
    assert len(lanes.take(100)) == HEAD
    dropped = [lanes.drop_oldest() for _ in range(6)]
    assert [(was_dropped, each and each.number) for was_dropped, each in dropped] == [
        (True, None), (True, None), (True, None), (True, 90), (True, 91), (False, None),
    ]  # fmt: skip
    assert (len(lanes), lanes.bytes) == (0, 0)
