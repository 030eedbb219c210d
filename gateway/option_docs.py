"""Writes the options, as the schemas describe them, into a configuration file: the source of `default.conf`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gateway.interface_loader import BUILT_IN, find_interface
from gateway.load_config import config_schema, interface_schema

_WIDTH = 110
_HEAD = """\
# Every option of mqttgateway with its default. Options that have no default are commented out, with an
# example. `mqttgateway options` prints this file; it is made from the schemas that check a configuration.
#
# ${NAME} in a value stands for the environment variable NAME; write $${ for a literal ${.

"""


def default_configuration() -> str:
    """Return the text of a configuration that names every option, with its default where it has one."""
    parts = [_HEAD]
    for name, option in config_schema()["properties"].items():
        if name == "interface":
            parts += _interface(option)
        elif name == "interfaces":
            parts += [
                *_comment(option, ""),
                "# interfaces:\n#   door: {type: serial, ...}\n#   hall: {type: dummy}\n\n",
            ]
        elif name in ("root", "topics"):
            value = {"root": "home", "topics": ["home/+/+/+/+/+/C"]}[name]
            parts += [*_comment(option, ""), f"{name}: {_yaml(value)}\n\n"]
        else:
            parts += [*_option(name, option, ""), "\n"]
    return "".join(parts)


def _interface(option: Mapping[str, Any]) -> Iterator[str]:
    yield from _comment(option, "")
    yield "interface:\n"
    for type_name in BUILT_IN:
        active = type_name == "dummy"
        lines = "".join(_interface_options(type_name))
        yield lines if active else textwrap.indent(lines, "# ", lambda _: True)
    yield "\n"


def _interface_options(type_name: str) -> Iterator[str]:
    schema = interface_schema(find_interface(type_name, Path()))
    yield f"  # --- options of the type {type_name}\n"
    for name, option in schema["properties"].items():
        if name == "type":
            if type_name == "dummy":
                yield from _comment(option, "  ")
            yield f"  type: {type_name}\n"
        elif type_name == "dummy" or name not in ("map", "sender"):
            yield from _option(name, option, "  ", schema.get("$defs", {}))


def _option(
    name: str, option: Mapping[str, Any], indent: str, shared: Mapping[str, Any] | None = None
) -> Iterator[str]:
    shared = shared or {}
    if "$ref" in option:
        option = {**shared[option["$ref"].rpartition("/")[2]], **option}
    yield from _comment(option, indent)
    if option.get("type") == "object" and "properties" in option:
        prefix = "" if "default" in option else "# "
        body = "".join(line for n, o in option["properties"].items() for line in _option(n, o, indent + "  ", shared))
        has_value = any(not line.lstrip().startswith("#") for line in body.splitlines())
        yield f"{indent}{prefix}{name}:{'' if has_value or prefix else ' {}'}\n"
        yield body if not prefix else textwrap.indent(body, "# ")
    elif option.get("type") == "array" and isinstance(option.get("items"), dict) and option["items"].get("properties"):
        yield f"{indent}{name}: []\n" if "default" in option else f"{indent}# {name}:\n"
        item = "".join(
            line for n, o in option["items"]["properties"].items() for line in _option(n, o, indent + "    ", shared)
        )
        yield "".join(f"{indent}#{line[len(indent) :]}\n" for line in item.splitlines())
    elif "default" in option:
        yield f"{indent}{name}: {_yaml(option['default'])}\n"
    else:
        examples = option.get("examples", [""])
        yield f"{indent}# {name}: {_yaml(examples[0])}\n"


def _comment(option: Mapping[str, Any], indent: str) -> Iterator[str]:
    text = option.get("description", "")
    if "enum" in option:
        text += f" One of {', '.join(map(str, option['enum']))}."
    for line in textwrap.wrap(text, _WIDTH - len(indent)):
        yield f"{indent}# {line}\n"


def _yaml(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and not value.startswith("${"):
        text = yaml.safe_dump(value, width=10_000, allow_unicode=True)
        return text.removesuffix("\n").removesuffix("\n...").strip()
    if isinstance(value, str) and value.startswith("${"):
        return value
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML, and keeps control characters visible
