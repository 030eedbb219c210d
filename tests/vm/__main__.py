"""The command `python -m tests.vm [SCENARIO...] [--cuts N] [--seed S]`. Needs root.

The first time, it makes a Debian with a kernel, which takes minutes. Without a processor that runs the machine (KVM is
not used), a boot takes half a minute.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.support.broker import find_tool
from tests.support.stream import Stream
from tests.support.units import CannotRunError
from tests.support.wheel import build_wheel
from tests.systemd.machine import turn_of_trees
from tests.vm.machine import prepare
from tests.vm.power_cuts import PowerCuts, Tally
from tests.vm.serial_adapter import serial_adapter

CANNOT_RUN = 3
_TOOLS = {"setpriv": "util-linux", "unshare": "util-linux", "e2fsck": "e2fsprogs", "mosquitto": "mosquitto"}
_RECORDED = 60.0  # s of load for the scenario `moments`


def main() -> int:
    """Run scenarios and print what is wrong; return 1 if anything is, 3 if it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description="Tries the service in a real machine.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", choices=[[], *_SCENARIOS], default=[],
                        help=f"of {', '.join(_SCENARIOS)} (default: all)")  # fmt: skip
    parser.add_argument("--cuts", type=int, default=10, help="how often the power is cut (default 10)")
    parser.add_argument("--moments", type=int, default=200, help="moments of a recorded run (default 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="seed of all random choices")
    parser.add_argument("--lying-disk", action="store_true",
                        help="a flush of the disk does nothing: shows that this test sees losses")  # fmt: skip
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing is left then, either
    if os.geteuid() != 0:
        return _cannot_run("only root can make the image of a machine")
    try:
        with turn_of_trees():
            _prepare()
            results = [_run(name, options) for name in options.scenarios or _SCENARIOS]
    except CannotRunError as err:
        return _cannot_run(err)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


def _cannot_run(reason: object) -> int:
    print(f"cannot run here: {reason}", file=sys.stderr)
    return CANNOT_RUN


def _prepare() -> None:
    """Build the wheel, and install it in the tree. Raises `CannotRunError`."""
    for tool, package in _TOOLS.items():
        if find_tool(tool) is None:
            raise CannotRunError(f"{tool} is missing: apt install {package}")
    with tempfile.TemporaryDirectory() as folder:
        if prepare(build_wheel(Path(folder))):
            raise CannotRunError("there is no tree to boot")


def _run(name: str, options: argparse.Namespace) -> bool:
    print(f"{name}, seed {options.seed}:", flush=True)
    with tempfile.TemporaryDirectory(prefix="vm-") as folder:
        try:
            return _SCENARIOS[name](Path(folder), options)
        except CannotRunError:
            raise
        except Exception:  # noqa: BLE001  (the other scenarios are wanted, too)
            print(f"  {name} FAILED", flush=True)
            traceback.print_exc()
            return False


def _serial(folder: Path, _options: argparse.Namespace) -> bool:
    """A USB serial adapter is plugged in, pulled out, and plugged in again."""
    print(f"  {serial_adapter(folder)}", flush=True)
    return True


def _power(folder: Path, options: argparse.Namespace) -> bool:
    """The power of a machine under load is cut again and again."""
    cuts = PowerCuts(folder, options.seed, is_lying=options.lying_disk)
    verdict = cuts.run(options.cuts, _progress)
    tally = cuts.tally
    print(
        f"  {tally.in_start} of the cuts in the start, {tally.broker_away} with the broker away, {tally.broker_killed} "
        f"after it was killed; {tally.checked} outbox files intact\n  {verdict}"
    )
    return verdict.is_ok


def _moments(folder: Path, options: argparse.Namespace) -> bool:
    """The power might have been cut at any moment of one run."""
    result = PowerCuts(folder, options.seed, is_lying=options.lying_disk).run_recorded(_RECORDED, options.moments)
    print(
        f"  cuts at {result.count} moments of a run with {result.writes} writes and {result.flushes} flushes of the "
        f"disk: accepted {result.accepted}, at most {result.most_waiting} waiting, lost {len(result.lost)}"
    )
    return not result.lost


def _progress(tally: Tally, stream: Stream) -> None:
    print(f"  {tally.rounds} cuts in {tally.seconds:.0f} s, {len(stream.accepted)} accepted, "
          f"{tally.lost_writes} writes lost by the disk", flush=True)  # fmt: skip


_SCENARIOS: dict[str, Callable[[Path, argparse.Namespace], bool]] = {
    "serial": _serial,
    "power": _power,
    "moments": _moments,
}

if __name__ == "__main__":
    sys.exit(main())
