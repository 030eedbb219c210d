from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import config_schema
from gateway.core.option_schema import record_of
from gateway.core.tls import TlsOptions
from gateway.logs.init_logger import LogOptions
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import OutboxOptions
from gateway.routing.command_guard import CommandOptions

SECTIONS: Mapping[str, Any] = config_schema()["properties"]
RECORDS: Mapping[str, tuple[type[Any], Mapping[str, Any]]] = {
    "mqtt": (MqttOptions, SECTIONS["mqtt"]),
    "mqtt.tls": (TlsOptions, SECTIONS["mqtt"]["properties"]["tls"]),
    "outbox": (OutboxOptions, SECTIONS["outbox"]),
    "commands": (CommandOptions, SECTIONS["commands"]),
    "log": (LogOptions, SECTIONS["log"]),
}


def written_defaults(cls: type[Any]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the fields of a named tuple with the expression that is written as their default."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value


def literal_defaults(cls: type[Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the options that have a default in their schema and, as a literal, also in their record."""
    return [
        name
        for name, value in written_defaults(cls)
        if "default" in schema["properties"].get(name, {}) and isinstance(value, ast.Constant | ast.Tuple | ast.UnaryOp)
    ]


def test_every_section_of_the_schema_with_options_of_its_own_has_a_record() -> None:
    sections = {name for name, section in SECTIONS.items() if "properties" in section and "default" in section}
    assert sections <= set(RECORDS)


@pytest.mark.parametrize("section", RECORDS)
def test_every_option_of_the_schema_is_a_field_of_its_record(section: str) -> None:
    cls, schema = RECORDS[section]
    assert set(schema["properties"]) <= set(cls._fields)


@pytest.mark.parametrize("section", RECORDS)
def test_no_default_is_written_in_the_schema_and_again_in_the_record(section: str) -> None:
    cls, schema = RECORDS[section]
    assert literal_defaults(cls, schema) == []


@pytest.mark.parametrize("section", RECORDS)
def test_a_record_without_arguments_has_the_defaults_of_its_schema(section: str) -> None:
    cls, schema = RECORDS[section]
    assert cls() == record_of(cls, fill_defaults({}, schema))


def test_a_default_that_is_written_twice_is_found() -> None:
    class Twice(NamedTuple):
        port: int = 1883
        name: str = ""

    schema = {"properties": {"port": {"default": 1883}, "name": {}}}
    assert literal_defaults(Twice, schema) == ["port"]


def test_an_option_that_is_no_field_of_the_record_is_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        record_of(LogOptions, {"level": "info", "colour": True})
