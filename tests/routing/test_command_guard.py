from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.message import Arrival, InternalMsg, ReplyTo
from gateway.routing.command_guard import CommandGuard, CommandOptions, timestamp
from gateway.translation.delivery import PLAIN, Delivery

WALL = 1_790_000_000.0  # s since 1970
REPLAYED = Delivery(replay=True)
OPEN = Arrival("home/security///gate/me/C", b"open", qos=1)
ASKED = OPEN._replace(reply_to=ReplyTo("answers/me", b"17"))


class Gate:
    """A guard at a gate, its clock, and its result for each arrival: the kind of refusal, or ''."""

    def __init__(self, delivery: Delivery = PLAIN, **options: Any) -> None:
        self.guard = CommandGuard(CommandOptions(**options))
        self.delivery = delivery
        self.now = 1000.0
        self.refusal: RefusedError | None = None
        self.lifetime = math.nan

    def judge(self, arrival: Arrival = OPEN, **arguments: Any) -> str:
        msg = InternalMsg(True, device="gate", action="OPEN", arguments=arguments)
        self.refusal = None
        try:
            self.lifetime = self.guard.admit(arrival, msg, self.delivery, self.now, WALL)
        except RefusedError as err:
            self.refusal = err
            return err.kind
        return ""


def test_a_live_command_is_admitted_and_two_equal_ones_are_two_commands() -> None:
    gate = Gate()
    assert [gate.judge() for _ in range(3)] == ["", "", ""]
    assert gate.lifetime == math.inf


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"retain": True}, "retained command"),
        ({"resumed": True}, "queued command"),
        ({"duplicate": True}, "duplicate command"),
        ({"expiry": 0}, "expired command"),
        ({"retain": True, "resumed": True, "duplicate": True, "expiry": 0}, "retained command"),
        ({"resumed": True, "duplicate": True}, "duplicate command"),
    ],
)
def test_a_command_that_is_not_live_is_refused(flags: dict[str, Any], kind: str) -> None:
    gate = Gate()
    assert gate.judge(OPEN._replace(**flags)) == kind
    assert gate.judge() == "", "what was refused is not the first of two"


def test_a_redelivered_command_is_refused_even_if_the_first_is_unknown() -> None:
    """The gateway that had the first may have been killed before it acknowledged it."""
    assert Gate().judge(OPEN._replace(duplicate=True)) == "duplicate command"


@pytest.mark.parametrize("sent", [OPEN, ASKED])
@pytest.mark.parametrize("flags", [{}, {"resumed": True}])
def test_a_client_is_informed_once_that_its_command_is_rejected(sent: Arrival, flags: dict[str, Any]) -> None:
    """One that the broker sends again is answered if this process never had the first: it may have been lost."""
    gate = Gate()
    unknown = sent._replace(duplicate=True, **flags)
    assert gate.judge(unknown) == "duplicate command"
    assert gate.refusal is not None
    assert gate.refusal.is_answered
    gate.judge(unknown)
    assert not gate.refusal.is_answered, "its sender has been informed"


@pytest.mark.parametrize("delivery", [PLAIN, REPLAYED])
@pytest.mark.parametrize("first", [{}, {"resumed": True}, {"expiry": 0}])
def test_a_client_is_not_informed_of_a_copy_of_a_known_command(first: dict[str, Any], delivery: Delivery) -> None:
    gate = Gate(delivery)
    gate.judge(OPEN._replace(**first))
    gate.guard = CommandGuard(CommandOptions(), gate.guard)  # a reload forgets nothing
    assert gate.judge(OPEN._replace(duplicate=True)) == "duplicate command"
    assert gate.refusal is not None
    assert not gate.refusal.is_answered


# --- correlation data and the duplicate window


def test_the_same_correlation_data_is_the_same_command_for_ten_minutes() -> None:
    gate = Gate()
    assert [gate.judge(ASKED), gate.judge(ASKED)] == ["", "duplicate command"]
    gate.now += 599
    assert gate.judge(ASKED) == "duplicate command"
    gate.now += 2
    assert gate.judge(ASKED) == "", "counted from the first, not from the last that was refused"
    gate.now += 599
    assert gate.judge(ASKED) == "duplicate command", "of this one"


@pytest.mark.parametrize(
    "other",
    [
        ASKED._replace(reply_to=ReplyTo("answers/me", b"18")),
        ASKED._replace(payload=b"close"),
        ASKED._replace(topic="home/security///door/me/C"),
    ],
)
def test_another_command_is_no_duplicate(other: Arrival) -> None:
    gate = Gate()
    assert [gate.judge(ASKED), gate.judge(other)] == ["", ""]


