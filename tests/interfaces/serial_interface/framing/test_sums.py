"""Sums: the values of devices and of the literature; the five names are special cases; parameters are checked."""

from __future__ import annotations

import zlib
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.framing.checksum import find_algorithm
from interfaces.serial_interface.framing.sums import check_parameters, fletcher, make_sum
from interfaces.serial_interface.framing.wire import FrameCodec, check_framings
from tests.support.configuration import serial_params

NAMED: dict[str, dict[str, Any]] = {
    "xor": {"sum": "xor"},
    "sum-8": {"sum": "add"},
    "sum-16": {"sum": "add", "width": 16},
    "lrc": {"sum": "add", "negate": True},
    "ones-8": {"sum": "add", "init": -1, "negate": True},
}


def value(name: str, data: bytes, order: Literal["big", "little"] = "big") -> int:
    algorithm = find_algorithm(name, order)
    assert algorithm is not None
    return algorithm.calculate(data)


def codec(checksum: dict[str, Any]) -> FrameCodec:
    params = serial_params(framing={"type": "gap", "gap": 0.05}, checksum=checksum)
    assert not list(check_framings(params, lambda *_: ""))
    return FrameCodec(params["framing"], params["checksum"])


@given(st.sampled_from(sorted(NAMED)), st.binary(max_size=40))
def test_the_names_are_sums_with_certain_parameters(name: str, data: bytes) -> None:
    assert make_sum(NAMED[name], "big").calculate(data) == value(name, data)


def in_steps(parameters: dict[str, Any], order: Literal["big", "little"], data: bytes) -> int:
    """Return the sum as it is described: number by number."""
    unit, result = parameters.get("unit", 1), parameters.get("init", 0)
    for place in range(0, len(data), unit):
        number = int.from_bytes(data[place : place + unit].ljust(unit, b"\0"), order)
        if parameters["sum"] == "xor":
            result ^= number
        else:
            result += -number if parameters.get("negate") else number
    return int(result % parameters.get("modulo", 1 << parameters.get("width", 8)))


PARAMETERS = st.fixed_dictionaries(
    {"sum": st.sampled_from(["add", "xor"])},
    optional={
        "unit": st.integers(1, 8),
        "width": st.sampled_from([8, 16, 24, 32, 64]),
        "init": st.integers(-1, 70_000),
        "modulo": st.integers(2, 256),
        "negate": st.booleans(),
    },
)


@given(PARAMETERS, st.sampled_from(["big", "little"]), st.binary(max_size=40))
def test_a_sum_is_what_its_parameters_describe(
    parameters: dict[str, Any], order: Literal["big", "little"], data: bytes
) -> None:
    if parameters["sum"] == "xor":
        parameters.pop("negate", None)
    assert list(check_parameters(parameters)) == []
    algorithm = make_sum(parameters, order)
    assert algorithm.calculate(data) == in_steps(parameters, order, data) < 1 << algorithm.bits


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("fletcher-16", b"abcde", 0xC8F0),
        ("fletcher-16", b"abcdef", 0x2057),
        ("fletcher-16", b"abcdefgh", 0x0627),
        ("adler-32", b"Wikipedia", 0x11E60398),
        ("fletcher-8", b"", 0),
        ("fletcher-8", bytes.fromhex("05 01 02 00 06 01"), 0x380F),  # the end of a UBX frame is 0F 38
    ],
)
def test_the_values_of_the_literature(name: str, data: bytes, expected: int) -> None:
    assert value(name, data) == expected


@pytest.mark.parametrize(
    ("data", "expected"), [(b"abcde", 0xF04FC729), (b"abcdef", 0x56502D2A), (b"abcdefgh", 0xEBE19591)]
)
def test_the_byte_order_of_the_checksum_is_that_of_the_numbers(data: bytes, expected: int) -> None:
    assert value("fletcher-32", data, "little") == expected
    swapped = b"".join(data.ljust(len(data) + len(data) % 2, b"\0")[i : i + 2][::-1] for i in range(0, len(data), 2))
    assert value("fletcher-32", swapped, "big") == expected


@given(st.binary(max_size=300))
def test_fletcher_sums_step_by_step(data: bytes) -> None:
    for modulo in (255, 256):
        low = high = 0
        for byte in data:
            low = (low + byte) % modulo
            high = (high + low) % modulo
        assert fletcher(8, modulo).calculate(data) == high << 8 | low
    assert value("adler-32", data) == zlib.adler32(data)


