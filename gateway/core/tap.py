"""The live view: what becomes of each message, recorded while somebody follows it (`mqttgateway tap`).

Each stage of the data path looks at `TAP`: one attribute, which is None while nobody follows. `TAP` is global, as the
threads of a process are. What is recorded is bounded, and nobody waits for a follower: what it does not read in time is
counted as lost.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, TypeAlias

from gateway.message import Arrival, InternalMsg, Publication, shown

MAX_NOTES, MAX_NOTES_BYTES = 2000, 4 * 1024**2
"""Notes that wait for one follower, and the bytes of their content: a second of a very fast device."""

WAITING_SECONDS = 1.0
"""After so many s, a message that is still on its way is told as `waiting`; it is told again when it has ended."""

_MAX_OPEN, _MAX_OPEN_BYTES = 2000, 8 * 1024**2  # messages on their way; older ones are no longer followed
_LONGEST_COMMAND = 60.0  # s; a command that has no outcome by then will have none
_MAX_ORIGINS = 2000  # messages that were decoded and have not come to the outlet yet

READ, FRAME, RULE, MESSAGE, PUBLISH = "read", "frame", "rule", "message", "publish"
SENT, ACKNOWLEDGED, REFUSED = "sent", "acknowledged", "refused by the broker"
ARRIVED, TAKEN, WRITTEN, ANSWER, OUTCOME = "arrived", "taken", "written", "answer", "outcome"
DROPPED, WAITING, DELIVERED = "dropped", "waiting", "delivered"
HELD = "held back"


Step: TypeAlias = tuple[str, float, Any]
"""A stage that a message has reached, when (s, monotonic), and what it was there: bytes, a message, a text, or None.

A plain tuple: several are made for each message.
"""


class Note:
    """What became of one message: its `interface`, its steps, and how it has ended.

    `outcome` is `acknowledged`, `sent` (QoS 0), `delivered` (a status for an interface), `waiting`, `dropped`, `held
    back`, or the response to a command. `where` is the stage at which it was dropped, and `reason` why. `time` is when
    that was (s, Unix time). The note of bytes has one step, and no outcome. `size` is the bytes of what it holds.
    """

    __slots__ = ("interface", "line", "outcome", "reason", "size", "steps", "time", "where")

    def __init__(
        self,
        time: float,
        interface: str,
        steps: Sequence[Step],
        outcome: str = "",
        where: str = "",
        reason: str = "",
        size: int | None = None,
    ) -> None:
        self.time = time
        self.interface = interface
        self.steps = steps
        self.outcome = outcome
        self.where = where
        self.reason = reason
        self.size = _size(steps) if size is None else size
        self.line: bytes | None = None
        """Its line for a client, once one has asked for it: views share it, of which each would need as long."""


def _size(steps: Iterable[Step]) -> int:
    size = 0
    for _, _, detail in steps:
        kind = type(detail)
        if kind is bytes:
            size += len(detail)
        elif kind is Publication or kind is Arrival:
            size += len(detail.topic) + len(detail.payload)
    return size


class Follower:
    """The notes that wait for one view. Any thread puts, one takes; if too many wait, the oldest are lost."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque()
        self._bytes = self._lost = 0
        self._lock = Lock()

    def put(self, note: Note) -> None:
        """Append a note."""
        with self._lock:
            self._notes.append(note)
            self._bytes += note.size
            while len(self._notes) > MAX_NOTES or (self._bytes > MAX_NOTES_BYTES and len(self._notes) > 1):
                self._bytes -= self._notes.popleft().size
                self._lost += 1

    def take(self, count: int) -> tuple[list[Note], int]:
        """Remove and return up to `count` notes, and how many were lost before them since the last call."""
        with self._lock:
            notes = [self._notes.popleft() for _ in range(min(count, len(self._notes)))]
            self._bytes -= sum(note.size for note in notes)
            lost, self._lost = self._lost, 0
        return notes, lost


