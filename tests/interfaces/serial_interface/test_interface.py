"""The serial interface with real ports: pseudo-terminals, a socket, a loop; also unplugged, stuck or in use."""

from __future__ import annotations

import json
import os
import re
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from gateway.interface import DeviceInterface
from gateway.message import InternalMsg
from interfaces.serial_interface.interface import READ_LOCK, SerialInterface
from interfaces.serial_interface.ports.descriptor_port import READ_ALL, READ_CHUNK, DescriptorPort
from interfaces.serial_interface.reports import FrameDropped
from tests.conftest import ExpectedLogs
from tests.support.broker import Listener, Mosquitto, free_port
from tests.support.configuration import serial_params, write_conf
from tests.support.desk import Desk
from tests.support.device import PtyDevice
from tests.support.fake_clock import FakeClock
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

AVAILABILITY = "home/gw/serial/availability"
COMMAND = "home/trial////me/C"


def serial_conf(folder: Path, broker: Mosquitto, port: object, **options: Any) -> Path:
    """Write the configuration of a device that sends and receives lines; return its path."""
    decode = {"regex": "(?P<text>.*)", "message": {"action": "LINE", "arguments": {"text": "{text}"}}}
    text = {"text": {"pattern": ".*", "max_length": 4096}}
    encode = {"match": {"action": "SAY"}, "arguments": text, "write": "{text}"}
    interface = {
        "type": "serial",
        "port": str(port),
        "address": {"function": "trial"},
        "framing": {"write_terminator": "\n"},
        "decode": [decode],
        "encode": [encode],
        **options,
    }
    return write_conf(folder, broker.port, interface=interface)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path) as pty:
        yield pty


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    with mosquitto.client("home/#") as client:
        yield client


def received(listener: Listener, action: str = "LINE", name: str = "text") -> list[Any]:
    """Return the texts that the device has sent, or an argument of other statuses."""
    statuses = [json.loads(payload) for topic, payload in listener.pairs() if topic.endswith("/gw/S")]
    return [status.get(name) for status in statuses if status["action"] == action]


def availability(listener: Listener) -> list[bytes]:
    return [payload for topic, payload in listener.pairs() if topic == AVAILABILITY]


def send_command(listener: Listener, text: str) -> None:
    listener.publish(COMMAND, json.dumps({"action": "SAY", "text": text}))


def wait_texts(listener: Listener, *texts: str) -> None:
    wait_until(lambda: len(received(listener)) >= len(texts), what=lambda: f"{texts}; got {received(listener)}")
    assert received(listener) == list(texts)


def wait_availability(listener: Listener, *payloads: bytes) -> None:
    wait_until(lambda: len(availability(listener)) >= len(payloads), what=lambda: f"{availability(listener)}")
    assert availability(listener) == list(payloads)


# --- a device that works


def test_lines_in_both_directions(tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path)) as gateway:
        wait_availability(listener, b"online")
        device.write(b"one\r\ntwo\n\nthree\r")
        wait_texts(listener, "one", "two", "three")
        send_command(listener, "hello")
        assert device.read_until(b"\n") == b"hello\n"
        wait_until(lambda: received(listener, "SAY", "response") == ["OK"], what=lambda: gateway.log)
        assert gateway.stop() < 2
        wait_availability(listener, b"online", b"offline")
        assert device.read_available() == b""


def test_a_fast_device_loses_nothing(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    lines = [f"line number {number}" for number in range(5000)]
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path)) as gateway:
        wait_availability(listener, b"online")
        device.write_chunks("".join(f"{line}\r\n" for line in lines).encode(), seed=1)
        wait_until(lambda: len(listener.messages) >= len(lines) + 2, 30, lambda: gateway.log)
        assert received(listener) == lines
        gateway.stop()


