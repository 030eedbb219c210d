"""What the rules of a serial device say of its messages: which actions and arguments there are, of which type. Pure.

The devices of a configuration are held to it, and derive from it what they need not declare again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from gateway.devices.declaration import ANY, Signature, Signatures
from gateway.devices.point import ADDRESS_OF_DEVICE, PointType
from gateway.message import InternalMsg
from interfaces.rules.arguments import Argument
from interfaces.rules.message_template import TIME, dated_arguments, make_templates
from interfaces.rules.nested import make_reader
from interfaces.rules.steps import each_step
from interfaces.rules.word_match import WordMatch

_NUMBERS = {"float", "decimal_comma", "scale", "offset", "nmea_position"}
_INTEGERS = {"int", "twos_complement", "signed_magnitude", "bcd"}
_TEXTS = {"text", "upper", "lower", "timestamp", "replace", "bytes"}
_ARGUMENTS = {
    "text": PointType.TEXT,
    "integer": PointType.INTEGER,
    "number": PointType.NUMBER,
    "boolean": PointType.BOOLEAN,
}


def signatures(params: Mapping[str, Any]) -> Signatures:
    """Return what is known of the messages that the rules make, and of the commands that they write.

    The options have passed the check of the rules.
    """
    found: list[dict[tuple[str, str], Signature]] = []
    addresses: dict[str, list[Mapping[str, str]]] = {}
    for rule in _rules(params):
        for message in rule.get("messages", [rule["message"]] if "message" in rule else []):
            if message.get("type") != "command":
                words = {**params["address"], **{name: message[name] for name in ADDRESS_OF_DEVICE if name in message}}
                addresses.setdefault(_action(message), []).append(words)
            found.append(dict(_of_message(rule, message, params["encoding"])))
    writes, samples = _of_commands(params)
    return Signatures(_agreed(found), writes, addresses, words=samples, polled=tuple(_polled(params)))


def _agreed(found: Sequence[Mapping[tuple[str, str], Signature]]) -> dict[tuple[str, str], Signature]:
    """Return what is known of the arguments in `found`, the signatures of each message, where these agree.

    A message with `ANY` may have an argument that it does not name: what the others of its kind say of it by their
    converters does not count then.
    """
    is_open = {id(known): {action for action, name in known if name == ANY} for known in found}
    open_count = Counter(action for actions in is_open.values() for action in actions)
    named = Counter(key for known in found for key in known if key[0] in is_open[id(known)])
    reads: dict[tuple[str, str], Signature] = {}
    for known in found:
        for key, signature in known.items():
            if key[0] not in is_open[id(known)] or named[key] == open_count[key[0]]:
                reads[key] = signature if reads.get(key, signature) == signature else Signature()
    return reads


def _polled(params: Mapping[str, Any]) -> Iterator[InternalMsg]:
    """Yield the messages that the answers to polls make, as far as they are known without an answer."""
    for poll in params["conversation"]["polls"]:
        for _, step in each_step(poll):
            for template in make_templates(step.get("response", {}), params["address"]):
                msg = template.constant_message
                if msg is not None:
                    yield msg


def _of_commands(
    params: Mapping[str, Any],
) -> tuple[dict[tuple[str, str], Signature], dict[str, Mapping[str, str]]]:
    """Return the signatures of all commands, and, by action and field, examples of words with a form."""
    writes: dict[tuple[str, str], Signature] = {}
    samples: dict[str, Mapping[str, str]] = {}
    for rule in params["encode"]:
        action, words = _action(rule["match"]), WordMatch(rule["match"], params["address"])
        if words.names:
            parts = {name: Argument(name, rule["arguments"][name]).example() for name in words.names}
            samples.setdefault(action, words.words_with(parts))
        arguments = {name: options for name, options in rule.get("arguments", {}).items() if name not in words.names}
        for name, options in arguments.items():
            signature = _of_argument(options)
            writes[action, name] = _either(writes.get((action, name), signature), signature)
        if not arguments:
            writes[action, ""] = Signature()
    return writes, samples


def _rules(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rules that make messages."""
    conversation = params["conversation"]
    yield from params["decode"]
    for request in (*params["encode"], *conversation["opening"], *conversation["polls"]):
        for _, step in each_step(request):
            yield from (step[kind] for kind in ("response", "refusal") if kind in step)
    if "restarted" in conversation:
        yield conversation["restarted"]


def _of_message(
    rule: Mapping[str, Any], message: Mapping[str, Any], encoding: str
) -> Iterator[tuple[tuple[str, str], Signature]]:
    """Yield action, argument and signature of what a rule makes; `ANY` stands for what only a frame tells."""
    if message.get("type") == "command":
        return
    action = _action(message)
    arguments = message.get("arguments", {})
    extractor = make_reader(rule, encoding)
    if arguments == "*":
        names: Collection[str] | None = extractor.names
        if names is None:
            yield (action, ANY), Signature()
            names = [name for name in rule.get("values", {}) if name != "*"]
        elif not names:
            yield (action, ""), Signature()
        for name in names:
            yield (action, name), Signature(is_list=True) if name in extractor.lists else _of_name(rule, name)
        return
    # The time at which a frame was received is no value of the device: a point has it already.
    dated = dated_arguments(message)
    if dated and TIME not in (extractor.names or ()):
        arguments = {name: value for name, value in arguments.items() if name not in dated}
    if not arguments:
        yield (action, ""), Signature()
    for name, value in arguments.items():
        is_list = isinstance(value, str) and value[1:-1] in extractor.lists
        yield (action, name), Signature(is_list=True) if is_list else _of_value(rule, value)


