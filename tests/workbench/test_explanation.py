from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import InterfaceOptions
from gateway.errors import ConfigurationError, Problem, UsageError
from gateway.interface import Interface
from gateway.message import InternalMsg
from gateway.workbench.explanation import (
    Published,
    explain_command,
    explain_frame,
    frame_from_hex,
    frame_from_text,
)

CONF = """\
root: home
topics: []
interface:
  type: serial
  port: /dev/ttyS77
  decode:
    - regex: 'T (?P<t>.*)'
      values: {t: float}
      message: {action: TEMP, arguments: {t: "{t}"}}
    - regex: 'TEXT (?P<t>.*)'
      message: {action: TEMP, arguments: {t: "{t}"}}
  encode:
    - {match: {action: SET}, write: "S"}
  reading_time: {argument: at, property: read}
  devices:
    - id: stove
      points: {t: {from: TEMP.t, type: number, unit: "°C"}}
"""


@pytest.fixture
def interface(tmp_path: Path) -> InterfaceOptions:
    (tmp_path / "gw.conf").write_text(CONF)
    return load_configuration(tmp_path / "gw.conf", {}).interfaces[0]


def published(interface: InterfaceOptions, frame: bytes) -> Published:
    (found,) = [each for each in explain_frame(interface, frame, 0.0) if isinstance(each, Published)]
    return found


def test_a_frame_becomes_a_message_a_reading_and_a_publication(interface: InterfaceOptions) -> None:
    result = published(interface, b"T 21.5\r\n")
    assert result.publication is not None
    assert result.publication.topic == "home/////gw/S"
    assert result.publication.payload == b'{"action": "TEMP", "t": 21.5, "at": "1970-01-01T00:00:00.000Z"}'
    assert result.user_property == ("read", "1970-01-01T00:00:00.000Z")
    assert [tuple(reading) for reading in result.readings] == [("stove", "t", 21.5, "°C", "good", "")]
    assert [str(line).split()[0] for line in result.lines()] == ["status", "topic", "payload", "property"]


def test_a_value_that_is_none_of_the_point_is_left_out(interface: InterfaceOptions) -> None:
    result = published(interface, b"TEXT hot\r\n")
    assert [(reading.value, reading.quality) for reading in result.readings] == [(None, "bad")]
    first, *_ = result.lines()
    assert str(first).startswith("  left out: the point stove.t: ")


def test_a_frame_that_no_rule_takes_is_a_problem(interface: InterfaceOptions) -> None:
    lines = list(explain_frame(interface, b"X\r\n", 0.0))
    assert Problem((), "dropped: no rule matches") in lines


def test_a_command_is_explained(interface: InterfaceOptions) -> None:
    assert "writes 'S\\r\\n' (53 0d 0a)" in list(explain_command(interface, InternalMsg(iscmd=True, action="SET")))


class Broken(Interface):
    @classmethod
    def explain_frame(cls, params: Mapping[str, Any], data: bytes) -> Iterator[str | InternalMsg | Problem]:
        raise SystemExit(5)


def test_a_class_that_fails_is_named(interface: InterfaceOptions) -> None:
    with pytest.raises(ConfigurationError, match=r"the class Broken fails: .*: fix its explain_frame"):
        list(explain_frame(interface._replace(cls=Broken), b"", 0.0))


def test_frames_as_people_write_them() -> None:
    assert frame_from_text(r"a\r\n\t\\\xff", "utf-8", "frame 1") == b"a\r\n\t\\\xff"
    assert frame_from_hex("AA 55 01", "frame 1") == b"\xaa\x55\x01"
    for text in ("\\", "\\q", "\\x4"):
        with pytest.raises(UsageError, match=r"frame 1: .* is not bytes: escapes are"):
            frame_from_text(text, "utf-8", "frame 1")
    with pytest.raises(UsageError, match="cannot be written as ascii"):
        frame_from_text("ä", "ascii", "frame 1")
    with pytest.raises(UsageError, match="frame 2: 'AA 5' is not bytes: for example AA 55 01"):
        frame_from_hex("AA 5", "frame 2")
