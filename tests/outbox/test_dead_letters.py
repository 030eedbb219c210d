"""Retrying dead letters, in the file and in a running outbox; and the pages of a list."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.message import Lane, Publication
from gateway.outbox.dead_letters import Retried, matching_dead_letters, retry_in_file
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.listing import DEAD_LETTER, Listed, from_dead_letter, from_entry, from_row, page_of
from gateway.outbox.options import DISK_DEFAULTS
from gateway.outbox.outbox import NEWER, Outbox
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.store import OutboxStore, open_store
from gateway.outbox.writer import OutboxWriter
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until

NOON = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gw.outbox"


def dead(topic: str, payload: bytes, retain: int = 0) -> DeadLetterRow:
    return DeadLetterRow(None, NOON, topic, payload, 1, retain, "no broker accepts it")


def fill(path: Path, *rows: DeadLetterRow) -> None:
    with contextlib.closing(OutboxStore(path)) as store:
        store.commit([], [], rows)


def stored(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the waiting messages in the file, and the dead letters."""
    with contextlib.closing(OutboxStore(path)) as store:
        return [row.payload for row in store.rows()], [row.payload for row in store.dead_letter_rows()]


@contextlib.contextmanager
def running(path: Path, outbox: DurableOutbox) -> Iterator[OutboxWriter]:
    writer = OutboxWriter(outbox, open_store(path, pytest.fail))
    writer.start()
    try:
        yield writer
    finally:
        writer.close()


def retry(writer: OutboxWriter) -> Retried:
    """Ask the writer as the control socket does."""
    done: queue.Queue[Retried] = queue.Queue()
    writer.run_on_file(lambda _: done.put(writer.retry(lambda _: True)))
    return done.get(timeout=10)


# --- in a file


def test_in_a_file_retried_dead_letters_go_behind_what_waits(path: Path) -> None:
    fill(path, *(dead("t", b"%d" % number) for number in range(120)))
    with contextlib.closing(OutboxStore(path)) as store:
        store.commit([Row.of(7, Lane.EVENT, NOON, Publication("t", b"first", 1))], [])
        assert retry_in_file(store, lambda _: True, NOON) == Retried(120, 0, 0)
        assert retry_in_file(store, lambda _: True, NOON) == Retried(0, 0, 0)
    assert stored(path) == ([b"first", *(b"%d" % number for number in range(120))], [])


def test_an_outdated_state_stays_a_dead_letter(path: Path) -> None:
    fill(path, dead("s", b"old", 1), dead("s", b"newer", 1), dead("sent", b"x", 1), dead("waits", b"x", 1))
    with contextlib.closing(OutboxStore(path)) as store:
        waits = Publication("waits", b"newer", 1, retain=True, lane=Lane.LATEST)
        store.commit([Row.of(1, Lane.LATEST, NOON, waits)], [], retained=[("sent", b"newer")])
        assert [row.payload for row, is_outdated in matching_dead_letters(store, lambda _: True) if is_outdated] == [
            b"old"
        ]
        assert retry_in_file(store, lambda _: True, NOON) == Retried(1, 3, 0)
    assert stored(path) == ([b"newer", b"newer"], [b"old", b"x", b"x"])


# --- in a running outbox


def test_in_a_running_outbox_a_dead_letter_is_sent_and_removed_once_it_is_safe(path: Path) -> None:
    fill(path, dead("t", b"1"), dead("t", b"2"), dead("s", b"3", 1))
    outbox = DurableOutbox(DISK_DEFAULTS._replace(commit_interval=30.0))  # so long that no commit comes during the test
    with running(path, outbox) as writer:
        assert retry(writer) == Retried(3, 0, 0)
        assert retry(writer) == Retried(0, 0, 0), "they are being retried already, or sent"
        wait_until(lambda: outbox.at_risk == 0)
        assert [entry.publication.payload for entry in outbox.take(9)] == [b"1", b"2", b"3"]
    assert stored(path) == ([b"1", b"2", b"3"], [])


