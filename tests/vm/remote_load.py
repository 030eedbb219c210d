"""The load in the machine under test. What it has to remember leaves the machine, before its power is cut."""

from __future__ import annotations

import socket

from tests.support.load_interface import Load


class RemoteLoad(Load):
    """A load whose `journal` is a collector, as HOST:PORT. That knows the last number, and the rate."""

    def open_journal(self) -> tuple[int, int]:
        """Connect to the collector."""
        host, _, port = self.params["journal"].partition(":")
        sock = socket.create_connection((host, int(port)), 30)
        sock.sendall(b"load\n")
        last, rate = sock.makefile().readline().split()
        self.params = {**self.params, "rate": float(rate)}
        sock.settimeout(None)
        return sock.detach(), int(last)
