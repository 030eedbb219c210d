"""Devices behind a real broker: their state documents, their silence, a restart, a reload."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg, ReportRule
from gateway.mqtt.link_state import LinkState
from gateway.start_gateway import Gateway
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

TEMPERATURE = Point("temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),))
HUMIDITY = Point("humidity", PointType.NUMBER, (Feed("TEMPERATURE", "percent"),))
BOILER = Device("boiler", (TEMPERATURE, HUMIDITY), address={"device": "boiler"})
STATE, AVAILABILITY = "home/gw/boiler/state", "home/gw/boiler/availability"


def reading(**arguments: Any) -> InternalMsg:
    return InternalMsg(device="boiler", action="TEMPERATURE", arguments=arguments)


class Running:
    """A gateway in a thread, whose one interface sends what a test pushes."""

    interface = "dev"

    def __init__(self, folder: Path, port: int, devices: Sequence[Device], **options: Any) -> None:
        self.folder, self.port, self.options = folder, port, options
        self.devices = tuple(devices)
        self.gateway = Gateway(self.load(), self.load)
        self._thread = threading.Thread(target=self.gateway.run, name="main of the gateway")
        self._thread.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.gateway.client.is_subscribed)
        wait_until(lambda: self.gateway.hosts["dev"].outlet.is_available)

    def load(self) -> Configuration:
        interfaces = {self.interface: trial("Recorder")}
        configuration = load_configuration(
            write_conf(self.folder, self.port, interfaces=interfaces, **self.options), {}
        )
        (dev,) = configuration.interfaces
        return configuration._replace(interfaces=(dev._replace(devices=self.devices),))

    def push(self, msg: InternalMsg) -> bool:
        return self.gateway.hosts["dev"].outlet.push(msg)

    def reload(self, *devices: Device) -> None:
        """Change to other devices, and wait until they are used."""
        self.devices = devices
        self.gateway.reload()
        wait_until(lambda: self.gateway.hosts["dev"].options.devices == devices)

    def close(self) -> None:
        self.gateway.stop()
        self._thread.join(20)
        self.gateway.close()


@contextmanager
def running(folder: Path, port: int, *devices: Device, **options: Any) -> Iterator[Running]:
    gateway = Running(folder, port, devices, **options)
    try:
        yield gateway
    finally:
        gateway.close()


def retained(mosquitto: Mosquitto, topic: str) -> bytes | None:
    """Return what the broker retains on `topic`."""
    with mosquitto.client(topic) as client:
        try:
            wait_until(lambda: client.pairs(), timeout=0.5)
        except AssertionError:
            return None
        return bytes(client.pairs()[0][1])


def state(mosquitto: Mosquitto) -> dict[str, Any]:
    payload = retained(mosquitto, STATE)
    return {} if not payload else json.loads(payload)


def test_whoever_comes_later_finds_the_state_of_a_device(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        assert gateway.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("temperature") == 21.5)
        assert state(mosquitto)["_quality"] == {"humidity": "unknown"}
        assert retained(mosquitto, AVAILABILITY) == b"online"
        gateway.push(reading(celsius=22.0))
        gateway.push(reading(celsius=22.5))
        wait_until(lambda: state(mosquitto)["temperature"] == 22.5)
    assert retained(mosquitto, AVAILABILITY) == b"offline"
    assert state(mosquitto)["_quality"]["temperature"] == "stale"


def test_devices_that_are_offline_because_of_a_stop_are_not_counted_at_its_end(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        gateway.push(reading(celsius=21.5))
    (line,) = [text for text in caplog.messages if text.startswith("stopped")]
    assert "1 devices" in line and "devices offline" not in line


def test_a_silent_device_is_offline_though_its_interface_is_not(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 1 s")
    with running(tmp_path, mosquitto.port, BOILER._replace(silent_after=1.0)) as gateway:
        gateway.push(reading(celsius=21.5))
        # Availability is `offline` as well as long as nothing is known of the device.
        wait_until(lambda: state(mosquitto).get("_reason") == "nothing heard for 1 s")
        assert retained(mosquitto, AVAILABILITY) == b"offline"
        assert retained(mosquitto, "home/gw/dev/availability") == b"online"
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: retained(mosquitto, AVAILABILITY) == b"online")


def test_an_event_is_a_document_after_its_message_and_is_not_retained(tmp_path: Path, mosquitto: Mosquitto) -> None:
    bell = Point("bell", PointType.EVENT, (Feed("RING", None, "RING"),))
    door = Device("boiler", (TEMPERATURE, bell), address={"device": "boiler"})
    with running(tmp_path, mosquitto.port, door) as gateway, mosquitto.client("home/#") as client:
        ring = InternalMsg(device="boiler", action="RING")
        assert gateway.push(ring) and gateway.push(reading(celsius=21.5)) and gateway.push(ring)
        wait_until(lambda: [topic for topic, _ in client.pairs()].count("home/gw/boiler/event") == 2)
        passing = [(topic, payload) for topic, payload in client.pairs() if topic.endswith(("/S", "/event"))]
        assert [topic.rpartition("/")[2] for topic, _ in passing] == ["S", "event", "S", "S", "event"]
        document = json.loads(passing[1][1])
        assert document == {"point": "bell", "value": "RING", "_time": document["_time"]}
        assert "bell" not in state(mosquitto)
    assert retained(mosquitto, "home/gw/boiler/event") is None


def test_the_last_value_within_an_interval_is_sent_at_its_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    rule = ReportRule(on_change=True, interval=0.4)
    with mosquitto.client("home/+/+/+/boiler/#") as listener, running(tmp_path, mosquitto.port) as gateway:
        for value in (1, 2, 3):
            assert gateway.push(reading(celsius=value).reported_by(rule))
        wait_until(lambda: len(listener.pairs()) == 2)
        values = [json.loads(payload)["celsius"] for _, payload in listener.pairs()]
        assert values == [1, 3]


def test_what_waits_for_the_end_of_an_interval_is_sent_before_a_stop(tmp_path: Path, mosquitto: Mosquitto) -> None:
    rule = ReportRule(on_change=True, interval=3600)
    boiler = BOILER._replace(interval=3600, silent_after=1800)
    with mosquitto.client("home/+/+/+/boiler/#") as listener:
        with running(tmp_path, mosquitto.port, boiler) as gateway:
            assert gateway.push(reading(celsius=1).reported_by(rule))
            # Before it is known what the broker retains of an earlier run, no document is published, nor at a stop.
            wait_until(lambda: state(mosquitto).get("temperature") == 1)
            for value in (2, 3):
                assert gateway.push(reading(celsius=value).reported_by(rule))
        wait_until(lambda: len(listener.pairs()) == 2)
        assert [json.loads(payload)["celsius"] for _, payload in listener.pairs()] == [1, 3]
    assert (state(mosquitto)["temperature"], state(mosquitto)["_reason"]) == (3, "the gateway has stopped")


def test_of_a_device_that_is_offline_already_the_last_reason_is_that_of_the_stop(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("device 'boiler' is offline: nothing heard for 1 s")
    with running(tmp_path, mosquitto.port, BOILER._replace(interval=3600, silent_after=1.0)) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("_reason") == "nothing heard for 1 s")
    assert state(mosquitto)["_reason"] == "the gateway has stopped"


def test_a_value_that_is_none_takes_only_itself_out(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("dev: TEMPERATURE: 'percent' is left out: nan is no value of it")
    for devices in ((), (BOILER,)):
        with (
            mosquitto.client("home/+/+/+/boiler/#") as listener,
            running(tmp_path, mosquitto.port, *devices) as gateway,
        ):
            assert gateway.push(reading(celsius=21.5, percent=float("nan")))
            wait_until(lambda: listener.pairs())
            assert json.loads(listener.pairs()[0][1]) == {"action": "TEMPERATURE", "celsius": 21.5}
            assert gateway.gateway.hosts["dev"].outlet.stats()["bad_values"] == 1


def test_after_a_restart_a_device_begins_with_what_was_known_as_stale(tmp_path: Path, mosquitto: Mosquitto) -> None:
    outbox = {"file": str(tmp_path / "gw.outbox")}
    with running(tmp_path, mosquitto.port, BOILER, outbox=outbox) as gateway:
        gateway.push(reading(celsius=21.5, percent=40))
        wait_until(lambda: state(mosquitto).get("humidity") == 40)
    with mosquitto.client() as broker:
        broker.publish(STATE, b"", qos=1, retain=True)
    with running(tmp_path, mosquitto.port, BOILER, outbox=outbox) as gateway:
        wait_until(lambda: state(mosquitto).get("humidity") == 40)
        assert state(mosquitto)["_quality"] == {"temperature": "stale", "humidity": "stale"}
        gateway.push(reading(celsius=22.0))
        wait_until(lambda: state(mosquitto)["temperature"] == 22.0)
        assert state(mosquitto)["_quality"] == {"humidity": "stale"}


def test_without_a_file_a_device_begins_with_what_the_broker_retains(tmp_path: Path, mosquitto: Mosquitto) -> None:
    other = Device("other", (TEMPERATURE,), address={"device": "other"})
    with running(tmp_path, mosquitto.port, BOILER, other) as gateway:
        gateway.push(reading(celsius=21.5, percent=40))
        gateway.push(reading(celsius=1.5).replace(device="other"))
        wait_until(lambda: state(mosquitto).get("humidity") == 40)
        wait_until(lambda: retained(mosquitto, "home/gw/other/state") is not None)
    foreign = {"home/gw/alien/state": b"on", "home/gw/list/state": b'{"_status": "online"}'}
    with mosquitto.client() as broker:
        for topic, payload in foreign.items():
            broker.publish(topic, payload, qos=1, retain=True)
    with mosquitto.client(STATE) as listener, running(tmp_path, mosquitto.port, BOILER) as gateway:
        gateway.push(reading(celsius=22.0))
        wait_until(lambda: state(mosquitto).get("temperature") == 22.0)
        assert state(mosquitto)["_quality"] == {"humidity": "stale"}
        assert all(json.loads(payload).get("humidity") == 40 for _, payload in listener.pairs()), "it never shrinks"
        wait_until(lambda: retained(mosquitto, "home/gw/other/state") is None, what="the device that is gone")
        wait_until(lambda: retained(mosquitto, "home/gw/other/availability") is None)
        assert {topic: retained(mosquitto, topic) for topic in foreign} == foreign, "what is no document stays"


def test_the_documents_of_a_device_that_is_gone_are_removed(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("temperature") == 21.5)
        gateway.devices = (BOILER._replace(name="Boiler"),)
        gateway.gateway.reload()
        wait_until(lambda: gateway.gateway.hosts["dev"].options.devices == gateway.devices)
        assert state(mosquitto)["temperature"] == 21.5
        gateway.devices = ()
        gateway.gateway.reload()
        wait_until(lambda: retained(mosquitto, STATE) is None)
        wait_until(lambda: retained(mosquitto, AVAILABILITY) is None)


@pytest.mark.parametrize("is_back", [False, True])
def test_a_device_that_is_removed_while_the_broker_is_away(
    is_back: bool, tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    """If it is added again meanwhile, the document that is published then must not be cleared."""
    expected_logs.expect("lost the broker")
    expected_logs.allow("no connection to the broker")
    with Proxy(mosquitto.port) as proxy, running(tmp_path, proxy.port, BOILER) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("temperature") == 21.5)
        proxy.refuse_connections()
        proxy.cut()
        wait_until(lambda: gateway.gateway.client.link_state is not LinkState.UP)
        for devices in [(), (BOILER,)] if is_back else [()]:
            gateway.devices = devices
            gateway.gateway.reload()
            wait_until(lambda: gateway.gateway.hosts["dev"].options.devices == gateway.devices)
        proxy.accept_connections()
        client = gateway.gateway.client
        wait_until(lambda: client.link_state is LinkState.UP and client.is_subscribed)
        wait_until(lambda: not len(gateway.gateway.outbox) and client.sender.states.is_idle and not len(client.sender))
        assert state(mosquitto).get("temperature") == (21.5 if is_back else None)
        assert retained(mosquitto, AVAILABILITY) == (b"online" if is_back else None)
        assert (STATE in gateway.gateway.outbox.retained) is is_back


def test_a_time_that_cannot_be_used_is_replaced(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("nan is no time of a reading: the present time is used instead")
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        gateway.push(reading(celsius=1.0))
        assert gateway.push(reading(celsius=2.0).read_at(math.nan))
        wait_until(lambda: state(mosquitto).get("temperature") == 2.0)
        assert state(mosquitto)["_time"]["temperature"] > "2026"
        assert gateway.gateway.stats()["interfaces"]["dev"]["bad_values"] == 1


def test_a_reload_gives_a_new_device_the_status_of_its_interface(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port) as gateway:
        gateway.devices = (BOILER,)
        gateway.gateway.reload()
        wait_until(lambda: retained(mosquitto, AVAILABILITY) == b"online")
        assert state(mosquitto)["_status"] == "online"


def test_the_documents_of_an_interface_that_is_gone_are_removed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("temperature") == 21.5)
        gateway.interface, gateway.devices = "other", ()
        gateway.gateway.reload()
        wait_until(lambda: retained(mosquitto, STATE) is None)
        wait_until(lambda: retained(mosquitto, AVAILABILITY) is None)
        wait_until(lambda: not gateway.gateway._interfaces._retired)
        assert not {STATE, AVAILABILITY} & gateway.gateway.client.sender.states._states.keys()


def test_a_device_may_move_to_another_interface(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(tmp_path, mosquitto.port, BOILER) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: state(mosquitto).get("temperature") == 21.5)
        gateway.interface = "other"
        gateway.gateway.reload()
        wait_until(lambda: "other" in gateway.gateway.hosts)
        wait_until(lambda: not gateway.gateway._interfaces._retired)
        wait_until(lambda: state(mosquitto).get("_quality", {}).get("temperature") == "stale")
        wait_until(lambda: state(mosquitto)["_status"] == "online")
        assert {STATE, AVAILABILITY} <= gateway.gateway.client.sender.states._states.keys()


def test_what_a_rule_has_reported_is_not_refreshed_after_the_rules_have_changed(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, mosquitto.port) as gateway, mosquitto.client("home/#") as client:
        gateway.push(reading(celsius=21.5).reported_by(ReportRule(on_change=True, refresh=0.5)))

        def sent() -> int:
            return sum(b"celsius" in pair[1] for pair in client.pairs())

        wait_until(lambda: sent() > 1)
        host = gateway.gateway.hosts["dev"]
        monkeypatch.setattr(host._supervisor, "change", lambda *_: None)  # it changes over while it runs
        host.reconfigure(host.options._replace(params={**host.options.params, "other": 1}))
        host.start()
        time.sleep(0.3)
        before = sent()
        time.sleep(1.0)
        assert sent() == before


def test_devices_of_a_template_keep_their_documents_over_a_restart(tmp_path: Path, mosquitto: Mosquitto) -> None:
    meter = Device("meter{unit}", (TEMPERATURE,), address={"device": "boiler"}, where={"unit": "{unit}"})
    outbox = {"file": str(tmp_path / "gw.outbox")}

    def state_of(unit: int) -> dict[str, Any]:
        payload = retained(mosquitto, f"home/gw/meter{unit}/state")
        return json.loads(payload) if payload else {}

    with running(tmp_path, mosquitto.port, meter, outbox=outbox) as gateway:
        for unit in (3, 4):
            gateway.push(reading(celsius=unit, unit=unit))
        wait_until(lambda: state_of(4).get("temperature") == 4)
    with running(tmp_path, mosquitto.port, meter, outbox=outbox) as gateway:
        assert gateway.gateway.stats()["interfaces"]["dev"]["devices"] == 2
        gateway.push(reading(celsius=3.5, unit=3))
        wait_until(lambda: state_of(3).get("temperature") == 3.5)
        assert state_of(3).keys().isdisjoint({"_address", "_where"})
        wait_until(lambda: state_of(4).get("_quality") == {"temperature": "stale"})
        assert (state_of(4)["temperature"], state_of(4)["_status"]) == (4, "unknown")
    with running(tmp_path, mosquitto.port, meter._replace(id="unit{unit}"), outbox=outbox):
        wait_until(lambda: not state_of(3) and not state_of(4))
        wait_until(lambda: retained(mosquitto, "home/gw/meter4/availability") is None)


@pytest.mark.parametrize("silent_after", [None, 60.0])
@pytest.mark.parametrize(
    ("before", "interface", "after"),
    [("dev", "dev", "kettle"), ("kettle", "dev", "dev"), ("dev", "other", "dev"), ("kettle", "kettle", "kettle"),
     ("dev", "kettle", "kettle"), ("dev", "dev", "dev")],
)  # fmt: skip
def test_after_a_reload_each_availability_is_that_of_who_has_the_name_now(
    tmp_path: Path, mosquitto: Mosquitto, silent_after: float | None, before: str, interface: str, after: str
) -> None:
    """An interface and its only device may have the same name, and so the same topic: then it is the device's."""
    device = BOILER._replace(silent_after=silent_after)
    with (
        mosquitto.client("home/gw/+/availability") as listener,
        running(tmp_path, mosquitto.port, device._replace(id=before)) as gateway,
    ):
        gateway.interface, gateway.devices = interface, (device._replace(id=after),)
        gateway.gateway.reload()
        wait_until(lambda: [interface] == [*gateway.gateway.hosts])
        wait_until(lambda: gateway.gateway.hosts[interface].devices.topics[:1] == [f"home/gw/{after}/state"])
        of_device = b"online" if silent_after is None else b"offline"
        expected = {"dev": b"", "kettle": b"", "other": b"", interface: b"online", after: of_device}

        def last() -> dict[str, bytes]:
            return {topic.split("/")[2]: payload for topic, payload in listener.pairs()}

        wait_until(lambda: {**dict.fromkeys(expected, b""), **last()} == expected, what=lambda: f"{expected}; {last()}")
        gateway.gateway.client.set_state("home/gw/end/availability", b"online")
        wait_until(lambda: "end" in last())
        assert {**dict.fromkeys(expected, b""), **last(), "end": b""} == {**expected, "end": b""}


