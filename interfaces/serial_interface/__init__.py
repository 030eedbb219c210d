"""Serial devices: everything about them is in the configuration, nothing in code."""

from __future__ import annotations

from interfaces.serial_interface.interface import SerialInterface

__all__ = ["SerialInterface"]
