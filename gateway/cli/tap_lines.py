"""The notes of a live view as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.cli.shown import GREEN, GREY, RED, YELLOW, paint, readable
from gateway.core.counting import counted
from gateway.core.tap import (
    ACKNOWLEDGED,
    DELIVERED,
    DROPPED,
    FRAME,
    HELD,
    MESSAGE,
    PUBLISH,
    READ,
    RULE,
    SENT,
    WAITING,
)

_COLOURS = {
    ACKNOWLEDGED: GREEN, SENT: GREEN, DELIVERED: GREEN, "OK": GREEN, WAITING: YELLOW, HELD: YELLOW,
}  # fmt: skip
_WAITS = {
    PUBLISH: "it waits in the outbox",
    SENT: "the broker has not acknowledged it yet",
    MESSAGE: "the interface has not taken it yet",
}
_INDENT = " " * 4
_ROW = 16  # bytes in a row of hexadecimal numbers
_LONGEST = 200  # characters of a frame or a payload in a line; JSON has more of it


class TapLines:
    """Writes notes as lines that are `width` characters wide at most where that is possible; None: one line each.

    Names of interfaces are aligned with the longest that has come.
    """

    def __init__(self, width: int | None, *, colours: bool) -> None:
        self._width = width
        self._colours = colours
        self._name_width = 0
        self._last: dict[str, datetime] = {}  # when the last bytes of each interface came

    def lines(self, note: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of a note."""
        stages: Sequence[Mapping[str, Any]] = note["stages"]
        moment = datetime.fromisoformat(note["time"]).astimezone()
        name = readable(note["interface"]) or "-"
        self._name_width = max(self._name_width, min(20, len(name)))
        if not note["outcome"]:
            yield from self._bytes(moment, name, stages[0])
            return
        clock, outcome = moment.strftime("%H:%M:%S.%f")[:-3], readable(note["outcome"])
        head = (
            f"{paint(clock, GREY, self._colours)} "
            f"{paint(f'{outcome:<12}', _COLOURS.get(outcome, RED), self._colours)} {name:<{self._name_width}}"
        )
        parts = [_part(stage) for stage in stages]
        if note.get("reason") or note["outcome"] == WAITING:
            parts.append(_end(note))
        length = len(clock) + 1 + max(12, len(outcome)) + 1 + max(len(name), self._name_width)
        yield from self._wrapped(head, length, [part for part in parts if part])

    def _wrapped(self, head: str, length: int, parts: Sequence[str]) -> Iterator[str]:
        """Yield `head`, which is `length` characters wide, and the parts behind it, with arrows between them.

        A part that does not fit begins a line of its own, and goes on in the next ones if it is too long for that.
        """
        arrow = paint("->", GREY, self._colours)
        line = head
        for index, part in enumerate(parts):
            begin = f"{arrow} " if index else ""
            width = len(part) + (3 if index else 0)
            if self._width is None or length + 1 + width <= self._width:
                line, length = f"{line} {begin}{part}", length + 1 + width
                continue
            yield line.rstrip()
            rows = list(_rows(part, max(1, self._width - len(_INDENT) - 3)))
            begin = begin or "   "
            for row in rows[:-1]:
                yield f"{_INDENT}{begin}{row}"
                begin = "   "
            line, length = f"{_INDENT}{begin}{rows[-1]}", len(_INDENT) + 3 + len(rows[-1])
        yield line

    def _bytes(self, moment: datetime, name: str, stage: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of bytes that were read or written, with the time since the bytes before them."""
        before, self._last[name] = self._last.get(name), moment
        passed = "" if before is None else f"+{(moment - before).total_seconds():.3f} s"
        clock = moment.strftime("%H:%M:%S.%f")[:-3]
        middle = f" {passed:>10} {name:<{self._name_width}} "
        verb, count = f"{stage['stage']:<7}", f" {counted(stage['bytes'], 'byte')}: "
        room = _LONGEST
        if self._width is not None:  # less quotes and dots
            room = max(8, self._width - sum(map(len, (clock, middle, verb, count))) - 5)
        colour = GREEN if stage["stage"] == READ else YELLOW
        head = f"{paint(clock, GREY, self._colours)}{middle}{paint(verb, colour, self._colours)}{count}"
        yield f"{head}{_quoted(stage, room)}"
        digits = stage["hex"]
        for at in range(0, len(digits), 2 * _ROW):
            row = digits[at : at + 2 * _ROW]
            yield _INDENT + " ".join(row[i : i + 2] for i in range(0, len(row), 2))


def _rows(text: str, width: int) -> Iterator[str]:
    """Yield `text` in rows of this width, the last of them at least one; they end behind a space where that is near."""
    while len(text) > width:
        space = text.rfind(" ", width // 2, width) + 1
        yield text[: space or width]
        text = text[space or width :]
    yield text


def _part(stage: Mapping[str, Any]) -> str:
    """Return what a line shows of a stage; an empty text: nothing."""
    kind, took = stage["stage"], _duration(stage["ms"])
    if kind == READ:
        return counted(stage["bytes"], "byte") if stage["bytes"] else ""
    if kind == RULE:
        return f"rule {readable(stage['rule'])}{took}"
    if "topic" in stage:
        return f"{readable(stage['topic'])} {readable(_shortened(stage['payload'], stage['bytes']))}{took}"
    if "message" in stage:
        return f"{readable(stage['message'])}{took}"
    if "text" in stage:
        verb = "" if kind == FRAME else f"{kind} "
        return f"{verb}{_quoted(stage, _LONGEST)}{took}"
    return f"{kind}{took}"


def _end(note: Mapping[str, Any]) -> str:
    """Return why the way of a message has ended, or where it waits."""
    outcome, reason = note["outcome"], readable(note.get("reason", ""))
    if outcome == WAITING:
        return _WAITS.get(note["stages"][-1]["stage"], "the interface has not answered yet")
    return f"{DROPPED} ({readable(note['where'])}): {reason}" if outcome == DROPPED else f"{outcome}: {reason}"


def _duration(milliseconds: float) -> str:
    """Return the time that a stage took, if it is worth showing."""
    if milliseconds < 0.01:
        return ""
    if milliseconds >= 1000:
        return f" ({milliseconds / 1000:.1f} s)"
    return f" ({milliseconds:.2f} ms)" if milliseconds < 10 else f" ({milliseconds:.0f} ms)"


def _quoted(stage: Mapping[str, Any], longest: int) -> str:
    """Return bytes as text between quotes, or, if most of them are none, in hexadecimal."""
    text, digits = stage["text"], stage["hex"]
    if text.count("\\x") * 4 > len(text) // 2:
        text = " ".join(digits[i : i + 2] for i in range(0, len(digits), 2))
        return readable(text) if len(text) <= longest else f"{readable(text[:longest])}..."
    return f"'{readable(text)}'" if len(text) <= longest else f"'{readable(text[:longest])}...'"


def _shortened(text: str, size: int) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({counted(size, 'byte')})"
