"""The interfaces that ship with mqttgateway: one module for each kind of device."""
