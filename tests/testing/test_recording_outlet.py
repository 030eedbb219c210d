from __future__ import annotations

import time

import pytest

from gateway.api import DeliveryError, InternalMsg, MsgList, RecordingOutlet
from tests.conftest import ExpectedLogs

READING = InternalMsg(function="climate", device="stove", action="TEMPERATURE", arguments={"celsius": 21.5})


def test_it_records_what_is_sent_in_order_in_whatever_way() -> None:
    outlet = RecordingOutlet()
    command = InternalMsg(True, device="lamp", action="ON")
    assert outlet.push(READING)
    outlet.push_all([READING, command.reply("OK")])
    outlet.publish(READING)
    assert outlet.messages == [READING, READING, command.reply("OK"), READING]
    outlet.clear()
    assert outlet.messages == []


def test_it_records_the_reported_availability_once_per_change() -> None:
    outlet = RecordingOutlet()
    for is_available in (True, True, False):
        outlet.set_available(is_available)
    assert outlet.availability == [True, False]


def test_a_message_that_cannot_be_written_is_refused_as_in_a_gateway(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("stove: not sent: device: 'a/b': '/' is not allowed in a topic")
    outlet = RecordingOutlet("stove")
    assert not outlet.push(InternalMsg(device="a/b", action="ON"))
    with pytest.raises(DeliveryError, match="is not allowed in a topic"):
        outlet.publish(InternalMsg(device="a/b", action="ON")).wait_accepted(0)
    assert outlet.messages == []


def test_nothing_waits_for_a_broker() -> None:
    outlet = RecordingOutlet()
    began = time.monotonic()
    receipt = outlet.publish(READING)
    receipt.wait_accepted(10)
    receipt.wait_delivered(10)
    outlet.flush(10)
    outlet.push_all(READING for _ in range(20_000))
    assert len(outlet.messages) == 20_001
    assert time.monotonic() - began < 5


def test_a_message_list_needs_nothing_else_either() -> None:
    inbox = MsgList()
    inbox.push(READING)
    assert inbox.pull() == READING
    inbox.close()
