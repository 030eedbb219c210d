"""The text of a record of the log, also of one that was logged in a wrong way."""

from __future__ import annotations

import logging


def text_of(record: logging.LogRecord) -> str:
    """Return the message of `record`; if its arguments do not fit, or fail to show themselves, where it was logged.

    The filters of a handler run in the code that logs: an exception of theirs would end that code, which may be a
    library that a device needs. A line that cannot be shown must not.
    """
    try:
        return record.getMessage()
    except Exception as err:  # noqa: BLE001  (whatever an argument raises)
        what = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        return f"{what} (not a correct call of the log at {record.pathname}:{record.lineno}: {type(err).__name__})"
