"""Converters between texts, words and what they mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from interfaces.rules.code_pages import CodePageError, check_text_encoding
from interfaces.rules.conversion import ConversionError, Converter, decoded, without_setting


def _text(encoding: str | None) -> Converter:
    name = encoding or "latin-1"
    try:
        check_text_encoding(name)
    except CodePageError as err:
        raise ValueError(str(err)) from None

    def read(value: Any) -> str:
        try:
            return value.decode(name) if isinstance(value, bytes) else str(value)
        except UnicodeError:
            raise ConversionError(f"{value!a} is not text in {name}") from None

    def write_bytes(value: Any) -> bytes:
        try:
            return str(value).encode(name)
        except UnicodeError:
            raise ConversionError(f"{value!a} has a character that {name} does not have") from None

    return Converter(read, str, write_bytes)


def _strip(characters: str | None) -> Converter:
    "".strip(characters)
    return Converter(lambda value: decoded(value).strip(characters), lambda value: value)


def _remove(characters: str) -> Converter:
    """Return the converter that removes characters everywhere: the spaces in `+  1.234` of a scale, for example."""
    table = {ord(character): None for character in characters}
    if not table:
        raise ValueError("list the characters to remove")
    return Converter(lambda value: decoded(value).translate(table), lambda value: value)


def _replace(texts: Mapping[str, Any]) -> Converter:
    """Return the converter that replaces texts, all at once: a text that was put in is not replaced again."""
    table = {str(old): str(new) for old, new in texts.items()}
    if not table or "" in table:
        raise ValueError("list the texts to replace, none of them empty")
    back = {new: old for old, new in reversed(table.items()) if new}
    return Converter(_replacing(table), _replacing(back))


def _replacing(table: Mapping[str, str]) -> Callable[[Any], str]:
    longest_first = sorted(table, key=len, reverse=True)
    find = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
    return lambda value: find.sub(lambda match: table[match[0]], decoded(value))


def _upper(setting: None) -> Converter:
    return without_setting(setting, Converter(lambda value: decoded(value).upper(), lambda value: value))


def _lower(setting: None) -> Converter:
    return without_setting(setting, Converter(lambda value: decoded(value).lower(), lambda value: value))


def _bool(words: Mapping[str, Any] | None) -> Converter:
    settings = words or {"true": ["1", "on", "yes", "true"], "false": ["0", "off", "no", "false"]}
    table: dict[str, bool] = {}
    first_words: dict[bool, str] = {}
    for name, meaning in (("true", True), ("false", False)):
        words_of_meaning = settings.get(name, [])
        texts = words_of_meaning if isinstance(words_of_meaning, list) else [words_of_meaning]
        if not texts:
            raise ValueError(f"no word for {name}")
        for word in texts:
            if table.setdefault(str(word).lower(), meaning) is not meaning:
                raise ValueError(f"{word!a} means both true and false")
        first_words[meaning] = str(texts[0])

    def read(value: Any) -> bool:
        word = str(value).strip().lower()
        if word not in table:
            raise ConversionError(f"{value!a} is not one of {', '.join(table)}")
        return table[word]

    def write(value: Any) -> str:
        if not isinstance(value, bool):
            raise ConversionError(f"{value!a} is not true or false")
        return first_words[value]

    return Converter(read, write)


class TableKey(int):
    """A key of a table that is a number, and whose digits are those that stand in the configuration."""


def _enum(table: Mapping[str, Any]) -> Converter:
    by_key = {str(key): meaning for key, meaning in table.items()}
    for meaning in by_key.values():
        if isinstance(meaning, Mapping | list):
            raise ValueError(f"{meaning!a} is not a text, a number, true or false")
    keys = {str(meaning): key for key, meaning in reversed(by_key.items()) if key != "*"}

    def read(value: Any) -> Any:
        key = str(int(value) if isinstance(value, bool) else value).strip()  # a single bit of a layout is a bool
        if key not in by_key:
            if "*" in by_key:
                return by_key["*"]
            raise ConversionError(f"{value!a} is not one of {', '.join(by_key)}")
        return by_key[key]

    def write(value: Any) -> Any:
        if str(value) not in keys:
            raise ConversionError(f"{value!a} is not one of {', '.join(keys)}")
        key = keys[str(value)]
        # "01" stays a text: as a number it would lose its zero.
        return TableKey(key) if re.fullmatch(r"0|-?[1-9][0-9]{0,19}", key) else key

    return Converter(read, write)


TEXT_CONVERTERS: dict[str, Callable[[Any], Converter]] = {
    "text": _text,
    "strip": _strip,
    "remove": _remove,
    "replace": _replace,
    "upper": _upper,
    "lower": _lower,
    "bool": _bool,
    "enum": _enum,
}
