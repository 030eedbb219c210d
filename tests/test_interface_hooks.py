"""What an interface can use besides its four methods: timers, commands as methods, and notifications."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import pytest

from gateway.api import (
    CommandRefusedError,
    DeviceError,
    DeviceInterface,
    Interface,
    InternalMsg,
    MsgList,
    Outlet,
    RecordingOutlet,
    command,
    integer,
)
from gateway.core.backoff import Backoff
from gateway.devices.declaration import Signature, declare
from gateway.devices.point import Device, PointType
from gateway.outbox.options import DiscardPolicy, OutboxOptions
from gateway.outbox.outbox import Outbox
from gateway.routing.outlet import LinkStatus
from gateway.runtime.supervisor import Supervisor
from gateway.translation.mqtt_map import MsgMap
from tests.conftest import ExpectedLogs
from tests.support.desk import Desk
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

# --- timers


class Scene:
    """An interface with a clock that the test moves, and what it sends."""

    def __init__(self, cls: type[DeviceInterface] = DeviceInterface) -> None:
        self.clock = FakeClock()
        self.inbox, self.outlet = MsgList(), RecordingOutlet("dev")
        timed = type(cls.__name__, (cls,), {"clock": self.clock})
        self.interface: DeviceInterface = timed({}, self.inbox, self.outlet)
        self.step()

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.inbox.wake()  # the step must not really wait
        self.interface.loop()

    @property
    def actions(self) -> list[str]:
        return [msg.action for msg in self.outlet.messages]

    def close(self) -> None:
        self.interface.loop_stop()
        self.inbox.close()


@pytest.fixture
def scenes() -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(cls: type[DeviceInterface] = DeviceInterface) -> Scene:
        made.append(Scene(cls))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


def status(action: str) -> InternalMsg:
    return InternalMsg(device="dev", action=action)


def test_the_messages_of_a_timer_are_sent_in_whatever_form_read_may_return_them(
    scenes: Callable[..., Scene], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("returned status -/-/-/dev/- SINGLE (InternalMsg) instead of a list of messages")

    def generate() -> Iterator[InternalMsg]:
        yield status("YIELDED")

    scene = scenes()
    scene.interface.every(2.0, lambda: [status("LIST")])
    scene.interface.after(3.0, generate)
    scene.interface.after(3.0, lambda: status("SINGLE"))
    scene.interface.after(3.0, lambda: False)
    scene.step(1.9)
    assert scene.actions == []
    scene.step(0.1)
    scene.step(1.0)
    scene.step(1.0)
    assert scene.actions == ["LIST", "YIELDED", "SINGLE", "LIST"]


def test_a_timer_ends_when_it_returns_true_or_is_cancelled(scenes: Callable[..., Scene]) -> None:
    calls: list[str] = []
    scene = scenes()

    def ends() -> bool:
        calls.append("ends")
        return True

    scene.interface.every(1.0, ends)
    timer = scene.interface.every(1.0, lambda: calls.append("goes on"))
    scene.step(1.0)
    scene.step(1.0)
    timer.cancel()
    scene.step(1.0)
    assert calls == ["ends", "goes on", "goes on"]


def test_an_exception_of_a_timer_is_logged_once_with_its_place_and_ends_nothing(
    scenes: Callable[..., Scene], expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dev: ", "KeyError: 'celsius'")
    values: dict[str, int] = {}

    def measure() -> None:
        values["celsius"]

    scene = scenes()
    scene.interface.every(1.0, measure)
    scene.interface.every(1.0, lambda: [status("OTHER")])
    for _ in range(3):
        scene.step(1.0)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    line = measure.__code__.co_firstlineno + 1
    assert f"measure() failed at {__file__}:{line} (measure): KeyError: 'celsius'" in record.getMessage()
    assert record.exc_info is not None
    assert scene.actions == ["OTHER"] * 3
    values["celsius"] = 20
    scene.step(1.0)
    assert scene.interface.is_open


def test_timers_go_on_while_the_device_has_failed(scenes: Callable[..., Scene], expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the device has failed: unplugged", "cannot open the device: absent")

    class Unplugged(DeviceInterface):
        def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
            super().__init__(params, msglist_in, msglist_out)
            self.is_present = True
            self.every(1.0, lambda: [status("OPEN" if self.is_open else "CLOSED")])

        def open(self) -> None:
            if not self.is_present:
                raise OSError("absent")

        def time_to_read(self) -> float | None:
            return None if self.is_present else 0.0

        def read(self) -> Iterable[InternalMsg]:
            raise OSError("unplugged")

    scene = scenes(Unplugged)
    scene.step(1.0)
    scene.interface.is_present = False  # type: ignore[attr-defined]
    scene.step(0.5)
    assert scene.outlet.availability == [True, False]
    scene.step(0.5)
    scene.step(1.0)
    assert scene.actions == ["OPEN", "CLOSED", "CLOSED"]


def test_a_timer_may_report_that_the_device_has_failed(
    scenes: Callable[..., Scene], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: the device has failed: no heartbeat")
    scene = scenes()

    def fail() -> None:
        raise DeviceError("no heartbeat")

    scene.interface.after(1.0, fail)
    scene.step(1.0)
    assert scene.outlet.availability == [True, False]
    scene.step(1.0)
    assert scene.outlet.availability == [True, False, True]


def test_a_stopped_interface_calls_no_timer_and_is_freed() -> None:
    class Timed(DeviceInterface):
        def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
            super().__init__(params, msglist_in, msglist_out)
            self.every(3600.0, self.call)

        def call(self) -> None:
            """Do nothing."""

    inbox = MsgList()
    interface = Timed({}, inbox, RecordingOutlet())
    is_alive = weakref.ref(interface)
    interface.loop_stop()
    inbox.accepts = lambda msg: msg.iscmd
    gc.disable()
    try:
        del interface
        assert is_alive() is None, "the timers and the interface refer to each other"
    finally:
        gc.enable()
        inbox.close()


def test_the_thread_sleeps_until_the_next_timer_and_no_longer() -> None:
    desk = Desk()

    class Timed(DeviceInterface):
        def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
            super().__init__(params, msglist_in, msglist_out)
            self.after(0.2, lambda: [status("LATER")])

    supervisor = Supervisor("dev", lambda: Timed({}, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    began = time.monotonic()
    supervisor.start()
    desk.wait_messages(1)
    assert time.monotonic() - began >= 0.2
    supervisor.request_stop()
    assert supervisor.join(10)


# --- commands


class Lamp(DeviceInterface):
    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.level = 0

    @command("LAMP_ON", level=integer(0, 100, default=100))
    def switch_on(self, level: int) -> list[InternalMsg]:
        if level == 13:
            raise CommandRefusedError("13 is out of order")
        self.level = level
        return [status("LAMP_STATE")]

    @command("LAMP_OFF")
    def switch_off(self) -> None:
        raise OSError("unplugged")

    def accepts(self, msg: InternalMsg) -> bool:
        return msg.iscmd and msg.device == "lamp"


def send(scene: Scene, action: str, device: str = "lamp", *, iscmd: bool = True, **arguments: Any) -> None:
    scene.inbox.push(InternalMsg(iscmd=iscmd, device=device, action=action, arguments=arguments))
    scene.step()


def outcome(scene: Scene) -> tuple[object, object]:
    (answer,) = [msg for msg in scene.outlet.messages if msg.is_outcome]
    return answer.argument("response"), answer.argument("reason")


def test_a_command_is_executed_by_its_method_and_answered_first(scenes: Callable[..., Scene]) -> None:
    scene = scenes(Lamp)
    send(scene, "LAMP_ON", level=40)
    assert scene.actions == ["LAMP_ON", "LAMP_STATE"]
    assert outcome(scene) == ("OK", "")


@pytest.mark.parametrize(
    ("action", "arguments", "reason"),
    [
        ("LAMP_DIM", {}, "'LAMP_DIM' is not an action of this device: use one of LAMP_ON, LAMP_OFF"),
        ("LAMP_ON", {"level": 101}, "argument 'level' is 101: expected at most 100"),
        ("LAMP_ON", {"level": 13}, "13 is out of order"),
    ],
)
def test_a_command_that_cannot_be_executed_is_refused_with_the_reason(
    scenes: Callable[..., Scene], action: str, arguments: dict[str, Any], reason: str
) -> None:
    scene = scenes(Lamp)
    send(scene, action, **arguments)
    assert outcome(scene) == ("REFUSED", reason)


def test_what_is_not_for_the_device_is_ignored(scenes: Callable[..., Scene]) -> None:
    scene = scenes(Lamp)
    send(scene, "LAMP_ON", "heater")
    send(scene, "LAMP_DIM", iscmd=False)
    assert scene.outlet.messages == []


def test_a_device_that_fails_while_it_executes_a_command_is_offline(
    scenes: Callable[..., Scene], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the device has failed: unplugged")
    scene = scenes(Lamp)
    send(scene, "LAMP_OFF")
    assert outcome(scene) == ("OFFLINE", "the device has failed: unplugged")


def test_an_interface_without_commands_answers_none(scenes: Callable[..., Scene]) -> None:
    scene = scenes()
    send(scene, "LAMP_ON")
    assert scene.outlet.messages == []


def test_two_methods_for_one_command_are_reported_when_the_class_is_defined() -> None:
    with pytest.raises(TypeError, match="Both: switch_on and light both execute 'LAMP_ON'"):

        class Both(Lamp):
            @command("LAMP_ON")
            def light(self) -> None: ...


def test_an_interface_declares_its_devices_and_the_signatures_of_its_commands() -> None:
    assert list(Interface.devices({})) == []
    assert Interface.signatures({}).writes is None
    assert Lamp.signatures({}).writes == {
        ("LAMP_ON", "level"): Signature(PointType.INTEGER, 0, 100),
        ("LAMP_OFF", ""): Signature(),
    }


# --- devices


def test_an_interface_reports_which_of_its_devices_it_has_heard(scenes: Callable[..., Scene]) -> None:
    scene = scenes()
    scene.interface.heard("boiler")
    assert scene.outlet.heard_devices == ["boiler"]
    scene.outlet.clear()
    assert scene.outlet.heard_devices == []


def test_an_outlet_may_ask_for_the_values_that_a_command_has_changed() -> None:
    class Asking(DeviceInterface):
        def ask(self, actions: Collection[str]) -> None:
            self.asked = list(actions)

    inbox, outlet = MsgList(), RecordingOutlet()
    interface = Asking({}, inbox, outlet)
    outlet.on_ask(["TEMPERATURE"])
    assert interface.asked == ["TEMPERATURE"]
    DeviceInterface({}, inbox, outlet)
    outlet.on_ask(["TEMPERATURE"])  # the default does nothing
    inbox.close()


class AskingLamp(Lamp):
    """A lamp of which the gateway knows a point; it reports its state only for high levels."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.asked: list[str] = []

    @command("LAMP_ON", level=integer(0, 100))
    def switch_on(self, level: int) -> list[InternalMsg]:
        state = InternalMsg(device="lamp", action="LAMP_STATE", arguments={"level": level})
        return [state] if level > 50 else []

    def ask(self, actions: Collection[str]) -> None:
        self.asked += actions


