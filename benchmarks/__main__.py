"""The command `python -m benchmarks [names] [--fast] [--rounds N]`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from benchmarks import (
    announcing,
    commands,
    decoding,
    device_model,
    devices,
    fleet,
    health,
    latency,
    null,
    outbox,
    page,
    resources,
    scale,
    stages,
    tap,
    throughput,
    translation,
)
from benchmarks.goals import Goal, draw_goals, print_goals
from benchmarks.lab import Broker, Lab
from benchmarks.machine import machine_line
from benchmarks.report import WrongResultError

BENCHMARKS: dict[str, tuple[float, Callable[[Lab], None]]] = {
    # name: its share of the whole time, and the function that runs it
    "decode": (0.02, decoding.kinds),
    "rules": (0.02, decoding.rules),
    "reading": (0.02, decoding.reading),
    "outbox": (0.04, outbox.run),
    "start": (0.06, resources.start),
    "memory": (0.05, resources.memory),
    "idle": (0.14, resources.idle),
    "latency": (0.28, latency.run),
    "push": (0.2, throughput.push),
    "pty": (0.21, throughput.pty),
    "commands": (0.1, commands.receive),
    "round-trip": (0.1, commands.round_trip),
    "cpu": (0.2, null.run),
    "stages": (0.02, stages.run),
    "tap": (0.1, tap.run),
    "page": (0.3, page.run),
    "map": (0.1, translation.run),
    "model": (0.04, device_model.run),
    "devices": (0.3, devices.run),
    "announce": (0.3, announcing.run),
    "health": (0.02, health.run),
    "fleet": (0.2, fleet.run),
    "scale": (0.02, scale.run),
}
_FAST_SECONDS = 30.0  # for all of them, with --fast
_TABLES = {
    "latency": 2,
    "outbox": 4,
    "push": 2,
    "pty": 2,
}  # how many tables share the time of a benchmark; 1 if it is not named


def main() -> int:
    """Run the benchmarks that the command line names; return 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the gateway next to peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--fast", action="store_true", help="fewer and shorter rounds: two minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each contender (default 5, fast 2)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the goals and the measured figures, as SVG")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _exit)  # so that every `finally` is run
    machine = machine_line()
    print(machine)
    print(
        "the gateway with default settings, except QoS, store: memory where no disk is named, session_expiry: 0",
        flush=True,
    )
    began = time.monotonic()
    goals: list[Goal] = []
    chosen = [name for name in BENCHMARKS if name in (options.names or BENCHMARKS)]
    wrong = [name for name in chosen if not _run(name, options, goals)]
    if goals:
        print()
        print_goals(goals)
    if options.plot:
        options.plot.write_text(draw_goals(goals, machine))
    verdict = f"WRONG: {', '.join(wrong)}" if wrong else "nothing was lost, duplicated or out of order"
    print(f"\n{time.monotonic() - began:.0f} s; {verdict}")
    return 1 if wrong else 0


def _run(name: str, options: argparse.Namespace, goals: list[Goal]) -> bool:
    share, benchmark = BENCHMARKS[name]
    rounds = options.rounds or (2 if options.fast else 5)
    seconds = _FAST_SECONDS if options.fast and not options.rounds else float("inf")
    print(flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Broker(Path(folder)) as broker:
        budget = share * seconds / _TABLES.get(name, 1)
        try:
            benchmark(Lab(Path(folder), broker, rounds, budget, options.fast, goals))
        except WrongResultError as err:
            print(f"  WRONG: {err}")
            return False
        finally:
            sys.stdout.flush()
    return True


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
