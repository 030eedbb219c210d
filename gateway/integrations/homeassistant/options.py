"""The option `home_assistant`: how the devices of a gateway are announced."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

DEVICE, COMPONENTS = "device", "components"


class HomeAssistantOptions(NamedTuple):
    """Whether and how devices are announced to Home Assistant; see options_schema.json.

    `entities` are options of entities, by the id of the device (or of its template) and the key of the entity.
    """

    enabled: bool = False
    prefix: str = "homeassistant"
    node: str = ""
    form: str = DEVICE
    entities: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
