"""What a day of trouble writes into the log: less than 100 KB, whatever the trouble is."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.activity import report_hang
from gateway.core.outage import Outages
from gateway.core.package_logger import package_logger
from gateway.errors import DeviceError
from gateway.logs.init_logger import LogOptions, init_logger, report_suppressed
from gateway.mqtt.link_log import log_failure
from gateway.outbox.counts import LossLog
from gateway.outbox.options import DiscardPolicy
from gateway.outbox.writer import OutboxWriteError
from gateway.routing.device_errors import log_lost
from interfaces.serial_interface.reports import Reports
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock

pytestmark = pytest.mark.usefixtures("root_logger")

DAY = 86_400
LIMIT = 100_000  # bytes
HALLS = [f"hall{number}" for number in range(40)]
MQTT, INTERFACES = package_logger("gateway.mqtt.link"), package_logger("gateway.interface")

Step = Callable[[], None]


class Day:
    """A log and a clock that run through a day."""

    def __init__(self, file: Path, clock: FakeClock) -> None:
        self.file = file
        self.clock = clock

    def bytes_of(self, step: Step, every: float) -> int:
        """Return how many bytes of log it makes if `step` happens every so many seconds."""
        begin = self.clock.now
        next_step = begin
        while self.clock.now - begin < DAY:
            if self.clock.now >= next_step:
                step()
                next_step += every
            report_suppressed()
            self.clock.now += 5.0  # as `Watch` does it
        report_suppressed(is_last=True)
        return self.file.stat().st_size


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Day:
    """The log as a gateway sets it up, with the time of the test."""
    clock = FakeClock()
    monkeypatch.setattr(time, "monotonic", clock)
    file = tmp_path / "gw.log"
    init_logger(LogOptions(level="critical", file=str(file), file_level="info", file_bytes=10**9), (), {}, HALLS)
    logging.getLogger().removeHandler(caplog.handler)
    return Day(file, clock)


def reasons() -> Step:
    """Return a step that fails to connect, now for one reason, now for another."""
    texts = itertools.cycle(("nothing listens at broker:1883", "the host name broker cannot be resolved", "no route"))
    return lambda: log_failure(
        next(texts), "broker:1883", f"retrying in {random.uniform(15, 30):.1f} s", was_up=False, is_always=False
    )


def flapping_link() -> None:
    text = "broker:1883 closed the connection"
    log_failure(text, "broker:1883", f"retrying in {random.uniform(0.5, 1):.1f} s", was_up=True, is_always=True)
    MQTT.info("connected to %s as %s", "broker:1883", "cellar")


def absent_devices() -> Step:
    outages = [Outages(name) for name in HALLS]

    def fail() -> None:
        for number, outage in enumerate(outages):
            outage.report(f"/dev/ttyUSB{number}", DeviceError("there is no such device"), was_open=False)

    return fail


def silent_devices() -> Step:
    """Return a step in which 40 devices answer none of five polls."""
    reports = [Reports(name, time.monotonic) for name in HALLS]

    def fail() -> None:
        for each, poll in itertools.product(reports, ("flow", "return", "flame", "pump", "hours")):
            each.request_failed(poll, "not answered within 1 s")
        for each in reports:
            each.nothing_answers(15)

    return fail


def flapping_device() -> Step:
    outage = Outages("hall1")

    def flap() -> None:
        outage.report("/dev/ttyUSB0", DeviceError("input/output error"), was_open=True)
        outage.end()
        INTERFACES.info("%s: %s is open", "hall1", "/dev/ttyUSB0")
        log_lost("hall1", "boiler", "nothing heard for 3 s")
        INTERFACES.info("device %a is online again", "boiler", extra={"interface": "hall1"})

    return flap


def flapping_devices() -> None:
    for name in HALLS:
        log_lost(name, f"lamp of {name}", "nothing heard for 30 s")
        INTERFACES.info("device %a is online again", f"lamp of {name}", extra={"interface": name})


def full_disk() -> Step:
    losses = LossLog(DiscardPolicy.OLD, time.monotonic)
    numbers = itertools.count()

    def lose() -> None:
        failed = OutboxWriteError("the outbox cannot be written to /var/x (database or disk is full)", key="x")
        if failed.trigger:
            package_logger("gateway.outbox.writer").error(failed.report)
        losses.log_full(7, 10_000 + next(numbers))
        losses.log_expired(3)
        losses.tick()

    return lose


def refusing_broker() -> Step:
    losses = LossLog(DiscardPolicy.OLD, time.monotonic)
    numbers = itertools.count()

    def refuse() -> None:
        for _ in range(10):
            losses.log_dead_letter(f"home/{next(numbers)}", 20, "the broker refused it: Not authorized")
        losses.log_dead_letters_dropped(10)
        losses.log_not_remembered(f"home/{next(numbers)}")
        losses.tick()

    return refuse


def loop_of_others() -> None:
    pump = logging.getLogger("pump.driver")
    pump.error("cannot read the pump: timeout after %.3f s", random.uniform(1, 2))
    pump.warning("pump: retry")
    pump.info("pump: connecting")


def hanging_interface() -> None:
    seconds = random.uniform(5, 6)
    report_hang(f"hall1: loop() took {seconds:.0f} s: it should return within 5 s", "hall1: loop()")
    package_logger("gateway.core.activity").warning("hall1: loop() returned after %.0f s", seconds)


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        (30, reasons),
        (5, lambda: flapping_link),
        (60, absent_devices),
        (300, silent_devices),
        (5, flapping_device),
        (60, lambda: flapping_devices),
        (5, full_disk),
        (5, refusing_broker),
        (5, lambda: loop_of_others),
        (5, lambda: hanging_interface),
    ],
    ids=["broker down", "link flaps", "40 devices absent", "40 devices silent", "device flaps", "40 devices flap",
         "disk full", "broker refuses", "loop of others", "interface hangs"],
)  # fmt: skip
def test_a_day_makes_less_than_100_kb(
    every: float, steps: Callable[[], Step], day: Day, expected_logs: ExpectedLogs, record_property: Callable[..., None]
) -> None:
    expected_logs.allow("")
    size = day.bytes_of(steps(), every)
    record_property("bytes", size)
    print(f"{size} bytes")
    assert 0 < size < LIMIT
