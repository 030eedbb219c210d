"""Builds the devices and points of an interface from the value of `devices`, or reports all mistakes in it. Pure.

The data has passed the check against its schema. Type and range of a point that is written are derived from the rule of
its command, and the type of a point that is only read from the rules for its messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.devices.point import ADDRESS_OF_DEVICE, Device, Feed, Point, PointType, Write
from gateway.errors import Problem
from gateway.message import Argument, InternalMsg, ReportRule

_Path = tuple[str | int, ...]


ANY = "*"
"""An action, or an argument, whose name depends on the message."""


class Signature(NamedTuple):
    """What is known of an argument of a message: its type, and which values it may have.

    A list (`is_list`) has no type that a point can have.
    """

    type: PointType | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Argument, ...] = ()
    is_list: bool = False


class Signatures(NamedTuple):
    """What an interface knows of its messages, by action and argument.

    An action without arguments has `""` for one, and `ANY` stands for names that depend on the message.

    `reads` are the statuses it makes, `writes` the commands it executes. None: that is not known, and not checked.
    `addresses` are the words of its statuses, by action and field; a word with braces depends on the message.
    Unless `are_all`, there may be other statuses, too, as when a hook changes them. `words` are examples of words, by
    action and field, that a command has where not every word will do. `polled` are the statuses that answers to polls
    bring, with those arguments that are known without an answer.
    """

    reads: Mapping[tuple[str, str], Signature] | None = None
    writes: Mapping[tuple[str, str], Signature] | None = None
    addresses: Mapping[str, Sequence[Mapping[str, str]]] | None = None
    are_all: bool = True
    words: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    polled: Sequence[InternalMsg] = ()


class Declared(NamedTuple):
    """Devices, and what is wrong with their declaration, each with its path within `devices`."""

    devices: tuple[Device, ...]
    problems: tuple[Problem, ...]


def declare(data: Sequence[Mapping[str, Any]], signatures: Signatures, own: Mapping[str, str]) -> Declared:
    """Return the devices that `data`, the value of `devices`, declares; `own` are the words of the interface."""
    problems: list[Problem] = []
    devices = []
    for index, options in enumerate(data):
        builder = _Builder((index,), options, signatures, own, problems)
        devices.append(builder.device())
    problems += _doubled_ids(devices)
    problems += _doubled_feeds(devices, own)
    return Declared(tuple(devices), tuple(problems))


class _Builder:
    """Makes one device of its options."""

    def __init__(
        self,
        path: _Path,
        options: Mapping[str, Any],
        signatures: Signatures,
        own: Mapping[str, str],
        problems: list[Problem],
    ) -> None:
        self._path = path
        self._options = options
        self._signatures = signatures
        self._words = {**own, **options.get("address", {})}
        self._problems = problems

    def device(self) -> Device:
        options = self._options
        self._check_template()
        points = tuple(
            self._point((*self._path, "points", key), key, point) for key, point in options["points"].items()
        )
        if "{" in options["id"] and not any(point.feeds for point in points) and not self._has_problem(self._path):
            what = "no point is read, but a device of this kind is added at its first reading"
            self._add((*self._path, "points"), what, "add a point with 'from', or declare each device")
        texts = {name: options.get(name, "") for name in ("name", "area", "manufacturer", "model")}
        return Device(
            options["id"],
            points,
            **texts,
            address=options.get("address", {}),
            where=options.get("where", {}),
            silent_after=options.get("silent_after"),
            interval=options.get("interval", 1.0),
            refresh=options.get("refresh", 3600.0),
        )

    def _check_template(self) -> None:
        """Check that the id of a template has each word that depends on the message, and no other word in braces."""
        address, where = self._options.get("address", {}), self._options.get("where", {})
        named = re.findall(r"\{(\w+)\}", self._options["id"])
        for name in named:
            if name not in (*ADDRESS_OF_DEVICE, *where):
                known = ", ".join((*ADDRESS_OF_DEVICE, *where))
                self._add((*self._path, "id"), f"{{{name}}} has no meaning in it", f"known here: {known}")
        for option, words in (("address", address), ("where", where)):
            for name, word in words.items():
                if isinstance(word, str) and word.startswith("{") and name not in named:
                    what = f"{word!r} stands for any value, but the id is the same for all of them"
                    self._add((*self._path, option, name), what, f"add {{{name}}} to the id")

    def _point(self, path: _Path, key: str, options: Mapping[str, Any]) -> Point:
        feeds = tuple(self._feeds(path, options.get("from", [])))
        self._check_where(path, options.get("where", {}), feeds)
        writes = tuple(self._writes(path, options.get("write", []), options.get("where", {})))
        if not feeds and not writes and not self._has_problem(path):
            self._add(path, "is neither read nor written", "add 'from', 'write', or both")
        signature = self._signature(path, options, feeds, writes)
        self._check_deadband(path, options, signature.type)
        return Point(
            key,
            signature.type or PointType.TEXT,
            feeds,
            writes,
            name=options.get("name", ""),
            unit=options.get("unit", ""),
            device_class=options.get("class", ""),
            minimum=signature.minimum,
            maximum=signature.maximum,
            choices=signature.choices,
            report=ReportRule.of(options["publish"]) if "publish" in options else None,
            where=options.get("where", {}),
            none=tuple(options.get("none", ())),
            assumed=options.get("assumed", False),
            silent_after=options.get("silent_after"),
        )

    def _check_where(self, path: _Path, of_point: Mapping[str, Argument], feeds: Sequence[Feed]) -> None:
        """Check that the messages have the arguments that are to tell them apart: others would never feed the point."""
        if not self._signatures.are_all or self._has_problem(path):
            return
        for action in dict.fromkeys(feed.action for feed in feeds):
            for at, names in ((path, of_point), (self._path, self._options.get("where", {}))):
                for name in names:
                    self._check_known((*at, "where", name), "status", self._signatures.reads, action, name)

    def _add(self, path: _Path, what: str, remedy: str) -> None:
        self._problems.append(Problem(path, what, remedy))

    def _has_problem(self, path: _Path) -> bool:
        return any(problem.path[: len(path)] == path for problem in self._problems)

    # --- messages

    def _feeds(self, path: _Path, source: Any) -> Iterator[Feed]:
        is_event = self._options["points"][path[-1]].get("type") == PointType.EVENT.value
        for place, action, argument, value in self._references((*path, "from"), source):
            if argument is None and not isinstance(source, Mapping) and not is_event:
                self._add(
                    place,
                    f"{action!r} names no argument",
                    f"write {action}.ARGUMENT, or {{{action}: VALUE}} if the action itself is the value",
                )
                continue
            if self._signatures.are_all:
                self._check_known(place, "status", self._signatures.reads, action, argument)
                self._check_address(place, action)
            if (self._signatures.reads or {}).get((action, argument or ""), Signature()).is_list:
                remedy = "let the rule make a message for each of its entries: each: true"
                self._add(place, f"{action}.{argument} is a list, which no point can have as its value", remedy)
            yield Feed(action, argument, action if is_event and argument is None and value is None else value)

    def _writes(self, path: _Path, target: Any, of_point: Mapping[str, Argument]) -> Iterator[Write]:
        known = self._signatures.writes
        for place, action, argument, value in self._references((*path, "write"), target):
            self._check_known(place, "command", known, action, argument)
            named = {**self._options.get("where", {}), **of_point}
            where = tuple(name for name in named if known is None or (action, name) in known)
            signature = known.get((action, argument)) if known is not None and argument is not None else None
            yield Write(action, argument, value, where, () if signature is None else tuple(signature.choices))

    def _references(self, path: _Path, source: Any) -> Iterator[tuple[_Path, str, str | None, Argument]]:
        """Yield place, action, argument and value of each message that `from` or `write` names."""
        if isinstance(source, Mapping):
            for action, value in source.items():
                yield (*path, action), action, None, value
            return
        for index, text in enumerate([source] if isinstance(source, str) else source):
            place = path if isinstance(source, str) else (*path, index)
            action, dot, argument = text.rpartition(".")
            if dot and not (action and argument):
                self._add(place, f"{text!r} is not ACTION.argument", "name the action, a dot, and the argument")
            elif dot:
                yield place, action, argument, None
            else:
                yield place, text, None, None

    def _check_known(
        self,
        place: _Path,
        kind: str,
        known: Mapping[tuple[str, str], Signature] | None,
        action: str,
        argument: str | None,
    ) -> None:
        if known is None or not {(action, argument or ""), (action, ANY)}.isdisjoint(known):
            return
        if any(other == ANY and name in (argument or "", ANY) for other, name in known):
            return
        arguments = sorted(name for other, name in known if other == action and name)
        if not any(other == action for other, _ in known):
            actions = ", ".join(sorted({other for other, _ in known} - {ANY})) or "none"
            self._add(place, f"no {kind} of this interface has the action {action!r}", f"known here: {actions}")
        elif argument is None:
            remedy = f"write {action}.{arguments[0]}" if arguments else "check the rules of the interface"
            self._add(place, f"the {kind} {action!r} has arguments", remedy)
        else:
            there = f"it has: {', '.join(arguments)}" if arguments else "it has no arguments"
            self._add(place, f"the {kind} {action!r} has no argument {argument!r}", there)

    def _check_address(self, place: _Path, action: str) -> None:
        """Check that a status with this action can be one of the device: its address has the words of the device."""
        addresses = self._signatures.addresses or {}
        known = addresses.get(action, ())
        if not known or ANY in addresses or any(not self._wrong_words(words) for words in known):
            return
        wrong = self._wrong_words(known[0])
        words = ", ".join(f"{field}: {json.dumps(word, ensure_ascii=False)}" for field, word in wrong.items())
        field, word = next(iter(wrong.items()))
        what = f"the status {action!r} is not one of this device: its {field} is {word!r}"
        self._add(place, what, f"add address: {{{words}}} to the device")

    def _wrong_words(self, words: Mapping[str, str]) -> dict[str, str]:
        """Return those of the `words` of a message, by field, that the messages of the device do not have."""
        wrong = {}
        for field in ADDRESS_OF_DEVICE:
            word, own = words.get(field, ""), self._words.get(field, "")
            is_free = f"{{{field}}}" in self._options["id"] and field not in self._options.get("address", {})
            if word != own and not is_free and "{" not in word and not own.startswith("{"):
                wrong[field] = word
        return wrong

    # --- types

    def _signature(
        self, path: _Path, options: Mapping[str, Any], feeds: Sequence[Feed], writes: Sequence[Write]
    ) -> Signature:
        """Return type and range of a point: as declared, or those of its command, or those of its messages."""
        written = _combined(self._signatures.writes, writes)
        read = _combined(self._signatures.reads, feeds)
        fixed = [(item.argument, item.value) for item in feeds] + [(item.argument, item.value) for item in writes]
        values = [value for argument, value in fixed if argument is None and value is not None]
        # A device may report 40.5 % where only whole numbers can be written: the rule of the command refuses others.
        is_wider = read.type is PointType.NUMBER and written.type is PointType.INTEGER
        kind = (read if is_wider else written).type or _type_of_values(values) or read.type or _type_by_unit(options)
        if "type" in options:
            declared = PointType(options["type"])
            self._check_type(path, declared, written.type)
            kind = declared
        elif kind is None and writes and all(write.argument is None for write in writes):
            kind = PointType.EVENT  # a button
        elif kind is None and not self._has_problem(path):
            self._add(
                path, "its type cannot be derived from the interface", "add type: number, boolean, text or choice"
            )
        if not self._has_problem(path):
            self._check_values(path, kind, read.type, [feed for feed in feeds if feed.argument is None])
        choices = tuple(options.get("choices", dict.fromkeys((*written.choices, *read.choices))))
        if not choices and kind is PointType.CHOICE:
            choices = tuple(dict.fromkeys(values))
        minimum, maximum = self._range(path, options, written)
        return Signature(kind, minimum, maximum, choices)

    def _check_type(self, path: _Path, declared: PointType, written: PointType | None) -> None:
        is_fit = written in (None, declared) or {written, declared} <= _NUMBERS or declared is PointType.CHOICE
        if written is not None and not is_fit:
            what = f"is declared as {declared.value}, but its command has a {written.value}"
            self._add((*path, "type"), what, "remove 'type': the default is the type of the command")

    def _check_values(self, path: _Path, kind: PointType | None, read: PointType | None, fixed: Sequence[Feed]) -> None:
        """Check that the point can have the values that its messages bring; otherwise each of them would be bad."""
        if kind is None:
            return
        if read is not None and self._signatures.are_all and not _can_have(kind, read):
            what = f"it is read as {read.value}, but the type of the point is {kind.value}"
            self._add((*path, "from"), what, "convert the value in the rule that reads it, or correct 'type'")
        for feed in fixed:
            given = _TYPE_OF.get(type(feed.value))
            if given is not None and not _can_have(kind, given):
                what = f"{json.dumps(feed.value, ensure_ascii=False)} is no {kind.value}, which the point is"
                self._add((*path, "from", feed.action), what, "correct the value, or remove 'type'")

    def _check_deadband(self, path: _Path, options: Mapping[str, Any], kind: PointType | None) -> None:
        if "deadband" in options.get("publish", {}) and kind not in (None, PointType.NUMBER, PointType.INTEGER):
            what = f"is for numbers, but the point is a {kind.value}"
            self._add((*path, "publish", "deadband"), what, "write on_change: true instead")

    def _range(self, path: _Path, options: Mapping[str, Any], written: Signature) -> tuple[float | None, float | None]:
        minimum, maximum = options.get("minimum", written.minimum), options.get("maximum", written.maximum)
        if written.minimum is not None and minimum is not None and minimum < written.minimum:
            self._add(
                (*path, "minimum"),
                f"is less than the minimum of its command ({written.minimum:g})",
                "use a larger one, or remove it",
            )
        if written.maximum is not None and maximum is not None and maximum > written.maximum:
            self._add(
                (*path, "maximum"),
                f"is more than the maximum of its command ({written.maximum:g})",
                "use a smaller one, or remove it",
            )
        return minimum, maximum


def _combined(known: Mapping[tuple[str, str], Signature] | None, items: Sequence[Feed | Write]) -> Signature:
    """Return what is known of the arguments that `items` name, where they agree."""
    found = {known[item.action, item.argument] for item in items
             if known and item.argument and (item.action, item.argument) in known}  # fmt: skip
    return found.pop() if len(found) == 1 else Signature()


_TYPE_OF: Mapping[type, PointType] = {
    bool: PointType.BOOLEAN,
    int: PointType.INTEGER,
    float: PointType.NUMBER,
    str: PointType.TEXT,
}
_NUMBERS = {PointType.NUMBER, PointType.INTEGER}


def _can_have(kind: PointType, given: PointType) -> bool:
    """Return whether a point of a type can have values of the type `given`, as far as the types tell."""
    if given is kind or PointType.CHOICE in (kind, given) or {given, kind} <= _NUMBERS:
        return True
    return (kind, given) == (PointType.EVENT, PointType.TEXT)


def _type_of_values(values: Sequence[Argument]) -> PointType | None:
    if not values:
        return None
    return PointType.BOOLEAN if all(isinstance(value, bool) for value in values) else PointType.CHOICE


def _type_by_unit(options: Mapping[str, Any]) -> PointType | None:
    has_deadband = isinstance(options.get("publish", {}).get("deadband"), int | float)
    return PointType.NUMBER if options.get("unit") or has_deadband else None


def _doubled_ids(devices: Sequence[Device]) -> Iterator[Problem]:
    ids: dict[str, str] = {}
    for index, device in enumerate(devices):
        other = ids.get(device.id.lower())
        if other is not None:
            yield Problem((index, "id"), f"{device.id!r} is the id of another device, {other!r}", "use another id")
        ids.setdefault(device.id.lower(), device.id)


class _Fed(NamedTuple):
    """A value of messages that feeds a point, and the arguments by which these messages differ from others."""

    source: tuple[object, ...]
    where: Mapping[str, Argument]
    path: _Path
    name: str
    text: str


def _doubled_feeds(devices: Sequence[Device], own: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each value of a message that would certainly feed two points."""
    # The points that the most messages feed come first: what they take is fed twice if another point wants it.
    fed = sorted(_fed(devices, own), key=lambda each: len(each.where))
    first: dict[tuple[object, ...], dict[tuple[str, ...], dict[tuple[object, ...], str]]] = {}
    for each in fed:
        names = tuple(sorted(each.where))
        known = first.setdefault(each.source, {})
        others = (
            points.get(_values(each.where, some)) for some, points in known.items() if each.where.keys() >= {*some}
        )
        other = next((name for name in others if name not in (None, each.name)), None)
        known.setdefault(names, {}).setdefault(_values(each.where, names), each.name)
        if other is not None:
            remedy = "distinguish the messages by 'where', or the devices by 'address'"
            yield Problem(each.path, f"{each.text} feeds {other} already", remedy)


def _fed(devices: Sequence[Device], own: Mapping[str, str]) -> Iterator[_Fed]:
    for index, device in enumerate(devices):
        words = tuple(device.address.get(field, own.get(field, "")) for field in ADDRESS_OF_DEVICE)
        for point in device.points:
            where = {**device.where, **point.where}
            # A declared device goes before one of a template, and templates go in their order.
            rank = tuple(sorted(where)) if "{" in device.id else None
            for feed in dict.fromkeys((feed.action, feed.argument) for feed in point.feeds):
                path = (index, "points", point.key, "from")
                text = ".".join(part for part in feed if part)
                yield _Fed((*words, rank, *feed), where, path, f"{device.id}.{point.key}", text)


def _values(where: Mapping[str, Argument], names: Iterable[str]) -> tuple[object, ...]:
    """Return the values of `names`, to be compared as those of messages are: 1 is 1.0, but not True."""
    return tuple((isinstance(where[name], bool), where[name]) for name in names)
