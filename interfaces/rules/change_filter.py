"""Report by exception: which readings to publish, where a device repeats the same ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.message import InternalMsg

_MAX_READINGS = 10_000  # readings that are distinguished; beyond that, all are forgotten and published once more


class ChangeFilter:
    """Passes a message if its arguments have changed, or if it is due to be repeated.

    `on_change`: pass only if an argument has changed; a number, by more than `deadband`. `interval`: never pass sooner
    than this time (s) after the last message that passed. `refresh`: always pass this time (s) after it. Readings are
    distinguished by address and action, and by the arguments that `by` names. `suppressed` counts messages that did
    not pass.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._deadband: Any = options.get("deadband", 0)
        self._on_change = options.get("on_change", False) or "deadband" in options
        self._interval = options.get("interval", 0.0)
        self._refresh = options.get("refresh")
        self.suppressed = 0
        self._by: tuple[str, ...] = tuple(options.get("by", ()))
        self._last: dict[tuple[object, ...], tuple[float, Mapping[str, Any]]] = {}

    def passes(self, msg: InternalMsg, now: float) -> bool:
        """Return whether to publish `msg` at the time `now` (s); if so, later messages are compared with it."""
        address = (msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.sender)
        key: tuple[object, ...] = (*address, msg.action, *(repr(msg.argument(name)) for name in self._by))
        last = self._last.get(key)
        if last is not None:
            elapsed = now - last[0]
            must_refresh = self._refresh is not None and elapsed >= self._refresh
            may_pass = elapsed >= self._interval
            if not must_refresh and not (may_pass and (not self._on_change or self._differs(last[1], msg.arguments))):
                self.suppressed += 1
                return False
        if last is None and len(self._last) >= _MAX_READINGS:
            self._last.clear()
        self._last[key] = (now, msg.arguments)
        return True

    def _differs(self, previous: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
        if previous.keys() != current.keys():
            return True
        return any(self._has_changed(name, previous[name], value) for name, value in current.items())

    def _has_changed(self, name: str, previous: Any, current: Any) -> bool:
        deadband = self._deadband.get(name, 0) if isinstance(self._deadband, Mapping) else self._deadband
        are_numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (previous, current))
        if are_numbers and deadband:
            return bool(abs(current - previous) > deadband)
        return bool(previous != current) or type(previous) is not type(current)
