"""The option `home_assistant`: what no entity could have is a finding, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_entities import discovery_of
from gateway.errors import ConfigurationError

LAMP = """\
root: home
topics: [home/lighting/+/+/+/+/C]
home_assistant: OPTIONS
interface:
  type: serial
  port: /dev/ttyUSB0
  address: {function: lighting, device: lamp}
  decode:
    - regex: 'P(?P<on>[01]) L(?P<l>[0-9]+) M(?P<m>[ab])'
      values: {on: {bool: {"true": "1", "false": "0"}}, l: int, m: {enum: {"a": eco, "b": full}}}
      message: {action: LAMP, arguments: {on: "{on}", level: "{l}", mode: "{m}"}}
  encode:
    - match: {action: POWER}
      arguments: {on: {type: boolean, convert: {bool: {"true": "1", "false": "0"}}}}
      write: "P{on}"
    - {match: {action: LEVEL}, arguments: {level: {type: integer, minimum: 0, maximum: 100}}, write: "L{level}"}
  devices:
    - id: lamp
      points:
        power: {from: LAMP.on, write: POWER.on}
        level: {from: LAMP.level, write: LEVEL.level}
        mode: {from: LAMP.mode}
"""


def findings(folder: Path, text: str) -> list[str]:
    file = folder / "gw.conf"
    file.write_text(text)
    try:
        load_configuration(file, {})
    except ConfigurationError as err:
        return [str(finding).replace(f"{folder}/", "") for finding in err.findings]
    return []


def of_lamp(entities: str) -> str:
    return LAMP.replace("OPTIONS", f"{{entities: {{lamp: {entities}}}}}")


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        ("{power: {platform: light, state: power}}", "power is a point, and no composed entity: give the composed"),
        ("{power: {brightness: level}}", "a switch has no option brightness: it can have: class, hidden"),
        ("{power: {step: 3}}", "a switch has no option step"),
        ("{mode: {class: enum}}", "a sensor has no option class"),
        ("{mode: {precision: 1}}", "a sensor has no option precision"),
        ("{level: {state_class: total}}", "a number has no option state_class"),
        ("{light: {platform: light, state: power, position: level}}", "a light has no option position"),
        ("{light: {platform: light, state: power, class: outlet}}", "a light has no option class"),
        ("{tap: {platform: valve, position: level, state: power}}", "a valve with a position has no state"),
    ],
)
def test_an_option_that_the_entity_does_not_have_is_not_ignored(tmp_path: Path, entities: str, expected: str) -> None:
    (found,) = findings(tmp_path, of_lamp(entities))
    key = entities[1:].partition(":")[0]
    assert found.startswith(f"gw.conf:3:36: home_assistant.entities.lamp.{key}: as an entity of Home Assistant: ")
    assert expected in found


@pytest.mark.parametrize(
    "entities",
    [
        "{level: {step: 5, name: Level, icon: 'mdi:lamp', category: config, enabled: false}}",
        "{light: {platform: light, state: power, brightness: {point: level}}, level: {}}",
        "{power: {class: outlet}, mode: {hidden: true}}",
    ],
)
def test_options_that_the_entity_has_are_accepted(tmp_path: Path, entities: str) -> None:
    assert findings(tmp_path, of_lamp(entities)) == []


@pytest.mark.parametrize("prefix", ["a/+", "a/#", "/a", "a/", "a b", ""])
def test_a_prefix_that_is_no_topic_is_refused(tmp_path: Path, prefix: str) -> None:
    (found,) = findings(tmp_path, LAMP.replace("OPTIONS", f'{{prefix: "{prefix}"}}'))
    assert found.startswith("gw.conf:3:26: home_assistant.prefix: ")


def test_a_prefix_may_have_several_levels(tmp_path: Path) -> None:
    assert findings(tmp_path, LAMP.replace("OPTIONS", "{prefix: site/homeassistant}")) == []


def test_two_entities_with_one_id_are_a_finding(tmp_path: Path) -> None:
    """Home Assistant would ignore the second: `a` with `b_c`, and `a_b` with `c`."""
    text = LAMP.replace("OPTIONS", "true").partition("  devices:")[0] + (
        "  devices:\n    - {id: a, points: {b_c: {from: LAMP.on}}}\n    - {id: a_b, points: {c: {from: LAMP.mode}}}\n"
    )
    assert findings(tmp_path, text) == []  # a binary sensor and a sensor
    (found,) = findings(tmp_path, text.replace("LAMP.on", "LAMP.level"))
    assert found == (
        "gw.conf:19:26: interface.devices[1].points.c: as an entity of Home Assistant: it would have the same id as an "
        "entity of the device a: rename the point, or one of the devices"
    )


def test_devices_whose_ids_are_alike_are_told_apart_among_the_diagnostics(tmp_path: Path) -> None:
    file = tmp_path / "gw.conf"
    devices = "{id: a_b, points: {p: {from: LAMP.on}}}, {id: a-b, points: {p: {from: LAMP.level}}}"
    file.write_text(LAMP.replace("OPTIONS", "true").partition("  devices:")[0] + f"  devices: [{devices}]\n")
    configuration = load_configuration(file, {})
    discovery = discovery_of(configuration.home_assistant, configuration.name, configuration.root)
    (document,) = discovery.of_gateway(configuration.interfaces[0].devices).documents.values()
    assert {"heard_a_b", "heard_a-b"} < set(document["components"])
