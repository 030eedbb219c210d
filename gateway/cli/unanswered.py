"""Finds out why nobody has answered a command, from what the gateway publishes of itself and from its configuration.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.topic import filter_matches
from gateway.message import InternalMsg
from gateway.routing.command_index import CommandIndex

_ONLINE = b"online"
_MOST = 10  # filters or addresses that are listed


def why_unanswered(
    configuration: Configuration,
    interfaces: Sequence[InterfaceOptions],
    command: InternalMsg,
    topic: str,
    availability: Mapping[str, bytes],
) -> str:
    """Return why `command`, sent to `topic` for one of `interfaces`, may have had no answer, and what to do.

    `availability` holds what the broker has of the availability topics of the gateway and its interfaces.
    """
    own, name = configuration.availability_topic(), configuration.name
    start = f"start it with 'mqttgateway --conf {configuration.file}'"
    if own not in availability:
        return f"no gateway {name!a} has ever been connected to this broker (there is nothing on {own}): {start}"
    if availability[own] != _ONLINE:
        return f"the gateway {name!a} is offline: {start}, or see its log"
    hearing = [one for one in interfaces if any(filter_matches(each, topic) for each in one.msg_map.topics)]
    if not hearing:
        filters = _listed(each for one in interfaces for each in one.msg_map.topics)
        return f"the gateway {name!a} is online, and does not listen to {topic!a}: {filters}"
    serving = [one for one in hearing if CommandIndex({one.name: one.addresses}).interfaces_for(command)]
    if not serving:
        addresses = _listed(_words(each) for one in hearing for each in one.addresses or ())
        return f"the gateway {name!a} is online, and knows no such device: {addresses}"
    for one in serving:
        if availability.get(configuration.availability_topic(one.name), _ONLINE) != _ONLINE:
            return f"the gateway {name!a} is online, and the device of {one.name!a} is offline: see its log"
    who = " or ".join(repr(one.name) for one in serving)
    return (
        f"the gateway {name!a} is online, and {who} has not answered: no device of it may have these words, a filter "
        f"may have dropped the command, the broker may have refused the answer (see 'mqttgateway outbox list {name} "
        f"--set-aside'), or it takes longer (--wait): see its log"
    )


def _words(address: Mapping[str, str]) -> str:
    """Return the words of an address, without those that are empty."""
    if not address:
        return "any command"
    words = " ".join(f"{name}={word}" for name, word in address.items() if word)
    return words or f"a command without {' and '.join(address)}"


def _listed(texts: Iterator[str]) -> str:
    known = list(dict.fromkeys(texts))
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return f"it knows {'; '.join(known[:_MOST])}{more}" if known else "it takes no commands"
