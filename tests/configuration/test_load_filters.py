from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.errors import RefusedError
from gateway.message import InternalMsg
from gateway.routing.command_guard import CommandOptions
from gateway.routing.message_filter import apply_filters
from tests.configuration.test_load_config import MINIMAL, findings, folder, load

__all__ = ["folder"]  # the fixture

GATE = InternalMsg(True, function="security", device="gate", action="OPEN")

HOOKS = """
calls = []
def count(msg):
    calls.append(msg)
    return msg
def say(msg):
    return msg.replace(action=str(len(calls)))
def two(msg, other): ...
class Thing: ...
"""


@pytest.fixture
def hooks(folder: Path) -> Path:
    (folder / "hooks.py").write_text(HOOKS)
    return folder


def the_one(configuration: Configuration) -> InterfaceOptions:
    (interface,) = configuration.interfaces
    return interface


def test_without_filters_there_are_none(folder: Path) -> None:
    filters = the_one(load(folder, MINIMAL)).filters
    assert (filters.incoming, filters.outgoing) == ((), ())


def test_filters_of_the_gateway_lie_outside_those_of_an_interface(folder: Path) -> None:
    text = (
        "root: home\ntopics: []\nfilters:\n  in: [{deny: {kind: command, location: [a, b]}}]\n  out: [{allow: {}}]\n"
        "interfaces:\n  one:\n    type: dummy\n"
        "    filters: {in: [{allow: {action: ON}}], out: []}\n  two: {type: dummy}\n"
    )
    first, second = load(folder, text).interfaces
    assert [str(step) for step in first.filters.incoming[0].steps] == ["deny commands with location 'a' or 'b'"]
    assert [each.name for each in first.filters.incoming] == ["filters.in", "interfaces.one.filters.in"]
    assert [each.name for each in first.filters.outgoing] == ["interfaces.one.filters.out", "filters.out"]
    assert [each.name for each in second.filters.incoming] == ["filters.in"]
    assert "filters" not in first.params


def test_the_hooks_of_one_file_share_what_it_holds(hooks: Path) -> None:
    text = MINIMAL + "filters: {in: [{hook: 'hooks.py:count'}], out: [{hook: 'hooks.py:say'}]}\n"
    filters = the_one(load(hooks, text)).filters
    for _ in range(3):
        apply_filters(filters.incoming, GATE)
    assert apply_filters(filters.outgoing, GATE).action == "3"


def test_a_hook_may_be_of_an_installed_module(folder: Path) -> None:
    filters = the_one(load(folder, MINIMAL + "filters: {out: [{hook: 'copy:copy'}]}\n")).filters
    assert apply_filters(filters.outgoing, GATE) == GATE


def test_everything_wrong_with_filters_is_reported_with_its_place(hooks: Path) -> None:
    (hooks / "broken.py").write_text("\n1 / 0\n")
    text = MINIMAL + (
        "filters:\n"
        "  in:\n"
        "    - hook: hooks.py:cuont\n"
        "    - hook: hooks.py:two\n"
        "    - hook: hooks.py:Thing\n"
        "    - hook: hooks.py\n"
        "    - hook: nothing.py:one\n"
        "    - hook: broken.py:one\n"
        "    - hook: no_such_module:one\n"
        "    - hook: ':one'\n"
    )
    assert findings(hooks, text) == [
        "gw.conf:6:13: filters.in[0].hook: hooks.py has no function 'cuont': did you mean 'count'?",
        (
            "gw.conf:7:13: filters.in[1].hook: hooks.py:two cannot be called with one message: "
            "missing a required argument: 'other': a hook accepts one message, and returns it or None"
        ),
        "gw.conf:8:13: filters.in[2].hook: hooks.py has no function 'Thing': known here: count, say, two",
        "gw.conf:9:13: filters.in[3].hook: 'hooks.py' is not MODULE:FUNCTION: for example my_hooks.py:only_by_day",
        (
            "gw.conf:10:13: filters.in[4].hook: no such file: nothing.py: "
            "check the path; a relative path starts at the folder of this file"
        ),
        (
            "gw.conf:11:13: filters.in[5].hook: broken.py cannot be imported: ZeroDivisionError: division by zero "
            "(broken.py:2): fix the file"
        ),
        (
            "gw.conf:12:13: filters.in[6].hook: there is no module 'no_such_module': "
            "install its package, or write the path of its file"
        ),
        "gw.conf:13:13: filters.in[7].hook: ':one' is not MODULE:FUNCTION: for example my_hooks.py:only_by_day",
    ]


