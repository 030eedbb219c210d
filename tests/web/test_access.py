from __future__ import annotations

import pytest

from gateway.web.access import Access, RequestError, Visitor
from gateway.web.options import WebOptions
from tests.support.web import LOCAL, OPEN, bearer, environ


def visitor(options: WebOptions = LOCAL, /, **more: str) -> Visitor:
    return Access(options, ("gw", "gw.local")).visitor(environ("/", **more))


def status(options: WebOptions = LOCAL, /, **more: str) -> str:
    try:
        visitor(options, **more)
    except RequestError as err:
        return err.status[:3]
    return "200"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8377",
        "LocalHost:8377",
        "localhost.",
        "localhost.:8377",
        "127.0.0.1",
        "127.0.0.1:8377",
        "[::1]",
        "[::1]:8377",
        "[fe80::1%25eth0]:8377",
        "192.0.2.7:8377",  # no site can have an address as its name
        "gw",
        "GW.local:8377",
        "gateway.example.org",
        "gateway.example.org:443",
    ],
)
def test_own_names(host: str) -> None:
    assert status(LOCAL._replace(hosts=("Gateway.example.org",)), HTTP_HOST=host) == "200"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8377",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io:8377",
        "localhost, evil.example",  # two headers, as waitress joins them
        "evil.example, localhost:8377",
        "127.0.0.1:8377, 127.0.0.1:8377",
        "localhost@evil.example",
        "localhost:8377@evil.example",
        "localhost:8377:80",
        "localhost/",
        " localhost",
        "[::1",
        "::1]:x",
        "2130706433",  # numbers that some resolve as 127.0.0.1
        "0x7f.1",
        "127.1",
        "*",
        "\xb9.evil.example",
        "a" * 10_000,
        "gateway.example.org",
    ],
)
def test_names_of_others(host: str) -> None:
    assert status(HTTP_HOST=host) == "421"


def test_a_request_without_host() -> None:
    request = environ()
    del request["HTTP_HOST"]
    with pytest.raises(RequestError, match="not known"):
        Access(LOCAL).visitor(request)


def test_what_a_wrong_host_is_told_is_short_and_of_ascii() -> None:
    with pytest.raises(RequestError) as caught:
        visitor(HTTP_HOST="\xe9\r\nevil" * 1000)
    assert len(str(caught.value)) < 700 and str(caught.value).isascii() and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://localhost:8377", "localhost:8377", "200"),
        ("http://LOCALHOST:8377", "localhost:8377", "200"),
        ("https://gw.local", "gw.local", "200"),
        ("http://[::1]:8377", "[::1]:8377", "200"),
        ("null", "localhost:8377", "403"),
        ("", "localhost:8377", "403"),
        ("http://localhost:3000", "localhost:8377", "403"),
        ("http://localhost", "localhost:8377", "403"),
        ("http://evil.example", "localhost:8377", "403"),
        ("http://localhost:8377, http://evil.example", "localhost:8377", "403"),
        ("http://localhost:8377/", "localhost:8377", "403"),
        ("file://", "localhost:8377", "403"),
        ("chrome-extension://abcdef", "localhost:8377", "403"),
    ],
)
def test_origin(origin: str, host: str, expected: str) -> None:
    assert status(HTTP_ORIGIN=origin, HTTP_HOST=host) == expected


LINK = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}


