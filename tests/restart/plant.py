"""The devices: a bus with several behind one serial port, and a tank and a pump behind an interface in Python."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.device import PtyDevice

_BEAT = 0.4  # s between two reports of a device
UNITS = (1, 2, 3, 4)


class Plant:
    """What the devices measure now, and whether they report it.

    `values` are those that a device reports again and again, by device and point; those in `silent` do not. Nothing is
    sent while nobody listens, so that a gateway does not find old lines in the buffer of the line.
    """

    def __init__(self, folder: Path) -> None:
        self.values: dict[str, dict[str, Any]] = {
            "boiler": {"temperature": 20.5},
            **{f"unit{unit}": {"power": 100 + unit} for unit in UNITS},
            "probe": {"celsius": 5},
            "tank": {"level": 50},
            "pump": {"on": False},
        }
        self.silent = {"unit3", "unit4"}
        self.refuses = False  # whether the boiler refuses commands
        self.is_listened_to = False
        self.file = folder / "tanks.json"
        self.line = PtyDevice(folder)
        self._aside = folder / "tanks.aside"
        self._lock = threading.RLock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plant")
        self._write_file()

    def __enter__(self) -> Plant:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self.line.unplug()

    # --- what happens to it

    def unplug(self) -> None:
        with self._lock:
            self.line.unplug()

    def plug_in(self) -> None:
        with self._lock:
            self.line.plug_in()

    @property
    def is_plugged_in(self) -> bool:
        return self.line.is_plugged_in

    def take_file_away(self) -> None:
        with self._lock:
            self._write_file()
            self.file.rename(self._aside)

    def put_file_back(self) -> None:
        with self._lock:
            self._aside.rename(self.file)
            self._write_file()

    @property
    def has_file(self) -> bool:
        return self.file.exists()

    def set_value(self, device: str, point: str, value: Any) -> None:
        with self._lock:
            self.values[device][point] = value
            self._write_file()

    def set_silent(self, device: str, is_silent: bool) -> None:
        with self._lock:
            (self.silent.add if is_silent else self.silent.discard)(device)
            self._write_file()

    def send_once(self, line: str) -> None:
        """Send a line that the device does not repeat."""
        self._send(line)

    # --- what it does

    def _write_file(self) -> None:
        file = self._aside if self._aside.exists() else self.file
        new = file.with_suffix(".mine")
        level = None if "tank" in self.silent else self.values["tank"]["level"]
        new.write_text(json.dumps({"level": level, "on": self.values["pump"]["on"]}))
        new.rename(file)

    def _run(self) -> None:
        next_beat = 0.0
        while not self._is_over.wait(0.02):
            self._answer()
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + _BEAT
                for line in self._beat():
                    self._send(line)

    def _beat(self) -> list[str]:
        lines = [
            f"M {unit} {self.values[f'unit{unit}']['power']}" for unit in UNITS if f"unit{unit}" not in self.silent
        ]
        return lines if "boiler" in self.silent else [*lines, f"T {self.values['boiler']['temperature']}"]

    def _send(self, line: str) -> None:
        with self._lock:
            if self.is_listened_to and self.is_plugged_in:
                self.line.write_now(line.encode() + b"\n")

    def _answer(self) -> None:
        with self._lock:
            if not self.is_plugged_in:
                return
            self.line.read_available()
            *requests, self.line.received = self.line.received.split(b"\n")
        for request in requests:
            answer = self._answer_to(request.strip().decode())
            if answer:
                self._send(answer)

    def _answer_to(self, request: str) -> str:
        if request == "P?" and "probe" not in self.silent:
            return f"P={self.values['probe']['celsius']}"
        if request.startswith("H") and "boiler" not in self.silent:
            return "ERR" if self.refuses else f"H {request[1:]}"
        return f"F {request[1:]}" if request.startswith("F") else ""
