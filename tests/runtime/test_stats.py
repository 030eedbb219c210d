"""The counters of a gateway: what stats() holds, that the stop line prints it, and that no lock delays a reader."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.core.backoff import Backoff
from gateway.core.inbox import MsgList
from gateway.interface import Interface
from gateway.message import InternalMsg, Publication
from gateway.outbox.outbox import Outbox
from gateway.runtime.stats import in_words, summary, total, valid_counters
from gateway.runtime.supervisor import Supervisor
from gateway.start_gateway import Gateway
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.desk import Desk
from tests.support.docs import page, rows
from tests.support.gateway_process import GatewayProcess, run_command
from tests.support.waiting import wait_until

PARTS = {"mqtt", "outbox", "routing", "interfaces", "removed_interfaces", "home_assistant", "log"}

COUNTER_NAME = re.compile(r"[a-z][a-z0-9_]*")


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return path and value of everything in nested mappings that is no mapping."""
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for name, inner in value.items() for leaf in leaves(inner, (*path, name))]


# --- how they are put together


def test_only_integers_with_a_name_are_counters() -> None:
    assert valid_counters({"frames": 3, "open": True, "rate": 0.5, 7: 7, "state": "ok"}) == {"frames": 3}
    assert valid_counters(None) == {}
    assert valid_counters(["frames"]) == {}
    assert len(valid_counters({f"c{number}": number for number in range(10_000)})) == 200


def test_a_number_that_is_no_count_of_anything_is_no_counter() -> None:
    # Python refuses to write an integer of more than 4,300 digits, so status and the last line of the log would fail.
    assert valid_counters({"frames": 2**63 - 1, "bytes": 2**63, "huge": 10**5000, "low": -(10**5000)}) == {
        "frames": 2**63 - 1
    }


def test_the_counters_of_interfaces_add_up() -> None:
    one = {"pushed": 3, "failures": 1, "device": {"frames": 5}}
    other = {"pushed": 4, "device": {"frames": 1, "bytes": 9}}
    assert total([one, other]) == {"pushed": 7, "failures": 1, "device": {"frames": 6, "bytes": 9}}
    assert total([]) == {}
    assert total([{}, {}]) == {}


def test_counters_in_words_leave_out_those_that_are_0() -> None:
    assert in_words({"pushed": 12, "refused": 0, "commands_unanswered": 3}) == "12 pushed, 3 commands unanswered"


def test_the_summary_names_every_counter_that_is_not_0() -> None:
    stats: dict[str, dict[str, Any]] = {
        "mqtt": {"connects": 2},
        "outbox": {"accepted": 9, "file_commits": 3, "file_write_errors": 0, "file_disk_free_bytes": 4096},
        "routing": {"received": 5, "queued_command": 1},
        "interfaces": {"hall": {"pushed": 1, "device": {"frames": 4}}, "door": {"pushed": 2, "device": {}}},
        "removed_interfaces": {"pushed": 10, "device": {"frames": 1}},
        "home_assistant": {"documents": 4, "documents_refused": 0},
        "log": {"lines_suppressed": 0, "errors_suppressed": 8},
    }
    assert summary(stats) == (
        "received: 5 received, 1 queued command; link: 2 connects; outbox file: 3 commits; interfaces: 13 pushed; "
        "devices: 5 frames; home assistant: 4 documents; log: 8 errors suppressed"
    )


def test_the_summary_of_nothing() -> None:
    stats: dict[str, dict[str, Any]] = {name: {} for name in PARTS}
    assert summary(stats) == "received: nothing"


# --- of a gateway that runs


class Running:
    """A gateway in a thread."""

    def __init__(self, conf: Path) -> None:
        self.gateway = Gateway(load_configuration(conf, {}), lambda: load_configuration(conf, {}))
        self._thread = threading.Thread(target=self.gateway.run, name="main of the gateway")
        self._thread.start()

    def stop(self) -> None:
        self.gateway.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.gateway.close()


def numbers_in(line: str) -> dict[str, int]:
    """Return the figures in a stop line, by part and by words."""
    _, _, counts = line.partition("stopped; ")
    figures = {}
    for part in counts.split("; "):
        title, _, words = part.partition(": ")
        for number, words_of_one in re.findall(r"(\d+) ([a-z ]+)", words):
            figures[f"{title}: {words_of_one}"] = int(number)
    return figures


def figures_of(stats: dict[str, Any]) -> dict[str, int]:
    """Return the figures that the stop line should have, by the same names."""
    sent = {"delivered": "delivered", "superseded": "superseded by newer ones", "dropped_old": "dropped as the oldest",
            "refused_new": "refused as the newest", "expired": "expired", "dead_letters": "dead letters",
            "not_accepted": "not accepted", "dead_letters_dropped": "dead letters dropped"}  # fmt: skip
    figures = {f"sent: {words}": stats["outbox"][name] for name, words in sent.items()}
    interfaces = total([*stats["interfaces"].values(), stats["removed_interfaces"]])
    devices = interfaces.pop("device", {})
    file = {name.removeprefix("file_"): number for name, number in stats["outbox"].items()
            if name.startswith("file_") and name != "file_disk_free_bytes"}  # fmt: skip
    parts = {
        "received": stats["routing"], "link": stats["mqtt"], "outbox file": file, "interfaces": interfaces,
        "devices": devices, "home assistant": stats["home_assistant"], "log": stats["log"],
    }  # fmt: skip
    for title, counters in parts.items():
        figures |= {f"{title}: {name.replace('_', ' ')}": number for name, number in counters.items()}
    return {name: number for name, number in figures.items() if number or name == "sent: delivered"}


