"""The option records: every option of the schema arrives, with its default."""

from __future__ import annotations

from typing import Any

import pytest

from interfaces.serial_interface.options import PortOptions, RateLimit, SerialOptions
from tests.support.configuration import serial_params

ENDINGS = (b"\r\n", b"\n", b"\r")


def test_the_defaults() -> None:
    options = SerialOptions.from_params(serial_params())
    assert options == SerialOptions(
        port=PortOptions("loop://", 9600, 8, "none", 1, "none", True, 2),
        settle=0,
        frame_timeout=None,
        answer_timeout=1,
        rate_limit=RateLimit(),
        reopen_after=10,
        echo=None,
        echo_endings=ENDINGS,
    )


def test_every_option() -> None:
    port: dict[str, Any] = {
        "port": "/dev/ttyS7", "baudrate": 19200, "bytesize": 7, "parity": "even", "stopbits": 2,
        "flow_control": "rtscts", "exclusive": False, "write_timeout": 3, "dtr": False, "rts": True,
    }  # fmt: skip
    pacing: dict[str, Any] = {
        "pause": 0.1, "bytes_per_second": 10, "frames_per_second": 2, "max_waiting": 5, "longest_wait": 6,
    }  # fmt: skip
    params = serial_params(
        **port,
        settle=4,
        framing={"type": "gap", "gap": 0.1, "timeout": 0.5},
        conversation={"timeout": 7, "pacing": pacing, "reopen_after": 0, "echo": True},
    )
    expected = SerialOptions(PortOptions(**port), 4, 0.5, 7, RateLimit(**pacing), reopen_after=0, echo=True)
    assert SerialOptions.from_params(params) == expected


@pytest.mark.parametrize(
    ("write_framing", "endings"),
    [
        (None, ()),
        ("text", (b"\n", b"\r\n", b"\r")),
        ({"terminator": ";"}, (b";", b"\r\n", b"\r", b"\n")),
        ({"type": "markers", "start": "<", "stop": ">"}, ()),
    ],
)
def test_an_echo_has_the_line_ends_of_the_framing_that_is_written(write_framing: Any, endings: tuple[bytes]) -> None:
    binary = {"type": "markers", "start": "\x02", "stop": "\x03", "name": "binary"}
    framing = [binary, {"name": "text", "terminator": "\n"}]
    other = {} if write_framing is None else {"write_framing": write_framing}
    assert SerialOptions.from_params(serial_params(framing=framing, **other)).echo_endings == endings
