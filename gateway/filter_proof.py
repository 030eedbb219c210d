"""Proves the filters of a map: what they let in that the map refuses, what they keep out, what comes twice. Pure.

A filter is tried with topics that match it, which the map is then given to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.errors import MessageError, TopicError
from gateway.map_proof import Flaw
from gateway.map_words import Example, Probe, accepted_levels, shown, stranger, word_path
from gateway.message import ADDRESS_FIELDS
from gateway.mqtt_map import MsgMap
from gateway.topic import filter_can_match, filter_levels, filter_matches, without_covered

_TOO_MANY_LEVELS = 30  # more than any syntax has


def prove_filters(msg_map: MsgMap) -> Iterator[Flaw]:
    """Yield everything about the filters of the map, and about the words that they do not let in."""
    try:
        probe = Probe(msg_map)
        payload = probe.foreign()[1]
    except MessageError:  # said with the words
        return
    if not msg_map.topics:
        what = "there are no filters: nothing is heard, and aliases are never read"
        yield Flaw("note", "deaf", ("topics",), what, "add filters if there is something to hear")
        return
    accepted = accepted_levels(msg_map)
    unknown = {at: stranger(words) for at, words in enumerate(accepted) if words is not None}
    live = [topic_filter for topic_filter in msg_map.topics if filter_can_match(topic_filter, accepted)]
    for topic_filter in msg_map.topics:
        if topic_filter not in live:  # a map of the original may have some
            topic = probe.filled(topic_filter, is_command=True)
            what, err = f"{topic_filter!a} lets in no topic that the map reads", _tried(probe, topic, payload)
            example = _dropped(err, topic, payload) if err else None
            yield Flaw("warning", "dead", ("topics", topic_filter), what, "correct it, or remove it", example)
            continue
        yield from _open_ends(probe, topic_filter, payload)
        yield from _open_levels(probe, topic_filter, payload, unknown)
        yield from _own_output(probe, topic_filter, payload)
    yield from _overlaps(probe)
    for name in ADDRESS_FIELDS:
        yield from _unheard_words(probe, name, live)


def _tried(probe: Probe, topic: str, payload: bytes) -> MessageError | None:
    """Return why the map refuses what comes on `topic`, or None if it does not."""
    try:
        probe.map.mqtt2internal(topic, payload)
    except MessageError as err:
        return err
    return None


def _open_ends(probe: Probe, topic_filter: str, payload: bytes) -> Iterator[Flaw]:
    levels = filter_levels(topic_filter)
    if levels[-1] != "#":
        return
    plain = filter_levels(topic_filter.replace("+", "x"))[:-1]
    for topic in "/".join(plain), "/".join([*plain, "x"]), "/".join([*plain, *["x"] * _TOO_MANY_LEVELS]):
        err = _tried(probe, topic, payload) if topic else None
        if isinstance(err, TopicError):
            what = f"{topic_filter!a} lets in topics that are none of this map"
            head = topic_filter.count("/") - len(levels) + 1  # of a shared subscription
            written_out = _written_out(topic_filter, len(probe.foreign()[0].split("/")) + head)
            remedy = f"write the levels out: {'/'.join([*written_out[:-1], 'C'])}"
            yield Flaw("warning", "open-end", ("topics", topic_filter), what, remedy, _dropped(err, topic, payload))
            return


def _open_levels(probe: Probe, topic_filter: str, payload: bytes, unknown: Mapping[int, str]) -> Iterator[Flaw]:
    """Wildcards that let in words which the map refuses; `unknown` has such a word for each level that has some."""
    levels = filter_levels(topic_filter)
    first_open = len(levels) - 1 if levels[-1] == "#" else len(levels)
    for at, word in unknown.items():
        if at < first_open and levels[at] != "+":
            continue
        topic = probe.filled(topic_filter, is_command=True, fill={at: word}.get)
        err = _tried(probe, topic, payload)
        if err is not None:
            what = f"{topic_filter!a} lets in topics with {word!a} at level {at + 1}, which the map refuses"
            remedy = "one filter for each word keeps them away from the gateway"
            yield Flaw("note", "wide", ("topics", topic_filter), what, remedy, _dropped(err, topic, payload))


def _own_output(probe: Probe, topic_filter: str, payload: bytes) -> Iterator[Flaw]:
    """What the gateway itself may send, and would hear again."""
    heard, own, examples = 0, 0, {}
    for topic in dict.fromkeys(probe.filled(topic_filter, is_command=is_command) for is_command in (False, True)):
        try:
            msg = probe.map.mqtt2internal(topic, payload)
        except MessageError:
            continue
        heard += 1
        if probe.map.is_echo(msg):
            own += 1
            only_own = Example("dropped as an echo", None, topic, payload)
        try:
            mine = replace(msg, sender="")
            publication = probe.map.internal2mqtt(mine)
            back = probe.map.mqtt2internal(publication.topic, publication.payload)
        except MessageError:
            continue
        if not filter_matches(topic_filter, publication.topic):
            continue
        path = ("topics", topic_filter)
        if not probe.map.is_echo(back):
            example = Example(f"sent as {shown(publication.topic)}, heard again as: {back}", mine)
            what = f"what the gateway sends comes back through {topic_filter!a}, and is not known as its own"
            yield Flaw("error", "loop", path, what, "make the filter narrower", example)
        else:
            example = Example(f"sent as {shown(publication.topic)}, comes back, dropped as an echo", mine)
            examples["commands" if mine.iscmd else "statuses"] = example
    if heard and own == heard:
        what = f"{topic_filter!a} lets in nothing but the gateway's own messages, which it drops"
        yield Flaw("warning", "only-own", ("topics", topic_filter), what, "put another sender in it, or '+'", only_own)
    elif examples:
        what = f"{topic_filter!a} lets in the gateway's own {' and '.join(examples)}, which are dropped as an echo"
        remedy = "nothing to do, if the traffic does not matter"
        yield Flaw("note", "echo", ("topics", topic_filter), what, remedy, next(iter(examples.values())))


def _dropped(err: MessageError, topic: str, payload: bytes) -> Example:
    return Example(f"dropped: {err}", None, topic, payload)


# --- words that are not heard


def _unheard_words(probe: Probe, name: str, live: Sequence[str]) -> Iterator[Flaw]:
    field_map, at = probe.map.fields[name], probe.level_of[name]
    if at is None or field_map.maptype == "none":
        return
    let_in: set[str] = set()
    for levels in map(filter_levels, live):
        level = levels[at] if at < len(levels) - 1 or levels[-1] != "#" else "+"
        if level == "+":
            return
        let_in.add(level)
    for internal, words in field_map.entries.items():
        if name == "sender" and internal == probe.map.sender:
            continue
        for index, mqtt in enumerate(words):
            made = probe.with_mqtt_word(name, mqtt)
            if mqtt in let_in or not made or field_map.read(mqtt) != internal:
                continue
            example = Example("not heard: no filter lets it in", None, *made)
            if index:
                what = f"the alias {mqtt!a} is never read: no filter lets it in"
                remedy = f"add a filter for it, such as {_filter_for(probe, at, mqtt)}, or remove it"
                yield Flaw("warning", "unheard-alias", word_path(name, internal, index), what, remedy, example)
            elif not let_in & set(words):
                what = f"no filter lets in {mqtt!a}: it is written, and never read"
                yield Flaw("note", "write-only", word_path(name, internal), what, "nothing to do, if so meant", example)
    yield from _internal_words(probe, name, at, let_in)


def _internal_words(probe: Probe, name: str, at: int, let_in: set[str]) -> Iterator[Flaw]:
    """Filters that name the internal word, where MQTT has another."""
    field_map = probe.map.fields[name]
    for topic_filter in probe.map.topics:
        levels = filter_levels(topic_filter)
        word = levels[at] if at < len(levels) else "+"
        words = field_map.entries.get(word, ())
        if words and word not in words and field_map.read(word) == word and not let_in & set(words):
            what = f"{topic_filter!a} names the internal word {word!a}, which is {words[0]!a} in MQTT"
            remedy = f"write {words[0]!a} in the filter"
            made = probe.with_mqtt_word(name, words[0])
            example = Example("not heard: no filter lets it in", None, *made) if made else None
            yield Flaw("warning", "internal-word", ("topics", topic_filter), what, remedy, example)


def _filter_for(probe: Probe, at: int, mqtt: str) -> str:
    levels = filter_levels(probe.map.topics[0])
    if at < len(levels) - (levels[-1] == "#"):
        levels[at] = mqtt
    return "/".join(levels)


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
        other = _find_overlap(tree, levels)
        if other is not None:
            yield from _overlap(probe, topic_filter, other)
        node = tree
        for level in levels:
            node = node.below.setdefault(level, _Node())
        node.end = topic_filter


def _openness(topic_filter: str) -> tuple[bool, int]:
    """The wider a filter, the earlier: so a covered one meets the one that covers it."""
    levels = topic_filter.split("/")
    return levels[-1] != "#", -levels.count("+")


def _find_overlap(node: _Node, levels: list[str], at: int = 0) -> str | None:
    if "#" in node.below:
        return node.below["#"].end
    if at == len(levels):
        return node.end
    if levels[at] == "#":
        return _any_end(node)
    steps = [levels[at], "+"] if levels[at] != "+" else list(node.below)
    for step in steps:
        found = _find_overlap(node.below[step], levels, at + 1) if step in node.below else None
        if found is not None:
            return found
    return None


def _any_end(node: _Node) -> str | None:
    while node.end is None and node.below:
        node = next(iter(node.below.values()))
    return node.end


def _overlap(probe: Probe, one: str, other: str) -> Iterator[Flaw]:
    size = len(probe.foreign()[0].split("/"))
    pairs = zip(_written_out(one, size), _written_out(other, size), strict=False)
    merged = "/".join(there if here == "+" else here for here, there in pairs)
    for is_command in True, False:
        topic, payload = probe.filled(merged, is_command=is_command), probe.foreign(is_command=is_command)[1]
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


def _written_out(topic_filter: str, size: int) -> list[str]:
    """Return the levels of a filter, `#` at its end written out as `+` for topics of `size` levels."""
    levels = topic_filter.split("/")
    return [*levels[:-1], *["+"] * (size - len(levels) + 1)] if levels[-1] == "#" else levels
