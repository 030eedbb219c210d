"""Keeps outside of the machine what the machine under test says: what was accepted, and how its outbox was."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tests.support.ledger import entries_in


class Collector:
    """Listens on `port` of the loopback, and appends to `journal` what loads have accepted (see remote_load.py).

    `outboxes` has what was found in the outbox file at each start (see check_outbox.py), and `rate` is that of loads
    that start from now on.
    """

    def __init__(self, journal: Path, rate: float) -> None:
        self.rate = rate
        self.outboxes: list[str] = []
        self._journal = journal
        self._journal.touch()
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, name="collector")

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        self.wait_idle()

    def wait_idle(self) -> None:
        """Return once everything has arrived that a dead machine has sent."""
        for thread in self._threads:
            thread.join(10)
        self._threads, self._socks = [], []

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._listen, args=(sock,), name="collector of one connection")
            self._socks.append(sock)
            self._threads.append(thread)
            thread.start()

    def _listen(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as lines:
            first = lines.readline().decode().strip()
            if first == "load":
                last = max((number for _, number in entries_in(self._journal.read_text())), default=-1)
                sock.sendall(f"{last} {self.rate}\n".encode())
                self._keep(lines)
            elif first.startswith("outbox "):
                result = first.removeprefix("outbox ")
                if result != "missing" or self._journal.stat().st_size:  # it need not be there before the first status
                    self.outboxes.append(result)

    def _keep(self, lines: BinaryIO) -> None:
        with self._journal.open("ab", buffering=0) as journal:
            for line in lines:
                if line.endswith(b"\n"):  # not the part of a line that was under way
                    journal.write(line)
