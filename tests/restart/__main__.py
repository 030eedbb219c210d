"""The command `python -m tests.restart [STEPS] [--seed S] [--store disk|memory] [--forgetful]`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.restart.sequence import Sequence


def main() -> int:
    """Run one sequence and print what is wrong; return 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tests.restart", description="Restarts gateway and broker.")
    parser.add_argument("steps", nargs="?", type=int, default=50, help="how many groups of events (default 50)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="seed of all random choices")
    parser.add_argument("--store", choices=["disk", "memory"], default="disk", help="outbox.store (default disk)")
    parser.add_argument("--forgetful", action="store_true", help="the broker has no persistence")
    parser.add_argument("--folder", type=Path, help="where the logs are kept (default: nowhere)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="restart-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sequence = Sequence(folder, options.seed, is_on_disk=options.store == "disk", is_forgetful=options.forgetful)
        print(f"seed {options.seed}, {options.store}", flush=True)
        problems = sequence.run(options.steps, lambda line: print(line, flush=True))
        print(f"{sequence.looks} looks, the slowest right after {sequence.slowest:.1f} s")
        for problem in problems:
            print(f"WRONG: {problem}")
        if problems:
            print("".join(sequence.log_tail()))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
