"""Explains, form by form and field by field, how a map translates one message, in either direction. Pure.

The verdict is that of the map itself and of the rules of `gateway.routing.router`; the steps explain it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.configuration.document import Path
from gateway.core.topic import filter_matches, word_problem
from gateway.devices.document import JSON_KINDS
from gateway.errors import MessageError, TopicError, WordError
from gateway.map_tools.probe import FormProbe, Probe
from gateway.map_tools.words import delivery_text, find_entry, shown
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg
from gateway.translation.mqtt_map import FieldMap, MsgMap
from gateway.translation.payload import ACTION_KEY
from gateway.translation.syntax import SEVEN_LEVELS, misfit


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is about (a field, the filters), its result, and the path of its reason in the map."""

    name: str
    text: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """All steps of one message, and the verdict: whether it is received or sent, or why not."""

    steps: tuple[Step, ...]
    verdict: str
    passes: bool


def trace_read(msg_map: MsgMap, topic: str, payload: bytes, *, retain: bool = False) -> Trace:
    """Explain how the map reads `payload`, received on `topic`; `retain`: the broker had retained it."""
    matching = [topic_filter for topic_filter in msg_map.topics if filter_matches(topic_filter, topic)]
    steps = [Step("filter", f"{topic_filter!a} matches", ("topics", topic_filter)) for topic_filter in matching]
    if not matching:
        steps.append(Step("filter", "no filter matches", ("topics",)))
    steps += _read_steps(msg_map, topic, payload)
    return Trace(tuple(steps), *_read_verdict(msg_map, topic, payload, retain, is_subscribed=bool(matching)))


def _read_verdict(
    msg_map: MsgMap, topic: str, payload: bytes, retain: bool, *, is_subscribed: bool
) -> tuple[str, bool]:
    if not is_subscribed:
        return "not received: no filter matches, so the broker does not send it", False
    try:
        msg = msg_map.mqtt2internal(topic, payload)
    except MessageError as err:
        if isinstance(err, TopicError) and topic.endswith("/availability"):
            return "dropped: it is the availability of a gateway, and not a message", False
        if isinstance(err, TopicError) and topic.rpartition("/")[2] in JSON_KINDS:
            return "dropped: it can only be a document of a device, which is not a message", False
        return f"dropped: {err}", False
    if msg_map.is_echo(msg):
        return f"dropped as an echo: its sender is this gateway, {msg_map.sender!a}", False
    if msg.iscmd and retain and not msg_map.delivery_of(msg).replay:
        return "dropped: a retained command is not executed, unless a delivery rule of the map has replay", False
    return f"read as: {msg}", True


def _read_steps(msg_map: MsgMap, topic: str, payload: bytes) -> Iterator[Step]:
    probe = Probe(msg_map)
    levels = topic.split("/")
    refused_by: tuple[FormProbe, str] | None = None
    for form in probe.forms:
        try:
            words = form.form.read_topic(levels)
        except WordError as err:  # another form may have the word as fixed text
            refused_by = refused_by or (form, str(err))
            yield from _form_step(msg_map, form, str(err))
            continue
        if words is not None:
            yield from _form_step(msg_map, form)
            yield from _topic_steps(msg_map, form, levels)
            yield Step("kind", "a command" if form.is_command else "a status")
            yield from _payload_steps(msg_map, form, topic, payload)
            return
        yield from _form_step(msg_map, form, misfit(topic, msg_map.root, (form.form,)))
    if refused_by is None:
        try:
            msg_map.mqtt2internal(topic, payload)
        except MessageError as err:
            yield Step("topic", str(err))
        return
    form, reason = refused_by
    steps = list(_topic_steps(msg_map, form, levels))
    yield from steps
    if not any("refused" in step.text for step in steps):
        yield Step("topic", f"refused: {reason}")
    yield from _payload_steps(msg_map, form, form.topic or topic, payload)


