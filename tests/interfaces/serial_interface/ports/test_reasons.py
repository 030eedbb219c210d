from __future__ import annotations

import errno
import socket
import ssl
import termios

import pytest
import serial

from gateway.errors import DeviceError
from interfaces.serial_interface.ports.reasons import LISTENING_REASONS, as_device_error, hide_password, reason_of


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "there is no such device"),
        (termios.error(errno.EIO, "x"), "it was unplugged or has failed"),
        (serial.SerialException("could not open port x: [Errno 13] Permission denied: 'x'"),
         "no permission: add the user to the group dialout"),
        (serial.SerialException("Could not configure port: (25, 'Inappropriate ioctl for device')"),
         "it is not a serial port"),
        (TimeoutError("timed out"), "it does not answer: it is off, or the address is wrong"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "the connection is lost: the other end acknowledges nothing any more"),
        (socket.gaierror(-2, "not known"), "the host name cannot be resolved (not known)"),
        (ssl.SSLError(1, "[SSL: X] bad record"), "the TLS connection has failed ([ssl: x] bad record)"),
        (OSError(errno.ENOTCONN, "x"), "Transport endpoint is not connected"),
        (ValueError("rfc2217://user:secret@h is wrong"), "rfc2217://user:***@h is wrong"),
        (ValueError(), "ValueError"),
    ],
)  # fmt: skip
def test_the_reason_of_an_error(err: Exception, reason: str) -> None:
    with pytest.raises(DeviceError) as caught, as_device_error():
        raise err
    assert str(caught.value) == reason
    assert caught.value.__cause__ is err


def test_some_ports_have_reasons_of_their_own() -> None:
    err = PermissionError(errno.EACCES, "x")
    assert "below 1024" in reason_of(err, LISTENING_REASONS)
    assert "dialout" in reason_of(err)


def test_a_password_is_hidden() -> None:
    assert hide_password("rfc2217://user:secret@h:1") == "rfc2217://user:***@h:1"
    assert hide_password("usb://0403:6001/A5@1") == "usb://0403:6001/A5@1"
