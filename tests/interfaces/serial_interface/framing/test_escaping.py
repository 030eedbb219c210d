"""Byte stuffing: what is put on comes off again, and its delimiter never occurs in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.framing import escaping


class Stuffing(NamedTuple):
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    end: bytes
    signs: bytes  # those that it treats specially, and one that it does not


STUFFINGS = {
    "slip": Stuffing(escaping.slip_encode, escaping.slip_decode, b"\xc0", b"\xc0\xdb\xdc\xddx"),
    "hdlc": Stuffing(escaping.hdlc_encode, escaping.hdlc_decode, b"\x7e", b"\x7e\x7d\x5e\x5dx"),
    "cobs": Stuffing(escaping.cobs_encode, escaping.cobs_decode, b"\x00", b"\x00\x01\x02\xff"),
}
each_stuffing = pytest.mark.parametrize("name", STUFFINGS)


def frames(signs: bytes) -> st.SearchStrategy[bytes]:
    """Draw frames in which the special signs are frequent, and ones that are long without any."""
    pieces = st.lists(st.sampled_from(signs), max_size=8).map(bytes) | st.binary(max_size=8)
    runs = st.integers(250, 260).map(lambda length: b"y" * length) | st.just(b"y" * 508)
    return st.lists(pieces | runs, max_size=4).map(b"".join)


@each_stuffing
@given(data=st.data())
def test_what_is_put_on_comes_off_and_holds_no_delimiter(name: str, data: st.DataObject) -> None:
    stuffing = STUFFINGS[name]
    frame = data.draw(frames(stuffing.signs))
    encoded = stuffing.encode(frame)
    assert stuffing.end not in encoded
    assert stuffing.decode(encoded) == frame


@each_stuffing
@given(data=st.data())
def test_any_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    stuffing = STUFFINGS[name]
    found = data.draw(frames(stuffing.signs))
    try:
        frame = stuffing.decode(found)
    except ValueError as err:
        assert "invalid" in str(err)
    else:
        assert len(frame) <= len(found)


@pytest.mark.parametrize(
    ("name", "frame", "encoded"),
    [
        ("slip", "01 c0 02 db 03", "01 db dc 02 db dd 03"),
        ("slip", "db dc c0", "db dd dc db dc"),
        ("slip", "", ""),
        ("hdlc", "7e 01 7d", "7d 5e 01 7d 5d"),
        ("hdlc", "5e 5d 11", "5e 5d 11"),
        ("cobs", "", "01"),
        ("cobs", "00", "01 01"),
        ("cobs", "00 00", "01 01 01"),
        ("cobs", "11 22 00 33", "03 11 22 02 33"),
        ("cobs", "11 22 33 44", "05 11 22 33 44"),
        ("cobs", "11 00 00 00", "02 11 01 01 01"),
    ],
)
def test_examples(name: str, frame: str, encoded: str) -> None:
    stuffing = STUFFINGS[name]
    assert stuffing.encode(bytes.fromhex(frame)).hex(" ") == encoded
    assert stuffing.decode(bytes.fromhex(encoded)).hex(" ") == frame


@pytest.mark.parametrize(
    ("length", "ends_with_zero", "encoded"),
    [
        (253, False, b"\xfe" + b"y" * 253),
        (254, False, b"\xff" + b"y" * 254),
        (255, False, b"\xff" + b"y" * 254 + b"\x02y"),
        (254, True, b"\xff" + b"y" * 254 + b"\x01\x01"),
        (508, False, (b"\xff" + b"y" * 254) * 2),
    ],
)
def test_cobs_at_the_limit_of_a_block(length: int, ends_with_zero: bool, encoded: bytes) -> None:
    frame = b"y" * length + b"\x00" * ends_with_zero
    assert escaping.cobs_encode(frame) == encoded
    assert escaping.cobs_decode(encoded) == frame


@given(st.binary(max_size=2000))
def test_cobs_adds_one_byte_and_one_more_for_each_254(frame: bytes) -> None:
    assert len(escaping.cobs_encode(frame)) <= len(frame) + 1 + len(frame) // 254


@given(st.binary())
def test_hdlc_takes_any_escaped_byte(frame: bytes) -> None:
    """A sender may escape more than it must (RFC 1662: the control characters)."""
    assert escaping.hdlc_decode(b"".join(bytes((0x7D, byte ^ 0x20)) for byte in frame if byte != 0x5D)) == bytes(
        byte for byte in frame if byte != 0x5D
    )


@pytest.mark.parametrize(
    ("name", "broken"),
    [("slip", "01 db"), ("slip", "db db dc"), ("slip", "db 01"), ("hdlc", "01 7d"), ("hdlc", "7d 7d 5e"),
     ("cobs", "05 11"), ("cobs", "02 11 00"), ("cobs", "ff 01"), ("cobs", "02")],
)  # fmt: skip
def test_what_is_broken_is_refused(name: str, broken: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        STUFFINGS[name].decode(bytes.fromhex(broken))
