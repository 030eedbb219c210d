"""A device as it was at one moment: what it is, how it is, and its readings. Pure data, which nothing changes later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.devices.device_state import DeviceState
from gateway.devices.point import Device
from gateway.devices.reading import Quality, Unset
from gateway.devices.report import NEVER
from gateway.message import Argument


class PointReading(NamedTuple):
    """The reading of a point: `is_set` tells whether there has been a value, `time` when (s, Unix time).

    `reason` says why a value is bad.
    """

    is_set: bool
    value: Argument
    time: float
    quality: Quality
    reason: str


class DeviceSnapshot(NamedTuple):
    """A device, its readings by point, and whether it is online (None: unknown), or why it is not.

    `age` is how long ago (s) it was heard; None: never.
    """

    device: Device
    is_online: bool | None
    reason: str
    age: float | None
    readings: Mapping[str, PointReading]


def snapshot(state: DeviceState, now: float) -> DeviceSnapshot:
    """Return what is known of a device; `now` is the time by the clock of its model. The caller guards the model."""
    readings = {}
    for key, reading in state.reading_of.items():
        value, is_set = reading.value, True
        if isinstance(value, Unset):
            value, is_set = None, False
        readings[key] = PointReading(is_set, value, reading.time, reading.quality, reading.reason)
    age = None if state.last_heard == NEVER else now - state.last_heard
    return DeviceSnapshot(state.device, state.is_online, state.reason, age, readings)
