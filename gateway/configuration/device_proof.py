"""Proves the devices of an interface against its map and its commands, with sample messages. Pure.

A device that passes works: the map writes each message that feeds a point; each command that writes a point arrives by
a topic to which the gateway subscribes, and the interface accepts it. What is wrong is yielded as problems whose paths
begin within `devices`. A device that stands for many (its id has words in braces) is proven with a sample word.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from gateway.core.topic import filter_levels, filter_matches
from gateway.devices.declaration import Signature, Signatures
from gateway.devices.model import Model
from gateway.devices.point import ADDRESS_OF_DEVICE, Device, Feed, Point, PointType, Write
from gateway.devices.template import could_make, filled, may_fit
from gateway.errors import MessageError, Problem
from gateway.message import Argument, InternalMsg
from gateway.translation.field_map import FieldMap
from gateway.translation.mqtt_map import MsgMap
from gateway.translation.syntax import BoundForm
from gateway.translation.topic_template import Level, common_topic

Refusal = Callable[[InternalMsg], str]
"""Returns why an interface refuses a command; an empty text if it accepts it, or if that is unknown."""

_REMEDY = "change the map, or the words of the device"
_ID_LEVEL = -2  # of the topic of a document
_WORD, _CLIENT = "sample", "controller"
_MAX_CHOICES = 100  # of a point that are tried
_MAX_CLIENTS = 20  # names of senders that are tried


def prove(
    devices: Sequence[Device], own: Mapping[str, str], msg_map: MsgMap, signatures: Signatures, refusal: Refusal
) -> Iterator[Problem]:
    """Yield what keeps messages from feeding the points of `devices`, and commands from writing them.

    `own` are the words of the interface's messages, and `signatures` what is known of the messages.
    """
    for index, device in enumerate(devices):
        prover = _Prover(device, own, msg_map, signatures, refusal)
        for point in device.points:
            at = (index, "points", point.key)
            for feed in point.feeds:
                problem = prover.feed_problem(point, feed)
                if problem:
                    yield Problem((*at, "from"), *problem)
                    break
            for write in point.writes:
                problem = prover.write_problem(point, write)
                if problem:
                    yield Problem((*at, "write"), *problem)
                    break


def never_missed(devices: Sequence[Device], own: Mapping[str, str], polled: Sequence[InternalMsg]) -> Iterator[Problem]:
    """Yield those of `devices` that are polled, but stay online for ever: no poll tells that it is for them.

    `polled` are the messages that the polls ask for, with the arguments that are known without an answer.
    """
    model = Model(devices, own)
    missed = {state.device.id for msg in polled for state in model.asked_by(msg)}
    for index, device in enumerate(devices):
        if device.silent_after is None and device.id not in missed and _is_polled(device, own, polled):
            unknown = " and ".join(sorted(device.where))
            yield Problem(
                (index,),
                f"the device {device.id!a} is never offline for polls that are not answered: only their answers tell "
                f"{unknown}, and so for which device they were",
                "give it silent_after with a number of seconds, or a poll of its own whose message has "
                f"{unknown} as a constant",
            )


def _is_polled(device: Device, own: Mapping[str, str], polled: Iterable[InternalMsg]) -> bool:
    """Return whether one of the messages that polls ask for may be that of a device, or of one of a template."""
    actions = {feed.action for point in device.points for feed in point.feeds}
    words = tuple(device.address.get(field, own.get(field, "")) for field in ADDRESS_OF_DEVICE)
    return bool(device.where) and any(
        msg.action in actions
        and all(word in (asked, "") or word.startswith("{") for word, asked in zip(words, msg[1:5], strict=True))
        and may_fit(device.where, msg.arguments)
        for msg in polled
    )


def reader_of(device: Device, topic: Callable[[str], str], maps: Sequence[MsgMap]) -> tuple[str, BoundForm] | None:
    """Return a document topic of `device` that a form of one of `maps` reads as a message, and this form.

    `topic` returns the document topic for an id. None: there is no such form. Of a template, this is the document of a
    device that it can make.
    """
    levels = topic(sample_id(device)).split("/")
    others = [*levels[:_ID_LEVEL], levels[-1]]
    for form in (form for msg_map in maps for form in msg_map.forms if len(form.levels) == len(levels)):
        form_others = (*form.levels[:_ID_LEVEL], form.levels[-1])
        if all(text in level for text, level in zip(others, form_others, strict=True)):
            level = form.levels[_ID_LEVEL]
            device_id = next((device_id for device_id in _ids_in(level, device) if device_id in level), None)
            if device_id is not None:
                return topic(device_id), form
    return None


def _ids_in(level: Level, device: Device) -> Iterator[str]:
    """Yield the id of a device, or ids that a device of its template can have, as far as they may be in `level`."""
    yield sample_id(device)
    if "{" in device.id:
        words = level.enumerated()
        if words is None:
            prefix, suffix = device.id.partition("{")[0], device.id.rpartition("}")[2]
            common = common_topic([Level(prefix, (FieldMap("device"),), suffix=suffix)], [level])
            words = [] if common is None else [common]
        yield from (word for word in words if could_make(device, word))


def sample_id(device: Device) -> str:
    """Return the id of a device, or one that a device of its template could have."""
    return filled(device.id, dict.fromkeys((*ADDRESS_OF_DEVICE, *device.where), _WORD))


def arrival_problem(
    msg_map: MsgMap, topic: str, payload: bytes, command: InternalMsg, any_word: Collection[str]
) -> tuple[str, str] | None:
    """Return why a message of a client does not arrive as `command`, and the remedy; None if it does.

    `any_word` are the words of it that stand for others: its sender, and what a template leaves open.
    """
    if not any(filter_matches(topic_filter, topic) for topic_filter in msg_map.topics):
        wanted = "/".join("+" if level in any_word else level for level in topic.split("/"))
        what = f"the gateway does not subscribe to {topic!a}, the topic of its command"
        return what, f"add {wanted!a} to the topics of the map"
    text = payload.decode(errors="replace")
    try:
        received = msg_map.mqtt2internal(topic, payload)
    except MessageError as err:
        return f"the map cannot read its command {text!a} from {topic!a}: {err}", _REMEDY
    if received.replace(sender="") != command.replace(sender=""):
        return f"the map reads its command {text!a} as another one: {received}", "change the map"
    return None


class _Prover:
    """Proves the points of one device."""

    def __init__(
        self, device: Device, own: Mapping[str, str], msg_map: MsgMap, signatures: Signatures, refusal: Refusal
    ) -> None:
        self._device = device
        self._map = msg_map
        self._signatures = signatures
        self._refusal = refusal
        words = {field: self._word(field, own) for field in ADDRESS_OF_DEVICE}
        self._free = [field for field, word in words.items() if word.startswith("{")]
        self._address = {**words, **{field: _sample_word(msg_map.fields[field]) for field in self._free}}

    def _word(self, field: str, own: Mapping[str, str]) -> str:
        is_named = f"{{{field}}}" in self._device.id
        return self._device.address.get(field, "{" if is_named else own.get(field, ""))

    # --- messages that feed a point

    def feed_problem(self, point: Point, feed: Feed) -> tuple[str, str] | None:
        """Return what is wrong with a message that feeds a point, and the remedy; None if nothing is."""
        arguments = self._where(point, feed.action, self._signatures.reads)
        values = self._values(point) if feed.argument is not None else [None]
        for value in values:
            if feed.argument is not None:
                arguments[feed.argument] = value
            msg = InternalMsg(False, **self._address, action=feed.action, arguments=arguments)
            try:
                self._map.internal2mqtt(msg)
            except MessageError as err:
                return f"the map cannot write a message that feeds it: {err}", _REMEDY
        return None

    def _where(
        self, point: Point, action: str, known: Mapping[tuple[str, str], Signature] | None
    ) -> dict[str, Argument]:
        """Return the arguments that distinguish the messages of the device, and of the point, from others."""
        where = {**self._device.where, **point.where}
        return {
            name: _sample_of(known.get((action, name)) if known else None) if _is_free(value) else value
            for name, value in where.items()
        }

    def _values(self, point: Point) -> Sequence[Argument]:
        """Return values that the point can have, to be tried."""
        if point.choices:
            return point.choices[:_MAX_CHOICES]
        if point.type is PointType.BOOLEAN:
            return (True, False)
        if point.type in (PointType.NUMBER, PointType.INTEGER):
            low, high = point.minimum, point.maximum
            number = 1 if low is None else low
            number = number if high is None else min(number, high)
            return (int(number),) if point.type is PointType.INTEGER else (float(number),)
        return (_sample_word(self._map.fields["argvalue"]),)

    # --- commands that write it

    def _written(self, point: Point, write: Write) -> Sequence[Argument]:
        """Return values that the command of a point can have: the device may report more choices than it accepts."""
        reads, writes = self._signatures.reads or {}, self._signatures.writes or {}
        settable = writes.get((write.action, write.argument or ""), Signature()).choices
        reported = [reads.get((feed.action, feed.argument or ""), Signature()).choices for feed in point.feeds]
        only_read = {value for choices in reported for value in choices if settable and value not in settable}
        return [value for value in self._values(point) if value not in only_read]

    def write_problem(self, point: Point, write: Write) -> tuple[str, str] | None:
        """Return what is wrong with a command that writes a point, and the remedy; None if nothing is."""
        first = None
        for address in self._addresses(write.action):
            problem = self._write_problem(point, write, address)
            if problem is None:
                return None
            first = first or problem
        return first

    def _addresses(self, action: str) -> Iterator[Mapping[str, str]]:
        """Yield addresses that a command may have: a rule may accept only certain words, and the map others."""
        yield self._address
        words = {field: word for field, word in self._signatures.words.get(action, {}).items() if field in self._free}
        if words:
            yield {**self._address, **words}
        for field in words:
            for entry in islice(_entries(self._map.fields[field]), _MAX_CHOICES):
                yield {**self._address, **words, field: entry}

    def _write_problem(self, point: Point, write: Write, address: Mapping[str, str]) -> tuple[str, str] | None:
        known = self._signatures.writes
        arguments = {
            name: value
            for name, value in self._where(point, write.action, known).items()
            if known is None or (write.action, name) in known
        }
        for value in self._written(point, write) if write.argument is not None else [None]:
            if write.argument is not None:
                arguments[write.argument] = value
            command = InternalMsg(True, **address, action=write.action, arguments=arguments)
            problem = self._arrival_problem(command)
            if problem:
                return problem
            refusal = self._refusal(command)
            if refusal:
                return f"the interface refuses {command}: {refusal}", "change the command, or the rule that writes it"
        return None

    def _arrival_problem(self, command: InternalMsg) -> tuple[str, str] | None:
        """Return why no client can send a command to the gateway, and the remedy; None if one can."""
        problems = [self._arrival_problem_of(command, client) for client in self._clients()]
        return None if None in problems else problems[0]

    def _arrival_problem_of(self, command: InternalMsg, client: str) -> tuple[str, str] | None:
        try:
            publication = self._map.of_client(client).internal2mqtt(command)
        except MessageError as err:
            return f"the map cannot write its command: {err}", _REMEDY
        any_word = {client, *(getattr(command, field) for field in self._free)}
        return arrival_problem(self._map, publication.topic, publication.payload, command, any_word)

    def _clients(self) -> Iterator[str]:
        """Yield names of clients that may send a command: a map, or its filters, may accept only certain ones."""
        field = self._map.fields["sender"]
        listed = field.entries if field.maptype == "strict" else ()
        levels = (level for topic_filter in self._map.topics for level in filter_levels(topic_filter))
        names = dict.fromkeys((*listed, _CLIENT, *(level for level in levels if level not in ("", "+", "#"))))
        yield from islice((name for name in names if name and name != self._map.sender), _MAX_CLIENTS)


def _is_free(value: Argument) -> bool:
    return isinstance(value, str) and value.startswith("{")


def _sample_word(field: FieldMap) -> str:
    """Return a word that the field can have."""
    return next(_entries(field), _WORD)


def _entries(field: FieldMap) -> Iterator[str]:
    """Yield the words that a map lists for a field."""
    yield from filter(None, field.entries if field.maptype != "none" else ())


def _sample_of(signature: Signature | None) -> Argument:
    """Return a value for an argument that a template leaves free."""
    if signature is None:
        return 1
    if signature.choices:
        return signature.choices[0]
    if signature.type is PointType.TEXT:
        return _WORD
    if signature.type is PointType.BOOLEAN:
        return True
    return 1 if signature.minimum is None else int(signature.minimum)
