"""Commands of an interface as methods: what they are called, which arguments they take, and who calls them.

    class Lamp(DeviceInterface):
        @command("LAMP_ON", level=integer(0, 100, default=100))
        def switch_on(self, level):
            self.port.write(b"ON %d\\n" % level)

`execute` calls the method that a message is for, and makes its outcome. Pure but for what the methods do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from gateway.devices.declaration import Signature, Signatures
from gateway.devices.point import PointType
from gateway.errors import RefusedError
from gateway.message import Argument, InternalMsg

_Method = TypeVar("_Method", bound=Callable[..., Any])
_COMMAND = "_mqttgateway_command"
_REQUIRED = object()
_SHOWN = 40  # characters of a value that does not fit


class ArgumentSpec(NamedTuple):
    """What an argument of a command must be. `default` is what it is where a command does not have it."""

    type: PointType
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Argument, ...] = ()
    default: Any = _REQUIRED

    def read(self, name: str, value: object) -> Argument:
        """Return the value for the method; raise `RefusedError` that says what is wrong with it.

        Numbers may be text that is a JSON number, and 50.0 is the integer 50: so controllers send them.
        """
        converted = _READERS[self.type](value)
        if converted is None:
            raise _refused(f"argument {name!a} is {_shown(value)}: expected {_a(self.type.value)}")
        if self.choices and converted not in self.choices:
            choices = ", ".join(map(str, self.choices))
            raise _refused(f"argument {name!a} is {_shown(value)}: expected one of {choices}")
        if self.minimum is not None and converted < self.minimum:
            raise _refused(f"argument {name!a} is {_shown(value)}: expected at least {self.minimum:g}")
        if self.maximum is not None and converted > self.maximum:
            raise _refused(f"argument {name!a} is {_shown(value)}: expected at most {self.maximum:g}")
        return converted  # type: ignore[no-any-return]


def number(minimum: float | None = None, maximum: float | None = None, *, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is a number."""
    return ArgumentSpec(PointType.NUMBER, minimum, maximum, default=default)


def integer(minimum: int | None = None, maximum: int | None = None, *, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is a whole number."""
    return ArgumentSpec(PointType.INTEGER, minimum, maximum, default=default)


def boolean(*, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is true or false; 1, 0, "on" and "off" are taken for them."""
    return ArgumentSpec(PointType.BOOLEAN, default=default)


def text(*, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is text."""
    return ArgumentSpec(PointType.TEXT, default=default)


def choice(*choices: Argument, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is one of `choices`."""
    return ArgumentSpec(PointType.CHOICE, choices=choices, default=default)


class _Command(NamedTuple):
    action: str
    arguments: Mapping[str, ArgumentSpec]


def command(action: str, /, **arguments: ArgumentSpec) -> Callable[[_Method], _Method]:
    """Make a method the one that executes the command `action`; `arguments` say what it takes, by name.

    The method is called with the arguments by their names. What it returns goes out: None is the outcome OK; messages
    are sent as they are, with the outcome OK in front unless one of them is an outcome. Where it raises
    `RefusedError`, the outcome is REFUSED with its text.
    """

    def mark(method: _Method) -> _Method:
        setattr(method, _COMMAND, _Command(action, arguments))
        return method

    return mark


def commands_of(cls: type[Any]) -> dict[str, tuple[str, _Command]]:
    """Return the commands of a class by action: the name of the method, and what it takes.

    Raises `TypeError` where two methods execute one action.
    """
    found: dict[str, tuple[str, _Command]] = {}
    for name in dir(cls):
        made = getattr(getattr(cls, name, None), _COMMAND, None)
        if made is None:
            continue
        if made.action in found:
            raise TypeError(f"{cls.__name__}: {found[made.action][0]} and {name} both execute {made.action!a}")
        found[made.action] = name, made
    return found


def signatures_of(cls: type[Any]) -> Signatures:
    """Return what the commands of a class say of themselves; what statuses it makes is not known."""
    writes: dict[tuple[str, str], Signature] = {}
    for action, (_, made) in commands_of(cls).items():
        for name, spec in made.arguments.items():
            writes[action, name] = Signature(spec.type, spec.minimum, spec.maximum, spec.choices)
        if not made.arguments:
            writes[action, ""] = Signature()
    return Signatures(None, writes or None)


def execute(interface: object, msg: InternalMsg) -> list[InternalMsg]:
    """Execute a command by the method that is for it; return its outcome, and what else the method returns.

    A command that no method is for, or whose arguments do not fit, is refused with a reason that says what there is.
    """
    known = commands_of(type(interface))
    try:
        if msg.action not in known:
            there = f"use one of {', '.join(sorted(known))}" if known else "it has none"
            raise _refused(f"{msg.action!a} is not an action of this device: {there}")
        name, made = known[msg.action]
        result = getattr(interface, name)(**_arguments(made, msg.arguments))
    except RefusedError as err:
        return [msg.reply("REFUSED", str(err))]
    messages = [result] if isinstance(result, InternalMsg) else [] if result is None else list(_messages(name, result))
    return messages if any(each.is_outcome for each in messages) else [msg.reply("OK"), *messages]


def _messages(name: str, result: object) -> Iterable[InternalMsg]:
    if isinstance(result, str | bytes | Mapping) or not isinstance(result, Iterable):
        raise TypeError(f"{name}() returned {_shown(result)}: return None, a message, or a list of messages")
    return result


def _arguments(made: _Command, given: Mapping[str, Argument]) -> dict[str, Argument]:
    for name in given:
        if name not in made.arguments:
            there = f"it has {', '.join(made.arguments)}" if made.arguments else "it has none"
            raise _refused(f"{made.action} has no argument {name!a}: {there}")
    values: dict[str, Argument] = {}
    for name, spec in made.arguments.items():
        if name in given:
            values[name] = spec.read(name, given[name])
        elif spec.default is _REQUIRED:
            raise _refused(f"argument {name!a} is missing: expected {_a(spec.type.value)}")
        else:
            values[name] = spec.default
    return values


# --- values


_WORDS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _read_number(value: object) -> float | int | None:
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _parsed(value: str) -> object:
    import json  # as JSON has it: no underscores, no words such as "infinity"

    try:
        return json.loads(value, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _read_integer(value: object) -> int | None:
    value = _read_number(value)
    return int(value) if value is not None and value == int(value) else None


def _read_boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    return _WORDS.get(value.strip().lower()) if isinstance(value, str) else None


_READERS: Mapping[PointType, Callable[[Any], Any]] = {
    PointType.NUMBER: _read_number,
    PointType.INTEGER: _read_integer,
    PointType.BOOLEAN: _read_boolean,
    PointType.TEXT: lambda value: value if isinstance(value, str) else None,
    PointType.CHOICE: lambda value: value,
    PointType.EVENT: lambda value: value if isinstance(value, str) else None,
}


def _refused(why: str) -> RefusedError:
    return RefusedError("refused by the device", why)


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _a(kind: str) -> str:
    if kind == PointType.TEXT.value:
        return kind
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
