"""Checks the topic filters of a map: matches that the map refuses, words that no filter matches, overlaps. Pure.

Each filter is tried with topics that match it, which the map then reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.core.topic import filter_levels, filter_matches, without_covered
from gateway.errors import MessageError, TopicError
from gateway.map_tools.probe import FormProbe, Probe, expanded_levels, statuses_first
from gateway.map_tools.proof import Flaw
from gateway.map_tools.words import Example, shown, unused_word, word_path
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import MsgMap

_MAX_OVERLAPS = 100  # of one filter with others that are tried to find a topic that the map reads


def check_filters(msg_map: MsgMap) -> Iterator[Flaw]:
    """Yield the flaws of the filters of the map, and the words that no filter matches."""
    probe = Probe(msg_map)
    if len(probe.unusable()) == len(probe.forms):  # check_words reports that
        return
    if not msg_map.topics:
        what = "there are no filters: the gateway receives nothing, and aliases are never read"
        yield Flaw("note", "deaf", ("topics",), what, "add filters if the gateway is to receive messages")
        return
    for topic_filter in msg_map.topics:
        forms = probe.forms_matching(topic_filter)
        if not forms:  # possible in maps of versions before 3.0
            yield from _dead(probe, topic_filter)
            continue
        yield from _open_ends(probe, topic_filter, forms)
        yield from _open_levels(probe, topic_filter, forms)
        yield from _own_output(probe, topic_filter, forms)
        yield from _empty_levels(probe, topic_filter, forms)
    yield from _overlaps(probe)
    for name in (*ADDRESS_FIELDS, "action"):
        yield from _unmatched_words(probe, name)


def _read_error(probe: Probe, topic: str, payload: bytes) -> MessageError | None:
    """Return the error if the map refuses a message on `topic`, or None if it reads it."""
    try:
        probe.map.mqtt2internal(topic, payload)
    except MessageError as err:
        return err
    return None


def _dead(probe: Probe, topic_filter: str) -> Iterator[Flaw]:
    """Report a filter that matches no topic of the map, with an example where one can be made."""
    example = None
    for form in probe.forms:
        topic = form.topic_matching(topic_filter)
        err = _read_error(probe, topic, form.payload)
        if err and filter_matches(topic_filter, topic):
            example = _dropped(err, topic, form.payload)
            break
    what = f"{topic_filter!a} matches no topic that the map reads"
    yield Flaw("warning", "dead", ("topics", topic_filter), what, "correct it, or remove it", example)


def _open_ends(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """Find a `#` that matches topics which do not belong to the map."""
    levels = filter_levels(topic_filter)
    if levels[-1] != "#":
        return
    plain = filter_levels(topic_filter.replace("+", "x"))[:-1]
    too_many = max(len(form.form.levels) for form in probe.forms)
    for topic in "/".join(plain), "/".join([*plain, "x"]), "/".join([*plain, *["x"] * too_many]):
        err = _read_error(probe, topic, forms[0].payload) if topic else None
        if isinstance(err, TopicError) and filter_matches(topic_filter, topic):
            head = topic_filter[: len(topic_filter) - len("/".join(levels))]  # of a shared subscription
            intended = [form for form in forms if form.is_command] or forms
            narrow = dict.fromkeys(head + "/".join(_intersection(form, topic_filter)) for form in intended)
            what = f"{topic_filter!a} matches topics that do not belong to this map"
            remedy = f"write the levels out: {', '.join(narrow)}"
            example = _dropped(err, topic, forms[0].payload)
            yield Flaw("warning", "open-end", ("topics", topic_filter), what, remedy, example)
            return


def _intersection(form: FormProbe, topic_filter: str) -> list[str]:
    """Return the levels of the filter for exactly those topics of the form that `topic_filter` matches."""
    form_levels = form.form.filter.split("/")
    levels = expanded_levels(topic_filter, len(form_levels))
    return [form_level if level == "+" else level for level, form_level in zip(levels, form_levels, strict=True)]


def _open_levels(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """Find wildcards that match words which the map refuses."""
    reported: set[int] = set()
    for form in forms:
        for at, level in enumerate(expanded_levels(topic_filter, len(form.form.levels))):
            if level != "+" or at in reported or _read_error(probe, form.topic_matching(topic_filter), form.payload):
                continue
            word = unused_word({text for other in probe.forms for text in other.words_at(at)})
            topic = form.topic_matching(topic_filter, fill={at: word}.get)
            err = _read_error(probe, topic, form.payload)
            if err is not None:
                reported.add(at)
                what = f"{topic_filter!a} matches topics with {word!a} at level {at + 1}, which the map refuses"
                remedy = "use one filter for each word, so that the gateway does not receive them"
                example = _dropped(err, topic, form.payload)
                yield Flaw("note", "wide", ("topics", topic_filter), what, remedy, example)


def _empty_levels(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """Find an empty level in a filter where the map writes a word instead."""
    word = probe.map.empty_level
    for form in forms if word else ():
        levels = expanded_levels(topic_filter, len(form.form.levels))
        narrowed = [word if not text and level.is_word and level.maps[0].empty else text
                    for text, level in zip(levels, form.form.levels, strict=True)]  # fmt: skip
        topic = form.topic_matching("/".join(narrowed))
        if narrowed != levels and not probe.matching_filter(topic) and not _read_error(probe, topic, form.payload):
            what = f"{topic_filter!a} has an empty level, where this map writes {word!a}"
            example = Example("not received: no filter matches", None, topic, form.payload)
            remedy = f"write {'/'.join(narrowed)}"
            yield Flaw("warning", "internal-word", ("topics", topic_filter), what, remedy, example)
            return


def _own_output(probe: Probe, topic_filter: str, forms: Sequence[FormProbe]) -> Iterator[Flaw]:
    """Find messages that the gateway itself may publish and would receive again."""
    read, echoes, examples = 0, 0, {}
    path = ("topics", topic_filter)
    for form in statuses_first(forms):
        topic = form.topic_matching(topic_filter)
        try:
            msg = probe.map.mqtt2internal(topic, form.payload)
        except MessageError:
            continue
        read += 1
        if probe.map.is_echo(msg):
            echoes += 1
            echo_example = Example("dropped as an echo", None, topic, form.payload)
        own_msg = msg.replace(sender="")
        if not form.has_place_for("sender"):
            yield from _unsent(probe, topic_filter, form, own_msg)
            continue
        try:
            publication = probe.map.internal2mqtt(own_msg)
            back = probe.map.mqtt2internal(publication.topic, publication.payload)
        except MessageError:
            continue
        if not filter_matches(topic_filter, publication.topic):
            continue
        if not probe.map.is_echo(back):
            example = Example(f"sent as {shown(publication.topic)}, received again as: {back}", own_msg)
            what = f"what the gateway sends comes back through {topic_filter!a} and is not recognised as its own"
            yield Flaw("error", "loop", path, what, "make the filter narrower", example)
        else:
            example = Example(f"sent as {shown(publication.topic)}, comes back, dropped as an echo", own_msg)
            examples[form.kind] = example
    if read and echoes == read:
        what = f"{topic_filter!a} matches only the gateway's own messages, which it drops"
        yield Flaw("warning", "only-own", path, what, "use another sender in it, or '+'", echo_example)
    elif examples:
        what = f"{topic_filter!a} matches the gateway's own {' and '.join(examples)}, which it drops as an echo"
        remedy = "nothing to do if the traffic does not matter"
        yield Flaw("note", "echo", path, what, remedy, next(iter(examples.values())))


def _unsent(probe: Probe, topic_filter: str, form: FormProbe, plain: InternalMsg) -> Iterator[Flaw]:
    """Find messages that the map does not write, because they would come back without a sender."""
    written = form.written(probe.unfiltered, plain)
    if written is None or not filter_matches(topic_filter, written[1]):
        return
    msg = written[0]
    try:
        outcome = f"sent as {shown(probe.map.internal2mqtt(msg).topic)} instead"
    except MessageError as err:
        outcome = f"not sent: {err}"
    what = (
        f"the gateway's own {form.kind} are not written to {form.form.shape} where {topic_filter!a} matches them: "
        f"without a sender, the gateway could not recognise them as its own"
    )
    remedy = "nothing to do if only others publish them; otherwise narrow the filter"
    yield Flaw("note", "unsent", ("topics", topic_filter), what, remedy, Example(outcome, msg))


def _dropped(err: MessageError, topic: str, payload: bytes) -> Example:
    return Example(f"dropped: {err}", None, topic, payload)


# --- words that no filter matches


def _unmatched_words(probe: Probe, name: str) -> Iterator[Flaw]:
    """Find the MQTT words of the field that the map could read, but that no filter matches."""
    field_map = probe.map.fields[name]
    forms = [form for form in probe.forms_with(name) if form.level_of(name) is not None]
    if field_map.maptype == "none" or not forms:
        return
    matched: set[str] = set()
    for form in probe.forms_with(name):
        words_of_form = _matched_words(probe, form, name)
        if words_of_form is None:
            return
        matched |= words_of_form
    for internal, words in field_map.entries.items():
        if name == "sender" and internal == probe.map.sender:
            continue
        for index, mqtt in enumerate(words):
            if mqtt in matched or field_map.read(mqtt) != internal:
                continue
            tries = ((form, made) for form in forms if (made := form.with_mqtt_word(name, mqtt)))
            readable = next(((form, made) for form, made in tries if not _read_error(probe, *made)), None)
            if readable is None:
                continue
            form, made = readable
            example = Example("not received: no filter matches", None, *made)
            if index:
                what = f"the alias {mqtt!a} is never read: no filter matches it"
                remedy = f"add a filter for it, such as {_filter_for(probe, form, name, made[0])}, or remove it"
                yield Flaw("warning", "unheard-alias", word_path(name, internal, index), what, remedy, example)
            elif not matched & set(words):
                what = f"no filter matches {mqtt!a}: it is written, but never read"
                yield Flaw(
                    "note", "write-only", word_path(name, internal), what, "nothing to do if that is intended", example
                )
    for form in forms:
        yield from _internal_words(probe, form, name, matched)


def _matched_words(probe: Probe, form: FormProbe, name: str) -> set[str] | None:
    """Return the MQTT words of the field in messages of the form that the filters match; None means all words."""
    words: set[str] = set()
    at = form.level_of(name)
    for topic_filter in probe.map.topics if form.topic is not None else ():
        if form.form.can_match(topic_filter):
            level = "+" if at is None else expanded_levels(topic_filter, len(form.form.levels))[at]
            if level == "+":
                return None
            words.add(form.level_word(name, level) or "")
    return words


def _internal_words(probe: Probe, form: FormProbe, name: str, matched: set[str]) -> Iterator[Flaw]:
    """Find filters with an internal word whose MQTT word is a different one."""
    field_map = probe.map.fields[name]
    for topic_filter in probe.map.topics:
        if not form.form.can_match(topic_filter):
            continue
        word = (
            form.level_word(name, expanded_levels(topic_filter, len(form.form.levels))[form.level_of(name) or 0]) or ""
        )
        words = field_map.entries.get(word, ())
        if words and word not in words and field_map.read(word) == word and not matched & set(words):
            what = f"{topic_filter!a} names the internal word {word!a}, which is {words[0]!a} in MQTT"
            remedy = f"write {words[0]!a} in the filter"
            made = form.with_mqtt_word(name, words[0])
            example = Example("not received: no filter matches", None, *made) if made else None
            yield Flaw("warning", "internal-word", ("topics", topic_filter), what, remedy, example)


def _filter_for(probe: Probe, form: FormProbe, name: str, topic: str) -> str:
    """Return a filter like the first of the map for this form, but for the word that the field has in `topic`."""
    model = next((each for each in probe.map.topics if form.form.can_match(each)), form.form.filter)
    at = form.level_of(name) or 0
    levels = _intersection(form, model)
    return "/".join([*levels[:at], topic.split("/")[at], *levels[at + 1 :]])


# --- filters that overlap


@dataclass(slots=True)
class _Node:
    """A node of the tree of all filters, one level deep each; `end` is the filter that ends here."""

    below: dict[str, _Node] = field(default_factory=dict)
    end: str | None = None


def _overlaps(probe: Probe) -> Iterator[Flaw]:
    """Find filters that overlap: each is compared with the wider ones, which are already in a tree of levels."""
    tree = _Node()
    for topic_filter in sorted(probe.map.topics, key=_narrowness):
        if topic_filter.startswith("$share/"):
            continue
        levels = topic_filter.split("/")
        others = islice(_overlapping(tree, levels), _MAX_OVERLAPS)
        yield from next(filter(None, (list(_overlap(probe, topic_filter, other)) for other in others)), [])
        node = tree
        for level in levels:
            node = node.below.setdefault(level, _Node())
        node.end = topic_filter


def _narrowness(topic_filter: str) -> tuple[bool, int]:
    """Sort wide filters first: so a filter that is covered by another is compared with that one."""
    levels = topic_filter.split("/")
    return levels[-1] != "#", -levels.count("+")


def _overlapping(node: _Node, levels: list[str], at: int = 0) -> Iterator[str]:
    """Yield the filters below `node` that have a topic in common with the filter of these `levels`."""
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
                yield from _overlapping(node.below[step], levels, at + 1)


def _ends(node: _Node) -> Iterator[str]:
    if node.end is not None:
        yield node.end
    for below in node.below.values():
        yield from _ends(below)


def _overlap(probe: Probe, one: str, other: str) -> Iterator[Flaw]:
    """Yield a flaw if there is a topic that both filters match and that the map reads."""
    for form in probe.forms_matching(one):
        if form.form.can_match(other):
            merged = (other_level if level == "+" else level for level, other_level in zip(
                expanded_levels(one, len(form.form.levels)), _intersection(form, other), strict=True))  # fmt: skip
            topic, payload = form.topic_matching("/".join(merged)), form.payload
            if filter_matches(one, topic) and filter_matches(other, topic) and not _read_error(probe, topic, payload):
                break
    else:
        return  # the map refuses all topics that both match
    example = Example(f"matches {shown(one)} and {shown(other)}", None, topic, payload)
    if without_covered((one, other)) == (other,):
        what = f"{one!a} is redundant: {other!a} matches everything that it matches"
        yield Flaw("note", "covered", ("topics", one), what, "remove it", example)
    else:
        what = f"{one!a} and {other!a} overlap: a broker may send a message that both match twice"
        yield Flaw("warning", "overlap", ("topics", one), what, "make one of them narrower", example)
