from __future__ import annotations

import pytest

from gateway.web.options import WebOptions, is_loopback


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [("127.0.0.1:8377", "127.0.0.1", 8377), ("[::1]:80", "::1", 80), ("gw.example.org:1", "gw.example.org", 1)],
)
def test_address(listen: str, host: str, port: int) -> None:
    options = WebOptions(listen=listen)
    assert (options.host, options.port) == (host, port)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),  # as a socket of IPv6 names a peer of IPv4
        ("::ffff:192.0.2.1", False),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_page_with_further_names_is_not_local() -> None:
    assert WebOptions().is_local
    assert not WebOptions(hosts=("gw.example.org",)).is_local
    assert not WebOptions(listen="0.0.0.0:8377").is_local


def test_the_token_is_not_shown() -> None:
    assert "secret" not in f"{WebOptions(token='secret')!r} {WebOptions(token='secret')}"
