"""When the device sent anything last is known, and the end of its port is nothing that it sent."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ExpectedLogs
from tests.support.device import PtyDevice
from tests.support.running import RunningInterface
from tests.support.waiting import wait_until


def test_it_is_when_bytes_have_come_and_not_when_the_port_ends(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("has failed: ")
    expected_logs.allow("cannot open")
    with PtyDevice(tmp_path) as device, RunningInterface(tmp_path, port=str(device.path)) as running:
        wait_until(lambda: running.interface.is_open)
        assert running.interface.heard_at is None
        device.write(b"what no rule knows\n")
        wait_until(lambda: running.interface.heard_at is not None)
        heard_at = running.interface.heard_at
        assert running.interface.understood_at is None
        device.unplug()
        wait_until(lambda: not running.interface.is_open)
        assert running.interface.heard_at == heard_at
