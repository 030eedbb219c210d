"""The broker refuses the connection, the user, or a message. All other messages are delivered once possible."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from pathlib import Path

import pytest

from gateway.message import Lane, Publication
from gateway.outbox.rows import Row
from gateway.outbox.store import OutboxStore
from tests.support.broker import Mosquitto, tool_or_skip
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.health import wait_named
from tests.support.ledger import Verdict
from tests.support.packets import CONNACK, V3, packet
from tests.support.peer import Act, Peer, accept_and_read_no_more, answer_with, close_after_connect, refuse, serve
from tests.support.stream import Stream, load
from tests.support.waiting import wait_until


def test_connections_refused_by_return_code(tmp_path: Path) -> None:
    """A broker with MQTT 3.1.1 does not understand the first CONNECT, which may be one of MQTT 5."""
    with Peer(answer_with(packet(CONNACK, b"\0\1")), *map(refuse, (1, 2, 3, 4, 5, 0x55)), serve(versions=[V3])) as peer:
        with Stream(tmp_path, peer.port, count=200, rate=1000, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            assert stream.finish() == Verdict(200, 200, 0)
            assert "no connection to the broker: " in gateway.log
            wait_named(gateway, "no connection to the broker: ")
            stream.stop()


@pytest.mark.parametrize(
    "act",
    [close_after_connect, answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n"), accept_and_read_no_more],
    ids=lambda a: a.__name__,
)
def test_a_server_that_is_no_broker_at_first(act: Act, tmp_path: Path) -> None:
    with Peer(act, serve()) as peer:
        with Stream(tmp_path, peer.port, count=200, rate=1000, seen=peer.acknowledged,
                    mqtt={"keepalive": 1, "connect_timeout": 1}) as stream:  # fmt: skip
            stream.start()
            assert stream.finish() == Verdict(200, 200, 0)
            stream.stop()


def password_file(folder: Path, password: str) -> Path:
    file = folder / "users"
    file.touch()
    command = [tool_or_skip("mosquitto_passwd", "mosquitto"), "-b", str(file), "gw", password]
    subprocess.run(command, check=True, capture_output=True)
    return file


def test_a_password_that_the_broker_accepts_only_later(tmp_path: Path) -> None:
    users = password_file(tmp_path, "other")
    settings = f"allow_anonymous true\npassword_file {users}\n"
    with Mosquitto(tmp_path, settings) as broker:
        with Stream(tmp_path, broker.port, count=300, rate=1000,
                    mqtt={"username": "gw", "password": "right"}) as stream:  # fmt: skip
            gateway = stream.start()
            gateway.wait_log("refused the connection: Not authorized")
            wait_named(gateway, "refused the connection: Not authorized")
            password_file(tmp_path, "right")
            broker.signal(signal.SIGHUP)
            assert stream.finish() == Verdict(300, 300, 0)
            assert "right" not in gateway.log
            stream.stop()


def test_topics_that_the_broker_denies_do_not_block_the_others(tmp_path: Path) -> None:
    """Mosquitto 2.0.11 ends a connection of 3.1.1 for each."""
    _is_denied(tmp_path, "topic write home/gw/#\n")


def test_a_denied_availability_does_not_block_the_messages(tmp_path: Path) -> None:
    _is_denied(tmp_path, "")


def _is_denied(folder: Path, more: str) -> None:
    """Deny the topic of d1, which has two of the messages, and all topics that `more` does not name."""
    rules = folder / "acl"
    rules.write_text(
        more + "topic read #\n" + "".join(f"topic write home/load/+/+/d{n}/#\n" for n in range(15) if n != 1)
    )
    with Mosquitto(folder, f"allow_anonymous true\nacl_file {rules}\n") as broker:
        with Stream(folder, broker.port, count=30, devices=15, rate=1000) as stream:
            gateway = stream.start()
            stream.wait_accepted(28)  # a message that is refused before it is on disk was never accepted
            wait_until(
                lambda: len(set(stream.seen)) == 28, what=lambda: f"all that may pass: {stream.verdict()} {stream.log}"
            )
            assert "d1" not in {device for device, _ in stream.seen}
            wait_named(gateway, "the outbox has dead letters")
            stream.stop()


def test_a_packet_over_the_maximum_of_the_broker_does_not_block_the_others(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 2000\n") as broker:
        large = load(tmp_path, journal=str(tmp_path / "large"), device="large", size=5000, count=2)
        with Stream(tmp_path, broker.port, count=300, rate=500, more={"large": large}) as stream:
            stream.start()
            verdict = stream.finish(5)
            assert verdict.accepted == 300
            stream.stop()


def test_dead_letters_that_are_refused_again_are_not_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic write home/gw/#\n")
    file = tmp_path / "gw.outbox"
    with contextlib.closing(OutboxStore(file)) as store:
        waiting = [Row.of(1, Lane.EVENT, 1.7e9, Publication("home/heat", b"1", 1))]
        store.commit(waiting, [])
    with Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {rules}\n") as broker:
        conf = write_conf(tmp_path, broker.port, interface=trial("Recorder"), outbox={"file": "gw.outbox"})

        def outbox(*arguments: str) -> str:
            done = run_command(conf, "outbox", *arguments)
            assert done.returncode == 0, done
            return done.stdout

        def refused() -> int:
            count: int = json.loads(run_command(conf, "status", "--json").stdout)["stats"]["outbox"]["dead_letters"]
            return count

        with GatewayProcess(conf) as gateway, broker.client("home/heat") as listener:
            gateway.wait_log("in the broker's access rules, then 'mqttgateway outbox retry'")
            for times in range(1, 4):
                wait_until(lambda times=times: refused() == times, 60, lambda: gateway.log)  # type: ignore[misc]
                assert outbox("retry").startswith("1 dead letter is sent again")
            wait_until(lambda: refused() == 4, 60)
            assert outbox("list").endswith("\n0 messages waiting, 1 dead letter\n")
            rules.write_text("topic readwrite #\n")
            broker.signal(signal.SIGHUP)
            wait_until(lambda: outbox("retry") and listener.messages, 60)
            # One that is killed before it has recorded the delivery sends the message again.
            wait_until(lambda: outbox("list") == "0 messages waiting, 0 dead letters\n", 60, lambda: outbox("list"))
            gateway.kill()
        assert sorted(payload for _, payload in listener.pairs()) == [b"1"]
    assert outbox("list") == "0 messages waiting, 0 dead letters\n"
