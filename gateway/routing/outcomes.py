"""The outcomes of recent commands: one that comes a second time is answered as the first one was.

An outcome is noted by the thread of the interface that sends it, and asked for by the main thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from gateway.message import Publication, ReplyTo

_MAX_COMMANDS = 10_000  # as many as the guard knows for duplicates
_MAX_BYTES = 4 * 1024**2  # of all of them: an outcome says as much as its command, up to 256 KiB
_OVERHEAD = 400  # bytes of memory for each beside its texts
_MAX_TOPICS = 8  # where the outcome of one command is sent to besides: its senders are few, and have a topic each


class _Command:
    """What is known of a command: how it was answered, or where its duplicates want that to be sent."""

    __slots__ = ("answer", "size", "topics")

    def __init__(self) -> None:
        self.answer: Publication | None = None
        self.topics: list[str] = []
        self.size = 0

    def measure(self) -> int:
        """Return how many bytes of memory it takes."""
        answer = len(self.answer.payload) + len(self.answer.topic) if self.answer else 0
        return _OVERHEAD + answer + sum(map(len, self.topics))


class Outcomes:
    """Remembers how commands were answered, the youngest, within bounds in number and bytes. Any thread may use it.

    A command is known by its `ReplyTo.command`; 0 is none.
    """

    def __init__(self, max_commands: int = _MAX_COMMANDS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_commands = max_commands
        self._max_bytes = max_bytes
        self._commands: OrderedDict[int, _Command] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def note(self, asked: ReplyTo, answer: Publication) -> Sequence[Publication]:
        """Remember that the command that `asked` belongs to is answered by `answer`.

        Returns the same answer for the other topics where duplicates of the command have asked for it meanwhile.
        """
        if not asked.command:
            return ()
        with self._lock:
            known = self._commands.pop(asked.command, None) or _Command()
            topics = [topic for topic in known.topics if topic != asked.topic]
            known.answer, known.topics = answer, []
            self._keep(asked.command, known)
        return [answer.answering(ReplyTo(topic, asked.correlation)) for topic in topics]

    def repeat(self, asked: ReplyTo) -> Publication | None:
        """Return the outcome of the command of which `asked` belongs to a duplicate, for its response topic.

        None if there is none yet: then it goes there when it comes, too.
        """
        with self._lock:
            known = self._commands.pop(asked.command, None) or _Command()
            if known.answer is None and asked.topic not in known.topics and len(known.topics) < _MAX_TOPICS:
                known.topics.append(asked.topic)
            self._keep(asked.command, known)
        return None if known.answer is None else known.answer.answering(asked)

    def _keep(self, command: int, known: _Command) -> None:
        """Put what is known of a command to the youngest, and forget the oldest that are too much."""
        self._bytes -= known.size
        known.size = known.measure()
        self._bytes += known.size
        self._commands[command] = known
        while len(self._commands) > self._max_commands or self._bytes > self._max_bytes:
            _, oldest = self._commands.popitem(last=False)
            self._bytes -= oldest.size
