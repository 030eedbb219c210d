"""Builds a message map from its text (JSON, or the lines of version 0.x), or reports everything that is wrong with it.

A map is checked against `map_schema.json`, and then for what a schema cannot express. Nothing is built from a map with
findings, and no device is opened before the map has been checked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.configuration.check_syntax import (
    ambiguities,
    ambiguous_topic,
    build_syntax,
    empty_level_problem,
    form_problems,
)
from gateway.configuration.document import MAX_BYTES, Document, FaultyDocumentError, Path
from gateway.configuration.json_reader import load_json
from gateway.configuration.schema_check import check_schema
from gateway.configuration.schemas import map_schema
from gateway.core.counting import counted
from gateway.core.package_logger import package_logger
from gateway.core.quoting import quote
from gateway.core.topic import filter_levels, filter_problem, root_problem, word_problem
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding, bounded
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, Lane, reserved_argument
from gateway.translation.delivery import DeliveryRule, DeliveryRules
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.payload import ACTION_KEY
from gateway.translation.syntax import SEVEN_LEVELS, Syntax
from gateway.translation.topic_template import fields_in

if TYPE_CHECKING:
    from gateway.configuration.legacy.legacy_maps import Reading

LOG = package_logger(__name__)


def read_text(
    path: FilePath,
    is_legacy: Callable[[str], bool] = lambda _: False,
    on_finding: Callable[[Finding], None] = lambda _: None,
) -> str:
    """Return the text of a configuration or map file; raise `ConfigurationError` if it cannot be read.

    A text for which `is_legacy` is true may be Latin-1 (as in Windows, code page 1252), since Python 2 read bytes; the
    finding about it is passed to `on_finding`.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            if os.fstat(file.fileno()).st_size <= MAX_BYTES:
                return file.read()
        what, remedy = f"larger than {MAX_BYTES // 1024**2} MiB", "is it the right file?"
    except UnicodeDecodeError as err:
        what, remedy = f"not UTF-8 at byte {err.start}", "save it as UTF-8"
        text = path.read_text(encoding="cp1252", errors="replace")
        if is_legacy(text):
            on_finding(Finding(str(path), 0, 0, "", f"{what}, and read as Latin-1", remedy))
            return text
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL or an unpaired surrogate
        what, remedy = f"cannot be read: {getattr(err, 'strerror', '') or err}", "check its path and permissions"
    raise ConfigurationError([Finding(str(path), 0, 0, "", what, remedy)])


def read_map(path: FilePath) -> tuple[Reading, Sequence[Finding]]:
    """Return the map in the file at `path` in the current form, and the faults in its text that could be skipped.

    Raises `ConfigurationError` if it cannot be read at all.
    """
    # Imported here, since many configurations have no map file.
    from gateway.configuration.legacy.legacy_maps import Reading, read_json_map
    from gateway.configuration.legacy.line_map import is_line_map, read_line_map

    notes: list[str] = []
    text = read_text(path, is_line_map, lambda finding: notes.append(f"{finding.what}: {finding.remedy}"))
    if is_line_map(text):
        document, reading_notes = read_line_map(text, str(path))
        return Reading(document, True, (*notes, *reading_notes)), ()
    faults: Sequence[Finding] = ()
    try:
        document = load_json(text, str(path))
    except FaultyDocumentError as err:
        document, faults = err.document, err.findings
    return read_json_map(document, map_schema()["properties"]), faults


def load_map(path: FilePath, *, sender: str, status_qos: int = 1, log: Callable[[str], None] = LOG.info) -> MsgMap:
    """Return the map in the file at `path`, for a gateway called `sender`.

    A map of a version before 3.0 is converted, and `log` receives a note about each conversion. Raises
    `ConfigurationError` with every finding, each with file, line and column.
    """
    (document, is_legacy, notes), faults = read_map(path)
    findings, harmless = _check(document, document.data, (), sender)
    if faults or findings or (harmless and not is_legacy):
        raise ConfigurationError([*faults, *findings, *harmless])
    for note in (*(f"{path}: {note}" for note in notes), *map(str, harmless)):
        log(note)
    return _build(document.data, sender, status_qos)


