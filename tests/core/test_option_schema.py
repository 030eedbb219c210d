from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from gateway.core.option_schema import read_schema, record_of, section_defaults

SCHEMA = {
    "properties": {
        "host": {"default": "localhost"},
        "user": {},
        "topics": {"default": ["a", "b"]},
        "tls": {"default": {}, "properties": {"verify": {"default": True}}},
    }
}


class Tls(NamedTuple):
    verify: bool = True
    files: tuple[str, ...] = ()


class Options(NamedTuple):
    host: str = "localhost"
    topics: tuple[str, ...] = ()
    tls: Tls = Tls()


def test_the_defaults_of_a_section_are_those_of_the_schema_beside_its_module(tmp_path: Path) -> None:
    (tmp_path / "options_schema.json").write_text(json.dumps(SCHEMA))
    module = str(tmp_path / "options.py")
    assert section_defaults(module) == {"host": "localhost", "topics": ("a", "b"), "tls": {}}
    assert section_defaults(module, "tls") == {"verify": True}


def test_a_schema_is_read_only_once(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text("{}")
    assert read_schema(file) is read_schema(file)


def test_a_schema_may_use_that_of_another_file_with_changes(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(
        json.dumps({"type": "object", "default": {}, "properties": {"a": {"type": "string"}, "b": {"type": "string"}}})
    )
    patch = {"$ref": "../base.json", "default": None, "properties": {"a": None, "b": {"minLength": 1}, "c": {}}}
    (tmp_path / "part").mkdir()
    file = tmp_path / "part" / "schema.json"
    file.write_text(json.dumps({"properties": {"x": patch, "y": {"$ref": "#/$defs/y"}}, "list": [patch]}))
    patched = {"type": "object", "properties": {"b": {"type": "string", "minLength": 1}, "c": {}}}
    assert read_schema(file) == {"properties": {"x": patched, "y": {"$ref": "#/$defs/y"}}, "list": [patched]}


def test_a_record_is_filled_by_the_names_of_its_options() -> None:
    assert record_of(Options, {}) == Options()
    options = {"host": "broker", "topics": ["x"], "tls": {"verify": False, "files": ["y"]}}
    assert record_of(Options, options) == Options("broker", ("x",), Tls(False, ("y",)))
