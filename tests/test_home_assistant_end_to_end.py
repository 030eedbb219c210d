"""Devices that are announced to Home Assistant by way of a real broker, and the commands that come back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.cli.main import main
from gateway.devices.point import Feed, Point, PointType, Write
from gateway.mqtt.link_state import LinkState
from gateway.outbox.store import OutboxStore
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.configuration import replaying_map
from tests.support.device import PtyDevice
from tests.support.gateway_process import GatewayProcess
from tests.support.running import RunningGateway
from tests.support.waiting import wait_until
from tests.test_devices_end_to_end import BOILER, HUMIDITY, TEMPERATURE, Running, reading, retained, running

NODE = "homeassistant/device/gw"
OTHER = BOILER._replace(id="other", address={"device": "other"})
TEMPLATE = BOILER._replace(id="b_{device}", address={})


def topic(device: str) -> str:
    return f"{NODE}/{device}/config"


def announced(mosquitto: Mosquitto, device: str) -> dict[str, Any] | None:
    """Return what the broker retains of the announcement of a device."""
    payload = retained(mosquitto, topic(device))
    return json.loads(payload) if payload else None


def components(mosquitto: Mosquitto, device: str = "boiler") -> dict[str, Any]:
    return (announced(mosquitto, device) or {"components": {}})["components"]  # type: ignore[no-any-return]


def wait_announced(mosquitto: Mosquitto, *devices: str) -> None:
    def missing() -> list[str]:
        return [device for device in devices if announced(mosquitto, device) is None]

    wait_until(lambda: not missing(), timeout=20, what=lambda: f"the announcement of {missing()}")


def wait_gone(mosquitto: Mosquitto, *devices: str) -> None:
    def left() -> list[str]:
        return [device for device in devices if announced(mosquitto, device) is not None]

    wait_until(lambda: not left(), timeout=20, what=lambda: f"{left()} to be gone")


def outbox(folder: Path, *, is_on_disk: bool) -> dict[str, Any]:
    return {"outbox": {"file": str(folder / "gw.outbox")}} if is_on_disk else {}


def test_devices_and_the_gateway_are_announced(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER, OTHER, home_assistant=True) as gateway:
        wait_announced(mosquitto, "-gateway", "boiler", "other")
        assert set(components(mosquitto)) == {"temperature", "humidity"}
        health = json.loads(retained(mosquitto, "home/gw/health") or b"{}")
        assert health["link"]["protocol"] == "MQTT 5" and set(health["devices"]) == {"boiler", "other"}
        wait_until(lambda: gateway.gateway.stats()["home_assistant"]["documents_sent"] == 3)
        assert gateway.gateway.stats()["home_assistant"] == {
            "documents": 3,
            "documents_waiting": 0,
            "documents_sent": 3,
            "documents_marked": 0,
            "documents_removed": 0,
            "documents_refused": 0,
        }
    assert announced(mosquitto, "boiler"), "it stays while the gateway is stopped"


def test_when_a_device_was_heard_first_is_told_soon(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER, home_assistant=True) as gateway:
        wait_until(lambda: retained(mosquitto, "home/gw/health"))
        gateway.push(reading(celsius=21.5))

        def last_heard() -> object:
            return json.loads(retained(mosquitto, "home/gw/health") or b"{}")["devices"]["boiler"]["last_heard"]

        wait_until(last_heard, timeout=20)


def test_a_gateway_that_announces_nothing_has_no_counters_of_it(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        assert gateway.gateway.stats()["home_assistant"] == {}
        assert announced(mosquitto, "boiler") is None


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_broker_that_has_forgotten_everything_gets_it_again(
    is_on_disk: bool, tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("the link to the broker was lost", "no connection to the broker", "lost its memory", "broker")
    options = outbox(tmp_path, is_on_disk=is_on_disk)
    with running(tmp_path, mosquitto.port, BOILER, home_assistant=True, **options):
        wait_announced(mosquitto, "-gateway", "boiler")
        mosquitto.kill()
        mosquitto.start()
        wait_announced(mosquitto, "-gateway", "boiler")
    mosquitto.kill()
    mosquitto.start()
    with running(tmp_path, mosquitto.port, BOILER, home_assistant=True, **options):
        wait_announced(mosquitto, "-gateway", "boiler")


@pytest.mark.parametrize(("is_on_disk", "version"), [(False, 5), (True, 5), (False, "3.1.1")])
def test_nothing_of_a_device_that_is_gone_is_left(
    is_on_disk: bool, version: object, tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    options = {**outbox(tmp_path, is_on_disk=is_on_disk), "mqtt": {"version": version}}
    foreign = b'{"origin": {"name": "another"}, "components": {}}'
    with mosquitto.client() as client:
        client.publish(topic("foreign"), foreign, retain=True)
    with running(tmp_path, mosquitto.port, BOILER, OTHER, home_assistant=True, **options):
        wait_announced(mosquitto, "-gateway", "boiler", "other")
    assert caplog.text.count("commands of Home Assistant do not expire there") == (version == "3.1.1")
    with running(tmp_path, mosquitto.port, BOILER, home_assistant=True, **options):
        wait_gone(mosquitto, "other")
        assert announced(mosquitto, "boiler") and announced(mosquitto, "-gateway")
    with running(tmp_path, mosquitto.port, BOILER, **options):
        wait_gone(mosquitto, "boiler", "-gateway")
    assert retained(mosquitto, topic("foreign")) == foreign


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_component_that_is_gone_while_the_gateway_was_stopped_is_removed_first(
    is_on_disk: bool, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    options = outbox(tmp_path, is_on_disk=is_on_disk)
    with running(tmp_path, mosquitto.port, BOILER, home_assistant=True, **options):
        wait_announced(mosquitto, "boiler")
    with (
        mosquitto.client(topic("boiler")) as listener,
        running(tmp_path, mosquitto.port, BOILER._replace(points=(TEMPERATURE,)), home_assistant=True, **options),
    ):
        wait_until(lambda: len(listener.pairs()) == 3)
    tombstone, last = (json.loads(payload)["components"] for _, payload in listener.pairs()[1:])
    assert tombstone["humidity"] == {"platform": "sensor"} and "unique_id" in tombstone["temperature"]
    assert set(last) == {"temperature"}


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_what_a_template_finds_is_announced_and_stays_over_a_restart(
    is_on_disk: bool, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    options = outbox(tmp_path, is_on_disk=is_on_disk)
    with running(tmp_path, mosquitto.port, TEMPLATE, home_assistant=True, **options) as first:
        wait_announced(mosquitto, "-gateway")
        assert announced(mosquitto, "b_boiler") is None
        first.push(reading(celsius=21.5))
        wait_announced(mosquitto, "b_boiler")
    with (
        mosquitto.client(topic("b_boiler")) as listener,
        running(tmp_path, mosquitto.port, TEMPLATE, home_assistant=True, **options) as second,
    ):
        wait_until(lambda: second.gateway.stats()["home_assistant"]["documents_sent"])
        assert announced(mosquitto, "b_boiler"), "the name that a person has given it would be lost"
        second.push(reading(celsius=22.0))
        wait_until(lambda: second.gateway.stats()["home_assistant"]["documents"] == 2)
        second.reload(BOILER)
        wait_announced(mosquitto, "boiler")
        wait_gone(mosquitto, "b_boiler")
    assert b"" not in [payload for _, payload in listener.pairs()][:-1]


def test_a_point_of_a_found_device_that_can_be_no_entity_is_logged_once(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("b_boiler.temperature is not announced to Home Assistant: 'heat' is no class of a sensor")
    wrong = TEMPLATE._replace(points=(TEMPERATURE._replace(device_class="heat"), HUMIDITY))
    with running(tmp_path, mosquitto.port, wrong, home_assistant=True) as gateway:
        gateway.push(reading(celsius=21.5, percent=40))
        wait_announced(mosquitto, "b_boiler")
        assert set(components(mosquitto, "b_boiler")) == {"humidity"}
        gateway.push(reading(celsius=21.5, percent=40).replace(device="lamp"))
        gateway.push(reading(celsius=22.5, percent=40))
        expected_logs.expect("b_lamp.temperature is not announced")
        wait_announced(mosquitto, "b_lamp")
    assert caplog.text.count("b_boiler.temperature is not announced") == 1


def test_a_found_device_has_the_entities_of_what_it_has_told_also_after_a_restart(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    switch = Point("switch", PointType.BOOLEAN, (Feed("SWITCH", "on"),), (Write("SET", "on"),))
    template = TEMPLATE._replace(points=(TEMPERATURE, HUMIDITY, switch))
    with running(tmp_path, mosquitto.port, template, home_assistant=True) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_announced(mosquitto, "b_boiler")
        assert set(components(mosquitto, "b_boiler")) == {"temperature", "switch", "_outcome"}
        gateway.push(reading(celsius=21.5, percent=40))
        wait_until(lambda: "humidity" in components(mosquitto, "b_boiler"))
    with (
        mosquitto.client(topic("b_boiler")) as listener,
        running(tmp_path, mosquitto.port, template, home_assistant=True) as gateway,
    ):
        gateway.push(reading(celsius=22))
        wait_until(lambda: gateway.gateway.stats()["home_assistant"]["documents"] == 2)
        wait_until(lambda: not gateway.gateway.stats()["home_assistant"]["documents_waiting"])
        told = [json.loads(payload)["components"].keys() for _, payload in listener.pairs()]
        assert told and all("humidity" in keys for keys in told), "a name that a person has given it would be lost"


def test_a_reload_changes_what_is_announced(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        mosquitto.client(topic("boiler")) as listener,
        running(tmp_path, mosquitto.port, BOILER, home_assistant=True) as gateway,
    ):
        wait_announced(mosquitto, "boiler")
        added = Point("level", PointType.INTEGER, (Feed("LEVEL", "n"),))
        gateway.reload(BOILER._replace(points=(TEMPERATURE._replace(name="Renamed"), HUMIDITY, added)))
        wait_until(lambda: set(components(mosquitto)) == {"temperature", "humidity", "level"})
        assert components(mosquitto)["temperature"]["name"] == "Renamed"
        other = Point("humidity", PointType.BOOLEAN, (Feed("TEMPERATURE", "percent"),))
        listener.messages.clear()
        gateway.reload(BOILER._replace(points=(TEMPERATURE, other)))
        wait_until(lambda: len(listener.pairs()) == 2)
        wait_until(lambda: set(components(mosquitto)) == {"temperature", "humidity"})
    first, last = (json.loads(payload)["components"] for _, payload in listener.pairs())
    assert first["humidity"] == {"platform": "sensor"} and first["level"] == {"platform": "sensor"}
    assert last["humidity"]["platform"] == "binary_sensor" and "level" not in last


def test_a_reload_switches_the_form_and_the_announcing_off_and_on(tmp_path: Path, mosquitto: Mosquitto) -> None:
    component = "homeassistant/sensor/gw/boiler_temperature/config"

    def reload(gateway: Running, option: Any) -> None:
        gateway.options["home_assistant"] = option
        gateway.gateway.reload()

    with mosquitto.client("homeassistant/#") as listener:
        with running(tmp_path, mosquitto.port, BOILER) as gateway:
            reload(gateway, True)
            listener.wait_topic(topic("boiler"))
            listener.messages.clear()
            reload(gateway, {"form": "components"})
            wait_gone(mosquitto, "boiler", "-gateway")
            assert retained(mosquitto, component)
            reload(gateway, False)
            wait_until(lambda: retained(mosquitto, component) is None)
            wait_until(lambda: not gateway.gateway.outbox.counts().waiting)
        of_boiler = [payload for name, payload in listener.pairs() if name == topic("boiler")]
    assert of_boiler == [b'{"migrate_discovery": true}', b""]
    with mosquitto.client("homeassistant/#", "home/#") as late:
        left = {message.topic for message in late.messages if message.retain}
    assert not {name for name in left if name.startswith("homeassistant")}


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_what_was_announced_under_another_prefix_is_taken_back_if_it_is_remembered(
    is_on_disk: bool, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    options = outbox(tmp_path, is_on_disk=is_on_disk)
    with running(tmp_path, mosquitto.port, BOILER, home_assistant={"node": "attic"}, **options) as gateway:
        wait_until(lambda: retained(mosquitto, "homeassistant/device/attic/boiler/config"))
        if not is_on_disk:
            gateway.options["home_assistant"] = {"prefix": "ha"}
            gateway.gateway.reload()
            wait_until(lambda: retained(mosquitto, "ha/device/gw/boiler/config"))
            wait_until(lambda: retained(mosquitto, "homeassistant/device/attic/boiler/config") is None)
    if is_on_disk:
        with running(tmp_path, mosquitto.port, BOILER, home_assistant={"prefix": "ha"}, **options):
            wait_until(lambda: retained(mosquitto, "ha/device/gw/boiler/config"))
            wait_until(lambda: retained(mosquitto, "homeassistant/device/attic/boiler/config") is None)


def test_everything_is_announced_again_when_home_assistant_starts(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        mosquitto.client(topic("boiler")) as listener,
        running(tmp_path, mosquitto.port, BOILER, home_assistant=True),
    ):
        listener.wait_topic(topic("boiler"))
        listener.publish("homeassistant/status", "offline")
        listener.publish("homeassistant/status", "online")
        wait_until(lambda: len(listener.pairs()) == 2, timeout=15)


def test_a_broker_that_forbids_the_prefix_hinders_nothing_else(
    tmp_path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("could not be published for Home Assistant")
    expected_logs.allow("dead letter", "lost the broker", "the broker refused the filter")
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite home/#\n")
    with Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {rules}\n") as broker:
        devices = [BOILER._replace(id=f"d{i}", address={"device": f"d{i}"}) for i in range(20)]
        with running(tmp_path, broker.port, *devices, home_assistant=True) as gateway:
            wait_until(lambda: gateway.gateway.stats()["home_assistant"]["documents_refused"] == 2)
            gateway.push(reading(celsius=21.5).replace(device="d3"))
            wait_until(lambda: b"21.5" in (retained(broker, "home/gw/d3/state") or b""))
            assert gateway.gateway.stats()["home_assistant"]["documents_refused"] == 2
            assert gateway.gateway.client.stats()["connects"] <= 3, (
                "some brokers close the link over each refused message"
            )
    texts = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert sum("could not be published for Home Assistant" in text for text in texts) == 1
    assert len(texts) <= 6, texts


@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_an_announcement_that_waits_at_a_stop_does_not_come_later(
    version: object, tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    """Otherwise a device that was removed meanwhile would come back for ever."""
    expected_logs.allow("broker")
    options = {**outbox(tmp_path, is_on_disk=True), "mqtt": {"version": version}}
    with running(tmp_path, mosquitto.port, BOILER, home_assistant=True, **options) as gateway:
        wait_announced(mosquitto, "-gateway", "boiler")
        mosquitto.kill()
        wait_until(lambda: gateway.gateway.client.link_state is not LinkState.UP)
        gateway.reload(BOILER, OTHER)
        wait_until(lambda: gateway.gateway.stats()["home_assistant"]["documents"] == 3)
        wait_until(lambda: gateway.gateway.outbox.stats()["waiting"])
    mosquitto.start()
    with (
        mosquitto.client(topic("other")) as listener,
        running(tmp_path, mosquitto.port, BOILER, home_assistant=True, **options) as gateway,
    ):
        wait_announced(mosquitto, "-gateway", "boiler")
        wait_until(lambda: not gateway.gateway.outbox.stats()["waiting"])
    assert not [payload for _, payload in listener.pairs() if payload]


def test_an_announcement_that_the_broker_refuses_is_no_dead_letter(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    """It is made again from the configuration; `outbox retry` would only bring an old one back."""
    expected_logs.expect("could not be published for Home Assistant: a packet of")
    points = tuple(Point(f"p{i}", PointType.NUMBER, (Feed("TEMPERATURE", f"p{i}"),)) for i in range(50))
    with (
        Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 10000\n") as broker,
        running(
            tmp_path,
            broker.port,
            BOILER._replace(points=points),
            OTHER,
            home_assistant=True,
            **outbox(tmp_path, is_on_disk=True),
        ) as gateway,
    ):
        wait_announced(broker, "-gateway", "other")
        wait_until(lambda: gateway.gateway.stats()["home_assistant"]["documents_refused"] == 1)
        assert gateway.gateway.outbox.counts().dead_letters == 0
        assert announced(broker, "boiler") is None
        gateway.reload(BOILER, OTHER)
        wait_announced(broker, "boiler")
    with contextlib.closing(OutboxStore(tmp_path / "gw.outbox")) as store:
        assert not store.dead_letter_rows() and not store.rows()


SERIAL = """\
name: gw
root: home
topics: [home/heating/+/hall/+/+/C]
mqtt: {{port: {port}}}
home_assistant: true
interface:
  type: serial
  port: {device}
  address: {{function: heating, location: hall, device: boiler}}
  decode:
    - regex: 'H(?P<on>[01])'
      values: {{on: {{bool: {{"true": "1", "false": "0"}}}}}}
      message: {{action: HEATING, arguments: {{on: "{{on}}"}}}}
  encode:
    - match: {{action: HEAT}}
      arguments: {{on: {{type: boolean, convert: {{bool: {{"true": "1", "false": "0"}}}}}}}}
      write: "H{{on}}"
      response: {{regex: 'H[01]'}}
      refusal: {{regex: 'ERR'}}
  devices:
    - id: boiler
      points:
        heater: {{from: HEATING.on, write: HEAT.on}}
