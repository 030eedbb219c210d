"""Values of a JSON text by path: `sensors.0.t` is the member `t` of the first item of the member `sensors`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway.devices.argument_values import is_same
from gateway.errors import GatewayError, PayloadError
from gateway.translation.strict_json import JSON_SPACE, NotJsonError, check_value, load
from interfaces.rules.repetition import MAX_REPETITIONS, FrameValues, Repetition, as_lists

MAX_MEMBERS = 1000
"""Most members of an object whose members are all read."""

_INDEX = re.compile(r"-?[0-9]{1,6}")

Path: TypeAlias = Sequence[str | int]

_MISSING = object()


class JsonTextError(GatewayError):
    """A text is JSON, but two programs could read it differently, or it holds too much; the text says what."""


class RepeatedItems:
    """The items of the list at the path `in`: `at` are the paths of the values within an item."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._list = _path(options["in"])
        self._paths = _paths(options["at"])
        self._index: str = options.get("index", "")
        self.names = frozenset((*self._paths, *([self._index] if self._index else [])))

    def read(self, root: Any) -> list[dict[str, Any]] | None:
        """Return the values of each item, without items that have none of them; None if there is no such list."""
        listed = _follow(root, self._list)
        if not isinstance(listed, list):
            return None
        items = []
        for number, item in enumerate(listed, 1):
            values = _found(item, self._paths)
            if values:
                items.append({**values, self._index: number} if self._index else values)
        return items


class JsonPaths:
    """Reads the values of JSON texts; `names` are the values, None if all members of the object are read.

    `repeated` are those of them that belong to the items of a list (`repeat`): these become lists, or, with `each`, are
    read apart.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._repeat = RepeatedItems(options["repeat"]) if "repeat" in options else None
        self._is_apart: bool = options.get("each", False)
        self._paths: dict[str, Path] | None = None
        if "at" in options or self._repeat is not None:
            self._paths = _paths(options.get("at", {}))
        self._constants = [
            (_path(text), expected if isinstance(expected, list) else [expected])
            for text, expected in options.get("is", {}).items()
        ]
        self.repeated = frozenset[str]() if self._repeat is None else self._repeat.names
        self.names = None if self._paths is None else self.repeated.union(self._paths)

    def read(self, text: str) -> dict[str, Any] | None:
        """Return the values of `text`; None if it is no JSON object or list, or if a constant differs.

        They are `FrameValues` if the items of a list are read. A path that leads nowhere has no value. Raises
        `JsonTextError`.
        """
        text = text.strip(JSON_SPACE)
        if not text.startswith(("{", "[")):
            return None
        try:
            root = load(text, "the JSON text")
        except NotJsonError:
            return None
        except PayloadError as err:
            raise JsonTextError(str(err)) from err
        for path, expected in self._constants:
            found = _follow(root, path)
            if not any(is_same(found, value) for value in expected):
                return None
        values = self._members(root) if self._paths is None else _found(root, self._paths)
        if self._repeat is not None:
            return self._with_items(values or {}, self._repeat, root)
        if values is not None:
            _check_depth(values)
        return values

    def _with_items(self, values: dict[str, Any], repeat: RepeatedItems, root: Any) -> FrameValues | None:
        """Return the values with those of the items of a list; None if there are neither, or too many items."""
        items = repeat.read(root)
        if (items is None and not values) or len(items or ()) > MAX_REPETITIONS:
            return None
        for read in (values, *(items or ())):
            _check_depth(read)
        if self._is_apart:
            return FrameValues(values, [Repetition(1, item) for item in items or ()])
        return FrameValues({**values, **as_lists(repeat.names, items or ())})

    @staticmethod
    def _members(root: Any) -> dict[str, Any] | None:
        if not isinstance(root, dict):
            return None
        if len(root) > MAX_MEMBERS:
            raise JsonTextError(f"the JSON text has {len(root)} members: expected at most {MAX_MEMBERS}")
        return {name: value for name, value in root.items() if name}


def _paths(options: Mapping[str, str | Path]) -> dict[str, Path]:
    return {name: _path(path) for name, path in options.items()}


def _path(path: str | Path) -> Path:
    return path.split(".") if isinstance(path, str) else [str(part) for part in path]


def _follow(value: Any, path: Path) -> Any:
    """Return what stands at `path` in a JSON value, or `_MISSING`."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, _MISSING)
        elif isinstance(value, list) and _INDEX.fullmatch(str(part)) and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return _MISSING
    return value


def _found(root: Any, paths: Mapping[str, Path]) -> dict[str, Any] | None:
    """Return the values that stand at `paths`; None if there is none."""
    found = {name: _follow(root, path) for name, path in paths.items()}
    return {name: value for name, value in found.items() if value is not _MISSING} or None


def _check_depth(values: Mapping[str, Any]) -> None:
    """Raise `JsonTextError` if a value has so many levels that no message could hold it."""
    for name, value in values.items():
        if isinstance(value, list | dict):
            try:
                check_value(name, value)
            except PayloadError as err:
                raise JsonTextError(str(err)) from err
