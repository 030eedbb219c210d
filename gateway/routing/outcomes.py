"""The outcomes of recent commands, so that a duplicate of a command is answered as the first one was.

The thread of an interface records outcomes, and the main thread looks them up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from gateway.message import Publication, ReplyTo

_MAX_COMMANDS = 10_000  # as many as the command guard remembers to detect duplicates
_MAX_BYTES = 4 * 1024**2  # of all of them: an outcome contains what its command did, up to 256 KiB
_OVERHEAD = 400  # bytes of memory for each beside its texts
_MAX_TOPICS = 8  # further topics for the outcome of one command: it has few senders, with one topic each


class _Command:
    """How a command was answered, or on which topics its duplicates want the answer."""

    __slots__ = ("answer", "size", "topics")

    def __init__(self) -> None:
        self.answer: Publication | None = None
        self.topics: list[str] = []
        self.size = 0

    def measure(self) -> int:
        """Return about how many bytes of memory it uses."""
        answer = len(self.answer.payload) + len(self.answer.topic) if self.answer else 0
        return _OVERHEAD + answer + sum(map(len, self.topics))


class Outcomes:
    """The outcomes of the most recent commands, limited in number and bytes. Any thread may call the methods.

    A command is identified by its `ReplyTo.command`; 0 means that it is not.
    """

    def __init__(self, max_commands: int = _MAX_COMMANDS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_commands = max_commands
        self._max_bytes = max_bytes
        self._commands: OrderedDict[int, _Command] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def record(self, reply_to: ReplyTo, answer: Publication) -> Sequence[Publication]:
        """Record that the command with this `reply_to` is answered by `answer`.

        Returns the same answer for each further topic on which duplicates of the command have requested it meanwhile.
        """
        if not reply_to.command:
            return ()
        with self._lock:
            command = self._commands.pop(reply_to.command, None) or _Command()
            topics = [topic for topic in command.topics if topic != reply_to.topic]
            command.answer, command.topics = answer, []
            self._keep(reply_to.command, command)
        return [answer.answering(ReplyTo(topic, reply_to.correlation)) for topic in topics]

    def repeat(self, reply_to: ReplyTo) -> Publication | None:
        """Return the outcome of a command for the response topic of its duplicate, whose `reply_to` is given.

        Returns None if there is no outcome yet. Then it is sent to that topic, too, when it is recorded.
        """
        with self._lock:
            command = self._commands.pop(reply_to.command, None) or _Command()
            if command.answer is None and reply_to.topic not in command.topics and len(command.topics) < _MAX_TOPICS:
                command.topics.append(reply_to.topic)
            self._keep(reply_to.command, command)
        return None if command.answer is None else command.answer.answering(reply_to)

    def stats(self) -> dict[str, int]:
        """Return the counts: how many outcomes are kept, and about how many bytes they use."""
        return {"outcomes_kept": len(self._commands), "outcome_bytes": self._bytes}

    def _keep(self, number: int, command: _Command) -> None:
        """Make a command the most recent one, and forget the oldest ones above the limits."""
        self._bytes -= command.size
        command.size = command.measure()
        self._bytes += command.size
        self._commands[number] = command
        while len(self._commands) > self._max_commands or self._bytes > self._max_bytes:
            _, oldest = self._commands.popitem(last=False)
            self._bytes -= oldest.size
