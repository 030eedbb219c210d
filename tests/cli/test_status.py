"""`mqttgateway status`: how the answer of the gateway is printed, and the exit code."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any

import pytest

from gateway.cli import status
from gateway.control.client import NotRunningError

LINK = {
    "state": "up", "server": "b:1883", "protocol": "MQTT 5", "session": False, "is_caught_up": True,
    "connects": 1, "last_failure": "", "since": None, "round_trip_ms": 1.23,
}  # fmt: skip


def reply(**parts: Any) -> dict[str, Any]:
    return {
        "name": "gw", "level": "well", "summary": "link up (b:1883, MQTT 5)", "headline": "?", "is_alive": True,
        "problems": [], "version": "1", "time": "1970-01-01T00:00:10.000Z", "pid": 1, "uptime": 1.0,
        "configuration": "0123456789ab", "configuration_file": "gw.conf", "link": LINK, "interfaces": {},
        "outbox": {"file": None, "oldest": 0.0, "waiting": 0}, "received": {},
        "commands": {"outcomes": {}, "refused": {}}, "last_error": None,
        "process": {"memory": 40 * 1024**2, "threads": 5, "descriptors": 16}, **parts,
    }  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, answer: Any, *, alive: bool = False, as_json: bool = False) -> int:
    def ask(_: str, request: str) -> Any:
        assert request == ("health" if alive else "status")
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(status, "ask_gateway", ask)
    return status.status(Namespace(name="gw", conf=None, json=as_json, alive=alive))


@pytest.mark.parametrize(
    ("connects", "text"), [(0, "never connected"), (1, "connected once"), (12, "connected 12 times")]
)
def test_how_often_the_gateway_was_connected_is_a_phrase(
    connects: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, reply(link={**LINK, "connects": connects})) == 0
    assert f"link          up: b:1883, MQTT 5, {text}, round trip 1.2 ms\n" in capsys.readouterr().out


OFFLINE = {
    "level": "degraded", "remedy": "check plug, cable and power", "since": None,
    "what": "boiler is offline: cannot open /dev/serial/by-id/usb-FTDI_FT232R_USB_UART-if00-port0: no such device",
}  # fmt: skip


def test_first_comes_what_is_wrong_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    other = {**OFFLINE, "what": "the disk of the outbox is full (o)", "remedy": ""}
    assert run(monkeypatch, reply(level="degraded", problems=[OFFLINE, other])) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "gw is degraded: boiler is offline: cannot open",
        "  /dev/serial/by-id/usb-FTDI_FT232R_USB_UART-if00-port0: no such device",
        "  -> check plug, cable and power",
        "- the disk of the outbox is full (o)",
        "link up (b:1883, MQTT 5)",
        "",
    ]
    assert max(map(len, lines)) <= 80


def test_the_first_line_that_a_program_reads_names_the_gravest_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A monitoring system shows the first line of a check, and only that."""
    assert run(monkeypatch, reply(level="degraded", problems=[OFFLINE]), alive=True) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"gw is degraded: {OFFLINE['what']}"


def test_the_first_line_of_a_gateway_that_is_well_has_the_last_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "link up (b:1883, MQTT 5); last warning at 02:00:00: lost the broker: it closed the connection"
    assert run(monkeypatch, reply(headline=line)) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"gw is well: {line}"


@pytest.mark.parametrize(("level", "code"), [("well", 0), ("degraded", 1), ("down", 2)])
def test_the_exit_code_is_for_monitoring(level: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, reply(level=level)) == code
    assert run(monkeypatch, reply(level=level), as_json=True) == code
    assert run(monkeypatch, reply(level=level), alive=True) == 0, "a restart would not mend it"
    assert run(monkeypatch, reply(level=level, is_alive=False), alive=True) == 2


def test_no_gateway_and_one_of_another_version_are_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, NotRunningError("no gateway called 'gw' runs here")) == 2
    assert run(monkeypatch, {"name": "gw"}) == 2
    err = capsys.readouterr().err
    assert "mqttgateway: no gateway called 'gw' runs here\n" in err
    assert "is that of another version ('level')" in err or "is that of another version (KeyError('level'))" in err


def test_what_a_device_has_sent_does_nothing_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        monkeypatch,
        reply(last_error={"time": "1970-01-01T00:00:00.000Z", "level": "error", "text": "\x1b[2J", "times": 3}),
    )
    out = capsys.readouterr().out
    assert "\\x1b[2J (3 times)" in out and "\x1b" not in out


INTERFACE = {
    "type": "SerialInterface", "status": "online", "failures": 0, "pushed": 0, "refused": 0, "inbox": 0,
    "frames": {}, "last_failure": None, "last_frame": None, "last_good_frame": None,
    "devices": {"counts": {}, "shown": []},
}  # fmt: skip


@pytest.mark.parametrize(
    ("frames", "end"),
    [
        ({}, ": online outbox"),
        ({"last_frame": "1970-01-01T00:00:09.120Z"}, "last frame 1970-01-01 00:00:09, and no good one outbox"),
        (
            {"last_frame": "1970-01-01T00:00:09.120Z", "last_good_frame": "1970-01-01T00:00:02.000Z"},
            "last frame 1970-01-01 00:00:09, the last good one 1970-01-01 00:00:02 outbox",
        ),
    ],
)
def test_when_the_device_was_heard_and_understood_last(
    frames: dict[str, str], end: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    assert run(monkeypatch, reply(interfaces={"line": INTERFACE | frames})) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "line (SerialInterface)" in out
    assert end in out


def test_how_long_ago_a_device_was_heard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    heard = {"id": "boiler", "status": "online", "reason": "", "last_heard": "1970-01-01T00:00:07.500Z"}
    never = {"id": "lamp", "status": "unknown", "reason": "", "last_heard": None}
    devices = {"counts": {"online": 1, "unknown": 1}, "shown": [heard, never]}
    assert run(monkeypatch, reply(interfaces={"line": INTERFACE | {"devices": devices}})) == 0
    out = capsys.readouterr().out
    assert "  device      boiler: online; heard 2 s ago\n  device      lamp: unknown; not heard yet\n" in out
