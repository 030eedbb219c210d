"""Builds the syntax of a map from its data, or says everything that is wrong with it. Pure.

What is written must be read back: each field has a place, and no topic can be of two forms. A finding shows what
would go wrong otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from gateway.core.topic import word_problem
from gateway.errors import Problem, WordError
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg, reserved_argument
from gateway.translation.field_map import FieldMap
from gateway.translation.syntax import BoundForm, MessageForm, Syntax, shape
from gateway.translation.topic_template import PLACEHOLDERS, common_topic, fields_in, parse, template_problem

_KINDS = {"commands": True, "statuses": False}


class _Entry(NamedTuple):
    """A form as it stands in the data, and where."""

    path: tuple[str | int, ...]
    given: Mapping[str, Any]
    form: MessageForm


def build_syntax(data: Mapping[str, Any]) -> Syntax:
    """Return the syntax that `data`, which has the form of the schema, declares."""
    return tuple(entry.form for entry in _entries(data))


def _entries(data: Mapping[str, Any]) -> Iterator[_Entry]:
    common = data.get("constants", {})
    for kind, iscmd in _KINDS.items():
        for index, given in enumerate(data[kind]):
            if given is None:
                continue
            form = MessageForm(
                iscmd,
                given["topic"],
                given.get("payload", "action"),
                given.get("argument", "value"),
                {**_words(common), **_words(given.get("constants", {}))},
                given.get("text", False),
            )
            yield _Entry(("syntax", kind, index), given, form)


def _words(constants: Mapping[str, str]) -> dict[str, str]:
    return {name: word for name, word in constants.items() if not name.startswith("_")}


def form_problems(data: Mapping[str, Any], root: str) -> Iterator[Problem]:
    """Yield what is wrong with each form of the syntax `data` by itself; `root` is for the examples.

    A form may be None: its place counts, and nothing is said of it.
    """
    if not data["commands"] and not data["statuses"]:
        yield Problem(("syntax",), "it has no form: nothing could be written or read", "add one, or remove the syntax")
    for path, given, form in _entries(data):
        what, remedy = template_problem(form.topic)
        if what:
            yield Problem((*path, "topic"), f"{form.topic!a}: {what}", remedy)
            continue
        if form.payload == "action" and "action" in fields_in(form.topic):
            what = f"{form.topic!a} holds the action, and so does the payload 'action': they could say two things"
            yield Problem((*path, "topic"), what, "make the payload json, value or empty")
        if "argument" in given and form.payload != "value":
            what = f"the payload {form.payload!a} names its arguments itself, or has none"
            yield Problem((*path, "argument"), what, "remove it, or make the payload value")
        elif form.argument in OUTCOME_WORDS:
            yield Problem((*path, "argument"), reserved_argument(form.argument), "use another word")
        if "text" in given and form.payload != "value":
            what = f"the payload {form.payload!a} says itself what is text"
            yield Problem((*path, "text"), what, "remove it, or make the payload value")
        for name in _words(given.get("constants", {})):
            if name in form.places:
                where = "topic" if name in fields_in(form.topic) else "payload"
                what = f"{name} stands in the {where} already: it could be another word there"
                yield Problem((*path, "constants", name), what, "keep one of the two")
        for name in PLACEHOLDERS:
            if name not in form.places and name not in form.constants and name != "sender":
                yield Problem(
                    (*path, "topic"), _no_place(form, name, root), f"add {{{name}}}, or a constant for {name}"
                )


def _no_place(form: MessageForm, name: str, root: str) -> str:
    """Show two messages that would be written the same, since nothing holds the field `name`."""
    one, other = (_sample(form, {name: word}) for word in ("a", "b"))
    topic = shape(form.topic, root)
    return f"{form.topic!a} has no place for {name}: '{one}' and '{other}' would both be written to {topic!a}"


def _sample(form: MessageForm, words: Mapping[str, str]) -> InternalMsg:
    """Return a message of `form`: fields that have a place hold their own name, except those in `words`."""
    words = {**form.constants, **{name: name for name in form.places}, **words}
    address = {name: words.get(name, "") for name in ADDRESS_FIELDS}
    return InternalMsg(form.iscmd, **address, action=words.get("action", ""), arguments={})


def empty_level_problem(word: str, syntax: Syntax, root: str, sender: str) -> str:
    """Return why `word` cannot stand for an empty level in topics of `syntax`; an empty text if it can."""
    problem = word_problem(word)
    if problem or word.startswith("$"):
        return problem or "topics that begin with '$' belong to the broker"
    if word == sender:
        return "it is the name of this gateway"
    fields = {name: FieldMap(name, empty=word) for name in PLACEHOLDERS}
    for form in syntax:
        for level in parse(form.topic, root, fields):
            if level.split(level.join([word] * len(level.maps))) not in ([word] * len(level.maps), None):
                return f"it would be read as other words in {form.topic!a}, where it separates two"
    return ""


def ambiguities(data: Mapping[str, Any], forms: Sequence[BoundForm]) -> Iterator[Problem]:
    """Yield each pair of `forms`, those of the syntax `data`, that one topic can have, and that topic."""
    bound = zip(_entries(data), forms, strict=True)
    for (first, one), (second, other) in combinations(bound, 2):
        topic = common_topic(one.levels, other.levels)
        if topic is None:
            continue
        readings = " as well as ".join(
            f"'{_reading(form, topic)}' ({form.form.topic}, {form.form.payload})" for form in (one, other)
        )
        what = f"{second.form.topic!a} can be the same topic as {first.form.topic!a}: {topic!a} would be {readings}"
        yield Problem((*second.path, "topic"), what, "tell them apart by fixed text, or by the words of a strict map")


def _reading(form: BoundForm, topic: str) -> InternalMsg:
    try:
        found = form.read_topic(topic.split("/"))
    except WordError:  # the topic is longer than a message may have it: the forms are ambiguous all the same
        found = None
    return InternalMsg(*found[0], found[1]) if found else InternalMsg(form.form.iscmd)
