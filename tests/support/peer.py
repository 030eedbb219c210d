"""A scripted TCP peer that implements parts of MQTT (3.1.1 or 5, as the client does): a misbehaving broker.

    with Peer(refuse(5), serve()) as peer:      # the first connection is refused, the second served
        client.connect("127.0.0.1", peer.port)

Each connection follows one act of the script, in the order of their arrival; the last act is repeated.
Every wait has a deadline, and all threads are joined at the end.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias

from tests.support.packets import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    V3,
    V5,
    Packet,
    Value,
    packet,
    properties,
    version_of,
)

__all__ = ["CONNACK", "CONNECT", "DISCONNECT", "PINGREQ", "PUBACK", "PUBLISH", "SUBACK", "SUBSCRIBE"]
__all__ += ["Packet", "packet"]

_DEADLINE = 20.0  # s that a peer waits for anything; no test takes that long


@dataclass
class Conversation:
    """One connection: the packets received on it, and methods to answer them."""

    sock: socket.socket
    packets: list[Packet] = field(default_factory=list)
    acknowledged: list[Packet] = field(default_factory=list)  # each PUBLISH answered with a PUBACK of success
    version: int = V3  # that of the CONNECT
    is_closed: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)  # set when the test hangs up or ends

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> Packet | None:
        """Return the next packet, or None when the client has closed."""
        head = self.receive(1)
        if not head:
            return None
        length, shift = 0, 0
        while True:
            (byte,) = self.receive(1) or b"\0"
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = self.receive(length)
        if head[0] >> 4 == CONNECT:
            self.version = version_of(body)
        received = Packet(head[0] >> 4, head[0] & 15, body, self.version)
        self.packets.append(received)
        return received

    def connack(self, code: int = 0, values: Mapping[str, Value] | None = None, *, is_resumed: bool = False) -> None:
        """Answer CONNECT, with the properties `values` if it was of version 5."""
        self.send(packet(CONNACK, bytes([is_resumed, code]) + self._end(values)))

    def puback(self, publish: Packet, code: int = 0) -> None:
        """Answer a PUBLISH; in version 5, `code` can be that of a failure."""
        if code < 0x80:
            self.acknowledged.append(publish)
        self.send(packet(PUBACK, publish.mid + (bytes([code]) if code else b"")))

    def _end(self, values: Mapping[str, Value] | None = None) -> bytes:
        """Return the properties of a packet of version 5; nothing for 3.1.1."""
        return properties(values) if self.version == V5 else b""

    def suback(self, subscribe: Packet, codes: bytes) -> None:
        """Answer a SUBSCRIBE with a code for each filter."""
        self.send(packet(SUBACK, subscribe.mid + self._end() + codes))

    def packets_until_closed(self) -> Iterator[Packet]:
        while (received := self.read()) is not None:
            yield received

    def hang_up(self) -> None:
        """Close the connection from the test's thread."""
        self.is_over.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def of_kind(self, kind: int) -> list[Packet]:
        return [each for each in list(self.packets) if each.kind == kind]

    def receive(self, count: int) -> bytes:
        """Return the next `count` bytes; `b""` if the client has closed the connection."""
        data = b""
        while len(data) < count:
            part = self.sock.recv(min(count - len(data), 65536))  # data that is not MQTT may announce any length
            if not part:
                return b""
            data += part
        return data


Act: TypeAlias = Callable[[Conversation], None]


