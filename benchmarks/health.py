"""What it costs to tell how the gateway is, with a thousand devices: to gather it, the document, the command.

The gateway is built in this process and does not run; its devices have been heard.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal
from benchmarks.lab import Lab
from gateway.configuration.load_config import load_configuration
from gateway.runtime.health import Health, assess, headline
from gateway.runtime.health_document import LARGEST, health_document
from gateway.start_gateway import Gateway

_DEVICES = 1000


def run(lab: Lab) -> None:
    """Measure it, behind one interface and behind a thousand of them."""
    rounds = 5 if lab.fast else 30
    print(f"health: {_DEVICES:,} devices; median of {rounds} rounds")
    for name, interfaces in (("one interface", 1), (f"{_DEVICES:,} interfaces", _DEVICES)):
        with _gateway(lab.folder, interfaces) as gateway:
            health = gateway.health()
            verdict = assess(health)
            document = health_document(health, verdict)
            shown = len(json.loads(document)["devices"])
            costs = {
                "gather": _median(gateway.health, rounds),
                "assess and headline": _median(partial(_headline, health), rounds),
                "document": _median(partial(health_document, health, verdict), rounds),
            }
        total = sum(costs.values())
        words = ", ".join(f"{what} {1000 * seconds:.1f} ms" for what, seconds in costs.items())
        print(f"  {name}: {words}; together {1000 * total:.1f} ms; {len(document):,} bytes with {shown} devices")
        if len(document) > LARGEST:
            raise AssertionError("the document is larger than its limit")
        if interfaces == 1:
            lab.goals.append(Goal("1,000 devices: the health document, ms", 1000 * total, "<=", 30.0))
    seconds = _median(_ask_nobody, rounds)
    print(f"  the command 'mqttgateway status', until it has found that no such gateway runs: {1000 * seconds:.0f} ms")


def _headline(health: Health) -> str:
    return headline(assess(health), health)


@contextmanager
def _gateway(folder: Path, interfaces: int) -> Iterator[Gateway]:
    each = _DEVICES // interfaces
    options: dict[str, Any] = {
        f"interface{number}": {"type": "dummy", "devices": [_device(number * each + n) for n in range(each)]}
        for number in range(interfaces)
    }
    file = folder / "health.conf"
    outbox = {"store": "memory"}
    file.write_text(json.dumps({"root": "home", "topics": [], "outbox": outbox, "interfaces": options}))
    gateway = Gateway(load_configuration(file, {}))
    with closing(gateway):
        for host in gateway.hosts.values():
            host.outlet.set_available(True)
            for device in host.devices.ids:
                host.devices.heard(device)
        yield gateway


def _device(number: int) -> dict[str, Any]:
    name = f"device{number:04}"
    point = {"from": "T.t", "type": "number"}
    return {"id": name, "address": {"device": name}, "points": {"t": point}}


def _median(function: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[rounds // 2]


def _ask_nobody() -> None:
    subprocess.run(
        [sys.executable, "-m", "gateway", "status", "nobody", "--alive"], capture_output=True, check=False, timeout=30
    )
