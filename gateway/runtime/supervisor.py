"""Runs one interface in a thread of its own and builds it anew when it fails. The others never notice.

Whatever becomes of the interface, each command that was put into its inbox has one outcome: what the interface does
not answer, because it fails, hangs, is down or is stopped, is answered here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any

from gateway.core.activity import LONGEST_CALL, Call, current, overdue, report, where
from gateway.core.backoff import Backoff
from gateway.core.inbox import LONGEST_WAIT, MsgList, StaleCommand
from gateway.core.throttled_exception import ThrottledException
from gateway.errors import DeviceError
from gateway.message import InternalMsg
from gateway.routing.outlet import Outlet

LOG = logging.getLogger(__name__)

_PAUSE = 0.05  # s between two calls of a loop() that does not wait itself
_HELD = 60.0  # s without a failure after which the next one is answered as the first


class InterfaceFailed(ThrottledException):
    """An interface has raised an exception."""


class Supervisor:
    """The thread of one interface. `build` makes the interface; it is called in that thread, at every start.

    Whatever is asked of it from outside sets `_attention`, and wakes the inbox.
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
        self._open_commands = outlet.open_commands = inbox.open_commands
        inbox.on_stale = self._answer_stale
        self._answers_later = False  # what it has taken, even when `loop` has returned
        self._longest_call = LONGEST_CALL
        self.failures = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self, reason: str = "the gateway is being stopped") -> None:
        """Ask the interface to end its turn and stop; returns at once. What waits for it is answered: `reason`."""
        self._stopping.set()
        self._attention.set()
        self._inbox.stop_accepting()
        self._answer(self._inbox.pop_all(), "OFFLINE", reason)
        self._inbox.wake()

    def change(self, params: Mapping[str, Any] | None, build: Callable[[], Any]) -> None:
        """Give the interface other options; returns at once.

        It takes them over as it runs, if it can (see `Interface.reconfigure`), or else, or without `params`, is
        ended and built by `build`. Messages for it wait meanwhile.
        """
        self._change = params, build
        self._attention.set()
        self._inbox.wake()

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; return whether it has come. If not, its device is given up."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._settle("OFFLINE", "the gateway was stopped while the interface was at it")
            self._outlet.set_available(False)
            return False
        return True

    @property
    def has_ended(self) -> bool:
        """Whether the thread has come to its end; it never starts again."""
        return self._stopping.is_set() and not self._thread.is_alive()

    def where(self) -> str:
        """Return where in the code the thread stands."""
        return where(self._thread.ident)

    # --- in its own thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            interface = None
            self._look_for_change(None)
            failure = ""
            try:
                with self._call("its constructor"):
                    interface = self._build()
                self._serve(interface)
            except BaseException as err:  # noqa: BLE001  (whatever it raises, the others go on)
                if time.monotonic() - started > _HELD:
                    self._backoff.reset()
                self._report(err)
                failure = type(err).__name__  # its words may be for nobody else, and it holds on to the interface
            self._end(interface)
            del interface  # before a new one is built
            self._settle_all(failure)
            if failure and not self._stopping.is_set():
                self._wait_to_build_again(failure)
        self._inbox.close()

    def _serve(self, interface: Any) -> None:
        if not getattr(interface, "reports_availability", False):
            self._outlet.set_available(True)
        self._answers_later = bool(getattr(interface, "answers_at_close", False))
        self._longest_call = getattr(interface, "longest_call", LONGEST_CALL)
        if callable(getattr(interface, "loop", None)):
            pause = 0.0 if getattr(interface, "waits_itself", False) else _PAUSE
            while not self._stopping.is_set() and self._look_for_change(interface):
                began, pulled = time.monotonic(), self._inbox.pulled
                with self._call("loop()", may_wait=True):
                    result = interface.loop()
                if result is not None:
                    _check_result("loop()", result)
                if self._open_commands.commands and not self._answers_later:
                    self._open_commands.release()
                if pause and time.monotonic() - began < pause:
                    if len(self._inbox) and self._inbox.pulled == pulled:  # it leaves its messages alone
                        self._attention.wait(pause)
                    else:
                        self._inbox.wait(pause)
        else:
            with self._call("loop_start()"):
                _check_result("loop_start()", interface.loop_start())
            while not self._stopping.is_set() and self._look_for_change(interface):
                self._attention.wait()

    def _call(self, what: str, *, may_wait: bool = False) -> Call:
        return Call(f"{self.name}: {what}", None if may_wait else self._longest_call)

    def _look_for_change(self, interface: Any) -> bool:
        """Take other options over, if there are any; tell whether `interface` goes on with them."""
        if not self._attention.is_set():
            return True
        self._attention.clear()
        if self._stopping.is_set():
            self._attention.set()  # or nobody would look again
        change, self._change = self._change, None
        if change is None:
            return True
        params, self._build = change
        reconfigure = getattr(interface, "reconfigure", None)
        if params is None or not callable(reconfigure):
            return False
        with self._call("reconfigure()"):
            return bool(reconfigure(params))

    def _end(self, interface: Any) -> None:
        stop = getattr(interface, "loop_stop", None)
        if callable(stop):
            try:
                with self._call("loop_stop()"):
                    _check_result("loop_stop()", stop())
            except BaseException as err:  # noqa: BLE001
                LOG.warning("%s: its loop_stop() failed: %s", self.name, _shown(err))
        self._outlet.set_available(False)

    def _report(self, err: BaseException) -> None:
        self.failures += 1
        reason = f"{type(err).__name__}: {_words(err)}"
        self._outlet.record_failure(reason)
        failed = InterfaceFailed(
            f"{self.name}: the interface failed and is started again: {reason}",
            key=f"{self.name}: {_shown(err)}",
            level=logging.ERROR,
        )
        if failed.trigger:
            # A bug is worth its traceback, once; a device that is missing is not a bug.
            is_bug = not isinstance(err, DeviceError)
            LOG.error(failed.report, exc_info=err if failed.is_first and is_bug else None)

    def _wait_to_build_again(self, failure: str) -> None:
        """Wait as long as it is due; what comes meanwhile is answered: a command is done at once or not at all."""
        until = time.monotonic() + self._backoff.next_delay()
        answered = 0
        while True:
            answered += self._answer(self._inbox.pop_all(), "OFFLINE", f"the interface {_failed_with(failure)}")
            left = until - time.monotonic()
            if left <= 0 or self._attention.is_set():
                break
            self._inbox.wait(left)
        if answered:
            LOG.warning("%s: commands answered with OFFLINE while the interface was down: %d", self.name, answered)

    # --- outcomes, in any thread

    def _answer(self, messages: Iterable[InternalMsg], response: str, reason: str) -> int:
        """Answer the commands of `messages` in place of the interface; return how many there were."""
        commands = [msg for msg in messages if self._is_own(msg)]
        for msg in commands:
            self._outlet.answer(msg.reply(response, reason))
        return len(commands)

    def _is_own(self, msg: InternalMsg) -> bool:
        with self._call("accepts()"):
            return self._inbox.would_execute(msg)

    def _answer_stale(self, msg: InternalMsg) -> None:
        if self._answer([msg], "TIMEOUT", "it waited too long for its interface"):
            stale = StaleCommand(f"{self.name}: not done: a command waited too long ({msg})", key=self.name)
            if stale.trigger:
                LOG.warning(stale.report)

    def _settle(self, response: str, reason: str, received_before: float | None = None) -> None:
        """Answer what the interface has taken and not answered."""
        self._answer(self._open_commands.settle(received_before), response, reason)

    def _settle_all(self, failure: str) -> None:
        """Answer what the interface, which has ended, has left, and forget it."""
        if not failure:
            self._settle("OFFLINE", "the interface was ended before it answered")
        else:
            self._settle("ERROR", f"the interface {_failed_with(failure)} while it was at it")
        self._open_commands.release()

    def look(self) -> None:
        """Answer what the interface does not take or do in time, and log where it hangs. Not for its own thread."""
        thread = self._thread.ident
        if thread is None or not self._thread.is_alive():
            return
        for msg in self._inbox.pop_stale():
            self._answer_stale(msg)
        longest = max(LONGEST_WAIT, self._longest_call)
        long_ago = self._inbox.now() - longest
        if self._is_hung(thread):
            self._settle("TIMEOUT", f"the interface has been at it for over {longest:g} s", long_ago)
        elif self._open_commands.commands and current(thread) is None and not self._answers_later:
            self._open_commands.release_before(long_ago)  # it has threads of its own; who knows what they answer

    def _is_hung(self, thread: int) -> bool:
        """Return whether the interface hangs, as far as can be known, and log it.

        It does if it does not return from a call that should take no time, or if it leaves messages alone or does not
        answer while it is in `loop()`. That alone may take its time: it may wait there for something to do.
        """
        if overdue(thread) is not None:  # logged with those of all threads
            return True
        call = current(thread)
        if call is None or self._inbox.is_waiting:
            return False
        loop = list(call.chain())[-1]
        if loop.longest is not None:
            return False
        taken = self._open_commands.oldest()
        seconds = self._inbox.stalled_for()
        if taken is not None and not self._answers_later:
            seconds = max(seconds, self._inbox.now() - taken)
        now = time.monotonic()
        since = max(now - seconds, loop.since)
        if now - since <= self._longest_call:
            return False
        report(loop, since)
        return True


def _check_result(method: str, result: object) -> None:
    """Raise `TypeError` for a method whose body has not run, and never will."""
    if isinstance(result, Coroutine | Generator | AsyncGenerator):
        if not isinstance(result, AsyncGenerator):
            result.close()  # or it complains that nobody has awaited it
        raise TypeError(f"{method} has done nothing: it may have no `async` and no `yield`; push to msglist_out")


def _failed_with(failure: str) -> str:
    return f"failed ({failure}; the log of the gateway has more)"


def _words(err: BaseException) -> str:
    """Return an error in its own words, whatever they do."""
    try:
        return str(err)
    except Exception as again:  # noqa: BLE001
        return f"(its text failed: {type(again).__name__})"


def _shown(err: BaseException) -> str:
    try:
        return repr(err)
    except Exception:  # noqa: BLE001
        return type(err).__name__