def build_map(document: Document, data: Any, at: Path = (), *, sender: str, status_qos: int = 1) -> MsgMap:
    """Return the map in `data`, which stands at path `at` of `document`.

    Raises `ConfigurationError` with every finding.
    """
    findings = check_map(document, data, at, sender=sender)
    if findings:
        raise ConfigurationError(findings)
    return _build(data, sender, status_qos)


def check_map(document: Document, data: Any, at: Path = (), *, sender: str) -> list[Finding]:
    """Return everything that is wrong with the map in `data`: in its form and, where that is right, in its words."""
    findings, harmless = _check(document, data, at, sender)
    return [*findings, *harmless]


def _check(document: Document, data: Any, at: Path, sender: str) -> tuple[list[Finding], list[Finding]]:
    """Return what is wrong with a map, and separately the harmless findings, allowed in maps from before 3.0.

    Harmless are filters that match nothing, and translations for the reserved names of outcomes.
    """
    findings = check_schema(document, data, map_schema(), at)
    if not isinstance(data, dict):
        return findings, []
    options = map_schema()["properties"]
    sound = {name: value for name, value in data.items() if name in options
             and not (findings and check_schema(document, value, _with_defs(options[name])))}  # fmt: skip
    problems = list(islice(_problems(sound, sender), MAX_FINDINGS + 1))
    if len(problems) > MAX_FINDINGS:  # the list is not complete, so that further checks could mislead
        return bounded(
            document.finding((*at, *path), what, remedy, at_key=key) for path, what, remedy, key in problems
        ), []
    renamed = _reserved_argument_problems(sound.get("argkey", {}))
    harmless = [document.finding((*at, *path), what, remedy) for path, what, remedy, _ in renamed]
    if "syntax" not in sound:
        problems += _form_problems(_sound_forms(document, data.get("syntax")), sound)
    findings += [document.finding((*at, *path), what, remedy, at_key=key) for path, what, remedy, key in problems]
    wrong_options = {path[0] for path, *_ in problems} | (set(data) - set(sound))
    if not wrong_options & {"root", "syntax"} and "root" in sound:
        wrong = {path[1] for path, *_ in problems if path[0] == "topics" and len(path) > 1}
        usable = {name: value for name, value in sound.items() if name not in wrong_options}
        built = _build({**usable, "topics": []}, sender, 0)
        if "syntax" in data and not wrong_options & set(FIELDS):  # only its words may distinguish two topics
            findings += [document.finding((*at, *p.path), p.what, p.remedy)
                         for p in ambiguities(data["syntax"], built.forms)]  # fmt: skip
        harmless += _dead_filters(document, at, sound.get("topics", ()), wrong, built)
        for index, rule in enumerate(sound.get("delivery", ())):
            words = {name: word for name, word in rule["match"].items() if name != "outcome"}
            findings += unknown_words(document, (*at, "delivery", index, "match"), words, [built])
    return findings, harmless


def _sound_forms(document: Document, data: Any) -> Mapping[str, Any]:
    """Return a syntax that violates the schema, with None for each form that does."""
    sound: dict[str, Any] = {"commands": [], "statuses": []}
    schemas = map_schema()["$defs"]
    if not isinstance(data, dict) or check_schema(document, data.get("constants", {}), schemas["constants"]):
        return sound
    for kind in sound:
        forms = data[kind] if isinstance(data.get(kind), list) else ()
        sound[kind] = [None if check_schema(document, form, _with_defs(schemas["forms"]["items"])) else form
                       for form in forms]  # fmt: skip
    return {**sound, "constants": data.get("constants", {})}


def _with_defs(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**schema, "$defs": map_schema()["$defs"]}


def _build(data: Mapping[str, Any], sender: str, status_qos: int) -> MsgMap:
    fields = {name: FieldMap(name, data[name]["maptype"], data[name].get("map")) for name in FIELDS if name in data}
    return MsgMap(
        data["root"],
        dict.fromkeys(data["topics"]),
        fields,
        sender=sender,
        status_qos=status_qos,
        delivery=DeliveryRules([_rule(options) for options in data.get("delivery", ())]),
        syntax=_syntax(data),
        empty_level=data.get("empty_level", ""),
    )


def _syntax(data: Mapping[str, Any]) -> Syntax:
    return build_syntax(data["syntax"]) if "syntax" in data else SEVEN_LEVELS