@pytest.mark.parametrize(
    ("site", "more", "expected"),
    [
        ("same-origin", {}, "200"),
        ("none", {}, "200"),
        ("same-site", {}, "403"),
        ("cross-site", {}, "403"),
        ("odd", {}, "403"),
        ("cross-site", LINK, "200"),  # a link, in a wiki for example
        ("same-site", LINK, "200"),
        ("cross-site", {**LINK, "REQUEST_METHOD": "POST"}, "403"),
        ("cross-site", {**LINK, "HTTP_SEC_FETCH_DEST": "iframe"}, "403"),
        ("cross-site", {**LINK, "HTTP_SEC_FETCH_DEST": "script"}, "403"),
        ("cross-site", {**LINK, "HTTP_SEC_FETCH_MODE": "no-cors"}, "403"),
    ],
)
def test_requests_of_other_sites(site: str, more: dict[str, str], expected: str) -> None:
    assert status(HTTP_SEC_FETCH_SITE=site, **more) == expected
    assert status(HTTP_SEC_FETCH_SITE=site, **more, **bearer()) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer 0123456789abcdef", "200"),
        ("bearer 0123456789abcdef", "200"),
        ("Bearer   0123456789abcdef ", "200"),
        ("Bearer", "401"),
        ("Bearer ", "401"),
        ("", "401"),
        ("Basic 0123456789abcdef", "401"),
        ("0123456789abcdef", "401"),
        ("Bearer 0123456789abcde", "401"),
        ("Bearer 0123456789abcdefg", "401"),
        ("Bearer 0123456789ABCDEF", "401"),
        ("Bearer 0123456789abcdef, Bearer 0123456789abcdef", "401"),  # two headers
        ("Bearer \xe9\xff", "401"),
        ("Bearer \u20ac", "401"),
    ],
)
def test_token(header: str, expected: str) -> None:
    assert status(HTTP_AUTHORIZATION=header) == expected


def test_a_page_without_token_accepts_none() -> None:
    options = LOCAL._replace(token=None)
    assert visitor(options) == Visitor(may_read=True, may_write=False, is_secure=True)
    for token in ("", "None", "null", "undefined"):
        assert status(options, HTTP_AUTHORIZATION=f"Bearer {token}") == "401"


@pytest.mark.parametrize(
    ("options", "more", "expected"),
    [
        (LOCAL, {}, Visitor(may_read=True, may_write=False, is_secure=True)),
        (LOCAL, bearer(), Visitor(may_read=True, may_write=True, is_secure=True)),
        (OPEN, {}, Visitor(may_read=False, may_write=False, is_secure=True)),
        (OPEN, {"REMOTE_ADDR": "192.0.2.1"}, Visitor(may_read=False, may_write=False, is_secure=False)),
        (OPEN, {"REMOTE_ADDR": "::ffff:127.0.0.1"}, Visitor(may_read=False, may_write=False, is_secure=True)),
        (OPEN, {"REMOTE_ADDR": "192.0.2.1"} | bearer(), Visitor(may_read=True, may_write=True, is_secure=False)),
        # Who is not on this machine cannot say that a proxy of it has sent this.
        (
            OPEN,
            {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            Visitor(may_read=False, may_write=False, is_secure=False),
        ),
        (
            LOCAL._replace(hosts=("gw.example.org",)),
            {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "192.0.2.1"} | bearer(),
            Visitor(may_read=True, may_write=True, is_secure=True),
        ),
        (
            LOCAL._replace(hosts=("gw.example.org",)),
            {"HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FORWARDED_FOR": "192.0.2.1"} | bearer(),
            Visitor(may_read=True, may_write=True, is_secure=False),
        ),
    ],
)
def test_what_a_visitor_may(options: WebOptions, more: dict[str, str], expected: Visitor) -> None:
    assert visitor(options, **more) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"HTTP_X_FORWARDED_FOR": "192.0.2.1"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_FOR": ""},
        {"HTTP_X_FORWARDED_HOST": "gw.example.org"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_X_FORWARDED_PORT": "443"},
        {"HTTP_X_FORWARDED_SERVER": "proxy"},
        {"HTTP_CF_CONNECTING_IP": "192.0.2.1"},
        {"HTTP_FORWARDED": "for=192.0.2.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_X_REAL_IP": "192.0.2.1"},
        {"SERVER_PROTOCOL": "HTTP/1.0"},  # nginx with proxy_pass alone sends no other sign
    ],
)
def test_who_comes_by_a_proxy_is_not_on_this_machine(more: dict[str, str]) -> None:
    assert not visitor(**more).may_read
    assert visitor(**more, **bearer()).may_write
