"""Templates: text with `{name}` in it, filled from values. Pure; nothing is evaluated.

`{name}` and `{name:format}` are taken (format as in Python's format specification); attributes, indices
and conversions are not, so that a template can reach nothing but the values it is given.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any


class TemplateError(ValueError):
    """The template itself is wrong, or a value does not fit it."""


class Template:
    """A parsed template; `names` are the values it needs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[tuple[str, str | None, str]] = []  # literal, name, format
        try:
            for literal, name, spec, conversion in string.Formatter().parse(text):
                if conversion or (name is not None and not name.isidentifier()) or "{" in (spec or ""):
                    raise TemplateError(f"{{{name}}} is not taken: use {{name}} or {{name:format}}")
                self._parts.append((literal, name, spec or ""))
        except TemplateError:
            raise
        except ValueError as err:
            raise TemplateError(f"{err}: write {{{{ and }}}} for braces") from err
        self.names = frozenset(name for _, name, _ in self._parts if name is not None)
        is_alone = len(self._parts) == 1 and self._parts[0][0] == "" and self._parts[0][2] == ""
        self.alone = self._parts[0][1] if is_alone else None
        """The name, where the template is just `{name}`."""

    def fill(self, values: Mapping[str, Any], check: Callable[[str, str, str], None] | None = None) -> str:
        """Return the text; raise `TemplateError` if a value does not take its format.

        `check(name, format, text)` may raise for what a value has become.
        """
        text = ""
        for literal, name, spec in self._parts:
            text += literal
            if name is not None:
                try:
                    filled = format(values[name], spec)
                except (ValueError, TypeError, OverflowError) as err:
                    raise TemplateError(f"{values[name]!a} cannot be written as {{{name}:{spec}}}: {err}") from err
                if check is not None:
                    check(name, spec, filled)
                text += filled
        return text

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the text, or the value itself, with its type, where the template is just `{name}`."""
        return self.fill(values) if self.alone is None else values[self.alone]
