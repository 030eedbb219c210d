"""The live view: what is recorded of messages on their way, and its limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.core.tap import (
    ACKNOWLEDGED,
    DROPPED,
    MAX_NOTES,
    MAX_NOTES_BYTES,
    PUBLISH,
    READ,
    SENT,
    TAP,
    WAITING,
    WAITING_SECONDS,
    Follower,
    Note,
    Recorder,
    Step,
)
from gateway.message import InternalMsg, Publication
from tests.support.fake_clock import FakeClock


class Bench:
    """A recorder with a clock of its own, and a follower."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.recorder = Recorder(self.clock, lambda: 0.0)
        self.follower = Follower()
        self.recorder.followers = (self.follower,)

    def notes(self) -> list[Note]:
        notes, lost = self.follower.take(10 * MAX_NOTES)
        assert not lost
        return notes

    def publish(self, payload: bytes = b"1", qos: int = 1) -> Publication:
        """Have a message translated."""
        publication = Publication("home/x", payload, qos)
        self.recorder.translated("dev", InternalMsg(device="x"), [publication], "", "")
        return publication


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(autouse=True)
def nobody_follows_afterwards() -> Iterator[None]:
    yield
    assert TAP.recorder is None
    assert TAP.wire is None


def note(size: int) -> Note:
    steps: list[Step] = [(READ, 0.0, b"x" * size)]
    return Note(0.0, "dev", steps)


def test_a_follower_that_does_not_read_loses_the_oldest_notes_and_is_told_how_many() -> None:
    follower = Follower()
    for number in range(MAX_NOTES + 5):
        follower.put(Note(float(number), "dev", [(READ, 0.0, b"")]))
    notes, lost = follower.take(3)
    assert ([each.time for each in notes], lost) == ([5.0, 6.0, 7.0], 5)
    assert follower.take(0) == ([], 0)


def test_the_bytes_that_wait_for_a_follower_are_limited() -> None:
    follower = Follower()
    for _ in range(10):
        follower.put(note(MAX_NOTES_BYTES // 4))
    notes, lost = follower.take(100)
    assert (len(notes), lost) == (4, 6)
    follower.put(note(2 * MAX_NOTES_BYTES))  # one that is too large is shown nevertheless, cut
    assert len(follower.take(1)[0]) == 1


def test_a_message_that_waits_is_told_once_and_again_at_its_end(bench: Bench) -> None:
    publication = bench.publish()
    bench.recorder.tell_waiting()
    assert not bench.notes()
    bench.clock.now += 2 * WAITING_SECONDS
    bench.recorder.tell_waiting()
    bench.recorder.tell_waiting()
    (waiting,) = bench.notes()
    bench.recorder.sent([publication])
    bench.recorder.accepted([publication])
    (ended,) = bench.notes()
    assert (waiting.outcome, ended.outcome) == (WAITING, ACKNOWLEDGED)
    assert [step[0] for step in waiting.steps] == ["message", "publish"]
    assert [step[0] for step in ended.steps] == ["message", "publish", SENT, ACKNOWLEDGED]


def test_what_began_before_the_view_is_told_from_where_it_is_known(bench: Bench) -> None:
    bench.recorder.accepted([Publication("home/x", b"1", 1)])
    (note,) = bench.notes()
    assert ([step[0] for step in note.steps], note.interface) == ([PUBLISH, ACKNOWLEDGED], "")


def test_messages_on_their_way_are_limited_and_the_oldest_told(bench: Bench) -> None:
    first = bench.publish()
    for _ in range(2000):
        bench.publish()
    (waiting,) = bench.notes()
    assert waiting.outcome == WAITING
    assert waiting.steps[-1][2] is first
    bench.publish(b"x" * 9 * 1024**2)
    assert len(bench.notes()) == 2000


def test_a_command_without_an_outcome_is_forgotten_at_last(bench: Bench) -> None:
    command = InternalMsg(iscmd=True, device="x", action="ON")
    bench.recorder.received(("arrived", bench.clock.now, None), "dev", command)
    bench.clock.now += 2 * WAITING_SECONDS
    bench.recorder.tell_waiting()
    assert [note.outcome for note in bench.notes()] == [WAITING]
    bench.clock.now += 100
    bench.recorder.tell_waiting()
    bench.recorder.translated("dev", command.reply("OK"), [Publication("home/x", b"1")], "", "")
    assert not bench.notes()


def test_whatever_an_interface_answers_is_told(bench: Bench) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("odd")

        def __repr__(self) -> str:
            raise RuntimeError("odd")

    for device in ("x", Odd()):
        command = InternalMsg(iscmd=True, device=device, action="ON")  # type: ignore[arg-type]
        bench.recorder.received(("arrived", 0.0, None), "dev", command)
        outcome = command.reply("OK").with_arguments({"response": Odd()})  # type: ignore[dict-item]
        bench.recorder.translated("dev", outcome, [], "map", "it is refused")
        assert [note.outcome for note in bench.notes()] == [DROPPED, "a value of the type Odd"]


def test_a_document_that_the_broker_refuses_is_told(bench: Bench) -> None:
    bench.recorder.state_accepted(Publication("home/gw/d/state", b"{}", 1), "it answered Not authorized")
    (note,) = bench.notes()
    assert (note.outcome, note.where, note.reason) == (DROPPED, "broker", "it answered Not authorized")


def test_the_tap_is_there_only_while_somebody_follows() -> None:
    first, second, raw = Follower(), Follower(), Follower()
    TAP.follow(first)
    TAP.follow(second)
    TAP.follow(raw, is_raw=True)
    recorder = TAP.recorder
    assert recorder is not None
    assert TAP.wire is not None
    TAP.wire.note("dev", READ, b"T 1\n")
    TAP.unfollow(first)
    recorder.bytes_dropped("dev", "framing", "noise")
    for follower in (second, raw):
        TAP.unfollow(follower)
    assert [len(each.take(9)[0]) for each in (first, second, raw)] == [0, 1, 1]
