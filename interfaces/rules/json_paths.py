"""Values of a JSON text by path: `sensors.0.t` is the member `t` of the first item of the member `sensors`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway.errors import GatewayError, PayloadError
from gateway.translation.strict_json import JSON_SPACE, NotJsonError, check_value, load

MAX_MEMBERS = 1000
"""Most members of an object whose members are all read."""

_INDEX = re.compile(r"-?[0-9]{1,6}")

Path: TypeAlias = Sequence[str | int]

_MISSING = object()


class JsonTextError(GatewayError):
    """A text is JSON, but two programs could read it differently, or it holds too much; the text says what."""


class JsonPaths:
    """Reads the values of JSON texts; `names` are the values, None if all members of the object are read."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._paths: dict[str, Path] | None = None
        if "at" in options:
            self._paths = {name: _path(text) for name, text in options["at"].items()}
        self._constants = [
            (_path(text), expected if isinstance(expected, list) else [expected])
            for text, expected in options.get("is", {}).items()
        ]
        self.names = None if self._paths is None else frozenset(self._paths)

    def read(self, text: str) -> dict[str, Any] | None:
        """Return the values of `text`; None if it is no JSON object or list, or if a constant differs.

        A path that leads nowhere has no value. Raises `JsonTextError`.
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
            if not any(found == value and isinstance(found, bool) is isinstance(value, bool) for value in expected):
                return None
        values = self._members(root) if self._paths is None else self._found(root, self._paths)
        if values is not None:
            _check_depth(values)
        return values

    @staticmethod
    def _found(root: Any, paths: Mapping[str, Path]) -> dict[str, Any] | None:
        found = {name: _follow(root, path) for name, path in paths.items()}
        values = {name: value for name, value in found.items() if value is not _MISSING}
        return values or None

    @staticmethod
    def _members(root: Any) -> dict[str, Any] | None:
        if not isinstance(root, dict):
            return None
        if len(root) > MAX_MEMBERS:
            raise JsonTextError(f"the JSON text has {len(root)} members: expected at most {MAX_MEMBERS}")
        return {name: value for name, value in root.items() if name}


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


def _check_depth(values: Mapping[str, Any]) -> None:
    """Raise `JsonTextError` if a value has so many levels that no message could hold it."""
    for name, value in values.items():
        if isinstance(value, list | dict):
            try:
                check_value(name, value)
            except PayloadError as err:
                raise JsonTextError(str(err)) from err
