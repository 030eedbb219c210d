"""The devices of a configuration: loaded, or refused with the place of each mistake; and proven against the map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.core.paths import shipped, shipped_configurations
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.errors import ConfigurationError

HEAD = """\
root: home
topics: [home/heating/+/hall/+/+/C]
"""
BOILER = """\
interface:
  type: serial
  port: /dev/ttyUSB0
  address: {function: heating, location: hall, device: boiler}
  decode:
    - {regex: 'T (?P<t>.*)', values: {t: float}, message: {action: TEMPERATURE, arguments: {celsius: "{t}"}}}
    - regex: 'H(?P<on>.)'
      values: {on: {enum: {"1": true, "0": false}}}
      message: {action: HEATING, arguments: {on: "{on}"}}
    - {regex: 'M(?P<mode>.*)', message: {action: MODE, arguments: {mode: "{mode}"}}}
  encode:
    - {match: {action: HEAT}, arguments: {on: {type: boolean}}, write: "H{on}"}
    - {match: {action: SET}, arguments: {celsius: {type: number, minimum: 5, maximum: 30}}, write: "S{celsius}"}
    - match: {action: FAN}
      arguments: {level: {type: integer}, zone: {type: integer}}
      write: "F{zone} {level}"
  devices:
"""
PLAIN = HEAD + BOILER


def load(folder: Path, text: str) -> Configuration:
    path = folder / "gw.conf"
    path.write_text(text)
    return load_configuration(path, {})


def findings(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text)
    return [str(finding).replace(f"{folder}/", "") for finding in raised.value.findings]


def point(key: str, options: str, head: str = PLAIN, more: str = "") -> str:
    return f"{head}    - id: boiler\n{more}      points:\n        {key}: {options}\n"


def mapped(**options: Any) -> str:
    """Return the head of a configuration with a map of its own."""
    return "map: " + json.dumps({"root": "home", "topics": ["home/#"], **options}) + "\n" + BOILER


# --- what is loaded


def test_devices_are_loaded_beside_the_options_of_the_class(tmp_path: Path) -> None:
    text = point("heater", "{from: HEATING.on, write: HEAT.on}", more="      silent_after: 60\n")
    configuration = load(tmp_path, text)
    (interface,) = configuration.interfaces
    feed, write = Feed("HEATING", "on"), Write("HEAT", "on")
    assert interface.devices == (
        Device("boiler", (Point("heater", PointType.BOOLEAN, (feed,), (write,)),), silent_after=60),
    )
    assert interface.max_devices == 100
    assert configuration.document_topic("boiler", "state") == "home/gw/boiler/state"


def test_renaming_a_point_changes_no_option_of_the_class(tmp_path: Path) -> None:
    first = load(tmp_path, point("t", "{from: TEMPERATURE.celsius}") + "  max_devices: 7\n").interfaces[0]
    second = load(tmp_path, point("flow", "{from: TEMPERATURE.celsius}")).interfaces[0]
    assert first.params == second.params
    assert first.devices != second.devices
    assert first.max_devices == 7


OWN_OPTION = """\
from gateway.interface import Interface
class Lamp(Interface):
    SCHEMA = {"properties": {"devices": {"type": "integer"}}}
    def loop(self): ...
"""


def test_an_interface_may_have_an_option_of_its_own_with_that_name(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(OWN_OPTION)
    (interface,) = load(tmp_path, HEAD + "interface: {type: lamp.py, devices: 5}\n").interfaces
    assert (interface.params, interface.devices) == ({"devices": 5}, ())


def test_an_ini_file_cannot_declare_devices(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text("class Lamp:\n    def loop(self): ...\n")
    text = "[INTERFACE]\ntype: lamp.py\ndevices: 5\n[MQTT]\nroot: home\ntopics: home/+/+/+/+/+/C\n"
    (interface,) = load(tmp_path, text).interfaces
    assert interface.params == {"devices": "5"}


DECLARING = """\
from gateway.interface import Interface
class Lamp(Interface):
    SCHEMA = {"properties": {"id": {"type": "string", "default": "lamp"}}}
    def loop(self): ...
    @classmethod
    def devices(cls, params):
        return DEVICES
