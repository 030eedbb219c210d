"""A running gateway is managed by its control socket, and over MQTT if its configuration allows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.control.protocol import RequestKind
from gateway.message import Arrival, Publication, ReplyTo
from gateway.runtime.management import MqttManagement
from tests.conftest import ExpectedLogs
from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.health import status_of, wait_named
from tests.support.waiting import wait_until

REPLY = "home/gw/manage/reply"
LAMP = {
    "id": "lamp",
    "address": {"function": "lighting", "location": "office", "device": "lamp"},
    "points": {"on": {"from": "LAMP_STATE.on", "type": "boolean"}},
}


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def lamp_conf(folder: Path, port: int, **options: Any) -> Path:
    interfaces = {"one": {"type": "dummy", "devices": [LAMP]}, "other": trial("Recorder")}
    return write_conf(folder, port, interfaces=interfaces, **options)


def run(conf: Path, *arguments: str, code: int = 0) -> str:
    ran = run_command(conf, *arguments)
    assert ran.returncode == code, ran
    return ran.stdout or ran.stderr


def outcome_of(listener: Listener, action: str) -> dict[str, Any]:
    """Return the outcome of a command to the lamp, which must be the next one."""
    known = len(outcomes(listener))
    listener.publish("home/lighting//office/lamp/tester/C", action)
    wait_until(lambda: len(outcomes(listener)) > known, what=lambda: f"an outcome; got {listener.pairs()}")
    return outcomes(listener)[known]


def outcomes(listener: Listener) -> list[dict[str, Any]]:
    read = [json.loads(payload) for topic, payload in listener.pairs() if topic.endswith("lamp/gw/S")]
    return [each for each in read if "response" in each]


def test_a_closed_interface_stays_closed_until_it_is_opened(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = lamp_conf(tmp_path, mosquitto.port)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/one/availability", b"online")
        wait_until(lambda: status_of(gateway)["level"] == "well")
        assert run(conf, "interface", "close", "one") == "one: closed\n"
        listener.wait_topic("home/gw/lamp/availability", b"offline")
        wait_named(gateway, "one is closed: closed on request")
        assert outcome_of(listener, "LAMP_ON") | {"action": ""} == {
            "action": "", "response": "OFFLINE", "reason": "closed on request",
        }  # fmt: skip
        assert run(conf, "interface", "close", "one") == "one: closed\n", "again"
        assert "one is closed: open it" in run(conf, "interface", "restart", "one", code=1)
        write = json.loads(conf.read_text())
        write["interfaces"]["one"]["interval"] = 7
        conf.write_text(json.dumps(write))
        assert "one: options" in run(conf, "reload")
        assert run(conf, "interface", "restart", "other") == "other: running\n"
        shown = ["closed", "online"]
        wait_until(lambda: [each["status"] for each in status_of(gateway)["interfaces"].values()] == shown)
        assert run(conf, "interface", "open", "one") == "one: running\n"
        listener.wait_topic("home/gw/lamp/availability", b"online")
        assert outcome_of(listener, "LAMP_ON")["response"] == "OK"
        wait_until(lambda: status_of(gateway)["level"] == "well")
        assert run(conf, "interface", "open", "one") == "one: running\n", "again"
        assert "there is no interface 'x': the interfaces are: one, other" in run(
            conf, "interface", "open", "x", code=1
        )
        gateway.stop()


def test_an_interface_that_fails_tells_so_and_can_be_closed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interfaces={"bad": trial("Failing", failures=1000)})
    with GatewayProcess(conf) as gateway:
        wait_named(gateway, "bad fails, and is started again and again: ValueError: broken")
        assert run(conf, "interface", "close", "bad") == "bad: closed\n"
        wait_named(gateway, "bad is closed: closed on request")
        gateway.stop()


def test_the_log_level_is_changed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = lamp_conf(tmp_path, mosquitto.port)
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        assert run(conf, "log-level", "debug", "--part", "mqtt") == "mqtt: debug\n"
        assert run(conf, "log-level", "debug", "--part", "one") == "one: debug\n", "an interface"
        gateway.wait_log("the level of one is debug now, on request")
        assert run(conf, "log-level", "info") == "the whole log: info\n"
        assert run(conf, "log-level", "configured") == "the whole log: configured\n"
        gateway.wait_log("the level of the whole log is that of the configuration again, on request")
        assert "'nope' is no part of the program" in run(conf, "log-level", "info", "--part", "nope", code=1)
        gateway.stop()


def test_over_mqtt_it_is_off_unless_it_is_allowed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = lamp_conf(tmp_path, mosquitto.port)
    close = json.dumps({"request": "interface close", "interface": "one"})
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/one/availability", b"online")
        listener.publish("home/gw/manage", close)
        assert outcome_of(listener, "LAMP_ON")["response"] == "OK"
        lamp_conf(tmp_path, mosquitto.port, management=True)
        assert "management" in run(conf, "reload")
        wait_until(lambda: "home/gw/manage (QoS 1" in mosquitto.log.read_text(), what="the subscription")
        listener.publish("home/gw/manage", close)
        listener.wait_topic(REPLY, b'{"ok": true, "result": {"interface": "one", "outcome": "closed"}}')
        assert outcome_of(listener, "LAMP_ON")["response"] == "OFFLINE"
        listener.publish("home/gw/manage", json.dumps({"request": "forget", "what": "one"}))
        listener.wait_for(lambda message: message.topic == REPLY and b"there is no request 'forget'" in message.payload)
        listener.publish("home/gw/manage", json.dumps({"request": "interface open", "interface": "one"}))
        listener.wait_topic(REPLY, b'{"ok": true, "result": {"interface": "one", "outcome": "running"}}')
        gateway.stop()


# --- requests over MQTT


class Manager:
    """The management over MQTT with one request, `note`, of which it remembers the texts."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.replies: list[Publication] = []
        kinds = {"note": RequestKind(lambda arguments, answer: self._note(arguments["text"], answer), {"text": str})}
        self.management = MqttManagement(kinds, self.replies.append, REPLY)

    def _note(self, text: str, answer: Any) -> None:
        self.noted.append(text)
        answer({"noted": text})

    def request(self, payload: bytes, reply_to: ReplyTo | None = None, **flags: Any) -> dict[str, Any]:
        self.management.on_request(Arrival("home/gw/manage", payload, **flags), reply_to)
        return json.loads(self.replies[-1].payload)  # type: ignore[no-any-return]


