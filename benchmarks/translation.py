"""The cost of the map: translation in both directions, by the number of its entries; and the time to load it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.goals import Goal
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, WrongResultError, median
from benchmarks.rounds import run_rounds
from gateway.configuration.load_map import load_map
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import MsgMap

_SIZES = (100_000, 10, 1_000)  # ours first, then the peer of the ratio
_DISTINCT = 10  # words in use, spread over the whole map: this measures the effect of the map's size, not of its caches


def run(lab: Lab) -> None:
    """Measure maps of 10, 1,000 and 100,000 entries."""
    count = 5_000 if lab.fast else 30_000
    print(f"map: {count:,} messages in both directions through maps of three sizes, {_DISTINCT} devices in use;")
    print("  load: from the file to the map, all checks included.")
    files = {size: _write(lab.folder, size) for size in _SIZES}
    maps = {size: load_map(file, sender="bench") for size, file in files.items()}
    runners = {f"{size:,} entries": _runner(maps[size], files[size], size, count) for size in _SIZES}
    samples = run_rounds(
        lab, runners, (Metric("write", "us/message", 2), Metric("read", "us/message", 2), Metric("load", "s", 3))
    )
    large, small = samples[f"{_SIZES[0]:,} entries"], samples[f"{_SIZES[1]:,} entries"]
    for way in ("write", "read"):
        ratio = median(large, way) / median(small, way)
        lab.goals.append(Goal(f"map: {way}, 100,000 entries, of 10 entries", ratio, "<=", 1.2))
    lab.goals.append(Goal("map: loading 100,000 entries, s", median(large, "load"), "<=", 3.0))


def _write(folder: Path, size: int) -> Path:
    words = {f"device {number}": [f"word{number}", f"alias{number}"] for number in range(size)}
    path = folder / f"map{size}.json"
    path.write_text(json.dumps({"root": "bench", "topics": ["bench/#"], "device": {"maptype": "strict", "map": words}}))
    return path


def _runner(msg_map: MsgMap, file: Path, size: int, count: int) -> Callable[[], Figures]:
    used = [index * (size // _DISTINCT) for index in range(_DISTINCT)]
    messages = [InternalMsg(function="f", device=f"device {n}", action="T", arguments={"v": 1}) for n in used]
    received = [(f"bench/f///word{n}/else/S", b'{"action": "T", "v": 1}') for n in used]

    def write() -> None:
        for number in range(count):
            msg_map.internal2mqtt(messages[number % _DISTINCT])

    def read() -> None:
        for number in range(count):
            msg_map.mqtt2internal(*received[number % _DISTINCT])

    def run() -> Figures:
        if [msg_map.mqtt2internal(*each).device for each in received] != [msg.device for msg in messages]:
            raise WrongResultError("the messages read are not those expected")
        if [msg_map.internal2mqtt(msg)[:2] for msg in messages] != [
            (t.replace("/else/", "/bench/"), p) for t, p in received
        ]:
            raise WrongResultError("the publications are not those of the messages")
        load = _seconds(partial(load_map, file, sender="bench"))
        return {"write": _seconds(write) / count * 1e6, "read": _seconds(read) / count * 1e6, "load": load}

    return run


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
