"""Finds retained messages that no map publishes any more, after the configuration has changed. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from gateway.core.topic import topic_problem, word_problem
from gateway.devices.document import RETAINED_KINDS
from gateway.errors import GatewayError, MessageError
from gateway.translation.mqtt_map import MsgMap


def stale_topics(retained: Mapping[str, bytes], maps: Iterable[MsgMap], kept: Collection[str]) -> Iterator[str]:
    """Yield the topics of `retained` (payload by topic) that no map would publish with retain any more.

    `kept` are topics that no map writes, and that stay all the same: those of availability.
    """
    maps = list(maps)
    for topic, payload in retained.items():
        if topic not in kept and not any(_retains(msg_map, topic, payload) for msg_map in maps):
            yield topic


def topics_to_forget(
    target: str, retained: Mapping[str, bytes], maps: Iterable[MsgMap], own_topic: str, live: Collection[str]
) -> list[str]:
    """Return the topics that `target` means: one topic, or all of a device, or of an interface that was removed.

    A device or interface is found by its name in `retained` (payload by topic), among the messages that a map reads and
    the documents below `own_topic`; one without a retained message cannot be forgotten. Only topics that this gateway
    owns or could write are returned: those in `retained`, those below its `own_topic`, and those that its `maps` write.
    Topics in `live` are published as long as the gateway runs, and therefore refused. Raises `GatewayError` if there is
    none.
    """
    maps = list(maps)
    if "/" not in target and target not in retained:
        documents = [f"{own_topic}/{target}/{kind}" for kind in RETAINED_KINDS]
        candidates = [topic for topic, payload in retained.items() if _device(maps, topic, payload) == target]
        candidates += [topic for topic in documents if topic in retained]
        topics = [topic for topic in candidates if topic not in live]
        live_documents = [topic for topic in documents if topic in live]
        if len(live_documents) > 1 and not topics:
            raise GatewayError(f"the documents of {target!a} are published as long as it is declared: remove it first")
        if live_documents and not topics:
            raise GatewayError(f"{target!a} is an interface of this gateway, not a device with a retained state")
        if word_problem(target) or not target or not topics:
            raise GatewayError(
                f"this gateway knows no device {target!a} with a retained state, and no removed interface of that "
                "name: give the topic that the broker is to forget"
            )
        return topics
    problem = topic_problem(target)
    if problem:
        raise GatewayError(f"the topic {target!a:.200}: {problem}")
    if target in live:
        is_of_gateway = "/" not in target.removeprefix(f"{own_topic}/")
        by_hand = "stop the gateway first, then publish an empty retained message"
        remedy = by_hand if is_of_gateway else "remove its interface or device first"
        raise GatewayError(f"{target} is published as long as this gateway runs: {remedy}")
    if target in retained or target.startswith(f"{own_topic}/") or any(msg_map.can_write(target) for msg_map in maps):
        return [target]
    raise GatewayError(
        f"this gateway does not write the topic {target}: let its owner remove it, or publish an empty retained message"
    )


def _device(maps: Iterable[MsgMap], topic: str, payload: bytes) -> str | None:
    """Return the device of a retained state; None if no map can read it."""
    for msg_map in maps:
        with contextlib.suppress(MessageError):
            return msg_map.mqtt2internal(topic, payload).device
    return None


def _retains(msg_map: MsgMap, topic: str, payload: bytes) -> bool:
    try:
        msg = msg_map.mqtt2internal(topic, payload)
    except MessageError:
        return False
    return msg_map.delivery_of(msg).retain
