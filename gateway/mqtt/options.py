"""The options of the link to the broker, as a configuration has them. Pure data."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from gateway.mqtt.dial import Server, TlsOptions, Transport

Version: TypeAlias = Literal[5, "3.1.1"]


class MqttOptions(NamedTuple):
    """The `mqtt` part of a configuration. Times are in seconds.

    `servers` are several brokers in the order of preference; if there are none, the broker is at `host` and `port`.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    servers: tuple[Server, ...] = ()
    transport: Transport = "tcp"
    path: str = "/mqtt"
    version: Version = 5
    session_expiry: int = 86_400
    keepalive: int = 60
    client_id: str = ""
    username: str | None = None
    password: str | None = None
    qos: int = 1
    connect_timeout: float = 5.0
    reconnect_max: float = 60.0
    tls: TlsOptions = TlsOptions()
    demo_broker: bool = False

    def __repr__(self) -> str:
        return f"MqttOptions({', '.join(map(str, self.brokers))})"  # without the password: this may be logged

    @property
    def brokers(self) -> tuple[Server, ...]:
        """All brokers, the preferred one first."""
        return self.servers or (Server(self.host, 0 if self.transport == "unix" else self.port),)


_SERVER = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?")


def parse_server(text: str, default_port: int) -> Server:
    """Return the server of a text `host`, `host:port` or `[IPv6 address]:port`; raise `ValueError` for other texts."""
    match = _SERVER.fullmatch(text)
    if match is None:
        raise ValueError("it is not of the form host:port")
    port = int(match["port"] or default_port)
    if not 0 < port < 65_536:
        raise ValueError(f"{port} is not a port: a port is between 1 and 65535")
    return Server(match["v6"] or match["host"], port)
