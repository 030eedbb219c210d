"""Runs the contenders alternately, round after round, and prints the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, print_table

Contenders: TypeAlias = Mapping[str, Callable[[], Figures]]
"""The function that runs one round, by name: the gateway first, then the peer of the ratio, then others."""

Samples: TypeAlias = Mapping[str, Sequence[Figures]]
"""The figures of each round, by name."""


def run_rounds(lab: Lab, contenders: Contenders, metrics: Sequence[Metric], *, factor: float = 1.0) -> Samples:
    """Run all contenders alternately, every second round in reverse; print a table, and return its figures.

    `factor` times the usual number of rounds are run, at least one; fewer if the time is up.
    """
    samples: dict[str, list[Figures]] = {name: [] for name in contenders}
    deadline = time.monotonic() + lab.budget
    longest = 0.0
    for number in range(max(1, round(lab.rounds * factor))):
        began = time.monotonic()
        if number and began + longest > deadline:
            print(f"  the time is up after {number} rounds")
            break
        for name in list(contenders) if number % 2 == 0 else reversed(list(contenders)):
            samples[name].append(contenders[name]())
        longest = max(longest, time.monotonic() - began)
    print_table(metrics, samples)
    return samples
