"""A stream of numbered statuses: load interface, gateway, proxy, broker, witness; and the verdict on what arrived.

    with Stream(tmp_path, broker.port, count=1000) as stream:
        stream.start()
        stream.wait_seen(200)
        ...                          # something bad
        stream.finish()              # all is accepted, and all that was accepted has arrived, in order

The proxy is the place to break the link, and to see what the broker has acknowledged.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.configuration import write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.ledger import Entry, Verdict, entries_in, entries_of, entry_of, judge
from tests.support.packets import PUBACK, PUBLISH, Packet
from tests.support.proxy import Passage, Proxy
from tests.support.waiting import wait_until
from tests.support.witness import Witness

LOAD = Path(__file__).parent / "load_interface.py"


def load(folder: Path, **options: Any) -> dict[str, Any]:
    """Return the options of a load interface that keeps its book in `folder`."""
    return {"type": f"{LOAD}:Load", "book": str(folder / "accepted"), **options}


def doer(folder: Path, **options: Any) -> dict[str, Any]:
    """Return the options of an interface that writes down the commands it is given."""
    return {"type": f"{LOAD}:Doer", "book": str(folder / "done"), **options}


def lines(file: Path) -> list[str]:
    """Return the lines of a book that need not be there yet."""
    return file.read_text().splitlines() if file.exists() else []


class Stream:
    """The gateway, from `start` on, and what it was given and has delivered.

    `passages` is the script of the proxy; `port` that of a broker, which a witness listens to unless `seen` says
    what the broker has got. Other options are of the load interface, `mqtt` and `outbox` of the configuration,
    `more` are interfaces beside that of the load.
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
        self.book = folder / "accepted"
        self.proxy = Proxy(port, *passages, seed=seed, on_packet=self._note)
        self.witness = Witness(port) if seen is None else None
        self.gateway: GatewayProcess | None = None
        self.acknowledged: list[Entry] = []
        self._seen = seen
        self._count = options.get("count", 0)
        self._flying: dict[tuple[int, bytes], Entry] = {}
        interfaces = {"load": load(folder, **options), **(more or {})}
        # Tries follow one another as fast as the configuration lets them, and a dead link is found out soon.
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
        """Go round the proxy, to several brokers, for the next start."""
        document = json.loads(self.conf.read_text())
        del document["mqtt"]["port"]
        document["mqtt"]["servers"] = servers
        self.conf.write_text(json.dumps(document))

    @property
    def log(self) -> str:
        return "" if self.gateway is None else self.gateway.log

    @property
    def accepted(self) -> list[Entry]:
        return entries_in(self.book.read_text()) if self.book.exists() else []

    @property
    def seen(self) -> list[Entry]:
        pairs = self._seen() if self.witness is None and self._seen is not None else self.witness_pairs()
        return entries_of(pairs)

    def witness_pairs(self) -> list[tuple[str, bytes]]:
        """Return all that the witness has seen, statuses of the load and others."""
        assert self.witness is not None
        return list(self.witness.pairs)

    def verdict(self) -> Verdict:
        """Judge what has happened up to now."""
        return judge(self.accepted, self.seen, self.acknowledged)

    def wait_accepted(self, count: int, timeout: float = 20) -> None:
        """Return once the gateway has accepted `count` statuses; fail if it ends before by itself."""

        def there() -> bool:
            found = len(self.accepted) >= count
            assert found or self.gateway is None or self.gateway.returncode in (None, 0), self._state()
            return found

        wait_until(there, timeout, lambda: f"{count} accepted: {self._state()}", 0.02)

    def wait_seen(self, count: int, timeout: float = 20) -> None:
        """Return once the broker has passed on `count` more statuses than now."""
        wanted = len(self.seen) + count
        wait_until(lambda: len(self.seen) >= wanted, timeout, lambda: f"{wanted} to be seen: {self._state()}", 0.02)

    def finish(self, timeout: float = 20) -> Verdict:
        """Return the verdict, once all is accepted and the broker has it: nothing may be lost, or out of order."""
        self.wait_accepted(self._count, timeout)
        accepted = self.accepted
        wait_until(
            lambda: set(accepted) <= {*self.seen, *self.acknowledged},
            timeout,
            lambda: f"the rest: {self._state()}",
            0.05,
        )
        # What the broker has acknowledged it may be about to pass on.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: set(accepted) <= set(self.seen), 1.0, pause=0.05)
        verdict = self.verdict()
        assert verdict.is_good, self._state()
        assert "Traceback" not in self.log, self.log
        return verdict

    def stop(self) -> float:
        """Stop the gateway in order; return how long it took (s)."""
        assert self.gateway is not None
        return self.gateway.stop()

    def _state(self) -> str:
        return f"{self.verdict()}\n{self.log[-3000:]}"

    def _note(self, connection: int, is_up: bool, packet: Packet) -> None:
        """Write down what the broker acknowledges."""
        if is_up and packet.kind == PUBLISH and packet.qos and (entry := entry_of(packet.topic, packet.payload)):
            self._flying[connection, packet.mid] = entry
        elif not is_up and packet.kind == PUBACK and packet.reason < 0x80:
            entry = self._flying.pop((connection, packet.mid), None)
            if entry is not None:
                self.acknowledged.append(entry)
