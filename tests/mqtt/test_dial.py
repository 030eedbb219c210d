"""Opening a connection: each kind of failure is reported with its reason and its remedy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from gateway.core.tls import TlsOptions, tls_context
from gateway.mqtt.dial import LinkError, Server, dial
from tests.support.broker import free_port
from tests.support.certificates import Authority, server_context
from tests.support.peer import Peer, answer_with, close_immediately, stay_silent
from tests.support.waiting import wait_until

HOST = "127.0.0.1"
STRICT = ssl.VERIFY_X509_STRICT


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def trusting(authority: Authority, **others: object) -> ssl.SSLContext:
    return tls_context(TlsOptions(enabled=True, ca_file=str(authority.ca_file), **others))  # type: ignore[arg-type]


def failure(host: str, port: int, context: ssl.SSLContext | None = None, timeout: float = 5.0) -> str:
    with pytest.raises(LinkError) as caught:
        dial(Server(host, port), timeout, context)
    return str(caught.value)


@contextlib.contextmanager
def full_listener() -> Iterator[int]:
    """A port that exists and accepts no more connections, like a host behind a firewall that drops packets."""
    with socket.create_server((HOST, 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        port = int(listener.getsockname()[1])
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((HOST, port))
        yield port


# --- TCP and names


def test_a_connection_that_works() -> None:
    with Peer(stay_silent) as peer, contextlib.closing(dial(Server(HOST, peer.port), 5.0)) as connection:
        assert isinstance(connection, socket.socket)
        assert connection.getpeername() == (HOST, peer.port)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_nothing_listens() -> None:
    port = free_port()
    assert failure(HOST, port) == f"nothing listens at {HOST}:{port}: is the broker running, and mqtt.port right?"


def test_the_attempt_with_a_host_that_does_not_answer_ends_in_time() -> None:
    with full_listener() as port:
        began = time.monotonic()
        text = failure(HOST, port, timeout=0.3)
        assert text == (
            f"{HOST}:{port} does not answer the connection within 0.3 s: check mqtt.host, mqtt.port and firewalls"
        )
        assert 0.25 < time.monotonic() - began < 3


def test_a_name_that_cannot_be_resolved() -> None:
    text = failure("no-such-host.invalid", 1883)  # .invalid is never resolved (RFC 6761)
    assert text.startswith("the host name 'no-such-host.invalid' cannot be resolved (")
    assert text.endswith("): check mqtt.host and DNS")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "bad..name", ".", "nul\0byte", "\ud800"])
def test_an_invalid_name(host: str) -> None:
    text = failure(host, 1883)
    assert ascii(host) in text
    assert text.endswith(("correct mqtt.host", "check mqtt.host and DNS"))


def test_an_address_that_cannot_be_reached() -> None:
    text = failure("255.255.255.255", 1883)  # broadcast: refused by this machine; no packet is sent
    assert text.startswith("the connection to 255.255.255.255:1883 failed (")
    assert text.endswith("): check network, mqtt.host and mqtt.port")


# --- TLS


def test_a_broker_with_a_valid_certificate(authority: Authority) -> None:
    with (
        Peer(stay_silent, tls=authority.server()) as peer,
        contextlib.closing(dial(Server(HOST, peer.port), 5.0, trusting(authority))) as connection,
    ):
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.version() in ("TLSv1.2", "TLSv1.3")


def test_an_unknown_authority(authority: Authority) -> None:
    with Peer(stay_silent, tls=authority.server()) as peer:
        text = failure(HOST, peer.port, tls_context(TlsOptions(enabled=True)))
    assert text.startswith(f"the certificate of {HOST}:{peer.port} is not trusted (unable to get local issuer")
    assert text.endswith("set mqtt.tls.ca_file to the CA certificate of the broker")


def test_a_self_signed_certificate(authority: Authority) -> None:
    tls = server_context(authority.ca_file, authority.ca_file.with_suffix(".key"))
    with Peer(stay_silent, tls=tls) as peer:
        text = failure(HOST, peer.port, tls_context(TlsOptions(enabled=True)))
    assert "is not trusted (self-signed certificate)" in text
    assert text.endswith("set mqtt.tls.ca_file to it if you trust it")


@pytest.mark.parametrize("alternative", ["IP:127.0.0.2", "DNS:broker.example"])
def test_a_certificate_for_another_host(authority: Authority, alternative: str) -> None:
    with Peer(stay_silent, tls=authority.server("other", alternative)) as peer:
        text = failure(HOST, peer.port, trusting(authority))
    assert "IP address mismatch" in text
    assert text.endswith("set mqtt.host to a name in the broker's certificate")


def test_a_certificate_for_another_name(authority: Authority) -> None:
    with Peer(stay_silent, tls=authority.server("other", "DNS:broker.example")) as peer:
        text = failure("localhost", peer.port, trusting(authority))
    assert "Hostname mismatch" in text
    assert text.endswith("set mqtt.host to a name in the broker's certificate")


def test_an_expired_certificate(authority: Authority) -> None:
    with Peer(stay_silent, tls=authority.server("expired", days=-1)) as peer:
        text = failure(HOST, peer.port, trusting(authority))
    assert "is not trusted (certificate has expired)" in text
    assert text.endswith("renew the broker's certificate, or check the clock of this machine")


@pytest.fixture(scope="module")
def old_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority made by the recipe of mosquitto-tls(7), as many users have it."""
    return Authority(tmp_path_factory.mktemp("old"), key_usage=False)


