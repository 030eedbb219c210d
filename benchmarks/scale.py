"""A simulation beyond one process: the throughput of several processes and broker nodes, from the costs measured here.

Each process and each node is a core that serves one message after the other: a queue. Devices send their lines at
random moments, `_BURST` at a time, as a USB adapter delivers them. A message for a subscriber at another node of a
cluster passes that node, too.
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
_LONGEST = 0.010  # s; 99 of 100 messages must take no longer from the device to the subscriber
_SEED = 1
_STEPS = 7  # of a bisection: they find the rate within 1 %


@dataclass(frozen=True)
class Plan:
    """A number of gateway processes and broker nodes, each with its own core."""

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
    """Measure the cost of a message in gateway and broker; simulate each plan with it."""
    count = 10_000 if lab.fast else 40_000
    print(f"scale: {count:,} lines through the gateway and the broker, for the processor time of both; then simulated:")
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
        contenders.subscriber(lab) as listener,
        contenders.gateway(lab, listener, contenders.serial_options(device.path), 0) as process,
    ):
        initial = cpu_seconds(process.pid), cpu_seconds(pid)
        device.write_in_background(b"".join(lines(count)))
        _, received = listener.stream(last=payloads(count)[-1])
        check_arrived(((message.topic, message.payload) for message in received), payloads(count))
        return (cpu_seconds(process.pid) - initial[0]) / count, (cpu_seconds(pid) - initial[1]) / count


def hops(plan: Plan) -> float:
    """Return the mean number of nodes that a message passes: that of its process and that of the subscriber."""
    return 2 - 1 / plan.nodes


def highest_rate(plan: Plan, gateway: float, broker: float, bursts: int) -> float:
    """Return the highest rate (lines/s) at which the delay stays within `_LONGEST`."""
    low, high = 0.0, min(plan.processes / gateway, plan.nodes / broker / hops(plan))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if percentile(simulate(plan, gateway, broker, middle, bursts), 99) <= _LONGEST:
            low = middle
        else:
            high = middle
    return low


def simulate(plan: Plan, gateway: float, broker: float, rate: float, bursts: int) -> list[float]:
    """Return the delay (s) of the last line of each of `bursts` bursts, which arrive at `rate` (lines/s) in total."""
    dice = random.Random(_SEED)
    free: dict[tuple[str, int], float] = {}
    begun: list[float] = []
    paths: list[list[tuple[str, int]]] = []  # the cores that each burst passes, in their order
    now = 0.0
    for _ in range(bursts):
        now += dice.expovariate(rate / _BURST)
        process = dice.randrange(plan.processes)
        node, subscriber_node = process % plan.nodes, dice.randrange(plan.nodes)
        begun.append(now)
        paths.append(
            [("process", process), ("node", node)] + ([("node", subscriber_node)] if subscriber_node != node else [])
        )
    delays: list[float] = []
    waiting = [(when, index, 0) for index, when in enumerate(begun)]
    while waiting:
        when, index, step = heapq.heappop(waiting)
        if step == len(paths[index]):
            delays.append(when - begun[index])
            continue
        core = paths[index][step]
        cost = _BURST * (broker if core[0] == "node" else gateway)
        free[core] = max(when, free.get(core, 0.0)) + cost
        heapq.heappush(waiting, (free[core], index, step + 1))
    return delays
