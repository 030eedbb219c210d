"""What the threads are at: code of interfaces and hooks is entered through here, so that a hang can be named.

The threads of a process are known to the whole process (`sys._current_frames`), and so is this table of them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from gateway.core.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)

LONGEST_CALL = 5.0
"""Seconds that a call may take before the log names it: whoever waits for an answer begins to wonder."""

_FRAMES = 3  # of a place in the code: where it stands, and who called that
_LIBRARY, _GATEWAY = str(Path(os.__file__).parent), str(Path(__file__).parents[1])
_WORTH_NOTING = 0.05  # s of the main thread
_ONE_BURST = 1.0  # s between two calls of the same in which they hold the main thread together
_MAX_BURSTS = 100  # hooks whose bursts are remembered


class Hang(ThrottledException):
    """Code of an interface, or a hook, does not return."""


class Call:
    """A call of code that is not the gateway's own: `with` it, the table has it. For one use.

    `longest` is the time (s) after which it counts as hanging; None: time alone tells nothing.
    """

    __slots__ = ("_is_explained", "_outer", "hung_since", "longest", "since", "thread", "what")

    def __init__(self, what: str, longest: float | None = LONGEST_CALL) -> None:
        self.what = what
        self.longest = longest
        self.hung_since: float | None = None  # since it was reported: from when on it hung
        self._is_explained = False  # why it takes so long: a call within it did

    def __enter__(self) -> None:
        self.thread = thread = threading.get_ident()
        self.since = time.monotonic()
        self._outer = _calls.get(thread)
        _calls[thread] = self

    def __exit__(self, *_: object) -> None:
        if self._outer is None:
            del _calls[self.thread]
        else:
            _calls[self.thread] = self._outer
        now = time.monotonic()
        took = now - self.since
        is_late = self.longest is not None and took > self.longest
        if self.hung_since is not None:
            LOG.warning("%s has returned after %.0f s", self.what, now - self.hung_since)
        elif is_late and not self._is_explained:
            report_hang(f"{self.what} took {took:.0f} s: it should return within {self.longest:g} s", self.what)
        if is_late and self._outer is not None:
            self._outer._is_explained = True
        if took > _WORTH_NOTING and self.thread == threading.main_thread().ident:
            _note_held(self.what, self.since, now)

    def chain(self) -> Iterator[Call]:
        """Yield this call and those in which it was made."""
        call: Call | None = self
        while call is not None:
            yield call
            call = call._outer


_calls: dict[int, Call] = {}  # the innermost of each thread
_held: dict[str, tuple[float, float, float]] = {}  # bursts of calls in the main thread: begin, end, seconds of it


def current(thread: int | None = None) -> Call | None:
    """Return the innermost call that a thread is in; without `thread`, the calling one."""
    return _calls.get(threading.get_ident() if thread is None else thread)


def overdue(thread: int) -> Call | None:
    """Return the innermost call of a thread that has taken too long."""
    innermost, now = _calls.get(thread), time.monotonic()
    for call in innermost.chain() if innermost is not None else ():
        if call.longest is not None and now - call.since > call.longest:
            return call
    return None


def report_overdue() -> None:
    """Log which calls have taken too long, in whatever thread: each once, with the line where it stands."""
    for thread in _calls.copy():
        call = overdue(thread)
        if call is not None and call.hung_since is None:
            report(call, call.since)


def report(call: Call, since: float) -> None:
    """Log that `call` hangs, as it seems since a monotonic time."""
    if call.hung_since is None:
        call.hung_since = since
        seconds = time.monotonic() - since
        report_hang(f"{call.what} has not returned for {seconds:.0f} s: it stands at {where(call.thread)}", call.what)


def report_hang(text: str, key: str) -> None:
    """Log a hang, unless the same one was logged just now."""
    hang = Hang(text, key=key)
    if hang.trigger:
        LOG.warning(hang.report)


def where(thread: int | None) -> str:
    """Return where a thread stands, from the outside in: files, lines and functions that are not Python's own."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    places: list[str] = []
    innermost = frame
    while frame is not None and len(places) < _FRAMES:
        file = frame.f_code.co_filename
        if file.startswith(_GATEWAY) and places:
            break
        if not (file.startswith((_LIBRARY, _GATEWAY)) and "site-packages" not in file) and not file.startswith("<"):
            places.append(_place(frame))
        frame = frame.f_back
    if not places:
        return _place(innermost) if innermost is not None else "its end"
    return " > ".join(reversed(places))


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"


def longest_call_of_main_thread(within: float = 60.0) -> str:
    """Return which code held the main thread longest in the last `within` seconds, and how long; `""` if none did."""
    now = time.monotonic()
    bursts = [(seconds, what) for what, (_, end, seconds) in _held.copy().items() if now - end < within]
    main = _calls.get(threading.main_thread().ident or 0)
    bursts += [(now - call.since, call.what) for call in (main.chain() if main is not None else ())]
    seconds, what = max(bursts, default=(0.0, ""))
    return f"{what} took {seconds:.0f} s" if seconds >= 1 else ""


def _note_held(what: str, begin: float, end: float) -> None:
    before = _held.pop(what, None)
    if before is not None and begin - before[1] < _ONE_BURST:
        _held[what] = before[0], end, before[2] + end - begin
    else:
        _held[what] = begin, end, end - begin
    if len(_held) > _MAX_BURSTS:
        del _held[next(iter(_held))]
