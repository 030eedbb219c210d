"""Commands that must not reach a device, or not twice; and more commands than a device can execute."""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import replaying_map, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.packets import PUBACK, SUBSCRIBE, publish
from tests.support.peer import Peer, serve
from tests.support.proxy import Passage, Way
from tests.support.stream import LOAD, Stream, lines, recorder
from tests.support.waiting import wait_until

FULL = bool(os.environ.get("FAULTS_FULL"))
GATE = "home/access///gate/me/C"
_NUMBERS = itertools.count()  # of new commands: no two are the same
_PAUSE = 0.05  # s between two of them


def command(number: int | str) -> str:
    return json.dumps({"action": "open", "n": number})


def done(folder: Path) -> list[int | str]:
    """Return the numbers of the commands that have reached the device."""
    return [json.loads(line.partition(" ")[2])["n"] for line in lines(folder / "done")]


def send_until_done(send: Callable[[str], None], folder: Path) -> None:
    """Send new commands until one of them is executed: earlier ones will not be executed after it."""

    def is_done() -> bool:
        send(command(f"new {next(_NUMBERS)}"))
        return any(str(number).startswith("new") for number in done(folder))

    wait_until(is_done, 20, "a new command to be executed", pause=_PAUSE)


def stream_and_recorder(folder: Path, port: int, **options: Any) -> Stream:
    return Stream(folder, port, more={"recorder": recorder(folder)}, **options)


def stale(folder: Path) -> list[int | str]:
    return [number for number in done(folder) if not str(number).startswith("new")]


def test_a_retained_command_is_not_executed_at_any_connect(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        mosquitto.client() as other,
        Stream(tmp_path, mosquitto.port, rate=100, more={"recorder": recorder(tmp_path)}) as stream,
    ):
        other.publish(GATE, command(1), retain=True)
        gateway = stream.start()
        gateway.wait_log("connected to")
        for number in (2, 3):
            stream.wait_seen(10)
            stream.proxy.cut()
            gateway.wait_log("connected to", number)
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        assert stale(tmp_path) == []
        stream.stop()


@pytest.mark.parametrize("retain", [False, True])
def test_a_command_sent_during_an_outage_is_not_executed_after_it(
    retain: bool, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with (
        mosquitto.client() as other,
        Stream(tmp_path, mosquitto.port, rate=100, more={"recorder": recorder(tmp_path)}) as stream,
    ):
        gateway = stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        stream.proxy.refuse_connections()
        gateway.wait_log("lost the broker")
        for number in range(20):
            other.publish(GATE, command(number), retain=retain)
        (tmp_path / "done").unlink()
        stream.proxy.accept_connections()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        assert stale(tmp_path) == []
        stream.stop()


def test_a_command_sent_while_the_gateway_was_down_is_not_executed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        mosquitto.client() as other,
        Stream(tmp_path, mosquitto.port, rate=100, more={"recorder": recorder(tmp_path)}) as stream,
    ):
        gateway = stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        gateway.kill()
        (tmp_path / "done").unlink()
        other.publish(GATE, command(1))
        stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        assert stale(tmp_path) == []
        stream.stop()


def test_a_command_that_a_broker_sends_again_is_executed_once(tmp_path: Path) -> None:
    with Peer(serve()) as peer:
        conf = write_conf(tmp_path, peer.port, interface=recorder(tmp_path))
        with GatewayProcess(conf) as gateway:
            wait_until(lambda: peer.packets(SUBSCRIBE), what="the subscription")
            (talk,) = peer.conversations

            def send(payload: str, mid: int, flags: int = 0) -> None:
                talk.send(publish(GATE, payload.encode(), mid, flags=flags, version=talk.version))

            send_until_done(lambda payload: send(payload, 9), tmp_path)
            send(command(1), 1)
            send(command(1), 1, flags=8)
            wait_until(lambda: 1 in done(tmp_path), what="the command")
            send(command(1), 2, flags=8)
            send_until_done(lambda payload: send(payload, 3), tmp_path)
            wait_until(lambda: [p for p in peer.packets(PUBACK) if p.mid == b"\0\3"], what="its PUBACK")
            assert stale(tmp_path) == [1]
            gateway.stop()


