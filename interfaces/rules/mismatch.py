"""Why a rule does not match a frame: how far it does, what it expects there, and what stands there. Pure.

Only for `mqttgateway check`: it tries parts of a rule, which takes much longer than to match it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.core.counting import counted
from interfaces.rules.extractors import ExtractError, csv_splitter, extractor_kinds, framing_of, make_extractor
from interfaces.rules.json_paths import JsonPaths, JsonTextError
from interfaces.rules.layout import Layout
from interfaces.rules.layout_fields import Field
from interfaces.rules.nested import NestedExtractor, make_reader
from interfaces.rules.safe_regex import RegexError, safe_regex

_MAX_EXPRESSION = 500  # characters of an expression that is tried in parts
_MAX_FRAME = 4096  # bytes of a frame
_MAX_SHOWN = 30  # characters of what is expected, and of what is found
_REPEATS = ("*", "+", "?", "{")
_END = "the end of the frame"
_NOT_FOUND = {
    "find": "behind offset {offset} there is no {bytes}",
    "switch": "at offset {offset} there is no case for the value of {on}, or its fields do not match",
    "repeat": "at offset {offset} a repetition is incomplete, or there are too many",
}
"""Why a part of a layout does not match that is no field, by its type."""


class Mismatch(NamedTuple):
    """Where a rule stops to match: after so many characters or bytes, and why, as a text."""

    depth: int
    reason: str


def nearest(rules: Iterable[tuple[str, Mapping[str, Any]]], frame: bytes, encoding: str) -> str | None:
    """Return the name and the reason of the rule that matches most of `frame`; None if there is nothing to say.

    `rules` are names and options of rules that do not match it; of equal ones, the first counts.
    """
    best: tuple[str, Mismatch] | None = None
    for name, options in rules:
        found = mismatch(options, frame, encoding)
        if found is not None and (best is None or found.depth > best[1].depth):
            best = name, found
    return None if best is None else f"the nearest rule is {best[0]}: {best[1].reason}"


def mismatch(options: Mapping[str, Any], frame: bytes, encoding: str) -> Mismatch | None:
    """Return why the rule with these options does not match `frame`; None if that is not known."""
    if len(frame) > _MAX_FRAME:
        return None
    framing = options.get("framing")
    if framing and framing != framing_of(frame):
        return Mismatch(-1, f"it reads only frames of the framing {framing!a}")
    try:
        if "nested" in options and make_extractor(options, encoding).extract(frame) is not None:
            return _of_nested(options, frame, encoding)
    except ExtractError as err:
        return Mismatch(len(frame), str(err))
    kind = next(extractor_kinds(options), "")
    if kind == "binary":
        return _of_layout(options[kind], frame)
    if kind not in _OF_TEXT:
        return None
    try:
        return _OF_TEXT[kind](options[kind], frame.decode(encoding))
    except UnicodeDecodeError as err:
        return Mismatch(err.start, f"offset {err.start} is no text in {encoding}")


def _of_nested(options: Mapping[str, Any], frame: bytes, encoding: str) -> Mismatch | None:
    """Return why what is nested in a frame does not match, though the frame around it does."""
    reader = make_reader(options, encoding)
    parts = reader.parts(frame) if isinstance(reader, NestedExtractor) else ()
    reasons = [mismatch(options["nested"], part, encoding) for part in parts]
    found = max((reason for reason in reasons if reason is not None), key=lambda reason: reason.depth, default=None)
    return None if found is None else Mismatch(len(frame), f"in what is nested, {found.reason}")


# --- bytes


def _of_layout(options: Mapping[str, Any], frame: bytes) -> Mismatch | None:
    """Try more and more of the fields: the first one with which the layout does not match is the reason."""
    order, fields, length = options["byte_order"], options["fields"], options.get("length")
    for index, field in enumerate(fields):
        if Layout(fields[: index + 1], order).read(frame) is None:
            return _of_field(field, order, frame, _end_of(fields[:index], order, frame))
    if length is not None and len(frame) != length:
        depth = min(length, _end_of(fields, order, frame))
        return Mismatch(depth, f"it expects {counted(length, 'byte')}, but the frame has {len(frame)}")
    return None


def _end_of(fields: list[Mapping[str, Any]], order: str, frame: bytes) -> int:
    """Return the offset behind fields that match."""
    values = Layout([*fields, {"type": "bytes", "name": "rest of it"}], order).read(frame)
    return len(frame) if values is None else len(frame) - len(values["rest of it"])


def _of_field(options: Mapping[str, Any], order: str, frame: bytes, position: int) -> Mismatch:
    kind, at = options["type"], options.get("at")
    offset = position if at is None else at + (len(frame) if at < 0 else 0)
    if kind in _NOT_FOUND:
        return Mismatch(min(max(0, offset), len(frame)), _NOT_FOUND[kind].format(offset=offset, **options))
    field = Field(options, order)
    if field.length_name:
        found = _shortened(frame[max(0, offset) :].hex(" ")) or _END
        return _expects(offset, f"{field.kind} with a length of {field.length_name}", found)
    data = frame[max(0, offset) : max(0, offset) + field.size]
    expected = f"{counted(field.size, 'byte')} ({field.kind})" if field.constant is None else field.constant.hex(" ")
    return _expects(offset, expected, data.hex(" ") or _END)


# --- text


def _of_regex(expression: str, text: str) -> Mismatch | None:
    """Try less and less of an expression: behind the longest part that matches stands what does not."""
    if len(expression) > _MAX_EXPRESSION:
        return None
    for end in range(len(expression), -1, -1):
        part = expression[:end]
        if expression.startswith(_REPEATS, end) or part.endswith("|"):
            continue  # it would tear apart what belongs together
        try:
            if not safe_regex(part).is_fast:
                continue
        except RegexError:
            continue
        match = re.compile(part).match(text)
        if match is not None:
            expected = f"'{_shortened(expression[end:])}'" if end < len(expression) else _END
            return _expects(match.end(), expected, _found(text[match.end() :]))
    return None


def _of_lines(options: Mapping[str, Any], text: str) -> Mismatch | None:
    reasons: list[Mismatch] = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern in (*options.get("patterns", ()), *options.get("repeat", ())):
            reason = _of_regex(pattern, line)
            if reason is not None:
                reasons.append(reason._replace(reason=f"no line matches; nearest is line {number}: {reason.reason}"))
    return max(reasons, key=lambda reason: reason.depth, default=None)


def _of_fields(options: Mapping[str, Any], text: str) -> Mismatch | None:
    separator = options["separator"]
    fields = csv_splitter(separator, options["quote"])(text) if "quote" in options else text.split(separator)
    if fields is None:
        return Mismatch(0, f"its quotes ({options['quote']}) do not match")
    for position, texts in sorted((int(position), texts) for position, texts in options["is"].items()):
        index = position if position >= 0 else len(fields) + position
        alternatives = [texts] if isinstance(texts, str) else texts
        if 0 <= index < len(fields) and fields[index] in alternatives:
            continue
        depth = len(separator.join([*fields[: max(0, index)], ""]))
        found = repr(_shortened(fields[index])) if 0 <= index < len(fields) else "no such field"
        reason = f"in field {position} it expects {_alternatives(alternatives)}, but there is {found}"
        return Mismatch(min(depth, len(text)), reason)
    for name, is_wrong, word in (
        ("minimum", len(fields) < options.get("minimum", 0), "at least"),
        ("maximum", len(fields) > options.get("maximum", len(fields)), "at most"),
    ):
        if is_wrong:
            return Mismatch(
                len(text), f"it expects {word} {counted(options[name], 'field')}, but there are {len(fields)}"
            )
    return None


def _of_pairs(options: Mapping[str, Any], text: str) -> Mismatch | None:
    start = options["start"]
    if not text.startswith(start):
        depth = next((i for i, (one, other) in enumerate(zip(start, text, strict=False)) if one != other), len(text))
        return _expects(depth, f"{_shortened(start[depth:])!a}", _found(text[depth:]))
    keys = f" with one of the keys {', '.join(options['keys'])}" if "keys" in options else ""
    return Mismatch(len(start), f"there is no pair KEY{options['equals']}VALUE{keys}")


def _of_json(options: Mapping[str, Any], text: str) -> Mismatch | None:
    """Try the constants one by one: the first one with which the text does not match is the reason."""
    try:
        if JsonPaths({"at": {"all": []}}).read(text) is None:
            return Mismatch(0, "it is no JSON text")
        for path, expected in options.get("is", {}).items():
            if JsonPaths({"is": {path: expected}, "at": {"all": []}}).read(text) is None:
                found = JsonPaths({"at": {"found": path}}).read(text)
                what = "nothing" if found is None else _shortened(ascii(found["found"]))
                depth = max(0, text.find(f'"{path.rpartition(".")[2]}"'))
                return Mismatch(depth, f"at {path!a} it expects {_alternatives(expected)}, but there is {what}")
    except JsonTextError as err:
        return Mismatch(0, str(err))
    return Mismatch(len(text), "none of its values is there")


def _alternatives(expected: Any) -> str:
    return " or ".join(f"{each!a}" for each in (expected if isinstance(expected, list) else [expected]))


_OF_TEXT: Mapping[str, Callable[[Any, str], Mismatch | None]] = {
    "regex": _of_regex,
    "fields": _of_fields,
    "pairs": _of_pairs,
    "lines": _of_lines,
    "json": _of_json,
}


def _expects(offset: int, expected: str, found: str) -> Mismatch:
    return Mismatch(max(0, offset), f"at offset {offset} it expects {expected}, but there is {found}")


def _found(text: str) -> str:
    return f"{_shortened(text)!a}" if text else _END


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
