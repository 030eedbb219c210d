"""The log at a terminal, for a person who watches it: short names, wrapped lines, colours."""

from __future__ import annotations

import logging
import os
import textwrap
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from gateway.core.package_logger import short_name
from gateway.logs.formats import LineFormatter, joined
from gateway.logs.masking import Masker

_COLOURS = {10: "2", 30: "33", 40: "31", 50: "1;31"}  # logging level to SGR parameters: dim, yellow, red, bold red
_INDENT = " " * len("12:00:00 ")
_NARROWEST = 40  # columns: in fewer, nothing is wrapped well


class TerminalFormatter(LineFormatter):
    """Writes a record for a person at a terminal: short names, wrapped, the date only where it changes.

    `width` returns the columns of the terminal.
    """

    def __init__(self, masker: Masker, width: Callable[[], int], *, has_colours: bool) -> None:
        super().__init__(masker)
        self._width = width
        self._has_colours = has_colours
        self._date = ""

    def laid_out(self, record: logging.LogRecord, message: str, details: str) -> str:
        """Return the lines of a record, below the date if it is the first of that day."""
        moment = time.localtime(self.time_of(record))
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        head = f"{time.strftime('%H:%M:%S', moment)} {level}"
        text = f"{head}{self.clean(short_name(record.name))}: {message}"
        width = max(_NARROWEST, self._width())
        if len(text) > width:
            text = "\n".join(
                textwrap.wrap(
                    text,
                    width,
                    subsequent_indent=_INDENT,
                    break_long_words=False,  # such as paths and topics: they can be copied as a whole
                    break_on_hyphens=False,
                )
            )
        text = joined(self._coloured(record.levelno, head) + text[len(head) :], details)
        date = time.strftime("%Y-%m-%d", moment)
        if date == self._date:
            return text
        self._date = date
        return f"{date}\n{text}"

    def _coloured(self, level: int, head: str) -> str:
        colour = _COLOURS.get(level)
        return f"\x1b[{colour}m{head}\x1b[0m" if self._has_colours and colour else head


def has_colours(environment: Mapping[str, str]) -> bool:
    """Return whether a terminal shows colours, and its user wants them (https://no-color.org)."""
    return not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"


def columns_of(stream: TextIO) -> int:
    """Return how many columns the terminal of `stream` has; 80 if that is not known."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):  # ValueError: the stream has no descriptor
        return 80
