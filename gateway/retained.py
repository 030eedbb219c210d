"""Which retained states nobody says any more, after the map has changed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from gateway.errors import MessageError
from gateway.translation.mqtt_map import MsgMap


def orphans(retained: Mapping[str, bytes], maps: Iterable[MsgMap], kept: Collection[str]) -> Iterator[str]:
    """Yield the topics of `retained` (payload by topic) that no map would retain any more.

    `kept` are topics that no map knows, and that are to stay: those of availability.
    """
    maps = list(maps)
    for topic, payload in retained.items():
        if topic not in kept and not any(_retains(msg_map, topic, payload) for msg_map in maps):
            yield topic


def _retains(msg_map: MsgMap, topic: str, payload: bytes) -> bool:
    try:
        msg = msg_map.mqtt2internal(topic, payload)
    except MessageError:
        return False
    return msg_map.delivery_of(msg).retain
