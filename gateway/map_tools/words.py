"""What the tools for maps say: messages that show something, words that none has, and where words stand. Pure."""

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
    """A message that shows something: one to be written (`message`), or one that is read; and what becomes of it."""

    outcome: str
    message: InternalMsg | None = None
    topic: str = ""
    payload: bytes = b""

    def __str__(self) -> str:
        given = str(self.message) if self.message else f"{shown(self.topic)} {shown(self.payload)}"
        return f"{given}: {self.outcome}"


def shown(text: str | bytes) -> str:
    """Return a topic or payload as a person can read it: escaped where it must be, cut where it is long."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 300 else f"{text[:297]}..."


def delivery_text(how: Delivery) -> str:
    """Say how a message is delivered."""
    lifetime = "" if how.lifetime is None else f", worth {how.lifetime:g} s"
    flags = "retained" if how.retain else "replayed" if how.replay else "not retained"
    return f"lane {how.lane.name.lower()}, {flags}{lifetime}"


def stranger(known: Collection[str], wish: str = "other") -> str:
    """Return a word like `wish` that is none of `known`."""
    return next(word for number in count(1) if (word := wish if number == 1 else f"{wish}{number}") not in known)


def word_path(field: str, internal: str, index: int | None = None) -> Path:
    """Return where an entry of a map stands in its document, or one MQTT word of it."""
    return (field, "map", internal) if index is None else (field, "map", internal, index)


def find_entry(field: FieldMap, internal: str, mqtt: str) -> Path | None:
    """Return where the MQTT word `mqtt` of the entry `internal` stands, or None if there is none."""
    words = field.entries.get(internal, ()) if field.maptype != "none" else ()
    return word_path(field.field, internal, list(words).index(mqtt)) if mqtt in words else None


def unknown_word(*fields: FieldMap) -> str:
    """Return a word that is in none of the maps, neither as internal nor as MQTT word."""
    return stranger({word for field in fields for word in words_of(field)})


def words_of(field: FieldMap) -> Iterator[str]:
    """Yield all words of a map, internal and of MQTT."""
    for internal, words in field.entries.items():
        yield internal
        yield from words
    if field.empty:
        yield field.empty
