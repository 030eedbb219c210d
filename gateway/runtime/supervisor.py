"""Runs one interface in a thread of its own, and builds it again when it fails. Other interfaces are not affected.

Each command that was put into its inbox has exactly one outcome. What the interface does not answer, because it fails,
hangs, is down or is stopped, is answered here.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.core.activity import LONGEST_CALL, Call, current, overdue, report, where
from gateway.core.backoff import Backoff
from gateway.core.callback_error import log_callback_error
from gateway.core.inbox import LONGEST_WAIT, MsgList, StaleCommand
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.core.trouble import Trouble
from gateway.errors import DeviceError
from gateway.interface import Interface
from gateway.message import InternalMsg
from gateway.routing.outlet import LinkStatus, Outlet
from gateway.runtime.stats import valid_counters

LOG = package_logger(__name__)

_STOPPED = "the gateway has stopped"
_STATS_SECONDS = 0.5  # s that an interface has to return its counters
_PAUSE = 0.05  # s between two calls of a loop() that does not wait itself
_MOST_WAITING = 100  # who wait for the outcome of a restart; of more, those who have waited longest are not told
_STABLE = 60.0  # s without a failure after which the next failure counts as the first: the delays start from the lowest


class InterfaceFailed(ThrottledException):
    """An interface has raised an exception."""


class StatsFailed(ThrottledException):
    """The `stats()` of an interface has raised an exception."""


class Hang(NamedTuple):
    """A method of an interface that does not return: since when (s, monotonic), and where its thread is."""

    method: str
    since: float
    where: str

    def __str__(self) -> str:
        seconds = time.monotonic() - self.since
        return f"the interface has not returned from {self.method} for {seconds:.0f} s: it is at {self.where}"


class _Stall(NamedTuple):
    """A call of `loop()` that hangs: since when (monotonic, s), and what the interface had done until then."""

    loop: Call
    since: float
    progress: int


class Supervisor:
    """The thread of one interface. `build` returns a new interface; it is called in that thread, at every start.

    Requests from other threads set `_attention`, and wake the inbox.
    """

    def __init__(
        self, name: str, build: Callable[[], Any], inbox: MsgList, outlet: Outlet, backoff: Backoff | None = None
    ) -> None:
        self.name = name
        self._build = build
        self._inbox = inbox
        self._outlet = outlet
        self._backoff = backoff or Backoff(1.0, 60.0)
        self._stopping = threading.Event()
        self._attention = threading.Event()
        self._change: tuple[Mapping[str, Any] | None, Callable[[], Any]] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._open_commands = inbox.open_commands
        self._answers_later = False  # whether it answers the commands that it has pulled after `loop` has returned
        self._longest_call = LONGEST_CALL
        self._interface: Interface | None = None  # the one that runs, if it is derived from `Interface`
        self._is_abandoned = False  # it hangs although it was asked to stop
        self._last_stats: dict[str, int] = {}  # what the interface has answered last
        self._stats_thread: threading.Thread | None = None
        self._notified_link, self._notified_crowded = LinkStatus(), False  # what it was notified of last
        self._ended_stats: Counter[str] = Counter()  # what those before it have counted
        self._answered_by_supervisor = 0
        self._count_lock = threading.Lock()
        self._starts = 0
        self._stall: _Stall | None = None
        self._failed_at = -math.inf  # when it failed last, and why
        self._failure = ""
        self._is_running = False
        self._is_stats_wanted = False
        self.closed = ""
        """Why the interface is closed and not built again; `""`: it is not."""
        # To be told that it is closed, or was built again. Whoever asks in vain, because it hangs, may ask for ever.
        self._waiting: deque[Callable[[str], None]] = deque(maxlen=_MOST_WAITING)
        self.failures = 0

    @property
    def has_started(self) -> bool:
        """Whether `start` was called."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Start the thread. From now on, inbox and outlet report to this supervisor what becomes of commands."""
        self._outlet.open_commands = self._open_commands
        self._inbox.on_stale = self._answer_stale
        self._thread.start()

    def request_stop(self, reason: str = "the gateway is being stopped") -> None:
        """Ask the interface to return and to stop; returns immediately. Commands that wait for it get `reason`."""
        self._stopping.set()
        self._attention.set()
        self._inbox.stop_accepting()
        self._answer(self._inbox.pop_all(), "OFFLINE", reason)
        self._inbox.wake()

    def change(self, params: Mapping[str, Any] | None, build: Callable[[], Any]) -> None:
        """Change the options of the interface; returns immediately.

        It changes over while it runs if it can (see `Interface.reconfigure`). Otherwise, or without `params`, it is
        ended, and `build` builds a new one. Messages for it wait meanwhile.
        """
        self._change = params, build
        self._wake()

    def close(self, reason: str, done: Callable[[str], None] = lambda _: None) -> None:
        """End the interface, and do not build it again before `open`; returns immediately.

        Commands are answered with `reason` meanwhile. `done` is called, in the thread of the interface, with what has
        become of it. A change of its options does not open it.
        """
        self.closed = reason
        self.restart(done)

    def open(self, done: Callable[[str], None] = lambda _: None) -> None:
        """Build the interface again after `close`; returns immediately."""
        self.closed = ""
        self._waiting.append(done)
        self._wake()

    def restart(self, done: Callable[[str], None] = lambda _: None) -> None:
        """End the interface, and build it again at once, even if it waits to be built after a failure."""
        self._waiting.append(done)
        change = self._change  # of a reload that has just come
        self._change = None, self._build if change is None else change[1]
        self._wake()

    def _wake(self) -> None:
        self._attention.set()
        self._inbox.wake()

    def notify(self) -> None:
        """Make the thread of the interface notify it of the link and of the outbox, if that has changed.

        Returns immediately, takes no lock that is held for long, and may be called by any thread, also with the send
        lock. However often it is called, only the latest state counts.
        """
        self._wake()

    def refresh_stats(self) -> None:
        """Have the interface's own thread ask for its counters, when it is between two calls; returns immediately."""
        self._is_stats_wanted = True
        self._wake()

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the thread to end; return whether it has.

        If it has not, its device counts as offline, and the commands that it was executing are answered.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._is_abandoned = True
            self._settle("OFFLINE", "the gateway was stopped while the interface executed the command")
            self._outlet.set_available(False, _STOPPED)
            return False
        return True

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended; it never starts again."""
        return self._stopping.is_set() and not self._thread.is_alive()

    def where(self) -> str:
        """Return where in the code the thread is."""
        return where(self._thread.ident)

    def stats(self) -> dict[str, int]:
        """Return how often the interface has failed and was built again, and how many commands it left unanswered.

        Any thread may call it.
        """
        return {
            "failures": self.failures,
            "restarts": max(0, self._starts - 1),
            "commands_unanswered": self._answered_by_supervisor,
        }

    def device_stats(self) -> dict[str, int]:
        """Return what the interface counts itself, with what it counted before it was built again.

        Any thread may call it. The code of the interface may be wrong: an error in it is logged, and counts nothing.
        If it does not answer, as when a call that hangs has the lock that its `stats()` waits for, its last counters
        are returned.
        """
        total = self._ended_stats.copy()
        total.update(self._last_stats if self._is_abandoned else self._ask_stats(self._interface))
        return dict(total)

    def last_device_stats(self) -> dict[str, int]:
        """Return the same as `device_stats`, as it was asked for last. It calls no code of the interface."""
        if not self._ended_stats:
            return self._last_stats
        total = self._ended_stats.copy()
        total.update(self._last_stats)
        return dict(total)

    @property
    def failing(self) -> tuple[float, str] | None:
        """When (s, monotonic) the interface failed last, and why, unless it has been running long enough since."""
        if not self.failures or (self._is_running and time.monotonic() - self._failed_at > _STABLE):
            return None
        return self._failed_at, self._failure

    @property
    def heard_ago(self) -> float | None:
        """How long ago (s) the device sent anything, whatever it was; None: never, or it is not known."""
        return self._ago("heard_at")

    @property
    def understood_ago(self) -> float | None:
        """How long ago (s) the device sent the last frame that was understood; None: never, or it is not known."""
        return self._ago("understood_at")

    def _ago(self, name: str) -> float | None:
        interface: Any = self._interface
        try:
            moment = getattr(interface, name, None)
            return None if moment is None else max(0.0, interface.clock() - moment)
        except Exception:  # noqa: BLE001  (whatever the code of the interface has put there)
            return None

    @property
    def trouble(self) -> tuple[float, Trouble] | None:
        """For how long (s) something has been wrong although the interface works, and what; None: nothing."""
        interface: Any = self._interface
        try:
            trouble = getattr(interface, "trouble", None)
            if not isinstance(trouble, Trouble):
                return None
            texts = trouble._replace(what=str(trouble.what), remedy=str(trouble.remedy))
            return max(0.0, interface.clock() - trouble.since), texts
        except Exception:  # noqa: BLE001  (whatever the code of the interface has put there)
            return None

    def _ask_stats(self, interface: Interface | None) -> dict[str, int]:
        """Return what the interface counts; ask it in a thread of its own, which is abandoned if it does not answer."""
        if interface is None or getattr(type(interface), "stats", None) is Interface.stats:
            return {}
        if self._stats_thread is None or not self._stats_thread.is_alive():

            def ask() -> None:
                self._last_stats = self._stats_of(interface)

            self._stats_thread = threading.Thread(target=ask, name=f"{self.name} stats", daemon=True)
            self._stats_thread.start()
        self._stats_thread.join(_STATS_SECONDS)
        return self._last_stats

    def _stats_of(self, interface: Interface | None) -> dict[str, int]:
        if interface is None:
            return {}
        try:
            with self._call("stats()"):
                return valid_counters(interface.stats())
        except BaseException as err:  # noqa: BLE001  (whatever it raises, the other counters are wanted)
            failed = StatsFailed(f"{self.name}: its stats() failed: {_repr(err)}", key=self.name)
            if failed.trigger:
                LOG.warning(failed.report)
            return {}

    # --- in its own thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.closed:
                self._stay_closed()
                continue
            started = time.monotonic()
            interface = None
            self._apply_change(None)
            failure = ""
            try:
                with self._call("its constructor"):
                    self._starts += 1
                    interface = self._build()
                self._serve(interface)
            except BaseException as err:  # noqa: BLE001  (whatever it raises, it must not affect other interfaces)
                if time.monotonic() - started > _STABLE:
                    self._backoff.reset()
                self._report(err)
                # Only the name of its class: its text may hold what no sender of a command should read, and the error
                # itself refers to the interface, by its traceback, and would keep it in memory.
                failure = type(err).__name__
            self._end(interface, failure)
            del interface  # before the next one is built: it may hold the device open until it is freed
            self._settle_all(failure)
            if failure:
                self._tell(f"the interface failed: {failure}")
            if failure and not self._stopping.is_set():
                self._wait_to_build_again(failure)
        self._tell("the gateway is being stopped")
        self._inbox.close()

    def _stay_closed(self) -> None:
        """Wait for `open`, or for the end, and answer what arrives meanwhile."""
        self._backoff.reset()
        while (reason := self.closed) and not self._stopping.is_set():
            self._outlet.set_available(False, reason)
            self._tell("closed")
            self._answer(self._inbox.pop_all(), "OFFLINE", reason)
            self._inbox.wait()

    def _tell(self, outcome: str) -> None:
        """Tell those who have closed, opened or restarted the interface what has become of it."""
        while self._waiting:
            self._waiting.popleft()(outcome)

    def _serve(self, interface: Any) -> None:
        self._is_running = True
        self._tell("running")
        if isinstance(interface, Interface):
            self._interface = interface
        self._notified_link, self._notified_crowded = LinkStatus(), False
        if not getattr(interface, "reports_availability", False):
            self._outlet.set_available(True)
        self._answers_later = bool(getattr(interface, "answers_at_close", False))
        self._longest_call = getattr(interface, "longest_call", LONGEST_CALL)
        if callable(getattr(interface, "loop", None)):
            pause = 0.0 if getattr(interface, "waits_itself", False) else _PAUSE
            while not self._stopping.is_set() and self._apply_change(interface):
                self._notify_interface()
                began, pulled = time.monotonic(), self._inbox.pulled
                with self._call("loop()", may_wait=True):
                    result = interface.loop()
                if result is not None:
                    _check_result("loop()", result)
                if self._open_commands.commands and not self._answers_later:
                    self._open_commands.release()
                if pause and time.monotonic() - began < pause:
                    # An interface that does not pull its messages would be called without any pause: the inbox has
                    # messages, so that waiting for one returns immediately.
                    if len(self._inbox) and self._inbox.pulled == pulled:
                        self._attention.wait(pause)
                    else:
                        self._inbox.wait(pause)
        else:
            with self._call("loop_start()"):
                _check_result("loop_start()", interface.loop_start())
            while not self._stopping.is_set() and self._apply_change(interface):
                self._notify_interface()
                self._attention.wait()

    def _notify_interface(self) -> None:
        """Notify the interface of the link to the broker, and of the level of the outbox, if that has changed."""
        interface, outlet = self._interface, self._outlet
        if interface is None:
            return
        link, previous = outlet.link, self._notified_link
        if link is not previous:
            self._notified_link = link
            if link.is_up or previous.is_up:
                self._call_hook("on_link()", lambda: interface.on_link(link.is_up, link.session_present))
        if outlet.is_crowded is not self._notified_crowded:
            self._notified_crowded = not self._notified_crowded
            if self._notified_crowded:
                self._call_hook("on_crowded()", interface.on_crowded)
            else:
                self._call_hook("on_room()", interface.on_room)
        if outlet.has_questions:
            self._call_hook("ask()", outlet.ask_pending)

    def _call_hook(self, method: str, function: Callable[[], Iterable[InternalMsg] | None]) -> None:
        """Call a method of the interface, and send the messages that it returns; an exception is logged."""
        try:
            with self._call(method):
                self._outlet.push_all(function() or ())
        except Exception as err:  # noqa: BLE001  (whatever it raises, the interface goes on)
            log_callback_error(self.name, method, err)

    def _call(self, method: str, *, may_wait: bool = False) -> Call:
        return Call(f"{self.name}: {method}", None if may_wait else self._longest_call)

    def _apply_change(self, interface: Any) -> bool:
        """Apply changed options, if there are any; return whether `interface` keeps running."""
        if not self._attention.is_set():
            return True
        self._attention.clear()
        if self._stopping.is_set():
            self._attention.set()  # a wait that begins after this must not miss the stop
        if self._is_stats_wanted:
            self._is_stats_wanted = False
            if self._interface is not None and type(self._interface).stats is not Interface.stats:
                self._last_stats = self._stats_of(self._interface)
        change, self._change = self._change, None
        if change is None:
            if interface is not None:
                self._tell("running")
            return True
        params, self._build = change
        reconfigure = getattr(interface, "reconfigure", None)
        if params is None or not callable(reconfigure):
            return False
        with self._call("reconfigure()"):
            return bool(reconfigure(params))

    def _end(self, interface: Any, failure: str) -> None:
        self._is_running = False
        stop = getattr(interface, "loop_stop", None)
        if callable(stop):
            try:
                with self._call("loop_stop()"):
                    _check_result("loop_stop()", stop())
            except BaseException as err:  # noqa: BLE001
                LOG.warning("%s: its loop_stop() failed: %s", self.name, _repr(err))
        last, self._interface, self._last_stats = self._stats_of(self._interface), None, {}
        self._ended_stats.update(last)
        if self._stopping.is_set():
            self._outlet.set_available(False, _STOPPED)
        else:  # the reason of a failure is recorded already
            self._outlet.set_available(False, "" if failure else self.closed or "the interface is being restarted")

    def _report(self, err: BaseException) -> None:
        self.failures += 1
        reason = f"{type(err).__name__}: {_text_of(err)}"
        self._failed_at, self._failure = time.monotonic(), reason
        self._outlet.record_failure(reason)
        failed = InterfaceFailed(
            f"{self.name}: the interface failed and will be restarted: {reason}",
            key=f"{self.name}: {_repr(err)}",
            level=logging.ERROR,
        )
        if failed.trigger:
            # A bug needs its traceback, once; a missing device is no bug.
            is_bug = not isinstance(err, DeviceError)
            LOG.error(failed.report, exc_info=err if failed.is_first and is_bug else None)

    def _wait_to_build_again(self, failure: str) -> None:
        """Wait for the delay of the backoff, and answer what arrives meanwhile: commands are never queued for later."""
        until = time.monotonic() + self._backoff.next_delay()
        answered = 0
        while True:
            answered += self._answer(self._inbox.pop_all(), "OFFLINE", f"the interface {_failed_with(failure)}")
            remaining = until - time.monotonic()
            if remaining <= 0 or self._stopping.is_set() or self._change is not None or self.closed:
                break
            self._inbox.wait(remaining)
        if answered:
            LOG.warning("%s: commands answered with OFFLINE while the interface was down: %d", self.name, answered)

    # --- outcomes, in any thread

    def _answer(self, messages: Iterable[InternalMsg], response: str, reason: str) -> int:
        """Answer the commands of `messages` in place of the interface; return how many there were."""
        commands = [msg for msg in messages if self._is_own(msg)]
        for msg in commands:
            self._outlet.answer(msg.reply(response, reason))
        if commands:
            with self._count_lock:
                self._answered_by_supervisor += len(commands)
        return len(commands)

    def _is_own(self, msg: InternalMsg) -> bool:
        with self._call("accepts()"):
            return self._inbox.would_execute(msg)

    def _answer_stale(self, msg: InternalMsg) -> None:
        if self._answer([msg], "TIMEOUT", "it waited too long for its interface"):
            stale = StaleCommand(
                f"{self.name}: command rejected: it waited too long for the interface ({msg})", key=self.name
            )
            if stale.trigger:
                LOG.warning(stale.report)

    def _settle(self, response: str, reason: str, received_before: float | None = None) -> None:
        """Answer what the interface has pulled and not answered."""
        self._answer(self._open_commands.settle(received_before), response, reason)

    def _settle_all(self, failure: str) -> None:
        """Answer what an interface that has ended has left unanswered, and forget it."""
        if not failure:
            self._settle("OFFLINE", "the interface was ended before it answered")
        else:
            self._settle("ERROR", f"the interface {_failed_with(failure)} while it executed the command")
        self._open_commands.release()

    def check(self) -> None:
        """Answer what the interface does not pull or answer in time, and log where it hangs. Not for its own thread."""
        thread = self._thread.ident
        if thread is None or not self._thread.is_alive():
            return
        for msg in self._inbox.pop_stale():
            self._answer_stale(msg)
        longest = max(LONGEST_WAIT, self._longest_call)
        limit = self._inbox.now() - longest
        hang = self._hang(thread)
        self._outlet.device_availability.set_hang("" if hang is None else str(hang))
        if hang:
            self._settle("TIMEOUT", f"the interface has not answered for over {longest:g} s", limit)
        elif self._open_commands.commands and current(thread) is None and not self._answers_later:
            # Its thread is in none of its methods: it has threads of its own, which may still answer or not.
            self._open_commands.release_before(limit)

    def hang(self) -> Hang | None:
        """Return where the interface hangs at this moment; None: it does not. Not for its own thread."""
        thread = self._thread.ident
        return None if thread is None or not self._thread.is_alive() else self._hang(thread)

    def _hang(self, thread: int) -> Hang | None:
        """Return where the interface hangs, as far as can be detected from outside, and log it; None if it does not.

        It hangs if it does not return from a call that should take no time. In `loop()` it may wait for something to
        do: there it hangs only if it does not pull the messages that wait for it, or does not answer. That lasts until
        it does something again, although the commands that it has left waiting are answered meanwhile.
        """
        call = overdue(thread)  # logged with those of all threads
        if call is not None:
            return self._describe_hang(call, call.since)
        call = current(thread)
        if call is None or self._inbox.is_waiting:
            return None
        loop = list(call.chain())[-1]
        if loop.longest is not None:
            return None
        oldest = self._open_commands.oldest()
        seconds = self._inbox.stalled_for()
        if oldest is not None and not self._answers_later:
            seconds = max(seconds, self._inbox.now() - oldest)
        now = time.monotonic()
        since = max(now - seconds, loop.since)
        stall = self._stall
        if stall is None or stall.loop is not loop or self._progress > stall.progress:
            is_stalled = now - since > self._longest_call
            self._stall = stall = _Stall(loop, since, self._progress) if is_stalled else None
        if stall is None:
            return None
        report(loop, stall.since)
        return self._describe_hang(loop, stall.since)

    @property
    def _progress(self) -> int:
        """How many messages the interface itself has pulled and pushed."""
        return self._inbox.pulled + self._outlet.pushed - self._answered_by_supervisor

    def _describe_hang(self, call: Call, since: float) -> Hang:
        return Hang(call.what.removeprefix(f"{self.name}: "), since, self.where())


def _check_result(method: str, result: object) -> None:
    """Raise `TypeError` if a method is a coroutine or a generator: its body has not run, and never would."""
    if isinstance(result, Coroutine | Generator | AsyncGenerator):
        if not isinstance(result, AsyncGenerator):
            result.close()  # otherwise Python warns that it was never awaited
        raise TypeError(f"{method} has done nothing: it may have no `async` and no `yield`; push to msglist_out")


def _failed_with(failure: str) -> str:
    return f"failed ({failure}; the log of the gateway has more)"


def _text_of(err: BaseException) -> str:
    """Return the text of an error, whose own code may fail."""
    try:
        return str(err)
    except Exception as failure:  # noqa: BLE001
        return f"(its text failed: {type(failure).__name__})"


def _repr(err: BaseException) -> str:
    try:
        return repr(err)
    except Exception:  # noqa: BLE001
        return type(err).__name__
