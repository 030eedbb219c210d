from __future__ import annotations

from typing import Any

import pytest

from gateway.configuration.document import Document
from gateway.configuration.load_map import build_map
from gateway.map_tools.lane_notes import lane_notes

ACTION_IN_TOPIC = {
    "constants": {"gateway": "", "sender": ""},
    "commands": [],
    "statuses": [{"topic": "{root}/{function}/{location}/{device}/{action}", "payload": "json"}],
}


def notes(*rules: dict[str, Any], syntax: dict[str, Any] | None = None) -> list[str]:
    data: dict[str, Any] = {"root": "home", "topics": [], "delivery": list(rules)}
    if syntax:
        data["syntax"] = {**syntax, "constants": {"gateway": ""}}
    return list(lane_notes(build_map(Document("map", data), data, sender="gw")))


@pytest.mark.parametrize(
    "rule",
    [
        {"match": {"action": "BELL"}, "lane": "reply"},
        {"match": {"action": ["V", "A"], "location": "hall"}, "lane": "bulk"},
        {"match": {"action": "V"}, "lane": "latest"},
    ],
)
def test_a_lane_of_some_actions_only_has_a_note(rule: dict[str, Any]) -> None:
    (note,) = notes({"match": {"device": "x"}, "lane": "bulk"}, rule)
    assert note.startswith(f"delivery[1]: its lane {rule['lane']} has no effect within one topic: ")
    assert not notes(rule, syntax=ACTION_IN_TOPIC), "there each action has a topic of its own"


def test_rules_that_hold_have_no_note() -> None:
    assert not notes({"match": {"action": "V"}, "retain": True}, {"match": {"location": "hall"}, "lane": "bulk"})
    assert not notes({"match": {"location": "hall"}, "lane": "latest"}), "one message of each action is kept"