def _action(message: Mapping[str, Any]) -> str:
    """Return the action of a message or a command; `ANY` if a part of it depends on the message."""
    action: str = message.get("action", "")
    return ANY if "{" in action else action


def _of_value(rule: Mapping[str, Any], value: Any) -> Signature:
    """Return the signature of an argument: that of the value in braces, if it is nothing else, or of the constant."""
    if isinstance(value, bool):
        return Signature(PointType.BOOLEAN)
    if isinstance(value, int | float):
        return Signature(PointType.NUMBER)
    if not isinstance(value, str):
        return Signature()
    name = value[1:-1]
    if value != f"{{{name}}}" or not name.isidentifier():
        return Signature(PointType.TEXT)
    return _of_name(rule, name)


def _of_name(rule: Mapping[str, Any], name: str) -> Signature:
    """Return the signature of the value called `name`."""
    converters = rule.get("values", {})
    steps = converters.get(name, converters.get("*", []))
    return _converted(steps if isinstance(steps, list) else [steps], _extracted(rule, name))


def _extracted(rule: Mapping[str, Any], name: str) -> PointType | None:
    """Return the type of a value as it stands in the frame; None: it is not known."""
    if "nested" in rule:
        outer = {kind: options for kind, options in rule.items() if kind != "nested"}
        is_outer = not _may_read(rule["nested"], name)
        return _extracted(outer if is_outer else rule["nested"], name)
    if "json" in rule:
        return PointType.INTEGER if _is_index(rule["json"], name) else None
    if "binary" not in rule:
        return PointType.INTEGER if _is_index(rule.get("fields", {}), name) else PointType.TEXT
    types = {_of_field(field) for field in _fields(rule["binary"]["fields"]) if name in _names_of(field)}
    return types.pop() if len(types) == 1 else None  # also for a bit, or several, of a field


def _is_index(options: Mapping[str, Any], name: str) -> bool:
    """Return whether a value numbers the repetitions of an extractor."""
    return bool(options.get("repeat", {}).get("index") == name)


def _fields(listed: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of a layout, also those in a repetition or in the cases of a switch."""
    for field in listed:
        yield field
        yield from _fields(field.get("fields", ()))
        for case in field.get("cases", {}).values():
            yield from _fields([case] if isinstance(case, Mapping) else case)


def _names_of(field: Mapping[str, Any]) -> tuple[Any, ...]:
    return (field.get("name"), field.get("index"))


def _of_field(field: Mapping[str, Any]) -> PointType | None:
    kind = field["type"]
    if kind in ("bytes", "text", "skip"):
        return PointType.TEXT
    return PointType.NUMBER if kind[0] == "f" else PointType.INTEGER


def _may_read(rule: Mapping[str, Any], name: str) -> bool:
    """Return whether the extractor of a rule reads a value, as far as that is known."""
    names = make_reader(rule, "utf-8").names  # the encoding changes no name
    return names is None or name in names


def _converted(steps: Sequence[Any], kind: PointType | None) -> Signature:
    """Return the signature of a value of type `kind` behind its converters."""
    for step in steps:
        name, setting = (step, None) if isinstance(step, str) else next(iter(step.items()))
        if name in _INTEGERS:
            kind = PointType.INTEGER
        elif name in _NUMBERS or (name == "round" and kind is not PointType.INTEGER):
            kind = PointType.NUMBER
        elif name in _TEXTS:
            kind = PointType.TEXT
        elif name == "bool":
            kind = PointType.BOOLEAN
        elif name == "enum":
            return _of_table(setting)
        elif name == "auto":
            kind = None
    return Signature(kind)


def _of_table(table: Mapping[str, Any] | None) -> Signature:
    values = tuple(dict.fromkeys((table or {}).values()))
    if values and all(isinstance(value, bool) for value in values):
        return Signature(PointType.BOOLEAN)
    return Signature(PointType.CHOICE, choices=values)


def _either(one: Signature, other: Signature) -> Signature:
    """Return what is known of an argument that two rules accept: each command goes to the one that accepts it."""
    if one == other:
        return one
    if one.type is not other.type:
        return Signature()
    if one.type is PointType.CHOICE:
        return Signature(one.type, choices=tuple(dict.fromkeys((*one.choices, *other.choices))))
    has_limits = one.minimum is not None and other.minimum is not None
    minimum = min(one.minimum, other.minimum) if has_limits else None  # type: ignore[type-var]
    has_limits = one.maximum is not None and other.maximum is not None
    return Signature(one.type, minimum, max(one.maximum, other.maximum) if has_limits else None)  # type: ignore[type-var]


def _of_argument(options: Mapping[str, Any]) -> Signature:
    choices = tuple(options.get("choices", ()))
    kind = PointType.CHOICE if choices else _ARGUMENTS[options.get("type", "text")]
    return Signature(kind, options.get("minimum"), options.get("maximum"), choices)
