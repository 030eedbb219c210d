"""Frames without framing: each packet that arrives is one, and what is sent is written as it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interfaces.serial_interface.framing.framer import Framer, IsValid


class RawFramer(Framer):
    """Frames that arrive as a whole, as the packets of UDP do."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any], is_valid: IsValid | None) -> RawFramer:  # noqa: ARG003
        """Return the framer for `framing: {type: raw}`."""
        return cls(options["max_length"])

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:  # noqa: ARG002
        """Return the packet that has arrived, unless it is empty or too long."""
        if len(data) <= self.max_length:
            return [data] if data else []
        self.discarded_bytes += len(data)
        self.discarded_frames += 1
        return []
