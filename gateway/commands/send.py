"""`mqttgateway send`: sends a command or a status through the map of a configuration, and shows the answer."""

from __future__ import annotations

import argparse
import time

from gateway.commands.message_options import choose_interface, message_from
from gateway.commands.visit import visit
from gateway.commands.watch import message_line
from gateway.configuration.settings import Configuration
from gateway.errors import GatewayError, MessageError
from gateway.message import ADDRESS_FIELDS, Arrival, InternalMsg


def send(configuration: Configuration, options: argparse.Namespace) -> int:
    """Send what the command line says; return 0, or 1 if an answer says anything but `OK`."""
    interface = choose_interface(configuration, options.interface)
    sender = options.sender or f"{configuration.name}-send"
    msg_map = interface.msg_map.for_sender(sender, topics=())
    msg = message_from(options, sender=sender)
    try:
        publication = msg_map.internal2mqtt(msg)
    except MessageError as err:
        raise GatewayError(f"not sent: {err}") from err
    answers: list[InternalMsg] = []

    def take(arrival: Arrival) -> None:
        try:
            heard = msg_map.mqtt2internal(arrival.topic, arrival.payload)
        except MessageError:
            return
        if is_answer(heard, msg):
            answers.append(heard)

    filters = msg_map.filters(statuses_only=True) if msg.iscmd else ()
    with visit(configuration, "send", filters, take) as client:
        print(message_line(msg))  # noqa: T201
        client.outbox.put(publication)
        deadline = time.monotonic() + (options.wait if msg.iscmd else 0.0)
        while not answers and time.monotonic() < deadline:
            client.loop_with_reconnect(deadline - time.monotonic())
    for answer in answers:
        print(message_line(answer))  # noqa: T201
    if msg.iscmd and not answers:
        print(f"no answer within {options.wait:g} s")  # noqa: T201
    return 1 if any(answer.argument("response") != "OK" for answer in answers) else 0


def is_answer(heard: InternalMsg, command: InternalMsg) -> bool:
    """Tell whether a status is the reply to `command`: same address and action, with a response."""
    return (
        not heard.iscmd
        and "response" in heard.arguments
        and heard.action == command.action
        and all(getattr(heard, name) == getattr(command, name) for name in ADDRESS_FIELDS if name != "sender")
    )
