"""Explains why a command had no answer, from the gateway's availability on the broker and from its configuration.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.topic import filter_matches
from gateway.message import ONLINE, InternalMsg
from gateway.routing.command_index import CommandIndex

_MAX_LISTED = 10  # filters or addresses


def why_unanswered(
    configuration: Configuration,
    interfaces: Sequence[InterfaceOptions],
    command: InternalMsg,
    topic: str,
    availability: Mapping[str, bytes],
) -> str:
    """Return why `command`, sent to `topic` for one of `interfaces`, may have had no answer, and what to do.

    `availability` holds the retained payloads of the availability topics of the gateway and its interfaces.
    """
    availability_topic, name = configuration.availability_topic(), configuration.name
    start = f"start it with 'mqttgateway --conf {configuration.file}'"
    if availability_topic not in availability:
        return (
            f"no gateway {name!a} has ever been connected to this broker (nothing is retained on "
            f"{availability_topic}): {start}"
        )
    if availability[availability_topic] != ONLINE:
        return f"the gateway {name!a} is offline: {start}, or read its log to see why it stopped"
    online = f"the gateway {name!a} is online, but"
    subscribed = [
        interface for interface in interfaces if any(filter_matches(f, topic) for f in interface.msg_map.topics)
    ]
    if not subscribed:
        filters = _listed(f for interface in interfaces for f in interface.msg_map.topics)
        return f"{online} does not subscribe to {topic!a}: its map subscribes to {filters or 'nothing'} (see 'topics')"
    addressed = [each for each in subscribed if CommandIndex({each.name: each.addresses}).interfaces_for(command)]
    if not addressed:
        addresses = _listed(_words(address) for interface in subscribed for address in interface.addresses or ())
        if not addresses:
            return f"{online} none of its devices accepts commands"
        return f"{online} has no device with this address; it accepts commands for: {addresses}"
    for interface in addressed:
        if availability.get(configuration.availability_topic(interface.name), ONLINE) != ONLINE:
            return f"{online} the device of its interface {interface.name!a} is offline: read its log to see why"
    names = " or ".join(repr(interface.name) for interface in addressed)
    return (
        f"{online} its interface {names} did not answer. It may have no device with these words, a filter may have "
        f"dropped the command, the broker may have rejected the answer (see 'mqttgateway outbox list {name} "
        f"--dead-letters'), or the answer may take longer (see --wait). Its log says more"
    )


def _words(address: Mapping[str, str]) -> str:
    """Return the words of an address, without those that are empty."""
    if not address:
        return "any command"
    words = " ".join(f"{name}={word}" for name, word in address.items() if word)
    return words or f"a command without {' and '.join(address)}"


def _listed(texts: Iterable[str]) -> str:
    """Return the texts as a list, each once and only the first of many; empty if there are none."""
    unique = list(dict.fromkeys(texts))
    more = f" and {len(unique) - _MAX_LISTED} more" if len(unique) > _MAX_LISTED else ""
    return "; ".join(unique[:_MAX_LISTED]) + more
