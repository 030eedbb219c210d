"""Commands as methods: each is called with what fits, and everything else is refused with a reason."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.commands import (
    addresses_of,
    boolean,
    choice,
    command,
    commands_of,
    execute,
    explain,
    integer,
    number,
    signatures_of,
    text,
)
from gateway.devices.declaration import Signature
from gateway.devices.point import PointType
from gateway.errors import CommandRefusedError, Problem
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
        ("ON", {"level": "much"}, "argument 'level' is 'much': expected a whole number"),
        ("ON", {"level": 1.5}, "argument 'level' is 1.5: expected a whole number"),
        ("ON", {"level": True}, "argument 'level' is True: expected a whole number"),
        ("ON", {"level": 101}, "argument 'level' is 101: expected at most 100"),
        ("ON", {"level": -1}, "argument 'level' is -1: expected at least 0"),
        ("ON", {"level": "NaN"}, "argument 'level' is 'NaN': expected a whole number"),
        ("ON", {"level": 10**400}, f"argument 'level' is 1{'0' * 39}...: expected a whole number"),
        ("SET", {"kelvin": 2700, "mode": None}, "argument 'mode' is None: expected one of day, night"),
        ("FADE", {"steps": True}, "argument 'steps' is True: expected one of 1, 2"),
        ("SET", {"kelvin": 1e999}, "argument 'kelvin' is inf: expected a number"),
        ("SET", {"kelvin": 2700, "gentle": "very"}, "argument 'gentle' is 'very': expected true or false"),
        ("SET", {"kelvin": 2700, "mode": "dusk"}, "argument 'mode' is 'dusk': expected one of day, night"),
        ("LABEL", {"label": 5}, "argument 'label' is 5: expected a text"),
        ("LABEL", {"label": ["x" * 99]}, f"argument 'label' is ['{'x' * 38}...: expected a text"),
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


def test_an_outcome_has_the_values_that_the_method_got() -> None:
    sent = {"kelvin": "2700", "gentle": "on"}  # as text, as some clients send them
    calls, (outcome, _) = run("SET", **sent)
    assert calls == [(2700, True, "day")]
    assert outcome.arguments == {"kelvin": 2700, "gentle": True, "response": "OK", "reason": ""}
    assert outcome.reply_to is not None and outcome.reply_to.requested == {"kelvin": 2700, "gentle": True}


def test_an_outcome_that_a_method_makes_has_these_values_too() -> None:
    class Fan:
        @command("SPIN", unit=integer(), on=boolean())
        def spin(self, unit: int, on: bool, msg: InternalMsg) -> list[InternalMsg]:
            if unit == 9:
                raise CommandRefusedError("there is no fan 9")
            return [msg.reply("OK", "it takes a minute")]

    for unit in (1, 9):
        (outcome,) = execute(Fan(), InternalMsg(iscmd=True, action="SPIN", arguments={"unit": f"{unit}", "on": 1}))
        assert outcome.reply_to is not None and outcome.reply_to.requested == {"unit": unit, "on": True}


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


class Pool:
    """A pump and a light, which have commands of the same name."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    @command("ON", speed=integer(1, 9), device="pump")
    def start_pump(self, speed: int, msg: InternalMsg) -> None:
        self.calls.append((speed, msg.sender))

    @command("ON", device="light")
    def switch_on_light(self) -> None:
        self.calls.append("light")

    @command("OFF", device="light", location="garden")
    def switch_off_light(self) -> None: ...


def test_a_command_with_words_is_only_for_the_device_that_has_them() -> None:
    pool = Pool()
    for device, arguments in (("pump", {"speed": 3}), ("light", {})):
        msg = InternalMsg(iscmd=True, device=device, sender="me", action="ON", arguments=arguments)
        assert execute(pool, msg)[0].argument("response") == "OK"
    assert pool.calls == [(3, "me"), "light"]


@pytest.mark.parametrize(
    ("words", "action", "arguments", "reason"),
    [
        ({"device": "pump"}, "OFF", {}, "'OFF' is not an action of this device: use one of ON"),
        ({"device": "light"}, "OFF", {}, "'OFF' is not an action of this device: use one of ON"),
        (
            {"device": "light", "location": "garden"},
            "OF",
            {},
            "'OF' is not an action of this device: use one of ON, OFF",
        ),
        ({"device": "heater"}, "ON", {}, "'ON' is not an action of this device: it has none"),
        ({"device": "light"}, "ON", {"speed": 3}, "argument 'speed' is unknown: this command has no arguments"),
        ({"device": "pump"}, "ON", {}, "argument 'speed' is missing: expected a whole number"),
    ],
)
def test_a_refusal_names_what_the_device_knows(
    words: dict[str, str], action: str, arguments: dict[str, Any], reason: str
) -> None:
    pool, msg = Pool(), InternalMsg(iscmd=True, **words, action=action, arguments=arguments)
    (outcome,) = execute(pool, msg)
    assert (outcome.argument("reason"), pool.calls) == (reason, [])
    assert list(explain(Pool, msg)) == [Problem((), f"  refused: {reason}")]


