"""`for` and `defaults`: entries written out are those that one would write; findings point to what is written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.document import Document
from gateway.configuration.expand import Expanded, expand
from gateway.configuration.load_config import load_configuration
from gateway.configuration.schemas import interface_schema
from gateway.configuration.settings import Configuration
from gateway.configuration.yaml_reader import load_yaml
from gateway.errors import ConfigurationError
from gateway.message import InternalMsg
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.rules import SerialRules
from tests.support.strategies import json_values

ENTRY = {
    "type": "object",
    "properties": {
        "for": {"$ref": "#/$defs/repetition", "description": "Repeats the entry."},
        "word": {"type": "string"},
        "either": {"type": ["string", "integer"]},
        "path": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        "inner": {"type": "array", "items": {"$ref": "#/$defs/entry"}},
    },
}
SCHEMA: Mapping[str, Any] = {
    "properties": {
        "entries": {"type": "array", "items": {"$ref": "#/$defs/entry"}},
        "part": {"properties": {"others": {"type": "array", "items": {"$ref": "#/$defs/entry"}}}},
        "defaults": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "entries": {
                    "type": "object",
                    "applies_to": "entries",
                    "alternatives": [["word", "either"], ["word", "path"]],
                },
                "others": {"type": "object", "applies_to": "part.others"},
            },
        },
    },
    "$defs": {"entry": ENTRY},
}


def expanded(text: str, **environment: str) -> Expanded:
    document = load_yaml(text, "f", environment)
    return expand(document, document.data, SCHEMA, ())


def written_out(text: str, **environment: str) -> Any:
    result = expanded(text, **environment)
    assert result.findings == []
    return result.options["entries"]


def findings(text: str) -> list[str]:
    return [str(finding) for finding in expanded(text).findings]


# --- the same as written out

TEXTS = st.lists(st.sampled_from(["{a}", "{b}", "{c}", "x", "{{", "{a:02d}", "é", "{2}", "{"]), max_size=4).map("".join)
VALUES = st.dictionaries(st.sampled_from(["p", "q", "k{a}"]), TEXTS | st.integers() | st.lists(TEXTS, max_size=2))
NUMBERS = st.lists(st.integers(0, 999), min_size=1, max_size=3, unique=True)


def replaced(value: Any, names: Mapping[str, int]) -> Any:
    """Return a value in which names were filled in, in the simplest way: in its JSON text."""
    text = json.dumps(value)
    for name, number in names.items():
        text = text.replace(f'"{{{name}}}": ', f'"{number}": ')
        text = text.replace(f'"{{{name}}}"', str(number)).replace(f"{{{name}}}", str(number))
        text = text.replace(f"{{{name}:02d}}", f"{number:02d}")
    return json.loads(text)


@given(st.lists(st.tuples(VALUES, NUMBERS, NUMBERS, st.booleans()), max_size=4))
def test_entries_are_those_that_one_would_write(entries: list[tuple[Any, list[int], list[int], bool]]) -> None:
    data, expected = [], []
    for values, a, b, is_list in entries:
        rows = [{"a": x, "b": y} for x, y in itertools.product(a, b)]
        entry = {**values, "used": "{a} {b}"}
        data.append({**entry, "for": rows if is_list else {"a": a, "b": b}})
        expected += [replaced(entry, row) for row in rows]
    result = expand(Document("f", None), {"entries": data}, SCHEMA, ())
    assert (result.options, result.findings) == ({"entries": expected}, [])


def test_an_entry_within_an_entry() -> None:
    text = """
entries:
  - word: first
  - for: {unit: [1, 2]}
    word: "u{unit}"
    inner: [{for: {n: [7, 8]}, either: "{unit}{n}"}, {either: "{unit}"}, {for: {unit: ["{unit}x"]}, word: "{unit}"}]
