from __future__ import annotations

import ast
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.core.inbox import Wakeup
from gateway.mqtt.client import MgClient
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import HookedClient
from gateway.outbox.outbox import Outbox

PROJECT = Path(__file__).parents[1]
PACKAGES = ("gateway", "interfaces")
MODULES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def first_paragraph(path: Path) -> str:
    """Return the first paragraph of a module, which is that of its docstring."""
    return path.read_text().partition("\n\n")[0]


PURE = (
    "gateway.errors",
    "gateway.message",
    "gateway.core.topic",
    "gateway.translation.mqtt_map",
    "gateway.configuration.legacy.legacy_maps",
    "gateway.map_tools.words",
    "gateway.map_tools.probe",
    "gateway.map_tools.proof",
    "gateway.map_tools.filter_proof",
    "gateway.map_tools.trace",
    "gateway.map_tools.diff",
    "gateway.map_tools.svg",
    "interfaces.serial_interface.framing.framers",
    "interfaces.rules.decoding",
    "interfaces.rules.template",
)
"""These modules only translate: each can be read, tested and fuzzed alone."""

DECLARED_PURE = sorted(
    name for path in MODULES if (name := name_of(path)).startswith("interfaces.") and "Pure" in first_paragraph(path)
)

NOT_FOR_INTERFACES = (
    "gateway.mqtt",
    "gateway.outbox",
    "gateway.routing.router",
    "gateway.start_gateway",
    "gateway.configuration.load_config",
)

IMPURE = {
    "asyncio",
    "multiprocessing",
    "paho",
    "select",
    "selectors",
    "serial",
    "signal",
    "socket",
    "ssl",
    "subprocess",
}
IMPURE |= {"threading", "time"}


def path_of(name: str) -> Path | None:
    path = PROJECT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def imports(path: Path, *, at_top_only: bool = False) -> tuple[str, ...]:
    """Return the dotted names that a module imports; `from a import b` brings a.b, too, where that is a module."""
    return tuple(find_imports(path, at_top_only))


def find_imports(path: Path, at_top_only: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in tree.body if at_top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if path_of(full) is not None:
                    yield full


def all_imports(name: str) -> dict[str, str]:
    """Return everything that a module imports, also by way of other modules of the project, and by way of which."""
    ways: dict[str, str] = {}
    waiting = [(name, name)]
    seen = {name}
    while waiting:
        module, way = waiting.pop()
        path = path_of(module)
        assert path is not None
        for imported in imports(path):
            ways.setdefault(imported, way)
            if path_of(imported) is not None and imported not in seen:
                seen.add(imported)
                waiting.append((imported, f"{way} -> {imported}"))
    return ways


# --- imports


def test_the_search_for_imports_finds_them() -> None:
    ways = all_imports("gateway.start_gateway")
    assert {"gateway.mqtt.client", "paho.mqtt.client", "socket", "gateway.errors"} <= set(ways)
    assert ways["socket"].startswith("gateway.start_gateway -> gateway.")
    assert "interfaces.serial_interface" not in ways


@pytest.mark.parametrize("name", sorted({*PURE, *DECLARED_PURE}))
def test_a_pure_module_imports_no_io_no_clock_and_no_thread(name: str) -> None:
    impure = {
        f"{way} -> {imported}" for imported, way in all_imports(name).items() if imported.partition(".")[0] in IMPURE
    }
    assert not impure


DATA_OF_PAHO = tuple(f"paho.mqtt.{name}" for name in ("enums", "matcher", "packettypes", "properties", "reasoncodes"))


@pytest.mark.parametrize("path", [path for path in MODULES if "Pure" in first_paragraph(path)], ids=name_of)
def test_a_module_that_claims_to_be_pure_does_no_io_itself(path: Path) -> None:
    """It may use the data of one that is not, such as an error class; paho's tables are data, too."""
    assert not [
        name for name in imports(path) if name.partition(".")[0] in IMPURE and not name.startswith(DATA_OF_PAHO)
    ]


def test_delays_know_no_clock_and_no_thread() -> None:
    assert {"socket", "threading", "time", "select"}.isdisjoint(all_imports("gateway.core.backoff"))


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("gateway")], ids=name_of)
def test_the_gateway_knows_no_interface(path: Path) -> None:
    assert not [imported for imported in imports(path) if imported.partition(".")[0] == "interfaces"]


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("interfaces")], ids=name_of)
def test_an_interface_knows_the_gateway_only_by_its_contract(path: Path) -> None:
    from_gateway = {imported for imported in imports(path) if imported.partition(".")[0] == "gateway"}
    assert not [name for name in from_gateway if name.startswith(NOT_FOR_INTERFACES)]


@pytest.mark.parametrize("name", [*PURE, *NOT_FOR_INTERFACES])
def test_what_these_tests_name_is_there(name: str) -> None:
    """Otherwise these lists would check nothing after a module is renamed."""
    assert path_of(name) is not None


