from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.init_logger import TRAFFIC
from gateway.mailbox import MsgList
from gateway.message import Arrival, InternalMsg
from gateway.mqtt_map import FieldMap, MsgMap
from gateway.router import Route, Router
from tests.conftest import ExpectedLogs


class House:
    """A router for a lamp and a heater of one map, and a boat with a map of its own."""

    def __init__(self, limit: int = 100) -> None:
        self.lamp, self.heater, self.boat = MsgList(limit), MsgList(), MsgList()
        action = FieldMap("action", "strict", {"ON": ["on", "an"]})
        home = MsgMap("home", ["home/+/+/+/+/+/C", "home/#"], {"action": action}, sender="gw")
        boat = MsgMap("boat", ["boat/#", "$share/crew/home/alarm/#"], sender="skipper")
        self.router = Router(
            [Route(home, {"lamp": self.lamp, "heater": self.heater}), Route(boat, {"boat": self.boat})]
        )

    def close(self) -> None:
        for inbox in (self.lamp, self.heater, self.boat):
            inbox.close()


@pytest.fixture
def house() -> Iterator[House]:
    built = House()
    yield built
    built.close()


def pulled(inbox: MsgList) -> list[InternalMsg]:
    return [msg for _ in range(len(inbox)) if (msg := inbox.pull()) is not None]


def test_a_message_reaches_every_interface_of_its_map_once(house: House) -> None:
    house.router.deliver(Arrival("home/lighting/g/hall/lamp/me/C", b"an"))
    expected = [InternalMsg(True, "lighting", "g", "hall", "lamp", "me", "ON")]
    assert (pulled(house.lamp), pulled(house.heater), pulled(house.boat)) == (expected, expected, [])
    assert house.router.counts == {"received": 1, "delivered": 2}


def test_every_map_reads_what_its_own_filters_match(house: House) -> None:
    house.router.deliver(Arrival("boat/pump////me/C", b"on"))
    assert (pulled(house.lamp), len(pulled(house.boat))) == ([], 1)
    house.router.deliver(Arrival("attic/pump////me/C", b"on"))
    assert house.router.counts == {"received": 2, "delivered": 1}


def test_the_filters_to_subscribe_to_are_those_of_all_maps_each_once() -> None:
    one, other = MsgMap("home", ["home/a/#", "home/b/#"], sender="a"), MsgMap("home", ["home/b/#", "x/#"], sender="b")
    assert Router([Route(one, {}), Route(other, {})]).filters == ("home/a/#", "home/b/#", "x/#")


def test_two_maps_with_one_filter_both_get_the_message() -> None:
    inboxes = {"a": MsgList(), "b": MsgList()}
    routes = [Route(MsgMap("home", ["home/#"], sender=name), {name: inbox}) for name, inbox in inboxes.items()]
    router = Router(routes)
    router.deliver(Arrival("home/////me/C", b"on"))
    router.deliver(Arrival("home/////a/C", b"on"))  # an echo for one is news for the other
    assert [len(inbox) for inbox in inboxes.values()] == [1, 2]
    assert router.counts == {"received": 2, "delivered": 3, "echo": 1}
    for inbox in inboxes.values():
        inbox.close()