"""


def test_a_class_declares_devices_that_the_configuration_can_replace(tmp_path: Path) -> None:
    devices = "[{'id': params['id'], 'points': {'on': {'from': 'STATE.on', 'type': 'boolean'}}}]"
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", devices))
    (interface,) = load(tmp_path, HEAD + "interface: {type: lamp.py, id: desk}\n").interfaces
    assert [device.id for device in interface.devices] == ["desk"]
    text = HEAD + "interface: {type: lamp.py, devices: [{id: mine, points: {on: {from: A.b, unit: V}}}]}\n"
    assert [device.id for device in load(tmp_path, text).interfaces[0].devices] == ["mine"]


def test_interfaces_of_one_class_that_declares_devices_have_different_ones(tmp_path: Path) -> None:
    devices = "[{'id': 'lamp', 'points': {'on': {'from': 'STATE.on', 'type': 'boolean'}}}]"
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", devices))
    interfaces = load(tmp_path, HEAD + "interfaces: {hall: {type: lamp.py}, 2. floor: {type: lamp.py}}\n").interfaces
    assert [interface.devices[0].id for interface in interfaces] == ["hall_lamp", "2__floor_lamp"]


SWITCH = """[{'id': 'lamp', 'points': {
    'on': {'from': 'STATE.on', 'write': 'SET.on', 'type': 'boolean'}, 'off': {'write': 'OFF'}}}]"""


def test_points_of_a_class_are_only_read_if_no_command_can_arrive(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", SWITCH))
    map_of = {"root": "home", "topics": ["home/#"], "action": {"maptype": "strict", "map": {"SET": ["set"]}}}
    for head, points in (
        ("root: home\ntopics: []\n", {"on": 0}),
        ("root: home\ntopics: [home/#]\n", {"on": 1, "off": 1}),
        (f"map: {json.dumps(map_of)}\n", {"on": 1}),
    ):
        (interface,) = load(tmp_path, head + "interface: {type: lamp.py}\n").interfaces
        assert {point.key: len(point.writes) for point in interface.devices[0].points} == points


def test_a_device_of_a_class_whose_document_is_a_message_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", SWITCH))
    form = {"topic": "{root}/{function}/{device}/state", "constants": {"gateway": "", "location": ""}}
    head = "map: " + json.dumps({"root": "home", "topics": [], "syntax": {"commands": [], "statuses": [form]}})
    configuration = load(tmp_path, head + "\ninterface: {type: lamp.py}\n")
    assert configuration.interfaces[0].devices == ()
    (note,) = configuration.notes
    assert "the device 'lamp' is left out: its document 'home/gw/lamp/state' would be read as a message" in note
    assert note.endswith("change its id in devices() of the class, or declare 'devices' here, with another id")


@pytest.mark.parametrize(
    ("devices", "finding"),
    [
        (
            "[{'id': 'a b', 'points': {}}]",
            'lamp.py:5:1: in devices() of Lamp: [0].id: "a b" does not have the expected form: use letters, ',
        ),
        (
            "[{'id': 'a', 'points': {'on': {'from': 'STATE.on'}}}]",
            "lamp.py:5:1: in devices() of Lamp: [0].points.on: its type",
        ),
        ("['lamp']", "lamp.py:5:1: in devices() of Lamp: [0]: "),
        ("1 / 0", "gw.conf:3:19: interface.type: the class Lamp fails: ZeroDivisionError: division by zero"),
    ],
)
def test_mistakes_of_a_class_are_findings(tmp_path: Path, devices: str, finding: str) -> None:
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", devices))
    (found,) = findings(tmp_path, HEAD + "interface: {type: lamp.py}\n")
    assert found.startswith(finding)


TWO_LAMPS = """\
from gateway.api import DeviceInterface, command, integer
class Lamps(DeviceInterface):
    @command("ON", device="desk")
    def desk_on(self): ...
    @command("ON", level=integer(0, 9), device="hall")
    def hall_on(self, level): ...
    @classmethod
    def devices(cls, params):
        return [{"id": device, "address": {"device": device}, "points": {"on": POINT}} for device in ("desk", "hall")]
