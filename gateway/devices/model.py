"""The one memory of readings of an interface: what each of its devices tells, and whether it is heard. Pure.

A message of the interface passes `Model.observe` on its way out, behind the filters and in front of the map. There it
updates the points that it feeds, and there it is decided whether it is worth reporting. What time alone brings about
(the end of an interval, a refresh, a silence, a document that may be written again) is due at `Model.due` and done by
`Model.tick`; nothing needs a timer for each line.

All times are in seconds: `now` by a monotonic clock, `wall` Unix time. A model has no lock: its owner guards it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

from gateway.devices.device_state import DeviceState
from gateway.devices.outcome import (
    command_arguments,
    is_meant,
    is_refused_by_device,
    read_arguments,
    written_points,
)
from gateway.devices.point import ADDRESS_OF_DEVICE, Device, PointType
from gateway.devices.reading import (
    BAD,
    CHANGED,
    DUE,
    GOOD_AGAIN,
    HELD,
    UNSET,
    WAITING,
    Companion,
    Reading,
    without_bad_values,
)
from gateway.devices.report import NEVER
from gateway.devices.schedule import Schedule
from gateway.devices.series import Event, Fed, Group, Pending, Report, Series
from gateway.devices.series_memory import SeriesMemory
from gateway.devices.template import MAX_ID, could_make, fits, instance_of, may_fit, remade
from gateway.devices.value import is_value
from gateway.message import Argument, InternalMsg


class Model:
    """The devices of one interface, and the memory of what they have reported.

    `own` are the words of the interface's messages by field, for those that a device does not name. `max_devices`
    bounds the devices that templates bring about (`found_devices`); `rejected_devices` counts the messages of others.
    `claim` is called with the id of such a device, and returns why the device cannot have it, or `""`; `can_send` with
    its first message, since one that will be refused adds no device. `suppressed` counts the messages that were not
    worth reporting, `bad_values` the values that were none.
    """

    def __init__(
        self,
        devices: Iterable[Device] = (),
        own: Mapping[str, str] | None = None,
        max_devices: int = 100,
        claim: Callable[[str], str] = lambda _: "",
        can_send: Callable[[InternalMsg], bool] = lambda _: True,
    ) -> None:
        self.states: dict[str, DeviceState] = {}
        self.suppressed = self.bad_values = self.found_devices = self.rejected_devices = 0
        self.revision = 0  # how often a template has brought about a device, or one was removed
        self.bad: list[str] = []
        """The arguments of the message that was observed last which were no values."""
        self.held = 0
        """The flags of the message that was held back last, of which nothing went out."""
        self.rejection = ""
        """Why a message has added no device, though a template fits it."""
        self.removed: list[str] = []
        """The ids of devices that have given their place to others."""
        self.has_events = False
        """Whether a point tells events."""
        self._own = own or {}
        self._max_devices = max_devices
        self._claim = claim
        self._can_send = can_send
        self._left: list[DeviceState] = []  # those of an earlier run; the one whose values are oldest is the last
        self._templates: list[Device] = []
        self._by_address: dict[tuple[str, ...], list[DeviceState]] = {}
        self._schedule: Schedule[Report | DeviceState] = Schedule()
        self._memory = SeriesMemory(self._schedule)
        self._groups = self._memory.groups
        self._changed: dict[str, DeviceState] = {}
        for device in devices:
            if "{" in device.id:
                self._templates.append(device)
            else:
                self._add(device)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is declared and nothing remembered."""
        return not (self.states or self._groups or self._templates)

    @property
    def has_templates(self) -> bool:
        """Whether devices may come to be at their first reading."""
        return bool(self._templates)

    def may_find(self, device_id: str) -> bool:
        """Return whether a template may make a device with this id."""
        return device_id not in self.states and any(could_make(template, device_id) for template in self._templates)

    # --- messages

    def observe(self, msg: InternalMsg, now: float, wall: float) -> InternalMsg | None:
        """Update what `msg` feeds; return what of it is to go out, or None: nothing.

        What is returned lacks the values that are none. A message that neither feeds a point nor has a report rule is
        returned as it is, and no rule holds back the outcome of a command.
        """
        if "response" in msg.arguments and not msg.iscmd:
            return self._observe_outcome(msg, now, wall)
        try:
            group = self._groups.get(msg[:7])
        except TypeError:  # a word that is no text: the map refuses the message, and tells why
            return msg
        if group is None:
            created = self._new_group(msg)
            if created is None:
                return msg
            group = created
        rule = msg.report
        if rule is not None and rule.by and not set(rule.by) <= set(group.by):
            self._memory.distinguish_by(group, rule.by)
        series = group.children.get(group.key_of(msg.arguments) if group.by else ())
        if series is None or (self._templates and not series.states):
            series = self._series_of(group, msg)
        return self._observe(series, msg, now, wall)

    def _observe(self, series: Series, msg: InternalMsg, now: float, wall: float) -> InternalMsg | None:
        rule, readings = msg.report, series.readings
        verdict = 0
        bad: list[str] | None = None
        for constant, fixed in series.constants:
            verdict |= constant.update("", fixed, rule, now, wall)
        for name, value in msg.arguments.items():
            reading = readings.get(name)
            if reading is None:
                if name in msg.uncompared or (rule is None and not series.may_hold):
                    continue
                reading = series.add_reading(name, Companion() if rule is None else Reading())
            result = reading.update(name, value, rule, now, wall)
            if result & BAD:
                bad = [*(bad or ()), name]
            verdict |= result
        for state in series.states:
            # Not `_hear`: it asks when the device is due, which looks at all its points; too much for each message.
            is_sooner = state.hear(now)
            if verdict & CHANGED or state.is_status_new:
                self.mark_changed(state)
                is_sooner = is_sooner or bool(verdict & GOOD_AGAIN)  # the silence of a point begins to count
            if is_sooner:
                self._schedule.put(state, state.due())
        if bad:
            self.bad = bad
            self.bad_values += len(bad)
            msg = msg.without_arguments(bad)
            if not msg.arguments:
                self.held = BAD
                return None
        # What no rule holds back, since nothing of it feeds a point that has one, goes out as it is.
        if verdict & HELD and not verdict & DUE:
            self.suppressed += 1
            self.held = verdict
            if verdict & WAITING or series.reports:
                self._schedule_report(series.hold_back(msg, is_waiting=bool(verdict & WAITING)))
            return None
        report = series.set_reported(msg, now)
        if report is not None:
            self._schedule_report(report)
        return msg

    def events_of(self, msg: InternalMsg) -> list[Event]:
        """Return the events that a message tells which `observe` or `tick` has returned."""
        group = self._group_of(msg)
        series = None if group is None else group.series_of(msg)
        if series is None or not series.events:
            return []
        if not msg.is_outcome:
            return series.events_in(msg)
        read = read_arguments(msg) if msg.argument("response") == "OK" else frozenset()
        told = {name: value for name, value in msg.arguments.items() if name in read}
        return series.events_in(msg.with_arguments(told)) if told else []

    def _schedule_report(self, report: Report) -> None:
        if report.scheduled == math.inf or report.pending is not None:
            self._schedule.put(report, report.due())

    # --- time

    def due(self) -> float:
        """Return when `tick` has something to do; infinite: never, as far as is known now. Needs no guard."""
        return self._schedule.due()

    def tick(self, now: float, sent_before: float = math.inf) -> Pending:
        """Do what time alone brings about; return what is to go out for it.

        What waits for the end of an interval goes on waiting as long as the message before it may still be on its way:
        all that was reported before the time `sent_before` is in the outbox.
        The messages have passed filters and rules already. Each of the states is to have its document
        written; `set_written` records that.
        """
        pending = Pending([], [])
        again: list[Report | DeviceState] = []
        while (entity := self._schedule.pop(now)) is not None:
            again.append(entity)
            if isinstance(entity, Report):
                msg = entity.message_due(now, sent_before)
                if msg is not None:
                    entity.series.set_reported(msg, now)
                    pending.messages.append(msg)
            else:
                entity.check_silence(now)
                if entity.is_status_new or now >= entity.document_due:
                    self._changed.pop(entity.device.id, None)
                    pending.states.append(entity)
        for entity in again:
            if entity.scheduled == math.inf:
                self._schedule.put(entity, entity.due())
        return pending

    def finish(self) -> Pending:
        """End all intervals, as nothing comes after; return what waited for them."""
        messages: list[InternalMsg] = []
        while (entity := self._schedule.pop(math.inf)) is not None:
            if isinstance(entity, Report) and entity.pending is not None:
                msg = entity.take_waiting()
                messages += [msg] if msg is not None else []
        states = [state for state in self.states.values() if state.is_changed]
        for state in states:
            state.document_at = NEVER
        return Pending(messages, states)

    @property
    def has_changes(self) -> bool:
        """Whether `changed` may have devices to return, or some were removed. Needs no guard."""
        return bool(self._changed or self.removed)

    def changed(self, now: float) -> list[DeviceState]:
        """Return the devices of which a document may be written now; those that have to wait for it are `due` later."""
        if not self._changed:
            return []
        # Those that wait are scheduled: looked at for each message, a thousand of them would cost more than all else.
        changed, self._changed = self._changed, {}
        return [state for state in changed.values() if state.is_status_new or now >= state.document_due]

    def set_written(self, state: DeviceState, now: float) -> None:
        """Record that the document of a device has been written."""
        state.is_changed, state.is_urgent, state.document_at = False, False, now
        self._schedule.put(state, state.due())

    def mark_changed(self, state: DeviceState) -> None:
        """Have the document of a device written, for what it has told or for what was restored of it."""
        state.is_changed = True
        if state.device.id not in self._changed:
            self._changed[state.device.id] = state
            if state.scheduled > state.document_due:
                self._schedule.put(state, state.due())

    # --- devices

    def heard(self, device: str, now: float) -> None:
        """Record that a device was heard, though it told no reading. Raises `KeyError` if there is no such device."""
        self._hear(self.states[device], now)

    def _hear(self, state: DeviceState, now: float, is_changed: bool = False) -> None:
        state.hear(now)
        if is_changed or state.is_status_new:
            self.mark_changed(state)
        self._schedule.put(state, state.due())

    def unanswered(self, *messages: InternalMsg) -> None:
        """Record that a request for `messages` was not answered; after three in a row, the device is gone.

        The arguments of a message are those that are known without an answer; they distinguish devices of one address.
        Where they do not, the request counts for none of these devices.
        """
        asked = {state.device.id: state for msg in messages for state in self.asked_by(msg)}
        for state in asked.values():  # once for each device, however many messages it would have sent
            state.count_unanswered()
            if state.is_status_new:
                self.mark_changed(state)

    def answered(self, msg: InternalMsg, now: float) -> None:
        """Record that a request for `msg` was answered, but not with it: its device was heard.

        As for `unanswered`, it must be known which device that is.
        """
        for state in self.asked_by(msg):
            self._hear(state, now)

    def values_unreadable(self, msg: InternalMsg, errors: Mapping[str, str], now: float) -> None:
        """Record that a device sent something for arguments of `msg` that is no value: `errors` tells why, by argument.

        `msg` is the message without them. The points that they feed are bad, and the device was heard.
        """
        group = self._group_of(msg)
        if group is None:
            return
        series = group.series_of(msg) or self._memory.new_series(group, msg)
        flags = 0
        for name, error in errors.items():
            reading = series.readings.get(name)
            if reading is not None and reading.point is not None:
                self.bad_values += 1
                flags |= reading.set_bad(error)
        for state in series.states:
            self._hear(state, now, is_changed=bool(flags & CHANGED))

    def asked_by(self, msg: InternalMsg) -> list[DeviceState]:
        """Return the devices that a request for `msg` is surely for, of which not all arguments need be known."""
        group, arguments = self._group_of(msg), msg.arguments
        if group is None:
            return []
        certain = {feed.state.device.id: feed.state for feed in group.fed_by(arguments)}
        if certain:
            return list(certain.values())
        possible = {feed.state.device.id: feed.state for feed in group.feeds if may_fit(feed.where, arguments)}
        if len(possible) != 1:
            return []
        # Only the point is unknown, as that of one of several sensors, and not the device.
        return [state for state in possible.values() if fits(state.device.where, arguments)]

    def lose_all(self, reason: str, *, is_hanging: bool = False) -> None:
        """Record that the interface has lost its devices, as with its port; `is_hanging`: as it does not return."""
        for state in self.states.values():
            state.cut_off(reason, is_hanging=is_hanging)
            if state.is_changed:
                self.mark_changed(state)
        self._memory.doubt_ruled()

    def doubt_ruled(self) -> None:
        """Refresh what report rules alone remember only after it was heard again: its source, or its rule, is gone."""
        self._memory.doubt_ruled()

    def recover_all(self, now: float) -> None:
        """Record that the interface works again."""
        for state in self.states.values():
            state.recover(now)
            if state.is_status_new:
                self.mark_changed(state)
            self._schedule.put(state, state.due())

    def _add(self, device: Device, template: Device | None = None) -> DeviceState:
        words = tuple(device.address.get(field, self._own.get(field, "")) for field in ADDRESS_OF_DEVICE)
        state = self.states[device.id] = DeviceState(device, template, words)
        self._by_address.setdefault(words, []).append(state)
        sender, fed = device.address.get("sender", ""), []
        for point in device.points:
            self.has_events = self.has_events or bool(point.feeds and point.type is PointType.EVENT)
            for feed in point.feeds:
                group = self._groups.setdefault((False, *words, sender, feed.action), Group())
                group.add_feed(Fed(state, point, {**device.where, **point.where}))
                fed.append((group, (*device.where, *point.where)))
        for group, names in fed:  # only now: what waits there goes to series that feed all points
            self._memory.distinguish_by(group, names)
        return state

    def _new_group(self, msg: InternalMsg) -> Group | None:
        """Return what is to remember messages like `msg`, seen for the first time; None if nothing is."""
        if self._add_from_template(msg):
            return self._groups[msg[:7]]
        if msg.report is None:
            return None
        group = self._groups[msg[:7]] = Group()
        return group

    def _group_of(self, msg: InternalMsg) -> Group | None:
        """Return what remembers messages like `msg`, or None; also if a word is no text: the map refuses it."""
        try:
            return self._groups.get(msg[:7])
        except TypeError:
            return None

    def distinguished_by(self, msg: InternalMsg) -> tuple[str, ...]:
        """Return the arguments by whose values messages like `msg` are distinguished. Needs no guard."""
        group = self._group_of(msg)
        return () if group is None else group.by

    def not_sent(self, msg: InternalMsg) -> None:
        """Record that a message which was to go out did not: the next one like it is a change."""
        group = self._group_of(msg)
        series = None if group is None else group.series_of(msg)
        if series is not None:
            for _, reading in series.readings_of(msg):
                reading.reported = UNSET

    def _series_of(self, group: Group, msg: InternalMsg) -> Series:
        """Return the series of a message; a device is added first if only a template fits it."""
        is_fed = bool(group.fed_by(msg.arguments))
        if self._templates and not is_fed:
            is_fed = self._add_from_template(msg)
        series = group.series_of(msg)
        return series if series is not None and (series.states or not is_fed) else self._memory.new_series(group, msg)

    def _add_from_template(self, msg: InternalMsg) -> bool:
        """Add the device of which `msg` is the first reading, if a template fits it and there is room for one more."""
        if msg.iscmd:
            return False
        for template in self._templates:
            device = instance_of(template, msg, self._own)
            if device is None:
                continue
            problem = self._problem_of(device)
            if not problem:
                if not self._can_send(without_bad_values(msg)):
                    return False  # or a flood of words that cannot be sent would take the places of real devices
                problem = self._claim(device.id)
            if not problem:
                if self.found_devices >= self._max_devices:
                    self._remove(self._left.pop())
                self._add_found(device, template)
                return True
            self.rejected_devices += 1
            self.rejection = problem
        return False

    def _problem_of(self, device: Device) -> str:
        """Return why a device cannot be added, or `""`; its id is not claimed yet."""
        if not 0 < len(device.id) <= MAX_ID or device.id.startswith("-"):  # so begins what is no device's
            return (
                f"its id would be {device.id[: MAX_ID + 1]!a}: an id has 1 to {MAX_ID} characters, and does not begin "
                "with '-'; declare the device"
            )
        if device.id in self.states:  # another word has made the same id
            return f"the id {device.id!a} is that of another device of this interface; declare one of them"
        while self._left and not self._left[-1].is_left:
            self._left.pop()  # it was heard
        if self.found_devices >= self._max_devices and not self._left:
            return f"there are {self._max_devices} already; raise max_devices, or declare the devices"
        return ""

    def _add_found(self, device: Device, template: Device) -> DeviceState:
        self.found_devices += 1
        state = self._add(device, template)
        self.revision += 1
        return state

    def adopt(self, address: Mapping[str, str], where: Mapping[str, Argument], is_same: Callable[[str], bool]) -> bool:
        """Add the device of a template that an earlier run has left, if a template still makes it; return whether.

        `is_same` is asked whether an id is the one that it had. Call this for those with the newest values first: they
        keep their place the longest.
        """
        for template in self._templates:
            device = remade(template, address, where, self._own)
            if device is None or not is_same(device.id) or self.found_devices >= self._max_devices:
                continue
            if not (self._problem_of(device) or self._claim(device.id)):
                state = self._add_found(device, template)
                state.is_left = True
                self._left.append(state)
                return True
        return False

    def _remove(self, state: DeviceState) -> None:
        """Remove a device of a template."""
        device_id = state.device.id
        self.found_devices -= 1
        self.revision += 1
        self.removed.append(device_id)
        del self.states[device_id]
        self._changed.pop(device_id, None)
        state.scheduled = math.inf
        for states in self._by_address.values():
            if state in states:
                states.remove(state)
        for key, group in list(self._groups.items()):
            if any(fed is state for fed, _, _ in group.feeds):
                group.remove_feeds(state)
                for values, series in list(group.children.items()):
                    if state in series.states:
                        series.forget()
                        self._memory.drop(group, values)
                if not group.feeds and not group.children:
                    del self._groups[key]

    # --- outcomes

    def device_of(self, msg: InternalMsg) -> DeviceState | None:
        """Return the device that a command, or the outcome of one, is for; None if it is for none that is declared."""
        try:
            candidates = self._by_address.get(msg[1:5], [])
        except TypeError:  # a word that is no text
            return None
        arguments = {name: value for name, value in command_arguments(msg).items() if is_value(value)}
        # An exact value goes before one that a client may have written in another way.
        exact = (state for state in candidates if fits(state.device.where, arguments))
        meant = (
            state
            for state in candidates
            if arguments.keys() >= state.device.where.keys() and is_meant(state.device.where, arguments)
        )
        return next(exact, None) or next(meant, None)

    def _observe_outcome(self, msg: InternalMsg, now: float, wall: float) -> InternalMsg:
        """Update what the outcome of a command says of the state; return it without the values that are none."""
        if msg.argument("response") != "OK":
            state = self.device_of(msg) if is_refused_by_device(msg) else None
            if state is not None:
                self._hear(state, now)
            return msg
        bad = self._observe_answer(msg, now, wall)
        state = self.device_of(msg)
        if state is not None:
            is_changed = False
            for point, value in written_points(state.device, msg):
                if point.assumed and value is not None:
                    state.reading_of[point.key].update("", value, None, now, wall)
                    is_changed = True
            state.is_urgent = True
            self._hear(state, now, is_changed or state.is_changed)
        return msg.without_arguments(bad) if bad else msg

    def _observe_answer(self, msg: InternalMsg, now: float, wall: float) -> Collection[str]:
        """Update the points that a status with the same action feeds; return the names of the values that are none.

        Only what the device has given counts. What was requested tells at most which device it is about.
        """
        read, group = read_arguments(msg), self._group_of(msg)
        if group is None or not read:
            return ()
        series = self._series_of(group, msg)
        names = {*read, *(name for name in group.by if name not in series.readings)}
        told = {name: value for name, value in msg.arguments.items() if name in names}
        counted = self.bad_values
        self._observe(series, msg.with_arguments(told).answered_at(None), now, wall)
        return self.bad if self.bad_values > counted else ()

    def to_ask(self, outcome: InternalMsg, since: float) -> tuple[str, ...]:
        """Return the actions of messages that would tell what a command has changed, where nothing has told it yet.

        `outcome` is that of the command; a reading that is as new as `since` (s, the model's clock) needs no question.
        """
        state = self.device_of(outcome)
        if state is None or outcome.argument("response") != "OK":
            return ()
        actions: dict[str, None] = {}
        for point, _ in written_points(state.device, outcome):
            if not point.assumed and state.reading_of[point.key].seen_at < since:
                actions.update(dict.fromkeys(feed.action for feed in point.feeds))
        return tuple(actions)

    # --- other runs, other configurations

    def actions_of_others(self, previous: Model) -> set[str]:
        """Return the actions of messages that feed devices which `previous` does not have."""
        added = [state.device for device_id, state in self.states.items() if device_id not in previous.states]
        return {feed.action for device in added for point in device.points for feed in point.feeds}

    def carry_over(self, previous: Model) -> list[DeviceState]:
        """Go on with what another model remembers, where it means the same here; return its devices that are gone.

        The same is a point of one device with the same key, type and feeds, that messages of the same words and
        arguments feed, and that can have the value that was read. What report rules alone remember stays.
        """
        for device_id, state in self.states.items():
            before = previous.states.get(device_id)
            if before is None:
                continue
            for key, reading in state.reading_of.items():
                other = before.reading_of.get(key)
                if other is not None and before.meanings[key] == state.meanings[key] and reading.can_follow(other):
                    reading.carry_over(other)
            is_other = (state.device, state.meanings) != (before.device, before.meanings)
            self._carry_over_state(state, before, is_other=is_other)
        self.suppressed, self.bad_values = previous.suppressed, previous.bad_values
        self.rejected_devices = previous.rejected_devices
        for state in previous.states.values():
            if state.device.id not in self.states:
                self._adopt_found(state)
        self._memory.carry_over(previous._memory)
        while self.found_devices > self._max_devices and self._left:
            self._remove(self._left.pop())
        return [state for device_id, state in previous.states.items() if device_id not in self.states]

    def _carry_over_state(self, state: DeviceState, before: DeviceState, *, is_other: bool) -> None:
        if state.is_same(before):
            state.carry_over(before)
        else:
            self.mark_changed(state)  # what is known of another device says nothing of this one
        if before.is_changed or (is_other and before.document_at != NEVER):
            self.mark_changed(state)  # its document may have other points now
        self._schedule.put(state, state.due())  # its silence goes on being watched

    def _adopt_found(self, state: DeviceState) -> None:
        """Keep a device that a template brought about, if the template is still there."""
        if state.template is not None and any(template == state.template for template in self._templates):
            if self._claim(state.device.id):
                return
            own = self._add_found(state.device, state.template)
            own.reading_of = state.reading_of
            self._carry_over_state(own, state, is_other=False)
            if own.is_left:
                self._left.append(own)