def test_the_stop_line_prints_the_figures_of_stats(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    expected_logs.expect("the interface failed and will be restarted", "commands answered with OFFLINE", "dropped: ")
    interfaces = {"hall": trial("Ticker", interval=0.01), "bad": trial("Failing", failures=1000),
                  "counts": trial("Counting"), "gone": trial("Counting")}  # fmt: skip
    outbox = {"file": "gw.outbox"}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces, outbox=outbox)
    running = Running(conf)
    gateway = running.gateway
    try:
        with mosquitto.client("home/#") as listener:
            wait_until(lambda: gateway.client.is_subscribed)
            wait_until(lambda: gateway.stats()["interfaces"]["bad"]["failures"])
            listener.publish("home/x////me/C", "GO")
            listener.publish("home/x////me/C", "{")
            wait_until(lambda: gateway.stats()["interfaces"]["bad"]["commands_unanswered"])
            wait_until(lambda: gateway.stats()["interfaces"]["gone"]["device"].get("commands") == 1)
            wait_until(lambda: gateway.stats()["outbox"]["delivered"] > 20)
            write_conf(tmp_path, mosquitto.port, outbox=outbox,
                       interfaces={name: each for name, each in interfaces.items() if name != "gone"})  # fmt: skip
            gateway.reload()
            wait_until(lambda: "gone" not in gateway.stats()["interfaces"])
            wait_until(lambda: gateway.stats()["removed_interfaces"].get("device", {}).get("commands") == 1)
    finally:
        running.stop()
    stats = gateway.stats()
    (line,) = [message for message in caplog.messages if message.startswith("stopped; ")]
    assert numbers_in(line) == figures_of(stats)
    assert figures_of(stats)["devices: commands"] == 2, "of the one that runs and of the one that was removed"
    assert {"sent: delivered", "received: received", "link: connects", "interfaces: failures"} <= set(numbers_in(line))
    assert stats["outbox"]["accepted"] == stats["outbox"]["delivered"] + stats["outbox"]["superseded"]


