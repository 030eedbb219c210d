"""Past one process, by simulation: what several processes and broker nodes carry, from the costs measured here.

Each process and each node is a core that serves one message after the other: a queue. Devices say their lines at
random moments, `_BURST` at a time, as a USB adapter brings them. What is wanted at another node of a cluster passes
that one, too.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from benchmarks import contenders
from benchmarks.device import Device
from benchmarks.lab import Lab, cpu_seconds
from benchmarks.report import percentile
from benchmarks.topics import check_arrived, lines, payloads

_BURST = 20  # lines
_LONGEST = 0.010  # s: what 99 of 100 messages may take from the device to the subscriber
_SEED = 1
_STEPS = 7  # of a bisection: the rate is known within 1 %


@dataclass(frozen=True)
class Plan:
    """So many gateway processes and broker nodes, each with a core of its own."""

    name: str
    processes: int
    nodes: int


PLANS = (
    Plan("1 process, 1 broker", 1, 1),
    Plan("2 processes, 1 broker", 2, 1),
    Plan("4 processes, 1 broker", 4, 1),
    Plan("4 processes, cluster of 3", 4, 3),
    Plan("12 processes, cluster of 9", 12, 9),
)


def run(lab: Lab) -> None:
    """Measure what a message costs gateway and broker; simulate each plan with that."""
    count = 10_000 if lab.fast else 40_000
    print(
        f"scale: {count:,} lines through the gateway and the broker, for the processor time of both; then, simulated,"
    )
    print(f"  the highest rate at which 99 of 100 lines arrive within {_LONGEST * 1000:g} ms, in bursts of {_BURST}.")
    costs = _costs(lab, count)
    print(f"  measured: gateway {costs[0] * 1e6:.1f} us a line, broker {costs[1] * 1e6:.1f} us a message, in and out")
    bursts = 5_000 if lab.fast else 50_000
    for plan in PLANS:
        rate = highest_rate(plan, *costs, bursts)
        busiest = max(rate / plan.processes * costs[0], rate / plan.nodes * costs[1] * hops(plan))
        print(f"    {plan.name:28} {rate:>10,.0f} lines/s   the busiest core {busiest:.0%}")


def _costs(lab: Lab, count: int) -> tuple[float, float]:
    """Return the processor time (s) of a line in the gateway, and of a message in the broker."""
    assert lab.broker.process is not None
    pid = lab.broker.process.pid
    with (
        Device() as device,
        contenders.subscriber(lab) as ear,
        contenders.gateway(lab, ear, contenders.serial_options(device.path), 0) as process,
    ):
        before = cpu_seconds(process.pid), cpu_seconds(pid)
        device.write_behind(b"".join(lines(count)))
        _, received = ear.stream(last=payloads(count)[-1])
        check_arrived(((message.topic, message.payload) for message in received), payloads(count))
        return (cpu_seconds(process.pid) - before[0]) / count, (cpu_seconds(pid) - before[1]) / count


def hops(plan: Plan) -> float:
    """Return how many nodes a message passes, on average: its own, and that of the subscriber."""
    return 2 - 1 / plan.nodes


def highest_rate(plan: Plan, gateway: float, broker: float, bursts: int) -> float:
    """Return the highest rate (lines/s) at which the delay stays within what it may be."""
    low, high = 0.0, min(plan.processes / gateway, plan.nodes / broker / hops(plan))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if percentile(simulate(plan, gateway, broker, middle, bursts), 99) <= _LONGEST:
            low = middle
        else:
            high = middle
    return low


def simulate(plan: Plan, gateway: float, broker: float, rate: float, bursts: int) -> list[float]:
    """Return the delay (s) of the last line of each of so many bursts, which come at `rate` (lines/s) in all."""
    dice = random.Random(_SEED)
    free: dict[tuple[str, int], float] = {}
    begun: list[float] = []
    ways: list[list[tuple[str, int]]] = []  # the cores that each passes, in their order
    now = 0.0
    for _ in range(bursts):
        now += dice.expovariate(rate / _BURST)
        process = dice.randrange(plan.processes)
        own, wanted = process % plan.nodes, dice.randrange(plan.nodes)
        begun.append(now)
        ways.append([("process", process), ("node", own)] + ([("node", wanted)] if wanted != own else []))
    delays: list[float] = []
    waiting = [(when, index, 0) for index, when in enumerate(begun)]
    while waiting:
        when, index, step = heapq.heappop(waiting)
        if step == len(ways[index]):
            delays.append(when - begun[index])
            continue
        core = ways[index][step]
        cost = _BURST * (broker if core[0] == "node" else gateway)
        free[core] = max(when, free.get(core, 0.0)) + cost
        heapq.heappush(waiting, (free[core], index, step + 1))
    return delays
