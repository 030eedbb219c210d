"""Converts maps of mqttgateway 0.x, with a line for each topic and word, to the current form. Pure.

    topic: home/lighting/+/+/+/+/C
    function: lighting, Lighting       the MQTT word, then the internal word

Source: `mqtt_map.py` of github.com/ppt000/mqtt_gateways before May 2018. That program ignored other lines, and the
text after a second colon or comma. The root was a constant in the program; here it is the first level of the topics. If
several MQTT words had one internal word, the last was written. A gateway that was not in the map was accepted, an
action was refused; the other fields are strict, too, as in the maps into which the author converted these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.configuration.document import Document, Path, Place
from gateway.errors import ConfigurationError, Finding

_FIELDS = ("function", "gateway", "location", "device", "action")
_LINE = re.compile(rf"\s*({'|'.join(('topic', *_FIELDS))})\s*:")
_WORDS = re.compile(r"\s*([^:,]*)(?:,\s*([^:,]*))?")
_MAX_SKIPPED = 10  # lines that a note names


class _Item(NamedTuple):
    """A topic, or an MQTT word and its internal word, with their places."""

    label: str
    mqtt: str
    mqtt_place: Place
    internal: str
    internal_place: Place


def is_line_map(text: str) -> bool:
    """Return whether a text is such a map: its first line, apart from comments, begins with one of the labels."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return _LINE.match(line) is not None
    return False


def read_line_map(text: str, file: str) -> tuple[Document, tuple[str, ...]]:
    """Return such a map in the current form, its values at their places in the file, and notes about the conversion.

    Raises `ConfigurationError` if no topic shows the root.
    """
    skipped: list[int] = []
    items = list(_items(text, skipped))
    data: dict[str, Any] = {"root": "", "topics": []}
    keys: dict[Path, Place] = {}
    values: dict[Path, Place] = {}
    for item in items:
        if item.label == "topic":
            root = item.mqtt.partition("/")[0]
            if not data["root"] and root not in ("", "+", "#"):
                data["root"], values["root",] = root, item.mqtt_place
            values["topics", len(data["topics"])] = item.mqtt_place
            data["topics"].append(item.mqtt)
    if not data["root"]:
        what = "no topic shows the root, with which every topic begins"
        raise ConfigurationError([Finding(file, 0, 0, "", what, "add one, for example topic: home/+/+/+/+/+/C")])
    for item in reversed(items):  # then, the last word for an internal one was written; now, the first is
        if item.label != "topic":
            maptype = "loose" if item.label == "gateway" else "strict"
            entries = data.setdefault(item.label, {"maptype": maptype, "map": {}})["map"]
            words = entries.setdefault(item.internal, [])
            if item.mqtt not in words:
                keys.setdefault((item.label, "map", item.internal), item.internal_place)
                values[item.label, "map", item.internal, len(words)] = item.mqtt_place
                words.append(item.mqtt)
    note = f"read as a map of version 0.x, line by line: the root is {data['root']!a}, as in its topics"
    return Document(file, data, keys, values), (note, *_notes_of(skipped))


def _items(text: str, skipped: list[int]) -> Iterator[_Item]:
    """Yield the items in the lines of a map; add the numbers of all other lines but comments to `skipped`."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        label = _LINE.match(line)
        words = _WORDS.match(line, label.end()) if label else None
        mqtt, internal = (words[1].strip(), (words[2] or "").strip()) if words else ("", "")
        if label and words and mqtt and (internal or label[1] == "topic"):
            yield _Item(label[1], mqtt, (number, words.start(1) + 1), internal, (number, words.start(2) + 1))
        elif line.strip() and not line.lstrip().startswith("#"):
            skipped.append(number)


def _notes_of(skipped: list[int]) -> Iterator[str]:
    if skipped:
        more = len(skipped) - _MAX_SKIPPED
        numbers = ", ".join(map(str, skipped[:_MAX_SKIPPED])) + (f" and {more} more" if more > 0 else "")
        form = "'topic: TOPIC' or 'FIELD: MQTT word, internal word'"
        yield f"ignored, since it is not of the form {form}: line {numbers}"
