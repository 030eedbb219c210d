"""What passes as numbered news: nobody who asks in time misses anything, and whoever does is told how much."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.tap import MAX_NOTES, MAX_NOTES_BYTES, READ, TAP, Note
from gateway.message import InternalMsg
from gateway.page.feed import MOST_WAITING, Feed, News
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

PATIENCE = 10.0  # s
LARGE = bytes(MAX_NOTES_BYTES * 2 // 5)


def everything(_: Note) -> bool:
    return True


def nothing(_: Note) -> bool:
    return False


def is_followed() -> bool:
    return TAP.recorder is not None or TAP.wire is not None


def send(count: int, interface: str = "dev") -> None:
    """Have `count` messages dropped, which is told at once."""
    for _ in range(count):
        recorder = TAP.recorder
        assert recorder is not None
        recorder.translated(interface, InternalMsg(device="x"), [], "map", "no")


def read_all(feed: Feed, after: int, count: int) -> tuple[list[int], int, News]:
    """Read until `count` notes were read or missed; return their numbers, and how many were missed."""
    numbers: list[int] = []
    missed = 0
    end = time.monotonic() + PATIENCE
    while True:
        news = feed.read(after, everything, 0.5)
        numbers += [number for number, _ in news.notes]
        missed += news.missed
        after = news.next
        if len(numbers) + missed >= count:
            return numbers, missed, news
        assert time.monotonic() < end, (len(numbers), missed)


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = Feed()
    yield feed
    feed.close()


@pytest.fixture(autouse=True)
def nobody_follows_before_or_afterwards() -> Iterator[None]:
    assert TAP.recorder is None
    yield
    wait_until(lambda: TAP.recorder is None and TAP.wire is None, what="the feeds to end")


def test_a_reader_gets_what_comes_after_it_has_begun_once_and_in_order(feed: Feed) -> None:
    begin = feed.read(-1, everything, 0.0)
    assert (begin.notes, begin.missed, begin.has_gap) == ([], 0, False)
    send(450)
    numbers, missed, last = read_all(feed, begin.next, 450)
    assert (len(numbers), missed) == (450, 0)
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    assert feed.read(last.next, everything, 0.0).notes == []


def test_an_answer_has_at_most_two_hundred_notes_and_the_next_one_goes_on_behind_them(feed: Feed) -> None:
    begin = feed.read(-1, everything, 0.0)
    send(300)
    wait_until(lambda: len(feed.recent(everything, 1000)) == 300, what="300 notes")
    first = feed.read(begin.next, everything, 0.0)
    second = feed.read(first.next, everything, 0.0)
    assert (len(first.notes), len(second.notes)) == (200, 100)
    assert second.notes[0][0] == first.notes[-1][0] + 1


@pytest.mark.parametrize("is_large", [False, True])
def test_what_the_tap_has_lost_is_told_to_whoever_is_behind(feed: Feed, is_large: bool) -> None:
    """It was told only if notes had gone from the beginning: of large ones, two are kept, beside ten small ones."""
    count = 6 if is_large else MAX_NOTES + 500
    for _ in range(20):  # the feed may look at the tap in the middle of a burst, and lose nothing
        begin = feed.read(-1, everything, 0.0)
        send(10)
        read = read_all(feed, begin.next, 10)[2]
        recorder = TAP.recorder
        assert recorder is not None
        for _ in range(count if is_large else 0):
            recorder.frame_dropped("dev", "rule", "no", LARGE)
        send(0 if is_large else count)
        numbers, missed, last = read_all(feed, read.next, count)
        assert len(numbers) + missed == count
        assert last.next == read.next + count
        if missed:
            return
    pytest.fail("nothing was lost")


@given(st.lists(st.integers(0, 700), min_size=1, max_size=6), st.integers(1, 3))
def test_notes_that_are_read_and_notes_that_were_missed_are_all_that_came(bursts: list[int], readers: int) -> None:
    feed = Feed()
    try:
        begin = feed.read(-1, everything, 0.0).next
        for burst in bursts:
            send(burst)
        for _ in range(readers):
            numbers, missed, last = read_all(feed, begin, sum(bursts))
            assert len(numbers) + missed == sum(bursts)
            assert last.next == begin + sum(bursts)
            assert sum(bursts) > MAX_NOTES or missed == 0
            assert numbers == sorted(set(numbers))
    finally:
        feed.close()


def test_a_reader_who_waits_for_what_does_not_come_is_answered_in_time_however_much_passes(feed: Feed) -> None:
    begin = feed.read(-1, everything, 0.0)
    is_over = threading.Event()

    def pour() -> None:
        while not is_over.is_set():
            send(100)
            time.sleep(0.05)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        started = time.monotonic()
        news = feed.read(begin.next, nothing, 1.0)
        assert 0.9 < time.monotonic() - started < 4.0
    finally:
        is_over.set()
        thread.join()
    assert (news.notes, news.missed) == ([], 0)
    assert news.next > begin.next


def test_a_reader_who_waits_is_woken_by_what_it_wants(feed: Feed) -> None:
    begin = feed.read(-1, everything, 0.0)
    answers: list[News] = []
    thread = threading.Thread(
        target=lambda: answers.append(feed.read(begin.next, lambda note: note.interface == "b", PATIENCE))
    )
    thread.start()
    send(3, "a")
    send(1, "b")
    thread.join(PATIENCE)
    ((number, note),) = answers[0].notes
    assert (note.interface, number) == ("b", begin.next + 3)


def test_feeds_that_share_places_let_no_more_readers_wait_than_there_are() -> None:
    """Each feed had places of its own: two of them together took all threads of the server."""
    places = threading.Semaphore(MOST_WAITING)
    feeds = Feed(places), Feed(places, is_raw=True)
    begins = [feed.read(-1, everything, 0.0).next for feed in feeds]
    threads = [
        threading.Thread(target=feeds[index % 2].read, args=(begins[index % 2], everything, PATIENCE))
        for index in range(MOST_WAITING)
    ]
    for thread in threads:
        thread.start()

    def is_full() -> bool:
        if places.acquire(blocking=False):
            places.release()
            return False
        return True

    try:
        wait_until(is_full, what="all places to be taken")
        started = time.monotonic()
        for feed, begin in zip(feeds, begins, strict=True):
            assert feed.read(begin, everything, PATIENCE).notes == []
        assert time.monotonic() - started < PATIENCE / 2
    finally:
        for feed in feeds:
            feed.close()
        for thread in threads:
            thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


def test_closing_lets_readers_go_and_ends_what_was_followed(feed: Feed) -> None:
    begin = feed.read(-1, everything, 0.0)
    thread = threading.Thread(target=feed.read, args=(begin.next, everything, 60.0))
    thread.start()
    assert is_followed()
    feed.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not is_followed()
    assert feed.read(-1, everything, 60.0).notes == []
    assert not is_followed()


def test_a_feed_that_nobody_reads_follows_nothing_and_whoever_comes_back_is_told() -> None:
    clock = FakeClock()
    feed = Feed(clock=clock)
    try:
        begin = feed.read(-1, everything, 0.0)
        send(5)
        read = read_all(feed, begin.next, 5)[2]
        clock.now += 16.0
        wait_until(lambda: TAP.recorder is None, what="the feed to end what it follows")
        back = feed.read(read.next, everything, 0.0)
        assert (back.notes, back.missed, back.has_gap) == ([], 0, True)
        send(2)
        numbers, missed, last = read_all(feed, back.next, 2)
        assert (len(numbers), missed, last.has_gap) == (2, 0, False)
    finally:
        feed.close()


@pytest.mark.parametrize("ahead", [-10, 10])
def test_a_number_of_an_earlier_run_is_none_of_this_one(ahead: int) -> None:
    earlier = Feed(wall_clock=lambda: 1_800_000_000.0 + ahead)
    feed = Feed(wall_clock=lambda: 1_800_000_000.0)
    try:
        old = earlier.read(-1, everything, 0.0).next
        earlier.close()
        begin = feed.read(-1, everything, 0.0)
        send(3)
        wait_until(lambda: len(feed.recent(everything, 10)) == 3, what="3 notes")
        news = feed.read(old, everything, 0.0)
        assert news.has_gap
        assert news.missed == 0
        assert news.next == begin.next + 3
    finally:
        earlier.close()
        feed.close()


def test_readers_that_begin_while_a_feed_ends_lose_nothing() -> None:
    """The thread of the feed ends when nobody has read for a while, which may be when somebody begins."""
    clock = FakeClock()
    feed = Feed(clock=clock)
    try:
        for _ in range(30):
            clock.now += 15.1
            begin = feed.read(-1, everything, 0.0)
            send(7)
            numbers, missed, _ = read_all(feed, begin.next, 7)
            assert (len(numbers), missed) == (7, 0)
    finally:
        feed.close()
    wait_until(
        lambda: not any(thread.name == "page-feed" for thread in threading.enumerate()), what="the threads to end"
    )
    assert TAP.recorder is None


def test_bytes_are_followed_by_a_feed_of_their_own() -> None:
    feed = Feed(is_raw=True)
    try:
        begin = feed.read(-1, everything, 0.0)
        assert TAP.recorder is None
        assert TAP.wire is not None
        TAP.wire.note("dev", READ, b"T 21.5\n")
        news = feed.read(begin.next, everything, PATIENCE)
        assert [note.steps[0][2] for _, note in news.notes] == [b"T 21.5\n"]
    finally:
        feed.close()
