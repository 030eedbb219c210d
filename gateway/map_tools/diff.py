"""Compares two maps: which messages they translate differently, in both directions, each with an example. Pure.

The comparison is exhaustive: in every field, every word of both maps and one that is in neither; and every kind of
topic that the filters of only one of the maps match.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from gateway.core.topic import filter_levels, word_problem
from gateway.errors import MessageError
from gateway.map_tools.probe import FormProbe, Probe, is_valid_level, level_texts, statuses_first
from gateway.map_tools.words import Example, delivery_text, shown, unknown_word
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap

MAX_STEPS = 100_000
"""The maximal number of combinations of levels that are tried to compare the filters."""

_Filter: TypeAlias = tuple[bool, tuple[str, ...]]  # whether it is one of the old map, and its levels still to match

_REFUSED = ("not sent: ", "dropped: ")

_Outcomes: TypeAlias = tuple[str, str, Example | None]  # of an example, with the old map and with the new one


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: its kind (a short name), the field or part of the map, and a description.

    The example (its outcome is empty) has the outcome `old` with the old map, and `new` with the new one.
    """

    kind: str
    where: str
    what: str
    old: str = ""
    new: str = ""
    example: Example | None = None


def compare(old: MsgMap, new: MsgMap) -> Iterator[Change]:
    """Yield all differences between two maps, in the order of their parts."""
    probes = Probe(old, new), Probe(new, old)
    msg = statuses_first(probes[0].forms)[0].message
    outcomes = _sent(probes[0], msg), _sent(probes[1], msg), Example("", msg)
    for kind, one, other in (("root", old.root, new.root), ("own name", old.sender, new.sender)):
        if one != other:
            yield Change(kind, kind, f"was {one!a}, is {other!a}", *outcomes)
    if old.status_qos != new.status_qos:
        yield Change("QoS", "QoS", f"of a status was {old.status_qos}, is {new.status_qos}")
    yield from _compare_syntax(*probes)
    yield from _compare_filters(*probes)
    for name in FIELDS:
        yield from _compare_field(*probes, name)
    yield from _compare_delivery(*probes)


def _compare_delivery(old: Probe, new: Probe) -> Iterator[Change]:
    """Compare how messages are delivered, with one message for each word of each rule."""
    reported: set[str] = set()
    for rule in (*old.map.delivery_rules, *new.map.delivery_rules):
        first: dict[str, Any] = {name: min(words) for name, words in rule.words.items()}
        tries = [{**first, name: word} for name, words in rule.words.items() for word in sorted(words)] or [first]
        for words, is_command in itertools.product(tries, (False, True)):
            plain = next((form.message for form in (*old.forms, *new.forms) if form.is_command == is_command), None)
            if plain is None:
                continue
            if rule.outcome and is_command:
                continue
            msg = plain.replace(**words)
            msg = msg.reply("OK") if rule.outcome else msg
            old_text, new_text = (delivery_text(probe.map.delivery_of(msg)) for probe in (old, new))
            if old_text != new_text and str(msg) not in reported:
                reported.add(str(msg))
                yield Change(
                    "delivery", "delivery", f"was {old_text}, is {new_text}", old_text, new_text, Example("", msg)
                )


def _compare_syntax(old: Probe, new: Probe) -> Iterator[Change]:
    """Compare the forms, each with a plain message; forms of the same kind and topic count as one form that changed."""
    old_forms, new_forms = ({(form.is_command, form.name): form for form in probe.forms} for probe in (old, new))
    for key in dict.fromkeys((*old_forms, *new_forms)):
        old_form, new_form = old_forms.get(key), new_forms.get(key)
        form = old_form or new_form
        if form is None or (old_form and new_form and _payload_text(old_form) == _payload_text(new_form)):
            continue
        what = f"the form {form.name!a} of {form.kind} "
        if old_form and new_form:
            what += f"had {_payload_text(old_form)}, has {_payload_text(new_form)}"
        else:
            what += f"({_payload_text(form)}) is {'gone' if old_form else 'new'}"
        yield Change("form", "syntax", what, *_plain_message(old, new, list(filter(None, (old_form, new_form)))))
    for is_command in (True, False):
        common = [key for key in old_forms if key in new_forms and key[0] == is_command]
        if common != [key for key in new_forms if key in common]:
            kind = old_forms[common[0]].kind
            shown_forms = [old_forms[key] for key in common]
            what = f"the forms of {kind} are in a different order: the first that fits is used for writing"
            yield Change("form order", "syntax", what, *_plain_message(old, new, shown_forms))


