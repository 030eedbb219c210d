from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.control.client import ask
from gateway.core import activity
from gateway.errors import ConfigurationError, GatewayError
from gateway.runtime.reloader import Reloader
from tests.conftest import ExpectedLogs
from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.waiting import wait_until

REJECTED = "reload rejected; running configuration unchanged: "


def map_with(word: str, *, root: str = "home", topics: tuple[str, ...] = ("home/+/+/+/+/+/C",)) -> dict[str, Any]:
    return {"root": root, "topics": list(topics), "action": {"maptype": "loose", "map": {"TICK": [word]}}}


def reload(gateway: GatewayProcess, count: int = 1) -> None:
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("INFO    mqttgateway.runtime: reloaded ", count)


def numbers(listener: Listener, *words: str) -> list[int]:
    statuses = [
        json.loads(m.payload) for m in list(listener.messages) if m.topic.endswith("/S") and m.payload[:1] == b"{"
    ]
    return [status["number"] for status in statuses if status["action"] in words]


# --- under load


def test_a_stream_continues_while_the_map_changes(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interface = trial("Ticker", interval=0.001)
    conf = write_conf(tmp_path, mosquitto.port, map=map_with("tick"), interface=interface)
    words = ["tick"]
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: len(numbers(listener, "tick")) > 50, what=lambda: gateway.log)
        for count in range(1, 5):
            words.append(f"tick{count}")
            write_conf(tmp_path, mosquitto.port, map=map_with(words[-1]), interface=interface)
            reload(gateway, count)
            wait_until(lambda: len(numbers(listener, words[-1])) > 50, what=lambda: gateway.log)
        assert f"reloaded {conf}: trial_interface: map" in gateway.log
        gateway.stop()
        listener.wait_for(lambda message: b"LAST" in message.payload)
        ticks = numbers(listener, *words)
    assert ticks == list(range(len(ticks))), "nothing is lost or repeated, and the order is kept"
    assert gateway.log.count("connected to") == 1


def test_commands_arrive_once_while_the_filters_change(tmp_path: Path, mosquitto: Mosquitto) -> None:
    narrow, wide = ("home/+/+/+/lamp/+/C",), ("home/+/+/hall/+/+/C", "home/+/+/+/lamp/+/C")
    conf = write_conf(tmp_path, mosquitto.port, map=map_with("x", topics=narrow), interface=trial("Recorder"))
    total = 600
    with mosquitto.client("home/trial/#") as listener, mosquitto.client() as sender, GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text())

        def send() -> None:
            for number in range(total):
                sender.publish("home/light//hall/lamp/me/C", f"GO{number}", qos=1)

        thread = threading.Thread(target=send)
        thread.start()
        count = 0
        while thread.is_alive():
            count += 1
            topics = (wide, narrow)[count % 2]
            write_conf(tmp_path, mosquitto.port, map=map_with("x", topics=topics), interface=trial("Recorder"))
            ask("gw", "reload", {"XDG_RUNTIME_DIR": str(tmp_path)})  # the log soon only counts equal lines
        thread.join()
        pattern = rb"command light/-/hall/lamp/me GO(\d+)"

        def got() -> list[int]:
            matches = [re.search(pattern, bytes(message.payload)) for message in list(listener.messages)]
            return [int(match[1]) for match in matches if match]

        wait_until(lambda: len(got()) >= total, what=lambda: f"{len(got())} commands, {count} reloads\n{gateway.log}")
        gateway.stop()
    assert count >= 2
    assert sorted(set(got())) == list(range(total)), "none is lost"
    assert got() == list(range(total))


