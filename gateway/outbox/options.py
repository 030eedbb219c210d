"""The options of the outbox, and what it does at its limits. Pure."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.core.option_schema import section_defaults

MEMORY_BYTES, DISK_BYTES = 32 * 1024**2, 256 * 1024**2
"""How many bytes the outbox may hold in memory and on disk, if the configuration does not say."""

MAX_DEAD_LETTERS = 1000
MAX_DEAD_LETTER_BYTES = 16 * 1024**2
"""How many dead letters, and bytes of their payloads, the file keeps: the last ones."""


class DiscardPolicy(enum.StrEnum):
    """What is dropped at a limit: the values of `outbox.discard`. All that depends on the policy is decided here."""

    OLD = "old"
    NEW = "new"

    @property
    def drops_oldest(self) -> bool:
        """Whether the oldest waiting messages are dropped for a new one; otherwise the new one is refused."""
        return self is DiscardPolicy.OLD

    @property
    def log_text(self) -> str:
        """What the log says about it."""
        return "the oldest messages are dropped" if self.drops_oldest else "new messages are refused"


_DEFAULT = section_defaults(__file__)


class OutboxOptions(NamedTuple):
    """The `outbox` section of a configuration. Lifetimes and the commit interval are in s; a lifetime of 0 has no end.

    `is_place_chosen` is True if the configuration says where the outbox is kept; otherwise that depends on who starts
    the gateway.
    """

    store: Literal["disk", "memory"] = "memory"
    file: Path | None = None
    commit_interval: float = _DEFAULT["commit_interval"]
    max_messages: int = _DEFAULT["max_messages"]
    max_bytes: int = MEMORY_BYTES
    discard: DiscardPolicy = DiscardPolicy(_DEFAULT["discard"])
    command_lifetime: float = _DEFAULT["command_lifetime"]
    status_lifetime: float = _DEFAULT["status_lifetime"]
    is_place_chosen: bool = False


DISK_DEFAULTS = OutboxOptions(store="disk", max_bytes=DISK_BYTES)
"""The options of an outbox on disk of which nothing is configured."""
