"""Whether frames come out of the bytes of a device, or whether its port or its framing is configured wrongly. Pure."""

from __future__ import annotations

from typing import NamedTuple

_PATIENCE = 10.0  # s after the first byte until which the first frame must have ended
_KEPT = 300  # bytes that are remembered, so that one can see how the device begins: several lines


class NoFrame(NamedTuple):
    """How many bytes have come without the end of a frame, how they begin, and in how many seconds."""

    received: int
    beginning: bytes
    seconds: float


class FrameWatch:
    """Watches the bytes from the opening of the port until the first frame. All times in seconds.

    A partial frame later on is no sign of a wrong framing: a prompt without a line end is one, too.
    """

    def __init__(self) -> None:
        self._count = 0
        self.beginning = b""
        """How what has come begins."""
        self.last = b""
        """What has come last."""
        self._since: float | None = None
        self._frames = self._discarded = 0  # all of them, at the last frame, or when they were reported
        self.is_waiting = True
        """Whether no frame has ended yet, and this was not reported."""

    def reset(self) -> None:
        """Begin again: the port was opened."""
        self._count, self.beginning, self._since = 0, b"", None
        self.is_waiting = True

    def received(self, data: bytes, now: float) -> None:
        """Record bytes that have arrived at `now`."""
        if data and self._since is None:
            self._since = now
        self._count += len(data)
        if len(self.beginning) < _KEPT:
            self.beginning += data[: _KEPT - len(self.beginning)]

    def end(self) -> None:
        """Record that a frame has ended."""
        self.is_waiting = False

    def without_frame(self, frames: int, discarded: int) -> int:
        """Return how many bytes were discarded since the last frame; the arguments are all frames, and all of them."""
        if frames > self._frames:
            self._frames, self._discarded = frames, discarded
        return discarded - self._discarded

    def forget_discarded(self, discarded: int) -> None:
        """Count from `discarded` bytes on: those before were reported."""
        self._discarded = discarded

    def due(self) -> float | None:
        """Return the time at which `overdue` would return something, or None."""
        return self._since + _PATIENCE if self.is_waiting and self._since is not None else None

    def overdue(self, now: float) -> NoFrame | None:
        """Return what has come, if no frame has ended for too long; once."""
        due = self.due()
        if due is None or now < due:
            return None
        self.is_waiting = False
        return NoFrame(self._count, self.beginning, now - due + _PATIENCE)
