"""The requests that manage a running gateway: on its control socket, and over MQTT if its configuration allows it.

None of them loses what was accepted: over MQTT there are no others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from gateway.control.protocol import MAX_REQUEST, Answer, ControlError, RequestKind, decode_request
from gateway.core.allowance import Allowance
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.errors import GatewayError
from gateway.logs.levels import CONFIGURED, set_level
from gateway.message import Arrival, Lane, Publication, ReplyTo
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.running_gateway import RunningGateway

LOG = package_logger(__name__)

_MOST_REQUESTS = 10  # a second over MQTT: their answers must not push messages out of the outbox

CLOSED = "closed on request"
"""Why an interface is closed, for its devices and for whoever sends it a command."""


def management_kinds(gateway: RunningGateway) -> dict[str, RequestKind]:
    """Return the kinds of requests by name. Add one here only if it loses nothing that was accepted."""

    def kind(handle: Callable[[RunningGateway, Mapping[str, Any], Answer], None], **arguments: type) -> RequestKind:
        return RequestKind(functools.partial(handle, gateway), arguments)

    return {
        "reload": kind(_reload),
        "interface restart": kind(_restart, interface=str),
        "interface close": kind(_close, interface=str),
        "interface open": kind(_open, interface=str),
        "log level": kind(_set_level, level=str, part=str),
    }


def _reload(gateway: RunningGateway, _: Mapping[str, Any], answer: Answer) -> None:
    gateway.reload_for(answer)


def _restart(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
    name, host = _host(gateway, arguments)
    if host.closed:
        raise GatewayError(f"{name} is closed: open it")
    LOG.info("%s: restarted on request", name)
    host.restart(_done(name, host, answer))


def _close(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
    name, host = _host(gateway, arguments)
    LOG.info("%s: %s", name, CLOSED)
    host.close(CLOSED, _done(name, host, answer))


def _open(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
    name, host = _host(gateway, arguments)
    LOG.info("%s: opened on request", name)
    host.open(_done(name, host, answer))


def _host(gateway: RunningGateway, arguments: Mapping[str, Any]) -> tuple[str, InterfaceHost]:
    name, hosts = arguments.get("interface", ""), gateway.hosts
    host = hosts.get(name)
    if host is None:
        shown = ", ".join(list(hosts)[:20]) + (", ..." if len(hosts) > 20 else "")
        problem = f"there is no interface {name!a:.80}" if name else "the request names no interface"
        raise GatewayError(f"{problem}: the interfaces are: {shown}")
    return name, host


def _done(name: str, host: InterfaceHost, answer: Answer) -> Callable[[str], None]:
    """Return what answers with the outcome; an interface that hangs is answered for now, as it does nothing itself."""
    hang = host.hang()
    if hang is not None:
        answer.refuse(f"{name} will do so as soon as it can: {hang}")
    return lambda outcome: answer({"interface": name, "outcome": outcome})


def _set_level(_: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
    level, part = arguments.get("level", ""), arguments.get("part", "")
    set_level(part, level)
    shown = "that of the configuration again" if level == CONFIGURED else f"{level} now"
    LOG.info("the level of %s is %s, on request", part or "the whole log", shown)
    answer({"level": level, "part": part})


class TooManyRequests(ThrottledException):
    """More requests have come over MQTT than are executed."""


class MqttManagement:
    """Executes the requests that come on `topic`, and answers on the response topic, or on `reply_topic`.

    `publish` publishes an answer; any thread calls it.
    """

    def __init__(
        self, kinds: Mapping[str, RequestKind], publish: Callable[[Publication], object], reply_topic: str
    ) -> None:
        self._kinds, self._publish, self._reply_topic = kinds, publish, reply_topic
        self._requests = Allowance(_MOST_REQUESTS)

    def on_request(self, arrival: Arrival, reply_to: ReplyTo | None) -> None:
        """Execute a request. Only the main thread calls this."""
        if not self._requests.take():
            refused = TooManyRequests(
                f"not executed, and not answered: more than {_MOST_REQUESTS} requests a second on {arrival.topic!a}"
            )
            if refused.trigger:
                LOG.warning(refused.report)
            return
        answer = Answer(functools.partial(self._send, reply_to))
        try:
            if arrival.retain or arrival.resumed or arrival.late:
                raise ControlError("a request that was retained, queued or delayed is not executed: send it again")
            if len(arrival.payload) > MAX_REQUEST:
                raise ControlError(f"a request has at most {MAX_REQUEST} bytes")
            kind, arguments = decode_request(arrival.payload, self._kinds)
            LOG.info("a request on %a: %.200s", arrival.topic, arrival.payload.decode("utf-8", "replace"))
            kind.handle(arguments, answer)
        except GatewayError as err:
            LOG.info("a request on %a is refused: %s", arrival.topic, err)
            answer.refuse(str(err))
        except Exception as err:
            LOG.exception("a request on %a failed", arrival.topic)
            answer.refuse(f"this failed, which is a bug: {type(err).__name__}: the log of the gateway shows where")

    def _send(self, reply_to: ReplyTo | None, _: Answer, line: bytes) -> None:
        reply = Publication(self._reply_topic, line.rstrip(), qos=1, lane=Lane.REPLY)
        if reply_to is not None:
            reply = reply.answering(reply_to if reply_to.topic else reply_to._replace(topic=self._reply_topic))
        self._publish(reply)
