"""`mqttgateway send`: sends a command or a status through the map of a configuration, and shows the answer."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

from gateway.errors import ConfigurationError, Finding, GatewayError, MessageError
from gateway.load_config import Configuration, InterfaceOptions
from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg
from gateway.visit import visit
from gateway.watch_command import message_line


def send(configuration: Configuration, options: argparse.Namespace) -> int:
    """Send what the command line says; return 0, or 1 if an answer says `ERROR`."""
    interface = _choose(configuration, options.interface)
    sender = options.sender or f"{configuration.name}-send"
    msg_map = interface.msg_map.for_sender(sender)
    words = {name: getattr(options, name) for name in (*ADDRESS_FIELDS, "action")}
    msg = InternalMsg(iscmd=not options.status, arguments=_arguments(options.arg), **{**words, "sender": sender})
    try:
        publication = msg_map.internal2mqtt(msg)
    except MessageError as err:
        raise GatewayError(f"not sent: {err}") from err
    answers: list[InternalMsg] = []

    def take(topic: str, payload: bytes, _retain: bool) -> None:
        try:
            heard = msg_map.mqtt2internal(topic, payload)
        except MessageError:
            return
        if is_answer(heard, msg):
            answers.append(heard)
            print(message_line(heard))  # noqa: T201

    filters = [f"{msg_map.root}/+/+/+/+/+/S"] if msg.iscmd else []
    with visit(configuration, "send", filters, take) as client:
        print(message_line(msg))  # noqa: T201
        client.outbox.put(publication)
        deadline = time.monotonic() + (options.wait if msg.iscmd else 0.0)
        while not answers and time.monotonic() < deadline:
            client.loop_with_reconnect(deadline - time.monotonic())
    if msg.iscmd and not answers:
        print(f"no answer within {options.wait:g} s")  # noqa: T201
    return 1 if any(answer.argument("response") == "ERROR" for answer in answers) else 0


def is_answer(heard: InternalMsg, command: InternalMsg) -> bool:
    """Tell whether a status is the reply to `command`: same address and action, with a response."""
    return (
        not heard.iscmd
        and "response" in heard.arguments
        and heard.action == command.action
        and all(getattr(heard, name) == getattr(command, name) for name in ADDRESS_FIELDS if name != "sender")
    )


def _choose(configuration: Configuration, name: str | None) -> InterfaceOptions:
    if name is None:
        return configuration.interfaces[0]
    for interface in configuration.interfaces:
        if interface.name == name:
            return interface
    known = ", ".join(interface.name for interface in configuration.interfaces)
    finding = Finding("--interface", 0, 0, "", f"no interface is called {name!r}", f"there are: {known}")
    raise ConfigurationError([finding])


def _arguments(given: Sequence[str]) -> dict[str, Argument]:
    arguments: dict[str, Argument] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            finding = Finding("--arg", 0, 0, "", f"{text!a} is not NAME=VALUE", "for example --arg level=50")
            raise ConfigurationError([finding])
        try:
            arguments[name] = json.loads(value)
        except (ValueError, RecursionError):
            arguments[name] = value
    return arguments
