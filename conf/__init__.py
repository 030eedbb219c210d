"""The configurations that ship with mqttgateway."""
