"""One device at work: what it told last, when it was heard, and whether it counts as online. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

from gateway.devices.point import AUTO, Device, meanings
from gateway.devices.reading import Quality, Reading
from gateway.devices.report import NEVER, in_whole_seconds

_PAUSES, _FEWEST_PAUSES = 20, 3  # pauses between two messages that are remembered, and that it takes to tell from
_PAUSE_FACTOR = 5.0  # a device is silent after so many of its longest pauses,
_LEAST_SILENCE, _FIRST_SILENCE = 60.0, 86_400.0  # but not sooner: s; before enough pauses are known
_LONGEST_PAUSE = 30 * 86_400.0  # s; a longer one tells nothing of how often a device sends
_MOST_UNANSWERED = 3  # requests in a row without an answer: then a device is gone, unless it has a limit in seconds


class DeviceState:
    """One device at work: its points' readings, and when it was heard.

    `is_online` is None until something is known. `reason` says why it is offline. `is_status_new` is set where
    `is_online` has changed, until its owner has published that and cleared it.
    """

    __slots__ = (
        "_is_auto", "_longest", "_pauses", "device", "document_at", "is_changed", "is_cut_off", "is_hanging",
        "is_left", "is_online", "is_status_new", "is_urgent", "last_heard", "meanings", "reading_of", "reason",
        "scheduled", "status_at", "template", "unanswered", "waits_since", "words",
    )  # fmt: skip

    def __init__(self, device: Device, template: Device | None = None, words: tuple[str, ...] = ()) -> None:
        self.device = device
        self.template = template
        self.words = words  # of its messages
        self.meanings = meanings(device, words)
        self.is_left = False  # known only from an earlier run, and not heard since
        self.is_cut_off = False  # its interface does not work
        self.is_hanging = False  # that is because a call of the interface does not return
        self.reading_of: dict[str, Reading] = {point.key: Reading(point) for point in device.points}
        self.is_online: bool | None = None
        self.is_status_new = False
        self.status_at = NEVER  # when `is_online` changed last
        self.is_urgent = False  # a command was executed: whoever has sent it waits for what it has changed
        self.reason = ""
        self.last_heard = NEVER
        self.waits_since = NEVER  # when its time for being heard began, if not when it was heard
        self.is_changed = False  # nothing is known yet: an empty document would take the place of the last run's
        self.document_at = NEVER
        self.unanswered = 0
        self.scheduled = math.inf
        self._pauses: deque[float] = deque(maxlen=_PAUSES)  # s, between two messages; only for AUTO
        self._longest = 0.0  # of them
        self._is_auto = device.silent_after == AUTO

    def __repr__(self) -> str:
        status = {None: "unknown", True: "online", False: "offline"}[self.is_online]
        return f"<DeviceState {self.device.id} {status}>"

    def hear(self, now: float) -> bool:
        """Record that the device has sent something that was understood; return whether `due` may be sooner for it.

        A device that its interface has lost is not back for what still comes of it, as at the end of its port, or from
        a timer. Where the interface hangs, it may have just returned.
        """
        is_sooner = False
        if not self.is_online:
            self.is_left = False
            if self._is_auto and self._is_silent:
                # No longer than the limit, or nothing would be noticed for days after one outage. A device that only
                # sends more rarely than before is offline once, for each such pause makes the limit five times longer.
                self._add_pause(min(now - self._silent_since, self.silence_limit))
            if self.is_cut_off and not self.is_hanging:
                self._doubt()
            else:
                self._set_online(True, "")
                is_sooner = True
        elif self._is_auto:
            is_sooner = self._add_pause(now - self.last_heard)
        self.last_heard = now
        self.unanswered = 0
        return is_sooner

    @property
    def _is_silent(self) -> bool:
        """Whether it is offline because it was silent, and for no other reason."""
        return self.is_online is False and not self.is_cut_off and self.unanswered < _MOST_UNANSWERED

    def _add_pause(self, pause: float) -> bool:
        """Record a pause between two messages; return whether the limit of silence is shorter for it."""
        pauses, pause = self._pauses, min(pause, _LONGEST_PAUSE)
        leaving = pauses[0] if len(pauses) == _PAUSES else -1.0
        pauses.append(pause)
        if pause >= self._longest:
            self._longest = pause
        elif leaving == self._longest:
            self._longest = max(pauses)
            return True
        return len(pauses) == _FEWEST_PAUSES

    @property
    def pauses(self) -> list[float]:
        """The last pauses (s) between two messages, from which `silent_after: auto` derives its limit."""
        return list(self._pauses)

    def restore_pauses(self, pauses: Iterable[Any]) -> None:
        """Begin with the pauses of an earlier run; those of this run go before them. What can be none is passed over.

        One that is too large would mean that silence is never noticed, or not even be a number that can be used.
        """
        if self._is_auto and not self._pauses:
            known = [float(pause) for pause in pauses if type(pause) in (int, float) and 0 <= pause <= _LONGEST_PAUSE]
            self._pauses.extend(known)
            self._longest = max(self._pauses, default=0.0)

    def count_unanswered(self) -> None:
        """Record that a request to the device was not answered; after three in a row, the device is gone."""
        self.unanswered += 1
        if self.is_online is not False:
            self._lose_unanswering()

    def _lose_unanswering(self) -> bool:
        """Record that the device is gone, and return True, if it has left too many requests unanswered."""
        has_limit = self.device.silent_after not in (None, AUTO)
        if self.unanswered < _MOST_UNANSWERED or has_limit:
            return False
        self.lose(f"{self.unanswered} requests in a row were not answered")
        return True

    def recover(self, now: float) -> None:
        """Record that the interface works again: a device that need not be heard from time to time is there.

        Nothing is known of one that has to be heard, or is only known from an earlier run; its time for being heard
        begins now. One that did not answer when it was asked last is offline until it does.
        """
        was_cut_off, self.is_cut_off = self.is_cut_off, False
        if self.is_online or self._lose_unanswering():
            return
        if self.device.silent_after is None and not self.is_left:
            self._set_online(True, "")
        elif was_cut_off or (self.is_online is None and self._silent_since == NEVER):
            self._set_online(None, "")
            self.waits_since = now

    def cut_off(self, reason: str, *, is_hanging: bool = False) -> None:
        """Record that the interface has lost the device, and why; `is_hanging`: because it does not return."""
        self.is_cut_off, self.is_hanging = True, is_hanging
        self.lose(reason)

    def lose(self, reason: str) -> None:
        """Record that the device cannot be relied on any more: its readings are stale."""
        self._doubt()
        if self.is_online is not False or self.reason != reason:
            self._set_online(False, reason)

    def _doubt(self) -> None:
        for reading in self.reading_of.values():
            reading.doubt()

    def is_same(self, previous: DeviceState) -> bool:
        """Return whether another state is of the same device: its messages have the same words and arguments."""
        source, other = self.device, previous.device
        return (self.words, source.where, source.address.get("sender")) == (
            previous.words,
            other.where,
            other.address.get("sender"),
        )

    def carry_over(self, previous: DeviceState) -> None:
        """Go on with what is known of the same device as a whole; the readings are carried over one by one."""
        self.is_online, self.is_status_new, self.reason = previous.is_online, previous.is_status_new, previous.reason
        self.last_heard, self.waits_since = previous.last_heard, previous.waits_since
        self.status_at = previous.status_at
        self.unanswered = previous.unanswered
        self.document_at, self.is_left = previous.document_at, previous.is_left
        self.is_cut_off, self.is_hanging = previous.is_cut_off, previous.is_hanging
        self._pauses = deque(previous._pauses, maxlen=_PAUSES)
        self._longest = previous._longest

    def _set_online(self, is_online: bool | None, reason: str) -> None:
        self.is_status_new = self.is_status_new or self.is_online is not is_online
        self.is_online, self.reason, self.is_changed = is_online, reason, True

    @property
    def _silent_since(self) -> float:
        return max(self.last_heard, self.waits_since)

    @property
    def silence_limit(self) -> float:
        """The seconds of silence after which the device is taken for gone; infinite: never."""
        limit = self.device.silent_after
        if limit is None:
            return math.inf
        if limit == AUTO:
            least = _LEAST_SILENCE if len(self._pauses) >= _FEWEST_PAUSES else _FIRST_SILENCE
            return max(least, _PAUSE_FACTOR * self._longest)
        return float(limit)

    @property
    def document_due(self) -> float:
        """When the document is to be written; infinite: not before something changes."""
        if self.is_changed:
            return NEVER if self.is_urgent else self.document_at + self.device.interval
        return self.document_at + self.device.refresh if self.document_at != NEVER else math.inf

    def due(self) -> float:
        """Return when the time alone changes something; infinite: never."""
        is_counted = self.is_online is not False and self._silent_since != NEVER
        silence = self._silent_since + self.silence_limit if is_counted else math.inf
        points = (
            reading.seen_at + point.silent_after
            for point, reading in zip(self.device.points, self.reading_of.values(), strict=True)
            if point.silent_after is not None and reading.quality is Quality.GOOD
        )
        document = in_whole_seconds(self.document_due, self.device.interval if self.is_changed else self.device.refresh)
        return min(document, in_whole_seconds(min(silence, *points, math.inf)))

    def check_silence(self, now: float) -> None:
        """Note what has not been heard for too long."""
        since = self._silent_since
        if self.is_online is not False and since != NEVER and now >= since + self.silence_limit:
            self.lose(f"nothing heard for {self.silence_limit:.0f} s")
        for point, reading in zip(self.device.points, self.reading_of.values(), strict=True):
            is_late = point.silent_after is not None and now >= reading.seen_at + point.silent_after
            if is_late and reading.quality is Quality.GOOD:
                reading.quality, self.is_changed = Quality.STALE, True
