"""What is told of a device that sends what cannot be used, or does not answer."""

from __future__ import annotations

import pytest

from interfaces.serial_interface.reception import Reception
from interfaces.serial_interface.reports import DropReason


@pytest.fixture
def reception() -> Reception:
    watched = Reception()
    watched.reset(is_read=True)
    return watched


def what(reception: Reception, now: float) -> str:
    trouble = reception.trouble(now)
    return "" if trouble is None else trouble.what


def test_bytes_without_a_frame_are_trouble_until_a_frame_is_used(reception: Reception) -> None:
    reception.bytes_came(b"T 21.5\r\n", 100.0)
    assert not what(reception, 104.9), "the frame may still be on its way"
    assert what(reception, 105.0) == r"the device sends, but no frame is complete; it begins with 'T 21.5\r\n'"
    trouble = reception.trouble(200.0)
    assert trouble is not None and trouble.since == 100.0 and "framing (the terminator?), baudrate" in trouble.remedy
    reception.used()
    assert not what(reception, 300.0)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (DropReason.UNMATCHED, "no rule matches what the device sends: 'X 1'"),
        (DropReason.BAD_CHECKSUM, "the checksum of all that the device sends is wrong: 'X 1'"),
        (DropReason.UNREADABLE, "nothing that the device sends can be read: no number"),
    ],
)
def test_frames_of_which_none_is_used_are_trouble(reception: Reception, reason: DropReason, expected: str) -> None:
    reception.bytes_came(b"X 1", 9.9)
    reception.dropped(reason, b"X 1", "no number", 10.0)
    assert not what(reception, 1000.0), "a single one may be a greeting"
    reception.dropped(reason, b"X 1", "no number", 15.0)
    assert what(reception, 15.0) == expected
    reception.used()
    reception.dropped(reason, b"X 1", "no number", 30.0)
    assert not what(reception, 30.0)


def test_other_frames_than_the_rules_know_are_no_trouble_beside_those_that_they_know(reception: Reception) -> None:
    """A device may tell much that nobody wants to know, and what somebody wants only now and then."""
    reception.used()
    for second in range(0, 600, 60):
        reception.dropped(DropReason.UNMATCHED, b"$GPGSV", "", float(second))
    assert not what(reception, 599.0)
    reception.dropped(DropReason.UNMATCHED, b"$GPGSV", "", 600.0)
    assert what(reception, 600.0)


def test_a_line_that_is_disturbed_later_on_is_trouble_soon(reception: Reception) -> None:
    reception.used()
    for second in range(6):
        reception.dropped(DropReason.BAD_CHECKSUM, b"?", "", float(second))
    assert what(reception, 6.0)


def test_bytes_without_a_frame_are_none_beside_frames_that_are_used(reception: Reception) -> None:
    reception.used()
    reception.bytes_came(b"", 100.0)
    assert not what(reception, 1000.0)


def test_a_device_of_which_nothing_is_to_be_read_is_in_no_trouble() -> None:
    reception = Reception()
    reception.reset(is_read=False)
    reception.bytes_came(b"OK", 0.0)
    reception.dropped(DropReason.UNMATCHED, b"OK", "", 0.0)
    reception.dropped(DropReason.UNMATCHED, b"OK", "", 100.0)
    assert not what(reception, 100.0)


def test_requests_that_nothing_answers_are_named_until_they_are_answered(reception: Reception) -> None:
    asked, others = object(), [object() for _ in range(4)]
    for now in (1.0, 2.0):
        reception.request_ended(asked, "ask2", now, is_answered=False)
    assert not what(reception, 2.0)
    reception.request_ended(asked, "ask2", 3.0, is_answered=False)
    assert what(reception, 3.0) == "1 request is not answered: 'ask2'"
    trouble = reception.trouble(3.0)
    assert trouble is not None and trouble.is_silence and trouble.since == 1.0
    for other in others:
        for _ in range(3):
            reception.request_ended(other, "other", 4.0, is_answered=False)
    assert what(reception, 5.0) == "5 requests are not answered: 'ask2', 'other', 'other' and 2 more"
    for each in (asked, *others):
        reception.request_ended(each, "", 6.0, is_answered=True)
    assert not what(reception, 6.0)


def test_other_rules_or_a_port_that_is_opened_again_end_all_trouble(reception: Reception) -> None:
    reception.bytes_came(b"?", 0.0)
    for _ in range(3):
        reception.request_ended(reception, "ask", 1.0, is_answered=False)
    assert what(reception, 10.0)
    reception.reset(is_read=True)
    assert not what(reception, 10.0)
