from __future__ import annotations

import contextlib
import os
import queue
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.activity import report_overdue
from gateway.core.clock import boot_time
from gateway.core.receipt import Receipt
from gateway.errors import DeliveryError
from gateway.message import Lane, Publication
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.options import DISK_DEFAULTS, DiscardPolicy
from gateway.outbox.queues import HEAD, HEAD_BYTES, Entry, Source
from gateway.outbox.store import OutboxStore, open_store
from gateway.outbox.writer import OutboxWriter
from tests.conftest import ExpectedLogs
from tests.support.disk import small_disk
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until


def on_disk(clock: Callable[[], float] = boot_time, **changed: Any) -> DurableOutbox:
    return DurableOutbox(DISK_DEFAULTS._replace(**changed), clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gw.outbox"


@contextlib.contextmanager
def running(
    path: Path,
    outbox: DurableOutbox | None = None,
    *,
    clock: Callable[[], float] = boot_time,
    owns_folder: bool = False,
) -> Iterator[tuple[DurableOutbox, OutboxWriter]]:
    """An outbox with its writer, as a gateway starts and stops them."""
    outbox = DurableOutbox() if outbox is None else outbox
    writer = OutboxWriter(outbox, open_store(path, pytest.fail, owns_folder=owns_folder), clock)
    writer.start()
    try:
        yield outbox, writer
    finally:
        writer.close()


def rows(path: Path) -> list[tuple[str, bytes]]:
    with contextlib.closing(OutboxStore(path)) as store:
        return [(row.topic, row.payload) for row in store.rows()]


def message(number: int, topic: str = "t", lane: Lane = Lane.EVENT, **more: object) -> Publication:
    return Publication(topic, b"%d" % number, 1, lane=lane, **more)  # type: ignore[arg-type]


def put_safely(outbox: DurableOutbox, publication: Publication) -> Receipt:
    receipt = Receipt()
    outbox.put(publication, receipt)
    receipt.wait_accepted(10)
    return receipt


def take_all(outbox: DurableOutbox, count: int, timeout: float = 20) -> list[Entry]:
    """Take and settle until there were `count`."""
    taken: list[Entry] = []

    def take() -> bool:
        taken_now = outbox.take(100)
        outbox.settle(taken_now)
        taken.extend(taken_now)
        return len(taken) >= count

    wait_until(take, timeout, lambda: f"{count} messages; {outbox.counts()}", pause=0.0005)
    return taken


def payloads(entries: list[Entry]) -> list[int]:
    return [int(each.publication.payload) for each in entries]


# --- committing


def test_what_is_accepted_is_on_disk_and_what_is_settled_is_gone(path: Path) -> None:
    with running(path) as (outbox, writer):
        receipts = [put_safely(outbox, message(number)) for number in range(3)]
        outbox.settle(outbox.take(2))
        assert [receipt.is_delivered for receipt in receipts] == [True, True, False]
        assert writer.close() == 0
    assert rows(path) == [("t", b"2")]


def test_many_that_come_at_once_are_committed_together(path: Path) -> None:
    outbox = DurableOutbox()
    commits: list[int] = []
    receipts = [Receipt() for _ in range(500)]
    for number, receipt in enumerate(receipts):
        outbox.put(message(number), receipt)
    work = outbox.next_batch()
    commits.append(len(work.inserts))
    assert commits == [500]
    assert not any(receipt.is_accepted for receipt in receipts)
    outbox.mark_committed(work)
    assert all(receipt.is_accepted for receipt in receipts)


def test_what_is_acknowledged_before_it_is_committed_is_never_written(path: Path) -> None:
    clock = FakeClock()
    outbox = on_disk(commit_interval=10.0, clock=clock)
    for number in range(100):
        outbox.put(message(number))
    outbox.settle(outbox.take(100))
    work = outbox.next_batch()
    assert not work.is_to_write


def test_a_task_on_the_file_waits_for_the_commit_of_all_that_came_before_it(path: Path) -> None:
    """Also if the writer is just about to run the tasks of an earlier commit."""
    begun, go = threading.Event(), threading.Event()

    def busy(_: OutboxStore) -> None:
        begun.set()
        go.wait(10)

    with running(path) as (outbox, writer):
        writer.run_on_file(busy)
        assert begun.wait(10)
        outbox.put(message(1))
        threading.Timer(0.1, go.set).start()
        assert rows_of_running(writer) == [b"1"]


def test_an_idle_outbox_does_not_wake_its_writer(path: Path) -> None:
    with running(path) as (outbox, writer):
        put_safely(outbox, message(1))
        outbox.settle(outbox.take(1))
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "outbox"]
        task = Path(f"/proc/self/task/{thread.native_id}/status")

        def wakeups() -> str:
            return next(line for line in task.read_text().splitlines() if line.startswith("voluntary"))

        wait_until(lambda: writer.stats()["commits"] == 2, what="the last removal")
        seen = [wakeups()]

        def is_still() -> bool:
            seen.append(wakeups())
            return len(seen) > 5 and len(set(seen[-5:])) == 1

        wait_until(is_still, pause=0.25)


