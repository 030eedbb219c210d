"""The line to a simulated device: a pseudo-terminal under a path that stays the same, or a TCP port."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tty
from pathlib import Path
from typing import Protocol

from gateway.errors import GatewayError

_CHUNK = 65536


class Line(Protocol):
    """A line that comes and goes. `is_open`: somebody may be at its other end. Nothing waits, except `wait`."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""

    def plug_in(self) -> str:
        """Create the line; return what a configuration has to name it. Raises `GatewayError`."""

    def unplug(self) -> None:
        """Remove the line; a program that has it open gets an error."""

    def wait(self, seconds: float | None) -> bytes:
        """Return the bytes that arrive within this time, or none; None: however long that takes."""

    def write(self, data: bytes) -> int:
        """Send; return how many bytes were accepted: none, if nobody reads."""


class PtyLine:
    """A pseudo-terminal, to which a symbolic link leads."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._master = self._slave = -1

    @property
    def is_open(self) -> bool:
        """Whether the terminal exists; nobody knows whether a program has it open."""
        return self._master >= 0

    def plug_in(self) -> str:
        """Create the terminal and the link. Raises `GatewayError` if there is another file."""
        try:
            if self._link.is_symlink() and str(self._link.readlink()).startswith("/dev/pts/"):
                self._link.unlink()  # of a simulation that was killed
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self._link.symlink_to(os.ttyname(self._slave))
        except OSError as err:
            self._close()
            raise GatewayError(f"{self._link} cannot be created: {err.strerror}: choose another path") from err
        return f"port: {self._link.absolute()}"

    def unplug(self) -> None:
        """Remove the terminal and the link."""
        if self._master >= 0:
            with contextlib.suppress(OSError):
                self._link.unlink()
            self._close()

    def _close(self) -> None:
        for descriptor in (self._slave, self._master):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def wait(self, seconds: float | None) -> bytes:
        """Return the bytes that arrive within this time, or none."""
        select.select([self._master] if self._master >= 0 else [], [], [], seconds)
        with contextlib.suppress(OSError):
            return os.read(self._master, _CHUNK)
        return b""

    def write(self, data: bytes) -> int:
        """Send; return how many bytes were accepted."""
        with contextlib.suppress(OSError):
            return os.write(self._master, data)
        return 0


class TcpLine:
    """A TCP port of this machine, for one connection at a time: the newest one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener: socket.socket | None = None
        self._connection: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def plug_in(self) -> str:
        """Listen. Raises `GatewayError` if the port is not free."""
        try:
            self._listener = socket.create_server(("127.0.0.1", self._port))
        except OSError as err:
            reason = os.strerror(err.errno) if err.errno else str(err)
            raise GatewayError(f"port {self._port} cannot be opened: {reason}: choose another one") from err
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        return f"port: socket://127.0.0.1:{self._port}"

    def unplug(self) -> None:
        """Close the connection, and do not listen any more."""
        self._hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wait(self, seconds: float | None) -> bytes:
        """Return the bytes that arrive within this time, or none; a new connection, or the end of one, ends it, too.

        Where one is there already, it is closed first, and the next call accepts the new one.
        """
        sockets = [each for each in (self._listener, self._connection) if each is not None]
        readable, _, _ = select.select(sockets, [], [], seconds)
        if self._listener in readable and self._listener is not None:
            if self._connection is not None:
                self._hang_up()
                return b""
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._connection = connection
            return b""
        if self._connection in readable and self._connection is not None:
            data = b""
            with contextlib.suppress(OSError):
                data = self._connection.recv(_CHUNK)
            if not data:
                self._hang_up()
            return data
        return b""

    def write(self, data: bytes) -> int:
        """Send; return how many bytes were accepted."""
        with contextlib.suppress(OSError):
            return self._connection.send(data) if self._connection is not None else 0
        return 0
