"""What Home Assistant knows of device classes: it refuses an entity with another unit or state class. Pure."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gateway.integrations.homeassistant.commands import EntityError

STATE_CLASSES = ("measurement", "measurement_angle", "total", "total_increasing")
"""How Home Assistant may keep statistics of a number, in the order in which one is chosen if nothing else says it."""

_PREFERRED = ("measurement", "measurement_angle", "total_increasing", "total")


@functools.cache
def _known() -> Mapping[str, Any]:
    known: Mapping[str, Any] = json.loads(Path(__file__).with_name("device_classes.json").read_text("utf-8"))
    return known


def check_class(platform: str, device_class: str) -> None:
    """Raise `EntityError` if entities of `platform` have no such device class."""
    classes: Collection[str] = _known().get(platform, ())
    if device_class and device_class not in classes:
        near = difflib.get_close_matches(device_class, classes, 1)
        what = f"{device_class!r} is no class of a {platform.replace('_', ' ')} of Home Assistant"
        raise EntityError(
            what, f"did you mean {near[0]}?" if near else f"known are: {', '.join(sorted(classes)) or 'none'}"
        )


def check_unit(platform: str, device_class: str, unit: str) -> None:
    """Raise `EntityError` if a number of this class cannot have `unit` (`""`: none)."""
    units = _known()[platform].get(device_class, {}).get("units")
    if units is not None and (_known()["same_units"].get(unit, unit) or None) not in units:
        known = ", ".join(each or "no unit" for each in units)
        what = (
            f"the class {device_class} does not have the unit {unit!r}"
            if unit
            else f"the class {device_class} needs a unit"
        )
        raise EntityError(what, f"use one of: {known}; or leave the class out")


def state_class(device_class: str, unit: str, wanted: str | None) -> str | None:
    """Return the state class of a number of this class, if it has one; raise `EntityError` if it cannot be `wanted`."""
    known = _known()["sensor"].get(device_class, {}).get("state_classes", STATE_CLASSES)
    if wanted is None:
        return next((each for each in _PREFERRED if each in known and (device_class or each == "measurement")), None)
    if wanted == "none":
        return None
    if wanted not in known:
        raise EntityError(
            f"the class {device_class} does not have the state class {wanted}",
            f"use one of: {', '.join(known)}" if known else "leave the state class out",
        )
    units = _known()["state_class_units"].get(wanted)
    if units is not None and unit not in units:
        raise EntityError(
            f"the state class {wanted} does not have the unit {unit!r}",
            f"use one of: {', '.join(units)}; or leave it out",
        )
    return wanted


def is_time(device_class: str) -> bool:
    """Return whether the value of such a sensor is a time as a text."""
    return device_class in ("timestamp", "date")
