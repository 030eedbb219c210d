from __future__ import annotations

import pytest

from gateway.core.outage import Absences, Outages
from gateway.core.throttled_exception import report_suppressed
from gateway.errors import DeviceAwaitedError, DeviceError
from tests.conftest import ExpectedLogs


def device_error(text: str, cause: Exception) -> DeviceError:
    """Return an error as the serial port raises it."""
    try:
        raise DeviceError(text) from cause
    except DeviceError as err:
        return err


GONE = DeviceError("the device has hung up")
ABSENT = device_error("there is no such device", FileNotFoundError(2, "No such file"))
FORBIDDEN = device_error("no permission", PermissionError(13, "Permission denied"))


@pytest.mark.parametrize(
    ("failures", "logged"),
    [
        ([ABSENT] * 3, ["cannot open the line: there is no such device"]),
        ([ABSENT, FORBIDDEN], ["cannot open the line: there is no such device", "cannot open the line: no permission"]),
        ([FORBIDDEN, ABSENT], ["cannot open the line: no permission", "cannot open the line: there is no such device"]),
        ([GONE, ABSENT, ABSENT], ["the line has failed: the device has hung up"]),
        (
            [GONE, ABSENT, FORBIDDEN],
            ["the line has failed: the device has hung up", "cannot open the line: no permission"],
        ),
        (
            [GONE, FORBIDDEN, ABSENT],
            [
                "the line has failed: the device has hung up",
                "cannot open the line: no permission",
                "cannot open the line: there is no such device",
            ],
        ),
    ],
)
def test_each_reason_is_logged_when_it_becomes_the_reason(
    failures: list[Exception], logged: list[str], expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(*logged)
    outages = Outages("dev")
    for times in (1, 2):
        for err in failures:
            state = "the line has failed" if err is GONE else "cannot open the line"
            assert outages.report("the line", err, was_open=err is GONE) == f"{state}: {err}"
        assert caplog.messages == [f"dev: {text}; will keep retrying" for text in logged] * times
        outages.end()


def test_what_was_suppressed_is_logged_under_the_name_of_the_first_report(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever filters the log by `mqttgateway.interfaces` would otherwise miss it."""
    expected_logs.expect("dev: the line has failed: the device has hung up; will keep retrying")
    for _ in range(2):  # the interface was restarted in between
        Outages("dev").report("the line", GONE, was_open=True)
    report_suppressed(is_last=True)
    assert [record.name for record in caplog.records] == ["mqttgateway.interfaces"] * 2


def test_a_device_that_is_awaited_is_no_failure(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages("dev")
    awaited = DeviceAwaitedError("no device is connected")
    for _ in range(2):
        for _ in range(3):
            assert outages.report("the line", awaited, was_open=False) == "the line: no device is connected"
        expected_logs.expect("dev: the line has failed: the device has hung up")
        outages.report("the line", GONE, was_open=True)
        outages.report("the line", awaited, was_open=False)
        outages.end()
    waiting = "dev: the line: no device is connected; waiting for it"
    assert (
        caplog.messages
        == [waiting, "dev: the line has failed: the device has hung up; will keep retrying", waiting] * 2
    )


def test_a_device_that_comes_and_goes_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    outages = Outages("dev")
    left, absent = DeviceAwaitedError("the device has closed the connection"), DeviceAwaitedError("none is connected")
    quiet = []
    for _ in range(3):
        assert outages.report("the line", left, was_open=True) == "the line: the device has closed the connection"
        assert outages.report("the line", absent, was_open=False) == "the line: none is connected"
        quiet.append(outages.is_quiet)
        outages.end()
    assert quiet == [False, True, True]
    assert caplog.messages == ["dev: the line: the device has closed the connection; waiting for it"]
    report_suppressed(is_last=True)
    assert "2 more times" in caplog.messages[-1]
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_device_that_has_come_back_three_times_is_expected_back() -> None:
    absences = Absences()
    now = 0.0
    assert absences.is_missed(now)  # it has never been there
    for length in (10.0, 4000.0, 12.0):
        absences.begin(now)
        assert absences.is_missed(now)
        now += length
        absences.end(now)
    absences.begin(now)
    assert absences.expected_at == now + 24
    assert not absences.is_missed(now + 23)
    assert absences.is_missed(now + 24)
    absences.forget()  # the line has failed
    assert absences.is_missed(now)


def test_a_connection_that_is_replaced_is_no_absence() -> None:
    absences = Absences()
    for _ in range(5):
        absences.begin(1.0)
        absences.end(1.0)
    absences.begin(2.0)
    assert absences.is_missed(2.0)
