"""`mqttgateway send`: sends a command or a status through the map of a configuration, and shows the answer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from gateway.cli.broker_session import visit
from gateway.cli.message_options import chosen_interfaces, message_from
from gateway.cli.unanswered import why_unanswered
from gateway.cli.watch import message_line
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.errors import GatewayError, MessageError, UsageError
from gateway.message import ADDRESS_FIELDS, Arrival, InternalMsg, Publication
from gateway.translation.mqtt_map import MsgMap


def send(configuration: Configuration, options: argparse.Namespace) -> int:
    """Send what the command line says; return 0, or 1 if no answer has come, or one that is not `OK`.

    Where no answer is waited for, 0 says that the broker has the message.
    """
    interfaces = chosen_interfaces(configuration, options.interface)
    sender = options.sender or f"{configuration.name}-send"
    msg = message_from(options, sender=sender)
    msg_map, publication = _written(interfaces, msg, sender)
    is_awaited = msg.iscmd and options.wait > 0
    answers: list[InternalMsg] = []
    availability: dict[str, bytes] = {}

    def take(arrival: Arrival) -> None:
        if arrival.topic in configuration.availability_topics:
            availability[arrival.topic] = arrival.payload
            return
        try:
            heard = msg_map.mqtt2internal(arrival.topic, arrival.payload)
        except MessageError:
            return
        if is_answer(heard, msg):
            answers.append(heard)

    filters = (*msg_map.filters(statuses_only=True), *configuration.availability_topics) if is_awaited else ()
    with visit(configuration, "send", filters, take) as client:
        print(message_line(msg))  # noqa: T201
        client.outbox.put(publication)
        deadline = time.monotonic() + (options.wait if is_awaited else 0.0)
        while not answers and time.monotonic() < deadline:
            client.loop_with_reconnect(deadline - time.monotonic())
    for answer in answers:
        print(message_line(answer))  # noqa: T201
    if is_awaited and not answers:
        why = why_unanswered(configuration, interfaces, msg, publication.topic, availability)
        raise GatewayError(f"no answer within {options.wait:g} s: {why}")
    return 1 if any(answer.argument("response") != "OK" for answer in answers) else 0


def _written(interfaces: Sequence[InterfaceOptions], msg: InternalMsg, sender: str) -> tuple[MsgMap, Publication]:
    """Return how `msg` is sent, and the map that writes it so.

    A message goes out once. Raises `UsageError` if two maps would write it differently, or if it says nothing, and
    `GatewayError` if no map can write it.
    """
    maps = {interface.msg_map: interface.msg_map.for_sender(sender, topics=()) for interface in interfaces}
    if not msg.action and not msg.arguments and not any(_needs_no_action(one, msg.iscmd) for one in maps):
        raise UsageError("which action? give --action WORD, for example --action LAMP_ON")
    found: dict[tuple[str, bytes], tuple[MsgMap, Publication]] = {}
    names: dict[tuple[str, bytes], list[str]] = {}
    problems: dict[str, str] = {}
    for interface in interfaces:
        msg_map = maps[interface.msg_map]
        try:
            publication = msg_map.internal2mqtt(msg)
        except MessageError as err:
            problems[interface.name] = str(err)
            continue
        key = publication.topic, publication.payload
        found.setdefault(key, (msg_map, publication))
        names.setdefault(key, []).append(interface.name)
    if not found:
        if len(set(problems.values())) == 1:
            raise GatewayError(f"not sent: {next(iter(problems.values()))}")
        raise GatewayError("\n".join(f"not sent through {name}: {problem}" for name, problem in problems.items()))
    if len(found) > 1:
        ways = "; ".join(f"{', '.join(names[topic, payload])}: {topic}" for topic, payload in found)
        raise UsageError(f"the maps of the interfaces write it differently ({ways}): choose one with --interface")
    return next(iter(found.values()))


def _needs_no_action(msg_map: MsgMap, iscmd: bool) -> bool:
    """Return whether the syntax has a form of this kind in which nothing says an action."""
    return any(form.iscmd == iscmd and "action" not in form.places for form in msg_map.syntax)


def is_answer(heard: InternalMsg, command: InternalMsg) -> bool:
    """Tell whether a status is the reply to `command`: same address and action, with a response."""
    return (
        not heard.iscmd
        and "response" in heard.arguments
        and heard.action == command.action
        and all(getattr(heard, name) == getattr(command, name) for name in ADDRESS_FIELDS if name != "sender")
    )