def test_the_reply_goes_where_it_is_asked_for_with_the_correlation_data() -> None:
    manager = Manager()
    note = b'{"request": "note", "text": "a"}'
    assert manager.request(note, ReplyTo("my/response", b"7")) == {"ok": True, "result": {"noted": "a"}}
    assert manager.request(note, ReplyTo("", b"8"))["ok"]
    assert manager.request(note)["ok"]
    assert [(each.topic, each.correlation, each.retain) for each in manager.replies] == [
        ("my/response", b"7", False), (REPLY, b"8", False), (REPLY, b"", False),
    ]  # fmt: skip


@pytest.mark.parametrize("flags", [{"retain": True}, {"resumed": True}, {"late": 40.0}], ids=str)
def test_an_old_request_is_not_executed(flags: dict[str, Any]) -> None:
    manager = Manager()
    error = manager.request(b'{"request": "note", "text": "a"}', **flags)["error"]
    assert error == "a request that was retained, queued or delayed is not executed: send it again"
    assert manager.noted == []


@pytest.mark.parametrize(("payload", "error"), [
    (b"junk", "this is no JSON object"),
    (b"\xff\xfe", "this is no JSON object"),
    (b"[" * 10_000, "this is no JSON object"),
    (b'{"request": "forget"}', "there is no request 'forget'; the requests are: note"),
    (b'{"request": "note", "text": 1}', "must be of the type str"),
    (b'{"request": "note", "more": 1}', "has no argument 'more'"),
    (b" " * 70_000, "a request has at most 65536 bytes"),
])  # fmt: skip
def test_whatever_else_comes_is_refused_with_the_reason(payload: bytes, error: str) -> None:
    manager = Manager()
    reply = manager.request(payload)
    assert not reply["ok"] and error in reply["error"]
    assert manager.noted == []


def test_a_flood_of_requests_is_neither_executed_nor_answered(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("not executed, and not answered: more than 10 requests a second on 'home/gw/manage'")
    manager = Manager()
    for _ in range(500):
        manager.request(b'{"request": "note", "text": "a"}')
        manager.request(b"no request")
    assert 10 <= len(manager.replies) <= 30 and len(manager.noted) <= 15


def test_a_request_that_fails_by_a_bug_ends_nothing(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a request on 'home/gw/manage' failed")

    def fail(*_: Any) -> None:
        raise RuntimeError("token=hunter2")

    replies: list[Publication] = []
    MqttManagement({"fail": RequestKind(fail)}, replies.append, REPLY).on_request(
        Arrival("home/gw/manage", b'{"request": "fail"}'), None
    )
    error = json.loads(replies[0].payload)["error"]
    assert "RuntimeError" in error and "hunter2" not in error
