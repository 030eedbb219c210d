"""What the tap tells, numbered, for any number of readers; each asks for what came after the last number it has seen.

The tap is followed while somebody reads. Readers wait for news in the threads of the web server, of which three are
kept free for everything else, such as commands: whoever would wait beyond that is answered at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.core.tap import TAP, Follower, Note
from gateway.web.server import THREADS

MOST_WAITING = THREADS - 3
"""Readers that wait at the same time, of all feeds."""

_MOST_NOTES, _MOST_BYTES = 2000, 4 * 1024**2  # that are kept for readers who are slow
_MOST_AT_ONCE = 200  # notes in an answer
_INTERVAL = 0.1  # s between two looks at the tap
_LONGEST_PAUSE = 15.0  # s; a feed that nobody has read for so long follows nothing


class News(NamedTuple):
    """Notes with their numbers, the number to ask for next, and how many notes the reader has missed before them."""

    notes: list[tuple[int, Note]]
    next: int
    missed: int


class Feed:
    """Notes of all messages, or with `is_raw` of all bytes, as `Tap.follow` gives them.

    `places` are those of the readers that wait, which several feeds share.
    """

    def __init__(
        self,
        *,
        is_raw: bool = False,
        clock: Callable[[], float] = time.monotonic,
        places: threading.Semaphore | None = None,
    ) -> None:
        self._is_raw = is_raw
        self._places = places or threading.BoundedSemaphore(MOST_WAITING)
        self._clock = clock
        self._notes: deque[tuple[int, Note]] = deque()
        self._bytes = 0
        self._next = 0
        self._follower: Follower | None = None
        self._read_at = 0.0
        self._waiting = 0
        self._is_closed = False
        self._news = threading.Condition()

    def read(self, after: int, wanted: Callable[[Note], bool], wait: float) -> News:
        """Return the notes that are wanted from the number `after` on; wait up to `wait` s if there is none yet.

        `after` -1: from now on. Any thread may call it.
        """
        with self._news:
            self._read_at = self._clock()
            self._follow()
            if after < 0 or after > self._next:  # a number of an earlier run
                after = self._next
            news = self._after(after, wanted)
            if news.notes or wait <= 0 or not self._places.acquire(blocking=False):
                return news
            self._waiting += 1
            try:
                end = self._clock() + wait
                missed = news.missed
                while not news.notes and not self._is_closed and (left := end - self._clock()) > 0:
                    self._news.wait(left)
                    news = self._after(news.next, wanted)
                    missed += news.missed
                return news._replace(missed=missed)
            finally:
                self._places.release()
                self._waiting -= 1
                self._read_at = self._clock()

    def recent(self, wanted: Callable[[Note], bool], most: int) -> list[tuple[int, Note]]:
        """Return the last notes that are wanted, up to `most` of them. Any thread may call it."""
        with self._news:
            found = [each for each in self._notes if wanted(each[1])]
        return found[-most:]

    def close(self) -> None:
        """Let all readers go, and follow nothing any more."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()

    def _after(self, after: int, wanted: Callable[[Note], bool]) -> News:
        """Return what is there. The caller holds the lock."""
        missed = 0
        first = self._notes[0][0] if self._notes else self._next
        if after < first:
            missed, after = first - after, first
        notes: list[tuple[int, Note]] = []
        for number, note in self._notes:
            if number >= after and wanted(note):
                notes.append((number, note))
                if len(notes) == _MOST_AT_ONCE:
                    return News(notes, number + 1, missed)
        return News(notes, self._next, missed)

    # --- the tap

    def _follow(self) -> None:
        """Follow the tap, if that is not done yet. The caller holds the lock."""
        if self._follower is None and not self._is_closed:
            self._follower = Follower()
            TAP.follow(self._follower, is_raw=self._is_raw)
            threading.Thread(target=self._pump, args=(self._follower,), name="page-feed", daemon=True).start()

    def _pump(self, follower: Follower) -> None:
        """Number what the tap tells, until nobody has read it for a while."""
        try:
            while self._is_needed():
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
                    if notes:
                        self._news.notify_all()
        finally:
            TAP.unfollow(follower)

    def _is_needed(self) -> bool:
        """Wait until the next look at the tap; return whether there is to be one."""
        with self._news:
            self._news.wait_for(lambda: self._is_closed, _INTERVAL)
            is_idle = not self._waiting and self._clock() - self._read_at > _LONGEST_PAUSE
            if self._is_closed or is_idle:
                self._follower = None
                self._notes.clear()
                self._bytes = 0
            return self._follower is not None
