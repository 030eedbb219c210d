"""The commands of an interface as methods: which action each of them executes, and which arguments it has.

    class Lamp(DeviceInterface):
        @command("LAMP_ON", level=integer(0, 100, default=100))
        def switch_on(self, level):
            self.port.write(b"ON %d\\n" % level)

`execute` calls the method for the action of a command, and returns the outcome. Pure, except for what the methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from gateway.core.argument_values import read_boolean, read_integer, read_number
from gateway.devices.declaration import Signature, Signatures
from gateway.devices.point import PointType
from gateway.errors import CommandRefusedError, RefusedError
from gateway.message import Argument, InternalMsg

_Method = TypeVar("_Method", bound=Callable[..., Any])
_COMMAND = "_mqttgateway_command"
_REQUIRED = object()
_SHOWN = 40  # characters shown of a value that is not accepted


class ArgumentSpec(NamedTuple):
    """Type and range of an argument of a command. `default` is its value in a command without this argument."""

    type: PointType
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Argument, ...] = ()
    default: Any = _REQUIRED

    def read(self, name: str, value: object) -> Argument:
        """Return the value for the method; raise `CommandRefusedError` if `value` is not accepted.

        A number may also be text that is a JSON number, and 50.0 is accepted as the integer 50, because some clients
        send numbers in these forms.
        """
        converted = _READERS[self.type](value)
        expected = ""
        if self.choices and not _is_choice(value, self.choices):
            expected = f"one of {', '.join(map(str, self.choices))}"
        elif converted is None and not self.choices:
            expected = _a(self.type.value)
        elif self.minimum is not None and converted < self.minimum:
            expected = f"at least {self.minimum:g}"
        elif self.maximum is not None and converted > self.maximum:
            expected = f"at most {self.maximum:g}"
        if expected:
            raise CommandRefusedError(f"argument {name!a} is {_shown(value)}: expected {expected}")
        return converted  # type: ignore[no-any-return]


def number(minimum: float | None = None, maximum: float | None = None, *, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is a number."""
    return ArgumentSpec(PointType.NUMBER, minimum, maximum, default=default)


def integer(minimum: int | None = None, maximum: int | None = None, *, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is a whole number."""
    return ArgumentSpec(PointType.INTEGER, minimum, maximum, default=default)


def boolean(*, default: Any = _REQUIRED) -> ArgumentSpec:
    """Return the spec of an argument that is true or false; 1, 0, "on" and "off" are accepted, too."""
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
    """Mark the method that executes the command `action`; `arguments` are the specs of its arguments, by name.

    The method is called with the arguments as keyword arguments. After None, the command is answered with OK. If the
    method returns messages, they are sent, after the answer OK unless one of them is an outcome itself. If it raises
    `CommandRefusedError`, the command is answered with REFUSED and the text of the error.
    """

    def mark(method: _Method) -> _Method:
        setattr(method, _COMMAND, _Command(action, arguments))
        return method

    return mark


# Without weak references, each reload of a file with an interface would keep the classes of the previous one in memory.
_commands: WeakKeyDictionary[type[Any], Mapping[str, tuple[str, _Command]]] = WeakKeyDictionary()


def commands_of(cls: type[Any]) -> Mapping[str, tuple[str, _Command]]:
    """Return the commands of a class by action, in the order of their definition: the method's name, and its arguments.

    Raises `TypeError` if two methods execute the same action.
    """
    commands = _commands.get(cls)
    if commands is None:
        commands = _commands[cls] = _find_commands(cls)
    return commands


def _find_commands(cls: type[Any]) -> dict[str, tuple[str, _Command]]:
    commands: dict[str, tuple[str, _Command]] = {}
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    for name in names:
        mark = getattr(getattr(cls, name, None), _COMMAND, None)
        if not isinstance(mark, _Command):
            continue
        if mark.action in commands:
            raise TypeError(f"{cls.__name__}: {commands[mark.action][0]} and {name} both execute {mark.action!a}")
        commands[mark.action] = name, mark
    return commands


def signatures_of(cls: type[Any]) -> Signatures:
    """Return the signatures of the commands of a class; those of its statuses are not known."""
    writes: dict[tuple[str, str], Signature] = {}
    for action, (_, mark) in commands_of(cls).items():
        for name, spec in mark.arguments.items():
            writes[action, name] = Signature(spec.type, spec.minimum, spec.maximum, spec.choices)
        if not mark.arguments:
            writes[action, ""] = Signature()
    return Signatures(None, writes or None)


def execute(interface: object, msg: InternalMsg) -> list[InternalMsg]:
    """Execute a command by calling its method; return the outcome, and the other messages that the method returns.

    A command without a method, or with wrong arguments, is refused; the reason names the actions or arguments that
    there are.
    """
    commands = commands_of(type(interface))
    messages: list[InternalMsg] = []
    outcome = msg.reply("OK")
    try:
        if msg.action not in commands:
            remedy = f"use one of {', '.join(commands)}" if commands else "it has none"
            raise CommandRefusedError(f"{msg.action!a} is not an action of this device: {remedy}")
        name, mark = commands[msg.action]
        result = getattr(interface, name)(**_arguments(mark, msg.arguments))
        messages.extend(_messages(name, result))  # if it is a generator, it runs here
    except RefusedError as err:
        outcome = msg.reply("REFUSED", str(err))
    return messages if any(each.is_outcome for each in messages) else [outcome, *messages]


def _messages(name: str, result: object) -> Iterable[InternalMsg]:
    if result is None:
        return
    if isinstance(result, InternalMsg):
        yield result
        return
    if isinstance(result, str | bytes | Mapping) or not isinstance(result, Iterable):
        raise _not_messages(name, result)
    for each in result:
        if not isinstance(each, InternalMsg):
            raise _not_messages(name, each)
        yield each


def _not_messages(name: str, result: object) -> TypeError:
    return TypeError(f"{name}() returned {_shown(result)}: return None, a message, or a list of messages")


def _arguments(mark: _Command, received: Mapping[str, Argument]) -> dict[str, Argument]:
    for name in received:
        if name not in mark.arguments:  # ignoring it would answer OK although what was requested was not done
            names = ", ".join(mark.arguments)
            there = f"the arguments of this command are {names}" if names else "this command has no arguments"
            raise CommandRefusedError(f"argument {name!a} is unknown: {there}")
    values: dict[str, Argument] = {}
    for name, spec in mark.arguments.items():
        if name in received:
            values[name] = spec.read(name, received[name])
        elif spec.default is _REQUIRED:
            raise CommandRefusedError(f"argument {name!a} is missing: expected {_a(spec.type.value)}")
        else:
            values[name] = spec.default
    return values


def _is_choice(value: object, choices: Iterable[Argument]) -> bool:
    """Return whether `value` is one of `choices`. True is not the choice 1, although they are equal in Python."""
    return any(value == each and isinstance(value, bool) is isinstance(each, bool) for each in choices)


# --- values


_READERS: Mapping[PointType, Callable[[Any], Any]] = {
    PointType.NUMBER: read_number,
    PointType.INTEGER: read_integer,
    PointType.BOOLEAN: read_boolean,
    PointType.TEXT: lambda value: value if isinstance(value, str) else None,
    PointType.CHOICE: lambda value: value,
    PointType.EVENT: lambda value: value if isinstance(value, str) else None,
}


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _a(kind: str) -> str:
    if kind == PointType.TEXT.value:
        return kind
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
