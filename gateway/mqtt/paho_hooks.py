"""The one place that uses private parts of paho: for what has no public method, and for what paho does slowly.

Written for paho-mqtt 2.2, the only version that pyproject.toml allows; tests compare the hooks with it. If paho did not
call `_create_socket` or `_handle_publish` any more, all would work, but slower. `_handle_pubackcomp` is indispensable:
only this module knows which publications are in flight.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt._packet import decode_publish
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket, MQTTException
from paho.mqtt.properties import Properties

from gateway.core.bounded_cache import put
from gateway.message import Publication
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.dial import Connection, is_websocket
from gateway.mqtt.link_log import LOG
from gateway.mqtt.packets import NO_PROPERTIES, PublishProperties, packed_properties, plain_packet, publish_packet
from gateway.mqtt.shared_callback import Callback, SharedCallback
from gateway.outbox.queues import Entry

_V5 = MQTTProtocolVersion.MQTTv5
_KIND, _QOS, _RETAIN, _DUP = 0xF0, 0x06, 0x01, 0x08  # in the first byte of a PUBLISH
_LONGEST_BEGINNING = 2 + 65_535 + 2  # bytes of a PUBLISH that hold its topic and its packet identifier
MAXIMUM_PACKET = 512 * 1024
"""Bytes of the longest packet that is accepted: the longest payload (`MAX_PAYLOAD_BYTES`) and more."""


class InFlight:
    """A publication in flight, with the QoS that it is sent with, and the `entry` of the outbox that it came from.

    `mid` is its packet identifier, 0 with QoS 0. It is complete once the connection has accepted all bytes of it (QoS
    0), or the broker has acknowledged it (QoS 1). If the broker refused it, `refusal` is the reason code.
    """

    __slots__ = ("_buffer", "_end", "_is_done", "_start", "entry", "mid", "publication", "qos", "rc", "refusal")

    rc: MQTTErrorCode  # paho sets this if it has lost the packet

    def __init__(
        self,
        publication: Publication,
        qos: int,
        mid: int,
        entry: Entry | None,
        buffer: BufferedSocket | None = None,
        start: int = 0,
        end: int = 0,
    ) -> None:
        self.publication = publication
        self.qos = qos
        self.mid = mid
        self.entry = entry
        self.refusal = 0
        self._buffer, self._start, self._end = buffer, start, end  # as in `set_offsets`
        self._is_done = False

    def set_offsets(self, buffer: BufferedSocket, start: int, end: int) -> None:
        """Record where its bytes begin and end among all bytes that were put into `buffer`."""
        self._buffer, self._start, self._end = buffer, start, end

    @property
    def is_unwritten(self) -> bool:
        """Whether the connection has accepted no byte of it."""
        return self._buffer is not None and self._buffer.sent <= self._start

    def is_published(self) -> bool:
        """Return whether it is complete."""
        if self.mid or self._buffer is None:
            return self._is_done
        return self._buffer.sent >= self._end

    def acknowledged(self, reason: int) -> None:
        """Record a PUBACK with the reason code `reason`."""
        self._is_done = True
        self.refusal = reason if reason >= 0x80 else 0

    def _set_as_published(self) -> None:
        """Record that it is written. paho calls this for the packets in its own queue."""
        self._is_done = True


class Received(NamedTuple):
    """A received message, with the attributes of paho's `MQTTMessage` but without its cost: a lock for each."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int
    properties: Properties | None = None


class _Beginning(bytearray):
    """The first bytes of a packet that is too long to be kept: enough for topic and packet identifier."""

    def __iadd__(self, data: Any) -> _Beginning:  # type: ignore[misc]  # only `+=` differs
        self.extend(data[: max(0, _LONGEST_BEGINNING - len(self))])
        return self