def lamp_device() -> Device:
    points = {"level": {"from": "LAMP_STATE.level", "write": "LAMP_ON.level"}}
    data = [{"id": "lamp", "address": {"device": "lamp"}, "points": points}]
    (device,) = declare(data, AskingLamp.signatures({}), {}).devices
    return device


def test_a_value_is_asked_for_only_if_no_message_after_the_command_contains_it(scenes: Callable[..., Scene]) -> None:
    scene = scenes(AskingLamp)
    scene.outlet.devices.configure([lamp_device()], {}, {})
    send(scene, "LAMP_ON", level=80)
    assert scene.actions == ["LAMP_ON", "LAMP_STATE"]
    assert scene.interface.asked == []  # type: ignore[attr-defined]
    send(scene, "LAMP_ON", level=20)
    assert scene.interface.asked == ["LAMP_STATE"]  # type: ignore[attr-defined]


def test_a_device_that_the_configuration_does_not_know_is_logged_if_it_is_heard(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: there is no device with the id 'lamps': known here: lamp")
    desk = Desk()
    interface = AskingLamp({}, desk.inbox, desk.outlet)
    interface.heard("none")  # the configuration has no devices at all
    desk.outlet.devices.configure([lamp_device()], {}, {})
    interface.heard("lamp")
    interface.heard("lamps")
    desk.inbox.close()


# --- notifications


class Notified(Interface):
    """Records its notifications."""

    waits_itself = True
    fails = False

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.events: list[object] = []
        self.threads: set[str] = set()

    def loop(self) -> None:
        self.msglist_in.pull(block=True, timeout=10)

    def on_link(self, up: bool, session_present: bool) -> Iterable[InternalMsg] | None:
        self._record((up, session_present, self.is_connected))
        if self.fails:
            raise ValueError("of a bad heart")
        return [status("UP")] if up else None

    def on_crowded(self) -> None:
        self._record("crowded")

    def on_room(self) -> list[InternalMsg]:
        self._record("room")
        return [status("ROOM")]

    def _record(self, event: object) -> None:
        self.events.append(event)
        self.threads.add(threading.current_thread().name)


class NotifiedDevice(Notified, DeviceInterface):
    loop = DeviceInterface.loop


class Runs:
    """Runs an interface; the test notifies it."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.interface: Notified | None = None
        self.supervisor: Supervisor | None = None

    def start(self, cls: type[Notified] = Notified) -> Notified:
        self.supervisor = Supervisor("dev", lambda: self._build(cls), self.desk.inbox, self.desk.outlet)
        self.supervisor.start()
        self.desk.wait_availability("online")
        assert self.interface is not None
        return self.interface

    def _build(self, cls: type[Notified]) -> Notified:
        self.interface = cls({}, self.desk.inbox, self.desk.outlet)
        return self.interface

    def set_link(self, is_up: bool, session_present: bool = False, number: int = 1) -> None:
        self.desk.outlet.link = LinkStatus(is_up, session_present, number)
        if self.supervisor is not None:
            self.supervisor.notify()

    def stop(self) -> None:
        if self.supervisor is not None:
            self.supervisor.request_stop()
            assert self.supervisor.join(10)
            assert self.supervisor.failures == 0


@pytest.fixture
def runs() -> Iterator[Runs]:
    made = Runs()
    yield made
    made.stop()


@pytest.mark.parametrize("cls", [Notified, NotifiedDevice])
def test_an_interface_is_notified_of_the_link_in_its_own_thread(runs: Runs, cls: type[Notified]) -> None:
    interface = runs.start(cls)
    runs.set_link(True, session_present=True)
    wait_until(lambda: interface.events == [(True, True, True)])
    runs.set_link(False)
    wait_until(lambda: interface.events == [(True, True, True), (False, False, False)])
    assert interface.threads == {"dev"}
    assert [msg.action for msg in runs.desk.collect()] == ["UP"]


def test_an_interface_that_starts_later_is_notified_of_the_link_that_is_up(runs: Runs) -> None:
    runs.set_link(True)
    interface = runs.start()
    wait_until(lambda: interface.events == [(True, False, True)])


def test_an_interface_is_not_notified_of_a_loss_of_what_it_never_had(runs: Runs) -> None:
    runs.set_link(False, number=3)
    interface = runs.start()
    runs.set_link(False, number=4)
    runs.set_link(True, number=5)
    wait_until(lambda: bool(interface.events))
    assert interface.events == [(True, False, True)]


def test_a_link_that_was_lost_and_is_up_again_before_it_is_noticed_counts_as_another_one(runs: Runs) -> None:
    gate = threading.Event()
    waiting = threading.Event()

    class Busy(Notified):
        def loop(self) -> None:
            if self.events:
                waiting.set()
                gate.wait(10)
            super().loop()

    interface = runs.start(Busy)
    runs.set_link(True, number=1)
    assert waiting.wait(10)
    runs.set_link(False, number=1)
    runs.set_link(True, session_present=True, number=2)
    gate.set()
    wait_until(lambda: interface.events == [(True, False, True), (True, True, True)])


def test_an_interface_with_threads_of_its_own_is_notified_too(runs: Runs) -> None:
    class Started(Notified):
        loop = None  # type: ignore[assignment]

        def loop_start(self) -> None:
            """Return immediately."""

    interface = runs.start(Started)
    runs.set_link(True)
    wait_until(lambda: interface.events == [(True, False, True)])


def test_an_exception_in_a_notification_is_logged_and_ends_nothing(
    runs: Runs, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(f"dev: on_link() failed at {__file__}:", "ValueError: of a bad heart")

    class Failing(Notified):
        fails = True

    interface = runs.start(Failing)
    for number in range(1, 4):
        runs.set_link(True, number=number)
        wait_until(lambda number=number: len(interface.events) == number)  # type: ignore[misc]
    assert sum("of a bad heart" in text for text in caplog.messages) == 1


def test_an_interface_is_notified_when_the_outbox_is_nearly_full_and_has_room_again(
    runs: Runs, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("outbox 80 % full")
    desk = runs.desk
    desk.outbox = Outbox(OutboxOptions(max_messages=10))
    desk.outlet = Outlet("dev", desk.map, desk.outbox, lambda is_available: desk.availability.append("online"))
    interface = runs.start()
    supervisor = runs.supervisor
    assert supervisor is not None
    desk.outbox.on_level_change = supervisor.notify
    for _ in range(8):
        desk.outlet.push(status("READING"))
    wait_until(lambda: interface.events == ["crowded"])
    levels = [desk.outlet.is_crowded]
    desk.outbox.settle(desk.outbox.take(3))
    wait_until(lambda: interface.events == ["crowded", "room"])
    assert [*levels, desk.outlet.is_crowded] == [True, False]
    wait_until(lambda: desk.collect()[-1].action == "ROOM")
    desk.availability.clear()


def test_notifications_do_not_shorten_the_delay_before_an_interface_is_built_again(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("the interface failed and will be restarted")
    builds: list[int] = []
    desk = Desk()

    class Broken(Interface):
        def loop(self) -> None:
            raise ValueError("broken")

    def build() -> Interface:
        builds.append(len(builds))
        return Broken({}, desk.inbox, desk.outlet)

    supervisor = Supervisor("dev", build, desk.inbox, desk.outlet, Backoff(3600.0, 3600.0, lambda _, longest: longest))
    supervisor.start()
    try:
        wait_until(lambda: supervisor.failures == 1)
        for _ in range(50):
            supervisor.notify()
            time.sleep(0.005)  # so that the thread has time to wake for each of them, which it must not do for good
        assert builds == [0]
    finally:
        supervisor.request_stop()
        assert supervisor.join(10)


class AskedDevice(NotifiedDevice):
    def ask(self, actions: Collection[str]) -> None:
        self._record(tuple(actions))


def test_what_another_thread_asks_for_is_asked_by_the_thread_of_the_interface(runs: Runs) -> None:
    device = runs.start(AskedDevice)
    runs.desk.outlet.ask_later(["TEMPERATURE"])
    assert runs.supervisor is not None
    runs.supervisor.notify()
    wait_until(lambda: device.events == [("TEMPERATURE",)], what=lambda: str(device.events))
    assert device.threads == {"dev"}


# --- what was refused


def test_push_all_returns_how_many_messages_were_refused(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("'/' is not allowed in a topic", "outbox full", "outbox 100 % full")
    outlet = RecordingOutlet("dev")
    assert outlet.push_all([status("A"), InternalMsg(location="a/b", action="B"), status("C")]) == 1
    assert outlet.push_all(()) == 0
    small = Outbox(OutboxOptions(max_messages=10, discard=DiscardPolicy.NEW))
    full = Outlet("dev", MsgMap("home", sender="gw"), small)
    assert full.push_all([status(str(number)) for number in range(25)]) == 15
