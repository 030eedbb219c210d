"""Builds the devices of the interfaces of a configuration, and checks their ids and document topics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.commands import commands_of
from gateway.configuration.device_proof import Refusal, never_missed, prove, reader_of
from gateway.configuration.document import Document
from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_context import LoadContext
from gateway.configuration.schema_check import check_schema
from gateway.configuration.schemas import devices_schema
from gateway.configuration.settings import InterfaceOptions, document_topic
from gateway.devices.declaration import Signatures, declare
from gateway.devices.document import DOCUMENT_KINDS
from gateway.devices.point import Device
from gateway.devices.template import as_id
from gateway.errors import Finding, Problem
from gateway.interface import Interface
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import MsgMap


class DevicesLoader:
    """Builds the devices of one interface, whose options stand at path `at` and have passed their check.

    What is wrong becomes findings of `context`. `has_hook`: a hook may change the messages of the interface, so that
    devices may have others. The code of the class may raise any exception.
    """

    def __init__(self, context: LoadContext, at: DataPath, interface: InterfaceOptions, *, has_hook: bool) -> None:
        self._context = context
        self._document, self._at, self._place = context.document, (*at, "devices"), ""
        self._interface = interface
        signatures_of = getattr(interface.cls, "signatures", None)
        signatures = signatures_of(interface.params) if signatures_of else Signatures()
        self._signatures: Signatures = signatures._replace(are_all=not has_hook)
        self._own = interface.own_address
        # Several interfaces of a gateway may have the same class, and ids are unique within the gateway.
        self._prefix = "" if at == ("interface",) else as_id(f"{interface.name}_")

    def load(self, data: Sequence[Mapping[str, Any]]) -> tuple[Device, ...]:
        """Return the devices that `data` declares, the value of the option `devices`."""
        devices = self._declared(data)
        if devices is None:
            return ()
        self._add(self._proof_problems(devices))
        for problem in never_missed(devices, self._own, self._signatures.polled):
            self._context.notes.append(str(self._finding(problem)))
        return devices

    def load_from_class(self, data: Sequence[Mapping[str, Any]]) -> tuple[Device, ...]:
        """Return the devices that the class declares with `data`, which has not been checked.

        The class does not know the map. So it is no mistake if no command can arrive: the point is then only read, and
        a note says so. A point can be read without the map, which does not translate documents.
        """
        interface_at = self._at[:-1]
        self._document, self._at, self._place = self._place_in_class(data)
        findings = check_schema(self._document, data, devices_schema(), self._at)
        self._context.add(map(self._placed, findings))
        devices = None if findings else self._declared([{**item, "id": self._prefix + item["id"]} for item in data])
        if devices is None:
            return ()
        problems = [problem for problem in self._proof_problems(devices, lambda _: "") if problem.path[-1] == "write"]
        unwritable = {problem.path[:3] for problem in problems}
        for problem in problems if self._interface.msg_map.topics else ():  # without any, no command is wanted
            point = f"{devices[int(problem.path[0])].id}.{problem.path[2]}"
            what = f"no command for the point {point} can arrive, so that it is only read: {problem.what}"
            finding = self._context.document.finding(interface_at, what, problem.remedy, at_key=True)
            self._context.notes.append(str(finding))
        reachable = tuple(
            device._replace(
                points=tuple(
                    point._replace(writes=()) if (index, "points", point.key) in unwritable else point
                    for point in device.points
                    if point.feeds or (index, "points", point.key) not in unwritable
                )
            )
            for index, device in enumerate(devices)
        )
        self._add(problem for problem in self._proof_problems(reachable) if problem.path[-1] == "write")
        return reachable

    def _place_in_class(self, data: Sequence[Mapping[str, Any]]) -> tuple[Document, DataPath, str]:
        """Return where the class declares its devices: a document, a path in it, and the name of the place."""
        cls = self._interface.cls
        code = getattr(getattr(cls.devices, "__func__", None), "__code__", None)
        if code is None:
            return self._context.document, self._at, ""
        document = Document(code.co_filename, data, values={(): (code.co_firstlineno, 1)})
        return document, (), f"in devices() of {cls.__name__}"

    def _declared(self, data: Sequence[Mapping[str, Any]]) -> tuple[Device, ...] | None:
        """Return the devices that `data` declares; add findings and return None if there is a mistake in it."""
        declared = declare(data, self._signatures, self._own)
        self._add(declared.problems)
        return None if declared.problems else declared.devices

    def _proof_problems(self, devices: Sequence[Device], refusal: Refusal | None = None) -> Iterator[Problem]:
        return prove(
            devices, self._own, self._interface.msg_map, self._signatures, refusal or refusal_of(self._interface)
        )

    def _add(self, problems: Iterable[Problem]) -> None:
        self._context.add(map(self._finding, problems))

    def _finding(self, problem: Problem) -> Finding:
        return self._placed(self._document.finding((*self._at, *problem.path), problem.what, problem.remedy))

    def _placed(self, finding: Finding) -> Finding:
        return finding._replace(where=f"{self._place}: {finding.where}") if self._place else finding


def refusal_of(interface: InterfaceOptions) -> Refusal:
    """Return the function that asks the class of an interface why it refuses a command; most do not explain that."""
    explain = getattr(interface.cls, "explain_command", Interface.explain_command)
    is_default = getattr(explain, "__func__", explain) is Interface.__dict__["explain_command"].__func__
    if is_default and not commands_of(interface.cls):
        return lambda _: ""

    def refusal(command: InternalMsg) -> str:
        problems = (part for part in explain(interface.params, command) if isinstance(part, Problem))
        return next((problem.what.strip() for problem in problems), "")

    return refusal


def check_documents(
    context: LoadContext,
    name: str,
    root: str,
    interfaces: Mapping[DataPath, InterfaceOptions],
    from_class: Collection[DataPath],
) -> dict[str, InterfaceOptions]:
    """Check the ids of all devices of the gateway called `name`, and the topics of their documents below `root`.

    `interfaces` are those that could be built, by their paths; the classes of `from_class` declare their devices. What
    is wrong with other devices becomes a finding. A device that a class declares is only left out, with a note: the
    configuration was valid before the class declared it. Return the interfaces by name.
    """
    maps = list(dict.fromkeys(interface.msg_map for interface in interfaces.values()))
    names = {interface.name: interface for interface in interfaces.values()}
    checked = dict(names)
    owners: dict[str, str] = {}
    for path, interface in sorted(interfaces.items(), key=lambda item: item[0] in from_class):
        kept = []
        for index, device in enumerate(interface.devices):
            problem = _problem_of_id(device, interface, names, owners) or _problem_of_documents(
                device, root, name, maps
            )
            at = (*path, "devices", index, "id")
            if problem and path in from_class:
                what = f"the device {device.id!a} is left out: {problem.what}"
                remedy = "change its id in devices() of the class, or declare 'devices' here, with another id"
                context.notes.append(str(context.document.finding(at, what, remedy)))
            elif problem:
                context.complain(at, problem.what, problem.remedy)
            else:
                kept.append(device)
        checked[interface.name] = interface._replace(devices=tuple(kept))
    return checked


def _problem_of_id(
    device: Device, interface: InterfaceOptions, names: Mapping[str, InterfaceOptions], owners: dict[str, str]
) -> Problem | None:
    owner = owners.setdefault(device.id.lower(), interface.name)
    if owner != interface.name:
        what = f"{device.id!a} is also the id of a device of the interface {owner}"
        return Problem((), what, "use another id: ids are unique within a gateway")
    if device.id in names and not (names[device.id] is interface and len(interface.devices) == 1):
        what = f"{device.id!a} is the name of an interface: both would have the same availability topic"
        return Problem((), what, "use another id, or rename the interface")
    return None


def _problem_of_documents(device: Device, root: str, name: str, maps: Sequence[MsgMap]) -> Problem | None:
    for kind in DOCUMENT_KINDS:

        def topic_of(device_id: str, kind: str = kind) -> str:
            return document_topic(root, name, device_id, kind)

        found = reader_of(device, topic_of, maps)
        if found is not None:
            topic, form = found
            what = f"its document {topic!a} would be read as a message in the form {form.shape}"
            return Problem((), what, "use another id, or change this form of the map")
    return None
