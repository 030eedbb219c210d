"""What is remembered of the messages of an interface: which series there are, and how many. Pure.

A series that feeds a device is kept as long as the device. One that exists for a report rule alone, or that differs
from others of a device by arguments that the device does not want, is one of at most `MAX_SERIES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from gateway.devices.device_state import DeviceState
from gateway.devices.reading import Reading
from gateway.devices.schedule import Schedule
from gateway.devices.series import MAX_SERIES, Group, Report, Series
from gateway.message import Argument, InternalMsg


class SeriesMemory:
    """The series of messages by address and action (`groups`); `schedule` is where they put what is sent later."""

    def __init__(self, schedule: Schedule[Report | DeviceState]) -> None:
        self.groups: dict[tuple[object, ...], Group] = {}
        self._passing = 0  # series that are not kept as long as a device
        self._actions: dict[tuple[object, ...], Reading] = {}  # of messages without arguments, by address
        self._schedule = schedule

    def new_series(self, group: Group, msg: InternalMsg) -> Series:
        """Return a new series for a message; it is kept if it feeds a device, or if the message has a report rule."""
        arguments = msg.arguments
        series = group.fed_series(msg.action, arguments)
        if not series.states:
            if msg.report is None:
                return series  # it feeds nothing and has no rule: each unknown unit on a bus would fill the memory
            if not (group.feeds or arguments):
                series.feed(None, msg.action, self._action_reading(msg))
        key = group.key_of(arguments)
        previous = group.children.get(key)  # one that has fed no device yet
        if self._passing >= MAX_SERIES and not series.is_kept:
            self._forget_oldest(but=group)
        self._put(group, key, series)
        if previous is not None:
            for report in series.take_over(previous):
                self._reschedule(report)
        return series

    def _put(self, group: Group, key: tuple[str, ...], series: Series) -> None:
        self.drop(group, key)
        group.children[key] = series
        self._count(group, 0 if series.is_kept else 1)

    def drop(self, group: Group, key: tuple[str, ...]) -> None:
        """Remove a series from its group, if it is there."""
        series = group.children.pop(key, None)
        if series is not None and not series.is_kept:
            self._count(group, -1)

    def _count(self, group: Group, passing: int) -> None:
        self._passing += passing
        group.passing += passing

    def _action_reading(self, msg: InternalMsg) -> Reading:
        """Return the reading of which the action of a message without arguments is the value: one for its address.

        So ON after OFF is a change, though ON was the last that anybody told of ON.
        """
        if len(self._actions) >= MAX_SERIES and msg[:6] not in self._actions:
            del self._actions[next(iter(self._actions))]
        return self._actions.setdefault(msg[:6], Reading())

    def distinguish_by(self, group: Group, names: Iterable[str]) -> None:
        """Distinguish the messages of a group by the arguments `names`, too."""
        by = tuple(dict.fromkeys((*group.by, *names)))
        if by != group.by:
            group.by = by
            previous, group.children = group.children, {}
            self._count(group, -group.passing)
            for series in previous.values():
                self._distribute(group, series)

    def _distribute(self, group: Group, previous: Series) -> None:
        """Have what another series was to send later sent by those of `group` which its messages are of.

        What that series remembered else stood for several of them: each is reported once more.
        """
        for report in list(previous.reports.values()):
            if report.latest is not None:
                series = group.series_of(report.latest) or self.new_series(group, report.latest)
                series.adopt(report)
                self._reschedule(report)

    def _reschedule(self, report: Report) -> None:
        report.scheduled = math.inf
        self._schedule.put(report, report.due())

    def doubt_ruled(self) -> None:
        """Refresh what report rules alone remember only after it was heard again: its source, or its rule, is gone."""
        for group in self.groups.values():
            for series in group.children.values() if group.passing else ():
                if not series.states:
                    series.doubt()

    def _forget_oldest(self, but: Group) -> None:
        """Forget what was remembered first and is not kept: it is reported once more than it need be."""
        oldest = ((key, group) for key, group in self.groups.items() if group.passing and group is not but)
        key, group = next(oldest, (None, but))
        self._forget(group)
        if key is not None and not group.feeds:
            del self.groups[key]

    def _forget(self, group: Group) -> None:
        for key, series in list(group.children.items()) if group.passing else ():
            if not series.is_kept:
                series.forget()
                self.drop(group, key)

    def carry_over(self, previous: SeriesMemory) -> None:
        """Go on with what another memory remembers, where the same points are fed here."""
        self._actions.update(previous._actions)
        for key, group in previous.groups.items():
            self._carry_over_group(key, group)

    def _carry_over_group(self, key: tuple[object, ...], previous: Group) -> None:
        """Go on with what was remembered of messages of one address and action, and send later what is due."""
        group = self.groups.get(key) or Group()
        wanted = {name for _, _, where in previous.feeds for name in where}
        group.by = tuple(dict.fromkeys((*group.by, *(name for name in previous.by if name not in wanted))))
        for before in previous.children.values():
            if set(group.by) <= set(previous.by):
                self._carry_over_series(group, str(key[6]), before, dict(zip(previous.by, before.values, strict=True)))
            else:
                self._distribute(group, before)
        if group.children:
            self.groups[key] = group

    def _carry_over_series(self, group: Group, action: str, before: Series, arguments: Mapping[str, Argument]) -> None:
        key = group.key_of(arguments)
        series = group.children.get(key) or group.fed_series(action, arguments)
        if key not in group.children and not series.states and not before.states:
            before.values = group.values_of(arguments)  # a report rule alone remembers it
            series = before
        if key not in group.children and (series.states or series is before):
            self._put(group, key, series)
        # What waits for a device that is gone goes out, though nothing of it is remembered any more.
        for report in list(before.reports.values()) if series is before else series.take_over(before):
            self._reschedule(report)
