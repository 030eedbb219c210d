"""Imports the four libraries that the gateway needs, and keeps running: the lower bound of its memory."""

from __future__ import annotations

import threading

import jsonschema  # noqa: F401
import paho.mqtt.client  # noqa: F401
import serial  # noqa: F401
import yaml  # noqa: F401

if __name__ == "__main__":
    print("ready")
    threading.Event().wait()
