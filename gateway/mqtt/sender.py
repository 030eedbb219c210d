"""What goes out: from the outbox to the client, and back to the outbox as delivered, refused, or to be sent again.

What needs no keeping goes past an empty outbox. Called with the turn of `MgClient`, by the main thread or by one that
has something to send.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.core.backoff import Backoff, undrawn
from gateway.core.throttled_exception import ThrottledException
from gateway.message import Publication
from gateway.mqtt.broker_limits import BrokerLimits, PublishProperties, publish_size
from gateway.mqtt.paho_hooks import HookedClient, InFlight
from gateway.mqtt.poison import PoisonDetector, Verdict
from gateway.mqtt.reason_codes import can_be_sent_again, puback_words
from gateway.mqtt.retained_states import RetainedStates
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Entry

LOG = logging.getLogger(__name__)

WINDOW = 100
"""Publications with QoS 1 that the broker has not acknowledged, at most; the rest waits in the outbox."""

_MOST = 1000  # publications in flight; with QoS 0, one write takes so many
_MOST_UNSENT = 256 * 1024  # bytes that the connection has not taken, when nothing more is handed over

_NOT_AUTHORIZED = 0x87  # reason code of a PUBACK (MQTT 5, 3.4.2.1)
_PAUSE = 5.0  # s without anything new for a broker that says that its quota is exceeded
_SOON = 10.0  # s after it was handed over within which a lost link may be a publication's fault
_MOST_ACCUSED = 100  # publications that are kept aside with one: those of its topic, which wait behind it
_FIRST_TRIAL, _LAST_TRIAL = 10.0, 600.0  # s until it is sent again where nothing else has passed meanwhile
_CLOSES = "the broker closed the link right after it, three times"
_PROBATION = 1.0  # s that a link must have held before a suspect is sent on it: a broker that flaps is no proof


class _Lot(NamedTuple):
    """Publications with QoS 0 before which nothing is in flight, and where the bytes of each begin and end."""

    entries: list[Entry]
    spans: list[tuple[int, int]]


class BrokerDegrades(ThrottledException):
    """The broker takes publications only with less than was asked for."""

    period = 86_400.0


class BrokerRefuses(ThrottledException):
    """The broker has not taken something that is tried again."""


class Sender:
    """Hands publications to the client, in their order and within what the broker takes, and settles what it has taken.

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
        """Called with reason code when the broker has answered to a state; returns whether that is all."""
        self.states = RetainedStates(clock)
        self._in_flight: deque[InFlight] = deque()
        self._unacknowledged = 0  # of them, those with QoS 1
        self._suspicion = PoisonDetector()
        self._accused: list[Entry] = []  # over which links were lost before anything else could pass
        self._trials = Backoff(_FIRST_TRIAL, _LAST_TRIAL, undrawn)
        self._try_at = 0.0  # when the first of these is sent again, whatever has passed
        self._place = 0  # the how manieth publication on its link it was
        self._on_trial: Entry | None = None  # sent again after others had passed at that place
        self._is_in_trouble = False  # since something was accused, no message has passed
        self._limits = BrokerLimits()
        self._concern_each = False  # these limits
        self._lot = _Lot([], [])  # empty but within `send_pending`
        self._window = WINDOW
        self._is_v5 = False
        self._where = ""
        self._is_held = False
        self._is_waiting = True  # for the subscriptions of a new link: see `begin`
        self._not_before = self._up_since = self._oldest_since = clock()
        self._has_settled = False  # any message, on this link
        self._passed = 0  # publications that the broker has acknowledged on this link, states among them
        self._is_new_link = False
        self._must_take_back = False

    def __len__(self) -> int:
        """Return how many publications are in flight, states among them."""
        return len(self._in_flight)

    @property
    def stalled_for(self) -> float:
        """Return how long (s) the broker has been taking nothing of what it was sent."""
        is_sent = self._in_flight and not self._is_waiting
        return self._clock() - max(self._oldest_since, self._up_since) if is_sent else 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is sent on this link before `begin`."""
        return self._is_waiting

    @property
    def time_left(self) -> float:
        """Return in how many seconds `send_pending` may have something to do, for which nobody wakes the loop."""
        is_paused = not self._is_waiting and self._clock() < self._not_before
        trial = max(0.0, self._try_at - self._clock()) if self._accused and not self._is_waiting else math.inf
        return min(self._not_before - self._clock() if is_paused else math.inf, self.states.time_left, trial)

    # --- the link

    def link_up(self, where: str, limits: BrokerLimits, *, is_v5: bool) -> None:
        """Go by the limits of the broker at `where`; nothing is sent before `begin`."""
        self._where, self._limits, self._is_v5 = where, limits, is_v5
        self._concern_each = limits.concern_each
        self._window = min(WINDOW, limits.receive_maximum)
        self._has_settled = self._is_held = False
        self._passed = 0
        self._is_waiting = self._is_new_link = True

    def begin(self) -> None:
        """Send again what is in flight, and then what waits: the broker has answered all subscriptions.

        What is published before it has them is lost for whoever listens through this same link: a second interface,
        or a command that somebody sends as soon as he reads `online`.
        """
        self._is_waiting = False
        self._up_since = self._clock()
        self._not_before = self._up_since + _PROBATION if self._suspicion.is_strong else self._up_since
        is_too_much = self._room() < 0
        # What is suspected goes behind the states: if these pass and it ends the link all the same, it is to blame.
        is_to_wait = self._must_take_back or self._suspicion.is_strong
        if is_to_wait or is_too_much or not all(map(self._suits, self._in_flight)):
            self._take_back()
        for sent in self._in_flight:
            self._client.mg_publish_again(sent, self._properties_of(sent.entry))
        # Said behind what is sent again: that may hold an older state.
        self.states.say_all_again()

    def hold(self) -> None:
        """Hand nothing more over on this link: it is about to be given up."""
        self._is_held = True

    def link_lost(self, *, may_be_a_message: bool) -> bool:
        """Return to the outbox what was never sent; QoS 1 is sent again on the next link.

        `may_be_a_message` tells that the broker may have closed the link over something that it was sent.
        Return whether the next link will be sent something else, and may hold for that.
        """
        self.settle()
        is_sent = bool(self._in_flight) and not self._is_waiting
        is_first = not self._has_settled or self._suspicion.is_strong
        if may_be_a_message and is_sent and is_first and self.stalled_for < _SOON:
            verdict = self._suspect()
        else:
            verdict = Verdict.NONE
        self._is_waiting = True
        at_most_once = [sent for sent in self._in_flight if sent.qos == 0]
        self._in_flight = deque(sent for sent in self._in_flight if sent.qos > 0)
        self._unacknowledged = len(self._in_flight)
        if any(sent.entry is None for sent in at_most_once):
            self.states.forget_said()
        # Sent behind a QoS 1 that is not acknowledged:
        self._outbox.settle(_entries(sent for sent in at_most_once if sent.is_published()))
        self._outbox.requeue(_entries(sent for sent in at_most_once if not sent.is_published()))
        return verdict is not Verdict.NONE

    def _suspect(self) -> Verdict:
        """Blame the oldest publication in flight for the end of the link, if it has been written."""
        first = self._in_flight[0]
        if self._client.mg_is_unwritten(first):
            return Verdict.NONE
        verdict = self._suspicion.lost(_suspected(first), len(self._in_flight))
        self._must_take_back = verdict is not Verdict.NONE
        if verdict is not Verdict.POISON:
            return verdict
        self._in_flight.popleft()
        self._unacknowledged -= first.qos
        if first.entry is None:
            self._state_refused(first.publication, 0x80, _CLOSES)
        elif first.entry is self._on_trial:
            self._outbox.set_aside(first.entry, _CLOSES)
        elif not self._accuse(first.entry):
            return Verdict.NONE
        return verdict

    # --- whether it was the message

    def _accuse(self, entry: Entry) -> bool:
        """Keep an entry aside until others have passed, or for a while; return False if none has since the last time.

        A link that ends at whatever is published says nothing against any of it, and neither does one that ends at
        each second or tenth: the broker, or something before it, is in trouble. So others are to pass at the place on
        a link at which this one ended its own (the tokens of `run_topic` see to it that there are others). Where
        another one ends the link before that, all is sent again later, in its order.
        """
        is_first = not self._accused
        self._is_in_trouble = True
        self._on_trial = None
        self._place = self._passed + 1
        self._accused.append(entry)
        if is_first:
            self._try_at = self._clock() + self._trials.next_delay()
        else:
            self._release_accused()
            self._suspicion.begin_anew()
        return is_first

    def _release_accused(self) -> None:
        self._outbox.requeue(self._accused)
        self._accused = []

    def _without_accused(self, taken: list[Entry]) -> list[Entry]:
        """Return those of `taken` that may be sent while others are kept aside: none may overtake one of its topic."""
        topics = {entry.publication.topic for entry in self._accused}
        self._accused += [entry for entry in taken if entry.publication.topic in topics]
        return [entry for entry in taken if entry.publication.topic not in topics]

    def _try_accused(self, *, is_trial: bool) -> None:
        """Send what is kept aside: the first of it alone. If `is_trial`, it is to blame if this ends the link."""
        self._on_trial = self._accused[0] if is_trial else None
        self._suspicion.try_alone(self._accused[0].publication)
        self._release_accused()

    def _message_passed(self) -> None:
        """Go on as before, now that a message has passed: states that were held back may well be innocent."""
        self._is_in_trouble = False
        self._trials.reset()
        self.states.resume_all()

    def _state_refused(self, state: Publication, reason: int, why: str) -> None:
        """Go on without a state for a while: some brokers end the link over it each time that it is said."""
        if self.on_state_settled(state, reason):
            return
        topic = state.topic
        is_first = topic not in self.states.suspended
        delay = self.states.suspend(topic)
        level = logging.ERROR if is_first else logging.INFO
        remedy = "allow it in the broker's access rules"
        LOG.log(level, "the broker does not take the state %a: %s: retrying in %.0f s: %s", topic, why, delay, remedy)

    def _take_back(self) -> None:
        """Let the client forget everything that it was given, and return it to the outbox."""
        self._must_take_back = False
        self._client.mg_forget_in_flight()
        entries = _entries(self._in_flight)
        self._in_flight.clear()
        self._unacknowledged = 0
        self.states.forget_said()
        self._outbox.requeue(entries)

    # --- out

    def _room(self) -> int:
        """Return how many more may be in flight; what is in doubt goes one by one."""
        if self._suspicion.is_strong:
            return 1 - len(self._in_flight)
        return self._window - self._unacknowledged

    def _room_now(self) -> int:
        """Return how many may be handed over now."""
        is_full = len(self._in_flight) >= _MOST or self._client.mg_unsent >= _MOST_UNSENT
        return 0 if is_full or self._is_held or not self._may_send else max(0, self._room())

    @property
    def _may_send(self) -> bool:
        return not self._is_waiting and self._clock() >= self._not_before

    @property
    def has_more(self) -> bool:
        """Tell whether `send_pending` would take something from the outbox now."""
        return self._outbox.has_waiting and self._room_now() > 0

    def send_directly(self, publications: Sequence[Publication]) -> bool | None:
        """Write publications that the outbox has never had, if it is empty; None if that cannot be done.

        Only where nothing need be kept of them: all have QoS 0, and none is retained, or has properties of its own.
        Return whether the connection has taken all of them; otherwise they are in flight.
        """
        if self._is_new_link or self._is_held or self._concern_each or self._suspicion.is_strong:
            return None
        if not (self._outbox.is_empty and self._may_send):
            return None
        spans = self._client.mg_write_plain(publications, _MOST_UNSENT)
        if spans is None:
            return None
        if spans:
            self._note_sent(self._client.track_in_flight(self._outbox.track_in_flight(publications), spans))
        else:
            self._outbox.passed(len(publications))
        return not spans

    def send_pending(self) -> bool:
        """Hand to the client what window and connection have room for; return whether that was anything.

        On a new link the states go first: with messages acknowledged before, none would come under suspicion.
        """
        if self._is_waiting:
            return False
        if self._is_new_link:
            self.say_states()
            self._is_new_link = self.states.has_unsaid
        if self._accused and (len(self._accused) > _MOST_ACCUSED or self._clock() >= self._try_at):
            self._try_accused(is_trial=False)
        if self._outbox.is_empty:
            return False
        begin = len(self._in_flight)
        lot = self._lot
        is_all = False
        try:
            while not is_all and len(lot.entries) < _MOST and (room := self._room_now()):
                taken = self._outbox.take(room)
                is_all = len(taken) < room
                if self._accused:
                    taken = self._without_accused(taken)
                    is_all = is_all or len(self._accused) > _MOST_ACCUSED
                if not self._hand_over(taken, lot):
                    return False
        finally:
            self._end(lot)
        return len(self._in_flight) > begin

    def _hand_over(self, taken: list[Entry], lot: _Lot) -> bool:
        """Hand `taken` over, the first to `lot` if nothing is before them; False if the link has just ended."""
        try:
            while taken:
                is_first = not self._in_flight and not self._suspicion.is_any
                if is_first and not self._concern_each:
                    packets = self._client.mg_plain_packets([entry.publication for entry in taken])
                    lot.spans.extend(self._client.mg_put(packets))
                    lot.entries.extend(taken[: len(packets)])
                    taken = taken[len(packets) :]
                    if not taken:
                        break
                self._end(lot)  # it goes before what follows
                plain = [] if self._concern_each else self._client.mg_publish_plain(taken)
                self._note_sent(plain)
                if plain:
                    taken = taken[len(plain) :]
                elif self._publish(taken[0]):
                    taken = taken[1:]
                else:
                    return False
            return True
        finally:
            if taken:
                self._outbox.requeue(taken)

    def _end(self, lot: _Lot) -> None:
        """Write a lot: what the connection takes at once was never in flight, which is all of it nearly always."""
        if lot.entries and self._client.mg_flush():
            self._outbox.settle(lot.entries)
        elif lot.entries:
            self._note_sent(self._client.track_in_flight(lot.entries, lot.spans))
        lot.entries.clear()
        lot.spans.clear()

    def say_states(self) -> None:
        """Hand to the client the states that have changed, and those that are to be tried again."""
        if self.states.suspended:
            self.states.resume()
        if self.states.has_unsaid and self._may_send:
            self.states.say(self._publish_state, self._room)

    def _publish_state(self, topic: str, payload: bytes) -> InFlight | None:
        qos, retain = self._degraded(1, True)
        handed = self._client.mg_publish(Publication(topic, payload, 1, retain=True), qos, retain)
        if handed is not None:
            self._note_sent((handed,))
        return handed

    def _publish(self, entry: Entry) -> bool:
        """Hand an entry over, or set it aside; False if the link has just ended."""
        publication = entry.publication
        qos, retain = publication.qos, publication.retain
        is_plain = not (publication.is_command or publication.correlation)
        properties = None if is_plain else self._properties_of(entry)
        if self._concern_each:
            qos, retain = self._degraded(qos, retain)
            size = publish_size(publication.topic, publication.payload, qos, properties, is_v5=self._is_v5)
            if not self._limits.take(size, qos, retain):
                what = f"a packet of {size} bytes is over the broker's limit of {self._limits.maximum_packet}"
                self._outbox.set_aside(entry, what)
                return True
        try:
            handed = self._client.mg_publish(publication, qos, retain, properties, entry=entry)
        except ValueError as err:
            self._outbox.set_aside(entry, f"it cannot be published: {err}")
            return True
        if handed is None:
            return False
        self._note_sent((handed,))
        return True

    def _note_sent(self, all_sent: Sequence[InFlight]) -> None:
        if not self._in_flight:
            self._oldest_since = self._clock()
        self._in_flight.extend(all_sent)
        self._unacknowledged += sum([sent.qos for sent in all_sent])

    def _properties_of(self, entry: Entry | None) -> PublishProperties | None:
        """Return what MQTT 5 can say of a publication beyond topic and payload; None if there is nothing."""
        if entry is None:
            return None
        publication = entry.publication
        lifetime = 0.0
        if publication.is_command:
            lifetime = self._command_lifetime if publication.lifetime is None else publication.lifetime
        if not self._is_v5 or not (lifetime or publication.correlation):
            return None
        left = lifetime - (self._clock() - entry.since) if lifetime else None
        return PublishProperties(left, publication.correlation)

    def _degraded(self, qos: int, retain: bool) -> tuple[int, bool]:
        """Return QoS and retain as far as the broker has them, and say once where it has not."""
        if qos > self._limits.maximum_qos:
            self._say_degraded("QoS 1: messages go out with QoS 0 and may be lost")
            qos = self._limits.maximum_qos
        if retain and not self._limits.retain_available:
            self._say_degraded("retained messages: they are published without retain")
            retain = False
        return qos, retain

    def _say_degraded(self, what: str) -> None:
        degrades = BrokerDegrades(f"the broker at {self._where} has no {what}", key=f"{self._where} {what}")
        if degrades.trigger:
            LOG.warning(degrades.report)

    def _suits(self, sent: InFlight) -> bool:
        """Tell whether the broker takes what is in flight, which is as another link was given it."""
        publication = sent.publication
        properties = self._properties_of(sent.entry)
        size = publish_size(publication.topic, publication.payload, sent.qos, properties, is_v5=self._is_v5)
        return self._limits.take(size, sent.qos, publication.retain)

    # --- back

    def settle(self) -> None:
        """Tell the outbox what the broker has taken, and what it has refused."""
        done: list[Entry] = []
        in_flight = self._in_flight
        if in_flight and in_flight[0].is_published():
            self._oldest_since = self._clock()
        is_any_suspected = self._suspicion.is_any
        while in_flight and in_flight[0].is_published():
            sent = in_flight.popleft()
            self._unacknowledged -= sent.qos
            if sent.entry is None:
                self._state_settled(sent.publication, sent.refusal)
                continue
            if not sent.refusal:
                done.append(sent.entry)
            else:
                self._give_back(sent.entry, sent.refusal)
            self._has_settled = self._has_settled or sent.qos > 0
            self._passed += sent.qos
            if is_any_suspected:
                self._suspicion.settled(acknowledged=sent.qos > 0)
        if done:
            self._outbox.settle(done)
        if self._is_in_trouble and self._has_settled:
            self._message_passed()
        if self._accused and self._passed >= self._place:
            self._try_accused(is_trial=True)

    def _state_settled(self, state: Publication, reason: int) -> None:
        self._suspicion.acquit(state.with_payload(b""))
        self._passed += 1
        if reason:
            self._state_refused(state, reason, f"it answered {puback_words(reason)}")
        elif not self.on_state_settled(state, 0) and self.states.accepted(state.topic):
            LOG.info("the broker takes the state %a again", state.topic)

    def _give_back(self, entry: Entry, reason: int) -> None:
        if not can_be_sent_again(reason):
            remedy = "check its access rules" if reason == _NOT_AUTHORIZED else ""
            self._outbox.set_aside(entry, f"the broker refused it: {puback_words(reason)}", remedy)
            return
        refuses = BrokerRefuses(f"{self._where} takes no messages for now: {puback_words(reason)}", key=self._where)
        if refuses.trigger:
            LOG.warning("%s: they are sent again (see the broker's quotas)", refuses.report)
        self._not_before = self._clock() + _PAUSE
        self._outbox.requeue([entry])


def _suspected(sent: InFlight) -> Publication:
    """Return what a lost link may be the fault of: of a state, whatever it says, for that changes."""
    return sent.publication if sent.entry is not None else sent.publication.with_payload(b"")


def _entries(sent: Iterable[InFlight]) -> list[Entry]:
    """Return the entries of the outbox among what paho was given."""
    return [each.entry for each in sent if each.entry is not None]
