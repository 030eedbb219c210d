from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from gateway.core.receipt import Receipt
from gateway.message import Lane, Publication
from gateway.outbox.options import MAX_DEAD_LETTERS
from gateway.outbox.pending_writes import MAX_BYTES, MAX_ENTRIES, PendingWrites, WriteBatch
from gateway.outbox.queues import Entry


class Writes:
    """Pending writes, and how often they woke the writer."""

    def __init__(self, commit_interval: float = 10.0) -> None:
        self.wakes = 0
        self.pending = PendingWrites(commit_interval, self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def batch(self, max_bytes: float = math.inf, *, is_refusing: bool = False) -> WriteBatch:
        return self.pending.next_batch(is_refusing=is_refusing, max_bytes=max_bytes, reads=())


def entry(number: int, size: int = 100, receipt: Receipt | None = None, dead_letter: int = 0) -> Entry:
    made = Entry(Publication("t", b"", 1), 0.0, number, size - 1, is_for_disk=True)
    made.receipt = receipt
    made.dead_letter_number = dead_letter
    return made


def numbers(entries: Iterable[Entry]) -> list[int]:
    return [each.number for each in entries]


# --- when


def test_a_commit_is_due_after_its_interval_unless_a_thread_waits_for_a_receipt() -> None:
    writes = Writes(10.0)
    assert writes.pending.due() is None
    writes.pending.add(entry(1), 5.0)
    assert writes.pending.due() == 15.0
    writes.pending.mark_committed(writes.batch(), 15.0)
    assert writes.pending.due() is None
    writes.pending.add(entry(2), 20.0)
    writes.pending.add(entry(3, receipt=Receipt()), 21.0)
    assert writes.pending.due() == -math.inf


def test_a_thousand_do_not_wait() -> None:
    writes = Writes(10.0)
    for number in range(999):
        writes.pending.add(entry(number), 0.0)
    assert (writes.pending.due(), writes.wakes) == (10.0, 1)
    writes.pending.add(entry(999), 0.0)
    assert (writes.pending.due(), writes.wakes) == (-math.inf, 2)


@pytest.mark.parametrize(("interval", "delay"), [(0.0, 1.0), (60.0, 60.0)])
def test_removals_and_states_wait_for_more(interval: float, delay: float) -> None:
    writes = Writes(interval)
    first = entry(1)
    writes.pending.add(first, 0.0)
    writes.pending.mark_committed(writes.batch(), 0.0)
    writes.pending.end(first, 100.0, is_dropped=False)
    writes.pending.retain("t", b"1", 100.5)
    assert writes.pending.due() == 100.0 + delay
    batch = writes.batch()
    assert (batch.removals, batch.retained) == ([1], {"t": b"1"})


# --- what


def test_what_ends_before_it_is_committed_is_never_written() -> None:
    writes = Writes()
    first = entry(1)
    writes.pending.add(first, 0.0)
    writes.pending.end(first, 0.0, is_dropped=False)
    assert not writes.batch().is_to_write
    assert (writes.pending.bytes, writes.pending.level) == (0, 0.0)


def test_what_ends_during_its_commit_is_removed_again() -> None:
    writes = Writes()
    first = entry(1)
    writes.pending.add(first, 0.0)
    batch = writes.batch()
    first.is_ended = True
    writes.pending.end(first, 0.0, is_dropped=False)
    writes.pending.mark_committed(batch, 0.0)
    assert writes.batch().removals == [1]


def test_a_receipt_is_accepted_by_the_commit() -> None:
    writes, receipt = Writes(), Receipt()
    writes.pending.add(entry(1, receipt=receipt), 0.0)
    batch = writes.batch()
    assert not receipt.is_accepted
    writes.pending.mark_committed(batch, 0.0)
    assert receipt.is_accepted


def test_a_batch_has_up_to_so_many_bytes_and_at_least_one_entry() -> None:
    writes = Writes()
    for number in range(1, 4):
        writes.pending.add(entry(number), 0.0)
    batch = writes.batch(250)
    assert (numbers(batch.inserts), batch.has_more) == ([1, 2], True)
    assert writes.pending.due() == -math.inf, "the remaining entry does not wait for the interval"
    writes.pending.mark_committed(batch, 0.0)
    assert numbers(writes.batch(1).inserts) == [3]


def test_a_refusing_disk_gets_no_entries_but_all_else() -> None:
    writes = Writes()
    writes.pending.add(entry(1), 0.0)
    writes.pending.retain("t", b"1", 0.0)
    batch = writes.batch(is_refusing=True)
    assert (batch.inserts, batch.has_more, batch.retained) == ([], False, {"t": b"1"})


def test_a_batch_that_was_not_written_comes_again_with_what_came_since() -> None:
    writes = Writes()
    old = entry(1)
    writes.pending.add(old, 0.0)
    writes.pending.mark_committed(writes.batch(), 0.0)
    writes.pending.end(old, 0.0, is_dropped=False)
    writes.pending.retain("a", b"1", 0.0)
    writes.pending.retain("b", b"1", 0.0)
    writes.pending.add(entry(2), 0.0)
    batch = writes.batch()
    writes.pending.retain("a", b"2", 0.0)
    writes.pending.mark_uncommitted(batch, 1.0)
    again = writes.batch()
    assert (numbers(again.inserts), again.removals, again.retained) == ([2], [1], {"a": b"2", "b": b"1"})


def test_what_may_be_written_and_has_ended_is_removed() -> None:
    """The commit went to a file that was then taken away: the new file may have the row, or not."""
    writes = Writes()
    first = entry(1)
    writes.pending.add(first, 0.0)
    batch = writes.batch()
    writes.pending.mark_uncommitted(batch, 0.0, may_be_written=True)
    writes.pending.end(first, 0.0, is_dropped=False)
    assert writes.batch().removals == [1]


def test_a_single_entry_always_has_room() -> None:
    writes = Writes()
    assert writes.pending.has_room([entry(1, MAX_BYTES + 1)])
    writes.pending.add(entry(1, MAX_BYTES + 1), 0.0)
    assert not writes.pending.has_room([entry(2)])
    assert not Writes().pending.has_room([entry(1)] * (MAX_ENTRIES + 1))


# --- dead letters


def test_a_dead_letter_that_is_retried_is_one_or_the_other() -> None:
    writes = Writes()
    retried = entry(5, dead_letter=3)
    writes.pending.start_retry(3)
    writes.pending.add(retried, 0.0)
    assert writes.pending.is_retry_pending(3)
    writes.pending.mark_committed(writes.batch(), 0.0)
    assert not writes.pending.is_retry_pending(3)


def test_a_dead_letter_that_is_delivered_before_its_commit_is_removed_from_the_dead_letters() -> None:
    writes = Writes()
    retried = entry(5, dead_letter=3)
    writes.pending.start_retry(3)
    writes.pending.add(retried, 0.0)
    writes.pending.end(retried, 0.0, is_dropped=False)
    batch = writes.batch()
    assert (batch.inserts, batch.delivered) == ([], [3])
    writes.pending.mark_committed(batch, 0.0)
    assert not writes.pending.is_retry_pending(3)


def test_a_dead_letter_that_is_dropped_before_its_commit_stays_one() -> None:
    writes = Writes()
    retried = entry(5, dead_letter=3)
    writes.pending.start_retry(3)
    writes.pending.add(retried, 0.0)
    writes.pending.end(retried, 0.0, is_dropped=True)
    assert not writes.batch().is_to_write
    assert not writes.pending.is_retry_pending(3)


def test_more_dead_letters_than_are_kept_drop_the_oldest_which_is_counted_unless_it_is_in_the_file() -> None:
    writes = Writes()
    writes.pending.start_retry(3)
    dropped = [writes.pending.dead_letter(entry(1, dead_letter=3), "why", 0.0)]
    dropped += [writes.pending.dead_letter(entry(number), "why", 0.0) for number in range(2, MAX_DEAD_LETTERS + 3)]
    assert dropped == [0] * MAX_DEAD_LETTERS + [0, 1]
    assert len(writes.batch().dead_letters) == MAX_DEAD_LETTERS


# --- a new file


def test_for_a_new_file_all_is_written_again_in_its_order() -> None:
    writes = Writes()
    entries = [entry(number) for number in (3, 1, 2)]
    for each in entries:
        each.is_committed = True
    writes.pending.rebuild(entries, {"t": b"1"}, 7.0)
    batch = writes.batch()
    assert (numbers(batch.inserts), batch.removals, batch.retained) == ([1, 2, 3], [], {"t": b"1"})
    assert not any(each.is_committed for each in entries)
    assert writes.pending.bytes == 300


def test_what_is_to_be_read_is_part_of_the_batch() -> None:
    reads = [(Lane.EVENT, 5, 100)]
    assert Writes().pending.next_batch(is_refusing=False, max_bytes=1, reads=reads).reads == reads
