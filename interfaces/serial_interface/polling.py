"""What the gateway writes without a command: when the port opens, at an interval, and when the line is idle. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from gateway.message import InternalMsg
from interfaces.rules.message_template import NO_CLOCK, CodecError, MessageTemplate, WallClock
from interfaces.rules.own_values import OWN_VALUES
from interfaces.rules.steps import make_steps

_MISSES = 3  # times in a row that a poll is not answered before it is sent less often
_LONGEST_PAUSE = 300.0  # s between two times that a poll is sent to a unit that does not answer


class Request:
    """What to write without a command, in one or several steps, and the messages that the answers make.

    `every` in seconds. Raises `CodecError` if it can never be written.
    """

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        self.name: str = options.get("name") or str(
            next((options[k] for k in ("write", "hex") if k in options), "poll") or "empty line"
        )
        self.steps = make_steps(options, address, encoding, clock)
        for name in sorted(self.steps[0].names - OWN_VALUES):
            raise CodecError(f"{{{name}}} is no value: a request has no arguments")
        self.every: float | None = options.get("every")
        self.on_open: bool = options.get("on_open", True)
        self.only_idle: bool = options.get("only_idle", False)

    @property
    def messages(self) -> Sequence[MessageTemplate]:
        """The templates of the messages that its answers make."""
        responses = [step.answer.response for step in self.steps]
        return [message for response in responses if response is not None for message in response.messages]

    def makes(self, actions: Collection[str]) -> bool:
        """Return whether its answer makes a message with one of these actions."""
        return any(template.constant_words.get("action") in actions for template in self.messages)


class _Poll:
    """A poll at work. Times in seconds; `due` is None when it is not to be sent again.

    `misses` counts how often in a row it was not answered, `factor` is how many of its periods one pause takes. `read`
    are the messages that the rules of the device made of its last answer, where the request describes none.
    """

    def __init__(self, request: Request, read: Sequence[InternalMsg] = ()) -> None:
        self.request = request
        self.read = read
        self.due: float | None = None
        self.sent_for = 0.0  # the time at which it was due last
        self.is_pending = False
        self.is_asked_for = False
        self.misses = 0
        self.factor = 1
        self.answers_before = 0  # answers of the line when it was due last

    def makes(self, actions: Collection[str]) -> bool:
        """Return whether its answer makes a message with one of these actions, as far as that is known."""
        return self.request.makes(actions) or any(msg.action in actions for msg in self.read)

    def next_after(self, when: float, now: float) -> float | None:
        """Return when it is due after `when`: later than `now`, in its phase; missed times are not caught up."""
        every = self.request.every
        if every is None:
            return None
        # The second line is needed because floats are rounded: the sum may be equal to `now`, and the poll would be
        # due twice.
        following = when + every * (1 + (now - when) // every)
        return following if following > now else following + every

    def back_off(self) -> None:
        """Send it half as often as up to now, but every five minutes, or once in its own period."""
        every = self.request.every
        if every is not None:
            self.factor = max(1, min(2 * self.factor, int(_LONGEST_PAUSE // every)))


class Schedule:
    """Which polls are due. A poll that has not ended is not due again.

    A unit of a bus that is switched off costs its timeout each time that it is asked, and all others wait meanwhile.
    So polls that were not answered last time are due one at a time, between those of the others; and a poll that was
    not answered three times in a row, while something else on the line was, is sent less and less often.
    """

    def __init__(self, polls: Sequence[Request]) -> None:
        self._polls = [_Poll(request) for request in polls]
        self._answers = 0

    def start(self, now: float) -> None:
        """Begin again: the port has been opened at `now` (s)."""
        self._polls = [_Poll(poll.request, poll.read) for poll in self._polls]
        for poll in self._polls:
            if poll.request.on_open:
                poll.due = now
            elif poll.request.every is not None:
                poll.due = now + poll.request.every

    def pop_due(self, now: float, last_written: float) -> list[Request]:
        """Return the polls that are due at `now`; `last_written` is the time of the last write. Both in seconds."""
        due: list[_Poll] = []
        for poll in self._polls:
            if poll.due is None or poll.is_pending:
                continue
            request = poll.request
            if request.only_idle and request.every is not None and not poll.is_asked_for:
                poll.due = max(poll.due, last_written + request.every)
            if now >= poll.due:
                due.append(poll)
        silent = [poll for poll in due if poll.misses]
        if silent:
            first = None if self._waits_for_silent else min(silent, key=lambda poll: (poll.due, poll.misses))
            due = [poll for poll in due if not poll.misses or poll is first]
        for poll in due:
            self._submit(poll, now)
        return [poll.request for poll in due]

    def _submit(self, poll: _Poll, now: float) -> None:
        poll.is_pending, poll.is_asked_for = True, False
        poll.sent_for = now if poll.due is None else poll.due
        poll.due = poll.next_after(poll.sent_for, now)
        poll.answers_before = self._answers

    @property
    def _waits_for_silent(self) -> bool:
        """Whether a poll that was not answered last time has been sent, or is about to be."""
        return any(poll.is_pending and poll.misses for poll in self._polls)

    def ask(self, actions: Collection[str], now: float) -> None:
        """Make the polls due at `now` whose answers make messages with one of these actions.

        One that has not ended is as good as that: it is written after what the caller has learned. They are sent as
        often as configured from then on, also if they were not answered before.
        """
        for poll in self._polls:
            if not poll.makes(actions):
                continue
            poll.misses, poll.factor = 0, 1
            if not poll.is_pending:
                poll.due = now if poll.due is None else min(poll.due, now)
                poll.is_asked_for = True

    def set_read(self, request: Request, messages: Iterable[InternalMsg]) -> None:
        """Record which messages the rules of the device have made of the answer to a request, if any."""
        read = [msg.with_arguments({}) for msg in messages if not msg.iscmd]
        for poll in self._polls if read else ():
            if poll.request is request:
                poll.read = read

    def read_of(self, request: Request) -> Sequence[InternalMsg]:
        """Return the messages, without arguments, that the rules of the device made of the last answer to a request."""
        return next((poll.read for poll in self._polls if poll.request is request), ())

    def mark_heard(self) -> None:
        """Record that something on the line has sent a frame."""
        self._answers += 1

    def mark_ended(self, request: Request, *, is_answered: bool | None = None) -> None:
        """Record that a request has ended, so that it may become due again.

        `is_answered`: whether the device has answered; None: nothing is known of that.
        """
        poll = next((poll for poll in self._polls if poll.request is request), None)
        if poll is None:
            return
        poll.is_pending = False
        if is_answered:
            self.mark_answered(request)
        elif is_answered is False:
            self._mark_missed(poll)

    def mark_answered(self, request: Request) -> None:
        """Record that a request which has ended before was answered after all: its device is there, but slow."""
        for poll in self._polls:
            if poll.request is request:
                poll.misses, poll.factor = 0, 1

    def _mark_missed(self, poll: _Poll) -> None:
        poll.misses += 1
        if poll.misses < _MISSES:
            return
        if self._answers == poll.answers_before:
            poll.factor = 1  # nothing else waits for it: it is found again within its period
        else:
            poll.back_off()
        if poll.due is not None and poll.request.every is not None:
            poll.due = max(poll.due, poll.sent_for + poll.factor * poll.request.every)

    def due(self) -> float | None:
        """Return the time (s) at which the next poll is due, or None."""
        waits = self._waits_for_silent
        times = [poll.due for poll in self._polls if not poll.is_pending and not (waits and poll.misses)]
        return min((when for when in times if when is not None), default=None)


def earliest(*times: float | None) -> float | None:
    """Return the earliest of the times that are not None, or None."""
    result: float | None = None
    for when in times:
        if when is not None and (result is None or when < result):
            result = when
    return result
