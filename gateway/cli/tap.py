"""`mqttgateway tap`: follows the messages through a running gateway."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

from gateway.cli.running import gateway_name, reading_reply, within
from gateway.cli.shown import readable
from gateway.cli.tap_lines import TapLines
from gateway.control.client import GoneError, NotRunningError, follow
from gateway.core.counting import counted
from gateway.core.paths import NAME
from gateway.core.topic import filter_problem
from gateway.errors import UsageError

_LOOK = 0.2  # s between two looks whether to stop
_RETRY = 1.0  # s between two attempts to reach a gateway that has stopped
_FILTERS = ("device", "rule", "topic", "outcome")


def tap(options: argparse.Namespace) -> int:
    """Print what the running gateway tells of its messages; return 0. Raises `ControlError`.

    Ends at Ctrl-C, after `--count` messages, or after `--for` seconds. If the gateway stops, it is waited for.
    """
    if options.topic is not None and (problem := filter_problem(options.topic)):
        raise UsageError(f"--topic {options.topic!a}: {problem}")
    name = gateway_name(options)
    is_terminal = sys.stdout.isatty()
    lines = TapLines(shutil.get_terminal_size().columns if is_terminal else None, colours=is_terminal)
    printed = 0
    try:
        for line in within(options.duration, _events(name, options)):
            if "lost" in line:
                _say(f"{counted(line['lost'], 'message is', 'messages are')} missing here: they came too fast for this")
            if "note" not in line:
                continue
            with reading_reply():
                texts = [json.dumps(line["note"])] if options.json else list(lines.lines(line["note"]))
            for text in texts:
                print(text)  # noqa: T201
            printed += 1
            if printed == options.count:
                break
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    return 0


def _events(name: str, options: argparse.Namespace) -> Iterator[dict[str, Any] | None]:
    """Yield what comes from the gateway, and None now and then; connect again if it was stopped."""
    arguments = {key: getattr(options, key) for key in _FILTERS if getattr(options, key) is not None}
    arguments |= {key: True for key in ("raw", "drops") if getattr(options, key)}
    is_first = True
    while True:
        try:
            events = follow(name, "tap", os.environ, _LOOK, **arguments)
            next(events)
        except (NotRunningError, GoneError):
            if is_first:
                raise
            time.sleep(_RETRY)
            yield None
            continue
        if not is_first:
            _say(f"the gateway {name!a} runs again")
        elif sys.stdout.isatty():  # a person would not know whether nothing happens, or nothing is followed
            _say(f"following {name} (Ctrl-C ends)")
        is_first = False
        reason = "it was killed, or has ended this view because it was not read"
        for event in events:
            if event is not None and "end" in event:
                reason = readable(str(event["end"]))
                continue
            yield event
        _say(f"the gateway {name!a} has gone: {reason}; waiting for it to run again (Ctrl-C ends)")


def _say(text: str) -> None:
    """Print what is no message of the gateway, so that it does not come between those that are passed on."""
    sys.stdout.flush()
    print(f"{NAME}: {text}", file=sys.stderr, flush=True)  # noqa: T201
