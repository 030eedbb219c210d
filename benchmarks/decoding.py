"""The cost of decoding, without broker and gateway: by kind of frame and number of rules, and against `readline()`."""

from __future__ import annotations

import contextlib
import os
import struct
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import serial

from benchmarks.goals import Goal
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, WrongResultError, median_ratio
from benchmarks.rounds import run_rounds
from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import interface_schema
from gateway.message import InternalMsg
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.rules import SerialRules

_MESSAGE = {"device": "probe", "action": "READING", "arguments": "*"}
_METRICS = (Metric("frames", "1/s"), Metric("cost", "us/frame", 2))

Make: TypeAlias = Callable[[int], bytes]
Reading: TypeAlias = Callable[[int], dict[str, Any]]

_KINDS: dict[str, tuple[dict[str, Any], Make, Reading]] = {
    "line, regex": (
        {"decode": [{"regex": "T (?P<value>[0-9.]+)", "values": {"value": "float"}, "message": _MESSAGE}]},
        lambda number: b"T %d.5\r\n" % number,
        lambda number: {"value": number + 0.5},
    ),
    "line, key=value": (
        {"decode": [{"pairs": {"separator": ";"}, "values": {"*": "auto"}, "message": _MESSAGE}]},
        lambda number: b"T=%d.5;H=40;S=ok\r\n" % number,
        lambda number: {"T": number + 0.5, "H": 40, "S": "ok"},
    ),
    "length, binary, CRC": (
        {
            "framing": {"type": "length", "start": "\x7e", "offset": 1, "size": 1, "correction": 4},
            "checksum": {"type": "modbus", "byte_order": "little", "strip": True},
            "decode": [
                {
                    "binary": {"fields": [{"type": "u16"}, {"type": "u32", "name": "value"}]},
                    "message": _MESSAGE,
                }
            ],
        },
        lambda number: _with_crc(b"\x7e\x04" + struct.pack(">I", number)),
        lambda number: {"value": number},
    ),
    "three framings": (
        {
            "framing": [
                {
                    "name": "binary",
                    "type": "length",
                    "start": "\x7e",
                    "offset": 1,
                    "size": 1,
                    "correction": 4,
                    "checksum": {"type": "modbus", "byte_order": "little", "strip": True},
                },
                {"name": "marked", "type": "markers", "start": "<", "stop": ">"},
                {"name": "line", "start": "$"},
            ],
            "decode": [
                {
                    "framing": "binary",
                    "binary": {"fields": [{"type": "u16"}, {"type": "u32", "name": "value"}]},
                    "message": _MESSAGE,
                },
                {"regex": "[$]?(?P<value>[0-9]+)", "values": {"value": "int"}, "message": _MESSAGE},
            ],
        },
        lambda number: (
            _with_crc(b"\x7e\x04" + struct.pack(">I", number))
            if number % 3 == 0
            else (b"<%d>", b"$%d\r\n")[number % 3 - 1] % number
        ),
        lambda number: {"value": number},
    ),
    "length, list of 8": (
        {
            "framing": {"type": "length", "start": "\x7e", "offset": 1, "size": 1, "correction": 2},
            "decode": [
                {
                    "binary": {
                        "fields": [
                            {"type": "skip"},
                            {"type": "u8", "name": "size"},
                            {"type": "repeat", "length": "size", "fields": [{"type": "u16", "name": "value"}]},
                        ]
                    },
                    "message": _MESSAGE,
                }
            ],
        },
        lambda number: b"\x7e\x10" + struct.pack(">8H", *[number % 65536] * 8),
        lambda number: {"size": 16, "value": [number] * 8},
    ),
    "line, JSON": (
        {"decode": [{"json": {"is": {"model": "probe"}, "at": {"value": "data.0.t"}}, "message": _MESSAGE}]},
        lambda number: b'{"model": "probe", "data": [{"t": %d.5}]}\n' % number,
        lambda number: {"value": number + 0.5},
    ),
    "hex for bytes, LRC": (
        {
            "framing": {"start": ":", "terminator": "\r\n", "content": "hex"},
            "checksum": {"type": "lrc", "strip": True},
            "decode": [
                {"binary": {"fields": [{"type": "u16"}, {"type": "u32", "name": "value"}]}, "message": _MESSAGE}
            ],
        },
        lambda number: _as_hex(struct.pack(">HI", 1, number)),
        lambda number: {"value": number},
    ),
    "line, hex inside": (
        {
            "decode": [
                {
                    "regex": "R,(?P<data>[0-9A-F]*)",
                    "nested": {
                        "of": "{data}",
                        "convert": {"bytes": "hex"},
                        "binary": {"fields": [{"type": "u32", "name": "value"}]},
                    },
                    "message": {**_MESSAGE, "arguments": {"value": "{value}"}},
                }
            ]
        },
        lambda number: b"R,%08X\n" % number,
        lambda number: {"value": number},
    ),
    "stuffing, table of escapes": (
        {
            "framing": {
                "type": "markers",
                "start": "@",
                "stop": "\r",
                "stuffing": {"@": "\x1b\xbf", "\r": "\x1b\xf2", "\x1b": "\x1b\xe4"},
            },
            "decode": [{"binary": {"fields": [{"type": "u32", "name": "value"}]}, "message": _MESSAGE}],
        },
        lambda number: b"@" + _escaped(struct.pack(">I", number)) + b"\r",
        lambda number: {"value": number},
    ),
}


