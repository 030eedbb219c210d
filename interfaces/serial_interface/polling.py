"""What is written of its own accord: when the port opens, every so often, and when all has been quiet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interfaces.rules.change_filter import ChangeFilter
from interfaces.rules.decoding import MessageTemplate
from interfaces.rules.encoding import Answer, Content


class Request:
    """Something to write without having been asked, and the messages that its answer makes."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str) -> None:
        self.name: str = options.get("name") or str(
            next((options[k] for k in ("write", "hex") if k in options), "poll")
        )
        self.content = Content(options, encoding).make({})
        self.answer = Answer(options, encoding)
        response = options.get("response", {})
        given = [response["message"]] if "message" in response else response.get("messages", ())
        self.messages = [MessageTemplate(message, address) for message in given]
        self.change_filter = ChangeFilter(response["publish"]) if response.get("publish") else None
        self.every: float | None = options.get("every")
        self.on_open: bool = options.get("on_open", True)
        self.only_idle: bool = options.get("only_idle", False)


class Schedule:
    """Which requests are due. A request that is still under way is not asked for again."""

    def __init__(self, opening: Sequence[Request], polls: Sequence[Request]) -> None:
        self.opening = opening
        self._polls = polls
        self._next: dict[int, float] = {}
        self._pending: set[int] = set()

    def start(self, now: float) -> None:
        """Begin anew: the port has been opened at `now` (s)."""
        self._pending.clear()
        self._next = {
            index: now if poll.on_open else now + (poll.every or 0.0)
            for index, poll in enumerate(self._polls)
            if poll.every is not None or poll.on_open
        }

    def take(self, now: float, last_written: float) -> list[Request]:
        """Return the polls that are due at `now`; `last_written` (s) is when the line was used last."""
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
                # Keep the beat, but do not catch up on what was missed.
                following = when + poll.every * (1 + (now - when) // poll.every)
                self._next[index] = following if following > now else following + poll.every  # floats are rounded
            self._pending.add(index)
            due.append(poll)
        return due

    def ended(self, request: Request) -> None:
        """Take note that a request is no longer under way."""
        self._pending.discard(next((i for i, poll in enumerate(self._polls) if poll is request), -1))

    def due(self) -> float | None:
        """Return the time (s) at which the next poll is due, or None."""
        return min((when for index, when in self._next.items() if index not in self._pending), default=None)
