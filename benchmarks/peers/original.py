"""The original (mqttgateway 1.1.4, from the package index), threaded, with a thread that reads a pty.

Run by the Python of a virtual environment that has it, not by ours. Argument: its configuration file.
"""
# mypy: ignore-errors

from __future__ import annotations

import logging
import os
import threading

from mqttgateway.app_properties import AppProperties
from mqttgateway.mqtt_map import internalMsg
from mqttgateway.start_gateway import startgateway


class Reader:
    """Reads what is there, splits it into lines, pushes messages."""

    def __init__(self, params, msglist_in, msglist_out):  # noqa: ARG002
        self._device = params["device"]
        self._out = msglist_out

    def loop_start(self):
        """Start the thread that reads."""
        self._push("ready", {})
        threading.Thread(target=self._read, daemon=True).start()

    def _push(self, action, arguments):
        self._out.push(
            internalMsg(
                iscmd=False,
                function="climate",
                gateway="",
                location="lab",
                device="probe",
                sender="bench",
                action=action,
                arguments=arguments,
            )
        )

    def _read(self):
        fd = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
        rest = b""
        while data := os.read(fd, 65536):
            *frames, rest = (rest + data).split(b"\n")
            for frame in frames:
                kind, _, value = frame.decode().partition(" ")
                if kind == "T":
                    self._push("TEMPERATURE", {"celsius": float(value)})


if __name__ == "__main__":
    AppProperties(__file__, app_name="bench")
    AppProperties().register_logger(logging.getLogger("mqttgateway"))
    startgateway(Reader)
