"""Proves a map, exhaustively: each entry is written and read back, each alias is read. Pure.

The law: a map without flaws of the severities error and warning neither refuses nor changes a message in its
words for which a form has a place. Without notes, that holds for every message in legal words, but for the type of
one plain value: the text `50` is read as a number where the form does not say that it is text. Each flaw comes with a
message that shows it.
What is wrong with the filters is found by `gateway.map_tools.filter_proof`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.configuration.document import Path
from gateway.errors import MessageError
from gateway.map_tools.probe import FormProbe, Probe, statuses_first, word_in
from gateway.map_tools.words import Example, shown, word_path
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap

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
    probe = Probe(msg_map)
    unusable = probe.unusable()
    for err, form in {str(err): form for form, err in reversed(unusable.items())}.items():  # each reason once
        what = f"no message can be written in the form {form.name!a}: {err}"
        yield Flaw("error", "unwritable", form.path, what, "", Example(f"not sent: {err}", form.message))
    if len(unusable) == len(probe.forms):
        return
    for field in FIELDS:
        forms = [form for form in probe.holding(field) if form not in unusable]
        if not probe.holding(field):
            yield from _no_place(probe, field)
        elif msg_map.fields[field].maptype == "none":
            yield from _unused(probe, field)
        elif forms:
            yield from _prove_field(probe, forms, field)
    yield from _empty_level(probe)
    yield from _own_name(probe)
    yield from _replies(probe)


def _unused(probe: Probe, field: str) -> Iterator[Flaw]:
    entries = probe.map.fields[field].entries
    changed = next((internal for internal, words in entries.items() if internal != words[0]), None)
    if changed is not None:
        what = f"its {len(entries)} entries are not used, since its maptype is none: {changed!a} stays as it is"
        msg = next(msg for form in statuses_first(probe.forms) if (msg := form.with_word(field, changed)))
        example = _written(probe, msg)
        yield Flaw("warning", "unused", (field, "map"), what, "make it loose or strict, or remove the entries", example)


def _no_place(probe: Probe, field: str) -> Iterator[Flaw]:
    number = len(probe.map.fields[field].entries)
    if not number:
        return
    what = f"its {number} entries are not used, since no form of the syntax has a place for it"
    example = _written(probe, probe.forms[0].message)
    yield Flaw("warning", "unused", (field, "map"), what, "give it a place in a form, or remove the entries", example)


def _prove_field(probe: Probe, forms: Sequence[FormProbe], field: str) -> Iterator[Flaw]:
    field_map = probe.map.fields[field]
    for internal, words in field_map.entries.items():
        if field == "sender" and not internal:
            what = "it is never written: a message without a sender gets the gateway's own name"
            yield Flaw("warning", "never-written", word_path(field, internal), what, "remove it",
                       _written(probe, statuses_first(forms)[0].message))  # fmt: skip
        else:
            yield from _first(_prove_written(probe, form, field, internal) for form in statuses_first(forms))
        for index, mqtt in enumerate(words):
            yield from _first(_prove_read(probe, form, field, internal, index, mqtt) for form in forms)
        if field_map.maptype == "loose":
            yield from _loose_words(probe, forms, field, internal)
    yield from _empty_word(probe, forms, field)


def _first(found: Iterable[Iterator[Flaw]]) -> Iterator[Flaw]:
    """Yield what is found in the first form in which there is something: one message is enough to show it."""
    yield from next(filter(None, map(list, found)), [])


def _prove_written(probe: Probe, form: FormProbe, field: str, internal: str) -> Iterator[Flaw]:
    msg = form.with_word(field, internal)
    if msg is None:
        return
    try:
        publication = probe.quiet.internal2mqtt(msg)
    except MessageError as err:
        yield Flaw("error", "unwritable", word_path(field, internal), f"{internal!a} cannot be written",
                   "give it another word", Example(f"not sent: {err}", msg))  # fmt: skip
        return
    try:
        back: object = probe.quiet.mqtt2internal(publication.topic, publication.payload)
    except MessageError as err:
        back = err
    if not (isinstance(back, InternalMsg) and back == msg.replace(sender=_sender_read(probe, msg, publication.topic))):
        what = f"{internal!a} is not read back as what was written, but: {back}"
        yield Flaw("error", "changed", word_path(field, internal), what, "give it another word",
                   Example(f"read back: {back}", msg))  # fmt: skip


def _sender_read(probe: Probe, msg: InternalMsg, topic: str) -> str:
    """Return the sender that `msg`, written to `topic`, has when it is read back."""
    has_sender = any(form.holds("sender") for form in probe.forms if form.form.has_shape(topic))
    return (msg.sender or probe.map.sender) if has_sender else ""


def _prove_read(probe: Probe, form: FormProbe, field: str, internal: str, index: int, mqtt: str) -> Iterator[Flaw]:
    path, made = word_path(field, internal, index), form.with_mqtt_word(field, mqtt)
    if made is None:
        return
    topic, payload = made
    try:
        msg = probe.map.mqtt2internal(topic, payload)
    except MessageError as err:
        example = _read(f"dropped: {err}", topic, payload)
        if field == "action" and form.level_of(field) is None and mqtt.lstrip()[:1] in ("", "{"):
            what = f"{mqtt!a} is read in a JSON payload only, not as a plain one"
            yield Flaw("warning", "json-only", path, what, "use another word", example)
        else:
            yield Flaw("error", "unreadable", path, f"{mqtt!a} cannot be read", "use another word", example)
    else:
        found = word_in(field, msg)
        if found != internal:
            as_what = "nothing" if found is None else f"{found!a}"
            what = f"{mqtt!a} is read as {as_what}, and not as {internal!a}"
            remedy = "remove it here, or give the gateway another name" if field == "sender" else "remove one of them"
            yield Flaw("error", "unreadable", path, what, remedy, _read(f"read as: {msg}", topic, payload))


def _loose_words(probe: Probe, forms: Sequence[FormProbe], field: str, internal: str) -> Iterator[Flaw]:
    """Words that are not in the map, and that a loose map does not simply pass."""
    field_map = probe.map.fields[field]
    for index, mqtt in enumerate(field_map.entries[internal]):
        if not mqtt or mqtt in field_map.entries:  # what there is to say of the empty word is said below
            continue
        example = _refused(probe, forms, field, mqtt)
        if example:
            what = f"the internal word {mqtt!a}, which is not in the map, is refused: in MQTT it means {internal!a}"
            yield Flaw("note", "collision", word_path(field, internal, index), what,
                       "give it an entry if an interface says it", example)  # fmt: skip
    if internal not in field_map.entries[internal]:
        yield from _first(_undeclared(probe, form, field, internal) for form in forms)


def _undeclared(probe: Probe, form: FormProbe, field: str, internal: str) -> Iterator[Flaw]:
    made = form.with_mqtt_word(field, internal)
    if made is None:
        return
    try:
        msg = probe.map.mqtt2internal(*made)
    except MessageError:
        return  # not a word of MQTT
    if word_in(field, msg) == internal:
        what = f"the MQTT word {internal!a} passes as well, as if it were an alias of {internal!a}"
        yield Flaw("note", "undeclared-alias", word_path(field, internal), what,
                   "list it as an alias, or make the map strict", _read(f"read as: {msg}", *made))  # fmt: skip


def _refused(probe: Probe, forms: Sequence[FormProbe], field: str, word: str) -> Example | None:
    """Return a message that cannot be written since the map of the field refuses `word`; None if it does not."""
    try:
        probe.map.fields[field].write(word)
    except MessageError:
        pass
    else:
        return None
    for msg in filter(None, (form.with_word(field, word) for form in statuses_first(forms))):
        try:
            probe.quiet.internal2mqtt(msg)
        except MessageError as err:
            return Example(f"not sent: {err}", msg)
    return None  # it is the constant of another form, which takes it


def _empty_word(probe: Probe, forms: Sequence[FormProbe], field: str) -> Iterator[Flaw]:
    """The empty word says that there is none; where it means something, that can no longer be said."""
    field_map = probe.map.fields[field]
    owner = field_map.read("")
    if not owner or "" in field_map.entries or field == "sender":
        return
    example = _refused(probe, forms, field, "")
    if example:
        index = list(field_map.entries[owner]).index("")
        what = f"a message without {field} cannot be written, since the empty MQTT word means {owner!a}"
        yield Flaw("warning", "empty-word", word_path(field, owner, index), what, 'add an entry for the empty word ""',
                   example)  # fmt: skip


def _empty_level(probe: Probe) -> Iterator[Flaw]:
    """The word for empty levels, as a word of a message, would be read as none."""
    word = probe.map.empty_level
    for field in (field for field in FIELDS if word and probe.map.fields[field].empty):
        example = _refused(probe, probe.holding(field), field, word)
        if example:
            what = f"the word {word!a} is refused where it would stand in a topic: there it means that there is none"
            remedy = "use a word that no interface says"
            yield Flaw("note", "empty-level", ("empty_level",), what, remedy, example)
            return


def _own_name(probe: Probe) -> Iterator[Flaw]:
    """Aliases of the gateway's own name are other gateways that it never hears."""
    own, field_map = probe.map.sender, probe.map.fields["sender"]
    if field_map.maptype == "none":
        return
    for index, mqtt in enumerate(field_map.entries.get(own, ())):
        made = next((made for form in probe.forms if (made := form.with_mqtt_word("sender", mqtt))), None)
        if index and made:
            what = f"messages of {mqtt!a} are dropped as the gateway's own, which is called {own!a}"
            yield Flaw("warning", "own-name", word_path("sender", own, index), what, "remove it",
                       _read("dropped as an echo", *made))  # fmt: skip


