"""Tracks the calls of foreign code (interfaces and hooks) in each thread, so that a hanging call can be reported.

The table of calls is global, as the threads of a process are (`sys._current_frames`).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger(__name__)

LONGEST_CALL = 5.0
"""Seconds that a call may take before it is logged: clients that wait for an answer notice such a delay."""

_FRAMES = 3  # stack frames shown: the line being executed, and its callers
_LIBRARY, _GATEWAY = str(Path(os.__file__).parent), str(Path(__file__).parents[1])
_MIN_RECORDED = 0.05  # s; shorter calls in the main thread are not recorded
_BURST_GAP = 1.0  # s; calls of the same code with shorter gaps block the main thread together, and are added up
_MAX_BURSTS = 100  # names of calls whose bursts are recorded


class Hang(ThrottledException):
    """A call of an interface or a hook does not return."""


class Call:
    """A context manager for one call of foreign code, which is in the table until the call returns.

    `longest` is the time (s) after which the call counts as hanging; None: it may take any time.
    """

    __slots__ = ("_has_late_inner_call", "_outer", "hung_since", "longest", "since", "thread", "what")

    def __init__(self, what: str, longest: float | None = LONGEST_CALL) -> None:
        self.what = what
        self.longest = longest
        self.hung_since: float | None = None  # once it was reported: since when it has been hanging
        self._has_late_inner_call = False  # a call within it explains the delay

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
            LOG.warning("%s returned after %.0f s", self.what, now - self.hung_since)
        elif is_late and not self._has_late_inner_call:
            report_hang(f"{self.what} took {took:.0f} s: it should return within {self.longest:g} s", self.what)
        if is_late and self._outer is not None:
            self._outer._has_late_inner_call = True
        if took > _MIN_RECORDED and self.thread == threading.main_thread().ident:
            _record_burst(self.what, self.since, now)

    def chain(self) -> Iterator[Call]:
        """Yield this call and the calls that contain it, from the inside out."""
        call: Call | None = self
        while call is not None:
            yield call
            call = call._outer


_calls: dict[int, Call] = {}  # the innermost call of each thread
_bursts: dict[str, tuple[float, float, float]] = {}  # of calls in the main thread: begin, end, seconds in total


def current(thread: int | None = None) -> Call | None:
    """Return the innermost call of a thread; without `thread`, of the calling one."""
    return _calls.get(threading.get_ident() if thread is None else thread)


def overdue(thread: int) -> Call | None:
    """Return the innermost overdue call of a thread; None if no call has taken too long."""
    innermost, now = _calls.get(thread), time.monotonic()
    for call in innermost.chain() if innermost is not None else ():
        if call.longest is not None and now - call.since > call.longest:
            return call
    return None


def report_overdue() -> None:
    """Log the overdue calls of all threads: each once, with the line of code that is being executed."""
    for thread in _calls.copy():
        call = overdue(thread)
        if call is not None and call.hung_since is None:
            report(call, call.since)


def report(call: Call, since: float) -> None:
    """Log that `call` hangs, apparently since a monotonic time."""
    if call.hung_since is None:
        call.hung_since = since
        seconds = time.monotonic() - since
        report_hang(f"{call.what} has not returned for {seconds:.0f} s: it is at {where(call.thread)}", call.what)


def report_hang(text: str, key: str) -> None:
    """Log a hang, unless the same one was logged recently."""
    hang = Hang(text, key=key)
    if hang.trigger:
        LOG.warning(hang.report)


def where(thread: int | None) -> str:
    """Return the position of a thread: files, lines and functions, outermost first, without the standard library."""
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


def where_raised(err: BaseException) -> str:
    """Return the position at which `err` was raised: the innermost one outside of the gateway and the libraries."""
    place, traceback = "", err.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if not place or not _is_of_others(frame.f_code.co_filename):
            place = _place(frame, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place or "an unknown position"


def _is_of_others(file: str) -> bool:
    return "site-packages" in file or file.startswith((_LIBRARY, _GATEWAY, "<"))


def _place(frame: FrameType, line: int | None = None) -> str:
    return f"{frame.f_code.co_filename}:{line or frame.f_lineno} ({frame.f_code.co_name})"


def longest_call_of_main_thread(within: float = 60.0) -> str:
    """Return which call has blocked the main thread longest in the last `within` seconds; `""` if none has."""
    now = time.monotonic()
    bursts = [(seconds, what) for what, (_, end, seconds) in _bursts.copy().items() if now - end < within]
    main = _calls.get(threading.main_thread().ident or 0)
    bursts += [(now - call.since, call.what) for call in (main.chain() if main is not None else ())]
    seconds, what = max(bursts, default=(0.0, ""))
    return f"{what} took {seconds:.0f} s" if seconds >= 1 else ""


def _record_burst(what: str, begin: float, end: float) -> None:
    previous = _bursts.pop(what, None)
    if previous is not None and begin - previous[1] < _BURST_GAP:
        _bursts[what] = previous[0], end, previous[2] + end - begin
    else:
        _bursts[what] = begin, end, end - begin
    if len(_bursts) > _MAX_BURSTS:
        del _bursts[next(iter(_bursts))]
