"""Why a port cannot be opened, read or written, in words: all errors of the system become `DeviceError` here.

That is those of pyserial, of the terminal driver, of sockets and of TLS.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gateway.errors import DeviceError

_REASONS = {
    # by errno of Linux
    2: "there is no such device",
    5: "it was unplugged or has failed",
    6: "it was unplugged or has failed",
    11: "another program or interface has it open",
    13: "no permission: add the user to the group dialout",
    16: "another program or interface has it open",
    21: "it is a directory, not a serial port",
    25: "it is not a serial port",
    32: "the device has closed the connection",
    104: "the device has reset the connection: it has restarted, or serves another client",
    110: "the connection is lost: the other end acknowledges nothing any more",
    111: "nothing listens there",
    113: "it cannot be reached: it is off, or the address is wrong",
}

LISTENING_REASONS = {
    13: "no permission: ports below 1024 are reserved; use a higher one",
    98: "another program or interface uses this port",
    99: "this machine has no such address: correct the host, or leave it out to listen on all addresses",
}
"""For a port on which the gateway listens, by errno."""

FIFO_REASONS = {
    13: "no permission: the gateway needs the rights to read and to write a FIFO",
}
"""For a FIFO, by errno."""


@contextmanager
def as_device_error(reasons: Mapping[int, str] = {}) -> Iterator[None]:
    """Raise errors of the system as `DeviceError`; `reasons` are texts by errno that precede the usual ones."""
    try:
        yield
    except (OSError, ValueError, termios.error) as err:  # SerialException is an OSError
        raise DeviceError(reason_of(err, reasons)) from err


def reason_of(err: Exception, reasons: Mapping[int, str] = {}) -> str:
    """Return what an error means, in words, without the text that pyserial puts around it."""
    text = hide_password(" ".join(str(err).split())) or type(err).__name__
    if isinstance(err, socket.gaierror):
        return f"the host name cannot be resolved ({err.strerror})"
    if isinstance(err, ssl.SSLError):  # its number is none of the system
        return f"the TLS connection has failed ({(getattr(err, 'reason', None) or text).replace('_', ' ').lower()})"
    number = getattr(err, "errno", None)
    if number is None and err.args and isinstance(err.args[0], int):
        number = err.args[0]  # termios.error
    in_text = re.search(
        r"\[Errno (\d+)\]|: \((\d+), '", text
    )  # pyserial's own errors contain that of the system as text
    if number is None and in_text:
        number = int(in_text[1] or in_text[2])
    if number is None and isinstance(err, TimeoutError):
        return "it does not answer: it is off, or the address is wrong"
    known = {**_REASONS, **reasons}
    if number in known:
        return known[number]
    if "exclusively lock" in text:
        return _REASONS[11]
    return os.strerror(number) if isinstance(number, int) else text


def hide_password(port: str) -> str:
    """Return the name of a port, with a password in its URL replaced by asterisks."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", port)