def test_noise_and_endless_lines_do_no_harm(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path, encoding="ascii")) as gateway:
        wait_availability(listener, b"online")
        device.write(bytes(range(128, 256)) + b"\n" + b"\x1b[2J\x07\xff\n")
        device.write(b"x" * 100_000 + b"\n")
        device.write(b"still there\n")
        wait_until(lambda: received(listener)[-1:] == ["still there"], what=lambda: gateway.log)
        assert received(listener) == ["still there"]
        gateway.stop()
        assert "frame dropped" in gateway.log
        assert "Traceback" not in gateway.log
        assert gateway.log.replace("\n", "").isprintable()
        assert max(map(len, gateway.log.splitlines())) < 600


def test_an_idle_device_lets_the_gateway_sleep(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path)) as gateway:
        wait_availability(listener, b"online")
        gateway.wake_ups(0.3)
        assert gateway.wake_ups(1.0) <= 6


# --- a device that is unplugged


def test_a_device_that_is_unplugged_and_plugged_in_again(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path)) as gateway:
        wait_availability(listener, b"online")
        device.write(b"one\nhalf of a li")
        wait_texts(listener, "one")
        device.unplug()
        wait_availability(listener, b"online", b"offline")
        send_command(listener, "are you there?")
        wait_until(lambda: received(listener, "SAY", "response"), what="an answer for the device")
        assert received(listener, "SAY", "response") == ["OFFLINE"]
        assert str(device.path) in received(listener, "SAY", "reason")[0]
        device.plug_in()
        wait_availability(listener, b"online", b"offline", b"online")
        device.write(b"two\n")
        wait_texts(listener, "one", "two")
        send_command(listener, "welcome back")
        assert device.read_until(b"\n") == b"welcome back\n"
        gateway.stop()
        assert "Traceback" not in gateway.log
        assert gateway.log.count("will keep retrying") == 1


def test_a_device_that_is_connected_later(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    device.unplug()
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path)) as gateway:
        wait_availability(listener, b"offline")
        gateway.wait_log(f"cannot open {device.path}: there is no such device; will keep retrying")
        device.plug_in()
        wait_availability(listener, b"offline", b"online")
        device.write(b"here I am\n")
        wait_texts(listener, "here I am")


def test_a_device_that_another_program_has_open(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    conf = serial_conf(tmp_path, mosquitto, device.path)
    with serial.Serial(str(device.path), exclusive=True), GatewayProcess(conf) as gateway:
        gateway.wait_log(": another program or interface has it open")
        other = gateway
        wait_availability(listener, b"offline")
        other.stop()
    with GatewayProcess(conf) as gateway:
        listener.wait_topic(AVAILABILITY, b"online")
        with pytest.raises(serial.SerialException):
            serial.Serial(str(device.path), exclusive=True)


# --- a device that stops reading


def test_a_device_that_stops_reading_is_closed_and_opened_again(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path, write_timeout=0.3)) as gateway:
        wait_availability(listener, b"online")
        for _ in range(40):
            send_command(listener, "x" * 4000)
        gateway.wait_log("it accepted no data for 0.3 s")
        listener.wait_topic(AVAILABILITY, b"offline")
        device.read_available(0.5)
        wait_until(lambda: availability(listener)[-1] == b"online", what=lambda: gateway.log)
        send_command(listener, "are you well?")
        device.read_until(b"are you well?\n")
        assert gateway.stop() < 3
        assert "Traceback" not in gateway.log


def test_a_gateway_stops_although_its_device_does_not_read(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path, write_timeout=60)) as gateway:
        wait_availability(listener, b"online")
        for _ in range(40):
            send_command(listener, "x" * 4000)
        wait_until(lambda: device.waiting > 1000 and gateway.wake_ups(0.2) <= 2, what="the line to be full")
        assert gateway.stop() < 4
        listener.wait_topic("home/gw/availability", b"offline")


# --- other ports


