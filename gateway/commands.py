"""The commands of an interface as methods: which action each of them executes, and which arguments it has.

    class Lamp(DeviceInterface):
        @command("LAMP_ON", level=integer(0, 100, default=100))
        def switch_on(self, level):
            self.port.write(b"ON %d\\n" % level)

A command for one device of several names it: `@command("LAMP_ON", device="desk")`.

`execute` calls the method for the action of a command, and returns the outcome. Pure, except for what the methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from gateway.devices.argument_values import TYPE_WORDS, is_same, read_boolean, read_integer, read_number
from gateway.devices.declaration import Signature, Signatures
from gateway.devices.point import ADDRESS_OF_DEVICE, PointType
from gateway.errors import CommandRefusedError, Problem, RefusedError
from gateway.message import Argument, InternalMsg

_Method = TypeVar("_Method", bound=Callable[..., Any])
_COMMAND = "_mqttgateway_command"
_REQUIRED = object()
_SHOWN = 40  # characters shown of a value that is not accepted
_HAS_KEYWORDS, _IS_ASYNC = 0x08, 0x80 | 0x200  # flags of code: inspect.CO_VARKEYWORDS; CO_COROUTINE, CO_ASYNC_GENERATOR


class ArgumentSpec(NamedTuple):
    """Type and range of an argument of a command. `default` is its value in a command without this argument."""

    type: PointType
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Argument, ...] = ()
    default: Any = _REQUIRED

    @property
    def words(self) -> str:
        """What the argument must be, in words: one of its choices, or a value of its type."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return TYPE_WORDS[self.type.value]

    def read(self, name: str, value: object) -> Argument:
        """Return the value for the method; raise `CommandRefusedError` if `value` is not accepted.

        A number may also be text that is a JSON number, and 50.0 is accepted as the integer 50, because some clients
        send numbers in these forms.
        """
        converted = _READERS[self.type](value)
        expected = ""
        is_fit = any(is_same(value, each) for each in self.choices) if self.choices else converted is not None
        if not is_fit:
            expected = self.words
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
    """Return the spec of an argument that is one of `choices`. Raises `TypeError` if these are none, or a list."""
    if not choices or any(isinstance(each, list | tuple | dict | set) for each in choices):
        raise TypeError('choice() needs the values one by one: choice("day", "night")')
    return ArgumentSpec(PointType.CHOICE, choices=choices, default=default)


class Command(NamedTuple):
    """A command that a method executes: its action, the specs of its arguments, and the words of its address.

    A field that is not among `words` may have any word. `method` is the name of the method, and `wants_msg` tells
    whether it gets the message, too.
    """

    action: str
    arguments: Mapping[str, ArgumentSpec]
    words: Mapping[str, str]
    method: str
    wants_msg: bool

    def is_for(self, msg: InternalMsg) -> bool:
        """Return whether a message has the words of the address."""
        return all(getattr(msg, field) == word for field, word in self.words.items())


def command(action: object, /, **options: ArgumentSpec | str) -> Callable[[_Method], _Method]:
    """Mark the method that executes the command `action`. `options` are the specs of its arguments, by name.

    A text is a word of the address: with `device="pump"` the method executes commands for this device only. Words are
    possible for function, gateway, location and device.

    The method is called with the arguments as keyword arguments, and with the message if it has a parameter `msg`; the
    arguments of that message, and of the outcome, are converted to their types as well.
    After None, the command is answered with OK. If the method returns messages, they are sent, after the answer OK
    unless one of them is an outcome itself. If it raises `CommandRefusedError`, the command is answered with REFUSED
    and the text of the error. Raises `TypeError` if an option is neither, or if the method does not have the arguments.
    """
    if not isinstance(action, str) or not action:  # above all a method, where the parentheses are missing
        raise TypeError('@command needs the action of the command: @command("LAMP_ON")')
    for name, option in options.items():
        _check_option(action, name, option)
    arguments = {name: option for name, option in options.items() if isinstance(option, ArgumentSpec)}
    words = {name: option for name, option in options.items() if isinstance(option, str)}

    def mark(method: _Method) -> _Method:
        if not isinstance(method, FunctionType):
            raise TypeError(f"@command({action!a}) marks {method!r:.80}: use it directly above the def of a method")
        wants_msg = _check_parameters(action, method, arguments)
        setattr(method, _COMMAND, Command(action, arguments, words, method.__name__, wants_msg))
        return method

    return mark


