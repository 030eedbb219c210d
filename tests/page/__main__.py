"""The command `python -m tests.page [--minutes N] [--screenshots FOLDER] [TRIAL ...]`: trials that take long.

hour: each view is open while 2,000 lines/s pass; its memory must not grow. tabs: 20 windows lock nobody out. slow: a
reader that lags is told how much it has missed. Screenshots show each view, light, dark and on a phone.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.broker import Mosquitto
from tests.support.browser import DESK, PHONE, Browser, Tab
from tests.support.house import House
from tests.support.waiting import wait_until

DEVICE = "#device?interface=serial&device=planted-boiler"
VIEWS = {
    "overview": "#overview",
    "device": DEVICE,
    "live": "#live",
    "unknown": "#unknown",
    "workbench": "#workbench",
}
_RATE, _CHUNK = 2000, 20  # lines/s, and in a write
_MOST_GROWTH = 8.0  # MiB of a view, from its first third to its end
_MOST_NODES = 30_000


class Traffic:
    """A device that talks all the time."""

    def __init__(self, house: House, rate: int = _RATE) -> None:
        self._house, self._rate = house, rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self.count = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _talk(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(max(0.0, began + self.count / self._rate - time.monotonic())):
            lines = [self._line(self.count + at) for at in range(_CHUNK)]
            self._house.line.write("".join(lines).encode())
            self.count += _CHUNK

    def _line(self, number: int) -> str:
        if number % 100 == 50:
            return f"odd {number}\n"
        if number % 100 == 75:
            return f"H{number // 100 % 2}\n"
        return f"T {20 + number % 977 / 100}\n"


@contextlib.contextmanager
def visited(folder: Path) -> Iterator[tuple[Browser, House]]:
    """A browser, and a house whose page it can show."""
    with Mosquitto(folder) as broker, House(folder, broker) as house, Browser(folder) as browser:
        yield browser, house


def hour(browser: Browser, house: House, minutes: float) -> list[str]:
    """Leave each view open, and measure the memory of its tab."""
    wrong = []
    each = minutes * 60 / len(VIEWS)
    with Traffic(house) as traffic:
        for name, view in VIEWS.items():
            with browser.tab(house.page.address + view) as tab:
                before, began = traffic.count, time.monotonic()
                wait_until(lambda began=began, each=each: time.monotonic() > began + each / 3, each + 60, pause=0.5)  # type: ignore[misc]
                first = _memory(tab)
                wait_until(lambda began=began, each=each: time.monotonic() > began + each, each + 60, pause=0.5)  # type: ignore[misc]
                last = _memory(tab)
                print(
                    f"{name}: {traffic.count - before:,} lines in {each:.0f} s; memory {first[0]:.1f} MiB after a "
                    f"third, {last[0]:.1f} MiB at the end, {last[1]:,.0f} nodes",
                    flush=True,
                )
                if last[0] - first[0] > _MOST_GROWTH or last[1] > _MOST_NODES:
                    wrong.append(f"{name} grows")
    return wrong


def _memory(tab: Tab) -> tuple[float, float]:
    """Return the memory of the scripts of a tab (MiB), and its nodes, without what is no longer used."""
    tab.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    tab.driver.execute_cdp_cmd("Performance.enable", {})
    metrics = {
        each["name"]: each["value"] for each in tab.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    }
    return metrics["JSHeapUsedSize"] / 1024**2, metrics["Nodes"]


def tabs(browser: Browser, house: House, minutes: float) -> list[str]:
    """Show the page in 20 windows, all of which ask; it must still answer soon, here and in another one."""
    del minutes
    with Traffic(house), browser.tab(house.page.address) as first:
        for number in range(20):
            browser.driver.switch_to.new_window("window")
            browser.driver.get(house.page.address + list(VIEWS.values())[number % 3])
        longest = 0.0
        for _ in range(30):
            began = time.monotonic()
            assert house.fetch("/api/overview").status == 200
            longest = max(longest, time.monotonic() - began)
        browser.driver.switch_to.window(first.handle)
        began = time.monotonic()
        browser.driver.get(house.page.address)
        first.wait_text("Boiler", 30)
        shown = time.monotonic() - began
    print(f"20 windows: others are answered within {longest * 1000:.0f} ms; one more shows in {shown:.1f} s")
    return [] if longest < 3 and shown < 10 else ["20 windows hold others up"]


def slow(browser: Browser, house: House, minutes: float) -> list[str]:
    """Read the live view much slower than it grows: what is missed is counted exactly."""
    del browser, minutes
    after = house.fetch("/api/live?after=-1").json["next"]
    start, seen, missed = after, 0, 0
    with Traffic(house):
        for _ in range(5):
            pause = time.monotonic() + 3
            wait_until(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
            news = house.fetch(f"/api/live?after={after}&wait=0").json
            seen, missed, after = seen + len(news["notes"]), missed + news["missed"], news["next"]
    print(f"a slow reader: {after - start:,} messages, {seen:,} seen and {missed:,} missed, as it is told")
    return [] if seen + missed == after - start and missed else ["a slow reader is not told what it has missed"]


def screenshots(browser: Browser, house: House, folder: Path) -> None:
    """Write how each view looks: light, dark, and on a phone."""
    house.say("N all is well")
    with Traffic(house, 20):
        for name, view in VIEWS.items():
            for kind, size, scheme in (("light", DESK, "light"), ("dark", DESK, "dark"), ("phone", PHONE, "light")):
                with browser.tab(house.page.address + view, size, scheme) as tab:
                    began = time.monotonic()
                    wait_until(lambda began=began: time.monotonic() > began + 4)  # type: ignore[misc]
                    tab.screenshot(folder / f"{name}-{kind}.png")
    print(f"screenshots: {folder}")


TRIALS = {"hour": hour, "tabs": tabs, "slow": slow}


def main() -> int:
    """Run the trials that are named; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.page", description="Trials of the page that take long.")
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"any of {', '.join(TRIALS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the views are open together (default 5)")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="write how each view looks")
    options = parser.parse_args()
    logging.getLogger("mqttgateway").setLevel(logging.ERROR)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="page-") as folder, visited(Path(folder)) as (browser, house):
        if options.screenshots:
            options.screenshots.mkdir(parents=True, exist_ok=True)
            screenshots(browser, house, options.screenshots)
        for name in options.trials or ([] if options.screenshots else TRIALS):
            wrong += TRIALS[name](browser, house, options.minutes)
    for each in wrong:
        print(f"WRONG: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
