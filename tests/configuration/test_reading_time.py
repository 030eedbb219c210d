"""The option `reading_time`: what is loaded, and what the map cannot write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.errors import ConfigurationError
from gateway.routing.reading_time import ReadingTime

LAMP = "from gateway.interface import DeviceInterface\nclass Lamp(DeviceInterface):\n    "


def load(
    folder: Path, reading_time: Any, *, mqtt: Any = None, code: str = "SCHEMA = {}", **map_options: Any
) -> Configuration:
    path = folder / "gw.conf"
    (folder / "lamp.py").write_text(LAMP + code)
    interface = {"type": "lamp.py", "reading_time": reading_time}
    options = {"map": {"root": "home", "topics": [], **map_options}, "interface": interface}
    path.write_text(json.dumps(options if mqtt is None else {**options, "mqtt": mqtt}))
    return load_configuration(path, {})


def findings(folder: Path, reading_time: Any, **map_options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, reading_time, **map_options)
    return [str(finding).partition("interface.")[2] for finding in raised.value.findings]


def test_it_is_off_by_default_and_has_one_name_or_two(tmp_path: Path) -> None:
    (interface,) = load(tmp_path, {"argument": "read_at"}).interfaces
    assert interface.reading_time == ReadingTime("read_at")
    assert load(tmp_path, {"argument": "a", "property": "b"}).interfaces[0].reading_time == ReadingTime("a", "b")
    (tmp_path / "bare.conf").write_text("root: home\ntopics: []\ninterface: {type: lamp.py}\n")
    assert load_configuration(tmp_path / "bare.conf", {}).interfaces[0].reading_time is None
    assert "reading_time" not in interface.params


@pytest.mark.parametrize("reading_time", [{}, {"argument": ""}, {"argument": 5}, {"topic": "x"}, "read_at", None])
def test_anything_else_is_refused(tmp_path: Path, reading_time: Any) -> None:
    assert findings(tmp_path, reading_time)


ARGKEY: dict[str, Any] = {"argkey": {"maptype": "strict", "map": {"celsius": ["t"]}}}
VALUES = {
    "constants": {"function": "", "gateway": "", "location": ""},
    "commands": [],
    "statuses": [
        {"topic": "{root}/{device}/{action}", "payload": "value", "argument": "celsius"},
        {"topic": "{root}/{device}/answer/{action}", "payload": "json"},
    ],
}


@pytest.mark.parametrize(
    ("argument", "map_options", "text"),
    [
        ("read_at", ARGKEY, "or make the map loose: add {read_at: [read_at]} to the map of argkey"),
        ("reason", {}, "'reason' is reserved: the gateway publishes the outcome of a command in it: use another word"),
        ("action", {}, "an argument cannot be written as 'action': use 'property', or another name"),
        ("read_at", {"argvalue": {"maptype": "strict", "map": {"a": ["b"]}}}, "use 'property', or another name"),
        ("read_at", {"syntax": VALUES}, "use 'property', or a payload of the kind json or action"),
    ],
)  # fmt: skip
def test_a_map_that_cannot_write_the_argument_is_found(
    tmp_path: Path, argument: str, map_options: dict[str, Any], text: str
) -> None:
    (finding,) = findings(tmp_path, {"argument": argument}, **map_options)
    assert finding.startswith("reading_time.argument: ")
    assert finding.endswith(text)
    assert load(tmp_path, {"property": argument}, **map_options).interfaces[0].reading_time is not None


def test_the_line_to_add_helps(tmp_path: Path) -> None:
    words: dict[str, Any] = {"argkey": {"maptype": "strict", "map": {"celsius": ["t"], "read_at": ["read_at"]}}}
    assert load(tmp_path, {"argument": "read_at"}, **words).interfaces[0].reading_time == ReadingTime("read_at")


def test_only_a_property_with_mqtt_3_is_noted(tmp_path: Path) -> None:
    mqtt = {"version": "3.1.1"}
    (note,) = load(tmp_path, {"property": "read_at"}, mqtt=mqtt).notes
    assert note == (
        "interface 'lamp': MQTT 3.1.1 has no user properties: the time of a reading is left out; set "
        "reading_time.argument, or mqtt.version to 5"
    )
    assert not load(tmp_path, {"property": "a", "argument": "a"}, mqtt=mqtt).notes
    assert not load(tmp_path, {"property": "read_at"}).notes


def test_a_class_may_have_an_option_of_that_name(tmp_path: Path) -> None:
    code = "SCHEMA = {'properties': {'reading_time': {'type': 'integer'}}}"
    (interface,) = load(tmp_path, 5, code=code).interfaces
    assert (interface.reading_time, interface.params["reading_time"]) == (None, 5)
