from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.simulation.faults import Fault, Faults, check_faults

TIMES = st.integers(0, 50).map(lambda tenths: tenths / 10)


def fault(**options: Any) -> Fault:
    return Fault.from_options({"from": 0, **options})


def faults(*options: dict[str, Any]) -> Faults:
    return Faults([{"from": 0, "pause": 0.01, **each} for each in options], random.Random(1))


@pytest.mark.parametrize(
    ("options", "active", "inactive"),
    [
        ({}, [0, 5, 1e9], []),
        ({"from": 2}, [2, 100], [0, 1.99]),
        ({"from": 2, "to": 3}, [2, 2.99], [1.99, 3, 100]),
        ({"from": 2, "to": 3, "every": 10}, [2, 12.5, 102], [1.99, 3, 10, 13, 101.99]),
        ({"from": 9, "every": 10}, [9, 9.99, 19, 109.5], [0, 8.99, 10, 18.99]),
    ],
)
def test_a_fault_is_at_work_within_its_time(
    options: dict[str, float], active: list[float], inactive: list[float]
) -> None:
    assert [now for now in (*active, *inactive) if fault(silent=True, **options).is_active(now)] == active


@given(begin=TIMES, length=TIMES.filter(bool), every=st.none() | TIMES.filter(bool), now=TIMES)
def test_between_two_changes_nothing_changes(begin: float, length: float, every: float | None, now: float) -> None:
    options = {"from": begin, "to": begin + length, **({} if every is None else {"every": begin + length + every})}
    each = fault(silent=True, **options)
    following = each.next_change(now)
    if following is None:
        assert every is None and now >= begin + length
        return
    assert following > now
    assert each.is_active(following) != each.is_active(now)
    assert each.is_active((now + following) / 2) == each.is_active(now)


def test_delays_of_several_faults_add_up() -> None:
    assert faults({"slow": 0.5}, {"slow": 0.25, "to": 10}).delay(5) == 0.75
    assert faults({"slow": 0.5}, {"slow": 0.25, "to": 10}).delay(10) == 0.5


@given(st.binary(), st.integers(1, 5))
def test_pieces_are_the_whole(data: bytes, size: int) -> None:
    pieces = list(faults({"split": size}).pieces(data, 0.0))
    assert b"".join(piece for _, piece in pieces) == data
    assert all(1 <= len(piece) <= size for _, piece in pieces)
    assert [pause for pause, _ in pieces[1:]] == [0.01] * (len(pieces) - 1)


def test_noise_damages_one_byte_in_the_part_of_the_frames_that_is_wanted() -> None:
    noise = faults({"noise": 0.5})
    frames = [bytes(20)] * 1000
    damaged = [after for before in frames if (after := noise.damaged(before, 0.0)) != before]
    assert 400 < len(damaged) < 600
    assert {len(each) for each in damaged} == {19, 20, 21}
    assert faults({"noise": 0.5, "to": 5}).damaged(bytes(20), 5.0) == bytes(20)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"from": 1}, ["0: nothing goes wrong: add one of split, noise, slow, silent, hang_up, echo"]),
        ({"from": 5, "to": 5, "silent": True}, ["0.to: it ends at 5 s, before it begins: choose more than 5"]),
        (
            {"from": 5, "every": 5, "silent": True},
            ["0.from: it begins after the end of its period of 5 s: choose less"],
        ),
        (
            {"from": 1, "to": 6, "every": 5, "silent": True},
            ["0.to: it ends after the end of its period of 5 s: choose 5"],
        ),
        ({"from": 1, "to": 5, "every": 5, "silent": True}, []),
    ],
)
def test_faults_that_cannot_be_are_problems(options: dict[str, Any], texts: list[str]) -> None:
    assert [str(problem).removeprefix("faults.") for problem in check_faults([options])] == texts
