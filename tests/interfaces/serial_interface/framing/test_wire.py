"""Framing and checksum as configured, both ways: what one end writes the other reads, and only that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.quoting import did_you_mean
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framing
from tests.support.configuration import serial_params

FRAMINGS: dict[str, dict[str, Any]] = {
    "line": {"type": "line"},
    "line, one terminator": {"type": "line", "terminator": ";"},
    "line, long terminators": {"type": "line", "terminator": ["\r\n>", "\n\n"]},
    "line, started": {"type": "line", "start": "$"},
    "markers": {"type": "markers", "start": "\x02", "stop": "\x03"},
    "markers, long": {"type": "markers", "start": "<<", "stop": ">>"},
    "markers, the same": {"type": "markers", "start": "\x7e", "stop": "\x7e"},
    "markers, kept": {"type": "markers", "start": "/", "stop": "!", "keep": True},
    "fixed": {"type": "fixed", "length": 4},
    "length": {"type": "length", "size": 1, "correction": 1},
    "gap": {"type": "gap", "gap": 0.05},
    "slip": {"type": "slip"},
    "cobs": {"type": "cobs"},
    "hdlc": {"type": "hdlc"},
}
CHECKSUMS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "xor": {"type": "xor", "strip": True},
    "xor in hex": {"type": "xor", "form": "hex", "strip": True},
    "modbus": {"type": "modbus", "byte_order": "little", "strip": True},
    "custom": {"type": {"width": 16, "poly": 0x1021, "init": 0xFFFF}, "strip": True},
}
_SIGNS = b"a;\r\n>$\x02\x03<>\x7e/!\x00\xc0\xdb\xdd\x7d\x5e"
contents = st.lists(st.sampled_from(_SIGNS), max_size=8).map(bytes) | st.binary(max_size=8)


def wire(framing: dict[str, Any], checksum: dict[str, Any] | None = None) -> FrameCodec:
    params = serial_params(framing=framing, **({"checksum": checksum} if checksum else {}))
    assert not list(check_framing(params["framing"], params.get("checksum"), did_you_mean))
    return FrameCodec(params["framing"], params.get("checksum"))


def read(reader: FrameCodec, data: bytes) -> list[tuple[bytes, str]]:
    """Return what is read of `data`, and then silence."""
    return [*reader.feed(data, 1.0), *reader.feed(b"", 2.0), *reader.give_up()]


@pytest.mark.parametrize("framing", [name for name in FRAMINGS if name not in ("fixed", "length")])
@pytest.mark.parametrize("checksum", CHECKSUMS)
@settings(max_examples=40)
@given(content=contents)
def test_what_is_written_is_read_as_one_frame_or_refused(framing: str, checksum: str, content: bytes) -> None:
    if framing == "markers, kept":
        content = b"/" + content + b"!"
        if checksum != "none":
            return  # there, the checksum stands before the stop marker: see below
    writer, reader = wire(FRAMINGS[framing], CHECKSUMS[checksum]), wire(FRAMINGS[framing], CHECKSUMS[checksum])
    try:
        data = writer.wrap(content)
    except FramingError as err:
        assert "it holds what" in str(err)
        return
    expected = (
        [] if content == b"" and checksum == "none" and framing != "cobs" and "markers" not in framing else [content]
    )
    assert read(reader, data) == [(frame, "") for frame in expected]
    assert reader.framer.discarded_bytes == 0


@pytest.mark.parametrize("framing", ["slip", "cobs", "hdlc"])
@given(content=contents)
def test_with_byte_stuffing_nothing_is_refused(framing: str, content: bytes) -> None:
    assert wire(FRAMINGS[framing]).wrap(content)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("checksum", ["none", "xor", "modbus"])
@settings(max_examples=30)
@given(pieces=st.lists(contents, max_size=6))
def test_any_bytes_in_any_pieces_give_the_same(framing: str, checksum: str, pieces: list[bytes]) -> None:
    """The same good frames in the same order, and as many bad ones."""

    def outcome(given_pieces: Sequence[bytes]) -> tuple[list[bytes], list[bytes], int, int]:
        reader = wire(FRAMINGS[framing], CHECKSUMS[checksum])
        found = [each for piece in given_pieces for each in reader.feed(piece, 1.0)]
        found += [*reader.feed(b"", 2.0), *reader.give_up()]
        good, bad = [f for f, problem in found if not problem], [f for f, problem in found if problem]
        assert reader.bad_checksums == len(bad)
        return good, sorted(bad), reader.framer.discarded_bytes, reader.framer.discarded_frames

    whole = b"".join(pieces)
    assert outcome(pieces) == outcome([whole]) == outcome([bytes([byte]) for byte in whole])


@pytest.mark.parametrize(
    "framing", ["line", "line, one terminator", "markers", "markers, long", "slip", "cobs", "hdlc"]
)
def test_a_wrong_checksum_is_said_and_counted(framing: str) -> None:
    reader = wire(FRAMINGS[framing], CHECKSUMS["xor in hex"])
    good, bad = reader.wrap(b"AB"), wire(FRAMINGS[framing]).wrap(b"AB04")
    found = read(reader, good + bad + good)
    assert sorted(found) == [(b"AB", ""), (b"AB", ""), (b"AB04", "wrong checksum: expected '03', found '04'")]
    assert reader.bad_checksums == 1


@pytest.mark.parametrize(
    ("framing", "data", "frames"),
    [
        ({"type": "line"}, b"one\r\ntwo\n", [b"one", b"two"]),
        ({"terminator": "\xff"}, b"one\xfftwo\xff", [b"one", b"two"]),
        ({"type": "line", "start": "$"}, b"x$one\r\n", [b"$one"]),
        ({"type": "markers", "start": "<", "stop": ">", "after": 1}, b"x<one>1<two>2", [b"one1", b"two2"]),
        ({"type": "markers", "start": "<", "stop": ">", "keep": True}, b"x<one>", [b"<one>"]),
        ({"type": "fixed", "length": 3}, b"onetwo", [b"one", b"two"]),
        ({"type": "fixed", "length": 3, "start": "t", "max_length": 3}, b"onetwo", [b"two"]),
        ({"type": "length", "size": 1, "correction": 1}, b"\x03one\x03two", [b"\x03one", b"\x03two"]),
        ({"type": "length", "size": 2, "offset": 1, "byte_order": "little"}, b"#\x05\x00ab", [b"#\x05\x00ab"]),
        ({"type": "gap", "gap": 0.5}, b"one", [b"one"]),
        ({"type": "slip"}, b"\xc0a\xdb\xdc\xc0", [b"a\xc0"]),
        ({"type": "cobs"}, b"\x02a\x02b\x00", [b"a\x00b"]),
        ({"type": "hdlc"}, b"\x7ea\x7d\x5e\x7e", [b"a\x7e"]),
    ],
)
def test_each_framing_is_what_its_options_say(framing: dict[str, Any], data: bytes, frames: list[bytes]) -> None:
    assert [frame for frame, _ in read(wire(framing), data)] == frames


def test_a_checksum_stays_in_the_frame_unless_it_is_stripped() -> None:
    reader = wire({"type": "line"}, {"type": "xor", "form": "hex"})
    assert read(reader, b"AB03\n") == [(b"AB03", "")]


def test_a_kept_marker_may_stand_behind_the_checksum() -> None:
    """The Dutch meter's telegram: a checksum over all from / to !, and its digits behind."""
    options = {"type": "markers", "start": "/", "stop": "!", "after": 4, "keep": True}, {"type": "arc", "form": "hex"}
    telegram = b"/ISK5\r\n\r\n1-0:1.8.1(001234.567*kWh)\r\n1-0:1.7.0(00.321*kW)\r\n!"
    assert wire(*options).wrap(telegram) == telegram + b"DFA8"
    assert read(wire(*options), b"x" + telegram + b"DFA8\r\n") == [(telegram + b"DFA8", "")]