class _Passage:
    """A message on its way: what it was when, until it has ended. `msg` and `subject` are those of a command."""

    __slots__ = ("began", "interface", "is_told", "msg", "size", "steps", "subject")

    def __init__(self, interface: str, steps: list[Step], msg: InternalMsg | None = None) -> None:
        self.interface = interface
        self.steps = steps
        self.began = steps[-1][1]
        self.size = _size(steps)
        self.is_told = False
        self.msg = self.subject = msg


class Wire:
    """Passes on all bytes that interfaces read and write."""

    def __init__(self) -> None:
        self.followers: tuple[Follower, ...] = ()

    def note(self, interface: str, stage: str, data: bytes) -> None:
        """Tell that an interface has read or written `data`."""
        note = Note(time.time(), interface, ((stage, time.monotonic(), data),))
        for follower in self.followers:
            follower.put(note)


class Recorder:
    """Puts together what the stages tell of each message, and passes it to the followers when its way has ended.

    A message is recognised by its object, in each of its forms, so that nothing is added to it. Any thread may call the
    methods, with any lock held; none of them raises anything or waits.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.followers: tuple[Follower, ...] = ()
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = Lock()
        self._reads: dict[str, Step] = {}  # the last read of each interface
        self._origins: OrderedDict[int, tuple[InternalMsg, list[Step]]] = OrderedDict()
        self._open: dict[int, _Passage] = {}  # by the id of the publication, which is in the last of the steps
        self._open_bytes = 0
        self._received: dict[str, list[_Passage]] = {}  # messages for an interface, by its name

    # --- from the device

    def read(self, interface: str, count: int) -> None:
        """Record that an interface has just read `count` bytes."""
        self._reads[interface] = (READ, self._clock(), count)

    def decoded(self, interface: str, frame: bytes, rule: str, messages: Iterable[InternalMsg]) -> None:
        """Record which messages a rule has made of a frame."""
        steps = [*self._beginning(interface, frame), (RULE, self._clock(), rule)]
        with self._lock:
            for msg in messages:
                self._origins[id(msg)] = msg, steps
            while len(self._origins) > _MAX_ORIGINS:
                self._origins.popitem(last=False)

    def frame_dropped(self, interface: str, where: str, reason: str, frame: bytes, rule: str = "") -> None:
        """Tell that no message was made of a frame, or not all of it was used."""
        steps = self._beginning(interface, frame)
        self._tell(interface, [*steps, (RULE, steps[-1][1], rule)] if rule else steps, DROPPED, where, reason)

    def bytes_dropped(self, interface: str, where: str, reason: str) -> None:
        """Tell that bytes of the last read were dropped, of which no frame is known."""
        self._tell(interface, self._beginning(interface), DROPPED, where, reason)

    def _beginning(self, interface: str, frame: bytes = b"") -> list[Step]:
        read = self._reads.get(interface)
        steps = [] if read is None else [read]
        return [*steps, (FRAME, self._clock(), frame)] if frame else steps or [(READ, self._clock(), 0)]

    def translated(
        self,
        interface: str,
        msg: object,
        publications: Sequence[Publication],
        where: str,
        reason: str,
        *,
        is_own: bool = True,
    ) -> None:
        """Record what an outlet has made of a message: the last of `publications`, as far as they are new.

        Otherwise `where` it was dropped or held back, and the `reason`. `is_own`: the interface has sent it itself.
        """
        now = self._clock()
        with self._lock:
            origin = self._origins.pop(id(msg), None)
        steps = [*(origin[1] if origin is not None else ()), (MESSAGE, now, msg)]
        new: list[Publication] = []
        for publication in reversed(publications):
            if id(publication) in self._open:
                break
            new.insert(0, publication)
        if reason and (where != HELD or not new):
            self._tell(interface, steps, HELD if where == HELD else DROPPED, where, reason)
        with self._lock:
            for publication in new:
                self._put(publication, _Passage(interface, [*steps, (PUBLISH, now, publication)]))
        if isinstance(msg, InternalMsg) and msg.is_outcome:
            self._end_command(interface, msg, now, is_own=is_own)

    def _put(self, publication: Publication, passage: _Passage) -> None:
        self._open[id(publication)] = passage
        self._open_bytes += passage.size
        while len(self._open) > _MAX_OPEN or (self._open_bytes > _MAX_OPEN_BYTES and len(self._open) > 1):
            oldest = self._open.pop(next(iter(self._open)))
            self._open_bytes -= oldest.size
            self._tell_waiting(oldest)

    # --- to the broker

    def sent(self, publications: Iterable[Publication]) -> None:
        """Record that publications are being written to the link."""
        now = self._clock()
        with self._lock:
            for publication in publications:
                passage = self._open.get(id(publication))
                if passage is not None:
                    passage.steps.append((SENT, now, None))

    def accepted(self, publications: Iterable[Publication]) -> None:
        """Tell that the broker has acknowledged publications, or, with QoS 0, that they were written."""
        for publication in publications:
            self._end(publication, ACKNOWLEDGED if publication.qos else SENT)

    def ended(self, publication: Publication, reason: str) -> None:
        """Tell that a publication was dropped on its way from the outbox to the broker."""
        self._end(publication, DROPPED, "outbox", reason)

    def state_accepted(self, state: Publication, refusal: str = "") -> None:
        """Tell that the broker has acknowledged a document or another state of the gateway, or has refused it."""
        steps: list[Step] = [(PUBLISH, self._clock(), state)]
        if refusal:
            self._tell("", steps, DROPPED, "broker", refusal)
        else:
            self._tell("", [*steps, (ACKNOWLEDGED, steps[0][1], None)], ACKNOWLEDGED)

    def _end(self, publication: Publication, outcome: str, where: str = "", reason: str = "") -> None:
        now = self._clock()
        with self._lock:
            passage = self._open.pop(id(publication), None)
            if passage is not None:
                self._open_bytes -= passage.size
        if passage is None:  # it was waiting when the view began, or for so long that it is no longer followed
            passage = _Passage("", [(PUBLISH, now, publication)])
        if outcome != DROPPED and passage.steps[-1][0] != outcome:
            passage.steps.append((outcome, now, None))
        self._tell(passage.interface, passage.steps, outcome, where, reason)

    # --- to the device

    def arrived(self, arrival: Arrival) -> Step:
        """Return the first step of a message from the broker."""
        return ARRIVED, self._clock(), arrival

    def turned_away(
        self, arrived: Step, where: str, reason: str, interface: str = "", msg: InternalMsg | None = None
    ) -> None:
        """Tell that a message from the broker is not delivered to an interface, or to any."""
        steps = [arrived] if msg is None else [arrived, (MESSAGE, self._clock(), msg)]
        self._tell(interface, steps, DROPPED, where, reason)

    def received(self, arrived: Step, interface: str, msg: InternalMsg) -> None:
        """Record that a message is about to be put into the inbox of an interface."""
        passage = _Passage(interface, [arrived, (MESSAGE, self._clock(), msg)], msg)
        with self._lock:
            waiting = self._received.setdefault(interface, [])
            waiting.append(passage)
            if len(waiting) > _MAX_OPEN:
                self._tell_waiting(waiting.pop(0))

    def not_received(self, interface: str, msg: InternalMsg, reason: str) -> None:
        """Tell that the inbox has not accepted the message after all."""
        passage = self._pop_received(interface, lambda each: each.msg is msg)
        if passage is not None:
            self._tell(interface, passage.steps, DROPPED, "inbox", reason)

    def taken(self, interface: str, msg: InternalMsg) -> None:
        """Record that an interface has taken a message out of its inbox."""
        if msg.iscmd:
            self._add(interface, msg, TAKEN, None)
            return
        passage = self._pop_received(interface, lambda each: each.msg is msg)
        if passage is not None:
            self._tell(interface, [*passage.steps, (TAKEN, self._clock(), None)], DELIVERED)

    def written(self, interface: str, subject: InternalMsg, data: bytes) -> None:
        """Record the bytes that were written for a command."""
        self._add(interface, subject, WRITTEN, data)

    def answered(self, interface: str, subject: InternalMsg, frame: bytes) -> None:
        """Record the frame that answers a command."""
        self._add(interface, subject, ANSWER, frame)

    def _add(self, interface: str, subject: InternalMsg, stage: str, detail: object) -> None:
        with self._lock:
            waiting = self._received.get(interface, ())
            passage = next((each for each in waiting if each.msg is subject or each.subject is subject), None)
            if passage is None:  # its arguments may have been given their types
                passage = next((each for each in waiting if _is_same(each, subject)), None)
            if passage is not None:
                passage.subject = subject
                passage.steps.append((stage, self._clock(), detail))

    def _end_command(self, interface: str, outcome: InternalMsg, now: float, *, is_own: bool) -> None:
        requested = None if outcome.reply_to is None else outcome.reply_to.requested

        def is_meant(each: _Passage) -> bool:
            commands = (each.msg, each.subject)
            return _is_same(each, outcome) and any(msg is not None and msg.arguments is requested for msg in commands)

        passage = self._pop_received(interface, is_meant)
        if passage is None and is_own:
            passage = self._pop_received(interface, lambda each: _is_same(each, outcome))
        if passage is not None:
            response, reason = (_text(outcome.argument(name, "")) for name in ("response", "reason"))
            self._tell(interface, [*passage.steps, (OUTCOME, now, outcome)], response, "", reason)

    def _pop_received(self, interface: str, is_wanted: Callable[[_Passage], bool]) -> _Passage | None:
        with self._lock:
            waiting = self._received.get(interface, [])
            for index, passage in enumerate(waiting):
                if is_wanted(passage):
                    return waiting.pop(index)
        return None

    # --- telling

    def tell_waiting(self) -> None:
        """Tell of the messages that have been on their way for a while. Whoever shows the notes calls it."""
        now = self._clock()
        limit = now - WAITING_SECONDS
        with self._lock:
            for received in self._received.values():
                while received and received[0].began < now - _LONGEST_COMMAND:
                    self._tell_waiting(received.pop(0))
            for passages in (self._open.values(), *self._received.values()):
                for passage in passages:
                    if passage.began > limit:
                        break
                    self._tell_waiting(passage)

    def _tell_waiting(self, passage: _Passage) -> None:
        if not passage.is_told:
            passage.is_told = True
            self._tell(passage.interface, list(passage.steps), WAITING)

    def _tell(self, interface: str, steps: Sequence[Step], outcome: str, where: str = "", reason: str = "") -> None:
        note = Note(self._wall_clock(), interface, steps, outcome, where, reason)
        for follower in self.followers:
            follower.put(note)


def _is_same(passage: _Passage, msg: InternalMsg) -> bool:
    """Return whether `msg` has the address and the action of a command, which may be what an outcome has in common."""
    return passage.msg is not None and passage.msg.iscmd and _words(passage.msg) == _words(msg)


def _words(msg: InternalMsg) -> list[str]:
    """Return the words of a message without its sender; without those of an interface that are no texts."""
    words = msg.function, msg.gateway, msg.location, msg.device, msg.action
    return [word if type(word) is str else "" for word in words]


def _text(value: object) -> str:
    return value if type(value) is str else shown(value)


class Tap:
    """Where the stages look whether somebody follows: `recorder` the messages, `wire` the bytes. None: nobody does."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.wire: Wire | None = None
        self._lock = Lock()

    def follow(self, follower: Follower, *, is_raw: bool = False) -> None:
        """Have `follower` receive all messages from now on; `is_raw`: all bytes instead."""
        with self._lock:
            if is_raw:
                wire = self.wire or Wire()
                wire.followers += (follower,)
                self.wire = wire
            else:
                recorder = self.recorder or Recorder()
                recorder.followers += (follower,)
                self.recorder = recorder

    def unfollow(self, follower: Follower) -> None:
        """End what `follow` has begun."""
        with self._lock:
            for name in ("recorder", "wire"):
                source: Recorder | Wire | None = getattr(self, name)
                if source is not None and follower in source.followers:
                    source.followers = tuple(each for each in source.followers if each is not follower)
                    if not source.followers:
                        setattr(self, name, None)


TAP = Tap()
"""The tap of this process."""
