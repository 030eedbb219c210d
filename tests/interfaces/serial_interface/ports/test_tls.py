from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.errors import DeviceError
from interfaces.serial_interface.ports.descriptor_port import Port
from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.ports.opened import is_readable, opened, read, wait_readable
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def device(act: Callable[[socket.socket], object], context: ssl.SSLContext | None) -> Iterator[int]:
    """A device behind TLS, or without it: yield its port; `act` is what it does with its only connection."""

    def run() -> None:
        with suppress(OSError):
            line, _ = server.accept()
            line.settimeout(10)
            try:
                if context is not None:
                    line = context.wrap_socket(line, server_side=True)
                act(line)
            finally:
                line.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        thread = threading.Thread(target=run, name="device")
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(10)


def echo(line: socket.socket) -> None:
    while data := line.recv(65536):
        line.sendall(data)


def read_all(port: Port, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += read(port)
    return data


def test_both_directions(authority: Authority) -> None:
    with device(echo, authority.server()) as number:
        port = opened(f"ssl://127.0.0.1:{number}", tls={"ca_file": str(authority.ca_file)})
        assert port.read(is_readable=False) == b""
        port.write(b"hello")
        assert read_all(port, 5) == b"hello"
        data = os.urandom(100_000)
        for at in range(0, len(data), 10_000):
            port.write(data[at : at + 10_000])
            assert read_all(port, 10_000) == data[at : at + 10_000]
        assert not is_readable(port.fileno())
        assert port.read(is_readable=True) == b""
        port.close()


def test_nothing_that_was_decrypted_waits_for_the_next_byte(authority: Authority) -> None:
    """A record of TLS has up to 16 KiB, more than is usually read at a time; the descriptor knows nothing of it."""
    record = b"x" * 16_000

    def send_one(line: socket.socket) -> None:
        line.sendall(record)
        line.recv(1)

    with device(send_one, authority.server()) as number:
        port = opened(f"ssl://127.0.0.1:{number}", tls={"ca_file": str(authority.ca_file)})
        assert read_all(port, len(record)) == record
        port.close()


def test_the_last_bytes_come_before_the_end(authority: Authority) -> None:
    def say_goodbye(line: socket.socket) -> None:
        assert isinstance(line, ssl.SSLSocket)
        line.sendall(b"bye")
        line.unwrap()

    with device(say_goodbye, authority.server()) as number:
        port = opened(f"ssl://127.0.0.1:{number}", tls={"ca_file": str(authority.ca_file)})
        assert read_all(port, 3) == b"bye"
        wait_readable(port.fileno())
        with pytest.raises(DeviceError, match="the device has closed the connection"):
            port.read(is_readable=True)
        port.close()


def test_a_device_that_accepts_no_data(authority: Authority) -> None:
    done = threading.Event()
    with device(lambda _: done.wait(10), authority.server()) as number:
        port = opened(f"ssl://127.0.0.1:{number}", tls={"ca_file": str(authority.ca_file)}, write_timeout=0.2)
        with pytest.raises(DeviceError, match=r"it accepted no data for 0\.2 s"):
            port.write(b"x" * 20_000_000)
        port.close()
        done.set()


def failure(number: int, **tls: object) -> str:
    with pytest.raises(DeviceError) as caught:
        opened(f"ssl://127.0.0.1:{number}", tls=tls).close()
    return str(caught.value).replace(str(number), "PORT")


def test_a_certificate_that_is_not_trusted(authority: Authority) -> None:
    with device(echo, authority.server()) as number:
        text = failure(number)
    assert text.startswith("the certificate of 127.0.0.1:PORT is not trusted (")
    assert text.endswith("): set tls.ca_file to the CA certificate of the device")


def test_a_certificate_of_another_host(authority: Authority) -> None:
    with device(echo, authority.server("other", "DNS:boiler.home")) as number:
        text = failure(number, ca_file=str(authority.ca_file))
    assert text.endswith("): set the host in port to a name in the device's certificate")


def test_a_device_without_tls() -> None:
    with device(lambda line: line.sendall(b"T 21.5\r\n" * 10), None) as number:
        text = failure(number)
    assert text == (
        "127.0.0.1:PORT does not support TLS: is the port its TLS port? or write socket:// instead of ssl://"
    )


def test_a_device_that_closes_during_the_handshake() -> None:
    with device(lambda _: None, None) as number:
        text = failure(number)
    assert "TLS handshake" in text


def test_a_client_certificate(authority: Authority) -> None:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    certificate, key = authority.sign("client", "DNS:gateway.home")
    with device(echo, context) as number:
        tls = {
            "ca_file": str(authority.ca_file),
            "certificate_file": str(certificate),
            "key_file": str(key),
        }
        port = opened(f"ssl://127.0.0.1:{number}", tls=tls)
        port.write(b"hello")
        assert read_all(port, 5) == b"hello"
        port.close()


def test_a_client_certificate_that_is_missing(authority: Authority) -> None:
    """With TLS 1.3 the device refuses it only after the handshake."""
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    with device(echo, context) as number:
        port = opened(f"ssl://127.0.0.1:{number}", tls={"ca_file": str(authority.ca_file)})
        wait_readable(port.fileno())
        with pytest.raises(DeviceError, match="certificate required"):
            port.read(is_readable=True)
        port.close()


def test_without_verification_it_is_logged(authority: Authority, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("is not verified: anyone in between can read and send everything")
    with device(echo, authority.server("other", "DNS:boiler.home", days=-1)) as number:
        opened(f"ssl://127.0.0.1:{number}", tls={"verify": False}).close()


def test_a_certificate_file_that_has_disappeared(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"TLS cannot be set up with .*gone.pem: .*check these files"):
        opened("ssl://127.0.0.1:1", tls={"ca_file": str(tmp_path / "gone.pem")})
