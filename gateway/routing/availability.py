"""Whether an interface and its device work: as it is published, and as its devices are told. Any thread may use it."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.core.trouble import Interruptions
from gateway.routing.device_memory import DeviceMemory


class Availability:
    """The availability of one interface. `publish` is called when it has changed; `devices` depend on it."""

    def __init__(self, publish: Callable[[bool], None], devices: DeviceMemory) -> None:
        self._publish = publish
        self._devices = devices
        self._hang = ""  # where the interface hangs, if it does
        self.is_available: bool | None = None
        """Whether the device is available; None: it is not known yet."""
        self.since = time.monotonic()
        """When (s, monotonic) the device has become available, or has ceased to be."""
        self.outage = ""
        """Why the device is not available, if that is known."""
        self.interruptions = Interruptions()
        """That it fails again and again, although it works in between (s, monotonic)."""
        self.last_failure: tuple[float, str] | None = None
        """When (s, Unix time) the interface or its device failed last, and why; None: never."""

    def record_failure(self, reason: str) -> None:
        """Record that the interface or its device has just failed, and why.

        If the device was available, `set` follows.
        """
        self.last_failure = time.time(), reason
        if self.is_available:
            self.interruptions.record(reason, time.monotonic())
        self._set_outage(reason)

    def set(self, is_available: bool, reason: str = "") -> None:
        """Publish whether the device is available, if that has changed.

        `reason` says why it is not; it may be empty if `record_failure` has recorded it just before.
        """
        if is_available:
            self.outage = ""
        elif reason:
            self._set_outage(reason)
        if is_available != self.is_available:
            self.is_available, self.since = is_available, time.monotonic()
            self._publish(is_available)
            self.notify_devices()

    def set_hang(self, hang: str) -> None:
        """Record where the interface hangs, or `""` if it does not: nothing is known of its devices meanwhile."""
        if bool(hang) is not bool(self._hang):
            self._hang = hang
            self.notify_devices()

    def notify_devices(self) -> None:
        """Have the devices know whether the interface works, as far as that is known."""
        notified: tuple[bool | None, str, str] = None, "", ""
        # Again if another thread has changed it meanwhile.
        while notified != (status := (self.is_available, self._hang, self.outage)):
            notified = status
            is_available, hang, outage = status
            if is_available and not hang:
                self._devices.recover_all()
            else:
                reason = hang or outage or "the interface reports that its device is not available"
                self._devices.lose_all(reason, is_hanging=is_available is not False)

    def _set_outage(self, reason: str) -> None:
        is_other = reason != self.outage
        self.outage = reason
        if is_other and self.is_available is False:
            self.notify_devices()
