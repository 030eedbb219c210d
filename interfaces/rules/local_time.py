"""The local times of a zone with its summer time, to UTC and back. Pure, but for the time zone data of the system."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.core.quoting import close_matches
from interfaces.rules.conversion import ConversionError


class LocalTime:
    """The times of a device that has the local time of `zone` (`Europe/Berlin`).

    `dst` are the texts behind a winter and a summer time, by which the hour that comes twice in autumn is told apart.
    Without them, such a time is taken for the first of the two. Raises `ConversionError` for an unknown zone, and
    `ValueError` for wrong texts.
    """

    def __init__(self, zone: str, dst: Sequence[str] | None = None) -> None:
        self._name = zone
        self._zone = _zone(zone)
        self._suffixes: tuple[str, str] | None = None
        self.expected = ""
        if dst is not None:
            if (
                not isinstance(dst, list)
                or len(dst) != 2
                or not all(isinstance(text, str) for text in dst)
                or dst[0] == dst[1]
            ):
                raise ValueError("dst is a list of two different texts: that of winter, and that of summer")
            self._suffixes = (dst[0], dst[1])
            self.expected = f", and {dst[0]!a} or {dst[1]!a}"

    def split(self, text: str) -> tuple[str, str | None]:
        """Return a time without the text behind it, and this text; None: it has none of them."""
        for suffix in sorted(self._suffixes or (), key=len, reverse=True):
            if text.endswith(suffix):
                return text[: len(text) - len(suffix)], suffix
        return ("", None) if self._suffixes is not None else (text, None)  # no format reads an empty text as a time

    def to_utc(self, when: datetime, suffix: str | None = None) -> datetime:
        """Return the time in UTC for the local time `when`; raise `ConversionError` if there is no such time."""
        try:
            if self._suffixes is None or suffix is None:
                found = when.replace(tzinfo=self._zone).astimezone(UTC)
                if found.astimezone(self._zone).replace(tzinfo=None) != when:
                    raise ConversionError(f"{when.isoformat()} does not exist in {self._name}: clocks are put forward")
                return found
            winter, summer = self._offsets(when)
            is_summer = suffix == self._suffixes[1]
            if is_summer and winter == summer:
                raise ConversionError(f"{self._name} has no summer time in {when.year}")
            return (when - (summer if is_summer else winter)).replace(tzinfo=UTC)
        except OverflowError:
            raise ConversionError(f"{when.isoformat()} is too far away") from None

    def from_utc(self, when: datetime) -> tuple[datetime, str]:
        """Return the local time for `when`, and the text behind it; a time without a zone is a local one already."""
        try:
            local = when.replace(tzinfo=self._zone) if when.tzinfo is None else when.astimezone(self._zone)
            if self._suffixes is None:
                return local, ""
            winter, summer = self._offsets(local.replace(tzinfo=None))
            return local, self._suffixes[winter != summer and local.utcoffset() == summer]
        except OverflowError:
            raise ConversionError(f"{when.isoformat()} is too far away") from None

    def _offsets(self, when: datetime) -> tuple[timedelta, timedelta]:
        """Return the offsets to UTC of the two times that `when` may be: winter time, and summer time.

        Where they are equal by the clock (most of the year), the other one is that of January or of July.
        """
        beside = [when.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1)]
        if beside[0] == beside[1]:
            beside += [datetime(when.year, month, 1, tzinfo=self._zone).utcoffset() for month in (1, 7)]
        offsets = [offset or timedelta() for offset in beside]  # never None here
        return min(offsets), max(offsets)


def _zone(name: Any) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):  # OSError: the name of a directory
        known = zoneinfo.available_timezones()
    if not known:
        remedy = "install the package tzdata (Debian: apt install tzdata; or pip install tzdata, where the gateway is)"
        raise ConversionError(f"this system has no time zone data: {remedy}")
    similar = close_matches(name, known) if isinstance(name, str) else []
    raise ConversionError(
        f"{name!a} is not a time zone: use a name such as {similar[0] if similar else 'Europe/Berlin'}"
    )
