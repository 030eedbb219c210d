"""Named pipes (FIFOs), which other programs write to and the gateway reads."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import ClassVar

from gateway.errors import DeviceError
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.descriptor_port import DescriptorPort
from interfaces.serial_interface.ports.reasons import FIFO_REASONS, as_device_error


class FifoPort(DescriptorPort):
    """An open FIFO. It is only read: what is written to it would come back."""

    is_read_only: ClassVar[bool] = True

    def write(self, data: bytes) -> None:  # noqa: ARG002
        """Raise `DeviceError`."""
        raise DeviceError("it is a FIFO, which is only read")


def is_fifo(path: str) -> bool:
    """Return whether there is a FIFO at `path`."""
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def open_fifo(options: PortOptions, read_size: int) -> FifoPort:
    """Open a FIFO, without waiting for a writer. Raises `DeviceError`."""
    with as_device_error(FIFO_REASONS):
        # Also for writing: as long as anybody may write, there is no end of file. So writers may come and go.
        descriptor = os.open(options.port, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if options.exclusive:  # two readers would get a part each
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    return FifoPort(descriptor, options.write_timeout, read_size)