def test_new_filters_are_subscribed_to_before_old_ones_are_dropped(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, topics=["home/a/#", "home/b/#"], interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        wait_until(lambda: mosquitto.log.read_text().count("Sending SUBACK") == 4)
        write_conf(tmp_path, mosquitto.port, topics=["home/b/#", "home/c/#"], interface=trial("Recorder"))
        reload(gateway)
        wait_until(lambda: "Sending UNSUBACK" in mosquitto.log.read_text())
        gateway.stop()
    log = mosquitto.log.read_text()
    assert log.count("Sending SUBACK") == 5, "only new filters are subscribed to"
    assert log.rindex("Sending SUBACK") < log.index("Received UNSUBSCRIBE")
    assert re.findall(r"\t(home/\S+/#)", log) == ["home/a/#", "home/b/#", "home/c/#", "home/a/#"]


# --- what changes


def test_adding_and_removing_interfaces_does_not_affect_others(tmp_path: Path, mosquitto: Mosquitto) -> None:
    old = {"hall": trial("Ticker", interval=0.01), "door": trial("Recorder"), "shed": trial("Threaded")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=old)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        for name in old:
            listener.wait_topic(f"home/gw/{name}/availability", b"online")
        new = {"hall": old["hall"], "shed": trial("Recorder"), "attic": trial("Threaded")}
        write_conf(tmp_path, mosquitto.port, interfaces=new)
        reload(gateway)
        assert ": shed: type; attic added; door removed" in gateway.log
        listener.wait_topic("home/gw/attic/availability", b"online")
        listener.wait_topic("home/gw/door/availability", b"")
        wait_until(lambda: b'{"action": "STOPPED"}' in [p for _, p in listener.pairs()] or b"STOPPED" in
                   [p for _, p in listener.pairs()], what=lambda: str(listener.pairs()))  # fmt: skip
        listener.publish("home/x////me/C", "GO")
        listener.wait_for(lambda message: b"command x/-/-/-/me GO" in message.payload)
        availabilities = [payload for topic, payload in listener.pairs() if topic == "home/gw/hall/availability"]
        assert availabilities == [b"online"]
        gateway.stop()
    with mosquitto.client("home/#") as listener:
        wait_until(lambda: len(listener.messages) >= 5)
        retained = {topic for topic, _ in listener.pairs()}
    assert retained == {f"home/gw{name}/availability" for name in ("", "/hall", "/shed", "/attic")} | {
        "home/gw/run", "home/gw/health",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"), [(["a"], ["z"]), (["a", "b"], ["a", "z"]), (["b"], ["a", "b"]), (["a", "b"], ["y", "z"])]
)
def test_a_duplicate_is_recognised_after_a_reload_that_renames_interfaces(
    before: list[str], after: list[str], tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def configure(names: list[str]) -> Path:
        interfaces = {name: trial("Recorder") for name in names}
        return write_conf(tmp_path, mosquitto.port, interfaces=interfaces, commands={"duplicate_window": 600})

    def state(gateway: GatewayProcess) -> dict[str, int]:
        return json.loads(run_command(conf, "status", "--json").stdout)["received"]  # type: ignore[no-any-return]

    conf = configure(before)
    with mosquitto.client("home/#") as client, GatewayProcess(conf) as gateway:
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text())
        client.publish("home/x///gate/me/C", "open")
        wait_until(lambda: state(gateway).get("delivered", 0) == len(before))
        configure(after)
        reload(gateway)
        client.publish("home/x///gate/me/C", "open")
        wait_until(lambda: state(gateway).get("duplicate command"), what=lambda: gateway.log)
        assert state(gateway)["delivered"] == len(before)
        gateway.stop()


def test_changes_that_need_a_restart_are_logged(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        write_conf(tmp_path, mosquitto.port, mqtt={"keepalive": 10}, root="house", interface=trial("Recorder"),
                   topics=["house/#"], log={"level": "debug"})  # fmt: skip
        reload(gateway)
        assert (
            ": log; trial_interface: map; restart the gateway to apply the changes of mqtt, the root of availability"
            in gateway.log
        )
        reload(gateway, 2)
        assert ".conf: restart the gateway to apply the changes of mqtt, the root of availability" in gateway.log
        write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
        conf.write_text(json.dumps({"name": "new", **json.loads(conf.read_text())}))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log(REJECTED + "the name cannot change to 'new' while the gateway runs: restart it")
        gateway.stop()


# --- an invalid file


def test_an_invalid_file_changes_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval=0.01))
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: numbers(listener, "TICK"))
        write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval="often"), topics=["#/x"])
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log(REJECTED, 2)
        assert re.search(REJECTED + r"\S+gw.conf:\d+:\d+: interface.interval: ", gateway.log)
        conf.unlink()
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log(REJECTED, 3)
        count = len(numbers(listener, "TICK"))
        wait_until(lambda: len(numbers(listener, "TICK")) > count + 20)
        gateway.stop()
        listener.wait_for(lambda message: b"LAST" in message.payload)
        ticks = numbers(listener, "TICK")
    assert ticks == list(range(len(ticks)))
    assert "Traceback" not in gateway.log


