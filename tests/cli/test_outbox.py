from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway.cli.main import EXIT_FAILED, EXIT_OK, EXIT_USAGE, main
from gateway.message import Lane, Publication
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.store import OutboxStore
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import COMMAND, GatewayProcess, run_command
from tests.support.waiting import wait_until

NOON = 1_700_000_000.0


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return write_conf(tmp_path, 1, interface=trial("Recorder"), outbox={"file": "gw.outbox"})


@pytest.fixture
def full(conf: Path) -> Path:
    store = OutboxStore(conf.with_name("gw.outbox"))
    sent = [
        Publication("home/a", b"one", 1),
        Publication("home/b", b"\xff\n", 1, retain=True, lane=Lane.LATEST),
        Publication("home/a", b"x" * 100, 1, lane=Lane.BULK),
    ]
    rows = [Row.of(number, each.lane, NOON, each) for number, each in enumerate(sent, 1)]
    store.commit(rows, [], [DeadLetterRow(None, NOON, "home/c", b"big", 1, 0, "too large for the broker")])
    store.close()
    return conf


def run(conf: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = EXIT_OK) -> list[str]:
    assert main(["outbox", *arguments, "--conf", str(conf)]) == code
    captured = capsys.readouterr()
    where = f"in {conf.with_name('gw.outbox')}:"
    assert where not in captured.out.splitlines(), "an export is for programs"
    return [line for line in (captured.out + captured.err).splitlines() if line != where]


def test_a_list_shows_waiting_messages_and_dead_letters(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event, latest, long, dead, total = run(full, capsys, "list")
    assert event.endswith(" event  home/a one")
    assert latest.endswith(r" latest home/b \\xff\n"), "nothing that is sent can harm a terminal"
    assert long.endswith("x...")
    assert dead.endswith(" dead letter home/c big: too large for the broker")
    assert total == "3 messages waiting (1 event, 1 latest, 1 bulk), 1 dead letter"


def test_a_list_is_bounded_and_filtered(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(full, capsys, "list", "--topic", "home/a", "--count", "1")
    assert lines[1:] == ["... and 1 more (--count N)", "2 messages waiting (1 event, 1 bulk), 0 dead letters"]


def test_an_export_is_a_json_object_a_line(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in run(full, capsys, "export")]
    assert [each["topic"] for each in lines] == ["home/a", "home/b", "home/a", "home/c"]
    assert (lines[0]["payload"], lines[0]["qos"], lines[0]["retain"], lines[0]["lane"]) == (
        "one",
        1,
        False,
        "event",
    )
    assert (lines[1]["payload_base64"], lines[1]["retain"]) == ("/wo=", True)
    assert lines[3]["dead_letter"] == "too large for the broker"


def test_a_purge_removes_what_it_is_told_to_and_only_if_it_is_meant(
    full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (refusal,) = run(full, capsys, "purge", "--topic", "home/a", code=EXIT_USAGE)
    assert "purge removes 2 waiting messages and 0 dead letters for good: confirm with --yes" in refusal
    assert run(full, capsys, "purge", "--topic", "home/a", "--yes")[0].startswith("removed 2 waiting messages")
    assert run(full, capsys, "purge", "--dead-letters", "--yes")[0].startswith("removed 1 dead letter")
    assert run(full, capsys, "list")[-1] == "1 message waiting (1 latest), 0 dead letters"


def test_where_nothing_ever_waited_nothing_is_made(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = run(conf, capsys, "list")
    assert line.endswith("gw.outbox: no messages are waiting (there is no such file yet)")
    assert not conf.with_name("gw.outbox").exists()


def test_what_cannot_be_is_said(full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = run(full, capsys, "list", "--topic", "home/#/a", code=EXIT_USAGE)
    assert "--topic: 'home/#/a': '#' must be the whole last level" in line
    memory = write_conf(tmp_path, 1, "memory", interface=trial("Recorder"), outbox={"store": "memory"})
    (line,) = run(memory, capsys, "list", code=EXIT_FAILED)
    assert "keeps its outbox in memory" in line
    store = OutboxStore(full.with_name("gw.outbox"))
    try:
        (line,) = run(full, capsys, "list", code=EXIT_FAILED)
        assert "gw.outbox is in use: does another gateway run with it?" in line
    finally:
        store.close()
    full.with_name("gw.outbox").write_bytes(b"no database at all" * 100)
    (line,) = run(full, capsys, "list", code=EXIT_FAILED)
    assert "gw.outbox is not an outbox file" in line


def test_a_list_tells_how_much_more_there_is_of_both(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = OutboxStore(full.with_name("gw.outbox"))
    store.commit([], [], [DeadLetterRow(None, NOON, "home/d", b"2", 1, 0, "refused")] * 38)
    store.close()
    lines = run(full, capsys, "list", "--count", "1")
    assert [line for line in lines if "more" in line] == ["... and 2 more (--count N)", "... and 38 more (--count N)"]
    assert lines[-2:] == [
        "... and 38 more (--count N)",
        "3 messages waiting (1 event, 1 latest, 1 bulk), 39 dead letters",
    ]


def test_the_file_of_the_service_is_found_while_it_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = tmp_path / "var"
    for module in ("gateway.cli.check", "gateway.cli.outbox", "gateway.core.paths"):  # which they import
        monkeypatch.setattr(f"{module}.SERVICE_STATE", service)
    monkeypatch.setenv("HOME", str(tmp_path / "no-home"))
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    conf = write_conf(tmp_path, 1, interface=trial("Recorder"))
    assert main(["outbox", "list", "--conf", str(conf)]) == EXIT_FAILED
    assert f"if systemd runs it, its file is in {service}, which root can read" in capsys.readouterr().err
    assert main(["check", "--conf", str(conf)]) == EXIT_OK
    assert "(see outbox.file)\n" in capsys.readouterr().out
    monkeypatch.setattr("gateway.cli.check.SERVICE_CONF", tmp_path)
    assert main(["check", "--conf", str(conf)]) == EXIT_OK
    assert "(see outbox.file); when systemd runs the gateway, it is on disk" in capsys.readouterr().out
    service.mkdir()
    store = OutboxStore(service / "gw.outbox")
    store.commit([Row.of(1, Lane.EVENT, NOON, Publication("home/a", b"one", 1))], [])
    store.close()
    assert main(["outbox", "list", "--conf", str(conf)]) == EXIT_OK
    captured = capsys.readouterr()
    assert captured.err == f"in {service / 'gw.outbox'}:\n"
    assert "home/a one" in captured.out
    assert main(["check", "--conf", str(conf)]) == EXIT_OK
    assert f"  outbox        {service / 'gw.outbox'} (when systemd runs the gateway)\n" in capsys.readouterr().out


def test_what_a_running_gateway_has_in_use_is_said_so(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), outbox={"file": "gw.outbox"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        wait_until(lambda: run_command(conf, "status", "--alive").returncode == 0)
        for command in ("export", "purge"):
            done = run_command(conf, "outbox", command)
            assert (done.returncode, done.stderr) == (1, "mqttgateway: the gateway 'gw' runs: stop it first\n")
    done = subprocess.run([*COMMAND, "outbox", "list", "gw"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(": start it, or name another one, or read its file with --conf FILE\n")
