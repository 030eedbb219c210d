"""Watches every state document as it is published: none of them may lose a value that it had."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.support.broker import Listener
from tests.support.waiting import wait_until

_MARK = "home/gw/look/state"


class Shrinking:
    """Compares each document that `listener` receives with the one before it on the same topic."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._read = self._marks = 0
        self._points: dict[str, set[str]] = {}

    def found(self) -> Iterator[str]:
        """Yield the documents that have lost values since the last call. An empty one begins anew."""
        self._catch_up()
        messages = self._listener.pairs()[self._read :]
        self._read += len(messages)
        for topic, payload in messages:
            if topic == _MARK:
                continue
            points = {key for key in json.loads(payload) if not key.startswith("_")} if payload else set()
            lost = self._points.get(topic, set()) - points if payload else set()
            self._points[topic] = points
            if lost:
                yield f"{topic} has lost {sorted(lost)}: {payload!r}"

    def _catch_up(self) -> None:
        """Return once everything is received that the broker has had up to now, also if it has been restarted."""
        self._marks += 1
        mark = _MARK, str(self._marks).encode()

        def is_received() -> bool:
            self._listener.client.publish(*mark)
            return mark in self._listener.pairs()

        wait_until(is_received, 20, "the listener to be connected again", pause=0.1)
