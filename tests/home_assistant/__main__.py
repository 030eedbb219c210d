"""The command `python -m tests.home_assistant [SCENARIO...] [--release R] [--seed S]`. Needs root.

The first time, it makes a tree of Debian for each release of Home Assistant, which takes minutes. Then it moves into
namespaces of its own: nothing is on the network there but itself, and what it has started ends with it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.home_assistant.bench import Bench
from tests.home_assistant.scenarios import BY_HAND, WITH_GATEWAY, Scenario
from tests.home_assistant.server import RELEASES, prepare
from tests.support.broker import find_tool
from tests.support.seclusion import cannot_run, is_secluded, seclude

# With one address besides loopback: without any, Home Assistant warns about that. It leads nowhere.
_NETWORK = """
ip link set lo up
ip link add inside type veth peer name outside
ip address add 192.0.2.1/24 dev inside
ip link set inside up
ip link set outside up
"""


def main() -> int:
    """Run scenarios and print what is wrong; return 1 if anything is, 3 if it cannot run here."""
    scenarios = {scenario.__name__: scenario for scenario in (*BY_HAND, *WITH_GATEWAY)}
    parser = argparse.ArgumentParser(prog="python -m tests.home_assistant", description="Tries Home Assistant itself.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", choices=[[], *scenarios], default=[],
                        help=f"of {', '.join(scenarios)} (default: all)")  # fmt: skip
    parser.add_argument("--release", choices=RELEASES, action="append", help="of Home Assistant (default: all)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="seed of all random choices")
    options = parser.parse_args()
    releases = options.release or list(RELEASES)
    if not is_secluded():
        return _enter(releases, options.seed)
    chosen = [scenarios[name] for name in options.scenarios] or list(scenarios.values())
    wrong = 0
    for release in releases:
        for scenario in chosen:
            print(f"Home Assistant {release}, seed {options.seed}: {scenario.__name__}", flush=True)
            wrong += not _run(release, scenario, options.seed)
    print(f"{len(releases) * len(chosen) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


def _enter(releases: list[str], seed: int) -> int:
    """Prepare the releases, and run this command again in namespaces of its own; return 3 where that cannot be."""
    missing = [tool for tool in ("ip", "mosquitto") if find_tool(tool) is None]
    if missing:
        return cannot_run(f"{', '.join(missing)} is missing: apt install iproute2 mosquitto")
    for release in releases:
        code = prepare(release)
        if code:
            return code
    return seclude("tests.home_assistant", *sys.argv[1:], "--seed", str(seed), network=_NETWORK)


def _run(release: str, scenario: Scenario, seed: int) -> bool:
    """Run one scenario; return whether all was right, and otherwise say what was not."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ha-") as folder:
        bench = Bench(release, Path(folder), seed, lambda line: print(f"  {line}", flush=True))
        with bench.boiler, bench:
            wrong = []
            try:
                scenario(bench)
            except AssertionError as err:
                wrong.append(str(err))
            wrong += [f"in Home Assistant's log: {entry}" for entry in bench.problems()]
            megabytes = bench.ha.resident() / 2**20
            log = bench.gateway_log
    for each in wrong:
        print(f"  WRONG: {each}")
    if wrong and log:
        print("  the log of the gateway:\n" + "".join(f"    {line}\n" for line in log.splitlines()[-30:]))
    print(f"  {time.monotonic() - began:.0f} s, Home Assistant with {megabytes:.0f} MiB", flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
