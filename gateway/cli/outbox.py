"""`mqttgateway outbox list|retry|purge|export`: waiting messages and dead letters.

While the gateway runs, it answers `list` and `retry`. Otherwise, and for the other commands, its file is read.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from paho.mqtt.client import topic_matches_sub

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.configuration.settings import Configuration
from gateway.control.client import NotRunningError
from gateway.control.protocol import ControlError, printable
from gateway.core.counting import counted
from gateway.core.paths import SERVICE_STATE
from gateway.core.topic import filter_problem
from gateway.errors import GatewayError, UsageError
from gateway.message import Lane
from gateway.outbox.dead_letters import Retried, retry_in_file
from gateway.outbox.listing import DEAD_LETTER, Listed, Page, from_dead_letter, from_row, page_of
from gateway.outbox.options import OutboxOptions
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.store import LockedStoreError, OutboxStore


def outbox(configuration: Configuration | None, options: argparse.Namespace) -> int:
    """Run the `outbox` command of the command line; return the exit code.

    A running gateway answers `list` and `retry`. Without a `configuration`, it must run.
    """
    if options.topic is not None and filter_problem(options.topic):
        raise UsageError(f"--topic: {options.topic!a}: {filter_problem(options.topic)}")
    if options.outbox_command in ("list", "retry"):
        name = configuration.name if configuration is not None else gateway_name(options)
        try:
            if options.outbox_command == "list":
                _print_list(_running_parts(name, options), options)
            else:
                reply = ask_gateway(name, "outbox retry", topic=options.topic)
                with reading_reply():
                    print(Retried(**reply))  # noqa: T201
        except NotRunningError as err:
            if configuration is None:
                raise NotRunningError(f"{err}, or read its file with --conf FILE") from err
        else:
            return 0
    if configuration is None:
        raise UsageError(f"{options.outbox_command} needs the file of the outbox: give --conf FILE")
    path = configuration.outbox.file
    if path is None:
        raise GatewayError(_why_no_file(configuration.outbox))
    if not path.exists():
        print(f"{path}: no messages are waiting (there is no such file yet)", file=sys.stderr)  # noqa: T201
        return 0
    try:
        store = OutboxStore(path, must_exist=True)
    except LockedStoreError as err:
        if _runs(configuration.name):
            raise GatewayError(f"the gateway {configuration.name!a} runs: stop it first") from err
        raise
    print(f"in {path}:", file=sys.stderr)  # noqa: T201  (not where an export goes)
    with contextlib.closing(store):
        _IN_FILE[options.outbox_command](store, options)
    return 0


def _why_no_file(options: OutboxOptions) -> str:
    reason = "this configuration keeps its outbox in memory: there is no file to read"
    if options.is_place_chosen:
        return f"{reason} (outbox.store)"
    return f"{reason}; if systemd runs it, its file is in {SERVICE_STATE}, which root can read"


def _runs(name: str) -> bool:
    try:
        ask_gateway(name, "status")
    except ControlError as err:
        return not isinstance(err, NotRunningError)
    return True


def _list(store: OutboxStore, options: argparse.Namespace) -> None:
    waiting = page_of(map(from_row, _rows(store, options)), lambda _: True, options.count, sys.maxsize)
    dead = page_of(map(from_dead_letter, _dead_letters(store, options)), lambda _: True, options.count, sys.maxsize)
    _print_list((waiting, dead), options)


def _running_parts(name: str, options: argparse.Namespace) -> Iterator[Page]:
    """Yield the pages of a running gateway: messages that wait on disk and in memory, then dead letters."""
    for part in ("waiting", "memory", DEAD_LETTER):
        after: int | None = 0 if part == DEAD_LETTER or not options.dead_letters else None
        shown = 0
        while after is not None:
            reply = ask_gateway(
                name, "outbox list", part=part, topic=options.topic, after=after, count=max(0, options.count - shown)
            )
            with reading_reply():
                page = Page([Listed(*row) for row in reply["rows"]], dict(reply["lanes"]), reply["next"])
            shown += len(page.rows)
            after = page.next
            yield page


def _print_list(pages: Iterable[Page], options: argparse.Namespace) -> None:
    shown = {False: 0, True: 0}  # by whether they are dead letters
    counts: dict[str, int] = {}
    is_first_dead = True
    for page in pages:
        for lane, number in page.lanes.items():
            counts[lane] = counts.get(lane, 0) + number
        is_dead = DEAD_LETTER in page.lanes
        total = sum(counts.values())
        if is_dead and is_first_dead:
            is_first_dead = False
            _print_more(total - counts[DEAD_LETTER] - shown[False])
        for row in page.rows[: max(0, options.count - shown[is_dead])]:
            shown[is_dead] += 1
            lane, reason = ("dead letter", f": {row.reason}") if is_dead else (f"{row.lane:<6}", "")
            print(printable(f"{_date(row.since)} {lane} {row.topic} {row.payload}{reason}"))  # noqa: T201
    dead = counts.pop(DEAD_LETTER, 0)
    total = sum(counts.values())
    _print_more(total - shown[False] if is_first_dead else dead - shown[True])
    lanes = ", ".join(f"{counts[lane]} {lane}" for lane in (each.name.lower() for each in Lane) if lane in counts)
    waiting = "" if options.dead_letters else f"{counted(total, 'message')} waiting{f' ({lanes})' if lanes else ''}, "
    print(f"{waiting}{counted(dead, 'dead letter')}")  # noqa: T201


def _print_more(count: int) -> None:
    if count:
        print(f"... and {count} more (--count N)")  # noqa: T201


def _retry(store: OutboxStore, options: argparse.Namespace) -> None:
    print(retry_in_file(store, lambda topic: _matches(topic, options), time.time()))  # noqa: T201


def _export(store: OutboxStore, options: argparse.Namespace) -> None:
    for row in _rows(store, options):
        print(json.dumps({**_common(row), "lane": Lane(row.lane).name.lower()}, ensure_ascii=False))  # noqa: T201
    for dead in _dead_letters(store, options):
        print(json.dumps({**_common(dead), "dead_letter": dead.reason}, ensure_ascii=False))  # noqa: T201


def _purge(store: OutboxStore, options: argparse.Namespace) -> None:
    numbers = [row.number for row in _rows(store, options)]
    dead = _dead_letters(store, options)
    waiting = "" if options.dead_letters else f"{counted(len(numbers), 'waiting message')} and "
    what = f"{waiting}{counted(len(dead), 'dead letter')}"
    if not options.yes:
        raise UsageError(f"purge removes {what} for good: confirm with --yes (and export them first, if need be)")
    store.purge(numbers, [row.number for row in dead])
    print(f"removed {what}")  # noqa: T201


def _rows(store: OutboxStore, options: argparse.Namespace) -> Iterator[Row]:
    if not options.dead_letters:
        yield from (row for row in store.iterate() if _matches(row.topic, options))


def _dead_letters(store: OutboxStore, options: argparse.Namespace) -> list[DeadLetterRow]:
    return [row for row in store.dead_letter_rows() if _matches(row.topic, options)]


def _matches(topic: str, options: argparse.Namespace) -> bool:
    return options.topic is None or topic_matches_sub(options.topic, topic)


def _common(row: Row | DeadLetterRow) -> dict[str, Any]:
    members: dict[str, Any] = {"since": datetime.fromtimestamp(row.since).astimezone().isoformat(), "topic": row.topic}
    try:
        members["payload"] = row.payload.decode("utf-8")
    except UnicodeDecodeError:
        members["payload_base64"] = base64.b64encode(row.payload).decode("ascii")
    if row.property_name:
        members["user_property"] = {row.property_name: row.property_value}
    return {**members, "qos": row.qos, "retain": bool(row.retain)}


_IN_FILE = {"list": _list, "export": _export, "purge": _purge, "retry": _retry}


def _date(since: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
