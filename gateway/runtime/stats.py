"""The counters of a gateway: how they are put together, and how they are written as one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Stats = dict[str, dict[str, Any]]
"""The counters of a gateway by part. Each of them is an integer under a name in snake_case::

    {
        "mqtt": {"connects": 1, ...},
        "outbox": {"accepted": 12, "waiting": 0, ...},  # with `file_...`: what its writer counts, if it is on disk
        "routing": {"received": 5, ...},
        "interfaces": {"boiler": {"pushed": 12, "failures": 0, ..., "device": {"frames": 12, ...}}, ...},
        "removed_interfaces": {...},  # those that reloads have removed: sums of the same counters
        "home_assistant": {"documents": 3, ...},  # empty: nothing is announced
        "log": {"lines_suppressed": 0, "lines_repeated": 0, "errors_suppressed": 3},
    }

`device` holds what an interface counts itself (`Interface.stats`). The counters are read one after the other, without
the locks of the data path: while messages pass, two of them may differ by those that are on their way.
"""

DEVICE = "device"

FILE_PREFIX = "file_"
"""How the names begin that the counters of the outbox's writer have among those of the outbox."""

_NO_COUNTERS = ("file_disk_free_bytes",)  # a level that would only be noise in a line of counters

_MOST_COUNTERS = 200  # of one interface, whose code comes from somewhere else
_LARGEST = 2**63 - 1  # Python raises an error where it would have to write an integer of very many digits


def total(interfaces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of the counters of several interfaces, in the form that those of one have."""
    sums: Counter[str] = Counter()
    device_sums: Counter[str] = Counter()
    for counters in interfaces:
        sums.update({name: number for name, number in counters.items() if name != DEVICE})
        device_sums.update(counters.get(DEVICE, {}))
    return {**sums, DEVICE: dict(device_sums)} if sums or device_sums else {}


def valid_counters(value: object) -> dict[str, int]:
    """Return the counters in what the code of an interface has returned: the integers of 64 bits that have a name."""
    if not isinstance(value, Mapping):
        return {}
    pairs = [
        (name, number)
        for name, number in value.items()
        if isinstance(name, str) and type(number) is int and abs(number) <= _LARGEST
    ]
    return dict(pairs[:_MOST_COUNTERS])


def in_words(counters: Mapping[str, int]) -> str:
    """Return the counters that are not 0 in words, such as `12 pushed, 3 commands unanswered`."""
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counters.items() if number)


def summary(stats: Stats) -> str:
    """Return the counters that are not 0 in one line, those of all interfaces added up.

    Of the outbox only those of its file: `OutboxCounts.in_words` has what became of the messages.
    """
    interfaces = total([*stats["interfaces"].values(), stats["removed_interfaces"]])
    device = interfaces.pop(DEVICE, {})
    file = {
        name.removeprefix(FILE_PREFIX): number
        for name, number in stats["outbox"].items()
        if name.startswith(FILE_PREFIX) and name not in _NO_COUNTERS
    }
    parts = {
        "received": in_words(stats["routing"]) or "nothing",
        "link": in_words(stats["mqtt"]),
        "outbox file": in_words(file),
        "interfaces": in_words(interfaces),
        "devices": in_words(device),
        "home assistant": in_words(stats["home_assistant"]),
        "log": in_words(stats["log"]),
    }
    return "; ".join(f"{title}: {words}" for title, words in parts.items() if words)
