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
from gateway.core import activity
from gateway.errors import ConfigurationError, GatewayError
from gateway.runtime.reloader import Reloader
from tests.conftest import ExpectedLogs
from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.waiting import wait_until


def map_with(word: str, *, root: str = "home", topics: tuple[str, ...] = ("home/+/+/+/+/+/C",)) -> dict[str, Any]:
    return {"root": root, "topics": list(topics), "action": {"maptype": "loose", "map": {"TICK": [word]}}}


def reload(gateway: GatewayProcess, count: int = 1) -> None:
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("INFO    gateway.start_gateway: reloaded ", count)


def numbers(listener: Listener, *words: str) -> list[int]:
    found = [json.loads(m.payload) for m in list(listener.messages) if m.topic.endswith("/S") and m.payload[:1] == b"{"]
    return [status["number"] for status in found if status["action"] in words]


# --- under load


def test_a_stream_goes_on_through_changes_of_the_map(tmp_path: Path, mosquitto: Mosquitto) -> None:
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
        found = numbers(listener, *words)
    assert found == list(range(len(found))), "nothing lost, nothing doubled, in order"
    assert gateway.log.count("connected to") == 1


def test_commands_arrive_once_through_changes_of_filters(tmp_path: Path, mosquitto: Mosquitto) -> None:
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
            reload(gateway, count)
        thread.join()
        pattern = rb"command light/-/hall/lamp/me GO(\d+)"

        def got() -> list[int]:
            said = [re.search(pattern, bytes(message.payload)) for message in list(listener.messages)]
            return [int(found[1]) for found in said if found]

        wait_until(lambda: len(got()) >= total, what=lambda: f"{len(got())} commands, {count} reloads\n{gateway.log}")
        gateway.stop()
    assert count >= 2
    assert sorted(set(got())) == list(range(total)), "none is lost"
    assert got() == list(range(total))


def test_new_filters_are_subscribed_to_before_old_ones_are_dropped(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, topics=["home/a/#", "home/b/#"], interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        wait_until(lambda: mosquitto.log.read_text().count("Sending SUBACK") == 3)
        write_conf(tmp_path, mosquitto.port, topics=["home/b/#", "home/c/#"], interface=trial("Recorder"))
        reload(gateway)
        wait_until(lambda: "Sending UNSUBACK" in mosquitto.log.read_text())
        gateway.stop()
    log = mosquitto.log.read_text()
    assert log.count("Sending SUBACK") == 4, "only what is new is subscribed to"
    assert log.rindex("Sending SUBACK") < log.index("Received UNSUBSCRIBE")
    assert re.findall(r"\t(home/\S+/#)", log) == ["home/a/#", "home/b/#", "home/c/#", "home/a/#"]


# --- what changes


def test_interfaces_come_go_and_change_and_the_others_never_notice(tmp_path: Path, mosquitto: Mosquitto) -> None:
    before = {"hall": trial("Ticker", interval=0.01), "door": trial("Recorder"), "shed": trial("Threaded")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=before)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        for name in before:
            listener.wait_topic(f"home/gw/{name}/availability", b"online")
        after = {"hall": before["hall"], "shed": trial("Recorder"), "attic": trial("Threaded")}
        write_conf(tmp_path, mosquitto.port, interfaces=after)
        reload(gateway)
        assert ": shed: type; attic is new; door is gone" in gateway.log
        listener.wait_topic("home/gw/attic/availability", b"online")
        listener.wait_topic("home/gw/door/availability", b"")
        wait_until(lambda: b'{"action": "STOPPED"}' in [p for _, p in listener.pairs()] or b"STOPPED" in
                   [p for _, p in listener.pairs()], what=lambda: str(listener.pairs()))  # fmt: skip
        listener.publish("home/x////me/C", "GO")
        listener.wait_for(lambda message: b"command x/-/-/-/me GO" in message.payload)
        said = [payload for topic, payload in listener.pairs() if topic == "home/gw/hall/availability"]
        assert said == [b"online"]
        gateway.stop()
    with mosquitto.client("home/#") as listener:
        wait_until(lambda: len(listener.messages) >= 4)
        retained = {topic for topic, _ in listener.pairs()}
    assert retained == {f"home/gw{name}/availability" for name in ("", "/hall", "/shed", "/attic")} | {"home/gw/run"}


@pytest.mark.parametrize(
    ("before", "after"), [(["a"], ["z"]), (["a", "b"], ["a", "z"]), (["b"], ["a", "b"]), (["a", "b"], ["y", "z"])]
)
def test_a_command_of_before_is_a_duplicate_whatever_the_interfaces_are_called_now(
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


def test_what_only_a_start_can_change_is_said(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        write_conf(tmp_path, mosquitto.port, mqtt={"keepalive": 10}, root="house", interface=trial("Recorder"),
                   topics=["house/#"], log={"level": "debug"})  # fmt: skip
        reload(gateway)
        assert (
            ": log; trial_interface: map; mqtt, the root of availability have changed: start the gateway anew for them"
            in gateway.log
        )
        reload(gateway, 2)
        assert ".conf: mqtt, the root of availability have changed: start" in gateway.log
        write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
        conf.write_text(json.dumps({"name": "new", **json.loads(conf.read_text())}))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log("not reloaded: the name cannot become 'new' while it runs: start it anew")
        gateway.stop()


# --- a broken file


def test_a_broken_file_leaves_everything_as_it_was(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval=0.01))
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: numbers(listener, "TICK"))
        write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval="often"), topics=["#/x"])
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log("not reloaded: ", 2)
        assert re.search(r"not reloaded: \S+gw.conf:\d+:\d+: interface.interval: ", gateway.log)
        conf.unlink()
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log("not reloaded: ", 3)
        before = len(numbers(listener, "TICK"))
        wait_until(lambda: len(numbers(listener, "TICK")) > before + 20)
        gateway.stop()
        listener.wait_for(lambda message: b"LAST" in message.payload)
        found = numbers(listener, "TICK")
    assert found == list(range(len(found)))
    assert "Traceback" not in gateway.log


