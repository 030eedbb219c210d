"""The framings by name. Pure.

To add a framing, write a class derived from `Framer`, enter it in `FRAMINGS`, and describe its options in
schema/framing.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interfaces.serial_interface.framing.delimited import DelimitedFramer, EscapedFramer
from interfaces.serial_interface.framing.escaping import ESCAPINGS
from interfaces.serial_interface.framing.framer import MAX_LENGTH, Framer, IsValid, to_bytes
from interfaces.serial_interface.framing.gap import GapFramer
from interfaces.serial_interface.framing.length import FixedFramer, LengthFramer
from interfaces.serial_interface.framing.markers import MarkerFramer
from interfaces.serial_interface.framing.raw import RawFramer

__all__ = [
    "COMMON_OPTIONS",
    "FRAMINGS",
    "MAX_LENGTH",
    "DelimitedFramer",
    "EscapedFramer",
    "FixedFramer",
    "Framer",
    "GapFramer",
    "IsValid",
    "LengthFramer",
    "MarkerFramer",
    "RawFramer",
    "make_framer",
    "to_bytes",
]

FRAMINGS: Mapping[str, type[Framer]] = {
    "line": DelimitedFramer,
    "markers": MarkerFramer,
    "fixed": FixedFramer,
    "length": LengthFramer,
    "gap": GapFramer,
    "raw": RawFramer,
    **dict.fromkeys(ESCAPINGS, EscapedFramer),
}
"""The framings by the value of the option `type`."""

COMMON_OPTIONS = ("type", "name", "max_length", "timeout", "preamble", "embedded", "checksum")
"""The options of `framing` that every framing has."""


def make_framer(options: Mapping[str, Any], is_valid: IsValid | None = None) -> Framer:
    """Return the framer for the section `framing` of a configuration.

    `is_valid` returns whether a frame has a valid checksum; None if the device has no checksums.
    """
    return FRAMINGS[options["type"]].from_options(options, is_valid)
