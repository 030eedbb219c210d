"""The rounds: gateways under load, each killed at a random moment, and a last one that delivers what remains."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.broker import Mosquitto
from tests.support.forked import ForkedGateway
from tests.support.ledger import Verdict
from tests.support.stream import Stream
from tests.support.waiting import wait_until

_RATE = 1000  # statuses a second
_IN_START = 0.15  # of the rounds: killed within its first moments, 0 to 0.15 s
_LONGEST = 0.35  # s that a gateway lives after it has accepted something
_HANGS = 0.3  # of the rounds: the link hangs, so that accepted statuses stay in the outbox
_BROKER_DIES = 0.1  # of the rounds
_DRAIN = 30.0  # s for the last gateway to deliver the remaining statuses


@dataclass
class Tally:
    """How many rounds of each kind there were, for the report."""

    rounds: int = 0
    in_start: int = 0
    hanging: int = 0
    brokers: int = 0
    seconds: float = 0.0


class Crash:
    """Kills at random moments: the same for the same seed, as far as the machine allows."""

    def __init__(self, folder: Path, seed: int, conf: dict[str, Any] | None = None) -> None:
        self.tally = Tally()
        self._folder = folder
        self._chance = random.Random(seed)
        self._seed = seed
        self._conf = conf or {}
        self._log = folder / "gateway.log"  # of all gateways

    def run(self, rounds: int, report: Callable[[int, Stream], None] = lambda *_: None) -> Verdict:
        """Return the verdict on `rounds` rounds; `report` is called after each."""
        began = time.monotonic()
        with (
            Mosquitto(self._folder) as broker,
            Stream(self._folder, broker.port, rate=_RATE, seed=self._seed, conf=self._conf) as stream,
        ):
            for _ in range(rounds):
                self._round(stream, broker)
                self.tally.rounds += 1
                self.tally.seconds = time.monotonic() - began
                report(self.tally.rounds, stream)
            self._drain(stream)
            assert "Traceback" not in self._log.read_text(errors="replace"), self._log
            return stream.verdict()

    def _start(self, stream: Stream) -> ForkedGateway:
        folder = self._folder
        environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "none"), "XDG_STATE_HOME": str(folder / "state"),
                       "XDG_RUNTIME_DIR": str(folder)}  # fmt: skip
        return ForkedGateway(["--conf", str(stream.conf)], Path(os.devnull), self._log, environment)

    def _round(self, stream: Stream, broker: Mosquitto) -> None:
        chance = self._chance
        dies_in_start = chance.random() < _IN_START
        hangs = chance.random() < _HANGS
        broker_dies = chance.random() < _BROKER_DIES
        broker_first = chance.random() < 0.5
        (stream.proxy.hang if hangs else stream.proxy.resume)()
        size = _size(stream.journal)
        gateway = self._start(stream)
        try:
            if dies_in_start:
                _wait(chance.uniform(0, 0.15))
            else:
                wait_until(
                    lambda: _size(stream.journal) > size or gateway.poll() is not None,
                    15,
                    "a status to be accepted",
                    0.002,
                )
                assert gateway.poll() is None, f"the gateway has ended on its own: see {self._log}"
                _wait(chance.uniform(0, _LONGEST))
            if broker_dies and broker_first:
                self._kill_broker(stream, broker)
                _wait(chance.uniform(0, _LONGEST))
        finally:
            gateway.kill()
        gateway.wait(10)
        if broker_dies and not broker_first:
            self._kill_broker(stream, broker)
        stream.proxy.cut()
        self.tally.in_start += dies_in_start
        self.tally.hanging += hangs
        self.tally.brokers += broker_dies

    def _kill_broker(self, stream: Stream, broker: Mosquitto) -> None:
        stream.kill_broker(broker)
        stream.start_broker(broker)

    def _drain(self, stream: Stream) -> None:
        """Give a last gateway, without load, the time to deliver the remaining statuses."""
        stream.proxy.resume()
        stream.reconfigure(rate=0)
        gateway = self._start(stream)
        accepted, idle_checks = set(stream.accepted), 0
        count = -1

        def is_done() -> bool:
            nonlocal count, idle_checks
            previous, count = count, len(stream.seen) + len(stream.acknowledged)
            idle_checks = idle_checks + 1 if count == previous else 0
            return idle_checks > 15 or accepted <= {*stream.seen, *stream.acknowledged}

        try:
            wait_until(is_done, _DRAIN, "the last gateway to deliver", pause=0.2)
        finally:
            gateway.terminate()
            gateway.wait(15)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _wait(seconds: float) -> None:
    """Wait for `seconds`."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 5, pause=min(seconds, 0.01) or 0.001)
