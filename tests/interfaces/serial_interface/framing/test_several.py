"""Several framings on one line: the first one that fits is the frame, in any chunking; the others go on reading."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.quoting import did_you_mean
from interfaces.serial_interface.framing.several import NamedFrame
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framings
from tests.support.configuration import serial_params

Options = dict[str, Any]

XOR = {"type": "xor"}
HEX_XOR = {"type": "xor", "form": "hex", "from": 1, "to": -3}  # $TEXT*hh
SENTENCE: Options = {"name": "sentence", "start": "$", "checksum": HEX_XOR}
BINARY: Options = {"name": "binary", "type": "length", "start": "\xb5b", "offset": 2, "size": 1, "correction": 4,
                   "checksum": XOR}  # fmt: skip
MARKED: Options = {"name": "marked", "type": "markers", "start": "<", "stop": ">"}
STUFFED: Options = {"name": "stuffed", "type": "markers", "start": "\x10", "stop": "\x10\x03", "stuffing": "\x10"}
KAMSTRUP: Options = {"name": "kmp", "type": "markers", "start": "@", "stop": "\r",
                     "stuffing": {"@": "\x1b\xbf", "\r": "\x1b\xf2", "\x1b": "\x1b\xe4"}}  # fmt: skip
JANDY: Options = {"name": "jandy", "type": "markers", "start": "\x10\x02", "stop": "\x10\x03",
                  "stuffing": {"\x10": "\x10\x00"}}  # fmt: skip
SLIP: Options = {"name": "slip", "type": "slip"}
HDLC: Options = {"name": "hdlc", "type": "hdlc"}
VE_HEX: Options = {"name": "hex", "start": ":7", "terminator": "\n", "content": "hex", "embedded": True}
VE_TEXT: Options = {"name": "text", "type": "markers", "start": "\r\nPID", "stop": "Checksum\t", "after": 1}

LINES: dict[str, tuple[list[Options], bytes]] = {
    "binary and sentences": ([BINARY, SENTENCE], b"\xb5b\x01\x00$A*41\r\n"),
    "sentences first": ([SENTENCE, BINARY], b"\xb5b\x01\x00$A*41\r\n"),
    "markers, checked": ([{**MARKED, "checksum": XOR}, {"start": "$"}], b"<>$\x00\x01A\r\n"),
    "markers, kept, and lines": ([{**MARKED, "keep": True, "after": 1}, {"name": "line"}], b"<>A\r\n"),
    "stuffed": ([STUFFED], b"\x10\x03\x02A"),
    "stuffed, long, kept": (
        [{**STUFFED, "start": "ab", "stop": "aac", "stuffing": "aa", "keep": True, "after": 1}], b"abc"),
    "bytes written as others": ([KAMSTRUP], b"@\r\x1b\xbf\xe4A"),
    "bytes written as others, checked, kept": (
        [{**KAMSTRUP, "checksum": {**XOR, "from": 1}, "keep": True, "after": 1}], b"@\r\x1b\xbf\xe4A"),
    "one byte written as two": ([JANDY, {"name": "line"}], b"\x10\x00\x02\x03A\r\n"),
    "stuffed and lines": ([STUFFED, {"name": "line", "prompts": ["> "]}], b"\x10\x03\x02A> \r\n"),
    "prompts": ([BINARY, {"name": "line", "prompts": ["> ", "$"]}], b"\xb5b\x00> $\r\n"),
    "embedded": ([VE_HEX, VE_TEXT], b":70A\n\r\nPIDChecksum\t"),
    "embedded in lines": ([{**MARKED, "embedded": True}, {"terminator": ["\r\n", "\r"]}], b"<>A\r\n"),
    "embedded in two": ([{**MARKED, "embedded": True}, BINARY, {"name": "line"}], b"\xb5b\x00<>A\r\n"),
    "preamble": ([{**BINARY, "preamble": "\xfe\xfd"}], b"\xfe\xfd\xb5b\x00\x01"),
    "long terminators": ([{"start": "$", "terminator": ["ab", "abc", "a"]}, {**MARKED, "max_length": 3}], b"$abc<>x"),
    "one start within the other": (
        [{"start": "$$", "terminator": ";"}, {"name": "short", "start": "$", "terminator": ","}], b"$;,A"),
    "slip before lines": ([SLIP, {"name": "line"}], b"\xc0\xdb\xdcA\r\n"),
    "slip with a checksum, embedded": (
        [{**SLIP, "checksum": XOR, "embedded": True}, {"name": "line", "prompts": ["> "]}], b"\xc0\xdb\x00A> \n"),
    "hdlc between others": ([BINARY, {**HDLC, "checksum": XOR}, SENTENCE], b"\xb5b\x01\x00~}\x01$A*41\r\n"),
    "hdlc and lines": ([{**HDLC, "checksum": XOR}, {"name": "line"}], b"~~}\x01\x01\n"),
    "slip and hdlc": ([{**SLIP, "checksum": XOR}, HDLC, {"name": "line"}], b"\xc0\xdb\xdc~}\x01A\n"),
    "slip as the rest": ([BINARY, {"type": "slip", "checksum": XOR}], b"\xb5b\x00\x01\xc0\xdb\xdc"),
}  # fmt: skip


def codec(framing: Any, **options: Any) -> FrameCodec:
    params = serial_params(framing=framing, **options)
    assert list(check_framings(params, did_you_mean)) == []
    return FrameCodec(params["framing"], params.get("checksum"), params.get("write_framing"))


def read(reader: FrameCodec, *parts: bytes) -> list[tuple[str, bytes]]:
    """Return name and content of the valid frames of a stream."""
    pairs = [pair for part in parts for pair in reader.feed(part)]
    return [(framing_of(frame), bytes(frame)) for frame, error in [*pairs, *reader.flush_partial()] if not error]


def framing_of(frame: bytes) -> str:
    return frame.framing if isinstance(frame, NamedFrame) else ""


def outcome(framing: list[Options], parts: Sequence[bytes], *, is_finished: bool = False) -> tuple[Any, ...]:
    reader = codec(framing)
    pairs = [pair for part in parts for pair in reader.feed(part)]
    pairs += reader.finish() if is_finished else reader.flush_partial()
    assert not reader.framer.has_partial_frame
    valid = [(framing_of(frame), bytes(frame)) for frame, error in pairs if not error]
    invalid = sorted((framing_of(frame), bytes(frame), error) for frame, error in pairs if error)
    return valid, invalid, reader.framer.discarded_bytes, reader.framer.discarded_frames


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=150)
@given(data=st.data())
def test_any_chunking_gives_the_same_frames_and_counters(name: str, data: st.DataObject) -> None:
    framing, alphabet = LINES[name]
    tokens = [alphabet[at : at + 1] for at in range(len(alphabet))]
    tokens += [
        option.encode("latin-1") for each in framing for option in (each.get("start"), each.get("stop")) if option
    ]
    longest = data.draw(st.integers(2, 12))
    framing = [{"max_length": longest, **options} for options in framing]
    parts = data.draw(st.lists(st.lists(st.sampled_from(tokens), min_size=1, max_size=6).map(b"".join), max_size=10))
    whole = b"".join(parts)
    is_finished = data.draw(st.booleans())
    expected = outcome(framing, [whole], is_finished=is_finished)
    assert outcome(framing, parts, is_finished=is_finished) == expected
    single = [whole[at : at + 1] for at in range(len(whole))]
    assert outcome(framing, single, is_finished=is_finished) == expected


@pytest.mark.parametrize("name", LINES)
@given(data=st.binary(max_size=200))
def test_random_bytes_raise_nothing(name: str, data: bytes) -> None:
    framing, _ = LINES[name]
    outcome(framing, [data])


@settings(max_examples=50)
@given(st.data())
def test_intact_frames_of_all_kinds_are_delivered_from_a_bad_line(data: st.DataObject) -> None:
    """Garbage between frames, and a frame of which a byte was lost or changed."""
    framing = [{**BINARY, "checksum": {"type": "modbus", "strip": True}, "correction": 5}, STUFFED,
               {**SENTENCE, "checksum": {**HEX_XOR, "strip": True}}]  # fmt: skip
    writer, reader = codec(framing), codec(framing)
    sent, parts = [], []
    for _ in range(data.draw(st.integers(1, 6))):
        name = data.draw(st.sampled_from(["binary", "stuffed", "sentence"]))
        text = data.draw(st.text("ABC", min_size=1, max_size=6)).encode()
        content = {"binary": b"\xb5b" + bytes([len(text)]) + text, "stuffed": text, "sentence": b"$" + text + b"*"}[
            name
        ]
        whole = writer.wrap(content, name)
        damage = data.draw(st.sampled_from(["none", "none", "garbage", "lost", "changed"]))
        at = data.draw(st.integers(0, 1))
        if damage == "none":
            sent.append((name, content))
        parts.append({"lost": whole[:at] + whole[at + 1 :], "changed": whole[:at] + b"\xff" + whole[at + 1 :],
                      "garbage": b"\x00\xffXYZ", "none": whole}[damage])  # fmt: skip
    received = read(reader, *parts)
    assert [frame for frame in received if frame in sent] == sent


def test_ten_megabytes_without_an_end_need_no_memory() -> None:
    for framing, begin in (([BINARY, SENTENCE], b"$"), ([STUFFED], b"\x10"), ([VE_HEX, VE_TEXT], b":7"),
                           ([{**MARKED, "checksum": XOR}, {"name": "line", "start": "#"}], b"<"),
                           ([SLIP, SENTENCE], b"\xc0"), ([{**HDLC, "checksum": XOR}, SENTENCE], b"~")):  # fmt: skip
        reader = codec(framing)
        list(reader.feed(begin))
        tracemalloc.start()
        for _ in range(2500):
            assert list(reader.feed(b"x" * 4000)) == []
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 200_000
        list(reader.flush_partial())
        assert reader.framer.discarded_bytes == len(begin) + 10_000_000


def test_apparently_nested_frames_of_several_kinds_hide_later_ones_only_briefly() -> None:
    reader = codec([{**MARKED, "checksum": XOR}, {**MARKED, "name": "other", "checksum": {"type": "sum-8"}},
                    {"name": "line", "type": "markers", "start": "<", "stop": ">", "checksum": XOR}])  # fmt: skip
    for _ in range(20):
        list(reader.feed(b"<>\x01" * 300))
    assert read(reader, b"." * 10_000, b"<A\x01@>") == [("marked", b"A\x01@")]


# --- examples


UBX_NAV = b"\xb5b\x02\x01\x02" + bytes([0xB5 ^ 0x62 ^ 0x02 ^ 0x01 ^ 0x02])


def test_each_frame_has_the_name_of_its_framing() -> None:
    reader = codec([BINARY, SENTENCE])
    assert read(reader, b"noise" + UBX_NAV + b"$GP,1*0A\r\n\r\n" + UBX_NAV + b"\xb5") == [
        ("binary", UBX_NAV), ("sentence", b"$GP,1*0A"), ("binary", UBX_NAV)]  # fmt: skip
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (6, 2)


def test_a_frame_with_a_wrong_checksum_is_reported_once_and_what_follows_is_found() -> None:
    reader = codec([BINARY, SENTENCE])
    damaged = UBX_NAV[:-1] + b"\x00"
    pairs = list(reader.feed(damaged + b"$GP,1*00\r\n" + UBX_NAV))
    assert [(framing_of(frame), error[:14]) for frame, error in pairs] == [("binary", "wrong checksum"), ("binary", "")]
    assert reader.framer.discarded_bytes == len(damaged) + 10


def test_an_embedded_frame_is_taken_out_of_the_one_around_it() -> None:
    """As in Victron's VE.Direct: answers in hexadecimal arrive in the middle of a block of text."""
    reader = codec([VE_HEX, VE_TEXT])
    assert read(reader, b"\r\nPID\t0xA053\r\nV\t128:7F0ED0071\n00\r\nChecksum\tx") == [
        ("hex", bytes.fromhex("F0ED0071")), ("text", b"\t0xA053\r\nV\t12800\r\nx")]  # fmt: skip
    assert reader.framer.discarded_bytes == 0