"""


def test_a_class_may_yield_its_devices(tmp_path: Path) -> None:
    devices = "({'id': id, 'points': {'on': {'from': f'{id}.on', 'type': 'boolean'}}} for id in ('desk', 'hall'))"
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", devices))
    (interface,) = load(tmp_path, HEAD + "interface: {type: lamp.py}\n").interfaces
    assert [device.id for device in interface.devices] == ["desk", "hall"]


def test_a_point_is_written_by_a_command_of_its_device(tmp_path: Path) -> None:
    (tmp_path / "lamps.py").write_text(TWO_LAMPS.replace("POINT", '{"write": "ON.level"}'))
    (found,) = findings(tmp_path, "root: home\ntopics: [home/#]\ninterface: {type: lamps.py}\n")
    assert found.startswith("lamps.py:7:1: in devices() of Lamps: [0].points.on.write: the interface refuses command")
    assert "refused: argument 'level' is unknown: this command has no arguments" in found


def test_the_words_of_commands_are_addresses_and_words_for_the_map(tmp_path: Path) -> None:
    (tmp_path / "lamps.py").write_text(TWO_LAMPS.replace('{"on": POINT}', "{}"))
    configuration = load(tmp_path, "root: home\ntopics: [home/#]\ninterface: {type: lamps.py}\n")
    assert configuration.interfaces[0].addresses == ({"device": "desk"}, {"device": "hall"})
    map_of = {"root": "home", "topics": ["home/#"], "device": {"maptype": "strict", "map": {"desk": ["desk"]}}}
    (found,) = findings(tmp_path, f"map: {json.dumps(map_of)}\ninterface: {{type: lamps.py}}\n")
    assert found.startswith("gw.conf:2:12: interface: ") and "'hall'" in found


def test_a_note_says_that_no_command_can_arrive(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", SWITCH))
    notes = load(tmp_path, "root: home\ntopics: [home/garden/#]\ninterface: {type: lamp.py}\n").notes
    assert [note.replace(f"{tmp_path}/", "").partition(": the gateway")[0] for note in notes] == [
        f"gw.conf:3:1: interface: no command for the point lamp.{key} can arrive, so that it is only read"
        for key in ("on", "off")
    ]
    assert load(tmp_path, "root: home\ntopics: []\ninterface: {type: lamp.py}\n").notes == ()


@pytest.mark.parametrize("name", sorted(set(shipped_configurations()) - {"default.conf", "dummy2mqtt.conf"}))
def test_every_shipped_example_declares_its_devices(name: str) -> None:
    assert load_configuration(shipped("conf") / name, {}).interfaces[0].devices


# --- what is refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            point("T", "{from: TEMPERATURE.celsius}"),
            'gw.conf:22:9: interface.devices[0].points: "T" does not have the expected form: use lower-case letters, d',
        ),
        (point("t", "{form: TEMPERATURE.celsius}"), "gw.conf:22:13: interface.devices[0].points.t.form: unknown op"),
        (point("t", "{from: TEMP.celsius}"), "gw.conf:22:19: interface.devices[0].points.t.from: no status of this"),
        (point("t", "{from: 5}"), "gw.conf:22:19: interface.devices[0].points.t.from: expected text or a list or"),
        (
            point("t", "{from: TEMPERATURE.celsius, silent_after: auto}"),
            "gw.conf:22:54: interface.devices[0].points.t.silent_after: expected a number",
        ),
    ],
)
def test_a_finding_has_the_place_of_the_mistake(tmp_path: Path, text: str, expected: str) -> None:
    (found,) = findings(tmp_path, text)
    assert found.startswith(expected)


@pytest.mark.parametrize("device", ['"a/b"', '""', "a+b", '"a{"', '"{b c}"', '"boiler\\n"', "-a", "a" * 65])
def test_an_id_is_a_plain_word(tmp_path: Path, device: str) -> None:
    assert findings(tmp_path, point("t", "{from: TEMPERATURE.celsius}").replace("boiler\n ", f"{device}\n "))


def test_the_same_id_in_two_interfaces(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", "[]"))
    lamp = "{type: lamp.py, devices: [{id: %s, points: {on: {from: A.b, unit: V}}}]}"
    text = HEAD + f"interfaces:\n  one: {lamp % 'Lamp'}\n  two: {lamp % 'lamp'}\n"
    assert findings(tmp_path, text) == [
        (
            "gw.conf:5:39: interfaces.two.devices[0].id: 'lamp' is also the id of a device of the interface one: "
            "use another id: ids are unique within a gateway"
        )
    ]


def test_an_id_that_is_the_name_of_an_interface(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(DECLARING.replace("DEVICES", "[]"))
    device = "{id: %s, points: {on: {from: A.b, unit: V}}}"
    own = f"interfaces:\n  lamp: {{type: lamp.py, devices: [{device % 'lamp'}]}}\n"
    assert load(tmp_path, HEAD + own).interfaces[0].devices
    other = own + f"  other: {{type: lamp.py, devices: [{device % 'x'}]}}\n"
    assert findings(tmp_path, HEAD + other.replace("id: lamp", "id: other"))
    beside = own.replace("}]}", "}, {id: second, address: {device: b}, points: {a: {from: A.b, unit: V}}}]}")
    assert findings(tmp_path, HEAD + beside) == [
        (
            "gw.conf:4:40: interfaces.lamp.devices[0].id: 'lamp' is the name of an interface: both would have the same "
            "availability topic: use another id, or rename the interface"
        )
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- {id: '{unit}', points: {}}", "devices[0].id: {unit} has no meaning in it: known here: function, gateway"),
        ("- {id: '{device}', where: {unit: '{unit}'}, points: {}}", "add {unit} to the id"),
        ("- {id: a, address: {device: '{device}'}, points: {}}", "add {device} to the id"),
        ("- {id: '{device}', points: {heater: {write: HEAT.on}}}", "devices[0].points: no point is read"),
    ],
)
def test_the_id_of_a_template_tells_its_devices_apart(tmp_path: Path, line: str, expected: str) -> None:
    found = findings(tmp_path, f"{PLAIN}    {line}\n")
    assert any(expected in each for each in found)


# --- the proof: messages that feed a point


def one_finding(folder: Path, text: str) -> str:
    (found,) = findings(folder, text)
    return found.partition("interface.devices[0].points.")[2]


def test_a_strict_map_knows_the_words_of_each_message(tmp_path: Path) -> None:
    head = mapped(argkey={"maptype": "strict", "map": {"celsius": ["c"]}})
    assert load(tmp_path, point("t", "{from: TEMPERATURE.celsius}", head)).interfaces[0].devices
    of_unit = head.replace('arguments: {celsius: "{t}"}', 'arguments: {unit: 3, celsius: "{t}"}')
    assert one_finding(tmp_path, point("t", "{from: TEMPERATURE.celsius}", of_unit, "      where: {unit: 3}\n")) == (
        "t.from: the map cannot write a message that feeds it: argkey: 'unit' is not in the map: add it there, or make "
        "the map loose: change the map, or the words of the device"
    )


def test_a_point_is_fed_by_messages_of_its_device(tmp_path: Path) -> None:
    other = PLAIN.replace("message: {action: TEMPERATURE", "message: {device: tank, action: TEMPERATURE")
    assert one_finding(tmp_path, point("t", "{from: TEMPERATURE.celsius}", other)) == (
        "t.from: the status 'TEMPERATURE' is not one of this device: its device is 'tank': "
        'add address: {device: "tank"} to the device'
    )
    assert load(tmp_path, point("t", "{from: TEMPERATURE.celsius}", other, "      address: {device: tank}\n"))
    template = point("t", "{from: TEMPERATURE.celsius}", other).replace("id: boiler", "id: '{device}'")
    assert load(tmp_path, template)
    free = other.replace("device: tank", "device: 'tank{t}'")
    assert load(tmp_path, point("t", "{from: TEMPERATURE.celsius}", free))


@pytest.mark.parametrize("place", ["filters", "interface"])
def test_a_hook_may_make_other_messages(tmp_path: Path, place: str) -> None:
    (tmp_path / "hooks.py").write_text("def calibrate(msg):\n    return msg\n")
    filters = "filters: {out: [{hook: 'hooks.py:calibrate'}]}\n"
    text = point("t", "{from: CALIBRATED.celsius, unit: °C}")
    assert "no status" in one_finding(tmp_path, text)
    assert load(tmp_path, filters + text if place == "filters" else f"{text}  {filters}").interfaces[0].devices


def test_faulty_filters_are_no_crash(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, "filters: {out: 5}\n" + point("t", "{from: TEMPERATURE.celsius}"))
    assert "filters.out: expected a list" in found


def test_each_choice_can_be_written(tmp_path: Path) -> None:
    values = {"argvalue": {"maptype": "strict", "map": {"eco": ["e"], "day": ["d"]}}}
    assert load(tmp_path, point("mode", "{from: MODE.mode, choices: [eco, day]}", mapped(**values)))
    assert load(tmp_path, point("mode", "{from: MODE.mode}", mapped(**values)))
    assert one_finding(tmp_path, point("mode", "{from: MODE.mode, choices: [eco, off]}", mapped(**values))) == (
        "mode.from: the map cannot write a message that feeds it: argvalue: 'off' is not in the map: add it there, or "
        "make the map loose: change the map, or the words of the device"
    )


# --- the proof: commands that write it


def test_a_command_needs_a_subscription(tmp_path: Path) -> None:
    elsewhere = "      address: {location: attic}\n"
    assert one_finding(tmp_path, point("heater", "{write: HEAT.on}", more=elsewhere)) == (
        "heater.write: the gateway does not subscribe to 'home/heating//attic/boiler/controller/C', the topic of its "
        "command: add 'home/heating//attic/boiler/+/C' to the topics of the map"
    )


def test_the_subscription_that_a_template_needs_is_for_each_of_its_devices(tmp_path: Path) -> None:
    head = (HEAD + BOILER).replace("home/heating/+/hall/", "home/heating/+/attic/")
    text = point("heater", "{from: HEATING.on, write: HEAT.on}", head)
    found = one_finding(tmp_path, text.replace("id: boiler", 'id: "{device}"').replace(", device: boiler}", "}"))
    assert found.endswith(": add 'home/heating//hall/+/+/C' to the topics of the map"), found


@pytest.mark.parametrize("sender", ["+", "panel"])
def test_a_filter_may_name_the_sender(tmp_path: Path, sender: str) -> None:
    head = HEAD.replace("+/+/C", f"+/{sender}/C")
    assert load(tmp_path, point("heater", "{write: HEAT.on}", head + BOILER))


def test_a_strict_map_of_senders_names_a_client(tmp_path: Path) -> None:
    senders = {"sender": {"maptype": "strict", "map": {"panel": ["p"]}}}
    assert load(tmp_path, point("heater", "{write: HEAT.on}", mapped(**senders)))
    nobody = {"sender": {"maptype": "strict", "map": {"gw": ["g"]}}}
    assert "cannot read its command" in one_finding(tmp_path, point("heater", "{write: HEAT.on}", mapped(**nobody)))


def test_a_command_that_is_read_as_another_one(tmp_path: Path) -> None:
    syntax = {
        "constants": {"gateway": "", "function": "heating", "location": "hall"},
        "commands": [{"topic": "{root}/{device}/{action}/set", "payload": "value", "argument": "mode"}],
        "statuses": [{"topic": "{root}/{device}/{action}", "payload": "json"}],
    }
    head = mapped(syntax=syntax).replace("{on: {type: boolean}}", "{mode: {choices: ['1', '2']}}")
    head = head.replace('"H{on}"', '"H{mode}"')
    assert one_finding(tmp_path, point("mode", "{write: HEAT.mode}", head)) == (
        "mode.write: the map reads its command '1' as another one: command heating/-/hall/boiler/- HEAT mode=1: "
        "change the map"
    )


def test_the_rule_of_the_interface_accepts_the_command(tmp_path: Path) -> None:
    assert load(tmp_path, point("target", "{write: SET.celsius}"))
    assert one_finding(tmp_path, point("target", "{write: SET.celsius, maximum: 31}")).startswith("target.maximum: is")
    assert "the interface refuses" in one_finding(tmp_path, point("fan", "{write: FAN.level}"))
    zone = "      where: {zone: 2}\n"
    assert load(tmp_path, point("fan", "{write: FAN.level}", more=zone))
    assert load(tmp_path, point("heater", "{write: HEAT.on}", more=zone))  # a command without this argument


def test_a_device_may_report_choices_that_its_command_does_not_set(tmp_path: Path) -> None:
    text = point("source", "{from: INPUT.source, write: SELECT.source}").replace(
        "  encode:\n",
        "    - regex: 'I(?P<i>.)'\n"
        "      values: {i: {enum: {'1': hdmi, '2': dvi, '*': other}}}\n"
        "      message: {action: INPUT, arguments: {source: '{i}'}}\n"
        "  encode:\n"
        "    - {match: {action: SELECT}, arguments: {source: {choices: [hdmi, dvi]}}, write: 'I{source}'}\n",
    )
    ((device,),) = (interface.devices for interface in load(tmp_path, text).interfaces)
    assert device.points[0].choices == ("hdmi", "dvi", "other")
    wrong = text.replace("write: SELECT.source", "write: SELECT.source, choices: [hdmi, dvi, vga, other]")
    (found,) = findings(tmp_path, wrong)
    assert "argument 'source' is 'vga': expected one of hdmi, dvi" in found


def test_a_device_of_a_template_is_proven_with_a_sample(tmp_path: Path) -> None:
    head = PLAIN.replace(
        "'M(?P<mode>.*)', message: {action: MODE, arguments: {",
        "'M(?P<zone>.)(?P<mode>.*)', values: {'*': int}, message: {action: MODE, arguments: {zone: '{zone}', ",
    )
    text = point("fan", "{from: MODE.mode, write: FAN.level}", head, "      where: {zone: '{zone}'}\n")
    assert load(tmp_path, text.replace("id: boiler", "id: '{zone}-boiler'"))


# --- topics of documents


@pytest.mark.parametrize(
    ("topic", "is_free"),
    [
        ("{root}/{function}/{device}/state", False),
        ("{root}/{function}/{device}/{action}", False),
        ("{root}/gw/{device}/availability", False),
        ("{root}/heating/{device}/state", True),
        ("{root}/{function}/{device}/outcome", False),
        ("{root}/{function}/{device}/event", False),
        ("{root}/{function}/{device}/value", True),
    ],
)
def test_no_form_of_the_map_reads_a_document(tmp_path: Path, topic: str, is_free: bool) -> None:
    constants = {name: word for name, word in {"gateway": "", "location": "hall", "function": "heating"}.items()
                 if f"{{{name}}}" not in topic}  # fmt: skip
    payload = "json" if "{action}" in topic else "action"
    syntax = {"constants": constants, "commands": [], "statuses": [{"topic": topic, "payload": payload}]}
    text = point("t", "{from: TEMPERATURE.celsius}", mapped(syntax=syntax, topics=[]))
    if is_free:
        assert load(tmp_path, text)
        return
    (found,) = findings(tmp_path, text)
    assert "interface.devices[0].id: its document 'home/gw/boiler/" in found
    assert found.endswith("use another id, or change this form of the map")


# --- devices whose words have a form


NODES = """\
interface:
  type: serial
  port: /dev/ttyUSB0
  address: {function: heating, location: hall}
  decode:
    - regex: '(?P<n>[0-9]+) (?P<v>[0-9]+)'
      values: {v: int}
      message: {device: "node{n}", action: LEVEL, arguments: {v: "{v}"}}
  encode:
    - match: {device: "node{n}", action: DIM}
      arguments: {n: {type: integer, minimum: 3}, level: {type: integer, minimum: 0, maximum: 100}}
      write: "{n};{level}"
  devices:
    - {id: "ID", points: {level: {from: LEVEL.v, write: DIM.level}}}
