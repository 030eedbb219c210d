"""A snapshot of a device is what was known at one moment, whatever comes later."""

from __future__ import annotations

from gateway.devices.device_state import DeviceState
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.devices.reading import Quality
from gateway.devices.snapshot import snapshot

LEVEL = Point("level", PointType.NUMBER, (Feed("LEVEL", "percent"),))
PUMP = Point("pump", PointType.BOOLEAN, (Feed("LEVEL", "pump"),))
TANK = Device("tank", (LEVEL, PUMP))


def test_a_snapshot_does_not_change_with_the_device() -> None:
    state = DeviceState(TANK)
    before = snapshot(state, 5.0)
    assert before.is_online is None and before.age is None
    assert [(each.is_set, each.value, each.quality) for each in before.readings.values()] == [
        (False, None, Quality.UNKNOWN), (False, None, Quality.UNKNOWN),
    ]  # fmt: skip
    state.hear(10.0)
    state.reading_of["level"].update("percent", 5.5, None, 10.0, 1000.0)
    heard = snapshot(state, 12.5)
    state.lose("unplugged")
    state.reading_of["level"].set_bad("'x' is no value")
    assert not before.readings["level"].is_set
    assert heard.is_online is True and heard.age == 2.5
    assert heard.readings["level"] == (True, 5.5, 1000.0, Quality.GOOD, "")
    lost = snapshot(state, 13.0)
    assert (lost.is_online, lost.reason) == (False, "unplugged")
    assert lost.readings["level"] == (True, 5.5, 1000.0, Quality.BAD, "'x' is no value")
