"""The option `home_assistant`: how the devices of a gateway are announced."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.core.option_schema import section_defaults
from gateway.devices.template import as_id

DEVICE, COMPONENTS = "device", "components"

_DEFAULT = section_defaults(__file__)


class HomeAssistantOptions(NamedTuple):
    """Whether and how devices are announced to Home Assistant; see options_schema.json.

    `entities` are options of entities, by the id of the device (or of its template) and the key of the entity.
    """

    enabled: bool = False
    prefix: str = _DEFAULT["prefix"]
    node: str = _DEFAULT["node"]
    form: str = _DEFAULT["form"]
    entities: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType({})


def node_of(options: HomeAssistantOptions, gateway: str) -> str:
    """Return the level of the topics that separates the gateway called `gateway` from others."""
    return options.node or as_id(gateway)


def announced_filter(options: HomeAssistantOptions, gateway: str) -> str:
    """Return the filter of the topics on which the gateway called `gateway` announces its devices, in both forms."""
    return f"{options.prefix}/+/{node_of(options, gateway)}/+/config"
