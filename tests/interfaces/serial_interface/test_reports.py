"""The warnings of a serial device: each kind once, then with its count; and what they contain."""

from __future__ import annotations

import pytest

from gateway.core.unknown import CHECKSUM, FRAMING, PARTS, RULE, UNKNOWN, VALUE, Collector
from interfaces.serial_interface.reports import DropReason, Reports
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reports(clock: FakeClock, request: pytest.FixtureRequest) -> Reports:
    """Reports under a name of their own: what was logged before is remembered by name."""
    return Reports(request.node.name, clock)


def texts(caplog: pytest.LogCaptureFixture, reports_name: str) -> list[str]:
    return [text.removeprefix(f"{reports_name}: ") for text in caplog.messages if text.startswith(f"{reports_name}: ")]


def test_a_checksum_error_is_logged_with_the_frame_and_counted(
    reports: Reports, clock: FakeClock, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest,
    expected_logs: ExpectedLogs,
) -> None:  # fmt: skip
    expected_logs.expect("frame dropped: ")
    for number in range(3):
        reports.frame_dropped(DropReason.BAD_CHECKSUM, b"\x01A", f"wrong checksum: expected {number}")
    clock.now += 600
    reports.frame_dropped(DropReason.BAD_CHECKSUM, b"\x02", "too short for a checksum: 1 byte")
    assert texts(caplog, request.node.name) == [
        "frame dropped: wrong checksum: expected 0: 01 41",
        "frame dropped: too short for a checksum: 1 byte (3 times in the last 600 s): 02",
    ]
    assert reports.unmatched_kinds == 0


def test_errors_of_different_kinds_are_logged_separately(
    reports: Reports, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("frame dropped: ")
    for value in ("x", "y"):
        reports.frame_dropped(DropReason.UNREADABLE, value.encode(), f"rule 'a': t: '{value}' is not a number")
        reports.frame_dropped(DropReason.UNREADABLE, value.encode(), f"rule 'a': t: '{value}' is not an integer")
    command = "; to try it: mqttgateway check --conf FILE --frame 'x'"
    assert texts(caplog, request.node.name) == [
        f"frame dropped: rule 'a': t: 'x' is not a number{command}",
        f"frame dropped: rule 'a': t: 'x' is not an integer{command}",
    ]


def test_the_kinds_of_unmatched_frames_are_counted_up_to_a_limit(reports: Reports) -> None:
    for frame in (b"A 1", b"A 2.5", b"B 1", b"\x01\x02\x03", b"\x01\x02\x04"):
        reports.frame_dropped(DropReason.UNMATCHED, frame)
    assert reports.unmatched_kinds == 3
    for number in range(200):
        reports.frame_dropped(DropReason.UNMATCHED, bytes([0, number]))
    assert reports.unmatched_kinds == 100
    reports.forget_kinds()
    assert reports.unmatched_kinds == 0


def test_each_new_kind_of_frame_without_a_rule_is_logged(
    reports: Reports, clock: FakeClock, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level("INFO")
    for frame in (b"HELLO", b"T -3", b"T 4", b"FOO BAR", b"E 17", b"T 5", b"HELLO"):
        reports.frame_dropped(DropReason.UNMATCHED, frame)
    shown = [text.partition(", but")[0].partition("sent ")[2] for text in texts(caplog, request.node.name)]
    assert shown == ["'HELLO'", "'T -3'", "'FOO BAR'", "'E 17'"]
    caplog.clear()
    clock.now += 600
    reports.frame_dropped(DropReason.UNMATCHED, b"T 6")
    (text,) = texts(caplog, request.node.name)
    assert "(7 times in the last 600 s)" in text


def test_a_device_with_very_many_kinds_of_frames_does_not_flood_the_log(
    reports: Reports, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level("INFO")
    for number in range(2000):
        reports.frame_dropped(DropReason.UNMATCHED, bytes([number % 256, number // 256]))
    assert len(texts(caplog, request.node.name)) == 20
    assert reports.unmatched_kinds == 100


def test_at_debug_every_frame_without_a_rule_is_logged(
    reports: Reports, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level("DEBUG")
    for _ in range(3):
        reports.frame_dropped(DropReason.UNMATCHED, b"HELLO")
    assert len(texts(caplog, request.node.name)) == 3


def test_bytes_of_which_no_frame_ends_are_logged_with_their_beginning(
    reports: Reports, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no frame ended")
    reports.no_frame_ended(840, b"T 21.5;T\x07", 10.2)
    (text,) = texts(caplog, request.node.name)
    assert text == (
        r"840 bytes in 10 s and no frame ended: check framing (the terminator?), baudrate and parity; the bytes begin "
        r"with 'T 21.5;T\x07'"
    )


def test_an_echo_that_is_noticed_is_logged(
    reports: Reports, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level("INFO")
    for has_echo in (True, False, True, False):
        reports.echo_noticed(has_echo)
    assert [text.partition(":")[0] for text in texts(caplog, request.node.name)] == [
        "the line returns what is written", "the line does not return any more what is written",
    ]  # fmt: skip


def test_bytes_without_frames_are_logged_once_per_period(
    reports: Reports, clock: FakeClock, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest,
    expected_logs: ExpectedLogs,
) -> None:  # fmt: skip
    expected_logs.expect("bytes discarded that contain no frame")
    reports.no_frames(5000, b"x")
    reports.no_frames(6000, b"x")
    clock.now += 600
    reports.no_frames(7000, b"x")
    text = "bytes discarded that contain no frame: check baudrate, parity and framing"
    assert texts(caplog, request.node.name) == [f"5000 {text}", f"7000 {text} (2 times in the last 600 s)"]


def test_a_request_that_fails_is_logged_with_the_answer(
    reports: Reports, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("'voltage': ")
    reports.request_failed("voltage", "the device did not answer within 1 s")
    reports.request_failed("voltage", "the device did not answer within 2 s")
    reports.request_failed("voltage", "the device refused it", b"\x01\x84\x02")
    assert texts(caplog, request.node.name) == [
        "'voltage': the device did not answer within 1 s",
        "'voltage': the device refused it: 01 84 02",
    ]


def test_what_is_dropped_is_collected_by_its_cause_while_somebody_wants_to_know(
    reports: Reports, expected_logs: ExpectedLogs, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    expected_logs.expect("frame dropped: ", "no frame ended", "that contain no frame")
    collector = Collector()
    monkeypatch.setattr(UNKNOWN, "collector", collector)
    for reason in DropReason:
        reports.frame_dropped(reason, b"T 1", "" if reason is DropReason.UNMATCHED else "why")
        reports.frame_dropped(reason, b"T 2", "" if reason is DropReason.UNMATCHED else "why")
    reports.no_frame_ended(9, b"T 1\rT 2\r", 10.0)
    reports.no_frames(5000, b"T 3\r")
    groups = {group.kind: group for group in collector.groups()[0]}
    assert groups.keys() == {CHECKSUM, VALUE, RULE, PARTS, FRAMING}
    assert all((group.interface, group.times) == (request.node.name, 2) for group in groups.values())
    assert groups[RULE].reason == "no rule matches"
    assert [example.data for example in groups[FRAMING].examples] == [b"T 1\rT 2\r", b"T 3\r"]
    monkeypatch.setattr(UNKNOWN, "collector", None)
    reports.frame_dropped(DropReason.UNMATCHED, b"T 3")
    assert sum(group.times for group in collector.groups()[0]) == 10