def test_what_looks_like_an_embedded_frame_is_given_back() -> None:
    reader = codec([VE_HEX, {"name": "line", "terminator": ";"}])
    assert read(reader, b"at :7 o'clock\n;12:70A\n:30;") == [
        ("line", b"at :7 o'clock\n"),
        ("hex", b"\x0a"),
        ("line", b"12:30"),
    ]


def test_the_last_framing_reads_what_the_others_leave_over() -> None:
    """As in IEC 62056-21: lines, and a readout between control characters."""
    reader = codec(
        [{**MARKED, "name": "readout", "start": "\x02", "stop": "\x03"}, {"name": "line", "terminator": "\r\n"}]
    )
    assert read(reader, b"/LGZ5\r\n\x021.8.0(1*kWh)\r\n!\r\n\x03OK\r\ncut\x02x\x03more\r\n") == [
        ("line", b"/LGZ5"), ("readout", b"1.8.0(1*kWh)\r\n!\r\n"), ("line", b"OK"), ("readout", b"x"),
        ("line", b"more"),
    ]  # fmt: skip
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (3, 1), "the line that was cut"


BOOT = b"ets Jul 29 2019\r\nrst:0x1\r\n"


def test_byte_stuffing_shares_a_line_with_text() -> None:
    """As with an ESP32, which prints text when it boots, and then speaks SLIP."""
    reader = codec([SLIP, {"name": "line"}])
    frames = [b"\x01\x08\xc0\xdb", b"\r\n"]
    written = [reader.wrap(frame, "slip") for frame in frames]
    expected = [("line", b"ets Jul 29 2019"), ("line", b"rst:0x1"), *(("slip", frame) for frame in frames)]
    assert read(reader, BOOT, *written, BOOT) == [*expected, *expected[:2]]
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (0, 0)


