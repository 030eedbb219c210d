"""The documents of a device: its state, its events, and the outcomes of its commands, each as one JSON object. Pure.

Documents are in the gateway's own words, whatever the map says of messages. Point keys begin with a letter, so that
what begins with `_` is the gateway's. A value stays in the state document once there was one: its quality tells whether
it can be trusted, and whoever comes later finds what was known last.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from gateway.devices.device_state import DeviceState
from gateway.devices.outcome import command_arguments
from gateway.devices.point import ADDRESS_OF_DEVICE, Point, PointType
from gateway.devices.reading import Quality, Reading, Unset
from gateway.devices.series import Event
from gateway.message import OUTCOME_WORDS, Argument, InternalMsg, iso_time, shown

RETAINED_KINDS = ("state", "availability")
"""The documents of a device that the broker retains: the last levels of their topics."""

JSON_KINDS = ("state", "outcome", "event")
"""Those that are JSON objects."""

DOCUMENT_KINDS = (*RETAINED_KINDS, "outcome", "event")
"""All documents of a device."""

_STATUS = {None: "unknown", True: "online", False: "offline"}
_MAX_BYTES = 256 * 1024
_ADDRESS, _WHERE, _PAUSES = "_address", "_where", "_pauses"  # keys of what is kept and not published
_POINTS = "_points"  # likewise: what each point stands for, see `meanings`
_KEPT = frozenset((_ADDRESS, _WHERE, _PAUSES, _POINTS))
_IN_EACH_STATE = frozenset(("_status", "_quality", "_time"))
_ADDRESS_MARK = b'"_address":'
_MAX_STATE = _MAX_BYTES - 16 * 1024  # of a state document: what is kept beside it has room, too
_TOO_LARGE = "there is no room for it"  # why a value is left out of a document
_MAX_REASON = 200  # characters of why a value is bad
_MAX_CHARACTERS = 1000  # of each text of an outcome that is too large as a whole


def is_state(point: Point) -> bool:
    """Return whether a point has a value that lasts: an event has none, nor has what is only written."""
    return bool(point.feeds or point.assumed) and point.type is not PointType.EVENT


def known_points(state: DeviceState) -> frozenset[str]:
    """Return the keys of the points of a device of which there has been a value."""
    return frozenset([key for key, reading in state.reading_of.items() if not isinstance(reading.value, Unset)])


def state_document(state: DeviceState) -> bytes:
    """Return the state document of a device, as UTF-8."""
    readings = {point.key: state.reading_of[point.key] for point in state.device.points if is_state(point)}
    known = {key: reading for key, reading in readings.items() if not isinstance(reading.value, Unset)}
    document: dict[str, Any] = {key: reading.value for key, reading in known.items()}
    document["_status"] = _STATUS[state.is_online]
    if state.is_online is False:
        document["_reason"] = state.reason
    document["_quality"] = {
        key: reading.quality.value for key, reading in readings.items() if reading.quality is not Quality.GOOD
    }
    reasons = {key: reading.reason[:_MAX_REASON] for key, reading in readings.items() if reading.quality is Quality.BAD}
    if reasons:
        document["_reasons"] = reasons
    document["_time"] = {key: iso_time(reading.time) for key, reading in known.items()}
    payload = _dumped(document)
    excess = len(payload) + len(_members(state.meanings)) - _MAX_STATE
    return payload if excess <= 0 else _dumped(_reduced(document, known, excess))


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def _reduced(document: dict[str, Any], known: Iterable[str], excess: int) -> dict[str, Any]:
    """Return a document without its longest values, which take `excess` bytes or more; their points are bad.

    Otherwise it could be published, but never be read again: neither by the next run, nor to be removed.
    """
    sizes = {key: len(_dumped({key: document[key]})) for key in known}
    left_out: dict[str, str] = {}
    for key in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        left_out[key] = Quality.BAD.value
        excess -= sizes[key] - len(key) - len(_TOO_LARGE)  # its reason comes; its time goes, its quality has less bytes
    document["_quality"] |= left_out
    document["_reasons"] = document.get("_reasons", {}) | dict.fromkeys(left_out, _TOO_LARGE)
    document["_time"] = {key: time for key, time in document["_time"].items() if key not in left_out}
    return {key: value for key, value in document.items() if key not in left_out}


def kept_document(state: DeviceState, document: bytes) -> bytes:
    """Return what is kept of a device for the next run: its state `document`, and what is not published.

    That are the words and values by which a template has made it, the pauses between its messages, and what its points
    stand for: in another configuration, a point with the same key may be that of another unit.
    """
    document = document[:-1] + f',"{_POINTS}":{{{_members(state.meanings)}}}}}'.encode()
    more: dict[str, Any] = {}
    if state.template is not None:
        more[_ADDRESS], more[_WHERE] = dict(state.device.address), dict(state.device.where)
    if state.pauses:
        more[_PAUSES] = [round(pause, 3) for pause in state.pauses]
    if not more:
        return document
    try:
        text = json.dumps(more, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return document[:-1] + b"," + text[1:].encode()
    except (TypeError, ValueError):  # a value that JSON cannot have: the device is added when it is heard again
        return document


def _members(texts: Mapping[str, str]) -> str:
    return ",".join([f'"{key}":"{text}"' for key, text in texts.items()])  # a third of the time that json takes


class LeftDevice(NamedTuple):
    """A device of a template in the documents of an earlier run: its words, and the time of its newest value."""

    address: Mapping[str, str]
    where: Mapping[str, Argument]
    newest: str


def left_device(payload: bytes) -> LeftDevice | None:
    """Return the device of a template that has left the document `payload`; None if it is of none."""
    document = _parsed(payload) if _ADDRESS_MARK in payload else {}
    address, where, times = (document.get(key) for key in (_ADDRESS, _WHERE, "_time"))
    if not isinstance(address, dict) or not isinstance(where, dict):
        return None
    if any(not isinstance(address.get(field), str) for field in ADDRESS_OF_DEVICE):
        return None
    written = times.values() if isinstance(times, dict) else ()
    return LeftDevice(address, where, max((time for time in written if isinstance(time, str)), default=""))


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload) if len(payload) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def published_part(payload: bytes) -> bytes:
    """Return a retained document of the broker without what is never published, and can only be another client's."""
    document = _parsed(payload)
    if document.keys().isdisjoint(_KEPT):
        return payload
    return _encoded({key: value for key, value in document.items() if key not in _KEPT}) or b""