def _rule(options: Mapping[str, Any]) -> DeliveryRule:
    match = options["match"]
    words = {name: frozenset(as_list(value)) for name, value in match.items() if name != "outcome"}
    lane = Lane[options["lane"].upper()] if "lane" in options else None
    retain, replay = options.get("retain", False), options.get("replay", False)
    return DeliveryRule(words, lane, retain, replay, options.get("lifetime"), match.get("outcome", False))


def as_list(words: str | Sequence[str]) -> Sequence[str]:
    """Return one word or a list of words as a list."""
    return [words] if isinstance(words, str) else words


_Problem = tuple[Path, str, str, bool]  # path, what, remedy, whether the key is to be shown


def _problems(data: Mapping[str, Any], sender: str) -> Iterator[_Problem]:
    problem = root_problem(data["root"]) if "root" in data else ""
    if problem:
        plain = "/".join(filter(None, data["root"].split("/")))
        remedy = "for example home or site/home" if root_problem(plain) or not plain else f"write {plain}"
        yield ("root",), problem, remedy, False
    for index, topic_filter in enumerate(data.get("topics", ())):
        problem = filter_problem(topic_filter)
        if problem:
            yield ("topics", index), f"{topic_filter!a}: {problem}", "correct the filter", False
    yield from _delivery_problems(data.get("delivery", ()))
    of_forms = list(_form_problems(data["syntax"], data)) if "syntax" in data else []
    yield from of_forms
    syntax = _syntax(data)
    if "empty_level" in data and not of_forms:
        what = empty_level_problem(data["empty_level"], syntax, data.get("root", "root"), sender)
        if what:
            yield ("empty_level",), f"{data['empty_level']!a}: {what}", "use another word", False
    in_topics = {*ADDRESS_FIELDS, *(name for form in syntax for name in fields_in(form.topic))}
    reserved = ACTION_KEY if any(form.payload == "action" for form in syntax) else None
    for name in FIELDS:
        field = data.get(name, {})
        if field.get("maptype", "none") == "none":
            continue
        if not field.get("map"):
            remedy = "add a map, or set maptype to none"
            yield (name, "maptype"), f"a {field['maptype']} map without entries translates nothing", remedy, False
        empty = data.get("empty_level") if any(name in fields_in(form.topic) for form in syntax) else None
        yield from _word_problems(name, field.get("map", {}), name in in_topics, reserved, empty)


