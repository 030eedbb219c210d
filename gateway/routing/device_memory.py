"""The devices of one interface at work: their model, guarded, with its documents published. Any thread may use it.

    message -> observe -> map        what is worth reporting passes
                 |
               Model -> documents    by whoever has pushed, at once; by the main thread, at the end of an interval

Two locks: that of the model, which is held for a few microseconds and under which no other lock is taken; and, around
it, that of publishing, or of two documents of a device the older one could be published, or written to the disk, last.
Many documents are written a few at a time, so that no thread of an interface waits for all of them.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import Lock
from typing import NamedTuple

from gateway.core.package_logger import package_logger
from gateway.devices.device_state import DeviceState
from gateway.devices.document import (
    DOCUMENT_KINDS,
    RETAINED_KINDS,
    LeftDevice,
    doubted_document,
    event_document,
    kept_document,
    known_points,
    left_device,
    outcome_document,
    restore,
    state_document,
)
from gateway.devices.model import Model
from gateway.devices.point import Device
from gateway.devices.reading import held_reason
from gateway.devices.report import NEVER
from gateway.devices.snapshot import DeviceSnapshot, snapshot
from gateway.message import OFFLINE, ONLINE, InternalMsg, Lane, Publication
from gateway.routing.device_errors import log_lost, log_no_document, log_rejected
from gateway.routing.documents import Documents

LOG = package_logger("gateway.interface")  # operators look for a device among the lines of its interface

_SLICE, _PAUSE = 16, 0.0002  # documents that are written without a pause; s, for threads that wait for a lock

_REMEMBER_INTERVAL = 60.0
"""Seconds between two writes of one document to the disk: a value each second would wear an SD card out."""


class DeviceStatus(NamedTuple):
    """Whether a device is online (None: unknown), why it is not, and how long ago (s) it was heard; None: never.

    `since` is how long ago (s) the status has become what it is; None: it is not known.
    """

    id: str
    is_online: bool | None
    reason: str
    age: float | None
    since: float | None = None


class _Document(NamedTuple):
    """A document to be published, what is remembered of it, and the keys of the points of which it has a value."""

    topic: str
    payload: bytes
    kept: bytes
    points: frozenset[str] = frozenset()


class DeviceMemory:
    """The model of an interface, guarded. `clock` gives seconds that only grow, `wall_clock` Unix time (s).

    `name` is that of the interface, for the log.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        documents: Documents | None = None,
        name: str = "",
    ) -> None:
        self._name = name
        self._clock = clock
        self._wall_clock = wall_clock
        self._documents = documents or Documents()
        self.can_send: Callable[[InternalMsg], bool] = lambda _: True
        """Whether a message can be sent: if not, no device is added for it. It is called with the lock held."""
        self._lock = Lock()
        self._publishing = Lock()
        self._model = Model()
        self._configured = 0
        self._first_values = 0  # how often a device of a template has told a point for the first time
        self._added: set[str] | None = None  # the actions that feed devices which a reload has added; None: no reload
        self._statuses: list[tuple[str, bool | None, str]] = []  # to be logged: device, whether it is online, why not
        self._interface_reason = ""  # why the interface lost all its devices: logged by whoever said so
        self._lost: set[str] = set()
        self._planned = math.inf  # when whoever calls `tick` will do so at the latest
        self.is_used = False
        """Whether any devices are declared, or any readings remembered."""
        self._write_at = math.inf  # when the first of the documents in `_unwritten` is to be written
        # When a document was written to the disk last, and of which points it had a value, by topic.
        self._remembered: dict[str, tuple[float, frozenset[str]]] = defaultdict(lambda: (-math.inf, frozenset()))
        self._availabilities: dict[str, bytes] = {}  # what was published last, by topic: unknown is offline there, too
        self._unwritten: dict[str, _Document] = {}  # documents that are newer than what is on the disk, by topic
        # What the broker retains of devices that a template may still make, by topic; and those that it has made now.
        self._recalled: dict[str, bytes] = {}
        self._found: list[str] = []

    def stats(self) -> dict[str, int]:
        """Return what was counted. Any thread may ask; nothing waits for it."""
        model = self._model
        return {
            "devices": len(model.states),
            "devices_offline": sum(state.is_online is False for state in list(model.states.values())),
            "readings_suppressed": model.suppressed,
            "bad_values": model.bad_values,
            "devices_rejected": model.rejected_devices,
        }

    def statuses(self) -> list[DeviceStatus]:
        """Return the status of each device, for people. Any thread may ask; nothing waits for it."""
        now = self._clock()
        return [
            DeviceStatus(
                device,
                state.is_online,
                state.reason,
                None if state.last_heard == NEVER else now - state.last_heard,
                None if state.status_at == NEVER else now - state.status_at,
            )
            for device, state in list(self._model.states.items())
        ]

    def snapshot(self, device: str) -> DeviceSnapshot | None:
        """Return what is known of a device now; None: there is none with this id. Any thread may ask."""
        with self._lock:
            state = self._model.states.get(device)
            return None if state is None else snapshot(state, self._clock())

    @property
    def topics(self) -> list[str]:
        """The topics of all documents of the devices that are known now."""
        return [self._documents.topic(device, kind) for device in self.ids for kind in DOCUMENT_KINDS]

    @property
    def revision(self) -> tuple[int, int, int]:
        """A value that changes when there are other devices, or one of a template tells a new point. Needs no guard."""
        return self._configured, self._model.revision, self._first_values

    def declarations(self) -> list[tuple[Device, str, frozenset[str]]]:
        """Return the known devices, each with the id of its template, or `""`, and the points that have had a value."""
        with self._lock:
            states = self._model.states.values()
            return [(each.device, each.template.id if each.template else "", known_points(each)) for each in states]

    @property
    def ids(self) -> list[str]:
        """The ids of the devices that are known now."""
        with self._lock:
            return list(self._model.states)

    def configure(
        self, devices: Iterable[Device], own: Mapping[str, str], kept: Mapping[str, bytes], max_devices: int = 100
    ) -> list[str]:
        """Go on with other devices; return the retained topics of those that are gone.

        `own` are the words of the interface's messages by field. What means the same is carried over, and what an
        earlier run has left in `kept` (payload by topic) is restored. Only the main thread calls this.
        """
        kept = {**self._recalled, **kept}
        model = Model(devices, own, max_devices, self._claim, lambda msg: self.can_send(msg))
        restored = self._restore(model, kept, model.states)  # before threads of the interface have to wait for the lock
        left = _left_devices(kept) if model.has_templates else []
        with self._lock:
            self._added = set() if self._added is None else self._added | model.actions_of_others(self._model)
            declared = set(model.states)
            gone = [state.device.id for state in model.carry_over(self._model)] + self._model.removed
            self._adopt(model, left)
            restored += self._restore(model, kept, model.states.keys() - declared)
            for state in restored:
                if state.document_at == NEVER:  # or it goes on with what has been published before the reload
                    model.mark_changed(state)
            model.rejection, model.removed, self._found = "", [], []
            self._model = model
            self._configured += 1
            self.is_used = not model.is_empty
        topics = [topic for device in gone for topic in self._topics_of(device)]
        for device in gone:
            self._documents.release(device)
        with self._publishing:
            self._lost.difference_update(gone)
            for topic in topics:
                self._forget(topic)
        self.publish_changed()
        return topics + self._drop_recalled()

    def _restore(self, model: Model, kept: Mapping[str, bytes], devices: Iterable[str]) -> list[DeviceState]:
        """Begin with what an earlier run has left of `devices`; return those of which it has left something."""
        restored: list[DeviceState] = []
        for device in devices:
            payload, state = kept.get(self._documents.topic(device, "state"), b""), model.states[device]
            if payload and (restore(state, payload, self._wall_clock()) or state.is_left):
                restored.append(state)
        return restored

    def recall(self, retained: Mapping[str, bytes]) -> set[str]:
        """Restore what the broker retains of an earlier run; return the topics in it that are those of a device.

        A document is written again at once if it had values that were not known. What is retained of a device that a
        template may still make is kept for that device; until then, its document tells that nothing is known of it.
        """
        with self._lock:
            self._recalled = dict(retained)  # a device that another thread finds from now on begins with it
        for device in self.ids:
            topic = self._documents.topic(device, "state")
            with self._lock:
                payload, state = self._recalled.pop(topic, b""), self._model.states.get(device)
                if payload and state is not None and restore(state, payload, self._wall_clock()):
                    state.document_at = NEVER
                    self._model.mark_changed(state)
        doubted = {topic: doubted_document(payload) for topic, payload in list(self._recalled.items())}
        with self._lock:
            self._recalled = {
                topic: payload for topic, payload in self._recalled.items() if doubted[topic] and self.may_find(topic)
            }
            waiting = list(self._recalled)
            known = {self._documents.topic(device, "state") for device in self._model.states}
        for topic in waiting:
            with self._publishing:  # the document of a device that is found now comes after this, or instead of it
                if topic in self._recalled:
                    self._documents.publish(topic, doubted[topic])
                    self._documents.publish(self._availability_beside(topic), OFFLINE)
        self.publish_changed()
        return (known & retained.keys()) | {*waiting}

    def may_find(self, topic: str) -> bool:
        """Return whether a template may make the device that has the state document on `topic`."""
        device = topic.split("/")[-2]
        is_own = self._documents.topic(device, "state") == topic
        return is_own and self._model.may_find(device) and self._documents.is_free(device)

    def _availability_beside(self, topic: str) -> str:
        return self._documents.topic(topic.split("/")[-2], "availability")

    def _drop_recalled(self) -> list[str]:
        """Forget what was recalled of devices that no template makes any more; return their retained topics."""
        with self._lock:
            topics = [topic for topic in self._recalled if not self.may_find(topic)]
            for topic in topics:
                del self._recalled[topic]
        return [each for topic in topics for each in (topic, self._availability_beside(topic))]

    def _claim(self, device: str) -> str:
        """Claim the id of a device that a template is about to make: see `Documents`."""
        problem = self._documents.claim(device)
        if not problem and self._recalled:
            self._found.append(device)
        return problem

    def _restore_found(self) -> None:
        """Begin with what was recalled of the devices that templates have just made. The caller holds the lock."""
        for device in self._found:
            payload = self._recalled.pop(self._documents.topic(device, "state"), b"")
            if payload and device in self._model.states:
                restore(self._model.states[device], payload, self._wall_clock())
        self._found.clear()

    def _adopt(self, model: Model, left: Iterable[tuple[str, LeftDevice]]) -> None:
        """Have `model` begin with the devices of its templates that an earlier run has left, by topic."""
        for topic, device in left:

            def is_same(device_id: str, topic: str = topic) -> bool:
                return self._documents.topic(device_id, "state") == topic

            model.adopt(device.address, device.where, is_same)

    def _topics_of(self, device: str) -> list[str]:
        return [self._documents.topic(device, kind) for kind in RETAINED_KINDS]

    def take_added(self) -> Collection[str]:
        """Return the actions of messages that feed devices which a reload has added; each of them only once."""
        with self._lock:
            added, self._added = self._added, set()
        return added or ()

    def observe(self, msg: InternalMsg) -> tuple[InternalMsg | None, Sequence[str]]:
        """Return what of `msg` is to go out, or None: nothing; and the names of the values that were none.

        See `Model.observe`.
        """
        if msg.report is None and not self.is_used:
            return msg, ()
        self.is_used = True
        with self._lock:
            model = self._model
            wall = self._wall_clock() if msg.time is None else msg.time
            observed = model.observe(msg, self._clock(), wall)
            if self._found:
                self._restore_found()
            bad: Sequence[str] = ()
            if model.bad:
                bad, model.bad = model.bad, []
            rejection = model.rejection
            if rejection:
                model.rejection = ""
        if rejection:
            log_rejected(self._name, msg, rejection)
        if model.due() < self._planned:
            self._wake()
        return observed, bad

    @property
    def held_reason(self) -> str:
        """Why nothing of the message that was observed last goes out, for those who follow messages."""
        return held_reason(self._model.held)

    def publish_changed(self) -> None:
        """Publish the documents of the devices that have changed, but for those that have to wait for it."""
        if not self.is_used:
            return
        # What this thread has changed is seen without the locks; what another one has, that one publishes.
        if self._model.has_changes:
            with self._lock:
                states = self._model.changed(self._clock())
                has_removed = bool(self._model.removed)
            if has_removed:
                self._clear_removed()
            self._publish_states(states)
        if self._due() < self._planned:
            self._wake()

    def tick(self, sent_before: float = math.inf) -> list[InternalMsg]:
        """Do what time alone brings about; return the messages that are to be sent for it, past the rules.

        What was reported before the time `sent_before` (s, the clock of the model) has been sent.
        """
        if self._clock() < self._due():
            return []
        with self._lock:
            now = self._clock()
            pending = self._model.tick(now, sent_before)
        self._publish_states(pending.states)
        if now >= self._write_at:
            with self._publishing:
                self._write_due(now)
        return pending.messages

    def _due(self) -> float:
        # Writes in whole seconds: or each of many documents would wake the process at a moment of its own.
        return min(self._model.due(), self._write_at if self._write_at == math.inf else math.ceil(self._write_at))

    def _wake(self) -> None:
        self._planned = self._due()
        self._documents.wake()

    @property
    def due_in(self) -> float:
        """The seconds until `tick` has something to do; infinite: nothing, as far as is known now."""
        # Noted before the caller begins to wait: what becomes due sooner from now on wakes it.
        self._planned = due = self._due()
        return math.inf if due == math.inf else max(0.0, due - self._clock())

    # --- what is heard of devices beside their messages

    def heard(self, device: str) -> None:
        """Record that a device was heard, though it told no reading. Raises `KeyError` if there is no such device."""
        with self._lock:
            self._model.heard(device, self._clock())
        self.publish_changed()

    def unanswered(self, *messages: InternalMsg) -> None:
        """Record that a request that would have brought `messages` was not answered."""
        with self._lock:
            self._model.unanswered(*messages)
        self.publish_changed()

    def answered(self, msg: InternalMsg) -> None:
        """Record that a request for `msg` was answered, but not with it: the device was heard."""
        with self._lock:
            self._model.answered(msg, self._clock())
        self.publish_changed()

    def values_unreadable(self, msg: InternalMsg, errors: Mapping[str, str]) -> None:
        """Record that values of `msg` could not be read: `errors` tells why, by argument."""
        with self._lock:
            self._model.values_unreadable(msg, errors, self._clock())
        self.publish_changed()

    def distinguished_by(self, msg: InternalMsg) -> tuple[str, ...]:
        """Return the arguments by whose values messages like `msg` are distinguished."""
        return self._model.distinguished_by(msg)

    def not_sent(self, messages: Iterable[InternalMsg]) -> None:
        """Record that messages which `observe` or `tick` has returned were not sent."""
        with self._lock:
            for msg in messages:
                self._model.not_sent(msg)

    def doubt_ruled(self) -> None:
        """Record that the rules of the interface may be others now; see `Model.doubt_ruled`."""
        with self._lock:
            self._model.doubt_ruled()

    def lose_all(self, reason: str, *, is_hanging: bool = False) -> None:
        """Record that the interface has lost its devices, and why; `is_hanging`: because it does not return."""
        with self._lock:
            self._interface_reason = reason
            self._model.lose_all(reason, is_hanging=is_hanging)
        self.publish_changed()

    def recover_all(self) -> None:
        """Record that the interface works again."""
        with self._lock:
            self._model.recover_all(self._clock())
            for state in self._model.states.values():
                if state.document_at == NEVER:  # nothing is known of it, and that is what its document tells
                    self._model.mark_changed(state)
        self.publish_changed()

    def now(self) -> float:
        """Return the time (s) by the clock of the model."""
        return self._clock()

    def wall_now(self) -> float:
        """Return the time (s, Unix time) by the wall clock of the model."""
        return self._wall_clock()

    def to_ask(self, outcome: InternalMsg, since: float) -> tuple[str, ...]:
        """Return the actions that would tell what a command has changed; see `Model.to_ask`."""
        with self._lock:
            return self._model.to_ask(outcome, since)

    # --- documents

    @property
    def has_events(self) -> bool:
        """Whether a point tells events. Needs no guard."""
        return self._model.has_events

    def event_documents(self, msg: InternalMsg) -> list[Publication]:
        """Return the documents of the events that a message tells which `observe` or `tick` has returned."""
        with self._lock:
            events = self._model.events_of(msg)
        return [
            Publication(self._documents.topic(event.device, "event"), event_document(event), qos=1, lane=Lane.EVENT)
            for event in events
        ]

    def outcome_document(self, outcome: InternalMsg) -> Publication | None:
        """Return the document of the outcome of a command; None if the command was for no device that is declared."""
        with self._lock:
            state = self._model.device_of(outcome)
        if state is None:
            return None
        payload = outcome_document(outcome, self._wall_clock())
        return Publication(self._documents.topic(state.device.id, "outcome"), payload, qos=1, lane=Lane.REPLY)

    def _publish_states(self, states: Sequence[DeviceState]) -> None:
        """Write and publish the documents of `states`, as far as that is still to be done."""
        for first in range(0, len(states), _SLICE):
            if first:
                time.sleep(_PAUSE)
            with self._publishing:
                with self._lock:
                    now = self._clock()
                    documents = self._written(states[first : first + _SLICE], now)
                self._publish(documents)

    def _written(self, states: Iterable[DeviceState], now: float) -> list[_Document]:
        """Return the documents of `states`, and record that they are written."""
        documents: list[_Document] = []
        for state in states:
            is_due = state.is_status_new or now >= state.document_due
            if not is_due or self._model.states.get(state.device.id) is not state:
                continue  # another thread has written it meanwhile, or a reload has replaced the device
            document = self._state_document(state)
            if document is not None:
                documents.append(document)
            is_unknown = state.is_online is None and state.document_at == NEVER  # an earlier run may have left `online`
            topic = self._documents.topic(state.device.id, "availability")
            status = ONLINE if state.is_online else OFFLINE
            if (state.is_status_new or is_unknown) and self._availabilities.get(topic) != status:
                self._availabilities[topic] = status
                documents.append(_Document(topic, status, status))
            if state.is_status_new:
                state.is_status_new, state.status_at = False, now
                self._statuses.append((state.device.id, state.is_online, state.reason))
            self._model.set_written(state, now)
        return documents

    def _state_document(self, state: DeviceState) -> _Document | None:
        try:
            payload = state_document(state)
            topic, points = self._documents.topic(state.device.id, "state"), known_points(state)
            if state.template is not None and not points <= self._remembered[topic][1]:
                self._first_values += 1
            return _Document(topic, payload, kept_document(state, payload), points)
        except Exception as err:  # noqa: BLE001  (the main thread must go on without it, whatever an interface has passed)
            log_no_document(state.device.id, err)
            return None

    def _publish(self, documents: Iterable[_Document]) -> None:
        self._log_statuses()
        for document in documents:
            topic = document.topic
            self._documents.publish(topic, document.payload)
            now = self._clock()
            written_at, points = self._remembered[topic]
            # A value that was not there before goes to the disk at once: without it, the document of the next run
            # would shrink if this one is killed.
            if now - written_at >= _REMEMBER_INTERVAL or not document.points <= points:
                self._unwritten.pop(topic, None)
                self._write(document, now)
            else:
                self._unwritten[topic] = document
                self._write_at = min(self._write_at, written_at + _REMEMBER_INTERVAL)

    def _write(self, document: _Document, now: float) -> None:
        self._remembered[document.topic] = now, document.points
        self._documents.remember(document.topic, document.kept)

    def _clear_removed(self) -> None:
        with self._publishing:
            with self._lock:
                removed, self._model.removed = self._model.removed, []
                removed = [device for device in removed if device not in self._model.states]  # not if it is back
            for device in removed:
                self._clear(device)

    def _clear(self, device: str) -> None:
        """Clear the documents of a device that has given its place to another. The caller holds the publishing lock."""
        for topic in self._topics_of(device):
            self._forget(topic)
            self._documents.clear(topic)
        self._lost.discard(device)
        self._documents.release(device)
        LOG.info("device %a was not heard since the start, and has given its place to a new one", device)

    def _forget(self, topic: str) -> None:
        """Forget what was published and written on `topic`. The caller holds the publishing lock."""
        self._remembered.pop(topic, None)
        self._unwritten.pop(topic, None)
        self._availabilities.pop(topic, None)

    def _write_due(self, now: float) -> None:
        """Have those documents on the disk that have waited long enough: a killed process would begin with older ones.

        The caller holds the lock of publishing.
        """
        self._write_at = math.inf
        for topic in list(self._unwritten):
            due = self._remembered[topic][0] + _REMEMBER_INTERVAL
            if due <= now:
                self._write(self._unwritten.pop(topic), now)
            else:
                self._write_at = min(self._write_at, due)

    def _log_statuses(self) -> None:
        """Log which devices were lost though their interface was not, and which of these are back."""
        while self._statuses:
            device, is_online, reason = self._statuses.pop(0)
            if is_online is False and reason != self._interface_reason:
                self._lost.add(device)
                log_lost(self._name, device, reason)
            elif device in self._lost:
                self._lost.discard(device)
                if is_online:
                    LOG.info("device %a is online again", device, extra={"interface": self._name})

    def finish(self) -> list[InternalMsg]:
        """Publish the documents that wait for the end of an interval, and return the messages that do.

        The messages are to be sent past the rules. Call this when nothing comes after.
        """
        with self._lock:
            pending = self._model.finish()
        self._publish_states(pending.states)
        return pending.messages

    def remember_all(self) -> None:
        """Have the last of each document on the disk, as at the end of a run."""
        with self._publishing:
            while self._unwritten:
                self._write(self._unwritten.popitem()[1], self._clock())


def _left_devices(kept: Mapping[str, bytes]) -> list[tuple[str, LeftDevice]]:
    """Return the devices of templates that an earlier run has left, by topic; those with the newest values first."""
    left = [(topic, device) for topic, payload in kept.items() if (device := left_device(payload)) is not None]
    return sorted(left, key=lambda item: item[1].newest, reverse=True)
