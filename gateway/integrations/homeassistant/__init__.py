"""The devices of the gateway as entities of Home Assistant, by its MQTT discovery."""
