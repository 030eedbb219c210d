"""Where an interface pushes its messages: through its filters and its map into the outbox. Any thread may push."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.core.activity import current
from gateway.core.package_logger import package_logger
from gateway.core.receipt import Receipt
from gateway.core.throttled_exception import ThrottledException
from gateway.core.unanswered import Unanswered
from gateway.errors import FilteredError, MessageError, RefusedError
from gateway.logs.init_logger import TRAFFIC
from gateway.message import InternalMsg, Publication, ReplyTo
from gateway.outbox.flush import Batch
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Source
from gateway.routing.message_filter import MessageFilter, passed
from gateway.routing.outcomes import Outcomes
from gateway.translation.mqtt_map import MsgMap

LOG = package_logger(__name__)
_BREATHER = 500  # messages between two chances to be held back: seldom enough that no UART overruns meanwhile
_BATCH = 300  # publications for the outbox at once, and so for a write: the first waits for the others, some 2 ms
_SHOWN = 60  # characters of what is no message
_TURN = 0.0002  # s in which another thread that is at the link sends what is in the outbox
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class PushRefused(ThrottledException):
    """A message of an interface cannot be written to MQTT, or is held back by a filter."""


class WrongType(ThrottledException):
    """An interface has given something that is no message, or not several of them."""


class LateAnswer(ThrottledException):
    """An interface has answered a command that was answered in its place already, for it took too long."""


class Outlet:
    """The `msglist_out` of one interface.

    `outbox` takes the publications. `say_available` is told whether the device is there,
    when that has changed. `filters` are those for what goes out; `note_sent` is told each message that does.
    """

    def __init__(
        self,
        name: str,
        msg_map: MsgMap,
        outbox: Outbox,
        say_available: Callable[[bool], None] = lambda _: None,
        filters: Sequence[MessageFilter] = (),
        note_sent: Callable[[InternalMsg], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._map = msg_map
        self._outbox = outbox
        self._say_available = say_available
        self._filters = filters
        self._note_sent = note_sent
        self._source = Source()
        self._outcomes = Outcomes()
        self._is_available: bool | None = None
        self.last_failure: tuple[float, str] | None = None
        """When (s, Unix time) the interface or its device failed last, and why; None: never."""
        self.pushed = 0
        self._next_breather = _BREATHER
        self.refused = 0
        self.unanswered = Unanswered()  # that of the inbox, once they belong to one interface

    @property
    def is_available(self) -> bool:
        """Whether the device is there, as far as is known."""
        return self._is_available is True

    def stats(self) -> dict[str, int]:
        """Return how many messages were pushed, and how many of them were refused. Any thread may call it."""
        return {"pushed": self.pushed, "refused": self.refused}

    def use(
        self,
        msg_map: MsgMap,
        filters: Sequence[MessageFilter],
        note_sent: Callable[[InternalMsg], None],
        outcomes: Outcomes | None = None,
    ) -> None:
        """Send by another map, and through other filters, from now on; `outcomes` remembers answers to commands."""
        self._map, self._filters, self._note_sent = msg_map, filters, note_sent
        self._outcomes = outcomes or self._outcomes

    def push(self, msg: InternalMsg) -> bool:
        """Send `msg`; return whether the outbox has taken it.

        The answer to a command goes to its status topic, and to where its sender asked for it. A message that a
        filter holds back, or the map cannot write, is refused, counted and said, and nothing is raised: one bad
        reading must not stop a device. A producer that is much faster than broker and disk is held back a little.
        """
        return not self._send(msg, None)

    def answer(self, outcome: InternalMsg) -> bool:
        """Send the outcome of a command in place of the interface, as `push` does, but never wait.

        For the main thread, too: what it would wait for, it does itself.
        """
        return not self._send(outcome, None, is_own=False)

    def push_all(self, messages: Iterable[InternalMsg]) -> None:
        """Send `messages` as one `push` after the other would, at less cost: the outbox gets them in batches."""
        messages = self.messages_in(messages)
        batch = Batch()
        batch.source = self._source
        is_traffic_said = _TRAFFIC_LOG.isEnabledFor(logging.INFO)
        try:
            for msg in messages:
                self._translate(msg, batch, is_traffic_said)
                if len(batch) >= _BATCH:
                    self._put(batch)
        finally:
            self._put(batch)  # also what came before an error

    def messages_in(self, given: object) -> Iterable[InternalMsg]:
        """Return the messages in what a method of an interface has returned; report what holds none. None is none."""
        if given is None:
            return ()
        if isinstance(given, InternalMsg):
            self._report_type(
                "returned", given, "a list of messages: it is sent all the same; return [msg], or yield it"
            )
            return (given,)
        if isinstance(given, str | bytes | bytearray | Mapping) or not isinstance(given, Iterable):
            close = getattr(given, "close", None)  # a coroutine would complain that nobody has awaited it
            if callable(close):
                close()
            self.refused += 1
            self._report_type("returned", given, "a list of InternalMsg: nothing is sent")
            return ()
        return given

    def publish(self, msg: InternalMsg) -> Receipt:
        """Send `msg` as `push` does; return a receipt, to wait until it is on disk, or with the broker."""
        receipt = Receipt()
        refusal = self._send(msg, receipt)
        if refusal:
            receipt.mark_dropped(refusal)
        return receipt

    def flush(self, timeout: float) -> None:
        """Return once all that was pushed here up to now is acknowledged; what others push does not count.

        Raises `DeliveryError` if that takes over `timeout` s, or if the outbox has dropped something that was pushed
        here since the last flush, saying why.
        """
        self._outbox.flush(self._source, timeout)

    def yield_to_sender(self) -> None:
        """Let the link have what was pushed before more is done: Python runs one thread at a time."""
        if self._outbox.has_waiting:
            time.sleep(_TURN)

    def _send(self, msg: InternalMsg, receipt: Receipt | None, *, is_own: bool = True) -> str:
        """Send `msg`; return why it was refused, or `""`."""
        batch = Batch()
        refusal = self._translate(msg, batch, _TRAFFIC_LOG.isEnabledFor(logging.INFO), is_own)
        if refusal:
            if batch:  # the outcome of a command, for where its sender asked for it
                self._outbox.put_all(batch)
            return refusal
        is_taken = self._outbox.put(batch[0], receipt, self._source)
        for more in batch[1:]:
            self._outbox.put(more, None, self._source)
        if is_own and self.pushed >= self._next_breather:  # else it may be the main thread, which makes the room
            self._breathe()
        return "" if is_taken else "the outbox is full"

    def _translate(self, msg: object, batch: Batch, is_traffic_said: bool, is_own: bool = True) -> str:
        """Append what `msg` is in MQTT to `batch`, and say so if wanted; return why it was refused, or `""`.

        `is_own` tells that the interface says it itself. A refused outcome may still go to where its sender asked for
        it.
        """
        if not isinstance(msg, InternalMsg):
            self.refused += 1
            self._report_type("gave", msg, "an InternalMsg: it is not sent")
            return "it is no InternalMsg"
        is_answer = self.unanswered.taken and is_own and not msg.iscmd and "response" in msg.arguments
        if is_answer and not self.unanswered.answer(msg):
            return self._refuse_late(msg)
        try:
            if self._filters:
                msg = passed(self._filters, msg)
            publication = self._map.internal2mqtt(msg)
        except MessageError as err:
            self._refuse(msg, err)
            if not msg.is_outcome or isinstance(err, RefusedError):
                return str(err)
            bare = self._written_bare(msg, batch)
            if bare is None:
                return str(err)
            publication = bare
        self.pushed += 1
        self._note_sent(msg)
        if is_traffic_said:
            _TRAFFIC_LOG.info("%s -> %s", self.name, msg)
        batch.append(publication)
        if msg.reply_to is not None and not msg.iscmd:
            self._answer_at(msg.reply_to, publication, batch)
        return ""

    def _answer_at(self, asked: ReplyTo, publication: Publication, batch: Batch) -> None:
        """Append the answer for where a command asked for it, and for where its duplicates did."""
        if asked.topic:
            batch.append(publication.answering(asked))
        batch.extend(self._outcomes.note(asked, publication))

    def _written_bare(self, msg: InternalMsg, batch: Batch) -> Publication | None:
        """Return an outcome that cannot be written without what it says beside `response` and `reason`.

        None if the map has no place for outcomes at all: then it is appended to `batch` for those who asked for it.
        A sender is not left without an outcome because the device has answered a value that JSON does not know, or
        because there is no room for what was requested.
        """
        bare = msg.with_arguments({name: msg.argument(name, "") for name in ("response", "reason")})
        try:
            return self._map.internal2mqtt(bare)
        except MessageError:
            if msg.reply_to is not None:
                self._answer_at_only(msg, bare, msg.reply_to, batch)
            return None

    def _answer_at_only(self, msg: InternalMsg, bare: InternalMsg, asked: ReplyTo, batch: Batch) -> None:
        for one in msg, bare:
            with contextlib.suppress(MessageError):
                answers = Batch()
                self._answer_at(asked, self._map.answer(one), answers)
                batch.extend(answers)
                return

    def _put(self, batch: Batch) -> None:
        """Give `batch` to the outbox, and clear it; let its maker breathe if it is time."""
        if batch:
            self._outbox.put_all(batch)
            batch.clear()
        if self.pushed >= self._next_breather:
            self._breathe()

    def _breathe(self) -> None:
        """Slow the calling producer down, if that is needed."""
        self._next_breather = self.pushed + _BREATHER
        self._outbox.wait_for_room()

    def _refuse(self, msg: InternalMsg, err: MessageError) -> None:
        self.refused += 1
        key, remedy, bug = str(err), "", None
        if isinstance(err, RefusedError):
            key, remedy, bug = err.key or key, f": {err.remedy}" if err.remedy else "", err.__cause__
        what = f"{self.name}: not sent: {err} ({msg})"
        level = logging.INFO if isinstance(err, FilteredError) else logging.WARNING
        refusal = PushRefused(f"{what}{remedy}", key=f"{self.name}: {key}", level=level)
        if refusal.trigger:
            LOG.log(level, refusal.report, exc_info=bug if refusal.is_first else None)

    def _refuse_late(self, msg: InternalMsg) -> str:
        self.refused += 1
        what = f"the answer {msg.arguments['response']!a} came too late: the command was answered in its place"
        late = LateAnswer(f"{self.name}: not sent: {what} ({msg})", key=self.name)
        if late.trigger:
            LOG.warning(late.report)
        return what

    def _report_type(self, did: str, given: object, instead: str) -> None:
        call = current()
        who, kind = call.what if call is not None else self.name, type(given).__name__
        wrong = WrongType(f"{who} {did} {_shown(given)} ({kind}) instead of {instead}", key=f"{who} {did} {kind}")
        if wrong.trigger:
            LOG.warning(wrong.report)

    def note_failure(self, reason: str) -> None:
        """Record that the interface, or its device, has failed just now, and why."""
        self.last_failure = time.time(), reason

    def set_available(self, is_available: bool) -> None:
        """Publish whether the device is there, if that has changed."""
        if is_available != self._is_available:
            self._is_available = is_available
            self._say_available(is_available)


def _shown(given: object) -> str:
    """Return what somebody gave as one short piece of a line."""
    try:
        text = str(given) if isinstance(given, InternalMsg) else ascii(given)
    except Exception:  # noqa: BLE001  (a `repr` may fail)
        text = "something"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
