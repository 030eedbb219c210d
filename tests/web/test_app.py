from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.web.access import Access
from gateway.web.app import MAX_BODY, App, Content, Request, Route
from gateway.web.options import WebOptions
from tests.conftest import ExpectedLogs
from tests.support.web import LOCAL, OPEN, Reply, bearer, call, environ

FILE = Content("text/plain; charset=utf-8", b"a file", '"tag"')


def refuse(_: Request) -> dict[str, Any]:
    raise GatewayError("the lamp is out: replace it")


def fail(_: Request) -> dict[str, Any]:
    raise KeyError("secret")


ROUTES = {
    ("GET", "/file"): Route(lambda _: FILE, is_public=True),
    ("GET", "/api/echo"): Route(lambda request: dict(request.query)),
    ("GET", "/api/number"): Route(lambda request: {"number": request.number("n", 7, 100)}),
    ("GET", "/api/refuse"): Route(refuse),
    ("GET", "/api/fail"): Route(fail),
    ("POST", "/api/read"): Route(lambda request: dict(request.body)),
    ("POST", "/api/text"): Route(lambda request: {"text": request.text("text", 5)}),
    ("POST", "/api/write"): Route(lambda request: {"done": True}, is_writing=True),
}


def app(options: WebOptions = LOCAL) -> App:
    return App(Access(options), ROUTES)


def get(path: str, /, **more: str) -> Reply:
    return call(app(), environ(path, **more))


def post(path: str, body: bytes = b"{}", /, **more: str) -> Reply:
    return call(app(), environ(path, "POST", body, **more))


def test_an_answer_has_all_headers() -> None:
    reply = get("/api/echo?a=1&b=%C3%A9&c=")
    assert (reply.status, reply.json) == (200, {"a": "1", "b": "é", "c": ""})
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Length"] == str(len(reply.data))


@pytest.mark.parametrize(
    "request_",
    [
        environ("/file"),
        environ("/file", HTTP_IF_NONE_MATCH='"tag"'),
        environ("/api/echo"),
        environ("/none"),
        environ("/api/write"),
        environ("/api/echo", HTTP_HOST="evil.example"),
        environ("/api/echo", HTTP_ORIGIN="null"),
        environ("/api/write", "POST", b"{}"),
        environ("/api/refuse"),
    ],
)
def test_every_answer_has_the_headers_of_safety(request_: dict[str, Any]) -> None:
    headers = call(app(), request_).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("Access-Control") or name in ("Server", "Set-Cookie")]


def test_head_is_get_without_what_it_contains() -> None:
    reply = call(app(), environ("/file", "HEAD"))
    assert (reply.status, reply.data, reply.headers["Content-Length"]) == (200, b"", "6")
    assert call(app(), environ("/none", "HEAD")).status == 404


@pytest.mark.parametrize(
    ("sent", "status"), [('"tag"', 304), ('W/"tag"', 304), ('"other", "tag"', 304), ('"other"', 200), ("", 200)]
)
def test_a_file_is_sent_once(sent: str, status: int) -> None:
    reply = get("/file", HTTP_IF_NONE_MATCH=sent)
    assert (reply.status, reply.data) == (status, b"" if status == 304 else b"a file")
    assert reply.headers["ETag"] == '"tag"' and reply.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "POST", "X" * 1000])
def test_other_methods(method: str) -> None:
    reply = call(app(), environ("/api/echo", method, b"{}"))
    assert reply.status == 405 and len(reply.error) < 100
    assert call(app(), environ("/none", method, b"{}")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/none",
        "/FILE",
        "/file/",
        "//file",
        "/./file",
        "/x/../file",
        "/../../etc/passwd",
        "/static/../../../etc/passwd",
        "/..\\..\\etc\\passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/....//etc/passwd",
        "/file\x00.js",
        "/file\n",
        "/file;x",
        "/api/echo/..",
        "/\xc0\xae\xc0\xae/etc/passwd",
        "file",
        "/etc/passwd",
        "/app.py",
        "/__init__.py",
    ],
)
def test_no_address_names_a_file(path: str) -> None:
    reply = get(path)
    assert reply.status == 404
    assert reply.json == {"error": "there is nothing at this address"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("a=1", 200),
        ("&".join(f"a{index}=1" for index in range(20)), 200),
        ("&".join(f"a{index}=1" for index in range(21)), 400),
        ("a=%ff", 400),
        ("a=" + "x" * 5000, 414),
        ("\xff=1", 200),
    ],
)
def test_queries(query: str, status: int) -> None:
    assert get(f"/api/echo?{query}").status == status