@pytest.mark.timeout(300)
def test_many_commands_at_the_same_time(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """20,000, or 200,000 in full: commands are executed once and in order, or counted as rejected."""
    count = 200_000 if FULL else 20_000
    with mosquitto.client() as other, Stream(
        tmp_path, mosquitto.port, count=1000, rate=300, more={"recorder": recorder(tmp_path)}, direct=True
    ) as stream:  # fmt: skip
        gateway = stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        flood(other, count)
        verdict = stream.finish(120)
        assert verdict.delivered == 1000
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        numbers = [int(number) for number in stale(tmp_path)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 0
        assert "Traceback" not in gateway.log
        stream.stop()


def flood(other: Listener, count: int) -> None:
    for number in range(count):
        info = other.client.publish(GATE, command(number), qos=0)
    info.wait_for_publish(60)


def test_two_gateways_that_repeat_each_other_stop(tmp_path: Path, mosquitto: Mosquitto) -> None:
    topics = ["home/+/+/+/+/+/S"]
    repeater = {"type": f"{LOAD}:Repeater"}
    first = write_conf(tmp_path, mosquitto.port, "first", topics=topics, interface=repeater)
    second = write_conf(tmp_path, mosquitto.port, "second", topics=topics, interface=repeater)
    with mosquitto.client("home/+/+/+/+/+/S") as other, GatewayProcess(first) as one, GatewayProcess(second) as two:
        for gateway in (one, two):
            gateway.wait_log("connected to")
        wait_until(lambda: mosquitto.log.read_text().count("Sending SUBACK to ") == 7, what="the subscriptions")
        other.publish("home/x///lamp/me/S", "on")
        count = -1

        def is_quiet() -> bool:
            nonlocal count
            previous, count = count, len(other.messages)
            return count == previous

        wait_until(is_quiet, 5, lambda: f"silence after {count} messages", pause=1.0)
        assert 2 < count < 1000


# --- queued commands are distinguished from new ones


@pytest.mark.parametrize("how", ["pause", "slow"])
@pytest.mark.parametrize("has_session", [False, True])
def test_queued_commands_are_not_executed_however_slowly_they_arrive(
    has_session: bool, how: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """The redelivery has a very long pause in the middle, or takes very long."""
    conf: dict[str, Any] = {"map": replaying_map(tmp_path)} if has_session else {}
    hindered = Way(rate=8_000) if how == "slow" else Way(pause=1.5, pause_after=20_000)
    passages = (Passage(), Passage(down=hindered))
    with (
        mosquitto.client() as other,
        Stream(
            tmp_path, mosquitto.port, *passages, rate=20, more={"recorder": recorder(tmp_path)}, conf=conf
        ) as stream,
    ):
        gateway = stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        gateway.kill()
        (tmp_path / "done").unlink()
        for number in range(500):
            other.publish(GATE, command(number), qos=1)
        other.publish(GATE, json.dumps({"action": "set", "n": "set"}), qos=1)
        stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        assert stale(tmp_path) == (["set"] if has_session else [])
        stream.stop()


def test_each_new_command_right_after_queued_ones_is_executed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = {"map": replaying_map(tmp_path)}
    with (
        mosquitto.client() as other,
        Stream(tmp_path, mosquitto.port, rate=200, more={"recorder": recorder(tmp_path)}, conf=conf) as stream,
    ):
        gateway = stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        gateway.kill()
        ended = r"Client gw.*(closed its connection|disconnected)"  # or the broker would still send it to the old link
        wait_until(lambda: re.search(ended, mosquitto.log.read_text()), what="the broker to notice")
        other.publish(GATE, command("old"), qos=1)
        gateway = stream.start()
        gateway.wait_log("rejected: the command was queued while the gateway was offline")
        (tmp_path / "done").unlink()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        for number in range(28):  # one after the other, without a pause
            other.publish(GATE, command(number), qos=1)
            wait_until(lambda expected=number: expected in done(tmp_path), 5, f"command {number}")  # type: ignore[misc]
        assert stale(tmp_path) == list(range(28))
        stream.stop()


@pytest.mark.parametrize(("count", "version"), [(1, 5), (900, 5), (900, "3.1.1")])
def test_commands_that_the_network_delayed_are_not_executed(
    count: int, version: object, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """The link stays up, and they were new when they were sent; many are queued in the broker, beyond its window."""
    conf = {"commands": {"max_age": 6}}
    mqtt = {"keepalive": 60, "version": version}
    with (
        mosquitto.client() as other,
        Stream(
            tmp_path, mosquitto.port, rate=20, more={"recorder": recorder(tmp_path)}, conf=conf, mqtt=mqtt
        ) as stream,
    ):
        gateway = stream.start()
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        stream.proxy.hang()
        for number in range(count):
            other.publish(GATE, command(number), qos=1)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 9, 20, "the network to hang", pause=0.5)
        stream.proxy.resume()
        gateway.wait_log("rejected: the network may have delayed the command for longer than commands.max_age")
        send_until_done(lambda payload: other.publish(GATE, payload), tmp_path)
        assert stale(tmp_path) == []
        assert "lost the broker" not in gateway.log
        stream.stop()
