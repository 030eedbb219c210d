"""docs/clients.md: what other programs are told to read and write is there, and their commands are accepted."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.core.topic import filter_matches
from tests.support.configuration import SHIPPED
from tests.support.docs import page

PAGE = page("docs/clients.md")


@pytest.fixture(scope="module")
def tank() -> Configuration:
    return load_configuration(SHIPPED / "conf" / "tank2mqtt.conf", {})


def _documents(tank: Configuration) -> dict[str, str]:
    """Return the topics of the documents of the tank, by kind."""
    return {kind: tank.document_topic("tank", kind) for kind in ("state", "availability", "outcome")}


def _points(tank: Configuration) -> set[str]:
    return {point.key for point in tank.interfaces[0].devices[0].points}


def _is_accepted(tank: Configuration, topic: str, payload: str) -> bool:
    """Return whether the map subscribes to a command, and reads it as the one that switches the pump."""
    msg_map = tank.interfaces[0].msg_map
    msg = msg_map.mqtt2internal(topic, payload.encode())
    is_subscribed = any(filter_matches(topic_filter, topic) for topic_filter in msg_map.topics)
    return is_subscribed and (msg.iscmd, msg.device, msg.action, msg.arguments) == (True, "tank", "PUMP", {"on": True})


def test_the_topics_in_the_table_are_those_of_the_tank(tank: Configuration) -> None:
    code = PAGE.inline_code()
    assert set(_documents(tank).values()) <= set(code)
    assert filter_matches("home/+/+/state", _documents(tank)["state"])


def test_what_the_clients_of_mosquitto_read_and_write(tank: Configuration) -> None:
    for line in PAGE.only("sh clients").text.splitlines():
        program, *words = shlex.split(line)
        topic = words[words.index("-t") + 1]
        if program == "mosquitto_pub":
            assert _is_accepted(tank, topic, words[words.index("-m") + 1])
        else:
            assert any(filter_matches(topic, each) for each in _documents(tank).values())


def test_the_flow_of_node_red(tank: Configuration) -> None:
    nodes: list[dict[str, Any]] = json.loads(PAGE.only("json flow").text)
    ids = [node["id"] for node in nodes]
    assert len(ids) == len(set(ids))
    assert {target for node in nodes for wire in node.get("wires", []) for target in wire} <= set(ids)
    read = {node["topic"] for node in nodes if node["type"] == "mqtt in"}
    assert read == {_documents(tank)["state"], _documents(tank)["outcome"]}
    (command,) = [node for node in nodes if node["type"] == "mqtt out"]
    (change,) = [node for node in nodes if node["type"] == "change"]
    assert _is_accepted(tank, command["topic"], change["rules"][0]["to"])
    assert (command["retain"], command["expiry"]) == ("false", "10")
    used = {node["property"].rpartition(".")[2] for node in nodes if node["type"] == "switch"}
    assert used <= _points(tank)


def test_the_entities_that_are_written_by_hand(tank: Configuration) -> None:
    for entry in yaml.safe_load(PAGE.only("yaml by-hand").text)["mqtt"]:
        ((_, entity),) = entry.items()
        documents = _documents(tank)
        assert (entity["state_topic"], entity["availability_topic"]) == (documents["state"], documents["availability"])
        assert set(re.findall(r"\.get\('(\w+)'", entity["value_template"])) <= _points(tank)
        if "command_topic" in entity:
            assert _is_accepted(tank, entity["command_topic"], entity["payload_on"])


def test_what_telegraf_reads(tank: Configuration) -> None:
    (consumer,) = tomllib.loads(PAGE.only("toml telegraf").text)["inputs"]["mqtt_consumer"]
    (topic,) = consumer["topics"]
    assert filter_matches(topic, _documents(tank)["state"])
    assert consumer["topic_parsing"][0]["topic"] == topic
    fields = {field["path"] for field in consumer["json_v2"][0]["field"]}
    assert fields <= _points(tank)


def test_what_the_exporters_for_prometheus_show(tank: Configuration) -> None:
    exporter = yaml.safe_load(PAGE.only("yaml mqtt2prometheus").text)
    state = _documents(tank)["state"]
    assert filter_matches(exporter["mqtt"]["topic_path"], state)
    found = re.search(exporter["mqtt"]["device_id_regex"], state)
    assert found is not None
    assert found["deviceid"] == "tank"
    assert {metric["mqtt_name"] for metric in exporter["metrics"]} <= {*_points(tank), "_status"}
    metrics = re.findall(r'^mqtt_(\w+)\{topic="(\w+)"\}', PAGE.only("text metrics").text, re.MULTILINE)
    assert {topic for _, topic in metrics} == {state.replace("/", "_")}
    assert {name for name, _ in metrics} <= {*_points(tank), "_status"}


def test_the_things_of_openhab(tank: Configuration) -> None:
    text = PAGE.only("text openhab").text
    documents = _documents(tank)
    assert set(re.findall(r'stateTopic="([^"]*)"', text)) == {documents["state"]}
    assert re.findall(r'availabilityTopic="([^"]*)"', text) == [documents["availability"]]
    assert set(re.findall(r"JSONPATH:\$\.(\w+)", text)) <= _points(tank)
    (topic,) = re.findall(r'commandTopic="([^"]*)"', text)
    (form,) = re.findall(r'formatBeforePublish="((?:\\"|[^"])*)"', text)
    assert _is_accepted(tank, topic, form.replace('\\"', '"') % "true")
