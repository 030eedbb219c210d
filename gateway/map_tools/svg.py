"""Draws a map as SVG 1.1 (W3C, 2011): one file without scripts and references, for a browser or a document. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from gateway.map_tools.graph import OTHER_WORDS, Drawing, Panel, columns, cut

# Pixels. A character of a 13 pixel monospaced font is about 7.8 wide.
_WIDTH, _MARGIN, _ROW, _GAP, _BOX_HEIGHT = 900, 24, 23, 5, 20
_BASELINE = 4.5  # distance of the baseline below the middle; not every viewer supports `dominant-baseline`
_CHARACTER = 7.9
_BOX = 350
_LEFT, _RIGHT = _MARGIN, _WIDTH - _MARGIN - _BOX
_MAX_BOX = int((_BOX - 16) / _CHARACTER)
_MAX_LINE = int((_WIDTH - 2 * _MARGIN) / _CHARACTER)

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>
text {{ font: 13px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1b1f24; }}
.title {{ font-size: 17px; font-weight: bold; }}
.head {{ font-weight: bold; }}
.quiet {{ fill: #57606a; }}
.internal {{ fill: #ddeafc; stroke: #2f6db5; }}
.mqtt {{ fill: #e2f4e5; stroke: #2e8540; }}
.alias {{ fill: #ffffff; stroke: #2e8540; stroke-dasharray: 4 3; }}
.both, .read {{ fill: none; stroke: #57606a; stroke-width: 1.4; }}
.read {{ stroke-dasharray: 4 3; }}
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" \
orient="auto-start-reverse"><path d="M0,0.5 L7.5,4 L0,7.5 z" fill="#57606a"/></marker></defs>
<rect width="{width}" height="{height}" fill="#ffffff"/>
"""


def draw_svg(drawing: Drawing) -> str:
    """Return a drawing as the text of an SVG file."""
    lines: list[str] = []
    y = _MARGIN + 8.0
    lines.append(_text(_LEFT, y, drawing.title, "title"))
    y += _ROW
    lines.append(_text(_LEFT, y, f"root {drawing.root}"))
    y += _ROW
    if drawing.empty:
        lines.append(_text(_LEFT, y, drawing.empty))
        y += _ROW
    lines.append(_text(_LEFT, y, "filters" if drawing.filters else "no filters: the gateway receives nothing", "head"))
    for topic_filter in drawing.filters:
        y += _ROW - 6
        lines.append(_text(_LEFT + 16, y, topic_filter))
    if drawing.forms:
        y += _ROW
        lines.append(_text(_LEFT, y, "forms", "head"))
    for form in drawing.forms:
        y += _ROW - 6
        lines.append(_text(_LEFT + 16, y, form))
    for panel in drawing.panels:
        y += 1.6 * _ROW
        lines.append(_text(_LEFT, y, f"{panel.field}, {panel.maptype}", "head"))
        lines.append(_text(_RIGHT, y, OTHER_WORDS[panel.maptype], "quiet"))
        lines += _panel(panel, y + _ROW)
        y += sum(_ROW * len(words) + _GAP for _, words in panel.entries)
        if panel.left_out:
            y += _ROW
            lines.append(_text(_LEFT, y, f"and {panel.left_out} more", "quiet"))
    if drawing.plain:
        y += 1.6 * _ROW
        lines.append(_text(_LEFT, y, f"{', '.join(drawing.plain)}: {OTHER_WORDS['none']}", "quiet"))
    if drawing.panels:
        y += 1.6 * _ROW
        lines += _legend(y)
    height = round(y + _MARGIN + 8)
    return _HEAD.format(width=_WIDTH, height=height) + "\n".join(lines) + "\n</svg>\n"


def _panel(panel: Panel, y: float) -> Iterator[str]:
    for internal, words in panel.entries:
        middle = y + _ROW * (len(words) - 1) / 2
        yield _box(_LEFT, middle, internal, "internal")
        for index, word in enumerate(words):
            yield _box(_RIGHT, y, word, "alias" if index else "mqtt")
            yield _line(_LEFT + _BOX, middle, _RIGHT, y, is_written=index == 0)
            y += _ROW
        y += _GAP


def _legend(y: float) -> Iterator[str]:
    for x, text, is_written in ((_LEFT, "written and read", True), (_WIDTH / 2, "only read", False)):
        yield _line(x, y, x + 60, y, is_written=is_written)
        yield _text(x + 72, y, text, "quiet")


def _box(x: float, y: float, word: str, kind: str) -> str:
    top = y - _BOX_HEIGHT / 2
    rect = f'<rect class="{kind}" x="{x:g}" y="{top:g}" width="{_BOX}" height="{_BOX_HEIGHT}" rx="4"/>'
    return rect + _text(x + 8, y, word, "", _MAX_BOX)


def _line(x: float, y: float, to_x: float, to_y: float, *, is_written: bool) -> str:
    bend = (to_x - x) / 2
    path = f"M{x + 2:g},{y:g} C{x + bend:g},{y:g} {to_x - bend:g},{to_y:g} {to_x - 2:g},{to_y:g}"
    kind, end = ("both", ' marker-end="url(#arrow)"') if is_written else ("read", "")
    return f'<path class="{kind}" d="{path}" marker-start="url(#arrow)"{end}/>'


def _text(x: float, y: float, text: str, kind: str = "", limit: int = _MAX_LINE) -> str:
    """Return a text, cut after `limit` columns; if it is cut, the whole text is its tooltip."""
    tooltip = f"<title>{escape(text)}</title>" if columns(text) > limit else ""
    css_class = f' class="{kind}"' if kind else ""
    return f'<text{css_class} x="{x:g}" y="{y + _BASELINE:g}">{tooltip}{escape(cut(text, limit))}</text>'