def _payload_text(form: FormProbe) -> str:
    """Return the payload and the constants of a form, as text."""
    declared = form.form.form
    always_text = ", always text" if declared.text else ""
    argument = f" {declared.argument!a}{always_text}" if declared.payload == "value" else ""
    constants = [f"{name} {form.samples[name]!a}" for name in (*ADDRESS_FIELDS, "action")
                 if name != "sender" and not form.has_place_for(name)]  # fmt: skip
    return f"payload {declared.payload}{argument}" + (f", always {', '.join(constants)}" if constants else "")


def _plain_message(old: Probe, new: Probe, forms: Sequence[FormProbe]) -> _Outcomes:
    """Return a message of one of the forms that the maps write or read differently; the example may be None."""
    for form in forms:
        for arguments in {}, {form.form.form.argument: 1}, {"response": "OK", "reason": ""}:
            msg = form.message.replace(arguments=arguments)
            outcomes = _sent(old, msg), _sent(new, msg)
            if _shows_difference(*outcomes):
                return *outcomes, Example("", msg)
        if form.topic is not None:
            for payload in form.payload, b'{"value": 1}', b"1":
                outcomes = _received(old, form.topic, payload), _received(new, form.topic, payload)
                if _shows_difference(*outcomes):
                    return *outcomes, Example("", None, form.topic, payload)
    return "", "", None


def _compare_field(old: Probe, new: Probe, name: str) -> Iterator[Change]:
    old_field, new_field = old.map.fields[name], new.map.fields[name]
    if not (old.forms_with(name) or new.forms_with(name)):
        return
    if old_field.maptype != new_field.maptype:
        yield Change("maptype", name, f"maptype was {old_field.maptype}, is {new_field.maptype}")
    unknown = unknown_word(old_field, new_field)
    used = [field.entries for field in (old_field, new_field) if field.maptype != "none"]
    internal = dict.fromkeys(word for entries in used for word in entries)
    mqtt = dict.fromkeys(word for entries in used for words in entries.values() for word in words)
    empty = filter(None, (old_field.empty, new_field.empty))
    words = dict.fromkeys((*internal, *mqtt, *empty, "", unknown))
    for word in words:
        subject = "any other word" if word == unknown else f"{word!a}"
        if name != "sender" or word:
            was, now = _written(old_field, word), _written(new_field, word)
            if was != now:
                what = f"{subject} was {was}, is {now}"
                yield Change("written", name, what, *_example_written(old, new, name, word))
        if word_problem(word) and name in ADDRESS_FIELDS:
            continue  # no topic can contain it
        was, now = _read(old_field, word), _read(new_field, word)
        if was != now:
            what = f"{subject} was {was}, is {now}"
            yield Change("read", name, what, *_example_read(old, new, name, word))


def _written(field: FieldMap, word: str) -> str:
    try:
        mqtt = field.write(word)
    except MessageError:
        return "refused"
    return f"written as {mqtt!a}" if mqtt != word else "written unchanged"


def _read(field: FieldMap, word: str) -> str:
    try:
        internal = field.read(word)
    except MessageError:
        return "refused"
    return f"read as {internal!a}" if internal != word else "read unchanged"


def _example_written(old: Probe, new: Probe, name: str, word: str) -> _Outcomes:
    for form in (*statuses_first(old.forms), *statuses_first(new.forms)):
        msg = form.with_word(name, word)
        if msg is None:
            continue
        outcomes = _sent(old, msg), _sent(new, msg)
        if _shows_difference(*outcomes):
            return *outcomes, Example("", msg)
    return "", "", None  # the maps have so little in common that both refuse each example for another reason


def _example_read(old: Probe, new: Probe, name: str, word: str) -> _Outcomes:
    for form in (*old.forms, *new.forms):
        topic, payload = form.with_mqtt_word(name, word) or ("", b"")
        outcomes = _received(old, topic, payload), _received(new, topic, payload)
        if topic and _shows_difference(*outcomes):
            return *outcomes, Example("", None, topic, payload)
    return "", "", None


