"""Commands from the page: what a client of the broker would send, and what became of it.

A command goes the way of all others: it is written with the map, read with it, checked, filtered and put into the inbox
of its interface, so that it has one outcome. That is found by following the messages.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.control.protocol import Answer
from gateway.core.tap import ANSWER, DROPPED, TAP, WAITING, Follower, Note
from gateway.core.topic import filter_matches
from gateway.devices.argument_values import TYPE_WORDS, is_same, read_boolean, read_integer, read_number
from gateway.devices.point import Point, PointType
from gateway.devices.value import MAX_TEXT, is_value
from gateway.message import Argument, Arrival, ReplyTo, iso_time
from gateway.page.device import find, is_button, values_of
from gateway.page.source import Source
from gateway.runtime.interface_host import InterfaceHost
from gateway.translation.client_commands import ClientCommands, CommandError
from gateway.web.access import RequestError
from gateway.web.app import Request, Route

SENDER = "page"
"""The word of the sender in the commands of the page."""

MOST_WAITING = 2
"""Commands that are waited for at the same time, each in a thread of the web server."""

LONGEST_WAIT = 15.0
"""Seconds for an outcome to come."""

_FOR_A_PLACE = 0.5  # s; most outcomes come within milliseconds
_INTERVAL = 0.03  # s between two looks at what has come
_MOST_VALUES, _LONGEST_VALUE = 20, 100  # choices, and characters of each, in a sentence
_MOST_NOTES = 2000  # that are looked at in one go


class Commands:
    """Sends commands to devices."""

    def __init__(self, source: Source, longest_wait: float = LONGEST_WAIT) -> None:
        self._source = source
        self._longest_wait = longest_wait
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._closed = threading.Event()

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {("POST", "/api/command"): Route(self._command, is_writing=True)}

    def close(self) -> None:
        """Wait for no outcome any more."""
        self._closed.set()

    def _command(self, request: Request) -> Mapping[str, Any]:
        host, device = find(self._source, request.body)
        key = request.text("point")
        points = device.device.points if device is not None else ()
        point = next((each for each in points if each.key == key and each.writes), None)
        if device is None or point is None:
            raise RequestError("404 Not Found", f"nothing can be written to {key!a:.100} of this device")
        arrival = self._written(host, ClientCommands(
            host.options.msg_map, device.device, host.options.own_address, SENDER
        ), point, checked(point, request.body.get("value")))  # fmt: skip
        if not self._waiting.acquire(timeout=_FOR_A_PLACE):
            raise RequestError(
                "503 Service Unavailable", "other commands are still waiting for their outcome: send it again later"
            )
        follower = Follower()
        TAP.follow(follower)
        try:
            is_received = self._deliver(arrival)
            note = self._outcome(follower, arrival, host.options.name, is_received=is_received)
        finally:
            TAP.unfollow(follower)
            self._waiting.release()
        return self._result(note, arrival)

    def _written(self, host: InterfaceHost, commands: ClientCommands, point: Point, value: Argument) -> Arrival:
        """Return the command as the broker would deliver it.

        Raises `RequestError` if a client could not send it so that this gateway receives it.
        """
        try:
            msg = commands.of_value(point, value)
            timestamp = self._source.gateway.configuration.commands.timestamp_argument
            if timestamp:
                msg = msg.with_arguments({**msg.arguments, timestamp: iso_time(time.time())})
            publication = commands.written(msg)
        except CommandError as err:
            raise RequestError("409 Conflict", self._source.masker().mask(f"{err}: {err.remedy}")) from err
        topic = publication.topic
        if not any(filter_matches(each, topic) for each in host.options.msg_map.topics):
            what = f"the gateway does not subscribe to {topic}, the topic of the command: add it to topics"
            raise RequestError("409 Conflict", what)
        return Arrival(topic, publication.payload, reply_to=ReplyTo("", secrets.token_bytes(8)))

    def _deliver(self, arrival: Arrival) -> bool:
        """Have the main thread deliver a command; return whether an interface has received it."""
        router = self._source.gateway.router

        def deliver(answer: Answer) -> None:
            before = router.counts["delivered"]
            router.deliver(arrival)
            answer({"is_received": router.counts["delivered"] > before})

        return bool(self._source.ask(deliver)["is_received"])

    def _outcome(self, follower: Follower, arrival: Arrival, interface: str, *, is_received: bool) -> Note | None:
        """Return what became of a command: its outcome, or why no interface has received it; None: nothing yet."""
        end = time.monotonic() + self._longest_wait
        dropped: Note | None = None
        while True:
            notes, _ = follower.take(_MOST_NOTES)
            for note in notes:
                if note.steps[0][2] is not arrival or note.outcome == WAITING:
                    continue
                if note.outcome != DROPPED:
                    return note
                if dropped is None or note.interface == interface:
                    dropped = note
            if not is_received and len(notes) < _MOST_NOTES:
                return dropped
            if time.monotonic() > end or self._closed.wait(_INTERVAL):
                return None

    def _result(self, note: Note | None, arrival: Arrival) -> dict[str, Any]:
        mask = self._source.masker().mask
        payload = mask(arrival.payload.decode(errors="backslashreplace"))
        result: dict[str, Any] = {"topic": arrival.topic, "payload": payload, "time": time.time()}
        if note is None:
            when = "yet, and the page ends" if self._closed.is_set() else f"after {self._longest_wait:g} s"
            return {**result, "outcome": "waiting", "reason": f"there is no outcome {when}: see the messages"}
        if note.outcome == DROPPED:
            return {**result, "outcome": "REFUSED", "where": note.where, "reason": mask(note.reason)}
        took = round((note.steps[-1][1] - note.steps[0][1]) * 1000, 1)
        result |= {"time": note.time, "outcome": mask(note.outcome), "reason": mask(note.reason), "ms": took}
        stages = json.loads(self._source.writer.line(note))["note"]["stages"]
        answers = [stage for stage in stages if stage["stage"] == ANSWER]
        return {**result, "answer": answers[-1]} if answers else result  # the words of the device


def checked(point: Point, value: object) -> Argument:
    """Return the value for a point that a browser has sent. Raises `RequestError` with what it may be otherwise."""
    if is_button(point):
        return None
    result = _typed(point, value)
    values = values_of(point)
    if values is not None:
        chosen = next((each for each in values if is_same(result, each) or is_same(value, each)), None)
        if chosen is None:
            raise _wrong(point, _alternatives(values))
        return chosen
    if result is None or not is_value(result) or (isinstance(result, str) and len(result) > MAX_TEXT):
        raise _wrong(point, f"{TYPE_WORDS.get(point.type.value, 'one of its choices')}{_range(point)}")
    if isinstance(result, int | float) and not isinstance(result, bool):
        low, high = point.minimum, point.maximum
        if not (-math.inf if low is None else low) <= result <= (math.inf if high is None else high):
            raise _wrong(point, f"{TYPE_WORDS[point.type.value]}{_range(point)}")
    return result


def _typed(point: Point, value: object) -> Argument:
    if point.type is PointType.BOOLEAN:
        return read_boolean(value)
    if point.type is PointType.INTEGER:
        return read_integer(value)
    if point.type is PointType.NUMBER:
        return read_number(value)
    if point.type is PointType.CHOICE:
        return value if isinstance(value, str | int | float | bool) else None
    return value if isinstance(value, str) else None


def _range(point: Point) -> str:
    """Return in words which numbers a point takes."""
    unit = f" {point.unit}" if point.unit else ""
    if point.minimum is not None and point.maximum is not None:
        return f" from {point.minimum:g} to {point.maximum:g}{unit}"
    if point.minimum is not None:
        return f" of at least {point.minimum:g}{unit}"
    return f" of at most {point.maximum:g}{unit}" if point.maximum is not None else ""


def _alternatives(values: Sequence[Argument]) -> str:
    texts = [json.dumps(each, ensure_ascii=False)[:_LONGEST_VALUE] for each in values[:_MOST_VALUES]]
    more = ", ..." if len(values) > _MOST_VALUES else ""
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]])) + more


def _wrong(point: Point, what: str) -> RequestError:
    return RequestError("400 Bad Request", f"{point.name or point.key} must be {what}")
