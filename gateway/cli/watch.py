"""`mqttgateway watch`: shows the traffic of a configuration's topics as internal messages."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from datetime import datetime

from gateway.cli.broker_session import visit
from gateway.configuration.settings import Configuration
from gateway.core.paths import NAME
from gateway.core.topic import without_covered
from gateway.errors import MessageError, TopicError
from gateway.message import RUN, Arrival, InternalMsg
from gateway.mqtt.link_state import LinkState
from gateway.translation.mqtt_map import MsgMap

_GREY, _BLUE, _GREEN, _RED, _PLAIN = "\033[2m", "\033[34m", "\033[32m", "\033[31m", "\033[0m"


def watch(configuration: Configuration, count: int | None = None) -> int:
    """Print what the maps read and what is under their roots, until interrupted or `count` messages have come."""
    maps = list(dict.fromkeys(interface.msg_map for interface in configuration.interfaces))
    colours = sys.stdout.isatty()
    lines: deque[str] = deque()
    shown = 0

    def take(arrival: Arrival) -> None:
        topic, payload = arrival.topic, arrival.payload
        own = topic in configuration.availability_topics
        line = availability_line(topic, payload) if own else _read(maps, topic, payload, colours)
        if line is None:
            return
        mark = " (retained)" if arrival.retain else ""
        when = _paint(datetime.now().strftime("%H:%M:%S.%f")[:-3], _GREY, colours)
        lines.append(f"{when} {line}{mark}")

    filters = without_covered(f for msg_map in maps for f in (f"{msg_map.root}/#", *msg_map.filters()))
    with visit(configuration, "watch", filters, take) as client:
        was_up = True
        try:
            while True:
                while lines:  # not printed in take(): the client would keep the error of a closed pipe to itself
                    print(lines.popleft(), flush=True)  # noqa: T201
                    shown += 1
                    if shown == count:
                        return 0
                client.loop_with_reconnect(1.0)
                is_up = client.link_state is LinkState.UP
                if is_up and not was_up:
                    print(f"{NAME}: connected again", file=sys.stderr)  # noqa: T201  (that it was lost, the log says)
                was_up = is_up
        except KeyboardInterrupt:
            return 0


def _read(maps: Sequence[MsgMap], topic: str, payload: bytes, colours: bool) -> str | None:
    """Return the line of a message, by the first map that reads it; of an availability; or why no map reads it.

    None for what a gateway publishes for itself.
    """
    problems: list[MessageError] = []
    for msg_map in maps:
        try:
            return message_line(msg_map.mqtt2internal(topic, payload), colours)
        except MessageError as err:
            problems.append(err)
    if topic.endswith("/availability") and all(isinstance(err, TopicError) for err in problems):
        return availability_line(topic, payload)
    if topic.endswith(f"/{RUN}") and all(isinstance(err, TopicError) for err in problems):
        return None
    # That it is no topic of one map says nothing where another map knows the topic.
    problem = max(problems, key=lambda err: not isinstance(err, TopicError))
    return _paint(f"not read: {problem} ({topic!a})", _RED, colours)


def availability_line(topic: str, payload: bytes) -> str:
    """Return the line of an availability: who is there, or not."""
    return f"{ascii(topic.removesuffix('/availability'))[1:-1]} is {ascii(payload)[2:-1]}"


def message_line(msg: InternalMsg, colours: bool = False) -> str:
    """Return a message as one line that people can read, its kind in colour."""
    kind, _, rest = str(msg).partition(" ")
    return f"{_paint(f'{kind:<7}', _BLUE if msg.iscmd else _GREEN, colours)} {rest}"


def _paint(text: str, colour: str, colours: bool) -> str:
    return f"{colour}{text}{_PLAIN}" if colours else text
