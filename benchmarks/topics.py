"""The test data: the lines of the device, their topics and payloads, and the check that all have arrived."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from benchmarks.report import WrongResultError

LINK_TOPIC = "bench/bench/availability"
READY_TOPIC = "bench/bench/device/availability"
COMMAND_TOPIC = "bench/climate//lab/probe/harness/C"
STATUS_TOPIC = "bench/climate//lab/probe/bench/S"
FILTERS = ("bench/+/+/+/+/+/S", "bench/+/availability", "bench/+/+/availability")


def lines(count: int) -> list[bytes]:
    """Return the lines of the device, which are like `T 21.5`, no two of them equal."""
    return [f"T {number / 10}\n".encode() for number in range(count)]


def payloads(count: int) -> list[bytes]:
    """Return the payloads expected for `lines(count)`."""
    return [json.dumps({"action": "TEMPERATURE", "celsius": number / 10}).encode() for number in range(count)]


def last_of_legacy(count: int) -> bytes:
    """Return the last of `payloads(count)` as version 1.1.4 writes it."""
    return json.dumps({"celsius": (count - 1) / 10, "action": "TEMPERATURE"}).encode()


def commands(count: int) -> list[bytes]:
    """Return the payloads of `count` commands, no two the same."""
    return [json.dumps({"action": "SET", "n": number}).encode() for number in range(count)]


def _content(payload: bytes) -> object:
    """Return the content of a payload, whatever its order: version 1.1.4 writes the action last."""
    return json.loads(payload) if payload.startswith(b"{") else payload


def check_arrived(received: Iterable[tuple[str, bytes]], expected: Sequence[bytes]) -> None:
    """Raise `WrongResultError` unless `expected` has arrived: all of it, once, in order, on the right topic."""
    topics, got = set(), []
    for topic, payload in received:
        topics.add(topic)
        got.append(payload)
    if topics - {STATUS_TOPIC}:
        raise WrongResultError(f"messages on other topics: {sorted(topics - {STATUS_TOPIC})[:3]}")
    if got != list(expected) and list(map(_content, got)) != list(map(_content, expected)):
        lost = len(set(expected) - set(got))
        pairs = zip(got, expected, strict=False)
        first = next(
            (index for index, (actual, right) in enumerate(pairs) if actual != right), min(len(got), len(expected))
        )
        raise WrongResultError(
            f"{len(got)} messages instead of {len(expected)}, {lost} lost; number {first} is the first wrong one"
        )
