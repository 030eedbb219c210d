"""The translation of one field of a message: internal words to MQTT words and back. Pure and immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from gateway.core.quoting import quote
from gateway.errors import WordError
from gateway.message import ADDRESS_FIELDS

MapType = Literal["none", "loose", "strict"]

FIELDS = (*ADDRESS_FIELDS, "action", "argkey", "argvalue")
"""The parts of a message that a map can translate, each with a map of its own."""


class FieldMap:
    """The translation of one field: internal word to MQTT word and back.

    `maptype` none passes every word unchanged; loose translates the words in the map and passes the others;
    strict refuses the others, except the empty word. `entries` holds, for each internal word, its MQTT words:
    the first is written, all are read; a map of type none ignores them. `empty` is the MQTT word for the empty
    word, if that has no entry and an empty level is not allowed.
    """

    def __init__(
        self,
        field: str,
        maptype: MapType = "none",
        entries: Mapping[str, Sequence[str]] | None = None,
        empty: str = "",
    ) -> None:
        self.field = field
        self.maptype = maptype
        self.entries: Mapping[str, Sequence[str]] = entries or {}
        entries = self.entries if maptype != "none" else {}
        self._read = {mqtt: internal for internal, words in entries.items() for mqtt in words}
        self._written = {internal: words[0] for internal, words in entries.items()}
        self.empty = "" if "" in entries else empty
        if self.empty:
            self._written[""] = self.empty
            self._read.setdefault(self.empty, "")
        self.passes_all = maptype != "strict" and not entries and not self.empty
        """Whether every text passes unchanged in both directions."""

    def with_empty(self, empty: str) -> FieldMap:
        """Return the same map with another MQTT word for the empty word."""
        return FieldMap(self.field, self.maptype, self.entries, empty)

    def claiming(self, internal: str) -> FieldMap:
        """Return a map with `internal` reserved for this gateway: it passes a strict map and is read as itself."""
        claimed = FieldMap(self.field)
        claimed.maptype, claimed.entries, claimed.empty = self.maptype, self.entries, self.empty
        mqtt = self._written.get(internal, internal)
        claimed._written = {**self._written, internal: mqtt}
        claimed._read = {**self._read, mqtt: internal}
        claimed.passes_all = self.passes_all
        return claimed

    def write(self, word: object) -> str:
        """Return the MQTT word for the internal `word`.

        Raises `WordError` if it is not text, if a strict map has no such word, or if the MQTT word would
        be read back as another one.
        """
        if not isinstance(word, str):
            raise WordError(f"{self.field}: {quote(word)} is not text: make it text")
        if self.passes_all:
            return word
        mqtt = self._written.get(word)
        if mqtt is None:
            if word and self.maptype == "strict":
                raise self._missing(word)
            mqtt = word
        back = self._read.get(mqtt, mqtt)
        if back != word:
            raise WordError(
                f"{self.field}: {quote(word)} would be written as {quote(mqtt)}, which is read as {quote(back)}: "
                f"give it a word of its own in the map"
            )
        return mqtt

    def read(self, word: str) -> str:
        """Return the internal word for the MQTT `word`; raise `WordError` if a strict map has no such word."""
        internal = self._read.get(word)
        if internal is None:
            if word and self.maptype == "strict":
                raise self._missing(word)
            internal = word
        return internal

    def _missing(self, word: str) -> WordError:
        what = f"{self.field}: {quote(word)} is not in the map: add it there, or make the map loose"
        return WordError(what, self.field, word)

    def knows(self, word: str) -> bool:
        """Return whether the MQTT `word` is in the map."""
        return word in self._read

    def readable(self) -> frozenset[str] | None:
        """Return all MQTT words that `read` accepts, or None if it accepts any."""
        return frozenset(self._read) | {""} if self.maptype == "strict" else None
