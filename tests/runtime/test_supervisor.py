from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.core.backoff import Backoff
from gateway.devices.point import Device
from gateway.errors import DeviceError
from gateway.message import InternalMsg
from gateway.runtime.supervisor import Supervisor
from tests.conftest import ExpectedLogs
from tests.support.desk import Desk
from tests.support.waiting import wait_until


class Bench:
    """A desk and the supervisors that use it, which are stopped at the end of a test."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.supervisors: list[Supervisor] = []

    def start(self, build: Callable[[], Any], desk: Desk | None = None, *, delay: float = 0.0) -> Supervisor:
        """Start an interface that, after a failure, is built again within `delay` seconds."""
        desk = desk or self.desk
        backoff = Backoff(1.0, 1.0, uniform=lambda _low, _high: delay)
        supervisor = Supervisor("dev", build, desk.inbox, desk.outlet, backoff)
        self.supervisors.append(supervisor)
        supervisor.start()
        return supervisor

    def stop(self) -> None:
        for supervisor in self.supervisors:
            supervisor.request_stop()
            assert supervisor.join(10), "the interface did not stop"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.stop()


class Looping:
    """Counts the calls of `loop()`; raises, at the calls with a number in `errors`, the error for that number."""

    def __init__(self, desk: Desk, errors: dict[int, BaseException] | None = None) -> None:
        self.desk, self.errors = desk, errors or {}
        self.calls = self.stops = 0
        self.thread = ""

    def loop(self) -> None:
        self.thread = threading.current_thread().name
        self.calls += 1
        if self.calls in self.errors:
            raise self.errors[self.calls]
        msg = self.desk.inbox.pull()
        if msg is not None:
            self.desk.outlet.push(msg.reply("OK"))

    def loop_stop(self) -> None:
        self.stops += 1


# --- an interface that works


def test_loop_is_called_again_and_again_in_a_thread_named_after_the_interface(bench: Bench) -> None:
    interface = Looping(bench.desk)
    supervisor = bench.start(lambda: interface)
    wait_until(lambda: interface.calls >= 3)
    assert interface.thread == "dev"
    bench.stop()
    assert (interface.stops, supervisor.failures) == (1, 0)


def test_an_interface_is_available_while_it_runs(bench: Bench) -> None:
    bench.start(lambda: Looping(bench.desk))
    bench.desk.wait_availability("online")
    bench.stop()
    bench.desk.wait_availability("online", "offline")


def test_the_devices_of_an_interface_are_offline_for_the_present_reason(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: the interface failed and will be restarted: ValueError: broken")
    bench.desk = Desk(devices=[Device("lamp", (), interval=0.0)])
    interfaces = [Looping(bench.desk, {1: ValueError("broken")}), Looping(bench.desk), Looping(bench.desk)]
    supervisor = bench.start(lambda: interfaces.pop(0))
    bench.desk.wait_availability("online", "offline", "online")
    supervisor.change(None, lambda: interfaces.pop(0))
    bench.desk.wait_availability("online", "offline", "online", "offline", "online")
    bench.desk.outlet.set_available(False)
    bench.stop()
    assert bench.desk.reasons == [
        "ValueError: broken",
        "the interface is being restarted",
        "the interface reports that its device is not available",
        "the gateway has stopped",
    ]


def test_a_message_ends_the_pause_between_two_calls(bench: Bench) -> None:
    bench.start(lambda: Looping(bench.desk))
    for number in range(50):
        bench.desk.inbox.push(InternalMsg(iscmd=True, action=str(number)))
    answers = bench.desk.wait_messages(50)
    assert [answer.action for answer in answers] == [str(number) for number in range(50)]


def test_the_availability_of_an_interface_that_reports_it_is_left_to_the_interface(bench: Bench) -> None:
    class Honest(Looping):
        reports_availability = True

    interface = Honest(bench.desk)
    bench.start(lambda: interface)
    wait_until(lambda: interface.calls >= 2)
    bench.stop()
    bench.desk.wait_availability("offline")


def test_loop_start_is_called_once_and_loop_stop_at_the_end(bench: Bench) -> None:
    calls: list[str] = []

    class Threaded:
        def loop_start(self) -> None:
            calls.append("start")

        def loop_stop(self) -> None:
            calls.append("stop")

    bench.start(Threaded)
    bench.desk.wait_availability("online")
    wait_until(lambda: calls == ["start"])
    bench.stop()
    assert calls == ["start", "stop"]


def test_an_interface_needs_no_loop_stop(bench: Bench) -> None:
    class Bare:
        def loop(self) -> None: ...

    bench.start(Bare)
    bench.desk.wait_availability("online")


def test_an_interface_that_does_not_pull_its_messages_causes_no_busy_loop(bench: Bench) -> None:
    class NeverReading(Looping):
        def loop(self) -> None:
            self.calls += 1

    deaf, other_desk = NeverReading(bench.desk), Desk()
    bench.desk.inbox.push(InternalMsg(iscmd=True, action="A"))
    bench.start(lambda: deaf)
    normal = NeverReading(other_desk)
    bench.start(lambda: normal, other_desk)
    wait_until(lambda: normal.calls >= 5)
    assert deaf.calls < 50


# --- stopping


def test_an_interface_that_waits_for_messages_stops_when_woken(bench: Bench) -> None:
    class Waiting:
        waits_itself = True

        def loop(self) -> None:
            bench.desk.inbox.pull(block=True)

    supervisor = bench.start(Waiting)
    bench.desk.wait_availability("online")
    supervisor.request_stop()
    assert supervisor.join(10)


def test_an_interface_that_waits_to_be_restarted_stops_immediately(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the interface failed and will be restarted")
    interface = Looping(bench.desk, {1: ValueError("bad")})
    supervisor = bench.start(lambda: interface, delay=3600.0)
    wait_until(lambda: supervisor.failures == 1)
    supervisor.request_stop()
    assert supervisor.join(10)


def test_an_interface_that_does_not_return_is_not_waited_for(bench: Bench) -> None:
    release = threading.Event()

    class Stuck:
        def loop(self) -> None:
            release.wait()

    supervisor = bench.start(Stuck)
    bench.desk.wait_availability("online")
    supervisor.request_stop()
    assert not supervisor.join(0.0)
    release.set()
    assert supervisor.join(10)


def test_a_loop_stop_that_fails_is_logged_and_the_interface_stops(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: its loop_stop() failed: ValueError('stuck')")

    class Clumsy(Looping):
        def loop_stop(self) -> None:
            raise ValueError("stuck")

    bench.start(lambda: Clumsy(bench.desk))
    bench.desk.wait_availability("online")
    bench.stop()
    bench.desk.wait_availability("online", "offline")


# --- failures


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("bad"), MemoryError("bad")])
def test_an_interface_that_fails_is_stopped_and_built_again(
    error: BaseException, bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(f"dev: the interface failed and will be restarted: {type(error).__name__}: bad")
    built: list[Looping] = []

    def build() -> Looping:
        built.append(Looping(bench.desk, {} if built else {2: error}))
        return built[-1]

    supervisor = bench.start(build)
    wait_until(lambda: len(built) == 2 and built[1].calls >= 2)
    assert (built[0].calls, built[0].stops, supervisor.failures) == (2, 1, 1)
    bench.stop()
    bench.desk.wait_availability("online", "offline", "online", "offline")


def test_the_traceback_of_a_bug_is_logged_once(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dev: the interface failed and will be restarted: ValueError: bad")

    def build() -> Looping:
        return Looping(bench.desk, {1: ValueError("bad")})

    supervisor = bench.start(build)
    wait_until(lambda: supervisor.failures >= 5)
    bench.stop()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1, "the others are counted, not logged"
    assert errors[0].exc_info is not None


def test_a_device_that_is_missing_is_no_bug_and_has_no_traceback(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dev: the interface failed and will be restarted: DeviceError: no such port")
    supervisor = bench.start(lambda: Looping(bench.desk, {1: DeviceError("no such port")}))
    wait_until(lambda: supervisor.failures >= 2)
    bench.stop()
    assert [record.exc_info for record in caplog.records if record.levelno == logging.ERROR] == [None]


def test_building_an_interface_is_retried(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: the interface failed and will be restarted: KeyError: 'port'")
    tries: list[int] = []

    def build() -> Looping:
        tries.append(1)
        if len(tries) < 3:
            raise KeyError("port")
        return Looping(bench.desk)

    bench.start(build)
    bench.desk.wait_availability("offline", "online")
    assert len(tries) == 3


def test_commands_are_answered_immediately_while_it_is_down(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: commands answered with OFFLINE while the interface was down: 3", "ValueError: bad")
    built: list[Looping] = []

    def build() -> Looping:
        built.append(Looping(bench.desk))
        if len(built) == 1:
            for action in ("OPEN", "CLOSE"):
                bench.desk.inbox.push(InternalMsg(iscmd=True, action=action))
            raise ValueError("bad")
        return built[-1]

    supervisor = bench.start(build, delay=3600.0)
    bench.desk.wait_messages(2)
    bench.desk.inbox.push(InternalMsg(action="a status, which needs no answer"))
    bench.desk.inbox.push(InternalMsg(iscmd=True, action="MOVE"))
    bench.desk.wait_messages(3)
    supervisor.change(None, build)
    bench.desk.wait_availability("offline", "online")
    bench.desk.inbox.push(InternalMsg(iscmd=True, action="LATER"))
    answers = bench.desk.wait_messages(4)
    assert [(answer.action, answer.argument("response")) for answer in answers] == [
        ("OPEN", "OFFLINE"),
        ("CLOSE", "OFFLINE"),
        ("MOVE", "OFFLINE"),
        ("LATER", "OK"),
    ]


def test_other_interfaces_are_not_affected(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the interface failed and will be restarted")
    other_desk = Desk()
    healthy = Looping(other_desk)
    bench.start(lambda: healthy, other_desk)
    failing = bench.start(lambda: Looping(bench.desk, {1: ValueError("bad")}))
    wait_until(lambda: failing.failures >= 3)
    other_desk.inbox.push(InternalMsg(iscmd=True, action="A"))
    other_desk.wait_messages(1)
    assert other_desk.availability == ["online"]
    assert healthy.stops == 0


def test_a_supervisor_has_a_backoff_by_default() -> None:
    """The first delay is between 0 and 1 s."""
    desk = Desk()
    supervisor = Supervisor("dev", lambda: Looping(desk), desk.inbox, desk.outlet)
    supervisor.start()
    desk.wait_availability("online")
    supervisor.request_stop()
    assert supervisor.join(10)


# --- other options while it runs


class Changing(Looping):
    """Accepts other options while it runs if they have `soft` in them; its name is that in its options."""

    waits_itself = True

    def __init__(self, desk: Desk, params: dict[str, Any]) -> None:
        super().__init__(desk)
        self.params = params
        self.pulled: list[str] = []

    def reconfigure(self, params: dict[str, Any]) -> bool:
        if "broken" in params:
            raise ValueError("broken")
        if "soft" not in params:
            return False
        self.params = params
        return True

    def loop(self) -> None:
        self.calls += 1
        msg = self.desk.inbox.pull(block=True, timeout=5)
        if msg is not None:
            self.desk.outlet.push(InternalMsg(action=msg.action, device=self.params["name"]))


def change(bench: Bench, supervisor: Supervisor, made: list[Changing], params: dict[str, Any]) -> None:
    def build() -> Changing:
        made.append(Changing(bench.desk, params))
        return made[-1]

    supervisor.change(params, build)


def test_an_interface_can_change_its_options_while_it_runs(bench: Bench) -> None:
    made = [Changing(bench.desk, {"name": "one"})]
    supervisor = bench.start(lambda: made[0])
    wait_until(lambda: made[0].calls)
    change(bench, supervisor, made, {"name": "two", "soft": True})
    wait_until(lambda: made[0].params["name"] == "two")
    bench.desk.inbox.push(InternalMsg(iscmd=True, action="GO"))
    (msg,) = bench.desk.wait_messages(1)
    assert (msg.device, len(made), made[0].stops) == ("two", 1, 0)


def test_an_interface_that_cannot_is_built_again_and_no_message_is_lost(bench: Bench) -> None:
    made = [Changing(bench.desk, {"name": "one"})]
    supervisor = bench.start(lambda: made[0])
    wait_until(lambda: made[0].calls)
    change(bench, supervisor, made, {"name": "two"})
    for number in range(20):
        bench.desk.inbox.push(InternalMsg(iscmd=True, action=str(number)))
    messages = bench.desk.wait_messages(20)
    assert [msg.action for msg in messages] == [str(number) for number in range(20)]
    assert (messages[-1].device, made[0].stops, supervisor.failures) == ("two", 1, 0)
    assert bench.desk.availability == ["online", "offline", "online"]


def test_an_interface_that_fails_to_change_is_built_again(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: the interface failed and will be restarted: ValueError: broken")
    made = [Changing(bench.desk, {"name": "one"})]
    supervisor = bench.start(lambda: made[0])
    wait_until(lambda: made[0].calls)
    change(bench, supervisor, made, {"name": "two", "broken": True})
    wait_until(lambda: len(made) == 2 and made[1].calls)
    assert made[1].params["name"] == "two"


def test_an_interface_with_threads_of_its_own_is_built_again(bench: Bench) -> None:
    made: list[str] = []

    class Threaded:
        def __init__(self, name: str) -> None:
            self.name = name

        def loop_start(self) -> None:
            made.append(f"{self.name} started")

        def loop_stop(self) -> None:
            made.append(f"{self.name} stopped")

    supervisor = bench.start(lambda: Threaded("one"))
    wait_until(lambda: made)
    supervisor.change({}, lambda: Threaded("two"))
    wait_until(lambda: "two started" in made)
    assert made == ["one started", "one stopped", "two started"]


def test_requests_for_an_interface_that_hangs_use_a_limited_memory(bench: Bench) -> None:
    returns, entered, told = threading.Event(), threading.Event(), list[int]()

    class Hanging(Looping):
        def loop(self) -> None:
            entered.set()
            returns.wait(20)
            super().loop()

    supervisor = bench.start(lambda: Hanging(bench.desk))
    assert entered.wait(10)
    for number in range(1000):
        supervisor.restart(lambda _, number=number: told.append(number))  # type: ignore[misc]
    returns.set()
    wait_until(lambda: 999 in told)
    assert told == list(range(900, 1000))
