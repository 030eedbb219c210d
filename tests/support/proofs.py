"""Strategies for maps with filters in the words of the map; and a check that the example of a flaw demonstrates it."""

from __future__ import annotations

import json

from hypothesis import assume
from hypothesis import strategies as st

from gateway.configuration.json_reader import load_json
from gateway.configuration.load_map import build_map
from gateway.core.topic import filter_matches, filter_problem
from gateway.errors import MessageError, TopicError
from gateway.map_tools.filter_proof import check_filters
from gateway.map_tools.proof import Flaw, check_words
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap
from tests.support.strategies import MapData, make_map, map_data, own_names, words
from tests.support.syntaxes import loaded as syntax_map
from tests.support.syntaxes import syntax_maps, topics_for


def check_map(msg_map: MsgMap) -> list[Flaw]:
    return [*check_words(msg_map), *check_filters(msg_map)]


def loaded(data: MapData, sender: str = "gw") -> MsgMap:
    document = load_json(json.dumps(data), "map.json")
    return build_map(document, document.data, sender=sender)


def mqtt_words(data: MapData, field: str) -> list[str]:
    return [word for aliases in data.get(field, {}).get("map", {}).values() for word in aliases]


@st.composite
def filters(draw: st.DrawFn, data: MapData) -> str:
    """Draw a filter for the topics of a map, in its words and some others."""
    levels = data["root"].split("/")
    for name in ADDRESS_FIELDS:
        map_words = [*mqtt_words(data, name), *data.get(name, {}).get("map", {}), "gw"]
        levels.append(draw(st.just("+") | st.just("+") | words | st.sampled_from(map_words)))
    levels.append(draw(st.sampled_from("CCS+")))
    levels = [level if "+" not in level and "#" not in level and "/" not in level else "+" for level in levels]
    if draw(st.integers(0, 3)) == 0:
        levels[draw(st.integers(1, 7)) :] = ["#"]
    return "/".join(levels)


@st.composite
def loadable_maps(draw: st.DrawFn) -> tuple[MapData, MsgMap]:
    """Draw a map that loads, with filters, as data and built."""
    data = draw(map_data())
    sender = draw(own_names(data))
    can_match = make_map(data, sender).can_match
    drawn = draw(st.lists(filters(data), max_size=4, unique=True))
    data["topics"] = [
        topic_filter for topic_filter in drawn if not filter_problem(topic_filter) and can_match(topic_filter)
    ]
    return data, make_map(data, sender)


@st.composite
def declared_maps(draw: st.DrawFn) -> tuple[MapData, MsgMap]:
    """Draw a map of a declared syntax that loads, with filters, as data and built."""
    data = draw(syntax_maps())
    built = syntax_map(data)
    assume(built is not None)
    assert built is not None
    data["topics"] = draw(st.lists(_filters_near(built), max_size=4, unique=True))
    return data, built.for_sender("gw", data["topics"])


@st.composite
def _filters_near(draw: st.DrawFn, msg_map: MsgMap) -> str:
    """Draw a filter that matches topics of the map."""
    form = draw(st.sampled_from(msg_map.forms))
    words = draw(topics_for((form,))).split("/")
    levels = [
        draw(st.sampled_from(("+", filter_level, word)))
        for filter_level, word in zip(form.filter.split("/"), words, strict=True)
    ]
    if draw(st.integers(0, 3)) == 0:
        levels[draw(st.integers(0, len(levels) - 1)) :] = ["#"]
    drawn = "/".join(levels)
    return drawn if not filter_problem(drawn) and msg_map.can_match(drawn) else form.filter


def any_loadable_maps() -> st.SearchStrategy[MsgMap]:
    """Draw a map that loads, of the seven levels or of a declared syntax."""
    return any_cases().map(lambda case: case[1])


def any_cases() -> st.SearchStrategy[tuple[MapData, MsgMap]]:
    """Draw a map as `loadable_maps` or `declared_maps` do."""
    return loadable_maps() | declared_maps()


def word_of(field: str, msg: InternalMsg) -> object:
    if field == "argkey":
        return next(iter(msg.arguments), None)
    if field == "argvalue":
        return next(iter(msg.arguments.values()), None)
    return getattr(msg, field)


def fields_with_flaws(flaws: list[Flaw], *severities: str) -> set[str]:
    """Return the fields with flaws of these severities."""
    kept = [flaw for flaw in flaws if flaw.severity in severities and flaw.path]
    fields = {str(flaw.path[0]) for flaw in kept if flaw.path[0] in FIELDS}
    return fields | {*ADDRESS_FIELDS, "action"} if any(flaw.kind == "empty-level" for flaw in kept) else fields