"""
STRICT = "map: " + json.dumps(
    {"root": "home", "topics": ["home/#"], "device": {"maptype": "strict", "map": {"lamp": ["l"], "node7": ["n7"]}}}
)


@pytest.mark.parametrize("head", [HEAD, f"{STRICT}\n"])
def test_a_template_of_devices_is_proven_with_a_word_that_its_rule_accepts(tmp_path: Path, head: str) -> None:
    (interface,) = load(tmp_path, head + NODES.replace("ID", "{device}")).interfaces
    (device,) = interface.devices
    assert device.points[0].writes == (Write("DIM", "level", None),)
    assert (device.points[0].minimum, device.points[0].maximum) == (0, 100)


def test_a_template_whose_command_no_rule_accepts_is_reported(tmp_path: Path) -> None:
    wrong = NODES.replace("minimum: 3", "minimum: 3, maximum: 4, multiple_of: 5").replace("ID", "{device}")
    assert "the interface refuses" in findings(tmp_path, HEAD + wrong)[0]


# --- polled devices that nobody would miss

METERS = """\
root: home
topics: [home/energy/+/+/+/+/C]
interface:
  type: serial
  port: /dev/ttyUSB0
  address: {function: energy, device: meter}
  conversation:
    polls:
      - write: "1"
        every: 10
        response: {regex: 'U(?P<unit>.) (?P<w>.*)', message: {action: POWER, arguments: {unit: %s, watts: "{w}"}}}
  devices:
    - id: %s
      where: {unit: %s}
      points: {power: {from: POWER.watts}}
