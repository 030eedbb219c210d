"""The goals and their measured figures, as a table and as a plot (SVG 1.1). Pure, except for printing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape


@dataclass(frozen=True)
class Goal:
    """The name of a figure, its measured value, and the target: at least (`>=`) or at most (`<=`)."""

    figure: str
    measured: float
    sign: Literal[">=", "<="]
    target: float

    @property
    def share(self) -> float:
        """The degree to which the goal is reached: 1 is the goal, more is better."""
        if self.sign == ">=":
            return self.measured / self.target
        return self.target / max(self.measured, 1e-9)

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.share >= 1.0


def print_goals(goals: Sequence[Goal]) -> None:
    """Print a line for each goal."""
    print("goals")
    for goal in goals:
        verdict = "met" if goal.is_met else "MISSED"
        print(f"  {goal.figure:64} {goal.measured:>9.3g}   goal {goal.sign} {goal.target:<7g} {verdict}")


_WIDTH, _LEFT, _ROW, _TOP, _RIGHT = 960, 470, 26, 64, 110  # pixels
_MAX_FACTOR = 4.0  # a bar ends at this multiple, or fraction, of the goal: the axis is logarithmic


_STYLE = """\
<style>
text { font: 13px "DejaVu Sans", Helvetica, sans-serif; fill: #1b1f24; }
.quiet { fill: #57606a; font-size: 11px; }
.met { fill: #2e8540; }
.missed { fill: #b3261e; }
</style>"""


def draw_goals(goals: Sequence[Goal], machine: str) -> str:
    """Return an SVG: a bar for each goal, right of the middle line where it is met."""
    height = _TOP + _ROW * len(goals) + 30
    scale = (_WIDTH - _LEFT - _RIGHT) / 2
    middle = _LEFT + scale
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        _STYLE,
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-weight="bold">Measured against the goals (logarithmic; middle line: the goal)</text>',
        f'<text x="16" y="42" class="quiet">{escape(machine[:150])}</text>',
    ]
    for index, goal in enumerate(goals):
        y = _TOP + index * _ROW
        length = max(-1.0, min(1.0, math.log(max(goal.share, 1e-9)) / math.log(_MAX_FACTOR))) * scale
        left, width = (middle, length) if length >= 0 else (middle + length, -length)
        kind = "met" if goal.is_met else "missed"
        rows.append(f'<text x="{_LEFT - 12}" y="{y + 15}" text-anchor="end">{escape(goal.figure)}</text>')
        rows.append(f'<rect x="{left:.1f}" y="{y + 3}" width="{max(width, 1):.1f}" height="16" class="{kind}"/>')
        value = escape(f"{goal.measured:.3g} ({goal.sign} {goal.target:g})")
        rows.append(f'<text x="{_WIDTH - 12}" y="{y + 15}" text-anchor="end" class="quiet">{value}</text>')
    rows.append(f'<path d="M{middle},{_TOP - 6} V{height - 26}" stroke="#1b1f24" stroke-width="1.5"/>')
    for factor in (1 / _MAX_FACTOR, 1 / 2, 2, _MAX_FACTOR):
        x = middle + math.log(factor) / math.log(_MAX_FACTOR) * scale
        rows.append(f'<path d="M{x:.1f},{_TOP - 6} V{height - 26}" stroke="#d0d7de" stroke-dasharray="3 3"/>')
        rows.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" class="quiet">{factor:g} x</text>')
    rows.append("</svg>\n")
    return "\n".join(rows)