def test_several_delimiters_in_a_row_are_no_loss_and_those_in_a_text_belong_to_it() -> None:
    reader = codec([{**HDLC, "checksum": {"type": "x-25", "byte_order": "little", "strip": True}}, {"name": "line"}])
    frame = reader.wrap(b"A~}")
    assert frame.startswith(b"~") and frame.endswith(b"~")
    assert read(reader, b"~~" + frame + b"~~~ Boot ~~~\r\nOK\r\n" + frame) == [
        ("hdlc", b"A~}"), ("line", b"~~~ Boot ~~~"), ("line", b"OK"), ("hdlc", b"A~}")]  # fmt: skip
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (0, 0)


@pytest.mark.parametrize("other", [{"name": "line"}, SENTENCE])
def test_frames_that_share_their_delimiters_are_all_found_if_they_have_a_checksum(other: Options) -> None:
    """As RFC 1662 allows: one flag ends a frame, and begins the next one."""
    reader = codec([{**HDLC, "checksum": {"type": "x-25", "byte_order": "little", "strip": True}}, other])
    contents = [b"A", b"B~}$", b"C", b"D"]
    wrapped = [reader.wrap(content, "hdlc") for content in contents]
    parts = [wrapped[0], *(frame[1:] for frame in wrapped[1:3]), b"$OK*04\r\n", wrapped[3]]
    expected = [("hdlc", content) for content in contents[:3]]
    text = b"$OK*04"
    assert read(reader, *parts) == [*expected, (other["name"], text), ("hdlc", b"D")]
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (0, 0)


