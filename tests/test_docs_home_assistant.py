"""docs/home-assistant.md: what is announced for each example and point, and the topics to allow, are as shown."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.main import main
from gateway.configuration.load_config import load_configuration
from tests.support.broker import Mosquitto, find_tool, mosquitto_or_skip
from tests.support.configuration import SHIPPED, with_home_assistant
from tests.support.docs import page, rows
from tests.support.gateway_process import GatewayProcess

PAGE = page("docs/home-assistant.md")
FILES = {block.settings["file"]: block.text for block in PAGE.blocks("yaml") if "file" in block.settings}
PLATFORMS = {
    "lamp.conf": "light",
    "gate.conf": "cover",
    "thermostat.conf": "climate",
    "water.conf": "valve",
    "door.conf": "lock",
}

_BOOL = '{bool: {"true": "1", "false": "0"}}'
_KINDS = {  # how a value of the type is read, and the argument that writes it
    "boolean": (_BOOL, f"{{type: boolean, convert: {_BOOL}}}"),
    "number": ("float", "{type: number}"),
    "integer": ("int", "{type: integer}"),
    "choice": ('{enum: {"a": eco, "b": full}}', "{choices: [eco, full]}"),
    "text": ("text", "{type: text}"),
    "event": ("text", ""),
}


def _announced(folder: Path, text: str, capsys: pytest.CaptureFixture[str], name: str = "gw.conf") -> Any:
    """Return the components that `mqttgateway ha` prints for the devices of a configuration, by device and key."""
    file = folder / name
    file.write_text(text)
    assert main(["ha", "--conf", str(file)]) == 0, capsys.readouterr().err
    documents = dict(part.split("\n", 1) for part in capsys.readouterr().out.strip().split("\n\n"))
    return {topic.split("/")[-2]: json.loads(document)["components"] for topic, document in documents.items()}


@pytest.mark.parametrize(("name", "platform"), PLATFORMS.items())
def test_each_example_of_a_composed_entity_announces_it_and_none_of_its_points(
    name: str, platform: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    announced = _announced(tmp_path, FILES[name], capsys, name)
    ((device, entities),) = yaml.safe_load(FILES[name])["home_assistant"]["entities"].items()
    (key,) = entities
    assert {key: component["platform"] for key, component in announced[device].items()} == {
        key: platform,
        "_outcome": "event",
    }


def test_the_boiler_has_the_entities_that_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announced = _announced(tmp_path, FILES["boiler.conf"], capsys, "boiler.conf")
    table = rows(PAGE.section("## From nothing to entities in five minutes"))
    *of_device, (_, of_gateway, _) = table
    names = [component["name"] for component in announced["boiler"].values()]
    assert names == [cells[1] for cells in of_device]
    shown = [re.escape(name).replace(re.escape("..."), ".*") for name in of_gateway.split(", ")]
    known = [component["name"] for component in announced["-gateway"].values()]
    assert all(any(re.fullmatch(pattern, name) for name in known) for pattern in shown)
    assert announced["boiler"]["heater"]["default_entity_id"] in " ".join(PAGE.inline_code())


def _point(kind: str, direction: str) -> str:
    read, written = _KINDS[kind]
    parts = [f"type: {kind}"]
    rules = ""
    if "read" in direction:
        parts.append("from: READ.v")
        values = "" if read == "text" else f"values: {{v: {read}}}, "
        rules += f"  decode: [{{regex: '(?P<v>.*)', {values}message: {{action: READ, arguments: {{v: '{{v}}'}}}}}}]\n"
    if "written" in direction:
        parts.append("write: WRITE.v" if written else "write: WRITE")
        arguments = f"arguments: {{v: {written}}}, write: '{{v}}'" if written else "write: W"
        rules += f"  encode: [{{match: {{action: WRITE}}, {arguments}}}]\n"
    return (
        "root: home\ntopics: [home/+/+/+/+/+/C]\nhome_assistant: true\n"
        "interface:\n  type: serial\n  port: /dev/ttyUSB0\n  address: {function: f, device: d}\n"
        f"{rules}  devices: [{{id: d, points: {{p: {{{', '.join(parts)}}}}}}}]\n"
    )


def _cells() -> list[tuple[str, str, str]]:
    section = PAGE.section("## What each point becomes")
    head = next(line for line in section.splitlines() if line.startswith("|"))
    directions = [cell.strip() for cell in head.split("|")[2:-1]]
    return [
        (kind, direction, platform)
        for kinds, *platforms in rows(section)
        for kind in kinds.split(", ")
        for direction, platform in zip(directions, platforms, strict=True)
        if platform
    ]


@pytest.mark.parametrize(("kind", "direction", "platform"), _cells())
def test_a_point_becomes_what_the_table_shows(
    kind: str, direction: str, platform: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    announced = _announced(tmp_path, _point(kind, direction), capsys)
    assert announced["d"]["p"]["platform"] == platform.replace(" ", "_")
    assert ("_outcome" in announced["d"]) == ("written" in direction)


def test_the_automation_is_for_an_entity_of_the_boiler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    automation = yaml.safe_load(PAGE.only("yaml automation").text)
    component = _announced(tmp_path, FILES["boiler.conf"], capsys, "boiler.conf")["boiler"]["_outcome"]
    # Home Assistant makes one of several underscores.
    assert automation["triggers"][0]["entity_id"] == re.sub("_+", "_", component["default_entity_id"])
    used = set(re.findall(r"attributes\.(\w+)", PAGE.only("yaml automation").text))
    assert used <= {"event_type", "action", "reason"}
    assert all(f"'{name}'" in component["value_template"] for name in used)


def _examples() -> Mapping[str, str]:
    """Return the shipped configurations, by name, with the commented lines for Home Assistant in use."""
    paths = sorted((SHIPPED / "conf").glob("*2mqtt.conf"))
    return {path.name: with_home_assistant(path.read_text()) for path in paths}


@pytest.mark.parametrize(("name", "text"), _examples().items(), ids=_examples())
def test_a_shipped_example_can_be_shown_in_home_assistant_by_removing_the_hash(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    announced = _announced(tmp_path, text, capsys, name)
    configuration = load_configuration(tmp_path / name, {})
    assert configuration.home_assistant.enabled
    assert set(announced) == {"-gateway", *(device.id for each in configuration.interfaces for device in each.devices)}
    for device, entities in configuration.home_assistant.entities.items():
        assert set(entities) < set(announced[device])


def test_the_access_rules_are_enough_for_the_gateway(tmp_path: Path) -> None:
    """A broker with these rules accepts everything that the gateway publishes, and sends it the commands."""
    mosquitto_or_skip()
    tool = find_tool("mosquitto_passwd")
    assert tool is not None
    (tmp_path / "acl").write_text(PAGE.only("text acl").text)
    for index, user in enumerate(("gateway", "homeassistant")):
        create = [] if index else ["-c"]
        subprocess.run([tool, "-b", *create, str(tmp_path / "passwd"), user, "secret"], check=True, capture_output=True)
    extra = f"allow_anonymous false\npassword_file {tmp_path / 'passwd'}\nacl_file {tmp_path / 'acl'}\n"
    with Mosquitto(tmp_path, extra) as broker:
        conf = tmp_path / "boiler.conf"
        mqtt = f"mqtt: {{port: {broker.port}, username: gateway, password: secret}}\n"
        conf.write_text(FILES["boiler.conf"] + mqtt)
        with (
            broker.client("homeassistant/#", "home/boiler/#", username="homeassistant", password="secret") as listener,
            GatewayProcess(conf) as gateway,
        ):
            gateway.wait_log("connected to")
            for name in ("-gateway", "boiler"):
                listener.wait_topic(f"homeassistant/device/boiler/{name}/config")
            for name in ("availability", "health", "boiler/state", "boiler/availability"):
                listener.wait_topic(f"home/boiler/{name}")
            listener.publish("home/heating//hall/boiler/homeassistant/C", '{"action": "HEAT", "on": true}')
            listener.wait_topic("home/boiler/boiler/outcome")  # there is no such port: the device is offline
            gateway.stop()
    assert not re.search("refused|does not let|dead letter", gateway.log), gateway.log
