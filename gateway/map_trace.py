"""Explains, field by field, what a map makes of one message, in either direction. Pure.

The verdict is that of the map itself and of the rules of `gateway.router`; the steps say how it came about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.document import Path
from gateway.errors import MessageError, WordError
from gateway.map_words import Probe, delivery_text, find_entry, shown
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.mqtt_map import FieldMap, MsgMap
from gateway.payload import ACTION_KEY
from gateway.topic import filter_matches, word_problem


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what is looked at (a field, the filters), what becomes of it, and where in the map that stands."""

    name: str
    text: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """All steps of one message, and whether it passes or why not."""

    steps: tuple[Step, ...]
    verdict: str
    passes: bool


def trace_read(msg_map: MsgMap, topic: str, payload: bytes, *, retain: bool = False) -> Trace:
    """Explain what becomes of `payload` that the broker sends on `topic`."""
    matching = [one for one in msg_map.topics if filter_matches(one, topic)]
    steps = [Step("filter", f"{one!a} lets it in", ("topics", one)) for one in matching]
    if not matching:
        steps.append(Step("filter", "none lets it in", ("topics",)))
    steps += _read_steps(msg_map, topic, payload)
    return Trace(tuple(steps), *_read_verdict(msg_map, topic, payload, retain, heard=bool(matching)))


def _read_verdict(msg_map: MsgMap, topic: str, payload: bytes, retain: bool, *, heard: bool) -> tuple[str, bool]:
    if not heard:
        return "not heard: no filter lets it in, so the broker does not send it", False
    if topic.endswith("/availability"):
        return "dropped: it says whether a gateway is there, and is no message", False
    try:
        msg = msg_map.mqtt2internal(topic, payload)
    except MessageError as err:
        return f"dropped: {err}", False
    if msg_map.is_echo(msg):
        return f"dropped as an echo: its sender is this gateway, {msg_map.sender!a}", False
    if msg.iscmd and retain and not msg_map.delivery_of(msg).replay:
        return "dropped: a retained command is not acted on, unless the delivery of the map lets it be replayed", False
    return f"read as: {msg}", True


def _read_steps(msg_map: MsgMap, topic: str, payload: bytes) -> Iterator[Step]:
    try:
        probe = Probe(msg_map)
        plain_topic, plain_payload = probe.foreign()
    except MessageError:  # nothing can be written in this map: the verdict says what there is to say
        return
    levels = topic.split("/")
    if len(levels) == len(plain_topic.split("/")):
        for name in ADDRESS_FIELDS:
            at = probe.level_of[name]
            if at is not None:
                yield _read_step(msg_map.fields[name], name, levels[at])
    try:
        msg = msg_map.mqtt2internal(topic, plain_payload)
        yield Step("kind", "a command" if msg.iscmd else "a status")
    except WordError:
        pass  # a step above says so
    except MessageError as err:
        yield Step("topic", str(err))
    yield from _payload_steps(msg_map, probe, plain_topic, payload)


def _payload_steps(msg_map: MsgMap, probe: Probe, plain_topic: str, payload: bytes) -> Iterator[Step]:
    if not probe.has_place["action"]:  # the syntax has payloads of its own
        return
    members = _members(payload)
    action = members.pop(ACTION_KEY, None)
    if isinstance(action, str):
        yield _read_step(msg_map.fields["action"], "action", action)
    for key, value in members.items():
        yield _read_step(msg_map.fields["argkey"], "argkey", key)
        if isinstance(value, str):
            yield _read_step(msg_map.fields["argvalue"], "argvalue", value)
        else:
            yield Step("argvalue", f"{shown(json.dumps(value))} is not text, and stays as it is")
    try:
        msg_map.mqtt2internal(plain_topic, payload)
    except WordError:
        pass  # a step above says so
    except MessageError as err:
        yield Step("payload", str(err))


def _members(payload: bytes) -> dict[str, Any]:
    """Return what a payload says by name, as far as it can be read."""
    try:
        text = payload.decode()
        if not text.lstrip(" \t\r\n").startswith("{"):
            return {ACTION_KEY: text} if text else {}
        return dict(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _read_step(field: FieldMap, name: str, mqtt: str) -> Step:
    problem = word_problem(mqtt) if name in ADDRESS_FIELDS else ""
    if problem:
        return Step(name, f"{mqtt!a}: refused: {problem}")
    try:
        internal = field.read(mqtt)
    except MessageError:
        return Step(name, f"{mqtt!a}: refused: a strict map does not have it", (name, "map"))
    path = find_entry(field, internal, mqtt)
    if path:
        return Step(name, f"{mqtt!a} -> {internal!a}{', an alias' if path[-1] else ', its first word'}", path)
    return Step(name, _passed(field, mqtt, internal))


# --- writing


def trace_write(msg_map: MsgMap, msg: InternalMsg) -> Trace:
    """Explain how `msg` is written."""
    steps = [_write_step(msg_map, name, getattr(msg, name)) for name in (*ADDRESS_FIELDS, "action")]
    for key, value in msg.arguments.items():
        steps.append(_write_step(msg_map, "argkey", key))
        if isinstance(value, str):
            steps.append(_write_step(msg_map, "argvalue", value))
        else:
            steps.append(Step("argvalue", f"{shown(repr(value))} is not text, and stays as it is"))
    try:
        publication = msg_map.internal2mqtt(msg)
    except MessageError as err:
        return Trace(tuple(steps), f"not sent: {err}", passes=False)
    steps += [
        Step("topic", shown(publication.topic)),
        Step("payload", shown(publication.payload)),
        Step("QoS", str(publication.qos)),
        Step("delivery", delivery_text(msg_map.delivery_of(msg)), ("delivery",) if msg_map.delivery_rules else None),
    ]
    back = next((one for one in msg_map.topics if filter_matches(one, publication.topic)), None)
    if back:
        is_own = msg_map.is_echo(msg_map.mqtt2internal(publication.topic, publication.payload))
        what = "and is dropped as an echo" if is_own else "and is heard as another's"
        steps.append(Step("echo", f"it comes back through {back!a}, {what}", ("topics", back)))
    return Trace(tuple(steps), "sent", passes=True)


def _write_step(msg_map: MsgMap, name: str, internal: str) -> Step:
    field = msg_map.fields[name]
    if name == "sender" and not internal:
        mqtt = field.write(msg_map.sender)
        return Step(name, f"{''!a} -> {mqtt!a}, this gateway's name", find_entry(field, msg_map.sender, mqtt))
    problem = msg_map.problem_of(name, internal)
    if problem:
        return Step(name, f"{internal!a}: refused: {problem.removeprefix(f'{name}: ')}", _culprit(field, internal))
    mqtt = field.write(internal)
    path = find_entry(field, internal, mqtt)
    if path:
        return Step(name, f"{internal!a} -> {mqtt!a}, its first word", path)
    return Step(name, _passed(field, internal, mqtt))


def _culprit(field: FieldMap, internal: str) -> Path:
    """Return the place of the entry that keeps `internal` from being written, or else that of the entries."""
    try:
        owner = field.read(internal)
    except MessageError:
        owner = internal
    return find_entry(field, owner, internal) or (field.field, "map")


def _passed(field: FieldMap, given: str, result: str) -> str:
    if given != result:
        return f"{given!a} -> {result!a}"
    why = {"none": "there is no map", "loose": "the map is loose, and does not have it"}.get(field.maptype)
    if why is None:
        why = "this gateway's name passes a strict map" if given else "the empty word passes a strict map"
    return f"{given!a} passes: {why}"
