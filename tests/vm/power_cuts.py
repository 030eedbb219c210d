"""The rounds: a machine under load, whose power is cut at a random moment, and a last one that delivers what remains.

    load interface -> gateway -> ... out of the machine ... -> proxy -> Mosquitto -> witness
         accepted -> collector

As in tests/crash, except that the machine dies, not only the process: what the gateway has accepted is told to a
collector outside before the power is cut, so that it cannot be lost with the machine. To boot quickly, the machine has
a process 1 of its own instead of systemd (init.sh).
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support import load_interface
from tests.support.broker import Mosquitto
from tests.support.ledger import Entry, Verdict, entries_in
from tests.support.stream import Stream
from tests.support.waiting import wait_until
from tests.systemd.machine import PROGRAM
from tests.vm.collector import Collector
from tests.vm.disk import Disk
from tests.vm.disk_states import outboxes
from tests.vm.machine import BOOT_TIMEOUT, HERE, HOST, Machine, make_image

_RATE = 200  # statuses a second
_IN_START = 0.2  # of the rounds: while it boots, or the gateway starts
_BROKER_AWAY = 0.4  # of the rounds: from the start on, so that everything accepted stays in the outbox
_BROKER_DIES = 0.3  # of the others: the broker is killed while the gateway is at work, and comes back
_LONGEST = 8.0  # s that a machine lives after its gateway has accepted something
_DRAIN = 60.0  # s for the last gateway to deliver the remaining statuses
_FAULTS = r".*(?:damaged|created a new|missing in|cannot be imported|Traceback).*"  # not in the log of a sound gateway
_TESTS = ("tests/support/ledger.py", "tests/support/load_interface.py", "tests/vm/remote_load.py")
_INIT = "/opt/load/init.sh"


@dataclass
class Tally:
    """How many rounds of each kind there were, for the report."""

    rounds: int = 0
    in_start: int = 0
    broker_away: int = 0
    broker_killed: int = 0
    checked: int = 0  # outbox files
    lost_writes: int = 0
    seconds: float = 0.0


class _Sample(NamedTuple):
    size: int  # of the journal: what the load has reported as accepted
    position: int  # in the history of the disk
    acknowledged: int  # by the broker


@dataclass
class Moments:
    """What cuts at `count` moments of a recorded run would have done; `lost` has what was accepted before one."""

    count: int
    writes: int
    flushes: int
    accepted: int = 0
    most_waiting: int = 0
    lost: set[Entry] = field(default_factory=set)


class PowerCuts:
    """Cuts the power at random moments. With `is_lying`, by a disk that does nothing when it is flushed."""

    def __init__(self, folder: Path, seed: int, *, is_lying: bool = False) -> None:
        self.tally = Tally()
        self._folder = folder
        self._image, self._address = folder / "disk.img", folder / "disk"
        self._chance = random.Random(seed)
        self._seed = seed
        self._is_lying = is_lying
        self._start_seconds = 20.0  # from switching it on to the first accepted status, in the last round

    def run(self, rounds: int, report: Callable[[Tally, Stream], None] = lambda *_: None) -> Verdict:
        """Return the verdict on `rounds` rounds; `report` is called after each."""
        began = time.monotonic()
        with self._plant() as (broker, stream, collector):
            with Disk(self._image, self._address, is_lying=self._is_lying) as disk:
                for _ in range(rounds):
                    self._round(stream, broker, collector, disk)
                    self.tally.rounds += 1
                    self.tally.lost_writes = disk.cache.lost_writes
                    self.tally.seconds = time.monotonic() - began
                    report(self.tally, stream)
                self._drain(stream, collector)
            self.tally.checked = len(collector.outboxes)
            return stream.verdict()

    def run_recorded(self, seconds: float, count: int) -> Moments:
        """Record the writes of one machine under load, and return what cuts at `count` moments would have lost."""
        base = self._folder / "base.img"
        with self._plant() as (_, stream, collector):
            subprocess.run(["cp", "--sparse=always", self._image, base], check=True)
            is_lying = self._is_lying
            with Disk(self._image, self._address, is_lying=is_lying, is_recording=True) as disk:
                with Machine(self._folder, self._address, _INIT) as machine:
                    self._wait_accepted(stream, machine, collector, 0)
                    samples = self._sample(stream, disk, seconds)
                    self._check(machine, collector)
                return self._judge(samples, stream, base, disk, count)

    @contextlib.contextmanager
    def _plant(self) -> Iterator[tuple[Mosquitto, Stream, Collector]]:
        mqtt = {"host": HOST, "keepalive": 10, "reconnect_max": 0.5}
        with (
            Mosquitto(self._folder) as broker,
            Stream(self._folder, broker.port, rate=_RATE, seed=self._seed, mqtt=mqtt) as stream,
            Collector(stream.journal, _RATE) as collector,
        ):
            self._make_image(stream, collector)
            yield broker, stream, collector

    def _sample(self, stream: Stream, disk: Disk, seconds: float) -> list[_Sample]:
        """Note again and again what is accepted, written and acknowledged, in this order; the broker comes and goes."""
        samples: list[_Sample] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stream.proxy.refuse_connections()
            self._sample_for(self._chance.uniform(0, _LONGEST), samples, stream, disk)
            stream.proxy.accept_connections()
            self._sample_for(self._chance.uniform(0, _LONGEST), samples, stream, disk)
        return samples

    def _sample_for(self, seconds: float, samples: list[_Sample], stream: Stream, disk: Disk) -> None:
        end = time.monotonic() + seconds

        def is_over() -> bool:
            size, position = stream.journal.stat().st_size, len(disk.cache.history)
            samples.append(_Sample(size, position, len(stream.acknowledged)))
            return time.monotonic() > end

        wait_until(is_over, seconds + 10)

    def _judge(self, samples: list[_Sample], stream: Stream, base: Path, disk: Disk, count: int) -> Moments:
        journal, history = stream.journal.read_text(), list(disk.cache.history)
        first, last = samples[0].position, samples[-1].position
        moments = sorted(self._chance.randint(first, last) for _ in range(count))
        result = Moments(
            count, sum(event is not None for event in history[first:last]), history[first:last].count(None)
        )
        states = outboxes(base, history, moments, self._chance, is_lying=self._is_lying)
        for moment, waiting in zip(moments, states, strict=True):
            # Of a moment between two samples: what was accepted before the one, and acknowledged before the other.
            size = max(sample.size for sample in samples if sample.position <= moment)
            known = min(sample.acknowledged for sample in samples if sample.position >= moment)
            accepted = set(entries_in(journal[:size]))
            result.lost |= accepted - {*stream.acknowledged[:known], *waiting}
            result.most_waiting = max(result.most_waiting, len(waiting))
            for device in {device for device, _ in waiting}:
                numbers = [number for name, number in waiting if name == device]
                assert numbers == sorted(set(numbers)), "the order is not kept"
        result.accepted = len(entries_in(journal))
        return result

    def _make_image(self, stream: Stream, collector: Collector) -> None:
        stream.reconfigure(type="/opt/load/tests/vm/remote_load.py:RemoteLoad", journal=f"{HOST}:{collector.port}")
        files = self._folder / "files"
        conf = files / "etc/mqttgateway/entry.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(stream.conf.read_text())
        for name in _TESTS:
            target = files / "opt/load" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(load_interface.__file__).parents[2] / name, target)
        shutil.copy(HERE / "check_outbox.py", files / "opt/load")
        init = (HERE / "init.sh").read_text().replace("HOST PORT", f"{HOST} {collector.port}")
        (files / "opt/load/init.sh").write_text(init)
        state = "install -d -o mqttgateway -g mqttgateway /var/lib/mqttgateway"
        make_image(self._image, files, f"{PROGRAM} install-service; chmod +x {_INIT}; {state}")

    def _round(self, stream: Stream, broker: Mosquitto, collector: Collector, disk: Disk) -> None:
        chance = self._chance
        dies_in_start = chance.random() < _IN_START
        is_away = chance.random() < _BROKER_AWAY
        broker_dies = not dies_in_start and not is_away and chance.random() < _BROKER_DIES
        lifetime = chance.uniform(0, _LONGEST)
        (stream.proxy.refuse_connections if is_away else stream.proxy.accept_connections)()
        size = stream.journal.stat().st_size
        with Machine(self._folder, self._address, _INIT) as machine:
            if dies_in_start:
                _wait(machine, chance.uniform(0.3, 1) * self._start_seconds)
            else:
                self._wait_accepted(stream, machine, collector, size)
                _wait(machine, lifetime)
            if broker_dies:
                stream.kill_broker(broker)
                _wait(machine, chance.uniform(0, _LONGEST))
                stream.start_broker(broker)
                _wait(machine, chance.uniform(0, _LONGEST))
            self._check(machine, collector)
        collector.wait_idle()
        stream.proxy.cut()
        disk.cut_power(chance)
        self.tally.in_start += dies_in_start
        self.tally.broker_away += is_away
        self.tally.broker_killed += broker_dies

    def _wait_accepted(self, stream: Stream, machine: Machine, collector: Collector, size: int) -> None:
        def is_accepted() -> bool:
            self._check(machine, collector)
            return stream.journal.stat().st_size > size

        wait_until(is_accepted, BOOT_TIMEOUT, lambda: f"a status to be accepted:\n{_end(machine)}", 0.1)
        self._start_seconds = machine.age

    def _check(self, machine: Machine, collector: Collector) -> None:
        machine.check()
        wrong = [result for result in collector.outboxes if result != "ok"]
        assert not wrong, f"the outbox file is not intact: {wrong}"
        faults = re.findall(_FAULTS, _end(machine, 0))
        assert not faults, "\n".join(faults)

    def _drain(self, stream: Stream, collector: Collector) -> None:
        """Give a last machine, without load, the time to deliver the remaining statuses."""
        stream.proxy.accept_connections()
        collector.rate = 0
        accepted, connections = set(stream.accepted), stream.proxy.connections
        with Machine(self._folder, self._address, _INIT) as machine:

            def is_connected() -> bool:
                self._check(machine, collector)
                return stream.proxy.connections > connections

            wait_until(is_connected, BOOT_TIMEOUT, lambda: f"a gateway:\n{_end(machine)}", 0.2)
            deadline = time.monotonic() + _DRAIN
            wait_until(
                lambda: accepted <= {*stream.seen, *stream.acknowledged} or time.monotonic() > deadline,
                _DRAIN + 10,
                pause=0.5,
            )
            self._check(machine, collector)


def _wait(machine: Machine, seconds: float) -> None:
    """Let the machine run for `seconds`."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 5, pause=0.02)
    machine.check()


def _end(machine: Machine, length: int = 3000) -> str:
    """Return the end of what it has written to its console; with 0 all of it."""
    return machine.console.read_text(errors="replace")[-length:] if machine.console.exists() else ""
