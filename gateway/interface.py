"""The contract of an interface, and a base class that reduces a typical interface to four short methods.

An interface is a class that is constructed as `cls(params, msglist_in, msglist_out)`:

    params        its options from the configuration, checked against its SCHEMA, with defaults filled in
    msglist_in    messages for the device, a `MsgList`: pull() them
    msglist_out   messages from the device, an `Outlet`: push() them

It has either `loop()`, which is called repeatedly in a thread of its own, or `loop_start()`, which is called once. If
it has `loop_stop()`, that is called at the end in both cases. An exception from `loop()` is logged, and the interface
is constructed again after a delay.
"""

from __future__ import annotations

import logging
import math
import select
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from gateway.commands import addresses_of, commands_of, execute, explain, is_addressed, signatures_of
from gateway.core.activity import LONGEST_CALL, Call
from gateway.core.backoff import Backoff
from gateway.core.callback_error import log_callback_error
from gateway.core.inbox import MsgList, poll_milliseconds
from gateway.core.outage import Absences, Outages
from gateway.core.package_logger import package_logger
from gateway.core.proposal import Proposal
from gateway.core.timers import Function, Timer, Timers, name_of
from gateway.core.trouble import Trouble
from gateway.devices.declaration import Signatures
from gateway.errors import DeviceAwaitedError, DeviceError, Problem
from gateway.message import InternalMsg
from gateway.routing.command_index import Addresses
from gateway.routing.outlet import Outlet

LOG = package_logger(__name__)

_STABLE = 5.0  # s that a device must have worked for its next failure to count as the first one
_BUSY = 0.005  # s between two waits; what a device sends in a longer interval is noticed late
_BATCH = 100  # messages written to the device before it is read again