@pytest.mark.parametrize(
    ("framing", "content"),
    [
        (FRAMINGS["line"], b"on\nopen"),
        (FRAMINGS["line"], b"on\r"),
        (FRAMINGS["line, one terminator"], b"on;open"),
        (FRAMINGS["line, long terminators"], b"on\n\nopen"),
        (FRAMINGS["line, started"], b"$on$open"),
        ({"type": "line", "terminator": "\n\n"}, b"on\n"),
        ({"type": "line", "terminator": "\r\n", "write_terminator": "\r"}, b"on\ropen"),
        (FRAMINGS["markers"], b"on\x03\x02open"),
        (FRAMINGS["markers"], b"\x02on"),
        (FRAMINGS["markers, long"], b"on>"),
        (FRAMINGS["markers, long"], b"<on"),
        (FRAMINGS["markers, kept"], b"on"),
        (FRAMINGS["markers, kept"], b"/on!/open!"),
        ({**FRAMINGS["markers"], "after": 2}, b"x"),
    ],
)
def test_what_would_be_read_as_something_else_is_not_written(framing: dict[str, Any], content: bytes) -> None:
    with pytest.raises(FramingError, match="it "):
        wire(framing).wrap(content)


def test_a_second_frame_with_a_checksum_of_its_own_is_not_smuggled_in() -> None:
    framing, checksum = {"type": "markers", "start": "$", "stop": "*", "after": 2}, {"type": "xor", "form": "hex"}
    plain = wire(framing, checksum)
    assert plain.wrap(b"NAME,x") == b"$NAME,x*53"
    smuggled = plain.wrap(b"OPEN")
    stolen = plain.wrap(b"NAME,x").removeprefix(b"$") + smuggled
    with pytest.raises(FramingError, match="it holds what begins or ends a frame"):
        wire(framing, checksum).wrap(stolen)


