"""The options of the link to the broker, described in `options_schema.json`."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from gateway.core.option_schema import section_defaults
from gateway.core.tls import TlsOptions
from gateway.mqtt.dial import Server, Transport

Version: TypeAlias = Literal[5, "3.1.1"]


_DEFAULT = section_defaults(__file__)


class MqttOptions(NamedTuple):
    """The `mqtt` section of a configuration. Times in seconds.

    `servers` are several brokers, the preferred one first; without them, the only broker is at `host` and `port`.
    Loading a configuration moves the content of `password_file` to `password`.
    """

    host: str = _DEFAULT["host"]
    port: int = _DEFAULT["port"]
    servers: tuple[Server, ...] = ()
    transport: Transport = _DEFAULT["transport"]
    path: str = _DEFAULT["path"]
    version: Version = _DEFAULT["version"]
    session_expiry: int = _DEFAULT["session_expiry"]
    keepalive: int = _DEFAULT["keepalive"]
    client_id: str = ""
    username: str | None = None
    password: str | None = None
    password_file: str | None = None
    qos: int = _DEFAULT["qos"]
    connect_timeout: float = _DEFAULT["connect_timeout"]
    reconnect_max: float = _DEFAULT["reconnect_max"]
    tls: TlsOptions = TlsOptions()
    demo_broker: bool = _DEFAULT["demo_broker"]

    def __repr__(self) -> str:
        return f"MqttOptions({', '.join(map(str, self.brokers))})"  # never the password

    @property
    def brokers(self) -> tuple[Server, ...]:
        """Return all brokers, the preferred one first."""
        return self.servers or (Server(self.host, 0 if self.transport == "unix" else self.port),)


_SERVER = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?")


def parse_server(text: str, default_port: int) -> Server:
    """Return the server that is written `host`, `host:port` or `[IPv6 address]:port`; raise `ValueError` if none is."""
    match = _SERVER.fullmatch(text)
    if match is None:
        raise ValueError("it is not of the form host:port")
    port = int(match["port"] or default_port)
    if not 0 < port < 65_536:
        raise ValueError(f"{port} is no port")
    return Server(match["v6"] or match["host"], port)
