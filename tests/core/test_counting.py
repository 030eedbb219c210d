"""Numbers of things: one thing has the singular, and none has the plural."""

from __future__ import annotations

import pytest

from gateway.core.counting import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages")])
def test_one_thing_has_the_singular(number: int, text: str) -> None:
    assert counted(number, "message") == text


def test_a_verb_agrees() -> None:
    assert counted(1, "entry is", "entries are") == "1 entry is"
    assert counted(3, "entry is", "entries are") == "3 entries are"
