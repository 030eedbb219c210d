"""What a serial interface tells the devices behind it: who has not answered, what was bad, which polls to ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.devices.declaration import Signature
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg
from interfaces.serial_interface.interface import SerialInterface
from tests.conftest import ExpectedLogs
from tests.support.configuration import serial_params
from tests.support.desk import Desk
from tests.support.device import PtyDevice
from tests.support.waiting import wait_until


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path) as pty:
        yield pty


def opened(**options: Any) -> tuple[SerialInterface, Desk]:
    """Return an interface that has opened its port, and its surroundings."""
    desk = Desk()
    interface = SerialInterface(serial_params(**options), desk.inbox, desk.outlet)
    desk.inbox.wake()
    interface.loop()
    return interface, desk


def loop_until(interface: SerialInterface, condition: Callable[[], bool]) -> None:
    def loop_once() -> bool:
        interface.loop()
        return condition()

    wait_until(loop_once)


POLLED: dict[str, Any] = {
    "address": {"function": "heating", "device": "boiler"},
    "decode": [],
    "conversation": {
        "timeout": 0.05,
        "reopen_after": 3,
        "polls": [
            {
                "every": 0.05,
                "write": "T?",
                "response": {
                    "regex": "T (?P<t>.*)",
                    "values": {"t": "float"},
                    "message": {"action": "TEMPERATURE", "arguments": {"celsius": "{t}"}},
                },
            }
        ],
    },
}
BOILER = Device("boiler", (Point("temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),)),))


def loop_answered(interface: SerialInterface, device: PtyDevice, answer: bytes, condition: Callable[[], bool]) -> None:
    """Loop, with an answer to read after each step, until the condition is true."""

    def is_answered() -> bool:
        device.write(answer)
        return condition()

    loop_until(interface, is_answered)


def test_the_port_is_opened_again_where_nothing_answers(device: PtyDevice, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("nothing has answered 3 requests in a row: closing the port", "did not answer within 0.05 s")
    expected_logs.allow("request 'T?': answered after")
    interface, desk = opened(port=str(device.path), **POLLED)
    loop_until(interface, lambda: interface.stats()["ports_reopened"] == 2)
    assert desk.availability == ["online"]
    loop_answered(interface, device, b"T 21\n", lambda: interface.stats()["requests_done"] > 0)
    interface.loop_stop()
    desk.inbox.close()


def test_a_port_that_cannot_be_opened_again_is_offline(device: PtyDevice, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("nothing has answered", "did not answer", "there is no such device")
    interface, desk = opened(port=str(device.path), **POLLED)
    path = device.path.readlink()
    device.path.unlink()
    loop_until(interface, lambda: not interface.is_open)
    device.path.symlink_to(path)
    assert desk.availability == ["online", "offline"]
    desk.inbox.close()


def test_a_device_that_does_not_answer_is_offline_and_a_bad_value_is_bad(
    device: PtyDevice, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("device 'boiler' is offline: 3 requests in a row were not answered")
    expected_logs.allow("did not answer within 0.05 s", "value left out: request 'T?': t: nan", "nothing has")
    expected_logs.allow("request 'T?': answered after")
    interface, desk = opened(port=str(device.path), **POLLED)
    desk.outlet.devices.configure([BOILER], POLLED["address"], {})
    assert desk.outlet.devices.stats()["devices_offline"] == 0
    loop_until(interface, lambda: desk.outlet.devices.stats()["devices_offline"] == 1)
    loop_answered(interface, device, b"T nan\n", lambda: desk.outlet.devices.stats()["bad_values"] > 0)
    assert desk.outlet.devices.stats()["devices_offline"] == 0
    interface.loop_stop()
    desk.inbox.close()


def test_a_poll_that_is_not_answered_counts_once_however_many_messages_its_answer_makes(
    device: PtyDevice, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("device 'boiler' is offline: 3 requests in a row were not answered")
    expected_logs.allow("did not answer within 0.05 s")
    (poll,) = POLLED["conversation"]["polls"]
    message = poll["response"]["message"]
    messages = [message, {**message, "action": "RETURN"}, {**message, "action": "OUTDOOR"}]
    response = {**{name: each for name, each in poll["response"].items() if name != "message"}, "messages": messages}
    conversation = {"timeout": 0.05, "reopen_after": 0, "polls": [{**poll, "response": response}]}
    interface, desk = opened(port=str(device.path), **{**POLLED, "conversation": conversation})
    points = [Point(each["action"].lower(), PointType.NUMBER, (Feed(each["action"], "celsius"),)) for each in messages]
    desk.outlet.devices.configure([BOILER._replace(points=tuple(points))], POLLED["address"], {})
    loop_until(interface, lambda: desk.outlet.devices.stats()["devices_offline"] == 1)
    assert interface.stats()["requests_timed_out"] == 3
    interface.loop_stop()
    desk.inbox.close()


def test_a_command_that_the_device_refuses_shows_that_it_is_there(
    device: PtyDevice, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("did not answer", "'ERR'", "answered after")
    set_level = {
        "match": {"action": "SET"}, "arguments": {"level": {"type": "integer", "maximum": 9}}, "write": "L{level}",
        "response": {"regex": "OK"}, "refusal": {"regex": "ERR"},
    }  # fmt: skip
    address = POLLED["address"]
    interface, desk = opened(port=str(device.path), address=address, encode=[set_level], conversation={"timeout": 0.05})
    desk.outlet.devices.configure([BOILER._replace(silent_after=30)], address, {})

    def is_online_after(level: int, answer: bytes) -> bool | None:
        count = len(desk.collect())
        desk.inbox.push(InternalMsg(True, **address, action="SET", arguments={"level": level}))
        loop_answered(interface, device, answer, lambda: len(desk.collect()) > count)
        return desk.outlet.devices.statuses()[0].is_online

    assert is_online_after(10, b"") is None, "the gateway has refused it"
    assert is_online_after(1, b"") is None, "nobody has answered"
    assert is_online_after(2, b"ERR\n") is True
    assert [msg.argument("response") for msg in desk.collect()] == ["REFUSED", "TIMEOUT", "REFUSED"]
    interface.loop_stop()
    desk.inbox.close()


def test_polls_are_asked_for(device: PtyDevice) -> None:
    conversation = {"polls": [{**POLLED["conversation"]["polls"][0], "every": 3600}]}
    interface, desk = opened(port=str(device.path), **{**POLLED, "conversation": conversation})
    assert interface.stats()["frames_sent"] == 1
    device.write(b"T 21\n")
    loop_until(interface, lambda: interface.stats()["requests_done"] == 1)
    interface.ask({"TEMPERATURE"})
    interface.loop()
    assert interface.stats()["frames_sent"] == 2
    interface.loop_stop()
    desk.inbox.close()


def test_the_signatures_are_those_of_the_rules() -> None:
    assert SerialInterface.signatures(serial_params(**POLLED)).reads == {
        ("TEMPERATURE", "celsius"): Signature(PointType.NUMBER)
    }
