from __future__ import annotations

import os
import pty
import random
import select
import socket
import threading
import time
import tty
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.configuration.interface_loader import BUILT_IN, find_interface
from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import interface_schema
from gateway.core.backoff import Backoff
from gateway.core.inbox import MsgList
from gateway.core.throttled_exception import report_suppressed
from gateway.devices.point import Device as DeviceOptions
from gateway.errors import DeviceAwaitedError, DeviceError, Problem
from gateway.interface import DeviceInterface, Interface
from gateway.message import Argument, InternalMsg
from gateway.routing.command_index import CommandIndex
from gateway.routing.outlet import Outlet
from gateway.runtime.supervisor import Supervisor
from tests.conftest import ExpectedLogs
from tests.support.desk import Desk
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

# --- a device in memory, and an interface to it


class Device:
    """A device that sends lines, over a pair of sockets: the test has one end, the interface the other."""

    def __init__(self) -> None:
        self.is_there = True
        self.opened = self.closed = 0
        self.end: socket.socket | None = None  # the test's

    def plug(self) -> socket.socket:
        if not self.is_there:
            raise FileNotFoundError(2, "No such device")
        self.opened += 1
        self.unplug()
        self.end, other = socket.socketpair()
        return other

    def send(self, text: str) -> None:
        assert self.end is not None
        self.end.sendall(text.encode())

    def receive(self, count: int) -> bytes:
        """Return the next `count` bytes that were written to the device."""
        assert self.end is not None
        self.end.settimeout(10)
        data = b""
        while len(data) < count:
            data += self.end.recv(count - len(data))
        return data

    def unplug(self) -> None:
        if self.end is not None:
            self.end.close()


class Lines(DeviceInterface):
    """Every line of the device is a status; every command is written as a line."""

    device: Device

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.device = params["device"]
        self.socket: socket.socket | None = None
        self.partial_line = b""

    def open(self) -> None:
        self.socket = self.device.plug()

    def fileno(self) -> int | None:
        return self.socket.fileno() if self.socket is not None else None

    def read(self) -> Iterable[InternalMsg]:
        assert self.socket is not None
        data = self.socket.recv(4096)
        if not data:
            raise DeviceError("the device has hung up")
        *lines, self.partial_line = (self.partial_line + data).split(b"\n")
        return [InternalMsg(device="line", action=line.decode()) for line in lines]

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        assert self.socket is not None
        self.socket.sendall(f"{msg.action}\n".encode())
        return [msg.reply("OK")]

    def close(self) -> None:
        if self.socket is not None:
            self.device.closed += 1
            self.socket.close()
        self.socket = None

    def describe(self) -> str:
        return "the line"


class Generating(Lines):
    """The same with generators, which do their work only when they are gone through."""

    def read(self) -> Iterable[InternalMsg]:
        yield from super().read()

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        if self.device.end is None or not self.device.is_there:
            raise OSError(5, "Input/output error")
        yield from super().write(msg)


class Bench:
    """A device, an interface to it, and the thread that runs it."""

    def __init__(self, devices: Sequence[DeviceOptions] = ()) -> None:
        self.desk = Desk(devices=devices)
        self.device = Device()
        self.interface: DeviceInterface | None = None
        self._supervisor: Supervisor | None = None

    def start(self, cls: type[DeviceInterface] = Lines, **params: Any) -> None:
        def build() -> DeviceInterface:
            self.interface = cls({"device": self.device, **params}, self.desk.inbox, self.desk.outlet)
            return self.interface

        self._supervisor = Supervisor("dev", build, self.desk.inbox, self.desk.outlet)
        self._supervisor.start()

    def command(self, action: str, device: str = "") -> None:
        self.desk.inbox.push(InternalMsg(iscmd=True, sender="me", device=device, action=action))

    def answers(self, count: int) -> list[tuple[str, object, object]]:
        """Return action, response and reason of the first replies, once there are `count` of them."""

        def replies() -> list[InternalMsg]:
            return [msg for msg in self.desk.collect() if "response" in msg.arguments]

        wait_until(lambda: len(replies()) >= count, what=lambda: f"{count} replies; got {self.desk.messages}")
        return [(msg.action, msg.argument("response"), msg.argument("reason")) for msg in replies()]

    def lines(self, count: int) -> list[str]:
        """Return the lines that have become statuses, once there are `count` of them."""

        def received() -> list[str]:
            return [msg.action for msg in self.desk.collect() if msg.device == "line"]

        wait_until(lambda: len(received()) >= count, what=lambda: f"{count} lines; got {received()}")
        return received()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.request_stop()
            assert self._supervisor.join(10), "the interface did not stop"
            assert self._supervisor.failures == 0
        self.device.unplug()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.stop()


