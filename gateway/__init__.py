"""mqttgateway: bridges devices that do not speak MQTT to MQTT. The core; it knows no device."""
