"""The command `python -m tests.cluster [rabbitmq|nats] [--seed S] [--kills N] [--rate R] [--classic]`. Needs root.

The first time, it installs RabbitMQ and NATS into a tree of Debian, which takes minutes. Then it moves into namespaces
of its own: nothing is on the network there but itself, and what it has started ends with it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.access import check_access
from tests.cluster.nodes import Cluster, Nats, RabbitMQ, prepare
from tests.cluster.trial import Kill, Trial
from tests.support.broker import find_tool
from tests.support.ledger import Verdict
from tests.support.seclusion import cannot_run, is_secluded, seclude

_TIMES: dict[str, Callable[[Kill], float | None]] = {
    "the gateway is connected to the next node": lambda kill: kill.link,
    "a line of after the kill is received": lambda kill: kill.delivered,
    "a command reaches the device": lambda kill: kill.command,
    "the document of the device is as it is now": lambda kill: kill.document,
}


def main() -> int:
    """Run the trial and print what is wrong; return 1 if anything is, 3 if it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="Kills nodes of a broker cluster.")
    parser.add_argument("brokers", nargs="*", metavar="BROKER", choices=[[], "rabbitmq", "nats"], default=[],
                        help="rabbitmq or nats (default: both)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="seed of all random choices")
    parser.add_argument("--kills", type=int, default=10, help="how many nodes are killed (default 10)")
    parser.add_argument("--rate", type=int, default=200, help="lines a second (default 200)")
    parser.add_argument("--classic", action="store_true", help="RabbitMQ with sessions that live on one node")
    parser.add_argument("--folder", type=Path, help="where the log of the gateway is kept (default: nowhere)")
    options = parser.parse_args()
    if not is_secluded():
        return _enter(options.seed)
    is_ok = True
    for name in options.brokers or ["rabbitmq", "nats"]:
        cluster = Nats() if name == "nats" else RabbitMQ("classic" if options.classic else "quorum")
        print(f"{name}, seed {options.seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="cluster-") as temporary:
            folder = (options.folder or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            is_ok = _run(cluster, folder, options.seed, options.kills, options.rate) and is_ok
    return 0 if is_ok else 1


def _enter(seed: int) -> int:
    """Prepare the brokers, and run this command again in namespaces of its own; return 3 where that cannot be."""
    if find_tool("ip") is None:
        return cannot_run("ip is missing: apt install iproute2")
    return prepare() or seclude("tests.cluster", *sys.argv[1:], "--seed", str(seed))


def _run(cluster: Cluster, folder: Path, seed: int, kills: int, rate: int) -> bool:
    """Run the trial with one cluster; return whether nothing was wrong."""
    began = time.monotonic()
    with cluster:
        print(f"  three nodes after {time.monotonic() - began:.0f} s", flush=True)
        trial = Trial(folder, cluster, seed, rate, lambda line: print(f"  {line}", flush=True))
        try:
            if isinstance(cluster, RabbitMQ):
                check_access(cluster, folder)
                print("  the access rules are right", flush=True)
            verdict = trial.run(kills)
        except AssertionError as err:
            print(f"  WRONG: {err}\n{cluster.log_tail()}")
            return False
        _print(verdict, trial, time.monotonic() - began, cluster.resident())
    return verdict.is_ok and not verdict.lost_by_broker


def _print(verdict: Verdict, trial: Trial, seconds: float, resident: int) -> None:
    print(f"  {verdict}")
    print(f"  sent out of order by the gateway: {len(trial.sent_out_of_order)}")
    print(
        f"  {len(trial.kills)} kills in {seconds:.0f} s; all received {trial.waiting_at_end:.1f} s after the last line"
    )
    for name, value in _TIMES.items():
        times = [time for kill in trial.kills if (time := value(kill)) is not None]
        if not times:
            continue
        print(f"  {name}: {statistics.median(times):.2f} s after the kill, at most {max(times):.2f} s")
    stale = sum(kill.is_stale_elsewhere for kill in trial.kills)
    print(
        f"  old documents at the third node: {stale} times; session of the subscriber lost: {trial.sessions_lost} times"
    )
    print(f"  a node takes {resident / 2**20:.0f} MiB")


if __name__ == "__main__":
    sys.exit(main())
