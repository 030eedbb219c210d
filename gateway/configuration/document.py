"""A document: the data of a configuration or map file, with the place of every value for findings."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

from gateway.configuration.scalars import resolve_scalar
from gateway.errors import ConfigurationError, Finding

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists, from the root."""

Place: TypeAlias = tuple[int, int]
"""Line and column, counted from 1."""

MAX_BYTES = 16 * 1024 * 1024
"""Largest file that is read; a map of 100,000 entries has a third of this size."""

MAX_VALUES = 200_000
"""Most values in a YAML text, and most places that are known in a JSON text; 16 MiB could hold millions."""

MAX_DEPTH = 40
"""Most levels of nested mappings and lists in a file."""

TOO_DEEP = (f"nested over {MAX_DEPTH} levels deep", "use fewer levels")
"""What is wrong with a file that has more, and the remedy."""


class Origin(NamedTuple):
    """Where a part is written that stands for several, and which of them it is: `unit: 2`."""

    path: Path
    note: str = ""


_NO_PLACES: Mapping[Path, Place] = MappingProxyType({})
_MAX_QUOTED = 60  # characters


class Document:
    """The data of a file and the place of each part of it.

    `raw` holds the text, as written in the file, of the values into which environment variables were inserted:
    errors quote this text, since the value may be a secret. `notes` are other remarks about the file.

    The methods accept the paths of data in which repeated parts were written out, too: `with_origins` tells where each
    of them stands in the file.
    """

    is_legacy: ClassVar[bool] = False
    is_json: ClassVar[bool] = False

    def __init__(
        self,
        file: str,
        data: Any,
        keys: Mapping[Path, Place] = _NO_PLACES,
        values: Mapping[Path, Place] = _NO_PLACES,
        raw: Mapping[Path, str] = MappingProxyType({}),
        notes: tuple[Finding, ...] = (),
    ) -> None:
        self.file = file
        self.data = data
        self.keys = keys
        self.values = values
        self.raw = raw
        self.notes = notes
        self._origins: Mapping[Path, Origin] = MappingProxyType({})
        self._parts: Mapping[Path, Document] = MappingProxyType({})

    def with_data(self, data: Any) -> Self:
        """Return the same document with other data at the same places."""
        same = copy.copy(self)
        same.data = data
        return same

    def with_origins(self, origins: Mapping[Path, Origin]) -> Self:
        """Return the same document, with the origins of more parts that were written out."""
        same = copy.copy(self)
        same._origins = {**self._origins, **origins}
        return same

    def with_parts(self, data: Any, parts: Mapping[Path, Document]) -> Self:
        """Return the same document with other data: what is at the paths of `parts`, and below, stands in these."""
        same = self.with_data(data)
        same._parts = {**self._parts, **parts}
        return same

    def below(self, path: Path) -> Document:
        """Return the document in which all of this one stands at `path`, in mappings around it."""
        data = self.data
        for step in reversed(path):
            data = {step: data}
        keys, values, raw = (
            {(*path, *at): value for at, value in each.items()} for each in (self.keys, self.values, self.raw)
        )
        return Document(self.file, data, keys, values, raw, self.notes)  # type: ignore[arg-type]

    def _place(self, path: Path) -> tuple[Document, Path, str]:
        """Return the document in which `path` is written, its path there, and the note of its origin."""
        path, note = self._origin(path)
        for length in range(len(path), 0, -1) if self._parts else ():
            part = self._parts.get(path[:length])
            if part is not None:
                return part, path, note
        return self, path, note

    def _origin(self, path: Path) -> Origin:
        """Return where `path` is written."""
        for length in range(len(path), 0, -1) if self._origins else ():
            origin = self._origins.get(path[:length])
            if origin is not None:
                return origin._replace(path=(*origin.path, *path[length:]))
        return Origin(path)

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        """Return a finding at the value of `path`, or at its key; if its place is unknown, at the nearest part."""
        document, path, note = self._place(path)
        places = [document.keys, document.values] if at_key else [document.values, document.keys]
        at = path
        while True:
            place = next((positions[at] for positions in places if at in positions), None)
            if place or not at:
                return Finding(document.file, *(place or (0, 0)), dotted(path), what, remedy).noted(note)
            at = at[:-1]

    def resolve(self, path: Path, text: str, wanted_type: object) -> str | int | float | bool | None:  # noqa: ARG002
        """Return the value of `text` at `path`, where the schema expects `wanted_type` and not text.

        Only a text from an environment variable is converted; what is written in the file has its type already.
        """
        document, path, _ = self._place(path)
        return resolve_scalar(text) if path in document.raw else text

    def has_variables(self, path: Path) -> bool:
        """Return whether an environment variable was inserted into the value at `path`, or into a part of it."""
        document, path, _ = self._place(path)
        return any(raw[: len(path)] == path for raw in document.raw)

    def quote(self, path: Path, value: object) -> str:
        """Return `value` as an error may show it: as text or number, cut to 60 characters, never a secret."""
        document, path, _ = self._place(path)
        if path in document.raw:
            return f"{document.raw[path]!r}"
        if isinstance(value, dict | list):
            return "a mapping" if isinstance(value, dict) else "a list"
        text = json.dumps(value)
        return text if len(text) <= _MAX_QUOTED else f"{text[:57]}..."


class FaultyDocumentError(ConfigurationError):
    """A text has the form of its language, but cannot be used as a `Document`; `document` is the part that was read.

    A caller that reports all errors of a file together checks that part, too, before it gives up.
    """

    def __init__(self, findings: Iterable[Finding], document: Document) -> None:
        super().__init__(findings)
        self.document = document


def dotted(path: Path) -> str:
    """Return a path as people write it: `interface.decode[0].match`."""
    text = ""
    for step in path:
        if isinstance(step, str) and not step.isprintable():  # a control character could change the terminal
            step = ascii(step)[1:-1]
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def refusal(file: str, text: str, offset: int, what: str, remedy: str) -> ConfigurationError:
    """Return the error of a text that cannot be read further than `offset` (in characters)."""
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return ConfigurationError([Finding(file, line, column, "", what, remedy)])
