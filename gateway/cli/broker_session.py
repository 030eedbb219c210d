"""A short connection to the broker of a configuration, for the commands `watch` and `send`."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway.configuration.settings import Configuration
from gateway.core.inbox import Wakeup
from gateway.core.package_logger import package_logger
from gateway.logs.init_logger import LogOptions, init_logger
from gateway.message import Arrival
from gateway.mqtt.client import MgClient
from gateway.mqtt.dial import LinkError
from gateway.mqtt.link_state import LinkState
from gateway.outbox.options import OutboxOptions
from gateway.outbox.outbox import Outbox

_LINK_LOG = package_logger(MgClient.__module__)
_LINK_MODULES = ("client", "link_log")


@contextlib.contextmanager
def connect(
    configuration: Configuration,
    purpose: str,
    filters: Iterable[str],
    on_msg: Callable[[Arrival], None],
    log_level: str | None = None,
    on_packet: Callable[[Any], None] | None = None,
) -> Iterator[MgClient]:
    """Connect to the broker, subscribed to `filters`, and yield the client; disconnect at the end.

    `purpose` becomes part of the client id, which differs from that of the gateway. The log goes to standard error,
    with warnings and errors only if no `log_level` is given. `on_packet` is called with each message as it was
    received, with its properties. Raises `LinkError` if there is no connection and subscription in time, and at the end
    if the broker has not accepted all that was put into the client's outbox.
    """
    init_logger(LogOptions(level=log_level or "warning"), configuration.secrets)
    client_id = f"{configuration.mqtt.client_id}-{purpose}-{os.getpid()}"
    options = configuration.mqtt._replace(client_id=client_id, session_expiry=0)  # this session is never resumed
    wakeup = Wakeup()
    outbox = Outbox(OutboxOptions(command_lifetime=0.0))
    client = MgClient(options, outbox, wakeup, filters=filters, on_msg=on_msg, wants_retained=True)
    outbox.attach(client.transmitter)
    if on_packet is not None:
        client.on_message = lambda _client, _userdata, message: on_packet(message)
    try:
        with _link_warnings_suppressed():
            _wait_until_subscribed(client)
        yield client
        if not client.mg_stop(2.0):
            raise LinkError(f"{options.brokers[0]} did not accept the message", "is it an MQTT broker?")
    finally:
        client.mg_stop(0.0)
        wakeup.close()


def _wait_until_subscribed(client: MgClient) -> None:
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
def _link_warnings_suppressed() -> Iterator[None]:
    """Suppress the client's warnings that a connection failed and will be retried.

    Here the failure is raised instead and ends the command. The warning would repeat it, and announce a retry that
    never happens.
    """

    def is_no_warning(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING or record.module not in _LINK_MODULES

    _LINK_LOG.addFilter(is_no_warning)
    try:
        yield
    finally:
        _LINK_LOG.removeFilter(is_no_warning)
