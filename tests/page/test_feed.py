from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.core.tap import READ, TAP, Note
from gateway.page import command
from gateway.page.feed import MOST_WAITING, Feed, News
from gateway.web.connections import THREADS
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until


def everything(_: Note) -> bool:
    return True


@contextmanager
def feeds(count: int = 1, clock: Callable[[], float] = time.monotonic) -> Iterator[list[Feed]]:
    """Feeds of bytes that share their places, as those of a page do."""
    places = threading.Semaphore(MOST_WAITING)
    result = [Feed(places, is_raw=True, clock=clock) for _ in range(count)]
    try:
        yield result
    finally:
        for feed in result:
            feed.close()
        wait_until(lambda: TAP.wire is None, what="the end of following")


def is_followed() -> bool:
    return TAP.wire is not None


def tell(*words: str) -> None:
    """Have an interface read each of these words."""
    for word in words:
        assert TAP.wire is not None
        TAP.wire.note("dev", READ, word.encode())


def words(news: News) -> list[str]:
    return [note.steps[-1][2].decode() for _, note in news.notes]


def test_a_reader_gets_what_comes_after_what_it_has_seen() -> None:
    with feeds() as (feed,):
        first = feed.read(-1, everything, 0)
        assert (first.notes, first.missed) == ([], 0)
        tell("a", "b")
        news = feed.read(first.next, everything, 10)
        rest = [] if len(news.notes) == 2 else words(feed.read(news.next, everything, 10))
        assert [*words(news), *rest] == ["a", "b"]
        assert feed.read(first.next, everything, 0).notes[0] == news.notes[0]  # what was read can be read again
        tell("c")
        assert words(feed.read(first.next + 2, everything, 10)) == ["c"]


def test_only_what_is_wanted_wakes_a_reader() -> None:
    with feeds() as (feed,):
        start = feed.read(-1, everything, 0).next
        tell(*("noise" for _ in range(100)), "signal")
        news = feed.read(start, lambda note: note.steps[-1][2] == b"signal", 10)
        assert (words(news), news.missed, news.next) == (["signal"], 0, start + 101)


def test_a_slow_reader_is_told_how_much_it_has_missed() -> None:
    with feeds() as (feed,):
        start = feed.read(-1, everything, 0).next
        for number in range(5000):
            tell(str(number))
        seen, missed, after = 0, 0, start
        while seen + missed < 5000:
            news = feed.read(after, everything, 10)
            seen, missed, after = seen + len(news.notes), missed + news.missed, news.next
        assert missed >= 3000 and seen + missed == 5000


def test_large_notes_are_kept_by_their_bytes() -> None:
    with feeds() as (feed,):
        start = feed.read(-1, everything, 0).next
        for _ in range(20):
            tell("x" * 1024**2)
        wait_until(lambda: feed.read(start, everything, 0).missed >= 15)
        assert len(feed.read(start, everything, 0).notes) <= 4


def test_a_number_of_an_earlier_run_is_now() -> None:
    with feeds() as (feed,):
        feed.read(-1, everything, 0)
        tell("a")
        assert feed.read(1_000_000, everything, 0).notes == []


def test_all_feeds_together_leave_threads_for_everything_else() -> None:
    """Who reads messages and who reads bytes wait in the same threads."""
    with feeds(2) as (messages, wire):
        waiters = [
            threading.Thread(target=feed.read, args=(-1, everything, 30.0))
            for feed in (messages, wire)
            for _ in range(THREADS)
        ]
        for each in waiters:
            each.start()
        wait_until(lambda: sum(each.is_alive() for each in waiters) == MOST_WAITING, what="the others to be answered")
        assert MOST_WAITING + command.MOST_WAITING <= THREADS - 2
        began = time.monotonic()
        assert wire.read(-1, everything, 30.0).notes == []
        assert time.monotonic() - began < 5
        messages.close()
        wire.close()
        for each in waiters:
            each.join(5)
        assert not any(each.is_alive() for each in waiters)


def test_who_has_gone_has_left_the_place() -> None:
    with feeds() as (feed,):
        for _ in range(2 * MOST_WAITING):
            feed.read(-1, everything, 0.01)
        waiter = threading.Thread(target=feed.read, args=(-1, everything, 30.0))
        waiter.start()
        feed.close()
        waiter.join(5)
        assert not waiter.is_alive()


def test_nothing_is_followed_while_nobody_reads() -> None:
    clock = FakeClock()
    with feeds(clock=clock) as (feed,):
        assert not is_followed()
        feed.read(-1, everything, 0)
        assert is_followed()
        clock.now += 16
        wait_until(lambda: not is_followed())
        news = feed.read(-1, everything, 0)
        assert is_followed()
        tell("a")
        assert words(feed.read(news.next, everything, 10)) == ["a"]


def test_a_closed_feed_follows_nothing_any_more() -> None:
    with feeds() as (feed,):
        feed.close()
        assert feed.read(-1, everything, 10).notes == []
        assert not is_followed()
