"""The turn: one thread at a time may touch the link, and who has something to send does so, if the turn is free.

The main thread has the turn but for its waits. If it alone sent, two threads would wake each other for each message,
and move it from one processor's cache to the other's.
"""

from __future__ import annotations

import enum
import select
from collections.abc import Callable
from threading import Lock

from gateway.core.clock import boot_time
from gateway.core.inbox import Wakeup

STOOD_STILL = 10.0
"""Seconds more than a wait of the main thread should take: the process was stopped, or the machine."""

_SOON = 0.00006  # s after one message within which the next one is of a burst
_COMPANY = 100  # messages of a burst that are sent together
_TICK = 0.002  # s after which the main thread sends what has waited for company, and none has come
_LONGEST_BURST = 0.25  # s of a burst after which the main thread has a look at the link all the same
_HAND_OVER = 0.00005  # s that who gives the turn back pauses, if the main thread waits for it
_FOR_OTHERS = 10  # times that who sends its own goes on with what others have put meanwhile


class Progress(enum.Enum):
    """What has become of what was to be sent."""

    DONE = "all of it is sent, as far as it may be now"
    MORE = "there is more that could be sent at once"
    STUCK = "the main thread is to look at the link"


class SendLock:
    """A lock, which the main thread waits for (`with turn:`) and others do not, and what they tell each other.

    `send` sends what waits, and raises nothing; it is called with the turn. Never to be taken with the lock of the
    outbox held.
    """

    def __init__(self, send: Callable[[], Progress], wakeup: Wakeup) -> None:
        self._send = send
        self._wakeup = wakeup
        self._lock = Lock()
        self._last_put = 0.0  # when something came to be sent
        self._is_asked = False  # to send what others have put: who gives the turn back looks at this
        self._is_wanted = False  # by a thread that waits for it
        self._company = 0  # messages that wait for more; about so many, if several threads count them
        self._is_burst = False  # it came soon after another: who puts counts on the main thread to look after it
        self._last_seen = boot_time()  # when the main thread had the turn
        self._longest_wait = 0.0  # s that it meant to wait then, since nothing was due

    def __enter__(self) -> None:
        self._is_wanted = True
        self._lock.acquire()
        self._is_wanted = False

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    # --- any thread

    def ask(self, may_wait: bool = False) -> None:
        """Let be sent what was put: at once, by the calling thread, or by who has the turn.

        What cannot be done now is left to the main thread. A message that `may_wait`, and comes soon after another,
        waits for company, or until the main thread looks after it.
        """
        last, self._last_put = self._last_put, boot_time()
        if self._last_put - self._last_seen - self._longest_wait > STOOD_STILL:  # it gives the link up first
            self._wakeup.set()
            return
        is_soon = may_wait and self._last_put - last < _SOON
        if is_soon and (self._company < _COMPANY or self._lock.locked()):  # the next one is about to come
            self._company += 1
            if not self._is_burst:
                self._is_burst = True
                self._wakeup.set()
            return
        self._is_asked = True
        self._serve()

    def send_directly(self, send: Callable[[], Progress | None], may_wait: bool = False) -> bool:
        """Have the calling thread `send` what it has not put, if the turn is free; return whether that was taken.

        `send` returns None for what is to be put after all. That is what `may_wait`, and comes soon after another, too:
        it is to wait for company.
        """
        last, now = self._last_put, boot_time()
        if now - self._last_seen - self._longest_wait > STOOD_STILL or (may_wait and now - last < _SOON):
            return False
        if self._is_asked or not self._lock.acquire(blocking=False):
            return False
        try:
            progress = send()
        finally:
            self._give_back()
        if progress is not None:
            self._last_put = now
        if progress is Progress.STUCK:
            self._wakeup.set()
        self._serve()
        return progress is not None

    def _serve(self) -> None:
        """Send what others have put, if anybody has asked for it, and the turn is free."""
        for _ in range(_FOR_OTHERS):
            if not self._is_asked or not self._lock.acquire(blocking=False):
                return
            try:
                self._is_asked = False  # first: who asks from now on is not to be missed
                self._company = 0
                progress = self._send()
                if progress is Progress.MORE:
                    self._is_asked = True
            finally:
                self._give_back()
            if progress is Progress.STUCK:
                break
        self._wakeup.set()

    def _give_back(self) -> None:
        is_wanted = self._is_wanted
        self._lock.release()
        if is_wanted:  # by the main thread, which may have a command; Python runs one thread at a time
            select.select((), (), (), _HAND_OVER)  # `time.sleep` raises where a clock jumps meanwhile

    # --- the main thread

    def before_wait(self, seconds: float) -> float:
        """Return how long (s) the main thread may wait that could wait `seconds`: not at all if it was asked."""
        was_burst = self._is_burst
        # The last message of a burst may have come after the caller has looked whether there is one.
        if self._is_asked or (was_burst and not self._note_whether_it_goes_on()):
            seconds = 0.0
        elif was_burst:
            seconds = min(seconds, _TICK)
        self._longest_wait = seconds
        return seconds

    def may_wait_on(self) -> float:
        """Return how long (s) the main thread may wait on where nothing has happened: those who put see to it all."""
        return _TICK if self._note_whether_it_goes_on() and boot_time() - self._last_seen < _LONGEST_BURST else 0.0

    def after_wait(self) -> float:
        """Take note that the main thread has the turn, and sends what others have put; return how late (s) that is."""
        self._is_asked = False
        last, self._last_seen = self._last_seen, boot_time()
        return self._last_seen - last - self._longest_wait

    def _note_whether_it_goes_on(self) -> bool:
        """Note, and tell, whether messages come one by one and fast: who puts them sends them, but for the last."""
        if self._is_burst:
            self._is_burst = False  # first: one that comes from now on is not to be missed
            self._is_burst = boot_time() - self._last_put < _TICK
        return self._is_burst
