"""Proves a map, exhaustively: each entry is written and read back, each alias is read. Pure.

The law: a map without flaws of the severities error and warning neither refuses nor changes a message in its
words. Without notes, that holds for every message in legal words. Each flaw comes with a message that shows it.
What is wrong with the filters is found by `gateway.filter_proof`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from gateway.document import Path
from gateway.errors import MessageError
from gateway.map_words import Example, Probe, shown, word_path
from gateway.message import InternalMsg
from gateway.mqtt_map import FIELDS, MsgMap

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: something cannot work. warning: something does not what its author must mean. note: good to know."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something about a map: its kind (a short name), where in the map, what, the remedy, and a message that shows it.

    The place of a filter is `("topics", the filter)`.
    """

    severity: Severity
    kind: str
    path: Path
    what: str
    remedy: str
    example: Example | None = None


def prove_words(msg_map: MsgMap) -> Iterator[Flaw]:
    """Yield everything about the words of the map, field by field."""
    try:
        probe = Probe(msg_map)
        probe.foreign()
    except MessageError as err:  # a syntax, or an own name, that nothing can be written in
        yield Flaw("error", "unwritable", (), f"no message can be written: {err}", "", Example(f"not sent: {err}"))
        return
    for field in FIELDS:
        if msg_map.fields[field].maptype == "none":
            yield from _unused(probe, field)
        else:
            yield from _prove_field(probe, field)
    yield from _own_name(probe)
    yield from _replies(probe)


def _unused(probe: Probe, field: str) -> Iterator[Flaw]:
    entries = probe.map.fields[field].entries
    changed = next((internal for internal, words in entries.items() if internal != words[0]), None)
    if changed is not None:
        what = f"its {len(entries)} entries are not used, since its maptype is none: {changed!a} stays as it is"
        example = _written(probe, probe.with_word(field, changed))
        yield Flaw("warning", "unused", (field, "map"), what, "make it loose or strict, or remove the entries", example)


def _prove_field(probe: Probe, field: str) -> Iterator[Flaw]:
    field_map = probe.map.fields[field]
    for internal, words in field_map.entries.items():
        msg = probe.with_word(field, internal)
        if field == "sender" and not internal:
            what = "it is never written: a message without a sender gets the gateway's own name"
            yield Flaw("warning", "never-written", word_path(field, internal), what, "remove it", _written(probe, msg))
        else:
            yield from _prove_written(probe, field, internal, msg)
        for index, mqtt in enumerate(words):
            yield from _prove_read(probe, field, internal, index, mqtt)
        if field_map.maptype == "loose":
            yield from _loose_words(probe, field, internal)
    yield from _empty_word(probe, field)


def _prove_written(probe: Probe, field: str, internal: str, msg: InternalMsg) -> Iterator[Flaw]:
    try:
        publication = probe.map.internal2mqtt(msg)
    except MessageError as err:
        yield Flaw("error", "unwritable", word_path(field, internal), f"{internal!a} cannot be written",
                   "give it another word", Example(f"not sent: {err}", msg))  # fmt: skip
        return
    try:
        back: object = probe.map.mqtt2internal(publication.topic, publication.payload)
    except MessageError as err:
        back = err
    if back != replace(msg, sender=msg.sender or probe.map.sender):
        what = f"{internal!a} is not read back as what was written, but: {back}"
        yield Flaw("error", "changed", word_path(field, internal), what, "give it another word",
                   Example(f"read back: {back}", msg))  # fmt: skip


def _prove_read(probe: Probe, field: str, internal: str, index: int, mqtt: str) -> Iterator[Flaw]:
    path, made = word_path(field, internal, index), probe.with_mqtt_word(field, mqtt)
    if made is None:
        return
    topic, payload = made
    try:
        msg = probe.map.mqtt2internal(topic, payload)
    except MessageError as err:
        example = _read(f"dropped: {err}", topic, payload)
        if field == "action" and mqtt.lstrip()[:1] in ("", "{"):
            what = f"{mqtt!a} is read in a JSON payload only, not as a plain one"
            yield Flaw("warning", "json-only", path, what, "use another word", example)
        else:
            yield Flaw("error", "unreadable", path, f"{mqtt!a} cannot be read", "use another word", example)
    else:
        found = probe.word_in(field, msg)
        if found != internal:
            what = f"{mqtt!a} is read as {found!a}, and not as {internal!a}"
            remedy = "remove it here, or give the gateway another name" if field == "sender" else "remove one of them"
            yield Flaw("error", "unreadable", path, what, remedy, _read(f"read as: {msg}", topic, payload))