def test_opening_a_log_file_is_retried_by_the_next_reload(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        log = tmp_path / "logs" / "gw.log"
        log.parent.write_text("in the way")
        write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), log={"level": "info", "file": str(log)})
        reload(gateway)
        assert "cannot be opened: " in gateway.log
        assert gateway.log.rstrip().endswith(": keeping the previous log settings: the log file cannot be opened")
        log.parent.unlink()
        log.parent.mkdir()
        reload(gateway, 2)
        assert gateway.log.rstrip().endswith(": log")
        assert log.exists()
        gateway.stop()


# --- the command


def test_the_command_prints_the_outcome(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    ran = run_command(conf, "reload")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no gateway called 'gw' runs here" in ran.stderr
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        ran = run_command(conf, "reload")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert re.fullmatch(r"reloaded \S+gw.conf: nothing has changed\n", ran.stdout)
        assert run_command(conf, "reload").returncode == 0
        conf.write_text("nonsense: [\n")
        ran = run_command(conf, "reload")
        assert (ran.returncode, ran.stdout) == (78, "")
        assert "flow sequence" in ran.stderr or "expected" in ran.stderr, ran.stderr
        assert gateway.log.count(": reloaded ") == 2
        gateway.wait_log(REJECTED)
        gateway.kill()
        write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
        assert "no gateway called 'gw' runs here" in run_command(conf, "reload").stderr, (
            "the socket of a killed gateway is no gateway"
        )


# --- the terminal


def test_closing_its_terminal_stops_it_and_sighup_alone_reloads_it(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "gateway", "--conf", str(conf)]
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=terminal, stdout=err, stderr=err)
    os.close(terminal)

    def log() -> str:
        return (tmp_path / "err").read_text()

    try:
        wait_until(lambda: "connected to" in log(), 20, log)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: ": reloaded " in log(), 20, log)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
        assert "stopped; sent: " in log()
    finally:
        process.kill()
        process.wait()


# --- reading


def test_a_request_during_a_reading_causes_another_reading(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface=trial("Recorder"))
    may_go_on, done = threading.Event(), threading.Event()
    reads: list[int] = []

    def load() -> Configuration:
        reads.append(len(reads))
        assert may_go_on.wait(10)
        return load_configuration(conf, dict(os.environ))

    def on_done() -> None:
        if len(reads) == 2:
            done.set()

    reloader = Reloader(load, on_done)
    assert reloader.result() is None
    numbers = [reloader.request() for _ in range(3)]
    assert numbers[0] == 1
    wait_until(lambda: reads)
    assert reloader.request() == 2, "the reading that has begun may have read the files before they changed"
    may_go_on.set()
    assert done.wait(10)
    wait_until(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    assert len(reads) == 2
    assert isinstance(reloader.result(), Configuration)
    assert reloader.fetched == 2
    assert reloader.result() is None


def test_a_reading_that_hangs_is_logged_and_a_later_one_replaces_it(
    tmp_path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """Imported code can hang: it must not prevent its corrected version from being loaded."""
    expected_logs.expect(
        "reading the configuration has not returned for ",
        "reading the configuration returned after ",
        "reading the configuration again; an earlier reading of it hangs and is abandoned",
    )
    conf = write_conf(tmp_path, 1, interface=trial("Recorder"))
    end, done, reads = threading.Event(), threading.Event(), list[int]()

    def load() -> Configuration:
        reads.append(len(reads))
        if len(reads) == 1:
            end.wait(30)
            raise GatewayError("of a reading that was abandoned")
        return load_configuration(conf, dict(os.environ))

    reloader = Reloader(load, done.set, longest=0.05)
    reloader.request()

    def is_named() -> bool:
        activity.report_overdue()
        return "it is at" in caplog.text

    wait_until(is_named)
    assert "test_reload.py" in caplog.text
    assert reloader.request() == 2
    assert done.wait(10)
    assert isinstance(reloader.result(), Configuration)
    assert reloader.fetched == 2
    end.set()
    wait_until(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    assert reloader.result() is None, "the result of an abandoned reading is ignored"


@pytest.mark.parametrize(
    ("error", "text"),
    [(ConfigurationError([]), ""), (ValueError("odd"), "the configuration cannot be read: ValueError('odd')")],
)
def test_every_error_is_a_result(error: Exception, text: str) -> None:
    def load() -> Configuration:
        raise error

    done = threading.Event()
    reloader = Reloader(load, done.set)
    reloader.request()
    assert done.wait(10)
    result = reloader.result()
    assert isinstance(result, GatewayError)
    assert str(result) == text
