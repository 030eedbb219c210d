"""What the overview tells of a gateway: what is wrong and where, all devices in a few bytes, and no secrets."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.page.history import History
from gateway.page.overview import Names, Overview, overview
from gateway.page.source import Source
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import Health, InterfaceHealth, LinkHealth, OutboxHealth
from gateway.start_gateway import Gateway
from gateway.web.access import Visitor
from gateway.web.app import Request
from tests.support.configuration import write_conf

HOSTILE = ("<img src=x onerror=alert(1)>", "x" * 1000, "\x1b[2J\x00\r\n", "\u202egnp.exe", "\udc80", "日本")
REQUEST = Request({}, {}, Visitor(may_read=True, may_write=False, is_secure=True))


def health(devices: list[DeviceStatus], **options: Any) -> Health:
    link = LinkHealth(True, "up", "localhost:1883", "MQTT 5", connects=1, since=900.0, round_trip=0.002)
    interface = InterfaceHealth("SerialInterface", True, since=900.0, heard_at=999.0)
    return Health(1000.0, "house", "3", link, OutboxHealth(dropped={"expired": 0, "dropped_old": 3}),
                  {"bus": interface}, {"bus": devices}, **options)  # fmt: skip


def test_each_problem_names_the_interface_and_the_device_that_it_is_about() -> None:
    lost = DeviceStatus("lamp", False, "nothing heard for 60 s", 70.0, 10.0)
    (problem,) = overview(health([lost]), {})["problems"]
    assert (problem["interface"], problem["device"], problem["since"]) == ("bus", "lamp", 990.0)
    ill = health([])._replace(interfaces={"bus": InterfaceHealth("x", False, "unplugged")}, log_failure="full")
    assert [(each["interface"], each["device"]) for each in overview(ill, {})["problems"]] == [("bus", ""), ("", "")]


def test_devices_are_told_by_their_places_and_equal_reasons_once() -> None:
    devices = [DeviceStatus("a", True, "", 1.4), DeviceStatus("b", False, "gone", None), DeviceStatus("c", None, "", 9),
               DeviceStatus("d", False, "gone", 100.0)]  # fmt: skip
    part = overview(health(devices), {})["interfaces"]["bus"]
    assert (part["states"], part["ages"], part["reasons"]) == ("10-0", [1, None, 9, 100], {"gone": [1, 3]})


def test_what_was_dropped_is_told_by_its_reason() -> None:
    assert overview(health([]), {})["outbox"]["dropped"] == {"dropped_old": 3}


def test_a_thousand_devices_take_less_than_ten_bytes_each() -> None:
    devices = [DeviceStatus(f"sensor_{number}", number % 7 != 0, "nothing heard", 123.4) for number in range(1000)]
    names = {"bus": {device.id: (f"Sensor of the greenhouse {device.id}", "Garden") for device in devices}}
    empty = len(json.dumps(overview(health([]), {})))
    assert len(json.dumps(overview(health(devices), names))) - empty < 10_000 + 5 * 1000  # and the problems


@pytest.mark.parametrize(
    ("devices", "names", "is_other"),
    [
        ([DeviceStatus("a", True, "", 1.0)], {"bus": {"a": ("A", "")}}, False),
        ([DeviceStatus("a", False, "gone", 7.0)], {"bus": {"a": ("A", "")}}, False),
        ([DeviceStatus("b", True, "", 1.0)], {"bus": {"a": ("A", "")}}, True),
        ([DeviceStatus("a", True, "", 1.0)], {"bus": {"a": ("B", "")}}, True),
        ([], {}, True),
    ],
)
def test_the_revision_changes_with_the_devices_and_their_names(
    devices: list[DeviceStatus], names: Names, *, is_other: bool
) -> None:
    first = overview(health([DeviceStatus("a", True, "", 1.0)]), {"bus": {"a": ("A", "")}})["revision"]
    assert (overview(health(devices), names)["revision"] != first) is is_other


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_what_they_are_and_the_answer_stays_json(text: str) -> None:
    device = DeviceStatus(text, False, text, 1.0, 1.0)
    answer = json.loads(json.dumps(overview(health([device]), {"bus": {text: (text, text)}})))
    assert answer["interfaces"]["bus"]["reasons"] == {text: [0]}
    (problem,) = answer["problems"]
    assert len(problem["what"]) <= 600 and problem["what"].isprintable() and problem["device"] == text


def test_names_and_areas_come_once_and_without_secrets(tmp_path: Path) -> None:
    device = {"id": "lamp", "name": "Lamp hidden1", "area": "Hall", "points": {"t": {"from": "T.t", "type": "number"}}}
    conf = write_conf(
        tmp_path, 1, interfaces={"one": {"type": "dummy", "devices": [device]}}, outbox={"store": "memory"},
        mqtt={"username": "u", "password": "hidden1"},
    )  # fmt: skip
    gateway = Gateway(load_configuration(conf, {}))
    with closing(gateway):
        view = Overview(Source(gateway), History())
        ask = {path: route.answer for (_, path), route in view.routes().items()}
        answer, names = ask["/api/overview"](REQUEST), ask["/api/devices"](REQUEST)
        assert ask["/api/overview"](REQUEST) is answer, "browsers that ask at the same time share an answer"
        assert isinstance(answer, dict) and isinstance(names, dict)
        assert names == {"revision": answer["revision"], "interfaces": {"one": [["lamp", "Lamp ***", "Hall"]]}}
        assert answer["rates"]["counts"] == {"in": 0, "out": 0, "frames/one": 0}
        history = ask["/api/history"](REQUEST)
        assert isinstance(history, dict) and set(history["series"]) == {
            "in", "out", "outbox", "round_trip", "frames/one",
        }  # fmt: skip
