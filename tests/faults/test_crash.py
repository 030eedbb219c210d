"""A short run of the crash harness (`make crash-test` is the long one), and the proof that it can fail."""

from __future__ import annotations

from pathlib import Path

from tests.crash.rounds import Crash


def test_messages_kept_in_memory_are_lost(tmp_path: Path) -> None:
    verdict = Crash(tmp_path, seed=3, conf={"outbox": {"store": "memory"}}).run(6)
    assert verdict.lost
    assert verdict.delivered + len(verdict.lost) + len(verdict.lost_by_broker) == verdict.accepted
    assert not verdict.disordered


def test_messages_kept_on_disk_survive(tmp_path: Path) -> None:
    verdict = Crash(tmp_path, seed=4).run(6)
    assert verdict.is_ok, verdict
    assert verdict.accepted > 100
