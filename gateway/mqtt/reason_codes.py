"""The reasons that a broker gives, in words: what, the remedy, and what kind of end it is. Pure.

Source of the codes: MQTT 5.0, section 2.4. paho translates the return codes of 3.1.1 to them.
"""

from __future__ import annotations

import enum
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt.dial import LinkError


class DisconnectCause(enum.Enum):
    """What kind of end a link, or the try to make one, has come to."""

    OTHER = "no more is known"
    NO_CONNACK = "garbage or the end of the connection instead of a CONNACK"
    SILENCE = "nothing at all instead of a CONNACK"
    VERSION_REFUSED = "the broker does not speak this version of MQTT"
    CLOSED = "the broker closed without a word, or over something that was sent"
    TAKEN_OVER = "another client has the same client id"
    RETURNING = "given up for the preferred broker"


class DisconnectError(LinkError):
    """A link, or the try to make one, that the broker has ended; `ending` tells of what kind that was."""

    def __init__(self, what: str, remedy: str, ending: DisconnectCause) -> None:
        super().__init__(what, remedy)
        self.ending = ending


_REMEDIES = {
    0x89: "the broker is busy; it is tried again",
    0x9C: "set mqtt.host to the server that it names, or ask its operator",
    0x9D: "set mqtt.host to the server that it names, or ask its operator",
    0x9F: "the broker takes no more connections for now; it is tried again",
}

_CONNACK_REMEDIES = {
    **_REMEDIES,
    0x84: "use a broker that speaks MQTT 3.1.1 or 5",
    0x85: "choose another mqtt.client_id",
    0x86: "check mqtt.username and mqtt.password_file",
    0x87: "check mqtt.username, mqtt.password_file and the broker's access rules",
    0x88: "the broker is busy or stopping; it is tried again",
    0x8A: "the broker has banned this client",
    0x8C: "check mqtt.username and mqtt.password_file",
    0x97: "the broker is at its limit; it is tried again",
    0x9A: "it is tried again with a last will that is not retained",
    0x9B: "it is tried again with a last will of QoS 0",
}

_DISCONNECT_REMEDIES = {
    **_REMEDIES,
    0x87: "check the broker's access rules",
    0x8B: "it is tried again until the broker is back",
    0x8D: "check the network, or raise mqtt.keepalive",
    0x95: "see what is set aside, and the broker's limit for packets",
    0x96: "see the broker's limit for messages a second",
    0x97: "see the broker's quotas",
    0x98: "ask the broker's operator",
    0xA0: "the broker limits how long a connection may last; it is made anew",
}

# With these a broker says that it did not like what was sent; with the others, that it has its own reasons.
_OVER_A_MESSAGE = {0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x99, 0x9A, 0x9B}

_TAKEN_OVER = 0x8E
_VERSION_REFUSED = 0x84
_PROTOCOL_ERROR = 0x82  # also what paho says where what it read was no MQTT
_UNSPECIFIED_ERROR = 0x80  # also all that paho says of a connection that has ended


def why_refused(where: str, code: ReasonCode, properties: Any) -> DisconnectError:
    """Say why the broker refused the connection in its CONNACK."""
    remedy = _CONNACK_REMEDIES.get(code.value, "see the broker's log")
    ending = DisconnectCause.VERSION_REFUSED if code.value == _VERSION_REFUSED else DisconnectCause.OTHER
    return DisconnectError(f"{where} refused the connection: {code}{_details(properties)}", remedy, ending)


def why_not_connected(where: str, code: ReasonCode, version: str, *, with_tls: bool) -> DisconnectError:
    """Say what paho knows of a connection that ended before a CONNACK that it could read."""
    if code.value == _PROTOCOL_ERROR:  # all that paho says of CONNACK return code 1, too
        what, remedy = f"{where} does not speak {version}", "is it a broker, and mqtt.port its port for that?"
        return DisconnectError(what, remedy, DisconnectCause.NO_CONNACK)
    remedy = "" if with_tls else f"does it speak {version}, without TLS?"
    return DisconnectError(
        f"{where} closed the connection without a CONNACK{_name(code)}", remedy, DisconnectCause.NO_CONNACK
    )


def describe_disconnect(
    where: str, code: ReasonCode, properties: Any, *, client_id: str, by_broker: bool, is_fight: bool
) -> DisconnectError:
    """Say why a link that was up has ended.

    `by_broker` tells that the broker has sent a DISCONNECT with that code, and `is_fight` that the links before have
    ended as soon: another client may have the same client id, which Mosquitto 2.0 and brokers of 3.1.1 do not say.
    """
    if by_broker and code.value == _TAKEN_OVER:
        what = f"{where} closed the connection: another client has the client id {client_id!a}"
        return DisconnectError(what, "give each client an mqtt.client_id of its own", DisconnectCause.TAKEN_OVER)
    blames_message = code.value in _OVER_A_MESSAGE if by_broker else code.value == _UNSPECIFIED_ERROR
    ending = DisconnectCause.CLOSED if blames_message else DisconnectCause.OTHER
    remedy = _DISCONNECT_REMEDIES.get(code.value, "") if by_broker else ""
    if not remedy and is_fight:
        remedy = f"does another client have the client id {client_id!a}?"
    detail = f" ({code}{_details(properties)})" if by_broker else _name(code)
    return DisconnectError(f"{where} closed the connection{detail}", remedy, ending)


def _name(code: ReasonCode) -> str:
    return "" if code.value == _UNSPECIFIED_ERROR else f" ({code})"


def _details(properties: Any) -> str:
    """Return what else the broker has said: text for people, and the server to go to."""
    said = [getattr(properties, name, "") for name in ("ReasonString", "ServerReference")]
    return "".join(f", {text!a}" for text in said if text)


_RETRY_LATER = {0x91, 0x97}  # packet identifier in use, quota exceeded: a matter of time


def can_be_sent_again(reason: int) -> bool:
    """Tell whether the broker may take a message later that it has refused with this reason code."""
    return reason in _RETRY_LATER


def puback_words(reason: int) -> str:
    """Return the reason code of a PUBACK in words."""
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=reason))
    except KeyError:
        return f"reason code 0x{reason:02X}"
