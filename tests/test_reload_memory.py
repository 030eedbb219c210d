"""Memory after reloads that remove an interface."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.supervisor import Supervisor
from gateway.start_gateway import Gateway
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.waiting import wait_until


class Running:
    """A gateway that runs in a thread; each `reload` replaces one of its interfaces by another."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.number = 0
        self.gateway = Gateway(self.load(), self.load)
        self.thread = threading.Thread(target=self.gateway.run)
        self.thread.start()

    @property
    def names(self) -> set[str]:
        return {"stays", f"shed{self.number}"}

    def load(self) -> Configuration:
        interfaces = {name: trial("Recorder") for name in self.names}
        return load_configuration(write_conf(self.folder, self.port, interfaces=interfaces), {})

    def reload(self) -> None:
        self.number += 1
        self.gateway.reload()
        wait_until(lambda: set(self.gateway.hosts) == self.names, pause=0.002)
        wait_until(lambda: {"stays", f"shed{self.number}"} <= {thread.name for thread in threading.enumerate()})
        gc.unfreeze()  # objects that existed at the start may be freed as well
        name = f"shed{self.number - 1}"
        wait_until(lambda: name not in {thread.name for thread in threading.enumerate()}, pause=0.002)

    def close(self) -> None:
        self.gateway.stop()
        self.thread.join(20)
        self.gateway.close()
        gc.unfreeze()


@pytest.fixture
def running(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Running]:
    gateway = Running(tmp_path, mosquitto.port)
    yield gateway
    gateway.close()


def sheds() -> list[str]:
    """Return the names of the interfaces of these tests that are still in memory."""
    gc.collect()
    hosts = [thing.options.name for thing in gc.get_objects() if isinstance(thing, InterfaceHost)]
    supervisors = [thing.name for thing in gc.get_objects() if isinstance(thing, Supervisor)]
    return sorted({name for name in (*hosts, *supervisors) if name.startswith("shed")})


def test_a_removed_interface_is_freed(running: Running) -> None:
    for _ in range(5):
        running.reload()
    wait_until(lambda: sheds() == ["shed5"], what=lambda: f"one of them, not {sheds()}")


def allocated() -> int:
    """Return the bytes that the gateway's own code has allocated and not freed."""
    snapshot = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(True, f"{Path(gateway.__file__).parent}/*")]
    )
    return sum(trace.size for trace in snapshot.traces)


def test_memory_does_not_grow_with_each_removed_interface(running: Running) -> None:
    rounds = 30
    for _ in range(10):
        running.reload()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):  # fills the buffers with the last few reloads
            running.reload()
        gc.collect()
        initial = allocated()
        for _ in range(rounds):
            running.reload()
        wait_until(lambda: sheds() == [f"shed{running.number}"])

        def growth() -> float:
            gc.collect()
            return (allocated() - initial) / rounds

        # What the last reload has left behind is freed a little later. 22 KiB when nothing was freed.
        wait_until(lambda: growth() < 2000, what=lambda: f"{growth():.0f} bytes for each reload")
    finally:
        tracemalloc.stop()
