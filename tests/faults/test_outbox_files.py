"""The outbox on disk: gateways killed and stopped; files torn, damaged, foreign or of a later version; full disks."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.damage import noise
from tests.support.health import wait_named
from tests.support.stream import Stream
from tests.support.waiting import wait_until


def outbox_of(stream: Stream) -> Path:
    return stream.folder / "state" / "mqttgateway" / "gw.outbox"


def moved_files(stream: Stream, kind: str) -> list[Path]:
    """Return the files that were moved away, without those that SQLite keeps beside them."""
    files = outbox_of(stream).parent.glob(f"gw.outbox.{kind}-*")
    return [path for path in files if path.suffix not in (".outbox-wal", ".outbox-shm") and path.name[-4:-3] != "-"]


def fill(stream: Stream, count: int) -> None:
    """Let `count` statuses be accepted while there is no broker, and kill the gateway."""
    stream.proxy.refuse_connections()
    gateway = stream.start()
    stream.wait_accepted(count)
    gateway.kill()


def drain(stream: Stream, count: int) -> None:
    """Start the gateway without load, and wait until what is on disk has arrived."""
    stream.reconfigure(rate=0)
    stream.proxy.accept_connections()
    stream.start()
    wait_until(
        lambda: len(set(stream.seen)) >= count, 20, lambda: f"{count} to arrive: {stream.verdict()}: {stream.log}"
    )


def check_it_works(stream: Stream) -> None:
    """Start the gateway, and wait until statuses have arrived."""
    stream.proxy.accept_connections()
    stream.start()
    stream.wait_seen(50)


# --- the gateway ends


def test_killed_with_much_waiting(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=3000, rate=10_000) as stream:
        fill(stream, 3000)
        drain(stream, 3000)
        assert stream.verdict().is_ok
        stream.stop()


def test_killed_again_and_again_while_it_drains(tmp_path: Path, mosquitto: Mosquitto) -> None:
    chance = random.Random(1)
    with Stream(tmp_path, mosquitto.port, count=1500, rate=10_000) as stream:
        fill(stream, 1500)
        stream.reconfigure(rate=0)
        stream.proxy.accept_connections()
        for _ in range(3):
            gateway = stream.start()
            stream.wait_seen(chance.randint(1, 200))
            gateway.kill()
        drain(stream, 1500)
        assert stream.verdict().is_ok
        stream.stop()


def test_stopped_without_a_broker(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, rate=1000) as stream:
        stream.proxy.refuse_connections()
        gateway = stream.start()
        stream.wait_accepted(500)
        assert gateway.stop() < 4
        assert re.search(r"\d+ messages wait on disk for the next start", gateway.log)
        drain(stream, len(stream.accepted))
        verdict = stream.verdict()
        assert (verdict.lost, verdict.disordered, verdict.duplicated) == ((), (), 0)
        stream.stop()


def test_stopped_immediately_by_a_second_signal(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, rate=1000) as stream:
        gateway = stream.start()
        stream.wait_seen(100)
        stream.proxy.hang()
        stream.wait_accepted(len(stream.accepted) + 300)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.wait() in (0, 1)
        stream.proxy.cut()
        stream.proxy.resume()
        drain(stream, len(stream.accepted))
        assert stream.verdict().is_ok
        stream.stop()


# --- files that are damaged or foreign


def test_a_torn_write_at_the_end_of_the_log(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Of a commit that a power failure cut short, nothing was accepted; everything before it is there."""
    with Stream(tmp_path, mosquitto.port, count=500, rate=10_000) as stream:
        fill(stream, 500)
        log = outbox_of(stream).with_name("gw.outbox-wal")
        with log.open("ab") as file:
            file.write(noise(5000, seed=1))
        drain(stream, 500)
        assert stream.verdict().is_ok
        assert moved_files(stream, "*") == []
        stream.stop()


