"""`mqttgateway simulate`: plays a serial device from a script, so that a configuration can be tried without it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from gateway.cli.simulated_line import Line, PtyLine, TcpLine
from gateway.configuration.interface_loader import find_interface
from gateway.configuration.load_script import load_script
from gateway.core.counting import counted
from gateway.core.paths import find_script


class Device(Protocol):
    """What a simulated device is: bytes in, bytes out. Times in seconds since the start."""

    def is_plugged_in(self, now: float) -> bool:
        """Return whether there is to be a line."""

    def connect(self, now: float) -> None:
        """Begin to talk: the line is there."""

    def disconnect(self) -> None:
        """Forget what waits: the line is gone."""

    def due(self) -> float | None:
        """Return the time at which there is something to do; None: never."""

    def step(self, now: float) -> bytes:
        """Do what is due; return the next bytes to send, or none."""

    def receive(self, data: bytes, now: float) -> None:
        """Accept bytes."""


def simulate(options: argparse.Namespace) -> int:
    """Play the device of the script that the command line names until Ctrl-C, SIGTERM or SIGHUP; return 0.

    Raises `ConfigurationError` with all errors of the script, and `GatewayError` if the line cannot be created.
    """
    device_class = find_interface("serial", Path()).simulated_device()
    path = find_script(options.script)
    params: Mapping[str, Any] = load_script(path, os.environ, device_class.schema(), device_class.check)
    start = time.monotonic()

    def on_event(event: object) -> None:
        _print(f"{time.monotonic() - start:9.3f} {event}")

    line: Line = PtyLine(options.pty) if options.pty is not None else TcpLine(options.tcp)
    try:
        with _ended_as_by_ctrl_c():
            _play(device_class(params, on_event), line, start)
    except KeyboardInterrupt:
        return 0
    finally:
        line.unplug()


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Raise `KeyboardInterrupt` on SIGTERM, and on SIGHUP when the terminal is closed, while the context lasts.

    A link that stayed behind would soon lead to the terminal of another program, and the gateway would read that.
    """
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # it is ignored under nohup, and must stay ignored
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _play(device: Device, line: Line, start: float) -> NoReturn:
    """Pass bytes between the device and the line, for ever."""
    is_there = was_open = False
    while True:
        now = time.monotonic() - start
        if device.is_plugged_in(now) != is_there:
            is_there = not is_there
            if is_there:
                _print(f"{now:9.3f} the device is there: {line.plug_in()}")
            else:
                line.unplug()
                _print(f"{now:9.3f} the line is gone")
        if line.is_open != was_open:
            was_open = line.is_open
            device.connect(now) if was_open else device.disconnect()
        while data := device.step(now):
            lost = len(data) - line.write(data)
            if lost:
                _print(f"{now:9.3f} nobody reads: {counted(lost, 'byte is', 'bytes are')} lost")
        due = device.due()
        received = line.wait(None if due is None else max(0.0, due - (time.monotonic() - start)))
        if received:
            device.receive(received, time.monotonic() - start)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201
