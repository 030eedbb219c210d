"""How a record of the log is written: a line with its time, or one for the journal.

Every form, also those that are derived from it, is without secrets and without control characters, so that no device
and no broker can forge a line.
"""

from __future__ import annotations

import logging
import time

from gateway.core.quoting import escaped
from gateway.logs.masking import Masker
from gateway.logs.record_text import text_of

_LONGEST_LINE = 1000  # characters of a message; the remainder is cut off
_CLOCK_STEP = 0.1  # s: a larger difference means that the clock was set; a smaller one, that it is adjusted gradually
_SD_PRIORITY = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}  # logging level to sd-daemon(3) priority


class LineFormatter(logging.Formatter):
    """Writes a record as one line with date, time and level; a traceback keeps its lines.

    With `for_journal`, every line begins with a priority, and has no time: the journal has both. `with_thread` adds the
    name of the thread.
    """

    default_msec_format = "%s.%03d"

    def __init__(self, masker: Masker, *, for_journal: bool = False, with_thread: bool = False) -> None:
        super().__init__()
        self._masker = masker
        self._for_journal = for_journal
        self._with_thread = with_thread
        self._latest = 0.0  # Unix time (s) of the previous line
        self._clock_offset = 0.0  # s between Unix time and monotonic time

    def time_of(self, record: logging.LogRecord) -> float:
        """Return the Unix time (s) of a line, which is never earlier than that of the line above it.

        A record gets its time before it waits for the lock of the handler, so another thread may overtake it. Such a
        record is written with the time of the line above it. After the clock was set back, times start again from
        there.
        """
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > _CLOCK_STEP:
            self._clock_offset, self._latest = offset, 0.0
        self._latest = max(self._latest, record.created)
        return self._latest

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        message = self.clean(text_of(record)).replace("\n", "\\n")
        if len(message) > _LONGEST_LINE:  # after masking, which does not find half a secret
            message = f"{message[:_LONGEST_LINE]}... ({len(message)} characters)"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)  # kept for other handlers, as in `logging`
        details = "\n".join(filter(None, (record.exc_text, record.stack_info)))
        text = self.laid_out(record, message, self.clean(details))
        if self._for_journal:
            priority = f"<{_SD_PRIORITY.get(record.levelno, 6)}>"
            text = priority + text.replace("\n", f"\n{priority}")
        return text

    def laid_out(self, record: logging.LogRecord, message: str, details: str) -> str:
        """Return the lines for a `message` and its `details`, such as a traceback; both are clean."""
        name = self.clean(record.name)
        if self._for_journal:
            return joined(f"{name}: {message}", details)
        seconds, milliseconds = divmod(int(self.time_of(record) * 1000), 1000)
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
        thread = f"{self.clean(record.threadName or '?')} " if self._with_thread else ""
        return joined(f"{moment}.{milliseconds:03d} {record.levelname:<7} {thread}{name}: {message}", details)

    def clean(self, text: str) -> str:
        """Return `text` without secrets and without control characters except line breaks."""
        return escaped(self._masker.mask(text), keeps_lines=True)


def joined(line: str, details: str) -> str:
    """Return a line with the lines of its `details` below it, if it has any."""
    return f"{line}\n{details}" if details else line