"""


def serial_gateway(folder: Path, broker: Mosquitto, line: PtyDevice) -> RunningGateway:
    conf = folder / "gw.conf"
    conf.write_text(SERIAL.format(port=broker.port, device=line.path))
    return RunningGateway(conf)


def expiring(seconds: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = seconds
    return properties


def test_a_command_reaches_the_device_and_a_refused_one_leaves_the_state(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        PtyDevice(tmp_path) as line,
        mosquitto.client("home/gw/boiler/outcome") as listener,
        serial_gateway(tmp_path, mosquitto, line),
    ):
        wait_until(lambda: components(mosquitto).get("heater"))
        heater = components(mosquitto)["heater"]
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", mosquitto.port)
        client.loop_start()
        try:
            seconds = heater["message_expiry_interval"]
            client.publish(heater["command_topic"], heater["payload_on"], 1, properties=expiring(seconds))
            assert line.read_until(b"\n").strip() == b"H1"
            line.write(b"H1\r\n")
            wait_until(lambda: b'"heater":true' in (retained(mosquitto, "home/gw/boiler/state") or b""))
            client.publish(heater["command_topic"], heater["payload_off"], 1, properties=expiring(seconds))
            assert line.read_until(b"\n").strip() == b"H0"
            line.write(b"ERR\r\n")
            wait_until(lambda: len(listener.pairs()) == 2)
        finally:
            client.disconnect()
            client.loop_stop()
        state = json.loads(retained(mosquitto, "home/gw/boiler/state") or b"{}")
    outcomes = [json.loads(payload) for _, payload in listener.pairs()]
    assert [outcome["response"] for outcome in outcomes] == ["OK", "REFUSED"]
    assert outcomes[1]["arguments"] == {"on": False} and outcomes[1]["reason"]
    assert state["heater"] is True


def test_a_command_that_has_waited_at_the_broker_for_too_long_is_not_executed(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """Also with a map that lets commands wait for the gateway: Home Assistant says for how long each may."""
    command = "home/trial//hall/boiler/homeassistant/C"
    options = {"map": replaying_map(tmp_path)}
    with running(tmp_path, mosquitto.port, BOILER, **options):
        pass
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    try:
        client.publish(command, '{"action": "set", "n": 1}', 1, properties=expiring(1)).wait_for_publish(10)
        client.publish(command, '{"action": "set", "n": 2}', 1, properties=expiring(60)).wait_for_publish(10)
        time.sleep(2.1)  # the broker counts whole seconds
        with (
            mosquitto.client("home/trial/#") as listener,
            running(tmp_path, mosquitto.port, BOILER, **options),
        ):
            listener.wait_for(lambda message: b"GOT" in message.payload)
            got = [payload for _, payload in listener.pairs() if b"GOT" in payload]
    finally:
        client.disconnect()
        client.loop_stop()
    assert len(got) == 1 and b"n=2" in got[0]


@pytest.fixture
def migrating(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str]]:
    """Write the configuration with a form, and execute `ha --migrate`; return exit code and output."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    conf = tmp_path / "gw.conf"

    def migrate(form: str) -> tuple[int, str]:
        text = SERIAL.format(port=mosquitto.port, device=tmp_path / "no-device")
        conf.write_text(text.replace("home_assistant: true", f"home_assistant: {{form: {form}}}"))
        code = main(["ha", "--conf", str(conf), "--migrate"])
        output = capsys.readouterr()
        return code, output.out + output.err

    return migrate


