"""Checks the words of a map exhaustively: each entry is written and read back, each alias is read. Pure.

The guarantee: a map without errors and warnings neither refuses nor changes a message that consists of its words, if a
form has a place for each of them. A map without notes guarantees that for every message of valid words. The one
exception is the type of a plain value: the text `50` is read as a number unless the form declares it as text.
Each flaw comes with a message that shows it. `gateway.map_tools.filter_proof` checks the topic filters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.configuration.document import Path
from gateway.core.counting import counted
from gateway.errors import MessageError
from gateway.map_tools.probe import FormProbe, Probe, statuses_first, word_in
from gateway.map_tools.words import Example, shown, word_path
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: something cannot work. warning: something probably does not do what was intended. note: for information."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A finding about a map: its severity, kind (a short name), place, description, remedy, and an example message.

    The path of a filter is `("topics", the filter)`.
    """

    severity: Severity
    kind: str
    path: Path
    what: str
    remedy: str
    example: Example | None = None


def check_words(msg_map: MsgMap) -> Iterator[Flaw]:
    """Yield the flaws of the words of the map, field by field."""
    probe = Probe(msg_map)
    unusable = probe.unusable()
    for err, form in {
        str(err): form for form, err in reversed(unusable.items())
    }.items():  # each reason is reported once
        what = f"no message can be written in the form {form.name!a}: {err}"
        yield Flaw("error", "unwritable", form.path, what, "", Example(f"not sent: {err}", form.message))
    if len(unusable) == len(probe.forms):
        return
    for field in FIELDS:
        forms = [form for form in probe.forms_with(field) if form not in unusable]
        if not probe.forms_with(field):
            yield from _no_place(probe, field)
        elif msg_map.fields[field].maptype == "none":
            yield from _unused(probe, field)
        elif forms:
            yield from _check_field(probe, forms, field)
    yield from _empty_level(probe)
    yield from _own_name(probe)
    yield from _replies(probe)


def _unused(probe: Probe, field: str) -> Iterator[Flaw]:
    entries = probe.map.fields[field].entries
    changed = next((internal for internal, words in entries.items() if internal != words[0]), None)
    if changed is not None:
        unused = counted(len(entries), "entry is", "entries are")
        what = f"its {unused} not used, since its maptype is none: {changed!a} is not translated"
        msg = next(msg for form in statuses_first(probe.forms) if (msg := form.with_word(field, changed)))
        example = _written(probe, msg)
        yield Flaw("warning", "unused", (field, "map"), what, "make it loose or strict, or remove the entries", example)


def _no_place(probe: Probe, field: str) -> Iterator[Flaw]:
    number = len(probe.map.fields[field].entries)
    if not number:
        return
    what = f"its {counted(number, 'entry is', 'entries are')} not used, since no form of the syntax has a place for it"
    example = _written(probe, probe.forms[0].message)
    yield Flaw("warning", "unused", (field, "map"), what, "give it a place in a form, or remove the entries", example)


def _check_field(probe: Probe, forms: Sequence[FormProbe], field: str) -> Iterator[Flaw]:
    field_map = probe.map.fields[field]
    for internal, words in field_map.entries.items():
        if field == "sender" and not internal:
            what = "it is never written: a message without a sender gets the gateway's own name"
            yield Flaw("warning", "never-written", word_path(field, internal), what, "remove it",
                       _written(probe, statuses_first(forms)[0].message))  # fmt: skip
        else:
            yield from _first(_check_written(probe, form, field, internal) for form in statuses_first(forms))
        for index, mqtt in enumerate(words):
            yield from _first(_check_read(probe, form, field, internal, index, mqtt) for form in forms)
        if field_map.maptype == "loose":
            yield from _loose_words(probe, forms, field, internal)
    yield from _empty_word(probe, forms, field)


def _first(flaws_by_form: Iterable[Iterator[Flaw]]) -> Iterator[Flaw]:
    """Yield the flaws of the first form that has any: one example is enough."""
    yield from next(filter(None, map(list, flaws_by_form)), [])


def _check_written(probe: Probe, form: FormProbe, field: str, internal: str) -> Iterator[Flaw]:
    msg = form.with_word(field, internal)
    if msg is None:
        return
    try:
        publication = probe.unfiltered.internal2mqtt(msg)
    except MessageError as err:
        yield Flaw("error", "unwritable", word_path(field, internal), f"{internal!a} cannot be written",
                   "give it another word", Example(f"not sent: {err}", msg))  # fmt: skip
        return
    try:
        back: object = probe.unfiltered.mqtt2internal(publication.topic, publication.payload)
    except MessageError as err:
        back = err
    if not (isinstance(back, InternalMsg) and back == msg.replace(sender=_sender_read(probe, msg, publication.topic))):
        what = f"{internal!a} is not read back as it was written, but as: {back}"
        yield Flaw("error", "changed", word_path(field, internal), what, "give it another word",
                   Example(f"read back: {back}", msg))  # fmt: skip


def _sender_read(probe: Probe, msg: InternalMsg, topic: str) -> str:
    """Return the sender that `msg`, written to `topic`, has after it is read back."""
    has_sender = any(form.has_place_for("sender") for form in probe.forms if form.form.has_shape(topic))
    return (msg.sender or probe.map.sender) if has_sender else ""


