"""The command `python -m tests.crash [ROUNDS] [--seed S] [--store disk|memory]`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.rounds import Crash, Tally
from tests.support.ledger import Verdict
from tests.support.stream import Stream


def main() -> int:
    """Run the rounds and print the verdict on the messages; return 1 if the gateway has lost any."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="Kills gateway and broker under load.")
    parser.add_argument("rounds", nargs="?", type=int, default=100, help="how many gateways are killed (default 100)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="seed of all random choices")
    parser.add_argument("--store", choices=["disk", "memory"], default="disk", help="outbox.store (default disk)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        crash = Crash(Path(folder), options.seed, {"outbox": {"store": options.store}})
        verdict = crash.run(options.rounds, _progress)
        _print(verdict, crash.tally, options.seed)
    return 0 if verdict.is_ok else 1


def _progress(rounds: int, stream: Stream) -> None:
    if rounds % 50 == 0:
        print(f"  {rounds} rounds, {len(stream.acknowledged)} acknowledged", flush=True)


def _print(verdict: Verdict, tally: Tally, seed: int) -> None:
    print(
        f"{tally.rounds} rounds in {tally.seconds:.0f} s ({tally.rounds / tally.seconds:.1f}/s), seed {seed}: "
        f"{tally.in_start} killed in their start, {tally.hanging} with a link that hung, "
        f"{tally.brokers} with the broker killed too"
    )
    print(verdict)


if __name__ == "__main__":
    sys.exit(main())