def test_the_command_that_migrates_ends_when_the_broker_has_all_in_the_new_form(
    tmp_path: Path, mosquitto: Mosquitto, migrating: Callable[[str], tuple[int, str]]
) -> None:
    code, output = migrating("components")
    assert code == 1 and "no gateway called 'gw' runs here" in output
    component = "homeassistant/switch/gw/boiler_heater/config"
    with GatewayProcess(tmp_path / "gw.conf") as gateway, mosquitto.client("homeassistant/#") as listener:
        listener.wait_topic(component)
        code, output = migrating("device")
        assert code == 0 and "announced in the form device: 2 documents (" in output, output
        assert announced(mosquitto, "boiler") and announced(mosquitto, "-gateway")
        assert retained(mosquitto, component) is None
        listener.wait_for(lambda message: message.topic == component and not message.payload)
        sent = [payload for name, payload in listener.pairs() if name == component]
        assert sent[-2:] == [b'{"migrate_discovery": true}', b""]
        code, output = migrating("device")
        assert code == 0 and "(0 of another form marked, 0 sent, 0 removed)" in output, output
        mosquitto.kill()
        gateway.wait_log("lost")
        code, output = migrating("components")
        assert code == 1 and "cannot be delivered yet" in output, output


def test_the_command_that_migrates_tells_that_the_broker_refuses_it(
    tmp_path: Path, migrating: Callable[[str], tuple[int, str]], mosquitto: Mosquitto
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite home/#\ntopic readwrite homeassistant/device/#\n")
    mosquitto.kill()
    mosquitto.config.write_text(mosquitto.config.read_text().replace("allow_", f"acl_file {rules}\nallow_"))
    mosquitto.start()
    migrating("device")
    with GatewayProcess(tmp_path / "gw.conf"):
        wait_announced(mosquitto, "boiler")
        code, output = migrating("components")
        assert code == 1 and "the broker refuses" in output, output
