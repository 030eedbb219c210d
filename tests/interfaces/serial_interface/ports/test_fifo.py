from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import DeviceError
from interfaces.serial_interface.ports.fifo import is_fifo
from tests.interfaces.serial_interface.ports.opened import is_readable, opened, read


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_writers_come_and_go(fifo: Path) -> None:
    port = opened(str(fifo))
    assert not is_readable(port.fileno())
    for text in (b"one\n", b"two\n"):
        fifo.write_bytes(text)  # opens, writes, closes
        assert read(port) == text
        assert not is_readable(port.fileno())
        assert port.read(is_readable=True) == b""
    port.close()


def test_it_is_only_read(fifo: Path) -> None:
    port = opened(str(fifo))
    assert port.is_read_only
    with pytest.raises(DeviceError, match="it is a FIFO, which is only read"):
        port.write(b"x")
    assert not is_readable(port.fileno())
    port.close()


def test_one_reader_only(fifo: Path) -> None:
    port = opened(str(fifo))
    with pytest.raises(DeviceError, match="another program or interface has it open"):
        opened(str(fifo))
    opened(str(fifo), exclusive=False).close()
    port.close()
    opened(str(fifo)).close()


def test_what_is_a_fifo(fifo: Path, tmp_path: Path) -> None:
    assert is_fifo(str(fifo))
    assert not any(map(is_fifo, (str(tmp_path), str(tmp_path / "none"), "a\0b")))
