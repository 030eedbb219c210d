"""When the opening requests are written: at first, and again when the device may have forgotten them. Pure."""

from __future__ import annotations

from gateway.core.backoff import Backoff

_FIRST_DELAY = 0.5  # s until they are written again, if one of them was refused or not answered; doubles each time
_LONGEST_DELAY = 30.0  # s


class Opening:
    """When the opening is due. All times in seconds; `is_needed` is false if there are no opening requests.

    It goes before everything else when the port was opened or the device has restarted (`is_urgent`), but not when it
    is tried again: a device that does not answer it may do what commands say nevertheless.
    """

    def __init__(self, *, is_needed: bool) -> None:
        self._is_needed = is_needed
        self._due: float | None = None
        self._run: object = None
        self.is_urgent = False
        self._backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY, lambda _lowest, bound: bound)

    def start(self, now: float) -> None:
        """Begin again: the port has been opened, and may be written to from `now` on."""
        self._run = None
        self._backoff.reset()
        self.repeat(now)

    def repeat(self, now: float) -> None:
        """Make it due at `now`, because the device has restarted; if it is at work, it is repeated after its end."""
        if self._is_needed:
            self._due, self.is_urgent = now, True

    def due(self) -> float | None:
        """Return when it is due, or None."""
        return self._due if self._run is None else None

    def is_due(self, now: float) -> bool:
        """Return whether it is due at `now`; then call `mark_started`."""
        due = self.due()
        return due is not None and due <= now

    def mark_started(self, run: object) -> None:
        """Record that `run` is at work now."""
        self._run, self._due = run, None

    def mark_ended(self, run: object, now: float, *, is_done: bool) -> None:
        """Record that `run` has ended; unless all requests have succeeded, it is due again after some time."""
        if run is not self._run:
            return  # that of an earlier connection
        self._run = None
        if is_done:
            self._backoff.reset()
        elif self._due is None:
            self._due, self.is_urgent = now + self._backoff.next_delay(), False
