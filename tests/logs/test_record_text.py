"""A wrong call of the log, as of a vendor's library, ends nothing, and is written as far as it can be."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: the handlers of the test runner do not accept such lines.
PROGRAM = """
import logging
from gateway.logs.init_logger import LogOptions, init_logger
from gateway.logs.last_error import last_error

class Unshowable:
    def __str__(self):
        raise ValueError("no")

init_logger(LogOptions(), (), {}, ["line"])
for name in ("vendor.library", "mqttgateway.interfaces"):
    logger = logging.getLogger(name)
    logger.warning("%d devices", "x")
    logger.warning("a %s %s", 1)
    logger.warning("line: %s", Unshowable())
    logger.warning(Unshowable())
    print(last_error().text)
"""


def test_a_wrong_call_raises_nothing_and_is_written() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [line.split("WARNING ")[1].rpartition(" at ")[0] for line in ran.stderr.splitlines()]
    wrong = "(not a correct call of the log"
    assert lines == [
        f"{name}: {text} {wrong}"
        for name in ("vendor.library", "mqttgateway.interfaces")
        for text in ("%d devices", "a %s %s", "line: %s", "Unshowable")
    ]
    assert ran.stderr.splitlines()[0].endswith("<string>:13: TypeError)")
    assert ran.stderr.splitlines()[2].endswith("<string>:15: ValueError)")
    assert [line.partition(" ")[0] for line in ran.stdout.splitlines()] == ["Unshowable"] * 2
