"""Converters between the times and places that devices send and those of ISO 8601 and of maps. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from interfaces.rules.conversion import ConversionError, Converter, number_of
from interfaces.rules.local_time import LocalTime


def _timestamp(setting: str | Mapping[str, Any]) -> Converter:
    """Return the converter between a device's times (a strftime format, or `unix`) and ISO 8601 in UTC.

    Where the format has no year, the year is 1900, and 1904 on 29 February and on day 366. A mapping with a `format`
    may also have the `zone` of local times, and `dst`: the texts behind winter and summer times.
    """
    if isinstance(setting, str):
        return _time_in_format(setting)
    unknown = setting.keys() - {"format", "zone", "dst"}
    if unknown or not isinstance(setting["format"], str):
        raise ValueError("use format, zone and dst, and no other option")
    if "zone" not in setting:
        if "dst" in setting:
            raise ValueError("dst needs the zone")
        return _time_in_format(setting["format"])
    return _time_in_zone(setting["format"], LocalTime(setting["zone"], setting.get("dst")))


def _time_in_zone(form: str, local: LocalTime) -> Converter:
    sample, *others = (when.strftime(form) for when in _SAMPLES)
    if form == "unix" or sample in others or _parse_time(sample, form, has_year=True).tzinfo is not None:
        raise ValueError("a zone needs a format with day and year, and without a zone of its own")

    def read(value: Any) -> str:
        text, suffix = local.split(str(value).strip())
        try:
            when = datetime.strptime(text.strip(), form)
        except ValueError:
            raise ConversionError(f"{value!a} is not a time in the format {form}{local.expected}") from None
        return _iso(local.to_utc(when, suffix))

    def write(value: Any) -> str:
        try:
            when = datetime.fromisoformat(str(value))
        except ValueError:
            raise ConversionError(f"{value!a} is not an ISO 8601 time") from None
        when, suffix = local.from_utc(when)
        return when.strftime(form) + suffix

    return Converter(read, write)


def _time_in_format(form: str) -> Converter:
    has_date = has_year = True
    if form != "unix":
        sample, with_other_date, with_other_year = (when.strftime(form) for when in _SAMPLES)
        has_date, has_year = sample != with_other_date, sample != with_other_year
        _parse_time(sample, form, has_year)

    def read(value: Any) -> str:
        try:
            if form == "unix":
                return _iso(datetime.fromtimestamp(number_of(value), UTC))
            when = _parse_time(str(value).strip(), form, has_year)
            if not has_date:
                return when.time().isoformat()
            return _iso(when) if when.tzinfo else when.isoformat()
        except (ValueError, OverflowError, OSError):
            raise ConversionError(f"{value!a} is not a time in the format {form}") from None

    def write(value: Any) -> Any:
        try:
            when = _moment(str(value), has_date)
        except ValueError:
            raise ConversionError(f"{value!a} is not an ISO 8601 time") from None
        if form == "unix":
            return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        return when.strftime(form)

    return Converter(read, write)


def _parse_time(text: str, form: str, has_year: bool) -> datetime:
    """Return the time in `text`; raise `ValueError` if it does not have this format.

    strptime always gets a year: without one it rejects 29 February, and Python 3.15 may reject any day.
    """
    if has_year:
        return datetime.strptime(text, form)
    try:
        return datetime.strptime(f"1900 {text}", f"%Y {form}")
    except ValueError:
        return datetime.strptime(f"1904 {text}", f"%Y {form}")  # a leap year


_SAMPLES = (
    datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2012, 11, 10, 4, 5, 6, tzinfo=UTC),  # another date
    datetime(2007, 2, 3, 4, 5, 6, tzinfo=UTC),  # another year only: the weekdays are the same
)


def _moment(text: str, has_date: bool) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if has_date:
            raise
        return datetime.combine(date(1900, 1, 1), time.fromisoformat(text))


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


_POSITION = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]{1,12})?)\s*,?\s*([NSEW])")


def _nmea_position(digits: int | None) -> Converter:
    """Return the converter from `ddmm.mmmm,N` (NMEA 0183) to signed decimal degrees."""
    places = 6 if digits is None else int(digits)

    def read(value: Any) -> float:
        match = _POSITION.fullmatch(str(value).strip())
        limit = 90 if match and match[3] in "NS" else 180
        if match is None or float(match[2]) >= 60 or int(match[1]) + float(match[2]) / 60 > limit:
            raise ConversionError(f"{value!a} is not a position like 5251.0094,N")
        degrees = int(match[1]) + float(match[2]) / 60
        return round(-degrees if match[3] in "SW" else degrees, places)

    def write(value: Any) -> str:
        raise ConversionError(
            f"{value!a}: a position cannot be written, because its axis (latitude or longitude) is unknown"
        )

    return Converter(read, write)


TIME_CONVERTERS: dict[str, Callable[[Any], Converter]] = {"timestamp": _timestamp, "nmea_position": _nmea_position}