# --- the ordinary way


def test_data_of_the_device_becomes_messages_in_order(bench: Bench) -> None:
    bench.start()
    bench.desk.wait_availability("online")
    expected = [f"line {number}" for number in range(500)]
    data = "".join(f"{line}\n" for line in expected)
    chance = random.Random(1)
    while data:
        size = chance.randint(1, 40)
        bench.device.send(data[:size])
        data = data[size:]
    assert bench.lines(500) == expected


def test_every_command_is_written_and_answered_in_its_order(bench: Bench) -> None:
    bench.start()
    bench.desk.wait_availability("online")
    expected = [f"do {number}" for number in range(500)]
    for action in expected:
        bench.command(action)
    data = "".join(f"{action}\n" for action in expected).encode()
    assert bench.device.receive(len(data)) == data
    assert bench.answers(500) == [(action, "OK", "") for action in expected]


@pytest.mark.parametrize("cls", [Lines, Generating])
def test_reading_and_writing_do_not_keep_each_other_waiting(cls: type[Lines], bench: Bench) -> None:
    bench.start(cls)
    bench.desk.wait_availability("online")
    for number in range(300):
        bench.device.send(f"line {number:03}\n")
        bench.command(f"do {number:03}")
        if number >= 100:
            assert bench.device.receive(7) == f"do {number - 100:03}\n".encode()
    assert bench.lines(300) == [f"line {number:03}" for number in range(300)]
    assert len(bench.answers(300)) == 300


def test_a_command_just_after_an_answer_is_processed_before_the_device_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceInterface, "next_message_wait", 1.0)
    monkeypatch.setattr(DeviceInterface, "longest_read_delay", 0.5)

    class Echo(Lines):
        def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
            self.device.send(f"line {msg.action}\n")
            return super().write(msg)

    bench.start(Echo)
    bench.desk.wait_availability("online")
    bench.command("1")
    bench.answers(1)
    bench.command("2")
    assert bench.lines(2) == ["line 1", "line 2"]
    assert [msg.action for msg in bench.desk.messages] == ["1", "2", "line 1", "line 2"]


def test_an_answer_is_sent_by_another_thread_before_the_device_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceInterface, "longest_read_delay", -1.0)
    monkeypatch.setattr(Outlet, "yield_seconds", 1.0)
    done: list[str] = []
    is_put = threading.Event()

    def send() -> None:
        assert is_put.wait(10)
        time.sleep(0.1)  # it has something else to do before
        done.extend(msg.action for msg in bench.desk.collect())

    class Echo(Lines):
        def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
            self.device.send("line\n")
            return super().write(msg)

        def read(self) -> Iterable[InternalMsg]:
            done.append("read")
            return super().read()

    sender = threading.Thread(target=send)
    sender.start()
    bench.desk.outbox.on_put = lambda _: is_put.set()
    bench.start(Echo)
    bench.desk.wait_availability("online")
    bench.command("1")
    sender.join(10)
    assert bench.lines(1) == ["line"]
    assert done == ["1", "read"]


