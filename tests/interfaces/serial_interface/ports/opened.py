"""Ports as a configuration has them, for the tests of this folder."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager

from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.descriptor_port import READ_CHUNK, Port
from interfaces.serial_interface.ports.opener import Opener, make_opener
from tests.support.configuration import serial_params


def port_options(port: str, **options: object) -> PortOptions:
    return PortOptions.from_params(serial_params(port=port, **options))


def opened(port: str, read_size: int = READ_CHUNK, **options: object) -> Port:
    return make_opener(port_options(port, **options)).open(read_size)


@contextmanager
def opener(port: str, **options: object) -> Iterator[Opener]:
    result = make_opener(port_options(port, **options))
    try:
        yield result
    finally:
        result.close()


def wait_readable(descriptor: int | None) -> None:
    assert descriptor is not None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(5000), "nothing arrived"


def is_readable(descriptor: int | None) -> bool:
    assert descriptor is not None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def read(port: Port) -> bytes:
    """Return what arrives next."""
    wait_readable(port.fileno())
    return port.read(is_readable=True)