def is_state_document(payload: bytes) -> bool:
    """Return whether a gateway has written `payload` as the state document of a device."""
    return _parsed(payload).keys() >= _IN_EACH_STATE


def doubted_document(payload: bytes) -> bytes:
    """Return a state document that an earlier run has left, as one of a device of which nothing is known any more.

    What is no state document becomes `b""`.
    """
    document = _parsed(payload)
    if not document.keys() >= _IN_EACH_STATE:
        return b""
    quality = document["_quality"] if isinstance(document["_quality"], dict) else {}
    stale = {key: Quality.STALE.value for key in document if not key.startswith("_")}
    document = {key: value for key, value in document.items() if key != "_reason"}
    return _encoded({**document, "_status": _STATUS[None], "_quality": {**stale, **quality}}) or b""


def restore(state: DeviceState, payload: bytes, latest: float = math.inf) -> int:
    """Begin with the readings of an earlier run's document; return how many there were.

    None of them can be newer than `latest` (s, Unix time), which is now: the clock may have been wrong.
    They are stale: nobody knows what happened meanwhile. A reading of this run goes before them. What is no document,
    or has become another type, is passed over: it is what a broker, or a disk, has kept for an unknown time.
    """
    document = _parsed(payload)
    pauses = document.get(_PAUSES)
    if isinstance(pauses, list):
        state.restore_pauses(pauses)
    times, kept = document.get("_time"), document.get(_POINTS)
    meanings = kept if isinstance(kept, dict) else state.meanings  # what a broker retains has none
    restored = 0
    for point in state.device.points:
        is_same = meanings.get(point.key) == state.meanings[point.key]
        if is_state(point) and is_same and point.key in document and isinstance(times, dict):
            restored += _restore(state.reading_of[point.key], document[point.key], times.get(point.key), latest)
    return restored


