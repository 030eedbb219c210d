"""`mqttgateway check`: says what a configuration amounts to, and what it makes of a frame or a command.

Reaching this far means that the configuration is right. Nothing is opened.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence

from gateway.cli.message_options import chosen_interfaces, message_from, message_words
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.paths import SERVICE_CONF, SERVICE_STATE
from gateway.errors import ConfigurationError, MessageError, Problem, UsageError
from gateway.interface import Interface
from gateway.map_tools.lane_notes import lane_notes
from gateway.message import InternalMsg
from gateway.mqtt.options import MqttOptions
from gateway.routing.message_filter import MessageFilter


def check(configuration: Configuration, options: argparse.Namespace) -> int:
    """Print what the command line asks for; return the exit code.

    That is 1 if a frame or a command was given and no interface takes it.
    """
    if configuration.no_folders:
        raise ConfigurationError(configuration.no_folders)
    interfaces = chosen_interfaces(configuration, options.interface)
    if not _asks(options):
        given = message_words(options)
        if given:
            raise UsageError(f"{given[0]} is a word of a command: which action has it? add --action WORD")
        for line in _summary(configuration, interfaces):
            print(line)  # noqa: T201
        return 0
    results = [_explain(interface, options, is_named=len(interfaces) > 1) for interface in interfaces]
    return 0 if any(results) else 1


def _asks(options: argparse.Namespace) -> bool:
    return options.frame is not None or options.hex is not None or bool(options.action or options.arg)


def _summary(configuration: Configuration, interfaces: Sequence[InterfaceOptions]) -> Iterator[str]:
    mqtt = configuration.mqtt
    count = len(configuration.warnings)
    yield f"{configuration.file}: good{f', but for {count} warnings' if count else ''}"
    yield f"  gateway       {configuration.name}, client id {mqtt.client_id}"
    yield f"  broker        {', then '.join(map(str, mqtt.brokers))}{_carrier(mqtt)}"
    yield f"  protocol      {_protocol(configuration)}"
    yield f"  outbox        {_kept(configuration)}"
    yield f"  availability  {configuration.availability_topic()}"
    yield from (f"                {configuration.availability_topic(interface.name)}" for interface in interfaces)
    for interface in interfaces:
        yield f"  interface     {interface.name} ({interface.cls.__module__}.{interface.cls.__name__})"
        yield f"    root        {interface.msg_map.root or '-'}"
        yield f"    sender      {interface.msg_map.sender}"
        yield from (f"    subscribes  {topic_filter}" for topic_filter in interface.msg_map.topics)
        yield from _filters("in", interface.filters.incoming)
        yield from _filters("out", interface.filters.outgoing)
    yield from (f"  warning       {warning}" for warning in configuration.warnings)
    maps = dict.fromkeys(interface.msg_map for interface in interfaces)
    notes = (*configuration.notes, *(note for msg_map in maps for note in lane_notes(msg_map)))
    yield from (f"  note          {note}" for note in dict.fromkeys(notes))


def _kept(configuration: Configuration) -> str:
    """Return where the outbox is kept, and for whom."""
    outbox = configuration.outbox
    if outbox.file is None:
        is_for_service = not outbox.is_place_chosen and configuration.file.absolute().parent == SERVICE_CONF
        as_service = "; run by systemd, it is kept on disk" if is_for_service else ""
        return f"in memory: what waits is lost when the gateway is killed (see outbox.file){as_service}"
    is_of_service = not outbox.is_place_chosen and outbox.file.parent == SERVICE_STATE
    return f"{outbox.file}{' (where systemd runs it)' if is_of_service else ''}"


def _filters(way: str, filters: Sequence[MessageFilter]) -> Iterator[str]:
    for one in filters:
        yield f"    {way:<10}  {one.name}, what no rule fits is {'passed' if one.passes_unmatched else 'dropped'}"
        yield from (f"                {step}" for step in one.steps)


def _carrier(mqtt: MqttOptions) -> str:
    carriers = [f"websockets at {mqtt.path}"] if mqtt.transport == "websockets" else []
    carriers += ["TLS"] if mqtt.tls.enabled else []
    return f" with {' and '.join(carriers)}" if carriers else ""


def _protocol(configuration: Configuration) -> str:
    mqtt = configuration.mqtt
    if mqtt.version != 5:
        return "MQTT 3.1.1"
    is_kept = configuration.replays and mqtt.session_expiry
    session = f", session kept for {mqtt.session_expiry} s (a rule has replay)" if is_kept else ""
    return f"MQTT 5{session}; MQTT 3.1.1 where that is refused"


def _explain(interface: InterfaceOptions, options: argparse.Namespace, *, is_named: bool) -> bool:
    """Print what an interface makes of what is given; return whether it takes all of it."""
    if is_named:
        print(f"{interface.name}:")  # noqa: T201
    takes = True
    for line in _explanation(interface, options):
        print(line)  # noqa: T201
        takes = takes and not isinstance(line, Problem)
    return takes


def _explanation(interface: InterfaceOptions, options: argparse.Namespace) -> Iterator[str | Problem]:
    cls = interface.cls if issubclass(interface.cls, Interface) else Interface
    for data in _frames(options, interface.params.get("encoding", "utf-8")):
        for part in cls.explain_frame(interface.params, data):
            yield from _message(interface, part) if isinstance(part, InternalMsg) else [part]
    if options.action or options.arg:
        msg = message_from(options, sender=options.sender)
        yield str(msg)
        yield from cls.explain_command(interface.params, msg)


def _message(interface: InterfaceOptions, msg: InternalMsg) -> Iterator[str | Problem]:
    yield f"  {msg}"
    try:
        publication = interface.msg_map.internal2mqtt(msg)
    except MessageError as err:
        yield Problem((), f"    not sent: {err}")
        return
    yield f"    topic    {publication.topic}"
    yield f"    payload  {publication.payload.decode('utf-8')}"


_ESCAPES = {"\\\\": b"\\", "\\r": b"\r", "\\n": b"\n", "\\t": b"\t"}


def _frames(options: argparse.Namespace, encoding: str) -> Iterator[bytes]:
    if options.frame is not None:
        frame = b""
        for part in re.findall(r"\\x[0-9a-fA-F]{2}|\\.|\\$|[^\\]+", options.frame, re.DOTALL):
            if part[0] != "\\":
                try:
                    frame += part.encode(encoding)
                except UnicodeEncodeError as err:
                    raise _wrong("--frame", options.frame, f"it cannot be written as {encoding}") from err
            elif part in _ESCAPES:
                frame += _ESCAPES[part]
            elif part.startswith("\\x") and len(part) == 4:
                frame += bytes.fromhex(part[2:])
            else:
                raise _wrong("--frame", options.frame, "escapes are \\r, \\n, \\t, \\\\ and \\xNN")
        yield frame
    if options.hex is not None:
        try:
            yield bytes.fromhex(options.hex)
        except ValueError as err:
            raise _wrong("--hex", options.hex, "for example --hex 'AA 55 01'") from err


def _wrong(option: str, given: str, remedy: str) -> UsageError:
    return UsageError(f"{option}: {given!a} is not bytes: {remedy}")