"""
    first = [{"either": "17"}, {"either": "18"}, {"either": 1}, {"word": "1x"}]
    second = [{"either": "27"}, {"either": "28"}, {"either": 2}, {"word": "2x"}]
    assert written_out(text) == [{"word": "first"}, {"word": "u1", "inner": first}, {"word": "u2", "inner": second}]


@pytest.mark.parametrize(
    ("names", "value", "expected"),
    [
        ("{n: [7]}", '{either: "{n}"}', {"either": 7}),
        ("{n: [7]}", '{word: "{n}"}', {"word": "7"}),
        ("{n: [7]}", '{path: "{n}"}', {"path": "7"}),
        ("{n: [7]}", '{path: [x, "{n}"]}', {"path": ["x", 7]}),
        ("{n: [7]}", '{other: "{n}"}', {"other": 7}),
        ("{n: [2.5]}", '{word: "{n:.2f} {n}"}', {"word": "2.50 2.5"}),
        ("{n: [true]}", '{other: "{n}", word: "{n} {n:d}"}', {"other": True, "word": "true 1"}),
        ("{n: [hall]}", '{"{n}_{n}": ["{n}", {"{n:>6}": 1}]}', {"hall_hall": ["hall", {"  hall": 1}]}),
        ("{n: [7]}", '{word: "{m} {n.x} { n } [0-9]{2} {{ {n!r}"}', {"word": "{m} {n.x} { n } [0-9]{2} {{ {n!r}"}),
        ("{}", '{word: "{n}"}', {"word": "{n}"}),
        ('[{n: 1, room: "{n}"}]', '{word: "{n} {room}"}', {"word": "1 {n}"}),
    ],
)
def test_how_a_value_is_filled_in(names: str, value: str, expected: Any) -> None:
    result = expanded(f"entries: [{{for: {names}, {value[1:]}]")
    unused = [finding for finding in result.findings if "the same" in finding.what]
    assert (result.options["entries"], unused) == ([expected], [])


def test_a_value_of_an_environment_variable_is_a_number_again() -> None:
    assert written_out('entries: [{for: {n: ["${N}"]}, either: "{n}"}]', N="7") == [{"either": 7}]


def test_what_the_schema_does_not_mark_stays() -> None:
    data = {"entry": [{"for": {"n": [1]}, "word": "{n}"}], "part": {"for": {"n": [1]}, "x": "{n}"}}
    assert expand(Document("f", None), data, SCHEMA, ()).options == data
    plain = {"entries": [{"for": {"n": [1]}}], "defaults": {"entries": {}}}
    schema = {"additionalProperties": True, "properties": {"defaults": {}, "entries": {"items": {"type": "object"}}}}
    assert expand(Document("f", None), plain, schema, ()).options == plain


# --- defaults


def test_defaults_are_options_that_an_entry_does_not_have() -> None:
    text = """
defaults:
  entries: {for: {n: [1, 2]}, word: "w{n}", inner: [{either: "{n}"}]}
  others: {word: other}
entries:
  - {}
  - {for: {}, word: own}
  - {for: {n: [3]}, inner: []}
