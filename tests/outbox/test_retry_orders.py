"""A message waits or is a dead letter, exactly once, in each order of retrying, refusing, committing and killing."""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.receipt import Receipt
from gateway.message import Publication
from gateway.outbox.dead_letters import Retried
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.options import DISK_DEFAULTS, MAX_DEAD_LETTERS
from gateway.outbox.queues import Entry
from gateway.outbox.rows import DeadLetterRow
from gateway.outbox.store import OutboxStore
from gateway.outbox.writer import OutboxWriter
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until

REASON = "the broker refused it: Not authorized"


def dead(payload: bytes) -> DeadLetterRow:
    return DeadLetterRow(None, 0.0, "t", payload, 1, 0, "too large for the broker")


class SlowStore(OutboxStore):
    """A file whose commits wait for `gate`; `states` is what a kill -9 would have left after each of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = Event()
        self.gate.set()
        self.states: list[Counter[bytes]] = []

    def commit(self, *args: Any, **kwargs: Any) -> Any:
        self.gate.wait(30)
        result = super().commit(*args, **kwargs)
        self.states.append(self.content())
        return result

    def content(self) -> Counter[bytes]:
        """Return how often each payload waits or is a dead letter."""
        return Counter([row.payload for row in self.rows()] + [row.payload for row in self.dead_letter_rows()])


class Scene:
    """An outbox with its writer and its link. The steps may come in any order."""

    def __init__(self, path: Path, dead_letters: Sequence[DeadLetterRow] = ()) -> None:
        self.path = path
        self.store = SlowStore(path)
        self.store.commit([], [], dead_letters)
        self.outbox = DurableOutbox(DISK_DEFAULTS._replace(commit_interval=30.0))  # the test decides when
        self.writer = OutboxWriter(self.outbox, self.store)
        self.writer.start()
        self.in_flight: list[Entry] = []
        self.put_so_far = 0
        self.delivered: set[bytes] = set()

    def _run_on_file(self, do: Callable[[], Any]) -> Any:
        done: queue.Queue[Any] = queue.Queue()
        self.store.gate.set()
        self.writer.run_on_file(lambda _: done.put(do()))
        return done.get(timeout=10)

    def put(self, qos: int = 1) -> None:
        self.outbox.put(Publication("t", b"%d" % self.put_so_far, qos))
        self.put_so_far += 1

    def put_qos_0(self) -> None:
        self.put(0)

    def take(self) -> None:
        self.in_flight += self.outbox.take(2)

    def settle(self) -> None:
        for entry in self.in_flight[:1]:
            self.in_flight.remove(entry)
            self.delivered.add(entry.publication.payload)
            self.outbox.settle([entry])

    def refuse(self) -> None:
        for entry in self.in_flight[:1]:
            self.in_flight.remove(entry)
            self.outbox.dead_letter(entry, REASON)

    def requeue(self) -> None:
        self.outbox.requeue(self.in_flight)
        self.in_flight.clear()

    def commit(self) -> None:
        """Commit everything."""
        self._run_on_file(lambda: None)

    def commit_slowly(self) -> None:
        """Begin a commit that does not end before another one is requested."""
        self.store.gate.clear()
        self.outbox.call_writer()

    def retry(self) -> Retried:
        retried = self._run_on_file(lambda: self.writer.retry(lambda _: True))
        assert isinstance(retried, Retried)
        return retried

    def retry_slowly(self) -> None:
        """Retry, and let the commit after it wait until another one is requested."""

        def do() -> None:
            self.store.gate.clear()
            self.writer.retry(lambda _: True)

        self._run_on_file(do)

    def end(self) -> None:
        self.store.gate.set()
        self.writer.close()

    def stored(self) -> tuple[list[bytes], list[bytes]]:
        """Return the waiting messages in the file, and the dead letters."""
        with contextlib.closing(OutboxStore(self.path)) as store:
            return [row.payload for row in store.rows()], [row.payload for row in store.dead_letter_rows()]


STEPS = (Scene.put, Scene.put_qos_0, Scene.take, Scene.take, Scene.settle, Scene.refuse, Scene.refuse, Scene.requeue,
         Scene.commit, Scene.commit_slowly, Scene.retry, Scene.retry_slowly)  # fmt: skip


@given(st.lists(st.sampled_from(STEPS), max_size=40))
@settings(deadline=None, max_examples=150)
def test_each_message_is_in_the_file_exactly_once_after_each_commit(steps: list[Callable[[Scene], Any]]) -> None:
    logging.getLogger("mqttgateway.outbox").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder) / "gw.outbox", [dead(b"a"), dead(b"b")])
        try:
            for step in steps:
                step(scene)
        finally:
            scene.requeue()
            scene.end()
            logging.getLogger("mqttgateway.outbox").setLevel(logging.NOTSET)
        on_disk: set[bytes] = set()
        for state in scene.store.states:
            assert set(state.values()) <= {1}, (state, scene.store.states)
            assert on_disk - scene.delivered <= set(state), "an undelivered message that was on disk is still there"
            on_disk |= set(state)
        waiting, dead_letters = scene.stored()
        assert set(Counter(waiting + dead_letters).values()) <= {1}
        assert not scene.delivered & {*waiting, *dead_letters}
        lost = {b"%d" % number for number in range(scene.put_so_far)} - scene.delivered - {*waiting, *dead_letters}
        at_risk = {entry.publication.payload for entry in scene.outbox.peek(0, 1000)}  # QoS 0 that still waited
        assert lost == at_risk - {*waiting, *dead_letters}


def test_a_broker_that_refuses_what_is_retried_multiplies_nothing(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dead letter: 1 byte to 't'")
    scene = Scene(tmp_path / "gw.outbox")
    for _ in range(3):
        scene.put()
    scene.take()
    scene.take()
    for _ in range(3):
        scene.refuse()
    scene.commit()
    for _ in range(6):
        scene.retry_slowly()
        scene.take()
        scene.take()
        for _ in range(3):
            scene.refuse()
        scene.commit()
    assert scene.retry() == Retried(3, 0, 0)
    scene.end()
    assert scene.stored() == ([b"0", b"1", b"2"], [])


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_dead_letter_that_is_refused_again_has_its_newest_reason(
    is_slow: bool, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dead letter: 1 byte to 't'")
    scene = Scene(tmp_path / "gw.outbox", [dead(b"0")])
    (Scene.retry_slowly if is_slow else Scene.retry)(scene)
    scene.take()
    scene.refuse()
    scene.end()
    with contextlib.closing(OutboxStore(scene.path)) as store:
        assert [row.reason for row in store.dead_letter_rows()] == [REASON]
        assert store.rows() == []


class TakenAway(OutboxStore):
    """A file that is removed after its next commit, which then calls `on_gone`."""

    on_gone: Callable[[], None] | None = None

    def commit(self, *args: Any, **kwargs: Any) -> int:
        dropped = super().commit(*args, **kwargs)
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            self.path.unlink()
            on_gone()
        return dropped


@pytest.mark.parametrize("is_refused", [False, True], ids=["delivered", "refused"])
def test_what_ends_while_its_file_is_taken_away_is_written_at_most_once(
    is_refused: bool, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("was removed or replaced; created a new one", *["dead letter: 1 byte to 't'"] * is_refused)
    path = tmp_path / "gw.outbox"
    store = TakenAway(path)
    outbox = DurableOutbox()
    writer = OutboxWriter(outbox, store)
    outbox.put(Publication("t", b"0", 1))
    (entry,) = outbox.take(1)
    store.on_gone = lambda: outbox.dead_letter(entry, REASON) if is_refused else outbox.settle([entry])
    writer.start()
    assert writer.close() == 0
    with contextlib.closing(OutboxStore(path)) as store_after:
        assert store_after.rows() == []
        assert [row.payload for row in store_after.dead_letter_rows()] == [b"0"] * is_refused


def test_a_dead_letter_that_was_written_to_a_file_taken_away_is_not_written_twice(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("was removed or replaced; created a new one", "dead letter: 1 byte to 't'")
    path = tmp_path / "gw.outbox"
    store = TakenAway(path)
    outbox = DurableOutbox()
    writer = OutboxWriter(outbox, store)
    outbox.put(Publication("t", b"0", 1))
    outbox.dead_letter(outbox.take(1)[0], REASON)
    store.on_gone = lambda: None
    writer.start()
    writer.close()
    with contextlib.closing(OutboxStore(path)) as store_after:
        assert [row.payload for row in store_after.dead_letter_rows()] == [b"0"]


class NoRoomOnce(OutboxStore):
    """A file on a disk that is full for one commit; `states` as of `SlowStore`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_full = False
        self.states: list[tuple[list[bytes], list[bytes]]] = []

    def commit(self, *args: Any, **kwargs: Any) -> int:
        if self.is_full:
            self.is_full = False
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full
        dropped = super().commit(*args, **kwargs)
        self.states.append(([row.payload for row in self.rows()], [row.payload for row in self.dead_letter_rows()]))
        return dropped