def _shows_difference(old_outcome: str, new_outcome: str) -> bool:
    """Return whether an example shows a difference; it does not if both maps refuse it, even for different reasons."""
    both_refuse = old_outcome.startswith(_REFUSED) and new_outcome.startswith(_REFUSED)
    return old_outcome != new_outcome and not both_refuse


def _sent(probe: Probe, msg: InternalMsg) -> str:
    try:
        publication = probe.map.internal2mqtt(msg)
    except MessageError as err:
        return f"not sent: {err}"
    return f"{shown(publication.topic)} {shown(publication.payload)}"


def _received(probe: Probe, topic: str, payload: bytes) -> str:
    try:
        return str(probe.map.mqtt2internal(topic, payload))
    except MessageError as err:
        return f"dropped: {err}"


# --- filters


def _compare_filters(old: Probe, new: Probe) -> Iterator[Change]:
    reported: set[tuple[bool, str]] = set()
    for topic, payload in _differences(old, new):
        old_filter, new_filter = old.matching_filter(topic), new.matching_filter(topic)
        topic_filter = old_filter or new_filter or ""
        if (old_filter is None, topic_filter) in reported:
            continue
        reported.add((old_filter is None, topic_filter))
        outcomes = ("received", "not received") if old_filter else ("not received", "received")
        what = f"what {topic_filter!a} matches was {outcomes[0]}, is {outcomes[1]}"
        yield Change("filter", "topics", what, *outcomes, Example("", None, topic, payload))
    for topic_filter in sorted(set(old.map.topics) ^ set(new.map.topics)):
        if topic_filter.startswith("$share/"):
            what = f"{topic_filter!a} is {'gone' if topic_filter in old.map.topics else 'new'}"
            yield Change("filter", "topics", what)


def _differences(old: Probe, new: Probe) -> Iterator[tuple[str, bytes]]:
    """Yield topics of every kind, with payloads, that the filters of only one of the maps match."""
    filters = frozenset(
        (is_old, tuple(filter_levels(each))) for is_old in (True, False) for each in (old if is_old else new).map.topics
    )
    for form in (*old.forms, *new.forms):
        for topic in _walk(filters, form) if form.topic is not None else ():
            yield topic, form.payload


def _walk(filters: frozenset[_Filter], form: FormProbe) -> Iterator[str]:
    """Yield topics of the form that the filters of only one map match.

    Walks through the topics level by level, with the set of filters that match so far. A set that has been seen at a
    level before is not followed again, since it would lead to the same differences: so the search is both exhaustive
    and short. Where `#` filters of both maps match, everything below matches both.
    """
    size = len(form.form.levels)
    pending: list[tuple[frozenset[_Filter], tuple[str, ...]]] = [(filters, ())]
    seen: set[object] = set()
    while pending and len(seen) < MAX_STEPS:
        candidates, words = pending.pop()
        at = len(words)
        if (at, candidates) in seen or {is_old for is_old, levels in candidates if levels[:1] == ("#",)} == {
            True,
            False,
        }:
            continue
        seen.add((at, candidates))
        if at == size:
            if len({is_old for is_old, levels in candidates if levels in ((), ("#",))}) == 1:
                yield "/".join(words)
            continue
        by_level: dict[str, list[_Filter]] = {}
        for is_old, levels in candidates:
            if levels:
                below = levels if levels[0] == "#" else levels[1:]
                by_level.setdefault(levels[0], []).append((is_old, below))
        wildcards = by_level.pop("+", []) + by_level.pop("#", [])
        for word in _words_to_try(by_level.keys(), form, at):
            matching = frozenset(wildcards + by_level.get(word, []))
            if matching:
                pending.append((matching, (*words, word)))


def _words_to_try(named: Set[str], form: FormProbe, at: int) -> Iterator[str]:
    """Yield the texts for a level of the form that filters name, and one that no filter names."""
    level, size = form.form.levels[at], len(form.form.levels)
    yield from sorted(text for text in named if is_valid_level(level, text, at, size))
    plain = (form.topic or "").split("/")[at]
    if plain not in named:
        yield plain
    else:
        yield from islice((text for text in level_texts(level, named) if is_valid_level(level, text, at, size)), 1)