def test_a_device_behind_a_socket(tmp_path: Path, mosquitto: Mosquitto, listener: Listener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        conf = serial_conf(tmp_path, mosquitto, f"socket://127.0.0.1:{server.getsockname()[1]}")
        with GatewayProcess(conf) as gateway:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(20)
                wait_availability(listener, b"online")
                connection.sendall(b"one\r\nha")
                connection.sendall(b"lf\r\n")
                wait_texts(listener, "one", "half")
                send_command(listener, "hello")
                assert connection.recv(100) == b"hello\n"
            connection, _ = server.accept()
            with connection:
                wait_availability(listener, b"online", b"offline", b"online")
                connection.sendall(b"again\n")
                wait_texts(listener, "one", "half", "again")
                assert gateway.stop() < 2
            assert "Traceback" not in gateway.log


def test_a_loop_port(tmp_path: Path, mosquitto: Mosquitto, listener: Listener) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, "loop://")) as gateway:
        wait_availability(listener, b"online")
        send_command(listener, "echo")
        wait_texts(listener, "echo")
        assert gateway.stop() < 2


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("{folder}", "it is a directory, not a serial port"),
        ("{folder}/file", "it is not a serial port"),
        ("socket://127.0.0.1:{unused}", "nothing listens there"),
        ("rfc2217://127.0.0.1:{unused}", "nothing listens there"),
    ],
)
def test_the_reason_why_a_port_cannot_be_opened_is_logged(
    port: str, reason: str, tmp_path: Path, mosquitto: Mosquitto, listener: Listener
) -> None:
    (tmp_path / "file").touch()
    url = port.format(folder=tmp_path, unused=free_port())
    with GatewayProcess(serial_conf(tmp_path, mosquitto, url)) as gateway:
        wait_availability(listener, b"offline")
        gateway.wait_log(f"serial: cannot open {url}: ")
        assert gateway.stop() < 2
        assert reason in gateway.log
        assert "Traceback" not in gateway.log


def test_a_password_in_a_port_is_not_logged(tmp_path: Path, mosquitto: Mosquitto) -> None:
    port = f"rfc2217://user:secret@127.0.0.1:{free_port()}"
    with GatewayProcess(serial_conf(tmp_path, mosquitto, port)) as gateway:
        gateway.wait_log("cannot open")
        gateway.stop()
        assert "secret" not in gateway.log


def test_the_settings_are_applied_to_a_pty(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice, listener: Listener
) -> None:
    with GatewayProcess(serial_conf(tmp_path, mosquitto, device.path, baudrate=19200)):
        wait_availability(listener, b"online")
        fd = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
        try:
            assert termios.tcgetattr(fd)[5] == termios.B19200
        finally:
            os.close(fd)


# --- many devices

DECODE = [{"regex": "T (?P<t>[0-9]+)", "message": {"action": "T", "arguments": {"t": "{t}"}}}]


def opened(**options: Any) -> tuple[SerialInterface, Desk]:
    """Return an interface that has opened its port, and its surroundings."""
    desk = Desk()
    interface = SerialInterface(serial_params(**options), desk.inbox, desk.outlet)
    desk.inbox.wake()
    interface.loop()
    return interface, desk


def loop_in_thread(device: PtyDevice, **options: Any) -> tuple[threading.Thread, SerialInterface, Desk]:
    """Open the port of an interface, and loop once in a thread, with a frame to read."""
    interface, desk = opened(port=str(device.path), **options)
    device.write(b"T 21\n")
    thread = threading.Thread(target=interface.loop)
    thread.start()
    return thread, interface, desk


def stop(thread: threading.Thread, interface: SerialInterface, desk: Desk) -> None:
    thread.join(10)
    assert not thread.is_alive()
    interface.loop_stop()
    desk.inbox.close()


def test_one_interface_at_a_time_reads(device: PtyDevice) -> None:
    with READ_LOCK:
        thread, interface, desk = loop_in_thread(device, decode=DECODE)
        thread.join(0.2)
        assert thread.is_alive()
        assert not desk.collect()
    desk.wait_messages(1)
    stop(thread, interface, desk)


SLOW = "(?P<t>(?:T|TT)+) [0-9]+"
SLOW_ANSWER = {"write": "ASK", "match": {"action": "ASK"}, "response": {"regex": SLOW}}


