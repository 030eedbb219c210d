"""The contract of an interface, and a base class that makes the ordinary one four short methods.

An interface is a class built as `cls(params, msglist_in, msglist_out)`:

    params        its options from the configuration, checked against its SCHEMA, defaults filled in
    msglist_in    messages for the device, a `MsgList`: pull() them
    msglist_out   messages from the device, an `Outlet`: push() them

and it has either `loop()`, called again and again in a thread of its own, or `loop_start()`, called once,
and `loop_stop()`. If it has a `loop_stop()`, that is called at the end in both cases. What `loop()` raises
is logged, and the interface is built anew after a while.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from gateway.core.activity import LONGEST_CALL, Call
from gateway.core.backoff import Backoff
from gateway.core.inbox import MsgList, poll_milliseconds
from gateway.core.package_logger import package_logger
from gateway.errors import DeviceError, Problem, Refusal
from gateway.message import InternalMsg
from gateway.routing.command_index import Addresses
from gateway.routing.outage import Outages
from gateway.routing.outlet import Outlet

LOG = package_logger(__name__)

_FIRST_RETRY = 0.5  # s; a plug that was pulled and put back is found within about a second
_LAST_RETRY = 30.0  # s; a device that is gone for days costs next to nothing
_HELD = 5.0  # s that a device must have worked for its next failure to count as the first
_BUSY = 0.005  # s between two waits; what a device says in a longer one is heard late
_BATCH = 100  # messages written before the device is read again, and the other way round
_NEXT = 0.001  # s after an answer in which the next message goes before what the device says: the least of `poll`
_CONVERSED = 0.001  # s after which no more is waited for: the device is read after twice that at most


class Interface:
    """What every interface may rely on. Deriving from it is handy, not required."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {}
    """JSON Schema of the options; empty: any are taken. Unknown options are errors unless it says otherwise."""

    reports_availability: ClassVar[bool] = False
    """True if the interface itself says when its device is there; otherwise it counts as there while it runs."""

    longest_call: ClassVar[float] = LONGEST_CALL
    """Seconds that a call of its methods may take, but for the time that `loop()` waits for something to do.

    The log names one that takes longer. Raise it for a device that is slow by nature.
    """

    waits_itself: ClassVar[bool] = False
    """True if `loop()` waits until there is something to do; otherwise it is called some 20 times a second."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        self.params = params
        self.msglist_in = msglist_in
        self.msglist_out = msglist_out

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> Iterator[Problem]:  # noqa: ARG003
        """Yield what is wrong with options that already fit the schema. Touches no hardware."""
        yield from ()

    @classmethod
    def words(cls, params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:  # noqa: ARG003
        """Yield the words that its messages will have whatever the device says: path of the option, field, word.

        They are checked against the map before anything starts.
        """
        yield from ()

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses | None:  # noqa: ARG003
        """Return the addresses of its commands, words by field; None if it is to have every message, as is usual.

        With many interfaces in a process it matters: only those are woken that a command is for.
        """
        return None

    @classmethod
    def explain_frame(cls, params: Mapping[str, Any], data: bytes) -> Iterator[str | InternalMsg]:  # noqa: ARG003
        """Yield, in words and messages, what becomes of bytes from the device; for `mqttgateway check`.

        What is dropped is a `Refusal`.
        """
        yield Refusal("this type of interface does not explain frames")

    @classmethod
    def explain_command(cls, params: Mapping[str, Any], msg: InternalMsg) -> Iterator[str]:  # noqa: ARG003
        """Yield, in words, what a command makes of the device; for `mqttgateway check`.

        That it is refused, or for another device, is a `Refusal`.
        """
        yield Refusal("this type of interface does not explain commands")

    def stats(self) -> dict[str, int]:
        """Return what the interface counts itself, by names in snake_case: integers that only grow.

        Any thread may call it, so it must be fast and must not wait for the device.
        """
        return {}

    def reconfigure(self, params: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Take over other options while it runs; return False to be ended and built anew with them.

        Called in the thread of `loop`, between two turns, when the configuration has been reloaded.
        """
        return False


