from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.simulation.device import Event, SimulatedDevice
from tests.support.configuration import script_params


class Line:
    """A device, and time that only passes here. `said` are the bytes that it has sent, and when."""

    def __init__(self, **script: Any) -> None:
        self.events: list[Event] = []
        self.device = SimulatedDevice(script_params(**script), self.events.append)
        self.now = 0.0
        self.said: list[tuple[float, bytes]] = []
        self.device.connect(0.0)

    @property
    def heard(self) -> list[bytes]:
        return [event.frame for event in self.events if event.frame is not None]

    @property
    def unknown(self) -> list[bytes]:
        return [event.frame for event in self.events if event.frame is not None and not event.is_known]

    def run(self, until: float) -> list[tuple[float, bytes]]:
        """Pass the time up to and including `until`; return what was said meanwhile."""
        before = len(self.said)
        while True:
            while data := self.device.step(self.now):
                self.said.append((round(self.now, 6), data))
            due = self.device.due()
            if due is None or due > until:
                self.now = until
                return self.said[before:]
            assert due >= self.now
            self.now = due

    def ask(self, data: bytes, wait: float = 0.0) -> bytes:
        """Write bytes to the device; return what it says within `wait` seconds."""
        self.device.receive(data, self.now)
        return b"".join(said for _, said in self.run(self.now + wait))


def test_what_is_said_without_being_asked_comes_at_its_times() -> None:
    line = Line(says=[{"write": "READY"}, {"at": 1, "every": 2, "write": "T 21.5"}])
    assert line.run(5) == [(0, b"READY\r\n"), (1, b"T 21.5\r\n"), (3, b"T 21.5\r\n"), (5, b"T 21.5\r\n")]


def test_a_period_that_is_no_binary_fraction_stays_in_its_phase() -> None:
    line = Line(says=[{"every": 0.1, "hex": "41", "framing": "raw"}])
    assert len(line.run(99.95)) == 1000


def test_values_change_one_after_another_and_begin_again() -> None:
    line = Line(state={"t": 0}, says=[{"every": 1, "set": {"t": [20, 21.5]}, "write": "T {t:.1f}"}])
    assert [said for _, said in line.run(2)] == [b"T 20.0\r\n", b"T 21.5\r\n", b"T 20.0\r\n"]


def test_an_answer_uses_the_values_of_the_frame_and_of_the_state() -> None:
    answers = [
        {"regex": "SET (?P<volts>[0-9.]+)", "values": {"volts": "float"}, "set": {"volts": "{volts}"}, "write": "OK"},
        {"regex": "VOLT (?P<digits>[0-9])", "write": "{digits} {volts:.2f}"},
        {"regex": ".*", "write": "ERR"},
    ]
    line = Line(state={"volts": 1}, answers=answers)
    assert line.ask(b"VOLT 3\r\n") == b"3 1.00\r\n"
    assert line.ask(b"SET 12.5\r\nVOLT 1\r\n") == b"OK\r\n1 12.50\r\n"
    assert line.ask(b"NOISE\n") == b"ERR\r\n"
    assert line.device.state == {"volts": 12.5}
    assert line.heard == [b"VOLT 3", b"SET 12.5", b"VOLT 1", b"NOISE"]


def test_a_frame_within_a_text_is_read_and_each_repetition_is_answered() -> None:
    layout = {"fields": [{"type": "repeat", "each": True, "fields": [{"type": "u8", "name": "register"}]}]}
    nested = {"of": "{data}", "convert": {"bytes": "hex"}, "binary": layout}
    line = Line(answers=[
        {"regex": "GET (?P<data>[0-9A-F]+)", "nested": nested, "write": "R{register}"},
        {"json": {"is": {"op": "set"}, "at": {"v": "args.0"}}, "write": "{v}"},
    ])  # fmt: skip
    assert line.ask(b"GET 0107\r\n") == b"R1\r\nR7\r\n"
    assert line.ask(b'{"op": "set", "args": [5]}\r\n') == b"5\r\n"
    assert line.unknown == []


def test_when_chooses_by_the_state_and_by_the_frame() -> None:
    answers = [
        {"regex": "LAMP (?P<state>ON|OFF)", "when": {"locked": False}, "set": {"lamp": "{state}"}, "write": "OK"},
        {"regex": "LOCK", "set": {"locked": True}},
        {"regex": "LAMP (?P<state>.*)", "when": {"state": ["ON", "OFF"]}, "write": "LOCKED"},
    ]
    line = Line(state={"lamp": "OFF", "locked": False}, answers=answers)
    assert line.ask(b"LAMP ON\n") == b"OK\r\n"
    assert line.ask(b"LOCK\nLAMP OFF\n") == b"LOCKED\r\n"
    assert line.ask(b"LAMP DIM\n") == b""
    assert line.device.state == {"lamp": "ON", "locked": True}
    assert line.unknown == [b"LAMP DIM"]


def test_an_answer_of_several_frames_and_one_without_framing() -> None:
    answers = [
        {"regex": "AT\\+CSQ", "write": ["+CSQ: 17,99", "OK"]},
        {"regex": "AT\\+CMGS", "write": "> ", "framing": "raw"},
    ]
    line = Line(answers=answers)
    assert line.ask(b"AT+CSQ\r") == b"+CSQ: 17,99\r\nOK\r\n"
    assert line.ask(b"AT+CMGS\r") == b"> "