def test_where_the_checksum_tells_frames_apart_markers_may_stand_in_them() -> None:
    options = {"type": "markers", "start": "\x02", "stop": "\x03"}, {"type": "modbus", "strip": True}
    content = b"\x01\x03\x02\x03\x02\x00"
    assert read(wire(*options), wire(*options).wrap(content)) == [(content, "")]


def test_a_content_that_is_too_short_for_its_checksum_is_not_written() -> None:
    with pytest.raises(FramingError, match="too short for a checksum: 1 bytes"):
        wire({"type": "gap", "gap": 1}, {"type": "xor", "at": 4}).wrap(b"a")


# --- what is wrong with the options


@pytest.mark.parametrize(
    ("framing", "checksum", "path", "what"),
    [
        ({"type": "markers", "start": "a"}, None, ("framing",), "framing of the type markers needs 'stop'"),
        ({"type": "fixed"}, None, ("framing",), "needs 'length'"),
        ({"type": "length"}, None, ("framing",), "needs 'size'"),
        ({"type": "gap"}, None, ("framing",), "needs 'gap'"),
        ({"terminator": "\u20ac"}, None, ("framing", "terminator"), "'\\u20ac' is not bytes"),
        ({"terminator": ["a", "\u20ac"]}, None, ("framing", "terminator"), "is not bytes"),
        ({"write_terminator": "\u20ac"}, None, ("framing", "write_terminator"), "is not bytes"),
        ({"type": "fixed", "length": 1, "start": "ab"}, None, ("framing", "length"), "no frame has 1 bytes"),
        ({"type": "fixed", "length": 9, "max_length": 8}, None, ("framing", "length"), "no frame has 9 bytes"),
        ({}, {"type": "modbuss"}, ("checksum", "type"), "no checksum is called 'modbuss'"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(
    framing: dict[str, Any], checksum: dict[str, Any] | None, path: tuple[str, ...], what: str
) -> None:
    params = serial_params(framing=framing, **({"checksum": checksum} if checksum else {}))
    (problem,) = check_framing(params["framing"], params.get("checksum"), did_you_mean)
    assert problem.path == path
    assert what in problem.what
    assert problem.remedy


def test_a_slip_of_the_pen_is_pointed_out() -> None:
    params = serial_params(checksum={"type": "modbuss"})
    (problem,) = check_framing(params["framing"], params["checksum"], did_you_mean)
    assert problem.remedy.startswith("did you mean 'modbus'")


def test_several_things_are_said_at_once() -> None:
    params = serial_params(framing={"type": "markers"}, checksum={"type": "x"})
    assert len(list(check_framing(params["framing"], params["checksum"], did_you_mean))) == 3