@pytest.mark.parametrize("kind", ["torn", "flipped", "garbage", "empty", "text"])
def test_a_file_that_is_damaged(kind: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """It is moved away if it cannot be read, which is logged, and the gateway works."""
    with Stream(tmp_path, mosquitto.port, rate=5000) as stream:
        fill(stream, 1000)
        file = outbox_of(stream)
        sqlite3.connect(file).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
        data = bytearray(file.read_bytes())
        middle = len(data) // 2
        if kind == "flipped":
            data[middle : middle + 4096] = noise(4096, seed=2)
        file.write_bytes(
            {
                "torn": bytes(data[:middle]),
                "flipped": bytes(data),
                "garbage": noise(50_000, seed=3),
                "empty": b"",
                "text": b"hello\n" * 1000,
            }[kind]
        )
        damaged = file.read_bytes()
        check_it_works(stream)
        if kind != "empty":
            (kept,) = moved_files(stream, "corrupt" if kind in ("torn", "flipped") else "foreign")
            assert kept.read_bytes() == damaged
            assert f"moved to {kept.name}" in stream.log
        stream.stop()


def test_a_database_of_another_program_is_kept(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, rate=1000) as stream:
        file = outbox_of(stream)
        file.parent.mkdir(parents=True)
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE precious (x)")
            other.execute("INSERT INTO precious VALUES (42)")
        other.close()
        check_it_works(stream)
        stream.stop()
        (kept,) = moved_files(stream, "foreign")
        other = sqlite3.connect(kept)
        assert other.execute("SELECT x FROM precious").fetchall() == [(42,)]
        other.close()


def test_a_file_of_a_later_version_is_refused_and_not_changed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=200, rate=10_000) as stream:
        fill(stream, 200)
        file = outbox_of(stream)
        with sqlite3.connect(file) as later:
            (version,) = later.execute("PRAGMA user_version").fetchone()
            later.execute(f"PRAGMA user_version = {version + 1}")
        later.close()
        content = file.read_bytes()
        gateway = stream.start()
        assert gateway.wait() != 0
        assert "was written by a later version of this program" in gateway.log
        assert file.read_bytes() == content
        with sqlite3.connect(file) as later:
            later.execute(f"PRAGMA user_version = {version}")
        later.close()
        drain(stream, 200)
        assert stream.verdict().is_ok


def test_a_file_that_another_gateway_uses(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "second").mkdir()
    with (
        Stream(tmp_path, mosquitto.port, rate=500, count=500) as stream,
        Stream(tmp_path / "second", mosquitto.port, conf={"outbox": {"file": str(outbox_of(stream))}}) as second,
    ):
        stream.start()
        stream.wait_seen(50)
        gateway = second.start()
        assert gateway.wait() not in (0, None)
        assert "is in use: does another gateway run with it?" in gateway.log
        assert stream.finish().duplicated == 0
        stream.stop()


# --- the disk is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB for the files that outlive a run."""
    folder = tmp_path / "state" / "mqttgateway"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Fill the disk except for some pages."""
    ballast = folder / "ballast"
    status = os.statvfs(folder)
    with suppress(OSError):  # the gateway writes meanwhile: then the disk is full already
        ballast.write_bytes(bytes(max(0, status.f_bavail - 40) * status.f_frsize))
    return ballast


@pytest.mark.root
@pytest.mark.parametrize("discard", ["old", "new"])
@pytest.mark.parametrize("ending", ["link", "kill"])
def test_a_disk_that_fills_up(
    discard: str, ending: str, tmp_path: Path, small_disk: Path, mosquitto: Mosquitto
) -> None:
    """The policy decides; what was accepted and not dropped arrives, also if the gateway is killed meanwhile."""
    outbox = {"discard": discard}
    with Stream(tmp_path, mosquitto.port, rate=4000, count=5000, size=4000, conf={"outbox": outbox}) as stream:
        stream.proxy.refuse_connections()
        gateway = stream.start()
        gateway.wait_log("disk full")
        wait_named(gateway, "the disk of the outbox is full", "the outbox is full, and messages are lost")
        stream.wait_accepted(len(stream.accepted) + (100 if discard == "old" else 0))
        if ending == "kill":
            gateway.kill()
            stream.reconfigure(rate=0)
            gateway = stream.start()
            gateway.wait_log("no connection to the broker")
        stream.proxy.accept_connections()
        if ending == "link":
            gateway.wait_log("disk has room again")
        wait_until(lambda: stream.seen, what="the broker to be found")
        settled = -1

        def is_quiet() -> bool:
            nonlocal settled
            previous, settled = settled, len(stream.seen)
            return settled == previous

        wait_until(is_quiet, 20, "the outbox to be empty", pause=0.7)
        stream.stop()
        verdict = stream.verdict()
        assert verdict.disordered == ()
        if discard == "new":
            assert verdict.lost == (), stream.log
        elif ending == "link":
            dropped = re.search(r"(\d+) dropped as the oldest", gateway.log)
            assert len(verdict.lost) <= int(dropped[1] if dropped else 0)
            assert stream.seen[-1][1] == 4999


@pytest.mark.root
def test_a_disk_that_something_else_fills_and_empties(tmp_path: Path, small_disk: Path, mosquitto: Mosquitto) -> None:
    outbox = {"discard": "new"}
    with Stream(tmp_path, mosquitto.port, rate=500, count=2000, conf={"outbox": outbox}) as stream:
        gateway = stream.start()
        stream.wait_seen(100)
        ballast = fill_disk(small_disk)
        gateway.wait_log("disk full")
        wait_named(gateway, "the disk of the outbox is full")
        stream.wait_seen(100)
        ballast.unlink()
        gateway.wait_log("disk has room again")
        assert stream.finish().lost_by_broker == ()
        stream.stop()
