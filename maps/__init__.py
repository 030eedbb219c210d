"""The message maps that ship with mqttgateway."""
