from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.message import OFFLINE
from gateway.routing.stale_retained import stale_topics, topics_to_forget
from gateway.translation.delivery import DeliveryRule, DeliveryRules
from gateway.translation.mqtt_map import FieldMap, MsgMap
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

CLIMATE = DeliveryRules([DeliveryRule({"function": frozenset({"climate"})}, retain=True)])
TOPIC = "home/climate//hall/sensor/gw/S"


def climate_map(root: str = "home", function: FieldMap | None = None, rules: DeliveryRules = CLIMATE) -> MsgMap:
    fields = {"function": function} if function else {}
    return MsgMap(root, fields=fields, sender="gw", delivery=rules)


def orphans_of(*maps: MsgMap, topic: str = TOPIC, kept: tuple[str, ...] = ()) -> list[str]:
    return list(stale_topics({topic: b"warm"}, maps, kept))


def test_what_a_map_still_retains_is_no_orphan() -> None:
    assert orphans_of(climate_map("boat"), climate_map()) == []


def test_what_no_map_would_retain_is_one() -> None:
    strict = FieldMap("function", "strict", {"light": ["lighting"]})
    assert orphans_of(climate_map("house")) == [TOPIC], "another root"
    assert orphans_of(climate_map(function=strict)) == [TOPIC], "a word that is gone"
    assert orphans_of(climate_map(rules=DeliveryRules())) == [TOPIC], "a rule that is gone"
    assert orphans_of() == [TOPIC]


def test_an_outcome_that_an_earlier_version_retained_is_one() -> None:
    refused = {TOPIC: b'{"action": "SET", "on": true, "response": "REFUSED", "reason": "no"}'}
    assert list(stale_topics(refused, [climate_map()], ())) == [TOPIC]


LIVE = ("home/gw/run", "home/gw/availability", "home/gw/hall/availability")


@pytest.mark.parametrize(
    ("what", "topics"),
    [
        (TOPIC, [TOPIC]),
        ("home/climate//hall/sensor/gw/C", ["home/climate//hall/sensor/gw/C"]),  # it could be retained, by mistake
        ("old/root/sensor", ["old/root/sensor"]),
        ("home/gw/attic/availability", ["home/gw/attic/availability"]),
        ("sensor", [TOPIC]),
        ("shed", ["home/gw/shed/availability"]),
        ("plain", ["plain"]),
    ],
)
def test_what_is_ones_own_can_be_forgotten(what: str, topics: list[str]) -> None:
    retained = {
        TOPIC: b"warm",
        "home/gw/shed/availability": b"offline",
        "old/root/sensor": b"x",
        "plain": b"x",
        **dict.fromkeys(LIVE, b"online"),
    }
    assert topics_to_forget(what, retained, [climate_map()], "home/gw", LIVE) == topics


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("", "'' is no device"),
        ("hall", "'hall' is an interface of this gateway, and no device with a retained state"),
        ("attic", "'attic' is no device with a retained state, and no interface that is gone, as far as this gateway"),
        ("home/gw/run", "is published as long as this gateway runs"),
        ("home/gw/availability", "is published as long as this gateway runs"),
        ("home/climate//hall/sensor/other/S", "is no topic that this gateway writes"),
        ("home/other/availability", "is no topic that this gateway writes"),
        ("house/climate//hall/sensor/gw/S", "is no topic that this gateway writes"),
        ("home/gw/#", "'#' may not stand in a topic"),
        ("home/gw/\0", r"'\\x00' may not stand in a topic"),
        ("$SYS/broker/uptime", r"topics that begin with '\$' belong to the broker"),
        ("home/gw/" + "x/" * 100, "levels are too many"),
    ],
)
def test_what_is_not_ones_own_is_refused(what: str, why: str) -> None:
    with pytest.raises(GatewayError, match=why):
        topics_to_forget(what, dict.fromkeys(LIVE, b"online"), [climate_map()], "home/gw", LIVE)


def test_what_is_kept_is_none_whatever_the_maps_say() -> None:
    assert orphans_of(topic="home/gw/availability", kept=("home/gw/availability",)) == []
    assert orphans_of(topic="home/gw/old/availability") == ["home/gw/old/availability"]


def conf_with(folder: Path, broker: Mosquitto, root: str) -> Path:
    msg_map = {"root": root, "topics": [], "delivery": [{"match": {}, "retain": True}]}
    return write_conf(folder, broker.port, map=msg_map, interfaces={"hall": trial("Ticker", interval=60)})


def test_a_broker_that_has_lost_what_it_retained_is_told_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, GatewayProcess(conf_with(tmp_path, broker, "home")) as gateway:
        with broker.client("home/#") as listener:
            listener.wait_for(lambda message: message.topic.endswith("/S"))
        broker.kill()
        gateway.wait_log("lost the broker")
        broker.start()
        with broker.client("home/#") as listener:
            again = listener.wait_for(lambda message: message.topic.endswith("/S"), timeout=20)
            assert b"TICK" in again.payload
            listener.wait_topic("home/gw/hall/availability", b"online")
        gateway.stop()


def test_the_broker_forgets_what_another_map_had_retained(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(conf_with(tmp_path, mosquitto, "home")) as gateway:
        with mosquitto.client("home/#") as listener:
            wait_until(lambda: any(m.topic.endswith("/S") for m in listener.messages), what=lambda: gateway.log)
        gateway.stop()
    with mosquitto.client("home/#") as listener:
        wait_until(lambda: len(listener.messages) == 4, what=lambda: str(listener.pairs()))
        assert all(message.retain for message in listener.messages)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf_with(tmp_path, mosquitto, "house")) as gateway:
        gateway.wait_log("clearing 4 retained topics that this configuration does not publish")
        wait_until(lambda: len([m for m in listener.messages if not m.payload]) == 4, what=lambda: gateway.log)
        gateway.stop()
    with mosquitto.client("#") as listener:
        listener.wait_topic("house/gw/availability", OFFLINE)
        wait_until(lambda: len(listener.messages) >= 3, what=lambda: str(listener.pairs()))
        assert all(message.topic.startswith("house/") for message in listener.messages)
