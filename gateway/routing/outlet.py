"""The way of an interface's messages to the broker: filters, map, outbox. Any thread may push."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import RLock
from typing import NamedTuple

from gateway.core.open_commands import OpenCommands
from gateway.core.package_logger import TRAFFIC, package_logger
from gateway.core.receipt import Receipt
from gateway.core.tap import HELD, TAP
from gateway.core.trouble import Recurrence
from gateway.core.unknown import UNKNOWN
from gateway.devices.document import outcome_text, with_filtered_request
from gateway.devices.reading import bad_values, without_bad_values
from gateway.errors import FilteredError, MessageError, RefusedError, WordError
from gateway.message import Argument, InternalMsg, Lane, Publication, ReplyTo
from gateway.outbox.flush import Batch
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Source
from gateway.routing.availability import Availability
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.message_filter import MessageFilter, apply_filters
from gateway.routing.outcomes import Outcomes
from gateway.routing.outlet_errors import log_bad_values, log_late, log_refused, log_type, log_unknown
from gateway.routing.reading_time import ReadingTime, is_time, read_now
from gateway.routing.state_key import state_key
from gateway.translation.mqtt_map import MsgMap

LOG = package_logger(__name__)
_BACKPRESSURE_INTERVAL = 500  # messages between two checks for backpressure: a wait must be too rare to overrun a UART
_BATCH_SIZE = 300  # publications per call of the outbox, and so per write: the first waits for the others, some 2 ms
_LATEST = Lane.LATEST  # looked up once: that of an enum is slow, and each message needs it
_MOST_OUTCOMES, _LONGEST_OUTCOME = 20, 40  # different responses that are counted; characters
_OUTCOME_TEXTS = ("response", "reason")  # the arguments that every outcome has
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class LinkStatus(NamedTuple):
    """The state of the link to the broker, as far as interfaces need it.

    `session_present`: whether the broker still had a session of the gateway. `number` counts the links, so that the
    status of one link differs from that of the next one.
    """

    is_up: bool = False
    session_present: bool = False
    number: int = 0


class _Batch(Batch):
    """The publications of some messages, and those of these messages that are outcomes, or told by devices."""

    outcomes: tuple[InternalMsg, ...] = ()
    error: MessageError | None = None  # why the last message was refused, for those who follow messages
    reported: list[InternalMsg] | None = None


class Outlet:
    """The `msglist_out` of one interface.

    `outbox` receives the publications. `publish_available` is called with the availability of the device when that
    has changed. `filters` are those for outgoing messages; `record_sent` is called with each message that is sent.
    `devices` remember what the interface has reported, and hold back what is not worth reporting.
    """

    yield_seconds = 0.0002
    """The time (s) in which another thread can send the messages in the outbox."""

    def __init__(
        self,
        name: str,
        msg_map: MsgMap,
        outbox: Outbox,
        publish_available: Callable[[bool], None] = lambda _: None,
        filters: Sequence[MessageFilter] = (),
        record_sent: Callable[[InternalMsg], None] = lambda _: None,
        devices: DeviceMemory | None = None,
    ) -> None:
        self.name = name
        self.devices = devices or DeviceMemory(time.monotonic, time.time, name=name)
        self.devices.can_send = lambda msg: self._map.can_translate(msg)
        self.on_ask: Callable[[Collection[str]], None] = lambda _: None
        """Called, by the thread that pushes, with the actions that would tell what an executed command has changed."""
        self.reading_time: ReadingTime | None = None
        """How the times of readings travel with them; None: they do not. A reload replaces it."""
        self._questions: deque[Collection[str]] = deque()
        self._map = msg_map
        self._outbox = outbox
        self._filters = filters
        self._record_sent = record_sent
        self._source = Source()
        self._outcomes = Outcomes()
        self._ticking = RLock()  # held by `tick`, while `_is_ticking`: looking at that costs less for each message
        self._is_ticking = False
        self._batches: dict[int, float] = {}  # when (s) each batch began that is being filled, and is not in the outbox
        self.device_availability = Availability(publish_available, self.devices)
        """Whether the interface and its device work."""
        self.pushed = 0
        self._next_backpressure = _BACKPRESSURE_INTERVAL
        self.refused = 0
        self.refusals = Recurrence()
        """That messages are not sent although nobody wants them dropped, and why (s, monotonic)."""
        self.outcomes: Counter[str] = Counter()
        """How many commands have ended in each way: `OK`, `TIMEOUT` and so on."""
        self._late_answers = 0
        self._bad_values = 0
        self.open_commands = OpenCommands()  # the supervisor replaces it by that of the inbox when it starts
        self.link = LinkStatus()
        """The state of the link to the broker, replaced as a whole by the main thread. Any thread may read it."""

    @property
    def is_available(self) -> bool:
        """Whether the device is available, as far as is known."""
        return self.device_availability.is_available is True

    @property
    def is_crowded(self) -> bool:
        """Whether the outbox, which all interfaces share, is nearly full. Any thread may read it."""
        return self._outbox.is_crowded

    def stats(self) -> dict[str, int]:
        """Return the counts of messages since the start. Any thread may call this."""
        counts = {"pushed": self.pushed, "refused": self.refused, "late_answers": self._late_answers}
        devices = self.devices.stats()
        return {**counts, **devices, "bad_values": devices["bad_values"] + self._bad_values}

    def set_route(
        self,
        msg_map: MsgMap,
        filters: Sequence[MessageFilter],
        record_sent: Callable[[InternalMsg], None],
        outcomes: Outcomes | None = None,
    ) -> None:
        """Use another map and other filters from now on; `outcomes` remembers the answers to commands."""
        self._map, self._filters, self._record_sent = msg_map, filters, record_sent
        self.refusals.end()
        self._outcomes = outcomes or self._outcomes

    def push(self, msg: InternalMsg) -> bool:
        """Send `msg`; return whether the outbox has accepted it.

        The answer to a command is published on its status topic, and on the response topic of the command. A message
        that a filter drops, or that the map cannot write, is refused, counted and logged, but nothing is raised: one
        faulty reading must not stop a device. The caller is slowed down if it is much faster than broker and disk.
        """
        return self._send(msg, None) is None

    def answer(self, outcome: InternalMsg) -> bool:
        """Send the outcome of a command in place of the interface, as `push` does, but without ever waiting.

        The main thread may call this: `push` could make it wait for room that it alone makes.
        """
        return self._send(outcome, None, is_from_interface=False) is None

    def push_all(self, messages: Iterable[InternalMsg]) -> int:
        """Send `messages`, as one `push` for each would, but faster: the outbox receives them in batches.

        Return how many were refused: by a filter, by the map, or by the outbox because it is full. An answer that the
        outbox refuses counts once for each topic that it goes to.
        """
        messages = self.as_messages(messages)
        refused = 0
        batch = _Batch()
        batch.source = self._source
        is_traffic_logged = _TRAFFIC_LOG.isEnabledFor(logging.INFO)
        began = 0.0
        if self.devices.is_used:
            began = self._batches[id(batch)] = self.devices.now()
        try:
            for msg in messages:
                refusal = self._translate(msg, batch, is_traffic_logged)
                if TAP.recorder is not None:
                    self._tell(msg, batch, refusal)
                refused += refusal is not None
                if len(batch) >= _BATCH_SIZE:
                    refused += self._put(batch)
        finally:
            try:
                refused += self._put(batch)  # also the messages before an error
            finally:
                self._batches.pop(id(batch), None)
            if self.devices.is_used:
                self._update_devices(began, batch.outcomes)
        return refused

    def push_each(self, messages: Iterable[InternalMsg]) -> int:
        """Send `messages`, each as soon as it is produced, as `push` does; return how many there were.

        The value that a command has changed is asked for only after the last message, since any may contain it.
        """
        began = self.devices.now() if self.devices.is_used else 0.0
        outcomes: list[InternalMsg] = []
        count = 0
        try:
            for msg in self.as_messages(messages):
                count += 1
                self._send(msg, None, outcomes=outcomes)
        finally:
            if count and self.devices.is_used:
                self._update_devices(began, outcomes)
        return count

    def as_messages(self, result: object) -> Iterable[InternalMsg]:
        """Return the messages in `result`, which a method of an interface has returned. None stands for no messages.

        A `result` that is not an iterable of messages is logged; a single message is accepted all the same.
        """
        if result is None:
            return ()
        if isinstance(result, InternalMsg):
            log_type(
                self.name, "returned", result, "a list of messages; it is sent all the same: return [msg], or yield msg"
            )
            return (result,)
        if isinstance(result, str | bytes | bytearray | Mapping) or not isinstance(result, Iterable):
            close = getattr(result, "close", None)  # otherwise a coroutine warns that it was never awaited
            if callable(close):
                close()
            self.refused += 1
            log_type(self.name, "returned", result, "a list of InternalMsg: nothing is sent")
            return ()
        return result

    def publish(self, msg: InternalMsg) -> Receipt:
        """Send `msg` as `push` does; return a receipt to wait until the message is on disk, or with the broker."""
        receipt = Receipt()
        refusal = self._send(msg, receipt)
        if refusal is not None:
            receipt.mark_dropped(refusal)
        return receipt

    def flush(self, timeout: float) -> None:
        """Return when everything that was pushed here up to now is acknowledged; what others push does not count.

        Raises `DeliveryError` if that takes more than `timeout` s, or if the outbox has dropped a message that was
        pushed here since the last flush; the text says why.
        """
        self._outbox.flush(self._source, timeout)

    def yield_to_sender(self) -> None:
        """Give the sending thread a chance to run before the caller continues: Python runs one thread at a time."""
        if self._outbox.has_waiting:
            time.sleep(self.yield_seconds)

    def _send(
        self,
        msg: InternalMsg,
        receipt: Receipt | None,
        *,
        is_from_interface: bool = True,
        outcomes: list[InternalMsg] | None = None,
    ) -> str | None:
        """Send `msg`; return None, or why it was refused.

        With `outcomes`, an outcome is appended to it, and the caller updates the devices.
        """
        batch = _Batch()
        began = self.devices.now() if self.devices.is_used else 0.0
        refusal = self._translate(msg, batch, _TRAFFIC_LOG.isEnabledFor(logging.INFO), is_from_interface)
        if TAP.recorder is not None:
            self._tell(msg, batch, refusal, is_own=is_from_interface)
        if self._is_ticking:
            self._await_tick()
        if refusal is not None:
            if batch:  # the outcome of a command, for its response topic or as a document of its device
                self._outbox.put_all(batch)
            return refusal
        is_accepted = self._outbox.put(batch[0], receipt, self._source) if batch else True
        if not is_accepted:
            self.devices.not_sent(batch.reported or ())
        for publication in batch[1:]:
            self._outbox.put(publication, None, self._source)
        if not batch and receipt is not None:  # nothing new: what it says has been reported already
            receipt.mark_delivered()
        if outcomes is not None:
            outcomes.extend(batch.outcomes)
        elif self.devices.is_used:
            self._update_devices(began, batch.outcomes)
        # Another caller than the interface may be the main thread, which must not wait for itself.
        if is_from_interface and self.pushed >= self._next_backpressure:
            self._apply_backpressure()
        return None if is_accepted else "the outbox is full"

    def _translate(
        self,
        msg: object,
        batch: _Batch,
        is_traffic_logged: bool,
        is_from_interface: bool = True,
        is_observed: bool = False,
    ) -> str | None:
        """Append the publications for `msg` to `batch`, and log it as traffic; return None, or why it was refused.

        A refused outcome may still have been appended for its response topic. A message that `is_observed` has passed
        the filters and the devices before.
        """
        if not isinstance(msg, InternalMsg):
            self.refused += 1
            log_type(self.name, "produced", msg, "an InternalMsg: it is not sent")
            return "it is not an InternalMsg"
        is_answer = self.open_commands.commands and is_from_interface and not msg.iscmd and "response" in msg.arguments
        if is_answer:
            if not self.open_commands.answer(msg):
                return self._refuse_late(msg)
            if type(msg.arguments["response"]) is not str:
                msg = msg.with_arguments({**msg.arguments, "response": outcome_text(msg.arguments["response"])})
        reading_time = self.reading_time
        try:
            if self._filters and not is_observed:
                unfiltered, msg = msg, apply_filters(self._filters, msg)
                if msg is not unfiltered and msg.is_outcome:
                    msg = with_filtered_request(unfiltered, msg)
            if msg.time is not None and not is_observed and not is_time(msg.time):
                self._bad_values += 1
                msg = read_now(msg, self.name, self.devices.wall_now())
            if reading_time is not None and not is_observed:
                msg = reading_time.dated(msg, self.devices.wall_now())
            if (self.devices.is_used or msg.report is not None) and not is_observed:
                observed, bad = self.devices.observe(msg)
                if bad:
                    log_bad_values(self.name, msg, bad)
                if observed is None:
                    return None
                msg = observed
            # Only now: the time is no value of the device, and would make each reading differ from the last one.
            sent = msg if reading_time is None else reading_time.with_argument(msg)
            publication = self._map.internal2mqtt(sent)
            if publication.lane is _LATEST:
                publication = publication.keyed(state_key(sent, self.devices.distinguished_by(msg)))
            if reading_time is not None:
                publication = reading_time.with_property(publication, msg)
        except MessageError as err:
            rest = self._without_bad_values(msg)
            if rest is not None:
                # Not as an answer of the interface: that it has been recorded already would make it a late one.
                return self._translate(rest, batch, is_traffic_logged, is_from_interface=False, is_observed=True)
            self.refused += 1
            batch.error = err
            log_refused(self.name, msg, err)
            if (unknown := UNKNOWN.collector) is not None and isinstance(err, WordError):
                unknown.word(self.name, err, msg, is_incoming=False)
            if not isinstance(err, FilteredError):
                self.refusals.record(str(err), time.monotonic())
            if isinstance(err, RefusedError):  # by a filter, before the devices have observed it
                return str(err)
            if not msg.is_outcome:
                if self.devices.is_used:
                    self.devices.not_sent((msg,))
                return str(err)
            reduced = self._write_reduced(msg, batch)
            if reduced is None:
                self._append_document(msg, batch)
                return str(err)
            publication, sent = reduced, msg
        self.pushed += 1
        self._record_sent(sent)
        if is_traffic_logged:
            _TRAFFIC_LOG.info("%s -> %s", self.name, sent)
        batch.append(publication)
        if self.devices.is_used:
            if msg.is_outcome:
                batch.outcomes += (msg,)
                self._append_document(msg, batch)
            elif batch.reported:
                batch.reported.append(msg)
            else:
                batch.reported = [msg]
            if self.devices.has_events:
                batch.extend(self.devices.event_documents(msg))
        if msg.reply_to is not None and not msg.iscmd:
            self._count_outcome(msg)
            self._respond(msg.reply_to, publication, batch)
        return None

    def _tell(self, msg: object, batch: _Batch, refusal: str | None, *, is_own: bool = True) -> None:
        """Tell those who follow messages what `_translate` has made of `msg`."""
        recorder, error, batch.error = TAP.recorder, batch.error, None
        if recorder is not None:
            where = "filter" if isinstance(error, RefusedError) else "map" if error is not None else "interface"
            where, reason = (HELD, self.devices.held_reason) if refusal is None else (where, refusal)
            recorder.translated(self.name, msg, batch, where, reason, is_own=is_own)

    def _count_outcome(self, outcome: InternalMsg) -> None:
        response = outcome_text(outcome.argument("response"))[:_LONGEST_OUTCOME]
        is_known = response in self.outcomes or len(self.outcomes) < _MOST_OUTCOMES  # the interface chooses the word
        self.outcomes[response if is_known else "other"] += 1

    def _append_document(self, outcome: InternalMsg, batch: _Batch) -> None:
        """Append the document of an outcome, if the command was for a device that is declared."""
        document = self.devices.outcome_document(outcome) if self.devices.is_used else None
        if document is not None:
            batch.append(document)

    def _without_bad_values(self, msg: InternalMsg) -> InternalMsg | None:
        """Return what is left of a message without the values that are none; None: all of it, or nothing.

        An outcome keeps its response and its reason, as texts.
        """
        bad = bad_values(msg.arguments)
        if not bad or len(bad) == len(msg.arguments):
            return None
        rest = without_bad_values(msg)
        if msg.is_outcome:
            bad = [name for name in bad if name not in _OUTCOME_TEXTS]
            rest = rest.with_arguments({**rest.arguments, **_outcome_texts(msg)})
        self._bad_values += len(bad)
        log_bad_values(self.name, msg, bad)
        return rest

    def _update_devices(self, began: float, outcomes: Sequence[InternalMsg]) -> None:
        """Publish the documents of devices that have changed, and ask for what commands have changed.

        `outcomes` are those that were sent. `began` is the time (s, the devices' clock) at which the messages began: a
        reading since then needs no question.
        """
        self.devices.publish_changed()
        if outcomes:
            actions = {action for outcome in outcomes for action in self.devices.to_ask(outcome, began)}
            if actions:
                self.on_ask(actions)

    # --- devices

    def ask_later(self, actions: Collection[str]) -> None:
        """Have `on_ask` called with `actions`, but by the thread of the interface, when it calls `ask_pending`."""
        self._questions.append(actions)

    @property
    def has_questions(self) -> bool:
        """Whether `ask_pending` has something to do. Any thread may read it."""
        return bool(self._questions)

    def ask_pending(self) -> None:
        """Call `on_ask` with what was asked for by other threads."""
        while self._questions:
            self.on_ask(self._questions.popleft())

    def tick(self) -> None:
        """Send what is due by time alone: last values at the end of an interval, refreshes, documents.

        The main thread calls this, so it never waits. The messages have passed the filters already.
        """
        self._send_held(lambda: self.devices.tick(min(list(self._batches.values()), default=math.inf)))

    def finish(self) -> None:
        """Send what waits for the end of an interval, as nothing comes after. The interface has ended."""
        self._send_held(self.devices.finish)

    def _send_held(self, take: Callable[[], Iterable[InternalMsg]]) -> None:
        batch = _Batch()
        batch.source = self._source
        with self._ticking:
            self._is_ticking = True  # before the model is asked: what is observed after that is put after this
            try:
                for msg in take():
                    refusal = self._translate(msg, batch, _TRAFFIC_LOG.isEnabledFor(logging.INFO), is_observed=True)
                    if TAP.recorder is not None:
                        self._tell(msg, batch, refusal)
                if batch and self._outbox.put_all(batch):
                    self.devices.not_sent(batch.reported or ())
            finally:
                self._is_ticking = False

    def _await_tick(self) -> None:
        """Wait until `tick` has put what it has taken from the model, some milliseconds at most.

        Otherwise an older message of the same kind would come to the broker after the one that is about to be put.
        """
        with self._ticking:
            pass

    def heard(self, device: str) -> None:
        """Record that a device works, although it has sent no reading. An unknown id is logged."""
        try:
            self.devices.heard(device)
        except KeyError:
            log_unknown(self.name, device, self.devices.ids)

    def request_unanswered(self, messages: Iterable[InternalMsg]) -> None:
        """Record that a request for `messages` was not answered; these have the arguments that are known without it."""
        if self.devices.is_used:
            self.devices.unanswered(*messages)

    def request_refused(self, messages: Iterable[InternalMsg]) -> None:
        """Record that a request was answered, but not with `messages`: their devices are there, and told no reading."""
        for msg in messages if self.devices.is_used else ():
            self.devices.answered(msg)

    def values_unreadable(self, msg: InternalMsg, errors: Mapping[str, str]) -> None:
        """Record that a device sent no value, or none that can be read, for some arguments of a message.

        `msg` is the message without them, and `errors` tells why, by argument. The interface has logged it.
        """
        if self.devices.is_used:
            self.devices.values_unreadable(msg, errors)

    def _respond(self, reply_to: ReplyTo, publication: Publication, batch: _Batch) -> None:
        """Append the answer for the response topics of a command and of its duplicates."""
        if reply_to.topic:
            batch.append(publication.answering(reply_to))
        batch.extend(self._outcomes.record(reply_to, publication))

    def _write_reduced(self, msg: InternalMsg, batch: _Batch) -> Publication | None:
        """Return an outcome that the map cannot write, without its arguments except `response` and `reason`.

        The client must get an outcome even if the device has answered with a value that JSON cannot represent, or if
        the requested arguments are too long. If the map has no topic for outcomes at all, the outcome is appended to
        `batch` for the response topic, and None is returned.
        """
        reduced = msg.with_arguments(_outcome_texts(msg))
        try:
            return self._map.internal2mqtt(reduced)
        except MessageError:
            if msg.reply_to is not None:
                self._respond_only(msg, reduced, msg.reply_to, batch)
            return None

    def _respond_only(self, msg: InternalMsg, reduced: InternalMsg, reply_to: ReplyTo, batch: _Batch) -> None:
        for outcome in msg, reduced:
            with contextlib.suppress(MessageError):
                answers = _Batch()
                self._respond(reply_to, self._map.answer(outcome), answers)
                batch.extend(answers)
                return

    def _put(self, batch: _Batch) -> int:
        """Put `batch` into the outbox, and clear it; apply backpressure if it is time. Return how many were refused."""
        refused = 0
        if self._is_ticking:
            self._await_tick()
        if batch:
            refused = self._outbox.put_all(batch)
            if refused:  # any of them, as far as is known here
                self.devices.not_sent(batch.reported or ())
            batch.reported = None
            batch.clear()
            if self._batches:
                self._batches[id(batch)] = self.devices.now()
        if self.pushed >= self._next_backpressure:
            self._apply_backpressure()
        return refused

    def _apply_backpressure(self) -> None:
        """Make the calling thread wait while the outbox is nearly full."""
        self._next_backpressure = self.pushed + _BACKPRESSURE_INTERVAL
        self._outbox.wait_for_room()

    def _refuse_late(self, msg: InternalMsg) -> str:
        self.refused += 1
        self._late_answers += 1
        return log_late(self.name, msg)

    def record_failure(self, reason: str) -> None:
        """Record that the interface or its device has just failed, and why: see `Availability`."""
        self.device_availability.record_failure(reason)

    def set_available(self, is_available: bool, reason: str = "") -> None:
        """Publish whether the device is available, if that has changed, and why it is not: see `Availability`."""
        self.device_availability.set(is_available, reason)


def _outcome_texts(msg: InternalMsg) -> dict[str, Argument]:
    """Return the response and the reason of an outcome, as texts that any message can contain."""
    return {name: outcome_text(msg.argument(name)) for name in _OUTCOME_TEXTS}