part: {others: [{}, {word: own}]}
"""
    result = expanded(text)
    assert result.findings == []
    assert result.options == {
        "entries": [
            {"word": "w1", "inner": [{"either": 1}]},
            {"word": "w2", "inner": [{"either": 2}]},
            {"word": "own", "inner": [{"either": "{n}"}]},
            {"word": "w3", "inner": []},
        ],
        "part": {"others": [{"word": "other"}, {"word": "own"}]},
    }


@pytest.mark.parametrize(
    ("defaults", "entry", "expected"),
    [
        ("{word: w}", "{either: 1}", {"either": 1}),
        ("{either: 1, path: p}", "{word: w}", {"word": "w"}),
        ("{word: w, inner: []}", "{path: p}", {"path": "p", "inner": []}),
        ("{either: 1}", "{path: p}", {"path": "p", "either": 1}),
        ("{either: 1}", '{word: ""}', {"word": ""}),
        ("{word: w}", "{either: 0}", {"either": 0, "word": "w"}),
    ],
)
def test_an_entry_does_not_take_what_it_has_another_option_for(defaults: str, entry: str, expected: Any) -> None:
    assert written_out(f"defaults: {{entries: {defaults}}}\nentries: [{entry}]") == [expected]


# --- findings


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("{for: 3}", "1:17: entries[0].for: expected a mapping or a list, found 3"),
        ("{for: {n: []}}", "1:21: entries[0].for.n: expected at least 1, found 0"),
        ("{for: {n: [[1]]}}", "1:22: entries[0].for.n[0]: expected text or a number or true or false, found a list"),
        ("{for: [{n: 1}, {m: 1}], word: a}", "1:26: entries[0].for[1]: it has the names m; the first one has n"),
        (
            '{for: {n: [1, 2]}, word: "{m}"}',
            "1:11: entries[0] (n: 2): two of its entries would be the same: {n} is not used in it",
        ),
        (
            '{for: {n: [1, 1]}, word: "{n}"}',
            "1:11: entries[0] (n: 1): two of its entries would be the same: the same values are listed twice in 'for'",
        ),
        (
            '{for: {n: [a]}, word: "{n:02d}"}',
            "1:33: entries[0].word (n: a): 'a' cannot be written as {n:02d}: the format is none for a text",
        ),
        ('{for: {n: [1]}, word: "{n:1000}"}', "1:33: entries[0].word (n: 1): 1 cannot be written as {n:1000}"),
        ('{for: {n: [1]}, "a{n}": 1, a1: 2}', "1:42: entries[0].a1 (n: 1): 'a1' is there twice"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_at_their_place(text: str, finding: str) -> None:
    found = findings(f"entries: [{text}]")
    assert [item[: len(finding) + 2] for item in found] == [f"f:{finding}"] or found[0].startswith(f"f:{finding}")


def test_an_entry_whose_for_is_wrong_is_left_out_and_others_keep_their_place() -> None:
    result = expanded("entries: [{for: 3}, {word: a}, {for: {n: [1, 2]}, word: '{n}'}, {word: b}]")
    assert result.options["entries"] == [{"word": "a"}, {"word": "1"}, {"word": "2"}, {"word": "b"}]
    written = {path: (origin.path[1], origin.note) for path, origin in result.origins.items()}
    assert written == {
        ("entries", 0): (1, ""),
        ("entries", 1): (2, "n: 1"),
        ("entries", 2): (2, "n: 2"),
    }


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({name: list(range(1000)) for name in "abcd"}, "it stands for 1000000000000 entries, but at most 10000"),
        ({"a": list(range(10_000))}, "need more than 16 MiB"),
    ],
)
def test_the_number_of_entries_is_bounded(names: dict[str, list[int]], what: str) -> None:
    many = [{"for": {"b": list(range(10_000))}, "word": "{a}{b}"}]
    result = expand(Document("f", None), {"entries": [{"for": names, "word": "{a}", "inner": many}]}, SCHEMA, ())
    assert len(result.findings) == 1
    assert what in result.findings[0].what


def test_the_text_of_an_entry_is_bounded() -> None:
    entry = {"for": {"n": ["x" * 1000]}, "word": "{n}" * 1000}
    (finding,) = expand(Document("f", None), {"entries": [entry]}, SCHEMA, ()).findings
    assert finding.what == "more than 65536 characters would be filled in"


@given(json_values(st.sampled_from(["for", "a", "{a}", "{b:0", "{a:x}", "word", "inner"])))
def test_nothing_raises_another_error(value: Any) -> None:
    options = {
        "entries": [{"for": {"a": [1, "x"]}, "v": value}, {"for": value, "word": "{a}"}, value],
        "defaults": value,
    }
    result = expand(Document("f", None), options, SCHEMA, ())
    assert isinstance(result.options["entries"], list)


# --- in a configuration

SHORT = """\
root: home
topics: ["home/#"]
interface:
  type: serial
  port: /dev/ttyUSB0
  framing: {type: gap, gap: 0.05}
  checksum: {type: modbus, byte_order: little, strip: true}
  defaults:
    polls:
      for: {unit: [1, 2, 3]}
      every: 10
      refusal: {binary: {length: 3, fields: [{type: u8, is: "{unit}"}, {type: u8, is: 0x84}, {type: u8, name: code}]}}
  conversation:
    polls:
      - hex: "{unit:02x} 04 00 00 00 02"
        response:
          binary: {length: 7, fields: [{type: u8, is: "{unit}"}, {type: u16, is: 0x0404}, {type: f32, name: volts}]}
          message: {device: "meter{unit}", action: VOLTAGE, arguments: "*"}
      - hex: "{unit:02x} 04 00 06 00 02"
        response:
          binary: {length: 7, fields: [{type: u8, is: "{unit}"}, {type: u16, is: 0x0404}, {type: f32, name: amperes}]}
          message: {device: "meter{unit}", action: CURRENT, arguments: "*"}
  encode:
    - for: {unit: [1, 2, 3]}
      match: {device: "meter{unit}", action: RELAY}
      arguments: {on: {type: boolean, convert: {bool: {"true": "FF", "false": "00"}}}}
      hex: "{unit:02x} 05 00 00 {on} 00"
  devices:
    - for: {unit: [1, 2, 3]}
      id: "meter{unit}"
      address: {device: "meter{unit}"}
      points: {voltage: {from: VOLTAGE.volts, unit: V}, relay: {write: RELAY.on, assumed: true}}
"""
HEAD, _, _ = SHORT.partition("  defaults:\n")
_POLL = """\
      - every: 10
        hex: "0{unit} 04 00 0{register} 00 02"
        refusal: {binary: {length: 3, fields: [{type: u8, is: {unit}}, {type: u8, is: 0x84}, {type: u8, name: code}]}}
        response:
          binary: {length: 7, fields: [{type: u8, is: {unit}}, {type: u16, is: 0x0404}, {type: f32, name: {value}}]}
          message: {device: "meter{unit}", action: {action}, arguments: "*"}