def test_layouts_both_ways_with_a_checksum() -> None:
    """The request and the CRC are those of a frame of the specification of Modbus."""
    line = Line(
        framing={"type": "gap", "gap": 0.01},
        checksum={"type": "modbus", "byte_order": "little", "strip": True},
        state={"level": 1},
        answers=[
            {
                "binary": {"fields": [{"type": "u8", "name": "unit"}, {"type": "u8", "is": 7}]},
                "write_binary": {"fields": [{"type": "u8", "name": "unit"}, {"type": "u16", "name": "level"}]},
            }
        ],
    )
    assert line.ask(bytes.fromhex("02 07 41 12")) == b"", "silence ends a frame"
    answer = line.run(0.02)
    assert [(at, data[:3]) for at, data in answer] == [(0.01, b"\x02\x00\x01")]
    assert line.ask(bytes.fromhex("02 07 41 13"), 1) == b""
    assert line.unknown == [bytes.fromhex("02 07 41 13")]


def test_answers_come_in_order_and_late_and_do_not_hold_up_what_is_said() -> None:
    line = Line(
        says=[{"at": 0.3, "write": "T"}],
        answers=[{"regex": "A", "delay": 0.5, "write": "a"}, {"regex": "B", "write": "b"}],
        faults=[{"slow": 0.25}],
    )
    line.device.receive(b"A\nB\n", 0.0)
    assert line.run(2) == [(0.3, b"T\r\n"), (0.75, b"a\r\n"), (0.75, b"b\r\n")]


def test_a_silent_device_hears_and_says_nothing() -> None:
    line = Line(
        says=[{"every": 1, "write": "T"}],
        answers=[{"regex": "A", "write": "a"}],
        faults=[{"from": 0.5, "to": 2.5, "silent": True}],
    )
    assert line.run(1.0) == [(0, b"T\r\n")]
    assert line.ask(b"A\n") == b""
    assert line.run(3.0) == [(3, b"T\r\n")]
    assert line.ask(b"A\n") == b"a\r\n"


def test_an_echo_comes_before_the_answer_and_also_from_a_dead_device() -> None:
    line = Line(answers=[{"regex": "A", "write": "a"}], faults=[{"echo": True}, {"from": 1, "silent": True}])
    assert line.ask(b"A\n") == b"A\na\r\n"
    line.run(1)
    assert line.ask(b"A\n") == b"A\n"


def test_pieces_of_two_frames_do_not_mix() -> None:
    line = Line(says=[{"write": ["AAAAAAAA", "BBBBBBBB"]}], faults=[{"split": 2, "pause": 0.1}])
    pieces = line.run(10)
    assert b"".join(data for _, data in pieces) == b"AAAAAAAA\r\nBBBBBBBB\r\n"
    assert all(len(data) <= 2 for _, data in pieces)
    assert len({at for at, _ in pieces}) >= len(pieces) - 1, "only the second frame follows without a pause"


def test_the_line_goes_and_comes_back_and_with_it_what_is_said_at_its_beginning() -> None:
    line = Line(
        state={"n": 0},
        says=[{"write": "READY"}, {"at": 3, "write": "LATE"}],
        answers=[{"regex": "A", "set": {"n": 1}, "delay": 9, "write": "a"}],
        faults=[{"from": 2, "to": 4, "hang_up": True}],
    )
    assert line.ask(b"A\n", 1.5) == b"READY\r\n"
    assert line.device.due() == 2
    assert (line.device.is_plugged_in(1.99), line.device.is_plugged_in(2), line.device.is_plugged_in(4)) == (
        True, False, True
    )  # fmt: skip
    line.device.disconnect()
    line.run(3)
    line.device.receive(b"A\n", line.now)
    line.run(4)
    line.device.connect(4)
    assert line.run(30) == [(4, b"READY\r\n"), (7, b"LATE\r\n")]
    assert line.device.state == {"n": 1}
    assert line.heard == [b"A"]


def test_what_cannot_be_written_is_reported_and_the_device_goes_on() -> None:
    answers = [{"regex": "(?P<text>.*)", "set": {"level": "{text}"}, "write": "L {level:d}"}]
    line = Line(state={"level": 1}, answers=[*answers])
    assert line.ask(b"high\n") == b""
    assert list(map(str, line.events)) == [
        "hears 'high': answer '(?P<text>.*)'",
        "answers nothing: 'high' cannot be written as {level:d}: the format is none for a text",
    ]


def test_a_device_that_is_asked_faster_than_it_answers_keeps_no_more_than_a_mebibyte() -> None:
    line = Line(answers=[{"regex": "A", "delay": 1, "write": "a" * 4000}])
    line.device.receive(b"A\n" * 1000, 0.0)
    assert sum(len(data) for _, data in line.run(2000)) == 4002 * (1024 * 1024 // 4002)
    assert "more than 1048576 bytes wait to be sent" in "".join(map(str, line.events))


@given(data=st.binary(max_size=200), sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_any_bytes_in_any_chunks_are_heard_as_the_same_frames(data: bytes, sizes: list[int]) -> None:
    script: dict[str, Any] = {"answers": [{"regex": "[^O]*", "write": "OK"}], "faults": [{"noise": 0.5}, {"split": 3}]}
    whole, chunked = Line(**script), Line(**script)
    whole.device.receive(data, 0.0)
    rest, turn = data, 0
    while rest:
        size = sizes[turn % len(sizes)]
        chunked.device.receive(rest[:size], 0.0)
        rest, turn = rest[size:], turn + 1
    assert whole.run(1000) == chunked.run(1000), "the same chance, too"
    assert whole.events == chunked.events


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_noise(seed: int) -> None:
    script = script_params(says=[{"every": 1, "write": "T 21.5"}], faults=[{"noise": 0.5}])

    def said(with_seed: int) -> list[bytes]:
        device = SimulatedDevice(script, seed=with_seed)
        device.connect(0.0)
        return [device.step(float(second)) for second in range(50)]

    assert said(seed) == said(seed)
    assert said(seed) != said(seed + 1)
