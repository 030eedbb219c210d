"""The lock of the link: one thread at a time uses the link, and whoever has something to send does so if it is free.

The main thread holds the lock except while it waits. If it alone sent messages, two threads would wake each other for
each message, and move that from one processor's cache to the other's.
"""

from __future__ import annotations

import enum
import select
from collections.abc import Callable
from threading import Lock

from gateway.core.clock import boot_time
from gateway.core.inbox import Wakeup
from gateway.mqtt.batching import BATCH_SIZE, TICK, BurstDetector
from gateway.mqtt.standstill import StandstillDetector

LONGEST_BURST = 0.25
"""Seconds of a burst after which the main thread checks the link even though the burst goes on."""

MAX_ROUNDS = 10
"""How many times in a row a thread that sends its own message also sends what other threads have put meanwhile."""

YIELD_SECONDS = 0.00005
"""Seconds that a thread pauses after it has released the lock, if the main thread waits for the lock."""


class Progress(enum.Enum):
    """What came of an attempt to send."""

    DONE = "everything is sent, as far as it may be sent now"
    MORE = "there is more that could be sent immediately"
    STUCK = "the main thread has to check the link"


def _pause(seconds: float) -> None:
    """Let other threads run (`time.sleep` raises an error if the clock is set during the pause)."""
    select.select((), (), (), seconds)


class SendLock:
    """A lock with which any thread may send: the main thread waits for it (`with lock:`), other threads never do.

    `send` sends what waits in the outbox, and raises nothing; it is called with the lock held. Lock order: this lock,
    then the lock of the outbox, never the other way round. `pause` lets other threads run for some seconds.
    """

    def __init__(
        self,
        send: Callable[[], Progress],
        wakeup: Wakeup,
        clock: Callable[[], float] = boot_time,
        pause: Callable[[float], None] = _pause,
    ) -> None:
        self._send = send
        self._wakeup = wakeup
        self._clock = clock
        self._pause = pause
        self._lock = Lock()
        self._bursts = BurstDetector(clock)
        self._standstill = StandstillDetector(clock)
        self._is_requested = False  # to send what others have put: whoever releases the lock checks this
        self._contended = False  # the main thread waits for the lock
        self._left_to_main_thread = 0

    def __enter__(self) -> None:
        self._contended = True
        self._lock.acquire()
        self._contended = False

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def is_locked(self) -> bool:
        """Whether a thread holds the lock."""
        return self._lock.locked()

    @property
    def is_contended(self) -> bool:
        """Whether the main thread waits for the lock."""
        return self._contended

    @property
    def main_busy_for(self) -> float:
        """The seconds since the main thread should have been back at its wait; 0: it waits. Any thread may read it."""
        return self._standstill.busy_for

    def stats(self) -> dict[str, int]:
        """Return the counters: any thread may call this, without the lock."""
        return {
            "bursts": self._bursts.count,
            "batched": self._bursts.batched,
            "left_to_main_thread": self._left_to_main_thread,
            "standstills": self._standstill.count,
        }

    # --- any thread

    def request_send(self, may_wait: bool = False) -> None:
        """Ask for queued messages to be sent: by this thread if the lock is free, otherwise by the lock holder.

        What cannot be sent now is left to the main thread. A message that `may_wait`, and that follows another
        closely, waits until there are enough messages for one write, or until the main thread sends them.
        """
        now = self._clock()
        is_follow_up = self._bursts.record(now)
        if now > self._standstill.overdue_at:  # the main thread has to give the link up first
            self._wakeup.set()
            return
        if may_wait and is_follow_up and (self._bursts.batched < BATCH_SIZE or self._lock.locked()):
            if self._bursts.add():
                self._wakeup.set()
            return
        self._is_requested = True
        self._send_requested()

    def send_directly(self, send: Callable[[], Progress | None], may_wait: bool = False) -> bool:
        """Call `send`, for messages that are not in the outbox, if the lock is free; return whether it sent them.

        `send` returns None if the messages have to be put into the outbox instead. The same holds for messages that
        `may_wait` and follow others closely: they have to wait for more.
        """
        now = self._clock()
        if now > self._standstill.overdue_at or (may_wait and now < self._bursts.follow_up_until):
            return False
        if self._is_requested or not self._lock.acquire(blocking=False):  # what others have put goes first
            return False
        try:
            progress = send()
        finally:
            self._release()
        if progress is not None:
            self._bursts.record(now)
        if progress is Progress.STUCK:
            self._leave_to_main_thread()
        self._send_requested()
        return progress is not None

    def _send_requested(self) -> None:
        """Send what others have put, if that was requested and the lock is free."""
        for _ in range(MAX_ROUNDS):
            if not self._is_requested or not self._lock.acquire(blocking=False):
                return
            try:
                self._is_requested = False  # before sending: a request that comes from now on must not be lost
                self._bursts.sent()
                progress = self._send()
                if progress is Progress.MORE:
                    self._is_requested = True
            finally:
                self._release()
            if progress is Progress.STUCK:
                break
        self._leave_to_main_thread()

    def _leave_to_main_thread(self) -> None:
        self._left_to_main_thread += 1
        self._wakeup.set()

    def _release(self) -> None:
        """Release the lock, and let the main thread run if it waits for it: it may have received a command.

        Python runs one thread at a time. Without the pause, this thread could acquire the lock again and again before
        the main thread runs at all.
        """
        is_contended = self._contended
        self._lock.release()
        if is_contended:
            self._pause(YIELD_SECONDS)

    # --- the main thread

    def begin_wait(self, seconds: float) -> float:
        """Return how long (s) the main thread may wait instead of `seconds`: 0 if something was requested meanwhile."""
        seconds = 0.0 if self._is_requested else self._bursts.limit_wait(seconds)
        self._standstill.begin_wait(seconds)
        return seconds

    def extend_wait(self) -> float:
        """Return how long (s) the main thread may go on waiting, if nothing has happened; 0: it has to run.

        During a burst, the threads that put messages also send them.
        """
        is_burst = self._bursts.continues()
        return TICK if is_burst and self._clock() - self._standstill.last_seen < LONGEST_BURST else 0.0

    def end_wait(self) -> float:
        """Record that the main thread runs, and sends what others have put; return by how many seconds it is late.

        Called with the lock held.
        """
        self._is_requested = False
        return self._standstill.end_wait()

    def excuse_wait(self) -> None:
        """Record that the main thread was busy, however long that took: the process was not stopped."""
        self._standstill.reset()
