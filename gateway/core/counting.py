"""Numbers of things in words: `1 message`, `2 messages`. Pure."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """Return `number` and what it counts: `one` for 1, and otherwise `several`, by default `one` with an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
