"""The option `home_assistant`: its options, and the proof that what Home Assistant sends will be accepted.

For each entity, the twin of its template is run with sample values, and the command goes the way of a real one: topic,
subscription, map, interface. What would be refused then is a finding now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import __version__
from gateway.configuration.device_proof import Refusal, arrival_problem
from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_context import LoadContext
from gateway.configuration.load_devices import refusal_of
from gateway.configuration.settings import InterfaceOptions, document_topic
from gateway.core.option_schema import record_of
from gateway.core.topic import root_problem
from gateway.devices.point import ADDRESS_OF_DEVICE, Device
from gateway.errors import Problem
from gateway.integrations.homeassistant.commands import SENDER, Command
from gateway.integrations.homeassistant.discovery import Discovery, Source
from gateway.integrations.homeassistant.options import HomeAssistantOptions
from gateway.translation.mqtt_map import MsgMap


def load_home_assistant(
    context: LoadContext,
    section: Any,
    name: str,
    root: str,
    interfaces: Mapping[DataPath, InterfaceOptions],
    *,
    are_all_known: bool = True,
) -> HomeAssistantOptions:
    """Return the options of the section `home_assistant` of a gateway called `name`; add findings to `context`.

    If not `are_all_known`, there are devices that could not be loaded, beside those of `interfaces`.
    """
    given = section if isinstance(section, Mapping) else {}
    plain = {key: value for key, value in given.items() if key != "entities"}
    options = record_of(HomeAssistantOptions, plain)._replace(enabled=True, entities=given.get("entities", {}))

    prefix_problem = root_problem(options.prefix)
    if prefix_problem:
        context.complain(("home_assistant", "prefix"), prefix_problem, "write the discovery prefix of Home Assistant")
        return options
    discovery = discovery_of(options, name, root)
    known: dict[str, None] = {}
    owners: dict[tuple[str, str], str] = {}  # by platform and id, which Home Assistant accepts only once
    for path, interface in interfaces.items():
        refusal = refusal_of(interface)
        for index, device in enumerate(interface.devices):
            known[device.id] = None
            is_template = "{" in device.id
            example = _example_of(device, interface.msg_map) if is_template else device
            announcement = discovery.of_device(Source(example, interface.msg_map, interface.own_address, device.id))
            problems = list(announcement.problems)
            # Nobody knows the words of a device that a template will find: whether the interface accepts them, and a
            # filter matches them, turns out then.
            for entity in () if is_template else announcement.entities:
                owner = owners.setdefault((entity.platform, f"{device.id}_{entity.key}"), device.id)
                if owner != device.id:
                    what = f"it would have the same id as an entity of the device {owner}"
                    problems.append(Problem((device.id, entity.key), what, "rename the point, or one of the devices"))
                found = (_command_problem(command, interface.msg_map, refusal) for command in entity.commands)
                first = next(filter(None, found), None)
                if first is not None:
                    problems.append(Problem((device.id, entity.key), *first))
            for problem in problems:
                _complain(context, given.get("entities", {}), (*path, "devices", index), problem)
    for device_id in options.entities:
        if are_all_known and device_id not in known:
            what = f"there is no device {device_id!a}"
            context.complain(
                ("home_assistant", "entities", device_id), what, f"known: {', '.join(known) or 'none'}", at_key=True
            )
    return options


def _example_of(template: Device, msg_map: MsgMap) -> Device:
    """Return a device that a template may find, in words that the map can write."""
    words = {field: next(filter(None, msg_map.fields[field].entries), "sample")
             for field in ADDRESS_OF_DEVICE if f"{{{field}}}" in template.id}  # fmt: skip
    where = {name: 1 if isinstance(value, str) and "{" in value else value for name, value in template.where.items()}
    return template._replace(address={**words, **template.address}, where=where)


def discovery_of(options: HomeAssistantOptions, name: str, root: str) -> Discovery:
    """Return what writes the discovery documents of a gateway called `name`, whose own topics are below `root`."""

    def topic(device: str, kind: str) -> str:
        return document_topic(root, name, device, kind)

    return Discovery(options, name, __version__, topic)


def _complain(context: LoadContext, entities: Mapping[str, Any], device: DataPath, problem: Problem) -> None:
    """Complain of an entity where its options are, or else where its point is."""
    device_id, key = (str(part) for part in problem.path[:2])
    at: DataPath = (*device, "points", key)
    if key in entities.get(device_id, {}):
        at = ("home_assistant", "entities", device_id, key)
    context.complain(at, f"as an entity of Home Assistant: {problem.what}", problem.remedy, at_key=True)


def _command_problem(command: Command, msg_map: MsgMap, refusal: Refusal) -> tuple[str, str] | None:
    """Return why the gateway would not execute a command of Home Assistant, and the remedy; None if it would."""
    for value, msg in command.probes:
        payload = command.template.twin(value).encode()
        problem = arrival_problem(msg_map, command.topic, payload, msg, {SENDER})
        if problem is not None:
            return problem
        reason = refusal(msg)
        if reason:
            return f"the interface refuses {msg}: {reason}", "change the point, or the rule that writes it"
    return None