"""


@pytest.mark.parametrize(
    ("told", "device", "where"),
    [('"{unit}"', "meter1", '"1"'), ('"{unit}"', '"meter_{unit}"', '"{unit}"')],
    ids=["one of the bus", "a template"],
)
def test_a_note_says_that_no_poll_tells_which_device_does_not_answer(
    tmp_path: Path, told: str, device: str, where: str
) -> None:
    (note,) = load(tmp_path, METERS % (told, device, where)).notes
    name = device.strip('"')
    assert note.replace(f"{tmp_path}/", "") == (
        f"gw.conf:13:7: interface.devices[0]: the device {name!a} is never offline for polls that are not answered: "
        "only their answers tell unit, and so for which device they were: give it silent_after with a number of "
        "seconds, or a poll of its own whose message has unit as a constant"
    )
    text = METERS % (told, f"{device}\n      silent_after: 60", where)
    assert load(tmp_path, text).notes == ()


@pytest.mark.parametrize(
    ("told", "device", "where"),
    [('"1"', "meter1", '"1"'), ('"1"', "meter2", '"2"'), ('"1"', '"meter_{unit}"', '"{unit}"')],
    ids=["it tells", "another one is polled", "a template"],
)
def test_there_is_no_such_note_where_the_poll_tells_the_device(
    tmp_path: Path, told: str, device: str, where: str
) -> None:
    assert load(tmp_path, METERS % (told, device, where)).notes == ()


@pytest.mark.parametrize(
    ("topic", "template", "document"),
    [
        ("{root}/gw/{device}/state", "{device}", "home/gw/kitchen/state"),
        ("{root}/gw/{device}/outcome", "kit{device}", "home/gw/kitchen/outcome"),
        ("{root}/gw/x-{device}/state", "{device}", "home/gw/x-kitchen/state"),
        ("{root}/gw/{device}/state", "bath{device}", None),
        ("{root}/gw/{device}/{action}", "bath_{device}", None),
        ("{root}/gw/{action}x{device}/state", "m{device}", "home/gw/m"),
        ("{root}/gw/{action}.{device}/state", "m{device}", None),
    ],
)
def test_no_device_that_a_template_can_make_has_a_document_that_is_a_message(
    topic: str, template: str, document: str | None, tmp_path: Path
) -> None:
    form = {"topic": topic, "payload": "json"}
    if "{action}" not in topic:
        form["constants"] = {"action": "STATE"}  # type: ignore[assignment]
    own = {"topic": "{root}/status/{device}/{action}", "payload": "json"}
    msg_map = {
        "root": "home", "topics": ["home/gw/#"],
        "device": {"maptype": "strict", "map": {"kitchen": ["kitchen", "küche"]}},
        "syntax": {"constants": {"function": "", "gateway": "", "location": ""},
                   "commands": [form], "statuses": [own]},
    }  # fmt: skip
    devices = [{"id": template, "address": {"device": "{device}"}, "points": {"on": {"from": "STATE.on"}}}]
    point = {
        "regex": "(?P<on>[01])",
        "values": {"on": "int"},
        "message": {"action": "STATE", "arguments": {"on": "{on}"}},
    }
    options = {
        "type": "serial",
        "port": "loop://",
        "address": {"device": "kitchen"},
        "decode": [point],
        "devices": devices,
    }
    text = json.dumps({"map": msg_map, "interface": options})
    if document is None:
        load(tmp_path, text)
    else:
        with pytest.raises(ConfigurationError) as info:
            load(tmp_path, text)
        assert f"its document '{document}" in str(info.value.findings[0])


def test_a_command_has_those_of_the_points_values_that_it_takes_as_arguments(tmp_path: Path) -> None:
    """`zone` is an argument of the command, and `unit` is not."""
    text = point("fan", "{write: FAN.level, where: {zone: 3}}")
    (device,) = load(tmp_path, text).interfaces[0].devices
    assert device.points[0].writes == (Write("FAN", "level", None, ("zone",)),)
    text = point("heat", "{write: HEAT.on, where: {zone: 3}}")
    (device,) = load(tmp_path, text).interfaces[0].devices
    assert device.points[0].writes == (Write("HEAT", "on", None, ()),)