class HookedClient(mqtt.Client):
    """A paho client that adopts connections that are open already, and writes and reads them in large pieces.

    Connections are buffered, except for websockets, where paho reads and writes. This class keeps the publications of
    `mg_publish` until they are acknowledged, but does not send them again; paho handles those of `publish`, as usual.
    """

    _adopted: Connection | None = None

    on_connect: Any = SharedCallback()
    on_disconnect: Any = SharedCallback()
    on_message: Any = SharedCallback()
    on_subscribe: Any = SharedCallback()
    on_unsubscribe: Any = SharedCallback()

    def __init__(self, *args: Any, **options: Any) -> None:
        self._unacknowledged: dict[int, InFlight] = {}  # with QoS 1, by packet identifier
        self._topics: dict[bytes, str] = {}  # received topics, as text
        self.mg_asked: Callable[[], None] = lambda: None
        """Called when a PINGREQ is sent."""
        self.mg_answered: Callable[[], None] = lambda: None
        """Called when a PINGRESP was received."""
        self.mg_passed_over: Callable[[str, str], None] = lambda _, __: None
        """Called with the topic of a message that was dropped as unusable, and with what is wrong with it."""
        super().__init__(*args, **options)

    def mg_adopt(self, connection: Connection, protocol: MQTTProtocolVersion) -> None:
        """Send CONNECT on `connection`, with the arguments of the last `connect_async`.

        paho accepts the `protocol` version in its constructor only. Between two connections it may be changed: paho
        itself does so to fall back to MQTT 3.1.
        """
        self._adopted = connection
        self._protocol = protocol
        self.reconnect()

    def _create_socket(self) -> Any:
        """Return the connection that is open already. paho calls this."""
        adopted, self._adopted = self._adopted, None
        if adopted is None:
            return super()._create_socket()
        return adopted if is_websocket(adopted) else BufferedSocket(adopted)

    @property
    def _buffer(self) -> BufferedSocket | None:
        """The connection, if it is buffered; otherwise None."""
        sock: object = self._sock
        return sock if isinstance(sock, BufferedSocket) else None

    @property
    def mg_is_buffered(self) -> bool:
        """Whether there is a connection that is buffered: threads other than the main one may then write, too."""
        sock: object = self._sock
        return isinstance(sock, BufferedSocket)

    def mg_shut_down(self) -> None:
        """End the connection, and read on until paho notices that, which mostly calls `on_disconnect`."""
        sock: Any = self._sock
        if sock is None:
            return
        try:
            sock.shutdown(socket.SHUT_RDWR)
            self.loop_read()
        except Exception as err:  # noqa: BLE001  (the link is being dropped, whatever its last packet was)
            LOG.debug("closing: %r", err)

    def mg_close_socket(self) -> None:
        """Close the connection, if there is one, without `on_disconnect`."""
        self._sock_close()

    def mg_weaken_will(self, *, without_qos: bool, without_retain: bool) -> None:
        """Give the will QoS 0, or no retain, from the next CONNECT on: the broker supports nothing else."""
        qos = 0 if without_qos else self._will_qos
        self.will_set(self.will_topic or "", self.will_payload, qos, self._will_retain and not without_retain)

    def mg_serve(self, **callbacks: Callback) -> None:
        """Register these callbacks of paho. Each runs before what is assigned to the attribute of the same name."""
        for name, callback in callbacks.items():
            getattr(type(self), name).serve(self, callback)

    # --- out

    def mg_publish(
        self,
        publication: Publication,
        qos: int,
        retain: bool,
        properties: PublishProperties | None = None,
        *,
        entry: Entry | None = None,
    ) -> InFlight | None:
        """Queue a PUBLISH with this `qos` and `retain` for the next `loop_write`; return None without a connection.

        Raises `ValueError` for a topic on which nothing can be published. paho's `publish` creates a message, a lock
        and a condition for each publication, which takes four times as long.
        """
        if self._sock is None:
            return None
        sent = InFlight(publication, qos, self._mid_generate() if qos else 0, entry)
        self._put(sent, retain, properties, dup=False)
        if qos:
            self._unacknowledged[sent.mid] = sent
        return sent

    def mg_publish_plain(self, entries: Sequence[Entry]) -> list[InFlight]:
        """Queue the first of `entries` as `mg_publish` would one after the other, at less cost; return those queued.

        It stops at the first publication that has properties, or a topic on which nothing can be published.
        """
        buffer = self._buffer
        if buffer is None:
            return []
        all_sent: list[InFlight] = []
        packets: list[bytes] = []
        end = buffer.taken
        no_properties = NO_PROPERTIES[self._protocol == _V5]
        for entry in entries:
            publication = entry.publication
            mid = self._mid_generate() if publication.qos else 0
            packet = plain_packet(publication, mid, no_properties)
            if not packet:
                break
            start, end = end, end + len(packet)
            sent = InFlight(publication, publication.qos, mid, entry, buffer, start, end)
            if mid:
                self._unacknowledged[mid] = sent
            packets.append(packet)
            all_sent.append(sent)
        buffer.put(b"".join(packets))
        return all_sent

    def mg_write_plain(self, publications: Sequence[Publication], most: int) -> list[tuple[int, int]] | None:
        """Write publications, if all are plain, none is retained, no bytes wait before them, and `most` bytes suffice.

        Return None if nothing was written, and an empty list if the connection has accepted all bytes. Otherwise return
        where the bytes of each publication begin and end among all bytes of the connection.
        """
        buffer = self._buffer
        if buffer is None or buffer.has_unsent or any(map(attrgetter("retain"), publications)):
            return None
        packets = self.mg_plain_packets(publications)
        if len(packets) < len(publications) or sum(map(len, packets)) > most:
            return None
        begin = buffer.taken
        buffer.put(b"".join(packets))
        return [] if self.mg_flush() else _offsets(packets, begin)

    def mg_plain_packets(self, publications: Iterable[Publication]) -> list[bytes]:
        """Return the packets of `publications` up to the first that is not plain, for `mg_put`.

        A plain publication has QoS 0, no properties, and a topic on which something can be published.
        """
        packets: list[bytes] = []
        if self._buffer is None:
            return packets
        no_properties = NO_PROPERTIES[self._protocol == _V5]
        for publication in publications:
            packet = b"" if publication.qos else plain_packet(publication, 0, no_properties)
            if not packet:
                break
            packets.append(packet)
        return packets

    def mg_put(self, packets: Sequence[bytes]) -> list[tuple[int, int]]:
        """Queue packets for `mg_flush`; return where each begins and ends among all bytes of the connection."""
        buffer = self._buffer
        if buffer is None:
            return []
        offsets = _offsets(packets, buffer.taken)
        buffer.put(b"".join(packets))
        return offsets

    def track_in_flight(self, entries: Sequence[Entry], offsets: Sequence[tuple[int, int]]) -> list[InFlight]:
        """Return the publications of `entries`, which `mg_put` has queued at `offsets`, as publications in flight."""
        return [
            InFlight(entry.publication, 0, 0, entry, self._buffer, start, end)
            for entry, (start, end) in zip(entries, offsets, strict=True)
        ]

    def mg_publish_again(self, sent: InFlight, properties: PublishProperties | None = None) -> None:
        """Queue a PUBLISH with QoS 1 again, with the same packet identifier as on the previous connection."""
        self._unacknowledged[sent.mid] = sent
        self._put(sent, sent.publication.retain, properties, dup=not self.mg_is_unwritten(sent))

    def _put(self, sent: InFlight, retain: bool, properties: PublishProperties | None, *, dup: bool) -> None:
        topic, payload = sent.publication[:2]
        packed = packed_properties(properties, is_v5=self._protocol == _V5)
        packet = publish_packet(topic, payload, sent.qos, sent.mid, packed, retain=retain, dup=dup)
        sock: object = self._sock
        if isinstance(sock, BufferedSocket):
            sent.set_offsets(sock, sock.taken, sock.taken + len(packet))
            sock.put(packet)
        else:
            self._packet_queue(mqtt.PUBLISH, packet, sent.mid, sent.qos, sent)  # type: ignore[arg-type]

    def mg_forget_in_flight(self) -> None:
        """Forget all publications that are not acknowledged, those of paho's `publish` as well."""
        self._unacknowledged.clear()
        self.drop_out_messages()

    @property
    def mg_unsent(self) -> int:
        """How many queued bytes the connection has not accepted yet."""
        buffer = self._buffer
        if buffer is not None:
            return buffer.taken - buffer.sent
        return sum(packet["to_process"] for packet in self._out_packet)

    def mg_is_unwritten(self, sent: InFlight) -> bool:
        """Return whether no byte of a publication has been written."""
        queued: Iterable[Any] = self._out_packet
        return sent.is_unwritten or any(packet["info"] is sent and packet["pos"] == 0 for packet in queued)

    def _mid_generate(self) -> int:
        """Return a packet identifier that is not in use."""
        mid = super()._mid_generate()
        while mid in self._unacknowledged:
            mid = super()._mid_generate()
        return mid

    def want_write(self) -> bool:
        """Return whether `loop_write` has something to write."""
        buffer = self._buffer
        return super().want_write() or (buffer is not None and buffer.has_unsent)

    def mg_flush(self) -> bool:
        """Write what is queued, as far as the connection accepts it now; return whether all of it was written.

        Return False as well if the connection is lost, or fails in any way: `loop_write` reports that to paho.
        """
        buffer = self._buffer
        if buffer is None or not buffer.has_unsent:
            return True
        try:
            is_all = buffer.flush()
        except Exception:  # noqa: BLE001
            return False
        self._last_msg_out = time.monotonic()
        return is_all

    def loop_write(self) -> MQTTErrorCode:
        """Write all that is queued, in as few system calls as possible."""
        code = super().loop_write() if self._out_packet else MQTTErrorCode.MQTT_ERR_SUCCESS
        buffer = self._buffer
        if buffer is not None and buffer.has_unsent:
            try:
                buffer.flush()
            except OSError:
                return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
            self._last_msg_out = time.monotonic()
        return code

    # --- in

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle up to `max_packets` complete packets; if there is none, let paho read what there is, or the end."""
        buffer = self._buffer
        if buffer is None:
            return super().loop_read(max_packets)
        buffer.fill()
        code, count = self._read_whole(buffer, max_packets)
        return code if count else super().loop_read()

    def _read_whole(self, buffer: BufferedSocket, max_packets: int) -> tuple[MQTTErrorCode, int]:
        """Handle up to `max_packets` packets that are complete in `buffer`; return the last result, and how many."""
        code, count = MQTTErrorCode.MQTT_ERR_SUCCESS, 0
        while count < max_packets and not self._in_packet["command"]:
            packet = buffer.packet()
            if packet is None:
                break
            count += 1
            message = self._plain_message(*packet)
            code = self._handle_packet(*packet) if message is None else self._deliver(message)
            if code > 0:
                self._loop_rc_handle(code)
            if self._buffer is not buffer:  # the link has ended
                break
        if count:
            self._last_bytes_received = time.monotonic()
        return code, count

    def _handle_packet(self, first: int, body: bytes) -> MQTTErrorCode:
        """Have paho handle a packet with this first byte and body, as if paho had read it."""
        packet = self._in_packet
        packet["command"], packet["packet"], packet["remaining_length"] = first, bytearray(body), len(body)
        try:
            return self._packet_handle()
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            packet["command"], packet["packet"], packet["remaining_length"] = 0, bytearray(), 0

    # --- PINGREQ and PINGRESP

    def mg_ask(self) -> None:
        """Send a PINGREQ for which paho expects no answer.

        If paho expected one, it would drop the link after one keepalive without it.
        """
        self.mg_asked()
        self._send_simple_command(mqtt.PINGREQ)
        self.loop_write()

    def _send_pingreq(self) -> MQTTErrorCode:
        self.mg_asked()
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        self.mg_answered()
        return super()._handle_pingresp()

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Record a PUBACK.

        paho creates a reason code and properties for each, which costs more than everything else in a publication.
        """
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) < 2 or (len(packet) > 2 and self._protocol != _V5):
            return super()._handle_pubackcomp(cmd)
        mid = packet[0] << 8 | packet[1]
        reason = packet[2] if len(packet) > 2 else 0
        sent = self._unacknowledged.pop(mid, None)
        if sent is not None:
            sent.acknowledged(reason)
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._handle_pubackcomp(cmd)

    def _sock_recv(self, bufsize: int) -> bytes:
        """Receive bytes; of a packet that is longer than `MAXIMUM_PACKET` keep only the beginning."""
        incoming = self._in_packet
        is_too_long = incoming["have_remaining"] and incoming["remaining_length"] > MAXIMUM_PACKET
        if is_too_long and not isinstance(incoming["packet"], _Beginning):
            incoming["packet"] = _Beginning()
        return super()._sock_recv(bufsize)

    def _packet_handle(self) -> MQTTErrorCode:
        """Handle a complete packet. One that is too long is a protocol error unless it is a PUBLISH."""
        incoming = self._in_packet
        if isinstance(incoming["packet"], _Beginning) and incoming["command"] & _KIND != mqtt.PUBLISH:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._packet_handle()

    def _handle_publish(self) -> MQTTErrorCode:
        """Handle a PUBLISH that did not arrive in one piece, or is not plain.

        One that cannot be used is dropped and acknowledged. If it ended the link instead, one retained message of any
        client could keep the link down for ever, since the broker would send it again on each link.
        """
        first, body = self._in_packet["command"], self._in_packet["packet"]
        if isinstance(body, _Beginning):
            return self._drop_unusable(first, bytes(body), f"a packet of {self._in_packet['remaining_length']} bytes")
        message = self._plain_message(first, bytes(body))
        if message is not None:
            return self._deliver(message)
        try:
            read = decode_publish(first, bytes(body), self._protocol)
            topic = read.topic.decode("utf-8")
        except UnicodeDecodeError:
            return self._drop_unusable(first, bytes(body), "text that is not UTF-8")
        except (MQTTException, struct.error, LookupError, ValueError):
            return self._drop_unusable(first, bytes(body), "a form that is not MQTT")
        if read.qos > 1:
            return super()._handle_publish()
        payload = bytes(read.payload)
        return self._deliver(Received(topic, payload, read.qos, read.retain, read.dup, read.mid, read.properties))

    def _drop_unusable(self, first: int, body: bytes, problem: str) -> MQTTErrorCode:
        """Acknowledge a PUBLISH that cannot be used, of which `body` is at least the beginning.

        `problem` is what is wrong with it. Raises `MalformedPacket` if not even topic and identifier can be read.
        """
        end = 2 + int.from_bytes(body[:2], "big")
        qos = first >> 1 & 3
        mid = int.from_bytes(body[end : end + 2], "big") if qos else 0
        if end == 2 or len(body) < end + 2 * (qos > 0) or qos == 3 or (qos and not mid):
            raise MalformedPacket("a PUBLISH without a topic or an identifier")
        self.mg_passed_over(body[2:end].decode("utf-8", "backslashreplace"), problem)
        if not qos:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return self._send_puback(mid) if qos == 1 else self._send_pubrec(mid)

    def _plain_message(self, first: int, packet: bytes) -> Received | None:
        """Return the message of a PUBLISH of QoS 0 or 1 without properties; None for any other packet.

        Most messages are of this kind. paho creates a lock and properties for each, and takes ten times as long.
        """
        if first & _KIND != mqtt.PUBLISH or first & _QOS > 2:
            return None
        end = 2 + int.from_bytes(packet[:2], "big")
        at = end + 2 if first & _QOS else end
        if self._protocol == _V5:
            if packet[at : at + 1] != b"\0":
                return None
            at += 1
        topic = (self._topics.get(packet[2:end]) or self._plain_topic(packet[2:end])) if len(packet) >= at else ""
        if not topic:
            return None
        mid = packet[end] << 8 | packet[end + 1] if first & _QOS else 0
        return Received(topic, packet[at:], first >> 1 & 3, first & _RETAIN > 0, first & _DUP > 0, mid)

    def _plain_topic(self, topic: bytes) -> str:
        """Return `topic` as text, and cache it, if it is certainly valid; otherwise `""`: paho has to check it."""
        if not topic or not topic.isascii() or b"\0" in topic or b"+" in topic or b"#" in topic:
            return ""
        plain = topic.decode("ascii")
        put(self._topics, topic, plain)
        return plain

    def _deliver(self, message: Received) -> MQTTErrorCode:
        """Pass a message to `on_message`, and then acknowledge it."""
        if self.on_message is not None:
            self.on_message(self, self._userdata, message)
        return self._send_puback(message.mid) if message.qos else MQTTErrorCode.MQTT_ERR_SUCCESS


def _offsets(packets: Sequence[bytes], begin: int) -> list[tuple[int, int]]:
    """Return where each of `packets` begins and ends, if the first begins at `begin`."""
    return list(pairwise(accumulate(map(len, packets), initial=begin)))
