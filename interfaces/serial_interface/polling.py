"""What the gateway writes without a command: when the port opens, at an interval, and when the line is idle. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interfaces.rules.change_filter import ChangeFilter
from interfaces.rules.encoding import Answer, make_content
from interfaces.rules.message_template import MessageTemplate


class Request:
    """A frame to write without a command, and the messages that its answer makes. `every` in seconds."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str) -> None:
        self.name: str = options.get("name") or str(
            next((options[k] for k in ("write", "hex") if k in options), "poll")
        )
        self.content = make_content(options, encoding).make({})
        self.answer = Answer(options, encoding)
        response = options.get("response", {})
        messages = [response["message"]] if "message" in response else response.get("messages", ())
        self.messages = [MessageTemplate(message, address) for message in messages]
        self.change_filter = ChangeFilter(response["publish"]) if response.get("publish") else None
        self.every: float | None = options.get("every")
        self.on_open: bool = options.get("on_open", True)
        self.only_idle: bool = options.get("only_idle", False)


class Schedule:
    """Which polls are due. A poll that has not ended is not due again."""

    def __init__(self, opening: Sequence[Request], polls: Sequence[Request]) -> None:
        self.opening = opening
        self._polls = polls
        self._next: dict[int, float] = {}  # time (s) of the next poll, by index
        self._pending: set[int] = set()  # indices of the polls that have not ended

    def start(self, now: float) -> None:
        """Begin again: the port has been opened at `now` (s)."""
        self._pending.clear()
        self._next = {
            index: now if poll.on_open else now + (poll.every or 0.0)
            for index, poll in enumerate(self._polls)
            if poll.every is not None or poll.on_open
        }

    def pop_due(self, now: float, last_written: float) -> list[Request]:
        """Return the polls that are due at `now`; `last_written` is the time of the last write. Both in seconds."""
        due: list[Request] = []
        for index, when in list(self._next.items()):
            poll = self._polls[index]
            if poll.only_idle and poll.every is not None:
                when = max(when, last_written + poll.every)
                self._next[index] = when
            if now < when or index in self._pending:
                continue
            if poll.every is None:
                del self._next[index]
            else:
                # Keep the phase, but do not catch up on missed polls. The second line is needed because floats are
                # rounded: the sum may be equal to `now`, and the poll would be due twice.
                following = when + poll.every * (1 + (now - when) // poll.every)
                self._next[index] = following if following > now else following + poll.every
            self._pending.add(index)
            due.append(poll)
        return due

    def mark_ended(self, request: Request) -> None:
        """Record that a request has ended, so that it may become due again."""
        self._pending.discard(next((i for i, poll in enumerate(self._polls) if poll is request), -1))

    def due(self) -> float | None:
        """Return the time (s) at which the next poll is due, or None."""
        return min((when for index, when in self._next.items() if index not in self._pending), default=None)
