"""Builds the syntax of a map from its data, or reports everything that is wrong with it. Pure.

A message that is written must be read back unchanged: each field has a place, and no topic can belong to two forms. A
finding shows by an example what would go wrong otherwise.
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
    """A form, and its path and options in the data."""

    path: tuple[str | int, ...]
    options: Mapping[str, Any]
    form: MessageForm


def build_syntax(data: Mapping[str, Any]) -> Syntax:
    """Return the syntax that `data`, which has the form of the schema, declares."""
    return tuple(entry.form for entry in _entries(data))


def _entries(data: Mapping[str, Any]) -> Iterator[_Entry]:
    common = data.get("constants", {})
    for kind, iscmd in _KINDS.items():
        for index, options in enumerate(data[kind]):
            if options is None:
                continue
            form = MessageForm(
                iscmd,
                options["topic"],
                options.get("payload", "action"),
                options.get("argument", "value"),
                {**_words(common), **_words(options.get("constants", {}))},
                options.get("text", False),
            )
            yield _Entry(("syntax", kind, index), options, form)


def _words(constants: Mapping[str, str]) -> dict[str, str]:
    return {name: word for name, word in constants.items() if not name.startswith("_")}


def form_problems(data: Mapping[str, Any], root: str) -> Iterator[Problem]:
    """Yield what is wrong with each single form of the syntax `data`; `root` is for the examples.

    A form may be None: it is skipped, but counts for the paths of the others.
    """
    if not data["commands"] and not data["statuses"]:
        yield Problem(
            ("syntax",), "it has no form, so that nothing could be written or read", "add one, or remove the syntax"
        )
    for path, options, form in _entries(data):
        what, remedy = template_problem(form.topic)
        if what:
            yield Problem((*path, "topic"), f"{form.topic!a}: {what}", remedy)
            continue
        if form.payload == "action" and "action" in fields_in(form.topic):
            what = f"{form.topic!a} contains the action, and so does the payload 'action': the two could differ"
            yield Problem((*path, "topic"), what, "set payload to json, value or empty")
        if "argument" in options and form.payload != "value":
            what = f"the payload {form.payload!a} names its arguments itself, or has none"
            yield Problem((*path, "argument"), what, "remove it, or set payload to value")
        elif form.argument in OUTCOME_WORDS:
            yield Problem((*path, "argument"), reserved_argument(form.argument), "use another word")
        if "text" in options and form.payload != "value":
            what = f"the payload {form.payload!a} marks text itself"
            yield Problem((*path, "text"), what, "remove it, or set payload to value")
        for name in _words(options.get("constants", {})):
            if name in form.places:
                where = "topic" if name in fields_in(form.topic) else "payload"
                what = f"{name} is also in the {where}, where it could be another word"
                yield Problem((*path, "constants", name), what, "remove one of the two")
        for name in PLACEHOLDERS:
            if name not in form.places and name not in form.constants and name != "sender":
                yield Problem(
                    (*path, "topic"), _no_place(form, name, root), f"add {{{name}}}, or a constant for {name}"
                )


def _no_place(form: MessageForm, name: str, root: str) -> str:
    """Return an example of two messages that would be written alike, since no part holds the field `name`."""
    first, second = (_sample(form, {name: word}) for word in ("a", "b"))
    topic = shape(form.topic, root)
    return f"{form.topic!a} has no place for {name}: '{first}' and '{second}' would both be written to {topic!a}"


def _sample(form: MessageForm, words: Mapping[str, str]) -> InternalMsg:
    """Return a message of `form`: each field that has a place contains its own name, except those in `words`."""
    words = {**form.constants, **{name: name for name in form.places}, **words}
    address = {name: words.get(name, "") for name in ADDRESS_FIELDS}
    return InternalMsg(form.iscmd, **address, action=words.get("action", ""), arguments={})


def empty_level_problem(word: str, syntax: Syntax, root: str, sender: str) -> str:
    """Return why `word` cannot represent an empty level in topics of `syntax`; an empty text if it can."""
    problem = word_problem(word)
    if problem or word.startswith("$"):
        return problem or "topics that begin with '$' belong to the broker"
    if word == sender:
        return "it is the name of this gateway"
    fields = {name: FieldMap(name, empty=word) for name in PLACEHOLDERS}
    for form in syntax:
        for level in parse(form.topic, root, fields):
            if level.split(level.join([word] * len(level.maps))) not in ([word] * len(level.maps), None):
                return f"it would be read as other words in {form.topic!a}, where it is a separator"
    return ""


def ambiguities(data: Mapping[str, Any], forms: Sequence[BoundForm]) -> Iterator[Problem]:
    """Yield a problem, with a topic as an example, for each pair of `forms` of the syntax `data` that can share one."""
    bound = zip(_entries(data), forms, strict=True)
    for (first, form), (second, other) in combinations(bound, 2):
        topic = common_topic(form.levels, other.levels)
        if topic is None:
            continue
        readings = " as well as ".join(
            f"'{_reading(bound_form, topic)}' ({bound_form.form.topic}, {bound_form.form.payload})"
            for bound_form in (form, other)
        )
        what = f"{second.form.topic!a} can be the same topic as {first.form.topic!a}: {topic!a} would be {readings}"
        yield Problem((*second.path, "topic"), what, "distinguish them by fixed text, or by the words of a strict map")


def ambiguous_topic(forms: Sequence[BoundForm]) -> str | None:
    """Return a topic that two of `forms` can share; None if there is none."""
    topics = (common_topic(form.levels, other.levels) for form, other in combinations(forms, 2))
    return next((topic for topic in topics if topic is not None), None)


def _reading(form: BoundForm, topic: str) -> InternalMsg:
    try:
        parts = form.read_topic(topic.split("/"))
    except WordError:  # the example is longer than a topic may be: the forms are ambiguous all the same
        parts = None
    return InternalMsg(*parts[0], parts[1]) if parts else InternalMsg(form.form.iscmd)
