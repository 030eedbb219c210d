"""`mqttgateway status`: how the answer of the gateway is printed."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from gateway.cli import status


@pytest.mark.parametrize(
    ("connects", "text"), [(0, "never connected"), (1, "connected once"), (12, "connected 12 times")]
)
def test_how_often_the_gateway_was_connected_is_a_phrase(
    connects: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    link = {
        "state": "up", "broker": "b:1883", "protocol": "MQTT 5", "session_present": False, "is_caught_up": True,
        "connects": connects, "last_failure": "",
    }  # fmt: skip
    reply: dict[str, Any] = {"name": "gw", "version": "1", "pid": 1, "uptime": 1.0, "configuration": "gw.conf"}
    reply.update(link=link, interfaces=[], outbox={"file": None}, received={})
    monkeypatch.setattr(status, "ask_gateway", lambda *_: reply)
    assert status.status(Namespace(name="gw", conf=None, json=False)) == 0
    assert f"  link          up: b:1883, MQTT 5, {text}\n" in capsys.readouterr().out
