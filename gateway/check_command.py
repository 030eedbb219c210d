"""`mqttgateway check`: says what a configuration amounts to. Reaching this far means that it is right."""

from __future__ import annotations

from gateway.load_config import Configuration


def check(configuration: Configuration) -> int:
    """Print what a gateway with this configuration would do; return the exit code."""
    mqtt = configuration.mqtt
    lines = [
        f"{configuration.file}: good",
        f"  gateway       {configuration.name}, client id {mqtt.client_id}",
        f"  broker        {mqtt.host}:{mqtt.port}{' with TLS' if mqtt.tls.enabled else ''}",
        f"  availability  {configuration.availability_topic()}",
    ]
    for interface in configuration.interfaces:
        lines += [
            f"  interface     {interface.name} ({interface.cls.__module__}.{interface.cls.__name__})",
            f"    root        {interface.msg_map.root}",
            f"    sender      {interface.msg_map.sender}",
        ]
        lines += [f"    subscribes  {topic_filter}" for topic_filter in interface.msg_map.topics]
    print("\n".join(lines))  # noqa: T201
    return 0
