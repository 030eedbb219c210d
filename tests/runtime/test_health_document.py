"""The health document: how the gateway is, for people and programs that do not ask it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.integrations.homeassistant.discovery import REFUSALS
from gateway.logs.last_error import LastError
from gateway.routing.device_memory import DeviceStatus
from gateway.routing.router import REFUSED_COMMANDS
from gateway.runtime.health import Health, InterfaceHealth, LinkHealth, OutboxHealth, Process, assess
from gateway.runtime.health_document import LARGEST, health_document
from tests.runtime.test_health import LAMP, LOST, UP, devices, health, healths

NOW = 1_795_000_000.0


def document(ill: Health, limit: int = LARGEST) -> dict[str, Any]:
    payload = health_document(ill, assess(ill), limit)
    assert len(payload) <= limit
    return json.loads(payload)  # type: ignore[no-any-return]


def test_the_document_tells_how_the_gateway_is() -> None:
    interface = InterfaceHealth("SerialInterface", True, since=NOW - 60, heard_at=NOW - 2, understood_at=NOW - 3,
                                frames={"frames_received": 7, "frames_unmatched": 0})  # fmt: skip
    ill = Health(
        NOW, "hall", "3.0.0", UP._replace(since=NOW - 90), OutboxHealth("o", 7, 12.4, 0, {"expired": 2}),
        {"boiler": interface}, {"boiler": [LAMP, LOST, DeviceStatus("new", None, "", None)]},
        {"OK": 5}, {"late_command": 3}, LastError(NOW - 5, "warning", "lost the broker", 2),
        configuration_hash="0123456789ab", uptime=90.4, process=Process(36_000_000, 5, 16),
    )  # fmt: skip
    assert document(ill) == {
        "name": "hall",
        "version": "3.0.0",
        "time": "2026-11-18T11:06:40.000Z",
        "level": "degraded",
        "problems": [
            {
                "level": "degraded",
                "what": "lost is offline: 3 requests in a row were not answered",
                "remedy": "check the device, its power and its address",
                "since": "2026-11-18T11:05:50.000Z",
            }
        ],
        "configuration": "0123456789ab",
        "uptime": 90,
        "link": {
            "server": "localhost:1883", "protocol": "MQTT 5", "session": False, "connects": 1,
            "since": "2026-11-18T11:05:10.000Z", "round_trip_ms": 1.0,
        },
        "outbox": {"waiting": 7, "oldest": 12, "dead_letters": 0, "dropped": {"expired": 2}},
        "commands": {"outcomes": {"OK": 5}, "refused": {"late_command": 3}},
        "last_error": {
            "time": "2026-11-18T11:06:35.000Z", "level": "warning", "text": "lost the broker", "times": 2,
        },
        "process": {"memory": 36_000_000, "threads": 5, "descriptors": 16},
        "interfaces": {
            "boiler": {
                "status": "online", "since": "2026-11-18T11:05:40.000Z", "last_frame": "2026-11-18T11:06:38.000Z",
                "last_good_frame": "2026-11-18T11:06:37.000Z",
                "frames": {"frames_received": 7},
            }
        },
        "devices": {
            "lost": {
                "status": "offline", "interface": "boiler", "last_heard": "2026-11-18T11:05:40.000Z",
                "stale_since": "2026-11-18T11:05:50.000Z", "reason": "3 requests in a row were not answered",
            },
            "new": {"status": "unknown", "interface": "boiler", "last_heard": None},
            "lamp": {"status": "online", "interface": "boiler", "last_heard": "2026-11-18T11:06:39.000Z"},
        },
        "device_counts": {"unknown": 1, "online": 1, "offline": 1},
        "not_shown": {"interfaces": 0, "devices": 0},
    }  # fmt: skip


def test_a_gateway_without_devices_has_the_same_keys() -> None:
    assert document(health(link=LinkHealth(False))).keys() == document(devices(LAMP)).keys()


def test_of_very_many_devices_the_first_and_those_that_are_offline_are_shown() -> None:
    many = [LAMP._replace(id=f"device-number-{number:04}") for number in range(3000)]
    many[2500] = LOST
    read = document(devices(*many))
    assert list(read["devices"])[:2] == ["device-number-0000", "device-number-0001"]
    assert {"device-number-0099", "lost"} < read["devices"].keys()
    assert read["device_counts"] == {"unknown": 0, "online": 2999, "offline": 1}
    assert read["not_shown"]["devices"] == 3000 - len(read["devices"]) > 0
    assert read["interfaces"].keys() == {"boiler"}


def test_a_thousand_interfaces_leave_room_for_devices() -> None:
    ill = health(
        interfaces={f"interface-number-{number}": InterfaceHealth("X", True, since=NOW) for number in range(1000)},
        devices={f"interface-number-{number}": [LAMP._replace(id=f"d{number}")] for number in range(1000)},
    )
    read = document(ill)
    assert len(read["interfaces"]) > 50 and len(read["devices"]) > 300
    assert len(read["interfaces"]) + read["not_shown"]["interfaces"] == 1000


def test_the_commands_that_are_refused_are_counted_as_home_assistant_reads_them() -> None:
    assert sorted(kind.replace(" ", "_") for kind in REFUSED_COMMANDS) == sorted(REFUSALS)


@given(healths, st.integers(2048, 20_000))
def test_it_is_json_and_never_larger_than_its_limit(ill: Health, limit: int) -> None:
    read = document(ill, limit)
    assert {"version", "level", "link", "outbox", "commands", "devices", "interfaces"} <= read.keys()
    assert {"protocol", "connects"} <= read["link"].keys(), "what Home Assistant's templates read"
    assert {"waiting", "oldest", "dead_letters"} <= read["outbox"].keys()
    assert "refused" in read["commands"]
    assert all("last_heard" in device for device in read["devices"].values())
