"""Values as YAML that this program and people read as the same. Pure. Comments and lines are for whoever calls it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.configuration.scalars import resolve_scalar

_PLAIN = re.compile(r"[A-Za-z0-9_/+][A-Za-z0-9_ ./+@$%°=()*?!;<>|^~-]*")
_MISREAD = frozenset(("yes", "no", "on", "off", "y", "n"))  # by programs that read YAML 1.1, and by people
_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\\": r"\\", '"': r"\""}


def flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(name)}: {flow(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value)


def scalar(value: Any) -> str:
    """Return a text, number, boolean or null as YAML; a text has quotes if it needs them. Variables stay variables."""
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = _PLAIN.fullmatch(value) and value == value.strip() and value.lower() not in _MISREAD
    if is_plain and isinstance(resolve_scalar(value), str):
        return value
    if value.isprintable():
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    return f'"{"".join(map(_escaped, value))}"'


def without_variables(value: Any) -> Any:
    """Return a value in which `${` is a text, and begins no variable. In names, it never does."""
    if isinstance(value, Mapping):
        return {name: without_variables(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_variables(each) for each in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08X}"
