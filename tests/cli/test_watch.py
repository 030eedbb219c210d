"""`mqttgateway watch`: what a terminal shows of payloads, which may come from anybody."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.shown import readable
from gateway.cli.watch import availability_line, document_line

_ENCODINGS = ("utf-8", "ascii", "latin-1", "cp1252")


@given(st.text(), st.sampled_from(_ENCODINGS))
def test_no_text_can_control_the_terminal_or_fail_to_be_written(text: str, encoding: str) -> None:
    shown = readable(text, encoding)
    assert shown.isprintable()
    shown.encode(encoding)


@given(st.binary())
def test_no_bytes_can_control_the_terminal(payload: bytes) -> None:
    assert readable(payload, "utf-8").isprintable()


@given(st.recursive(st.text() | st.integers() | st.booleans(), st.lists), st.sampled_from(_ENCODINGS))
def test_a_document_can_be_copied(value: object, encoding: str) -> None:
    document = json.dumps(value, ensure_ascii=False).replace("\x7f", "").encode(errors="replace")
    assert json.loads(readable(document, encoding)) == json.loads(document)


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ('it\'s "grün" 💡', "utf-8", 'it\'s "grün" 💡'),
        ("grün €", "latin-1", r"grün \u20ac"),
        ("grün 💡", "ascii", r"gr\u00fcn \ud83d\udca1"),
        ("\x1b[31m\x07\n\t\x7f", "utf-8", r"\x1b[31m\x07\n\t\x7f"),
        ("\x9b31m\u202e", "utf-8", r"\u009b31m\u202e"),
    ],
)
def test_what_is_escaped(text: str, encoding: str, shown: str) -> None:
    assert readable(text, encoding) == shown


def test_the_lines_of_documents() -> None:
    assert document_line("home/gw/lamp/state", b'{"on":true}') == 'home/gw/lamp: state {"on":true}'
    assert availability_line("home/gw/lamp/availability", b"online\n") == r"home/gw/lamp is online\n"
