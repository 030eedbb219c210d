"""Parts that the tools for maps share: example messages, unused words, and the paths of words in a document. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count

from gateway.configuration.document import Path
from gateway.message import InternalMsg
from gateway.translation.delivery import Delivery
from gateway.translation.field_map import FieldMap


@dataclass(frozen=True, slots=True)
class Example:
    """An example: a message to be written (`message`), or one received (`topic`, `payload`), and its outcome."""

    outcome: str
    message: InternalMsg | None = None
    topic: str = ""
    payload: bytes = b""

    def __str__(self) -> str:
        text = str(self.message) if self.message else f"{shown(self.topic)} {shown(self.payload)}"
        return f"{text}: {self.outcome}"


def shown(text: str | bytes) -> str:
    """Return a topic or payload as readable text: escaped where it is not printable, cut after 300 characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 300 else f"{text[:297]}..."


def delivery_text(delivery: Delivery) -> str:
    """Return how a message is delivered, as text."""
    lifetime = "" if delivery.lifetime is None else f", lifetime {delivery.lifetime:g} s"
    flags = "retained" if delivery.retain else "replayed" if delivery.replay else "not retained"
    return f"lane {delivery.lane.name.lower()}, {flags}{lifetime}"


def unused_word(used: Collection[str]) -> str:
    """Return `other`, or with a number behind it where that is one of the `used` words."""
    return next(word for number in count(1) if (word := "other" if number == 1 else f"other{number}") not in used)


def word_path(field: str, internal: str, index: int | None = None) -> Path:
    """Return the path of an entry of a map in its document, or of one MQTT word of the entry."""
    return (field, "map", internal) if index is None else (field, "map", internal, index)


def find_entry(field: FieldMap, internal: str, mqtt: str) -> Path | None:
    """Return the path of the MQTT word `mqtt` of the entry `internal`, or None if the entry does not have it."""
    words = field.entries.get(internal, ()) if field.maptype != "none" else ()
    return word_path(field.field, internal, list(words).index(mqtt)) if mqtt in words else None


def unknown_word(*fields: FieldMap) -> str:
    """Return a word that none of the maps contains, neither as internal nor as MQTT word."""
    return unused_word({word for field in fields for word in words_of(field)})


def words_of(field: FieldMap) -> Iterator[str]:
    """Yield all internal and MQTT words of a map."""
    for internal, words in field.entries.items():
        yield internal
        yield from words
    if field.empty:
        yield field.empty