def _restore(reading: Reading, value: Any, time: Any, latest: float) -> bool:
    if reading.quality is not Quality.UNKNOWN or not reading.is_fit(value):
        return False
    try:
        wall = min(datetime.fromisoformat(time).timestamp(), latest)
        iso_time(wall)  # the year may be none of those that can be written again
    except (TypeError, ValueError, OverflowError, OSError):
        return False
    reading.restore(value, wall)
    return True


def event_document(event: Event) -> bytes:
    """Return the document of an event, as UTF-8."""
    return _dumped({"point": event.point, "value": event.value, "_time": iso_time(event.time)})


def outcome_document(outcome: InternalMsg, wall: float) -> bytes:
    """Return the document of the outcome of a command, as UTF-8; `wall` is the time of the outcome (s, Unix time).

    `arguments` and `sender` are those of the command, as far as the outcome has taken them along. An argument that JSON
    cannot represent is left out, and so are all of them if the document would be too large; texts are cut then.
    """
    words = {"action": _text(outcome.action), "response": _text(outcome.argument("response"))}
    words["reason"] = _text(outcome.argument("reason"))
    words["sender"] = _text("" if outcome.reply_to is None else outcome.reply_to.sender)
    arguments = {name: value for name, value in _requested(outcome).items() if _encoded({name: value}) is not None}
    for allowed, longest in ((arguments, _MAX_BYTES), ({}, _MAX_BYTES), ({}, _MAX_CHARACTERS)):
        texts = {name: text[:longest] for name, text in words.items()}
        document = {"action": texts.pop("action"), "arguments": allowed, **texts, "_time": iso_time(wall)}
        payload = _encoded(document) or b""
        if 0 < len(payload) <= _MAX_BYTES:
            break
    return payload


def _requested(outcome: InternalMsg) -> Mapping[str, Argument]:
    """Return the arguments of the command; those that the outcome shows if it is not known what was requested."""
    if outcome.reply_to is not None and outcome.reply_to.requested is not None:
        return outcome.reply_to.requested
    if outcome.argument("response") == "OK":
        return {name: value for name, value in outcome.arguments.items() if name not in OUTCOME_WORDS}
    requested = outcome.argument("requested")
    return requested if isinstance(requested, Mapping) else {}


def with_filtered_request(before: InternalMsg, after: InternalMsg) -> InternalMsg:
    """Return `after`, the outcome into which a hook has changed `before`, with the same changes in its request.

    Otherwise the document of the outcome would contain what the hook has hidden in the message, or converted.
    """
    if after.reply_to is None or after.reply_to.requested is None:
        return after
    old, new = command_arguments(before), command_arguments(after)
    requested = {
        name: new[name] if name in new and new[name] is not old.get(name) else value
        for name, value in after.reply_to.requested.items()
        if name in new or name not in old
    }
    return after.answered_at(after.reply_to._replace(requested=requested))


def outcome_text(value: object) -> str:
    """Return a word of an outcome, whatever an interface has passed, as a text that any message can contain."""
    return _text(value)[:_MAX_CHARACTERS].encode(errors="replace").decode()


def _text(value: object) -> str:
    """Return what should be a text as one; an interface may have passed anything."""
    if isinstance(value, str):
        return value
    payload = b"" if value is None else _encoded(value)
    return shown(value) if payload is None else payload.decode()


def _encoded(value: object) -> bytes | None:
    """Return `value` as JSON in UTF-8; None if JSON cannot represent it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except Exception:  # noqa: BLE001  (a value of an interface may be of any class)
        return None
    return text.encode(errors="replace")
