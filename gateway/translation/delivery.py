"""How a message is delivered: its lane, whether it is retained or may be replayed, and its lifetime. Pure.

The `delivery` rules of a map are written in internal words; the first rule that matches a message applies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gateway.message import InternalMsg, Lane


class Delivery(NamedTuple):
    """How a message is delivered.

    `retain` is for statuses. `replay` is for commands: a command that was sent before the gateway was connected reaches
    the device nevertheless. `lifetime` is in seconds; None means the default of the configuration.
    """

    lane: Lane = Lane.EVENT
    retain: bool = False
    replay: bool = False
    lifetime: float | None = None


PLAIN = Delivery()
PLAIN_REPLY = Delivery(Lane.REPLY)


class DeliveryRule(NamedTuple):
    """A delivery, and by field the words of the messages to which it applies.

    A rule applies either to outcomes of commands (see `InternalMsg.reply`) or to all other messages. If a rule for the
    states of a device also applied to outcomes, a refused command could be retained as the state of the device.
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
        """Return how `msg` is delivered, by the first rule that matches it."""
        is_outcome = msg.is_outcome
        plain = PLAIN_REPLY if is_outcome else PLAIN
        rule = next((rule for rule in self.rules if rule.outcome is is_outcome and msg.has_words(rule.words)), None)
        if rule is None:
            return plain
        lane = plain.lane if rule.lane is None else rule.lane
        retain = rule.retain and not msg.iscmd and not is_outcome
        return Delivery(lane, retain, rule.replay and msg.iscmd, rule.lifetime)