@pytest.mark.parametrize(
    "options",
    [
        {"framing": {"type": "gap", "gap": 0.01}},
        {"decode": [{**DECODE[0], "regex": SLOW}]},
        {"decode": [{"lines": {"patterns": [SLOW]}, "message": DECODE[0]["message"]}]},
        {"encode": [SLOW_ANSWER]},
    ],
    ids=["frames end with silence", "a slow rule", "a slow rule for lines", "a slow answer"],
)
def test_an_interface_that_must_not_wait_or_block_does_not_use_the_read_lock(
    options: dict[str, Any], device: PtyDevice
) -> None:
    with READ_LOCK:
        thread, interface, desk = loop_in_thread(device, **{"decode": DECODE, **options})
        thread.join(10)
        assert not thread.is_alive()
    stop(thread, interface, desk)


def test_an_interface_with_nothing_to_read_does_not_use_the_read_lock(device: PtyDevice) -> None:
    desk = Desk()
    params = serial_params(port=str(device.path), conversation={"opening": [{"write": "HELLO"}]}, decode=DECODE)
    interface = SerialInterface(params, desk.inbox, desk.outlet)
    thread = threading.Thread(target=interface.loop)
    with READ_LOCK:
        thread.start()
        device.read_until(b"HELLO")
    stop(thread, interface, desk)


def test_an_interface_that_measures_silence_does_not_wait_for_the_next_command(
    device: PtyDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceInterface, "next_message_wait", 5.0)
    monkeypatch.setattr(DeviceInterface, "longest_read_delay", 5.0)
    framing = {"type": "gap", "gap": 0.01}
    encode = [{"match": {"action": "SAY"}, "write": "x"}]
    interface, desk = opened(port=str(device.path), framing=framing, decode=DECODE, encode=encode)
    desk.inbox.push(InternalMsg(iscmd=True, action="SAY"))
    began = time.monotonic()
    interface.loop()
    assert device.read_until(b"x")
    assert time.monotonic() - began < 4
    interface.loop_stop()
    desk.inbox.close()


@pytest.mark.parametrize(
    ("framing", "read_size"), [({"type": "line"}, READ_CHUNK), ({"type": "gap", "gap": 0.01}, READ_ALL)]
)
def test_a_read_is_short_unless_silence_ends_frames(framing: dict[str, Any], read_size: int, device: PtyDevice) -> None:
    """Where silence is measured, the time between two reads of one burst would count as silence."""
    interface, desk = opened(port=str(device.path), framing=framing)
    assert isinstance(interface.port, DescriptorPort)
    assert interface.port.read_size == read_size
    assert interface.measures_silence is (read_size == READ_ALL)
    interface.loop_stop()
    desk.inbox.close()


def test_other_rules_may_change_the_use_of_the_read_lock(device: PtyDevice) -> None:
    interface, desk = opened(port=str(device.path), decode=[{**DECODE[0], "regex": SLOW}])
    assert interface.reconfigure(serial_params(port=str(device.path), decode=DECODE))
    device.write(b"T 21\n")
    thread = threading.Thread(target=interface.loop)
    with READ_LOCK:
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    stop(thread, interface, desk)


def test_messages_before_an_unexpected_exception_are_published() -> None:
    interface, desk = opened(decode=DECODE)
    decode = interface.session.rules.decoder.decode

    def fails(frame: bytes) -> list[InternalMsg] | None:
        if frame == b"T 3":
            raise RuntimeError("a bug")
        return decode(frame)

    interface.session.rules.decoder.decode = fails
    assert interface.port is not None
    interface.port.write(b"T 1\nT 2\nT 3\n")
    with pytest.raises(RuntimeError):
        loop_until(interface, lambda: False)
    interface.loop_stop()
    desk.inbox.close()
    assert [msg.arguments["t"] for msg in desk.collect()] == ["1", "2"]


