"""`mqttgateway check`: summarises a configuration, or shows how it reads a frame or writes a command.

The configuration has been loaded, so it is valid. Nothing is opened.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence

from gateway.cli.message_options import address_options, chosen_interfaces, message_from
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.counting import counted
from gateway.core.paths import SERVICE_CONF, SERVICE_STATE
from gateway.devices.document import RETAINED_KINDS
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.errors import ConfigurationError, Problem, UsageError
from gateway.map_tools.lane_notes import lane_notes
from gateway.mqtt.options import MqttOptions
from gateway.routing.message_filter import MessageFilter
from gateway.workbench.explanation import Published, explain_command, explain_frame, frame_from_hex, frame_from_text


def check(configuration: Configuration, options: argparse.Namespace) -> int:
    """Print a summary, or how the frame or command of the command line is translated; return the exit code.

    That is 1 if there is a frame or a command and no interface accepts it. Raises `ConfigurationError` if the folder
    of a file does not exist.
    """
    if configuration.no_folders:
        raise ConfigurationError(configuration.no_folders)
    interfaces = chosen_interfaces(configuration, options.interface)
    if not _is_translation(options):
        words = address_options(options)
        if words:
            raise UsageError(f"{words[0]} belongs to a command, and a command needs an action: add --action WORD")
        for line in _summary(configuration, interfaces):
            print(line)  # noqa: T201
        return 0
    results = [_explain(interface, options, is_named=len(interfaces) > 1) for interface in interfaces]
    return 0 if any(results) else 1


def _is_translation(options: argparse.Namespace) -> bool:
    """Return whether the command line gives a frame or a command to translate."""
    return options.frame is not None or options.hex is not None or bool(options.action or options.arg)


def _summary(configuration: Configuration, interfaces: Sequence[InterfaceOptions]) -> Iterator[str]:
    mqtt = configuration.mqtt
    count = len(configuration.warnings)
    warnings = f", with {count} warning{'s' if count > 1 else ''}" if count else ""
    yield f"{configuration.file}: OK{warnings}"
    yield f"  gateway       {configuration.name}, client id {mqtt.client_id}"
    yield f"  broker        {', then '.join(map(str, mqtt.brokers))}{_transport(mqtt)}"
    yield f"  protocol      {_protocol(configuration)}"
    yield f"  outbox        {_outbox(configuration)}"
    yield f"  availability  {configuration.availability_topic()}"
    yield from (f"                {configuration.availability_topic(interface.name)}" for interface in interfaces)
    for interface in interfaces:
        yield f"  interface     {interface.name} ({interface.cls.__module__}.{interface.cls.__name__})"
        yield f"    root        {interface.msg_map.root or '-'}"
        yield f"    sender      {interface.msg_map.sender}"
        yield from (f"    subscribes  {topic_filter}" for topic_filter in interface.msg_map.topics)
        yield from _filters("in", interface.filters.incoming)
        yield from _filters("out", interface.filters.outgoing)
        yield from _devices(configuration, interface)
    yield from (f"  warning       {warning}" for warning in configuration.warnings)
    maps = dict.fromkeys(interface.msg_map for interface in interfaces)
    notes = (*configuration.notes, *(note for msg_map in maps for note in lane_notes(msg_map)))
    yield from (f"  note          {note}" for note in dict.fromkeys(notes))


def _outbox(configuration: Configuration) -> str:
    """Return where the outbox is stored, also where only the service, run by systemd, stores it there."""
    outbox = configuration.outbox
    if outbox.file is None:
        is_for_service = not outbox.is_place_chosen and configuration.file.absolute().parent == SERVICE_CONF
        as_service = "; when systemd runs the gateway, it is on disk" if is_for_service else ""
        return f"in memory: waiting messages are lost if the gateway is killed (see outbox.file){as_service}"
    is_of_service = not outbox.is_place_chosen and outbox.file.parent == SERVICE_STATE
    return f"{outbox.file}{' (when systemd runs the gateway)' if is_of_service else ''}"


def _filters(direction: str, filters: Sequence[MessageFilter]) -> Iterator[str]:
    for each in filters:
        default = "passes" if each.passes_unmatched else "is dropped"
        yield f"    {direction:<10}  {each.name}; a message that no rule matches {default}"
        yield from (f"                {step}" for step in each.steps)


def _devices(configuration: Configuration, interface: InterfaceOptions) -> Iterator[str]:
    for device in interface.devices:
        texts = ", ".join(filter(None, (device.name, device.area)))
        yield f"    device      {device.id}{f' ({texts})' if texts else ''}"
        if "{" in device.id:
            yield f"                added at the first reading, at most {counted(interface.max_devices, 'device')}"
        kinds = (*RETAINED_KINDS, *_passing_kinds(device))
        yield from (f"                {configuration.document_topic(device.id, kind)}" for kind in kinds)
        width = max((len(point.key) for point in device.points), default=0)
        yield from (f"      {point.key:<{width}}  {_point(point)}" for point in device.points)


def _passing_kinds(device: Device) -> Iterator[str]:
    """Yield the kinds of documents of a device that are not retained."""
    if any(point.writes for point in device.points):
        yield "outcome"
    if any(point.feeds and point.type is PointType.EVENT for point in device.points):
        yield "event"


def _point(point: Point) -> str:
    """Return type, unit, range and messages of a point as text."""
    kind = f"{point.type.value}{f' in {point.unit}' if point.unit else ''}"
    low, high = (("" if limit is None else f"{limit:g}") for limit in (point.minimum, point.maximum))
    limits = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    choices = f"one of {', '.join(map(str, point.choices))}" if point.choices else ""
    sources = ", ".join(dict.fromkeys(map(_message_name, point.feeds)))
    targets = ", ".join(dict.fromkeys(map(_message_name, point.writes)))
    state = "assumed after a command" if point.assumed else ""
    parts = (kind, limits, choices, sources and f"from {sources}", targets and f"written by {targets}", state)
    return ", ".join(filter(None, parts))


def _message_name(message: Feed | Write) -> str:
    if message.argument is not None:
        return f"{message.action}.{message.argument}"
    return (
        message.action if message.value in (None, message.action) else f"{message.action} ({json.dumps(message.value)})"
    )


def _transport(mqtt: MqttOptions) -> str:
    layers = [f"websockets at {mqtt.path}"] if mqtt.transport == "websockets" else []
    layers += ["TLS"] if mqtt.tls.enabled else []
    return f" with {' and '.join(layers)}" if layers else ""


def _protocol(configuration: Configuration) -> str:
    mqtt = configuration.mqtt
    if mqtt.version != 5:
        return "MQTT 3.1.1"
    has_session = configuration.replays and mqtt.session_expiry
    session = f", session kept for {mqtt.session_expiry} s (a rule has replay)" if has_session else ""
    return f"MQTT 5{session}; MQTT 3.1.1 if the broker refuses it"


def _explain(interface: InterfaceOptions, options: argparse.Namespace, *, is_named: bool) -> bool:
    """Print how an interface translates the frame or command; return whether it accepts all of it."""
    if is_named:
        print(f"{interface.name}:")  # noqa: T201
    is_accepted = True
    for line in _explanation(interface, options):
        print(line)  # noqa: T201
        is_accepted = is_accepted and not isinstance(line, Problem)
    return is_accepted


def _explanation(interface: InterfaceOptions, options: argparse.Namespace) -> Iterator[str | Problem]:
    for data in _frames(options, interface.params.get("encoding", "utf-8")):
        for part in explain_frame(interface, data, time.time()):
            yield from part.lines() if isinstance(part, Published) else [part]
    if options.action or options.arg:
        msg = message_from(options, sender=options.sender)
        yield str(msg)
        yield from explain_command(interface, msg)


def _frames(options: argparse.Namespace, encoding: str) -> Iterator[bytes]:
    """Yield the frames of `--frame` and `--hex` as bytes; raise `UsageError` if one is invalid."""
    if options.frame is not None:
        yield frame_from_text(options.frame, encoding, "--frame")
    if options.hex is not None:
        yield frame_from_hex(options.hex, "--hex")
