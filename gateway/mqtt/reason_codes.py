"""The reason codes of a broker in words: what happened, the remedy, and the cause of a disconnect. Pure.

The codes are those of MQTT 5.0, section 2.4. paho translates the return codes of 3.1.1 to them.
"""

from __future__ import annotations

import enum
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt.dial import LinkError


class DisconnectCause(enum.Enum):
    """Why a link, or an attempt to connect, has ended."""

    OTHER = "none of these, or unknown"
    NO_CONNACK = "the broker sent garbage, or closed the connection, instead of a CONNACK"
    SILENCE = "the broker sent nothing instead of a CONNACK"
    VERSION_REFUSED = "the broker does not support this version of MQTT"
    CLOSED = "the broker closed the connection without a reason, or because of something that was sent"
    TAKEN_OVER = "another client has the same client id"
    RETURNING = "the gateway returns to the preferred broker"


class DisconnectError(LinkError):
    """A link, or an attempt to connect, has ended, and its `cause` is known."""

    def __init__(self, message: str, remedy: str, cause: DisconnectCause) -> None:
        super().__init__(message, remedy)
        self.cause = cause


_REMEDIES = {
    0x89: "the broker is busy; the gateway retries automatically",
    0x9C: "set mqtt.host to the server that it names, or ask its operator",
    0x9D: "set mqtt.host to the server that it names, or ask its operator",
    0x9F: "the broker accepts no more connections for now; the gateway retries automatically",
}

_CONNACK_REMEDIES = {
    **_REMEDIES,
    0x84: "use a broker that supports MQTT 3.1.1 or 5",
    0x85: "choose another mqtt.client_id",
    0x86: "check mqtt.username and mqtt.password_file",
    0x87: "check mqtt.username, mqtt.password_file and the broker's access rules",
    0x88: "the broker is busy or stopping; the gateway retries automatically",
    0x8A: "the broker has banned this client",
    0x8C: "check mqtt.username and mqtt.password_file",
    0x97: "the broker is at its limit; the gateway retries automatically",
    0x9A: "the gateway retries with a last will that is not retained",
    0x9B: "the gateway retries with a last will of QoS 0",
}

_DISCONNECT_REMEDIES = {
    **_REMEDIES,
    0x87: "check the broker's access rules",
    0x8B: "the gateway retries until the broker is back",
    0x8D: "check the network, or raise mqtt.keepalive",
    0x95: "see the dead letters, and the limit of the broker for packets",
    0x96: "check the broker's limit for messages per second",
    0x97: "check the broker's quotas",
    0x98: "ask the broker's operator",
    0xA0: "the broker limits the duration of a connection; the gateway connects again",
}

# The codes by which a broker rejects what it was sent; the others are about the broker itself.
_BLAMES_MESSAGE = {0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x99, 0x9A, 0x9B}

_TAKEN_OVER = 0x8E
_VERSION_REFUSED = 0x84
_PROTOCOL_ERROR = 0x82  # also what paho reports where it has read something that is not MQTT
_UNSPECIFIED_ERROR = 0x80  # also what paho reports of any connection that has ended


def describe_refusal(broker: str, code: ReasonCode, properties: Any) -> DisconnectError:
    """Return why the broker refused the connection in its CONNACK."""
    remedy = _CONNACK_REMEDIES.get(code.value, "see the broker's log")
    cause = DisconnectCause.VERSION_REFUSED if code.value == _VERSION_REFUSED else DisconnectCause.OTHER
    return DisconnectError(f"{broker} refused the connection: {code}{_details(properties)}", remedy, cause)


def describe_missing_connack(broker: str, code: ReasonCode, version: str, *, with_tls: bool) -> DisconnectError:
    """Return why a connection ended before a CONNACK that paho could read, as far as paho knows."""
    if code.value == _PROTOCOL_ERROR:  # which paho reports for CONNACK return code 1, too
        message, remedy = f"{broker} does not support {version}", "is it a broker, and mqtt.port its port for that?"
        return DisconnectError(message, remedy, DisconnectCause.NO_CONNACK)
    doubts = [] if with_tls else [f"{version}, without TLS"]
    if version == "MQTT 3.1.1":  # in which a broker has no words for refusing the will because it is retained
        doubts.append("retained messages")
    remedy = f"does it support {', and '.join(doubts)}?" if doubts else ""
    return DisconnectError(
        f"{broker} closed the connection without a CONNACK{_name(code)}", remedy, DisconnectCause.NO_CONNACK
    )


def describe_disconnect(
    broker: str, code: ReasonCode, properties: Any, *, client_id: str, by_broker: bool, is_fight: bool
) -> DisconnectError:
    """Return why a link that was up has ended.

    With `by_broker`, the broker has sent a DISCONNECT with that code. With `is_fight`, the links before have ended as
    soon: another client may have the same client id, which Mosquitto 2.0 and brokers of 3.1.1 do not report.
    """
    if by_broker and code.value == _TAKEN_OVER:
        message = f"{broker} closed the connection: another client has the client id {client_id!a}"
        return DisconnectError(message, "give each client its own mqtt.client_id", DisconnectCause.TAKEN_OVER)
    blames_message = code.value in _BLAMES_MESSAGE if by_broker else code.value == _UNSPECIFIED_ERROR
    cause = DisconnectCause.CLOSED if blames_message else DisconnectCause.OTHER
    remedy = _DISCONNECT_REMEDIES.get(code.value, "") if by_broker else ""
    if not remedy and is_fight:
        remedy = f"does another client have the client id {client_id!a}?"
    detail = f" ({code}{_details(properties)})" if by_broker else _name(code)
    return DisconnectError(f"{broker} closed the connection{detail}", remedy, cause)


def _name(code: ReasonCode) -> str:
    return "" if code.value == _UNSPECIFIED_ERROR else f" ({code})"


def _details(properties: Any) -> str:
    """Return what else the broker has sent: a text for people, and the server to use instead."""
    texts = [getattr(properties, name, "") for name in ("ReasonString", "ServerReference")]
    return "".join(f", {text!a}" for text in texts if text)


_RETRY_LATER = {0x91, 0x97}  # packet identifier in use, quota exceeded: the broker may accept the message later


def can_be_sent_again(reason: int) -> bool:
    """Return whether the broker may accept a message later that it has refused with this reason code."""
    return reason in _RETRY_LATER


_UNCLEAR = {0x80, 0x83}  # unspecified error, implementation specific error


def is_clear(reason: int) -> bool:
    """Return whether the broker says with this reason code why it has refused a message."""
    return reason not in _UNCLEAR


def puback_words(reason: int) -> str:
    """Return the reason code of a PUBACK in words."""
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=reason))
    except KeyError:
        return f"reason code 0x{reason:02X}"
