"""Builds the devices of the interfaces of a configuration, and checks their ids and document topics."""

from __future__ import annotations

import re
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

_NO_ID = re.compile(r"[^A-Za-z0-9_-]")


class DevicesLoader:
    """Builds the devices of one interface, whose options stand at path `at` and have passed their check.

    What is wrong becomes findings of `context`. `has_hook`: a hook may change the messages of the interface, so that
    devices may have others. The code of the class may raise any exception.
    """

    def __init__(self, context: LoadContext, at: DataPath, interface: InterfaceOptions, *, has_hook: bool) -> None:
        self._context = context
        self._at = (*at, "devices")
        self._interface = interface
        self._class = interface.cls
        self._params = interface.params
        self._has_hook = has_hook
        # Several interfaces of a gateway may have the same class, and ids are unique within the gateway.
        self._prefix = "" if at == ("interface",) else _NO_ID.sub("_", f"{interface.name}_")

    def load_from_class(self, data: Sequence[Mapping[str, Any]]) -> tuple[Device, ...]:
        """Return the devices that the class declares with `data`, which has not been checked."""
        findings = check_schema(self._context.document, data, devices_schema(), self._at)
        self._context.add(findings)
        if findings:
            return ()
        return self.load_declared([{**device, "id": self._prefix + device["id"]} for device in data])

    def load_declared(self, data: Sequence[Mapping[str, Any]]) -> tuple[Device, ...]:
        """Return the devices that `data` declares, the value of the option `devices`."""
        signatures = self._signatures()._replace(are_all=not self._has_hook)
        address = self._params.get("address", {})
        own = address if isinstance(address, Mapping) else {}
        declared = declare(data, signatures, own)
        self._add(declared.problems)
        if not declared.problems:
            self._add(prove(declared.devices, own, self._interface.msg_map, signatures, self._refusal()))
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
