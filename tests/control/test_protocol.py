from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.protocol import (
    MAX_REPLY,
    MAX_REQUEST,
    Answer,
    ControlError,
    RequestKind,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    printable,
)

KINDS = {
    "status": RequestKind(lambda _, answer: answer({})),
    "list": RequestKind(lambda _, answer: answer({}), {"topic": str, "count": int, "all": bool}),
}
arguments = st.fixed_dictionaries(
    {}, optional={"topic": st.text(), "count": st.integers(-(2**80), 2**80), "all": st.booleans()}
)


@given(arguments)
def test_a_request_can_be_read_back(arguments: dict[str, Any]) -> None:
    line = encode_request("list", arguments)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_request(line, KINDS) == (KINDS["list"], arguments)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_a_reply_can_be_read_back(value: object) -> None:
    lines: list[bytes] = []
    answer = Answer(lambda _, line: lines.append(line))
    answer({"value": value})
    answer.refuse(f"no: {value!r}")
    assert decode_reply(lines[0]) == {"value": value}
    with pytest.raises(ControlError) as refused:
        decode_reply(lines[1])
    assert str(refused.value) == printable(f"no: {value!r}")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "no JSON object"),
        (b"\xff\xfe{}", "no JSON object"),
        (b"{'a': 1}", "no JSON object"),
        (b"[" * 60_000, "no JSON object"),
        (b'{"a":' * 20_000, "no JSON object"),
        (b'{"request": "list", "count": ' + b"9" * 10_000 + b"}", "no JSON object"),
        (b"[1]", "but of the type list"),
        (b"{}", "there is no request None; the requests are: list, status"),
        (b'{"request": ["status"]}', r"there is no request \['status'\]"),
        (b'{"request": "open\\u0000 the gate"}', r"there is no request 'open\\x00 the gate'"),
        (b'{"request": "status", "file": "/etc/shadow"}', "'status' has no argument 'file'"),
        (b'{"request": "list", "count": true}', "'count' of 'list' must be of the type int"),
        (b'{"request": "list", "count": 1.5}', "'count' of 'list' must be of the type int"),
        (b'{"request": "list", "topic": null}', "'topic' of 'list' must be of the type str"),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(ControlError, match=why) as refused:
        decode_request(line, KINDS)
    assert len(str(refused.value)) < 300


@given(st.binary(max_size=100))
def test_no_line_causes_any_other_error(line: bytes) -> None:
    for decode in (lambda: decode_request(line, KINDS), lambda: decode_reply(line)):
        with contextlib.suppress(ControlError):
            decode()


@pytest.mark.parametrize("reply", [b"{}", b"[]", b'{"ok": 1, "result": {}}', b'{"ok": true, "result": []}', b"\x00"])
def test_an_invalid_reply_is_an_error(reply: bytes) -> None:
    with pytest.raises(ControlError, match="this is no"):
        decode_reply(reply)


def test_control_characters_in_a_reason_are_escaped() -> None:
    with pytest.raises(ControlError) as refused:
        decode_reply(encode_reply({"ok": False, "error": "\x1b[2Jred\r\nand \x07more \ud800"}))
    assert str(refused.value) == "\\x1b[2Jred\\r\nand \\x07more \\ud800"


def test_lines_are_bounded() -> None:
    with pytest.raises(ControlError, match=f"too long .* at most {MAX_REQUEST}"):
        encode_request("list", {"topic": "x" * MAX_REQUEST})
    reply = encode_reply({"ok": True, "result": {"a": "x" * MAX_REPLY}})
    assert "the answer is too long" in json.loads(reply)["error"]