def _as_hex(content: bytes) -> bytes:
    """Return a frame as Modbus ASCII writes it."""
    return b":%s\r\n" % (content + bytes([-sum(content) & 0xFF])).hex().upper().encode()


def _escaped(content: bytes) -> bytes:
    return content.replace(b"\x1b", b"\x1b\xe4").replace(b"@", b"\x1b\xbf").replace(b"\r", b"\x1b\xf2")


def _with_crc(body: bytes) -> bytes:
    """Return `body` with its CRC-16/MODBUS, computed without the code under test."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return body + struct.pack("<H", crc)


def _rules(options: dict[str, Any]) -> SerialRules:
    return SerialRules(fill_defaults({"port": "loop://", **options}, interface_schema(SerialInterface)))


def kinds(lab: Lab) -> None:
    """Measure decoding for each kind of frame."""
    count = 5_000 if lab.fast else 20_000
    print(f"decode: {count:,} frames of each kind from bytes to messages, in chunks of 2 KiB, in this process")
    runners = {name: _runner(_rules(options), make, values, count) for name, (options, make, values) in _KINDS.items()}
    run_rounds(lab, runners, _METRICS)


def rules(lab: Lab) -> None:
    """Compare one rule with a hundred that are distinguished by a literal prefix."""
    count = 5_000 if lab.fast else 20_000
    print(f"rules: {count:,} lines decoded by the last of 100 rules with different prefixes, and by one rule")

    def decode(number: int) -> dict[str, Any]:
        return {"regex": f"K{number:02} (?P<value>[0-9.]+)", "values": {"value": "float"}, "message": _MESSAGE}

    def line(number: int) -> bytes:
        return b"K99 %d.5\r\n" % number

    def value(number: int) -> dict[str, Any]:
        return {"value": number + 0.5}

    hundred, single = _rules({"decode": [decode(n) for n in range(100)]}), _rules({"decode": [decode(99)]})
    runners = {"100 rules": _runner(hundred, line, value, count), "1 rule": _runner(single, line, value, count)}
    samples = run_rounds(lab, runners, _METRICS)
    ratio = median_ratio(samples["100 rules"], samples["1 rule"], "cost")
    lab.goals.append(Goal("100 decoding rules, of one", ratio, "<=", 1.5))


def _runner(rules: SerialRules, make: Make, reading: Reading, count: int) -> Callable[[], Figures]:
    data = b"".join(map(make, range(count)))

    def run() -> Figures:
        start = time.process_time()
        _check(rules, make, reading)
        made = 0
        for offset in range(0, len(data), 2048):
            for frame, problem in rules.codec.feed(data[offset : offset + 2048]):
                if problem:
                    raise WrongResultError(problem)
                made += len(rules.decoder.decode(frame) or ())
        seconds = time.process_time() - start
        if made != count:
            raise WrongResultError(f"{made} messages of {count} frames")
        return {"frames": count / seconds, "cost": seconds / count * 1e6}

    return run


def _check(rules: SerialRules, make: Make, reading: Reading) -> None:
    """Check the first hundred messages; the others are only counted."""
    data = b"".join(map(make, range(100)))
    made = [msg for frame, _ in rules.codec.feed(data) for msg in rules.decoder.decode(frame) or ()]
    expected = [InternalMsg(device="probe", action="READING", arguments=reading(number)) for number in range(100)]
    if made != expected:
        raise WrongResultError(f"not the messages of the frames: {made[:1]}")


def reading(lab: Lab) -> None:
    """Compare one read of all available bytes, with the framer, with pyserial's `readline()`, for lines from a pty."""
    count = 2_000 if lab.fast else 10_000
    print(f"reading: {count:,} lines from a pty, processor time of the reading thread, compared with readline()")
    lines = [b"T %d.5" % number for number in range(count)]

    def ours(port: serial.Serial) -> list[bytes]:
        framer = _rules({}).codec.framer
        frames: list[bytes] = []
        while len(frames) < count:
            frames += framer.feed(os.read(port.fileno(), 2048))
        return frames

    def readline(port: serial.Serial) -> list[bytes]:
        return [port.readline().rstrip() for _ in range(count)]

    runners = {"one read, framer": _reader(ours, lines), "pyserial readline()": _reader(readline, lines)}
    run_rounds(lab, runners, (Metric("cost", "us/line", 2),))


def _reader(read: Callable[[serial.Serial], list[bytes]], lines: list[bytes]) -> Callable[[], Figures]:
    def run() -> Figures:
        with _fed_port(b"".join(line + b"\n" for line in lines)) as port:
            start = time.thread_time()
            received = read(port)
            seconds = time.thread_time() - start
        if received != lines:
            raise WrongResultError("the lines read are not those written")
        return {"cost": seconds / len(lines) * 1e6}

    return run


@contextlib.contextmanager
def _fed_port(data: bytes) -> Iterator[serial.Serial]:
    master, slave = os.openpty()
    tty.setraw(slave)
    port = serial.Serial(os.ttyname(slave))
    os.set_blocking(port.fileno(), True)
    settings = termios.tcgetattr(port.fileno())
    settings[6][termios.VMIN] = 1  # a read waits for a byte
    termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    writer = threading.Thread(target=_write_all, args=(master, data), daemon=True)
    writer.start()
    try:
        yield port
    finally:
        writer.join(10)
        port.close()
        os.close(master)
        os.close(slave)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
