"""Values of the gateway itself that may stand in what is written: the time, and a counter. Pure.

`{now:%H:%M}` is the local time, `{utc:%H:%M}` that in UTC, and `{count:02x}` counts the requests that contain it. A
value or an argument of the same name goes before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

OWN_VALUES = frozenset({"now", "utc", "count"})
"""Their names."""


class OwnValues:
    """The time and the counter of one device.

    `counter` is the range of the counter: its first and its last number. `clock` returns Unix time (s).
    """

    def __init__(self, counter: Sequence[int], clock: Callable[[], float]) -> None:
        self._first, self._last = counter
        self._next = self._first
        self._clock = clock

    def values(self) -> Mapping[str, Any]:
        """Return the values by name; the counter stays as it is."""
        utc = datetime.fromtimestamp(int(self._clock()), UTC)
        return {"now": utc.astimezone(), "utc": utc, "count": self._next}

    def take(self, names: Collection[str]) -> Mapping[str, Any]:
        """Return the values of these names; the counter goes on if it is one of them."""
        values = {name: value for name, value in self.values().items() if name in names}
        if "count" in values:
            self._next = self._next + 1 if self._next < self._last else self._first
        return values