class Peer:
    """Listens on a free port of the loopback within the context; `conversations` holds all connections."""

    def __init__(self, *script: Act, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.conversations: list[Conversation] = []
        self._threads: list[threading.Thread] = []
        self._problems: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, name="peer")

    def __enter__(self) -> Peer:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._accepting.join(_DEADLINE)
        self._listener.close()
        for conversation in self.conversations:
            conversation.hang_up()
        for thread in self._threads:
            thread.join(_DEADLINE)
        if err is None and self._problems:
            raise self._problems[0]

    def packets(self, kind: int) -> list[Packet]:
        """Return all packets of a kind, of all connections."""
        return [each for conversation in list(self.conversations) for each in conversation.of_kind(kind)]

    def acknowledged(self) -> list[tuple[str, bytes]]:
        """Return topic and payload of each PUBLISH that was acknowledged, of all connections."""
        conversations = list(self.conversations)
        return [(publish.topic, publish.payload) for each in conversations for publish in list(each.acknowledged)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(_DEADLINE)
            act = self._script[min(len(self.conversations), len(self._script) - 1)]
            conversation = Conversation(sock)
            self.conversations.append(conversation)
            thread = threading.Thread(target=self._play, args=(act, conversation), name="peer connection")
            self._threads.append(thread)
            thread.start()

    def _play(self, act: Act, conversation: Conversation) -> None:
        try:
            if self._tls is not None:
                conversation.sock = self._tls.wrap_socket(conversation.sock, server_side=True)
            act(conversation)
        except OSError:  # the client has disconnected, or the test is over
            pass
        except BaseException as err:  # noqa: BLE001  (raised again in the test's thread)
            self._problems.append(err)
        finally:
            conversation.is_closed = True
            conversation.sock.close()


# --- acts


def close_immediately(_conversation: Conversation) -> None:
    """Close without an answer."""


def close_after_connect(conversation: Conversation) -> None:
    """Read CONNECT and close."""
    conversation.read()


def stay_silent(conversation: Conversation) -> None:
    """Read all packets and never answer."""
    for _ in conversation.packets_until_closed():
        pass


def answer_with(data: bytes) -> Act:
    """Answer CONNECT with `data`, and then read without answering."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(data)
        stay_silent(conversation)

    return act


def refuse(code: int) -> Act:
    """Answer CONNECT with a return or reason code that refuses it, and close, as the standard demands."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack(code)

    return act


def disconnect_packet(reason: int, values: Mapping[str, Value] | None = None) -> bytes:
    """Return the DISCONNECT with which a broker of version 5 ends a connection; for `serve(last=...)`."""
    return packet(DISCONNECT, bytes([reason]) + properties(values))


def serve(
    *,
    when: threading.Event | None = None,
    refused: Mapping[str, int] | None = None,
    pubacks: int | None = None,
    pings: bool = True,
    first: bytes = b"",
    until: Callable[[Conversation], bool] = lambda _: False,
    last: bytes = b"",
    values: Mapping[str, Value] | None = None,
    is_resumed: bool = False,
    reasons: Callable[[Packet], int] = lambda _: 0,
    versions: Collection[int] = (V3, V5),
) -> Act:
    """Act as a broker that routes nothing.

    CONNACK is sent once `when` is set; filters in `refused` get that return code; at most `pubacks` PUBLISH
    are acknowledged; `first` is sent after CONNACK; when `until` is true after a packet, `last` is sent and the
    connection is closed. For version 5: `values` are the properties of CONNACK, `is_resumed` is its session
    present flag, and `reasons` returns the reason code of the PUBACK for a PUBLISH. A version that is not in
    `versions` is refused as a broker of 3.1.1 does: in the format of 3.1.1, with return code 1.
    """

    def act(conversation: Conversation) -> None:
        conversation.read()
        if when is not None:
            assert when.wait(_DEADLINE), "the test never allowed the CONNACK"
        if conversation.version not in versions:
            conversation.send(packet(CONNACK, b"\0\1"))
            return
        conversation.connack(0, values, is_resumed=is_resumed)
        conversation.send(first)
        answered = 0
        for received in conversation.packets_until_closed():
            if received.kind == SUBSCRIBE:
                conversation.suback(
                    received, bytes((refused or {}).get(topic_filter, 1) for topic_filter in received.filters)
                )
            elif received.kind == PUBLISH and received.qos and (pubacks is None or answered < pubacks):
                answered += 1
                conversation.puback(received, reasons(received))
            elif received.kind == PINGREQ and pings:
                conversation.send(packet(PINGRESP))
            if until(conversation):
                conversation.send(last)
                return

    return act


def accept_then_silence(conversation: Conversation) -> None:
    """Accept CONNECT and then answer nothing, as a broker behind an unplugged cable."""
    conversation.read()
    conversation.connack()
    stay_silent(conversation)


def accept_and_read_no_more(conversation: Conversation) -> None:
    """Accept CONNECT and then read nothing, as a broker that hangs."""
    conversation.read()
    conversation.connack()
    conversation.is_over.wait(_DEADLINE)