def _check_option(action: str, name: str, option: object) -> None:
    if isinstance(option, ArgumentSpec) or (isinstance(option, str) and name in ADDRESS_OF_DEVICE):
        return
    if isinstance(option, str):
        remedy = f"only {', '.join(ADDRESS_OF_DEVICE)} are words of an address; for an argument write {name}=text()"
    else:
        known = next((remedy for wrong, remedy in _REMEDIES.items() if wrong is option), "")
        remedy = f"write {name}={known or 'number(), integer(), boolean(), text() or choice(...)'}"
    raise TypeError(f"@command({action!a}): the argument {name!a} is {_shown(option)}: {remedy}")


def _check_parameters(action: str, method: FunctionType, arguments: Mapping[str, ArgumentSpec]) -> bool:
    """Return whether a method wants the message; raise `TypeError` if its parameters are not the arguments.

    `inspect` could tell the same, but its import takes a twentieth of a start.
    """
    code, name = method.__code__, method.__name__
    if code.co_flags & _IS_ASYNC:
        raise TypeError(f"@command({action!a}): {name}() is asynchronous: make it a plain method")
    count, last = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    parameters = code.co_varnames[max(1, code.co_posonlyargcount) : last]
    optional = {*code.co_varnames[count - len(method.__defaults__ or ()) : count], *(method.__kwdefaults__ or ())}
    missing = not code.co_flags & _HAS_KEYWORDS and not set(arguments) <= set(parameters)
    surplus = set(parameters) - set(arguments) - optional - {"msg"}
    if missing or surplus or code.co_posonlyargcount > 1:
        there, own = ", ".join(arguments) or "none", ", ".join(code.co_varnames[1:last]) or "none"
        what = f"the arguments of the command are {there}, and the parameters of {name}() are {own}"
        raise TypeError(f"@command({action!a}): {what}: use the same names")
    return "msg" in parameters and "msg" not in arguments


# Without weak references, each reload of a file with an interface would keep the classes of the previous one in memory.
_commands: WeakKeyDictionary[type[Any], tuple[Command, ...]] = WeakKeyDictionary()


def commands_of(cls: type[Any]) -> tuple[Command, ...]:
    """Return the commands of a class, in the order of their definition.

    Raises `TypeError` if two methods execute the same action, and no word tells for which device each of them does.
    """
    commands = _commands.get(cls)
    if commands is None:
        commands = _commands[cls] = tuple(_find_commands(cls))
    return commands


def _find_commands(cls: type[Any]) -> Iterator[Command]:
    commands: dict[str, list[Command]] = {}
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    for name in names:
        mark = getattr(getattr(cls, name, None), _COMMAND, None)
        if not isinstance(mark, Command):
            continue
        mark = mark._replace(method=name)
        same = commands.setdefault(mark.action, [])
        for other in same:
            if all(other.words.get(field, word) == word for field, word in mark.words.items()):
                remedy = ': name the device of each, as in device="lamp"' if mark.words or other.words else ""
                raise TypeError(f"{cls.__name__}: {other.method} and {name} both execute {mark.action!a}{remedy}")
        same.append(mark)
        yield mark


def addresses_of(cls: type[Any]) -> Sequence[Mapping[str, str]] | None:
    """Return the addresses of the commands of a class; None if it has none, or one of them is for any address."""
    commands = commands_of(cls)
    if not all(each.words for each in commands) or not commands:
        return None
    addresses: list[Mapping[str, str]] = []
    for each in commands:
        if each.words not in addresses:
            addresses.append(each.words)
    return addresses


