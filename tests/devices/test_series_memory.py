"""What is remembered of messages survives reloads and floods: last values of an interval, refreshes, reports."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices import series_memory
from gateway.devices.model import Model
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg, ReportRule

EVERY_5 = ReportRule(on_change=True, interval=5.0)
EACH_60 = ReportRule(on_change=True, refresh=60.0)


def reading(celsius: Any, rule: ReportRule | None = None, **more: Any) -> InternalMsg:
    return InternalMsg(action="READ", arguments={**more, "celsius": celsius}).reported_by(rule)


def device(rule: ReportRule | None = None, **options: Any) -> Device:
    return Device("d", (Point("temperature", PointType.NUMBER, (Feed("READ", "celsius"),), report=rule),), **options)


def reloaded(model: Model, *devices: Device, **options: Any) -> Model:
    other = Model(devices, **options)
    other.carry_over(model)
    return other


def ticked(model: Model, now: float) -> list[InternalMsg]:
    pending = model.tick(now)
    for state in pending.states:
        model.set_written(state, now)
    return pending.messages


def sent_until(model: Model, end: float) -> list[tuple[float, Any]]:
    sent: list[tuple[float, Any]] = []
    now = 0.0
    while (due := model.due()) <= end:
        now = max(now, due)
        sent += [(now, msg.argument("celsius")) for msg in ticked(model, now)]
    return sent


# --- reloads


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("rules", [(EVERY_5, None), (None, EVERY_5)], ids=["declared", "rule"])
def test_a_reload_loses_no_last_value_of_an_interval(
    rules: tuple[ReportRule | None, ReportRule | None], times: int
) -> None:
    point, rule = rules
    model = Model([device(point)])
    assert [model.observe(reading(value, rule), now, now) is not None for now, value in enumerate((1, 2))] == [
        True,
        False,
    ]
    for _ in range(times):
        model = reloaded(model, device(point))
    assert sent_until(model, 20) == [(5, 2)]


def test_a_reload_ends_no_refresh() -> None:
    model = Model([device(EACH_60)])
    model.observe(reading(1), 0, 0)
    assert sent_until(reloaded(model, device(EACH_60)), 130) == [(60, 1), (120, 1)]


@pytest.mark.parametrize("devices", [(), (device(),), (device(where={"unit": 3}),)])
def test_what_waits_goes_out_at_once_if_no_rule_holds_it_back_any_more(devices: tuple[Device, ...]) -> None:
    model = Model([device(EVERY_5)])
    for value in (1, 2):
        model.observe(reading(value), 0, 0)
    assert sent_until(reloaded(model, *devices), 20) == [(0, 2)]


def test_what_waits_does_not_go_out_if_its_point_means_something_else() -> None:
    model = Model([device(EVERY_5)])
    for value in (1, 2):
        model.observe(reading(value), 0, 0)
    text = Point("temperature", PointType.TEXT, (Feed("READ", "celsius"),), report=EVERY_5)
    assert sent_until(reloaded(model, Device("d", (text,))), 20) == []


def test_what_a_rule_remembers_beside_declared_devices_survives_a_reload() -> None:
    unit = device(where={"unit": 1})
    model = Model([unit])
    rule = ReportRule(on_change=True)
    for number in (1, 2):
        model.observe(reading(20, rule, unit=number, percent=40), 0, 0)
    model = reloaded(model, unit)
    for number in (1, 2):
        assert model.observe(reading(20, rule, unit=number, percent=40), 1, 1) is None
        assert model.observe(reading(20, rule, unit=number, percent=41), 1, 1) is not None


def test_a_device_that_is_declared_later_goes_on_with_what_a_rule_remembers() -> None:
    model = Model()
    for value in (1, 2):
        model.observe(reading(value, EVERY_5), 0, 0)
    model = reloaded(model, device())
    assert model.observe(reading(2, EVERY_5), 1, 1) is None
    assert model.states["d"].reading_of["temperature"].value == 2
    assert sent_until(model, 20) == [(5, 2)]


# --- templates


TEMPLATE = Device(
    "m{unit}", (Point("temperature", PointType.NUMBER, (Feed("READ", "celsius"),)),), where={"unit": "{unit}"}
)


@pytest.mark.parametrize("rule", [None, EVERY_5])
def test_a_template_that_a_reload_adds_finds_devices_whatever_a_rule_remembers(rule: ReportRule | None) -> None:
    model = Model()
    model.observe(reading(1, rule, unit=7), 0, 0)
    model = reloaded(model, TEMPLATE)
    model.observe(reading(2, rule, unit=7), 1, 1)
    model.observe(reading(3, rule, unit=7), 2, 2)
    assert model.states["m7"].reading_of["temperature"].value == 3
    assert sent_until(model, 20) == ([(6, 3)] if rule else [])  # once more at 1 s: units are distinguished now


@pytest.mark.parametrize("rule", [None, EVERY_5])
def test_devices_are_found_when_max_devices_is_raised(rule: ReportRule | None) -> None:
    model = Model([TEMPLATE], max_devices=1)
    for unit in (1, 2):
        model.observe(reading(1, rule, unit=unit), 0, 0)
    model = reloaded(model, TEMPLATE, max_devices=2)
    model.observe(reading(2, rule, unit=2), 1, 1)
    assert list(model.states) == ["m1", "m2"]
    assert model.states["m2"].reading_of["temperature"].value == 2


def test_all_messages_of_a_device_feed_it_although_a_rule_has_remembered_them_before() -> None:
    points = [Point(key, PointType.NUMBER, (Feed(key.upper(), "v"),)) for key in ("a", "b")]
    template = Device("m_{device}", tuple(points))
    messages = [
        InternalMsg(device="k", action=action, arguments={"v": 1}).reported_by(EVERY_5) for action in ("A", "B")
    ]
    model = Model()
    for _ in range(2):
        for msg in messages:
            model.observe(msg, 0, 0)
        model = reloaded(model, template)
    for msg in messages:
        model.observe(msg, 1, 1)
    assert [reading.value for reading in model.states["m_k"].reading_of.values()] == [1, 1]


# --- floods


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_memory, "MAX_SERIES", 20)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("action", ["READ", "OTHER"])
def test_a_flood_of_unknown_units_costs_a_declared_device_nothing(action: str) -> None:
    model = Model([device(EVERY_5, where={"unit": 1})])
    for value in (1, 2):
        model.observe(reading(value, unit=1), 0, 0)
    rule = ReportRule(on_change=True, by=("unit",))
    for unit in range(2, 90):
        model.observe(reading(1, rule, unit=unit).replace(action=action), 1, 1)
    assert sent_until(model, 20) == [(5, 2)]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("devices", "rule"),
    [
        ((device(),), ReportRule(on_change=True, by=("card",))),
        ((device(), Device("e", device().points, where={"card": 0})), None),
        ((Device("d{unit}", device().points, where={"unit": "{unit}"}),), ReportRule(interval=1.0, by=("card",))),
    ],
    ids=["rule", "other device", "template"],
)
def test_what_is_kept_of_one_device_is_bounded_whatever_tells_its_messages_apart(
    devices: tuple[Device, ...], rule: ReportRule | None
) -> None:
    model = Model(devices)
    for card in range(90):
        model.observe(reading(card, rule, unit=1, card=card), 0, 0)
        if card % 30 == 29:
            model = reloaded(model, *devices)
    (group,) = model._groups.values()
    assert len(group.children) <= 21
    first = next(iter(model.states.values()))
    assert first.reading_of["temperature"].value == 89


def test_messages_that_another_argument_distinguishes_from_now_on_lose_no_last_value() -> None:
    model = Model([device(EVERY_5)])
    for value in (1, 2):
        model.observe(reading(value, unit=1), 0, 0)
    model.observe(reading(9, ReportRule(by=("unit",)), unit=2).replace(arguments={"unit": 2, "percent": 1}), 1, 1)
    assert sent_until(model, 20) == [(5, 2)]


# --- values that nobody has thought of


@pytest.mark.parametrize("value", [10**5000, [10**5000]], ids=["integer", "list"])
def test_an_argument_that_cannot_be_shown_may_distinguish_messages(value: Any) -> None:
    model = Model([device(where={"unit": 1}), TEMPLATE])
    msg = reading(1.0, unit=value)
    assert model.observe(msg, 0, 0) == msg
    assert list(model.states) == ["d"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.sampled_from([1, 2]), st.integers(0, 3)),
            st.tuples(st.just("reload"), st.just(0), st.just(0)),
        ),
        max_size=25,
    )
)
def test_reloads_of_the_same_devices_change_nothing_of_what_goes_out(steps: list[tuple[str, int, int]]) -> None:
    rule = ReportRule(on_change=True, interval=3.0, refresh=10.0)
    runs = []
    for is_reloaded in (False, True):
        model = Model([device(rule, where={"unit": 1})])
        sent: list[tuple[int, InternalMsg]] = []
        for now, (step, unit, value) in enumerate([*steps, *[("wait", 0, 0)] * 30]):
            sent += [(now, msg) for msg in ticked(model, now)]
            if step == "push":
                msg = model.observe(reading(value, None if unit == 1 else rule, unit=unit), now, now)
                sent += [(now, msg)] if msg is not None else []
            elif step == "reload" and is_reloaded:
                model = reloaded(model, device(rule, where={"unit": 1}))
        runs.append(sorted((now, sorted(msg.arguments.items())) for now, msg in sent))
    assert runs[0] == runs[1]