def test_the_writer_counts_what_it_does(path: Path) -> None:
    with running(path) as (outbox, writer):
        assert set(writer.stats().values()) <= {0, writer.stats()["disk_free_bytes"]}
        for number in range(3):
            put_safely(outbox, message(number))
        stats = writer.stats()
        assert (stats["commits"], stats["rows_written"], stats["write_errors"], stats["is_failing"]) == (3, 3, 0, 0)
        assert stats["disk_free_bytes"] > 0
        assert all(type(value) is int for value in stats.values())


# --- the next start


def test_after_a_restart_all_is_as_it_was(path: Path) -> None:
    with running(path) as (outbox, _):
        lanes = [Lane.BULK, Lane.EVENT, Lane.LATEST, Lane.REPLY, Lane.LATEST, Lane.EVENT]
        for number, lane in enumerate(lanes):
            topic = "state" if lane is Lane.LATEST else lane.name
            outbox.put(message(number, topic, lane, correlation=b"c" if lane is Lane.REPLY else b""))
        outbox.put(message(9, "command", is_command=True))
        outbox.put(Publication("zero", b"8", 0))
    with running(path) as (outbox, _):
        assert outbox.counts().restored == 5
        taken = take_all(outbox, 5)
        assert payloads(taken) == [3, 1, 5, 4, 0]
        assert taken[0].publication.correlation == b"c"
        assert [each.publication.lane for each in taken] == [
            Lane.REPLY,
            Lane.EVENT,
            Lane.EVENT,
            Lane.LATEST,
            Lane.BULK,
        ]
        assert len(outbox) == 0
    assert rows(path) == []


def test_a_topic_in_several_lanes_keeps_its_order_over_a_restart(path: Path) -> None:
    with running(path) as (outbox, _):
        for number, lane in enumerate([Lane.LATEST, Lane.EVENT, Lane.LATEST, Lane.REPLY]):
            outbox.put(message(number, lane=lane))
    with running(path) as (outbox, _):
        outbox.put(message(4, lane=Lane.REPLY))
        first = outbox.take(1)
        assert payloads(first) == [0]
        outbox.put(message(5, lane=Lane.EVENT))
        outbox.settle(first)
        assert payloads(take_all(outbox, 5)) == [1, 2, 3, 4, 5]


def test_the_states_of_a_topic_are_told_apart_over_a_restart(path: Path) -> None:
    with running(path) as (outbox, _):
        for number, key in enumerate([b"v", b"a", b"w", b"v"]):
            put_safely(outbox, message(number, lane=Lane.LATEST, key=key))
    with running(path) as (outbox, _):
        outbox.put(message(4, lane=Lane.LATEST, key=b"a"))
        assert payloads(take_all(outbox, 3)) == [2, 3, 4]
        assert outbox.counts().superseded == 1
    assert rows(path) == []


