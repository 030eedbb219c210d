"""Which devices a template may make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.point import Device, Feed, Point, PointType
from gateway.devices.template import MAX_ID, could_make, instance_of
from gateway.message import InternalMsg

POWER = Point("power", PointType.NUMBER, (Feed("POWER", "watts"),))


@pytest.mark.parametrize(
    ("template", "device_id", "could"),
    [
        ("meter{unit}", "meter3", True),
        ("meter{unit}", "meter", True),
        ("meter{unit}", "lamp3", False),
        ("{device}_{unit}", "a_b", True),
        ("{device}_{unit}", "ab", False),
        ("{device}", "x" * MAX_ID, True),
        ("{device}", "x" * (MAX_ID + 1), False),
        ("{device}", "a/b", False),
        ("a.b{unit}", "a_b1", True),
    ],
)
def test_an_id_that_a_template_could_make(template: str, device_id: str, could: bool) -> None:
    assert could_make(Device(template, ()), device_id) is could


@given(st.sampled_from(["meter{unit}", "{device}-{unit}", "x.{location}"]), st.text(max_size=20), st.text(max_size=20))
def test_whatever_a_template_makes_it_could_make(template_id: str, word: str, unit: str) -> None:
    template = Device(template_id, (POWER,), where={"unit": "{unit}"})
    msg = InternalMsg(device=word, location=word, action="POWER", arguments={"unit": unit, "watts": 1})
    device = instance_of(template, msg, {"device": word, "location": word})
    assert device is not None and could_make(template, device.id)
