"""The discovery documents: those of the example, in both forms, with ids that are made of ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.settings import document_topic
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.integrations.homeassistant.discovery import (
    MIGRATE,
    REFUSALS,
    Discovery,
    Source,
    announced_device,
    is_device_form,
    payload_of,
)
from gateway.integrations.homeassistant.options import COMPONENTS, HomeAssistantOptions
from gateway.runtime.health import Health, LinkHealth, OutboxHealth, assess
from gateway.runtime.health_document import health_document
from gateway.translation.mqtt_map import MsgMap
from tests.integrations.homeassistant.rendering import rendered

MAP = MsgMap("home", ["home/heating/+/hall/+/+/C"], sender="boiler")
CELSIUS = (Feed("TEMPERATURE", "celsius"),)
BOILER = Device(
    "boiler",
    (
        Point("temperature", PointType.NUMBER, CELSIUS, unit="°C", device_class="temperature"),
        Point("heater", PointType.BOOLEAN, (Feed("HEATING", "on"),), (Write("HEAT", "on"),)),
    ),
    name="Boiler", area="Hall", manufacturer="Acme", model="B7",
    address={"function": "heating", "location": "hall", "device": "boiler"},
)  # fmt: skip
DEVICE_TOPIC = "homeassistant/device/boiler/boiler/config"
GATEWAY_TOPIC = "homeassistant/device/boiler/-gateway/config"


def discovery(gateway: str = "boiler", **options: Any) -> Discovery:
    return Discovery(
        HomeAssistantOptions(True, **options),
        gateway,
        "3.0.0",
        lambda device, kind: document_topic("home", gateway, device, kind),
    )


def documents(device: Device = BOILER, **options: Any) -> dict[str, Any]:
    announcement = discovery(**options).of_device(Source(device, MAP, {}))
    assert announcement.problems == ()
    return {topic: json.loads(payload_of(document)) for topic, document in announcement.documents.items()}


def test_the_document_of_the_example() -> None:
    both = [{"topic": "home/boiler/availability"}, {"topic": "home/boiler/boiler/availability"}]

    def reliable(key: str) -> list[dict[str, str]]:
        template = (
            "{{ 'offline' if (value_json | default({})).get('_quality', {})"
            f".get('{key}') in ['stale', 'bad'] else 'online' }}}}"
        )
        return [*both, {"topic": "home/boiler/boiler/state", "value_template": template}]

    assert documents()[DEVICE_TOPIC] == {
        "device": {
            "identifiers": ["mqttgateway_boiler/boiler"],
            "name": "Boiler",
            "manufacturer": "Acme",
            "model": "B7",
            "suggested_area": "Hall",
            "via_device": "mqttgateway_boiler",
        },
        "origin": {"name": "mqttgateway", "sw_version": "3.0.0"},
        "availability": both,
        "availability_mode": "all",
        "qos": 1,
        "components": {
            "temperature": {
                "platform": "sensor",
                "unique_id": "boiler_boiler_temperature",
                "default_entity_id": "sensor.boiler_temperature",
                "name": "Temperature",
                "device_class": "temperature",
                "state_class": "measurement",
                "unit_of_measurement": "°C",
                "state_topic": "home/boiler/boiler/state",
                "value_template": "{{ (value_json | default({})).get('temperature', 'None') }}",
                "availability": reliable("temperature"),
            },
            "heater": {
                "platform": "switch",
                "unique_id": "boiler_boiler_heater",
                "default_entity_id": "switch.boiler_heater",
                "name": "Heater",
                "state_topic": "home/boiler/boiler/state",
                "value_template": "{{ {true: 'ON', false: 'OFF'}"
                ".get((value_json | default({})).get('heater'), 'None') }}",
                "state_on": "ON",
                "state_off": "OFF",
                "command_topic": "home/heating//hall/boiler/homeassistant/C",
                "payload_on": '{"action": "HEAT", "on": true}',
                "payload_off": '{"action": "HEAT", "on": false}',
                "message_expiry_interval": 10,
                "availability": reliable("heater"),
            },
            "_outcome": {
                "platform": "event",
                "unique_id": "boiler_boiler__outcome",
                "default_entity_id": "event.boiler_outcome",
                "name": "Command outcome",
                "state_topic": "home/boiler/boiler/outcome",
                "event_types": ["OK", "REFUSED", "TIMEOUT", "OFFLINE", "ERROR"],
                "entity_category": "diagnostic",
                "value_template": documents()[DEVICE_TOPIC]["components"]["_outcome"]["value_template"],
            },
        },
    }


def test_one_document_for_each_component_for_releases_before_2024_11() -> None:
    device_form = documents()[DEVICE_TOPIC]
    by_topic = documents(form=COMPONENTS)
    assert set(by_topic) == {
        "homeassistant/sensor/boiler/boiler_temperature/config",
        "homeassistant/switch/boiler/boiler_heater/config",
        "homeassistant/event/boiler/boiler__outcome/config",
    }
    for topic, document in by_topic.items():
        assert not is_device_form(topic)
        component = next(
            each for each in device_form["components"].values() if each["unique_id"] == document["unique_id"]
        )
        assert document["object_id"] == component["default_entity_id"].partition(".")[2]
        shared = {key: value for key, value in device_form.items() if key != "components"}
        expected = {**shared, **component, "object_id": document["object_id"]}
        del expected["platform"]
        assert document == expected
    assert is_device_form(DEVICE_TOPIC)
    of_gateway = discovery(form=COMPONENTS).of_gateway([BOILER]).documents.values()
    classes = {document.get("device_class") for document in of_gateway}
    assert "connectivity" in classes and "timestamp" not in classes, "a time that is not known is a warning there"


def test_names_and_areas_are_in_no_id() -> None:
    def ids(document: dict[str, Any]) -> list[Any]:
        components = document["components"].values()
        named = [(each["unique_id"], each["default_entity_id"]) for each in components]
        return [document["device"]["identifiers"], document["device"]["via_device"], *named]

    renamed = BOILER._replace(
        name="Other", area="Cellar", points=tuple(point._replace(name="Other") for point in BOILER.points)
    )
    assert ids(documents(renamed)[DEVICE_TOPIC]) == ids(documents()[DEVICE_TOPIC])


def test_a_device_without_entities_is_not_announced() -> None:
    options = {"boiler": {"temperature": {"hidden": True}, "heater": {"hidden": True}}}
    assert documents(entities=options) == {}


def test_a_device_that_cannot_be_told_from_the_gateway_has_one_availability() -> None:
    device = BOILER._replace(points=BOILER.points[:1])
    assert "_outcome" not in documents(device)[DEVICE_TOPIC]["components"], "nothing is written"


def test_the_entities_of_a_template_have_its_options() -> None:
    options = {"b_{device}": {"heater": {"name": "Its heater"}}}
    source = Source(BOILER._replace(id="b_boiler"), MAP, {}, "b_{device}")
    (document,) = discovery(entities=options).of_device(source).documents.values()
    assert document["components"]["heater"]["name"] == "Its heater"
    wrong = {"b_{device}": {"heater": {"class": "no"}}}
    (problem,) = discovery(entities=wrong).of_device(source).problems
    assert problem.path == ("b_{device}", "heater")


def test_prefix_and_node_are_options() -> None:
    (topic,) = documents(prefix="ha", node="attic")
    assert topic == "ha/device/attic/boiler/config"
    attic = discovery(prefix="ha", node="attic")
    assert attic.birth_topic == "ha/status" and attic.owns(topic)
    assert attic.owns("ha/sensor/attic/boiler_temperature/config")
    for other in (
        DEVICE_TOPIC,
        "ha/device/cellar/boiler/config",
        "ha/device/attic/config",
        "ha/device/attic/a/b/config",
    ):
        assert not attic.owns(other)
    assert discovery("my gate.way").owns("homeassistant/device/my_gate_way/x/config")


ids = st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,4}", fullmatch=True)  # two that differ in case only are refused
keys = st.from_regex(r"[a-z][a-z0-9_]{0,4}", fullmatch=True)


@given(st.sets(st.tuples(ids, keys), min_size=2, max_size=30))
def test_ids_of_entities_are_distinct_in_both_forms(pairs: set[tuple[str, str]]) -> None:
    by_device: dict[str, list[Point]] = {}
    for device_id, key in pairs:
        by_device.setdefault(device_id, []).append(Point(key, PointType.TEXT, (Feed("T", "t"),)))
    devices = [Device(device_id, tuple(points)) for device_id, points in by_device.items()]
    unique, topics, gateway_ids = set(), [], set()
    for device in devices:
        for document in discovery().of_device(Source(device, MAP, {})).documents.values():
            unique |= {each["unique_id"] for each in document["components"].values()}
        topics += list(discovery(form=COMPONENTS).of_device(Source(device, MAP, {})).documents)
    for document in discovery().of_gateway(devices).documents.values():
        gateway_ids = {each["unique_id"] for each in document["components"].values()}
        heard = [key for key in document["components"] if key.startswith("heard_")]
        assert len(heard) == len(devices)
    assert len(unique) == len(set(topics)) == len(pairs)
    assert not unique & gateway_ids


def test_a_gateway_is_not_taken_for_a_device_of_another_one() -> None:
    (document,) = discovery("a").of_device(Source(BOILER, MAP, {})).documents.values()
    (gateway,) = discovery("a_boiler").of_gateway([]).documents.values()
    assert not set(document["device"]["identifiers"]) & set(gateway["device"]["identifiers"])


def test_the_gateway_announces_itself() -> None:
    (topic,) = discovery().of_gateway([BOILER]).documents
    document = discovery().of_gateway([BOILER]).documents[topic]
    assert topic == GATEWAY_TOPIC
    assert document["device"]["identifiers"] == ["mqttgateway_boiler"] and "via_device" not in document["device"]
    components = document["components"]
    assert components["link"]["state_topic"] == "home/boiler/availability"
    assert all(each["entity_category"] == "diagnostic" for each in components.values())
    assert {f"refused_{kind}" for kind in REFUSALS} < set(components)
    refused = dict.fromkeys(REFUSALS, 0) | {"late_command": 3}
    link = LinkHealth(is_up=True, protocol="MQTT 5")
    health = Health(0.0, "boiler", "3.0.0", link, OutboxHealth(waiting=7, oldest=12.4), refused=refused)
    read = json.loads(health_document(health, assess(health)))
    read["devices"] = {"boiler": {"last_heard": "2026-11-29T21:30:05.120Z"}}
    shown = {
        key: rendered(each["value_template"], read) for key, each in components.items() if "value_template" in each
    }
    assert shown["protocol"] == "MQTT 5" and shown["outbox_waiting"] == "7" and shown["outbox_age"] == "12"
    assert shown["refused_late_command"] == "3" and shown["heard_boiler"] == "2026-11-29T21:30:05.120Z"
    others: list[dict[str, Any] | None] = [None, {}, {"devices": {}}]
    for document_of_another in others:
        for each in components.values():
            if "value_template" in each:
                assert rendered(each["value_template"], document_of_another) == "None"


@pytest.mark.parametrize("form", ["device", COMPONENTS])
def test_whose_an_announcement_is_can_be_read_in_it(form: str) -> None:
    announced = discovery(form=form).of_device(Source(BOILER, MAP, {})).documents.values()
    assert {announced_device(payload_of(document)) for document in announced} == {"boiler"}
    own = discovery(form=form).of_gateway([BOILER]).documents.values()
    assert {announced_device(payload_of(document)) for document in own} == {""}
    assert announced_device(MIGRATE) == ""


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff", b"[]", b"{}", b'{"origin": 5}', b'{"origin": {"name": "zigbee2mqtt"}}', b"[" * 9999,
                b'{"origin": {"name": "mqttgateway"}, "availability": [5, 5], "device": {"via_device": ""}}'],
)  # fmt: skip
def test_what_others_have_announced_is_nobodys(garbage: bytes) -> None:
    assert announced_device(garbage) is None
