"""The reasons that a broker gives, in words: what, and the remedy. Pure."""

from __future__ import annotations

from paho.mqtt.reasoncodes import ReasonCode

from gateway.dial import LinkError

# Reason codes of CONNACK (MQTT 5, section 3.2.2.2; paho translates the return codes of 3.1.1 to them)
_CONNACK_REMEDIES = {
    132: "use a broker that speaks MQTT 3.1.1",
    133: "choose another mqtt.client_id",
    134: "check mqtt.username and mqtt.password_file",
    135: "check mqtt.username, mqtt.password_file and the broker's access rules",
    136: "the broker is busy or stopping; it is tried again",
    137: "the broker is busy; it is tried again",
    138: "the broker has banned this client",
    140: "check mqtt.username and mqtt.password_file",
}

_PROTOCOL_ERROR = 130  # reason code of MQTT 5 that paho gives where what it read was no MQTT
_UNSPECIFIED_ERROR = 128  # all that paho says of a connection that has ended


def why_refused(where: str, code: ReasonCode) -> LinkError:
    """Say why the broker refused the connection in its CONNACK."""
    remedy = _CONNACK_REMEDIES.get(code.value, "see the broker's log")
    return LinkError(f"{where} refused the connection: {code}", remedy)


def why_closed(where: str, code: ReasonCode, *, pending: bool, remedy: str) -> LinkError:
    """Say what paho knows of a link that ended by itself; it was `pending` where no CONNACK had come."""
    if code.value == _PROTOCOL_ERROR:  # all that paho says of CONNACK return code 1, too
        return LinkError(f"{where} does not speak MQTT 3.1.1", "is it a broker, and mqtt.port its port for that?")
    what = "closed the connection without a CONNACK" if pending else "closed the connection"
    detail = "" if code.value == _UNSPECIFIED_ERROR else f" ({code})"
    return LinkError(f"{where} {what}{detail}", remedy)
