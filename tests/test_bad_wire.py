"""Faults of a serial line: small chunks, damage, silence, hang-ups. Nothing crashes, leaks, or is counted wrong."""

from __future__ import annotations

import json
import random
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serial
from serial.rfc2217 import PortManager

from gateway.interface import DeviceInterface
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import write_conf
from tests.support.damage import flip_bits, lose_bytes, noise
from tests.support.device import PtyDevice, frame_counts
from tests.support.gateway_process import GatewayProcess
from tests.support.running import RunningGateway, RunningInterface
from tests.support.simulators import ModbusMeter
from tests.support.waiting import wait_until

# --- a talkative instrument

SENTENCES: dict[str, Any] = {
    "framing": {"start": "$"},
    "encoding": "latin-1",
    "checksum": {"type": "xor", "form": "hex", "from": 1, "to": -3},
    "decode": [{"regex": r"\$(?P<body>.*)\*..", "message": {"action": "LINE", "arguments": {"body": "{body}"}}}],
}
"""NMEA 0183 in general: the text between `$` and `*`, if the checksum is correct."""


def xor(body: bytes) -> int:
    total = 0
    for byte in body:
        total ^= byte
    return total


def sentences(count: int, seed: int) -> list[bytes]:
    """Return sentences with their terminators; no two are the same."""
    chance = random.Random(seed)
    bodies = (b"SDDPT,%d.%d,%d," % (number, chance.randint(0, 9), chance.randint(0, 999)) for number in range(count))
    return [b"$%s*%02X\r\n" % (body, xor(body)) for body in bodies]


def parse(stream: bytes) -> tuple[list[bytes], int]:
    """Return the bodies whose checksum is correct, and the number of other lines; not with the code under test."""
    intact: list[bytes] = []
    wrong = 0
    for line in re.split(rb"\r\n|\n|\r", stream):
        sentence = line[max(0, line.rfind(b"$")) :]
        match = re.fullmatch(rb"\$(.*)\*([0-9A-Fa-f]{2})", sentence, re.DOTALL)
        if match and xor(match[1]) == int(match[2], 16):
            intact.append(match[1])
        elif line:
            wrong += 1
    return intact, wrong


def texts(messages: list[Any]) -> list[bytes]:
    return [msg.arguments["body"].encode("latin-1") for msg in messages]


def bodies(lines: list[bytes]) -> list[bytes]:
    return [sentence[1:-5] for sentence in lines]


def write_bursts(line: PtyDevice, data: bytes) -> None:
    for at in range(0, len(data), 4096):
        line.write(data[at : at + 4096])


WAYS: dict[str, Callable[[PtyDevice, bytes], None]] = {
    "byte by byte": PtyDevice.write_bytewise,
    "4 KiB bursts": write_bursts,
    "random pieces": lambda line, data: line.write_chunks(data, seed=5),
}


