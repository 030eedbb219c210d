"""The books of a test: what was accepted, what has arrived, and the verdict. Pure.

An entry is the device that a status is of, and its number. Numbers of a device only grow.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Entry: TypeAlias = tuple[str, int]

_SHOWN = 5  # entries of a list that a verdict names


@dataclass(frozen=True)
class Verdict:
    """What became of what was accepted.

    `lost` was never taken by the broker, as far as anybody saw. `lost_by_broker` was acknowledged by it and then
    never passed on. `disordered` arrived for the first time behind a higher number of the same device.
    """

    accepted: int
    delivered: int
    duplicated: int
    lost: tuple[Entry, ...] = ()
    lost_by_broker: tuple[Entry, ...] = ()
    disordered: tuple[Entry, ...] = ()

    def __str__(self) -> str:
        text = f"accepted {self.accepted}, delivered {self.delivered}, duplicated {self.duplicated}"
        for name, entries in (("lost", self.lost), ("lost by the broker", self.lost_by_broker),
                              ("out of order", self.disordered)):  # fmt: skip
            text += f", {name} {len(entries)}"
            if entries:
                text += f" ({', '.join(f'{device} {number}' for device, number in entries[:_SHOWN])} ...)"
        return text

    @property
    def is_good(self) -> bool:
        """Whether the gateway has kept its promise; what the broker has lost is not its fault."""
        return not self.lost and not self.disordered


def judge(accepted: Iterable[Entry], seen: Sequence[Entry], acknowledged: Iterable[Entry] = ()) -> Verdict:
    """Compare what was accepted with what a subscriber has seen, and with what the broker has acknowledged."""
    promised, arrived, taken = list(dict.fromkeys(accepted)), Counter(seen), set(acknowledged)
    highest: dict[str, int] = {}
    disordered: list[Entry] = []
    for device, number in dict.fromkeys(seen):
        if number < highest.get(device, -1):
            disordered.append((device, number))
        highest[device] = max(number, highest.get(device, -1))
    missing = [entry for entry in promised if entry not in arrived]
    return Verdict(
        accepted=len(promised),
        delivered=len(promised) - len(missing),
        duplicated=arrived.total() - len(arrived),
        lost=tuple(entry for entry in missing if entry not in taken),
        lost_by_broker=tuple(entry for entry in missing if entry in taken),
        disordered=tuple(disordered),
    )


def entry_of(topic: str, payload: bytes) -> Entry | None:
    """Return the entry that a publication of `load_interface.Load` is; None for anything else."""
    levels = topic.split("/")
    if len(levels) < 5 or levels[-1] != "S" or levels[1] != "load":
        return None
    number = json.loads(payload).get("number")
    return (levels[4], number) if isinstance(number, int) else None


def entries_of(pairs: Iterable[tuple[str, bytes]]) -> list[Entry]:
    """Return the entries among publications."""
    return [entry for topic, payload in pairs if (entry := entry_of(topic, payload)) is not None]


def entries_in(book: str) -> list[Entry]:
    """Return the entries in the text of a book; a last line without an end was not written out and does not count."""
    return [(device, int(number)) for device, number in re.findall(r"(?m)^(\S+) (\d+)\n", book)]