class DeviceInterface(Interface):
    """An interface for one device: write `open`, `read`, `write` and `close`; the rest is done here.

    All four are called in the interface's own thread. `OSError` and `DeviceError` from any of them mean
    that the device is gone: it is closed, reported offline, and opened again after a growing delay.
    """

    reports_availability = True
    waits_itself = True

    answers_at_close: ClassVar[bool] = False
    """True if each command is answered, though later than `write`, or by `close()` when the device has failed."""

    measures_silence: bool = False
    """True if it counts when the device says nothing: then it is listened to all the time."""

    read_interval: float | None = None
    """Call `read` at least this often (s); None: only when `fileno()` says that there is something."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.is_open = False
        self.is_readable = False  # while read() runs: whether the descriptor has something
        self._outages = Outages(msglist_out.name)
        self._backoff = Backoff(_FIRST_RETRY, _LAST_RETRY)
        self._next_open = self._next_read = self._open_since = 0.0
        self._poll = select.poll()
        self._poll.register(msglist_in.fileno(), select.POLLIN)
        self.listening_since = self._listened_until = 0.0  # since when the device could be heard at once
        msglist_in.accepts = self.accepts
        self._unanswered = msglist_out.unanswered = msglist_in.unanswered
        self._device_fd = -1

    # --- what a device does; override these

    def open(self) -> None:
        """Open the device. Raise `OSError` or `DeviceError` if it is not there."""

    def read(self) -> Iterable[InternalMsg]:
        """Return the messages that the device has for MQTT now, without waiting for more."""
        return ()

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:  # noqa: ARG002
        """Do what `msg` says; return the messages that answer it."""
        return ()

    def close(self) -> None:
        """Close the device; called also when it has failed."""

    def fileno(self) -> int | None:
        """Return the descriptor that becomes readable when the device has something, or None."""
        return None

    def time_to_read(self) -> float | None:
        """Return in how many seconds `read` is due although nothing is readable; None: only then."""
        return None if self.read_interval is None else self._next_read - time.monotonic()

    def accepts(self, msg: InternalMsg) -> bool:
        """Tell whether `msg` is for this device: while it is offline, such a message is answered."""
        return msg.iscmd

    def describe(self) -> str:
        """Name the device in logs and replies."""
        return str(self.params.get("port", "the device"))

    # --- what is done for it

    def loop(self) -> None:
        """Do one turn: open the device if it is due, wait for device or messages, and serve both."""
        try:
            if not self.is_open and not self._open_if_due():
                self._wait(self._next_open - time.monotonic())
                self._answer_offline()
                return
            self.is_readable = self._wait(self.time_to_read())
            if len(self.msglist_in) and self._converse():
                self.is_readable = self._wait(0)
            if self.is_readable or self._is_read_due():
                if self.read_interval is not None:
                    self._next_read = time.monotonic() + self.read_interval
                with self._call("read"):
                    self.msglist_out.push_all(self.read())  # a generator does its work here
        except (OSError, DeviceError) as err:
            self._fail(err)

    def _call(self, method: str) -> Call:
        return Call(f"{self.msglist_out.name}: {method}()", self.longest_call)

    def _is_read_due(self) -> bool:
        due = self.time_to_read()
        return due is not None and due <= 0

    def loop_stop(self) -> None:
        """Close the device at the end."""
        if self.is_open:
            self.is_open = False
            self._watch(-1)
            with self._call("close"):
                self.close()

    def _open_if_due(self) -> bool:
        if time.monotonic() < self._next_open:
            return False
        with self._call("open"):
            self.open()
        self.is_open = True
        self._outages.end()
        self._open_since = time.monotonic()
        self._next_read = 0.0
        fd = self.fileno()
        self._watch(-1 if fd is None else fd)
        self.msglist_out.set_available(True)
        LOG.info("%s: %s is open", self.msglist_out.name, self.describe())
        return True

    def _fail(self, err: Exception) -> None:
        was_open, self.is_open = self.is_open, False
        self._watch(-1)
        self.msglist_out.set_available(False)  # first: closing a port behind a network takes its time
        try:
            with self._call("close"):
                self.close()
        except (OSError, DeviceError) as again:
            LOG.debug("%s: closing: %s", self.msglist_out.name, again)
        for msg in self._unanswered.settle():  # what it was at, and close() has not answered
            if self.accepts(msg):
                self.msglist_out.answer(msg.reply("OFFLINE", f"{self.describe()} has failed: {err}"))
        self._unanswered.release()
        if was_open and time.monotonic() - self._open_since >= _HELD:
            self._backoff.reset()
            self._outages.end()
        delay = self._backoff.next_delay()
        self._next_open = time.monotonic() + delay
        self.msglist_out.note_failure(self._outages.report(self.describe(), err, was_open=was_open))

    def _wait(self, timeout: float | None) -> bool:
        """Wait for a message, the device, or `timeout` (s; None: for ever); tell whether the device is readable."""
        now = time.monotonic()
        if now - self._listened_until > _BUSY:
            self.listening_since = now
        ready = self._poll.poll(poll_milliseconds(timeout))
        self._listened_until = time.monotonic()
        is_readable = False
        for fd, _ in ready:
            if fd == self._device_fd:
                is_readable = True
            elif len(self.msglist_in) == 0:
                self.msglist_in.wait(0)  # woken to look whether to stop: take the flag down
        return is_readable

    def _converse(self) -> bool:
        """Do what waits to be done, and what comes soon after an answer: somebody has waited with it for that.

        Meanwhile Python's lock is free for whoever sends the answer, and brings the next message. Return whether there
        was an answer: then time has passed, in which the device may have said something.
        """
        until = time.monotonic() + _CONVERSED
        has_answered = False
        while self._serve_messages():
            has_answered = True
            if self.measures_silence or time.monotonic() >= until:
                self.msglist_out.yield_to_sender()
                break
            self.msglist_in.wait(_NEXT)
        return has_answered

    def _serve_messages(self) -> bool:
        """Do what waits to be done; tell whether there was an answer."""
        has_answered = False
        for _ in range(_BATCH):
            msg = self.msglist_in.pull()
            if msg is None:
                break
            with self._call("write"):
                for answer in self.msglist_out.messages_in(self.write(msg)):  # a generator does its work here
                    self.msglist_out.push(answer)
                    has_answered = True
            if self._unanswered.taken and not (self.answers_at_close and self.accepts(msg)):
                self._unanswered.release(msg)
        return has_answered

    def _answer_offline(self) -> None:
        for _ in range(_BATCH):
            msg = self.msglist_in.pull()
            if msg is None:
                return
            self._unanswered.release(msg)
            if self.accepts(msg):
                self.msglist_out.push(msg.reply("OFFLINE", f"{self.describe()} is offline"))

    def _watch(self, fd: int) -> None:
        if self._device_fd >= 0:
            self._poll.unregister(self._device_fd)
        self._device_fd = fd
        if fd >= 0:
            self._poll.register(fd, select.POLLIN | select.POLLPRI)
