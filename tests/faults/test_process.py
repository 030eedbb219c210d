"""The gateway itself: stopped, killed, suspended, flooded, its clock set."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto, tool_or_skip
from tests.support.health import wait_named
from tests.support.proxy import Passage, Way
from tests.support.stream import Stream
from tests.support.waiting import wait_until

FULL = bool(os.environ.get("FAULTS_FULL"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_drains_what_was_accepted(
    number: signal.Signals, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with Stream(tmp_path, mosquitto.port, rate=3000) as stream:
        gateway = stream.start()
        stream.wait_seen(500)
        assert gateway.stop(number) < 4
        verdict = stream.finish()
        assert (verdict.delivered, verdict.duplicated) == (verdict.accepted, 0)


def test_a_stop_sends_waiting_messages_over_a_slow_link(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, Passage(up=Way(rate=60_000)), count=1500, rate=5000) as stream:
        gateway = stream.start()
        stream.wait_accepted(1500)
        assert len(stream.seen) < 1000
        gateway.stop()
        assert stream.finish().duplicated == 0


def test_a_process_that_was_suspended(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=1000, rate=800, mqtt={"keepalive": 1}) as stream:
        gateway = stream.start()
        stream.wait_seen(100)
        os.kill(gateway.process.pid, signal.SIGSTOP)
        # The broker closes the link before the process continues.
        wait_until(lambda: b"offline" in [pair[1] for pair in stream.witness_pairs()], what="the will")
        os.kill(gateway.process.pid, signal.SIGCONT)
        wait_named(gateway, "the gateway did not run for", "lost the broker")
        assert stream.finish().lost_by_broker == ()
        stream.stop()


@pytest.mark.parametrize("seconds", [-3600 * 24 * 365, 3600 * 24 * 365 * 12], ids=["a year back", "12 years on"])
def test_a_clock_that_is_set_under_load(seconds: int, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """libfaketime gives the gateway the time from a file; the monotonic clock is not changed, as in the kernel."""
    tool_or_skip("faketime", "faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    now = tmp_path / "now"

    def set_clock(offset: int) -> None:
        """Replace the file in one step: the library ends a process that finds it empty."""
        new = tmp_path / "new"
        new.write_text(f"{offset:+d}\n")
        new.replace(now)

    set_clock(0)
    fake = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(now), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
    with Stream(tmp_path, mosquitto.port, count=1200, rate=600) as stream:
        gateway = stream.start(environment=fake)
        stream.wait_seen(100)
        set_clock(seconds)
        stream.wait_seen(100)
        stream.proxy.refuse_connections()  # and while messages wait
        gateway.wait_log(time.strftime("%Y-", time.gmtime(time.time() + seconds)))
        stream.wait_accepted(800)
        set_clock(0)
        stream.proxy.accept_connections()
        assert stream.finish().lost_by_broker == ()
        assert stream.stop() < 4


@pytest.mark.timeout(900)
def test_a_flood(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """As fast as the interface can push: 20,000 statuses, or a million in full."""
    count = 1_000_000 if FULL else 20_000
    with Stream(tmp_path, mosquitto.port, count=count, rate=1_000_000, direct=True) as stream:
        gateway = stream.start()
        verdict = stream.finish(600)
        assert (verdict.delivered, verdict.duplicated) == (count, 0)
        assert peak_mib(gateway.process.pid) < 150
        stream.stop()


@pytest.mark.parametrize("discard", ["old", "new"])
def test_a_flood_without_a_broker_is_cut_at_the_limits_and_counted(
    discard: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    outbox = {"max_messages": 1000, "discard": discard}
    with Stream(tmp_path, mosquitto.port, count=5000, rate=20_000, conf={"outbox": outbox}) as stream:
        stream.proxy.refuse_connections()
        gateway = stream.start()
        gateway.wait_log("outbox full")
        wait_named(gateway, "the outbox is full, and messages are lost")
        expected = 5000 if discard == "old" else 1000
        stream.wait_accepted(expected)
        wait_until((tmp_path / "accepted.end").exists, what="all to be pushed")
        stream.proxy.accept_connections()
        wait_until(lambda: len(stream.seen) >= 1000, what=lambda: f"{stream.verdict()}: {stream.log}")
        stream.stop()
        verdict = stream.verdict()
        numbers = [number for _, number in stream.seen]
        assert numbers == sorted(numbers)
        if discard == "old":
            assert numbers[-1] == 4999
            assert f"{5000 - len(numbers)} dropped as the oldest" in gateway.log
        else:
            assert verdict.lost == ()
            assert f"{5000 - verdict.accepted} refused as the newest" in gateway.log


def peak_mib(pid: int) -> float:
    """Return the most memory (MiB) that a process has had."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024
