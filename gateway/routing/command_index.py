"""Finds the interfaces that a message is for, without asking each of them. Pure and immutable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from gateway.message import InternalMsg

Addresses: TypeAlias = Sequence[Mapping[str, str]]
"""The addresses of an interface's commands: each gives words by field; a command matches if it has all of them."""


class CommandIndex:
    """The interfaces of a map by name, indexed by the addresses of their commands; None: they get every message."""

    def __init__(self, interfaces: Mapping[str, Addresses | None]) -> None:
        self._for_every_message = tuple(name for name, addresses in interfaces.items() if addresses is None)
        self._for_every_command: list[str] = []
        by_fields: dict[tuple[str, ...], dict[Any, dict[str, None]]] = {}
        for name, addresses in interfaces.items():
            for address in addresses or ():
                if not address:
                    self._for_every_command.append(name)
                    continue
                fields = tuple(sorted(address))
                key = attrgetter(*fields)(InternalMsg(**address))  # type: ignore[arg-type]
                by_fields.setdefault(fields, {}).setdefault(key, {})[name] = None
        self._tables: list[tuple[Callable[[InternalMsg], Any], Mapping[Any, Mapping[str, None]]]] = [
            (attrgetter(*fields), table) for fields, table in by_fields.items()
        ]

    def interfaces_for(self, msg: InternalMsg) -> Sequence[str]:
        """Return the names of the interfaces that `msg` is for."""
        if not msg.iscmd or not (self._tables or self._for_every_command):
            return self._for_every_message
        matches = dict.fromkeys((*self._for_every_message, *self._for_every_command))
        for key_of, table in self._tables:
            matches.update(table.get(key_of(msg), {}))
        return tuple(matches)
