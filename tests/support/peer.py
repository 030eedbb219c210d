"""A TCP peer that speaks as much MQTT (3.1.1 or 5, as it is spoken to) as its script says: the broker that misbehaves.

    with Peer(refuse(5), serve()) as peer:      # the first connection is refused, the second served
        client.connect("127.0.0.1", peer.port)

Each connection follows one act of the script, in the order in which they come; the last act is repeated.
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

_DEADLINE = 20.0  # s that a peer waits for anything; a test is over long before


@dataclass
class Conversation:
    """One connection: what has come on it, and how to answer."""

    sock: socket.socket
    packets: list[Packet] = field(default_factory=list)
    acknowledged: list[Packet] = field(default_factory=list)  # each PUBLISH answered with a PUBACK of success
    version: int = V3  # as CONNECT says
    is_closed: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)  # set when the test hangs up or ends

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> Packet | None:
        """Return the next packet, or None when the client has closed."""
        head = self._take(1)
        if not head:
            return None
        length, shift = 0, 0
        while True:
            (byte,) = self._take(1) or b"\0"
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = self._take(length)
        if head[0] >> 4 == CONNECT:
            self.version = version_of(body)
        found = Packet(head[0] >> 4, head[0] & 15, body, self.version)
        self.packets.append(found)
        return found

    def connack(self, code: int = 0, values: Mapping[str, Value] | None = None, *, is_resumed: bool = False) -> None:
        """Answer CONNECT, with the properties `values` if it was of version 5."""
        self.send(packet(CONNACK, bytes([is_resumed, code]) + self._end(values)))

    def puback(self, found: Packet, code: int = 0) -> None:
        """Answer a PUBLISH; version 5 can say that it failed."""
        if code < 0x80:
            self.acknowledged.append(found)
        self.send(packet(PUBACK, found.mid + (bytes([code]) if code else b"")))

    def _end(self, values: Mapping[str, Value] | None = None) -> bytes:
        """Return what a packet of version 5 has more than one of 3.1.1."""
        return properties(values) if self.version == V5 else b""

    def suback(self, found: Packet, codes: bytes) -> None:
        """Answer a SUBSCRIBE with a code for each filter."""
        self.send(packet(SUBACK, found.mid + self._end() + codes))

    def packets_until_closed(self) -> Iterator[Packet]:
        while (found := self.read()) is not None:
            yield found

    def hang_up(self) -> None:
        """Close from the test's thread."""
        self.is_over.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def of_kind(self, kind: int) -> list[Packet]:
        return [found for found in list(self.packets) if found.kind == kind]

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.sock.recv(min(count - len(data), 65536))  # what is no MQTT may ask for any number
            if not part:
                return b""
            data += part
        return data


Act: TypeAlias = Callable[[Conversation], None]


class Peer:
    """Listens on a free port of the loopback while the context lasts; `conversations` holds what has come."""

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
        return [found for conversation in list(self.conversations) for found in conversation.of_kind(kind)]

    def taken(self) -> list[tuple[str, bytes]]:
        """Return topic and payload of each PUBLISH that was acknowledged, of all connections."""
        conversations = list(self.conversations)
        return [(found.topic, found.payload) for each in conversations for found in list(each.acknowledged)]

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
        except OSError:  # the client has gone, or the test is over
            pass
        except BaseException as err:  # noqa: BLE001  (raised again in the test's thread)
            self._problems.append(err)
        finally:
            conversation.is_closed = True
            conversation.sock.close()


# --- acts


def close_at_once(_conversation: Conversation) -> None:
    """Close without a word."""


def close_after_connect(conversation: Conversation) -> None:
    """Read CONNECT and close."""
    conversation.read()


def stay_silent(conversation: Conversation) -> None:
    """Read what comes and never answer."""
    for _ in conversation.packets_until_closed():
        pass


def say(data: bytes) -> Act:
    """Answer CONNECT with `data`, whatever it is, and then read on."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(data)
        stay_silent(conversation)

    return act


def refuse(code: int) -> Act:
    """Answer CONNECT with a return or reason code that refuses it, and close, as the standard says."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack(code)

    return act


def goodbye(reason: int, values: Mapping[str, Value] | None = None) -> bytes:
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
    speaks: Collection[int] = (V3, V5),
) -> Act:
    """Be a broker that routes nothing.

    CONNACK comes once `when` is set; filters in `refused` get that return code; at most `pubacks` PUBLISH
    are acknowledged; `first` is said after CONNACK; the connection is closed when `until` is true after a
    packet, after `last` has been said. For version 5: `values` are the properties of CONNACK, `is_resumed`
    its session present, and `reasons` gives the reason code of the PUBACK for a PUBLISH. A version that it
    does not speak is refused as a broker of 3.1.1 does: in the form of 3.1.1, with return code 1.
    """

    def act(conversation: Conversation) -> None:
        conversation.read()
        if when is not None:
            assert when.wait(_DEADLINE), "the test never allowed the CONNACK"
        if conversation.version not in speaks:
            conversation.send(packet(CONNACK, b"\0\1"))
            return
        conversation.connack(0, values, is_resumed=is_resumed)
        conversation.send(first)
        answered = 0
        for found in conversation.packets_until_closed():
            if found.kind == SUBSCRIBE:
                conversation.suback(found, bytes((refused or {}).get(wanted, 1) for wanted in found.filters))
            elif found.kind == PUBLISH and found.qos and (pubacks is None or answered < pubacks):
                answered += 1
                conversation.puback(found, reasons(found))
            elif found.kind == PINGREQ and pings:
                conversation.send(packet(PINGRESP))
            if until(conversation):
                conversation.send(last)
                return

    return act


def accept_then_silence(conversation: Conversation) -> None:
    """Accept CONNECT and then be gone, as a broker behind a cable that was pulled."""
    conversation.read()
    conversation.connack()
    stay_silent(conversation)


def accept_and_read_no_more(conversation: Conversation) -> None:
    """Accept CONNECT and take nothing more off the line, as a broker that hangs."""
    conversation.read()
    conversation.connack()
    conversation.is_over.wait(_DEADLINE)