def test_what_a_command_would_do_is_explained() -> None:
    pump = InternalMsg(iscmd=True, device="pump", action="ON", arguments={"speed": "3"})
    assert list(explain(Pool, pump)) == ["  calls start_pump(speed=3)"]
    assert list(explain(Pool, InternalMsg(iscmd=True, device="light", action="ON"))) == ["  calls switch_on_light()"]


def test_the_addresses_of_a_class_are_those_of_its_commands() -> None:
    assert addresses_of(Pool) == [{"device": "pump"}, {"device": "light"}, {"device": "light", "location": "garden"}]
    assert addresses_of(Lamp) is None
    assert addresses_of(object) is None


def test_of_an_argument_with_two_types_nothing_is_known() -> None:
    class Two:
        @command("SET", value=integer(0, 5), device="a")
        def set_a(self, value: int) -> None: ...

        @command("SET", value=integer(3, 9), device="b")
        def set_b(self, value: int) -> None: ...

        @command("USE", value=integer(), device="a")
        def use_a(self, value: int) -> None: ...

        @command("USE", value=text(), device="b")
        def use_b(self, value: str) -> None: ...

    assert signatures_of(Two).writes == {("SET", "value"): Signature(PointType.INTEGER), ("USE", "value"): Signature()}


def test_the_words_of_two_methods_for_one_action_exclude_each_other() -> None:
    class Same(Pool):
        @command("ON", location="garden")
        def switch_on_all(self) -> None: ...

    with pytest.raises(TypeError, match="start_pump and switch_on_all both execute 'ON': name the device of each"):
        commands_of(Same)


def _plain(self: Any, rpm: int) -> None: ...
def _other(self: Any, speed: int) -> None: ...
def _more(self: Any, rpm: int, speed: int) -> None: ...
def _only_keyword(self: Any, *, rpm: int, speed: int = 0) -> None: ...
def _any(self: Any, **arguments: Any) -> None: ...
def _listed(self: Any, *arguments: Any) -> None: ...
def _by_position(self: Any, rpm: int, /) -> None: ...
async def _async(self: Any, rpm: int) -> None: ...


_NAMES = "the arguments of the command are rpm, and the parameters of"


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (_plain, ""),
        (_only_keyword, ""),
        (_any, ""),
        (_other, f"{_NAMES} _other() are speed: use the same names"),
        (_more, f"{_NAMES} _more() are rpm, speed: use the same names"),
        (_listed, f"{_NAMES} _listed() are none: use the same names"),
        (_by_position, f"{_NAMES} _by_position() are rpm: use the same names"),
        (_async, "_async() is asynchronous: make it a plain method"),
    ],
)
def test_the_arguments_of_a_command_are_those_of_its_method(method: Any, problem: str) -> None:
    if not problem:
        assert command("SPEED", rpm=integer())(method) is method
        return
    with pytest.raises(TypeError) as raised:
        command("SPEED", rpm=integer())(method)
    assert str(raised.value) == f"@command('SPEED'): {problem}"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"rpm": int}, "the argument 'rpm' is <class 'int'>: write rpm=integer()"),
        ({"rpm": float}, "the argument 'rpm' is <class 'float'>: write rpm=number()"),
        ({"rpm": ["slow"]}, "the argument 'rpm' is ['slow']: write rpm=number(), integer(), boolean(), text() or"),
        ({"devise": "pump"}, "the argument 'devise' is 'pump': only function, gateway, location, device are words"),
        ({"sender": "me"}, "the argument 'sender' is 'me': only function, gateway, location, device are words"),
    ],
)
def test_what_is_no_spec_is_an_error_with_a_remedy(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"@command('SPEED'): {problem}")):
        command("SPEED", **options)
    with pytest.raises(TypeError, match=re.escape("write rpm=integer()")):
        command("SPEED", rpm=integer)  # type: ignore[arg-type]


def test_mistakes_in_the_use_of_the_decorator() -> None:
    with pytest.raises(TypeError, match="@command needs the action of the command"):
        command(_plain)
    with pytest.raises(TypeError, match="use it directly above the def of a method"):
        command("SPEED", rpm=integer())(staticmethod(_plain))
    for choices in ((), (["day", "night"],)):
        with pytest.raises(TypeError, match="needs the values one by one"):
            choice(*choices)


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
