"""A live view within a test: what a client of the control socket would be told."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.runtime.live_view import LiveView, Wanted


class Following:
    """The lines of a view so far: `notes` reads them."""

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self.lost = 0

    def notes(self) -> list[dict[str, Any]]:
        """Return the notes that have come since the last call."""
        lines = [json.loads(line) for line in self._view.lines().splitlines()]
        self.lost += sum(line.get("lost", 0) for line in lines)
        return [line["note"] for line in lines if "note" in line]


@contextmanager
def following(
    wanted: Wanted | None = None, secrets: Collection[str] = (), *, is_raw: bool = False
) -> Iterator[Following]:
    """Follow the messages of this process, or its bytes."""
    view = LiveView(wanted or Wanted(), lambda: secrets, is_raw=is_raw)
    try:
        yield Following(view)
    finally:
        view.close()


def stages(note: dict[str, Any]) -> list[str]:
    """Return the names of the stages of a note."""
    return [stage["stage"] for stage in note["stages"]]
