"""A short visit to the broker of a configuration, for the commands `watch` and `send`."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator

from gateway.configuration.settings import Configuration
from gateway.core.inbox import Wakeup
from gateway.message import Arrival
from gateway.mqtt.client import MgClient
from gateway.mqtt.dial import LinkError
from gateway.mqtt.link_state import LinkState
from gateway.outbox.outbox import Outbox

_LINK_LOG = logging.getLogger(MgClient.__module__)


@contextlib.contextmanager
def visit(
    configuration: Configuration, what: str, filters: Iterable[str], on_msg: Callable[[Arrival], None]
) -> Iterator[MgClient]:
    """Connect to the broker under a client id of one's own, subscribed to `filters`; disconnect at the end.

    `what` becomes part of the client id. Raises `LinkError` if there is no link and subscription in time, and
    at the end if the broker has not taken all that was put into the client's outbox.
    """
    client_id = f"{configuration.mqtt.client_id}-{what}-{os.getpid()}"
    options = configuration.mqtt._replace(client_id=client_id, session_expiry=0)  # nobody comes back to this session
    wakeup = Wakeup()
    outbox = Outbox()
    client = MgClient(options, outbox, wakeup, filters=filters, on_msg=on_msg, wants_retained=True)
    outbox.attach(client.transmitter)
    try:
        with _failures_unsaid():
            _connect(client)
        yield client
        if not client.mg_stop(2.0):
            raise LinkError(f"{options.brokers[0]} did not take the message", "is it an MQTT broker?")
    finally:
        client.mg_stop(0.0)
        wakeup.close()


def _connect(client: MgClient) -> None:
    client.mg_connect()
    options = client.options
    deadline = time.monotonic() + 2 * options.connect_timeout * len(options.brokers)
    while not (client.link_state is LinkState.UP and client.is_subscribed):
        if client.last_failure is not None:
            raise client.last_failure
        if time.monotonic() > deadline:
            raise LinkError(f"{options.brokers[0]} did not accept the subscription", "is it an MQTT broker?")
        client.loop_with_reconnect(0.1)


@contextlib.contextmanager
def _failures_unsaid() -> Iterator[None]:
    """Keep the client from warning of a failed link, and that it tries again: here it is raised, and ends the visit."""

    def is_no_warning(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    _LINK_LOG.addFilter(is_no_warning)
    try:
        yield
    finally:
        _LINK_LOG.removeFilter(is_no_warning)
