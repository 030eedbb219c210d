"""Which states wait beside each other although they have one topic, and which replace each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from gateway.message import InternalMsg

_BYTES = 16  # of a key, however long the values are: it takes room for each message that waits


def state_key(msg: InternalMsg, by: Iterable[str]) -> bytes:
    """Return the key of a state that waits for the broker (see `Publication.key`).

    Equal keys mean that the later message contains all that the earlier one does: it has the same action, the same
    names of arguments, and the same values of the arguments `by`, which distinguish devices or sensors.
    """
    arguments = msg.arguments
    parts = msg.action, [repr(arguments.get(name)) for name in by], sorted(map(repr, arguments))
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
