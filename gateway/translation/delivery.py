"""How a message is delivered: its lane, whether it is retained or may be replayed, and how long it is worth anything.

Pure. A map's `delivery` rules say it for the messages they fit, in internal words; the first that fits counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gateway.message import InternalMsg, Lane


class Delivery(NamedTuple):
    """How a message is delivered.

    `retain` is for statuses, `replay` for commands: one that somebody said before the gateway listened reaches
    the device all the same. `lifetime` is in seconds; None leaves it to the configuration.
    """

    lane: Lane = Lane.EVENT
    retain: bool = False
    replay: bool = False
    lifetime: float | None = None


PLAIN = Delivery()
PLAIN_REPLY = Delivery(Lane.REPLY)


class DeliveryRule(NamedTuple):
    """A delivery, and the words, by field, of the messages that it is for.

    A rule is for outcomes of commands (see `InternalMsg.reply`), or for all else, never for both: what holds for the
    states of a device would say of a command that was refused that its device is so.
    """

    words: Mapping[str, Collection[str]]
    lane: Lane | None = None
    retain: bool = False
    replay: bool = False
    lifetime: float | None = None
    outcome: bool = False


class DeliveryRules(NamedTuple):
    """The delivery rules of a map, in their order."""

    rules: Sequence[DeliveryRule] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def delivery_of(self, msg: InternalMsg) -> Delivery:
        """Return how `msg` is delivered, by the first rule that fits it."""
        is_outcome = msg.is_outcome
        plain = PLAIN_REPLY if is_outcome else PLAIN
        rule = next((rule for rule in self.rules if rule.outcome is is_outcome and msg.has_words(rule.words)), None)
        if rule is None:
            return plain
        lane = plain.lane if rule.lane is None else rule.lane
        retain = rule.retain and not msg.iscmd and not is_outcome
        return Delivery(lane, retain, rule.replay and msg.iscmd, rule.lifetime)
