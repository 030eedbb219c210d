"""Which interface has the device with an id: documents are published by id, and ids are unique in a gateway."""

from __future__ import annotations

from collections.abc import Mapping


class DeviceIds:
    """The ids of all devices of a gateway. Any thread may claim one for a device of a template."""

    def __init__(self) -> None:
        self._reserved: Mapping[str, str] = {}
        self._owners: dict[str, str] = {}  # of the others: the names of their interfaces

    def reserve(self, owners: Mapping[str, str]) -> None:
        """Reserve the ids in `owners`, for what it says: declared devices go before those of templates."""
        self._reserved = owners

    def claim(self, device_id: str, interface: str) -> str:
        """Let a template of `interface` have an id, and return `""`; or return who has it, and what to do."""
        owner = self._reserved.get(device_id)
        if owner is None:
            other = self._owners.setdefault(device_id, interface)  # in one step: another thread may claim it, too
            if other == interface:
                return ""
            owner = f"a device of the interface {other}"
        return f"the id {device_id!a} is that of {owner}; change the id of the template, such as 'x_{{device}}'"

    def is_free(self, device_id: str, interface: str) -> bool:
        """Return whether a template of `interface` could claim an id."""
        return device_id not in self._reserved and self._owners.get(device_id, interface) == interface

    def release(self, device_id: str, interface: str) -> None:
        """Release an id that a template of `interface` has claimed."""
        if self._owners.get(device_id) == interface:
            self._owners.pop(device_id, None)
