"""Serial devices: the configuration describes a device completely, so that none needs code of its own."""

from __future__ import annotations

from interfaces.serial_interface.interface import SerialInterface

__all__ = ["SerialInterface"]