class ExampleCheck:
    """Checks with the map itself whether the example of a flaw demonstrates the flaw."""

    def __init__(self, msg_map: MsgMap, flaw: Flaw) -> None:
        self.map, self.flaw, self.example = msg_map, flaw, flaw.example

    def is_shown(self) -> bool:
        if self.flaw.kind == "deaf":
            return not self.map.topics
        assert self.example is not None, self.flaw
        return bool(getattr(self, self.flaw.kind.replace("-", "_"))())

    # --- the effect of a message

    @property
    def message(self) -> InternalMsg:
        assert self.example is not None and self.example.message is not None
        return self.example.message

    @property
    def read(self) -> InternalMsg | MessageError:
        assert self.example is not None and self.example.message is None
        try:
            return self.map.mqtt2internal(self.example.topic, self.example.payload)
        except MessageError as err:
            return err

    def is_refused(self) -> bool:
        refusals = []
        for msg_map in self.map, self.map.for_sender(self.map.sender, ()):  # without filters, no message comes back
            try:
                msg_map.internal2mqtt(self.message)
            except MessageError as err:
                refusals.append(f"not sent: {err}")
        return self.example is not None and self.example.outcome in refusals

    def matching_filters(self) -> list[str]:
        assert self.example is not None
        return [topic_filter for topic_filter in self.map.topics if filter_matches(topic_filter, self.example.topic)]

    def is_matched(self) -> bool:
        """Return whether the filter of the flaw matches the example."""
        return str(self.flaw.path[1]) in self.matching_filters()

    def entry(self) -> tuple[str, str, list[str]]:
        field, _, internal = map(str, self.flaw.path[:3])
        return field, internal, list(self.map.fields[field].entries[internal])

    # --- each kind

    def empty_level(self) -> bool:
        return self.is_refused() and any(
            self.map.empty_level == word_of(field, self.message) for field in (*ADDRESS_FIELDS, "action")
        )

    unwritable = is_refused
    reply = is_refused

    def unreadable(self) -> bool:
        field, internal, _ = self.entry()
        return isinstance(self.read, MessageError) or word_of(field, self.read) != internal

    def json_only(self) -> bool:
        return isinstance(self.read, MessageError)  # PayloadError, or another content of the JSON is refused

    def unused(self) -> bool:
        field = str(self.flaw.path[0])
        if "no form" in self.flaw.what:
            return not any(field in form.places for form in self.map.syntax)
        word = str(word_of(field, self.message))
        written = self.map.fields[field].write(word)  # the word itself, or the word for an empty level
        return (written == word or not word) and written != self.map.fields[field].entries[word][0]

    def never_written(self) -> bool:
        publication = self.map.for_sender(self.map.sender, ()).internal2mqtt(self.message)
        [form] = [form for form in self.map.forms if form.has_shape(publication.topic)][:1]
        back = self.map.mqtt2internal(publication.topic, publication.payload)
        return self.message.sender == "" and (back.sender != "" or "sender" not in form.form.places)

    def collision(self) -> bool:
        field, _, words = self.entry()
        word = word_of(field, self.message)
        return self.is_refused() and word in words and word not in self.map.fields[field].entries

    def undeclared_alias(self) -> bool:
        field, internal, words = self.entry()
        return isinstance(self.read, InternalMsg) and word_of(field, self.read) == internal and internal not in words

    def empty_word(self) -> bool:
        return self.is_refused() and word_of(str(self.flaw.path[0]), self.message) == ""

    def own_name(self) -> bool:
        return isinstance(self.read, InternalMsg) and self.map.is_echo(self.read)

    def only_own(self) -> bool:
        return self.is_matched() and self.own_name()

    def open_end(self) -> bool:
        return self.is_matched() and isinstance(self.read, TopicError)

    def dead(self) -> bool:
        return self.is_matched() and isinstance(self.read, MessageError)

    def wide(self) -> bool:
        return self.is_matched() and isinstance(self.read, MessageError)

    def echo(self) -> bool:
        publication = self.map.internal2mqtt(self.message)
        back = self.map.mqtt2internal(publication.topic, publication.payload)
        return filter_matches(str(self.flaw.path[1]), publication.topic) and self.map.is_echo(back)

    def unsent(self) -> bool:
        topic = self.map.for_sender(self.map.sender, ()).internal2mqtt(self.message).topic
        assert self.example is not None
        if self.example.outcome.startswith("sent as "):
            return topic not in self.example.outcome or self.map.internal2mqtt(self.message).topic != topic
        return self.is_refused() and filter_matches(str(self.flaw.path[1]), topic)

    def overlap(self) -> bool:
        return self.is_matched() and len(self.matching_filters()) > 1 and isinstance(self.read, InternalMsg)

    covered = overlap

    def unheard_alias(self) -> bool:
        field, internal, _ = self.entry()
        return (
            isinstance(self.read, InternalMsg) and word_of(field, self.read) == internal and not self.matching_filters()
        )

    write_only = unheard_alias

    def internal_word(self) -> bool:
        return isinstance(self.read, InternalMsg) and not self.matching_filters()


def with_own_sender(msg_map: MsgMap, msg: InternalMsg) -> InternalMsg:
    return msg.replace(sender=msg.sender or msg_map.sender)
