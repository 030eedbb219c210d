"""Commands as methods: each is called with what fits, and everything else is refused with a reason."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.commands import boolean, choice, command, commands_of, execute, integer, number, signatures_of, text
from gateway.devices.declaration import Signature
from gateway.devices.point import PointType
from gateway.errors import CommandRefusedError
from gateway.message import InternalMsg


class Lamp:
    """A lamp that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    @command("ON", level=integer(0, 100, default=100))
    def switch_on(self, level: int) -> None:
        self.calls.append(level)

    @command(
        "SET", kelvin=number(1000, 9000), gentle=boolean(default=False), mode=choice("day", "night", default="day")
    )
    def tune(self, kelvin: float, gentle: bool, mode: str) -> list[InternalMsg]:
        self.calls.append((kelvin, gentle, mode))
        return [InternalMsg(action="STATE", arguments={"kelvin": kelvin})]

    @command("LABEL", label=text())
    def label(self, label: str) -> InternalMsg:
        if not label:
            raise CommandRefusedError("a label has at least one character")
        return InternalMsg(iscmd=True, action="LABEL").reply("DONE", "in my own words")

    @command("BLINK")
    def blink(self) -> object:
        return "twice"

    @command("FADE", steps=choice(1, 2))
    def fade(self, steps: int) -> Iterator[object]:
        yield InternalMsg(action="FADING")
        if steps == 2:
            raise CommandRefusedError("it is too dark")
        yield steps


def run(action: str, **arguments: Any) -> tuple[Any, list[InternalMsg]]:
    lamp = Lamp()
    return lamp.calls, execute(lamp, InternalMsg(iscmd=True, action=action, arguments=arguments))


def refusal(action: str, **arguments: Any) -> str:
    calls, (outcome,) = run(action, **arguments)
    assert calls == [] and outcome.argument("response") == "REFUSED"
    return str(outcome.argument("reason"))


def test_a_method_is_called_with_its_arguments_and_the_outcome_is_ok() -> None:
    calls, (outcome,) = run("ON", level=40)
    assert calls == [40]
    assert (outcome.argument("response"), outcome.argument("level")) == ("OK", 40)
    assert run("ON")[0] == [100]


def test_what_a_method_returns_goes_out_behind_the_outcome() -> None:
    calls, (outcome, state) = run("SET", kelvin=2700, gentle="on")
    assert calls == [(2700, True, "day")]
    assert outcome.argument("response") == "OK" and state.action == "STATE"


def test_a_method_may_make_its_own_outcome_or_refuse() -> None:
    _, (outcome,) = run("LABEL", label="x")
    assert outcome.argument("response") == "DONE"
    assert refusal("LABEL", label="") == "a label has at least one character"


def test_a_method_that_returns_no_messages_is_a_bug_that_is_named() -> None:
    with pytest.raises(TypeError, match=r"blink\(\) returned 'twice': return None, a message, or a list of messages"):
        run("BLINK")


def test_a_generator_may_refuse_and_what_it_has_yielded_is_sent() -> None:
    _, (outcome, status) = run("FADE", steps=2)
    assert (outcome.argument("response"), outcome.argument("reason")) == ("REFUSED", "it is too dark")
    assert status.action == "FADING"
    with pytest.raises(TypeError, match=r"fade\(\) returned 1: return None"):
        run("FADE", steps=1)


