"""mqttgateway 1.1.4 from the package index, with an interface that reads a pty, in one of three ways.

Run by the Python of the virtual environment in which it is installed. Argument: its configuration file, which names
the way: `thread`, which reads all available bytes; `readline`, a thread with pyserial's readline(); `loop`, the single
loop.
"""
# mypy: ignore-errors

from __future__ import annotations

import contextlib
import logging
import os
import threading

import serial
from mqttgateway.app_properties import AppProperties
from mqttgateway.mqtt_map import internalMsg
from mqttgateway.start_gateway import startgateway


class Reader:
    """Converts lines to messages."""

    def __init__(self, params, msglist_in, msglist_out):  # noqa: ARG002
        self._device = params["device"]
        self._out = msglist_out
        self._rest = b""

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

    def _open(self):
        fd = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
        self._push("ready", {})
        return fd

    def _take(self, data):
        *frames, self._rest = (self._rest + data).split(b"\n")
        for frame in frames:
            self._take_line(frame)

    def _take_line(self, frame):
        kind, _, value = frame.decode().partition(" ")
        if kind == "T":
            self._push("TEMPERATURE", {"celsius": float(value)})


class Threaded(Reader):
    """A thread that reads all available bytes."""

    def loop_start(self):
        """Start the thread."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        fd = self._open()
        while data := os.read(fd, 65536):
            self._take(data)


class ReadLine(Threaded):
    """A thread that reads line by line, as the library's own examples do."""

    def _read(self):
        port = serial.Serial(self._device)
        self._push("ready", {})
        while True:
            self._take_line(port.readline().strip())


class Looped(Reader):
    """The single loop: each call reads the available bytes."""

    _fd = -1

    def loop(self):
        """Read without waiting."""
        if self._fd < 0:
            self._fd = self._open()
            os.set_blocking(self._fd, False)
        with contextlib.suppress(BlockingIOError):
            self._take(os.read(self._fd, 65536))


WAYS = {"thread": Threaded, "readline": ReadLine, "loop": Looped}

if __name__ == "__main__":
    AppProperties(__file__, app_name="bench")
    AppProperties().register_logger(logging.getLogger("mqttgateway"))
    startgateway(WAYS[AppProperties().get_config().get("INTERFACE", "way")])
