"""The network between gateway and broker: a forwarder that can be cut and restored."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from types import TracebackType

import pytest

from tests.support.broker import free_port
from tests.support.waiting import wait_until


class Cable:
    """Forwards `port` to the broker's port (with socat), until it is cut."""

    def __init__(self, broker_port: int) -> None:
        if shutil.which("socat") is None:
            if os.environ.get("CI") == "true":
                pytest.fail("socat is missing: apt install socat")
            pytest.skip("socat is missing: apt install socat")
        self.port = free_port()
        self._command = ["socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,fork,reuseaddr",
                         f"TCP:127.0.0.1:{broker_port}"]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cable:
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def restore(self) -> None:
        self._process = subprocess.Popen(self._command, start_new_session=True, stderr=subprocess.DEVNULL)
        wait_until(self._is_listening, what="socat to listen")

    def cut(self) -> None:
        """Close all connections, and accept no more."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
