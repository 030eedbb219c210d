"""`mqttgateway send`: sends a command or a status through the map of a configuration, and shows the answer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from gateway.cli.broker_session import connect
from gateway.cli.message_options import chosen_interfaces, message_from
from gateway.cli.unanswered import why_unanswered
from gateway.cli.watch import message_line
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.errors import GatewayError, MessageError, UsageError
from gateway.message import ADDRESS_FIELDS, Arrival, InternalMsg, Publication
from gateway.translation.mqtt_map import MsgMap


def send(configuration: Configuration, options: argparse.Namespace) -> int:
    """Send the message of the command line; return 0 if the answer is `OK`, and 1 if not.

    Without waiting for an answer (`--status`, `--wait 0`), 0 means that the broker has accepted the message. Raises
    `GatewayError` if there is no answer in time.
    """
    interfaces = chosen_interfaces(configuration, options.interface)
    sender = options.sender or f"{configuration.name}-send"
    msg = message_from(options, sender=sender)
    msg_map, publication = _publication_of(interfaces, msg, sender)
    is_awaited = msg.iscmd and options.wait > 0
    answers: list[InternalMsg] = []
    availability: dict[str, bytes] = {}

    def on_msg(arrival: Arrival) -> None:
        if arrival.topic in configuration.availability_topics:
            availability[arrival.topic] = arrival.payload
            return
        try:
            status = msg_map.mqtt2internal(arrival.topic, arrival.payload)
        except MessageError:
            return
        if is_answer(status, msg):
            answers.append(status)

    filters = (*msg_map.filters(statuses_only=True), *configuration.availability_topics) if is_awaited else ()
    with connect(configuration, "send", filters, on_msg, options.log_level) as client:
        print(message_line(msg))  # noqa: T201
        client.outbox.put(publication)
        deadline = time.monotonic() + (options.wait if is_awaited else 0.0)
        while not answers and time.monotonic() < deadline:
            client.loop_with_reconnect(deadline - time.monotonic())
    for answer in answers:
        print(message_line(answer))  # noqa: T201
    if is_awaited and not answers:
        reason = why_unanswered(configuration, interfaces, msg, publication.topic, availability)
        raise GatewayError(f"no answer within {options.wait:g} s: {reason}")
    return 1 if any(answer.argument("response") != "OK" for answer in answers) else 0


def _publication_of(
    interfaces: Sequence[InterfaceOptions], msg: InternalMsg, sender: str
) -> tuple[MsgMap, Publication]:
    """Return the publication of `msg`, and the map that wrote it.

    A message is sent once, also where several interfaces have a map. Raises `UsageError` if two maps would write it
    differently, or if it has neither an action nor arguments, and `GatewayError` if no map can write it.
    """
    maps = {interface.msg_map: interface.msg_map.for_sender(sender, topics=()) for interface in interfaces}
    if not msg.action and not msg.arguments and not any(_needs_no_action(each, msg.iscmd) for each in maps):
        raise UsageError("which action? give --action WORD, for example --action LAMP_ON")
    publications: dict[tuple[str, bytes], tuple[MsgMap, Publication]] = {}
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
        publications.setdefault(key, (msg_map, publication))
        names.setdefault(key, []).append(interface.name)
    if not publications:
        if len(set(problems.values())) == 1:
            raise GatewayError(f"not sent: {next(iter(problems.values()))}")
        raise GatewayError("\n".join(f"not sent through {name}: {problem}" for name, problem in problems.items()))
    if len(publications) > 1:
        variants = "; ".join(f"{', '.join(names[topic, payload])}: {topic}" for topic, payload in publications)
        raise UsageError(
            f"the maps of the interfaces write this message differently ({variants}): choose one with --interface"
        )
    return next(iter(publications.values()))


def _needs_no_action(msg_map: MsgMap, iscmd: bool) -> bool:
    """Return whether the syntax has a form of this kind that has no place for an action."""
    return any(form.iscmd == iscmd and "action" not in form.places for form in msg_map.syntax)


def is_answer(status: InternalMsg, command: InternalMsg) -> bool:
    """Return whether `status` is the reply to `command`: it has the same address and action, and a response."""
    return (
        not status.iscmd
        and "response" in status.arguments
        and status.action == command.action
        and all(getattr(status, name) == getattr(command, name) for name in ADDRESS_FIELDS if name != "sender")
    )
