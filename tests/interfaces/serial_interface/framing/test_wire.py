"""Framing and checksum as configured, in both directions: a receiver reads what was sent, and only that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.quoting import did_you_mean
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framings
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
    "line, hex": {"start": ":", "content": "hex"},
    "line, base64": {"content": "base64"},
    "markers, hex": {"type": "markers", "start": "<", "stop": ">", "content": "hex"},
    "length, stop": {"type": "length", "size": 1, "correction": 1, "stop": ">"},
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


def codec(framing: Any, checksum: dict[str, Any] | None = None) -> FrameCodec:
    params = serial_params(framing=framing, **({"checksum": checksum} if checksum else {}))
    assert not list(check_framings(params, did_you_mean))
    return FrameCodec(params["framing"], params.get("checksum"))


def read(reader: FrameCodec, data: bytes) -> list[tuple[bytes, str]]:
    """Return the frames in `data`, which silence follows."""
    return [*reader.feed(data, 1.0), *reader.feed(b"", 2.0), *reader.flush_partial()]


@pytest.mark.parametrize("framing", [name for name in FRAMINGS if name not in ("fixed", "length", "length, stop")])
@pytest.mark.parametrize("checksum", CHECKSUMS)
@settings(max_examples=40)
@given(content=contents)
def test_a_sent_frame_is_read_as_one_frame_or_refused(framing: str, checksum: str, content: bytes) -> None:
    if framing == "markers, kept":
        content = b"/" + content + b"!"
        if checksum != "none":
            return  # the checksum would be before the stop marker: see below
    writer, reader = codec(FRAMINGS[framing], CHECKSUMS[checksum]), codec(FRAMINGS[framing], CHECKSUMS[checksum])
    try:
        data = writer.wrap(content)
    except FramingError as err:
        assert "it contains bytes that" in str(err)
        return
    expected = (
        []
        if content == b""
        and checksum == "none"
        and framing != "cobs"
        and "markers" not in framing
        and framing != "line, hex"
        else [content]
    )
    assert read(reader, data) == [(frame, "") for frame in expected]
    assert reader.framer.discarded_bytes == 0


@pytest.mark.parametrize("framing", ["slip", "cobs", "hdlc", "line, hex", "line, base64", "markers, hex"])
@given(content=contents)
def test_with_byte_stuffing_nothing_is_refused(framing: str, content: bytes) -> None:
    assert codec(FRAMINGS[framing]).wrap(content)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("checksum", ["none", "xor", "modbus"])
@settings(max_examples=30)
@given(parts=st.lists(contents, max_size=6))
def test_any_chunking_gives_the_same_frames_and_counters(framing: str, checksum: str, parts: list[bytes]) -> None:
    """The valid frames in the same order, and the same invalid ones."""

    def outcome(given_pieces: Sequence[bytes]) -> tuple[list[bytes], list[bytes], int, int]:
        reader = codec(FRAMINGS[framing], CHECKSUMS[checksum])
        frames = [each for part in given_pieces for each in reader.feed(part, 1.0)]
        frames += [*reader.feed(b"", 2.0), *reader.flush_partial()]
        valid = [frame for frame, error in frames if not error]
        invalid = [frame for frame, error in frames if error]
        return valid, sorted(invalid), reader.framer.discarded_bytes, reader.framer.discarded_frames

    whole = b"".join(parts)
    assert outcome(parts) == outcome([whole]) == outcome([bytes([byte]) for byte in whole])


@pytest.mark.parametrize(
    "framing", ["line", "line, one terminator", "markers", "markers, long", "slip", "cobs", "hdlc"]
)
def test_a_wrong_checksum_is_reported_with_the_frame(framing: str) -> None:
    reader = codec(FRAMINGS[framing], CHECKSUMS["xor in hex"])
    valid, invalid = reader.wrap(b"AB"), codec(FRAMINGS[framing]).wrap(b"AB04")
    frames = read(reader, valid + invalid + valid)
    assert sorted(frames) == [(b"AB", ""), (b"AB", ""), (b"AB04", "wrong checksum: expected '03', found '04'")]


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
def test_each_framing_follows_its_options(framing: dict[str, Any], data: bytes, frames: list[bytes]) -> None:
    assert [frame for frame, _ in read(codec(framing), data)] == frames


def test_modbus_ascii_is_a_sum_over_the_bytes_that_the_text_stands_for() -> None:
    options = {"start": ":", "terminator": "\r\n", "content": "hex"}, {"type": "lrc", "strip": True}
    assert codec(*options).wrap(bytes.fromhex("010300000002")) == b":010300000002FA\r\n"
    answer = bytes.fromhex("010302002A")
    assert read(codec(*options), b":010302002AD0\r\n:010302002ad0\r\n") == [(answer, ""), (answer, "")]
    ((frame, error),) = read(codec(*options), b":010302002AD1\r\n")
    assert (frame.hex(), error) == ("010302002ad1", "wrong checksum: expected d0, found d1")


@pytest.mark.parametrize("line", [b":0", b":0x", b":01 02", b"0102", b"\xff", b": "])
def test_a_text_that_stands_for_no_bytes_is_no_frame(line: bytes) -> None:
    reader = codec({"start": ":", "content": "hex"})
    assert read(reader, line + b"\n:41\n") == [(b"A", "")]
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (len(line), 1)


def test_stray_bytes_before_a_frame_that_silence_ends_cost_nothing() -> None:
    options = {"type": "gap", "gap": 0.5}, CHECKSUMS["modbus"]
    answer = codec(*options).wrap(b"\x01\x04\x02\x00\x2a")
    reader = codec(*options)
    assert read(reader, b"\x00\xfe" + answer) == [(b"\x01\x04\x02\x00\x2a", "")]
    assert reader.framer.discarded_bytes == 2
    ((frame, error),) = read(codec(*options), answer[:-1] + b"\x00")
    assert frame == answer[:-1] + b"\x00"
    assert "wrong checksum" in error


def test_a_packet_is_a_frame_as_it_is() -> None:
    reader = FrameCodec({"type": "raw", "max_length": 4})
    assert [each for part in (b"ab\n", b"", b"cd", b"12345") for each in reader.feed(part)] == [
        (b"ab\n", ""),
        (b"cd", ""),
    ]
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (5, 1)
    assert reader.wrap(b"x") == b"x"


def test_a_checksum_stays_in_the_frame_unless_it_is_stripped() -> None:
    reader = codec({"type": "line"}, {"type": "xor", "form": "hex"})
    assert read(reader, b"AB03\n") == [(b"AB03", "")]


def test_with_keep_the_checksum_may_follow_the_stop_marker() -> None:
    """As in the Dutch smart meter standard: the checksum covers all bytes from / to !, and follows them."""
    options = {"type": "markers", "start": "/", "stop": "!", "after": 4, "keep": True}, {"type": "arc", "form": "hex"}
    telegram = b"/ISK5\r\n\r\n1-0:1.8.1(001234.567*kWh)\r\n1-0:1.7.0(00.321*kW)\r\n!"
    assert codec(*options).wrap(telegram) == telegram + b"DFA8"
    assert read(codec(*options), b"x" + telegram + b"DFA8\r\n") == [(telegram + b"DFA8", "")]


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
def test_a_frame_that_would_be_read_differently_is_refused(framing: dict[str, Any], content: bytes) -> None:
    with pytest.raises(FramingError, match="it "):
        codec(framing).wrap(content)


def test_a_second_frame_with_its_own_checksum_cannot_be_injected() -> None:
    framing, checksum = {"type": "markers", "start": "$", "stop": "*", "after": 2}, {"type": "xor", "form": "hex"}
    plain = codec(framing, checksum)
    assert plain.wrap(b"NAME,x") == b"$NAME,x*53"
    second = plain.wrap(b"OPEN")
    injected = plain.wrap(b"NAME,x").removeprefix(b"$") + second
    with pytest.raises(FramingError, match="it contains bytes that begin or end a frame"):
        codec(framing, checksum).wrap(injected)


def test_with_a_checksum_markers_may_be_sent_in_a_frame() -> None:
    options = {"type": "markers", "start": "\x02", "stop": "\x03"}, {"type": "modbus", "strip": True}
    content = b"\x01\x03\x02\x03\x02\x00"
    assert read(codec(*options), codec(*options).wrap(content)) == [(content, "")]


def test_a_content_that_is_too_short_for_its_checksum_is_refused() -> None:
    with pytest.raises(FramingError, match="too short for a checksum: 1 byte"):
        codec({"type": "gap", "gap": 1}, {"type": "xor", "at": 4}).wrap(b"a")


# --- invalid options


@pytest.mark.parametrize(
    ("framing", "checksum", "path", "what"),
    [
        ({"type": "markers", "start": "a"}, None, ("framing",), "framing of type 'markers' needs 'stop'"),
        ({"type": "fixed"}, None, ("framing",), "needs 'length'"),
        ({"type": "length"}, None, ("framing",), "needs 'size'"),
        ({"type": "gap"}, None, ("framing",), "needs 'gap'"),
        ({"terminator": "\u20ac"}, None, ("framing", "terminator"), "'\\u20ac' is not bytes"),
        ({"terminator": ["a", "\u20ac"]}, None, ("framing", "terminator"), "is not bytes"),
        ({"write_terminator": "\u20ac"}, None, ("framing", "write_terminator"), "is not bytes"),
        ({"type": "fixed", "length": 1, "start": "ab"}, None, ("framing", "length"), "no frame has 1 byte"),
        ({"type": "fixed", "length": 9, "max_length": 8}, None, ("framing", "length"), "no frame has 9 bytes"),
        ({}, {"type": "modbuss"}, ("checksum", "type"), "unknown checksum 'modbuss'"),
        ({"gap": 0.1}, None, ("framing", "gap"), "framing of type 'line' has no option 'gap'"),
        ({"type": "slip", "start": "a"}, None, ("framing", "start"), "framing of type 'slip' has no option 'start'"),
        ({"type": "gap", "gap": 1, "keep": True}, None, ("framing", "keep"), "it would do nothing"),
        ({}, {"type": "xor", "from": 5, "to": 3}, ("checksum", "to"), "no byte is covered"),
        ({}, {"type": "xor", "from": -3, "to": -3}, ("checksum", "to"), "no byte is covered"),
        ({}, {"type": "xor", "to": 0}, ("checksum", "to"), "no byte is covered"),
    ],
)
def test_a_problem_has_its_path_and_a_remedy(
    framing: dict[str, Any], checksum: dict[str, Any] | None, path: tuple[str, ...], what: str
) -> None:
    params = serial_params(framing=framing, **({"checksum": checksum} if checksum else {}))
    (problem,) = check_framings(params, did_you_mean)
    assert problem.path == path
    assert what in problem.what
    assert problem.remedy


def test_a_misspelt_checksum_is_corrected() -> None:
    params = serial_params(checksum={"type": "modbuss"})
    (problem,) = check_framings(params, did_you_mean)
    assert problem.remedy.startswith("did you mean 'modbus'")


def test_several_problems_are_reported_together() -> None:
    params = serial_params(framing={"type": "markers"}, checksum={"type": "x"})
    assert len(list(check_framings(params, did_you_mean))) == 3


@pytest.mark.parametrize(
    "checksum", [{"from": 5, "to": -3}, {"from": -5, "to": 9}, {"from": 1, "to": 2}, {"from": -2, "to": -1}]
)
def test_bytes_that_a_checksum_covers_in_some_frames(checksum: dict[str, Any]) -> None:
    params = serial_params(checksum={"type": "xor", **checksum})
    assert list(check_framings(params, did_you_mean)) == []


def test_a_framing_of_several_that_cannot_have_a_start_is_the_last_one() -> None:
    params = serial_params(framing=[{"type": "cobs", "start": "\x00"}, {}])
    useless, last = check_framings(params, did_you_mean)
    assert (last.path, last.remedy) == (("framing", 0), "move it to the end of the list")
    assert useless.path == ("framing", 0, "start")


BYTES_XOR = {"type": "xor", "strip": True}
IN_ORDER: dict[str, tuple[Any, dict[str, Any] | None, bytes]] = {
    "markers": ({"type": "markers", "start": "<", "stop": ">"}, BYTES_XOR, b"<AA><Bx><CC>"),
    "length": ({"type": "length", "start": "<", "offset": 1, "size": 1}, BYTES_XOR, b"<\x04A\x79<\x04B?<\x04C{"),
    "several": (
        [
            {"type": "fixed", "start": "<", "length": 3, "checksum": BYTES_XOR},
            {"type": "markers", "start": "#", "stop": ">", "checksum": BYTES_XOR},
        ],
        None,
        b"#AA><B?#Bx>#CC>",
    ),
    "several and a rest": (
        [
            {"type": "fixed", "start": "<", "length": 3},
            {"type": "length", "size": 1, "checksum": BYTES_XOR},
        ],
        None,
        b"\x03A\x42\x03B?<<<\x03C\x40",
    ),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_frame_with_a_wrong_checksum_keeps_its_place_among_the_others(name: str) -> None:
    """Or else the panel that has sent a good event and a damaged one gets NAK and ACK for ACK and NAK."""
    framing, checksum, data = IN_ORDER[name]
    whole, bytewise = codec(framing, checksum), codec(framing, checksum)
    pairs = [pair for at in range(len(data)) for pair in bytewise.feed(data[at : at + 1])]
    assert list(whole.feed(data)) == pairs
    errors = [bool(error) for _, error in pairs]
    assert not errors[0]
    assert True in errors
    assert not errors[-1]