def _loose_words(probe: Probe, field: str, internal: str) -> Iterator[Flaw]:
    """Words that are not in the map, and that a loose map does not simply pass."""
    field_map = probe.map.fields[field]
    for index, mqtt in enumerate(field_map.entries[internal]):
        if not mqtt or mqtt in field_map.entries:  # what there is to say of the empty word is said below
            continue
        msg = probe.with_word(field, mqtt)
        try:
            probe.map.internal2mqtt(msg)
        except MessageError as err:
            what = f"the internal word {mqtt!a}, which is not in the map, is refused: in MQTT it means {internal!a}"
            yield Flaw("note", "collision", word_path(field, internal, index), what,
                       "give it an entry if an interface says it", Example(f"not sent: {err}", msg))  # fmt: skip
    if internal not in field_map.entries[internal]:
        made = probe.with_mqtt_word(field, internal)
        if made is None:
            return
        try:
            msg = probe.map.mqtt2internal(*made)
        except MessageError:
            return  # not a word of MQTT
        if probe.word_in(field, msg) == internal:
            what = f"the MQTT word {internal!a} passes as well, as if it were an alias of {internal!a}"
            yield Flaw("note", "undeclared-alias", word_path(field, internal), what,
                       "list it as an alias, or make the map strict", _read(f"read as: {msg}", *made))  # fmt: skip


def _empty_word(probe: Probe, field: str) -> Iterator[Flaw]:
    """The empty word says that there is none; where it means something, that can no longer be said."""
    field_map = probe.map.fields[field]
    owner = field_map.read("")
    if not owner or "" in field_map.entries or field == "sender":
        return
    msg = probe.with_word(field, "")
    try:
        probe.map.internal2mqtt(msg)
    except MessageError as err:
        index = list(field_map.entries[owner]).index("")
        what = f"a message without {field} cannot be written, since the empty MQTT word means {owner!a}"
        yield Flaw("warning", "empty-word", word_path(field, owner, index), what, 'add an entry for the empty word ""',
                   Example(f"not sent: {err}", msg))  # fmt: skip


def _own_name(probe: Probe) -> Iterator[Flaw]:
    """Aliases of the gateway's own name are other gateways that it never hears."""
    own, field_map = probe.map.sender, probe.map.fields["sender"]
    if field_map.maptype == "none":
        return
    for index, mqtt in enumerate(field_map.entries.get(own, ())):
        made = probe.with_mqtt_word("sender", mqtt)
        if index and made:
            what = f"messages of {mqtt!a} are dropped as the gateway's own, which is called {own!a}"
            yield Flaw("warning", "own-name", word_path("sender", own, index), what, "remove it",
                       _read("dropped as an echo", *made))  # fmt: skip


def _replies(probe: Probe) -> Iterator[Flaw]:
    """A gateway that hears commands answers them, with the arguments `response` and `reason`."""
    if not any(_is_command(topic_filter) for topic_filter in probe.map.topics):
        return
    command = probe.message(is_command=True)
    for field, words in ("argkey", ("response", "reason")), ("argvalue", ("OK", "ERROR", "", "the device is away")):
        for word in words:
            problem = probe.map.problem_of(field, word)
            if problem:
                reply = command.reply("ERROR" if word == "ERROR" else "OK", "" if word in ("", "OK", "ERROR") else word)
                try:
                    probe.map.internal2mqtt(reply)
                except MessageError as err:
                    what = f"answers to commands cannot be written: {word!a} is refused"
                    yield Flaw("warning", "reply", (field, "maptype"), what, "make it loose, or add the word",
                               Example(f"not sent: {err}", reply))  # fmt: skip
                    break


def _is_command(topic_filter: str) -> bool:
    return topic_filter[-1] in "C+#"


def _written(probe: Probe, msg: InternalMsg) -> Example:
    try:
        publication = probe.map.internal2mqtt(msg)
    except MessageError as err:
        return Example(f"not sent: {err}", msg)
    return Example(f"sent as {shown(publication.topic)} {shown(publication.payload)}", msg)


def _read(outcome: str, topic: str, payload: bytes) -> Example:
    return Example(outcome, None, topic, payload)
