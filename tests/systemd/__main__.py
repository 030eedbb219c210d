"""The command `python -m tests.systemd [SCENARIO...] [--suite SUITE]`. Needs root.

It tries the service in a Debian that is booted with systemd as process 1, each scenario in a new one. The first time,
it makes a tree of Debian for each release, which takes minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from pathlib import Path

from tests.support.broker import find_tool
from tests.support.units import CannotRunError
from tests.support.wheel import build_wheel
from tests.systemd.machine import SUITES, prepare, turn_of_trees
from tests.systemd.scenarios import SCENARIOS, Scenario

CANNOT_RUN = 3


def main() -> int:
    """Run scenarios and print what is wrong; return 1 if anything is, 3 if it cannot run here."""
    scenarios = {scenario.__name__: scenario for scenario in SCENARIOS}
    parser = argparse.ArgumentParser(prog="python -m tests.systemd", description="Tries the service in a real systemd.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", choices=[[], *scenarios], default=[],
                        help=f"of {', '.join(scenarios)} (default: all)")  # fmt: skip
    parser.add_argument("--suite", choices=SUITES, action="append", help="release of Debian (default: all)")
    options = parser.parse_args()
    chosen = [scenarios[name] for name in options.scenarios] or list(SCENARIOS)
    suites = options.suite or list(SUITES)
    if os.geteuid() != 0:
        return _cannot_run("only root can boot a machine")
    with turn_of_trees():
        return _run_all(suites, chosen)


def _run_all(suites: list[str], chosen: list[Scenario]) -> int:
    try:
        _prepare(suites)
        failed = [
            f"{suite}: {scenario.__name__}" for suite in suites for scenario in chosen if not _run(suite, scenario)
        ]
    except CannotRunError as err:
        return _cannot_run(err)
    print(f"{len(suites) * len(chosen) - len(failed)} passed, {len(failed)} failed{''.join(f'; {f}' for f in failed)}")
    return 1 if failed else 0


def _cannot_run(reason: object) -> int:
    print(f"cannot run here: {reason}", file=sys.stderr)
    return CANNOT_RUN


def _prepare(suites: list[str]) -> None:
    """Build the wheel, and install it in a tree for each release. Raises `CannotRunError`."""
    missing = [tool for tool in ("nsenter", "unshare") if find_tool(tool) is None]
    if missing:
        raise CannotRunError(f"{' and '.join(missing)} missing: apt install util-linux")
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for suite in suites:
            if prepare(suite, wheel):
                raise CannotRunError(f"there is no tree of {suite}")


def _run(suite: str, scenario: Scenario) -> bool:
    print(f"{suite}: {scenario.__name__} ... ", end="", flush=True)
    try:
        measured = scenario(suite)
    except CannotRunError:
        raise
    except Exception:  # noqa: BLE001  (the others are wanted, too)
        print("FAILED", flush=True)
        traceback.print_exc()
        return False
    print(f"ok{'; ' * bool(measured)}{measured}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
