"""The log as JSON, for programs that collect logs: one object in a line."""

from __future__ import annotations

import datetime
import json
import logging

from gateway.logs.formats import LineFormatter
from gateway.logs.levels import interface_of


class JsonFormatter(LineFormatter):
    """Writes a record as one JSON object in one line, for programs that collect logs."""

    def laid_out(self, record: logging.LogRecord, message: str, details: str) -> str:
        """Return the object of a record."""
        moment = datetime.datetime.fromtimestamp(self.time_of(record)).astimezone()
        members = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": self.clean(record.name),
            "interface": self.clean(interface_of(record)),
            "thread": self.clean(record.threadName or ""),
            "message": message,
            "traceback": details,
        }
        return json.dumps({name: text for name, text in members.items() if text}, ensure_ascii=False)
