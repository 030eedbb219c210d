from __future__ import annotations

import contextlib
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.web.access import Access
from gateway.web.app import App, Content, Request, Route
from gateway.web.connections import MOST_CONNECTIONS, THREADS
from gateway.web.server import WebServer
from tests.support.waiting import wait_until
from tests.support.web import LOCAL, connect, exchange, fetch, read_reply, served

LARGE = Content("text/plain", b"x" * 8 * 1024 * 1024)
ROUTES = {
    ("GET", "/"): Route(lambda _: {"here": True}, is_public=True),
    ("GET", "/large"): Route(lambda _: LARGE),
    ("POST", "/read"): Route(lambda request: dict(request.body)),
}
HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /read HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    with served(ROUTES) as server:
        yield server.port


def ended(connection: socket.socket) -> bool:
    """Return whether the server has ended a connection on which nothing has been requested."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def test_several_requests_on_one_connection(port: int) -> None:
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert read_reply(connection).json == {"here": True}
        connection.sendall(GET * 3)
        data = b""
        while data.count(b'{"here": true}') < 3:
            data += connection.recv(65536)


def test_the_reply_to_head_and_304_ends_where_it_says(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(GET.replace(b"GET", b"HEAD") + GET)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 2 or b"true" not in data:
            data += connection.recv(65536)
        assert data.count(b'{"here": true}') == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS, spoken to a server without it
        (b"GET /\r\n\r\n", 421),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 421),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET http://[::1/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://[x]/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET //etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"GET /%0d%0aSet-Cookie:%20x=1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (POST + b"Content-Length: 99999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
        (POST + b"Content-Length: 2\r\n\r\n{}", 200),
    ],
)
def test_what_is_no_good_request_is_answered_as_such(port: int, request_: bytes, status: int) -> None:
    if status == 413 and b"10000\r\n" in request_:
        request_ += (b"10000\r\n" + b" " * 65536 + b"\r\n") * 16
    reply = exchange(port, request_)
    assert reply.status == status
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "Server" not in reply.headers and b"waitress" not in reply.data
    assert reply.headers["Content-Type"] == "application/json"


def test_what_a_bad_request_contains_is_not_repeated(port: int) -> None:
    reply = exchange(port, b"GET / HTTP/1.1\r\n" + HOST + b"X: <script>\r</script>\r\n\r\n")
    assert b"script" not in reply.data


def test_a_body_that_begins_a_second_request_is_a_body(port: int) -> None:
    """A request cannot be smuggled: what a proxy takes as a body is one here, too."""
    hidden = b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n"
    with connect(port) as connection:
        connection.sendall(POST + f"Content-Length: {len(hidden)}\r\n\r\n".encode() + hidden)
        assert read_reply(connection).status == 400  # the body is no JSON
        connection.sendall(GET)
        assert read_reply(connection).json == {"here": True}


def test_after_what_cannot_be_read_the_connection_ends(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"\x00\r\n\r\n" + GET)
        assert read_reply(connection).status == 400
        wait_until(lambda: ended(connection))


def test_urgent_data_occupies_nothing(port: int) -> None:
    with connect(port) as connection:
        connection.send(b"x", socket.MSG_OOB)
        wait_until(lambda: ended(connection))
    assert fetch(port, "/").status == 200


@pytest.mark.parametrize("begin", [b"", b"GET / HT", GET[:-2], POST + b"Content-Length: 10\r\n\r\n{"])
def test_who_sends_nothing_or_half_a_request_holds_up_nobody(port: int, begin: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3 * THREADS):
            stack.enter_context(connect(port)).sendall(begin)
        assert fetch(port, "/").json == {"here": True}


def test_who_reads_nothing_holds_up_nobody(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2 * THREADS):
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", port))
            stack.enter_context(slow).sendall(GET.replace(b"/", b"/large", 1))
        assert fetch(port, "/").json == {"here": True}


def test_who_goes_before_the_answer_leaves_nothing(port: int) -> None:
    for _ in range(20):
        connection = connect(port)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.sendall(GET.replace(b"/", b"/large", 1))
        connection.close()  # with a reset
    assert fetch(port, "/").status == 200


def test_200_idle_connections_lock_nobody_out(port: int) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(MOST_CONNECTIONS + 60)]
        assert fetch(port, "/").status == 200
        wait_until(lambda: sum(map(ended, idle)) >= 60)
        assert not ended(idle[-1])  # those end on which nothing has happened for longest
        idle[-1].sendall(GET)
        assert read_reply(idle[-1]).status == 200


def test_more_requests_at_once_than_threads_are_all_answered(port: int) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(port)) for _ in range(100)]
        for connection in connections:
            connection.sendall(GET)
        assert all(read_reply(connection).status == 200 for connection in connections)


def test_without_a_free_descriptor_no_processor_is_occupied(port: int) -> None:
    """A connection that cannot be accepted stays ready: a loop would look at it all the time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = [socket.socket() for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for each in waiting:
            stack.enter_context(each)
        probe = socket.socket()
        free = probe.fileno()
        probe.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            began, used = time.monotonic(), time.process_time()
            for each in waiting:
                each.connect(("127.0.0.1", port))  # the system completes it
            waiting[0].sendall(GET)
            wait_until(lambda: time.monotonic() - began > 0.5)
            assert time.process_time() - used < 0.05
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert read_reply(waiting[0]).status == 200


def test_a_port_that_is_taken() -> None:
    threads = threading.active_count()
    with served(ROUTES) as server:
        with_port = LOCAL._replace(listen=f"127.0.0.1:{server.port}")
        before = threading.active_count()
        with pytest.raises(OSError, match="in use"):
            WebServer(with_port, App(Access(LOCAL), ROUTES), lambda: None)
        assert threading.active_count() == before
    with served(ROUTES, with_port) as server:  # it is free again at once
        assert fetch(server.port, "/").status == 200
    assert threading.active_count() == threads


def test_a_port_that_another_program_has_taken_but_does_not_listen_on_yet() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        before = threading.active_count()
        with pytest.raises(OSError, match="in use"):
            WebServer(
                LOCAL._replace(listen=f"127.0.0.1:{other.getsockname()[1]}"),
                App(Access(LOCAL), ROUTES),
                lambda: None,
            )
        assert threading.active_count() == before


def test_an_address_that_is_not_of_this_machine() -> None:
    with pytest.raises(OSError, match="assign"):
        WebServer(LOCAL._replace(listen="192.0.2.1:0"), App(Access(LOCAL), ROUTES), lambda: None)


def test_ipv6() -> None:
    with (
        served(ROUTES, LOCAL._replace(listen="[::1]:0")) as server,
        socket.create_connection(("::1", server.port), timeout=10) as connection,
    ):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: [::1]:{server.port}\r\n\r\n".encode())
        assert read_reply(connection).status == 200


def test_close_lets_go_who_waits() -> None:
    is_closed = threading.Event()
    waiting: list[Request] = []

    def wait(request: Request) -> dict[str, Any]:
        waiting.append(request)
        assert is_closed.wait(20)
        return {}

    server = WebServer(LOCAL, App(Access(LOCAL), {("GET", "/"): Route(wait)}), is_closed.set)
    connections = [connect(server.port) for _ in range(THREADS + 3)]
    for connection in connections:
        connection.sendall(GET)
    wait_until(lambda: len(waiting) == THREADS)
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 2
    for connection in connections:
        with connection:
            wait_until(lambda connection=connection: ended(connection) or connection.recv(65536))  # type: ignore[misc]
    with pytest.raises(OSError, match="refused"):
        connect(server.port)


def test_close_with_connections_of_every_kind() -> None:
    server = WebServer(LOCAL, App(Access(LOCAL), ROUTES), lambda: None)
    with contextlib.ExitStack() as stack:
        for begin in (b"", b"GET / HT", GET, GET.replace(b"/", b"/large", 1)):
            stack.enter_context(connect(server.port)).sendall(begin)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 2
