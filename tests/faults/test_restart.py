"""A short run of the restart harness (`make restart-test` is the long one), and the proof that it can fail."""

from __future__ import annotations

import json
from pathlib import Path

from tests.restart.expected import Expected
from tests.restart.sequence import Sequence
from tests.restart.setup import Setup


def test_after_a_few_restarts_the_documents_are_right(tmp_path: Path) -> None:
    sequence = Sequence(tmp_path, seed=22, is_on_disk=False)
    assert sequence.run(2) == [], sequence.log_tail()
    assert sequence.looks > 1


def retained(**documents: bytes) -> dict[str, bytes]:
    """Return what a broker has of a gateway with nothing but the boiler; `documents` go before it."""
    document = {"temperature": 20.5, "target": 55, "_status": "online", "_quality": {"heater": "unknown"},
                "_time": {"temperature": "", "target": ""}}  # fmt: skip
    topics = {
        "boiler/state": json.dumps(document).encode(),
        **dict.fromkeys(("availability", "bus/availability", "boiler/availability"), b"online"),
        **{topic.replace("_", "/"): payload for topic, payload in documents.items()},
    }
    return {f"home/gw/{topic}": payload for topic, payload in topics.items()}


def problems(documents: dict[str, bytes]) -> list[str]:
    setup = Setup(has_probe=False, has_fan=False, has_tanks=False)
    expected = Expected(setup, is_on_disk=True)
    expected.silent |= {"unit1", "unit2"}
    expected.now["boiler", "temperature"] = 20.5
    expected.started(setup)
    expected.tell("boiler", "target", 55)
    return list(expected.problems(documents))


def test_what_is_wrong_is_noticed() -> None:
    right = retained()
    assert problems(right) == []
    document = json.loads(right["home/gw/boiler/state"])
    for change in (
        {"temperature": 20.0},
        {"heater": False, "_time": {**document["_time"], "heater": ""}},
        {"_status": "offline"},
        {"_quality": {"temperature": "stale", "heater": "unknown"}},
    ):
        assert problems(retained(boiler_state=json.dumps({**document, **change}).encode())), change
    del document["target"], document["_time"]["target"]
    assert problems(retained(boiler_state=json.dumps(document).encode())), "it has shrunk"
    assert problems(retained(boiler_availability=b"offline"))
    assert problems(retained(gone_state=b"{}")), "an orphan"
