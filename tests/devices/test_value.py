"""What is a value, and what takes only itself out: objects of interfaces, numbers that are too large, long texts."""

from __future__ import annotations

import enum
import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.document import (
    is_state_document,
    kept_document,
    left_device,
    published_part,
    restore,
    state_document,
)
from gateway.devices.model import Model
from gateway.devices.point import AUTO, Device, Feed, Point, PointType
from gateway.devices.value import MAX_TEXT, is_equal
from gateway.message import InternalMsg, ReportRule, shown
from tests.conftest import ExpectedLogs
from tests.support.desk import Desk

RULE = ReportRule(on_change=True, deadband=0.1)


class Broken:
    """An object of an interface, none of whose methods works."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("broken")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("broken")


def _fail(*_: object) -> Any:
    raise RuntimeError("broken")


class Incomparable(list[Any]):
    __eq__ = _fail
    __hash__ = None


class IncomparableText(str):
    __slots__ = ()
    __eq__ = _fail
    __hash__ = str.__hash__


class IncomparableNumber(int):
    __eq__ = _fail
    __hash__ = int.__hash__


class Different(dict[str, Any]):
    __ne__ = _fail


class Unreadable(dict[str, Any]):
    items = _fail


class Endless(list[Any]):
    __iter__ = _fail


HALF_BROKEN: list[Any] = [
    Incomparable([1]),
    IncomparableText("3"),
    IncomparableNumber(3),
    Different({"a": 1}),
    Unreadable({"a": 1}),
    Endless([1]),
]
"""Objects that are values of JSON, but of classes of which one method fails."""

NO_VALUES: list[Any] = [
    *HALF_BROKEN,
    *([value] for value in HALF_BROKEN if not isinstance(value, Different)),
    10**400,
    -(10**400),
    10**5000,
    math.nan,
    math.inf,
    Broken(),
    [Broken()],
    [math.nan],
    "a\udc80",
    b"x",
]


def names(value: object) -> str:
    return type(value).__name__


def point(key: str, kind: PointType, **options: Any) -> Point:
    return Point(key, kind, (Feed("T", key),), **options)


def model_of(*points: Point, **options: Any) -> Model:
    return Model([Device("d", points, address={"device": "d"}, **options)])


def status(**arguments: Any) -> InternalMsg:
    return InternalMsg(device="d", action="T", arguments=arguments)


def document(model: Model) -> dict[str, Any]:
    content = json.loads(state_document(model.states["d"]))
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("value", NO_VALUES, ids=names)
def test_what_is_no_value_takes_only_itself_out_of_the_message(value: Any) -> None:
    kinds = (PointType.NUMBER, PointType.INTEGER, PointType.TEXT, PointType.CHOICE)
    model = model_of(*(point(kind.value, kind, report=RULE) for kind in kinds), point("other", PointType.NUMBER))
    good = {"number": 1.5, "integer": 2, "text": "a", "choice": "b", "other": 3}
    model.observe(status(**good), 0.0, 0.0)
    bad = dict.fromkeys([kind.value for kind in kinds], value)
    sent = model.observe(status(**bad, other=4), 1.0, 1.0)
    assert sent is not None and sent.arguments == {"other": 4}
    assert document(model) == {
        **good,
        "other": 4,
        "_status": "online",
        "_quality": dict.fromkeys(bad, "bad"),
        "_reasons": dict.fromkeys(bad, f"{shown(value):.60} is no value"),
        "_time": {key: f"1970-01-01T00:00:0{int(key == 'other')}.000Z" for key in good},
    }


@pytest.mark.parametrize("value", NO_VALUES, ids=names)
def test_what_is_no_value_is_left_out_where_only_a_rule_remembers_it(value: Any) -> None:
    model = Model()
    for now in range(3):
        sent = model.observe(status(x=value, n=now).reported_by(RULE), now, now)
        assert sent is not None and sent.arguments == {"n": now}


@pytest.mark.parametrize("value", NO_VALUES, ids=names)
def test_what_is_no_value_distinguishes_no_devices(value: Any) -> None:
    template = Device("m{u}", (point("c", PointType.NUMBER),), address={"device": "d"}, where={"u": "{u}"})
    declared = Device("one", (point("c", PointType.NUMBER),), address={"device": "d"}, where={"u": 1})
    model = Model([template, declared])
    for now in range(3):
        msg = status(c=1.0, u=value)
        assert model.observe(msg, now, now) is msg
        model.unanswered(msg)
    model.observe(status(c=1.0, u=value).reported_by(ReportRule(by=("u",))), 3.0, 3.0)
    assert list(model.states) == ["one"] and model.states["one"].is_online is None


@pytest.mark.parametrize("value", HALF_BROKEN, ids=names)
@pytest.mark.parametrize("rule", [None, RULE])
@pytest.mark.parametrize("devices", [(), (Device("d", (), where={"x": 3}), Device("e", (point("x", PointType.TEXT),)))])
def test_an_interface_goes_on_whatever_object_it_passes(
    value: Any, rule: ReportRule | None, devices: tuple[Device, ...], expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("'x' is left out")  # without devices and rules, what can be written is sent
    desk = Desk(devices=[device._replace(address={"device": "d"}) for device in devices])
    command = InternalMsg(True, device="d", action="T", arguments={"x": value, "y": 1})
    for number in range(3):
        assert desk.outlet.push(status(x=value, y=number).reported_by(rule))
        desk.outlet.push(command.reply("OK").with_read({"x": value}))
    assert [msg.argument("y") for msg in desk.collect() if not msg.is_outcome] == [0, 1, 2]


def test_a_device_is_found_by_words_alone() -> None:
    model = Model([Device("{device}", (point("c", PointType.NUMBER),))])
    msg = InternalMsg(device=5, action="T", arguments={"c": 1.0})  # type: ignore[arg-type]
    assert model.observe(msg, 0.0, 0.0) is msg and not model.states


# --- what is the same


@pytest.mark.parametrize(
    ("value", "wanted", "is_same"),
    [(1, 1.0, True), (True, 1, False), (1, True, False), (True, True, True), (False, 0, False), ("1", 1, False),
     (None, None, True), (math.nan, math.nan, False), (Broken(), 1, False)],
)  # fmt: skip
def test_true_is_no_number(value: object, wanted: object, is_same: bool) -> None:
    assert is_equal(value, wanted) is is_same


def test_true_and_1_are_two_units_two_choices_and_two_conditions() -> None:
    number = point("c", PointType.NUMBER)
    model = Model([Device("m{u}", (number,), address={"device": "d"}, where={"u": "{u}"})])
    for now, unit in enumerate((True, 1, 1.0)):
        model.observe(status(c=now, u=unit), now, now)
    assert {name: state.reading_of["c"].value for name, state in model.states.items()} == {"mTrue": 0, "m1": 2}
    model = model_of(point("c", PointType.CHOICE, choices=(1, 2)), point("n", PointType.NUMBER, where={"u": 1}))
    model.observe(status(c=True, n=5, u=True), 0.0, 0.0)
    assert (document(model)["_quality"], "n" in document(model)) == ({"c": "bad", "n": "unknown"}, False)


# --- what is published can be read again


def test_a_long_text_is_no_value_of_a_point() -> None:
    model = model_of(point("text", PointType.TEXT))
    model.observe(status(text="x" * MAX_TEXT), 0.0, 0.0)
    assert model.observe(status(text="y" * (MAX_TEXT + 1)), 1.0, 1.0) is None
    assert (document(model)["text"], document(model)["_quality"]) == ("x" * MAX_TEXT, {"text": "bad"})


def test_a_document_that_would_be_too_large_is_without_its_longest_values() -> None:
    keys = [f"p{index}" for index in range(40)]
    model = model_of(*(point(key, PointType.TEXT) for key in keys), point("n", PointType.NUMBER))
    model.observe(status(**{key: "é" * (MAX_TEXT - 50 * index) for index, key in enumerate(keys)}, n=5), 0.0, 0.0)
    payload = state_document(model.states["d"])
    content = json.loads(payload)
    assert is_state_document(payload) and content["n"] == 5
    assert [key for key in keys if key not in content] == list(content["_quality"]) == keys[: len(content["_quality"])]
    assert content["_reasons"] == dict.fromkeys(content["_quality"], "there is no room for it")
    assert set(content["_quality"].values()) == {"bad"} and set(content["_time"]) == {*content} & {*keys, "n"}
    again = model_of(*(point(key, PointType.TEXT) for key in keys), point("n", PointType.NUMBER))
    assert restore(again.states["d"], payload) == len(content["_time"]) > 5


def test_what_is_kept_beside_a_large_document_can_be_read_again() -> None:
    points = [point(f"p{index:058}", PointType.TEXT) for index in range(900)]
    state = model_of(*points).states["d"]
    for reading in state.reading_of.values():
        reading.update("", "a" * 150, None, 0.0, 0.0)
    again = model_of(*points).states["d"]
    assert restore(again, kept_document(state, state_document(state))) > 100


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
times = st.text() | st.datetimes().map(lambda time: time.isoformat()) | st.just("9999-12-31T23:59:59.999+14:00")
numbers = st.integers(-(10**400), 10**400) | st.floats() | values
POINTS = (
    point("n", PointType.NUMBER), point("i", PointType.INTEGER), point("t", PointType.TEXT, silent_after=5),
    point("b", PointType.BOOLEAN), point("c", PointType.CHOICE, choices=(1, "a")),
)  # fmt: skip
documents = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys("nitbc", numbers),
        "_time": values | st.dictionaries(st.sampled_from("nitbc"), times),
        "_quality": values,
        "_status": values,
        "_pauses": values | st.lists(numbers),
        "_address": values | st.just(dict.fromkeys(("function", "gateway", "location", "device"), "d")),
        "_where": values | st.dictionaries(st.just("u"), numbers),
    },
)


def parsed(payload: bytes) -> dict[str, Any]:
    content = json.loads(payload)
    assert isinstance(content, dict)
    return content


@given(
    documents.map(lambda content: json.dumps(content).encode()) | values.map(json.dumps).map(str.encode) | st.binary()
)
def test_nothing_that_a_disk_or_a_broker_has_kept_can_do_harm(payload: bytes) -> None:
    template = Device("m{u}", POINTS, where={"u": "{u}"})
    for content in (payload, published_part(payload)):
        model = Model([Device("d", POINTS, address={"device": "d"}, silent_after=AUTO), template])
        state = model.states["d"]
        is_state_document(content)
        left = left_device(content)
        if left is not None:
            model.adopt(left.address, left.where, lambda _: True)
        restore(state, content, 1e9)
        for now in (0.0, 1.0, 2.0):
            model.observe(status(n=now), now, now)
            model.changed(now)
            model.set_written(state, now)
        assert 60.0 <= state.silence_limit < math.inf and state.due() < math.inf
        for each in model.states.values():
            assert parsed(kept_document(each, state_document(each)))["_time"].items()
        model.tick(1e12)
        assert state.is_online is False
        assert all(reading.time <= 1e9 for reading in state.reading_of.values())


def test_what_is_never_published_is_not_read_from_the_broker() -> None:
    foreign = {"n": 1, "_status": "online", "_quality": {}, "_time": {}, "_pauses": [1], "_address": {}, "_where": {}}
    payload = json.dumps(foreign).encode()
    assert parsed(published_part(payload)) == {key: foreign[key] for key in ("n", "_status", "_quality", "_time")}
    assert published_part(b"[") == b"["


# --- bounds


def test_names_of_arguments_that_always_differ_do_not_fill_the_memory() -> None:
    model = Model()
    tracemalloc.start()
    try:
        for now in range(3000):
            assert model.observe(status(**{f"a{now}": 1}).reported_by(ReportRule(on_change=True)), now, now) is not None
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


class Mode(enum.StrEnum):
    """Words of an interface."""

    ECO = "eco"


class Level(enum.IntEnum):
    """Numbers of an interface."""

    LOW = 1


class Kelvin(float):
    """A number of a library."""


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        (PointType.TEXT, Mode.ECO, "eco"),
        (PointType.CHOICE, Mode.ECO, "eco"),
        (PointType.EVENT, Mode.ECO, None),
        (PointType.INTEGER, Level.LOW, 1),
        (PointType.NUMBER, Level.LOW, 1),
        (PointType.NUMBER, Kelvin(1.5), 1.5),
    ],
)
def test_a_value_of_a_class_that_is_derived_from_a_plain_one_is_a_value(
    kind: PointType, value: object, plain: object
) -> None:
    options = {"choices": ("eco", "day")} if kind is PointType.CHOICE else {}
    model = Model([Device("d", (point("x", kind, **options),), address={"device": "d"})])
    msg = InternalMsg(device="d", action="T", arguments={"x": value})  # type: ignore[dict-item]
    assert model.observe(msg, 0, 0) is msg and model.bad_values == 0
    state = model.states["d"]
    document = json.loads(state_document(state))
    assert document.get("x") == plain and document["_quality"] == {}
    assert model.observe(msg.with_arguments({"x": True}), 0, 0) is None, "true is neither a number nor a text"
