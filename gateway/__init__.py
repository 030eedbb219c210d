"""mqttgateway: bridges devices that do not speak MQTT to MQTT. The core; it knows no device."""

from __future__ import annotations

__version__ = "3.0.0.dev1"
