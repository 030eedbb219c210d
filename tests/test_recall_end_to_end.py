"""A gateway without a file, and what the broker retains of its devices: nothing shrinks, nothing stays for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.mqtt.link_state import LinkState
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until
from tests.test_devices_end_to_end import (
    AVAILABILITY,
    BOILER,
    STATE,
    Running,
    reading,
    retained,
    running,
    state,
)

OTHER = BOILER._replace(id="other", address={"device": "other"})


class Unconnected(Running):
    """A gateway that has no broker yet."""

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.gateway.hosts["dev"].outlet.is_available)


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_device_that_is_removed_before_the_first_link_has_no_documents(
    is_on_disk: bool, tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no connection to the broker")
    expected_logs.allow("closed the connection without a CONNACK")
    options = {"outbox": {"file": str(tmp_path / "gw.outbox")}} if is_on_disk else {}
    with Proxy(mosquitto.port) as proxy:
        proxy.refuse_connections()
        gateway = Unconnected(tmp_path, proxy.port, [BOILER, OTHER], **options)
        try:
            gateway.push(reading(celsius=21.5))
            gateway.reload(OTHER)
            proxy.accept_connections()
            wait_until(lambda: retained(mosquitto, "home/gw/other/availability") == b"online", timeout=20)
            wait_until(lambda: gateway.gateway.client.sender.states.is_idle)
            assert retained(mosquitto, STATE) is None and retained(mosquitto, AVAILABILITY) is None
        finally:
            gateway.close()
        assert retained(mosquitto, STATE) is None and retained(mosquitto, AVAILABILITY) is None


def test_a_document_does_not_shrink_if_the_gateway_stops_before_it_knows_what_is_retained(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("no connection to the broker")
    expected_logs.allow("closed the connection without a CONNACK")
    with running(tmp_path, mosquitto.port, BOILER) as first:
        first.push(reading(celsius=21.5, percent=40))
        wait_until(lambda: state(mosquitto).get("humidity") == 40)
    with Proxy(mosquitto.port) as proxy:
        proxy.refuse_connections()
        gateway = Unconnected(tmp_path, proxy.port, [BOILER])
        gateway.push(reading(celsius=22.0))
        wait_until(lambda: len(gateway.gateway.outbox))
        proxy.accept_connections()
        gateway.close()  # it tries once more to send what waits
    assert state(mosquitto)["humidity"] == 40


def test_the_documents_of_the_last_devices_that_are_gone_are_removed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER) as first:
        first.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("temperature"))
    with running(tmp_path, mosquitto.port):
        wait_until(lambda: retained(mosquitto, STATE) is None)
        wait_until(lambda: retained(mosquitto, AVAILABILITY) is None)


def test_devices_that_a_reload_adds_before_the_first_link_begin_with_what_is_retained(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no connection to the broker")
    expected_logs.allow("closed the connection without a CONNACK")
    with running(tmp_path, mosquitto.port, BOILER) as first:
        first.push(reading(celsius=21.5, percent=40))
        wait_until(lambda: state(mosquitto).get("humidity") == 40)
    with Proxy(mosquitto.port) as proxy:
        proxy.refuse_connections()
        gateway = Unconnected(tmp_path, proxy.port, [])
        try:
            gateway.reload(BOILER)
            gateway.push(reading(celsius=22.0))
            proxy.accept_connections()
            wait_until(lambda: state(mosquitto).get("temperature") == 22.0, timeout=20)
            assert state(mosquitto)["humidity"] == 40
        finally:
            gateway.close()


def test_the_document_of_a_device_of_a_template_does_not_shrink(tmp_path: Path, mosquitto: Mosquitto) -> None:
    template = BOILER._replace(id="b_{device}", address={})
    documents = {device: f"home/gw/{device}/state" for device in ("b_boiler", "b_quiet", "gone")}
    gone = OTHER._replace(id="gone")
    with running(tmp_path, mosquitto.port, template, gone) as first:
        for word in ("boiler", "quiet", "other"):
            first.push(reading(celsius=21.5, percent=40).replace(device=word))
        wait_until(lambda: all(retained(mosquitto, topic) for topic in documents.values()))
    with (
        mosquitto.client(documents["b_boiler"]) as listener,
        running(tmp_path, mosquitto.port, template) as second,
    ):
        wait_until(lambda: retained(mosquitto, documents["gone"]) is None, what="what no template makes")
        wait_until(lambda: retained(mosquitto, "home/gw/gone/availability") is None)
        second.push(reading(celsius=22.0))
        wait_until(lambda: b"22.0" in (retained(mosquitto, documents["b_boiler"]) or b""))
        document = json.loads(retained(mosquitto, documents["b_boiler"]) or b"")
        assert (document["humidity"], document["_quality"]) == (40, {"humidity": "stale"})
        assert all(json.loads(payload).get("humidity") == 40 for _, payload in listener.pairs()), "it never shrinks"
        assert json.loads(retained(mosquitto, documents["b_quiet"]) or b"")["temperature"] == 21.5


def test_the_availability_of_a_device_does_not_contradict_its_state(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """An earlier run was killed: `online` is retained, but nobody knows."""
    device = BOILER._replace(silent_after="auto")
    with mosquitto.client() as broker:
        document = {"temperature": 21.5, "_status": "online", "_quality": {}}
        document["_time"] = {"temperature": "2026-11-30T17:48:31.760Z"}
        broker.publish(STATE, json.dumps(document).encode(), qos=1, retain=True)
        broker.publish(AVAILABILITY, b"online", qos=1, retain=True)
    never_heard = OTHER._replace(silent_after=60)
    with running(tmp_path, mosquitto.port, device, never_heard) as gateway:
        wait_until(lambda: retained(mosquitto, AVAILABILITY) == b"offline")
        assert (state(mosquitto)["_status"], state(mosquitto)["temperature"]) == ("unknown", 21.5)
        wait_until(lambda: b'"unknown"' in (retained(mosquitto, "home/gw/other/state") or b""))
        assert retained(mosquitto, "home/gw/other/availability") == b"offline"
        gateway.push(reading(celsius=22.0))
        wait_until(lambda: retained(mosquitto, AVAILABILITY) == b"online")
        assert gateway.gateway.client.link_state is LinkState.UP


def test_the_availability_of_an_interface_is_not_that_of_a_device_that_had_its_name(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """A template cannot make a device that has the name of an interface, as a declared device could."""
    document, availability = "home/gw/dev/state", "home/gw/dev/availability"
    with running(tmp_path, mosquitto.port, BOILER._replace(id="dev")) as first:
        first.push(reading(celsius=21.5))
        wait_until(lambda: b"21.5" in (retained(mosquitto, document) or b""))
    template = BOILER._replace(id="{device}", address={})
    with mosquitto.client(availability) as listener, running(tmp_path, mosquitto.port, template) as second:
        wait_until(lambda: retained(mosquitto, document) is None, what="the document of no device")
        wait_until(lambda: second.gateway.client.sender.states.is_idle)
        assert retained(mosquitto, availability) == b"online"
        assert [payload for _, payload in listener.pairs()][-1] == b"online"
