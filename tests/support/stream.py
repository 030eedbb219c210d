"""A stream of numbered statuses: load interface, gateway, proxy, broker, witness; and the verdict on what arrived.

    with Stream(tmp_path, broker.port, count=1000) as stream:
        stream.start()
        stream.wait_seen(200)
        ...                          # a fault
        stream.finish()              # checks that all statuses were accepted and have arrived, in order

The proxy can break the link, and observes the acknowledgements of the broker.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.broker import Mosquitto
from tests.support.configuration import write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.ledger import Entry, Verdict, entries_in, entries_of, entry_of, judge
from tests.support.packets import PUBACK, PUBLISH, Packet
from tests.support.proxy import Passage, Proxy
from tests.support.waiting import wait_until
from tests.support.witness import Witness

LOAD = Path(__file__).parent / "load_interface.py"


def load(folder: Path, **options: Any) -> dict[str, Any]:
    """Return the options of a load interface whose journal is in `folder`."""
    return {"type": f"{LOAD}:Load", "journal": str(folder / "accepted"), **options}


def recorder(folder: Path, **options: Any) -> dict[str, Any]:
    """Return the options of an interface that records its commands."""
    return {"type": f"{LOAD}:CommandRecorder", "journal": str(folder / "done"), **options}


def lines(file: Path) -> list[str]:
    """Return the lines of a journal; none if it does not exist yet."""
    return file.read_text().splitlines() if file.exists() else []


class Stream:
    """The gateway, from `start` on, and the statuses that it has accepted and delivered.

    `passages` is the script of the proxy; `port` is that of a broker, to which a witness subscribes unless `seen`
    returns what the broker has received. `mqtt` and `conf` are options of the configuration, `more` are further
    interfaces, and `options` are those of the load interface.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *passages: Passage,
        seen: Callable[[], Sequence[tuple[str, bytes]]] | None = None,
        mqtt: dict[str, Any] | None = None,
        conf: dict[str, Any] | None = None,
        more: dict[str, Any] | None = None,
        seed: int = 1,
        direct: bool = False,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.journal = folder / "accepted"
        self.proxy = Proxy(port, *passages, seed=seed, on_packet=self._on_packet)
        self.witness = Witness(port) if seen is None else None
        self.gateway: GatewayProcess | None = None
        self.acknowledged: list[Entry] = []
        self._seen = seen
        self._count = options.get("count", 0)
        self._in_flight: dict[tuple[int, bytes], Entry] = {}
        interfaces = {"load": load(folder, **options), **(more or {})}
        # Retry as often as the configuration allows, and detect a dead link soon.
        mqtt = {"reconnect_max": 0.1, "keepalive": 2, **(mqtt or {})}
        self.conf = write_conf(folder, port if direct else self.proxy.port, mqtt=mqtt, interfaces=interfaces,
                               **(conf or {}))  # fmt: skip
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stream:
        self._stack.enter_context(self.proxy)
        if self.witness is not None:
            try:
                self._stack.enter_context(self.witness)
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.gateway is not None:
            self.gateway.kill()
        self._stack.close()

    def start(self, **process: Any) -> GatewayProcess:
        """Start the gateway (again)."""
        self.gateway = GatewayProcess(self.conf, **process)
        return self.gateway

    def reconfigure(self, **options: Any) -> None:
        """Change options of the load interface, for the next start."""
        document = json.loads(self.conf.read_text())
        document["interfaces"]["load"].update(options)
        self.conf.write_text(json.dumps(document))

    def use_servers(self, *servers: str) -> None:
        """Bypass the proxy and use several brokers, from the next start on."""
        document = json.loads(self.conf.read_text())
        del document["mqtt"]["port"]
        document["mqtt"]["servers"] = servers
        self.conf.write_text(json.dumps(document))

    @property
    def log(self) -> str:
        return "" if self.gateway is None else self.gateway.log

    @property
    def accepted(self) -> list[Entry]:
        return entries_in(self.journal.read_text()) if self.journal.exists() else []

    @property
    def seen(self) -> list[Entry]:
        pairs = self._seen() if self.witness is None and self._seen is not None else self.witness_pairs()
        return entries_of(pairs)

    def witness_pairs(self) -> list[tuple[str, bytes]]:
        """Return all messages that the witness has received, of the load and others."""
        assert self.witness is not None
        return list(self.witness.pairs)

    def kill_broker(self, broker: Mosquitto) -> None:
        """Kill the broker; return once the witness has read everything that it had sent."""
        assert self.witness is not None
        broker.kill()
        self.proxy.refuse_connections()
        self.witness.wait_lost()

    def start_broker(self, broker: Mosquitto) -> None:
        """Start the broker again. No gateway connects to it before the witness does."""
        assert self.witness is not None
        broker.start()
        self.witness.wait_subscribed()
        self.proxy.accept_connections()

    def verdict(self) -> Verdict:
        """Return the verdict on everything so far."""
        return judge(self.accepted, self.seen, self.acknowledged)

    def wait_accepted(self, count: int, timeout: float = 20) -> None:
        """Return once the gateway has accepted `count` statuses; fail if it ends with an error before that."""

        def is_accepted() -> bool:
            is_complete = len(self.accepted) >= count
            assert is_complete or self.gateway is None or self.gateway.returncode in (None, 0), self._state()
            return is_complete

        wait_until(is_accepted, timeout, lambda: f"{count} accepted: {self._state()}", 0.02)

    def wait_seen(self, count: int, timeout: float = 20) -> None:
        """Return once the broker has passed on `count` more statuses."""
        total = len(self.seen) + count
        wait_until(lambda: len(self.seen) >= total, timeout, lambda: f"{total} to be seen: {self._state()}", 0.02)

    def finish(self, timeout: float = 20) -> Verdict:
        """Return the verdict, once the broker has all accepted statuses; fail if any is lost or out of order."""
        self.wait_accepted(self._count, timeout)
        accepted = self.accepted
        wait_until(
            lambda: set(accepted) <= {*self.seen, *self.acknowledged},
            timeout,
            lambda: f"the remaining statuses: {self._state()}",
            0.05,
        )
        # The broker may not yet have passed on everything that it has acknowledged.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: set(accepted) <= set(self.seen), 1.0, pause=0.05)
        verdict = self.verdict()
        assert verdict.is_ok, self._state()
        assert "Traceback" not in self.log, self.log
        return verdict

    def stop(self) -> float:
        """Stop the gateway with a signal; return how long it took (s)."""
        assert self.gateway is not None
        return self.gateway.stop()

    def _state(self) -> str:
        return f"{self.verdict()}\n{self.log[-3000:]}"

    def _on_packet(self, connection: int, is_up: bool, packet: Packet) -> None:
        """Record the acknowledgements of the broker."""
        if is_up and packet.kind == PUBLISH and packet.qos and (entry := entry_of(packet.topic, packet.payload)):
            self._in_flight[connection, packet.mid] = entry
        elif not is_up and packet.kind == PUBACK and packet.reason < 0x80:
            entry = self._in_flight.pop((connection, packet.mid), None)
            if entry is not None:
                self.acknowledged.append(entry)