def _form_step(msg_map: MsgMap, form: FormProbe, problem: str = "") -> Iterator[Step]:
    """Yield whether a declared form fits the message, or why not."""
    if msg_map.syntax != SEVEN_LEVELS:
        declared = form.form.form
        always_text = ", always text" if declared.text else ""
        argument = f" {declared.argument!a}{always_text}" if declared.payload == "value" else ""
        kind = "command" if declared.iscmd else "status"
        text = f"does not fit: {problem}" if problem else f"fits: a {kind}, payload {declared.payload}{argument}"
        yield Step("form", f"{form.name} {text}", form.path)


def _topic_steps(msg_map: MsgMap, form: FormProbe, levels: Sequence[str]) -> Iterator[Step]:
    for name in (*ADDRESS_FIELDS, "action"):
        at = form.level_of(name)
        if at is not None:
            mqtt = form.level_word(name, levels[at]) or ""
            yield _read_step(msg_map.fields[name], name, mqtt, word_problem(mqtt) or "")
        elif not form.has_place_for(name):
            yield _constant_step(form, name)


def _constant_step(form: FormProbe, name: str) -> Step:
    if name == "sender":
        return Step(name, "has no place in this form: ''")
    return Step(name, f"is always {form.samples[name]!a} in this form", (*form.path, "constants", name))


def _payload_steps(msg_map: MsgMap, form: FormProbe, topic: str, payload: bytes) -> Iterator[Step]:
    kind = form.form.form.payload
    if kind == "value":
        yield from _value_steps(msg_map, form, payload)
    members = _members(payload) if kind in ("action", "json") else {}
    action = members.pop(ACTION_KEY, None) if kind == "action" else None
    if isinstance(action, str):
        yield _read_step(msg_map.fields["action"], "action", action)
    for key, value in members.items():
        if key in OUTCOME_WORDS:
            yield _outcome_word_step(key)
            continue
        yield _read_step(msg_map.fields["argkey"], "argkey", key)
        if isinstance(value, str):
            yield _read_step(msg_map.fields["argvalue"], "argvalue", value)
        else:
            yield Step("argvalue", f"{shown(json.dumps(value))} is not text, and is not translated")
    try:
        msg_map.mqtt2internal(topic, payload)
    except WordError:
        pass  # the step of the word explains it
    except MessageError as err:
        yield Step("payload", str(err))


def _outcome_word_step(key: str) -> Step:
    return Step("argkey", f"{key!a} is the gateway's own word for the outcome of a command, and is not translated")


def _value_steps(msg_map: MsgMap, form: FormProbe, payload: bytes) -> Iterator[Step]:
    try:
        text = payload.decode()
        _, arguments = form.form.read_payload("", text)
    except WordError:
        arguments = {form.form.form.argument: text}
    except (MessageError, ValueError):
        return
    for key, value in arguments.items():
        yield Step("argkey", f"{key!a}, the argument of this form", (*form.path, "argument"))
        if isinstance(value, str):
            yield _read_step(msg_map.fields["argvalue"], "argvalue", text)
        else:
            yield Step("argvalue", f"{shown(text)} is not text, and is not translated")