@pytest.mark.parametrize(
    ("checksum", "content", "frame"),
    [
        # A JBD battery management system: the read request for the basic data.
        ({"type": {"sum": "add", "width": 16, "negate": True}, "at": -3, "from": 2, "to": -3},
         "DD A5 03 00 77", "DD A5 03 00 FF FD 77"),
        # VE.Direct HEX: the sum of all bytes of the message is 55.
        ({"type": {"sum": "add", "init": 0x4E, "negate": True}}, "F0 ED 00", "F0 ED 00 71"),
        # Linky (TIC, historical mode): the six low bits of the sum of label, space and value, plus 0x20.
        ({"type": {"sum": "add", "modulo": 0x40, "offset": 0x20}, "to": -2},
         "50 41 50 50 20 30 30 37 38 30 20", "50 41 50 50 20 30 30 37 38 30 20 30"),
        # SiRF: the sum of the payload in 15 bits.
        ({"type": {"sum": "add", "width": 16, "modulo": 0x8000}, "at": -4, "from": 4, "to": -4},
         "A0 A2 00 02 84 00 B0 B3", "A0 A2 00 02 84 00 00 84 B0 B3"),
        # The header of an IPv4 packet (RFC 791): the complement of the sum of 16-bit numbers with end-around carry.
        ({"type": {"sum": "add", "unit": 2, "width": 16, "init": 0xFFFF, "negate": True, "modulo": 0xFFFF}, "at": 10,
          "from": 0, "to": 20},
         "45 00 00 73 00 00 40 00 40 11 C0 A8 00 01 C0 A8 00 C7",
         "45 00 00 73 00 00 40 00 40 11 B8 61 C0 A8 00 01 C0 A8 00 C7"),
        # u-blox UBX: ACK-ACK for CFG-MSG, with Fletcher's sums of RFC 1145 behind the two bytes of synchronisation.
        ({"type": "fletcher-8", "byte_order": "little", "from": 2},
         "B5 62 05 01 02 00 06 01", "B5 62 05 01 02 00 06 01 0F 38"),
    ],
)  # fmt: skip
def test_frames_of_devices(checksum: dict[str, Any], content: str, frame: str) -> None:
    built = codec(checksum)
    whole = bytes.fromhex(frame)
    assert built.wrap(bytes.fromhex(content)) == whole
    is_valid = built.kind_of(whole).is_valid
    assert is_valid is not None
    assert is_valid(whole)
    covered = checksum.get("from", 0)
    assert not is_valid(whole[:covered] + bytes([whole[covered] ^ 1]) + whole[covered + 1 :])


def test_a_sum_of_characters_in_hexadecimal_digits() -> None:
    """The sum goes over the characters of the frame: Elk M1, not Modbus ASCII."""
    assert codec({"type": "lrc", "form": "hex"}).wrap(b"06zs00") == b"06zs004D"


@pytest.mark.parametrize(
    ("kind", "problems"),
    [
        ({"width": 16}, ["type: a checksum has the parameter 'sum', or else 'width' and 'poly' of a CRC"]),
        ({}, ["type: a checksum has the parameter 'sum', or else 'width' and 'poly' of a CRC"]),
        ({"sum": "add", "poly": 7}, ["type.poly: a sum has no such parameter"]),
        ({"width": 8, "poly": 7, "unit": 2}, ["type.unit: a CRC has no such parameter"]),
        ({"width": 8, "poly": 7, "init": -1}, ["type.init: the initial value of a CRC is not negative"]),
        ({"sum": "xor", "negate": False}, ["type.negate: an exclusive or cannot be negated"]),
        ({"sum": "add", "modulo": 257}, ["type.modulo: a sum of 8 bits is less than 256"]),
        ({"sum": "add", "modulo": 256}, []),
        (
            {"sum": "add", "modulo": 64, "offset": 193},
            ["type.offset: the largest sum, 63 + 193, needs more than 8 bits"],
        ),
        ({"sum": "add", "modulo": 64, "offset": 192}, []),
        ("fletcher-9", ["type: unknown checksum 'fletcher-9'"]),
    ],
)
def test_parameters_that_cannot_work_are_reported(kind: Any, problems: list[str]) -> None:
    framing = serial_params()["framing"]
    found = check_framings({"framing": framing, "checksum": {"type": kind}}, lambda *_: "did you mean another one?")
    assert [f"{'.'.join(map(str, problem.path[1:]))}: {problem.what}" for problem in found] == problems
