"""The goals, what was measured of them, and the two as a table and as a plot (SVG 1.1). Pure, but for printing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape


@dataclass(frozen=True)
class Goal:
    """A figure, what it came to, and what it is to be at least (`>=`) or at most (`<=`)."""

    figure: str
    measured: float
    sign: Literal[">=", "<="]
    wanted: float

    @property
    def share(self) -> float:
        """How far it is reached: 1 is the goal, more is better."""
        if self.sign == ">=":
            return self.measured / self.wanted
        return self.wanted / max(self.measured, 1e-9)

    @property
    def is_met(self) -> bool:
        """Whether it is reached."""
        return self.share >= 1.0


def print_goals(goals: Sequence[Goal]) -> None:
    """Print a line for each goal."""
    print("goals")
    for goal in goals:
        verdict = "met" if goal.is_met else "MISSED"
        print(f"  {goal.figure:58} {goal.measured:>9.3g}   goal {goal.sign} {goal.wanted:<7g} {verdict}")


_WIDTH, _LEFT, _ROW, _TOP, _RIGHT = 960, 470, 26, 64, 110  # pixels
_MOST = 4.0  # a bar is cut at so many times, or parts, of the goal: the axis is logarithmic


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
        length = max(-1.0, min(1.0, math.log(max(goal.share, 1e-9)) / math.log(_MOST))) * scale
        left, width = (middle, length) if length >= 0 else (middle + length, -length)
        kind = "met" if goal.is_met else "missed"
        rows.append(f'<text x="{_LEFT - 12}" y="{y + 15}" text-anchor="end">{escape(goal.figure)}</text>')
        rows.append(f'<rect x="{left:.1f}" y="{y + 3}" width="{max(width, 1):.1f}" height="16" class="{kind}"/>')
        value = escape(f"{goal.measured:.3g} ({goal.sign} {goal.wanted:g})")
        rows.append(f'<text x="{_WIDTH - 12}" y="{y + 15}" text-anchor="end" class="quiet">{value}</text>')
    rows.append(f'<path d="M{middle},{_TOP - 6} V{height - 26}" stroke="#1b1f24" stroke-width="1.5"/>')
    for factor in (1 / _MOST, 1 / 2, 2, _MOST):
        x = middle + math.log(factor) / math.log(_MOST) * scale
        rows.append(f'<path d="M{x:.1f},{_TOP - 6} V{height - 26}" stroke="#d0d7de" stroke-dasharray="3 3"/>')
        rows.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" class="quiet">{factor:g} x</text>')
    rows.append("</svg>\n")
    return "\n".join(rows)
