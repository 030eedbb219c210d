"""Every command that was put into an inbox has exactly one outcome, whatever its interface does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import pytest

from gateway.core.activity import report_overdue
from gateway.core.backoff import Backoff
from gateway.core.inbox import MsgList
from gateway.devices.point import Device
from gateway.errors import DeviceError
from gateway.interface import DeviceInterface
from gateway.message import InternalMsg
from gateway.routing.outlet import Outlet
from gateway.runtime.supervisor import Supervisor
from tests.conftest import ExpectedLogs
from tests.support.desk import Desk
from tests.support.waiting import wait_until

FAILED = "dev: the interface failed and will be restarted: "


class Bench:
    """An interface, its supervisor, and the clock of its inbox, which may be put forward."""

    def __init__(self) -> None:
        self.desk = Desk(devices=[Device("lamp", (), address={"device": "lamp"})])
        self.ahead = 0.0
        real = self.desk.inbox.now
        self.desk.inbox = MsgList(clock=lambda: real() + self.ahead)
        self.supervisor: Supervisor | None = None
        self.release = threading.Event()

    def start(self, build: Callable[[], Any]) -> Supervisor:
        backoff = Backoff(1.0, 1.0, uniform=lambda _low, _high: 0.0)
        self.supervisor = Supervisor("dev", build, self.desk.inbox, self.desk.outlet, backoff)
        self.supervisor.start()
        return self.supervisor

    def command(self, *actions: str) -> None:
        for action in actions:
            assert self.desk.inbox.push(InternalMsg(True, device="lamp", action=action))

    def confirm(self, msg: InternalMsg) -> None:
        self.desk.outlet.push(msg.reply("OK"))

    def outcomes(self) -> list[tuple[str, object]]:
        return [(msg.action, msg.argument("response")) for msg in self.desk.collect() if "response" in msg.arguments]

    def wait_outcomes(self, *expected: tuple[str, object]) -> None:
        """Return once there are as many outcomes as `expected`; fail if they differ, or if more follow at the end."""
        wait_until(lambda: len(self.outcomes()) >= len(expected), what=lambda: f"{expected}; got {self.outcomes()}")
        self.stop()
        assert self.outcomes() == list(expected)
        assert [(document["action"], document["response"]) for document in self.desk.outcomes] == list(expected)

    def stop(self) -> None:
        self.release.set()
        if self.supervisor is not None:
            self.supervisor.request_stop()
            assert self.supervisor.join(10)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.stop()


class Plain:
    """Reads all waiting commands, and only then calls `do` with each."""

    waits_itself = True
    longest_call = 0.5

    def __init__(self, bench: Bench, do: Callable[[InternalMsg], None]) -> None:
        self.bench, self.do = bench, do

    def loop(self) -> None:
        first = self.bench.desk.inbox.pull(block=True, timeout=5)
        messages = [] if first is None else [first]
        while (msg := self.bench.desk.inbox.pull()) is not None:
            messages.append(msg)
        for msg in messages:
            self.do(msg)


class Lamp(DeviceInterface):
    """Calls `do` with each command."""

    bench: ClassVar[Bench]
    longest_call = 0.5

    def do(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        raise NotImplementedError

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        return self.do(msg)

    def accepts(self, msg: InternalMsg) -> bool:
        return msg.iscmd and msg.device == "lamp"


def lamp(bench: Bench, do: Callable[[InternalMsg], Iterable[InternalMsg]], **attributes: Any) -> Callable[[], Lamp]:
    cls = type("TrialLamp", (Lamp,), {"do": lambda _self, msg: do(msg), **attributes})
    return lambda: cls({}, bench.desk.inbox, bench.desk.outlet)


class Own(BaseException):
    """Not even an `Exception`."""


class SilentError(Exception):
    """Has a `repr` that fails."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


# --- an interface that fails