@pytest.mark.parametrize("damage", [lambda frame: frame[:-1], lambda frame: frame[1:], lambda frame: frame[:2] + b"?"])
def test_a_lost_delimiter_costs_the_frames_beside_it_only(damage: Callable[[bytes], bytes]) -> None:
    checked = {**SLIP, "checksum": {"type": "crc-8", "strip": True}}
    reader = codec([checked, {"name": "line"}])
    frame = reader.wrap(b"A\xc0B")
    assert read(reader, frame, damage(frame), BOOT, frame, BOOT, frame)[-4:] == [
        ("slip", b"A\xc0B"), ("line", b"ets Jul 29 2019"), ("line", b"rst:0x1"), ("slip", b"A\xc0B")]  # fmt: skip


def test_without_a_checksum_silence_ends_what_a_lost_delimiter_has_begun() -> None:
    reader = codec([SLIP, {"name": "line"}])
    frame = reader.wrap(b"A")
    assert read(reader, frame[1:], BOOT) == [("line", b"A\xc0ets Jul 29 2019"), ("line", b"rst:0x1")]
    assert read(reader, frame) == [("slip", b"A")]


def test_a_preamble_is_written_and_is_no_loss_when_received() -> None:
    """As in DL/T 645, whose frames follow four bytes FE, or fewer if the receiver has missed some."""
    framing = {"type": "length", "start": "h", "offset": 1, "size": 1, "correction": 4, "stop": "\x16"}
    options: Options = {
        "framing": {**framing, "preamble": "\xfe\xfe\xfe\xfe"},
        "checksum": {"type": "sum-8", "at": -2, "to": -2},
    }
    written = codec(**options).wrap(b"h\x01A\x16")
    assert written == b"\xfe\xfe\xfe\xfeh\x01A\xaa\x16", "the preamble is not in the checksum"
    reader = codec(**options)
    assert read(reader, written, written[2:]) == [("", written[4:])] * 2
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (0, 0)
    assert read(reader, b"\xfe", b"x", written) == [("", written[4:])]
    assert (reader.framer.discarded_bytes, reader.framer.discarded_frames) == (2, 1)