def test_a_user_property_is_kept_over_a_restart_and_as_a_dead_letter(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dead letter: 1 byte to 't': why")
    with running(path) as (outbox, _):
        put_safely(outbox, message(1, user_property=("read_at", "noon")))
        put_safely(outbox, message(2, user_property=("ä", "")))
        size = outbox.stats()["waiting_bytes"]
    with running(path) as (outbox, writer):
        assert outbox.stats()["waiting_bytes"] == size == 2 * (100 + 1 + 1) + 11 + 2
        wait_until(lambda: outbox.has_waiting)
        (first,) = outbox.take(1)
        assert first.publication.user_property == ("read_at", "noon")
        outbox.dead_letter(first, "why")
        assert writer.close() == 0
    with contextlib.closing(OutboxStore(path)) as store:
        assert [row.publication().user_property for row in store.dead_letter_rows()] == [("read_at", "noon")]
        assert [row.publication().user_property for row in store.rows()] == [("ä", "")]


def test_how_many_dead_letters_are_kept_is_known_until_they_are_delivered(
    path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dead letter: 1 byte to 't': why")
    with running(path) as (outbox, writer):
        put_safely(outbox, message(1))
        outbox.dead_letter(outbox.take(1)[0], "why")
        wait_until(lambda: writer.dead_letters == 1)
    with running(path) as (outbox, writer):
        assert writer.dead_letters == 1, "of an earlier run"

        def retry(_: OutboxStore) -> None:
            writer.retry(lambda _: True)

        writer.run_on_file(retry)
        assert payloads(take_all(outbox, 1)) == [1]
        wait_until(lambda: writer.dead_letters == 0)
        assert writer.failure == ""


def test_a_state_that_was_in_flight_is_not_published_after_a_newer_one(path: Path) -> None:
    with running(path) as (outbox, _):
        put_safely(outbox, message(1, lane=Lane.LATEST))
        outbox.take(1)
        put_safely(outbox, message(2, lane=Lane.LATEST))
    assert len(rows(path)) == 2
    with running(path) as (outbox, _):
        assert payloads(take_all(outbox, 1)) == [2]
        assert len(outbox) == 0
    assert rows(path) == []


def test_what_is_retained_is_remembered_once_the_broker_has_it(path: Path) -> None:
    with running(path) as (outbox, _):
        for topic, payload in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", b""), ("waits", b"4")):
            outbox.put(Publication(topic, payload, 1, retain=True))
        outbox.settle(outbox.take(4))
    with running(path) as (outbox, _):
        assert outbox.retained == {"a": b"3"}
        take_all(outbox, 1)
        outbox.republish_retained()
        assert [(e.publication.topic, e.publication.payload) for e in outbox.take(9)] == [("a", b"3"), ("waits", b"4")]


def test_a_lifetime_goes_on_over_a_restart(
    path: Path, expected_logs: ExpectedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs.expect("1 message was dropped: no broker accepted it within its lifetime")
    clock = FakeClock()
    with running(path, DurableOutbox(clock=clock), clock=clock) as (outbox, _):
        put_safely(outbox, message(1, lifetime=60.0))
        clock.now += 50
        put_safely(outbox, message(2, lifetime=60.0))
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 90.0)
    other = FakeClock()
    other.now = 5.0  # as after a start of the machine
    with running(path, DurableOutbox(clock=other), clock=other) as (outbox, _):
        assert payloads(take_all(outbox, 1)) == [2]
        assert outbox.counts().expired == 1


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_wall_clock_that_jumps_during_a_run_changes_nothing(
    path: Path, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time()
    with running(path) as (outbox, _):
        monkeypatch.setattr(time, "time", lambda: wall + jump)
        put_safely(outbox, message(1, lifetime=60.0))
    monkeypatch.setattr(time, "time", lambda: wall)
    with running(path) as (outbox, _):
        assert payloads(take_all(outbox, 1)) == [1]


def test_a_wall_clock_that_was_put_back_ends_no_lifetime_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = time.time()
    with running(path) as (outbox, _):
        put_safely(outbox, message(1))
    monkeypatch.setattr(time, "time", lambda: wall - 1e6)
    with running(path) as (outbox, _):
        [entry] = take_all(outbox, 1)
        assert time.monotonic() - entry.since < 10


def test_entries_read_back_keep_their_age(path: Path, expected_logs: ExpectedLogs) -> None:
    """Not as old as the run: it would be dropped for its age."""
    clock = FakeClock()
    with running(path, on_disk(status_lifetime=60.0, clock=clock), clock=clock) as (outbox, _):
        clock.now += 1000
        for number in range(5000):
            outbox.put(message(number))
        put_safely(outbox, message(5000))
        clock.now += 50
        assert payloads(take_all(outbox, 5001)) == list(range(5001))
        assert outbox.counts().expired == 0


CHILD = """
import sys
from pathlib import Path
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.message import Publication
from gateway.outbox.store import OutboxStore
from gateway.outbox.writer import OutboxWriter
from gateway.core.receipt import Receipt
outbox = DurableOutbox()
writer = OutboxWriter(outbox, OutboxStore(Path(sys.argv[1])))
writer.start()
number = 0
while True:
    receipts = [Receipt() for _ in range(5)]
    for receipt in receipts:
        outbox.put(Publication("t", b"%d" % number, 1), receipt)
        number += 1
    for receipt in receipts:
        receipt.wait_accepted(10)
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_what_was_accepted_is_there_after_kill_9(path: Path, seed: int) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(random.Random(seed).randrange(1, 60)):
            accepted = int(child.stdout.readline())
        child.kill()
        accepted = int((child.stdout.read().splitlines(keepends=False) or [b"%d" % accepted])[-1] or accepted)
    numbers = [int(payload) for _, payload in rows(path)]
    assert numbers[:accepted] == list(range(accepted))
    assert len(numbers) <= accepted + 5


# --- waiting


def test_flush_returns_when_all_is_acknowledged(path: Path) -> None:
    with running(path) as (outbox, _):
        source = Source()
        for number in range(100):
            outbox.put(message(number), None, source)
        thread = threading.Thread(target=take_all, args=(outbox, 100))
        thread.start()
        outbox.flush(source, 10)
        assert outbox.counts().delivered == 100
        thread.join()


def test_flush_raises_for_what_was_not_acknowledged(path: Path) -> None:
    with running(path) as (outbox, _):
        source = Source()
        outbox.put(message(1), None, source)
        with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged within 0\.01 s$"):
            outbox.flush(source, 0.01)


def test_flush_knows_the_source_of_spilled_entries(path: Path) -> None:
    with running(path) as (outbox, _):
        mine, other, count = Source(), Source(), 3 * HEAD
        for number in range(count):
            outbox.put(message(number, "t"), None, mine if number == count - 2 else other)
            if number % 100 == 0:
                outbox.wait_for_room()
        put_safely(outbox, message(count))
        with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged"):
            outbox.flush(mine, 0.01)
        with pytest.raises(DeliveryError, match=rf"^{count - 1} messages were not acknowledged"):
            outbox.flush(other, 0.01)
        settled = 0
        while settled < count - 2:
            taken_now = outbox.take(min(100, count - 2 - settled))
            outbox.settle(taken_now)
            settled += len(taken_now)
        with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged"):
            outbox.flush(mine, 0.01)
        take_all(outbox, 3)
        outbox.flush(mine, 0)
        outbox.flush(other, 0)


def test_flush_raises_for_what_was_lost_with_the_file(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("is corrupt (", "messages lost")
    with running(path) as (outbox, _):
        mine, other = Source(), Source()
        for number in range(20_000):
            while not outbox.put(message(number, "t" + 300 * "x"), None, mine):
                pass
            outbox.wait_for_room()
        put_safely(outbox, message(1))
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(random.Random(1).randbytes(size - 4096))
        outbox.put(message(0, lane=Lane.BULK), None, other)
        outbox.settle(outbox.take(HEAD - 100))
        with pytest.raises(DeliveryError, match=r"messages were dropped: the file of the outbox was lost"):
            outbox.flush(mine, 10)
        with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged"):
            outbox.flush(other, 0)


def test_large_messages_are_read_back_in_small_pieces(path: Path) -> None:
    """Of a lane that waits on disk no more is in memory than a few MiB, however large the messages are."""
    with running(path, on_disk(discard=DiscardPolicy.NEW)) as (outbox, _):
        for number in range(200):
            while not outbox.put(Publication("t", b"%d " % number + bytes(200_000), 1)):
                outbox.wait_for_room()
            outbox.wait_for_room()
        put_safely(outbox, message(200))
        most, taken = 0, 0
        while taken < 201:
            stats = outbox.stats()
            most = max(most, stats["waiting_bytes"] - stats["spilled_bytes"])
            taken_now = outbox.take(5)
            outbox.settle(taken_now)
            taken += len(taken_now)
        assert most < 3 * HEAD_BYTES


def test_correlation_data_counts_also_after_a_restart(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full")
    large = Publication("t", b"OK", 1, lane=Lane.REPLY, correlation=bytes(60_000))
    with running(path) as (outbox, _):
        for _number in range(3):
            put_safely(outbox, large)
    with running(path, on_disk(max_bytes=250_000, discard=DiscardPolicy.NEW)) as (
        outbox,
        _,
    ):
        assert outbox.put(large)
        assert not outbox.put(large)


def test_a_receipt_survives_that_its_message_is_spilled(path: Path) -> None:
    with running(path) as (outbox, _):
        for number in range(5000):
            outbox.put(message(number))
        receipt = put_safely(outbox, message(5000))
        wait_until(lambda: outbox.stats()["spilled"] == 5001 - HEAD, what="the message to be only on disk")
        take_all(outbox, 5001)
        receipt.wait_delivered(5)


# --- a disk that fails


@contextlib.contextmanager
def filled(disk: Path, leave: int = 0) -> Iterator[None]:
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
        while file.write(bytes(4096)):
            pass
    if leave:
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - leave)
    yield
    ballast.unlink()


@pytest.mark.root
@pytest.mark.parametrize("discard", DiscardPolicy)
def test_a_full_disk_is_logged_handled_by_the_policy_and_recovered_from(
    tmp_path: Path, discard: DiscardPolicy, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("outbox limits now apply in memory; free some space")
    with small_disk(tmp_path / "disk", 8 * 1024**2) as disk:
        path = disk / "gw.outbox"
        with running(path, on_disk(discard=discard)) as (outbox, writer):
            for number in range(500):
                outbox.put(message(number))
            put_safely(outbox, message(500))
            with filled(disk, leave=512 * 1024):
                last = Receipt()
                for number in range(501, 600):
                    outbox.put(message(number))
                outbox.put(message(600), last)
                if discard is DiscardPolicy.OLD:
                    expected_logs.expect("outbox full: the oldest messages are dropped")
                    last.wait_accepted(10)
                    assert outbox.counts().dropped_old >= 99
                else:
                    with pytest.raises(DeliveryError, match="was not accepted"):
                        last.wait_accepted(1.5)
                    assert outbox.counts().dropped == 0
            last.wait_accepted(10)  # without a restart, and though nothing more comes
            count = len(outbox)
            assert writer.close() == 0
        kept = [int(payload) for _, payload in rows(path)]
        assert kept == list(range(601 - count, 601))


def put_until_full(outbox: DurableOutbox, disk: Path, size: int) -> None:
    """Put messages of `size` bytes, in two lanes alternately, until less than an eighth of the disk is free."""

    def is_full() -> bool:
        status = os.statvfs(disk)
        return status.f_bavail * 8 < status.f_blocks

    while not is_full():
        for lane in [Lane.EVENT, Lane.BULK] * 20:
            outbox.put(Publication(f"t/{lane:d}", bytes(size), 1, lane=lane))
        wait_until(lambda: is_full() or not outbox.at_risk, what="the disk", pause=0.0005)


def settle_all(outbox: DurableOutbox, lanes: Container[Lane] = tuple(Lane)) -> None:
    """Take all that waits, and settle the entries of `lanes` with one call."""
    taken: list[Entry] = []

    def has_all() -> bool:
        taken.extend(outbox.take(100))
        return len(taken) == len(outbox)

    wait_until(has_all, 20, lambda: f"{len(outbox)} messages; {len(taken)} taken", pause=0.0005)
    outbox.settle([entry for entry in taken if entry.lane in lanes])


@pytest.mark.root
def test_what_is_removed_needs_no_room(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    """All that waits on a full disk is settled: the removals are written, and the disk has room again."""
    expected_logs.expect("outbox limits now apply in memory")
    with small_disk(tmp_path / "disk", 16 * 1024**2) as disk:
        with running(disk / "gw.outbox", on_disk(discard=DiscardPolicy.NEW)) as (
            outbox,
            writer,
        ):
            put_until_full(outbox, disk, 4000)
            settle_all(outbox)
            put_safely(outbox, message(0, "last"))
            assert writer.close() == 0
        assert rows(disk / "gw.outbox") == [("last", b"0")]


@pytest.mark.root
def test_on_a_full_disk_without_room_for_a_removal_it_is_done_in_steps(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    """Of two messages on a page one is settled, so that each page is to be written, and none is free."""
    expected_logs.expect(
        "outbox limits now apply in memory", "outbox full: the oldest messages", "the outbox cannot be written to"
    )
    with small_disk(tmp_path / "disk", 16 * 1024**2) as disk:
        with running(disk / "gw.outbox", on_disk(discard=DiscardPolicy.OLD)) as (
            outbox,
            writer,
        ):
            put_until_full(outbox, disk, 1800)
            put_safely(outbox, Publication("t/1", bytes(100_000), 1, lane=Lane.EVENT))  # only in SQLite's log
            settle_all(outbox, {Lane.BULK})
            put_safely(outbox, message(0, "last"))
            assert writer.close() == 0
        topics = Counter(topic for topic, _ in rows(disk / "gw.outbox"))
        assert topics["t/1"] > 1000
        assert (topics["t/3"], topics["last"]) == (0, 1)


@pytest.mark.root
def test_a_disk_without_any_room_loses_nothing_more_than_it_must(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox limits now apply in memory")
    with small_disk(tmp_path / "disk", 8 * 1024**2) as disk:
        path = disk / "gw.outbox"
        with running(path, on_disk(discard=DiscardPolicy.NEW)) as (outbox, writer):
            put_safely(outbox, message(0))
            receipt = Receipt()
            with filled(disk):
                outbox.put(message(1), receipt)
                with pytest.raises(DeliveryError):
                    receipt.wait_accepted(1.2)
                outbox.settle(outbox.take(1))
            receipt.wait_accepted(10)
            assert writer.close() == 0
        assert rows(path) == [("t", b"1")]


def test_a_file_that_is_removed_while_in_use_is_created_again(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("was removed or replaced; created a new one; 0 messages lost")
    with running(path) as (outbox, writer):
        put_safely(outbox, message(1))
        in_flight = outbox.take(1)
        put_safely(outbox, message(2))
        outbox.put(message(3, "command", is_command=True))
        path.unlink()
        put_safely(outbox, message(4))
        assert sorted(rows_of_running(writer)) == [b"1", b"2", b"4"], "what is in flight, too; no command"
        outbox.settle(in_flight)
        take_all(outbox, 3)
        assert writer.close() == 0
    assert rows(path) == []


def rows_of_running(writer: OutboxWriter) -> list[bytes]:
    """Return the payloads on disk once everything that came before is committed."""
    read: queue.Queue[list[bytes]] = queue.Queue()
    writer.run_on_file(lambda store: read.put([row.payload for row in store.rows()]))
    return read.get(timeout=10)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"of another program\n" * 100)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "file removed": (lambda path: path.unlink(), "was removed or replaced"),
    "file renamed": (lambda path: path.rename(path.with_name("moved")), "was removed or replaced"),
    "file replaced": (_replace, "was removed or replaced; moved to gw.outbox.foreign-"),
    "file truncated": (lambda path: os.truncate(path, 0), "was truncated; moved to gw.outbox.corrupt-"),
    "folder renamed": (
        lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
        "was removed or replaced",
    ),
    "log removed": (lambda path: log_of(path).unlink(), "lost its log (-wal), which was removed or replaced"),
    "log replaced": (lambda path: _replace(log_of(path)), "lost its log (-wal), which was removed or replaced"),
    "log emptied": (lambda path: os.truncate(log_of(path), 0), "lost its log (-wal), which was truncated"),
    "log truncated": (
        lambda path: os.truncate(log_of(path), log_of(path).stat().st_size // 2),
        "lost its log (-wal), which was truncated",
    ),
}


def killed(path: Path, folder: Path) -> Path:
    """Return the outbox as a gateway that is killed now would leave it."""
    folder.mkdir()
    for file in (path, log_of(path)):
        shutil.copy(file, folder)
    return folder / path.name


def rows_of_killed(path: Path, folder: Path) -> list[tuple[str, bytes]]:
    """Return what the next start would find after a kill."""
    folder = folder / "killed"
    kept = rows(killed(path, folder))
    shutil.rmtree(folder)
    return kept


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_are_taken_away_in_use_lose_nothing_that_is_accepted(
    fault: str, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    path = tmp_path / "state" / "gw.outbox"
    path.parent.mkdir()
    do, text = FAULTS[fault]
    expected_logs.expect(text, "created a new one; 0 messages lost")
    with running(path) as (outbox, writer):
        put_safely(outbox, message(1))
        in_flight = outbox.take(1)
        put_safely(outbox, message(2))
        put_safely(outbox, Publication("state", b"on", 1, True, lane=Lane.LATEST))
        outbox.put(message(3, "command", is_command=True))
        do(path)
        put_safely(outbox, message(4))
        left = rows(killed(path, tmp_path / "killed"))
        assert sorted(payload for _, payload in left) == [b"1", b"2", b"4", b"on"], "what is in flight, too; no command"
        outbox.settle(in_flight)
        assert payloads([each for each in take_all(outbox, 4) if each.publication.topic == "t"]) == [2, 4]
        assert outbox.counts().dropped == 0
        assert writer.close() == 0
    assert rows(path) == []
    assert not list(path.parent.glob("*.rescue*"))


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_are_taken_away_are_noticed_even_if_no_message_comes(
    fault: str, tmp_path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """While the broker is away, and the devices are quiet, a kill would otherwise lose all that waits."""
    path = tmp_path / "state" / "gw.outbox"
    path.parent.mkdir()
    do, text = FAULTS[fault]
    expected_logs.expect(text, "created a new one; 0 messages lost")
    with running(path) as (outbox, writer):
        put_safely(outbox, message(1))
        writer.check_files()
        do(path)
        writer.check_files()
        wait_until(lambda: "created a new one" in caplog.text)
        wait_until(lambda: log_of(path).exists() and rows_of_killed(path, tmp_path) == [("t", b"1")])


@pytest.mark.parametrize("fault", FAULTS)
def test_of_spilled_entries_none_is_lost_that_can_still_be_read(
    fault: str, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    """What was written since the last checkpoint may be lost with a truncated log; each loss is counted."""
    path = tmp_path / "state" / "gw.outbox"
    path.parent.mkdir()
    expected_logs.expect("created a new one; ")
    count = 12_000
    with running(path) as (outbox, writer):
        for number in range(1, count):
            outbox.put(message(number, f"t{number % 7}", (Lane.EVENT, Lane.BULK, Lane.REPLY)[number % 3]))
            if number % 100 == 0:
                outbox.wait_for_room()
        put_safely(outbox, message(count))
        outbox.settle(outbox.take(1500))
        do, _ = FAULTS[fault]
        do(path)
        put_safely(outbox, message(count + 1))
        taken: list[Entry] = []

        def drained() -> bool:
            taken_now = outbox.take(100)
            outbox.settle(taken_now)
            taken.extend(taken_now)
            return not len(outbox)

        wait_until(drained, 20, lambda: str(outbox.counts()), pause=0.001)
        lost = outbox.counts().dropped
        assert writer.close() == 0
    assert len(taken) + lost == count + 1 - 1500
    if fault == "log truncated" or fault == "log emptied":
        assert lost < 4000
    elif fault != "file truncated":
        assert lost == 0
    for lane in (Lane.EVENT, Lane.BULK, Lane.REPLY):
        numbers = payloads([each for each in taken if each.lane is lane])
        assert numbers == sorted(set(numbers)), lane
    assert rows(path) == []


def test_an_outbox_whose_log_is_lost_before_the_gateway_stops_is_whole(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost its log (-wal)")
    with running(path) as (outbox, writer):
        put_safely(outbox, message(1))
        log_of(path).unlink()
        assert writer.close() == 0
    assert rows(path) == [("t", b"1")]


@pytest.mark.root
def test_without_room_for_a_new_file_nothing_is_accepted_until_there_is(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("and a new one cannot be created", "created a new one; 0 messages lost", "is full")
    with small_disk(tmp_path / "disk", 8 * 1024**2) as disk, running(disk / "gw.outbox") as (outbox, writer):
        put_safely(outbox, message(1))
        log_of(disk / "gw.outbox").unlink()
        with filled(disk):
            receipt = Receipt()
            outbox.put(message(2), receipt)
            with pytest.raises(DeliveryError):
                receipt.wait_accepted(0.5)
        receipt.wait_accepted(10)
        assert writer.close() == 0
        assert rows(disk / "gw.outbox") == [("t", b"1"), ("t", b"2")]


def test_a_file_that_is_corrupted_while_in_use_is_moved_away(path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("is corrupt (", "moved to gw.outbox.corrupt-")
    with running(path) as (outbox, writer):
        for number in range(30_000):
            while not outbox.put(message(number, f"t{number % 3}" + 300 * "x")):
                pass
            outbox.wait_for_room()
        put_safely(outbox, message(30_000))
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(random.Random(1).randbytes(size - 4096))
        taken: list[Entry] = []

        def drained() -> bool:
            taken_now = outbox.take(100)
            outbox.settle(taken_now)
            taken.extend(taken_now)
            return not len(outbox)

        wait_until(drained, 20, lambda: str(outbox.counts()), pause=0.001)
        assert outbox.counts().dropped_old > 0
        assert outbox.counts().delivered + outbox.counts().dropped_old == 30_001
        last = put_safely(outbox, message(1))
        assert last.is_accepted
        assert writer.close() == 0
    assert rows(path) == [("t", b"1")]
    assert list(path.parent.glob("gw.outbox.corrupt-*"))


def test_a_folder_that_is_gone_is_logged_and_retried(path: Path, expected_logs: ExpectedLogs) -> None:
    folder = path.parent / "state"
    expected_logs.expect(
        "was removed or replaced, and a new one cannot be created", "created a new one; 0 messages lost"
    )
    with running(folder / "gw.outbox", owns_folder=True) as (outbox, writer):
        put_safely(outbox, message(1))
        folder.rename(path.parent / "moved")
        folder.write_text("in the way")
        receipt = Receipt()
        outbox.put(message(2), receipt)
        with pytest.raises(DeliveryError):
            receipt.wait_accepted(0.5)
        folder.unlink()
        receipt.wait_accepted(10)
        assert writer.close() == 0
    assert [payload for _, payload in rows(folder / "gw.outbox")] == [b"1", b"2"]


# --- much


MUCH = """
import sys
from pathlib import Path
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.message import Publication
from gateway.outbox.store import OutboxStore
from gateway.outbox.writer import OutboxWriter
from gateway.core.receipt import Receipt
def rss():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1])
outbox = DurableOutbox()
writer = OutboxWriter(outbox, OutboxStore(Path(sys.argv[1])))
writer.start()
before = rss()
for number in range(300_000):
    outbox.put(Publication("home/%d" % (number % 50), b"x" * 60, 1))
    if number % 500 == 0:
        outbox.wait_for_room()
receipt = Receipt()
outbox.put(Publication("home/last", b"x", 1), receipt)
receipt.wait_accepted(60)
print(rss() - before, len(outbox), outbox.counts().dropped)
writer.close()
"""


def test_three_hundred_thousand_waiting_messages_need_little_memory(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MUCH, str(path)], capture_output=True, text=True, check=True)
    grown, waiting, dropped = map(int, done.stdout.split())
    assert (waiting, dropped) == (300_001, 0), done.stderr
    assert grown < 60 * 1024, f"{grown} KiB"


@pytest.mark.parametrize("seed", range(2))
def test_with_many_threads_what_was_accepted_is_delivered_or_on_disk(
    path: Path, seed: int, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no broker accepts it")
    chance = random.Random(seed)
    outbox = on_disk(commit_interval=chance.choice([0.0, 0.01]))
    each, names = 4000, "abc"
    delivered: list[tuple[str, int]] = []
    dead: list[tuple[str, int]] = []

    def produce(name: str, lane: Lane) -> None:
        for number in range(each):
            outbox.put(message(number, name, lane))
            if number % 500 == 0:
                outbox.wait_for_room()

    with running(path, outbox) as (_, writer):
        lanes = {"a": Lane.EVENT, "b": Lane.BULK, "c": Lane.REPLY}
        threads = [threading.Thread(target=produce, args=pair) for pair in lanes.items()]
        for thread in threads:
            thread.start()
        in_flight: list[Entry] = []

        def key(entry: Entry) -> tuple[str, int]:
            return entry.publication.topic, int(entry.publication.payload)

        def step() -> bool:
            in_flight.extend(outbox.take(chance.randrange(100)))
            choice = chance.random()
            if choice < 0.2:
                cut = chance.randrange(len(in_flight) + 1)
                outbox.requeue(in_flight[cut:])
                del in_flight[cut:]
            elif choice < 0.22 and in_flight:
                gone = in_flight.pop(0)
                dead.append(key(gone))
                outbox.dead_letter(gone, "no broker accepts it")
            else:
                cut = chance.randrange(len(in_flight) + 1)
                outbox.settle(in_flight[:cut])
                delivered.extend(map(key, in_flight[:cut]))
                del in_flight[:cut]
            return len(delivered) > each * len(names) * 0.7

        wait_until(step, 40, lambda: str(outbox.counts()), pause=0.0)
        for thread in threads:
            thread.join()
        assert writer.close() == 0
    left = [(topic, int(payload)) for topic, payload in rows(path)]
    assert Counter([*delivered, *dead, *left]) == Counter((name, n) for name in names for n in range(each))
    for name in names:
        order = [number for topic, number in delivered if topic == name]
        assert order == sorted(order)
    with contextlib.closing(OutboxStore(path)) as store:
        assert [(each.topic, int(each.payload)) for each in store.dead_letter_rows()] == dead


def test_spilled_entries_are_read_back_when_all_before_them_were_dropped(
    path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("outbox full: the oldest", "% full")
    count = 100
    outbox = on_disk(max_messages=HEAD + count)
    with running(path, outbox):
        outbox.put_all([Publication("t", b"old")] * HEAD)
        for number in range(count):
            outbox.put(message(number))
        wait_until(lambda: not outbox.stats()["uncommitted"], what="all to be on disk only")
        outbox.put_all([Publication("t", b"new")] * HEAD)
        wait_until(lambda: outbox.has_waiting, what="the spilled entries to be read back, although none is taken")
        assert payloads(take_all(outbox, HEAD + count)[:count]) == list(range(count))


def test_the_sender_is_called_when_messages_were_read_back(path: Path) -> None:
    """The broker may have taken everything that was in memory: then nobody else would send the next ones."""
    with running(path) as (outbox, _):
        outbox.put_all([Publication("t", b"%d" % number, 1) for number in range(3 * HEAD)])
        wait_until(lambda: outbox.stats()["uncommitted"] == 0)  # no more is left to the disk after that
        calls: list[int] = []
        outbox.on_put = lambda _: calls.append(outbox.stats()["spilled"])
        spilled = outbox.stats()["spilled"]
        assert spilled > 0
        outbox.settle(outbox.take(3 * HEAD))
        wait_until(lambda: any(count < spilled for count in calls))


# --- a disk that does not answer


def test_a_writer_that_does_not_advance_hangs_and_is_named_with_its_line(
    path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(
        "the outbox: writing to the disk has not returned for ", "the outbox: writing to the disk returned"
    )
    goes_on = threading.Event()

    def read_from_a_disk_that_hangs(_: OutboxStore) -> None:
        goes_on.wait(20)

    outbox = DurableOutbox()
    writer = OutboxWriter(outbox, open_store(path, pytest.fail), longest_step=0.2)
    assert not writer.is_hanging, "it was not started yet"
    writer.start()
    try:
        outbox.put(Publication("home/x", b"1", qos=1))
        wait_until(lambda: writer.stats()["commits"] == 1)
        idle_until = time.monotonic() + 0.5
        wait_until(lambda: writer.is_hanging or time.monotonic() > idle_until)
        assert not writer.is_hanging, "it has nothing to do"
        writer.run_on_file(read_from_a_disk_that_hangs)
        wait_until(lambda: writer.is_hanging)
        report_overdue()
        assert f"{__file__}:" in caplog.text
        assert "(read_from_a_disk_that_hangs)" in caplog.text
        since, place = writer.hang or (None, "")
        assert since is not None and since < time.monotonic() - 0.2
        assert place.startswith("it has not returned from the disk: it is at ") and f"{__file__}:" in place
        goes_on.set()
        wait_until(lambda: not writer.is_hanging)
    finally:
        goes_on.set()
        writer.close()
