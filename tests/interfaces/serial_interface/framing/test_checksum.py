"""Checksums: the values of the catalogue; verification and removal of appended checksums at any offset."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interfaces.serial_interface.framing.checksum import (
    Checksum,
    ChecksumError,
    algorithm_names,
    custom_crc,
    find_algorithm,
)
from interfaces.serial_interface.framing.sums import Algorithm

CHECK = b"123456789"  # the input of the check values in the catalogue of CRCs
FORMS: tuple[Literal["binary", "hex", "decimal"], ...] = ("binary", "hex", "decimal")


def algorithm(name: str) -> Algorithm:
    result = find_algorithm(name)
    assert result is not None, name
    return result


@pytest.mark.parametrize(
    ("name", "value", "bits"),
    [
        ("xor", 0x31, 8),
        ("sum-8", 0xDD, 8),
        ("sum-16", 0x01DD, 16),
        ("lrc", 0x23, 8),
        ("ones-8", 0x22, 8),
        ("modbus", 0x4B37, 16),
        ("ccitt", 0x29B1, 16),
        ("ccitt-false", 0x29B1, 16),
        ("arc", 0xBB3D, 16),
        ("crc-16", 0xBB3D, 16),
        ("x-25", 0x906E, 16),
        ("kermit", 0x2189, 16),
        ("xmodem", 0x31C3, 16),
        ("crc-8", 0xF4, 8),
        ("maxim", 0xA1, 8),
        ("crc-32", 0xCBF43926, 32),
        ("CRC-16/DNP", 0xEA82, 16),
        ("crc-24/openpgp", 0x21CF02, 24),
        ("crc-32/bzip2", 0xFC891918, 32),
    ],
)
def test_the_check_value_of_the_catalogue(name: str, value: int, bits: int) -> None:
    calculate, width = algorithm(name)
    assert (calculate(CHECK), width) == (value, bits)
    assert algorithm(name.swapcase())[0](CHECK) == value


PARAMETERS = {
    "modbus": {"width": 16, "poly": 0x8005, "init": 0xFFFF, "refin": True, "refout": True},
    "ccitt": {"width": 16, "poly": 0x1021, "init": 0xFFFF},
    "x-25": {"width": 16, "poly": 0x1021, "init": 0xFFFF, "refin": True, "refout": True, "xorout": 0xFFFF},
    "xmodem": {"width": 16, "poly": 0x1021},
    "crc-8": {"width": 8, "poly": 0x07},
    "crc-32": {
        "width": 32, "poly": 0x04C11DB7, "init": 0xFFFFFFFF, "refin": True, "refout": True, "xorout": 0xFFFFFFFF,
    },
}  # fmt: skip


@given(st.sampled_from(sorted(PARAMETERS)), st.binary(max_size=40), st.binary(max_size=40))
def test_parameters_give_the_same_as_the_name(name: str, data: bytes, more: bytes) -> None:
    custom, named = custom_crc(PARAMETERS[name]), algorithm(name)
    assert custom[1] == named[1]
    assert custom[0](data) == named[0](data)
    assert custom[0](more) == named[0](more), "no state of the previous frame is left"


def test_every_listed_name_is_known_and_no_other() -> None:
    names = algorithm_names()
    assert len(set(names)) > 100
    assert all(0 <= algorithm(name)[0](CHECK) < 1 << algorithm(name)[1] for name in names)
    assert find_algorithm("crc-17") is None
    assert find_algorithm("") is None


# --- in a frame


@st.composite
def checksums(draw: st.DrawFn) -> Checksum:
    """Draw a checksum of any kind, at any offset, over any slice."""
    drawn = algorithm(draw(st.sampled_from(["xor", "sum-16", "lrc", "modbus", "crc-24/openpgp", "crc-32"])))
    ends = st.none() | st.integers(-12, 12)
    return Checksum(
        drawn,
        at=draw(ends),
        start=draw(st.integers(-12, 12)),
        end=draw(ends),
        form=draw(st.sampled_from(FORMS)),
        big_endian=draw(st.booleans()),
    )


@given(checksums(), st.binary(max_size=30))
def test_an_appended_checksum_is_verified_and_stripped(checksum: Checksum, content: bytes) -> None:
    try:
        frame = checksum.append(content)
    except ChecksumError as err:
        assert "too short" in str(err)
        return
    checksum.verify(frame)
    assert checksum.is_valid(frame)
    assert len(frame) == len(content) + checksum.size
    assert checksum.strip(frame) == content


@given(checksums(), st.binary(max_size=30))
def test_any_frame_is_valid_or_raises_a_checksum_error(checksum: Checksum, frame: bytes) -> None:
    try:
        checksum.verify(frame)
    except ChecksumError as err:
        assert "too short" in str(err) or ("expected" in str(err) and "found" in str(err))
        assert not checksum.is_valid(frame)
    else:
        assert checksum.append(checksum.strip(frame)).upper() == frame.upper()


@given(st.sampled_from(["xor", "sum-8", "sum-16", "lrc", "ones-8", *PARAMETERS]), st.binary(max_size=20), st.data())
def test_a_flipped_bit_is_detected(name: str, content: bytes, data: st.DataObject) -> None:
    checksum = Checksum(algorithm(name))
    frame = bytearray(checksum.append(content))
    position = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[position // 8] ^= 1 << position % 8
    assert not checksum.is_valid(bytes(frame))


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=20))
def test_bytes_outside_of_the_slice_do_not_count(head: bytes, other: bytes) -> None:
    checksum = Checksum(algorithm("modbus"), start=len(head))
    assume(len(other) >= len(head))
    frame = checksum.append(head + b"payload")
    assert checksum.is_valid(other[: len(head)] + frame[len(head) :])


@pytest.mark.parametrize(
    ("options", "content", "frame"),
    [
        ({"form": "hex", "start": 1, "end": -3}, b"$GPGLL,5057.970,N,00146.110,E,142451,A*",
         b"$GPGLL,5057.970,N,00146.110,E,142451,A*27"),
        ({"form": "decimal"}, b"AB", b"AB003"),
        ({"at": 0, "start": 1}, b"\x01\x02", b"\x03\x01\x02"),
        ({"at": 1}, b"\x01\x02", b"\x01\x01\x02"),
        ({"at": -2}, b"\x01\x02\r", b"\x01\x02\x03\r"),
        ({"start": 5}, b"\x01\x02", b"\x01\x02\x00"),
    ],
)  # fmt: skip
def test_offsets_and_forms(options: dict[str, Any], content: bytes, frame: bytes) -> None:
    assert Checksum(algorithm("xor"), **options).append(content) == frame


def test_the_byte_order() -> None:
    assert Checksum(algorithm("modbus")).append(CHECK)[-2:] == b"\x4b\x37"
    assert Checksum(algorithm("modbus"), big_endian=False).append(CHECK)[-2:] == b"\x37\x4b"
    assert Checksum(algorithm("modbus"), big_endian=False, form="hex").append(CHECK)[-4:] == b"374B"


def test_hexadecimal_digits_are_accepted_in_either_case() -> None:
    checksum = Checksum(algorithm("modbus"), form="hex")
    assert checksum.is_valid(CHECK + b"4b37")
    assert checksum.is_valid(CHECK + b"4B37")
    assert not checksum.is_valid(CHECK + b"4b38")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"AB\x00", "wrong checksum: expected 03, found 00"),
        (b"", "too short for a checksum: 0 bytes"),
        (b"AB", "wrong checksum: expected 'A', found 'B'"),
    ],
)
def test_the_error_contains_the_expected_and_the_actual_checksum(frame: bytes, message: str) -> None:
    with pytest.raises(ChecksumError) as caught:
        Checksum(algorithm("xor")).verify(frame)
    assert str(caught.value) == message
