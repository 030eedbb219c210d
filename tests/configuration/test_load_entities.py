"""The option `home_assistant`: every mistake in it has a place and a remedy, and what would be refused is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.errors import ConfigurationError
from gateway.integrations.homeassistant.options import HomeAssistantOptions

HEAD = """\
root: home
topics: [home/heating/+/hall/+/+/C]
"""
DEVICES = """\
interface:
  type: serial
  port: /dev/ttyUSB0
  address: {function: heating, location: hall, device: boiler}
  decode:
    - {regex: 'T (?P<t>.*)', values: {t: float}, message: {action: TEMPERATURE, arguments: {celsius: "{t}"}}}
    - regex: 'H(?P<on>.)'
      values: {on: {enum: {"1": true, "0": false}}}
      message: {action: HEATING, arguments: {on: "{on}"}}
  encode:
    - {match: {action: HEAT}, arguments: {on: {type: boolean}}, write: "H{on}"}
    - {match: {action: SET}, arguments: {celsius: {type: number, minimum: 5, maximum: 30}}, write: "S{celsius}"}
  devices:
    - id: boiler
      points:
        temperature: {from: TEMPERATURE.celsius, unit: "°C", class: temperature}
        heater: {from: HEATING.on, write: HEAT.on}
"""


def load(folder: Path, text: str) -> Configuration:
    path = folder / "gw.conf"
    path.write_text(text)
    return load_configuration(path, {})


def findings(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text)
    return [str(finding).replace(f"{folder}/", "") for finding in raised.value.findings]


def entities(options: str) -> str:
    return f"{HEAD}home_assistant:\n  entities:\n    boiler:\n      {options}\n{DEVICES}"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", HomeAssistantOptions()),
        ("home_assistant: false\n", HomeAssistantOptions()),
        ("home_assistant: true\n", HomeAssistantOptions(True)),
        ("home_assistant: {}\n", HomeAssistantOptions(True)),
        ("home_assistant: {prefix: ha, node: attic, form: components}\n",
         HomeAssistantOptions(True, "ha", "attic", "components")),
        ("home_assistant: {entities: {boiler: {heater: {name: Heater}}}}\n",
         HomeAssistantOptions(True, entities={"boiler": {"heater": {"name": "Heater"}}})),
    ],
)  # fmt: skip
def test_it_is_a_boolean_or_a_mapping(section: str, expected: HomeAssistantOptions, tmp_path: Path) -> None:
    assert load(tmp_path, HEAD + section + DEVICES).home_assistant == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("home_assistant: 5", "gw.conf:3:17: home_assistant: expected"),
        ("home_assistant: {prefixx: ha}", "gw.conf:3:18: home_assistant.prefixx: unknown option: did you mean"),
        ("home_assistant: {form: devices}", 'gw.conf:3:24: home_assistant.form: expected one of device, components, '),
        ("home_assistant: {prefix: 'ha/+'}", "gw.conf:3:26: home_assistant.prefix: "),
        ("home_assistant: {node: 'a b'}", "gw.conf:3:24: home_assistant.node: "),
        ('home_assistant: {node: "attic\\n"}', "gw.conf:3:24: home_assistant.node: "),
        ('home_assistant: {entities: {boiler: {heater: {icon: "mdi:fan\\n"}}}}', "gw.conf:3:53: home_assistant.ent"),
        ("home_assistant: {entities: {boiler: {heater: {nam: x}}}}", "gw.conf:3:47: home_assistant.entities."),
        ("home_assistant: {entities: {boiler: {x: {platform: lamp}}}}", "gw.conf:3:52: home_assistant.entities."),
        ("home_assistant: {entities: {boiler: {X: {name: y}}}}", 'gw.conf:3:37: home_assistant.entities.boiler: "X" '),
    ],
)  # fmt: skip
def test_mistakes_in_its_form_have_a_place(section: str, expected: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, f"{HEAD}{section}\n{DEVICES}")
    assert found.startswith(expected), found


def test_an_unknown_device_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    text = f"{HEAD}home_assistant:\n  entities:\n    boilr: {{heater: {{name: x}}}}\n{DEVICES}"
    assert findings(tmp_path, text) == [
        "gw.conf:5:5: home_assistant.entities.boilr: there is no device 'boilr': known: boiler"
    ]


def test_a_device_that_could_not_be_loaded_is_not_unknown(tmp_path: Path) -> None:
    text = entities("heater: {name: x}").replace("from: HEATING.on", "from: HEATIN.on")
    (found,) = findings(tmp_path, text)
    assert "HEATIN" in found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("pump: {name: x}", "the device has no point 'pump': name one of its points (temperature, heater), or add"),
        ("x: {platform: light, state: pwr}", "the device has no point 'pwr' for state: it has: temperature, heater"),
        ("temperature: {class: temprature}", "'temprature' is no class of a sensor of Home Assistant: did you mean t"),
        ("temperature: {class: humidity}", "the class humidity does not have the unit '°C': use one of: %; or leave "),
        ("heater: {class: door}", "'door' is no class of a switch of Home Assistant: known are: outlet, switch"),
        ("heater: {precision: 1}", "the option precision means nothing for this switch: leave it out"),
    ],
)  # fmt: skip
def test_mistakes_with_an_entity_stand_where_its_options_are(options: str, expected: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, entities(options))
    key = options.partition(":")[0]
    assert found.startswith(
        f"gw.conf:6:7: home_assistant.entities.boiler.{key}: as an entity of Home Assistant: {expected}"
    )


def test_a_mistake_without_options_stands_at_the_point(tmp_path: Path) -> None:
    text = f"{HEAD}home_assistant: true\n{DEVICES.replace('class: temperature', 'class: humidity')}"
    (found,) = findings(tmp_path, text)
    line = text[: text.index("temperature: {from")].count("\n") + 1
    assert found.startswith(
        f"gw.conf:{line}:9: interface.devices[0].points.temperature: as an entity of Home Assistant: "
    )


def test_a_command_that_no_filter_matches_is_found_with_the_line_to_add(tmp_path: Path) -> None:
    text = (HEAD + "home_assistant: true\n" + DEVICES).replace(
        "home/heating/+/hall/+/+/C", "home/heating/+/hall/+/me/C"
    )
    (found,) = findings(tmp_path, text)
    assert found.endswith(
        "points.heater: as an entity of Home Assistant: the gateway does not subscribe to "
        "'home/heating//hall/boiler/homeassistant/C', the topic of its command: "
        "add 'home/heating//hall/boiler/+/C' to the topics of the map"
    )
    assert load(tmp_path, text.replace("topics: [", "topics: [home/heating//hall/boiler/+/C, "))


def test_a_strict_map_must_know_the_sender(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(
        '{"root": "home", "topics": ["home/#"], "sender": {"maptype": "strict", "map": {"gw": ["gw"]}}}'
    )
    text = "map: map.json\nhome_assistant: true\n" + DEVICES
    found, _ = findings(tmp_path, text)
    assert found.endswith(
        "the map does not know 'homeassistant', the sender of its command: "
        'add "homeassistant": ["homeassistant"] to "sender" in the map'
    )


def test_a_command_that_the_interface_refuses_is_found(tmp_path: Path) -> None:
    wrong = "lock: {platform: lock, lock: {point: target, value: 50}, unlock: {point: target, value: 5}}"
    point = "        target: {write: SET.celsius}\n"
    (found,) = findings(tmp_path, entities(wrong) + point)
    assert found.startswith(
        "gw.conf:6:7: home_assistant.entities.boiler.lock: as an entity of Home Assistant: the interface refuses "
    )
    assert "50" in found and found.endswith(": change the point, or the rule that writes it")
    assert load(tmp_path, entities(wrong.replace("50", "30")) + point)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = f"""\
{HEAD}home_assistant:
  entities:
    other: {{x: {{name: y}}}}
    boiler:
      temperature: {{class: humidity}}
      heater: {{class: door}}
      lamp: {{platform: light}}
