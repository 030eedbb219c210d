"""The echo of what was written: exactly that is taken off, in any chunks, and `auto` needs evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.echo import EchoFilter, echo_endings

LINE = (b"\r\n", b"\r", b"\n")
LATER = 100.0


def received(echo: EchoFilter, *chunks: bytes) -> bytes:
    """Return what passes of the chunks, and of what is held back until all echoes are over."""
    return b"".join(echo.received(chunk) for chunk in chunks) + echo.expire(LATER)


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


def yes() -> bool:
    return True


def came_back(echo: EchoFilter, data: bytes, is_evidence: Callable[[], bool] | None = yes) -> bytes:
    """Return what passes of the echo of `data`."""
    echo.written(data, LATER, is_evidence)
    return received(echo, data)


def test_what_was_written_is_taken_off_and_the_answer_passes() -> None:
    echo = EchoFilter(True)
    echo.written(b"\x01\x04\x00", 1.0)
    assert echo.received(b"\x01\x04") == b""
    assert echo.received(b"\x00\x01\x04\x01") == b"\x01\x04\x01"
    assert echo.received(b"\x01\x04\x00") == b"\x01\x04\x00"  # only once for each write
    assert echo.removed == 1


def test_bytes_that_were_on_their_way_before_the_echo_pass() -> None:
    echo = EchoFilter(True, LINE)
    echo.written(b"LED 1\r\n", 1.0)
    assert received(echo, b"T 2", b"LED ", b"1\r\n1.5\r\n") == b"T 21.5\r\n"


def test_a_byte_that_differs_gives_all_back() -> None:
    echo = EchoFilter(True)
    echo.written(b"\x01\x04\x00", 1.0)
    assert [echo.received(bytes([byte])) for byte in b"\x01\x04\x09"] == [b"", b"", b"\x01\x04\x09"]


def test_a_console_may_end_the_echo_of_a_line_in_another_way() -> None:
    for ending in LINE:
        for written in (b"GET\r", b"GET\n", b"GET\r\n"):
            echo = EchoFilter(True, LINE)
            echo.written(written, 1.0)
            assert received(echo, b"> GET" + ending + b"21.5\r\n") == b"> 21.5\r\n"
            assert echo.removed == 1


def test_without_lines_no_byte_may_differ() -> None:
    echo = EchoFilter(True)
    echo.written(b"\x01\r", 1.0)
    assert received(echo, b"\x01\r\n") == b"\n"


def test_the_beginning_of_an_echo_is_held_back_until_its_time_is_over() -> None:
    echo = EchoFilter(True)
    echo.written(b"\x06\x01", 3.0)
    assert echo.due() is None
    assert echo.received(b"\x06") == b""
    assert echo.due() == 3.0
    assert echo.expire(2.9) == b""
    assert echo.expire(3.0) == b"\x06"
    assert echo.due() is None
    assert not echo


def test_a_lost_echo_does_not_hide_the_next_one() -> None:
    echo = EchoFilter(True)
    echo.written(b"ONE", 1.0)
    echo.written(b"TWO", 1.0)
    assert received(echo, b"TW", b"Oabc", b"ONE") == b"abcONE"


def test_not_more_echoes_are_expected_than_the_limit() -> None:
    echo = EchoFilter(True)
    for number in range(1000):
        echo.written(b"%03d" % number, 1.0)
    assert received(echo, b"983") == b"983"
    echo = EchoFilter(True)
    for number in range(1000):
        echo.written(b"%03d" % number, 1.0)
    assert received(echo, b"984") == b""


def test_nothing_is_taken_off_a_line_without_echo() -> None:
    echo = EchoFilter(False)
    assert [came_back(echo, b"AB") for _ in range(5)] == [b"AB"] * 5
    assert not echo.is_watching


def test_a_new_connection_expects_nothing() -> None:
    echo = EchoFilter(True)
    echo.written(b"AB", 1.0)
    assert echo.received(b"A") == b""
    echo.reset()
    assert received(echo, b"AB") == b"AB"


def test_auto_takes_the_echo_off_after_a_request_that_came_back() -> None:
    changes: list[bool] = []
    echo = EchoFilter(None, on_change=changes.append)
    assert (came_back(echo, b"A?"), changes) == (b"A?", [True])
    assert came_back(echo, b"SET", None) == b""  # also of what would be its own answer
    assert came_back(echo, b"B?") == b""
    assert (echo.removed, changes) == (2, [True])


def test_what_may_be_an_answer_is_no_evidence() -> None:
    echo = EchoFilter(None)
    assert [came_back(echo, b"MUON", lambda: False) for _ in range(5)] == [b"MUON"] * 5
    assert [came_back(echo, b"MUON", None) for _ in range(5)] == [b"MUON"] * 5


def test_requests_that_do_not_come_back_end_the_echo_of_auto() -> None:
    changes: list[bool] = []
    echo = EchoFilter(None, on_change=changes.append)
    for _ in range(2):
        came_back(echo, b"A?")
    for number in range(2):
        echo.written(b"A?", number, yes)
        assert echo.received(b"21") + echo.expire(number) == b"21"
    assert changes == [True, False]
    assert came_back(echo, b"A?") == b"A?"


def test_a_dead_line_proves_nothing() -> None:
    changes: list[bool] = []
    echo = EchoFilter(None, on_change=changes.append)
    for _ in range(2):
        came_back(echo, b"A?")
    for number in range(20):
        echo.written(b"A?", number, yes)
        assert echo.expire(number) == b""
    assert changes == [True]
    assert came_back(echo, b"A?") == b""


def test_auto_does_not_look_for_an_echo_for_ever() -> None:
    echo = EchoFilter(None)
    for number in range(8):
        assert echo.is_watching
        echo.written(b"A?", number, yes)
        assert echo.received(b"21") + echo.expire(number) == b"21"
    assert not echo.is_watching
    echo.reset()
    assert echo.is_watching


def test_auto_holds_nothing_back_without_evidence() -> None:
    echo = EchoFilter(None)
    echo.written(b"\x06\x01", 1.0, yes)
    assert echo.received(b"\x06") == b"\x06"
    assert echo.due() is None
    assert echo.received(b"\x02") == b"\x02"


def test_the_line_ends_are_those_of_lines_only() -> None:
    assert echo_endings({"type": "gap"}) == ()
    assert echo_endings({"type": "line", "terminator": "\r", "write_terminator": ";"}) == (b"\r", b";", b"\r\n", b"\n")
    assert set(echo_endings({"type": "line", "terminator": ["\r\n"]})) == set(LINE)


OTHERS = st.binary(max_size=6).map(lambda data: data.translate(None, b"QWE"))
CUTS = st.lists(st.integers(0, 200), max_size=12)


@given(others=st.lists(OTHERS, min_size=4, max_size=4), writes=st.permutations([b"Q1?", b"W\x00\xff", b"E"]), cuts=CUTS)
def test_exactly_what_was_written_is_taken_off(others: list[bytes], writes: list[bytes], cuts: list[int]) -> None:
    echo = EchoFilter(True)
    for data in writes:
        echo.written(data, 1.0)
    stream = others[0] + b"".join(data + other for data, other in zip(writes, others[1:], strict=True))
    assert received(echo, *split(stream, cuts)) == b"".join(others)
    assert echo.removed == 3


@given(
    mode=st.sampled_from([True, None]),
    writes=st.lists(st.tuples(st.text("AB\r\n", min_size=1, max_size=4), st.sampled_from([None, yes])), max_size=6),
    stream=st.text("AB\r\n", max_size=30),
    cuts=CUTS,
    has_lines=st.booleans(),
)
def test_any_chunking_gives_the_same_bytes(
    mode: bool | None,
    writes: list[tuple[str, Callable[[], bool] | None]],
    stream: str,
    cuts: list[int],
    has_lines: bool,
) -> None:
    results = []
    data = stream.encode()
    for chunks in ([data], split(data, cuts), [data[i : i + 1] for i in range(len(data))]):
        echo = EchoFilter(mode, LINE if has_lines else ())
        for text, is_evidence in writes:
            echo.written(text.encode(), 1.0, is_evidence)
        results.append((received(echo, *chunks), echo.removed))
    assert results[0] == results[1] == results[2]
    assert len(results[0][0]) <= len(data)
