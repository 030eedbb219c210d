"""Requests to a running gateway on its control socket, by the commands that people use."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.control.client import ask
from gateway.control.protocol import Answer, ControlError
from gateway.message import Lane, Publication
from gateway.outbox.outbox import Outbox
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.store import OutboxStore
from gateway.runtime.requests import kinds_of
from tests.cli.test_exit_codes import BOILER
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.fake_clock import FakeClock
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.health import wait_named
from tests.support.peer import PUBLISH, Peer, packet, serve
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands search the folder in which `GatewayProcess` creates the sockets."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def output(conf: Path, *arguments: str, code: int = 0) -> str:
    ran = run_command(conf, *arguments)
    assert ran.returncode == code, ran
    assert "Traceback" not in ran.stderr
    return ran.stdout if code == 0 else ran.stderr


def status_of(conf: Path, *arguments: str, code: int | None = None) -> str:
    """Return what `status` prints; its exit code is `code`, or that of a gateway that runs, however it is."""
    ran = run_command(conf, "status", *arguments)
    assert ran.returncode in ((0, 1, 2) if code is None else (code,)), ran
    assert "Traceback" not in ran.stderr
    assert code is not None or ran.stdout, ran
    return ran.stdout or ran.stderr


def dead_letter(topic: str, payload: bytes, retain: int = 0, since: float = 1_700_000_000.0) -> DeadLetterRow:
    return DeadLetterRow(None, since, topic, payload, 1, retain, "the broker refused it")


def fill(path: Path, waiting: Mapping[str, bytes], dead: list[DeadLetterRow]) -> None:
    store = OutboxStore(path)
    rows = [Row.of(number, Lane.EVENT, 1_700_000_000.0, Publication(topic, payload, 1))
            for number, (topic, payload) in enumerate(waiting.items(), 1)]  # fmt: skip
    store.commit(rows, [], dead)
    store.close()


# --- status


def test_status_shows_the_state_of_the_gateway(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interfaces = {"good": trial("Recorder"), "bad": trial("Failing")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces, outbox={"file": "gw.outbox"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        gateway.wait_log("will be restarted")
        status = json.loads(status_of(conf, "--json"))
        assert (status["name"], status["pid"], status["configuration_file"]) == ("gw", gateway.process.pid, str(conf))
        link = status["link"]
        assert (link["state"], link["server"], link["protocol"]) == ("up", f"127.0.0.1:{mosquitto.port}", "MQTT 5")
        good, bad = status["interfaces"]["good"], status["interfaces"]["bad"]
        assert (good["type"], good["status"], good["failures"]) == ("Recorder", "online", 0)
        assert bad["failures"] >= 1
        assert good["last_failure"] is None
        assert "ValueError: broken" in bad["last_failure"]["reason"]
        assert abs(time.time() - datetime.fromisoformat(bad["last_failure"]["time"]).timestamp()) < 60
        assert status["outbox"]["file"] == str(tmp_path / "gw.outbox")
        mosquitto.kill()
        gateway.wait_log("no connection to the broker")
        text = status_of(conf)
        assert ", connected once, since " in text.replace("\n             ", "")
        assert text.startswith(f"gw is down: no link to the broker 127.0.0.1:{mosquitto.port}: nothing listens at")
        assert f"backing off: 127.0.0.1:{mosquitto.port}" in text or "connecting" in text
        assert "interface     good (Recorder): online" in text
        # It is built again repeatedly, and is online for a short time each time.
        pattern = r"interface     bad \(Failing\): (off|on)line.*\nlast failure  \d\d:\d\d:\d\d ValueError: broken"
        wait_until(lambda: re.search(pattern, status_of(conf)), 20, lambda: status_of(conf))
        gateway.stop()
    assert "no gateway called 'gw' runs here" in status_of(conf, code=2)


def test_status_and_the_health_document_have_the_same_names(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interface = {"type": "dummy", "interval": 0.2}
    conf = write_conf(tmp_path, mosquitto.port, interface=interface, outbox={"file": "gw.outbox"})
    fill(tmp_path / "gw.outbox", {}, [dead_letter("home/x", b"dead")])  # of an earlier run
    with mosquitto.client("home/gw/health") as listener, GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        listener.wait_topic("home/gw/health")
        wait_until(lambda: len(json.loads(listener.messages[-1].payload)["devices"]) == 1, 20, "the device")
        document, status = json.loads(listener.messages[-1].payload), json.loads(status_of(conf, "--json"))
        assert document.keys() - status.keys() == {"devices", "device_counts", "not_shown"}, "by interface in status"
        assert document["outbox"].keys() - status["outbox"].keys() == {"dropped"}, "one by one in status"
        assert document["outbox"]["dead_letters"] == status["outbox"]["dead_letters"] == 1
        assert status["stats"]["outbox"]["dead_letters"] == 0
        for part in ("link", "process", "commands"):
            assert document[part].keys() <= status[part].keys()
        ((name, shown),) = document["interfaces"].items()
        assert shown.keys() <= status["interfaces"][name].keys()
        since = [datetime.fromisoformat(each["since"]) for each in (shown, status["interfaces"][name])]
        assert abs(since[0] - since[1]).total_seconds() < 1
        ((device, described),) = document["devices"].items()
        (shown,) = status["interfaces"][name]["devices"]["shown"]
        assert (shown["id"], described.keys() - shown.keys()) == (device, {"interface"})
        assert status["configuration"] == document["configuration"]
        gateway.stop()


def test_status_shows_which_devices_are_offline_and_why(tmp_path: Path, mosquitto: Mosquitto) -> None:
    lamp = {"id": "lamp", "address": {"function": "lighting", "location": "office", "device": "lamp"}}
    point = {"from": "T.t", "type": "number"}
    names = [f"ghost{number}" for number in range(205)]
    ghosts = [{"id": name, "address": {"device": name}, "silent_after": 1, "points": {"t": point}} for name in names]
    devices = [{**lamp, "points": {"on": {"from": "LAMP_STATE.on", "type": "boolean"}}}]
    interface = {"type": "dummy", "interval": 0.5, "devices": devices}
    conf = write_conf(tmp_path, mosquitto.port, interface=interface)
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        pattern = r"\): online.*\n  device      lamp: online; heard 0 s ago\noutbox"
        wait_until(lambda: re.search(pattern, status_of(conf)), 20, lambda: status_of(conf))
        write_conf(tmp_path, mosquitto.port, interface={**interface, "devices": devices + ghosts})
        output(conf, "reload")
        gateway.wait_log("nothing heard for 1 s")

        def status() -> dict[str, Any]:
            (interface,) = json.loads(status_of(conf, "--json"))["interfaces"].values()
            return interface["devices"]  # type: ignore[no-any-return]

        wait_until(lambda: status()["counts"] == {"offline": 205, "unknown": 0, "online": 1}, 20, lambda: str(status()))
        shown = status()["shown"]
        assert len(shown) == 200
        assert {"id": "ghost0", "status": "offline", "reason": "nothing heard for 1 s"}.items() <= shown[0].items()
        assert "  more        devices that are not shown: 5 offline, 1 online\n" in status_of(conf)
        gateway.stop()


def test_status_counts_messages_that_the_client_dropped(tmp_path: Path) -> None:
    unusable = packet(PUBLISH, b"\0\2\xff\xfe" + b"\0" + b"on")  # a topic that is no UTF-8
    with Peer(serve(first=unusable)) as peer:
        conf = write_conf(tmp_path, peer.port, interface=trial("Recorder"))
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("text that is not UTF-8")
            assert json.loads(status_of(conf, "--json"))["received"]["unusable"] == 1
            assert "1 unusable" in status_of(conf)
            assert json.loads(status_of(conf, "--json"))["link"]["is_caught_up"] in (True, False)
            gateway.kill()


def test_status_works_with_an_invalid_configuration_and_runs_no_code(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    conf.write_text(json.dumps({"name": "hall", **json.loads(conf.read_text())}))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        conf.write_text('{"name": "hall", "interface": {"type": "no_such_file.py"}}')
        assert status_of(conf).startswith("hall is well: ")
        conf.write_text("nonsense: [")
        assert "no gateway called 'gw' runs here" in status_of(conf, code=2), "the name of its file"
        gateway.stop()


def test_secrets_are_masked_in_replies(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        secret = "pässwort"
        write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval=secret),
                   mqtt={"username": "me", "password": secret})  # fmt: skip
        with pytest.raises(ControlError) as refused:
            ask("gw", "reload", dict(os.environ))
        assert "reload rejected; running configuration unchanged:\n" in str(refused.value)
        assert "***" in str(refused.value)
        assert secret not in str(refused.value)
        gateway.stop()


# --- the socket


def test_the_socket_belongs_to_its_owner_and_is_removed_at_the_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    folder = tmp_path / "mqttgateway"
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        wait_until(lambda: (folder / "gw.sock").exists())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "gw.sock").stat().st_mode) == 0o600
        gateway.stop()
    assert list(folder.iterdir()) == []


def test_a_second_gateway_of_the_same_name_gets_no_socket(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), outbox={"store": "memory"})
    second = write_conf(tmp_path, mosquitto.port, "other", mqtt={"client_id": "other"}, interface=trial("Recorder"),
                        outbox={"store": "memory"})  # fmt: skip
    second.write_text(json.dumps({"name": "gw", **json.loads(second.read_text())}))
    with GatewayProcess(conf) as first:
        first.wait_log("connected to")
        status_of(conf)
        with GatewayProcess(second) as gateway:
            gateway.wait_log(f"another gateway called 'gw' runs (process id {first.process.pid}): give one of them")
            gateway.wait_log("connected to")
            gateway.stop()
        assert json.loads(status_of(conf, "--json"))["pid"] == first.process.pid
        first.kill()
    with GatewayProcess(second) as gateway:
        gateway.wait_log("connected to")
        assert json.loads(status_of(conf, "--json"))["pid"] == gateway.process.pid, "the old file is replaced"
        gateway.stop()
    assert "no control socket" not in gateway.log


@pytest.mark.root
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, mosquitto: Mosquitto) -> None:
    shared = tmp_path / "shared"
    (shared / "mqttgateway-0").mkdir(parents=True, mode=0o755)
    shared.chmod(0o1777)
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(str(shared / "mqttgateway-0" / "gw.sock"))
        trap.listen()
        os.chown(shared / "mqttgateway-0" / "gw.sock", 65534, 65534)
        os.chown(shared / "mqttgateway-0", 65534, 65534)
        environment = {**os.environ, "XDG_RUNTIME_DIR": "", "RUNTIME_DIRECTORY": str(shared / "mqttgateway-0")}
        with pytest.raises(ControlError, match="this folder belongs to the user with id 65534"):
            ask("gw", "reload", environment)
        conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
        with GatewayProcess(conf, environment={"RUNTIME_DIRECTORY": str(shared / "mqttgateway-0")}) as gateway:
            gateway.wait_log("connected to")
            assert json.loads(status_of(conf, "--json"))["pid"] == gateway.process.pid, "in the next folder"
            gateway.stop()


def test_without_a_socket_it_runs_and_logs_a_warning(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    conf.write_text(json.dumps({"name": "x" * 200, **json.loads(conf.read_text())}))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log(
            "no control socket: 'mqttgateway status' and the like cannot reach this gateway (reload by SIGHUP works): "
        )
        assert "is too long for a control socket: use at most" in gateway.log
        gateway.stop()


def test_status_shows_why_a_device_is_missing_and_no_secret(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, mqtt={"username": "u", "password": "hidden"},
                      interface={**BOILER, "port": str(tmp_path / "tty-hidden")})  # fmt: skip
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("cannot open")
        text = status_of(conf)
        assert re.search(r"\(SerialInterface\): offline\nlast failure  \d\d:\d\d:\d\d cannot open", text), text
        assert "hidden" not in text
        gateway.stop()


# --- forget


def test_forget_clears_only_the_retained_topics_of_the_gateway(tmp_path: Path, mosquitto: Mosquitto) -> None:
    delivery = [{"match": {"action": "STATE"}, "retain": True}]
    own_map: dict[str, Any] = {"root": "home", "topics": ["home/+/+/+/+/+/C"], "delivery": delivery}
    conf = write_conf(tmp_path, mosquitto.port, map=own_map, interface=trial("Recorder"))
    lamp, gone, foreign = "home/light///lamp/gw/S", "home/gw/attic/availability", "home/light///lamp/other/S"
    with mosquitto.client() as sender:
        for topic in (lamp, gone, foreign):
            sender.publish(topic, "STATE", retain=True)
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("connected to")
            assert output(conf, "forget", lamp) == f"{lamp}\n"
            assert output(conf, "forget", gone) == f"{gone}\n"
            for topic, why in (
                (foreign, "this gateway does not write the topic"),
                ("home/gw/availability", "is published as long as this gateway runs: stop the gateway first"),
                ("home/gw/run", "is published as long as this gateway runs: stop the gateway first"),
                ("attic", "this gateway knows no device 'attic' with a retained state, and no removed interface"),
                ("gw", "this gateway knows no device 'gw' with a retained state, and no removed interface"),
                ("home/#", "'#' is not allowed in a topic"),
                ("$SYS/x", "belong to the broker"),
                ("trial_interface", "'trial_interface' is an interface of this gateway, not a device with a retained"),
                ("", "with a retained state"),
            ):
                assert why in output(conf, "forget", topic, code=1), topic
            with mosquitto.client("home/light/#", "home/gw/attic/#") as listener:
                listener.wait_topic(foreign, b"STATE")
                wait_until(lambda: "clearing retained topics on request" in gateway.log)
                assert {topic for topic, payload in listener.pairs() if payload} <= {foreign, lamp, gone}
            gateway.stop()
    with mosquitto.client("home/light/#", "home/gw/#") as listener:
        listener.wait_topic(foreign, b"STATE")
        assert {lamp, gone}.isdisjoint(topic for topic, _ in listener.pairs())


# --- the outbox


def test_a_long_list_is_complete_and_long_topics_fit(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface=trial("NeverReading"), outbox={"file": "gw.outbox"})
    long = "\U0001f37b" * 700
    fill(
        tmp_path / "gw.outbox",
        {f"{long}{n}": b"\xff" * 300 for n in range(450)},
        [dead_letter(long, b"\xff" * 300)] * 450,
    )
    offline = output(conf, "outbox", "list", "--count", "420")
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("started with")
        assert output(conf, "outbox", "list", "--count", "420") == offline
        gateway.kill()
    assert len(offline.splitlines()) == 420 + 1 + 420 + 1 + 1


def test_the_outbox_of_a_running_gateway_is_listed(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface=trial("NeverReading"), outbox={"file": "gw.outbox"})
    fill(tmp_path / "gw.outbox", {f"home/{n}": b"\x1b[31m%d" % n for n in range(30)}, [dead_letter("home/x", b"dead")])
    offline = output(conf, "outbox", "list", "--count", "3")
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("started with")
        assert output(conf, "outbox", "list", "--count", "3") == offline
        assert output(conf, "outbox", "list", "--topic", "home/7") == expected_lines(offline, "home/7", 30)
        assert output(conf, "outbox", "list", "--dead-letters").endswith("\n1 dead letter\n")
        assert output(conf, "outbox", "export", code=1) == "mqttgateway: the gateway 'gw' runs: stop it first\n"
        gateway.kill()
    assert r"home/0 \x1b[31m0" in offline
    assert "... and 27 more (--count N)" in offline
    assert offline.endswith("30 messages waiting (30 event), 1 dead letter\n")


def expected_lines(offline: str, topic: str, _: int) -> str:
    (line,) = [line for line in offline.splitlines() if " home/0 " in line]
    return f"{line.replace('home/0', topic).replace('[31m0', '[31m7')}\n1 message waiting (1 event), 0 dead letters\n"


def test_an_outbox_in_memory_is_listed_while_it_runs(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface=trial("Ticker", interval=0.01), outbox={"store": "memory"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("started with")
        wait_until(lambda: json.loads(status_of(conf, "--json"))["outbox"]["waiting"] > 5)
        first, *_, total = output(conf, "outbox", "list", "--count", "1").splitlines()
        assert ' event  home/trial////gw/S {"action":' in first
        assert total.endswith(" event), 0 dead letters")
        assert "in memory" in output(conf, "outbox", "retry", code=1)
        gateway.kill()


def test_times_in_a_list_are_right_although_the_machine_was_suspended() -> None:
    """The clock of the outbox goes on during a suspension, `time.monotonic` does not."""
    outbox = Outbox(clock=FakeClock(1000.0))
    outbox.put(Publication("home/x", b"1", 1))
    gateway: Any = SimpleNamespace(outbox=outbox, writer=None)
    replies: list[bytes] = []
    answer = Answer(lambda _, reply: replies.append(reply))
    kinds_of(gateway)["outbox list"].handle({"part": "memory"}, answer)
    ((since, *_),) = json.loads(replies[0])["result"]["rows"]
    assert since == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("is_running", [True, False])
def test_dead_letters_are_sent_again(is_running: bool, tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("NeverReading"), outbox={"file": "gw.outbox"})
    letters = [dead_letter("home/a", b"1"), dead_letter("home/b", b"2"), dead_letter("home/a", b"3"),
               dead_letter("home/s", b"old", 1), dead_letter("home/s", b"new", 1),
               dead_letter("other", b"4")]  # fmt: skip
    fill(tmp_path / "gw.outbox", {}, letters)
    expected = "4 dead letters are sent again; 1 stays, because there is a newer value of its topic\n"
    with mosquitto.client("#") as listener:
        if not is_running:
            assert output(conf, "outbox", "retry", "--topic", "home/#") == expected
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("connected to")
            if is_running:
                assert output(conf, "outbox", "retry", "--topic", "home/#") == expected
            listener.wait_topic("home/s", b"new")
            wait_until(lambda: json.loads(status_of(conf, "--json"))["outbox"]["delivered"] == 4)
            lines = output(conf, "outbox", "list").splitlines()
            assert [line.partition(" dead letter ")[2].split(":")[0] for line in lines[:-1]] == [
                "home/s old",
                "other 4",
            ]
            gateway.stop()
        got = [pair for pair in listener.pairs() if not pair[0].endswith(("/availability", "/run", "/health"))]
        assert [pair for pair in got if pair[0] != "home/s"] == [("home/a", b"1"), ("home/b", b"2"), ("home/a", b"3")]
        assert got.count(("home/s", b"new")) == 1


def test_status_answers_while_the_main_thread_hangs_and_says_where(tmp_path: Path, mosquitto: Mosquitto) -> None:
    hooks = tmp_path / "hooks.py"
    hooks.write_text("import time\n\n\ndef ponder(msg):\n    time.sleep(30)\n    return msg\n")
    interface = trial("Recorder", filters={"in": [{"hook": "hooks.py:ponder"}]})
    conf = write_conf(tmp_path, mosquitto.port, interfaces={"hall": interface})
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/hall/availability", b"online")
        wait_until(lambda: "home/+/+/+/+/+/C (QoS" in mosquitto.log.read_text(), what="the subscription")
        assert status_of(conf, "--alive", code=0).startswith("gw is ")
        listener.publish("home/f///d/me/C", "PONDER")
        wait_named(gateway, "the main thread hangs: hall: the hook 'hooks.py:ponder' has not returned: it is at ")
        text = status_of(conf, code=2)
        assert text.startswith("gw is down: ")
        assert f"{hooks}:5 (ponder)" in text.replace("\n  ", " ")
        assert status_of(conf, "--alive", code=2)
        gateway.kill()