def test_a_configured_authority_needs_no_key_usage(old_authority: Authority) -> None:
    with (
        Peer(stay_silent, tls=old_authority.server()) as peer,
        contextlib.closing(dial(Server(HOST, peer.port), 5.0, trusting(old_authority))) as connection,
    ):
        assert isinstance(connection, ssl.SSLSocket)


def test_a_configured_authority_is_still_checked(old_authority: Authority, authority: Authority) -> None:
    """Without the strict checks, too: no other authority, no other host, and no certificate that is no authority."""
    with Peer(stay_silent, tls=authority.server()) as peer:
        assert "is not trusted" in failure(HOST, peer.port, trusting(old_authority))
    with Peer(stay_silent, tls=old_authority.server("other", "IP:127.0.0.2")) as peer:
        assert "IP address mismatch" in failure(HOST, peer.port, trusting(old_authority))
    with Peer(stay_silent, tls=old_authority.server_signed_by_a_server()) as peer:
        assert "is not trusted (invalid CA certificate)" in failure(HOST, peer.port, trusting(old_authority))


def test_an_authority_of_the_system_needs_key_usage(old_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(old_authority.ca_file))  # the certificates of the system, for OpenSSL
    context = tls_context(TlsOptions(enabled=True))
    assert context.verify_flags & STRICT == ssl.create_default_context().verify_flags & STRICT
    context.verify_flags |= STRICT  # as by default in Python 3.13
    with Peer(stay_silent, tls=old_authority.server()) as peer:
        text = failure(HOST, peer.port, context)
    assert text == (
        f"the certificate of {HOST}:{peer.port} is not trusted (CA cert does not include key usage extension): "
        "set mqtt.tls.ca_file to its CA certificate, or create CA and certificate again, see docs/operations.md"
    )


def test_without_verification_any_certificate_is_accepted(authority: Authority) -> None:
    context = tls_context(TlsOptions(enabled=True, verify=False))
    tls = authority.server("any", "DNS:broker.example", days=-1)
    with (
        Peer(stay_silent, tls=tls) as peer,
        contextlib.closing(dial(Server(HOST, peer.port), 5.0, context)) as connection,
    ):
        assert isinstance(connection, ssl.SSLSocket)


def test_a_port_without_tls_that_answers_something_else() -> None:
    with Peer(answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer:
        text = failure(HOST, peer.port, tls_context(TlsOptions(enabled=True)))
    assert text == (
        f"{HOST}:{peer.port} does not support TLS: is mqtt.port its TLS port? or set mqtt.tls.enabled to false"
    )


def test_a_port_without_tls_that_closes() -> None:
    with Peer(close_immediately) as peer:
        text = failure(HOST, peer.port, tls_context(TlsOptions(enabled=True)))
    assert "TLS handshake" in text
    assert "mqtt" in text.rpartition(": ")[2], text


def test_the_attempt_with_a_silent_port_without_tls_ends_in_time() -> None:
    with Peer(stay_silent) as peer:
        began = time.monotonic()
        text = failure(HOST, peer.port, tls_context(TlsOptions(enabled=True)), timeout=0.3)
        assert time.monotonic() - began < 3
    assert text == (f"{HOST}:{peer.port} does not answer the TLS handshake within 0.3 s: is mqtt.port its TLS port?")


def test_no_tls_version_in_common(authority: Authority) -> None:
    tls = authority.server()
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    context = trusting(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with Peer(stay_silent, tls=tls) as peer:
        text = failure(HOST, peer.port, context)
    assert text.startswith(f"the TLS handshake with {HOST}:{peer.port} failed (")
    assert text.endswith("check mqtt.tls and the broker's log")


def test_a_client_certificate_that_the_broker_does_not_ask_for_is_harmless(authority: Authority) -> None:
    certificate, key = authority.sign("client", "DNS:gateway.example")
    context = trusting(authority, certificate_file=str(certificate), key_file=str(key))
    with (
        Peer(stay_silent, tls=authority.server()) as peer,
        contextlib.closing(dial(Server(HOST, peer.port), 5.0, context)) as connection,
    ):
        assert isinstance(connection, ssl.SSLSocket)


def test_a_connection_whose_handshake_failed_is_closed() -> None:
    with Peer(stay_silent) as peer:
        with pytest.raises(LinkError) as caught:
            dial(Server(HOST, peer.port), 0.2, tls_context(TlsOptions(enabled=True)))
        wait_until(lambda: peer.conversations[0].is_closed, 5, "the connection to be closed")
        assert (
            caught.tb is not None
        )  # kept until here, so that `dial` closes the connection, and not the garbage collector