def _check_read(probe: Probe, form: FormProbe, field: str, internal: str, index: int, mqtt: str) -> Iterator[Flaw]:
    path, received = word_path(field, internal, index), form.with_mqtt_word(field, mqtt)
    if received is None:
        return
    topic, payload = received
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
        word = word_in(field, msg)
        if word != internal:
            meaning = "nothing" if word is None else f"{word!a}"
            what = f"{mqtt!a} is read as {meaning}, and not as {internal!a}"
            remedy = "remove it here, or give the gateway another name" if field == "sender" else "remove one of them"
            yield Flaw("error", "unreadable", path, what, remedy, _read(f"read as: {msg}", topic, payload))


def _loose_words(probe: Probe, forms: Sequence[FormProbe], field: str, internal: str) -> Iterator[Flaw]:
    """Yield the words that are not in the map, and that a loose map nevertheless does not leave unchanged."""
    field_map = probe.map.fields[field]
    for index, mqtt in enumerate(field_map.entries[internal]):
        if not mqtt or mqtt in field_map.entries:  # _empty_word reports that one
            continue
        example = _refused(probe, forms, field, mqtt)
        if example:
            what = f"the internal word {mqtt!a}, which is not in the map, is refused: in MQTT it means {internal!a}"
            yield Flaw("note", "collision", word_path(field, internal, index), what,
                       "give it an entry if an interface uses it", example)  # fmt: skip
    if internal not in field_map.entries[internal]:
        yield from _first(_undeclared(probe, form, field, internal) for form in forms)


def _undeclared(probe: Probe, form: FormProbe, field: str, internal: str) -> Iterator[Flaw]:
    received = form.with_mqtt_word(field, internal)
    if received is None:
        return
    try:
        msg = probe.map.mqtt2internal(*received)
    except MessageError:
        return  # it cannot be received as an MQTT word
    if word_in(field, msg) == internal:
        what = f"the MQTT word {internal!a} is accepted as well, as if it were an alias of {internal!a}"
        yield Flaw("note", "undeclared-alias", word_path(field, internal), what,
                   "list it as an alias, or make the map strict", _read(f"read as: {msg}", *received))  # fmt: skip


def _refused(probe: Probe, forms: Sequence[FormProbe], field: str, word: str) -> Example | None:
    """Return a message that cannot be written because the field's map refuses `word`; None if the map accepts it."""
    try:
        probe.map.fields[field].write(word)
    except MessageError:
        pass
    else:
        return None
    for msg in filter(None, (form.with_word(field, word) for form in statuses_first(forms))):
        try:
            probe.unfiltered.internal2mqtt(msg)
        except MessageError as err:
            return Example(f"not sent: {err}", msg)
    return None  # it is the constant of another form, which accepts it


def _empty_word(probe: Probe, forms: Sequence[FormProbe], field: str) -> Iterator[Flaw]:
    """Find an empty MQTT word with a meaning: the empty word means "none", which can then no longer be written."""
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
    """Find messages that contain the word for empty levels: it would be read as an empty word."""
    word = probe.map.empty_level
    for field in (field for field in FIELDS if word and probe.map.fields[field].empty):
        example = _refused(probe, probe.forms_with(field), field, word)
        if example:
            what = f"the word {word!a} is refused where it would stand in a topic: there it stands for an empty level"
            remedy = "use a word that no interface uses"
            yield Flaw("note", "empty-level", ("empty_level",), what, remedy, example)
            return


def _own_name(probe: Probe) -> Iterator[Flaw]:
    """Find aliases of the gateway's own name: the messages of gateways with these names are dropped as its own."""
    name, field_map = probe.map.sender, probe.map.fields["sender"]
    if field_map.maptype == "none":
        return
    for index, mqtt in enumerate(field_map.entries.get(name, ())):
        received = next((made for form in probe.forms if (made := form.with_mqtt_word("sender", mqtt))), None)
        if index and received:
            what = f"messages of {mqtt!a} are dropped as the gateway's own, since it is called {name!a}"
            yield Flaw("warning", "own-name", word_path("sender", name, index), what, "remove it",
                       _read("dropped as an echo", *received))  # fmt: skip


def _replies(probe: Probe) -> Iterator[Flaw]:
    """Check that the outcomes of commands can be published: they need a form with a place for their arguments."""
    commands = [(topic_filter, form) for topic_filter in probe.map.topics for form in probe.forms_matching(topic_filter)
                if form.is_command]  # fmt: skip
    for topic_filter, form in commands:
        yield from _reply_to(probe, topic_filter, form)


def _reply_to(probe: Probe, topic_filter: str, form: FormProbe) -> Iterator[Flaw]:
    """Check the answer to a command that the filter matches, unless a flaw of its words already prevents it."""
    try:
        command = probe.map.mqtt2internal(form.topic_matching(topic_filter), form.payload)
        probe.unfiltered.internal2mqtt(command if form.has_place_for("sender") else command.replace(sender=""))
    except MessageError:
        return  # another check reports that
    reply = command.reply("OK")
    try:
        probe.map.internal2mqtt(reply)
    except MessageError as err:
        what = f"answers to the commands that {topic_filter!a} matches cannot be written"
        remedy = "give the statuses a form that has a place for them, or narrow the filter that would bring them back"
        yield Flaw("warning", "reply", ("topics", topic_filter), what, remedy, Example(f"not sent: {err}", reply))


def _written(probe: Probe, msg: InternalMsg) -> Example:
    try:
        publication = probe.unfiltered.internal2mqtt(msg)
    except MessageError as err:
        return Example(f"not sent: {err}", msg)
    return Example(f"sent as {shown(publication.topic)} {shown(publication.payload)}", msg)


def _read(outcome: str, topic: str, payload: bytes) -> Example:
    return Example(outcome, None, topic, payload)
