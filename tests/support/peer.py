"""A TCP peer that speaks as much MQTT 3.1.1 as its script says: the broker that misbehaves.

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14  # MQTT 3.1.1, table 2.1

_DEADLINE = 20.0  # s that a peer waits for anything; a test is over long before


@dataclass(frozen=True)
class Packet:
    """One control packet as it came: its kind, the four flag bits, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def is_duplicate(self) -> bool:
        return bool(self.flags & 8)

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        return self.body[2 : 2 + int.from_bytes(self.body[:2], "big")].decode()

    @property
    def payload(self) -> bytes:
        """The payload of a PUBLISH."""
        return self.body[2 + len(self.topic.encode()) + (2 if self.qos else 0) :]

    @property
    def mid(self) -> bytes:
        """The packet identifier of a PUBLISH or SUBSCRIBE, as two bytes."""
        at = 2 + len(self.topic.encode()) if self.kind == PUBLISH else 0
        return self.body[at : at + 2]

    @property
    def filters(self) -> list[str]:
        """The filters of a SUBSCRIBE."""
        found, rest = [], self.body[2:]
        while rest:
            end = 2 + int.from_bytes(rest[:2], "big")
            found.append(rest[2:end].decode())
            rest = rest[end + 1 :]
        return found


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """Return the bytes of a control packet whose body has under 128 bytes."""
    assert len(body) < 128
    return bytes([kind << 4 | flags, len(body)]) + body


@dataclass
class Conversation:
    """One connection: what has come on it, and how to answer."""

    sock: socket.socket
    packets: list[Packet] = field(default_factory=list)
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
        found = Packet(head[0] >> 4, head[0] & 15, self._take(length))
        self.packets.append(found)
        return found

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
            part = self.sock.recv(count - len(data))
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
    """Answer CONNECT with a return code that refuses it, and close, as the standard says."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(packet(CONNACK, bytes([0, code])))

    return act


def serve(
    *,
    when: threading.Event | None = None,
    refused: Mapping[str, int] | None = None,
    pubacks: int | None = None,
    pings: bool = True,
    first: bytes = b"",
    until: Callable[[Conversation], bool] = lambda _: False,
) -> Act:
    """Be a broker that routes nothing.

    CONNACK comes once `when` is set; filters in `refused` get that return code; at most `pubacks` PUBLISH
    are acknowledged; `first` is said after CONNACK; the connection is closed when `until` is true after a
    packet.
    """

    def act(conversation: Conversation) -> None:
        conversation.read()
        if when is not None:
            assert when.wait(_DEADLINE), "the test never allowed the CONNACK"
        conversation.send(packet(CONNACK, b"\0\0") + first)
        acknowledged = 0
        for found in conversation.packets_until_closed():
            if found.kind == SUBSCRIBE:
                codes = bytes((refused or {}).get(topic_filter, 1) for topic_filter in found.filters)
                conversation.send(packet(SUBACK, found.mid + codes))
            elif found.kind == PUBLISH and found.qos and (pubacks is None or acknowledged < pubacks):
                acknowledged += 1
                conversation.send(packet(PUBACK, found.mid))
            elif found.kind == PINGREQ and pings:
                conversation.send(packet(PINGRESP))
            if until(conversation):
                return

    return act


def accept_then_silence(conversation: Conversation) -> None:
    """Accept CONNECT and then be gone, as a broker behind a cable that was pulled."""
    conversation.read()
    conversation.send(packet(CONNACK, b"\0\0"))
    stay_silent(conversation)


def accept_and_read_no_more(conversation: Conversation) -> None:
    """Accept CONNECT and take nothing more off the line, as a broker that hangs."""
    conversation.read()
    conversation.send(packet(CONNACK, b"\0\0"))
    conversation.is_over.wait(_DEADLINE)
