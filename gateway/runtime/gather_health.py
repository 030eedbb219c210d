"""Gathers how a running gateway is, from all of its parts. Any thread may do so; nothing of the data path waits for it.

It calls no code of an interface: what that counts itself is as of its last answer (`InterfaceHost.refresh_stats`).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from gateway import __version__
from gateway.core.activity import LONGEST_CALL, overdue, where
from gateway.core.clock import boot_time
from gateway.core.trouble import Interruptions, Recurrence, Trouble
from gateway.logs.init_logger import log_failure
from gateway.logs.last_error import last_error
from gateway.logs.masking import Masker, masker_of
from gateway.mqtt.link_state import LinkState
from gateway.routing.device_memory import DeviceStatus
from gateway.routing.router import REFUSED_COMMANDS
from gateway.runtime.health import Health, InterfaceHealth, LinkHealth, OutboxHealth, Process
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.running_gateway import RunningGateway

_DROPPED = ("dropped_old", "refused_new", "expired", "dead_letters_dropped")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class HealthGatherer:
    """Gathers the health of `gateway`; what its parts tell is without the secrets of the configuration."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway

    def __call__(self) -> Health:
        """Return how the gateway is now."""
        gateway = self._gateway
        configuration = gateway.configuration
        hosts, now = dict(gateway.hosts), time.time()
        received = gateway.received
        masked: dict[str, str] = {}  # a thousand devices are mostly offline for one reason
        outcomes: Counter[str] = Counter()
        for host in hosts.values():
            if host.outlet.outcomes:
                outcomes.update(dict(host.outlet.outcomes))
        hang, hang_since = self._main_hang(now)
        return Health(
            time=now,
            name=configuration.name,
            version=__version__,
            link=self._link(now),
            outbox=self._outbox(now),
            interfaces={name: self._interface(host, now) for name, host in hosts.items()},
            devices={name: self._devices(host, masked) for name, host in hosts.items()},
            outcomes=outcomes,
            refused={kind.replace(" ", "_"): received.get(kind, 0) for kind in REFUSED_COMMANDS},
            last_error=last_error(),
            log_failure=log_failure(),
            control_failure=gateway.control_failure,
            page_failure=gateway.page_failure,
            hang=hang,
            hang_since=hang_since,
            configuration=str(configuration.file.absolute()),
            configuration_hash=configuration.hash,
            uptime=time.monotonic() - gateway.started,
            pid=os.getpid(),
            process=process(),
        )

    @property
    def _masker(self) -> Masker:
        return masker_of(self._gateway.configuration.secrets)

    def _devices(self, host: InterfaceHost, masked: dict[str, str]) -> list[DeviceStatus]:
        """Return the statuses of the devices without secrets; `masked` are the reasons that were masked already."""
        statuses = host.devices.statuses()
        for number, status in enumerate(statuses):
            if status.reason:
                if status.reason not in masked:
                    masked[status.reason] = self._masker.mask(status.reason)
                statuses[number] = status._replace(reason=masked[status.reason])
        return statuses

    def _main_hang(self, now: float) -> tuple[str, float | None]:
        """Return where the main thread hangs, and since when (s, Unix time); `""` if it does not."""
        thread = self._gateway.main_thread
        call = overdue(thread)
        if call is not None:
            return f"{call.what} has not returned: it is at {where(thread)}", now - time.monotonic() + call.since
        busy_for = self._gateway.client.main_busy_for
        if busy_for > LONGEST_CALL:
            return f"it is at {where(thread)}", now - busy_for
        return "", None

    def _link(self, now: float) -> LinkHealth:
        client = self._gateway.client
        failure = client.last_failure
        return LinkHealth(
            is_up=client.link_state is LinkState.UP,
            state=client.link_state.value,
            broker=client.broker,
            protocol=client.protocol_in_words,
            session_present=client.session_present,
            is_caught_up=client.is_caught_up,
            connects=client.connects,
            since=now - boot_time() + client.link_since if client.connects else None,
            failure=self._masker.mask(str(failure)) if failure is not None else "",
            interruptions=self._recurrence(client.interruptions, now, boot_time()),
            round_trip=client.round_trip,
            stalled_for=client.stalled_for,
            refused_filters=client.refused_filters,
            refused_states=list(client.refused_states),
            refused_topics=list(client.refused_topics),
            forbidden_run_topic=client.forbidden_run_topic,
        )

    def _outbox(self, now: float) -> OutboxHealth:
        outbox, writer = self._gateway.outbox, self._gateway.writer
        stats = outbox.stats()
        file = self._gateway.configuration.outbox.file
        disk = writer.stats() if writer is not None else {}
        hang_since, hang = (writer.hang if writer is not None else None) or (None, "")
        return OutboxHealth(
            file=str(file) if writer is not None and file is not None else "",
            waiting=stats["waiting"] + stats["in_flight"],
            oldest=outbox.oldest_age,
            dead_letters=stats["dead_letters"] if writer is None else writer.dead_letters,
            dropped={kind: stats[kind] for kind in _DROPPED},
            level_percent=stats["level_percent"],
            is_crowded=outbox.is_crowded,
            is_dropping=stats["dropped_since_full"] > 0,
            is_disk_full=bool(disk.get("disk_is_full")),
            failure=writer.failure if writer is not None else "",
            hang=hang,
            hang_since=None if hang_since is None else now - time.monotonic() + hang_since,
            refusals=self._recurrence(outbox.refusals, now, boot_time()),
        )

    def _interface(self, host: InterfaceHost, now: float) -> InterfaceHealth:
        outlet = host.outlet
        offset = now - time.monotonic()
        hang, failing, heard_ago, understood_ago = host.hang(), host.failing, host.heard_ago, host.understood_ago
        return InterfaceHealth(
            type=host.options.cls.__name__,
            is_available=outlet.device_availability.is_available,
            reason="" if outlet.is_available else self._masker.mask(outlet.device_availability.outage),
            since=offset + outlet.device_availability.since,
            closed=host.closed,
            hang="" if hang is None else f"it has not returned from {hang.method}: it is at {hang.where}",
            hang_since=None if hang is None else offset + hang.since,
            failure=self._masker.mask(failing[1]) if failing is not None else "",
            failed_at=None if failing is None else offset + failing[0],
            trouble=self._trouble(host, now),
            refusals=self._recurrence(outlet.refusals, now, time.monotonic()),
            interruptions=self._recurrence(outlet.device_availability.interruptions, now, time.monotonic()),
            unread=len(host.inbox) if host.inbox.unread_for > LONGEST_CALL else 0,
            heard_at=None if heard_ago is None else now - heard_ago,
            understood_at=None if understood_ago is None else now - understood_ago,
            frames=host.last_device_stats(),
        )

    def _recurrence(
        self, recurrence: Recurrence | Interruptions, now: float, its_now: float
    ) -> tuple[float, str] | None:
        """Return since when (s, Unix time) something goes wrong again and again, and what; None: it does not."""
        current = recurrence.current(its_now)
        return None if current is None else (now - its_now + current[0], self._masker.mask(current[1]))

    def _trouble(self, host: InterfaceHost, now: float) -> Trouble | None:
        """Return what is wrong although the interface works; its time is a Unix time (s)."""
        trouble = host.trouble
        if trouble is None:
            return None
        ago, what = trouble
        return what._replace(since=now - ago, what=self._masker.mask(what.what), remedy=self._masker.mask(what.remedy))


def process() -> Process:
    """Return what this process uses, as the kernel tells it."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()  # its name may contain anything
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # without that of the folder itself
        return Process(int(fields[21]) * _PAGE, int(fields[17]), descriptors)
    except (OSError, ValueError, IndexError):
        return Process()
