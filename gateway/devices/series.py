"""What is remembered of messages for their report rules: what went out last, and what waits for its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.devices.device_state import DeviceState
from gateway.devices.point import Point, PointType
from gateway.devices.reading import UNSET, Companion, Quality, Reading, Unset
from gateway.devices.report import NEVER, has_moved, in_whole_seconds
from gateway.devices.template import fits
from gateway.devices.value import is_value
from gateway.message import Argument, InternalMsg, ReportRule, shown

MAX_SERIES = 10_000
"""Messages that differ in address, action or arguments that no device wants, and are remembered all the same."""

_MAX_READINGS = 100  # arguments of one series from which values are remembered, unless they are those of points
_MAX_SETS = 16  # sets of arguments of one series of which messages are kept; the last value of each is kept anyway


class Event(NamedTuple):
    """Something that has happened at a device: the key of the point that tells it, and when (s, Unix time)."""

    device: str
    point: str
    value: Argument
    time: float


class Series:
    """The messages of one address and action, and one set of values of the arguments that tell them apart.

    What a value was last, and what of it went out last, is one for all of them. What is to be sent later is kept for
    each set of arguments, in `reports`: a message that lacks a value is no successor of one that has it. `values` are
    those of the arguments that tell the messages apart, in the order of `Group.by`. `may_hold`: whether a point has a
    rule, which may hold back messages that have none. `events` are the readings of points that tell events, each with
    its device and with what feeds it. `is_kept`: whether it stays as long as a device, because the device wants each of
    `values`. Of others, any device may send any number.
    """

    __slots__ = (
        "constants", "events", "is_kept", "is_timed", "may_hold", "readings", "reports", "states", "values",
    )  # fmt: skip

    def __init__(self, values: tuple[Argument, ...] = ()) -> None:
        self.values = values
        self.readings: dict[str, Reading] = {}
        self.constants: list[tuple[Reading, Argument]] = []
        self.events: list[tuple[str, str | None, Argument, Reading]] = []
        self.states: list[DeviceState] = []
        self.reports: dict[frozenset[str], Report] = {}
        self.may_hold = self.is_kept = False
        self.is_timed = False  # whether a point has a rule by which something is sent later

    def feed(self, argument: str | None, value: Argument, reading: Reading, device: str = "") -> None:
        """Have the messages feed `reading`, of `device`, with an argument, or, if that is None, with `value`."""
        if reading.point is not None and reading.point.type is PointType.EVENT:
            self.events.append((device, argument, value, reading))
        if argument is None:
            self.constants.append((reading, value))
        else:
            self.readings[argument] = reading
        self.may_hold = self.may_hold or reading.report is not None
        self.is_timed = self.is_timed or is_timed(reading.report)

    def add_reading(self, name: str, reading: Reading) -> Reading:
        """Return `reading`, from now on that of an argument which feeds no point, and is remembered for a rule alone.

        The oldest of them gives its place to it if there are too many: it is reported once more than it need be.
        """
        if len(self.readings) >= _MAX_READINGS:
            oldest = next((each for each, reading in self.readings.items() if reading.point is None), None)
            if oldest is not None:
                del self.readings[oldest]
        self.readings[name] = reading
        return reading

    def set_reported(self, msg: InternalMsg, now: float) -> Report | None:
        """Record that `msg` goes out; return where it is kept, if something is to be sent later."""
        for reading, value in self.constants:
            reading.set_reported(value, now)
        for name, value in msg.arguments.items():
            reading = self.readings.get(name)  # type: ignore[assignment]
            if reading is not None:
                reading.set_reported(value, now)
        return self._keep(msg, None, msg) if self.reports or self.is_timed or is_timed(msg.report) else None

    def hold_back(self, msg: InternalMsg, *, is_waiting: bool) -> Report:
        """Record that `msg` is held back, and `is_waiting` for the end of an interval or not; return where it is kept.

        This is of use only if it is waiting, or if there are `reports`.
        """
        return self._keep(msg, msg if is_waiting else None)

    def _keep(self, msg: InternalMsg, pending: InternalMsg | None, reported: InternalMsg | None = None) -> Report:
        names = frozenset(msg.arguments)
        report = self.reports.get(names)
        if report is None:
            if len(self.reports) >= _MAX_SETS:
                self.reports.pop(next(iter(self.reports))).forget()
            report = self.reports[names] = Report(self)
        report.pending = pending
        if reported is not None or report.last is not None:
            report.last = msg
        if len(self.reports) > 1:
            for other in self.reports.values():
                if other is not report:  # or what waits there would be sent later with values that are older than these
                    other.update(msg)
        return report

    def readings_of(self, msg: InternalMsg) -> list[tuple[str, Reading]]:
        """Return the readings that `msg`, one of the series, tells: others of the series say nothing of it."""
        told = [(name, self.readings[name]) for name in msg.arguments if name in self.readings]
        return [*told, *(("", reading) for reading, _ in self.constants)]

    def events_in(self, msg: InternalMsg) -> list[Event]:
        """Return the events that `msg`, one of the series, tells."""
        events = []
        for device, argument, constant, reading in self.events:
            value = constant if argument is None else msg.arguments.get(argument, UNSET)
            if not isinstance(value, Unset) and reading.point is not None and reading.is_fit(value):
                events.append(Event(device, reading.point.key, value, reading.time if msg.time is None else msg.time))
        return events

    def take_over(self, previous: Series) -> list[Report]:
        """Go on with what another series remembers of the same messages; return what is to be sent later for it.

        Nothing is sent of points that mean something else here, so that nothing is known of them.
        """
        for name, reading in previous.readings.items():
            if reading.point is None and (self.may_hold or type(reading) is not Companion):
                own = self.readings.setdefault(name, reading)
                if own.reported is UNSET:
                    own.reported, own.reported_at = reading.reported, reading.reported_at
        moved = []
        for report in list(previous.reports.values()):
            if not self._has_forgotten(previous, report):
                self.adopt(report)
                moved.append(report)
        return moved

    def _has_forgotten(self, previous: Series, report: Report) -> bool:
        last = report.latest
        if last is None:
            return True
        told = {name for name, reading in previous.readings_of(last) if reading.point and reading.value is not UNSET}
        return any(name in told and reading.value is UNSET for name, reading in self.readings_of(last))

    def adopt(self, report: Report) -> None:
        """Have one of this series what another series was to send later."""
        report.series = self
        if report.latest is not None:
            self.reports[frozenset(report.latest.arguments)] = report

    def doubt(self) -> None:
        """Record that nobody knows whether what was read is still so."""
        for reading in (*self.readings.values(), *(reading for reading, _ in self.constants)):
            reading.doubt()

    def forget(self) -> None:
        """Send nothing later."""
        for report in self.reports.values():
            report.forget()


class Report:
    """The messages of a series with one set of arguments: the last one, if any went out, and one that is to."""

    __slots__ = ("last", "passed_over_at", "pending", "scheduled", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        self.last: InternalMsg | None = None  # the last message, also if it was held back; None: none has gone out
        self.pending: InternalMsg | None = None  # one that goes out at the end of an interval
        self.passed_over_at = NEVER  # when the last message was not sent again, though it was due
        self.scheduled = math.inf

    @property
    def latest(self) -> InternalMsg | None:
        """The message that waits, or else the last one."""
        return self.pending or self.last

    def forget(self) -> None:
        """Send nothing later; a place in a schedule counts no more."""
        self.pending = self.last = None
        self.scheduled = math.inf

    def update(self, newer: InternalMsg) -> None:
        """Use the values of a message with other arguments, as far as there are such arguments here, too."""
        self.pending = _updated(self.pending, newer)
        self.last = _updated(self.last, newer)

    def due(self) -> float:
        """Return when a message is to go out without another one coming in; infinite: never."""
        last = self.latest
        if last is None:
            return math.inf
        due, is_ruled, is_event = math.inf, False, bool(self.series.events and self.series.events_in(last))
        for name, reading in self.series.readings_of(last):
            own = reading.report or last.report
            if own is None:
                continue
            is_ruled = True
            if self.pending is not None:
                if (own.on_change and not reading.has_moved(name, own)) or _is_outdated(last, name, reading):
                    continue  # another value of the message waits
                due = min(due, reading.reported_at + own.interval)
            elif own.refresh is not None and not is_event:  # repeated, it would be another one
                since = max(reading.reported_at, self.passed_over_at)
                due = min(due, in_whole_seconds(since + own.refresh, own.refresh))
        return due if is_ruled or self.pending is None else NEVER  # no rule holds back any more what waits

    def message_due(self, now: float, sent_before: float) -> InternalMsg | None:
        """Return what is to be sent: what waited for the end of an interval, or the last message once more.

        What waits goes on waiting where the message before it was reported at `sent_before` (s) or later.
        """
        due = self.due()
        if due == math.inf:
            self.pending = None  # another message has taken back meanwhile what waited
        if due > now:
            return None
        readings = self.series.readings_of(self.last) if self.last else []
        if self.pending is not None:
            is_sent = all(reading.reported_at < sent_before for _, reading in readings)
            return self.take_waiting() if is_sent else None
        if self._is_last_of(readings):
            return self.last
        self.passed_over_at = now  # asked again after a refresh, not at once; to the readings, nothing has happened
        return None

    def take_waiting(self) -> InternalMsg | None:
        """Return what waits for the end of an interval, if it still tells something new; nothing waits any more.

        What another action has told since then of the same point goes out with that one, and not before or after it.
        """
        is_new = self.due() < math.inf
        # Another action may have told something else meanwhile: then it is that one's turn.
        is_so = all(reading.value == value for reading, value in self.series.constants)
        msg, self.pending = self.pending, None
        if msg is None or not (is_new and is_so):
            return None
        outdated = [name for name, reading in self.series.readings_of(msg) if _is_outdated(msg, name, reading)]
        return msg.without_arguments(outdated) if outdated else msg

    def _is_last_of(self, readings: Iterable[tuple[str, Reading]]) -> bool:
        """Return whether `readings` are good, and have the values of the last message: of no other action since."""
        arguments = self.last.arguments if self.last is not None else {}
        return all(
            reading.quality is Quality.GOOD and (not name or reading.value == arguments[name])
            for name, reading in readings
        ) and all(reading.value == value for reading, value in self.series.constants)


def _is_outdated(msg: InternalMsg, name: str, reading: Reading) -> bool:
    """Return whether a message of another action has told another value of the point that the argument `name` feeds."""
    if not name or reading.point is None:
        return False
    value = msg.arguments[name]
    return reading.value is not value and has_moved(reading.value, value, 0.0)


def is_timed(rule: ReportRule | None) -> bool:
    """Return whether a rule may want something sent though no message has come."""
    return rule is not None and (rule.interval > 0 or rule.refresh is not None)


def _updated(msg: InternalMsg | None, newer: InternalMsg) -> InternalMsg | None:
    arguments = newer.arguments
    if msg is None or arguments.keys().isdisjoint(msg.arguments):
        return msg
    updated = msg.with_arguments({name: arguments.get(name, value) for name, value in msg.arguments.items()})
    return updated if newer.time is None else updated.read_at(newer.time)


class Pending(NamedTuple):
    """What is due: messages to be sent as they are, and devices of which a document is to be written."""

    messages: list[InternalMsg]
    states: list[DeviceState]


class Fed(NamedTuple):
    """A point of a device, and the values of arguments by which a message that feeds it differs from others."""

    state: DeviceState
    point: Point
    where: Mapping[str, Argument]


class Group:
    """The messages of one address and action; `feeds` are the points that some of them feed, see `add_feed`."""

    __slots__ = ("_others", "_places", "by", "children", "feeds", "passing")

    def __init__(self) -> None:
        self.by: tuple[str, ...] = ()
        self.passing = 0  # those of `children` that are not kept as long as a device
        self.children: dict[tuple[str, ...], Series] = {}
        self.feeds: list[Fed] = []
        # The same, to be found by the values of arguments: a bus may have a thousand units. And those that cannot.
        self._places: dict[tuple[str, ...], dict[tuple[object, ...], list[Fed]]] = {}
        self._others: list[Fed] = []

    def add_feed(self, feed: Fed) -> None:
        """Have some of the messages feed a point."""
        self.feeds.append(feed)
        names = tuple(feed.where)
        try:
            self._places.setdefault(names, {}).setdefault(_place(names, feed.where), []).append(feed)
        except TypeError:  # a list, for example, which a template has found
            self._others.append(feed)

    def remove_feeds(self, state: DeviceState) -> None:
        """Have no message feed a device any more."""
        kept, self.feeds, self._places, self._others = self.feeds, [], {}, []
        for feed in kept:
            if feed.state is not state:
                self.add_feed(feed)

    def fed_by(self, arguments: Mapping[str, Argument]) -> list[Fed]:
        """Return the points that a message with `arguments` feeds."""
        found = [feed for feed in self._others if fits(feed.where, arguments)]
        for names, by_values in self._places.items():
            try:
                near = by_values.get(_place(names, arguments), ())
            except TypeError:
                continue
            found += [feed for feed in near if fits(feed.where, arguments)]
        return found

    def key_of(self, arguments: Mapping[str, Argument]) -> tuple[str, ...]:
        """Return the key in `children` of messages with `arguments`."""
        return tuple([shown(arguments.get(name)) for name in self.by]) if self.by else ()

    def values_of(self, arguments: Mapping[str, Argument]) -> tuple[Argument, ...]:
        """Return the values of `arguments` by which messages are told apart."""
        return tuple([arguments.get(name) for name in self.by]) if self.by else ()

    def fed_series(self, action: str, arguments: Mapping[str, Argument]) -> Series:
        """Return a new series of messages with `action` and `arguments`; it feeds the points that fit them."""
        series = Series(self.values_of(arguments))
        told_apart = set(self.by)
        for state, point, wanted in self.fed_by(arguments):
            told_apart.difference_update(wanted)
            for feed in point.feeds:
                if feed.action == action:
                    series.feed(feed.argument, feed.value, state.reading_of[point.key], state.device.id)
            if state not in series.states:
                series.states.append(state)
        series.is_kept = bool(series.states) and not told_apart
        return series

    def series_of(self, msg: InternalMsg) -> Series | None:
        """Return what is remembered of messages like `msg`; None: nothing."""
        return self.children.get(self.key_of(msg.arguments))


def _place(names: tuple[str, ...], arguments: Mapping[str, Argument]) -> tuple[object, ...]:
    """Return a key that is the same for all values that are equal, as `fits` has it; raises `TypeError` for others."""
    values = [arguments.get(name) for name in names]
    if not all(map(is_value, values)):
        raise TypeError("what is no value equals nothing")
    place = tuple([(isinstance(value, bool), value) for value in values])
    hash(place)
    return place
