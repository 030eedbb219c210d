from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from gateway.configuration.json_reader import load_json
from gateway.configuration.load_map import build_map
from gateway.errors import ConfigurationError
from gateway.message import InternalMsg, Lane
from gateway.translation.delivery import PLAIN, PLAIN_REPLY, Delivery, DeliveryRule, DeliveryRules
from gateway.translation.mqtt_map import MsgMap
from tests.support.strategies import messages


def map_with(*rules: dict[str, Any], **fields: Any) -> MsgMap:
    document = load_json(json.dumps({"root": "home", "topics": [], "delivery": rules, **fields}), "x_map.json")
    return build_map(document, document.data, sender="gw")


STATUS = InternalMsg(function="climate", location="hall", device="boiler", action="TEMPERATURE")
COMMAND = InternalMsg(iscmd=True, function="climate", location="hall", device="boiler", action="HEAT")


@given(messages())
def test_without_rules_an_answer_is_a_reply_and_all_else_an_event(msg: InternalMsg) -> None:
    expected = PLAIN_REPLY if not msg.iscmd and "response" in msg.arguments else PLAIN
    assert MsgMap("home", sender="gw").delivery_of(msg) == expected


def test_the_first_rule_that_fits_counts() -> None:
    msg_map = map_with(
        {"match": {"function": "climate", "action": ["TEMPERATURE", "HUMIDITY"]}, "lane": "bulk", "lifetime": 60},
        {"match": {"function": "climate"}, "lane": "latest", "retain": True},
        {"match": {}, "lane": "event"},
    )
    assert msg_map.delivery_of(STATUS) == Delivery(Lane.BULK, lifetime=60)
    assert msg_map.delivery_of(InternalMsg(function="climate", action="MODE")) == Delivery(Lane.LATEST, retain=True)
    assert msg_map.delivery_of(InternalMsg(function="alarm")) == PLAIN


@pytest.mark.parametrize("response", ["OK", "REFUSED"])
def test_an_outcome_is_delivered_by_no_rule_that_does_not_name_outcomes(response: str) -> None:
    """`"on": true, "response": "REFUSED"` stood retained on a topic of states while the relay was off."""
    msg_map = map_with(
        {"match": {"function": "climate"}, "lane": "latest", "retain": True}, {"match": {}, "lifetime": 5}
    )
    assert msg_map.delivery_of(COMMAND.reply(response)) == Delivery(Lane.REPLY)
    assert msg_map.delivery_of(STATUS) == Delivery(Lane.LATEST, retain=True)


def test_a_rule_for_outcomes_fits_nothing_else() -> None:
    msg_map = map_with({"match": {"function": "climate", "outcome": True}, "lane": "event", "lifetime": 60})
    assert msg_map.delivery_of(COMMAND.reply("TIMEOUT")) == Delivery(Lane.EVENT, lifetime=60)
    assert msg_map.delivery_of(STATUS) == PLAIN
    assert msg_map.delivery_of(COMMAND) == PLAIN
    assert msg_map.delivery_of(COMMAND.replace(function="alarm").reply("OK")) == PLAIN_REPLY


def test_an_outcome_is_never_retained() -> None:
    rules = DeliveryRules([DeliveryRule({}, retain=True, outcome=True)])
    assert rules.delivery_of(COMMAND.reply("OK")) == PLAIN_REPLY


def test_commands_are_never_retained_and_statuses_never_replayed() -> None:
    rules = DeliveryRules([DeliveryRule({}, retain=True, replay=True)])
    assert rules.delivery_of(COMMAND) == Delivery(replay=True)
    assert rules.delivery_of(STATUS) == Delivery(retain=True)


def test_a_publication_says_how_it_is_delivered() -> None:
    msg_map = map_with({"match": {"action": "TEMPERATURE"}, "lane": "latest", "retain": True, "lifetime": 90})
    sent = msg_map.internal2mqtt(STATUS)
    assert (sent.lane, sent.retain, sent.lifetime) == (Lane.LATEST, True, 90)
    sent = msg_map.for_sender("other").internal2mqtt(STATUS)
    assert (sent.lane, sent.retain) == (Lane.LATEST, True), "rules are of the map, whoever sends"
    sent = msg_map.internal2mqtt(COMMAND)
    assert (sent.lane, sent.retain, sent.lifetime) == (Lane.EVENT, False, None)


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ({"lane": "bulk"}, "delivery[0]: 'match' is missing"),
        ({"match": {}, "lane": "slow"}, "delivery[0].lane"),
        ({"match": {"colour": "red"}, "lane": "bulk"}, "delivery[0].match"),
        ({"match": {}, "lifetime": 0}, "delivery[0].lifetime"),
        ({"match": {"action": "SHUT"}, "lane": "bulk"}, "'SHUT' is not in the map"),
        ({"match": {"action": "SHUT", "outcome": True}, "lane": "bulk"}, "'SHUT' is not in the map"),
        ({"match": {"outcome": "yes"}, "lane": "bulk"}, "delivery[0].match.outcome"),
        ({"match": {"outcome": True}, "retain": True}, "delivery[0].retain: an outcome is never retained"),
        ({"match": {"outcome": True}, "replay": True}, "delivery[0].replay: an outcome is not a command"),
        ({"match": {"action": ["OPEN", "SHUT"]}, "lane": "bulk"}, "'SHUT' is not in the map"),
    ],
)
def test_a_rule_that_cannot_be_is_a_finding_with_its_place(rule: dict[str, Any], finding: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        map_with(rule, action={"maptype": "strict", "map": {"OPEN": ["open"]}})
    (actual,) = caught.value.findings
    assert finding in str(actual)
    assert str(actual).startswith("x_map.json:1:")
