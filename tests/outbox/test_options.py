from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from gateway.outbox.options import DISK_DEFAULTS, DiscardPolicy, OutboxOptions


def test_the_policies_are_those_of_the_schema() -> None:
    schema: Any = json.loads(files("gateway.outbox").joinpath("options_schema.json").read_text())
    discard = schema["properties"]["discard"]
    assert list(DiscardPolicy) == discard["enum"]
    assert OutboxOptions().discard == discard["default"]


def test_each_policy_says_what_it_drops() -> None:
    assert {str(policy): (policy.drops_oldest, policy.log_text) for policy in DiscardPolicy} == {
        "old": (True, "the oldest messages are dropped"),
        "new": (False, "new messages are refused"),
    }


def test_on_disk_there_is_room_for_more() -> None:
    assert DISK_DEFAULTS.max_bytes > OutboxOptions().max_bytes