def test_the_document_of_a_device_that_had_the_name_of_its_interface_is_removed_and_no_other(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with running(tmp_path, mosquitto.port, BOILER._replace(id="dev")) as gateway:
        gateway.push(reading(celsius=21.5))
        wait_until(lambda: retained(mosquitto, "home/gw/dev/state"))
    with running(tmp_path, mosquitto.port, BOILER):
        wait_until(lambda: retained(mosquitto, "home/gw/dev/state") is None)
        wait_until(lambda: retained(mosquitto, AVAILABILITY) == b"online")
        assert retained(mosquitto, "home/gw/dev/availability") == b"online"


class RunningTwo(Running):
    """A gateway with two interfaces, each with devices of its own."""

    def load(self) -> Configuration:
        interfaces = {"dev": trial("Recorder"), "other": trial("Recorder")}
        configuration = load_configuration(write_conf(self.folder, self.port, interfaces=interfaces), {})
        dev, other = configuration.interfaces
        template, declared = self.devices
        return configuration._replace(
            interfaces=(dev._replace(devices=(template,)), other._replace(devices=(declared,)))
        )


def test_an_id_that_another_interface_has_is_rejected_and_logged_with_the_remedy(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("'boiler' is that of a declared device of the interface other; change the id of the template")
    expected_logs.expect("the id 'other' is that of an interface")
    gateway = RunningTwo(tmp_path, mosquitto.port, (Device("{device}", (TEMPERATURE,)), BOILER))
    try:
        for word in ("boiler", "boiler", "other", "attic"):
            gateway.push(reading(celsius=1).replace(device=word))
        wait_until(lambda: retained(mosquitto, "home/gw/attic/state") is not None)
        assert gateway.gateway.stats()["interfaces"]["dev"]["devices_rejected"] == 3
        assert state(mosquitto).get("temperature") is None
        gateway.devices = (gateway.devices[0], BOILER._replace(id="attic", address={"device": "attic"}))
        gateway.gateway.reload()  # what is declared goes before what a template has found
        wait_until(lambda: gateway.gateway.stats()["interfaces"]["dev"]["devices"] == 0)
        wait_until(lambda: b'"temperature":"stale"' in (retained(mosquitto, "home/gw/attic/state") or b""))
    finally:
        gateway.close()


HANGING = '''
from pathlib import Path
import time

from gateway.api import DeviceInterface, InternalMsg


class Hanging(DeviceInterface):
    """A thermometer whose read() does not return while there is a file called `hang`."""

    read_interval = 0.1
    longest_call = 0.5

    @classmethod
    def devices(cls, params):
        return [{"id": "boiler", "points": {"temperature": {"from": "TEMPERATURE.celsius", "type": "number"}}}]

    def read(self):
        while (Path(__file__).parent / "hang").exists():
            time.sleep(0.05)
        return [InternalMsg(action="TEMPERATURE", arguments={"celsius": 21.5})]
'''


def test_the_devices_of_an_interface_that_hangs_in_its_read_are_offline_until_it_works_again(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    conf = write_conf(tmp_path, mosquitto.port, interface={"type": "hanging.py"})
    with GatewayProcess(conf) as gateway:
        wait_until(lambda: state(mosquitto).get("_status") == "online")
        (tmp_path / "hang").touch()
        wait_until(lambda: state(mosquitto)["_status"] == "offline", timeout=15)
        hung = state(mosquitto)
        assert retained(mosquitto, AVAILABILITY) == b"offline"
        assert re.fullmatch(
            r"the interface has not returned from read\(\) for \d+ s: it is at .*hanging.py:2[01] \(read\)",
            hung["_reason"],
        )
        assert (hung["temperature"], hung["_quality"]) == (21.5, {"temperature": "stale"})
        (tmp_path / "hang").unlink()
        wait_until(lambda: state(mosquitto)["_status"] == "online", timeout=15)
        assert state(mosquitto)["_quality"] == {}
        assert retained(mosquitto, AVAILABILITY) == b"online"
    assert gateway.log.count("has not returned") == 1 and "device 'boiler'" not in gateway.log
