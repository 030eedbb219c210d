"""Where an interface pushes its messages: through its filters and its map into the outbox. Any thread may push."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from gateway.errors import FilteredError, MessageError, RefusedError
from gateway.init_logger import TRAFFIC
from gateway.message import InternalMsg, Publication, ReplyTo
from gateway.message_filter import MessageFilter, passed
from gateway.outbox.outbox import Outbox
from gateway.outcomes import Outcomes
from gateway.receipt import Receipt
from gateway.throttled_exception import ThrottledException
from gateway.translation.mqtt_map import MsgMap

LOG = logging.getLogger(__name__)
_BREATHER = 500  # messages between two chances to be held back: seldom enough that no UART overruns meanwhile
_BATCH = 300  # publications for the outbox at once, and so for a write: the first waits for the others, some 2 ms
_TURN = 0.0002  # s in which another thread that is at the link sends what is in the outbox
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class PushRefused(ThrottledException):
    """A message of an interface cannot be written to MQTT, or is held back by a filter."""


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
        self._outcomes = Outcomes()
        self._is_available: bool | None = None
        self.pushed = 0
        self._next_breather = _BREATHER
        self.refused = 0

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
        """Send the outcome of a command that the interface was not given, as `push` does, but never wait.

        For the main thread: what it would wait for, it does itself.
        """
        return not self._send(outcome, None, may_wait=False)

    def push_all(self, messages: Iterable[InternalMsg]) -> None:
        """Send `messages` as one `push` after the other would, at less cost: the outbox gets them in batches."""
        batch: list[Publication] = []
        is_traffic_said = _TRAFFIC_LOG.isEnabledFor(logging.INFO)
        try:
            for msg in messages:
                self._translate(msg, batch, is_traffic_said)
                if len(batch) >= _BATCH:
                    self._put(batch)
        finally:
            self._put(batch)  # also what came before an error

    def publish(self, msg: InternalMsg) -> Receipt:
        """Send `msg` as `push` does; return a receipt, to wait until it is on disk, or with the broker."""
        receipt = Receipt()
        refusal = self._send(msg, receipt)
        if refusal:
            receipt.say_dropped(refusal)
        return receipt

    def flush(self, timeout: float) -> None:
        """Return once all that the outbox has taken, from anybody, is acknowledged.

        Raises `DeliveryError` if that takes over `timeout` s, or something was dropped meanwhile.
        """
        self._outbox.flush(timeout)

    def let_go(self) -> None:
        """Let the link have what was pushed before more is done: Python runs one thread at a time."""
        if self._outbox.has_waiting:
            time.sleep(_TURN)

    def _send(self, msg: InternalMsg, receipt: Receipt | None, *, may_wait: bool = True) -> str:
        """Send `msg`; return why it was refused, or `""`."""
        batch: list[Publication] = []
        refusal = self._translate(msg, batch, _TRAFFIC_LOG.isEnabledFor(logging.INFO))
        if refusal:
            if batch:  # the outcome of a command, for where its sender asked for it
                self._outbox.put_all(batch)
            return refusal
        is_taken = self._outbox.put(batch[0], receipt)
        if len(batch) > 1:
            self._outbox.put_all(batch[1:])
        if may_wait and self.pushed >= self._next_breather:
            self._breathe()
        return "" if is_taken else "the outbox is full"

    def _translate(self, msg: InternalMsg, batch: list[Publication], is_traffic_said: bool) -> str:
        """Append what `msg` is in MQTT to `batch`, and say so if wanted; return why it was refused, or `""`.

        A refused outcome may still go to where its sender asked for it.
        """
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

    def _answer_at(self, asked: ReplyTo, publication: Publication, batch: list[Publication]) -> None:
        """Append the answer for where a command asked for it, and for where its duplicates did."""
        if asked.topic:
            batch.append(publication.answering(asked))
        batch.extend(self._outcomes.note(asked, publication))

    def _written_bare(self, msg: InternalMsg, batch: list[Publication]) -> Publication | None:
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

    def _answer_at_only(self, msg: InternalMsg, bare: InternalMsg, asked: ReplyTo, batch: list[Publication]) -> None:
        for one in msg, bare:
            with contextlib.suppress(MessageError):
                answers: list[Publication] = []
                self._answer_at(asked, self._map.answer(one), answers)
                batch.extend(answers)
                return

    def _put(self, batch: list[Publication]) -> None:
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
        refusal = PushRefused(f"{what}{remedy}", key=f"{self.name}: {key}")
        if refusal.trigger:
            level = logging.INFO if isinstance(err, FilteredError) else logging.WARNING
            LOG.log(level, refusal.report, exc_info=bug if refusal.is_first else None)

    def set_available(self, is_available: bool) -> None:
        """Publish whether the device is there, if that has changed."""
        if is_available != self._is_available:
            self._is_available = is_available
            self._say_available(is_available)