def test_data_that_arrives_while_waiting_for_the_next_message_is_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise something due meanwhile, such as the timeout of an answer, would come first."""
    monkeypatch.setattr(DeviceInterface, "next_message_wait", 0.1)
    monkeypatch.setattr(DeviceInterface, "longest_read_delay", 0.1)
    done: list[object] = []

    class Noting(Lines):
        read_interval = 0.001

        def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
            done.append("write")
            self.device.send("line\n")
            return super().write(msg)

        def read(self) -> Iterable[InternalMsg]:
            done.append(self.is_readable)
            return super().read() if self.is_readable else ()

    bench.start(Noting)
    bench.desk.wait_availability("online")
    bench.command("1")
    assert bench.lines(1) == ["line"]
    assert done[done.index("write") + 1] is True


def test_a_device_is_read_even_under_constant_commands(bench: Bench) -> None:
    class Endless(Lines):
        goes_on = True

        def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
            if self.goes_on:
                self.msglist_in.push(msg)
            return [msg.reply("OK")]

    bench.start(Endless)
    bench.desk.wait_availability("online")
    bench.command("again")
    bench.answers(1)
    bench.device.send("line\n")
    try:
        assert bench.lines(1) == ["line"]
    finally:
        Endless.goes_on = False


def test_the_device_is_closed_at_the_end(bench: Bench) -> None:
    bench.start()
    bench.desk.wait_availability("online")
    bench.stop()
    assert (bench.device.opened, bench.device.closed) == (1, 1)
    bench.desk.wait_availability("online", "offline")


def test_opening_is_logged_with_the_name_of_the_device(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.start()
    bench.desk.wait_availability("online")
    wait_until(lambda: caplog.messages == ["dev: the line is open"])


def test_read_is_called_regularly_if_there_is_no_descriptor(bench: Bench) -> None:
    class Clock(DeviceInterface):
        read_interval = 0.01

        def read(self) -> Iterable[InternalMsg]:
            yield InternalMsg(device="line", action="tick")

    bench.start(Clock)
    bench.lines(3)


def test_a_silent_device_is_not_read(bench: Bench) -> None:
    reads: list[int] = []

    class Silent(Lines):
        def read(self) -> Iterable[InternalMsg]:
            reads.append(1)
            return super().read()

    bench.start(Silent)
    bench.desk.wait_availability("online")
    for _ in range(3):
        bench.desk.inbox.wake()
    bench.command("ping")
    bench.answers(1)
    assert reads == []


def test_being_woken_without_a_message_ends_one_wait_only(bench: Bench) -> None:
    interface = Lines({"device": bench.device}, bench.desk.inbox, bench.desk.outlet)
    bench.desk.inbox.wake()
    interface.loop()
    assert not select.select([bench.desk.inbox.fileno()], [], [], 0)[0]
    interface.loop_stop()


def test_the_four_methods_have_a_default_each(bench: Bench) -> None:
    bench.start(DeviceInterface)
    bench.desk.wait_availability("online")
    bench.command("ping")
    wait_until(lambda: len(bench.desk.inbox) == 0)
    assert bench.interface is not None
    assert (bench.interface.describe(), bench.interface.fileno()) == ("the device", None)
    assert Interface({}, bench.desk.inbox, bench.desk.outlet).SCHEMA == {}
    assert list(Interface.check({})) == []


# --- a device that is gone


def test_a_missing_device_is_logged_once_and_opened_when_it_appears(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    text = "dev: cannot open the line: [Errno 2] No such device; will keep retrying"
    expected_logs.expect(text)
    bench.device.is_there = False
    bench.start()
    bench.desk.wait_availability("offline")
    bench.device.is_there = True
    bench.desk.wait_availability("offline", "online")
    assert caplog.messages.count(text) == 1
    bench.device.send("hello\n")
    assert bench.lines(1) == ["hello"]


def test_another_reason_why_a_device_is_missing_is_logged(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceInterface, "reopen_delays", (0.001, 0.001))
    reasons = ["No such device"] * 3 + ["Permission denied"] * 3 + ["No such device", "Permission denied"] * 3
    remaining = iter(reasons)

    class Refused(Lines):
        def open(self) -> None:
            reason = next(remaining, "")
            if reason:
                raise OSError(reason)
            super().open()

    for reason in set(reasons):
        expected_logs.expect(f"dev: cannot open the line: {reason}; will keep retrying")
    bench.start(Refused)
    bench.desk.wait_availability("offline", "online")
    logged = [text for text in caplog.messages if "cannot open" in text]
    assert len(logged) == 2, "each of them once, however often they alternate"
    report_suppressed(time.monotonic() + 600)
    assert "No such device; will keep retrying (3 more times in the last " in caplog.messages[-1]


def test_a_device_that_was_unplugged_and_then_denies_access_is_logged(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the device is absent is already logged; that it is back with other rules is not."""
    monkeypatch.setattr(DeviceInterface, "reopen_delays", (0.001, 0.001))
    tries: list[OSError] = [FileNotFoundError(2, "No such device")] * 3 + [PermissionError(13, "Permission denied")]

    class Replugged(Lines):
        def open(self) -> None:
            if self.device.opened and tries:
                raise tries.pop(0)
            super().open()

    expected_logs.expect("dev: the line has failed: the device has hung up", "dev: cannot open the line: [Errno 13]")
    bench.start(Replugged)
    bench.desk.wait_availability("online")
    bench.device.unplug()
    bench.desk.wait_availability("online", "offline", "online")
    assert len([text for text in caplog.messages if "will keep retrying" in text]) == 2