def test_each_reason_why_frames_are_dropped_is_logged(
    device: PtyDevice, caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    """Each reason is logged once, although the texts of the dropped frames differ."""
    message = {"action": "T", "arguments": {"t": "{t}"}}
    rules = [{"regex": f"{name} (?P<t>.*)", "values": {"t": kind}, "message": message}
             for name, kind in (("A", "float"), ("B", "int"))]  # fmt: skip
    interface, desk = opened(port=str(device.path), decode=rules)
    expected_logs.expect("frame dropped: ")
    for text in ("A x", "A y", "A z", "B x", "B 1.5", "A 7"):
        device.write(f"{text}\n".encode())
    loop_until(interface, lambda: bool(desk.collect()))
    interface.loop_stop()
    desk.inbox.close()
    dropped = [text for text in caplog.messages if "frame dropped" in text]
    assert len(dropped) == 2, dropped


SENT = "frame dropped: the device sent "
TRY = "to try it: mqttgateway check --conf FILE "


@pytest.mark.parametrize(
    ("frames", "sent", "command"),
    [
        (["HELLO", "HELLO 1", "BYE 22", "BYE 3", "BYE 3"], "'HELLO'", "--frame 'HELLO'"),
        ([r"it's \n"], r"'it's \n'", r"--frame 'it\x27s \\n'"),
        (["x" * 500], f"'{'x' * 60}...' (500 bytes)", f"--frame '{'x' * 300}...' (500 bytes)"),
        (["caf\u00e9"], "the bytes '63 61 66 c3 a9'", "--hex '63 61 66 c3 a9'"),
    ],
)
def test_a_frame_that_no_rule_matches_is_logged_with_the_command_to_try_it(
    frames: list[str],
    sent: str,
    command: str,
    device: PtyDevice,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    interface, desk = opened(port=str(device.path), decode=DECODE, encoding="utf-8")
    for text in frames:
        device.write(f"{text}\n".encode())
    loop_until(interface, lambda: interface.stats()["frames_unmatched"] == len(frames))
    monkeypatch.setattr(FrameDropped, "period", 0.0)
    device.write(f"{frames[0]}\n".encode())
    loop_until(interface, lambda: interface.stats()["frames_unmatched"] == len(frames) + 1)
    interface.loop_stop()
    desk.inbox.close()
    first, *of_other_kinds, last = (text for text in caplog.messages if "frame dropped" in text)
    assert len(of_other_kinds) == (2 if len(frames) > 1 else 0)
    assert first.endswith(f"{SENT}{sent}, but no rule matches it; {TRY}{command}")
    others = r" \(2 other kinds of frames have no rule either\)" if len(frames) > 1 else ""
    times = rf"( \({len(frames)} times in the last 0 s\))?"
    assert re.search(rf"but no rule matches it{times}{others}; {re.escape(TRY + command)}$", last)


def test_a_device_that_accepts_no_data_does_not_hold_the_read_lock(
    device: PtyDevice, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" has failed: it accepted no data for 1 s")
    desk = Desk()
    opening = [{"write": "x" * 4000}] * 5
    params = serial_params(port=str(device.path), conversation={"opening": opening}, write_timeout=1, decode=DECODE)
    interface = SerialInterface(params, desk.inbox, desk.outlet)
    thread = threading.Thread(target=lambda: loop_until(interface, lambda: desk.availability[-1:] == ["offline"]))
    desk.inbox.wake()
    thread.start()
    wait_until(lambda: device.waiting > 3000, what="the line to be full")
    assert READ_LOCK.acquire(timeout=0.1)
    READ_LOCK.release()
    assert desk.availability == ["online"]  # it is still writing
    stop(thread, interface, desk)


# --- other options while the port is open


def loop_until(interface: SerialInterface, condition: Callable[[], bool]) -> None:
    def loop_once() -> bool:
        interface.loop()
        return condition()

    wait_until(loop_once)


def test_other_rules_are_used_while_the_port_stays_open() -> None:
    other = serial_params(
        decode=[{"regex": "T (?P<t>[0-9]+)", "message": {"action": "NEW", "arguments": {"t": "{t}"}}}]
    )
    interface, desk = opened(decode=DECODE)
    try:
        port = interface.port
        assert port is not None
        port.write(b"T 1\nT ")
        loop_until(interface, lambda: len(desk.collect()) == 1)
        assert interface.reconfigure(other)
        port.write(b"2\n")
        loop_until(interface, lambda: len(desk.collect()) == 2)
        assert interface.port is port
    finally:
        interface.loop_stop()
        desk.inbox.close()
    assert [(msg.action, msg.arguments["t"]) for msg in desk.messages] == [("T", "1"), ("NEW", "2")]


@pytest.mark.parametrize("changed", [{"baudrate": 4800}, {"framing": {"terminator": ";"}}, {"settle": 0.5}])
def test_a_change_of_any_other_option_is_rejected(changed: dict[str, Any]) -> None:
    desk = Desk()
    interface = SerialInterface(serial_params(), desk.inbox, desk.outlet)
    assert not interface.reconfigure(serial_params(**changed))
    assert interface.params == serial_params()
    desk.inbox.close()


# --- the clock


def test_all_times_of_a_serial_device_come_from_the_clock_of_its_class(device: PtyDevice) -> None:
    """A minute passes in no time: the next poll is due."""
    fake = FakeClock(10_000_000.0)

    class Timed(SerialInterface):
        clock = fake

    polls = [{"write": "?", "every": 60.0, "on_open": False}]
    desk = Desk()
    interface = Timed(serial_params(port=str(device.path), conversation={"polls": polls}), desk.inbox, desk.outlet)

    def step(seconds: float) -> int:
        fake.now += seconds
        desk.inbox.wake()  # so that the step does not really wait
        interface.loop()
        return interface.stats()["frames_sent"]

    assert [step(1.0), step(1.0)] == [0, 0]
    assert interface.time_to_read() == 59.0
    assert step(60.0) == 1
    interface.loop_stop()
    desk.inbox.close()


class Busy(SerialInterface):
    """Needs `seconds` for each command, by a clock of its own; meanwhile the device may send something."""

    seconds = 0.1
    sent_meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, device: PtyDevice) -> None:
        self.fake = self.clock = FakeClock()
        self.desk = Desk()
        params = serial_params(
            port=str(device.path),
            framing={"type": "gap", "gap": 0.5, "timeout": 0.8},
            decode=[{"regex": "(?P<text>.*)", "message": {"action": "T", "arguments": {"text": "{text}"}}}],
            encode=[{"match": {"action": "SAY"}, "write": "x"}],
        )
        super().__init__(params, self.desk.inbox, self.desk.outlet)
        self.step(0.0)

    def write(self, msg: InternalMsg) -> Iterator[InternalMsg]:
        self.fake.now += self.seconds
        self.sent_meanwhile()
        yield from super().write(msg)

    def step(self, seconds: float) -> None:
        self.fake.now += seconds
        self.desk.inbox.wake()  # so that the step does not really wait
        self.loop()

    def texts(self) -> list[object]:
        return [msg.arguments["text"] for msg in self.desk.collect() if msg.action == "T"]


@pytest.fixture
def busy(device: PtyDevice) -> Iterator[Busy]:
    interface = Busy(device)
    yield interface
    interface.loop_stop()
    interface.desk.inbox.close()


def test_a_flood_of_commands_does_not_hold_up_a_frame_that_silence_ends(busy: Busy, device: PtyDevice) -> None:
    device.write(b"21")
    busy.step(0.1)
    assert not busy.texts()
    for _ in range(5):
        busy.desk.inbox.push(InternalMsg(True, action="SAY"))
        busy.step(0.0)
    assert busy.texts() == ["21"]


def test_what_came_during_a_long_call_ends_neither_the_frame_nor_its_time(busy: Busy, device: PtyDevice) -> None:
    """Nobody knows when within that call it came."""
    device.write(b"2")
    busy.step(0.1)
    busy.seconds = 2.0
    busy.sent_meanwhile = lambda: device.write(b"1")
    busy.desk.inbox.push(InternalMsg(True, action="SAY"))
    busy.step(0.0)
    busy.step(0.1)
    assert not busy.texts()
    busy.step(0.5)
    assert busy.texts() == ["21"]
