from __future__ import annotations

from gateway.core.inbox import MsgList
from gateway.message import Arrival, InternalMsg, Publication, ReplyTo
from gateway.routing.message_filter import FilterRule, MessageFilter
from gateway.routing.route import Route
from gateway.translation.delivery import Delivery
from gateway.translation.mqtt_map import MsgMap

LAMP = InternalMsg(True, device="lamp", action="ON")
BELL = InternalMsg(True, device="bell", action="RING")
ADDRESSES = {"lamp": [{"device": "lamp"}], "bell": [{"device": "bell"}]}


def route(**options: object) -> Route:
    return Route(MsgMap("home", sender="gw"), {"lamp": MsgList(), "bell": MsgList(), "log": MsgList()}, **options)  # type: ignore[arg-type]


def test_a_command_is_for_the_interfaces_with_its_address_and_those_without_addresses() -> None:
    examiners, recipients = route(addresses=ADDRESSES).indexes()
    assert examiners is recipients, "without filters there is no difference"
    assert set(recipients.interfaces_for(LAMP)) == {"lamp", "log"}
    assert set(recipients.interfaces_for(BELL)) == {"bell", "log"}


def test_filters_examine_every_message_and_change_nothing_about_whose_it_is() -> None:
    filters = {"lamp": [MessageFilter("filters.in", [FilterRule(True, {})])]}
    examiners, recipients = route(addresses=ADDRESSES, filters=filters).indexes()
    assert set(examiners.interfaces_for(BELL)) == {"lamp", "bell", "log"}
    assert set(recipients.interfaces_for(BELL)) == {"bell", "log"}


def test_each_route_has_a_state_of_its_own_and_counts_it() -> None:
    one, other = route(), route()
    assert set(one.stats().values()) == {0}
    reply_to = ReplyTo("me/response", b"1", 7)
    one.guard.admit(Arrival("home/lamp", b"ON", qos=1, reply_to=reply_to), LAMP, Delivery(), 0.0, 0.0)
    one.outcomes.record(reply_to, Publication("home/lamp", b"OK"))
    one.loops.record_sent(LAMP)
    assert one.stats() == {
        "commands_remembered": 1,
        "loops_broken": 0,
        "contents_watched": 0,
        "outcomes_kept": 1,
        "outcome_bytes": one.stats()["outcome_bytes"],
    }
    assert one.stats()["outcome_bytes"] > 0
    assert set(other.stats().values()) == {0}