def test_stats_have_one_form(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Counting"), outbox={"file": "gw.outbox"})
    running = Running(conf)
    try:
        wait_until(lambda: running.gateway.client.is_subscribed)
        stats = running.gateway.stats()
    finally:
        running.stop()
    assert set(stats) == PARTS
    assert set(stats["interfaces"]) == {"trial_interface"}
    assert {"pushed", "refused", "failures", "restarts", "commands_unanswered", "inbox_waiting", "device"} <= set(
        stats["interfaces"]["trial_interface"]
    )
    assert {"lines_suppressed", "lines_repeated", "errors_suppressed"} == set(stats["log"])
    table = next(
        part for part in page("docs/operations.md").section("## Counters").split("\n\n") if "in `mqtt`" in part
    )
    described = [name for cells in rows(table) for name in re.findall(r"`([a-z_]+)`", cells[0])]
    assert sorted(described) == sorted(stats["mqtt"])
    wrong = [(path, value) for path, value in leaves(stats) if value != {} and type(value) is not int]
    assert wrong == []
    names = [name for path, _ in leaves({k: v for k, v in stats.items() if k != "interfaces"}) for name in path]
    assert [name for name in names if not COUNTER_NAME.fullmatch(name)] == []
    assert json.loads(json.dumps(stats)) == stats


def test_status_as_json_has_them(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        status = json.loads(run_command(conf, "status", "--json").stdout)
        assert set(status["stats"]) == PARTS
        assert status["stats"]["mqtt"]["connects"] == status["link"]["connects"] == 1
        gateway.stop()


def test_traffic_goes_on_while_another_thread_reads_them(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval=0.001))
    running = Running(conf)
    stats = running.gateway.stats
    try:
        wait_until(lambda: stats()["outbox"]["delivered"] > 10)
        delivered, until, reads = stats()["outbox"]["delivered"], time.monotonic() + 1, 0
        while time.monotonic() < until:
            stats()
            reads += 1
        assert stats()["outbox"]["delivered"] > delivered + 10
        assert reads > 100
    finally:
        running.stop()


class StoppedClock:
    """A clock that does not return while it is stopped: a thread that asks it for the time keeps its locks."""

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.goes.set()
        self.is_asked = threading.Event()

    def __call__(self) -> float:
        if not self.goes.is_set():
            self.is_asked.set()
            assert self.goes.wait(20)
        return 0.0


def outbox_in_use(clock: StoppedClock) -> tuple[Callable[[], object], Callable[[], dict[str, int]]]:
    outbox = Outbox(clock=clock)
    return lambda: outbox.track_in_flight([Publication("home/x", b"1", 0)]), outbox.stats


def inbox_in_use(clock: StoppedClock) -> tuple[Callable[[], object], Callable[[], dict[str, int]]]:
    inbox = MsgList(clock=clock)
    return lambda: inbox.push(InternalMsg(iscmd=True, action="GO")), inbox.stats


@pytest.mark.parametrize("make", [outbox_in_use, inbox_in_use])
def test_reading_them_does_not_wait_for_the_locks_of_the_data_path(
    make: Callable[[StoppedClock], tuple[Callable[[], object], Callable[[], dict[str, int]]]],
) -> None:
    clock = StoppedClock()
    work, stats = make(clock)
    worker = threading.Thread(target=work)
    results: list[dict[str, int]] = []
    reader = threading.Thread(target=lambda: results.append(stats()))
    clock.goes.clear()
    worker.start()
    try:
        assert clock.is_asked.wait(10), "it asks for the time while it holds its lock"
        reader.start()
        reader.join(5)
        assert results, "stats() waits for a lock"
    finally:
        clock.goes.set()
        worker.join(10)
        reader.join(10)


@pytest.mark.parametrize("err", [RuntimeError("not open"), SystemExit(3)])
def test_what_the_code_of_an_interface_gets_wrong_costs_only_its_own_counters(
    err: BaseException, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(f"dev: its stats() failed: {err!r}")
    desk = Desk()

    class Wrong(Interface):
        waits_itself = True

        def loop(self) -> None:
            self.msglist_in.pull(block=True)

        def stats(self) -> dict[str, int]:
            raise err

    supervisor = Supervisor("dev", lambda: Wrong({}, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    supervisor.start()
    desk.wait_availability("online")
    assert supervisor.device_stats() == {}
    supervisor.request_stop()
    assert supervisor.join(10)


def test_an_interface_that_hangs_keeps_nobody_who_asks_for_its_counters() -> None:
    """`status` must answer also while a call hangs with the lock that the counters wait for."""
    desk = Desk()
    lock, may_hang, may_end = threading.Lock(), threading.Event(), threading.Event()

    class Hanging(Interface):
        def loop(self) -> None:
            may_hang.wait(20)
            with lock:
                may_end.wait(20)

        def stats(self) -> dict[str, int]:
            with lock:  # which it holds while it hangs
                return {"frames": 1}

    supervisor = Supervisor("dev", lambda: Hanging({}, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    supervisor.start()
    try:
        wait_until(lambda: supervisor.device_stats() == {"frames": 1})
        may_hang.set()
        wait_until(lock.locked)
        before = threading.active_count()
        assert [supervisor.device_stats() for _ in range(3)] == [{"frames": 1}] * 3
        assert threading.active_count() == before + 1, "one waits for it, and not one for each question"
    finally:
        supervisor.request_stop()
        may_hang.set()
        may_end.set()
        assert supervisor.join(10)
    wait_until(lambda: not any(thread.name == "dev stats" for thread in threading.enumerate()))


def test_an_interface_that_was_abandoned_is_not_asked_for_its_counters() -> None:
    desk = Desk()
    lock, may_end = threading.Lock(), threading.Event()

    class Hanging(Interface):
        def loop(self) -> None:
            with lock:
                may_end.wait(20)

        def stats(self) -> dict[str, int]:
            with lock:  # which it holds while it hangs
                return {"frames": 1}

    supervisor = Supervisor("dev", lambda: Hanging({}, desk.inbox, desk.outlet), desk.inbox, desk.outlet)
    supervisor.start()
    wait_until(lock.locked)
    supervisor.request_stop()
    assert not supervisor.join(0.01)
    results: list[dict[str, int]] = []
    reader = threading.Thread(target=lambda: results.append(supervisor.device_stats()))
    reader.start()
    try:
        reader.join(2)
        assert results == [{}], "the gateway could never stop"
    finally:
        may_end.set()
        reader.join(10)
        assert supervisor.join(10)


def test_an_interface_that_is_built_again_counts_on(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: the interface failed and will be restarted: ValueError: bad")
    desk = Desk()

    class Counting(Interface):
        waits_itself = True

        def loop(self) -> None:
            if supervisor.failures < 2:
                raise ValueError("bad")
            self.msglist_in.pull(block=True)

        def stats(self) -> dict[str, int]:
            return {"opened": 1}

    backoff = Backoff(1.0, 1.0, uniform=lambda _low, _high: 0.0)
    supervisor = Supervisor("dev", lambda: Counting({}, desk.inbox, desk.outlet), desk.inbox, desk.outlet, backoff)
    supervisor.start()
    wait_until(lambda: supervisor.device_stats() == {"opened": 3})
    assert supervisor.stats() == {"failures": 2, "restarts": 2, "commands_unanswered": 0}
    supervisor.request_stop()
    assert supervisor.join(10)
    assert supervisor.device_stats() == {"opened": 3}