ERRORS = (ValueError("bad"), KeyError("x"), SystemExit(), Own("bad"), asyncio.CancelledError(), RecursionError(),
          KeyboardInterrupt(), SilentError(), DeviceError("gone"), OSError(5, "x"))  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_the_command_at_which_it_fails_is_answered(
    error: BaseException, bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(f"{FAILED}{type(error).__name__}")

    def do(msg: InternalMsg) -> None:
        if msg.action == "BAD":
            raise error
        bench.desk.outlet.push(msg.reply("OK"))

    bench.start(lambda: Plain(bench, do))
    bench.desk.wait_availability("online")
    bench.command("BAD")
    wait_until(lambda: len(bench.outcomes()) == 1)
    wait_until(lambda: bench.desk.availability == ["online", "offline", "online"])
    bench.command("GOOD")
    bench.wait_outcomes(("BAD", "ERROR"), ("GOOD", "OK"))


def test_all_open_commands_are_answered_when_the_interface_fails(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(FAILED, "answered with OFFLINE while the interface was down")

    def do(msg: InternalMsg) -> None:
        if msg.action == "B":
            bench.command("E")  # waits behind those that were taken
            raise ValueError("bad")
        bench.desk.outlet.push(msg.reply("OK"))

    bench.command("A", "B", "C", "D")
    bench.start(lambda: Plain(bench, do))
    bench.wait_outcomes(("A", "OK"), ("B", "ERROR"), ("C", "ERROR"), ("D", "ERROR"), ("E", "OFFLINE"))


def test_commands_answered_before_the_failure_are_not_answered_again(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(FAILED)

    def do(msg: InternalMsg) -> None:
        bench.desk.outlet.push(msg.reply("OK"))
        if msg.action == "LAST":
            raise ValueError("bad")

    bench.command("FIRST", "LAST")
    bench.start(lambda: Plain(bench, do))
    wait_until(lambda: bench.desk.availability == ["online", "offline", "online"])
    bench.wait_outcomes(("FIRST", "OK"), ("LAST", "OK"))


def test_the_outcome_does_not_contain_the_text_of_the_error(bench: Bench, expected_logs: ExpectedLogs) -> None:
    """Every client receives it; only the log masks secrets, and not all users may read it."""
    expected_logs.expect(FAILED)

    def do(msg: InternalMsg) -> None:
        raise ValueError("the password is hunter2")

    bench.command("A")
    bench.start(lambda: Plain(bench, do))
    (answer,) = bench.desk.wait_messages(1)
    assert "ValueError" in str(answer.argument("reason"))
    assert "hunter2" not in str(answer)


def test_one_that_cannot_be_built_has_its_commands_answered(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(f"{FAILED}ValueError: bad", "commands answered with OFFLINE while the interface was down: 1")

    def build() -> object:
        if not bench.release.is_set():
            raise ValueError("bad")
        return Plain(bench, lambda _: None)

    bench.start(build)
    bench.command("A")
    bench.wait_outcomes(("A", "OFFLINE"))


@pytest.mark.parametrize("answers_at_close", [False, True])
@pytest.mark.parametrize(("error", "code"), [(ValueError("bad"), "ERROR"), (OSError(5, "I/O error"), "OFFLINE"),
                                             (DeviceError("gone"), "OFFLINE"), (Own("bad"), "ERROR")])  # fmt: skip
def test_a_device_interface_that_fails_in_write_answers_the_open_commands(
    error: BaseException, code: str, answers_at_close: bool, bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: ")

    def do(msg: InternalMsg) -> Iterable[InternalMsg]:
        if msg.action != "BEFORE":
            yield msg.reply("OK")  # and then it fails all the same
        if msg.action != "GOOD":
            raise error

    build = lamp(bench, do, answers_at_close=answers_at_close)
    bench.start(build)
    bench.desk.wait_availability("online")
    bench.command("BEFORE")
    wait_until(lambda: len(bench.outcomes()) == 1 and bench.desk.availability[1:] == ["offline", "online"])
    bench.command("BEHIND")
    wait_until(lambda: len(bench.outcomes()) == 2 and bench.desk.availability[3:] == ["offline", "online"])
    bench.command("GOOD")
    bench.wait_outcomes(("BEFORE", code), ("BEHIND", "OK"), ("GOOD", "OK"))


@pytest.mark.parametrize("error", [ValueError("bad"), OSError(5, "I/O error")])
def test_one_that_answers_at_close_does_it_once(error: Exception, bench: Bench, expected_logs: ExpectedLogs) -> None:
    """As the serial interface does, which has its own queue."""
    expected_logs.expect("dev: ")
    waiting: list[InternalMsg] = []

    def do(msg: InternalMsg) -> Iterable[InternalMsg]:
        if msg.action == "BAD":
            raise error
        waiting.append(msg)
        return []

    def close(self: Lamp) -> None:
        for msg in waiting:
            self.msglist_out.push(msg.reply("OFFLINE", "closed"))
        waiting.clear()

    bench.start(lamp(bench, do, answers_at_close=True, close=close))
    bench.desk.wait_availability("online")
    bench.command("A", "B", "BAD")
    bench.wait_outcomes(
        ("A", "OFFLINE"), ("B", "OFFLINE"), ("BAD", "OFFLINE" if isinstance(error, OSError) else "ERROR")
    )


def test_one_whose_close_fails_as_well_leaves_no_command_without_an_outcome(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(FAILED, "dev: its loop_stop() failed")

    def do(msg: InternalMsg) -> Iterable[InternalMsg]:
        if msg.action == "BAD":
            raise ValueError("bad")
        return []

    def close(_: Lamp) -> None:
        if not bench.release.is_set():
            raise ValueError("worse")

    bench.start(lamp(bench, do, answers_at_close=True, close=close))
    bench.desk.wait_availability("online")
    bench.command("A", "BAD")
    bench.wait_outcomes(("A", "ERROR"), ("BAD", "ERROR"))


def test_commands_for_others_and_statuses_are_not_answered(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(FAILED)

    def do(msg: InternalMsg) -> Iterable[InternalMsg]:
        raise ValueError("bad")

    bench.start(lamp(bench, do))
    for count, msg in enumerate((InternalMsg(True, device="heater", action="A"), InternalMsg(device="lamp")), 1):
        bench.desk.inbox.push(msg)
        restarts = ["offline", "online"] * count
        wait_until(lambda: bench.desk.availability == ["online", *restarts])  # noqa: B023
    bench.wait_outcomes()


def test_a_loop_that_returned_a_coroutine_is_reported(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(f"{FAILED}TypeError: loop() has done nothing: it may have no `async` and no `yield`")

    class Yielding:
        def loop(self) -> Iterator[InternalMsg]:
            yield InternalMsg(action="A")

    class Asynchronous:
        async def loop(self) -> None:
            await asyncio.sleep(0)

    class Both:
        async def loop(self) -> Any:
            yield None

    built = iter([Yielding, Asynchronous, Both])
    supervisor = bench.start(lambda: next(built, Both)())
    wait_until(lambda: supervisor.failures >= 3)


# --- an interface that is late


def test_a_command_that_waited_too_long_for_a_plain_class_is_answered(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: command rejected: it waited too long for the interface (command -/-/-/lamp/- OLD)")
    bench.command("OLD")
    bench.ahead = 11.0
    bench.command("NEW")
    bench.start(lambda: Plain(bench, bench.confirm))
    bench.wait_outcomes(("OLD", "TIMEOUT"), ("NEW", "OK"))


class Hung:
    """Blocks at the command HANG until the bench releases it; then replies, if `answers` is set."""

    def __init__(self, bench: Bench, *, answers: bool = True) -> None:
        self.bench, self.answers = bench, answers
        self.entered = threading.Event()

    def __call__(self, msg: InternalMsg) -> None:
        self.entered.set()
        if msg.action == "HANG":
            self.bench.release.wait()
        if self.answers:
            self.bench.desk.outlet.push(msg.reply("OK"))


def check_until(bench: Bench, *parts: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check the interface until the log has one line with all of `parts`."""
    assert bench.supervisor is not None

    def is_logged() -> bool:
        bench.supervisor.check()  # type: ignore[union-attr]
        report_overdue()
        return all(any(part in text for text in caplog.messages) for part in parts)

    wait_until(is_logged, what=lambda: f"{parts}; got {caplog.messages}")


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("kind", ["plain", "device"])
def test_a_hanging_interface_is_logged_with_its_line_and_waiting_commands_are_answered(
    kind: str, answers: bool, bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    method = "loop()" if kind == "plain" else "write()"
    expected_logs.expect(f"dev: {method} has not returned for ", f"dev: {method} returned after ")
    expected_logs.expect("dev: command rejected: it waited too long", *(["too late"] if answers else []))
    hung = Hung(bench, answers=answers)

    def do(msg: InternalMsg) -> Iterable[InternalMsg]:
        hung(msg)
        return ()

    bench.start(lamp(bench, do) if kind == "device" else lambda: Plain(bench, hung))
    bench.command("HANG")
    assert hung.entered.wait(10)
    bench.command("WAITS")
    check_until(bench, f"dev: {method} has not returned for", caplog=caplog)
    (named,) = [text for text in caplog.messages if "has not returned" in text]
    assert f"{__file__}:" in named
    assert "(__call__)" in named
    assert bench.outcomes() == [], "both may still be done in time"
    bench.ahead = 11.0
    check_until(bench, "waited too long", caplog=caplog)
    wait_until(lambda: len(bench.outcomes()) == 2)
    bench.release.set()
    check_until(bench, "returned after", caplog=caplog)
    if answers:
        bench.command("NEXT")
    bench.wait_outcomes(("WAITS", "TIMEOUT"), ("HANG", "TIMEOUT"), *([("NEXT", "OK")] if answers else []))


def test_a_hang_lasts_until_the_interface_does_something_again(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """The commands that have shown it are answered meanwhile: after that, nothing waits for the interface any more."""
    expected_logs.expect("dev: loop() has not returned for ", "dev: loop() returned after ", "it waited too long")
    hung = Hung(bench, answers=False)
    supervisor = bench.start(lambda: Plain(bench, hung))
    bench.command("HANG")
    assert hung.entered.wait(10)
    bench.command("WAITS")
    check_until(bench, "dev: loop() has not returned for", caplog=caplog)
    first = supervisor.hang()
    assert first is not None
    bench.ahead = 11.0
    check_until(bench, "waited too long", caplog=caplog)
    supervisor.check()
    wait_until(lambda: len(bench.outcomes()) == 2)
    later = supervisor.hang()
    assert later is not None, "nothing waits for it any more, but it has done nothing since"
    bench.command("MORE")
    supervisor.check()
    later = supervisor.hang()
    assert later is not None
    assert later.since == first.since, "a later command does not make it a later hang"
    bench.release.set()
    check_until(bench, "returned after", caplog=caplog)
    wait_until(lambda: supervisor.hang() is None)


def test_one_that_waits_for_something_to_do_does_not_hang(bench: Bench) -> None:
    supervisor = bench.start(lambda: Plain(bench, bench.confirm))
    for _ in range(20):
        supervisor.check()
        report_overdue()
        bench.release.wait(0.05)  # together twice as long as a call may take
    bench.ahead = 3600.0
    supervisor.check()
    bench.command("A")
    bench.wait_outcomes(("A", "OK"))


@pytest.mark.parametrize("method", ["open()", "read()", "close()"])
def test_whatever_hangs_is_named(
    method: str, bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(f"dev: {method} has not returned for ", f"dev: {method} returned after ")

    def hang(*_: object) -> tuple[()]:
        bench.release.wait(10)
        return ()

    attributes: dict[str, Any] = {method.removesuffix("()"): hang}
    supervisor = bench.start(lamp(bench, lambda _: (), read_interval=0.0, **attributes))
    if method == "close()":
        bench.desk.wait_availability("online")
        supervisor.request_stop()
    check_until(bench, f"dev: {method} has not returned for", caplog=caplog)
    bench.release.set()
    check_until(bench, f"dev: {method} returned after", caplog=caplog)


def test_commands_for_an_interface_whose_constructor_hangs_are_answered(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: command rejected: it waited too long")

    def build() -> Plain:
        bench.release.wait(10)
        return Plain(bench, lambda _: None)

    supervisor = bench.start(build)
    bench.command("A")
    bench.ahead = 11.0
    supervisor.check()
    bench.wait_outcomes(("A", "TIMEOUT"))


# --- an interface that is stopped


def test_commands_waiting_at_the_stop_are_answered_and_no_more_are_accepted(bench: Bench) -> None:
    hung = Hung(bench)
    supervisor = bench.start(lambda: Plain(bench, hung))
    bench.command("HANG")
    assert hung.entered.wait(10)
    bench.command("A", "B")
    supervisor.request_stop()
    assert not bench.desk.inbox.push(InternalMsg(True, action="C"))
    bench.release.set()
    bench.wait_outcomes(("A", "OFFLINE"), ("B", "OFFLINE"), ("HANG", "OK"))


def test_the_open_command_of_an_abandoned_interface_is_answered_once(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "dev: not sent: the interface answered 'OK' too late; the gateway had answered the command already"
    )
    hung = Hung(bench)
    supervisor = bench.start(lambda: Plain(bench, hung))
    bench.command("HANG")
    assert hung.entered.wait(10)
    supervisor.request_stop()
    assert not supervisor.join(0.0)
    assert "(__call__)" in supervisor.where()
    assert bench.outcomes() == [("HANG", "OFFLINE")]
    assert not supervisor.has_ended
    bench.release.set()
    bench.wait_outcomes(("HANG", "OFFLINE"))
    assert bench.desk.outlet.stats()["late_answers"] == 1
    assert supervisor.has_ended


def test_one_that_never_answers_is_not_answered_for(bench: Bench) -> None:
    """A command counts as executed when the method has returned."""
    done: list[str] = []
    bench.start(lambda: Plain(bench, lambda msg: done.append(msg.action)))
    bench.command("A", "B")
    wait_until(lambda: len(done) == 2)
    bench.wait_outcomes()


class Threaded:
    """Executes commands in its own thread; answers A, and is executing B when it is stopped."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.is_running = bench, True
        self.thread = threading.Thread(target=self.run)

    def loop_start(self) -> None:
        self.thread.start()

    def run(self) -> None:
        while self.is_running:
            msg = self.bench.desk.inbox.pull(block=True, timeout=0.01)
            if msg is not None and msg.action == "A":
                self.bench.confirm(msg)

    def loop_stop(self) -> None:
        self.is_running = False
        self.thread.join()


def test_commands_of_an_interface_with_threads_are_answered_at_the_stop(bench: Bench) -> None:
    bench.start(lambda: Threaded(bench))
    bench.command("B", "A")
    wait_until(lambda: bench.outcomes() == [("A", "OK")])
    bench.stop()
    assert bench.outcomes() == [("A", "OK"), ("B", "OFFLINE")]


def test_old_commands_of_an_interface_with_own_threads_are_not_answered_in_its_place(bench: Bench) -> None:
    supervisor = bench.start(lambda: Threaded(bench))
    bench.command("B", "A")
    wait_until(lambda: bench.outcomes() == [("A", "OK")])
    bench.ahead = 11.0
    supervisor.check()
    bench.wait_outcomes(("A", "OK"))


# --- commands that arrive during failures


def test_each_of_many_commands_has_one_outcome_whatever_happens(bench: Bench, expected_logs: ExpectedLogs) -> None:
    """It fails at some, before or after its answer, and is given other options all the time."""
    expected_logs.expect(FAILED)
    logging.getLogger("mqttgateway.runtime").addFilter(
        down := lambda record: "while the interface was down" not in record.msg
    )
    total = 2000

    def do(msg: InternalMsg) -> None:
        number = int(msg.action)
        if number % 17 == 3:
            raise ValueError("bad")
        bench.desk.outlet.push(msg.reply("OK"))
        if number % 13 == 5:
            raise KeyError("bad")

    def build() -> Plain:
        return Plain(bench, do)

    supervisor = bench.start(build)
    with contextlib.ExitStack() as stack:
        stack.callback(logging.getLogger("mqttgateway.runtime").removeFilter, down)
        for number in range(total):
            while not bench.desk.inbox.push(InternalMsg(True, device="lamp", action=str(number))):
                bench.release.wait(0.001)
            if number % 100 == 50:
                supervisor.change(None, build)
            if number % 10 == 0:
                supervisor.check()
        wait_until(
            lambda: len(bench.outcomes()) >= total, what=lambda: f"{total} outcomes; got {len(bench.outcomes())}"
        )
        bench.stop()
    assert sorted(int(action) for action, _ in bench.outcomes()) == list(range(total))


# --- wrong types


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "dev: read() returned 'text' (str) instead of a list of InternalMsg: nothing is sent"),
        ({"a": 1}, "dev: read() returned {'a': 1} (dict) instead of a list of InternalMsg: nothing is sent"),
        (5, "dev: read() returned 5 (int) instead of a list of InternalMsg: nothing is sent"),
        (
            ["text", InternalMsg(action="A")],
            "dev: read() produced 'text' (str) instead of an InternalMsg: it is not sent",
        ),
        (
            [None, InternalMsg(action="A")],
            "dev: read() produced None (NoneType) instead of an InternalMsg: it is not sent",
        ),
        (
            InternalMsg(action="A"),
            "dev: read() returned status -/-/-/-/- A (InternalMsg) instead of a list of messages; ",
        ),
    ],
)
@pytest.mark.parametrize("method", ["read()", "write()"])
def test_what_is_not_a_message_is_logged_and_the_interface_continues(
    value: Any, text: str, method: str, bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(text.replace("read()", method))
    calls: list[object] = []

    def act(*_: object) -> Any:
        calls.append(None)
        return value if len(calls) == 1 else None

    attributes = {"read": act, "read_interval": 0.01} if method == "read()" else {}
    supervisor = bench.start(lamp(bench, act if method == "write()" else lambda msg: [msg.reply("OK")], **attributes))
    if method == "write()":
        bench.command("ODD")
    is_sent = isinstance(value, list | InternalMsg)
    if is_sent:
        assert [msg.action for msg in bench.desk.wait_messages(1)] == ["A"]
    wait_until(lambda: len(calls) > (method == "read()"))
    bench.stop()
    assert bench.desk.outlet.refused == (not isinstance(value, InternalMsg))
    assert supervisor.failures == 0


def test_a_plain_class_that_pushes_an_object_that_is_not_a_message_continues(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: loop() produced {'on': True} (dict) instead of an InternalMsg: it is not sent")

    def do(msg: InternalMsg) -> None:
        bench.desk.outlet.push({"on": True})  # type: ignore[arg-type]
        bench.desk.outlet.push(msg.reply("OK"))

    bench.start(lambda: Plain(bench, do))
    bench.command("A")
    bench.wait_outcomes(("A", "OK"))
    assert bench.desk.outlet.refused == 1


def test_a_coroutine_where_messages_are_expected_is_named(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("(coroutine) instead of a list of InternalMsg: nothing is sent")

    async def read() -> list[InternalMsg]:
        return []

    outlet: Outlet = bench.desk.outlet
    outlet.push_all(read())  # type: ignore[arg-type]
    assert outlet.refused == 1
