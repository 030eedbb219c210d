"""Words that a command must have: constant ones, and those of a form with parts that are arguments. Pure.

`device: "node{n}"` accepts the device `node7`, and the argument `n` is then the text `7`. It is the inverse of the same
text in a message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.rules.template import Template, TemplateError


class WordForm:
    """The form of a word: a text with `{name}` for each part that is an argument; `names` are these arguments.

    A part has at least one character, and ends where the text that follows it begins for the first time; the last one
    ends with the word. Raises `TemplateError` if a part has a format, or if no text separates two of them.
    """

    def __init__(self, text: str) -> None:
        template = Template(text)
        literals, names = [""], list[str]()
        for literal, name, spec in template.parts:
            literals[-1] += literal
            if name is None:
                continue
            if spec:
                raise TemplateError(f"{{{name}:{spec}}} has a format, but here a word is read: write {{{name}}}")
            if names and not literals[-1]:
                raise TemplateError(f"no text separates {{{names[-1]}}} from {{{name}}}: add one")
            names.append(name)
            literals.append("")
        self._start = literals[0]
        self._parts = list(zip(names, literals[1:], strict=True))  # each with the text that follows it
        self.names = template.names

    def read(self, word: str) -> dict[str, str] | None:
        """Return the text of each part of `word`, by argument; None if it does not have this form."""
        if not word.startswith(self._start):
            return None
        values: dict[str, str] = {}
        rest = word[len(self._start) :]
        for index, (name, end) in enumerate(self._parts):
            if index == len(self._parts) - 1:
                at = len(rest) - len(end) if rest.endswith(end) else -1
            else:
                at = rest.find(end, 1)
            if at < 1 or values.setdefault(name, rest[:at]) != rest[:at]:
                return None
            rest = rest[at + len(end) :]
        return values

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the word with these parts."""
        return self._start + "".join(f"{values[name]}{end}" for name, end in self._parts)


class WordMatch:
    """The words of a rule by field; None: any word. `options` is its option `match`, which adds to those of `address`.

    `names` are the arguments that are parts of a word. Raises `TemplateError` if a form is wrong.
    """

    def __init__(self, options: Mapping[str, str | None], address: Mapping[str, str]) -> None:
        words = {**address, **options}
        self._forms = forms_of(options)
        self._constants = {name: word for name, word in words.items() if word is not None and name not in self._forms}
        self.names = frozenset(name for form in self._forms.values() for name in form.names)

    @property
    def address(self) -> dict[str, str]:
        """The words that are the same in all its commands, except the action."""
        return {name: word for name, word in self._constants.items() if name != "action"}

    def words_with(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Return the words that have a form, by field, with these arguments as their parts."""
        return {field: form.fill(parts) for field, form in self._forms.items()}

    def read(self, msg: InternalMsg, *, ignoring: str = "") -> dict[str, str] | None:
        """Return the arguments that are parts of the words of `msg`; None if it lacks a word of the rule.

        The field `ignoring` may have any word.
        """
        if any(name != ignoring and getattr(msg, name) != word for name, word in self._constants.items()):
            return None
        values: dict[str, str] = {}
        for field, form in self._forms.items():
            parts = form.read(getattr(msg, field)) if field != ignoring else {}
            if parts is None or any(values.setdefault(name, part) != part for name, part in parts.items()):
                return None
        return values


def forms_of(options: Mapping[str, str | None]) -> dict[str, WordForm]:
    """Return the words of `match` that have a form, by field; raise `TemplateError` if a form is wrong."""
    forms = {field: WordForm(word) for field, word in options.items() if word and ("{" in word or "}" in word)}
    return {field: form for field, form in forms.items() if form.names}


def check_match(options: Mapping[str, str | None], arguments: Collection[str]) -> Iterator[Problem]:
    """Yield the problems of the option `match` of a rule with these arguments; paths begin at the rule."""
    for field, word in options.items():
        try:
            forms: Mapping[str, Any] = forms_of({field: word})
        except TemplateError as err:
            yield Problem(("match", field), str(err))
            continue
        for form in forms.values():
            for name in sorted(form.names - set(arguments)):
                what = f"{{{name}}} is not an argument"
                yield Problem(("match", field), what, f"add it: arguments: {{{name}: {{type: ...}}}}")
