"""Which options an entity of each platform can have: any other one is a mistake, and not ignored. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.devices.point import Point, PointType
from gateway.integrations.homeassistant.commands import EntityError

_OPTIONS_OF_ALL = ("platform", "hidden", "name", "icon", "category", "enabled")
_OPTIONS: Mapping[str, Sequence[str]] = {
    "binary_sensor": ("class",),
    "switch": ("class",),
    "sensor": ("class", "state_class", "precision"),  # of a number
    "number": ("class", "step"),
    "select": (),
    "text": (),
    "button": ("class",),
    "event": ("class",),
    "light": ("state", "brightness", "color_temperature", "effect"),
    "cover": ("class", "state", "position", "open", "close", "stop"),
    "valve": ("class", "state", "position", "open", "close", "stop"),
    "lock": ("state", "lock", "unlock", "open"),
    "climate": (
        "mode", "temperature", "step", "current_temperature", "current_humidity", "action", "fan_mode", "swing_mode",
        "preset_mode",
    ),
}  # fmt: skip


def check_options(platform: str, point: Point | None, options: Mapping[str, Any]) -> None:
    """Raise `EntityError` if an entity of this platform, that of `point` or a composed one, has no such option."""
    if point is not None and "platform" in options:
        raise EntityError(f"{point.key} is a point, and no composed entity", "give the composed entity another name")
    known = _OPTIONS[platform]
    if platform == "sensor" and point is not None and point.type not in (PointType.NUMBER, PointType.INTEGER):
        known = () if point.type is PointType.CHOICE else ("class",)
    for name in options:
        if name not in known and name not in _OPTIONS_OF_ALL:
            words = [word for word in (*known, *_OPTIONS_OF_ALL) if word != "platform"]
            what = f"a {platform.replace('_', ' ')} has no option {name}"
            raise EntityError(what, f"it can have: {', '.join(words)}")
