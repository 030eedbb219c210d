"""What the page costs: how long it takes to answer, what a line costs while it is open, its memory and its bytes."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from benchmarks import contenders
from benchmarks.device import Device
from benchmarks.lab import Lab, cpu_seconds, resident_kib
from benchmarks.report import Figures, Metric, WrongResultError, median, median_ratio, percentile
from benchmarks.rounds import run_rounds
from benchmarks.topics import lines
from gateway.page.files import file_routes
from gateway.web.access import Visitor
from gateway.web.app import Content, Request
from tests.support.broker import free_port

_RATE, _CHUNK = 2000, 20  # lines/s, and in a write
_LOOK = 1.0  # s between two looks of a browser at the overview
_PAUSE = 1.0  # s until a browser asks again that was answered at once with nothing
_WAIT = 15  # s that a browser waits for news
_NONE, _IDLE, _ONE, _TWELVE = "no page", "page, nobody looks", "1 browser", "12 browsers"
_IMPORTS = {
    "without an extra": "",
    "web: waitress and the page": "import gateway.page.host",
    "metrics: prometheus_client": "import prometheus_client",
}


def run(lab: Lab) -> None:
    """Measure the page with browsers that ask as its scripts do."""
    seconds = 3.0 if lab.fast else 10.0
    print(
        f"page: {_RATE:,} lines/s from a pty for {seconds:g} s, QoS 0. A browser asks for the overview each second and"
    )
    print(
        f"  waits for news of the live view with its cursor, up to {_WAIT} s. Times of the overview, as a browser sees"
    )
    print("  them; processor time of the whole gateway.")
    metrics = [Metric("processor", "us/line", 1), Metric("VmRSS", "MiB", 1)]
    samples = run_rounds(
        lab,
        {
            _NONE: lambda: _round(lab, seconds, None),
            _IDLE: lambda: _round(lab, seconds, 0),
            _ONE: lambda: _round(lab, seconds, 1),
            _TWELVE: lambda: _round(lab, seconds, 12),
        },
        metrics,
    )
    for name in (_IDLE, _ONE, _TWELVE):
        ratio = median_ratio(samples[name], samples[_NONE], "processor")
        print(f"  a line's processor time, {name}: {ratio:.2f} times that without a page")
    for name in (_ONE, _TWELVE):
        p50, p99, shown = (median(samples[name], key) for key in ("p50", "p99", "shown"))
        print(f"  {name}: overview p50 {p50:.1f} ms, p99 {p99:.1f} ms; {shown:.0f} % of the lines shown live")
    _print_memory()
    _print_bytes()


class _Browser:
    """Asks as the page does, by two connections; `looks` are the seconds that the overview has taken."""

    def __init__(self, port: int, until: float) -> None:
        self.looks: list[float] = []
        self.shown = self.missed = 0
        self._port, self._until = port, until
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._look, self._follow)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_WAIT + 10)

    def _look(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while time.monotonic() < self._until:
            began = time.monotonic()
            _get(connection, "/api/overview")
            self.looks.append(time.monotonic() - began)
            time.sleep(_LOOK)
        connection.close()

    def _follow(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        after, wait = -1, 0
        while time.monotonic() < self._until:
            news = json.loads(_get(connection, f"/api/live?after={after}&wait={wait}"))
            if after >= 0:
                self.shown += len(news["notes"])
                self.missed += news["missed"]
            if wait and not news["notes"]:
                time.sleep(_PAUSE)
            after, wait = news["next"], min(_WAIT, max(1, int(self._until - time.monotonic())))
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    reply = connection.getresponse()
    data = reply.read()
    if reply.status != 200:
        raise WrongResultError(f"{path} was answered with {reply.status}: {data[:200]!r}")
    return data


def _round(lab: Lab, seconds: float, browsers: int | None) -> Figures:
    port = free_port()
    web = False if browsers is None else {"listen": f"127.0.0.1:{port}"}
    with (
        Device() as device,
        contenders.subscriber(lab) as listener,
        contenders.gateway(lab, listener, contenders.serial_options(device.path), 0, web=web) as process,
    ):
        if browsers is not None:
            _wait_for_page(port)
        count = int(seconds * _RATE)
        device_lines = lines(count)
        began = time.monotonic()
        used = cpu_seconds(process.pid)
        looking = [_Browser(port, began + seconds) for _ in range(browsers or 0)]
        for at in range(0, count, _CHUNK):
            time.sleep(max(0.0, began + at / _RATE - time.monotonic()))
            device.write(b"".join(device_lines[at : at + _CHUNK]))
        for browser in looking:
            browser.join()
        spent, memory = cpu_seconds(process.pid) - used, resident_kib(process.pid) / 1024
    looks = [each * 1000 for browser in looking for each in browser.looks]
    shown, missed = sum(each.shown for each in looking), sum(each.missed for each in looking)
    return {
        "p50": percentile(looks, 50) if looks else float("nan"),
        "p99": percentile(looks, 99) if looks else float("nan"),
        "processor": spent / count * 1e6,
        "shown": 100 * shown / (shown + missed) if shown else float("nan"),
        "VmRSS": memory,
    }


def _wait_for_page(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            _get(connection, "/api/session")
        except OSError as err:
            if time.monotonic() > deadline:
                raise WrongResultError(f"the page is not served: {err}") from err
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()


def _print_memory() -> None:
    """Print what the extras need in a process that has loaded the gateway."""
    print(
        "  memory of a process that has loaded the gateway, and what it takes more with an extra (VmRSS, median of 5):"
    )
    base = 0.0
    for name, statement in _IMPORTS.items():
        figures = sorted(_imported(statement) for _ in range(5))
        base = base or figures[2]
        print(f"    {name:28} {figures[2]:6.1f} MiB{f', {figures[2] - base:+.1f} MiB' if statement else ''}")


def _imported(statement: str) -> float:
    program = f"import gateway.start_gateway, os\n{statement}\nprint(open('/proc/self/status').read())"
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024


def _print_bytes() -> None:
    """Print what a browser loads the first time, without any compression."""
    request = Request({}, {}, Visitor(may_read=True, may_write=False, is_secure=True))
    sizes: dict[str, int] = {}
    for (_, path), route in file_routes().items():
        content = route.answer(request)
        if path != "/" and isinstance(content, Content):
            sizes[path] = len(content.data)
    total, kinds = sum(sizes.values()), _kinds(sizes)
    print(
        f"  bytes of the page: {total:,} in {len(sizes)} files ({kinds}), sent once: then each is asked for by its tag"
    )


def _kinds(sizes: dict[str, int]) -> str:
    kinds: Sequence[str] = sorted({path.rpartition(".")[2] for path in sizes})
    return ", ".join(f"{kind} {sum(n for path, n in sizes.items() if path.endswith(kind)):,}" for kind in kinds)