@pytest.mark.parametrize("topic", ["", "answers/me", "answers/you"])
def test_the_response_topic_does_not_make_another_command(topic: str) -> None:
    """A sender that restarts may have a new response topic, and repeats commands without an answer."""
    gate = Gate()
    again = ASKED._replace(reply_to=ReplyTo(topic, b"17"))
    assert [gate.judge(ASKED), gate.judge(again)] == ["", "duplicate command"]
    assert [gate.judge(again), gate.judge(ASKED)] == ["duplicate command", "duplicate command"]


def test_correlation_data_without_a_response_topic_identifies_a_duplicate() -> None:
    gate = Gate()
    sent = OPEN._replace(reply_to=ReplyTo("", b"17"))
    assert [gate.judge(sent), gate.judge(sent)] == ["", "duplicate command"]


@pytest.mark.parametrize("flags", [{"resumed": True}, {"expiry": 0}])
def test_a_refused_command_with_correlation_data_is_not_executed_when_it_is_repeated(flags: dict[str, Any]) -> None:
    """Its sender has been informed that it was rejected."""
    gate = Gate()
    assert gate.judge(ASKED._replace(**flags)) not in ("", "duplicate command")
    assert gate.judge(ASKED) == "duplicate command"


def test_a_retained_copy_does_not_block_the_command_itself() -> None:
    """A retained command is not answered, so that no client regards it as rejected."""
    gate = Gate()
    assert [gate.judge(ASKED._replace(retain=True)), gate.judge(ASKED)] == ["retained command", ""]


def test_a_response_topic_without_correlation_data_identifies_no_duplicate() -> None:
    gate = Gate()
    asked = OPEN._replace(reply_to=ReplyTo("answers/me"))
    assert [gate.judge(asked), gate.judge(asked)] == ["", ""]


def test_a_duplicate_window_refuses_equal_commands_while_it_is_open() -> None:
    gate = Gate(duplicate_window=2.0)
    assert [gate.judge(), gate.judge(), gate.judge(OPEN._replace(payload=b"close"))] == ["", "duplicate command", ""]
    gate.now += 1.9
    assert gate.judge() == "duplicate command"
    gate.now += 0.2
    assert gate.judge() == ""


def test_the_oldest_are_forgotten_before_they_fill_the_memory() -> None:
    gate = Gate()
    for number in range(10_001):
        assert gate.judge(ASKED._replace(reply_to=ReplyTo("a", str(number).encode()))) == ""
    assert gate.judge(ASKED._replace(reply_to=ReplyTo("a", b"1"))) == "duplicate command"
    assert gate.judge(ASKED._replace(reply_to=ReplyTo("a", b"0"))) == ""


# --- how old it is


@pytest.mark.parametrize(("age", "kind"), [(0, ""), (29.9, ""), (30.1, "expired command"), (-29.9, ""),
                                           (-30.1, "expired command")])  # fmt: skip
def test_a_command_is_admitted_until_it_is_too_old_by_its_timestamp(age: float, kind: str) -> None:
    gate = Gate(timestamp_argument="time")
    assert gate.judge(time=WALL - age) == kind


def test_the_refusal_contains_the_age() -> None:
    gate = Gate(timestamp_argument="time", max_age=5)
    gate.judge(time=WALL - 95)
    assert str(gate.refusal) == "the command is 95 s old"
    gate.judge(time=WALL + 95)
    assert str(gate.refusal) == "the command is dated 95 s in the future"
    assert gate.refusal is not None and gate.refusal.remedy == "check the clocks of both sides, or commands.max_age"


def test_a_timestamp_may_be_missing_unless_it_is_required_and_never_be_nonsense() -> None:
    assert Gate(timestamp_argument="time").judge() == ""
    assert Gate(timestamp_argument="time", timestamp_required=True).judge() == "undated command"
    assert Gate(timestamp_argument="time").judge(time="soon") == "undated command"
    assert Gate().judge(time="soon") == "", "no option declares it a timestamp"


def test_a_command_may_wait_for_its_interface_only_for_its_remaining_time() -> None:
    gate = Gate(timestamp_argument="time")
    gate.judge(time=WALL - 27)
    assert gate.lifetime == pytest.approx(3)
    gate.judge(OPEN._replace(expiry=2), time=WALL - 27)
    assert gate.lifetime == 2
    gate.judge(OPEN._replace(expiry=5), time=WALL - 27)
    assert gate.lifetime == pytest.approx(3)
    gate = Gate(Delivery(lifetime=4))
    gate.judge()
    assert gate.lifetime == 4


def test_a_lifetime_in_the_map_overrides_the_maximum_age() -> None:
    assert Gate(Delivery(lifetime=100), timestamp_argument="time").judge(time=WALL - 90) == ""
    assert Gate(Delivery(lifetime=5), timestamp_argument="time").judge(time=WALL - 6) == "expired command"


@pytest.mark.parametrize(
    "value",
    [
        WALL,
        int(WALL),
        WALL * 1000,
        str(WALL),
        "2026-09-21T14:13:20Z",
        "2026-09-21T16:13:20.000+02:00",
        "20260921T141320Z",
    ],
)
def test_a_time_is_read_in_each_of_its_forms(value: Any) -> None:
    assert timestamp(value) == WALL