def _members(payload: bytes) -> dict[str, Any]:
    """Return the members of a payload, as far as it can be read; those of a plain payload are its action."""
    try:
        text = payload.decode()
        if not text.lstrip(" \t\r\n").startswith("{"):
            return (
                {ACTION_KEY: text} if text else {}
            )  # for a payload `json` this is an error, which the payload step explains
        return dict(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _read_step(field: FieldMap, name: str, mqtt: str, problem: str = "") -> Step:
    if problem:
        return Step(name, f"{mqtt!a}: refused: {problem}")
    try:
        internal = field.read(mqtt)
    except MessageError:
        return Step(name, f"{mqtt!a}: refused: a strict map does not contain it", (name, "map"))
    path = find_entry(field, internal, mqtt)
    if path:
        return Step(name, f"{mqtt!a} -> {internal!a}{', an alias' if path[-1] else ', its first word'}", path)
    if mqtt and mqtt == field.empty and not internal:
        return Step(name, f"{mqtt!a} -> '', the word for an empty level", ("empty_level",))
    return Step(name, _without_entry(field, mqtt, internal))


# --- writing


def trace_write(msg_map: MsgMap, msg: InternalMsg) -> Trace:
    """Explain how the map writes `msg`."""
    steps = list(_write_steps(msg_map, msg))
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
    topic_filter = next((each for each in msg_map.topics if filter_matches(each, publication.topic)), None)
    if topic_filter:
        is_echo = msg_map.is_echo(msg_map.mqtt2internal(publication.topic, publication.payload))
        result = "and is dropped as an echo" if is_echo else "and is received as another's"
        steps.append(Step("echo", f"it comes back through {topic_filter!a}, {result}", ("topics", topic_filter)))
    return Trace(tuple(steps), "sent", passes=True)


def _write_steps(msg_map: MsgMap, msg: InternalMsg) -> Iterator[Step]:
    forms = [form for form in Probe(msg_map).forms if form.is_command == msg.iscmd]
    used = forms[0] if len(forms) == 1 else None
    for form in forms:
        try:
            form.form.write(msg)
        except MessageError as err:
            yield from _form_step(msg_map, form, str(err))
        else:
            yield from _form_step(msg_map, form)
            used = form
            break
    if used is None:  # the step of each form explains why
        return
    for name in (*ADDRESS_FIELDS, "action"):
        yield _write_step(msg_map, used, name, getattr(msg, name))
    for key, value in msg.arguments.items():
        payload = used.form.form.payload
        if payload == "empty" or (payload == "value" and key != used.form.form.argument):
            yield Step("argkey", f"{key!a}: refused: there is no place for it in this form", used.path)
            continue
        if key in OUTCOME_WORDS:
            yield _outcome_word_step(key)
            continue
        if payload == "value":
            yield Step("argkey", f"{key!a}, the argument of this form", (*used.path, "argument"))
        else:
            yield _write_step(msg_map, used, "argkey", key)
        if isinstance(value, str):
            yield _write_step(msg_map, used, "argvalue", value)
        else:
            yield Step("argvalue", f"{shown(repr(value))} is not text, and is not translated")


def _write_step(msg_map: MsgMap, form: FormProbe, name: str, internal: str) -> Step:
    field = msg_map.fields[name]
    if name == "sender" and not internal and form.has_place_for(name):
        mqtt = field.write(msg_map.sender)
        return Step(name, f"{''!a} -> {mqtt!a}, this gateway's name", find_entry(field, msg_map.sender, mqtt))
    problem = form.form.problem_of(name, internal or (msg_map.sender if name == "sender" else ""))
    if problem:
        place = _place_of_refusal(field, internal) if form.has_place_for(name) else form.path
        return Step(name, f"{internal!a}: refused: {problem.removeprefix(f'{name}: ')}", place)
    if not form.has_place_for(name) and name in (*ADDRESS_FIELDS, "action"):
        return _constant_step(form, name)
    mqtt = field.write(internal)
    path = find_entry(field, internal, mqtt)
    if path:
        return Step(name, f"{internal!a} -> {mqtt!a}, its first word", path)
    if mqtt and mqtt == field.empty and not internal:
        return Step(name, f"'' -> {mqtt!a}, the word for an empty level", ("empty_level",))
    return Step(name, _without_entry(field, internal, mqtt))


def _place_of_refusal(field: FieldMap, internal: str) -> Path:
    """Return the path of the entry that prevents writing `internal`, or of all entries if there is none."""
    try:
        owner = field.read(internal)
    except MessageError:
        owner = internal
    return find_entry(field, owner, internal) or (field.field, "map")


def _without_entry(field: FieldMap, word: str, result: str) -> str:
    """Return why a field's map translates `word` to `result`, although it has no entry for it."""
    if word != result:
        return f"{word!a} -> {result!a}"
    reasons = {"none": "the field has no map", "loose": "the map is loose and does not contain it"}
    reason = reasons.get(field.maptype)
    if reason is None:
        reason = "a strict map accepts this gateway's name" if word else "a strict map accepts the empty word"
    return f"{word!a} is unchanged: {reason}"
