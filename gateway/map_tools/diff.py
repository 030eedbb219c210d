"""Compares two maps: which messages mean something else, in both directions, each with an example. Pure.

Exhaustive: every word of both maps and one that is in neither, in every field; every way in which the filters differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from gateway.core.topic import filter_levels, word_problem
from gateway.errors import MessageError
from gateway.map_tools.probe import FormProbe, Probe, may_stand, statuses_first, texts_of
from gateway.map_tools.words import Example, delivery_text, shown, unknown_word
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap

MAX_STEPS = 100_000
"""How many combinations of levels are looked at, at most, to tell what the filters let in."""

_Rest: TypeAlias = tuple[bool, tuple[str, ...]]  # of a filter: is it one of the old map, and the levels still to match

_REFUSED = ("not sent: ", "dropped: ")

_Shown: TypeAlias = tuple[str, str, Example | None]  # what becomes of an example with the old map, with the new one


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: its kind (a short name), the field or part of the map, and what is different.

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
    """Compare how messages are delivered, with one for each word of each rule."""
    told: set[str] = set()
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
            before, after = (delivery_text(probe.map.delivery_of(msg)) for probe in (old, new))
            if before != after and str(msg) not in told:
                told.add(str(msg))
                yield Change("delivery", "delivery", f"was {before}, is {after}", before, after, Example("", msg))


def _compare_syntax(old: Probe, new: Probe) -> Iterator[Change]:
    """Compare the forms, each with a plain message of it; those of one kind and topic are one form that has changed."""
    before, after = ({(form.is_command, form.name): form for form in probe.forms} for probe in (old, new))
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        form = one or other
        if form is None or (one and other and _rest(one) == _rest(other)):
            continue
        what = f"the form {form.name!a} of {form.kind} "
        if one and other:
            what += f"had {_rest(one)}, has {_rest(other)}"
        else:
            what += f"({_rest(form)}) is {'gone' if one else 'new'}"
        yield Change(
            "form", "syntax", what, *_plain_message(old, new, [one_form for one_form in (one, other) if one_form])
        )
    for is_command in (True, False):
        common = [key for key in before if key in after and key[0] == is_command]
        if common != [key for key in after if key in common]:
            kind = before[common[0]].kind
            shown_forms = [before[key] for key in common]
            what = f"the forms of {kind} stand in another order: the first that fits is written"
            yield Change("form order", "syntax", what, *_plain_message(old, new, shown_forms))


def _rest(form: FormProbe) -> str:
    """Say what a form holds beside its topic."""
    given = form.form.form
    text = ", always text" if given.text else ""
    argument = f" {given.argument!a}{text}" if given.payload == "value" else ""
    constants = [f"{name} {form.samples[name]!a}" for name in (*ADDRESS_FIELDS, "action")
                 if name != "sender" and not form.holds(name)]  # fmt: skip
    return f"payload {given.payload}{argument}" + (f", always {', '.join(constants)}" if constants else "")


def _plain_message(old: Probe, new: Probe, forms: Sequence[FormProbe]) -> _Shown:
    """Return a message of one of the forms that the maps write, or read, in two ways; nothing if there is none."""
    for form in forms:
        for arguments in {}, {form.form.form.argument: 1}, {"response": "OK", "reason": ""}:
            msg = form.message.replace(arguments=arguments)
            before, after = _sent(old, msg), _sent(new, msg)
            if _tells(before, after):
                return before, after, Example("", msg)
        if form.topic is not None:
            for payload in form.payload, b'{"value": 1}', b"1":
                before, after = _heard(old, form.topic, payload), _heard(new, form.topic, payload)
                if _tells(before, after):
                    return before, after, Example("", None, form.topic, payload)
    return "", "", None


def _compare_field(old: Probe, new: Probe, name: str) -> Iterator[Change]:
    one, other = old.map.fields[name], new.map.fields[name]
    if not (old.holding(name) or new.holding(name)):
        return
    if one.maptype != other.maptype:
        yield Change("maptype", name, f"maptype was {one.maptype}, is {other.maptype}")
    unknown = unknown_word(one, other)
    used = [field.entries for field in (one, other) if field.maptype != "none"]
    internal = dict.fromkeys(word for entries in used for word in entries)
    mqtt = dict.fromkeys(word for entries in used for words in entries.values() for word in words)
    empty = filter(None, (one.empty, other.empty))
    words = dict.fromkeys((*internal, *mqtt, *empty, "", unknown))
    for word in words:
        what = _shown(word, unknown)
        if name != "sender" or word:
            before, after = _written(one, word), _written(other, word)
            if before != after:
                yield Change("written", name, f"{what} was {before}, is {after}", *_both_written(old, new, name, word))
        if word_problem(word) and name in ADDRESS_FIELDS:
            continue  # no broker sends it
        before, after = _read(one, word), _read(other, word)
        if before != after:
            yield Change("read", name, f"{what} was {before}, is {after}", *_both_read(old, new, name, word))


def _shown(word: str, unknown: str) -> str:
    return "any other word" if word == unknown else f"{word!a}"


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


def _both_written(old: Probe, new: Probe, name: str, word: str) -> _Shown:
    for form in (*statuses_first(old.forms), *statuses_first(new.forms)):
        msg = form.with_word(name, word)
        if msg is None:
            continue
        before, after = _sent(old, msg), _sent(new, msg)
        if _tells(before, after):
            return before, after, Example("", msg)
    return "", "", None  # the maps have so little in common that both refuse it for another reason


def _both_read(old: Probe, new: Probe, name: str, word: str) -> _Shown:
    for form in (*old.forms, *new.forms):
        topic, payload = form.with_mqtt_word(name, word) or ("", b"")
        before, after = _heard(old, topic, payload), _heard(new, topic, payload)
        if topic and _tells(before, after):
            return before, after, Example("", None, topic, payload)
    return "", "", None


def _tells(before: str, after: str) -> bool:
    """Tell whether an example shows the difference: not if both maps refuse it, each for a reason of its own."""
    return before != after and not (before.startswith(_REFUSED) and after.startswith(_REFUSED))


def _sent(probe: Probe, msg: InternalMsg) -> str:
    try:
        publication = probe.map.internal2mqtt(msg)
    except MessageError as err:
        return f"not sent: {err}"
    return f"{shown(publication.topic)} {shown(publication.payload)}"


def _heard(probe: Probe, topic: str, payload: bytes) -> str:
    try:
        return str(probe.map.mqtt2internal(topic, payload))
    except MessageError as err:
        return f"dropped: {err}"


# --- filters


def _compare_filters(old: Probe, new: Probe) -> Iterator[Change]:
    told: set[tuple[bool, str]] = set()
    for topic, payload in _differences(old, new):
        before, after = old.heard_by(topic), new.heard_by(topic)
        topic_filter = before or after or ""
        if (before is None, topic_filter) in told:
            continue
        told.add((before is None, topic_filter))
        outcomes = ("heard", "not heard") if before else ("not heard", "heard")
        what = f"what {topic_filter!a} lets in was {outcomes[0]}, is {outcomes[1]}"
        yield Change("filter", "topics", what, *outcomes, Example("", None, topic, payload))
    for topic_filter in sorted(set(old.map.topics) ^ set(new.map.topics)):
        if topic_filter.startswith("$share/"):
            what = f"{topic_filter!a} is {'gone' if topic_filter in old.map.topics else 'new'}"
            yield Change("filter", "topics", what)


def _differences(old: Probe, new: Probe) -> Iterator[tuple[str, bytes]]:
    """Yield topics, and payloads, that the filters of one map match and those of the other do not, of every kind."""
    filters = frozenset(
        (is_old, tuple(filter_levels(one))) for is_old in (True, False) for one in (old if is_old else new).map.topics
    )
    for form in (*old.forms, *new.forms):
        for topic in _walk(filters, form) if form.topic is not None else ():
            yield topic, form.payload


def _walk(filters: frozenset[_Rest], form: FormProbe) -> Iterator[str]:
    """Go through the topics of the form, level by level, beside the filters that still match; yield where they differ.

    Topics beside which the same filters go on are looked at once: that makes it exhaustive, and short.
    """
    size = len(form.form.levels)
    waiting: list[tuple[frozenset[_Rest], tuple[str, ...]]] = [(filters, ())]
    seen: set[object] = set()
    while waiting and len(seen) < MAX_STEPS:
        alive, words = waiting.pop()
        at = len(words)
        if (at, alive) in seen or {is_old for is_old, rest in alive if rest[:1] == ("#",)} == {True, False}:
            continue
        seen.add((at, alive))
        if at == size:
            if len({is_old for is_old, rest in alive if rest in ((), ("#",))}) == 1:
                yield "/".join(words)
            continue
        by_level: dict[str, list[_Rest]] = {}
        for is_old, rest in alive:
            if rest:
                below = rest if rest[0] == "#" else rest[1:]
                by_level.setdefault(rest[0], []).append((is_old, below))
        open_ = by_level.pop("+", []) + by_level.pop("#", [])
        for word in _texts(by_level.keys(), form, at):
            matching = frozenset(open_ + by_level.get(word, []))
            if matching:
                waiting.append((matching, (*words, word)))


def _texts(named: Set[str], form: FormProbe, at: int) -> Iterator[str]:
    """Yield the texts at a level of the form that filters name, and one that they do not."""
    level, size = form.form.levels[at], len(form.form.levels)
    yield from sorted(text for text in named if may_stand(level, text, at, size))
    plain = (form.topic or "").split("/")[at]
    if plain not in named:
        yield plain
    else:
        yield from islice((text for text in texts_of(level, named) if may_stand(level, text, at, size)), 1)
