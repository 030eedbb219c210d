"""Templates: text that contains `{name}`, filled with values. Pure; nothing is evaluated.

`{name}` and `{name:format}` are supported (format as in Python's format specification). Attributes, indices and
conversions are rejected, so that a template can access nothing but the values it is filled with.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class TemplateError(ValueError):
    """The template itself is wrong, or a value does not fit its format."""


class Template:
    """A parsed template; `names` are the values that it needs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[tuple[str, str | None, str]] = []  # literal, name, format
        try:
            for literal, name, spec, conversion in string.Formatter().parse(text):
                if conversion or (name is not None and not name.isidentifier()) or "{" in (spec or ""):
                    raise TemplateError(
                        f"{{{name}}} is no value: write {{name}} or {{name:format}}, or {{{{ and }}}} for braces"
                    )
                self._parts.append((literal, name, spec or ""))
        except TemplateError:
            raise
        except ValueError as err:
            raise TemplateError("a brace has no counterpart: write {name}, or {{ and }} for braces") from err
        self.parts: Sequence[tuple[str, str | None, str]] = self._parts
        """Each literal text, with the name and the format of the value behind it; the last may have none."""
        self.names = frozenset(name for _, name, _ in self._parts if name is not None)
        is_single_name = len(self._parts) == 1 and self._parts[0][0] == "" and self._parts[0][2] == ""
        self.single_name = self._parts[0][1] if is_single_name else None
        """The name, where the template is only `{name}`; else None."""

    def fill(self, values: Mapping[str, Any], check: Callable[[str, str, str], None] | None = None) -> str:
        """Return the text; raise `TemplateError` if a value does not fit its format.

        `check(name, format, text)` is called with the text of each value, and may raise.
        """
        result = ""
        for literal, name, spec in self._parts:
            result += literal
            if name is not None:
                try:
                    text = format(values[name], spec)
                except (ValueError, TypeError, OverflowError) as err:
                    what = f"{values[name]!a} cannot be written as {{{name}:{spec}}}"
                    raise TemplateError(f"{what}: {_reason(values[name], spec)}") from err
                if check is not None:
                    check(name, spec, text)
                result += text
        return result

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the text, or, where the template is only `{name}`, the value itself with its type."""
        return self.fill(values) if self.single_name is None else values[self.single_name]


def _reason(value: Any, spec: str) -> str:
    """Return why `value` does not fit a format, in words for whoever has written the format."""
    if spec[-1:] in _WHOLE and not isinstance(value, int):
        what = "it is not a whole number" if isinstance(value, float) else "it is not a number"
        return f"{what}, which this format needs" + ("; round it by a converter" if isinstance(value, float) else "")
    return f"the format is none for {'a text' if isinstance(value, str) else 'this value'}"


_WHOLE = frozenset("bcdoxX")  # the formats of whole numbers
