"""`mqttgateway outbox list|purge|export`: what waits on disk, while the gateway does not run."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from paho.mqtt.client import topic_matches_sub

from gateway.configuration.settings import Configuration
from gateway.errors import GatewayError, UsageError
from gateway.message import Lane
from gateway.outbox.store import OutboxStore, Row, SetAsideRow
from gateway.topic import filter_problem

_SHOWN = 60  # characters of a payload in a list


def outbox(configuration: Configuration, options: argparse.Namespace) -> int:
    """Do what the command line says with the outbox of a configuration; return the exit code."""
    path = configuration.outbox.file
    if path is None:
        raise GatewayError("this configuration keeps its outbox in memory: there is nothing to look at (outbox.store)")
    if options.topic is not None and filter_problem(options.topic):
        raise UsageError(f"--topic: {options.topic!a}: {filter_problem(options.topic)}")
    if not path.exists():
        print(f"{path}: nothing waits (there is no such file yet)", file=sys.stderr)  # noqa: T201
        return 0
    with contextlib.closing(OutboxStore(path, must_exist=True)) as store:
        if options.outbox_command == "list":
            _list(store, options)
        elif options.outbox_command == "export":
            _export(store, options)
        else:
            _purge(store, options)
    return 0


def _list(store: OutboxStore, options: argparse.Namespace) -> None:
    aside = _aside(store, options)
    shown = 0
    counts = dict.fromkeys(Lane, 0)
    for row in _rows(store, options):
        counts[Lane(row.lane)] += 1
        if shown < options.count:
            shown += 1
            print(f"{_when(row.since)} {Lane(row.lane).name.lower():<6} {row.topic} {_payload(row.payload)}")  # noqa: T201
    total = sum(counts.values())
    if shown < total:
        print(f"... and {total - shown} more (--count)")  # noqa: T201
    for found in aside[: options.count]:
        print(f"{_when(found.since)} set aside {found.topic} {_payload(found.payload)}: {found.reason}")  # noqa: T201
    lanes = ", ".join(f"{number} {lane.name.lower()}" for lane, number in counts.items() if number)
    waiting = "" if options.set_aside else f"{total} messages wait{f' ({lanes})' if lanes else ''}, "
    print(f"{waiting}{len(aside)} are set aside")  # noqa: T201


def _export(store: OutboxStore, options: argparse.Namespace) -> None:
    for row in _rows(store, options):
        print(json.dumps({**_common(row), "lane": Lane(row.lane).name.lower()}, ensure_ascii=False))  # noqa: T201
    for found in _aside(store, options):
        print(json.dumps({**_common(found), "set_aside": found.reason}, ensure_ascii=False))  # noqa: T201


def _purge(store: OutboxStore, options: argparse.Namespace) -> None:
    numbers = [row.number for row in _rows(store, options)]
    aside = _aside(store, options)
    waiting = "" if options.set_aside else f"{len(numbers)} messages that wait and "
    what = f"{waiting}{len(aside)} that are set aside"
    if not options.yes:
        raise UsageError(f"purge removes {what} for good: say --yes (and export them before, perhaps)")
    store.purge(numbers, [found.number for found in aside])
    print(f"removed {what}")  # noqa: T201


def _rows(store: OutboxStore, options: argparse.Namespace) -> Iterator[Row]:
    if not options.set_aside:
        yield from (row for row in store.iterate() if _is_meant(row.topic, options))


def _aside(store: OutboxStore, options: argparse.Namespace) -> list[SetAsideRow]:
    return [row for row in store.set_aside_rows() if _is_meant(row.topic, options)]


def _is_meant(topic: str, options: argparse.Namespace) -> bool:
    return options.topic is None or topic_matches_sub(options.topic, topic)


def _common(row: Row | SetAsideRow) -> dict[str, Any]:
    members: dict[str, Any] = {"since": datetime.fromtimestamp(row.since).astimezone().isoformat(), "topic": row.topic}
    try:
        members["payload"] = row.payload.decode("utf-8")
    except UnicodeDecodeError:
        members["payload_base64"] = base64.b64encode(row.payload).decode("ascii")
    return {**members, "qos": row.qos, "retain": bool(row.retain)}


def _when(since: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))


def _payload(payload: bytes) -> str:
    text = payload.decode("utf-8", "backslashreplace")
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
