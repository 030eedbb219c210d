"""Notes about delivery rules whose lane does not have the effect that one would expect. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.translation.delivery import DeliveryRule
from gateway.translation.mqtt_map import MsgMap
from gateway.translation.topic_template import fields_in


def lane_notes(msg_map: MsgMap) -> Iterator[str]:
    """Yield a note for each rule whose lane has less effect because other messages share its topics."""
    shared = [form.topic for form in msg_map.syntax
              if not form.iscmd and form.payload == "action" and "action" not in fields_in(form.topic)]  # fmt: skip
    for index, rule in enumerate(msg_map.delivery_rules if shared else ()):
        text = _note(rule)
        if text:
            yield f"delivery[{index}]: {text}"


def _note(rule: DeliveryRule) -> str:
    if rule.lane is None or "action" not in rule.words:
        return ""
    return (
        f"its lane {rule.lane.name.lower()} has no effect within one topic: messages of other actions share these "
        f"topics, and the order within a topic is preserved"
    )
