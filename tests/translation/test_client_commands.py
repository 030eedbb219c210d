"""The commands of a client: those that the map reads back as what was meant, and what keeps a client from one."""

from __future__ import annotations

import pytest

from gateway.devices.point import Device, Point, PointType, Write
from gateway.message import Argument, InternalMsg
from gateway.translation.client_commands import ClientCommands, CommandError, can_write, write_of
from gateway.translation.mqtt_map import MsgMap

RELAY = Point("relay", PointType.BOOLEAN, writes=(Write("RELAY", "on", where=("unit",)),), where={"child": 3})
GATE = Point("gate", PointType.CHOICE, writes=(Write("OPEN", None, "open"), Write("CLOSE", None, "closed")))
BELL = Point("bell", PointType.EVENT, writes=(Write("RING", None),))
BUS = Device("bus_1", (RELAY, GATE, BELL), address={"device": "bus"}, where={"unit": 1})


@pytest.mark.parametrize(
    ("point", "value", "action", "arguments"),
    [
        (RELAY, True, "RELAY", {"unit": 1, "on": True}),
        (GATE, "closed", "CLOSE", {}),
        (BELL, None, "RING", {}),
    ],
)
def test_the_map_reads_back_what_was_meant(
    point: Point, value: Argument, action: str, arguments: dict[str, Argument]
) -> None:
    msg_map = MsgMap("home", ["home/+/+/+/+/+/C"], sender="gw")
    commands = ClientCommands(msg_map, BUS, {"function": "light", "device": "other"}, "page")
    publication = commands.written(commands.of_value(point, value))
    assert publication.topic == "home/light///bus/page/C" and not publication.retain
    meant = InternalMsg(True, "light", device="bus", sender="page", action=action, arguments=arguments)
    assert msg_map.mqtt2internal(publication.topic, publication.payload) == meant


def test_a_value_that_no_command_sets_is_refused() -> None:
    with pytest.raises(CommandError, match="no command of the point gate sets it to 'ajar'") as raised:
        write_of(GATE, "ajar")
    assert raised.value.remedy
    assert can_write(GATE, "open") and not can_write(GATE, "ajar") and can_write(RELAY, False)