def test_on_a_disk_with_room_for_small_steps_only_a_dead_letter_is_never_nowhere(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the outbox cannot be written", "dead letter: 1 byte to 't'")
    store = NoRoomOnce(tmp_path / "gw.outbox")
    outbox = DurableOutbox()
    writer = OutboxWriter(outbox, store)
    writer.start()
    receipt = Receipt()
    outbox.put(Publication("t", b"0", 1), receipt)
    receipt.wait_accepted(10)
    store.is_full = True
    outbox.dead_letter(outbox.take(1)[0], REASON)
    wait_until(lambda: len(store.states) > 1)
    writer.close()
    assert store.states == [([b"0"], []), ([], [b"0"])]


def test_dead_letters_beyond_those_that_are_kept_are_counted_and_logged(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dead letter: 1 byte to 't'", "dropped the oldest 3 dead letters: only the last 1000")
    scene = Scene(tmp_path / "gw.outbox", [dead(b"%d" % number) for number in range(1000)])
    for _ in range(3):
        scene.put()
    scene.take()
    scene.take()
    for _ in range(3):
        scene.refuse()
    scene.end()
    counts = scene.outbox.counts()
    assert (counts.dead_letters, counts.dead_letters_dropped, counts.dropped) == (3, 3, 3)
    assert str(counts) == "0 delivered, 3 dead letters, 3 dead letters dropped"
    assert len(scene.stored()[1]) == 1000


def test_dead_letters_that_are_dropped_before_a_commit_are_counted_too(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("1 byte to 't'", "dropped the oldest 1 dead letter")
    outbox = DurableOutbox()  # without a writer
    for number in range(MAX_DEAD_LETTERS + 1):
        outbox.put(Publication("t", b"%d" % number, 1))
        outbox.dead_letter(outbox.take(1)[0], REASON)
    assert outbox.counts().dead_letters_dropped == 1
