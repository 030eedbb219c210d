"""The bookkeeping of a test: accepted and received statuses, and the verdict. Pure.

An entry is the device of a status, and its number. The numbers of a device only increase.
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
    """The fate of all accepted statuses.

    `lost` ones were neither acknowledged nor passed on by the broker, as far as was observed. `lost_by_broker` ones
    were acknowledged, but never passed on. `disordered` ones first arrived after a higher number of the same device.
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
    def is_ok(self) -> bool:
        """Whether the gateway delivered everything in order; losses of the broker do not count."""
        return not self.lost and not self.disordered


def judge(accepted: Iterable[Entry], seen: Sequence[Entry], acknowledged: Iterable[Entry] = ()) -> Verdict:
    """Compare the accepted entries with those that a subscriber received, and those that the broker acknowledged."""
    promised, arrived, confirmed = list(dict.fromkeys(accepted)), Counter(seen), set(acknowledged)
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
        lost=tuple(entry for entry in missing if entry not in confirmed),
        lost_by_broker=tuple(entry for entry in missing if entry in confirmed),
        disordered=tuple(disordered),
    )


def entry_of(topic: str, payload: bytes) -> Entry | None:
    """Return the entry of a publication of `load_interface.Load`; None for any other publication."""
    levels = topic.split("/")
    if len(levels) < 5 or levels[-1] != "S" or levels[1] != "load":
        return None
    number = json.loads(payload).get("number")
    return (levels[4], number) if isinstance(number, int) else None


def entries_of(pairs: Iterable[tuple[str, bytes]]) -> list[Entry]:
    """Return the entries among publications."""
    return [entry for topic, payload in pairs if (entry := entry_of(topic, payload)) is not None]


def entries_in(journal: str) -> list[Entry]:
    """Return the entries in the text of a journal; an incomplete last line does not count."""
    return [(device, int(number)) for device, number in re.findall(r"(?m)^(\S+) (\d+)\n", journal)]
