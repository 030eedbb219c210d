"""Which retained states nobody says any more, after the map has changed. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from gateway.core.topic import topic_problem, word_problem
from gateway.errors import GatewayError, MessageError
from gateway.translation.mqtt_map import MsgMap


def stale_topics(retained: Mapping[str, bytes], maps: Iterable[MsgMap], kept: Collection[str]) -> Iterator[str]:
    """Yield the topics of `retained` (payload by topic) that no map would retain any more.

    `kept` are topics that no map knows, and that are to stay: those of availability.
    """
    maps = list(maps)
    for topic, payload in retained.items():
        if topic not in kept and not any(_retains(msg_map, topic, payload) for msg_map in maps):
            yield topic


def topics_to_forget(
    what: str, retained: Mapping[str, bytes], maps: Iterable[MsgMap], own: str, live: Collection[str]
) -> list[str]:
    """Return the topics that are meant by `what`: one topic, or the name of a device or an interface that is gone.

    A name is that of something that is in `retained`: what never was there cannot be forgotten.
    Only those that this gateway owns or could write: what it has `retained` (payload by topic), what lies below its
    `own` topic, and what its `maps` write. Those in `live` are published as long as it runs, and so refused. Raises
    `GatewayError` if there is none.
    """
    maps = list(maps)
    if "/" not in what and what not in retained:
        found = [topic for topic, payload in retained.items() if _device(maps, topic, payload) == what]
        availability = f"{own}/{what}/availability"
        found = [
            topic for topic in (*found, *([availability] if availability in retained else ())) if topic not in live
        ]
        if availability in live and not found:
            raise GatewayError(f"{what!a} is an interface of this gateway, and no device with a retained state")
        if word_problem(what) or not what or not found:
            raise GatewayError(
                f"{what!a} is no device with a retained state, and no interface that is gone, as far as this gateway "
                "knows: give the topic that the broker is to forget"
            )
        return found
    problem = topic_problem(what)
    if problem:
        raise GatewayError(f"the topic {what!a:.200}: {problem}")
    if what in live:
        raise GatewayError(f"{what} is published as long as this gateway runs: take its interface out first")
    if what in retained or what.startswith(f"{own}/") or any(msg_map.can_write(what) for msg_map in maps):
        return [what]
    raise GatewayError(
        f"{what} is no topic that this gateway writes: have its owner remove it, or publish an empty retained message"
    )


def _device(maps: Iterable[MsgMap], topic: str, payload: bytes) -> str:
    """Return the device that a retained state is of; `""` if no map can say."""
    for msg_map in maps:
        with contextlib.suppress(MessageError):
            return msg_map.mqtt2internal(topic, payload).device
    return ""


def _retains(msg_map: MsgMap, topic: str, payload: bytes) -> bool:
    try:
        msg = msg_map.mqtt2internal(topic, payload)
    except MessageError:
        return False
    return msg_map.delivery_of(msg).retain