outbox: {{file: /nonexistent/x.outbox, max_messages: 5}}
{DEVICES}"""
    found = findings(tmp_path, text)
    assert [each.split(":")[1] for each in found if "home_assistant" in each] == ["5", "7", "8", "9"]


def test_devices_of_templates_are_checked_as_well(tmp_path: Path) -> None:
    text = (
        entities("heater: {class: door}")
        .replace("id: boiler", 'id: "{device}"')
        .replace("    boiler:", '    "{device}":')
    )
    text = text.replace("location: hall, device: boiler}", "location: hall}")
    (found,) = findings(tmp_path, text)
    assert "home_assistant.entities.{device}.heater: as an entity of Home Assistant: 'door' is no class" in found


BUS = """\
root: home
topics: [home/meter/+/+/+/+/C]
home_assistant: true
interface:
  type: serial
  port: /dev/ttyUSB0
  address: {function: meter, device: meter}
  decode:
    - regex: 'M(?P<u>\\d+) (?P<t>.*)'
      values: {u: int, t: float}
      message: {action: POWER, arguments: {unit: "{u}", watts: "{t}"}}
  encode:
    - match: {action: LIMIT}
      arguments: {unit: {type: integer, minimum: 1, maximum: 9}, watts: {type: number, minimum: 0, maximum: 30}}
      write: "S{unit} {watts}"
  devices:
    - id: "m_{unit}"
      where: {unit: "{unit}"}
      points:
        power: {from: POWER.watts, unit: W, class: power}
        limit: {write: LIMIT.watts, unit: W}
"""


def test_the_words_of_a_template_are_not_taken_for_those_of_a_device(tmp_path: Path) -> None:
    assert load(tmp_path, BUS).home_assistant.enabled
    (found,) = findings(tmp_path, BUS.replace("class: power", "class: energy"))
    assert "the class energy does not have the unit 'W'" in found


def test_a_template_of_words_is_checked_with_those_that_a_strict_map_has(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(
        '{"root": "home", "topics": ["home/#"], "device": {"maptype": "strict", "map": {"boiler": ["kessel"]}}}'
    )
    text = "map: map.json\nhome_assistant: true\n" + DEVICES.replace("id: boiler", 'id: "{device}"')
    assert load(tmp_path, text.replace(", device: boiler}", "}")).home_assistant.enabled


def test_a_choice_that_the_device_only_reports_is_no_mistake(tmp_path: Path) -> None:
    text = HEAD + "home_assistant: true\n" + DEVICES
    text = text.replace(
        "  decode:\n",
        """  decode:
    - regex: 'M(?P<m>.)'
      values: {m: {enum: {o: open, c: closed, m: moving}}}
      message: {action: AT, arguments: {at: "{m}"}}
""",
    ).replace(
        "  encode:\n",
        """  encode:
    - {match: {action: GO}, arguments: {to: {type: text, choices: [open, closed]}}, write: "G{to}"}
    - {match: {action: OPEN}, write: "O"}
    - {match: {action: CLOSE}, write: "C"}
""",
    )
    for write in "GO.to", "{OPEN: open, CLOSE: closed}":
        assert load(tmp_path, f"{text}        gate: {{from: AT.at, write: {write}}}\n").home_assistant.enabled
