"""The states of the link to the broker. Pure."""

from __future__ import annotations

import enum


class LinkState(enum.Enum):
    """Where the link to the broker stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    AWAITING_CONNACK = "waiting for CONNACK"
    UP = "up"
    BACKING_OFF = "backing off"
