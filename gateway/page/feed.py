"""What the tap tells, numbered, for any number of readers; each asks for what came after the last number it has seen.

The tap is followed while somebody reads. Readers wait for news in the threads of the web server, of which two are kept
free for everything else: whoever would wait beyond that is answered at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.core.tap import TAP, Follower, Note
from gateway.web.server import THREADS

MOST_WAITING = THREADS - 2
"""Readers that wait at the same time, of all feeds together."""

_MOST_NOTES, _MOST_BYTES = 2000, 4 * 1024**2  # that are kept for readers who are slow
_MOST_AT_ONCE = 200  # notes in an answer
_INTERVAL = 0.1  # s between two looks at the tap
_LONGEST_PAUSE = 15.0  # s; a feed that nobody has read for so long follows nothing
_LONGEST_STOP = 5.0  # s


class News(NamedTuple):
    """Notes with their numbers, the number to ask for next, and how many notes the reader has missed.

    `has_gap`: the reader was away for so long that nobody has counted what it has missed before these.
    """

    notes: list[tuple[int, Note]]
    next: int
    missed: int
    has_gap: bool = False


class Feed:
    """Notes of all messages, or with `is_raw` of all bytes, as `Tap.follow` gives them.

    A reader that waits takes one of the `places`, which several feeds can share. Numbers begin with the time (µs, Unix
    time), so that those of an earlier run, or of an earlier reader, are smaller than all that are in use.
    """

    def __init__(
        self,
        places: threading.Semaphore | None = None,
        *,
        is_raw: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._places = places or threading.Semaphore(MOST_WAITING)
        self._is_raw = is_raw
        self._clock, self._wall_clock = clock, wall_clock
        self._notes: deque[tuple[int, Note]] = deque()
        self._bytes = 0
        self._first = self._next = 0  # the numbers of the first note that was followed, and of the next one
        self._follower: Follower | None = None
        self._pump_thread: threading.Thread | None = None
        self._read_at = 0.0
        self._waiting = 0
        self._is_closed = False
        self._news = threading.Condition()

    def read(self, after: int, wanted: Callable[[Note], bool], wait: float) -> News:
        """Return the notes that are wanted from the number `after` on; wait up to `wait` s if there is none yet.

        `after` -1: from now on. Any thread may call it. `wanted` is called without the lock: each note once.
        """
        end = self._clock() + wait
        with self._news:
            self._follow()
            has_gap = after >= 0 and not self._first <= after <= self._next
            if after < 0 or after > self._next:
                after = self._next
            after = max(after, self._first)
        news = self._after(after, wanted)
        missed = news.missed
        if not news.notes and wait > 0 and self._places.acquire(blocking=False):
            try:
                while not news.notes and self._await(news.next, end):
                    news = self._after(news.next, wanted)
                    missed += news.missed
            finally:
                self._places.release()
        return news._replace(missed=missed, has_gap=has_gap)

    def recent(self, wanted: Callable[[Note], bool], most: int) -> list[tuple[int, Note]]:
        """Return the last notes that are wanted, up to `most` of them, and follow the tap. Any thread may call it."""
        with self._news:
            self._follow()
            notes = list(self._notes)
        return [each for each in notes if wanted(each[1])][-most:]

    def close(self) -> None:
        """Let all readers go, and follow nothing any more."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()
            thread = self._pump_thread
        if thread is not None:
            thread.join(_LONGEST_STOP)

    def _await(self, after: int, end: float) -> bool:
        """Wait until there is a note from the number `after` on; return False if there is none until `end`."""
        with self._news:
            self._waiting += 1
            try:
                while self._next <= after and not self._is_closed and (left := end - self._clock()) > 0:
                    self._news.wait(left)
            finally:
                self._waiting -= 1
                self._read_at = self._clock()
            return self._next > after and not self._is_closed and self._clock() < end

    def _after(self, after: int, wanted: Callable[[Note], bool]) -> News:
        """Return what is there. Numbers without a note are those of notes that were lost."""
        with self._news:
            held = []
            for each in reversed(self._notes):
                if each[0] < after:
                    break
                held.append(each)
            following = self._next
        held.reverse()
        notes: list[tuple[int, Note]] = []
        for index, (number, note) in enumerate(held):
            if wanted(note):
                notes.append((number, note))
                if len(notes) == _MOST_AT_ONCE:
                    return News(notes, number + 1, number - after - index)
        return News(notes, following, following - after - len(held))

    # --- the tap

    def _follow(self) -> None:
        """Follow the tap, if that is not done yet. The caller holds the lock."""
        self._read_at = self._clock()
        if self._follower is not None or self._is_closed:
            return
        self._first = self._next = max(self._next, int(self._wall_clock() * 1_000_000))
        follower = Follower()
        thread = threading.Thread(target=self._pump, args=(follower,), name="page-feed", daemon=True)
        thread.start()
        self._follower, self._pump_thread = follower, thread
        TAP.follow(follower, is_raw=self._is_raw)

    def _pump(self, follower: Follower) -> None:
        """Number what the tap tells, until nobody has read it for a while."""
        try:
            while self._is_needed(follower):
                recorder = TAP.recorder
                if recorder is not None and not self._is_raw:
                    recorder.tell_waiting()
                notes, lost = follower.take(_MOST_NOTES)
                with self._news:
                    self._next += lost
                    for note in notes:
                        self._notes.append((self._next, note))
                        self._next += 1
                        self._bytes += note.size
                    while len(self._notes) > _MOST_NOTES or (self._bytes > _MOST_BYTES and len(self._notes) > 1):
                        self._bytes -= self._notes.popleft()[1].size
                    if notes or lost:
                        self._news.notify_all()
        finally:
            TAP.unfollow(follower)
            with self._news:
                self._forget(follower)

    def _is_needed(self, follower: Follower) -> bool:
        """Wait until the next look at the tap; return whether there is to be one."""
        with self._news:
            self._news.wait_for(lambda: self._is_closed, _INTERVAL)
            is_idle = not self._waiting and self._clock() - self._read_at > _LONGEST_PAUSE
            if self._is_closed or is_idle:
                self._forget(follower)
            return self._follower is follower

    def _forget(self, follower: Follower) -> None:
        """Forget the notes of a follower that is no longer needed. The caller holds the lock."""
        if self._follower is follower:
            self._follower = None
            self._notes.clear()
            self._bytes = 0
