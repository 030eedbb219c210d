"""Runs contenders in turn, round after round, and prints what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, print_table

Contenders: TypeAlias = Mapping[str, Callable[[], Figures]]
"""By name, what runs one round: ours first, then the peer of the ratio, then others."""

Samples: TypeAlias = Mapping[str, Sequence[Figures]]
"""By name, what each round has measured."""


def run_rounds(lab: Lab, contenders: Contenders, metrics: Sequence[Metric], *, factor: float = 1.0) -> Samples:
    """Run all contenders in turn, each second round backwards; print a table, and return what is in it.

    `factor` times the usual number of rounds are run, at least one; fewer where the time is over.
    """
    samples: dict[str, list[Figures]] = {name: [] for name in contenders}
    deadline = time.monotonic() + lab.budget
    longest = 0.0
    for number in range(max(1, round(lab.rounds * factor))):
        began = time.monotonic()
        if number and began + longest > deadline:
            print(f"  time is over after {number} rounds")
            break
        for name in list(contenders) if number % 2 == 0 else reversed(list(contenders)):
            samples[name].append(contenders[name]())
        longest = max(longest, time.monotonic() - began)
    print_table(metrics, samples)
    return samples
