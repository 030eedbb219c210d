"""mqttgateway: bridges devices that do not speak MQTT to MQTT. The core; it knows no device."""

__version__ = "3.0.0.dev1"