"""
_COMMAND = """\
    - match: {device: "meter{unit}", action: RELAY}
      arguments: {on: {type: boolean, convert: {bool: {"true": "FF", "false": "00"}}}}
      hex: "0{unit} 05 00 00 {on} 00"
"""
_DEVICE = """\
    - id: "meter{unit}"
      address: {device: "meter{unit}"}
      points: {voltage: {from: VOLTAGE.volts, unit: V}, relay: {write: RELAY.on, assumed: true}}
"""


def _units(text: str) -> str:
    return "".join(text.replace("{unit}", str(unit)) for unit in (1, 2, 3))


LONG = (
    HEAD
    + "  conversation:\n    polls:\n"
    + _units(_POLL.replace("{register}", "0").replace("{value}", "volts").replace("{action}", "VOLTAGE"))
    + _units(_POLL.replace("{register}", "6").replace("{value}", "amperes").replace("{action}", "CURRENT"))
    + f"  encode:\n{_units(_COMMAND)}  devices:\n{_units(_DEVICE)}"
)


def load(folder: Path, text: str) -> Configuration:
    (folder / "gw.conf").write_text(text)
    return load_configuration(folder / "gw.conf", {})


def findings_in(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text)
    return [str(finding).removeprefix(f"{folder}/") for finding in raised.value.findings]


def test_three_meters_are_the_same_as_if_they_were_written_out(tmp_path: Path) -> None:
    short, long = (load(tmp_path, text).interfaces[0] for text in (SHORT, LONG))
    assert short.params == long.params
    assert short.devices == long.devices
    assert short.addresses == long.addresses
    written = [[poll.steps[0].make({}) for poll in SerialRules(each.params).polls] for each in (short, long)]
    assert written[0] == written[1] == [bytes([u, 4, 0, r, 0, 2]) for r in (0, 6) for u in (1, 2, 3)]
    answer = bytes.fromhex("02 04 04 43 66 80 00 5C DF")
    explained = [list(SerialInterface.explain_frame(each.params, answer)) for each in (short, long)]
    assert explained[0] == explained[1]
    assert [msg.device for msg in explained[0] if isinstance(msg, InternalMsg)] == ["meter2", "meter2"]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("every: 10", "evry: 10", "11:7: interface.defaults.polls.evry (unit: 1): unknown option"),
        ("every: 10", "every: 0", "11:14: interface.defaults.polls.every (unit: 1): expected at least 0.01"),
        ("polls:\n      for", "poll:\n      for", "9:5: interface.defaults.poll: unknown option"),
        ("for: {unit: [1, 2, 3]}\n      every", "for: {unit: []}\n      every",
         "10:19: interface.defaults.polls.for.unit: expected at least 1, found 0"),
        ("name: amperes", "nam: amperes",
         "21:103: interface.conversation.polls[1].response.binary.fields[2].nam (unit: 1): unknown option"),
        ("action: CURRENT", 'action: CURRENT, "device{unit}": x',
         "22:61: interface.conversation.polls[1].response.message.device{unit} (unit: 1): unknown option"),
        ('"{unit:02x} 04 00 06', '"{unit:02x} {x} 04 00 06',
         "19:14: interface.conversation.polls[1].hex (unit: 1): {x} is not an argument"),
        ("VOLTAGE.volts", "VOLTAGE.volt",
         "32:32: interface.devices[0].points.voltage.from (unit: 1): the status 'VOLTAGE' has no argument 'volt'"),
        ('id: "meter{unit}"', "id: meter", "30:11: interface.devices[0].id (unit: 2): 'meter' is the id of another"),
        ('device: "meter{unit}", action: RELAY', "device: meter1, action: RELAY",
         "24:7: interface.encode[0] (unit: 2): no command reaches this rule"),
    ],
)  # fmt: skip
def test_findings_point_to_what_is_written(tmp_path: Path, old: str, new: str, finding: str) -> None:
    assert SHORT.count(old) == 1
    found = findings_in(tmp_path, SHORT.replace(old, new))
    assert any(item.startswith(f"gw.conf:{finding}") for item in found), found
    without_notes = [item.replace("(unit: 2)", "(unit: 1)").replace("(unit: 3)", "(unit: 1)") for item in found]
    assert len(set(without_notes)) == len(found), "the same is reported only once"


def test_a_finding_shows_a_value_of_the_environment_as_it_is_written(tmp_path: Path) -> None:
    text = SHORT.replace("[1, 2, 3]}\n      match", '["${CODE}"]}\n      match').replace("{on} 00", "{off} 00")
    (tmp_path / "gw.conf").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(tmp_path / "gw.conf", {"CODE": "4711"})
    assert "encode[0].hex (unit: ${CODE}): {off} is not an argument" in str(raised.value)
    assert "4711" not in str(raised.value)


def test_too_many_entries_are_reported_at_their_list(tmp_path: Path) -> None:
    units = json.dumps(list(range(1, 1002)))
    (finding, *_) = findings_in(tmp_path, SHORT.replace("[1, 2, 3]}\n      id", f"{units}}}\n      id"))
    assert finding.startswith("gw.conf:29:5: interface.devices: expected at most 1000, found 1001")


PYTHON = """
from gateway.api import DeviceInterface

