"""Which readings to publish: telemetry that says the same again and again should not flood. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.message import InternalMsg

_MAX_REMEMBERED = 10_000  # messages that differ in address or action


class ChangeFilter:
    """Lets a message pass if it says something new, or if it is time to say it again.

    `on_change`: only if an argument has changed; a number, by more than `deadband`. `interval` (s): never
    sooner than that after the last. `refresh` (s): in any case that long after the last. Readings are told
    apart by address and action, and by the arguments that `by` names.
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
        """Tell whether to publish `msg` at the time `now` (s)."""
        address = (msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.sender)
        key: tuple[object, ...] = (*address, msg.action, *(repr(msg.argument(name)) for name in self._by))
        last = self._last.get(key)
        if last is not None:
            since = now - last[0]
            is_due = self._refresh is not None and since >= self._refresh
            is_late = since >= self._interval
            if not is_due and not (is_late and (not self._on_change or self._differs(last[1], msg.arguments))):
                self.suppressed += 1
                return False
        if last is None and len(self._last) >= _MAX_REMEMBERED:
            self._last.clear()
        self._last[key] = (now, msg.arguments)
        return True

    def _differs(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        if before.keys() != after.keys():
            return True
        return any(self._has_moved(name, before[name], value) for name, value in after.items())

    def _has_moved(self, name: str, before: Any, after: Any) -> bool:
        deadband = self._deadband.get(name, 0) if isinstance(self._deadband, Mapping) else self._deadband
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
        if numbers and deadband:
            return bool(abs(after - before) > deadband)
        return bool(before != after) or type(before) is not type(after)
