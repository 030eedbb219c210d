"""Proves the filters of a map: what they let in that the map refuses, what they keep out, what comes twice. Pure.

A filter is tried with topics that match it, which the map is then given to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.core.topic import filter_levels, filter_matches, without_covered
from gateway.errors import MessageError, TopicError
from gateway.map_tools.probe import FormProbe, Probe, statuses_first, written_out
from gateway.map_tools.proof import Flaw
from gateway.map_tools.words import Example, shown, stranger, word_path
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import MsgMap

_TRIED_MEETINGS = 100  # of one filter with others, until a topic is found that the map reads


def prove_filters(msg_map: MsgMap) -> Iterator[Flaw]:
    """Yield everything about the filters of the map, and about the words that they do not let in."""
    probe = Probe(msg_map)
    if len(probe.unusable()) == len(probe.forms):  # said with the words
        return
    if not msg_map.topics:
        what = "there are no filters: nothing is heard, and aliases are never read"
        yield Flaw("note", "deaf", ("topics",), what, "add filters if there is something to hear")
        return
    for topic_filter in msg_map.topics:
        forms = probe.hearing(topic_filter)
        if not forms:  # a map of the original may have some
            yield from _dead(probe, topic_filter)
            continue
        yield from _open_ends(probe, topic_filter, forms)
        yield from _open_levels(probe, topic_filter, forms)
        yield from _own_output(probe, topic_filter, forms)
        yield from _empty_levels(probe, topic_filter, forms)
    yield from _overlaps(probe)
    for name in (*ADDRESS_FIELDS, "action"):
        yield from _unheard_words(probe, name)


def _tried(probe: Probe, topic: str, payload: bytes) -> MessageError | None:
    """Return why the map refuses what comes on `topic`, or None if it does not."""
    try:
        probe.map.mqtt2internal(topic, payload)
    except MessageError as err:
        return err
    return None


def _dead(probe: Probe, topic_filter: str) -> Iterator[Flaw]:
    example = None
    for form in probe.forms:
        topic = form.filled(topic_filter)
        err = _tried(probe, topic, form.payload)
        if err and filter_matches(topic_filter, topic):
            example = _dropped(err, topic, form.payload)
            break
    what = f"{topic_filter!a} lets in no topic that the map reads"
    yield Flaw("warning", "dead", ("topics", topic_filter), what, "correct it, or remove it", example)


def _open_ends(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    levels = filter_levels(topic_filter)
    if levels[-1] != "#":
        return
    plain = filter_levels(topic_filter.replace("+", "x"))[:-1]
    too_many = max(len(form.form.levels) for form in probe.forms)
    for topic in "/".join(plain), "/".join([*plain, "x"]), "/".join([*plain, *["x"] * too_many]):
        err = _tried(probe, topic, forms[0].payload) if topic else None
        if isinstance(err, TopicError) and filter_matches(topic_filter, topic):
            head = topic_filter[: len(topic_filter) - len("/".join(levels))]  # of a shared subscription
            meant = [form for form in forms if form.is_command] or forms
            narrow = dict.fromkeys(head + "/".join(_meeting(form, topic_filter)) for form in meant)
            what = f"{topic_filter!a} lets in topics that are none of this map"
            remedy = f"write the levels out: {', '.join(narrow)}"
            example = _dropped(err, topic, forms[0].payload)
            yield Flaw("warning", "open-end", ("topics", topic_filter), what, remedy, example)
            return


def _meeting(form: FormProbe, topic_filter: str) -> list[str]:
    """Return the levels of the filter for all that `topic_filter` lets in of the form."""
    own = form.form.filter.split("/")
    given = written_out(topic_filter, len(own))
    return [level if level != "+" else there for level, there in zip(given, own, strict=True)]


def _open_levels(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """Wildcards that let in words which the map refuses."""
    told: set[int] = set()
    for form in forms:
        for at, level in enumerate(written_out(topic_filter, len(form.form.levels))):
            if level != "+" or at in told or _tried(probe, form.filled(topic_filter), form.payload):
                continue
            word = stranger({text for other in probe.forms for text in other.known_at(at)})
            topic = form.filled(topic_filter, fill={at: word}.get)
            err = _tried(probe, topic, form.payload)
            if err is not None:
                told.add(at)
                what = f"{topic_filter!a} lets in topics with {word!a} at level {at + 1}, which the map refuses"
                remedy = "one filter for each word keeps them away from the gateway"
                example = _dropped(err, topic, form.payload)
                yield Flaw("note", "wide", ("topics", topic_filter), what, remedy, example)


def _empty_levels(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """An empty level in a filter, where the map writes a word instead."""
    word = probe.map.empty_level
    for form in forms if word else ():
        levels = written_out(topic_filter, len(form.form.levels))
        narrowed = [word if not text and level.is_word and level.maps[0].empty else text
                    for text, level in zip(levels, form.form.levels, strict=True)]  # fmt: skip
        topic = form.filled("/".join(narrowed))
        if narrowed != levels and not probe.heard_by(topic) and not _tried(probe, topic, form.payload):
            what = f"{topic_filter!a} has an empty level, where this map writes {word!a}"
            example = Example("not heard: no filter lets it in", None, topic, form.payload)
            remedy = f"write {'/'.join(narrowed)}"
            yield Flaw("warning", "internal-word", ("topics", topic_filter), what, remedy, example)
            return


def _own_output(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """What the gateway itself may say, and would hear again."""
    heard, own, examples = 0, 0, {}
    path = ("topics", topic_filter)
    for form in statuses_first(forms):
        topic = form.filled(topic_filter)
        try:
            msg = probe.map.mqtt2internal(topic, form.payload)
        except MessageError:
            continue
        heard += 1
        if probe.map.is_echo(msg):
            own += 1
            only_own = Example("dropped as an echo", None, topic, form.payload)
        mine = msg.replace(sender="")
        if not form.holds("sender"):
            yield from _unsent(probe, topic_filter, form, mine)
            continue
        try:
            publication = probe.map.internal2mqtt(mine)
            back = probe.map.mqtt2internal(publication.topic, publication.payload)
        except MessageError:
            continue
        if not filter_matches(topic_filter, publication.topic):
            continue
        if not probe.map.is_echo(back):
            example = Example(f"sent as {shown(publication.topic)}, heard again as: {back}", mine)
            what = f"what the gateway sends comes back through {topic_filter!a}, and is not known as its own"
            yield Flaw("error", "loop", path, what, "make the filter narrower", example)
        else:
            example = Example(f"sent as {shown(publication.topic)}, comes back, dropped as an echo", mine)
            examples[form.kind] = example
    if heard and own == heard:
        what = f"{topic_filter!a} lets in nothing but the gateway's own messages, which it drops"
        yield Flaw("warning", "only-own", path, what, "put another sender in it, or '+'", only_own)
    elif examples:
        what = f"{topic_filter!a} lets in the gateway's own {' and '.join(examples)}, which are dropped as an echo"
        remedy = "nothing to do, if the traffic does not matter"
        yield Flaw("note", "echo", path, what, remedy, next(iter(examples.values())))


def _unsent(probe: Probe, topic_filter: str, form: FormProbe, plain: InternalMsg) -> Iterator[Flaw]:
    """What would come back without a sender is not written there."""
    found = form.written(probe.quiet, plain)
    if found is None or not filter_matches(topic_filter, found[1]):
        return
    mine = found[0]
    try:
        outcome = f"sent as {shown(probe.map.internal2mqtt(mine).topic)} instead"
    except MessageError as err:
        outcome = f"not sent: {err}"
    what = (
        f"own {form.kind} are not written to {form.form.shape} where {topic_filter!a} lets them in: without a sender, "
        f"they could not be told from another's"
    )
    remedy = "nothing to do, if only others say them; else narrow the filter"
    yield Flaw("note", "unsent", ("topics", topic_filter), what, remedy, Example(outcome, mine))


def _dropped(err: MessageError, topic: str, payload: bytes) -> Example:
    return Example(f"dropped: {err}", None, topic, payload)


# --- words that are not heard


def _unheard_words(probe: Probe, name: str) -> Iterator[Flaw]:
    field_map = probe.map.fields[name]
    forms = [form for form in probe.holding(name) if form.level_of(name) is not None]
    if field_map.maptype == "none" or not forms:
        return
    let_in: set[str] = set()
    for form in probe.holding(name):
        passing = _let_in(probe, form, name)
        if passing is None:
            return
        let_in |= passing
    for internal, words in field_map.entries.items():
        if name == "sender" and internal == probe.map.sender:
            continue
        for index, mqtt in enumerate(words):
            if mqtt in let_in or field_map.read(mqtt) != internal:
                continue
            tries = ((form, made) for form in forms if (made := form.with_mqtt_word(name, mqtt)))
            found = next(((form, made) for form, made in tries if not _tried(probe, *made)), None)
            if found is None:  # it cannot be read at all
                continue
            form, made = found
            example = Example("not heard: no filter lets it in", None, *made)
            if index:
                what = f"the alias {mqtt!a} is never read: no filter lets it in"
                remedy = f"add a filter for it, such as {_filter_for(probe, form, name, made[0])}, or remove it"
                yield Flaw("warning", "unheard-alias", word_path(name, internal, index), what, remedy, example)
            elif not let_in & set(words):
                what = f"no filter lets in {mqtt!a}: it is written, and never read"
                yield Flaw("note", "write-only", word_path(name, internal), what, "nothing to do, if so meant", example)
    for form in forms:
        yield from _internal_words(probe, form, name, let_in)


def _let_in(probe: Probe, form: FormProbe, name: str) -> set[str] | None:
    """Return the MQTT words of the field that the filters let in for messages of the form; None for all."""
    found: set[str] = set()
    at = form.level_of(name)
    for topic_filter in probe.map.topics if form.topic is not None else ():
        if form.form.hears(topic_filter):
            level = "+" if at is None else written_out(topic_filter, len(form.form.levels))[at]
            if level == "+":
                return None
            found.add(form.level_word(name, level) or "")
    return found


def _internal_words(probe: Probe, form: FormProbe, name: str, let_in: set[str]) -> Iterator[Flaw]:
    """Filters that name the internal word, where MQTT has another."""
    field_map = probe.map.fields[name]
    for topic_filter in probe.map.topics:
        if not form.form.hears(topic_filter):
            continue
        word = form.level_word(name, written_out(topic_filter, len(form.form.levels))[form.level_of(name) or 0]) or ""
        words = field_map.entries.get(word, ())
        if words and word not in words and field_map.read(word) == word and not let_in & set(words):
            what = f"{topic_filter!a} names the internal word {word!a}, which is {words[0]!a} in MQTT"
            remedy = f"write {words[0]!a} in the filter"
            made = form.with_mqtt_word(name, words[0])
            example = Example("not heard: no filter lets it in", None, *made) if made else None
            yield Flaw("warning", "internal-word", ("topics", topic_filter), what, remedy, example)


def _filter_for(probe: Probe, form: FormProbe, name: str, topic: str) -> str:
    """Return a filter like those that there are, for what has the word of the field that `topic` has."""
    near = next((one for one in probe.map.topics if form.form.hears(one)), form.form.filter)
    at = form.level_of(name) or 0
    levels = _meeting(form, near)
    return "/".join([*levels[:at], topic.split("/")[at], *levels[at + 1 :]])


# --- filters that meet


@dataclass(slots=True)
class _Node:
    """A level of all filters, as a tree; `end` is the filter that ends here."""

    below: dict[str, _Node] = field(default_factory=dict)
    end: str | None = None


def _overlaps(probe: Probe) -> Iterator[Flaw]:
    tree = _Node()
    for topic_filter in sorted(probe.map.topics, key=_openness):
        if topic_filter.startswith("$share/"):
            continue
        levels = topic_filter.split("/")
        others = islice(_meetings(tree, levels), _TRIED_MEETINGS)
        yield from next(filter(None, (list(_overlap(probe, topic_filter, other)) for other in others)), [])
        node = tree
        for level in levels:
            node = node.below.setdefault(level, _Node())
        node.end = topic_filter


def _openness(topic_filter: str) -> tuple[bool, int]:
    """The wider a filter, the earlier: so a covered one meets the one that covers it."""
    levels = topic_filter.split("/")
    return levels[-1] != "#", -levels.count("+")


def _meetings(node: _Node, levels: list[str], at: int = 0) -> Iterator[str]:
    """Yield the filters below `node` that match a topic which `levels`, those of a filter, match as well."""
    if "#" in node.below and node.below["#"].end is not None:
        yield node.below["#"].end
    if at == len(levels):
        if node.end is not None:
            yield node.end
    elif levels[at] == "#":
        yield from _ends(node)
    else:
        for step in [levels[at], "+"] if levels[at] != "+" else [step for step in node.below if step != "#"]:
            if step in node.below:
                yield from _meetings(node.below[step], levels, at + 1)


def _ends(node: _Node) -> Iterator[str]:
    if node.end is not None:
        yield node.end
    for below in node.below.values():
        yield from _ends(below)


def _overlap(probe: Probe, one: str, other: str) -> Iterator[Flaw]:
    for form in probe.hearing(one):
        if form.form.hears(other):
            merged = (there if here == "+" else here for here, there in zip(
                written_out(one, len(form.form.levels)), _meeting(form, other), strict=True))  # fmt: skip
            topic, payload = form.filled("/".join(merged)), form.payload
            if filter_matches(one, topic) and filter_matches(other, topic) and not _tried(probe, topic, payload):
                break
    else:
        return  # only topics that the map refuses are in both
    example = Example(f"matches {shown(one)} and {shown(other)}", None, topic, payload)
    if without_covered((one, other)) == (other,):
        what = f"{one!a} adds nothing: {other!a} lets in all of it"
        yield Flaw("note", "covered", ("topics", one), what, "remove it", example)
    else:
        what = f"{one!a} and {other!a} overlap: a broker may send twice what is in both"
        yield Flaw("warning", "overlap", ("topics", one), what, "make one of them narrower", example)