def test_a_shared_subscription_gets_what_its_filter_matches(house: House, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dropped: topic 'home/alarm////me/S': the root is not 'boat' (on 'home/alarm////me/S')")
    house.router.deliver(Arrival("home/alarm////me/S", b"on"))
    assert house.router.counts == {"received": 1, "delivered": 2, "refused": 1}


def test_the_gateways_own_messages_are_dropped_as_echoes(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.router.deliver(Arrival("home/lighting///lamp/gw/S", b"on"))
    house.router.deliver(Arrival("home/lighting///lamp/gw/C", b"on", retain=True))
    assert house.router.counts == {"received": 2, "echo": 2}
    assert caplog.records == []


def test_a_retained_command_is_never_acted_on_and_a_retained_status_passes(
    house: House, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        "dropped: a retained command is never acted on (on 'home/gate////me/C'): "
        "publish it without retain, and clear it with an empty retained message"
    )
    house.router.deliver(Arrival("home/gate////me/C", b"on", retain=True))
    house.router.deliver(Arrival("home/gate////me/S", b"on", retain=True))
    assert house.router.counts == {"received": 2, "retained command": 1, "delivered": 2}
    assert [msg.iscmd for msg in pulled(house.lamp)] == [False]


def test_what_cannot_be_read_is_a_warning_said_once(
    house: House, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    text = "dropped: the payload is empty: an action or a JSON object was expected (on 'home/a////me/C')"
    expected_logs.expect(text)
    house.router.deliver(Arrival("home/a////me/C", b""))
    house.router.deliver(Arrival("home/b////me/C", b""))
    assert [record.getMessage() for record in caplog.records] == [text]
    assert house.router.counts == {"received": 2, "refused": 2}


def test_a_word_that_a_strict_map_does_not_know_is_no_warning(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.router.deliver(Arrival("home/a////me/C", b"dance"))
    text = "dropped: action: 'dance' is not in the map: add it there, or make the map loose (on 'home/a////me/C')"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("INFO", text)]
    assert house.router.counts == {"received": 1, "refused": 1}


def test_a_full_inbox_is_said_and_keeps_no_message_from_the_others(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lamp: dropped: 1 messages wait for it already")
    house = House(limit=1)
    for _ in range(3):
        house.router.deliver(Arrival("home/a////me/C", b"on"))
    assert (len(house.lamp), len(house.heater)) == (1, 3)
    assert house.router.counts == {"received": 3, "delivered": 4, "inbox full": 2}
    house.close()


def test_traffic_is_logged_a_line_for_each_interface(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.router.deliver(Arrival("home/a////me/C", b"on"))
    caplog.set_level(logging.CRITICAL, TRAFFIC)
    house.router.deliver(Arrival("home/a////me/C", b"on"))
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        (TRAFFIC, "lamp <- command a/-/-/-/me ON"),
        (TRAFFIC, "heater <- command a/-/-/-/me ON"),
    ]


levels = st.sampled_from(["home", "boat", "alarm", "a", "", "gw", "skipper", "me", "C", "S", "é", "$SYS", "\n"])
payloads = st.binary(max_size=20) | st.sampled_from(
    [b"on", b"an", b"x", b"", b'{"action": "on"}', b'{"a": NaN}', b"\xff"]
)
payloads |= st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3)).map(
    lambda members: json.dumps(members).encode()
)


@given(st.lists(st.tuples(st.lists(levels, min_size=1, max_size=8), payloads, st.booleans()), max_size=5))
def test_whatever_the_broker_sends_is_delivered_or_counted_and_never_raised(
    messages: list[tuple[list[str], bytes, bool]],
) -> None:
    logging.getLogger("gateway.router").setLevel(logging.CRITICAL)  # what it says is tested above
    house = House(limit=2)
    expected: Counter[str] = Counter()
    try:
        for words, payload, retain in messages:
            house.router.deliver(Arrival("/".join(words), payload, retain))
            expected["home"] += words[0] == "home"
            expected["boat"] += words[0] == "boat" or words[:2] == ["home", "alarm"]
    finally:
        logging.getLogger("gateway.router").setLevel(logging.NOTSET)
    counts = house.router.counts
    assert counts["received"] == len(messages)
    to_home = len(house.heater)
    assert counts["delivered"] == len(house.lamp) + len(house.heater) + len(house.boat)
    assert counts["inbox full"] == to_home - len(house.lamp)
    not_delivered = counts["echo"] + counts["retained command"] + counts["refused"]
    assert to_home + len(house.boat) + not_delivered == expected["home"] + expected["boat"]
    assert all(msg.sender != "gw" for msg in pulled(house.heater))
    house.close()


def test_an_availability_is_no_message(house: House) -> None:
    house.router.deliver(Arrival("home/gw/availability", b"online", True))
    house.router.deliver(Arrival("home/gw/dummy/availability", b"online", True))
    assert not house.router.counts