@pytest.mark.parametrize(
    "value",
    ["", "soon", "2026-09-21T13:33:20", "nan", "inf", "1e999", 10**400, True, None, [], {}, "2026-02-30T00:00:00Z"],
)
def test_a_value_that_is_not_a_time_or_lacks_its_offset_is_none(value: Any) -> None:
    assert timestamp(value) is None


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.lists(st.none()))
def test_any_value_is_a_time_or_none(value: Any) -> None:
    result = timestamp(value)
    assert result is None or math.isfinite(result)


@given(st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(UTC)))
def test_the_two_ways_to_write_a_time_mean_the_same(when: datetime) -> None:
    assert timestamp(when.isoformat()) == when.timestamp()


# --- commands that do no harm late


def test_a_replayed_command_passes_once_however_it_comes() -> None:
    queued, retained = OPEN._replace(resumed=True), OPEN._replace(retain=True)
    gate = Gate(REPLAYED)
    assert [gate.judge(queued), gate.judge(retained)] == ["", "duplicate command"], "both ways at one reconnect"
    gate.now += 100_000
    assert gate.judge(retained) == "duplicate command", "and it is still there at the next"
    assert gate.judge(OPEN._replace(duplicate=True)) == "duplicate command"
    assert gate.judge() == "", "it is sent again"


def test_a_replayed_command_sent_again_is_admitted_if_it_is_new() -> None:
    assert Gate(REPLAYED).judge(OPEN._replace(duplicate=True, resumed=True)) == ""


def test_a_replayed_command_may_have_any_age_unless_the_map_limits_it() -> None:
    yesterday, retained = WALL - 86400, OPEN._replace(retain=True)
    assert Gate(REPLAYED, timestamp_argument="time").judge(retained, time=yesterday) == ""
    limited = Gate(Delivery(replay=True, lifetime=3600), timestamp_argument="time")
    assert limited.judge(retained, time=yesterday) == "expired command"
    assert limited.judge(retained, time=WALL - 3500) == ""


@pytest.mark.parametrize("flags", [{"retain": True}, {"resumed": True}, {"duplicate": True}])
def test_a_command_with_a_limited_replay_needs_a_timestamp(flags: dict[str, Any]) -> None:
    gate = Gate(Delivery(replay=True, lifetime=3600))
    assert gate.judge(OPEN._replace(**flags)) == "undated command"
    assert gate.judge() == ""


# --- the laws

flags = st.fixed_dictionaries(
    {
        "retain": st.booleans(),
        "duplicate": st.booleans(),
        "resumed": st.booleans(),
        "expiry": st.none() | st.integers(-1, 5),
    }
)
pauses = st.sampled_from((0.0, 0.001, 1.0, 60.0))


def is_first_hand(arrival: Arrival) -> bool:
    return not (arrival.retain or arrival.duplicate or arrival.resumed)


@given(st.lists(st.tuples(flags, pauses), max_size=30))
def test_a_command_without_correlation_data_is_executed_as_often_as_it_was_sent(
    arrivals: list[tuple[dict[str, Any], float]],
) -> None:
    """However often it comes as retained, from the session, sent again or expired: that adds nothing."""
    gate, done, logged = Gate(), 0, 0
    for given_flags, pause in arrivals:
        arrival = OPEN._replace(**given_flags)
        gate.now += pause
        logged += is_first_hand(arrival) and (arrival.expiry is None or arrival.expiry > 0)
        done += gate.judge(arrival) == ""
    assert done == logged


@given(st.lists(st.tuples(flags, st.floats(0, 20)), max_size=29), st.booleans())
def test_a_command_with_correlation_data_is_executed_at_most_once(
    arrivals: list[tuple[dict[str, Any], float]], is_replayed: bool
) -> None:
    gate, done = Gate(REPLAYED if is_replayed else PLAIN), 0
    for given_flags, pause in arrivals:
        gate.now += pause
        done += gate.judge(ASKED._replace(**given_flags)) == ""
    assert done <= 1


@given(st.booleans(), st.lists(st.tuples(st.sampled_from(("retain", "duplicate")), pauses), max_size=20))
def test_a_replayed_command_is_executed_once_and_its_copies_never(
    is_resumed: bool, copies: list[tuple[str, float]]
) -> None:
    """The first message precedes its copies: the session before the retained, the first before the second."""
    gate = Gate(REPLAYED)
    done = [gate.judge(OPEN._replace(resumed=is_resumed))]
    for flag, pause in copies:
        gate.now += pause
        done.append(gate.judge(OPEN._replace(retain=flag == "retain", duplicate=flag == "duplicate")))
    assert done == ["", *["duplicate command"] * len(copies)]
