"""The shipped examples, from the device's bytes to the broker and back, with only port and broker changed."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Listener, Mosquitto, free_port
from tests.support.configuration import shipped_conf
from tests.support.device import PtyDevice
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.waiting import wait_until


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path) as pty:
        yield pty


def messages(listener: Listener) -> list[tuple[str, Any]]:
    """Return topic and payload of all commands and statuses, JSON decoded."""
    pairs = [(topic, payload) for topic, payload in listener.pairs() if topic[-2:] in ("/S", "/C")]
    return [(topic, json.loads(payload) if payload[:1] == b"{" else payload) for topic, payload in pairs]


# --- serial2mqtt.conf: a bell and a gate

BELL = "home/security//frontgate/bell/serial2mqtt/S"
GATE = "home/security//frontgate/gate/serial2mqtt/S"
LIGHT = "home/lighting//frontgate//serial2mqtt/C"
OPEN_GATE = "home/security//frontgate/gate/me/C"


@pytest.fixture
def entry(tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice) -> Iterator[Listener]:
    """Run the gateway of the entry system; return a listener to its topics at the broker."""
    conf = shipped_conf(tmp_path, "serial2mqtt.conf", mosquitto.port, device.path)
    with mosquitto.client("home/#") as listener:
        listener.publish(OPEN_GATE, "open", retain=True)
        with GatewayProcess(conf) as gateway:
            listener.wait_topic("home/serial2mqtt/serial/availability", b"online")
            wait_until(lambda: "Sending SUBACK to serial2mqtt" in mosquitto.log.read_text(), what="the subscription")
            yield listener
            assert gateway.stop() < 2
            assert "Traceback" not in gateway.log


def test_bell_and_gate_are_published(entry: Listener, device: PtyDevice) -> None:
    device.write(b"10\n11\n20\n21\n")
    expected = [(BELL, b"bell_off"), (BELL, b"bell_on"), (GATE, b"gate_closed"), (GATE, b"gate_open"),
                (LIGHT, b"light_on")]  # fmt: skip
    wait_until(lambda: len(messages(entry)) > len(expected), what=lambda: f"{messages(entry)}")
    assert messages(entry)[1:] == expected  # after the retained command of the test


def test_a_command_opens_the_gate_once(entry: Listener, device: PtyDevice) -> None:
    entry.publish(OPEN_GATE, "open")
    assert device.read_until(b"\n") == b"21\n"
    answer = entry.wait_for(lambda message: message.topic == GATE)
    assert json.loads(answer.payload) == {"action": "gate_open", "response": "OK", "reason": ""}
    device.write(b"21\n")
    entry.wait_topic(LIGHT, b"light_on")
    assert device.read_available(0.3) == b"", "neither the retained command nor its own status opens the gate"


@pytest.mark.parametrize("payload", [b"OPEN", b"close", b"", b"21", b"open\n21", b'{"action": "open"', b"\xff"])
def test_other_messages_do_not_open_the_gate(entry: Listener, device: PtyDevice, payload: bytes) -> None:
    entry.publish(OPEN_GATE, payload)
    entry.publish(OPEN_GATE.replace("frontgate", "backgate"), "open")
    entry.publish(OPEN_GATE.replace("/gate/", "/bell/"), "open")
    entry.publish(OPEN_GATE.replace("/C", "/S"), "open")
    entry.publish(OPEN_GATE.replace("/me/", "/serial2mqtt/"), "open")
    entry.publish(OPEN_GATE, "gate_open")
    assert device.read_until(b"\n") == b"21\n"
    assert device.read_available(0.2) == b""


# --- nmea2mqtt.conf: the instruments of a boat


def sentence(body: str) -> str:
    checksum = functools.reduce(operator.xor, body.encode(), 0)
    return f"${body}*{checksum:02X}\r\n"


def voyage(length: int) -> tuple[bytes, list[tuple[str, dict[str, Any]]]]:
    """Return the sentences of the instruments on a voyage, and the messages that they mean."""
    sentences: list[str] = []
    messages: list[tuple[str, dict[str, Any]]] = []

    def add(body: str, device: str = "", **status: Any) -> None:
        sentences.append(sentence(body))
        if device:
            messages.append((f"boat/navigation///{device}/nmea2mqtt/S", status))

    for step in range(length):
        depth, heading, speed = 2 + step / 10, step % 360, step % 40 + 0.5
        add(f"SDDPT,{depth:.1f},-0.4,", "depth", action="depth", metres=depth, offset=-0.4)
        add(f"SDDPT,{depth:.1f},,", "depth", action="depth", metres=depth)
        add("SDDPT,,,")
        add(f"HCHDG,{heading}.0,,,3.1,W", "heading", action="heading", degrees=float(heading))
        add(f"WIMWV,{heading},R,{speed},N,A", "wind", action="wind", degrees=heading, knots=speed, reference="apparent")
        add(f"WIMWV,{heading},T,{speed},N,A", "wind", action="wind", degrees=heading, knots=speed, reference="true")
        add("WIMWV,,R,,N,V")
        add(f"YXMTW,-{step % 3}.5,C", "water", action="temperature", celsius=-(step % 3) - 0.5)
        add("GPVTG,,T,,M,0.02,N,0.04,K,A")
        sentences.append(sentence("SDDPT,99.9,0.0,").replace("99.9", "11.1"))  # a byte was lost or changed in transit
    return "".join(sentences).encode(), messages


def at_random(seed: int) -> Callable[[PtyDevice, bytes], None]:
    return lambda device, data: device.write_chunks(data, seed)


@pytest.mark.parametrize(
    ("way", "length"),
    [
        pytest.param(at_random(1), 50, id="random pieces 1"),
        pytest.param(at_random(2), 50, id="random pieces 2"),
        pytest.param(at_random(3), 50, id="random pieces 3"),
        pytest.param(PtyDevice.write_bytewise, 20, id="one byte at a time"),
        pytest.param(PtyDevice.write, 300, id="one burst"),
    ],
)
def test_no_sentence_is_lost_split_or_joined(
    way: Callable[[PtyDevice, bytes], None], length: int, tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice
) -> None:
    data, expected = voyage(length)
    conf = shipped_conf(tmp_path, "nmea2mqtt.conf", mosquitto.port, device.path)
    with mosquitto.client("boat/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("boat/nmea2mqtt/serial/availability", b"online")
        way(device, data)
        wait_until(lambda: len(messages(listener)) >= len(expected), 20, lambda: gateway.log)
        assert gateway.stop() < 2
        wait_until(lambda: listener.pairs()[-1] == ("boat/nmea2mqtt/availability", b"offline"), what="offline")
        assert messages(listener) == expected
        assert "Traceback" not in gateway.log


def test_a_position_is_published_again_only_when_it_has_changed(
    tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice
) -> None:
    conf = shipped_conf(tmp_path, "nmea2mqtt.conf", mosquitto.port, device.path)
    at_anchor, under_way = "GPGLL,5330.000,N,00830.000,W,101112,A,A", "GPGLL,5330.600,N,00830.000,W,101113,A,A"
    with mosquitto.client("boat/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("boat/nmea2mqtt/serial/availability", b"online")
        device.write("".join([sentence(at_anchor)] * 50 + [sentence(under_way)]).encode())
        wait_until(lambda: len(messages(listener)) >= 2, what=lambda: gateway.log)
        gateway.stop()
        places = [(status["latitude"], status["longitude"]) for _, status in messages(listener)]
        assert places == [(pytest.approx(53.5), pytest.approx(-8.5)), (pytest.approx(53.51), pytest.approx(-8.5))]


# --- dummy2mqtt.conf: the first command of a new user


def test_the_simulated_lamp(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = shipped_conf(tmp_path, "dummy2mqtt.conf", mosquitto.port)
    lamp = "home/lighting//office/lamp/dummy2mqtt/S"
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        first = listener.wait_for(lambda message: message.topic == lamp)
        assert json.loads(first.payload) == {"action": "state", "on": False, "uptime": 0}
        gateway.wait_log("connected to")
        wait_until(lambda: "Sending SUBACK to dummy2mqtt" in mosquitto.log.read_text(), what="the subscription")
        listener.publish("home/lights//study/lamp/me/C", "ON")  # by the synonyms in the map
        answer = listener.wait_for(lambda message: message.topic == lamp and b"response" in message.payload)
        assert json.loads(answer.payload) == {"action": "on", "response": "OK", "reason": ""}
        assert gateway.stop() < 2


def test_the_simulated_lamp_without_a_broker(tmp_path: Path) -> None:
    conf = shipped_conf(tmp_path, "dummy2mqtt.conf", free_port())
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to", timeout=30)
        gateway.wait_log("dummy -> status lighting/-/office/lamp/- LAMP_STATE on=False")
        lamp = ("--function", "lighting", "--location", "office", "--device", "lamp", "--action", "LAMP_ON")
        done = run_command(conf, "send", *lamp)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("LAMP_ON response='OK' reason=''\n")
        gateway.stop()
