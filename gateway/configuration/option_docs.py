"""Generates a configuration file with all options from the schemas: the source of `default.conf`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from gateway.configuration.interface_loader import BUILT_IN, find_interface
from gateway.configuration.schemas import common_schema, config_schema, interface_schema

_WIDTH = 110
_Schema: TypeAlias = Mapping[str, Any]

_HEAD = """\
# Every option of mqttgateway with its default. Options that have no default are commented out, with an
# example. `mqttgateway options` prints this file; it is generated from the schemas that check a configuration.
#
# ${NAME} in a value is replaced by the environment variable NAME; write $${ for a literal ${.

"""


def default_configuration() -> str:
    """Return the text of a configuration with every option, and its default if it has one."""
    lines: list[str] = []
    shared = _Writer(config_schema()["$defs"])
    for name, option in config_schema()["properties"].items():
        if name == "interface":
            lines += [*_comment(option, _WIDTH), "interface:", *_interfaces(shared)]
        elif name == "interfaces":
            lines += [*_comment(option, _WIDTH), "# interfaces:"]
            lines += ["#   door: {type: serial, ...}", "#   hall: {type: dummy}"]
        elif name in ("root", "topics"):
            value = {"root": "home", "topics": ["home/+/+/+/+/+/C"]}[name]
            lines += [*_comment(option, _WIDTH), f"{name}: {_yaml(value)}"]
        else:
            lines += shared.option(name, option, _WIDTH)
        lines.append("")
    return _HEAD + "\n".join(line.rstrip() for line in lines)


def _interfaces(shared: _Writer) -> Iterator[str]:
    for type_name in BUILT_IN:
        schema = interface_schema(find_interface(type_name, Path()))
        writer = shared.with_others(schema["$defs"])
        mark = "  " if type_name == "dummy" else "#   "
        yield f"{mark}# --- options of the type {type_name}"
        for name, option in schema["properties"].items():
            if name == "type":
                yield from (mark + line for line in _comment(option, _WIDTH - 4) if type_name == "dummy")
                yield f"{mark}type: {type_name}"
            elif type_name == "dummy" or name not in common_schema()["properties"]:
                yield from (mark + line for line in writer.option(name, option, _WIDTH - 4))


class _Writer:
    """Writes options as lines of a configuration; `shared` are the definitions to which a schema refers.

    An option without a default is commented out, a mapping or list as a whole: without the outer `#` it is valid. A
    definition that several options share is written out at the first of them.
    """

    def __init__(self, shared: _Schema) -> None:
        self._shared = shared
        self._written: set[str] = set()

    def with_others(self, shared: _Schema) -> _Writer:
        """Return a writer with more definitions, which knows the definitions that this one has written out."""
        writer = _Writer({**self._shared, **shared})
        writer._written |= self._written
        return writer

    def option(self, name: str, option: _Schema, width: int) -> Iterator[str]:
        """Yield the lines of the option called `name`: description, value, and the options within it."""
        resolved = self._resolved(option)
        yield from _comment(resolved, width)
        inner = list(self._inner(option, width - 4))
        if "properties" in resolved and "default" in resolved:
            yield f"{name}:{' {}' if all(line.startswith('#') for line in inner) else ''}"
            yield from (f"  {line}" for line in inner)
        elif "default" in resolved:
            yield f"{name}: {_yaml(resolved['default'])}"
            yield from (f"#   {line}" for line in inner)
        else:
            yield f"# {name}:{self._example(resolved, inner)}"
            yield from (f"#   {line}" for line in inner)

    def _resolved(self, option: _Schema) -> _Schema:
        if "$ref" not in option:
            return option
        return {**self._resolved(self._shared[option["$ref"].rpartition("/")[2]]), **option}

    def _inner(self, option: _Schema, width: int) -> Iterator[str]:
        """Yield the lines within an option: its members, a member under any name, or an item of a list."""
        reference = option.get("$ref")
        if reference in self._written:
            return
        self._written |= {reference} if reference else set()
        option = self._resolved(option)
        for name, member in option.get("properties", {}).items():
            yield from self.option(name, member, width)
        for head, inner in (("NAME:", option.get("additionalProperties")), ("-", option.get("items"))):
            lines = list(self._inner(inner, width - 2)) if isinstance(inner, dict) else []
            if lines:
                yield head
                yield from (f"  {line}" for line in lines)

    @staticmethod
    def _example(option: _Schema, inner: Sequence[str]) -> str:
        if "examples" in option:
            return f" {_yaml(option['examples'][0])}"
        return "" if inner else " ..."


def _comment(option: _Schema, width: int) -> Iterator[str]:
    text = option.get("description", "")
    if "enum" in option:
        text += f" One of {', '.join(map(str, option['enum']))}."
    for line in textwrap.wrap(text.strip(), width):
        yield f"# {line}"


def _yaml(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and not value.startswith("${"):
        text = yaml.safe_dump(value, width=10_000, allow_unicode=True)
        return text.removesuffix("\n").removesuffix("\n...").strip()
    if isinstance(value, str) and value.startswith("${"):
        return value
    return json.dumps(value, ensure_ascii=False)  # JSON is valid YAML, and shows control characters
