"""What is found once and then remembered: a topic and what it stands for, say. Bounded in number and in size."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

_MOST = 20_000
_LONGEST = 500  # characters


def remember(known: dict[Any, Any], key: Hashable, value: object) -> None:
    """Put `value` into `known`, which is kept small; not for a text of great length, which a stranger may send."""
    if isinstance(key, str) and len(key) > _LONGEST:
        return
    if len(known) >= _MOST:
        known.clear()
    known[key] = value