@pytest.mark.parametrize("way", WAYS)
def test_sentences_are_complete_whatever_the_pieces(way: str, tmp_path: Path) -> None:
    lines = sentences(1000, seed=1)
    with PtyDevice(tmp_path) as line, RunningInterface(tmp_path, port=str(line.path), **SENTENCES) as running:
        running.wait_availability("online")
        WAYS[way](line, b"".join(lines))
        assert texts(running.wait_messages(1000)) == bodies(lines)
    assert frame_counts(running.interface) == {"frames_received": 1000}
    assert running.interface.stats()["bytes_discarded"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fault", ["flipped bits", "flipped bytes", "lost bytes"])
def test_every_intact_sentence_arrives_and_nothing_else(
    fault: str, seed: int, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("frame dropped: wrong checksum")
    lines = sentences(2000, seed)
    whole = b"".join(lines)
    if fault == "lost bytes":
        damaged = lose_bytes(whole, 0.01, seed)
    else:
        damaged = flip_bits(whole, 0.01 if fault == "flipped bits" else 0.00125, seed)
        at = 0
    damaged += lines[-1]  # or the last line would have no end
    intact, wrong = parse(damaged)
    with PtyDevice(tmp_path) as line, RunningInterface(tmp_path, port=str(line.path), **SENTENCES) as running:
        running.wait_availability("online")
        line.write_chunks(damaged, seed)
        arrived_bodies = texts(running.wait_messages(len(intact)))
        assert arrived_bodies == intact
    counts = running.interface.stats()
    dropped = counts["frames_bad_checksum"] + counts["frames_unmatched"]
    assert counts["frames_received"] - dropped == len(intact)
    assert dropped == wrong
    if fault != "lost bytes":  # intact sentences keep their position
        for sentence in lines:
            if damaged[at : at + len(sentence)] == sentence:
                assert sentence[1:-5] in arrived_bodies
            at += len(sentence)


# --- much data without a frame


def test_a_line_of_10_mb_does_not_fill_the_memory(tmp_path: Path, mosquitto: Mosquitto) -> None:
    lines = sentences(200, seed=4)
    with PtyDevice(tmp_path) as line, mosquitto.client("home/#") as listener:
        conf = write_conf(tmp_path, mosquitto.port, interface={"type": "serial", "port": str(line.path), **SENTENCES})
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("is open")
            line.write(b"".join(lines[:100]))
            wait_until(lambda: len(arrived(listener.pairs())) == 100, what=lambda: gateway.log)
            before = peak_memory(gateway.process.pid)
            line.write(b"x" * 10_000_000)
            line.write(b"\r\n" + b"".join(lines[100:]))
            wait_until(lambda: len(arrived(listener.pairs())) == 200, what=lambda: gateway.log)
            assert peak_memory(gateway.process.pid) - before < 1024  # KiB
            assert gateway.stop() < 2
        assert arrived(listener.pairs()) == bodies(lines)


def arrived(pairs: list[tuple[str, bytes]]) -> list[bytes]:
    return [json.loads(payload)["body"].encode() for topic, payload in pairs
            if payload[:1] == b"{" and not topic.endswith("/health")]  # fmt: skip


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has ever had, in KiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]


def crc16(data: bytes) -> bytes:
    return ModbusMeter.crc(data)


def slip(content: bytes) -> bytes:
    """RFC 1055."""
    return b"\xc0" + content.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def hdlc(content: bytes) -> bytes:
    """RFC 1662, octet stuffing."""
    return b"\x7e" + content.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e") + b"\x7e"


def cobs(content: bytes) -> bytes:
    """Blocks of less than 254 bytes, each preceded by its length."""
    return b"".join(bytes([len(block) + 1]) + block for block in content.split(b"\x00")) + b"\x00"


CRC: dict[str, Any] = {"type": "modbus", "byte_order": "little", "strip": True}
FRAMINGS: dict[str, tuple[dict[str, Any], Callable[[bytes], bytes], bytes]] = {
    # framing, how a device frames content and CRC, and what ends the noise before it
    "line": ({"type": "line", "terminator": "\n"}, lambda c: c.hex().encode() + b"\n", b"\n"),
    "markers": (
        {"type": "markers", "start": "\x02", "stop": "\x03", "max_length": 64},
        lambda c: b"\x02" + c + b"\x03",
        b"",
    ),
    "fixed": ({"type": "fixed", "start": "\xa5", "length": 9, "timeout": 0.3}, lambda c: c, b""),
    "length": ({"type": "length", "offset": 0, "size": 1, "max_length": 64, "timeout": 0.3}, lambda c: c, b""),
    "slip": ({"type": "slip"}, slip, b"\xc0"),
    "hdlc": ({"type": "hdlc"}, hdlc, b"\x7e"),
    "cobs": ({"type": "cobs"}, cobs, b"\x00"),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_frames_are_found_after_random_bytes(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: ")
    framing, framed, end = FRAMINGS[name]
    head = {"fixed": b"\xa5\x55", "length": b"\x09\x55"}.get(name, b"\x55\x55")
    contents = [head + struct.pack(">HHB", 0x5A5A, number, 0x5A) for number in range(100)]
    fields = [{"type": "skip", "length": 2}, {"type": "u16", "is": 0x5A5A}, {"type": "u16", "name": "n"}]
    decode: dict[str, Any] = {
        "binary": {"length": 7, "fields": fields},
        "message": {"action": "COUNT", "arguments": {"n": "{n}"}},
    }
    options: dict[str, Any] = {"framing": framing, "checksum": CRC, "decode": [decode]}
    if name == "line":
        options["checksum"] = {"type": "modbus", "form": "hex", "byte_order": "little", "strip": True}
        del decode["binary"]
        decode.update(regex=".{8}(?P<n>[0-9a-f]{4})5a", values={"n": {"int": 16}})
        contents = [content.hex().encode() for content in contents]
        stream = b"".join(content + crc16(content).hex().encode() + b"\n" for content in contents)
    else:
        stream = b"".join(framed(content + crc16(content)) for content in contents)
    with PtyDevice(tmp_path) as line, RunningInterface(tmp_path, port=str(line.path), **options) as running:
        running.wait_availability("online")
        line.write_chunks(noise(50_000, seed=7) + end + stream, seed=8)
        arrived_bodies = [msg.arguments["n"] for msg in running.wait_messages(100)]
        assert arrived_bodies == list(range(100))
        counts = running.interface.stats()
        assert counts["bytes_discarded"] > 10_000 or counts["frames_bad_checksum"] > 100
    for warning in (record.getMessage() for record in caplog.records if record.levelname == "WARNING"):
        assert "wrong checksum: expected" in warning or "bytes discarded that contain no frame" in warning


# --- a device that stops reading

ENCODE = [{"match": {"action": "SEND"}, "arguments": {"text": {}}, "write": "{text}"}]
DECODE = [{"regex": "(?P<text>.*)", "message": {"action": "RECEIVED", "arguments": {"text": "{text}"}}}]


def talker(line: PtyDevice, **options: Any) -> dict[str, Any]:
    """Return the options of a device to which a text is sent, and which does not answer."""
    rule = {"match": {"action": "SEND"}, "arguments": {"text": {"max_length": 4000}, "n": {"type": "integer"}},
            "write": "{n} {text}"}  # fmt: skip
    return {"type": "serial", "port": str(line.path), "encode": [rule], **options}


def outcomes(pairs: list[tuple[str, bytes]]) -> dict[int, str]:
    """Return the response to each numbered command; each has one."""
    replies = [json.loads(payload) for topic, payload in pairs if topic.endswith("/gw/S")]
    match = {reply.get("requested", reply)["n"]: reply["response"] for reply in replies}
    assert len(match) == len(replies)
    return match


def test_a_device_that_stops_reading_is_closed(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" has failed: it accepted no data for 0.3 s")
    with PtyDevice(tmp_path) as line, mosquitto.client("home/#") as listener:
        conf = write_conf(tmp_path, mosquitto.port, interface=talker(line, write_timeout=0.3))
        with RunningGateway(conf) as running:
            listener.wait_topic("home/gw/serial/availability", b"online")
            for number in range(60):
                listener.publish("home/////me/C", json.dumps({"action": "SEND", "n": number, "text": "x" * 4000}))
            wait_until(lambda: len(outcomes(listener.pairs())) == 60, what=lambda: str(outcomes(listener.pairs())))
            began = time.monotonic()
            running.stop()
            assert time.monotonic() - began < 2
        responses = outcomes(listener.pairs())
    accepted = list(responses.values()).index("OFFLINE")
    assert accepted >= 1  # as much as the line accepts
    assert set(responses.values()) == {"OK", "OFFLINE"}
    assert line.received == b""


def test_a_gateway_stops_though_its_device_reads_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with PtyDevice(tmp_path) as line, mosquitto.client("home/#") as listener:
        conf = write_conf(tmp_path, mosquitto.port, interface=talker(line, write_timeout=60))
        with GatewayProcess(conf) as gateway:
            listener.wait_topic("home/gw/serial/availability", b"online")
            for number in range(60):
                listener.publish("home/////me/C", json.dumps({"action": "SEND", "n": number, "text": "x" * 4000}))
            wait_until(stands_still(lambda: len(outcomes(listener.pairs()))), what="the socket to be full")
            assert 1 <= len(outcomes(listener.pairs())) < 60
            assert gateway.stop() < 4
            assert "serial: interface thread did not stop within 1.5 s; abandoning it" in gateway.log
        listener.wait_topic("home/gw/serial/availability", b"offline")
        listener.wait_topic("home/gw/availability", b"offline")


def stands_still(count: Callable[[], int], seconds: float = 0.5) -> Callable[[], bool]:
    """Return a condition: `count()` is not 0, and has been the same for `seconds`."""
    last, since = 0, time.monotonic()

    def condition() -> bool:
        nonlocal last, since
        now = count()
        if now != last:
            last, since = now, time.monotonic()
        return last > 0 and time.monotonic() - since > seconds

    return condition


# --- hang-ups


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry to open a lost device every few milliseconds."""
    monkeypatch.setattr(DeviceInterface, "reopen_delays", (0.01, 0.02))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_device_that_hangs_up_in_the_middle_a_hundred_times(
    tmp_path: Path, impatient: None, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" has failed: ")
    lines = sentences(201, seed=6)
    in_use: list[int] = []
    options = {**SENTENCES, "framing": {}}  # only the end of one sentence shows where the next one begins
    with PtyDevice(tmp_path) as line, RunningInterface(tmp_path, port=str(line.path), **options) as running:
        for number in range(100):
            running.wait_availability(*["online", "offline"] * number, "online")
            line.write(lines[2 * number] + lines[2 * number + 1][: 1 + number % 15])
            running.wait_messages(number + 1)
            in_use.append(descriptors())
            line.unplug()
            line.plug_in()
        running.wait_availability(*["online", "offline"] * 100, "online")
        line.write(lines[200])
        assert texts(running.wait_messages(101)) == bodies(lines[::2])
        assert frame_counts(running.interface) == {"frames_received": 101}
    assert set(in_use) == {in_use[0]}
    assert len(running.built) == 1


def test_an_outage_is_logged_once(
    tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" has failed: ")
    with PtyDevice(tmp_path) as line, RunningInterface(tmp_path, port=str(line.path)) as running:
        for number in range(3):
            running.wait_availability(*["online", "offline"] * number, "online")
            enough = running.tries_to_open + 5
            line.unplug()
            running.wait_tries(enough)
            line.plug_in()
        running.wait_availability(*["online", "offline"] * 3, "online")
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 3, errors
        assert all(str(line.path) in error for error in errors)


def test_a_port_that_never_exists_is_logged_once(
    tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("tty-none: there is no such device; will keep retrying")
    with RunningInterface(tmp_path, port=str(tmp_path / "tty-none"), encode=ENCODE) as running:
        running.wait_availability("offline")
        running.wait_tries(5)
        running.command("SEND", text="hello")
        assert running.wait_replies(1) == ["OFFLINE"]
        assert running.replies()[0].arguments["reason"] == f"{tmp_path / 'tty-none'} is offline"
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_pending_commands_get_their_outcome_when_the_device_disappears(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" has failed: ")
    ask = [{**ENCODE[0], "response": {"regex": "never"}, "timeout": 60}]
    with PtyDevice(tmp_path) as line, RunningInterface(tmp_path, port=str(line.path), encode=ask) as running:
        running.wait_availability("online")
        for text in ("one", "two", "three"):
            running.command("SEND", text=text)
        line.read_until(b"one\r\n")
        line.unplug()
        assert running.wait_replies(3) == ["OFFLINE"] * 3
        assert [msg.arguments["requested"] for msg in running.replies()] == [
            {"text": text} for text in ("one", "two", "three")
        ]


# --- the port itself


def test_a_second_opener_is_refused(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(": another program or interface has it open")
    with (
        PtyDevice(tmp_path) as line,
        serial.Serial(str(line.path), exclusive=True) as first,
        RunningInterface(tmp_path, port=str(line.path), decode=DECODE) as running,
    ):
        running.wait_availability("offline")
        first.close()
        running.wait_availability("offline", "online")
        with pytest.raises(serial.SerialException, match="exclusively lock"):
            serial.Serial(str(line.path), exclusive=True)
        line.write(b"hello\n")
        assert running.wait_messages(1)[0].arguments == {"text": "hello"}


@pytest.mark.parametrize("flow_control", ["none", "rtscts", "xonxoff", "dsrdtr"])
@pytest.mark.parametrize("level", [True, False])
def test_all_settings_of_a_port_are_applied(level: bool, flow_control: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"dtr": level, "rts": level, "flow_control": flow_control, "exclusive": level}
    settings |= {"baudrate": 1200, "stopbits": 2, "parity": "none", "bytesize": 8}
    with (
        PtyDevice(tmp_path) as line,
        RunningInterface(tmp_path, port=str(line.path), encode=ENCODE, decode=DECODE, **settings) as running,
    ):
        running.wait_availability("online")
        line.write(b"hello\n")
        assert running.wait_messages(1)[0].arguments == {"text": "hello"}
        running.command("SEND", text="hi")
        assert line.read_until(b"\r\n") == b"hi\r\n"


def test_nothing_is_written_before_the_settle_time(tmp_path: Path) -> None:
    with PtyDevice(tmp_path) as line:
        began = time.monotonic()
        with RunningInterface(tmp_path, port=str(line.path), encode=ENCODE, decode=DECODE, settle=0.5) as running:
            running.wait_availability("online")
            running.command("SEND", text="hi")
            line.write(b"booting\n")
            assert running.wait_messages(1)[0].arguments == {"text": "booting"}  # it is read meanwhile
            assert line.read_until(b"\r\n") == b"hi\r\n"
            assert time.monotonic() - began >= 0.5


def test_loop_returns_what_is_written(tmp_path: Path) -> None:
    with RunningInterface(tmp_path, port="loop://", encode=ENCODE, decode=DECODE) as running:
        running.wait_availability("online")
        running.command("SEND", text="hello")
        running.wait_messages(2)
        assert [msg.action for msg in running.messages] == ["SEND", "RECEIVED"]
        assert running.messages[1].arguments == {"text": "hello"}


def test_spy_records_the_traffic(tmp_path: Path) -> None:
    notes = tmp_path / "spy.txt"
    with PtyDevice(tmp_path) as line:
        port = f"spy://{line.path}?file={notes}"
        with RunningInterface(tmp_path, port=port, encode=ENCODE, decode=DECODE) as running:
            running.wait_availability("online")
            running.command("SEND", text="hello")
            assert line.read_until(b"\r\n") == b"hello\r\n"
            line.write(b"world\n")
            running.wait_messages(2)
    text = notes.read_text()
    assert re.search(r"TX .*68 65 6C 6C 6F 0D 0A", text), text
    assert re.search(r"RX .*77 6F 72 6C 64 0A", text), text


# --- behind a network


class TcpPort:
    """A device behind a TCP port, as ser2net provides it."""

    def __init__(self) -> None:
        self.number = free_port()
        self._server: socket.socket | None = None
        self._connection: socket.socket | None = None

    def __enter__(self) -> TcpPort:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.number))
        self._server.settimeout(10)

    def accept(self) -> socket.socket:
        assert self._server is not None
        self._connection, _ = self._server.accept()
        self._connection.settimeout(10)
        return self._connection

    def close(self) -> None:
        for end in (self._connection, self._server):
            if end is not None:
                end.close()
        self._connection = self._server = None


def test_a_port_behind_tcp_that_disappears_and_returns(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(" has failed: ")
    expected_logs.allow("nothing listens there")  # a try between two listeners
    lines = sentences(1000, seed=9)
    with TcpPort() as tcp:
        port = f"socket://127.0.0.1:{tcp.number}"
        encode = [{**ENCODE[0], "write": "$${text}*"}]
        with RunningInterface(tmp_path, port=port, encode=encode, **SENTENCES) as running:
            connection = tcp.accept()
            running.wait_availability("online")
            connection.sendall(b"".join(lines[:500]))  # and hangs up immediately: what was sent still counts
            tcp.close()
            closed = time.monotonic()
            running.wait_availability("online", "offline")
            assert time.monotonic() - closed < 1
            running.command("SEND", text="hello")
            assert running.wait_replies(1) == ["OFFLINE"]
            tcp.listen()
            connection = tcp.accept()
            running.wait_availability("online", "offline", "online")
            connection.sendall(b"".join(lines[500:]))
            running.command("SEND", text="hello")
            running.wait_messages(1002)
            assert connection.recv(100) == b"$hello*%02X\r\n" % xor(b"hello")
            messages = [msg for msg in running.messages if msg.action == "LINE"]
            assert texts(messages) == bodies(lines)


def test_a_tcp_port_that_reads_nothing_is_closed(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(" has failed: it accepted no data for 0.3 s")
    with TcpPort() as tcp:
        port = f"socket://127.0.0.1:{tcp.number}"
        long = [{"match": {"action": "SEND"}, "arguments": {"text": {"max_length": 4000}}, "write": "{text}"}]
        with RunningInterface(tmp_path, port=port, encode=long, write_timeout=0.3) as running:
            tcp.accept()
            running.wait_availability("online")
            count = 0
            while running.availability == ["online"]:
                assert count < 10_000
                for _ in range(50):
                    running.command("SEND", text="x" * 4000)
                    count += 1
                running.wait_replies(count)
            assert set(running.wait_replies(count)) == {"OK", "OFFLINE"}


class Rfc2217Server:
    """A port server (RFC 2217) with a device behind it that echoes what it receives, made with pyserial."""

    def __init__(self) -> None:
        self.device: Any = serial.serial_for_url("loop://", timeout=0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.number: int = self._server.getsockname()[1]
        self.is_reachable = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="port server")

    def __enter__(self) -> Rfc2217Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()
        self._server.close()
        self.device.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            with connection:
                if self.is_reachable:
                    self._serve(connection)
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        writer: Any = connection.makefile("wb", buffering=0)
        manager = PortManager(self.device, writer)
        with writer:
            self._pass_on(connection, manager)

    def _pass_on(self, connection: socket.socket, manager: PortManager) -> None:
        while self.is_reachable and not self._stopping:
            if select.select([connection], [], [], 0.01)[0]:
                data = connection.recv(4096)
                if not data:
                    return
                self.device.write(b"".join(manager.filter(data)))
            echo = self.device.read(4096)
            if echo:
                connection.sendall(b"".join(manager.escape(echo)))


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
def test_a_port_behind_rfc_2217(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(" has failed: ")
    settings: dict[str, Any] = {
        "baudrate": 19200,
        "parity": "even",
        "stopbits": 2,
        "bytesize": 7,
        "dtr": False,
        "rts": False,
    }
    with Rfc2217Server() as server:
        port = f"rfc2217://127.0.0.1:{server.number}"
        with RunningInterface(tmp_path, port=port, encode=ENCODE, decode=DECODE, **settings) as running:
            running.wait_availability("online")
            device = server.device
            assert (device.baudrate, device.parity, device.stopbits, device.bytesize) == (19200, "E", 2, 7)
            assert (device.dtr, device.rts) == (False, False)
            before = time.monotonic()
            for number in range(20):
                running.command("SEND", text=f"line {number} {'x' * 40}")
            running.wait_messages(40)
            assert time.monotonic() - before < 2  # 1000 bytes in each direction
            replies = [msg.arguments["text"] for msg in running.messages if msg.action == "RECEIVED"]
            assert replies == [f"line {number} {'x' * 40}" for number in range(20)]
            server.is_reachable = False
            gone = time.monotonic()
            running.wait_availability("online", "offline")
            assert time.monotonic() - gone < 1
            server.is_reachable = True
            running.wait_availability("online", "offline", "online")