def test_what_breaks_the_schema_is_reported_with_its_place(folder: Path) -> None:
    text = MINIMAL + (
        "filters:\n  in:\n    - {deny: {functoin: a}}\n    - {}\n"
        "    - {allow: {}, deny: {}}\n    - {deny: {kind: order}}\n"
    )
    assert findings(folder, text) == [
        "gw.conf:6:15: filters.in[0].deny.functoin: unknown option: did you mean 'function'?",
        "gw.conf:7:7: filters.in[1]: expected at least 1, found 0",
        "gw.conf:8:7: filters.in[2]: expected at most 1, found 2",
        'gw.conf:9:21: filters.in[3].deny.kind: expected one of command, status, found "order"',
    ]


STRICT = (
    "map: {root: home, topics: [], action: {maptype: strict, map: {ON: [on]}}, "
    "argkey: {maptype: strict, map: {level: [level]}}}\n"
)


def test_a_word_that_no_map_knows_is_found(folder: Path) -> None:
    text = STRICT + (
        "filters: {in: [{deny: {action: [ON, OFF]}}, {deny: {device: a/b}}]}\n"
        "interface: {type: dummy, location: hall, filters: {out: [{allow: {action: UP}}]}}\n"
    )
    reported = [finding for finding in findings(folder, text) if "filters" in finding]
    assert reported == [
        (
            "gw.conf:2:37: filters.in[0].deny.action[1]: action: 'OFF' is not in the map: "
            "add it there, or make the map loose"
        ),
        "gw.conf:2:61: filters.in[1].deny.device: device: 'a/b': '/' is not allowed in a topic",
        (
            "gw.conf:3:75: interface.filters.out[0].allow.action: action: 'UP' is not in the map: "
            "add it there, or make the map loose"
        ),
    ]


def test_a_word_that_one_of_the_maps_knows_is_right_for_all_of_them(folder: Path) -> None:
    text = STRICT + (
        "filters: {in: [{deny: {action: [ON, UP]}}]}\n"
        "interfaces:\n  one: {type: dummy, map: {root: a, topics: [], action: {maptype: strict, map: {UP: [up]}}}}\n"
        "  two: {type: dummy}\n"
    )
    assert load(folder, text).interfaces


def test_the_commands_part_is_adopted(folder: Path) -> None:
    assert load(folder, MINIMAL).commands == CommandOptions()
    text = "commands: {timestamp_argument: t, timestamp_required: true, max_age: 5, duplicate_window: 2}\n"
    assert load(folder, MINIMAL + text).commands == CommandOptions("t", True, 5, 2)


def test_an_age_needs_a_timestamp_that_the_map_can_read(folder: Path) -> None:
    assert findings(folder, MINIMAL + "commands: {timestamp_required: true}\n") == [
        "gw.conf:4:32: commands.timestamp_required: it needs 'timestamp_argument' too: add 'timestamp_argument'"
    ]
    text = STRICT + "interface: {type: dummy}\ncommands: {timestamp_argument: time}\n"
    assert findings(folder, text) == [
        (
            "gw.conf:3:32: commands.timestamp_argument: argkey: 'time' is not in the map: "
            "add it there, or make the map loose"
        )
    ]


def test_a_hook_that_fails_is_named_as_in_the_configuration(hooks: Path) -> None:
    (hooks / "hooks.py").write_text("def one(msg):\n    raise KeyError('x')\n")
    filters = the_one(load(hooks, MINIMAL + "filters: {in: [{hook: 'hooks.py:one'}]}\n")).filters
    with pytest.raises(RefusedError, match=r"^the hook 'hooks.py:one' failed$"):
        apply_filters(filters.incoming, GATE)
