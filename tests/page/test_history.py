"""The last hour of numbers: bounded, with gaps, and taken from a gateway at work."""

from __future__ import annotations

import gc
import math
import tracemalloc
from contextlib import closing
from pathlib import Path

from gateway.configuration.load_config import load_configuration
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg
from gateway.page.history import MOST_SERIES, SAMPLES, History, Key, Rates, Sampler, numeric
from gateway.page.source import Source
from gateway.start_gateway import Gateway
from tests.support.configuration import trial, write_conf
from tests.support.waiting import wait_until

A, B = ("point", "i", "d", "a"), ("point", "i", "d", "b")
TANK = Device(
    "tank",
    (
        Point("level", PointType.NUMBER, (Feed("LEVEL", "percent"),)),
        Point("pump", PointType.BOOLEAN, (Feed("LEVEL", "pump"),)),
        Point("mode", PointType.TEXT, (Feed("LEVEL", "mode"),)),
    ),
    address={"device": "tank"},
)


def test_a_series_is_in_its_order_with_its_gaps_and_only_as_long_as_it_may_be() -> None:
    history = History(samples=4)
    samples: list[dict[Key, float]] = [{A: 1.0}, {A: 2.0, B: 7.0}, {B: 8.0}, {A: 4.0}, {A: 5.0}]
    for sample in samples:
        history.add(sample)
    assert history.of(A) == [2.0, None, 4.0, 5.0]
    assert history.of(B) == [7.0, 8.0, None, None]
    assert history.of(("in",)) == []


def test_a_series_without_any_value_is_forgotten_and_begins_anew() -> None:
    history = History(samples=3)
    history.add({A: 1.0})
    for _ in range(3):
        history.add({B: 2.0})
    assert history.of(A) == [] and history.series == 1
    history.add({A: 3.0})
    assert history.of(A) == [3.0]


def test_of_too_many_series_those_that_came_first_stay() -> None:
    history = History(samples=3, most_series=2)
    history.add({("point", "i", "d", str(number)): 1.0 for number in range(5)})
    assert history.series == 2 and history.of(("point", "i", "d", "4")) == []
    history.add({A: 1.0})
    assert history.of(A) == []


def test_numbers_that_four_bytes_cannot_hold_are_gaps() -> None:
    history = History(samples=3)
    history.add({A: 1e300, B: 12.3456789})
    history.add({A: math.inf, B: -math.inf})
    history.add({A: 1.0, B: math.nan})
    assert history.of(A) == [1.0]
    assert history.of(B) == [12.3457, None, None], "no digits that nobody has measured"
    assert numeric(10**400) is None and numeric("1") is None and numeric(True) == 1.0


def test_the_memory_of_a_full_history_is_what_its_description_says() -> None:
    tracemalloc.start()
    try:
        history = History()
        for _ in range(SAMPLES + 1):
            names = (("point", "interface", f"device{number}", "temperature") for number in range(MOST_SERIES + 500))
            history.add({key: float(number) for number, key in enumerate(names)})
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert history.series == MOST_SERIES
    assert size < 2.5e6


def test_counters_become_rates_and_one_that_began_anew_is_no_negative_rate() -> None:
    rates = Rates()
    assert rates.per_second({("in",): 100}, 10.0) == {}
    assert rates.per_second({("in",): 150, ("out",): 5}, 20.0) == {("in",): 5.0}
    assert rates.per_second({("in",): 0, ("out",): 25}, 30.0) == {("in",): 0.0, ("out",): 2.0}
    assert rates.per_second({("in",): 0}, 30.0) == {}


def test_the_good_values_of_a_gateway_are_sampled_until_the_page_is_closed(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interfaces={"dev": trial("Recorder")}, outbox={"store": "memory"})
    configuration = load_configuration(conf, {})
    (dev,) = configuration.interfaces
    gateway = Gateway(configuration._replace(interfaces=(dev._replace(devices=(TANK,)),)))
    history = History()
    with closing(gateway):
        host = gateway.hosts["dev"]
        reading = InternalMsg(device="tank", action="LEVEL", arguments={"percent": 50.5, "pump": True, "mode": "x"})
        host.outlet.push(reading)
        sampler = Sampler(Source(gateway), history, interval=0.01)
        try:
            level, pump, mode = (("point", "dev", "tank", key) for key in ("level", "pump", "mode"))
            wait_until(lambda: history.of(level)[-1:] == [50.5] and history.of(pump)[-1:] == [1.0])
            assert history.of(mode) == [], "a text has no history"
            host.devices.lose_all("unplugged")
            wait_until(lambda: history.of(level)[-1:] == [None], what="a gap: nobody knows whether it is still so")
            wait_until(lambda: 0.0 in history.of(("out",)) and len(history.of(("frames", "dev"))) > 1)
        finally:
            sampler.close()
        assert history.of(("outbox",))[-1] == 1.0
