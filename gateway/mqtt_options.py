"""What a configuration says of the link to the broker. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.dial import TlsOptions


@dataclass(frozen=True)
class MqttOptions:
    """The `mqtt` part of a configuration. Times in seconds."""

    host: str = "127.0.0.1"
    port: int = 1883
    keepalive: int = 60
    client_id: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    qos: int = 1
    connect_timeout: float = 5.0
    reconnect_max: float = 60.0
    tls: TlsOptions = field(default_factory=TlsOptions)
    demo_broker: bool = False
