"""A short visit to the broker of a configuration, for the commands `watch` and `send`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gateway.dial import LinkError
from gateway.load_config import Configuration
from gateway.mailbox import Wakeup
from gateway.mqtt_client import LinkState, MgClient
from gateway.outbox import Outbox


@contextlib.contextmanager
def visit(
    configuration: Configuration, what: str, filters: Iterable[str], on_msg: Callable[[str, bytes, bool], None]
) -> Iterator[MgClient]:
    """Connect to the broker under a client id of one's own, subscribed to `filters`; disconnect at the end.

    `what` becomes part of the client id. Raises `LinkError` if there is no link and subscription in time.
    """
    options = replace(configuration.mqtt, client_id=f"{configuration.mqtt.client_id}-{what}-{os.getpid()}")
    wakeup = Wakeup()
    outbox = Outbox(on_put=wakeup.set)
    client = MgClient(options, outbox, wakeup, filters=filters, on_msg=on_msg)
    try:
        client.mg_connect()
        deadline = time.monotonic() + 2 * options.connect_timeout
        while not (client.link_state is LinkState.UP and client.is_subscribed):
            if client.last_failure is not None:
                raise client.last_failure
            if time.monotonic() > deadline:
                raise LinkError(
                    f"{options.host}:{options.port} did not accept the subscription", "is it an MQTT broker?"
                )
            client.loop_with_reconnect(0.1)
        yield client
    finally:
        client.mg_stop(2.0)
        wakeup.close()
