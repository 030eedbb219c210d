from __future__ import annotations

import signal
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
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

CLIMATE = DeliveryRules([DeliveryRule({"function": frozenset({"climate"})}, retain=True)])
TOPIC = "home/climate//hall/sensor/gw/S"


def climate_map(root: str = "home", function: FieldMap | None = None, rules: DeliveryRules = CLIMATE) -> MsgMap:
    fields = {"function": function} if function else {}
    return MsgMap(root, fields=fields, sender="gw", delivery=rules)


def stale(*maps: MsgMap, topic: str = TOPIC, kept: tuple[str, ...] = ()) -> list[str]:
    return list(stale_topics({topic: b"warm"}, maps, kept))


def test_what_a_map_still_retains_is_not_stale() -> None:
    assert stale(climate_map("boat"), climate_map()) == []


def test_what_no_map_would_retain_is_stale() -> None:
    strict = FieldMap("function", "strict", {"light": ["lighting"]})
    assert stale(climate_map("house")) == [TOPIC], "another root"
    assert stale(climate_map(function=strict)) == [TOPIC], "a removed word"
    assert stale(climate_map(rules=DeliveryRules())) == [TOPIC], "a removed rule"
    assert stale() == [TOPIC]


def test_an_outcome_that_an_earlier_version_retained_is_stale() -> None:
    refused = {TOPIC: b'{"action": "SET", "on": true, "response": "REFUSED", "reason": "no"}'}
    assert list(stale_topics(refused, [climate_map()], ())) == [TOPIC]


LIVE = (
    "home/gw/run", "home/gw/availability", "home/gw/hall/availability",
    "home/gw/boiler/state", "home/gw/boiler/availability",
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "topics"),
    [
        (TOPIC, [TOPIC]),
        ("home/climate//hall/sensor/gw/C", ["home/climate//hall/sensor/gw/C"]),  # it may have been retained by mistake
        ("old/root/sensor", ["old/root/sensor"]),
        ("home/gw/attic/availability", ["home/gw/attic/availability"]),
        ("sensor", [TOPIC]),
        ("shed", ["home/gw/shed/availability"]),
        ("meter", ["home/gw/meter/state", "home/gw/meter/availability"]),
        ("plain", ["plain"]),
    ],
)
def test_topics_of_the_gateway_can_be_forgotten(target: str, topics: list[str]) -> None:
    retained = {
        TOPIC: b"warm",
        "home/gw/shed/availability": b"offline",
        "home/gw/meter/state": b"{}",
        "home/gw/meter/availability": b"offline",
        "old/root/sensor": b"x",
        "plain": b"x",
        **dict.fromkeys(LIVE, b"online"),
    }
    assert topics_to_forget(target, retained, [climate_map()], "home/gw", LIVE) == topics


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("", "knows no device '' with a retained state"),
        ("hall", "'hall' is an interface of this gateway, not a device with a retained state"),
        ("boiler", "the documents of 'boiler' are published as long as it is declared: remove it first"),
        ("home/gw/boiler/state", "is published as long as this gateway runs: remove its interface or device first"),
        ("attic", "this gateway knows no device 'attic' with a retained state, and no removed interface of that name"),
        ("home/gw/run", "is published as long as this gateway runs: stop the gateway first"),
        ("home/gw/availability", "is published as long as this gateway runs: stop the gateway first"),
        ("home/climate//hall/sensor/other/S", "this gateway does not write the topic ho"),
        ("home/other/availability", "this gateway does not write the topic ho"),
        ("house/climate//hall/sensor/gw/S", "this gateway does not write the topic ho"),
        ("home/gw/#", "'#' is not allowed in a topic"),
        ("home/gw/\0", r"'\\x00' is not allowed in a topic"),
        ("$SYS/broker/uptime", r"topics that begin with '\$' belong to the broker"),
        ("home/gw/" + "x/" * 100, "levels are too many"),
    ],
)
def test_topics_of_others_cannot_be_forgotten(target: str, reason: str) -> None:
    with pytest.raises(GatewayError, match=reason):
        topics_to_forget(target, dict.fromkeys(LIVE, b"online"), [climate_map()], "home/gw", LIVE)


def test_a_kept_topic_is_not_stale_whatever_the_maps_say() -> None:
    assert stale(topic="home/gw/availability", kept=("home/gw/availability",)) == []
    assert stale(topic="home/gw/old/availability") == ["home/gw/old/availability"]


def conf_with(folder: Path, broker: Mosquitto, root: str) -> Path:
    msg_map = {"root": root, "topics": [], "delivery": [{"match": {}, "retain": True}]}
    return write_conf(folder, broker.port, map=msg_map, interfaces={"hall": trial("Ticker", interval=60)})


def test_retained_states_are_published_again_after_the_broker_has_lost_them(tmp_path: Path) -> None:
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


def test_the_broker_forgets_what_a_previous_map_had_retained(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(conf_with(tmp_path, mosquitto, "home")) as gateway:
        with mosquitto.client("home/#") as listener:
            wait_until(lambda: any(m.topic.endswith("/S") for m in listener.messages), what=lambda: gateway.log)
        gateway.stop()
    with mosquitto.client("home/#") as listener:
        wait_until(lambda: len(listener.messages) == 5, what=lambda: str(listener.pairs()))
        assert all(message.retain for message in listener.messages)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf_with(tmp_path, mosquitto, "house")) as gateway:
        gateway.wait_log("clearing 5 retained topics that this configuration does not publish")
        wait_until(lambda: len([m for m in listener.messages if not m.payload]) == 5, what=lambda: gateway.log)
        gateway.stop()
    with mosquitto.client("#") as listener:
        listener.wait_topic("house/gw/availability", OFFLINE)
        wait_until(lambda: len(listener.messages) >= 3, what=lambda: str(listener.pairs()))
        assert all(message.topic.startswith("house/") for message in listener.messages)


def test_the_next_run_clears_what_a_killed_one_could_not(tmp_path: Path, mosquitto: Mosquitto) -> None:
    def configured(**options: object) -> Path:
        outbox = {"store": "disk", "file": str(tmp_path / "gw.outbox")}
        return write_conf(tmp_path, proxy.port, outbox=outbox, interface={"type": "dummy", **options})

    documents = {"home/gw/lamp/state", "home/gw/lamp/availability"}
    with Proxy(mosquitto.port) as proxy:
        with GatewayProcess(configured()) as gateway:
            with mosquitto.client("home/gw/lamp/+") as listener:
                wait_until(lambda: documents <= {topic for topic, _ in listener.pairs()}, what=lambda: gateway.log)
            proxy.refuse_connections()
            proxy.cut()
            gateway.wait_log("lost the broker")
            configured(devices=[])
            gateway.process.send_signal(signal.SIGHUP)
            gateway.wait_log("clearing 2 retained topics that this configuration does not publish")
            gateway.kill()
        proxy.accept_connections()
        with mosquitto.client("home/gw/lamp/+") as listener, GatewayProcess(configured(devices=[])) as gateway:
            wait_until(lambda: {topic for topic, payload in listener.pairs() if not payload} == documents)
            gateway.stop()
        with GatewayProcess(configured(devices=[])) as gateway:
            gateway.wait_log("connected to")
            gateway.stop()
            assert "retained topics that" not in gateway.log, "they are forgotten now"