def added_word_problems(msg_map: MsgMap, words: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[_Problem]:
    """Yield what is wrong with MQTT words, by field and internal word, that are to be added to a map."""
    in_topics = {*ADDRESS_FIELDS, *(name for form in msg_map.syntax for name in fields_in(form.topic))}
    reserved = ACTION_KEY if any(form.payload == "action" for form in msg_map.syntax) else None
    is_right = True
    for name, entries in words.items():
        field = msg_map.fields[name]
        if field.maptype == "none":
            what = f"the map passes every word of {name!a} unchanged: it has no words (maptype none)"
            yield (name,), what, "remove them, or make the map of this field loose or strict", True
            is_right = False
            continue
        is_in_levels = any(name in fields_in(form.topic) for form in msg_map.syntax)
        empty = msg_map.empty_level if is_in_levels and "" not in field.entries else None
        owners = {word: internal for internal, known in field.entries.items() for word in known}
        problems = list(_word_problems(name, entries, name in in_topics, reserved, empty or None, owners))
        if name == "argkey":
            problems += _reserved_argument_problems({"maptype": field.maptype, "map": entries})
        yield from (((name, *path[2:]), *rest) for path, *rest in problems)  # type: ignore[misc]
        is_right = is_right and not problems
    topic = ambiguous_topic(msg_map.with_words(words).forms) if is_right else None
    if topic is not None:
        what = f"with these words, the topic {topic!a} would have two meanings in the syntax of the map"
        yield (), what, "use other words", True


def _delivery_problems(rules: Sequence[Mapping[str, Any]]) -> Iterator[_Problem]:
    for index, rule in enumerate(rules):
        if not rule["match"].get("outcome"):
            continue
        for flag, what in (
            ("retain", "an outcome is never retained: a later subscriber would mistake it for a state"),
            ("replay", "an outcome is not a command"),
        ):
            if rule.get(flag):
                yield ("delivery", index, flag), what, f"remove {flag!r}, or 'outcome'", False


def _reserved_argument_problems(argkey: Mapping[str, Any]) -> Iterator[_Problem]:
    """Yield the problems of `argkey` entries that rename a reserved name of outcomes, or translate a word to one."""
    entries = argkey.get("map", {}) if argkey.get("maptype", "none") != "none" else {}
    for internal, words in entries.items():
        for index, word in enumerate(words):
            path = ("argkey", "map", internal, index)
            if internal == word:
                continue
            if internal in OUTCOME_WORDS:
                what = f"{internal!a} is a reserved word of the gateway, which no map translates"
                yield path, what, "remove the entry", False
            elif word in OUTCOME_WORDS:
                yield path, reserved_argument(word), "use another word", False


def _form_problems(syntax: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[_Problem]:
    if "syntax" in data or any(syntax.values()):
        for path, what, remedy in form_problems(syntax, data.get("root", "root")):
            yield path, what, remedy, "constants" in path


def _word_problems(
    name: str,
    entries: Mapping[str, Sequence[str]],
    is_in_topics: bool,
    reserved: str | None,
    empty: str | None,
    known: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[_Problem]:
    """Yield what is wrong with the words of a field; `known` are those that it has already: internal by MQTT word."""
    owners = dict(known)
    for internal, words in entries.items():
        for index, word in enumerate(words):
            path = (name, "map", internal, index)
            if word in owners:
                owner = owners[word]
                what = f"{word!a} is already an MQTT word of {owner!a}"
                yield path, what, "an MQTT word can have only one meaning: remove one of the two", False
                continue
            owners[word] = internal
            problem = word_problem(word) if is_in_topics else _text_problem(word)
            if problem:
                yield path, f"{word!a}: {problem}", "use another word", False
            elif word == empty and internal and "" not in entries:
                what = f"{word!a} already stands for an empty level (empty_level)"
                yield path, what, "an MQTT word can have only one meaning: use another word", False
            elif name == "argkey" and word == reserved:
                yield path, f"the payload reserves {word!a} for the action", "use another word", False


def _text_problem(word: str) -> str | None:
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return "an unpaired surrogate cannot be written as UTF-8"
    return None


def unknown_words(
    document: Document, at: Path, match: Mapping[str, str | Sequence[str]], maps: Sequence[MsgMap]
) -> Iterator[Finding]:
    """Yield a finding for each word in `match`, at path `at`, that no message of any of the maps can have."""
    for name, words in match.items():
        for number, word in enumerate(as_list(words)):
            problems = [problem for msg_map in maps if (problem := msg_map.problem_of(name, word)) is not None]
            if problems and len(problems) == len(maps):
                yield document.finding((*at, name) if isinstance(words, str) else (*at, name, number), problems[0])


def _dead_filters(
    document: Document, at: Path, topics: Sequence[str], wrong: Collection[object], built: MsgMap
) -> Iterator[Finding]:
    for index, topic_filter in enumerate(topics):
        if index not in wrong and not built.can_match(topic_filter):
            what = f"{topic_filter!a} matches no topic that this map accepts{_misfit(topic_filter, built)}"
            remedy = (
                f"a topic is {built.shapes}, in the words of the map; one of another form needs a syntax in the map"
            )
            if built.can_match(topic_filter.lstrip("/")):
                remedy = f"write {topic_filter.lstrip('/')}"
            yield document.finding((*at, "topics", index), what, remedy)


def _misfit(topic_filter: str, built: MsgMap) -> str:
    """Return how a filter that matches no topic of the map differs from one that does."""
    levels = filter_levels(topic_filter)
    if levels[0] == "":
        return ": it begins with '/'"
    counts = sorted({len(form.levels) for form in built.forms})
    fitting = [form for form in built.forms if len(form.levels) == len(levels)]
    if levels[-1] != "#" and not fitting:
        return f": it has {counted(len(levels), 'level')}, but a topic has {' or '.join(map(str, counts))}"
    wrong = [next((at for at, (text, level) in enumerate(zip(levels, form.levels, strict=False))
                   if text not in ("+", "#") and text not in level), 0) for form in fitting or built.forms]  # fmt: skip
    deepest = max(wrong, default=0)
    return f": its level {deepest + 1} is {quote(levels[deepest])}"