# --- what is written


def test_writing_has_a_framing_of_its_own() -> None:
    """As in Davis' weather stations: commands are lines, and answers have a fixed length and a CRC."""
    loop = {"name": "loop", "type": "fixed", "length": 6, "start": "LOO", "checksum": {"type": "xmodem", "strip": True}}
    both = codec(loop, write_framing={"terminator": "\n"})
    assert both.wrap(b"LAMPS 1") == b"LAMPS 1\n"
    frame = both.wrap(b"LOO\x01", "loop")
    assert read(both, b"\n\r" + frame) == [("loop", b"LOO\x01")]
    assert both.wrap(b"\x04", "raw") == b"\x04"


FIXED: Options = {"type": "fixed", "length": 4, "start": "<", "stop": ">"}


@pytest.mark.parametrize(
    ("framing", "content", "reason"),
    [
        (FIXED, b"<A>", "it has 3 bytes instead of 4"),
        (FIXED, b"<ABC>", "it has 5 bytes instead of 4"),
        (FIXED, b"ABC>", "it does not begin with '<'"),
        (FIXED, b"<ABC", "it does not end with '>'"),
        ({**FIXED, "stop": "\xff", "checksum": {"type": "xor", "at": 2}}, b"<A", "it does not end with '\\xff'"),
        ({**FIXED, "checksum": XOR, "stop": "A"}, b"<A", "it does not end with 'A'"),
        ({"type": "length", "offset": 1, "size": 2}, b"AB", "it has 2 bytes, and the length in it needs 3"),
        ({"type": "length", "offset": 1, "size": 1, "correction": 2}, b"A\x03BC", "it has 4 bytes instead of 5"),
        ({"start": "$"}, b"GPQ", "it does not begin with '$'"),
    ],
)
def test_what_is_written_in_a_framing_that_was_chosen_for_it_has_its_length_start_and_stop(
    framing: Options, content: bytes, reason: str
) -> None:
    named = {**framing, "name": "frame"}
    for both, name in (
        (codec({}, write_framing=framing), ""),
        (codec({}, write_framing=named), "frame"),
        (codec(named, write_framing="frame"), ""),
        (codec(named), "frame"),
    ):
        with pytest.raises(FramingError) as caught:
            both.wrap(content, name)
        assert str(caught.value) == reason
    assert content in codec(framing).wrap(content), "a framing that is only read says nothing of what is written"


