"""Turns the figures of rounds into a table: median, spread, and ratio to the peer. Pure, except for printing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Figures: TypeAlias = Mapping[str, float]
"""The figures of one round of one contender, by the key of the metric."""


class WrongResultError(Exception):
    """Something was lost, duplicated, out of order or wrong: the figures of such a run are invalid."""


@dataclass(frozen=True)
class Metric:
    """One figure of a round: its key, its unit, how many decimals are shown, and the goal in words."""

    key: str
    unit: str
    decimals: int = 0
    goal: str = ""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of `values` that `percent` % of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def median(rounds: Sequence[Figures], key: str) -> float:
    """Return the median of one figure over all rounds."""
    return statistics.median(figures[key] for figures in rounds)


def median_ratio(ours: Sequence[Figures], peers: Sequence[Figures], key: str) -> float:
    """Return the median of ours / peer."""
    return statistics.median(ratios(ours, peers, key))


def ratios(ours: Sequence[Figures], peers: Sequence[Figures], key: str) -> list[float]:
    """Return ours / peer, round by round, so that a disturbance of a whole round cancels out."""
    return [our[key] / peer[key] for our, peer in zip(ours, peers, strict=False) if peer[key]]


def print_table(metrics: Sequence[Metric], samples: Mapping[str, Sequence[Figures]]) -> None:
    """Print each metric for each contender; the first contender is ours, the second the peer of the ratio."""
    first, second = (*samples, *samples)[:2]
    for metric in metrics:
        print(f"  {metric.key} [{metric.unit}]{f'   goal: {metric.goal}' if metric.goal else ''}")
        for name, rounds in samples.items():
            _print_row(name, [figures[metric.key] for figures in rounds], metric.decimals, f"({len(rounds)} rounds)")
        round_ratios = ratios(samples[first], samples[second], metric.key)
        if first != second and round_ratios:
            _print_row(f"ratio to {second}", round_ratios, 2)


def _print_row(name: str, values: Sequence[float], decimals: int, note: str = "") -> None:
    low, middle, high = (f"{v:,.{decimals}f}" for v in (min(values), statistics.median(values), max(values)))
    print(f"    {name:28} median {middle:>9}   spread {low:>9} .. {high:<9} {note}".rstrip())