@pytest.mark.parametrize(
    ("action", "arguments", "reason"),
    [
        ("OF", {}, "'OF' is not an action of this device: use one of ON, SET, LABEL, BLINK, FADE"),
        ("ON", {"lvl": 1}, "argument 'lvl' is unknown: the arguments of this command are level"),
        ("BLINK", {"times": 1}, "argument 'times' is unknown: this command has no arguments"),
        ("SET", {}, "argument 'kelvin' is missing: expected a number"),
        ("ON", {"level": "much"}, "argument 'level' is 'much': expected an integer"),
        ("ON", {"level": 1.5}, "argument 'level' is 1.5: expected an integer"),
        ("ON", {"level": True}, "argument 'level' is True: expected an integer"),
        ("ON", {"level": 101}, "argument 'level' is 101: expected at most 100"),
        ("ON", {"level": -1}, "argument 'level' is -1: expected at least 0"),
        ("ON", {"level": "NaN"}, "argument 'level' is 'NaN': expected an integer"),
        ("ON", {"level": 10**400}, f"argument 'level' is 1{'0' * 39}...: expected an integer"),
        ("SET", {"kelvin": 2700, "mode": None}, "argument 'mode' is None: expected one of day, night"),
        ("FADE", {"steps": True}, "argument 'steps' is True: expected one of 1, 2"),
        ("SET", {"kelvin": 1e999}, "argument 'kelvin' is inf: expected a number"),
        ("SET", {"kelvin": 2700, "gentle": "very"}, "argument 'gentle' is 'very': expected a boolean"),
        ("SET", {"kelvin": 2700, "mode": "dusk"}, "argument 'mode' is 'dusk': expected one of day, night"),
        ("LABEL", {"label": 5}, "argument 'label' is 5: expected text"),
        ("LABEL", {"label": ["x" * 99]}, f"argument 'label' is ['{'x' * 38}...: expected text"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_called(
    action: str, arguments: dict[str, Any], reason: str
) -> None:
    assert refusal(action, **arguments) == reason


@pytest.mark.parametrize(("sent", "value"), [(50.0, 50), ("50", 50), ("50.0", 50), (" 50 ", 50), (0, 0)])
def test_numbers_come_as_controllers_send_them(sent: Any, value: int) -> None:
    (level,), _ = run("ON", level=sent)
    assert (level, type(level)) == (value, int)


@pytest.mark.parametrize(
    ("sent", "value"),
    [(True, True), (1, True), ("ON", True), ("true", True), ("1", True), (0, False), ("Off", False), ("false", False)],
)
def test_booleans_come_as_controllers_send_them(sent: Any, value: bool) -> None:
    ((_, gentle, _),), _ = run("SET", kelvin=2700, gentle=sent)
    assert gentle is value


def test_the_commands_of_a_class_are_known_with_their_types() -> None:
    known = signatures_of(Lamp)
    assert known.reads is None
    assert known.writes == {
        ("ON", "level"): Signature(PointType.INTEGER, 0, 100),
        ("SET", "kelvin"): Signature(PointType.NUMBER, 1000, 9000),
        ("SET", "gentle"): Signature(PointType.BOOLEAN),
        ("SET", "mode"): Signature(PointType.CHOICE, choices=("day", "night")),
        ("LABEL", "label"): Signature(PointType.TEXT),
        ("BLINK", ""): Signature(),
        ("FADE", "steps"): Signature(PointType.CHOICE, choices=(1, 2)),
    }
    assert signatures_of(object).writes is None


def test_two_methods_for_one_action_are_a_mistake() -> None:
    class Both(Lamp):
        @command("BLINK")
        def blink_twice(self) -> None: ...

    with pytest.raises(TypeError, match="Both: blink and blink_twice both execute 'BLINK'"):
        commands_of(Both)


def test_a_class_may_execute_a_command_in_another_way_than_its_base() -> None:
    class Other(Lamp):
        @command("ON")
        def switch_on(self) -> None:  # type: ignore[override]
            self.calls.append("on")

    lamp = Other()
    execute(lamp, InternalMsg(iscmd=True, action="ON"))
    assert lamp.calls == ["on"]


def test_a_class_that_a_reload_has_replaced_is_freed() -> None:
    class Replaced(Lamp):
        pass

    assert commands_of(Replaced) is commands_of(Replaced)
    is_alive = weakref.ref(Replaced)
    del Replaced
    gc.collect()
    assert is_alive() is None