class Rooms(DeviceInterface):
    SCHEMA = {
        "properties": {
            "rooms": {"type": "array", "items": {
                "type": "object", "additionalProperties": False,
                "properties": {
                    "for": {"$ref": "#/$defs/repetition"}, "name": {"type": "string"}, "n": {"type": "integer"},
                },
            }},
            "defaults": {"type": "object", "properties": {"rooms": {"type": "object", "applies_to": "rooms"}}},
        },
    }
    def open(self): pass
    def close(self): pass
    def read(self): return ()
    def write(self, msg): return ()
    @classmethod
    def devices(cls, params):
        device = {"for": {"n": [1]}, "id": "x{n}", "points": {"t": {"from": "T.t", "type": "number"}}}
        return [device] if DEVICES else []

DEVICES = False
"""


def test_any_interface_can_have_repeated_entries(tmp_path: Path) -> None:
    (tmp_path / "rooms.py").write_text(PYTHON)
    text = """\
root: home
topics: []
interface:
  type: rooms.py
  defaults: {rooms: {n: 5}}
  rooms: [{for: {room: [hall, attic]}, name: "{room}"}, {name: cellar, n: 6}]
"""
    assert load(tmp_path, text).interfaces[0].params["rooms"] == [
        {"name": "hall", "n": 5},
        {"name": "attic", "n": 5},
        {"name": "cellar", "n": 6},
    ]
    assert (
        "rooms[0].size (room: hall)"
        in findings_in(tmp_path, text.replace('name: "{room}"', 'name: "{room}", size: 1'))[0]
    )
    (tmp_path / "rooms.py").write_text(PYTHON.replace("DEVICES = False", "DEVICES = True"))
    assert "for: unknown option" in findings_in(tmp_path, text)[0], "code has loops of its own"


def test_rules_that_read_texts_within_texts_and_repetitions_are_written_once(tmp_path: Path) -> None:
    rules = """
    - for: {port: [1, 2]}
      json: {is: {port: "{port}"}, at: {data: "{port}"}}
      nested:
        of: "{data}"
        lines: {repeat: ["{port}:(?P<node>[0-9]{2}) (?P<t>.*)"], each: true}
        nested: {of: "{t}", json: {at: {celsius: "{port}.t"}}}
      message: {device: "p{port}n{node}", action: T, arguments: {celsius: "{celsius}"}}
"""
    text = f"root: home\ntopics: []\ninterface:\n  type: serial\n  port: /dev/x\n  decode:{rules}"
    decoder = SerialRules(load(tmp_path, text).interfaces[0].params).decoder
    part = '2:07 {"2": {"t": 21.5}}\n2:08 {"2": {"t": 7}}\n2:09 {}\n1:01 {}'
    messages = decoder.decode(json.dumps({"port": 2, "2": part}).encode()) or []
    assert [(msg.device, dict(msg.arguments)) for msg in messages] == [
        ("p2n07", {"celsius": 21.5}), ("p2n08", {"celsius": 7}),
    ]  # fmt: skip
    assert not decoder.decode(json.dumps({"port": 3, "3": part}).encode())


def test_the_schema_of_the_serial_interface_marks_its_lists() -> None:
    schema = interface_schema(SerialInterface)
    conversation = schema["properties"]["conversation"]["properties"]
    lists = [conversation["polls"], schema["properties"]["decode"], schema["properties"]["encode"]]
    shared = [schema["$defs"][name]["properties"] for name in ("step", "declared_device")]
    marked = [each["items"]["properties"] for each in lists] + shared
    assert [each["for"]["$ref"] for each in marked] == ["#/$defs/repetition"] * 5
