"""Rules that may read frames of one shape, from the most fitting one on. Pure.

They are proposals: whoever uses them must try them, and a person must give their messages the right words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.core.shape import LITERAL, Piece, pieces, separator_of, text_of
from gateway.message import OUTCOME_WORDS
from interfaces.rules.message_template import TIME

Options = dict[str, Any]

_MOST_VALUES = 20
_LONGEST_LAYOUT = 32  # bytes of a frame of which each is a field
_CERTAIN = 2  # bytes at the beginning of a frame that are the same in all frames of a shape
_PAIR_SEPARATORS = (";", ",", "&", "|", "\t", " ")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,30}")
_TELLING = ("model", "type", "kind", "event", "msg", "cmd", "device", "name", "topic", "id")
"""Members of a JSON object that tell what it is about."""

_BEFORE_SIGN = " \t=,;|(<>"  # behind which a number may have a sign
_RESERVED = OUTCOME_WORDS | {TIME}
_INTEGER, _SIGNED = re.compile(r"[0-9]+"), re.compile(r"[-+]?[0-9]+")
_DECIMAL, _FLOAT = re.compile(r"[-+]?[0-9]+\.([0-9]+)"), re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_SCIENTIFIC = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+")


def candidates(frames: Sequence[bytes], encoding: str, device: str | None) -> Iterator[Options]:
    """Yield the options of rules that may read all `frames`, which have one shape. None: the address has a device."""
    for extractor, values in _extractors(frames, encoding):
        message: Options = {} if device is None else {"device": device}
        message["action"] = _action(frames[0])
        has_values = _has_values(extractor)
        if has_values:
            message["arguments"] = "*"
        yield {**extractor, **({"values": values} if values else {}), "message": message}


def ignoring(frames: Sequence[bytes], encoding: str) -> Iterator[Options]:
    """Yield the options of rules that may ignore `frames`."""
    for extractor, _ in _extractors(frames, encoding):
        if "regex" in extractor:
            extractor = {"regex": re.sub(r"\(\?P<\w+>([^()]*)\)", r"\1", extractor["regex"])}
        yield {**extractor, "ignore": True}


def _extractors(frames: Sequence[bytes], encoding: str) -> Iterator[tuple[Options, Options]]:
    """Yield extractors with the converters of their values."""
    if any(text_of(frame) is None for frame in frames):
        yield from _layouts(frames)
        return
    try:
        texts = [frame.decode(encoding) for frame in frames]
    except UnicodeDecodeError:
        return
    yield from _json(texts)
    yield from _pairs(texts)
    yield from _fields(texts)
    yield from _regexes(texts)


def _has_values(extractor: Mapping[str, Any]) -> bool:
    if "regex" in extractor:
        return "(?P<" in extractor["regex"]
    if "binary" in extractor:
        return any("name" in field for field in extractor["binary"]["fields"])
    return True


# --- JSON


def _json(texts: Sequence[str]) -> Iterator[tuple[Options, Options]]:
    if not texts[0].lstrip().startswith("{"):
        return
    try:
        objects = [json.loads(text) for text in texts]
    except (ValueError, RecursionError):
        return
    if not all(isinstance(each, dict) for each in objects):
        return
    telling = [
        name
        for name, value in objects[0].items()
        if isinstance(value, str) and all(each.get(name) == value for each in objects) and "." not in name and name
    ]
    telling.sort(key=lambda name: _TELLING.index(name) if name in _TELLING else len(_TELLING))
    if len(texts) == 1:  # of one frame, nobody knows what is the same in others
        telling = [name for name in telling if name in _TELLING]
    options: Options = {"is": {name: objects[0][name] for name in telling[:1]}} if telling else {}
    at: Options = {}
    for path, value in _leaves(objects[0], ()):
        if path != tuple(telling[:1]) and not isinstance(value, list):
            name = _named("_".join(path), at)
            at[name] = ".".join(path) if not any("." in part or part.isdecimal() for part in path) else list(path)
    if at and len(at) <= _MOST_VALUES:
        yield {"json": {**options, "at": at}}, {}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and len(path) < 4:
        for name, member in value.items():
            yield from _leaves(member, (*path, name))
    elif path and all(path):
        yield path, value


# --- pairs, fields


def _pairs(texts: Sequence[str]) -> Iterator[tuple[Options, Options]]:
    for equals in ("=", ":"):
        if not all(text.count(equals) >= 2 for text in texts):
            continue
        for separator in _PAIR_SEPARATORS:
            start = _start_of_pairs(texts[0], separator, equals)
            if start is None or not all(text.startswith(start) for text in texts):
                continue
            keys: dict[str, None] = {}
            for text in texts:
                parts = [part.partition(equals) for part in text[len(start) :].split(separator) if part.strip()]
                if not all(sign and _KEY.fullmatch(key.strip()) for key, sign, _ in parts):
                    break
                keys.update((key.strip(), None) for key, _, _ in parts)
            else:
                if len(keys) >= 2 and len(keys) <= _MOST_VALUES and not keys.keys() & _RESERVED:
                    options: Options = {"start": start} if start else {"keys": list(keys)}
                    if separator != " ":
                        options["separator"] = separator
                    if equals != "=":
                        options["equals"] = equals
                    yield {"pairs": options}, {"*": "auto"}


def _start_of_pairs(text: str, separator: str, equals: str) -> str | None:
    """Return what stands before the first pair of a text; None if it has no pair."""
    first = text.split(separator)[0] if separator != " " else text.partition(equals)[0] + equals
    before, sign, _ = first.partition(equals)
    key = re.search(_KEY.pattern + r"\Z", before)
    return before[: key.start()] if sign and key is not None else None


def _fields(texts: Sequence[str]) -> Iterator[tuple[Options, Options]]:
    separator = separator_of(texts[0])
    if separator is None:
        return
    rows = [text.split(separator) for text in texts]
    count = len(rows[0])
    if any(len(row) != count for row in rows) or any('"' in text for text in texts):
        return
    options: Options = {} if separator == "," else {"separator": separator}
    first = rows[0][0]
    if any(char.isalpha() for char in first) and all(row[0] == first for row in rows):
        options["is"] = {"0": first}
    options |= {"minimum": count, "maximum": count}
    used = [
        index
        for index in range(count)
        if not ("is" in options and index == 0)
        and any(row[index].strip() for row in rows)
        and not any("*" in row[index] for row in rows)
    ][:_MOST_VALUES]
    if used:
        yield {"fields": {**options, "at": {f"field{index}": index for index in used}}}, {"*": "auto"}


# --- expressions


def _regexes(texts: Sequence[str]) -> Iterator[tuple[Options, Options]]:
    rows = [list(pieces(text)) for text in texts]
    kinds = [[piece.kind for piece in row] for row in rows]
    if any(each != kinds[0] for each in kinds) or sum(kind != LITERAL for kind in kinds[0]) > _MOST_VALUES:
        return
    expression = before = ""
    values: dict[str, str] = {}
    for column in zip(*rows, strict=True):
        kind, text = column[0]
        if kind == LITERAL:
            if any(piece.text != text for piece in column):
                return
            expression += _escaped(text)
            before = text
            continue
        pattern, converter = _pattern(column, before)
        if kind == "sum":
            expression += pattern
            continue
        name = _named(_word_before(before), values)
        values[name] = converter
        quote = '"' if kind == "quoted" else ""
        expression += f"{quote}(?P<{name}>{pattern}){quote}"
        before = ""
    yield {"regex": expression}, {name: converter for name, converter in values.items() if converter}


def _pattern(column: Sequence[Piece], before: str) -> tuple[str, str]:
    """Return the expression for a value, and its converter."""
    kind, texts = column[0].kind, [piece.text for piece in column]
    if kind == "quoted":
        return r'[^"]*', ""
    if kind == "word":
        return "[A-Za-z_]+", ""
    if kind == "address":
        return "[0-9A-Fa-f:-]+", ""
    if kind == "sum":
        return "[0-9A-Fa-f]{2}", ""
    if kind == "hex":
        return "[0-9A-Fax-f]+" if any("x" in text or "X" in text for text in texts) else "[0-9A-Fa-f]+", ""
    sign = "-?" if not before or before[-1] in _BEFORE_SIGN or re.search("[A-Za-z]:$", before) else ""
    if any(text.startswith("+") for text in texts):
        sign = "[-+]?"
    decimals = [_DECIMAL.fullmatch(text) for text in texts]
    if all(decimals):
        lengths = {len(match[1]) for match in decimals if match is not None}
        length = lengths.pop() if len(lengths) == 1 and len(texts) > 1 else 0
        exactly = f"{{{length}}}" if length > 1 else "" if length else "+"
        return rf"{sign}[0-9]+\.[0-9]{exactly}", "float"
    if all(_SIGNED.fullmatch(text) for text in texts):
        is_code = any(len(text.lstrip("-+")) > 1 and text.lstrip("-+").startswith("0") for text in texts)
        return f"{sign}[0-9]+", "" if is_code else "int"
    if all(_FLOAT.fullmatch(text) for text in texts):
        return rf"{sign}[0-9.]+", "float"
    if all(_FLOAT.fullmatch(text) or _SCIENTIFIC.fullmatch(text) for text in texts):
        return "[-+0-9.eE]+", "float"
    return "[-+0-9A-Fa-f.]+", ""


def _word_before(text: str) -> str:
    words = re.findall(r"[A-Za-z][A-Za-z_]*", text[-40:])
    return words[-1].lower() if words else ""


def _escaped(text: str) -> str:
    """Return a text as an expression, as a person would write it."""
    return "".join(rf"\{char}" if char in r"\.^$*+?{}[]|()" else char for char in text)


# --- bytes


def _layouts(frames: Sequence[bytes]) -> Iterator[tuple[Options, Options]]:
    length = len(frames[0])
    if length > _LONGEST_LAYOUT or any(len(frame) != length for frame in frames):
        return
    fields: list[Options] = []
    for index, column in enumerate(zip(*frames, strict=True)):
        is_same = index < _CERTAIN or (len(frames) > 1 and len(set(column)) == 1)
        fields.append({"type": "u8", "is": column[0]} if is_same else {"type": "u8", "name": f"byte{index}"})
    yield {"binary": {"length": length, "fields": fields}}, {}


# --- words


def _named(text: str, taken: Mapping[str, Any]) -> str:
    """Return a name for a value that is not `taken` yet."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:30]
    if not name or name[0].isdigit() or name in _RESERVED:
        name = f"value_{name}" if name else "value"
    number, base = 2, name
    while name in taken:
        name, number = f"{base}{number}", number + 1
    return name


def _action(frame: bytes) -> str:
    """Return the action of the message of a frame: its first word, or if it has no value, all of its words."""
    text = text_of(frame)
    if text is None or text.lstrip().startswith("{"):
        return "READING"
    row = list(pieces(text))
    words = re.findall(r"[A-Za-z]+", "".join(piece.text for piece in row if piece.kind == LITERAL))
    chosen = words[:1] if len(row) > 1 else words[:4]
    return "_".join(chosen).upper()[:40] or "READING"