def is_addressed(msg: InternalMsg, addresses: Sequence[Mapping[str, str]] | None) -> bool:
    """Return whether a message has one of the addresses of commands; None: every one has."""
    if addresses is None:
        return True
    return any(all(getattr(msg, field) == word for field, word in address.items()) for address in addresses)


def signatures_of(cls: type[Any]) -> Signatures:
    """Return the signatures of the commands of a class; those of its statuses are not known."""
    writes: dict[tuple[str, str], Signature] = {}
    for mark in commands_of(cls):
        for name, spec in mark.arguments.items():
            signature = Signature(spec.type, spec.minimum, spec.maximum, spec.choices)
            known = writes.setdefault((mark.action, name), signature)
            if known != signature:  # for two devices: which one a point is written by is not known here
                writes[mark.action, name] = Signature(known.type if known.type is spec.type else None)
        if not mark.arguments:
            writes[mark.action, ""] = Signature()
    return Signatures(None, writes or None)


def execute(interface: object, msg: InternalMsg) -> list[InternalMsg]:
    """Execute a command by calling its method; return the outcome, and the other messages that the method returns.

    A command without a method, or with wrong arguments, is refused; the reason names the actions or arguments that
    there are for this device.
    """
    messages: list[InternalMsg] = []
    try:
        mark, values = _resolved(type(interface), msg)
        # The outcome has the values that the method gets: a client may have sent a number as text.
        msg = msg.with_arguments({name: values[name] for name in msg.arguments})
        outcome = msg.reply("OK")
        if mark.wants_msg:
            values["msg"] = msg
        result = getattr(interface, mark.method)(**values)
        messages.extend(_messages(mark.method, result))  # if it is a generator, it runs here
    except RefusedError as err:
        outcome = msg.reply("REFUSED", str(err))
    return messages if any(each.is_outcome for each in messages) else [outcome, *messages]


def explain(cls: type[Any], msg: InternalMsg) -> Iterator[str | Problem]:
    """Yield which method executes a command, with which arguments; or a `Problem`: why it is refused."""
    try:
        mark, values = _resolved(cls, msg)
    except RefusedError as err:
        yield Problem((), f"  refused: {err}")
    else:
        yield f"  calls {mark.method}({', '.join(f'{name}={_shown(value)}' for name, value in values.items())})"


def _resolved(cls: type[Any], msg: InternalMsg) -> tuple[Command, dict[str, Any]]:
    """Return the command that a message is, and the arguments for its method; raise `CommandRefusedError`."""
    commands = [each for each in commands_of(cls) if each.is_for(msg)]
    mark = next((each for each in commands if each.action == msg.action), None)
    if mark is None:
        actions = ", ".join(each.action for each in commands)
        remedy = f"use one of {actions}" if actions else "it has none"
        raise CommandRefusedError(f"{msg.action!a} is not an action of this device: {remedy}")
    return mark, _arguments(mark, msg.arguments)


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


def _arguments(mark: Command, received: Mapping[str, Argument]) -> dict[str, Any]:
    for name in received:
        if name not in mark.arguments:  # ignoring it would answer OK although what was requested was not done
            names = ", ".join(mark.arguments)
            there = f"the arguments of this command are {names}" if names else "this command has no arguments"
            raise CommandRefusedError(f"argument {name!a} is unknown: {there}")
    values: dict[str, Any] = {}
    for name, spec in mark.arguments.items():
        if name in received:
            values[name] = spec.read(name, received[name])
        elif spec.default is _REQUIRED:
            raise CommandRefusedError(f"argument {name!a} is missing: expected {spec.words}")
        else:
            values[name] = spec.default
    return values


# --- values


_REMEDIES: Mapping[object, str] = {
    int: "integer()",
    float: "number()",
    bool: "boolean()",
    str: "text()",
    integer: "integer()",
    number: "number()",
    boolean: "boolean()",
    text: "text()",
    choice: "choice(...)",
}
"""What to write instead of a type of Python, or of a function that was not called."""

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