def test_a_device_that_was_unplugged_is_closed_and_opened_again(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: the line has failed: the device has hung up; will keep retrying")
    bench.start()
    bench.desk.wait_availability("online")
    bench.device.send("one\n")
    bench.lines(1)
    bench.device.is_there = False
    bench.device.unplug()
    bench.desk.wait_availability("online", "offline")
    assert bench.device.closed == 1
    bench.device.is_there = True
    bench.desk.wait_availability("online", "offline", "online")
    bench.device.send("two\n")
    assert bench.lines(2) == ["one", "two"]


def test_a_device_is_offline_for_the_present_reason(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: the line has failed: the device has hung up; will keep retrying")
    bench = Bench([DeviceOptions("lamp", ())])
    bench.start()
    bench.desk.wait_availability("online")
    bench.device.unplug()
    bench.desk.wait_availability("online", "offline", "online")
    bench.stop()
    assert bench.desk.reasons == ["the line has failed: the device has hung up", "the gateway has stopped"]


def test_every_unplugging_is_logged(
    bench: Bench, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    text = "dev: the line has failed: the device has hung up; will keep retrying"
    expected_logs.expect(text)
    bench.start()
    for times in (1, 2):
        bench.desk.wait_availability(*(["online", "offline"] * times)[:-1])
        bench.device.unplug()
        bench.desk.wait_availability(*["online", "offline"] * times, "online")
    assert caplog.messages.count(text) == 2


def test_a_device_that_fails_as_soon_as_it_is_open_is_tried_less_and_less_often(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: the line has failed")
    delays: list[float] = []

    def longest(_: float, bound: float) -> float:
        delays.append(bound)
        return 0.0 if len(delays) < 8 else 3600.0

    class Dead(Lines):
        def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
            super().__init__(params, msglist_in, msglist_out)
            self.reopen_backoff = Backoff(0.5, 30.0, longest)

        def fileno(self) -> int | None:
            raise OSError(5, "Input/output error")

    bench.start(Dead)
    wait_until(lambda: len(delays) >= 8)
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_command_while_the_device_is_offline_is_answered(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("cannot open the line")
    bench.device.is_there = False
    bench.start()
    bench.desk.wait_availability("offline")
    bench.command("open", device="gate")
    bench.desk.inbox.push(InternalMsg(action="a status of another sender"))
    bench.command("close", device="gate")
    assert bench.answers(2) == [
        ("open", "OFFLINE", "the line is offline"),
        ("close", "OFFLINE", "the line is offline"),
    ]
    (msg, _) = bench.desk.messages
    assert (msg.iscmd, msg.device, msg.sender) == (False, "gate", "gw")


def test_a_command_that_is_for_another_device_is_not_answered(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("cannot open the line")

    class Choosy(Lines):
        def accepts(self, msg: InternalMsg) -> bool:
            return msg.iscmd and msg.device == "gate"

    bench.device.is_there = False
    bench.start(Choosy)
    bench.command("open", device="lamp")
    bench.command("open", device="gate")
    bench.answers(1)
    wait_until(lambda: len(bench.desk.inbox) == 0)
    assert [msg.device for msg in bench.desk.collect()] == ["gate"]


@pytest.mark.parametrize("cls", [Lines, Generating])
def test_a_command_that_the_device_does_not_accept_is_answered_and_the_following_ones_too(
    cls: type[Lines], bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: the line has failed: [Errno")

    class Breaking(cls):  # type: ignore[valid-type,misc]
        def read(self) -> Iterable[InternalMsg]:
            return ()  # the first to notice is write

        def fileno(self) -> int | None:
            return None

    bench.start(Breaking)
    bench.desk.wait_availability("online")
    bench.device.is_there = False
    bench.device.unplug()
    for action in ("one", "two", "three"):  # while the first is being written, the others wait
        bench.command(action)
    first, *others = bench.answers(3)
    assert first[:2] == ("one", "OFFLINE")
    assert str(first[2]).startswith("the line has failed: [Errno")
    assert others == [("two", "OFFLINE", "the line is offline"), ("three", "OFFLINE", "the line is offline")]


def test_closing_a_device_that_is_broken_may_fail(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the line has failed")

    class Broken(Lines):
        def close(self) -> None:
            super().close()
            if not self.device.is_there:
                raise DeviceError("it is gone")

    bench.start(Broken)
    bench.desk.wait_availability("online")
    bench.device.is_there = False
    bench.device.unplug()
    bench.desk.wait_availability("online", "offline")
    bench.device.is_there = True
    bench.desk.wait_availability("online", "offline", "online")


def test_an_interface_with_a_missing_device_stops_immediately(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("cannot open the line")

    class Patient(Lines):
        def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
            super().__init__(params, msglist_in, msglist_out)
            self.reopen_backoff = Backoff(3600.0, 3600.0, uniform=lambda _, bound: bound)

    bench.device.is_there = False
    bench.start(Patient)
    bench.desk.wait_availability("offline")
    bench.stop()


def test_a_pty_that_hangs_up_is_noticed_as_well(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: the line has failed: ")
    far, near = pty.openpty()
    tty.setraw(near)

    class Terminal(Lines):
        fd = -1

        def open(self) -> None:
            self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        def fileno(self) -> int | None:
            return self.fd

        def read(self) -> Iterable[InternalMsg]:
            data = os.read(self.fd, 4096)
            if not data:
                raise DeviceError("the device has hung up")
            return [InternalMsg(device="line", action=data.decode())]

        def close(self) -> None:
            if self.fd >= 0:
                os.close(self.fd)
            self.fd = -1

    path = os.ttyname(near)
    bench.start(Terminal)
    bench.desk.wait_availability("online")
    os.write(far, b"hello")
    assert bench.lines(1) == ["hello"]
    os.close(near)
    os.close(far)
    bench.desk.wait_availability("online", "offline")
    bench.stop()  # its last messages are sent during the stop


def test_a_bug_is_not_treated_as_a_missing_device(bench: Bench) -> None:
    class Buggy(Lines):
        def read(self) -> Iterable[InternalMsg]:
            raise KeyError("temperature")

    interface = Buggy({"device": bench.device}, bench.desk.inbox, bench.desk.outlet)
    interface.loop_stop()  # before it was ever opened
    bench.desk.inbox.wake()
    interface.loop()
    assert interface.is_open
    bench.device.send("x\n")
    with pytest.raises(KeyError, match="temperature"):
        interface.loop()
    interface.loop_stop()
    assert (interface.is_open, bench.device.closed) == (False, 1)


# --- the contract that every interface must pass

OWN = '''
from gateway.interface import DeviceInterface
from gateway.message import InternalMsg

class Heater(DeviceInterface):
    """An interface as an author writes it: four short methods, or fewer."""

    SCHEMA = {"properties": {"degrees": {"type": "number", "default": 20, "description": "Target."}}}
    read_interval = 0.01

    def read(self):
        yield InternalMsg(function="heating", action="TEMPERATURE", arguments={"degrees": self.params["degrees"]})

    def write(self, msg):
        yield msg.reply("OK")
'''

COMMANDS: Mapping[str, InternalMsg] = {
    "dummy": InternalMsg(iscmd=True, location="office", device="lamp", sender="me", action="LAMP_ON"),
    "serial": InternalMsg(iscmd=True, device="gate", sender="me", action="GATE_OPEN"),
    "own": InternalMsg(iscmd=True, device="heater", sender="me", action="ON"),
}


@pytest.fixture(params=[*BUILT_IN, "own"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cls(kind: str, tmp_path: Path) -> type[Any]:
    if kind in BUILT_IN:
        return find_interface(kind, tmp_path)
    (tmp_path / "heater.py").write_text(OWN)
    return find_interface("heater.py", tmp_path)


@pytest.fixture
def params(kind: str, cls: type[Any]) -> Iterator[Mapping[str, Any]]:
    """Options for the interface, and where it needs one, a device: a pty."""
    options: dict[str, Any] = {}
    descriptors: list[int] = []
    if kind == "serial":
        descriptors += pty.openpty()
        tty.setraw(descriptors[1])
        encode = [{"match": {"device": "gate", "action": "GATE_OPEN"}, "write": "21"}]
        options = {"port": os.ttyname(descriptors[1]), "encode": encode}
    yield fill_defaults(options, interface_schema(cls))
    for fd in descriptors:
        os.close(fd)


def test_an_interface_has_a_schema_that_documents_every_option(cls: type[Any]) -> None:
    schema = interface_schema(cls)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(option.get("description") for option in schema["properties"].values())


def test_valid_options_have_no_problems(cls: type[Any], params: Mapping[str, Any]) -> None:
    problems: list[Problem] = list(cls.check(params))
    assert problems == []


def test_an_interface_is_built_without_touching_its_device(
    cls: type[Any], kind: str, params: Mapping[str, Any]
) -> None:
    desk = Desk()
    before = set(threading.enumerate())
    interface = cls({**params, "port": "/dev/there-is-none"}, desk.inbox, desk.outlet)
    assert callable(getattr(interface, "loop", None)) or callable(getattr(interface, "loop_start", None))
    assert set(threading.enumerate()) == before
    assert desk.collect() == []
    interface.loop_stop()
    desk.inbox.close()


def test_an_interface_runs_answers_as_this_gateway_and_stops(
    cls: type[Any], kind: str, params: Mapping[str, Any]
) -> None:
    desk = Desk()
    supervisor = Supervisor("dev", lambda: cls(params, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    supervisor.start()
    desk.wait_availability("online")
    command = COMMANDS[kind]
    desk.inbox.push(command)

    def answers() -> list[InternalMsg]:
        return [msg for msg in desk.collect() if "response" in msg.arguments]

    wait_until(answers, what="an answer")
    (answer,) = answers()
    assert (answer.iscmd, answer.action, answer.sender) == (False, command.action, "gw")
    assert (answer.location, answer.device) == (command.location, command.device)
    assert answer.argument("response") == "OK"
    supervisor.request_stop()
    assert supervisor.join(10)
    desk.wait_availability("online", "offline")
    assert (supervisor.failures, desk.outlet.refused) == (0, 0)


def test_an_interface_lives_with_whatever_message_comes(cls: type[Any], kind: str, params: Mapping[str, Any]) -> None:
    desk = Desk()
    supervisor = Supervisor("dev", lambda: cls(params, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    supervisor.start()
    command = COMMANDS[kind]
    odd = [
        InternalMsg(),
        InternalMsg(iscmd=True),
        command.reply("OK"),
        InternalMsg(iscmd=True, device=command.device, location=command.location, action="NO_SUCH_ACTION"),
        InternalMsg(iscmd=True, device=command.device, action="\x00\n{", arguments={"a": None, "": [1, {"b": 2}]}),
    ]
    for msg in [*odd, command]:
        desk.inbox.push(msg)
    wait_until(lambda: any(m.argument("response") == "OK" and m.action == command.action for m in desk.collect()))
    supervisor.request_stop()
    assert supervisor.join(10)
    assert supervisor.failures == 0


def test_a_stopped_interface_releases_everything(cls: type[Any], params: Mapping[str, Any]) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def run() -> None:
        desk = Desk()
        supervisor = Supervisor("dev", lambda: cls(params, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
        supervisor.start()
        desk.wait_availability("online")
        supervisor.request_stop()
        assert supervisor.join(10)

    run()
    before = descriptors()
    for _ in range(3):
        run()
    assert descriptors() == before


# --- the dummy, which people copy


def test_the_dummy_reports_its_state_immediately_after_a_command() -> None:
    desk = Desk()
    params = fill_defaults({"type": "dummy", "interval": 3600}, interface_schema(find_interface("dummy", Path())))
    cls = find_interface("dummy", Path())
    supervisor = Supervisor("dev", lambda: cls(params, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    supervisor.start()
    desk.wait_messages(1)
    desk.inbox.push(InternalMsg(True, device="lamp", action="LAMP_ON"))
    first, answer, state = desk.wait_messages(3)
    supervisor.request_stop()
    assert supervisor.join(10)
    assert (first.action, first.argument("on")) == ("LAMP_STATE", False)
    assert (answer.action, answer.argument("response")) == ("LAMP_ON", "OK")
    assert (state.action, state.argument("on"), state.location) == ("LAMP_STATE", True, "office")


@pytest.mark.parametrize("device", ["lamp", "", "heater"])
@pytest.mark.parametrize("location", ["office", "", "hall"])
def test_the_addresses_of_the_dummy_are_those_of_the_commands_that_it_accepts(device: str, location: str) -> None:
    cls, desk = find_interface("dummy", Path()), Desk()
    params = fill_defaults({"type": "dummy"}, interface_schema(cls))
    msg = InternalMsg(True, function="lighting", location=location, device=device, action="LAMP_ON")
    is_own = device != "heater" and location != "hall"
    assert cls(params, desk.inbox, desk.outlet).accepts(msg) is is_own
    assert (CommandIndex({"dev": cls.addresses(params)}).interfaces_for(msg) == ("dev",)) is is_own
    desk.inbox.close()


@pytest.mark.parametrize(
    ("action", "arguments", "reason"),
    [
        ("LAMP_DIM", {}, "'LAMP_DIM' is not an action of this device: use one of LAMP_ON, LAMP_OFF"),
        ("LAMP_ON", {"level": 5}, "argument 'level' is unknown: this command has no arguments"),
    ],
)
def test_the_dummy_refuses_unknown_commands(action: str, arguments: dict[str, Argument], reason: str) -> None:
    cls, desk = find_interface("dummy", Path()), Desk()
    dummy = cls(fill_defaults({"type": "dummy"}, interface_schema(cls)), desk.inbox, desk.outlet)
    (answer,) = dummy.write(InternalMsg(True, device="lamp", action=action, arguments=arguments))
    assert (answer.argument("response"), answer.argument("reason")) == ("REFUSED", reason)
    (state,) = dummy.read()
    assert state.argument("on") is False
    desk.inbox.close()


# --- the clock


def test_all_times_of_a_device_come_from_the_clock_of_its_class(expected_logs: ExpectedLogs) -> None:
    """A day passes in no time: reads are due, and the delay before the device is opened again is over."""
    fake = FakeClock(100.0)
    events: list[str] = []

    class Polled(DeviceInterface):
        clock = fake
        read_interval = 3600.0

        def open(self) -> None:
            events.append("open")

        def read(self) -> Iterable[InternalMsg]:
            events.append("read")
            if len(events) > 3:
                raise DeviceError("it broke")
            return ()

    expected_logs.expect("the device has failed: it broke")
    desk = Desk()
    device = Polled({}, desk.inbox, desk.outlet)

    def step(seconds: float) -> list[str]:
        count = len(events)
        fake.now += seconds
        desk.inbox.wake()  # so that the step does not really wait
        device.loop()
        return events[count:]

    assert step(0.0) == ["open", "read"]
    assert step(3599.0) == []
    assert step(1.0) == ["read"]
    assert step(3600.0) == ["read"]
    assert not device.is_open
    assert step(0.0) == []
    assert step(30.0) == ["open", "read"]
    desk.inbox.close()


# --- a device that connects by itself


class Listening(DeviceInterface):
    """Its device is there when something has arrived at a socket; it fails as soon as it is read."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.knock, self.device = socket.socketpair()
        self.opened: list[float] = []

    def opening_fileno(self) -> int | None:
        return self.knock.fileno()

    def open(self) -> None:
        if not select.select([self.knock], [], [], 0)[0]:
            raise DeviceAwaitedError("it is not there")
        self.opened.append(self.clock())

    def time_to_read(self) -> float | None:
        return 0.0

    def read(self) -> Iterable[InternalMsg]:
        raise DeviceError("it has gone")


def test_a_device_that_connects_is_opened_at_once_but_not_time_and_again(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("it has gone")
    clock = FakeClock()
    desk = Desk()
    interface = type("Listening", (Listening,), {"clock": staticmethod(clock)})({}, desk.inbox, desk.outlet)
    desk.inbox.wake()
    interface.loop()  # not there
    clock.now += 0.5
    for _ in range(20):
        interface.reopen_backoff.next_delay()
    interface.loop()  # not there; the next attempt would be in 30 s
    clock.now += 5
    interface.device.send(b"x")
    interface.loop()  # notices it
    desk.inbox.wake()
    interface.loop()
    assert interface.opened == [clock()]
    desk.inbox.wake()
    for _ in range(20):  # it fails, and is there all the time
        desk.inbox.wake()
        interface.loop()
    assert len(interface.opened) == 1
    clock.now += 0.5
    desk.inbox.wake()
    interface.loop()
    assert len(interface.opened) == 2
    interface.loop_stop()
    interface.knock.close()
    interface.device.close()
    desk.inbox.close()
