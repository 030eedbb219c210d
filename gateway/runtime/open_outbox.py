"""Opens the outbox of a gateway: in memory, or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.package_logger import package_logger
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.options import OutboxOptions
from gateway.outbox.outbox import Outbox

if TYPE_CHECKING:
    from gateway.outbox.writer import OutboxWriter

LOG = package_logger(__name__)


def open_outbox(options: OutboxOptions) -> tuple[Outbox, OutboxWriter | None]:
    """Return the outbox, and its writer if it is kept on disk. Raises `StoreError` if the file cannot be used."""
    if options.file is None:
        return Outbox(options), None
    from gateway.outbox.store import open_store  # with SQLite, which an outbox in memory does not need
    from gateway.outbox.writer import OutboxWriter

    outbox = DurableOutbox(options)
    return outbox, OutboxWriter(outbox, open_store(options.file, LOG.error, owns_folder=not options.is_place_chosen))
