"""Byte stuffing: encoding is reversible, and the delimiter never occurs in an encoded frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.framing.escaping import ESCAPINGS, cobs_decode, cobs_encode, hdlc_decode

SPECIAL = {"slip": b"\xc0\xdb\xdc\xddx", "cobs": b"\x00\x01\x02\xff", "hdlc": b"\x7e\x7d\x5e\x5dx"}
"""For each kind the bytes with a special meaning, and one without."""

each_escaping = pytest.mark.parametrize("name", ESCAPINGS)


def frames(special: bytes) -> st.SearchStrategy[bytes]:
    """Draw frames in which `special` bytes are frequent, and long ones without any."""
    pieces = st.lists(st.sampled_from(special), max_size=8).map(bytes) | st.binary(max_size=8)
    runs = st.integers(250, 260).map(lambda length: b"y" * length) | st.just(b"y" * 508)
    return st.lists(pieces | runs, max_size=4).map(b"".join)


@each_escaping
@given(data=st.data())
def test_encoding_is_reversible_and_contains_no_delimiter(name: str, data: st.DataObject) -> None:
    escaping = ESCAPINGS[name]
    frame = data.draw(frames(SPECIAL[name]))
    encoded = escaping.encode(frame)
    assert escaping.delimiter not in encoded
    assert escaping.decode(encoded) == frame


@each_escaping
@given(data=st.data())
def test_any_bytes_are_decoded_or_rejected(name: str, data: st.DataObject) -> None:
    escaping = ESCAPINGS[name]
    encoded = data.draw(frames(SPECIAL[name]))
    try:
        frame = escaping.decode(encoded)
    except ValueError as err:
        assert "invalid" in str(err)
    else:
        assert len(frame) <= len(encoded)


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
    escaping = ESCAPINGS[name]
    assert escaping.encode(bytes.fromhex(frame)).hex(" ") == encoded
    assert escaping.decode(bytes.fromhex(encoded)).hex(" ") == frame


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
    assert cobs_encode(frame) == encoded
    assert cobs_decode(encoded) == frame


@given(st.binary(max_size=2000))
def test_cobs_adds_one_byte_and_one_more_for_each_254(frame: bytes) -> None:
    assert len(cobs_encode(frame)) <= len(frame) + 1 + len(frame) // 254


@given(st.binary())
def test_hdlc_accepts_any_escaped_byte(frame: bytes) -> None:
    """A sender may escape more bytes than it must, for example control characters (RFC 1662)."""
    assert hdlc_decode(b"".join(bytes((0x7D, byte ^ 0x20)) for byte in frame if byte != 0x5D)) == bytes(
        byte for byte in frame if byte != 0x5D
    )


@pytest.mark.parametrize(
    ("name", "invalid"),
    [("slip", "01 db"), ("slip", "db db dc"), ("slip", "db 01"), ("hdlc", "01 7d"), ("hdlc", "7d 7d 5e"),
     ("cobs", "05 11"), ("cobs", "02 11 00"), ("cobs", "ff 01"), ("cobs", "02")],
)  # fmt: skip
def test_invalid_encoding_is_rejected(name: str, invalid: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        ESCAPINGS[name].decode(bytes.fromhex(invalid))