def _replies(probe: Probe) -> Iterator[Flaw]:
    """A gateway that hears commands says their outcomes, which want a form with a place for their arguments."""
    heard = [(topic_filter, form) for topic_filter in probe.map.topics for form in probe.hearing(topic_filter)
             if form.is_command]  # fmt: skip
    for topic_filter, form in heard:
        yield from _reply_to(probe, topic_filter, form)


def _reply_to(probe: Probe, topic_filter: str, form: FormProbe) -> Iterator[Flaw]:
    """The answer to a command that a filter lets in, where its words are not what keeps it from being written."""
    try:
        command = probe.map.mqtt2internal(form.filled(topic_filter), form.payload)
        probe.quiet.internal2mqtt(command if form.holds("sender") else command.replace(sender=""))
    except MessageError:
        return  # it is said elsewhere
    reply = command.reply("OK")
    try:
        probe.map.internal2mqtt(reply)
    except MessageError as err:
        what = f"answers to the commands that {topic_filter!a} lets in cannot be written"
        remedy = "give the statuses a form that has a place for them, or narrow the filter that would bring them back"
        yield Flaw("warning", "reply", ("topics", topic_filter), what, remedy, Example(f"not sent: {err}", reply))


def _written(probe: Probe, msg: InternalMsg) -> Example:
    try:
        publication = probe.quiet.internal2mqtt(msg)
    except MessageError as err:
        return Example(f"not sent: {err}", msg)
    return Example(f"sent as {shown(publication.topic)} {shown(publication.payload)}", msg)


def _read(outcome: str, topic: str, payload: bytes) -> Example:
    return Example(outcome, None, topic, payload)