@pytest.mark.parametrize(
    ("framing", "content"),
    [
        (FIXED, b"<AB>"),
        ({**FIXED, "stop": "<", "checksum": XOR}, b"<AA"),
        ({"type": "length", "offset": 1, "size": 1, "correction": 2, "max_length": 3}, b"A\x02BC"),
        ({"start": ":", "content": "hex"}, b"A"),
        ({"start": "$"}, b"$GPQ"),
        ({"type": "slip"}, b"\xc0"),
    ],
)
def test_what_fits_the_framing_that_was_chosen_for_it_is_written(framing: Options, content: bytes) -> None:
    assert codec({}, write_framing=framing).wrap(content) == codec(framing).wrap(content)


def test_the_first_framing_of_a_list_is_written_unless_another_one_is_named() -> None:
    framing = [STUFFED, {"name": "line"}]
    assert codec(framing).wrap(b"\x10") == b"\x10\x10\x10\x10\x03"
    assert codec(framing, write_framing="line").wrap(b"A") == b"A\r\n"
    assert codec(framing).wrap(b"A", "line") == b"A\r\n"


@settings(max_examples=200)
@given(st.binary(max_size=12) | st.text("\x10\x03\x02", max_size=8).map(str.encode), st.sampled_from([0, 2]))
def test_stuffed_content_is_read_back(content: bytes, after: int) -> None:
    options = {**STUFFED, "after": after}
    try:
        written = codec(options).wrap(content)
    except FramingError:
        assert len(content) <= after
        return
    assert read(codec(options), written) == [("stuffed", content)]


def test_a_kept_frame_is_written_only_if_its_bytes_are_doubled() -> None:
    options = {**STUFFED, "keep": True}
    assert codec(options).wrap(b"\x10A\x10\x10B\x10\x03") == b"\x10A\x10\x10B\x10\x03"
    with pytest.raises(FramingError, match="contains bytes that end a frame"):
        codec(options).wrap(b"\x10A\x10\x03B\x10\x03")


# --- mistakes


