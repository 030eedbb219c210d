"""What Home Assistant publishes is read back by the map as the command that is meant, or it is said why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices.point import Device, Point, PointType, Write
from gateway.errors import MessageError
from gateway.integrations.homeassistant.commands import SENDER, Command, CommandWriter, EntityError
from gateway.message import Argument, InternalMsg
from gateway.translation.client_commands import CommandError
from gateway.translation.mqtt_map import MsgMap
from tests.integrations.homeassistant.rendering import commanded
from tests.support.proofs import loaded
from tests.support.strategies import make_map, map_data, own_names, texts, words
from tests.support.syntaxes import loaded as syntax_loaded
from tests.support.syntaxes import syntax_maps

BOOLEAN = Point("p", PointType.BOOLEAN, writes=(Write("HEAT", "on"),))
NUMBER = Point("p", PointType.NUMBER, writes=(Write("SET", "celsius"),), minimum=5, maximum=30.5)
INTEGER = Point("p", PointType.INTEGER, writes=(Write("SET", "n"),))
TEXT = Point("p", PointType.TEXT, writes=(Write("SHOW", "text"),))
CHOICE = Point("p", PointType.CHOICE, writes=(Write("FAN", "level"),), choices=("low", "high"))
GATE = Point("p", PointType.BOOLEAN, writes=(Write("OPEN", None, True), Write("CLOSE", None, False)))
DEVICE = Device("d", (), address={"function": "heating", "location": "hall", "device": "boiler"})


def writer(msg_map: MsgMap, device: Device = DEVICE) -> CommandWriter:
    return CommandWriter(msg_map, device, {})


def message(action: str, **arguments: Any) -> InternalMsg:
    return InternalMsg(
        True, function="heating", location="hall", device="boiler", sender=SENDER, action=action, arguments=arguments
    )


def read_back(msg_map: MsgMap, command: Command, value: object) -> InternalMsg:
    payload = commanded(command.template.text, value)
    return msg_map.mqtt2internal(command.topic, payload.encode())


MAPS: Mapping[str, Mapping[str, Any]] = {
    "seven levels": {"root": "home", "topics": ["home/#"]},
    "a strict sender": {
        "root": "home",
        "topics": ["home/#"],
        "sender": {"maptype": "strict", "map": {"gw": ["gw"], SENDER: ["ha"]}},
    },
    "other words": {
        "root": "home",
        "topics": ["home/#"],
        "action": {"maptype": "strict", "map": {"HEAT": ["warm"], "SET": ["set"], "SHOW": ["show"], "FAN": ["fan"],
                                                "OPEN": ["auf"], "CLOSE": ["zu"]}},
        "argkey": {"maptype": "loose", "map": {"on": ["is_on"]}},
        "argvalue": {"maptype": "loose", "map": {"low": ["langsam {{"], "high": ["'"]}},
    },
    "JSON in a syntax of its own": {
        "root": "home",
        "topics": ["home/+/+/+/+/set"],
        "syntax": {
            "commands": [{"topic": "home/{function}/{location}/{device}/{action}/set", "payload": "json"}],
            "statuses": [{"topic": "home/{function}/{location}/{device}/{action}", "payload": "json"}],
            "constants": {"gateway": ""},
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_each_map_reads_back_what_is_written(name: str) -> None:
    msg_map = loaded(dict(MAPS[name]))
    commands = writer(msg_map)

    def check(command: Command, value: object, expected: InternalMsg) -> None:
        assert read_back(msg_map, command, value).replace(sender="") == expected.replace(sender="")
        for probe, wanted in command.probes:
            assert read_back(msg_map, command, probe).replace(sender="") == wanted.replace(sender="")

    for is_on in (True, False):
        check(commands.of_value(BOOLEAN, is_on), None, message("HEAT", on=is_on))
        check(commands.of_value(GATE, is_on), None, message("OPEN" if is_on else "CLOSE"))
    for number in (5, 21.5, 30.5):
        check(commands.of_number(NUMBER), number, message("SET", celsius=number))
    check(commands.of_number(INTEGER), -7, message("SET", n=-7))
    for text in ("hello", 'it\'s "x" {{ 1 }} {% \\ 😀\n', ""):
        check(commands.of_text(TEXT), text, message("SHOW", text=text))
    choices: Mapping[str, Argument] = {"LOW": "low", "HIGH": "high"}
    for word, value in choices.items():
        check(commands.of_values(CHOICE, choices), word, message("FAN", level=value))


@pytest.mark.parametrize("form", ["{action} ", " {action}", "{action}\n"])
def test_a_command_by_a_template_has_no_blanks_at_its_ends(form: str) -> None:
    """Home Assistant leaves them out of what a template gives, but not of a fixed payload."""
    syntax = {
        "commands": [{"topic": "set/{device}/{action}", "payload": "value", "argument": "v"}],
        "statuses": [{"topic": "stat/{device}/{action}", "payload": "json"}],
        "constants": {"function": "heating", "gateway": "", "location": "hall"},
    }
    word = form.format(action="low")
    msg_map = loaded({"root": "home", "topics": ["set/+/+"], "syntax": syntax})
    choice = Point("p", PointType.CHOICE, writes=(Write("SET", "v"),), choices=(word, "high"))
    commands = writer(msg_map)
    with pytest.raises(EntityError, match="its command has blanks at its ends"):
        commands.of_values(choice, {"low": word, "high": "high"})
    assert commands.of_value(choice, word).template.twin(None) == word


def test_the_action_may_be_in_the_topic_if_there_is_only_one() -> None:
    syntax = {
        "commands": [
            {"topic": "set/{device}/{action}", "payload": "value", "argument": "celsius"},
            {"topic": "press/{device}/{action}", "payload": "empty"},
        ],
        "statuses": [{"topic": "stat/{device}/{action}", "payload": "json"}],
        "constants": {"function": "heating", "gateway": "", "location": "hall"},
    }
    msg_map = loaded({"root": "home", "topics": ["set/+/+", "press/+/+"], "syntax": syntax})
    command = writer(msg_map).of_number(NUMBER)
    assert command.topic == "set/boiler/SET"
    assert read_back(msg_map, command, 21.5).argument("celsius") == 21.5
    with pytest.raises(
        EntityError, match="its commands have several topics: 'set/boiler/OPEN', 'set/boiler/CLOSE'"
    ) as raised:
        writer(msg_map).of_values(GATE, {"open": True, "closed": False})
    assert raised.value.remedy


def test_arguments_that_tell_which_point_is_meant_are_written_as_well() -> None:
    device = DEVICE._replace(where={"unit": 3})
    point = NUMBER._replace(writes=(Write("SET", "value", None, ("unit", "register")),), where={"register": 7})
    msg_map = loaded(dict(MAPS["seven levels"]))
    command = writer(msg_map, device).of_number(point)
    assert read_back(msg_map, command, 5) == message("SET", unit=3, register=7, value=5)


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (
            {"sender": {"maptype": "strict", "map": {"gw": ["gw"]}}},
            'add "homeassistant": ["homeassistant"] to "sender" in the map',
        ),
        ({"action": {"maptype": "strict", "map": {"OTHER": ["other"]}}}, "change the map, or the words of the device"),
    ],
)
def test_a_command_that_the_map_cannot_write_is_refused_with_the_line_to_add(
    data: Mapping[str, Any], remedy: str
) -> None:
    msg_map = loaded({"root": "home", "topics": ["home/#"], **data})
    with pytest.raises(CommandError, match="the map") as raised:
        writer(msg_map).of_value(BOOLEAN, True)
    assert raised.value.remedy == remedy


def test_a_value_that_is_in_the_topic_is_refused() -> None:
    point = NUMBER._replace(writes=(Write("5", None, 5),))
    with pytest.raises(EntityError, match="its commands have no argument for a value"):
        writer(MsgMap("home", sender="gw")).of_number(point)


@st.composite
def any_maps(draw: st.DrawFn) -> MsgMap:
    data = draw(map_data())
    return make_map(data, draw(own_names(data)))


ANY_MAPS = any_maps() | syntax_maps().map(syntax_loaded)


def passes(msg_map: MsgMap, command: Command) -> bool:
    """Return whether `check` has nothing against a command: the map reads each probe as what is meant."""
    for value, wanted in command.probes:
        try:
            received = msg_map.mqtt2internal(command.topic, command.template.twin(value).encode())
        except MessageError:
            return False
        if received.replace(sender="") != wanted.replace(sender=""):
            return False
    return True


@settings(max_examples=40)
@given(ANY_MAPS, words, words, texts, texts.filter(lambda key: key != "action"), st.booleans(), st.integers())
def test_where_check_is_content_each_value_is_read_as_what_is_meant(
    msg_map: MsgMap | None, location: str, device: str, action: str, key: str, is_on: bool, number: int
) -> None:
    if msg_map is None:
        return
    commands = writer(msg_map, Device("d", (), address={"location": location, "device": device}))
    write = (Write(action, key),)
    meant = InternalMsg(True, location=location, device=device, action=action)
    choices: Mapping[str, Argument] = {"a": 5, "b": True, "it's {{": "c"}
    makers: list[tuple[Callable[[], Command], Mapping[Any, Argument]]] = [
        (lambda: commands.of_value(Point("p", PointType.BOOLEAN, writes=write), is_on), {None: is_on}),
        (lambda: commands.of_number(Point("p", PointType.INTEGER, writes=write)), {number: number}),
        (lambda: commands.of_values(Point("p", PointType.CHOICE, writes=write), choices), choices),
    ]
    for make, values in makers:
        try:
            command = make()
        except CommandError as err:
            assert str(err) and err.remedy
            continue
        if not passes(msg_map, command):
            continue
        for value, argument in values.items():
            assert commanded(command.template.text, value) == command.template.twin(value)
            received = read_back(msg_map, command, value)
            assert received.replace(sender="") == meant.replace(arguments={key: argument})
