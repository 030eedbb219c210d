"""Runs one interface in a thread of its own and builds it anew when it fails. The others never notice."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.backoff import Backoff
from gateway.errors import DeviceError
from gateway.mailbox import MsgList
from gateway.outlet import Outlet
from gateway.throttled_exception import ThrottledException

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
        self.failures = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the interface to end its turn and stop; returns at once."""
        self._stopping.set()
        self._attention.set()
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
            self._outlet.set_available(False)
            return False
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            interface = None
            self._look_for_change(None)
            has_failed = False
            try:
                interface = self._build()
                self._serve(interface)
            except (Exception, SystemExit) as err:  # noqa: BLE001  (whatever it raises, the others go on)
                if time.monotonic() - started > _HELD:
                    self._backoff.reset()
                self._report(err)
                has_failed = True
            self._end(interface)
            if has_failed and not self._stopping.is_set():
                self._attention.wait(self._backoff.next_delay())
                self._forget_messages()
        self._inbox.close()

    def _serve(self, interface: Any) -> None:
        if not getattr(interface, "reports_availability", False):
            self._outlet.set_available(True)
        if callable(getattr(interface, "loop", None)):
            pause = 0.0 if getattr(interface, "waits_itself", False) else _PAUSE
            while not self._stopping.is_set() and self._look_for_change(interface):
                began, pulled = time.monotonic(), self._inbox.pulled
                interface.loop()
                if pause and time.monotonic() - began < pause:
                    if len(self._inbox) and self._inbox.pulled == pulled:  # it leaves its messages alone
                        self._attention.wait(pause)
                    else:
                        self._inbox.wait(pause)
        else:
            interface.loop_start()
            while not self._stopping.is_set() and self._look_for_change(interface):
                self._attention.wait()

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
        return params is not None and callable(reconfigure) and bool(reconfigure(params))

    def _end(self, interface: Any) -> None:
        stop = getattr(interface, "loop_stop", None)
        if callable(stop):
            try:
                stop()
            except (Exception, SystemExit) as err:  # noqa: BLE001
                LOG.warning("%s: its loop_stop() failed: %r", self.name, err)
        self._outlet.set_available(False)

    def _report(self, err: BaseException) -> None:
        self.failures += 1
        failed = InterfaceFailed(
            f"{self.name}: the interface failed and is started again: {type(err).__name__}: {err}",
            key=f"{self.name}: {err!r}",
        )
        if failed.trigger:
            # A bug is worth its traceback, once; a device that is missing is not a bug.
            is_bug = not isinstance(err, DeviceError)
            LOG.error(failed.report, exc_info=err if failed.is_first and is_bug else None)

    def _forget_messages(self) -> None:
        """Drop what came while the interface was down: a command is done at once or not at all."""
        forgotten = 0
        while self._inbox.pull() is not None:
            forgotten += 1
        if forgotten:
            LOG.warning("%s: %d messages dropped that came while the interface was down", self.name, forgotten)
