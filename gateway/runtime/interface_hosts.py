"""All interfaces of a gateway: the configured ones, and those that a reload has removed and that still have to end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.configuration.settings import InterfaceOptions
from gateway.core.inbox import ByteBudget
from gateway.core.package_logger import package_logger
from gateway.outbox.outbox import Outbox
from gateway.routing.command_guard import CommandOptions
from gateway.routing.device_ids import DeviceIds
from gateway.routing.documents import Documents
from gateway.routing.outlet import LinkStatus
from gateway.routing.route import Route
from gateway.runtime.interface_host import InterfaceHost, routes_of
from gateway.runtime.stats import total

LOG = package_logger(__name__)

_SHORTEST_TICK = 0.25  # s between two looks at the devices: each may be due at a moment of its own

STOP_SECONDS = 1.5
"""Seconds for all interfaces together to return from their calls, and to close their devices."""


class InterfaceHosts:
    """The hosts of the interfaces in `options`, by name.

    `publish_availability` gets the name of an interface and the payload; any thread may call it. Only the main thread
    calls the methods, except where a docstring allows any thread.
    """

    def __init__(
        self,
        options: Iterable[InterfaceOptions],
        outbox: Outbox,
        publish_availability: Callable[[str, bytes], None],
        documents: Documents | None = None,
    ) -> None:
        self._outbox = outbox
        self._documents = documents or Documents()
        self._ids = DeviceIds()
        self._next_tick = 0.0
        self._publish_availability = publish_availability
        self._room = ByteBudget()  # shared by the inboxes of all interfaces
        self._link = LinkStatus()
        self._known_routes: list[Route] = []
        self._retired: list[InterfaceHost] = []  # removed from the configuration; their threads may still run
        self._ended: dict[str, Any] = {}  # the sums of the counters of those that have ended
        self.by_name: Mapping[str, InterfaceHost] = {each.name: self._host(each) for each in options}
        """Replaced as a whole by a reload, because other threads iterate over it."""

    def _host(self, options: InterfaceOptions) -> InterfaceHost:
        host = InterfaceHost(
            options,
            self._outbox,
            lambda payload: self._publish_availability(options.name, payload),
            self._room,
            self._documents._replace(
                claim=lambda device: self._ids.claim(device, options.name),
                release=lambda device: self._ids.release(device, options.name),
                is_free=lambda device: self._ids.is_free(device, options.name),
            ),
        )
        host.set_link(self._link)
        return host

    def __iter__(self) -> Iterator[InterfaceHost]:
        """Yield the hosts of the configured interfaces, and then those of the removed ones. Any thread may call it."""
        return iter([*self.by_name.values(), *self._retired])

    @property
    def has_hooks(self) -> bool:
        """Whether the main thread calls hooks: code that the gateway's user has written."""
        return any(host.has_hooks for host in self.by_name.values())

    @property
    def has_devices(self) -> bool:
        """Whether devices are declared."""
        return any(host.options.devices for host in self.by_name.values())

    def start(self) -> None:
        """Start the thread of each interface that does not run yet; others change over to their new options."""
        for host in self.by_name.values():
            host.start()

    def routes(self, commands: CommandOptions) -> list[Route]:
        """Return the routes to the interfaces, and make the interfaces use them."""
        self._known_routes = routes_of(self.by_name.values(), commands, self._known_routes)
        return self._known_routes

    def reconfigure(self, options: Iterable[InterfaceOptions]) -> tuple[list[str], list[str]]:
        """End the interfaces that are not in `options`, and prepare the others.

        Call `configure_devices` and `routes` afterwards, and then `start`. Return what has changed, in words, and the
        names of the interfaces that were removed.
        """
        removed = dict(self.by_name)
        hosts: dict[str, InterfaceHost] = {}
        changes = []
        for each in options:
            host = removed.pop(each.name, None)
            if host is None:
                host = self._host(each)
                changes.append(f"{each.name} added")
            elif changed := host.reconfigure(each):
                changes.append(f"{each.name}: {', '.join(changed)}")
            hosts[each.name] = host
        self.by_name = hosts
        for name, host in removed.items():
            host.retire()
            self._retired.append(host)
            changes.append(f"{name} removed")
        return changes, list(removed)

    def set_link(self, *, is_up: bool, session_present: bool, number: int) -> None:
        """Notify the interfaces of the state of the link to the broker, if it has changed; `number` counts the links.

        Each is notified in its own thread.
        """
        link = self._link
        if is_up is not link.is_up or number != link.number:
            self._link = LinkStatus(is_up, is_up and session_present, number)
            for host in self:
                host.set_link(self._link)

    def notify_level(self) -> None:
        """Notify the interfaces that the outbox is nearly full, or has room again. Any thread may call it."""
        for host in self:
            host.notify()

    def configure_devices(self, retained: Mapping[str, bytes]) -> list[str]:
        """Use the devices of the options of each interface; return the topics of the documents of those that are gone.

        A device may have moved to another interface. See `InterfaceHost.configure_devices`.
        """
        hosts = self.by_name
        declared = {
            device.id: f"a declared device of the interface {name}"
            for name, host in hosts.items()
            for device in host.options.devices
        }
        self._ids.reserve({**dict.fromkeys(hosts, "an interface"), **declared})
        gone = [topic for host in self._retired for topic in host.devices.configure((), {}, {})]
        return gone + [topic for host in self.by_name.values() for topic in host.configure_devices(retained)]

    def recall(self, retained: Mapping[str, bytes]) -> set[str]:
        """Restore the devices from what the broker retains, by topic; return the topics that stay.

        Those are the topics of devices, and of those that a template may still make.
        """
        used = set(self.document_topics)
        free = {topic: payload for topic, payload in retained.items() if topic not in used}
        known: set[str] = set()
        for host in self.by_name.values():
            own = {topic: retained[topic] for topic in host.devices.topics if topic in retained}
            known |= host.devices.recall({**own, **free})
        return known

    @property
    def document_topics(self) -> list[str]:
        """The topics of the documents of all devices that are known now."""
        return [topic for host in self.by_name.values() for topic in host.devices.topics]

    @property
    def due_in(self) -> float | None:
        """The seconds until `tick` has something to do; None: nothing, as far as is known now."""
        used = [host.devices.due_in for host in self.by_name.values() if host.devices.is_used]
        due = min(used, default=math.inf)
        return None if due == math.inf else max(due, self._next_tick - time.monotonic())

    def tick(self) -> None:
        """Do what is due for the devices of all interfaces by time alone."""
        self._next_tick = time.monotonic() + _SHORTEST_TICK
        for host in self.by_name.values():
            host.tick()

    def finish(self) -> None:
        """Send what waits for the end of an interval, after `stop`, and remember the devices for the next run."""
        for host in self:
            host.finish()
        self.remember_devices()

    def remember_devices(self) -> None:
        """Write the last state of each device to the disk."""
        for host in self:
            host.devices.remember_all()

    def drop_ended(self) -> None:
        """Drop the removed interfaces whose threads have ended, and keep their counters."""
        if not self._retired:
            return
        for host in [host for host in self._retired if host.has_ended]:
            self._retired.remove(host)
            self._ended = total([self._ended, host.stats()])

    def stop(self) -> None:
        """Ask all interfaces to end, and wait up to 1.5 s; abandon those that do not end, and log where they hang."""
        hosts = list(self)
        for host in hosts:
            host.request_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for host in hosts:
            if not host.join(max(0.0, deadline - time.monotonic())):
                LOG.error(
                    "%s: interface thread did not stop within %g s; abandoning it at %s",
                    host.options.name, STOP_SECONDS, host.where(),
                )  # fmt: skip

    def refresh_stats(self) -> None:
        """Have each interface count again, in its own thread. Any thread may call it."""
        for host in self.by_name.values():
            host.refresh_stats()

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the counters of each configured interface, by name. Any thread may call it."""
        return {name: host.stats() for name, host in self.by_name.items()}

    def removed_stats(self) -> dict[str, Any]:
        """Return the sums of the counters of the interfaces that reloads have removed. Any thread may call it."""
        return total([self._ended, *(host.stats() for host in self._retired.copy())])
