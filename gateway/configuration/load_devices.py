"""Builds the devices of the interfaces of a configuration, and checks their ids and document topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.configuration.device_proof import Refusal, prove, reader_of, sample_id
from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_context import LoadContext
from gateway.configuration.schema_check import check_schema
from gateway.configuration.schemas import devices_schema
from gateway.configuration.settings import DOCUMENT_KINDS, InterfaceOptions, document_topic
from gateway.devices.declaration import Signatures, declare
from gateway.devices.point import Device
from gateway.errors import Problem
from gateway.interface import Interface
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import MsgMap


class DevicesLoader:
    """Builds the devices of one interface, whose options stand at path `at` and have passed their check.

    `prefix` stands before the ids of the devices that the class declares: several interfaces may have the same class.
    """

    def __init__(
        self, context: LoadContext, at: DataPath, cls: type[Any], params: Mapping[str, Any], prefix: str = ""
    ) -> None:
        self._context = context
        self._at = (*at, "devices")
        self._class = cls
        self._params = params
        self._prefix = prefix

    def load(
        self, data: Sequence[Mapping[str, Any]] | None, msg_map: MsgMap, *, has_hook: bool = False
    ) -> tuple[Device, ...]:
        """Return the devices that `data` declares, or, if it is None, those that the class declares.

        What is wrong becomes findings. `has_hook`: a hook may change the messages of the interface, so that devices may
        have others. The code of the class may raise any exception.
        """
        if data is None:
            data = [dict(device) for device in self._class.devices(self._params)]
            findings = check_schema(self._context.document, data, devices_schema(), self._at)
            self._context.add(findings)
            if findings:
                return ()
            data = [{**device, "id": self._prefix + device["id"]} for device in data]
        signatures = self._signatures()._replace(are_all=not has_hook)
        address = self._params.get("address", {})
        own = address if isinstance(address, Mapping) else {}
        declared = declare(data, signatures, own)
        self._add(declared.problems)
        if not declared.problems:
            self._add(prove(declared.devices, own, msg_map, signatures, self._refusal()))
        return declared.devices

    def _add(self, problems: Sequence[Problem] | Iterator[Problem]) -> None:
        for problem in problems:
            self._context.complain((*self._at, *problem.path), problem.what, problem.remedy)

    def _signatures(self) -> Signatures:
        signatures_of = getattr(self._class, "signatures", None)
        return signatures_of(self._params) if signatures_of else Signatures()

    def _refusal(self) -> Refusal:
        """Return the function that asks the class why it refuses a command; most classes do not explain that."""
        explain = getattr(self._class, "explain_command", Interface.explain_command)
        if getattr(explain, "__func__", explain) is Interface.__dict__["explain_command"].__func__:
            return lambda _: ""

        def refusal(command: InternalMsg) -> str:
            problems = (part for part in explain(self._params, command) if isinstance(part, Problem))
            return next((problem.what.strip() for problem in problems), "")

        return refusal


def check_documents(
    context: LoadContext, name: str, root: str, interfaces: Mapping[DataPath, InterfaceOptions]
) -> None:
    """Add findings about the ids of all devices of the gateway called `name`, and about the topics of their documents.

    `interfaces` are those that could be built, by their paths. Their documents have topics below `root`.
    """
    maps = list(dict.fromkeys(interface.msg_map for interface in interfaces.values()))
    owners: dict[str, str] = {}
    names = {interface.name: interface for interface in interfaces.values()}
    for path, interface in interfaces.items():
        for index, device in enumerate(interface.devices):
            at = (*path, "devices", index, "id")
            owner = owners.setdefault(device.id.lower(), interface.name)
            if owner != interface.name:
                what = f"{device.id!a} is also the id of a device of the interface {owner}"
                context.complain(at, what, "use another id: ids are unique within a gateway")
            if device.id in names and not (names[device.id] is interface and len(interface.devices) == 1):
                what = f"{device.id!a} is the name of an interface: both would have the same availability topic"
                context.complain(at, what, "use another id, or rename the interface")
            for kind in DOCUMENT_KINDS:
                topic = document_topic(root, name, sample_id(device), kind)
                form = reader_of(topic, maps)
                if form is not None:
                    what = f"its document {topic!a} would be read as a message in the form {form.shape}"
                    context.complain(at, what, "use another id, or change this form of the map")
                    break
