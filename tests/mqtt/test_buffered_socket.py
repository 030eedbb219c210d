from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.buffered_socket import BufferedSocket
from tests.support.waiting import wait_until


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(10)
    yield BufferedSocket(near), far
    near.close()
    far.close()


Pair = tuple[BufferedSocket, socket.socket]


def test_a_flush_sends_everything_in_one_piece(pair: Pair) -> None:
    near, far = pair
    assert near.send(b"one") == 3
    assert near.send(b"two") == 3
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(10)
    assert near.has_unsent
    near.flush()
    assert far.recv(100) == b"onetwo"
    assert not near.has_unsent


def test_more_is_received_than_was_asked_for(pair: Pair) -> None:
    near, far = pair
    far.sendall(b"abcdef")
    assert near.recv(1) == b"a"
    assert near.pending() == 5
    assert near.recv(3) == b"bcd"
    assert near.recv(100) == b"ef"
    assert near.pending() == 0
    with pytest.raises(BlockingIOError):
        near.recv(1)
    far.close()
    assert near.recv(1) == b""


def test_fill_receives_what_recv_would_have_returned(pair: Pair) -> None:
    near, far = pair
    near.fill()
    with pytest.raises(BlockingIOError):
        near.recv(1)
    far.sendall(b"\x30\x03\0\1a\x30")
    near.fill()
    assert near.packet() == (0x30, b"\0\1a")
    far.sendall(b"\0")
    near.fill()
    assert near.packet() is None, "there is a part of it that has not been read"
    assert (near.recv(10), near.recv(10)) == (b"\x30", b"\0")
    far.close()
    near.fill()
    assert near.recv(1) == b""


def test_an_error_of_fill_is_raised_by_recv() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        buffered = BufferedSocket(near)
        with near:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that it is reset
            far.close()
            buffered.fill()
            for _ in range(2):
                with pytest.raises(ConnectionResetError):
                    buffered.recv(1)


def test_a_peer_that_reads_nothing_makes_the_sender_wait_and_nothing_is_lost(pair: Pair) -> None:
    near, far = pair
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += near.send(bytes([sent // 1000 % 251]) * 1000)
    near.flush()
    assert near.has_unsent
    received = bytearray()

    def drained() -> bool:
        near.flush()
        received.extend(far.recv(1 << 20))
        return len(received) == sent

    wait_until(drained, what=lambda: f"{sent} bytes; got {len(received)}")
    assert received == b"".join(bytes([number % 251]) * 1000 for number in range(sent // 1000))


def test_what_is_still_in_the_buffer_is_sent_at_the_close(pair: Pair) -> None:
    near, far = pair
    near.send(b"bye")
    near.close()
    assert far.recv(10) == b"bye"
    assert far.recv(10) == b""


def test_a_lost_connection_is_an_error_in_flush_but_not_in_close(pair: Pair) -> None:
    near, far = pair
    far.close()
    near.send(b"bye")
    with pytest.raises(OSError):
        near.flush()
    near.close()


def test_other_attributes_are_those_of_the_socket(pair: Pair) -> None:
    near, _ = pair
    assert near.family == socket.AF_UNIX
    assert near.fileno() > 0


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_the_bytes_are_the_same_however_they_are_divided(chunks: list[bytes], sizes: list[int]) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        near, far = BufferedSocket(left), BufferedSocket(right)
        for chunk in chunks:
            near.send(chunk)
        near.close()
        received, count = b"", 0
        while data := far.recv(sizes[count % len(sizes)]):
            received += data
            count += 1
        assert received == b"".join(chunks)