def test_without_room_dead_letters_stay_and_nothing_is_dropped(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox 100 % full")
    fill(path, *(dead("t", b"%d" % number) for number in range(5)))
    outbox = DurableOutbox(DISK_DEFAULTS._replace(max_messages=3))
    with running(path, outbox) as writer:
        outbox.put(Publication("t", b"newer", 1))
        assert retry(writer) == Retried(2, 0, 3)
        assert str(retry(writer)).endswith("3 stay, because the outbox is full: try again when it is emptier")
    assert stored(path) == ([b"newer", b"0", b"1"], [b"2", b"3", b"4"])
    assert outbox.counts().dropped == 0


def test_a_state_of_which_a_newer_one_was_sent_stays_also_over_a_restart(
    path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" bytes to 's': no broker accepts it")

    def state(payload: bytes) -> Publication:
        return Publication("s", payload, 1, retain=True, lane=Lane.LATEST)

    outbox = DurableOutbox()
    with running(path, outbox) as writer:
        for payload, is_taken in ((b"one", True), (b"two", False), (b"three", True), (b"four", False)):
            outbox.put(state(payload))
            (entry,) = outbox.take(1)
            if is_taken:
                outbox.settle([entry])
            else:
                outbox.dead_letter(entry, "no broker accepts it")
            if payload == b"three":
                assert outbox.retry(state(b"two"), 1) == NEWER
    outbox = DurableOutbox()
    with running(path, outbox) as writer:
        assert retry(writer) == Retried(1, 1, 0), "the newest of all is a dead letter, and is not outdated"
        (entry,) = outbox.take(1)
        assert entry.publication.payload == b"four"
        outbox.settle([entry])
    assert stored(path) == ([], [b"two"])


def test_numbers_of_a_file_that_is_lost_are_forgotten(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("was removed or replaced; created a new one", "dead letter: 5 bytes to 't'")
    fill(path, dead("t", b"1"))
    outbox = DurableOutbox()
    with running(path, outbox) as writer:
        assert retry(writer) == Retried(1, 0, 0)
        path.unlink()
        outbox.put(Publication("t", b"newer", 1))
        wait_until(lambda: outbox.at_risk == 0 and path.exists())
        first, second = outbox.take(2)
        outbox.dead_letter(second, "no broker accepts it")
        outbox.settle([first])
    assert stored(path) == ([], [b"newer"])


# --- lists


def rows(count: int) -> Iterator[tuple[int, Listed]]:
    for number in range(1, count + 1):
        yield number, Listed(NOON, "event" if number % 2 else "bulk", f"t/{number % 3}", "x")


def test_pages_together_are_the_whole() -> None:
    shown, lanes, after = 0, {"event": 0, "bulk": 0}, 0
    while True:
        page = page_of(((n, row) for n, row in rows(25) if n > after), lambda topic: topic != "t/0", 4, limit=10)
        shown += len(page.rows)
        for lane, number in page.lanes.items():
            lanes[lane] += number
        if page.next is None:
            break
        assert page.next == after + 10
        after = page.next
    assert (shown, lanes) == (4 + 4 + 3, {"event": 9, "bulk": 8})


def test_an_empty_list_is_a_page_and_a_full_one_is_followed() -> None:
    assert page_of((), lambda _: True, 5) == ([], {}, None)
    assert page_of(rows(10), lambda _: False, 5, limit=10) == ([], {}, 10)
    assert page_of(rows(10), lambda _: True, 0, limit=11).next is None


def test_listed_texts_are_cut_and_contain_no_control_characters() -> None:
    row = DeadLetterRow(3, NOON, "t" * 5000, b"\x1b[2J\xff" + b"x" * 10**6, 1, 0, "r" * 5000)
    ((listed,), lanes, _) = page_of([from_dead_letter(row)], lambda _: True, 1)
    assert lanes == {DEAD_LETTER: 1}
    assert listed.payload.startswith(r"\x1b[2J\\xff")
    assert (len(listed.payload), len(listed.topic), len(listed.reason)) == (60, 600, 1000)
    waiting = Row.of(4, Lane.LATEST, NOON, Publication("s", b"on", 1, retain=True))
    assert from_row(waiting) == (4, Listed(NOON, "latest", "s", "on"))


def test_what_is_in_memory_only_is_listed_in_its_order() -> None:
    outbox = Outbox(clock=lambda: 100.0)
    for number in range(5):
        outbox.put(Publication(f"t{number}", b"x", 1, lane=Lane.BULK if number % 2 else Lane.EVENT))
    taken = outbox.take(1)
    listed = [from_entry(entry, NOON) for entry in outbox.peek(0, 3)]
    assert [(number, row.topic, row.lane) for number, row in listed] == [
        (1, "t0", "event"),
        (2, "t1", "bulk"),
        (3, "t2", "event"),
    ]
    assert listed[0][1].since == NOON + 100.0
    assert [entry.number for entry in outbox.peek(3, 3)] == [4, 5]
    outbox.settle(taken)
    assert [entry.number for entry in outbox.peek(0, 9)] == [2, 3, 4, 5]
