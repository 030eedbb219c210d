"""The option `home_assistant`: options that are accepted, and ids that two entities would share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
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
    "entities",
    [
        "{level: {step: 5, name: Level, icon: 'mdi:lamp', category: config, enabled: false}}",
        "{light: {platform: light, state: power, brightness: {point: level}}, level: {}}",
        "{power: {class: outlet}, mode: {hidden: true}}",
    ],
)
def test_options_that_the_entity_has_are_accepted(tmp_path: Path, entities: str) -> None:
    assert findings(tmp_path, of_lamp(entities)) == []


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


@pytest.mark.parametrize(
    ("line", "broken", "expected"),
    [
        ("topics: [home/lighting/+/+/+/+/C]\n", "", "gw.conf:1:1: root: 'topics' is missing beside it"),
        ("root: home\ntopics: [home/lighting/+/+/+/+/C]\n", "map: none.json\n", "gw.conf:1:6: map: none.json"),
        ("  type: serial\n", "  type: serail\n", "gw.conf:5:9: interface.type: "),
    ],
)
def test_a_mistake_elsewhere_is_reported_if_no_interface_could_be_built(
    line: str, broken: str, expected: str, tmp_path: Path
) -> None:
    found = findings(tmp_path, LAMP.replace("OPTIONS", "true").replace(line, broken))
    assert any(finding.startswith(expected) for finding in found), found
