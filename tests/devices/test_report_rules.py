"""Which messages go out: only what is new, not too often, and again from time to time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.model import Model
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.devices.series import MAX_SERIES
from gateway.message import InternalMsg, ReportRule

VALUE = Point("value", PointType.NUMBER, (Feed("TEMPERATURE", "value"),))
METER = Device("meter", (VALUE,), address={"device": "thermometer"}, where={"unit": 3})


def reading(options: dict[str, Any], value: Any = 0, device: str = "thermometer", **more: Any) -> InternalMsg:
    msg = InternalMsg(device=device, action="TEMPERATURE", arguments={"value": value, **more})
    return msg.reported_by(ReportRule.of(options))


def passed(options: dict[str, Any], *readings: tuple[float, Any]) -> list[tuple[float, Any]]:
    """Return which of some values, sent at some times (s), go out at once."""
    model = Model()
    return [(when, value) for when, value in readings if model.observe(reading(options, value), when, when)]


def timeline(options: dict[str, Any], *readings: tuple[float, Any], end: float) -> list[tuple[float, Any]]:
    """Return what goes out and when (s), up to `end`: what passes, and what time alone brings about."""
    model = Model()
    sent: list[tuple[float, Any]] = []

    def tick_until(now: float) -> None:
        while (due := model.due()) <= now:
            sent.extend((due, msg.argument("value")) for msg in model.tick(due).messages)

    for when, value in readings:
        tick_until(when)
        if model.observe(reading(options, value), when, when):
            sent.append((when, value))
    tick_until(end)
    return sent


@pytest.mark.parametrize(
    ("options", "values", "published"),
    [
        ({}, [1, 1, 1], [1, 1, 1]),
        ({"on_change": True}, [1, 1, 2, 2, 1], [1, 2, 1]),
        ({"on_change": True}, ["a", "a", None, None, "", True, 1, 1], ["a", None, "", True, 1]),
        ({"on_change": True}, [[1], [1], [2], {"a": 1}, {"a": 1}], [[1], [2], {"a": 1}]),
        ({"deadband": 0.5}, [20, 20.4, 20.5, 20.6, 20.2, 20.0], [20, 20.6, 20.0]),
        ({"deadband": 0.5}, [20, "off", "off", 20], [20, "off", 20]),
        ({"deadband": {"value": 2}}, [10, 12, 12.5, 9], [10, 12.5, 9]),
        ({"deadband": {"other": 2}}, [10, 10, 10.1], [10, 10.1]),
        ({"deadband": 0}, [1, 1, 1.5], [1, 1.5]),
        ({"deadband": 5}, [True, False, False], [True, False]),
    ],
)
def test_only_what_has_changed(options: dict[str, Any], values: list[Any], published: list[Any]) -> None:
    assert [value for _, value in passed(options, *enumerate(values))] == published


def test_a_slow_drift_is_not_missed() -> None:
    """The last value that went out counts, not the last that was read."""
    drift = [(float(step), step / 10) for step in range(31)]
    assert [value for _, value in passed({"deadband": 0.95}, *drift)] == [0.0, 1.0, 2.0, 3.0]


def test_never_sooner_than_the_interval() -> None:
    times = [0.0, 0.5, 1.0, 1.9, 2.0, 10.0, 10.9]
    assert [when for when, _ in passed({"interval": 1}, *((when, 1) for when in times))] == [0.0, 1.0, 2.0, 10.0]


def test_the_last_value_within_an_interval_goes_out_at_its_end() -> None:
    assert timeline({"interval": 2}, (0, "open"), (0.5, "ajar"), (0.6, "shut"), end=9) == [(0, "open"), (2, "shut")]
    options = {"on_change": True, "interval": 2}
    assert timeline(options, (0, "open"), (0.5, "shut"), end=9) == [(0, "open"), (2, "shut")]
    assert timeline(options, (0, "open"), (0.5, "shut"), (0.6, "open"), end=9) == [(0, "open")]


def test_a_refresh_repeats_the_last_reading_although_the_deadband_has_held_it_back() -> None:
    assert timeline({"deadband": 0.5, "refresh": 2}, (0, 20.0), (0.2, 20.4), end=5) == [(0, 20), (2, 20.4), (4, 20.4)]


def test_a_refresh_repeats_no_value_after_another_action_has_told_a_newer_one() -> None:
    rule = ReportRule.of({"on_change": True, "refresh": 60.0})
    visitor = Point("visitor", PointType.TEXT, (Feed("CARD", "number"), Feed("PIN", "number")), report=rule)
    model = Model([Device("door", (visitor,))])
    for now, action in enumerate(("CARD", "PIN")):
        assert model.observe(InternalMsg(action=action, arguments={"number": action}), now, now)
    sent = [msg.action for now in range(2, 200) for msg in model.tick(now).messages]
    assert sent == ["PIN"] * 3


@pytest.mark.parametrize("actions", list(itertools.product(("CARD", "PIN"), repeat=4)), ids="-".join)
@pytest.mark.parametrize("on_change", [True, False])
def test_at_the_end_of_an_interval_the_newest_value_goes_out_whichever_action_has_told_it(
    actions: tuple[str, ...], on_change: bool
) -> None:
    rule = ReportRule(on_change=on_change, interval=5.0)
    visitor = Point("visitor", PointType.TEXT, (Feed("CARD", "number"), Feed("PIN", "number")), report=rule)
    model = Model([Device("door", (visitor,))])
    for number, action in enumerate(actions):
        model.observe(InternalMsg(action=action, arguments={"number": str(number)}), 0.1 * number, 0)
    sent = [(now, msg.action, msg.argument("number")) for now in range(1, 60) for msg in model.tick(now).messages]
    assert sent == [(5, actions[-1], "3")]


def test_what_another_action_has_told_meanwhile_is_left_out_of_what_waits() -> None:
    rule = ReportRule(interval=5.0)
    visitor = Point("visitor", PointType.TEXT, (Feed("CARD", "number"), Feed("PIN", "number")), report=rule)
    volts = Point("volts", PointType.NUMBER, (Feed("CARD", "volts"),), report=rule)
    model = Model([Device("door", (visitor, volts))])
    for msg in (
        InternalMsg(action="CARD", arguments={"number": "1", "volts": 3.0}),
        InternalMsg(action="CARD", arguments={"number": "2", "volts": 2.9}),
        InternalMsg(action="PIN", arguments={"number": "3"}),
    ):
        model.observe(msg, 0, 0)
    assert [msg.arguments for msg in model.finish().messages] == [{"volts": 2.9}, {"number": "3"}]


@given(
    st.lists(st.tuples(st.integers(1, 10), st.integers(-20, 20)), min_size=1, max_size=30),
    st.integers(0, 10),
    st.integers(1, 30),
)
def test_a_deadband_with_a_refresh_sends_what_a_simple_reference_sends(
    steps: list[tuple[int, int]], deadband: int, refresh: int
) -> None:
    """Each second: a reading goes out if it is far from what went out last; if nothing has for long, the last one."""
    readings, now = dict[float, int](), 0
    for pause, value in steps:
        now += pause
        readings[now] = value
    expected: list[tuple[float, int]] = []
    last: int | None = None
    for second in range(now + 40):
        is_due = bool(expected) and second - expected[-1][0] >= refresh
        if second in readings and not is_due:
            last = readings[second]
            if expected and abs(last - expected[-1][1]) <= deadband:
                continue
            expected.append((second, last))
        elif is_due and last is not None:
            expected.append((second, last))  # before a reading of the same second
            if second in readings:
                last = readings[second]
                if abs(last - expected[-1][1]) > deadband:
                    expected.append((second, last))
    options = {"deadband": deadband, "refresh": refresh}
    assert timeline(options, *readings.items(), end=now + 39) == expected


def test_each_address_and_action_is_remembered_on_its_own() -> None:
    model, rule = Model(), {"on_change": True}
    assert model.observe(reading(rule, 1, "a"), 0, 0)
    assert model.observe(reading(rule, 1, "b"), 0, 0)
    assert not model.observe(reading(rule, 1, "a"), 1, 1)
    other = InternalMsg(device="a", action="HUMIDITY", arguments={"value": 1}).reported_by(ReportRule.of(rule))
    assert model.observe(other, 1, 1)
    assert model.observe(reading(rule, 1, "a").replace(iscmd=True), 1, 1)
    assert not model.observe(reading(rule, 1, "b"), 1, 1)


def test_a_message_of_another_rule_counts_as_what_was_told_last() -> None:
    """A value that an answer has told in between is no longer the one that was told before it."""
    model = Model()
    assert model.observe(reading({"on_change": True}, 30), 0, 0)
    assert model.observe(reading({}, 35.5).reported_by(None), 1, 1)
    assert model.observe(reading({"on_change": True}, 30), 2, 2)


def test_the_action_of_a_message_without_arguments_is_its_value() -> None:
    """ON, OFF, ON are two changes, though ON was the last that anybody told of ON."""
    model, rule = Model(), ReportRule(on_change=True)
    on, off = (InternalMsg(device="lamp", action=action).reported_by(rule) for action in ("ON", "OFF"))
    assert [bool(model.observe(msg, now, now)) for now, msg in enumerate((on, on, off, on, on))] == [1, 0, 1, 1, 0]


def test_what_another_action_has_overtaken_does_not_go_out_at_the_end_of_the_interval() -> None:
    model, rule = Model(), ReportRule(on_change=True, interval=2.0)
    on, off = (InternalMsg(device="lamp", action=action).reported_by(rule) for action in ("ON", "OFF"))
    assert [bool(model.observe(msg, now, now)) for now, msg in ((0, on), (0.5, off), (1, on))] == [1, 0, 0]
    assert [msg.action for msg in model.tick(2).messages] == []
    assert model.observe(off, 3, 3)


def test_arguments_may_tell_readings_apart() -> None:
    model, rule = Model(), {"on_change": True, "by": ["child"]}
    assert model.observe(reading(rule, 1, child=1), 0, 0)
    assert model.observe(reading(rule, 1, child=2), 0, 0)
    assert model.observe(reading(rule, 1), 0, 0)
    assert not model.observe(reading(rule, 1, child=1), 0, 0)
    assert model.observe(reading(rule, 2, child=1), 0, 0)


def test_an_argument_that_is_new_is_a_change_and_one_that_is_missing_is_none() -> None:
    model, rule = Model(), {"deadband": 10}
    assert model.observe(reading(rule, 1), 0, 0)
    assert model.observe(reading(rule, 1, unit="C"), 0, 0)
    assert not model.observe(reading(rule, 1, unit="C"), 0, 0)
    assert not model.observe(reading(rule, 1), 0, 0)


_MESSAGES = st.lists(
    st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3), min_size=1), min_size=1, max_size=30
)  # of one action, with different sets of arguments


@given(_MESSAGES)
def test_messages_with_different_arguments_go_out_if_a_value_differs_from_what_went_out_last(
    messages: list[dict[str, int]],
) -> None:
    model, known = Model(), dict[str, int]()
    for now, arguments in enumerate(messages):
        msg = InternalMsg(action="CLIMATE", arguments=arguments).reported_by(ReportRule(on_change=True))
        is_new = any(known.get(name) != value for name, value in arguments.items())
        assert (model.observe(msg, now, now) is not None) is is_new
        known.update(arguments if is_new else {})


@given(st.lists(st.tuples(st.floats(0, 3), _MESSAGES.map(lambda each: each[0])), min_size=1, max_size=30))
def test_at_the_end_of_an_interval_the_last_of_each_value_has_gone_out_whatever_messages_lack(
    steps: list[tuple[float, dict[str, int]]],
) -> None:
    """No message with an older value goes out after a newer one, and no value is lost with a message that waited."""
    model, rule, now = Model(), ReportRule(on_change=True, interval=2.0), 0.0
    sent: dict[str, int] = {}
    read: dict[str, int] = {}

    def send(msg: InternalMsg | None) -> None:
        if msg is not None:
            assert any(sent.get(name) != value for name, value in msg.arguments.items()), "nothing in it is new"
            sent.update(msg.arguments)  # type: ignore[arg-type]

    def tick_until(end: float) -> None:
        while (due := model.due()) <= end:
            for msg in model.tick(due).messages:
                send(msg)

    for pause, arguments in steps:
        now += pause
        tick_until(now)
        send(model.observe(InternalMsg(action="CLIMATE", arguments=arguments).reported_by(rule), now, now))
        read.update(arguments)
    tick_until(now + 2.0)
    assert sent == read


def test_a_refresh_repeats_each_set_of_arguments_with_its_newest_values() -> None:
    model, rule = Model(), {"on_change": True, "refresh": 60.0}
    for now, arguments in enumerate(({"value": 1, "x": 1}, {"value": 2, "y": 1})):
        assert model.observe(InternalMsg(action="T", arguments=arguments).reported_by(ReportRule.of(rule)), now, now)
    (first,) = model.tick(60.0).messages
    assert dict(first.arguments) == {"value": 2, "x": 1}
    (second,) = model.tick(61.0).messages
    assert dict(second.arguments) == {"value": 2, "y": 1}


def test_what_is_kept_of_messages_with_ever_other_arguments_is_bounded() -> None:
    model, rule = Model(), {"on_change": True, "refresh": 60.0}
    for number in range(1000):
        msg = InternalMsg(action="T", arguments={"value": number, f"x{number}": 1})
        model.observe(msg.reported_by(ReportRule.of(rule)), number / 1000, 0.0)
    assert 1 < len(model.tick(62.0).messages) < 50


def test_the_memory_of_rules_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    model, rule = Model(), {"on_change": True}
    for number in range(MAX_SERIES):
        model.observe(reading(rule, 1, str(number)), 0, 0)
    assert not model.observe(reading(rule, 1, "1"), 0, 0)
    assert model.observe(reading(rule, 1, "one more"), 0, 0)
    assert not model.observe(reading(rule, 1, "1"), 0, 0)
    assert model.observe(reading(rule, 1, "0"), 0, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_none_takes_only_itself_out(value: float) -> None:
    model = Model()
    msg = model.observe(reading({"on_change": True}, 21.5, humidity=value), 0, 0)
    assert msg is not None and dict(msg.arguments) == {"value": 21.5}
    assert model.bad_values == 1
    assert model.observe(reading({"on_change": True}, value), 1, 1) is None


def test_what_has_no_rule_and_feeds_nothing_costs_no_memory() -> None:
    model = Model()
    msg = reading({}, 1).reported_by(None)
    assert model.observe(msg, 0, 0) is msg
    assert model.is_empty


_steps = st.lists(st.tuples(st.floats(0, 10), st.integers(-20, 20)), min_size=1, max_size=40)


@given(_steps, st.integers(0, 10), st.integers(0, 10), st.none() | st.integers(1, 30))
def test_what_is_known_outside_is_never_far_off_nor_old(
    steps: list[tuple[float, int]], deadband: int, interval: int, refresh: int | None
) -> None:
    """Whatever is read: once an interval has passed, what went out last is near enough, and it is not too old."""
    options = {"deadband": deadband, "interval": interval, **({"refresh": refresh} if refresh else {})}
    now, readings = 0.0, []
    for pause, value in steps:
        now += pause
        readings.append((now, value))
    sent = timeline(options, *readings, end=now + 100)
    for (first, _), (second, _) in itertools.pairwise(sent):
        assert second - first >= min(interval, refresh or interval) - 1e-9
        assert not refresh or second - first <= max(refresh, interval) + 10 + 1e-9
    for index, (at, value) in enumerate(readings):
        told = [told for when, told in sent if when <= at + interval]
        later = [other for when, other in readings[index + 1 :] if when <= at + interval]
        assert abs(value - told[-1]) <= deadband or later


def test_a_forgotten_reading_is_not_refreshed() -> None:
    model, rule = Model(), {"on_change": True, "refresh": 60.0}
    assert model.observe(reading(rule, 1), 0, 0)
    assert model.observe(reading({**rule, "by": ["child"]}, 1, child=1), 1, 1)
    assert [dict(msg.arguments) for msg in model.tick(100).messages] == [{"value": 1, "child": 1}]


def test_the_memory_of_one_rule_that_tells_readings_apart_is_bounded() -> None:
    model, rule = Model(), {"on_change": True, "by": ["card"]}
    for number in range(MAX_SERIES + 10):
        model.observe(reading(rule, 1, card=number), 0, 0)
    (group,) = model._groups.values()
    assert len(group.children) <= MAX_SERIES
    assert not model.observe(reading(rule, 1, card=MAX_SERIES + 9), 0, 0)


def test_the_memory_of_unknown_units_beside_a_declared_one_is_bounded() -> None:
    model, rule = Model([METER]), {"on_change": True}
    for number in range(MAX_SERIES + 10):
        model.observe(reading(rule, 1, unit=number), 0, 0)
    (group,) = model._groups.values()
    assert len(group.children) <= MAX_SERIES + 1


def test_what_was_lost_is_not_refreshed_until_it_is_heard_again() -> None:
    model, rule = Model(), {"on_change": True, "refresh": 60.0}
    assert model.observe(reading(rule, 1), 0, 0)
    model.lose_all("the port is gone")
    assert not model.tick(100).messages
    assert model.observe(reading(rule, 1), 200, 200)
    assert model.tick(300).messages


def test_each_value_that_is_an_action_is_refreshed_however_often_they_take_turns() -> None:
    """The actions have one reading: that of an action which is not so any more must not delay that of the other."""
    rule = ReportRule(on_change=True, refresh=300.0)
    told = {0: "OPEN", 100: "SHUT", 500: "OPEN", 1500: "SHUT"}
    model, sent = Model(), []
    for now in range(1700):
        messages = list(model.tick(now).messages)
        if now in told:
            messages.append(InternalMsg(action=told[now]).reported_by(rule))
            assert model.observe(messages[-1], now, now)
        sent += [(now, msg.action) for msg in messages]
    refreshed = [(400, "SHUT"), (800, "OPEN"), (1100, "OPEN"), (1400, "OPEN")]
    assert sent == sorted([*told.items(), *refreshed])


def test_a_reading_that_could_not_be_refreshed_goes_out_when_it_comes() -> None:
    """What was due, and was not sent because nobody knew whether it was still so, has not gone out."""
    rule = {"on_change": True, "interval": 5.0, "refresh": 60.0}
    model = Model()
    assert model.observe(reading(rule, 1), 0, 0)
    model.lose_all("the port is gone")
    assert not model.tick(60).messages
    assert model.observe(reading(rule, 1), 61, 61)
    model.lose_all("the port is gone")
    assert not model.tick(121).messages
    assert model.observe(reading(rule, 2), 122, 122)


# --- arguments that nothing covers


def climate(**arguments: Any) -> InternalMsg:
    return InternalMsg(action="CLIMATE", arguments=arguments)


def covered(rule: ReportRule | None = None) -> Model:
    celsius = Point("temperature", PointType.NUMBER, (Feed("CLIMATE", "celsius"),), report=rule)
    return Model([Device("d", (celsius,), refresh=1e9)])


HELD_BACK = ReportRule(on_change=True, deadband=0.5)


def test_an_argument_that_no_point_covers_goes_out_when_it_has_changed() -> None:
    model = covered(HELD_BACK)
    messages = [climate(celsius=20.0, percent=value) for value in (40, 50, 50, 60, 60)]
    assert [model.observe(msg, now, now) is not None for now, msg in enumerate(messages)] == [
        True, True, False, True, False
    ]  # fmt: skip
    assert model.observe(climate(percent=60), 9, 9) is not None, "no point holds it back"


def test_an_argument_that_no_point_covers_is_no_part_of_the_state() -> None:
    model = covered(HELD_BACK)
    for now, value in enumerate((40, 50, 60)):
        model.observe(climate(celsius=20.0, percent=value), now, now)
        changed = model.changed(now)
        assert len(changed) == (now == 0)
        for state in changed:
            state.is_status_new = False
            model.set_written(state, now)


def test_a_number_that_is_none_in_an_argument_that_no_point_covers_takes_only_itself_out() -> None:
    model = covered(HELD_BACK)
    sent = [model.observe(climate(celsius=20.0, percent=math.nan), now, now) for now in range(2)]
    assert [None if msg is None else dict(msg.arguments) for msg in sent] == [{"celsius": 20.0}, None]
    assert model.bad == ["percent"]


@given(st.lists(st.tuples(st.sampled_from([20.0, 20.4, 21.0]), st.sampled_from([1, 1.0, True, "x"])), max_size=20))
def test_no_change_of_an_argument_that_no_point_covers_is_lost(values: list[tuple[float, Any]]) -> None:
    model, last = covered(HELD_BACK), None
    for now, (celsius, value) in enumerate(values):
        msg = model.observe(climate(celsius=celsius, other=value), now, now)
        last = last if msg is None else msg.argument("other")
        assert (type(last), last) == (type(value), value)
