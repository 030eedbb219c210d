"""mqttgateway: connects devices that do not speak MQTT to an MQTT broker. The core, which knows no device."""

from __future__ import annotations

__version__ = "3.0.0.dev1"
