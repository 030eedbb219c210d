"""Local times: zones with summer time, to UTC and back; the hour that comes twice, and the one that never comes."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.conversion import ConversionError
from interfaces.rules.converters import pipeline

ZONES = ["Europe/Berlin", "Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]


def times(zone: str, *dst: str, form: str = "%y%m%d%H%M%S") -> Any:
    return pipeline({"timestamp": {"format": form, "zone": zone, **({"dst": list(dst)} if dst else {})}})


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("Europe/Berlin", "201130115033", "2020-11-30T10:50:33Z"),
        ("Europe/Berlin", "200730115033", "2020-07-30T09:50:33Z"),
        ("Europe/Berlin", "201025023000", "2020-10-25T00:30:00Z"),  # comes twice: the first one
        ("Australia/Sydney", "200115120000", "2020-01-15T01:00:00Z"),
    ],
)
def test_a_local_time_becomes_utc(zone: str, text: str, utc: str) -> None:
    assert times(zone).read(text) == utc
    assert times(zone).write(utc) == text


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("Europe/Berlin", "201025023000S", "2020-10-25T00:30:00Z"),
        ("Europe/Berlin", "201025023000W", "2020-10-25T01:30:00Z"),
        ("Europe/Berlin", "200730115033W", "2020-07-30T10:50:33Z"),  # a meter that keeps winter time
        ("Europe/Berlin", "200329023000W", "2020-03-29T01:30:00Z"),
        ("Europe/Dublin", "200730115033S", "2020-07-30T10:50:33Z"),  # its winter time is the exception by law
        ("Europe/Dublin", "200130115033W", "2020-01-30T11:50:33Z"),
        ("Australia/Sydney", "200115120000S", "2020-01-15T01:00:00Z"),
        ("Asia/Kolkata", "200115120000W", "2020-01-15T06:30:00Z"),
    ],
)
def test_the_text_behind_a_time_tells_winter_from_summer(zone: str, text: str, utc: str) -> None:
    assert times(zone, "W", "S").read(text) == utc


def test_texts_of_several_characters_or_none() -> None:
    assert times("Europe/Berlin", " CET", " CEST").read("201025023000 CEST") == "2020-10-25T00:30:00Z"
    assert times("Europe/Berlin", "", "*").read("201025023000*") == "2020-10-25T00:30:00Z"
    assert times("Europe/Berlin", "", "*").read("201025023000") == "2020-10-25T01:30:00Z"
    assert times("Europe/Berlin", "", "*").write("2020-10-25T00:30:00Z") == "201025023000*"
    assert times("Europe/Berlin").write("2020-10-25T02:30:00") == "201025023000"  # a local time already


@pytest.mark.parametrize(
    ("dst", "text", "error"),
    [
        ((), "200329023000", "does not exist in Europe/Berlin"),
        ((), "x", "is not a time in the format"),
        ((), "201130115033S", "is not a time in the format"),
        (("W", "S"), "201130115033", "and 'W' or 'S'"),
        (("W", "S"), "", "is not a time"),
        (("W", "S"), "000101000000X", "is not a time"),
    ],
)
def test_a_text_that_is_no_time(dst: tuple[str, ...], text: str, error: str) -> None:
    with pytest.raises(ConversionError, match=error):
        times("Europe/Berlin", *dst).read(text)


def test_a_summer_time_in_a_zone_that_has_none() -> None:
    with pytest.raises(ConversionError, match="Asia/Kolkata has no summer time in 2020"):
        times("Asia/Kolkata", "W", "S").read("200715120000S")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Kiritimati", "America/Adak"])
@pytest.mark.parametrize("text", ["0001-01-01T00:00", "9999-12-31T23:59"])
def test_the_first_and_the_last_time_are_read_or_refused(zone: str, text: str) -> None:
    for dst in ((), ("W", "S")):
        steps = times(zone, *dst, form="%Y-%m-%dT%H:%M")
        for act, value in ((steps.read, f"{text}{'W' if dst else ''}"), (steps.write, f"{text}Z")):
            try:
                assert act(value)
            except ConversionError as err:
                assert "is too far away" in str(err)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"format": "%y%m%d", "zone": "Europe/Berln"}, "is not a time zone: use a name such as Europe/Berlin"),
        ({"format": "%y%m%d", "zone": "Europe"}, "is not a time zone"),
        ({"format": "%y%m%d", "zone": "../Berlin"}, "is not a time zone"),
        ({"format": "%y%m%d", "zone": 5}, "is not a time zone"),
        ({"format": "%H:%M", "zone": "UTC"}, "day and year"),
        ({"format": "%d.%m. %H:%M", "zone": "UTC"}, "day and year"),
        ({"format": "%Y-%m-%d %z", "zone": "UTC"}, "without a zone of its own"),
        ({"format": "unix", "zone": "UTC"}, "day and year"),
        ({"format": "%y%m%d", "dst": ["W", "S"]}, "dst needs the zone"),
        ({"format": "%y%m%d", "zone": "UTC", "dst": ["W", "W"]}, "two different texts"),
        ({"format": "%y%m%d", "zone": "UTC", "dst": "WS"}, "two different texts"),
        ({"format": "%y%m%d", "zones": "UTC"}, "use format, zone and dst"),
        ({"zone": "UTC"}, "format"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, Any], error: str) -> None:
    with pytest.raises(ConversionError, match=error):
        pipeline({"timestamp": setting})


@pytest.fixture
def _no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(__import__("sys").modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.usefixtures("_no_zones")
def test_a_system_without_time_zone_data_is_told_what_to_install() -> None:
    with pytest.raises(ConversionError, match="no time zone data: install the package tzdata"):
        times("Europe/Berlin")


@given(st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)), st.sampled_from(ZONES))
def test_every_second_is_written_and_read_back(when: datetime, zone: str) -> None:
    utc = when.replace(microsecond=0, tzinfo=UTC)
    steps = times(zone, "W", "S")
    text = utc.isoformat().replace("+00:00", "Z")
    assert steps.read(steps.write(text)) == text
    earlier = times(zone).read(times(zone).write(text))  # without the texts, the hour that comes twice is the first one
    assert datetime.fromisoformat(earlier) in (utc, utc - timedelta(hours=1), utc - timedelta(minutes=30))