def test_the_core_is_not_started_by_importing_it() -> None:
    """Modules that a run needs only sometimes are imported only then: the command line must start fast."""
    heavy = {
        "gateway.start_gateway",
        "gateway.configuration.option_docs",
        "gateway.cli.watch",
        "gateway.cli.send",
    }
    path = path_of("gateway.cli.main")
    assert path is not None
    assert all(path_of(name) for name in heavy), "a module that does not exist is imported by none"
    assert heavy.isdisjoint(imports(path, at_top_only=True))


# --- MgClient and its base class

SHADOWED = {"__init__", "__repr__", "_create_socket", "_handle_pubackcomp", "_handle_publish"}
SHADOWED |= {"_mid_generate", "loop_read", "loop_write", "want_write"}
SHADOWED |= {"_packet_handle", "_sock_recv", "_send_pingreq", "_handle_pingresp"}
SHADOWED |= {"on_connect", "on_disconnect", "on_message", "on_subscribe", "on_unsubscribe"}
"""The attributes of paho's class that MgClient overrides on purpose."""

SET_THROUGH_PROPERTIES = {
    "connect_timeout",
    "on_connect",
    "on_disconnect",
    "on_message",
    "on_publish",
    "on_subscribe",
    "on_unsubscribe",
}
SET_THROUGH_PROPERTIES |= {
    "on_socket_open",
    "on_socket_register_write",
    "on_socket_close",
    "on_socket_unregister_write",
}
SET_ON_PURPOSE = {"_protocol", "_last_bytes_received", "_last_msg_out"}
"""The version of MQTT, which paho itself changes between two connections; and its times of the keepalive."""


def names_set_on_self() -> set[str]:
    """Return the names of all attributes that the code of MgClient assigns to."""
    return {
        node.attr
        for cls in (MgClient, HookedClient)
        for node in ast.walk(ast.parse(inspect.getsource(cls)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


class Empty:
    """The attributes of every class, in this version of Python."""


def test_no_method_of_the_client_shadows_one_of_its_base_class_unawares() -> None:
    theirs = {name for cls in mqtt.Client.__mro__ for name in vars(cls)}
    assert ({*vars(MgClient), *vars(HookedClient)} & theirs) - set(vars(Empty)) == SHADOWED


def test_no_attribute_of_the_client_shadows_one_of_its_base_class() -> None:
    base = mqtt.Client(CallbackAPIVersion.VERSION2)
    theirs = set(vars(base)) | set(dir(mqtt.Client))
    ours = names_set_on_self()
    assert {"link", "outbox", "options"} <= ours, "the search finds them"
    assert ours & theirs <= SET_THROUGH_PROPERTIES | SET_ON_PURPOSE
    properties = {name for name, member in inspect.getmembers(mqtt.Client) if isinstance(member, property)}
    assert not SET_THROUGH_PROPERTIES - properties


def test_the_clients_repr_shows_where_and_in_what_state() -> None:
    wakeup = Wakeup()
    client = MgClient(MqttOptions(host="broker", port=1884), Outbox(), wakeup)
    assert repr(client) == "<MgClient broker:1884 idle>"
    wakeup.close()


# --- size and shape

REWIRES = {"gateway.interface": {"msglist_in.accepts", "msglist_out.on_ask", "msglist_out.open_commands"}}
"""What a constructor changes in its arguments all the same: a test of an interface has no supervisor that would."""


def assigned_in_arguments(path: Path) -> set[str]:
    """Return what the constructors of a module assign to attributes of their arguments."""
    result = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            arguments = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)} - {"self"}
            result |= {
                ast.unparse(node)
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id in arguments
            }
    return result


def test_constructors_do_not_rewire_their_arguments() -> None:
    assigned = {name_of(path): assigned_in_arguments(path) for path in MODULES}
    assert {name: attributes for name, attributes in assigned.items() if attributes} == REWIRES


def test_modules_stay_small_enough_to_read_in_one_sitting() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 600} == {}


FOR_FEW = {
    "amqtt",
    "asyncio",
    "dataclasses",  # with inspect and ast; records that a run makes are named tuples, or plain classes
    "gateway.configuration.legacy.legacy_maps",
    "inspect",
    "jsonschema",
    "logging.handlers",
    "regex",
    "sqlite3",
    "subprocess",
    "zipfile",
}


def test_a_gateway_brings_nothing_into_memory_that_few_need() -> None:
    assert all(importlib.util.find_spec(module) for module in FOR_FEW)
    run = (
        "import sys, logging; were_there = set(sys.modules);"  # since 3.14 that brings dataclasses itself
        "import gateway.cli.main, gateway.start_gateway, interfaces.serial_interface.interface;"
        "import gateway.configuration.load_config;"
        "print(*(set(sys.modules) - were_there))"
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    brought = set(done.stdout.split())
    assert "gateway.start_gateway" in brought
    assert not brought & FOR_FEW
