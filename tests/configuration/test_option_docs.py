from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.configuration.interface_loader import BUILT_IN, find_interface
from gateway.configuration.load_config import load_configuration
from gateway.configuration.option_docs import default_configuration
from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schema_fit import fits_quickly
from gateway.configuration.schemas import config_schema, interface_schema, map_schema
from gateway.core.paths import shipped, shipped_configurations
from gateway.logs.init_logger import LogOptions
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import OutboxOptions

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "configuration": config_schema(),
    **{name: interface_schema(find_interface(name, Path())) for name in BUILT_IN},
}

DEFAULT_CONF = (shipped("conf") / "default.conf").read_text()


def options(schema: Any, path: str = "") -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield path, name and schema of every option, at any depth."""
    if isinstance(schema, Mapping):
        for name, option in schema.get("properties", {}).items():
            yield f"{path}/{name}", name, option
        for key, inner in schema.items():
            yield from options(inner, f"{path}/{key}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from options(inner, path)


def test_the_shipped_default_configuration_is_what_the_schemas_say() -> None:
    assert default_configuration() == DEFAULT_CONF, "write it again: mqttgateway options > conf/default.conf"


def test_it_loads_and_says_the_defaults_that_the_program_has() -> None:
    configuration = load_configuration(shipped("conf") / "default.conf", {})
    assert configuration.mqtt == MqttOptions(client_id="default")
    assert configuration.outbox == OutboxOptions()
    assert configuration.log == LogOptions()
    (interface,) = configuration.interfaces
    assert {**interface.params, "max_devices": interface.max_devices} == fill_defaults({}, SCHEMAS["dummy"])


def test_every_default_that_is_written_is_also_what_a_configuration_without_it_gets(tmp_path: Path) -> None:
    path = tmp_path / "default.conf"
    path.write_text("root: home\ntopics: ['home/+/+/+/+/+/C']\ninterface: {type: dummy}\n")
    bare, full = load_configuration(path, {}), load_configuration(shipped("conf") / "default.conf", {})
    assert (bare.mqtt, bare.outbox, bare.log) == (full.mqtt, full.outbox, full.log)
    assert bare.interfaces[0].params == full.interfaces[0].params


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_option_of_every_schema_is_in_it(name: str) -> None:
    shown = set(re.findall(r"^[# ]*(\w+):", DEFAULT_CONF, re.MULTILINE))
    assert {option for _, option, _ in options(SCHEMAS[name])} <= shown


def test_the_options_of_the_serial_interface_can_be_used_as_they_stand_there(tmp_path: Path) -> None:
    _, _, rest = DEFAULT_CONF.partition("#   # --- options of the type serial\n")
    block = rest.partition("\n\n")[0].replace("#   # port:", "#   port:")
    text = re.sub(r"^# ", "", block, flags=re.MULTILINE)
    path = tmp_path / "serial.conf"
    path.write_text(f"root: home\ntopics: []\ninterface:\n{text}\n")
    (interface,) = load_configuration(path, {}).interfaces
    defaults = fill_defaults({"port": interface.params["port"]}, SCHEMAS["serial"])
    assert {**interface.params, "max_devices": interface.max_devices} == defaults


def test_no_line_of_it_is_too_wide_to_read() -> None:
    wide = [line for line in DEFAULT_CONF.splitlines() if len(line) > 120]
    assert wide == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_its_defaults_and_examples_fit(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    for path, _, option in options(schema):
        whole = {**option, "$defs": schema.get("$defs", {})}
        validator = jsonschema.Draft202012Validator(whole)
        for value in [*option.get("examples", ()), *([option["default"]] if "default" in option else ())]:
            assert not list(validator.iter_errors(value)), f"{path}: {value!r}"
            assert fits_quickly(value, whole), f"{path}: {value!r}: it needs the schema library"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_option_at_the_top_says_what_it_is_for(name: str) -> None:
    undocumented = [option for option, schema in SCHEMAS[name]["properties"].items() if not schema.get("description")]
    assert undocumented == []


def test_the_schema_of_maps_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(map_schema())


@pytest.mark.parametrize("name", shipped_configurations())
def test_every_shipped_configuration_is_valid(name: str) -> None:
    assert load_configuration(shipped("conf") / name, {}).interfaces
