"""A cache that cannot grow without bound: in number of entries, and in the length of a key."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

_MAX_ENTRIES = 20_000
_MAX_KEY_LENGTH = 500  # characters or bytes


def put(cache: dict[Any, Any], key: Hashable, value: object) -> None:
    """Store `value` under `key` in `cache`; empty the cache first when it is full.

    A text of great length is not stored: keys such as topics come from other clients of the broker, which could
    fill the memory with them.
    """
    if isinstance(key, str | bytes) and len(key) > _MAX_KEY_LENGTH:
        return
    if len(cache) >= _MAX_ENTRIES:
        cache.clear()
    cache[key] = value
