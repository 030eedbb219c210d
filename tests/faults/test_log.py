"""A log that cannot be written stops nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.health import wait_named
from tests.support.stream import Stream


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.root
def test_a_disk_full_of_log(tmp_path: Path, small_disk: Path, mosquitto: Mosquitto) -> None:
    log = {"file": str(small_disk / "gw.log"), "traffic": True}
    with Stream(tmp_path, mosquitto.port, count=1500, rate=1500, conf={"log": log}) as stream:
        gateway = stream.start()
        verdict = stream.finish()
        assert (verdict.delivered, verdict.duplicated) == (1500, 0)
        wait_named(gateway, f"the log file cannot be written: {log['file']}: ")
        assert gateway.log.count(f"the log file {log['file']} cannot be written") == 1
        stream.stop()


def test_standard_error_that_cannot_be_written(tmp_path: Path, mosquitto: Mosquitto) -> None:
    full = ("sh", "-c", 'exec "$@" 2> /dev/full', "sh")
    with Stream(tmp_path, mosquitto.port, count=1000, rate=1500, conf={"log": {"traffic": True}}) as stream:
        stream.start(prefix=full)
        verdict = stream.finish()
        assert (verdict.delivered, verdict.duplicated) == (1000, 0)
        stream.stop()
