"""The value of an unquoted YAML scalar, as in YAML 1.2 (core schema, section 10.3.2). Pure.

PyYAML resolves scalars as in YAML 1.1, where `on`, `off` and `no` are booleans and `12:30` is a number.
"""

from __future__ import annotations

import math
import re
from typing import Any


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


# An integer has as many digits at most as fit into a floating-point number: a larger one is infinite to many programs.
_CORE_SCHEMA: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,300}"), int),
    (re.compile(r"0o[0-7]{1,300}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,255}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), _finite),
)


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted YAML scalar; infinity, NaN and what is as large stay text."""
    for pattern, convert in _CORE_SCHEMA:
        if pattern.fullmatch(text):
            return convert(text)  # type: ignore[no-any-return]
    return text