@pytest.mark.parametrize(
    ("text", "status", "number"),
    [
        ("n=5", 200, 5),
        ("", 200, 7),
        ("n=-1", 200, -1),
        ("n=100", 200, 100),
        ("n=101", 400, None),
        ("n=-2", 400, None),
        ("n=--1", 400, None),
        ("n=1e2", 400, None),
        ("n=NaN", 400, None),
        ("n=", 400, None),
        ("n=" + "9" * 4000, 400, None),
        ("n=+5", 400, None),
    ],
)
def test_numbers(text: str, status: int, number: int | None) -> None:
    reply = get(f"/api/number?{text}")
    assert reply.status == status
    assert number is None or reply.json == {"number": number}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"a": "\xc3\xa9"}', 200),
        (b"", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'"a"', 400),
        (b"{", 400),
        (b'{"a": "\xff"}', 400),
        (b"[" * 200_000, 400),
        (b'{"a":' * 80_000, 400),
        (b'{"a": ' + b"9" * 5000 + b"}", 400),
        (b" " * (MAX_BODY + 1), 413),
    ],
)
def test_bodies(body: bytes, status: int) -> None:
    assert post("/api/read", body).status == status


@pytest.mark.parametrize("length", ["-1", "x", "1" * 11, "9" * 5000, "\xb2"])
def test_wrong_lengths(length: str) -> None:
    assert post("/api/read", CONTENT_LENGTH=length).status == 413


def test_a_length_with_many_zeros_is_that_length() -> None:
    request = environ("/api/read", "POST", b" " * (MAX_BODY + 1), CONTENT_LENGTH=f"{'0' * 20}{MAX_BODY + 1}")
    assert call(app(), request).status == 413


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
)
def test_what_a_form_of_another_site_can_send_is_refused(kind: str) -> None:
    assert post("/api/read", CONTENT_TYPE=kind).status == 415


def test_json_with_a_character_set() -> None:
    assert post("/api/read", CONTENT_TYPE="Application/JSON; charset=utf-8").status == 200


@pytest.mark.parametrize(
    ("body", "status"), [({"text": "abcde"}, 200), ({}, 200), ({"text": "abcdef"}, 400), ({"text": 5}, 400)]
)
def test_texts(body: Any, status: int) -> None:
    assert post("/api/text", json.dumps(body).encode()).status == status


def test_only_the_token_writes() -> None:
    assert post("/api/write").status == 401
    assert post("/api/write").headers["WWW-Authenticate"] == "Bearer"
    assert post("/api/write", **bearer()).json == {"done": True}


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
def test_nothing_is_read_from_elsewhere_without_token(method: str, path: str) -> None:
    reply = call(app(OPEN), environ(path, method, b"{}" if method == "POST" else None))
    assert reply.status == (200 if ROUTES[method, path].is_public else 401)


def test_a_body_is_not_read_without_right() -> None:
    body = io.BytesIO(b"{}")
    request = environ("/api/write", "POST", b"{}") | {"wsgi.input": body}
    assert call(app(OPEN), request).status == 401
    assert body.tell() == 0


def test_what_the_gateway_refuses() -> None:
    reply = get("/api/refuse")
    assert (reply.status, reply.error) == (409, "the lamp is out: replace it")


def test_a_bug_is_logged_and_tells_nothing(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a request to the page failed: '/api/fail'")
    reply = get("/api/fail")
    assert reply.status == 500
    assert "secret" not in reply.error and "Traceback" not in reply.error


def test_who_guesses_is_refused_and_the_owner_is_not(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("somebody at 192.0.2.1 has sent a wrong token to the page")
    page = app(OPEN)
    statuses = []
    for number in range(300):
        guess = f"{number:020}"
        reply = call(page, environ("/api/echo", REMOTE_ADDR="192.0.2.1", **bearer(guess)))
        statuses.append(reply.status)
        assert guess not in reply.error
        if number % 50 == 0:
            assert call(page, environ("/api/echo", REMOTE_ADDR="192.0.2.1", **bearer())).status == 200
    assert statuses[:10] == [401] * 10 and set(statuses[10:]) == {429}
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1
    assert "0000000" not in caplog.text


def test_what_a_name_contains_never_becomes_a_header() -> None:
    for reply in (
        get("/api/echo?a=%0d%0aSet-Cookie:%20x=1"),
        get("/x\r\nSet-Cookie: x=1"),
        get("/api/echo", HTTP_HOST="x\r\nSet-Cookie: x=1"),
        call(app(), environ("/api/echo", "X\r\nSet-Cookie: x=1")),
    ):
        assert not any("\r" in text or "\n" in text for pair in reply.headers.items() for text in pair)
        assert "Set-Cookie" not in reply.headers