@pytest.mark.parametrize(
    ("options", "path", "what"),
    [
        ({"framing": [BINARY, SENTENCE], "checksum": XOR}, ("checksum",), "a framing has its own checksum"),
        ({"framing": BINARY, "checksum": XOR}, ("checksum",), "a framing has its own checksum"),
        ({"framing": [{**BINARY, "checksum": {"type": "xorr"}}]}, ("framing", 0, "checksum", "type"), "unknown"),
        ({"framing": [BINARY, BINARY]}, ("framing", 1, "name"), "two framings are called 'binary'"),
        ({"framing": [{"type": "cobs"}, SENTENCE]}, ("framing", 0), "only the last framing may be without 'start'"),
        ({"framing": [BINARY, {"type": "gap", "gap": 1}]}, ("framing", 1, "type"), "cannot share a line"),
        ({"framing": [VE_HEX]}, ("framing",), "there is none to be embedded in"),
        ({"framing": VE_HEX}, ("framing", "embedded"), "not embedded"),
        ({"framing": [{"start": "$", "prompts": ["> "]}, MARKED]}, ("framing", 0, "prompts"), "only the last framing"),
        ({"framing": {"name": "raw"}}, ("framing", "name"), "'raw' stands for bytes without framing"),
        ({"framing": {"type": "raw"}, "port": "/dev/ttyUSB0"}, ("framing", "type"), "a serial line has no packets"),
        ({"framing": SENTENCE, "write_framing": "sentences"}, ("write_framing",), "there is no framing 'sentences'"),
        ({"framing": {}, "write_framing": {"type": "markers", "start": "<"}}, ("write_framing",), "needs 'stop'"),
        ({"framing": {}, "write_framing": {"embedded": True}}, ("write_framing", "embedded"), "does nothing"),
        ({"framing": {}, "write_framing": {"timeout": 1}}, ("write_framing", "timeout"), "'timeout' does nothing"),
        ({"framing": {}, "write_framing": {"prompts": ["> "]}}, ("write_framing", "prompts"), "'prompts' does nothing"),
        ({"framing": {"preamble": "\u20ac"}}, ("framing", "preamble"), "is not bytes"),
        ({"framing": {"prompts": [">\r"]}}, ("framing", "prompts", 0), "contains part of a terminator"),
        ({"framing": {"prompts": ["> ", "> >"]}}, ("framing", "prompts", 1), "begins with '> '"),
        ({"framing": {"prompts": ["> "]}, "checksum": XOR}, ("framing", "prompts"), "prompts have no checksum"),
        ({"framing": {**MARKED, "content": "hex", "keep": True}}, ("framing", "keep"), "mutually exclusive"),
        ({"framing": {**MARKED, "stuffing": ">"}}, ("framing", "stuffing"), "does not begin with '>' and go on"),
        ({"framing": {**MARKED, "stuffing": {">>": "\\>", ">": "\\)", "\\": "\\\\"}}}, ("framing", "stuffing", ">>"),
         "is not one byte"),
        ({"framing": {**MARKED, "stuffing": {">": "\\\u20ac", "\\": "\\\\"}}}, ("framing", "stuffing"),
         "is not bytes"),
        ({"framing": {**MARKED, "stuffing": {">": "\\)"}}}, ("framing", "stuffing"), "'\\\\' may be data"),
        ({"framing": {**MARKED, "stuffing": {"\\": "\\\\"}}}, ("framing", "stop"), "'>' may be data"),
        ({"framing": {**MARKED, "stuffing": {">": ">", "\\": "\\\\"}}}, ("framing", "stuffing", ">"), "is too short"),
        ({"framing": {**MARKED, "stuffing": {">": "\\)", "\\": "\\))"}}}, ("framing", "stuffing", "\\"),
         "begins with '\\\\)'"),
        ({"framing": {**JANDY, "stuffing": {"\x10": "\x10\x03"}}}, ("framing", "stop"), "begins with '\\x10\\x03'"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_a_remedy(options: dict[str, Any], path: tuple[Any, ...], what: str) -> None:
    problems = list(check_framings(serial_params(**options), did_you_mean))
    assert [problem.path for problem in problems] == [path]
    assert what in problems[0].what
    assert problems[0].remedy


@pytest.mark.parametrize(
    ("framing", "content", "line"),
    [
        # Kamstrup Meter Protocol: the data, as its manual has it, with bytes that have another meaning on the line.
        (KAMSTRUP, b"\x3f\x10\x0d\x40\x1b", b"@\x3f\x10\x1b\xf2\x1b\xbf\x1b\xe4\r"),
        # A swimming pool bus: DLE in the data is followed by NUL.
        (JANDY, b"\x33\x10\x00\x10", b"\x10\x02\x33\x10\x00\x00\x10\x00\x10\x03"),
    ],
)
def test_a_byte_may_be_written_as_others(framing: Options, content: bytes, line: bytes) -> None:
    reader = codec(framing)
    assert reader.wrap(content) == line
    assert read(reader, *(bytes([byte]) for byte in line)) == [(framing["name"], content)]


def test_a_start_that_is_written_as_others_begins_a_new_frame_at_once() -> None:
    reader = codec({**KAMSTRUP, "name": "kmp"})
    assert [bytes(frame) for frame, _ in reader.feed(b"@lost end@AB\r")] == [b"AB"]
    assert [bytes(frame) for frame, _ in reader.feed(b"@bad\x1bescape\r@CD\r")] == [b"CD"]
