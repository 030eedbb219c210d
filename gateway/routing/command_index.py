"""Which of many interfaces a message is for, found without asking each of them. Pure and immutable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from gateway.message import InternalMsg

Addresses: TypeAlias = Sequence[Mapping[str, str]]
"""Of commands: each gives words, by field, and is the address of a command that has all of them."""


class CommandIndex:
    """The interfaces behind a map, by name, with the addresses of their commands; None: they get every message."""

    def __init__(self, interfaces: Mapping[str, Addresses | None]) -> None:
        self._of_all = tuple(name for name, addresses in interfaces.items() if addresses is None)
        by_fields: dict[tuple[str, ...], dict[Any, dict[str, None]]] = {}
        self._of_commands: list[str] = []  # of every command
        for name, addresses in interfaces.items():
            for address in addresses or ():
                if not address:
                    self._of_commands.append(name)
                    continue
                fields = tuple(sorted(address))
                key = attrgetter(*fields)(InternalMsg(**address))  # type: ignore[arg-type]
                by_fields.setdefault(fields, {}).setdefault(key, {})[name] = None
        self._tables: list[tuple[Callable[[InternalMsg], Any], Mapping[Any, Mapping[str, None]]]] = [
            (attrgetter(*fields), table) for fields, table in by_fields.items()
        ]

    def of(self, msg: InternalMsg) -> Sequence[str]:
        """Return the names of those that are to have `msg`."""
        if not msg.iscmd or not (self._tables or self._of_commands):
            return self._of_all
        found = dict.fromkeys((*self._of_all, *self._of_commands))
        for key_of, table in self._tables:
            found.update(table.get(key_of(msg), {}))
        return tuple(found)
