"""TCP connections with TLS (ssl://)."""

from __future__ import annotations

import select
import ssl
from typing import ClassVar

from gateway.core.option_schema import record_of
from gateway.core.package_logger import package_logger
from gateway.core.tls import TlsError, TlsNames, TlsOptions, describe_tls_error, tls_context
from gateway.errors import DeviceError
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import Address
from interfaces.serial_interface.ports.descriptor_port import READ_ALL, no_speed, wait_ready
from interfaces.serial_interface.ports.network import connect
from interfaces.serial_interface.ports.reasons import as_device_error, reason_of

LOG = package_logger(__name__)

_NAMES = TlsNames(
    peer="the device",
    section="tls",
    host="the host in port",
    port="the port",
    without_tls="write socket:// instead of ssl://",
)


class TlsPort:
    """An open ssl:// connection. All methods raise `DeviceError`."""

    may_wait: ClassVar[bool] = False
    is_read_only: ClassVar[bool] = False

    def __init__(self, connection: ssl.SSLSocket, write_timeout: float) -> None:
        self._connection = connection
        self._write_timeout = write_timeout
        connection.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._connection.fileno()

    def read(self, *, is_readable: bool) -> bytes:
        """Return the bytes of the next record that has arrived, without waiting.

        A record is read whole: the descriptor is not readable because of bytes that are decrypted already.
        """
        if not is_readable:
            return b""
        try:
            data = self._connection.recv(READ_ALL)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as err:
            raise DeviceError(reason_of(err)) from err
        if not data:
            raise DeviceError("the device has closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """Write `data`; raise `DeviceError` if the device accepts no byte within the write timeout."""
        remaining = memoryview(data)
        with as_device_error():
            while remaining:
                try:
                    remaining = remaining[self._connection.send(remaining) :]
                except ssl.SSLWantReadError:
                    wait_ready(self.fileno(), select.POLLIN, self._write_timeout)
                except ssl.SSLWantWriteError:
                    wait_ready(self.fileno(), select.POLLOUT, self._write_timeout)

    def set_baudrate(self, speed: int) -> None:
        """Raise `DeviceError`: a network connection has no speed."""
        raise no_speed(speed)

    def close(self) -> None:
        """Close the connection, in whatever state it is."""
        with as_device_error():
            self._connection.close()


def tls_options(options: PortOptions) -> TlsOptions:
    """Return the options of TLS for a port."""
    return record_of(TlsOptions, {**(options.tls or {}), "enabled": True})


def open_tls(options: PortOptions, address: Address) -> TlsPort:
    """Open an ssl:// port. Raises `DeviceError`."""
    where = f"{address.host}:{address.port}"
    settings = tls_options(options)
    try:
        context = tls_context(settings)  # read anew each time, since certificates are renewed
    except TlsError as err:
        raise DeviceError(str(err)) from err
    connection = connect(address.host, address.port)
    try:
        protected = context.wrap_socket(connection, server_hostname=address.host)
    except ssl.SSLError as err:
        connection.close()
        raise DeviceError(": ".join(describe_tls_error(where, err, _NAMES))) from err
    except (OSError, ValueError) as err:
        connection.close()
        if isinstance(err, TimeoutError):
            raise DeviceError("it does not answer the TLS handshake: is the port its TLS port?") from err
        raise DeviceError(f"the TLS handshake to {where} failed ({err}): is the port its TLS port?") from err
    if not settings.verify:
        LOG.warning("the certificate of %s is not verified: anyone in between can read and send everything: "
                    "set tls.verify to true, with tls.ca_file", where)  # fmt: skip
    return TlsPort(protected, options.write_timeout)