class Interface:
    """The base class of interfaces, with the defaults of their contract. Deriving from it is useful, not required."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {}
    """JSON Schema of the options; empty: all are accepted. Unknown options are errors unless the schema allows them."""

    reports_availability: ClassVar[bool] = False
    """True if the interface reports the availability of its device; otherwise it counts as available while it runs."""

    longest_call: ClassVar[float] = LONGEST_CALL
    """Maximum duration (s) of a call of its methods, not counting the time that `loop()` waits for work.

    A call that takes longer is logged. Raise this for a device that is slow by nature.
    """

    waits_itself: ClassVar[bool] = False
    """True if `loop()` itself waits for work; otherwise it is called about 20 times a second."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the `@command` methods: a mistake in them is reported when the file is loaded."""
        super().__init_subclass__(**options)
        commands_of(cls)

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        self.params = params
        self.msglist_in = msglist_in
        self.msglist_out = msglist_out

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> Iterator[Problem]:  # noqa: ARG003
        """Yield a `Problem` for each mistake in options that conform to the schema. Must not access any hardware."""
        yield from ()

    @classmethod
    def words(cls, params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:  # noqa: ARG003
        """Yield the fixed words of its messages: the path of the option that contains the word, the field, the word.

        They are checked against the map before the gateway starts. By default these are the words of the addresses of
        its `@command` methods, for which there is no option.
        """
        words = {pair: None for address in addresses_of(cls) or () for pair in address.items()}
        yield from (((), field, word) for field, word in words)

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses | None:  # noqa: ARG003
        """Return the addresses of its commands, words by field; None if it receives every message.

        Use this if there are many interfaces in a process: a command then wakes only the interface that it is for.
        The address of a device that `devices` declares may be used here, too. By default these are the addresses of its
        `@command` methods; None if one of them names no word.
        """
        return addresses_of(cls)

    @classmethod
    def devices(cls, params: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:  # noqa: ARG003
        """Return, or yield, the devices of the interface, in the form of the option `devices` of a configuration.

        They are checked as that option is, and before the interface is constructed. Must not access any hardware.
        """
        return ()

    @classmethod
    def signatures(cls, params: Mapping[str, Any]) -> Signatures:  # noqa: ARG003
        """Return the types of the arguments of its messages, from which types and ranges of points are derived.

        By default these are the arguments of its `@command` methods; those of its statuses are unknown.
        """
        return signatures_of(cls)

    @classmethod
    def explain_frame(cls, params: Mapping[str, Any], data: bytes) -> Iterator[str | InternalMsg | Problem]:  # noqa: ARG003
        """Yield texts and messages that explain how bytes from the device are processed, for `mqttgateway check`.

        Yield a `Problem` if something is dropped.
        """
        yield Problem((), "this type of interface does not explain frames")

    @classmethod
    def explain_command(cls, params: Mapping[str, Any], msg: InternalMsg) -> Iterator[str | Problem]:
        """Yield texts that explain how a command is executed, for `mqttgateway check`.

        Yield a `Problem` if the command is refused, or is for another device. By default the `@command` methods are
        explained.
        """
        if not commands_of(cls):
            yield Problem((), "this type of interface does not explain commands")
        elif not is_addressed(msg, addresses := cls.addresses(params)):
            listed = "; ".join(", ".join(f"{k} {v!a}" for k, v in address.items()) for address in addresses or ())
            yield Problem((), f"  for another device: the commands of this interface are for {listed or 'none'}")
        else:
            yield from explain(cls, msg)

    @classmethod
    def propose(cls, params: Mapping[str, Any], frames: Sequence[bytes], name: str) -> Proposal:  # noqa: ARG003
        """Return what to add to the options of the interface called `name`, so that it takes `frames`.

        The page shows it beside frames that were dropped, and look alike.
        """
        return Proposal(note="this type of interface proposes nothing for a frame that it drops")

    def stats(self) -> dict[str, int]:
        """Return what the interface counts itself, by names in snake_case: integers that only grow.

        Any thread may call it, so it must be fast and must not wait for the device.
        """
        return {}

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong at this moment although the interface works; None: nothing that it knows of.

        Any thread may read it. It must be a state that ends when it is over.
        """
        return None

    @property
    def is_connected(self) -> bool:
        """Whether the link to the broker is up now. Any thread may read it."""
        return self.msglist_out.link.is_up

    def on_link(self, up: bool, session_present: bool) -> Iterable[InternalMsg] | None:  # noqa: ARG002
        """Handle a change of the link to the broker; return messages to send, or None.

        This is called in the thread of `loop`, between two calls of it: with `up` when a link to the broker is up, and
        after the construction of the interface if it is up already; without `up` when it is lost. `session_present`:
        the broker still had the session of the gateway. If the link changes several times meanwhile, only its latest
        state is reported. An exception is logged, and ends nothing.
        """
        return None

    def on_crowded(self) -> Iterable[InternalMsg] | None:
        """Handle that the outbox, which all interfaces share, is nearly full (80 %): send less, if possible.

        This is called as `on_link` is.
        """
        return None

    def on_room(self) -> Iterable[InternalMsg] | None:
        """Handle that the outbox has room again (it is at most half full) after it was nearly full.

        This is called as `on_link` is.
        """
        return None

    def reconfigure(self, params: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Apply new options while it runs; return False to be stopped and constructed again with them.

        This is called after a reload of the configuration, in the thread of `loop`, between two calls of it.
        """
        return False


class DeviceInterface(Interface):
    """An interface for one device: override `open`, `read`, `write` and `close`; this class does everything else.

    All four are called in the thread of the interface. `OSError` and `DeviceError` from any of them mean that the
    device has failed: it is closed, reported as offline, and opened again after a delay that grows up to 30 s.
    """

    reports_availability = True
    waits_itself = True

    answers_at_close: ClassVar[bool] = False
    """True if every command is answered, but possibly after `write`; or by `close` if the device has failed."""

    measures_silence: bool = False
    """True if it matters for how long the device is silent: then reading is never delayed in favour of messages."""

    read_interval: float | None = None
    """Call `read` at least this often (s); None: only when the descriptor of `fileno()` is readable."""

    clock: Callable[[], float] = time.monotonic
    """The source of all times here (s, monotonic). A test replaces it in a subclass."""

    # A device that was unplugged and plugged in again is found within about a second; one that is missing for days
    # costs next to nothing.
    reopen_delays: ClassVar[tuple[float, float]] = (0.5, 30.0)
    """The first and the longest delay (s) before a device that failed is opened again."""

    next_message_wait: ClassVar[float] = 0.001  # the resolution of `poll`
    """After an answer, the time (s) to wait for the next message before the device is read."""

    longest_read_delay: ClassVar[float] = 0.001
    """The time (s) after which no further message is waited for: the device is read after twice that at most."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.is_open = False
        self.is_readable = False  # during read(): whether the descriptor is readable
        self._outages = Outages(msglist_out.name)
        self.reopen_backoff = Backoff(*self.reopen_delays)
        self._absences = Absences()
        self._next_open = self._soonest_open = self._next_read = self._open_since = 0.0
        self._poll = select.poll()
        self._poll.register(msglist_in.fileno(), select.POLLIN)
        self.listening_since = 0.0
        """Since when (s) all that the device has sent was noticed as it came; before, bytes may have waited unseen."""
        self.listened_until = 0.0
        """When (s) was last looked whether the device has sent something."""
        self.heard_at: float | None = None
        """When (s) the device sent anything last, whatever it was; None: never, or the interface does not set it."""
        self.understood_at: float | None = None
        """When (s) the last frame came that was understood; None: never, or the interface does not set it."""
        self._timers = Timers(self.clock)
        msglist_in.accepts = self.accepts
        msglist_out.on_ask = self.ask
        self._open_commands = msglist_out.open_commands = msglist_in.open_commands
        self._device_fd = -1

    # --- the device; override these methods

    def open(self) -> None:
        """Open the device. Raise `OSError` or `DeviceError` if that is not possible."""

    def read(self) -> Iterable[InternalMsg]:
        """Return the messages that the device has sent up to now, without waiting for more."""
        return ()

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        """Execute the command `msg`, or process a status; return the messages that answer it.

        By default the `@command` methods execute the commands that `accepts` accepts, and refuse those with unknown
        actions or arguments. Without such methods, all messages are ignored.
        """
        return execute(self, msg) if commands_of(type(self)) and msg.iscmd and self.accepts(msg) else ()

    def close(self) -> None:
        """Close the device. This is called also when the device has failed."""

    def fileno(self) -> int | None:
        """Return the file descriptor that becomes readable when the device sends something; None if there is none."""
        return None

    def opening_fileno(self) -> int | None:
        """Return a descriptor that becomes readable when the device can be opened, if it is not; None: there is none.

        This is for a device that connects to the gateway: it is opened at once, and not after a delay.
        """
        return None

    def time_to_read(self) -> float | None:
        """Return in how many seconds `read` is due even if nothing is readable; None: it is not."""
        return None if self.read_interval is None else self._next_read - self.clock()

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is for this device: such a message is answered even while the device is offline.

        By default these are the commands with one of its `addresses`.
        """
        return msg.iscmd and is_addressed(msg, self.addresses(self.params))

    def describe(self) -> str:
        """Return the name of the device for logs and answers."""
        return str(self.params.get("port", "the device"))

    def ask(self, actions: Collection[str]) -> None:
        """Ask the device for the statuses with `actions`: a command was executed, and no message had the new value.

        This is called by the thread that has sent the outcome of the command, and must return quickly.
        """

    # --- for the methods of the device; call these in the thread of the interface

    def every(self, seconds: float, function: Function) -> Timer:
        """Call `function` every `seconds`, for the first time after one period; return a timer with `cancel()`.

        The messages that it returns are sent, as those of `read`; if it returns True, the timer ends. An exception is
        logged once for each kind, and does not end the timer. Calls that are missed are skipped. Timers continue while
        the device has failed, and end with `loop_stop`. Raises `ValueError` unless `seconds` is finite and above 0.
        """
        return self._timers.every(seconds, function)

    def after(self, seconds: float, function: Function) -> Timer:
        """Call `function` once, after `seconds`; see `every`. Raises `ValueError` if `seconds` is below 0."""
        return self._timers.after(seconds, function)

    def heard(self, device_id: str) -> None:
        """Record that a device of `devices` works, although it has sent no reading: it is not silent.

        Any thread may call this. An unknown id is logged; without devices, nothing happens.
        """
        self.msglist_out.heard(device_id)

    # --- what this class does for the device

    def loop(self) -> None:
        """Execute one step: open the device if due, wait for it and for messages, and process what has arrived."""
        try:
            if self.is_open or self._open_if_due():
                self._step()
            else:
                if self._wait(self._until_timer(self._next_open - self.clock())):
                    self._watch(-1)
                    self._next_open = min(self._next_open, self._soonest_open)
                self._answer_offline()
        except (OSError, DeviceError) as err:
            self._fail(err)
        if self._timers.due_in() == 0:
            self._timers.run_due(self._on_timer_error, self._call_function)

    def _step(self) -> None:
        self.is_readable = self._wait(self._until_timer(self.time_to_read()))
        if len(self.msglist_in) and self._process_messages_promptly():
            self.is_readable = self._wait(0)
        if self.is_readable or self._is_read_due():
            if self.read_interval is not None:
                self._next_read = self.clock() + self.read_interval
            with self._call("read"):
                self.msglist_out.push_all(self.read())  # if it is a generator, it runs here

    def _until_timer(self, timeout: float | None) -> float | None:
        """Return how long (s) to wait: up to `timeout` (None: unlimited), and at most until a timer is due."""
        due = self._timers.due_in()
        if due == math.inf:
            return timeout
        return due if timeout is None else min(timeout, due)

    def _call_function(self, function: Function) -> object:
        """Call the function of a timer, and send the messages that it returns; return whether the timer ends."""
        with self._call(name_of(function)):
            result: Any = function()
            if result is None or isinstance(result, bool):
                return result
            self.msglist_out.push_all(result)
            return None

    def _on_timer_error(self, timer: Timer, err: Exception) -> None:
        if isinstance(err, DeviceError) and self.is_open:
            self._fail(err)
        else:
            log_callback_error(self.msglist_out.name, f"{timer.name}()", err)

    def _call(self, method: str) -> Call:
        return Call(f"{self.msglist_out.name}: {method}()", self.longest_call)

    def _is_read_due(self) -> bool:
        due = self.time_to_read()
        return due is not None and due <= 0

    def loop_stop(self) -> None:
        """Close the device when the interface stops, and end the timers."""
        try:
            if self.is_open:
                self.is_open = False
                self._watch(-1)
                with self._call("close"):
                    self.close()
        finally:
            self._timers.clear()  # these refer to the interface, and would keep it in memory
            self.msglist_out.on_ask = lambda _: None

    def _open_if_due(self) -> bool:
        if self.clock() < self._next_open:
            return False
        with self._call("open"):
            self.open()
        self.is_open = True
        is_quiet = self._outages.is_quiet
        self._outages.end()
        self._open_since = self.clock()
        self._absences.end(self._open_since)
        self._next_read = 0.0
        fd = self.fileno()
        self._watch(-1 if fd is None else fd)
        self.msglist_out.set_available(True)
        LOG.log(logging.DEBUG if is_quiet else logging.INFO, "%s: %s is open", self.msglist_out.name, self.describe())
        return True

    def _fail(self, err: Exception) -> None:
        was_open, self.is_open = self.is_open, False
        is_awaited = isinstance(err, DeviceAwaitedError)
        has_left = was_open and is_awaited
        self._watch(-1)
        if was_open and self.clock() - self._open_since >= _STABLE:
            self.reopen_backoff.reset()
            self._outages.end()
        text = self._outages.report(self.describe(), err, was_open=was_open)
        if has_left:  # it may be back already, or come back for its next reading: the next attempt to open it will show
            self._absences.begin(self.clock())
        elif not is_awaited:
            self._absences.forget()
        if not has_left and self._absences.is_missed(self.clock()):
            self.msglist_out.record_failure(text)
            self.msglist_out.set_available(False)  # before close(), which can take long for a port behind a network
        try:
            with self._call("close"):
                self.close()
        except (OSError, DeviceError) as close_error:
            LOG.debug("%s: closing the device failed, too: %s", self.msglist_out.name, close_error)
        for (
            msg
        ) in self._open_commands.settle():  # the commands that were being executed, and that close() has not answered
            if self.accepts(msg):
                self.msglist_out.answer(
                    msg.reply("OFFLINE", text if is_awaited else f"{self.describe()} has failed: {err}")
                )
        self._open_commands.release()
        self._plan_open(has_left=has_left, is_awaited=is_awaited)
        fd = self.opening_fileno()
        self._watch(-1 if fd is None else fd)

    def _plan_open(self, *, has_left: bool, is_awaited: bool) -> None:
        """Decide when to try to open the device: after a delay, and at once where it connects by itself."""
        now, expected_at = self.clock(), self._absences.expected_at
        self._soonest_open = now if is_awaited else now + self.reopen_delays[0]
        self._next_open = now if has_left else now + self.reopen_backoff.next_delay()
        if expected_at is not None and expected_at > now:
            self._next_open = min(self._next_open, expected_at)

    def _wait(self, timeout: float | None) -> bool:
        """Wait for a message, the device, or `timeout` (s; None: unlimited); return whether the device is readable."""
        begin = self.clock()
        was_busy = begin - self.listened_until > _BUSY
        ready = self._poll.poll(poll_milliseconds(timeout))
        self.listened_until = self.clock()
        is_readable = False
        for fd, _ in ready:
            if fd == self._device_fd:
                is_readable = True
            elif len(self.msglist_in) == 0:
                self.msglist_in.wait(0)  # woken to check whether to stop: this clears the flag
        if is_readable and was_busy:  # if nothing waits, nothing has come unseen, however long this thread was busy
            self.listening_since = begin
        return is_readable

    def _process_messages_promptly(self) -> bool:
        """Process the waiting messages, and those that arrive just after an answer; return whether there was an answer.

        A client often sends its next command as soon as it has received an answer. So this waits for it for a moment,
        before the device is read. Meanwhile Python's interpreter lock is free for the thread that sends the answer and
        receives the next command. After an answer the caller must check again whether the device is readable, since
        time has passed.
        """
        until = self.clock() + self.longest_read_delay
        has_answered = False
        while self._process_messages():
            has_answered = True
            if self.measures_silence or self.clock() >= until:
                self.msglist_out.yield_to_sender()
                break
            self.msglist_in.wait(self.next_message_wait)
        return has_answered

    def _process_messages(self) -> bool:
        """Process the waiting messages; return whether there was an answer."""
        has_answered = False
        for _ in range(_BATCH):
            msg = self.msglist_in.pull()
            if msg is None:
                break
            with self._call("write"):
                has_answered |= self.msglist_out.push_each(self.write(msg)) > 0  # if it is a generator, it runs here
            if self._open_commands.commands and not (self.answers_at_close and self.accepts(msg)):
                self._open_commands.release(msg)
        return has_answered

    def _answer_offline(self) -> None:
        for _ in range(_BATCH):
            msg = self.msglist_in.pull()
            if msg is None:
                return
            self._open_commands.release(msg)
            if self.accepts(msg):
                self.msglist_out.push(msg.reply("OFFLINE", f"{self.describe()} is offline"))

    def _watch(self, fd: int) -> None:
        if self._device_fd >= 0:
            self._poll.unregister(self._device_fd)
        self._device_fd = fd
        if fd >= 0:
            self._poll.register(fd, select.POLLIN | select.POLLPRI)
