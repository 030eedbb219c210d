"""Whether anything that the device sends can be used, and whether it answers: what its health tells.

All times in seconds. Each trouble is a state: it begins with what cannot be used, and ends with what can.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.counting import counted
from gateway.core.trouble import Trouble
from interfaces.serial_interface.reports import DropReason, shown_bytes

_PATIENCE = 5.0  # s for which nothing was usable, until that is trouble
_PATIENCE_WITH_RULES = 600.0  # the same for frames without a rule, if rules have matched others: they may be rare
_MISSES = 3  # requests of one kind in a row without an answer, until that is trouble
_MAX_BEGINNING = 40  # bytes that are shown if there is no frame in them
_MOST_NAMED = 3  # requests that are named

_NO_FRAME = "the device sends, but no frame is complete"
_TEXTS = {
    DropReason.BAD_CHECKSUM: "the checksum of all that the device sends is wrong: {}",
    DropReason.UNREADABLE: "nothing that the device sends can be read: {}",
    DropReason.UNMATCHED: "no rule matches what the device sends: {}",
}
_LINE = "check framing (the terminator?), baudrate and parity in the configuration, and the cable"
_REMEDIES = {
    DropReason.BAD_CHECKSUM: "check checksum, baudrate and parity in the configuration, and the cable",
    DropReason.UNREADABLE: "correct decode in the configuration",
    DropReason.UNMATCHED: "correct decode in the configuration, or baudrate and parity if this makes no sense",
}


class _Useless(NamedTuple):
    """What cannot be used: since when, when last, and a text with its remedy. `is_rule`: other rules may match."""

    since: float
    last: float
    text: str
    remedy: str
    is_rule: bool


class Reception:
    """Watches what comes from the device of one interface. Belongs to its thread; any thread may call `trouble`."""

    def __init__(self) -> None:
        self.drops = 0
        """Frames that could not be used."""
        self._is_read = True
        self.is_proven = False
        """Whether a frame could be used since the port was opened, or since there are other rules."""
        self._useless: _Useless | None = None
        self._misses: dict[int, tuple[str, int, float]] = {}  # by request: its name, how many in a row, since when

    def reset(self, *, is_read: bool) -> None:
        """Begin again: the port was opened, or there are other rules. `is_read`: they expect the device to send."""
        self._is_read = is_read
        self.is_proven = False
        self._useless = None
        self._misses = {}

    def bytes_came(self, beginning: bytes, now: float) -> None:
        """Record that the device has sent something without a frame, which begins with `beginning`."""
        previous = self._useless
        if not self._is_read:
            return
        if previous is None or previous.remedy == _LINE:
            since = now if previous is None else previous.since
            begins = f"; it begins with {ascii(beginning[:_MAX_BEGINNING])[1:]}" if beginning else ""
            self._useless = _Useless(since, now, f"{_NO_FRAME}{begins}", _LINE, is_rule=False)

    def dropped(self, reason: DropReason, frame: bytes, error: str, now: float) -> None:
        """Record that `frame` could not be used."""
        self.drops += 1
        if reason not in _TEXTS or not self._is_read:
            return
        text = _TEXTS[reason].format(error if reason is DropReason.UNREADABLE else shown_bytes(frame))
        since = now if self._useless is None else self._useless.since
        self._useless = _Useless(since, now, text, _REMEDIES[reason], reason is not DropReason.BAD_CHECKSUM)

    def used(self) -> None:
        """Record that a frame was used."""
        self.is_proven = True
        self._useless = None

    def request_ended(self, request: object, name: str, now: float, *, is_answered: bool) -> None:
        """Record whether a request that is made again and again was answered."""
        if is_answered:
            if self._misses:
                self._misses = {key: miss for key, miss in self._misses.items() if key != id(request)}
            return
        _, count, since = self._misses.get(id(request), (name, 0, now))
        self._misses = {**self._misses, id(request): (name, count + 1, since)}  # replaced: others may read it

    def trouble(self, now: float) -> Trouble | None:
        """Return what is wrong, or None."""
        useless = self._useless
        if useless is not None:
            patience = _PATIENCE_WITH_RULES if useless.is_rule and self.is_proven else _PATIENCE
            is_only = useless.remedy == _LINE and not self.is_proven  # a beginning without an end, however long ago
            until = now if is_only else useless.last
            if until - useless.since >= patience:
                return Trouble(useless.since, useless.text, useless.remedy)
        silent = [(name, since) for name, count, since in self._misses.values() if count >= _MISSES]
        if not silent:
            return None
        names = ", ".join(ascii(name) for name, _ in silent[:_MOST_NAMED])
        more = f" and {len(silent) - _MOST_NAMED} more" if len(silent) > _MOST_NAMED else ""
        text = f"{counted(len(silent), 'request is', 'requests are')} not answered: {names}{more}"
        remedy = "check the device, its power, its cable and its address"
        return Trouble(min(since for _, since in silent), text, remedy, is_silence=True)