def test_a_log_file_that_cannot_be_opened_is_tried_again_by_the_next_reload(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        log = tmp_path / "logs" / "gw.log"
        log.parent.write_text("in the way")
        write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), log={"level": "info", "file": str(log)})
        reload(gateway)
        assert "cannot be opened: " in gateway.log
        assert gateway.log.rstrip().endswith(": the log stays as it was, see there")
        log.parent.unlink()
        log.parent.mkdir()
        reload(gateway, 2)
        assert gateway.log.rstrip().endswith(": log")
        assert log.exists()
        gateway.stop()


# --- the command


def test_the_command_tells_what_became_of_it(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        assert gateway.log.count(": reloaded ") == 2, "a broken file is not even given to it"
        gateway.kill()
        write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
        assert "no gateway called 'gw' runs here" in run_command(conf, "reload").stderr, "what a killed one has left"


# --- the terminal


def test_closing_the_terminal_that_it_was_started_in_ends_it_and_a_signal_alone_reloads(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
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


def test_what_is_asked_for_while_it_reads_is_read_again(tmp_path: Path) -> None:
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
    assert reloader.take() is None
    asked = [reloader.ask() for _ in range(3)]
    assert asked[0] == 1
    wait_until(lambda: reads)
    assert reloader.ask() == 2, "what is read already may be what was there before"
    may_go_on.set()
    assert done.wait(10)
    wait_until(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    assert len(reads) == 2
    assert isinstance(reloader.take(), Configuration)
    assert reloader.taken == 2
    assert reloader.take() is None


def test_a_reading_that_hangs_is_named_and_a_later_one_goes_on(
    tmp_path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """Code that is imported can hang: it is not to keep its mended form away."""
    expected_logs.expect(
        "reading the configuration has not returned for ",
        "reading the configuration returned after ",
        "the configuration is read again, while ",
    )
    conf = write_conf(tmp_path, 1, interface=trial("Recorder"))
    end, done, reads = threading.Event(), threading.Event(), list[int]()

    def load() -> Configuration:
        reads.append(len(reads))
        if len(reads) == 1:
            end.wait(30)
            raise GatewayError("of a reading that was given up")
        return load_configuration(conf, dict(os.environ))

    reloader = Reloader(load, done.set, longest=0.05)
    reloader.ask()

    def is_named() -> bool:
        activity.report_overdue()
        return "it is at" in caplog.text

    wait_until(is_named)
    assert "test_reload.py" in caplog.text
    assert reloader.ask() == 2
    assert done.wait(10)
    assert isinstance(reloader.take(), Configuration)
    assert reloader.taken == 2
    end.set()
    wait_until(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    assert reloader.take() is None, "what was given up counts no more"


@pytest.mark.parametrize(
    ("error", "text"),
    [(ConfigurationError([]), ""), (ValueError("odd"), "the configuration cannot be read: ValueError('odd')")],
)
def test_whatever_goes_wrong_is_a_result(error: Exception, text: str) -> None:
    def load() -> Configuration:
        raise error

    done = threading.Event()
    reloader = Reloader(load, done.set)
    reloader.ask()
    assert done.wait(10)
    result = reloader.take()
    assert isinstance(result, GatewayError)
    assert str(result) == text
