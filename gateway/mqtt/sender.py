"""Sends publications: from the outbox to the client, and back to the outbox as delivered, refused, or to be resent.

Publications that need not be kept bypass an empty outbox. All methods but `stats` are called with the send lock of
`MgClient` held, by the main thread or by one that has something to send.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from gateway.core.package_logger import package_logger
from gateway.core.tap import TAP
from gateway.core.throttled_exception import ThrottledException
from gateway.message import Lane, Publication
from gateway.mqtt.broker_limits import BrokerLimits
from gateway.mqtt.packets import PublishProperties, publish_properties, publish_size
from gateway.mqtt.paho_hooks import HookedClient, InFlight
from gateway.mqtt.poison import PoisonDetector, Verdict
from gateway.mqtt.quarantine import Quarantine
from gateway.mqtt.reason_codes import can_be_sent_again, is_clear, puback_words
from gateway.mqtt.refusals import Refusals
from gateway.mqtt.retained_states import RetainedStates
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Entry

LOG = package_logger(__name__)

WINDOW = 100
"""Publications with QoS 1 that the broker has not acknowledged, at most; others wait in the outbox."""

_MAX_IN_FLIGHT = 1000  # publications; with QoS 0, so many are written together
_MAX_UNSENT = 256 * 1024  # bytes that the connection has not accepted; beyond that, nothing more is sent

_NOT_AUTHORIZED = 0x87  # reason code of a PUBACK (MQTT 5, 3.4.2.1)
_QUOTA_PAUSE = 5.0  # s without any publication for a broker that reports that its quota is exceeded
_SUSPICIOUS = 10.0  # s after a publication was sent within which it may be the reason for the end of the link
_CLOSED = "the broker closed the link right after it, three times"
_PROBATION = 1.0  # s that a link must last before a suspect is sent on it: a link that flaps proves nothing


class _Batch(NamedTuple):
    """Publications with QoS 0, written with an empty in-flight window, with the byte range of each."""

    entries: list[Entry]
    offsets: list[tuple[int, int]]


class BrokerDegrades(ThrottledException):
    """The broker accepts publications only with a lower QoS, or without the retain flag."""

    period = 86_400.0


class BrokerRefuses(ThrottledException):
    """The broker has refused a publication that will be sent again."""


class Sender:
    """Sends publications in their order, within the broker's limits, and settles those that the broker has accepted.

    Commands expire at the broker when they are `command_lifetime` (s; 0: never) old.
    """

    def __init__(
        self,
        client: HookedClient,
        outbox: Outbox,
        command_lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._command_lifetime = command_lifetime
        self._clock = clock
        self.on_state_settled: Callable[[Publication, int], bool] = lambda _, __: False
        """Called with a state and the broker's reason code; returns whether that needs no other treatment."""
        self.states = RetainedStates(clock)
        self.poison = PoisonDetector()
        self._quarantine = Quarantine(clock)
        self._refusals = Refusals(outbox, clock)
        self._put_off: list[Entry] = []  # over the quota, and to be sent again, in their order, after the pause
        self._in_flight: deque[InFlight] = deque()
        self._unacknowledged = 0  # of them, those with QoS 1
        self._limits = BrokerLimits()
        self._needs_size_check = False  # against these limits
        self._batch = _Batch([], [])  # empty except within `send_pending`
        self._window = WINDOW
        self._is_v5 = False
        self._where = ""
        self._is_paused = False
        self._is_waiting = True  # for the subscriptions of a new link: see `begin`
        self._not_before = self._up_since = self._oldest_since = clock()
        self._has_settled = False  # any message, on this link
        self._acknowledged = 0  # publications that the broker has acknowledged on this link, states among them
        self._is_new_link = False
        self._are_states_behind = False  # for want of room; then they and messages take turns
        self._is_turn_of_states = False
        self._must_requeue = False
        self._resent = self._refused = self._deferred = self._downgraded = 0

    def __len__(self) -> int:
        """Return how many publications are in flight, states among them."""
        return len(self._in_flight)

    def stats(self) -> dict[str, int]:
        """Return the counters, those of its parts included: any thread may call this, without a lock."""
        return {
            **self.states.stats(),
            **self.poison.stats(),
            "in_flight": len(self._in_flight),
            "unacknowledged": self._unacknowledged,
            "acknowledged_on_link": self._acknowledged,
            "resent": self._resent,
            "refused": self._refused + self._refusals.given_up,
            "deferred": self._deferred,
            "kept_back": len(self._refusals),
            "downgraded": self._downgraded,
            "quarantined": len(self._quarantine.entries),
        }

    @property
    def stalled_for(self) -> float:
        """The seconds for which the broker has accepted nothing of what was sent; 0 if nothing is in flight."""
        is_sent = self._in_flight and not self._is_waiting
        return self._clock() - max(self._oldest_since, self._up_since) if is_sent else 0.0

    @property
    def refused_topics(self) -> Collection[str]:
        """The topics that wait because the broker has refused a message on them without saying why."""
        return self._refusals.topics

    @property
    def limits(self) -> BrokerLimits:
        """The limits of the broker, or of the last one."""
        return self._limits

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is sent on this link before `begin`."""
        return self._is_waiting

    @property
    def time_left(self) -> float:
        """The seconds until `send_pending` may have something to do without the main thread being woken for it."""
        is_paused = not self._is_waiting and self._clock() < self._not_before
        retry = math.inf if self._is_waiting else min(self._quarantine.time_left, self._refusals.time_left)
        return min(self._not_before - self._clock() if is_paused else math.inf, self.states.time_left, retry)

    # --- the link

    def link_up(self, where: str, limits: BrokerLimits, *, is_v5: bool) -> None:
        """Adopt the limits of the broker at `where`; nothing is sent before `begin`."""
        self._where, self._limits, self._is_v5 = where, limits, is_v5
        self._needs_size_check = limits.needs_size_check
        self._window = min(WINDOW, limits.receive_maximum)
        self._has_settled = self._is_paused = False
        self._acknowledged = 0
        self._is_waiting = self._is_new_link = True

    def begin(self) -> None:
        """Send again what is in flight, and then what waits: the broker has answered all subscriptions.

        What is published before that is lost for clients of this same link: a second interface, or a command that
        another client sends as soon as it receives `online`.
        """
        self._is_waiting = False
        self._up_since = self._clock()
        self._not_before = self._up_since + _PROBATION if self.poison.one_by_one else self._up_since
        is_too_much = self._room() < 0
        # A suspect is sent after the states: if they are acknowledged and it ends the link all the same, it is to
        # blame.
        is_kept_back = bool(self._put_off or self._refusals.topics)
        has_to_wait = self._must_requeue or self.poison.one_by_one or is_kept_back
        if has_to_wait or is_too_much or not all(map(self._is_allowed, self._in_flight)):
            self._requeue_in_flight()
        for sent in self._in_flight:
            self._resent += 1
            self._client.mg_publish_again(sent, self._properties_of(sent.entry))
        # After what is sent again: that may contain an older value of a state.
        self.states.republish_all()

    def pause(self) -> None:
        """Send nothing more on this link: it is about to be closed."""
        self._is_paused = True

    def link_lost(self, *, may_be_a_message: bool) -> bool:
        """Return to the outbox what was never sent; what has QoS 1 is sent again on the next link.

        `may_be_a_message` means that the broker may have closed the link because of something that it was sent.
        Return whether the next link will be sent something else, and may last because of that.
        """
        self.settle()
        is_sent = bool(self._in_flight) and not self._is_waiting
        is_first = not self._has_settled or self.poison.one_by_one
        if may_be_a_message and is_sent and is_first and self.stalled_for < _SUSPICIOUS:
            verdict = self._suspect()
        else:
            verdict = Verdict.NONE
        self._is_waiting = True
        at_most_once = [sent for sent in self._in_flight if sent.qos == 0]
        self._in_flight = deque(sent for sent in self._in_flight if sent.qos > 0)
        self._unacknowledged = len(self._in_flight)
        if any(sent.entry is None for sent in at_most_once):
            self.states.reset_published()
        # These were sent behind a publication with QoS 1 that is not acknowledged:
        self._outbox.settle(_entries(sent for sent in at_most_once if sent.is_published()))
        self._outbox.requeue(_entries(sent for sent in at_most_once if not sent.is_published()))
        return verdict is not Verdict.NONE

    # --- whether a message ended the link

    def _suspect(self) -> Verdict:
        """Suspect the oldest publication in flight to have ended the link, if any of it was written."""
        first = self._in_flight[0]
        if self._client.mg_is_unwritten(first):
            return Verdict.NONE
        verdict = self.poison.lost(_suspected(first), len(self._in_flight))
        self._must_requeue = verdict is not Verdict.NONE
        if verdict is not Verdict.POISON:
            return verdict
        self._in_flight.popleft()
        self._unacknowledged -= first.qos
        if first.entry is None:
            self._state_refused(first.publication, 0x80, _CLOSED)
        elif self._quarantine.is_on_trial(first.entry):
            self._refused += 1
            self._outbox.dead_letter(first.entry, _CLOSED)
        elif not self._quarantine.isolate(first.entry, self._acknowledged + 1):
            self._outbox.requeue(self._quarantine.release())
            self.poison.reset()
            return Verdict.NONE
        return verdict

    def _release_quarantine(self, *, is_trial: bool) -> None:
        """Send again what was kept aside, the first of it alone. If `is_trial`, it is to blame if this link ends."""
        entries = self._quarantine.release(is_trial=is_trial)
        self.poison.try_alone(entries[0].publication)
        self._outbox.requeue(entries)

    def _message_acknowledged(self) -> None:
        """Return to normal, now that the broker has acknowledged a message: suspended states may well be innocent."""
        self._quarantine.message_acknowledged()
        self.states.resume_all()

    def _state_refused(self, state: Publication, reason: int, why: str) -> None:
        """Suspend a state for some time: some brokers close the link each time that it is published."""
        if self.on_state_settled(state, reason):
            return
        topic = state.topic
        is_first = topic not in self.states.suspended
        delay = self.states.suspend(topic)
        level = logging.ERROR if is_first else logging.INFO
        remedy = "allow it in the broker's access rules"
        LOG.log(level, "the broker does not accept the state %a: %s: retrying in %.0f s: %s", topic, why, delay, remedy)

    def _requeue_in_flight(self) -> None:
        """Let the client forget everything that is in flight, and return it to the outbox."""
        self._must_requeue = False
        self._client.mg_forget_in_flight()
        entries = [*self._put_off, *self._refusals.release(), *_entries(self._in_flight)]
        self._put_off.clear()
        self._in_flight.clear()
        self._unacknowledged = 0
        self.states.reset_published()
        self._outbox.requeue(sorted(entries, key=attrgetter("number")))

    # --- out

    def _room(self) -> int:
        """Return how many more publications may be in flight; during a search for poison it is one at a time."""
        if self.poison.one_by_one:
            return 1 - len(self._in_flight)
        return self._window - self._unacknowledged

    def _room_now(self) -> int:
        """Return how many publications may be sent now."""
        is_full = len(self._in_flight) >= _MAX_IN_FLIGHT or self._client.mg_unsent >= _MAX_UNSENT
        return 0 if is_full or self._is_paused or not self._may_send else max(0, self._room())

    @property
    def _may_send(self) -> bool:
        return not self._is_waiting and self._clock() >= self._not_before

    @property
    def has_more(self) -> bool:
        """Whether `send_pending` would send something from the outbox now."""
        has_waiting = self._outbox.has_waiting and not self._refusals.is_full
        return (has_waiting or bool(self._put_off) or self._refusals.is_due) and self._room_now() > 0

    def send_directly(self, publications: Sequence[Publication]) -> bool | None:
        """Write publications that never were in the outbox, if it is empty; return None if that is not possible.

        It is possible only for what need not be kept: QoS 0, not retained, without properties of its own. Return
        whether the connection has accepted all of them; otherwise they are in flight.
        """
        if self._is_new_link or self._is_paused or self._needs_size_check or self.poison.one_by_one:
            return None
        if not (self._outbox.is_empty and self._may_send):
            return None
        offsets = self._client.mg_write_plain(publications, _MAX_UNSENT)
        if offsets is None:
            return None
        if offsets:
            self._add_in_flight(self._client.track_in_flight(self._outbox.track_in_flight(publications), offsets))
        else:
            self._outbox.count_direct(publications)
        return not offsets

    def send_pending(self) -> bool:
        """Send from the outbox what window and connection have room for; return whether more is in flight than before.

        On a new link the states are sent first: once messages are acknowledged, no state would be suspected.
        """
        if self._is_waiting:
            return False
        if self._is_new_link:
            self.publish_states()
            self._is_new_link = self.states.has_pending
        elif self._are_states_behind and (room := self._room_now()):
            self._is_turn_of_states = not self._is_turn_of_states
            if self._is_turn_of_states:
                self.publish_states(max(1, room // 2))
        if self._quarantine.entries and self._quarantine.is_due:
            self._release_quarantine(is_trial=False)
        if self._put_off and self._may_send:
            self._requeue_put_off()
        if self._outbox.is_empty:
            return False
        begin = len(self._in_flight)
        batch = self._batch
        is_all = False
        if self._refusals.is_due and not self._send_refused():
            return False
        try:
            while (
                not is_all
                and not self._refusals.is_full
                and len(batch.entries) < _MAX_IN_FLIGHT
                and (room := self._room_now())
            ):
                entries = self._outbox.take(room)
                is_all = len(entries) < room
                if self._quarantine.entries:
                    entries = self._quarantine.filter(entries)
                    is_all = is_all or self._quarantine.is_full
                if self._refusals.topics:
                    entries = self._refusals.filter(entries)
                    is_all = is_all or self._refusals.is_full
                if not self._send_entries(entries, batch):
                    return False
        finally:
            self._write(batch)
        return len(self._in_flight) > begin

    def _send_refused(self) -> bool:
        """Send again what the broker has refused without saying why; return False if the link just ended."""
        room = self._room_now()
        return room == 0 or all(map(self._publish, self._refusals.take_due(room)))

    def _send_entries(self, entries: list[Entry], batch: _Batch) -> bool:
        """Send `entries`, the first of them in `batch` if nothing is in flight; return False if the link just ended."""
        try:
            while entries:
                is_first = not self._in_flight and not self.poison.is_active
                if is_first and not self._needs_size_check:
                    packets = self._client.mg_plain_packets([entry.publication for entry in entries])
                    batch.offsets.extend(self._client.mg_put(packets))
                    batch.entries.extend(entries[: len(packets)])
                    entries = entries[len(packets) :]
                    if not entries:
                        break
                self._write(batch)  # before what follows
                plain = [] if self._needs_size_check else self._client.mg_publish_plain(entries)
                self._add_in_flight(plain)
                if plain:
                    entries = entries[len(plain) :]
                elif self._publish(entries[0]):
                    entries = entries[1:]
                else:
                    return False
            return True
        finally:
            if entries:
                self._outbox.requeue(entries)

    def _write(self, batch: _Batch) -> None:
        """Write a batch. If the connection accepts all of it, as it nearly always does, it was never in flight."""
        if batch.entries and self._client.mg_flush():
            self._outbox.settle(batch.entries)
        elif batch.entries:
            self._add_in_flight(self._client.track_in_flight(batch.entries, batch.offsets))
        batch.entries.clear()
        batch.offsets.clear()

    def publish_states(self, most: int = _MAX_IN_FLIGHT) -> None:
        """Publish the states that have changed, and those that are to be tried again, up to `most` of them."""
        states = self.states
        self._are_states_behind = False
        if states.is_idle:
            return
        states.resume_due()
        if states.has_pending and self._may_send:
            end = len(self._in_flight) + most
            states.publish_pending(self._publish_state, lambda: min(self._room(), end - len(self._in_flight)))
            self._are_states_behind = states.has_pending

    def _publish_state(self, topic: str, payload: bytes) -> InFlight | None:
        qos, retain = self._degraded(1, True)
        sent = self._client.mg_publish(Publication(topic, payload, 1, retain=True), qos, retain)
        if sent is not None:
            self._add_in_flight((sent,))
        return sent

    def _publish(self, entry: Entry) -> bool:
        """Publish or dead-letter an entry; return False if the link has just ended."""
        publication = entry.publication
        qos, retain = publication.qos, publication.retain
        properties = self._properties_of(entry)
        if self._needs_size_check:
            qos, retain = self._degraded(qos, retain)
            size = publish_size(publication.topic, publication.payload, qos, properties, is_v5=self._is_v5)
            if not self._limits.allow(size, qos, retain):
                reason = f"a packet of {size} bytes is over the broker's limit of {self._limits.maximum_packet}"
                self._refused += 1
                self._outbox.dead_letter(entry, reason)
                return True
        try:
            sent = self._client.mg_publish(publication, qos, retain, properties, entry=entry)
        except ValueError as err:
            self._refused += 1
            self._outbox.dead_letter(entry, f"it cannot be published: {err}")
            return True
        if sent is None:
            return False
        self._add_in_flight((sent,))
        return True

    def _add_in_flight(self, all_sent: Sequence[InFlight]) -> None:
        if not self._in_flight:
            self._oldest_since = self._clock()
        self._in_flight.extend(all_sent)
        self._unacknowledged += sum([sent.qos for sent in all_sent])

    def _properties_of(self, entry: Entry | None) -> PublishProperties | None:
        """Return the MQTT 5 properties of an entry (None: a state), or None if it has none."""
        if entry is None or not self._is_v5:
            return None
        return publish_properties(entry.publication, self._clock() - entry.since, self._command_lifetime)

    def _degraded(self, qos: int, retain: bool) -> tuple[int, bool]:
        """Return QoS and retain flag as far as the broker supports them, and log once what it does not support."""
        if qos > self._limits.maximum_qos:
            self._log_degraded("QoS 1: messages are sent with QoS 0 and may be lost")
            qos = self._limits.maximum_qos
        if retain and not self._limits.retain_available:
            self._log_degraded("retained messages: they are sent without the retain flag")
            retain = False
        return qos, retain

    def _log_degraded(self, what: str) -> None:
        self._downgraded += 1
        degrades = BrokerDegrades(f"the broker at {self._where} does not support {what}", key=f"{self._where} {what}")
        if degrades.trigger:
            LOG.warning(degrades.report)

    def _is_allowed(self, sent: InFlight) -> bool:
        """Return whether this broker accepts what is in flight, exactly as it was sent on an earlier link."""
        publication = sent.publication
        properties = self._properties_of(sent.entry)
        size = publish_size(publication.topic, publication.payload, sent.qos, properties, is_v5=self._is_v5)
        return self._limits.allow(size, sent.qos, publication.retain)

    # --- back

    def settle(self) -> None:
        """Report to the outbox what the broker has accepted, and what it has refused."""
        delivered: list[Entry] = []
        in_flight = self._in_flight
        if in_flight and in_flight[0].is_published():
            self._oldest_since = self._clock()
        is_any_suspected = self.poison.is_active
        while in_flight and in_flight[0].is_published():
            sent = in_flight.popleft()
            self._unacknowledged -= sent.qos
            if sent.entry is None:
                self._state_settled(sent.publication, sent.refusal)
                continue
            if not sent.refusal:
                delivered.append(sent.entry)
                if self._refusals.is_active and sent.qos and self._refusals.accepted(sent.entry):
                    LOG.info("%s accepts all messages again", self._where)
                    self.states.resume_all()
                if self._put_off:
                    self._drop_outdated(sent.entry.publication)
            else:
                self._entry_refused(sent.entry, sent.refusal)
            self._has_settled = self._has_settled or sent.qos > 0
            self._acknowledged += sent.qos
            if is_any_suspected:
                self.poison.settled(acknowledged=sent.qos > 0)
        if delivered:
            self._outbox.settle(delivered)
        if self._quarantine.broker_in_doubt and self._has_settled:
            self._message_acknowledged()
        if self._quarantine.entries and self._quarantine.can_be_tried(self._acknowledged):
            self._release_quarantine(is_trial=True)

    def _state_settled(self, state: Publication, reason: int) -> None:
        self.poison.clear(state.with_payload(b""))
        self._acknowledged += 1
        recorder = TAP.recorder
        if recorder is not None:
            recorder.state_accepted(state, f"it answered {puback_words(reason)}" if reason else "")
        if reason:
            self._state_refused(state, reason, f"it answered {puback_words(reason)}")
        elif not self.on_state_settled(state, 0) and self.states.accepted(state.topic):
            LOG.info("the broker accepts the state %a again", state.topic)

    def _entry_refused(self, entry: Entry, reason: int) -> None:
        topic = entry.publication.topic
        is_quota = can_be_sent_again(reason)
        if not is_quota and (is_clear(reason) or not self._refusals.refused(entry)):
            is_forbidden = reason == _NOT_AUTHORIZED
            remedy = f"allow the gateway to publish on {topic!a} in the broker's access rules" if is_forbidden else ""
            self._refused += 1
            self._outbox.dead_letter(entry, f"the broker refused it: {puback_words(reason)}", remedy)
            return
        self._deferred += 1
        what, remedy = ("messages", "quotas") if is_quota else (f"messages on {topic!a}", "log")
        refuses = BrokerRefuses(
            f"{self._where} does not accept {what} at the moment: {puback_words(reason)}", key=self._where
        )
        if refuses.trigger:
            LOG.warning("%s: they will be sent again: check the broker's %s", refuses.report, remedy)
        if is_quota:
            self._not_before = self._clock() + _QUOTA_PAUSE
            self._put_off.append(entry)

    def _drop_outdated(self, accepted: Publication) -> None:
        """End the states that were put off, and would replace the newer one that the broker has accepted meanwhile."""
        for entry in list(self._put_off):
            older = entry.publication
            if older.lane is Lane.LATEST and (older.topic, older.key) == (accepted.topic, accepted.key):
                self._put_off.remove(entry)
                self._outbox.supersede(entry)

    def _requeue_put_off(self) -> None:
        """Return all that was put off to the outbox at once: one by one, they would change their order."""
        entries, self._put_off = self._put_off, []
        self._outbox.requeue(entries)


def _suspected(sent: InFlight) -> Publication:
    """Return what to suspect if a link is lost: a state without its payload, which changes."""
    return sent.publication if sent.entry is not None else sent.publication.with_payload(b"")


def _entries(sent: Iterable[InFlight]) -> list[Entry]:
    """Return the outbox entries among what is in flight; states have none."""
    return [each.entry for each in sent if each.entry is not None]
