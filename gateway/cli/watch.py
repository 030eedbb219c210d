"""`mqttgateway watch`: shows the messages on a configuration's topics as internal messages."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from gateway.cli.broker_session import connect
from gateway.cli.shown import BLUE, GREEN, GREY, RED, paint, readable
from gateway.configuration.settings import Configuration
from gateway.core.paths import NAME
from gateway.core.topic import filter_problem, without_covered
from gateway.devices.document import JSON_KINDS
from gateway.errors import MessageError, TopicError, UsageError
from gateway.message import HEALTH, REQUEST_ENDS, RUN, Arrival, InternalMsg
from gateway.mqtt.link_state import LinkState
from gateway.translation.mqtt_map import MsgMap


def watch(configuration: Configuration, options: argparse.Namespace) -> int:
    """Print the messages that the maps subscribe to or whose topics are under their roots; return 0.

    With `--topic`, those are printed that match this filter. Ends at Ctrl-C, or after `--count` messages.
    """
    if options.topic is not None and (problem := filter_problem(options.topic)):
        raise UsageError(f"--topic {options.topic!a}: {problem}")
    maps = list(dict.fromkeys(interface.msg_map for interface in configuration.interfaces))
    colours = sys.stdout.isatty()
    lines: deque[str] = deque()
    printed = 0

    def on_msg(arrival: Arrival) -> None:
        topic, payload = arrival.topic, arrival.payload
        if options.raw or not _is_wanted(maps, topic, payload, options.device):
            return
        is_availability = topic in configuration.availability_topics
        line = availability_line(topic, payload) if is_availability else _line(maps, topic, payload, colours)
        if line is None:
            return
        mark = " (retained)" if arrival.retain else ""
        lines.append(f"{_now(colours)} {line}{mark}")

    def on_packet(message: Any) -> None:
        topic, payload = message.topic, bytes(message.payload)
        if options.raw and _is_wanted(maps, topic, payload, options.device):
            marks = f"QoS {message.qos}{', retained' if message.retain else ''}"
            properties = "".join(f"\n    {text}" for text in property_texts(message.properties))
            head = f"{_now(colours)} {paint(readable(topic), BLUE, colours)} {paint(f'({marks})', GREY, colours)}"
            lines.append(f"{head} {readable(payload)}{properties}")

    filters: Iterable[str] = (
        [options.topic]
        if options.topic is not None
        else without_covered(f for msg_map in maps for f in (f"{msg_map.root}/#", *msg_map.filters()))
    )
    with connect(configuration, "watch", filters, on_msg, options.log_level, on_packet) as client:
        was_up = True
        try:
            while True:
                # Printed here and not in on_msg: the client would swallow the error of a closed pipe.
                while lines:
                    print(lines.popleft(), flush=True)  # noqa: T201
                    printed += 1
                    if printed == options.count:
                        return 0
                client.loop_with_reconnect(1.0)
                is_up = client.link_state is LinkState.UP
                if is_up and not was_up:  # the log has reported the loss of the connection
                    print(f"{NAME}: connected again", file=sys.stderr)  # noqa: T201
                was_up = is_up
        except KeyboardInterrupt:
            return 0


def _now(colours: bool) -> str:
    return paint(datetime.now().strftime("%H:%M:%S.%f")[:-3], GREY, colours)


def _is_wanted(maps: Sequence[MsgMap], topic: str, payload: bytes, device: str | None) -> bool:
    """Return whether a message is one of this device: by its words, or, if no map reads it, by a level of its topic."""
    if device is None:
        return True
    words = []
    for msg_map in maps:
        with contextlib.suppress(MessageError):
            words.append(msg_map.mqtt2internal(topic, payload).device)
    return any(fnmatchcase(word, device) for word in words or topic.split("/"))


def property_texts(properties: Any) -> Iterator[str]:
    """Yield the properties of a message of MQTT 5, each as a text; none of another version."""
    values = {} if properties is None else properties.json()
    for name, value in values.items():
        if name == "SubscriptionIdentifier":  # that of this subscription, and nothing of the message
            continue
        for each in value if name == "UserProperty" else [value]:
            shown = " = ".join(map(str, each)) if isinstance(each, list | tuple) else str(each)
            yield f"{name}: {readable(shown)}"


def _line(maps: Sequence[MsgMap], topic: str, payload: bytes, colours: bool) -> str | None:
    """Return the line of a message, read by the first map that can; if none can, the line contains the reason.

    Returns None for the messages that a gateway publishes to itself (`run`).
    """
    problems: list[MessageError] = []
    for msg_map in maps:
        try:
            return message_line(msg_map.mqtt2internal(topic, payload), colours)
        except MessageError as err:
            problems.append(err)
    if topic.endswith("/availability") and all(isinstance(err, TopicError) for err in problems):
        return availability_line(topic, payload)
    is_document = topic.rpartition("/")[2] in (*JSON_KINDS, HEALTH) or topic.endswith(REQUEST_ENDS)
    if is_document and all(isinstance(err, TopicError) for err in problems):
        return document_line(topic, payload)
    if topic.endswith(f"/{RUN}") and all(isinstance(err, TopicError) for err in problems):
        return None
    # With several maps, the reason of a map that knows the topic matters more than that another does not know it.
    problem = max(problems, key=lambda err: not isinstance(err, TopicError))
    return paint(f"not read: {problem} ({topic!a})", RED, colours)


def document_line(topic: str, payload: bytes) -> str:
    """Return the line of a document of a device or a gateway, such as its state, or of a request to a gateway."""
    device, _, kind = topic.rpartition("/")
    return f"{readable(device)}: {kind} {readable(payload)}"


def availability_line(topic: str, payload: bytes) -> str:
    """Return the line of an availability message: whose it is, and whether it is online."""
    return f"{readable(topic.removesuffix('/availability'))} is {readable(payload)}"


def message_line(msg: InternalMsg, colours: bool = False) -> str:
    """Return a message as one readable line, its kind in colour."""
    kind, _, text = str(msg).partition(" ")
    return f"{paint(f'{kind:<7}', BLUE if msg.iscmd else GREEN, colours)} {text}"
