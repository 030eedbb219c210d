"""The documentation is true: every block is loaded, run or compared, and every link has a target."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shlex
import signal
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import __version__
from gateway.cli import main as cli
from gateway.configuration.document import dotted
from gateway.configuration.interface_loader import ENTRY_POINTS
from gateway.configuration.legacy import ini_config
from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_map import load_map
from gateway.configuration.schemas import config_schema, device_schema, interface_schema
from gateway.core.paths import shipped
from gateway.devices.document import event_document, outcome_document, state_document
from gateway.devices.model import Model
from gateway.devices.series import Event
from gateway.errors import DeliveryError, MessageError, PayloadError
from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg
from gateway.mqtt.dial import Server, dial
from gateway.mqtt.link_state import LinkState
from gateway.routing.message_filter import HookStep
from gateway.runtime.interface_hosts import STOP_SECONDS
from gateway.runtime.supervisor import Supervisor
from gateway.start_gateway import STOP_LINK_SECONDS
from gateway.translation.mqtt_map import MsgMap
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, find_tool, free_port, mosquitto_or_skip, tool_or_skip
from tests.support.certificates import server_context
from tests.support.configuration import shipped_conf, write_conf
from tests.support.desk import Desk
from tests.support.docs import PAGES, ROOT, Block, Page, page, rows, without_times
from tests.support.gateway_process import COMMAND, GatewayProcess
from tests.support.peer import Peer, stay_silent
from tests.support.waiting import wait_until

README, ARCHITECTURE, CHANGELOG = page("README.md"), page("ARCHITECTURE.md"), page("CHANGELOG.md")
CONFIGURATION, MAPS = page("docs/configuration.md"), page("docs/maps.md")
INTERFACES, OPERATIONS = page("docs/interfaces.md"), page("docs/operations.md")
MIGRATION, DEVICES = page("docs/migration.md"), page("docs/devices.md")
HOME_ASSISTANT = page("docs/home-assistant.md")

CHECKED_BLOCKS = {
    "yaml": "test_blocks_load_and_run_in_order",
    "yaml file=": "test_blocks_load_and_run_in_order",
    "yaml partial": "test_blocks_load_and_run_in_order",
    "yaml written=": "test_blocks_load_and_run_in_order",
    "yaml page file=": "test_blocks_load_and_run_in_order (by the console block that follows)",
    "yaml automation": "test_docs_home_assistant",
    "yaml by-hand": "test_docs_clients",
    "yaml by-token": "test_docs_page",
    "yaml by-proxy": "test_docs_page",
    "yaml mqtt2prometheus": "test_docs_clients",
    "yaml prometheus": "tests/page/test_metrics",
    "ini file=": "test_blocks_load_and_run_in_order (by the console block that follows)",
    "yaml wrong file=": "test_blocks_load_and_run_in_order (by the console block that follows)",
    "json map file=": "test_blocks_load_and_run_in_order, test_map_*",
    "json file=": "test_blocks_load_and_run_in_order (by the console block that follows)",
    "json state": "test_the_state_document_is_as_shown",
    "json command": "test_the_document_of_an_outcome_is_as_shown",
    "json outcome": "test_the_document_of_an_outcome_is_as_shown",
    "json event": "test_the_document_of_an_event_is_as_shown",
    "json flow": "test_docs_clients",
    "console": "test_blocks_load_and_run_in_order",
    "console exit=": "test_blocks_load_and_run_in_order",
    "console run=": "test_the_picture_of_a_run_is_true",
    "sh": "test_shell_lines_name_what_is_there",
    "sh update": "test_shell_lines_name_what_is_there, test_packaging",
    "sh clients": "test_shell_lines_name_what_is_there, test_docs_clients",
    "sh rabbitmq": "test_shell_lines_name_what_is_there, make cluster-test",
    "toml": "test_the_entry_point_is_of_the_group_that_is_searched",
    "toml telegraf": "test_docs_clients",
    "python from=": "test_quoted_code_is_in_its_file",
    "python file=": "test_example_*",
    "text": "test_the_flow_names_classes",
    "text mqtt": "test_the_picture_of_a_run_is_true",
    "text read": "test_map_reads_as_shown",
    "text write": "test_map_writes_as_shown",
    "text refused": "test_map_refuses_as_shown",
    "text refused-write": "test_map_refuses_to_write_as_shown",
    "text run=": "test_an_outage_is_logged_as_shown",
    "text tap=": "test_docs_tap",
    "text availability": "test_an_outage_is_logged_as_shown",
    "text mosquitto": "test_an_outage_is_logged_as_shown",
    "text acl": "test_docs_home_assistant, test_docs_fleet",
    "text rabbitmq": "make cluster-test",
    "text nats": "make cluster-test",
    "text ser2net": "test_docs_fleet",
    "text caddy": "test_docs_page",
    "text nginx": "test_docs_page",
    "text metrics": "test_docs_clients",
    "text openhab": "test_docs_clients",
}

OF_OTHER_PAGES = {"automation", "by-hand", "by-proxy", "by-token", "mqtt2prometheus", "prometheus"}

_NAMES = [entry.name for entry in PAGES]


# --- all pages


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    unknown = [f"{block.place}: {block.kind}" for entry in PAGES for block in entry.blocks()
               if block.kind not in CHECKED_BLOCKS]  # fmt: skip
    assert not unknown


@pytest.mark.parametrize("entry", PAGES, ids=_NAMES)
def test_links_lead_somewhere(entry: Page) -> None:
    for target in entry.links():
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (entry.path.parent / name).resolve() if name else entry.path
        assert path.exists(), f"{entry.name} links to {target}"
        if anchor:
            assert anchor in Page(path).anchors(), f"{entry.name} links to {target}"


@pytest.mark.parametrize("entry", PAGES, ids=_NAMES)
def test_pages_are_plain_text_of_this_project(entry: Page) -> None:
    for number, line in enumerate(entry.text.splitlines(), 1):
        where = f"{entry.name}:{number}"
        assert line == line.rstrip(), f"{where}: space at the end"
        assert not re.search(r"/work/|/root\b|\.venv/lib", line), f"{where}: a path of one machine"
    for line in entry.prose.splitlines():
        assert len(line) <= 120 or line.startswith("|"), f"{entry.name}: too long: {line}"


def _commands(entry: Page) -> Iterator[str]:
    """Yield every command line that begins with mqttgateway: in consoles, shell blocks and between backticks."""
    lines = [line.removeprefix("$ ") for block in entry.blocks("console", "sh") for line in block.text.splitlines()
             if block.language == "sh" or line.startswith("$ ")]  # fmt: skip
    for line in [*lines, *entry.inline_code()]:
        if re.match(r"(\.venv/bin/)?mqttgateway ", line):
            yield line.partition(" ")[2].partition(" > ")[0]


@pytest.mark.parametrize("entry", PAGES, ids=_NAMES)
def test_commands_are_taken_by_the_command_line(entry: Page, capsys: pytest.CaptureFixture[str]) -> None:
    for command in _commands(entry):
        if command.startswith(("--version", "--help")):
            with pytest.raises(SystemExit) as ended:
                cli.main(shlex.split(command))
            assert ended.value.code == 0
            continue
        words = [word for word in shlex.split(command, comments=True) if word != "..."]
        try:
            cli.build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{entry.name}: mqttgateway {command}: {capsys.readouterr().err}")


def test_there_are_commands_to_check() -> None:
    assert sum(1 for entry in PAGES for _ in _commands(entry)) >= 20


_SHELL_WORDS = {
    "docker",
    "kubectl",
    "rabbitmqctl",
    "chmod",
    "chown",
    "git",
    "install",
    "openssl",
    "cd",
    "apt",
    "python3",
    "/opt/mqttgateway/bin/pip",
    "ln",
    "mkdir",
    "systemctl",
    "journalctl",
    "mosquitto_pub",
    "mosquitto_sub",
    "mqttgateway",
}


@pytest.mark.parametrize("entry", PAGES, ids=_NAMES)
def test_shell_lines_name_what_is_there(entry: Page) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for block in entry.blocks("sh") for line in block.text.splitlines()]
    for line in [*lines, *(code for code in entry.inline_code() if code.startswith("make "))]:
        first, *others = [word for word in shlex.split(line, comments=True) if word != "sudo"]
        if first == "make":
            assert {word for word in others if "=" not in word} <= targets, line
        elif first == "cp":
            assert all((ROOT / source).is_file() for source in others[:-1]), line
        elif first == "mosquitto_passwd":
            assert find_tool(first) or not find_tool("mosquitto"), line
        else:
            assert first in _SHELL_WORDS, f"{entry.name}: {line}"


# --- blocks that are files, configurations, maps and consoles

_BASE = {"root": "root: home", "topics": "topics: []", "interface": "interface: {type: dummy}"}
_ENVIRONMENT = {"SITE": "north", "MQTT_PASSWORD": "secret"}


def _completed(text: str) -> str:
    """Return part of a configuration, completed with the options that it needs."""
    option_names = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    return text + "".join(f"{line}\n" for name, line in _BASE.items() if name not in option_names)


def _load(block: Block, folder: Path) -> None:
    if block.marks & {"wrong", "page"}:
        return
    file = folder / block.settings.get("file", "block.conf")
    file.write_text(_completed(block.text) if "partial" in block.marks else block.text)
    configuration = load_configuration(file, _ENVIRONMENT)
    assert configuration.interfaces, block.place


def _run_console(block: Block, folder: Path) -> None:
    """Run the commands of a console block in `folder`; their output and exit code must be as shown."""
    environment = {"HOME": "/home/me", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        name, *words = shlex.split(command)
        subcommands = ("check", "ha", "map", "migrate", "options", "--version", "--help")
        assert name == "mqttgateway" and words[0] in subcommands, block.place
        ran = subprocess.run(
            [*COMMAND, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=20, check=False
        )
        output = without_times(ran.stdout + ran.stderr).replace(
            str(shipped("conf")), "/opt/mqttgateway/lib/python3.11/site-packages/gateway/conf"
        )
        assert ran.returncode == int(block.settings.get("exit", 0)), f"{block.place}: {output}"
        if shown:
            pattern = re.escape(without_times(shown)).replace(re.escape("..."), ".*")
            assert re.fullmatch(pattern, output), f"{block.place}: {command} prints\n{output}\ninstead of\n{shown}"


@pytest.mark.parametrize("entry", PAGES, ids=_NAMES)
def test_blocks_load_and_run_in_order(entry: Page, tmp_path: Path) -> None:
    for name in ("gate", "cellar"):
        (tmp_path / f"{name}.password").write_text("secret\n")
    for block in entry.blocks():
        if "file" in block.settings:
            (tmp_path / block.settings["file"]).write_text(block.text)
        if "written" in block.settings:
            assert (tmp_path / block.settings["written"]).read_text() == block.text, block.place
        elif block.language == "yaml" and not block.marks & OF_OTHER_PAGES:
            _load(block, tmp_path)
        elif block.language == "json" and "map" in block.marks:
            load_map(tmp_path / block.settings["file"], sender="hall")
        elif block.language == "console" and "run" not in block.settings:
            _run_console(block, tmp_path)


# --- README


def _told(text: str) -> list[str]:
    """Return the lines of a log or of `watch`, without the parts that differ from run to run."""
    text = re.sub(r"(?m)^(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{3} ", "", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r"(uptime=|\"uptime\":)\d+", r"\1N", text)
    text = re.sub(r"\"\d{4}-[^\"]*Z\"", "TIME", text)
    text = re.sub(r"(: state .*) \(retained\)", r"\1", text)  # or it is published just after the subscription
    text = re.sub(r"retrying in [\d.]+ s", "retrying in N s", text)
    text = re.sub(r"(\w+) \S+ started with \S+", r"\1 VERSION started with FILE", text)
    return [line for line in text.splitlines() if line and not line.startswith("$ ")]


def _shown_run(heading: str) -> tuple[list[str], list[str]]:
    """Return the words of the command that README shows, and its output."""
    (block,) = [block for block in README.blocks("console") if block.settings.get("run") == heading]
    return shlex.split(block.text.splitlines()[0])[2:], _told(block.text)


def test_the_picture_of_a_run_is_true(tmp_path: Path) -> None:
    conf = shipped_conf(tmp_path, "dummy2mqtt.conf", free_port())
    conf.write_text(conf.read_text().replace("interval: 5", "interval: 0.5"))
    words, answer = _shown_run("send")
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        with GatewayProcess(conf, "watch") as watch:
            watch.wait_output("dummy is online")
            # A document that comes while it watches, and not the retained one.
            wait_until(lambda: re.search(r'state \{"on":false.*\}\n', watch.output), what=lambda: watch.output)
            sent = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert sent.returncode == 0, sent.stderr
            assert _told(sent.stdout) == answer
            watch.wait_output("on=True")
            watch.wait_output('"on":true')
            watch.stop(signal.SIGINT)
        gateway.wait_log("on=True")
        gateway.stop()
    for name, process in (("gateway", gateway), ("watch", watch)):
        missing = set(_shown_run(name)[1]) - set(_told(process.log + process.output))
        assert not missing, f"{name}: missing: {missing}"


def test_the_payload_of_the_picture_is_that_of_its_last_line() -> None:
    topic, _, payload = README.only("text mqtt").text.strip().partition(" ")
    msg = load_map(shipped("maps") / "dummy_map.json", sender="dummy2mqtt").mqtt2internal(topic, payload.encode())
    (block,) = [block for block in README.blocks("console") if block.settings.get("run") == "watch"]
    kind, _, message = block.text.splitlines()[-1].partition(" ")[2].partition(" ")
    assert str(msg) == f"{kind} {message.strip()}"


def test_a_serial_device_takes_ten_lines_and_one_for_a_broker_elsewhere(tmp_path: Path) -> None:
    (boiler,) = [block for block in README.blocks("yaml") if block.settings.get("file") == "boiler.conf"]
    comment, *lines = boiler.text.splitlines()
    assert len(lines) <= 10
    elsewhere = comment.removeprefix("# ")
    assert elsewhere != comment
    conf = tmp_path / "boiler.conf"
    conf.write_text("\n".join([elsewhere, *lines]))
    assert load_configuration(conf, {}).mqtt.host == "broker.home"


def test_extras_that_are_named_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {name for entry in PAGES for name in re.findall(r"install '[^']*\[(\w+)\]'", entry.text)}
    assert "demo" in named
    assert named <= set(project["optional-dependencies"])


def test_nothing_tells_to_install_the_older_program_that_has_this_name_in_the_package_index() -> None:
    sources = [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "interfaces").rglob("*.py"), *(ROOT / "conf").glob("*.conf")]
    texts = {path.name: path.read_text() for path in [*sources, *(ROOT / "docs").glob("*.md"), README.path]}
    install = re.compile(r"(?<!Do not use `)pip install ['\"]?mqttgateway")
    assert [name for name, text in texts.items() if install.search(text)] == []


# --- ARCHITECTURE


def _modules(package: str) -> dict[str, Path]:
    """Return the modules of `package`, and of those in it, by their names without it."""
    folder = ROOT / package
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): path
        for path in folder.rglob("*.py")
        if path.name != "__init__.py" or path.parent == folder
    }


def _rooms() -> list[list[str]]:
    """Return the rooms in each row of the table: folders and modules, by their dotted names."""
    named = [re.findall(r"`([a-z_]+/[a-z_/.]*)`", row[0]) for row in rows(ARCHITECTURE.section("## The rooms"))]
    return [[name.removesuffix(".py").strip("/").replace("/", ".") for name in row] for row in named]


def _room_of(module: str, rooms: Iterable[str]) -> str | None:
    return next((room for room in rooms if f"{module}.".startswith(f"{room}.")), None)


def test_architecture_fits_on_a_few_screens() -> None:
    assert len(ARCHITECTURE.text.splitlines()) <= 120


def test_every_module_is_in_one_of_the_rooms_of_the_architecture() -> None:
    rooms = [name for row in _rooms() for name in row]
    assert len(rooms) == len(set(rooms))
    modules = [f"{package}.{name}" for package in ("gateway", "interfaces") for name in _modules(package)]
    homeless = [name for name in modules if not name.endswith(".__init__") and _room_of(name, rooms) is None]
    assert homeless == [], "bring the rooms in ARCHITECTURE.md up to date"
    assert [room for room in rooms if not any(f"{name}.".startswith(f"{room}.") for name in modules)] == []


def test_each_row_of_rooms_needs_only_those_above_it() -> None:
    above: set[str] = set()
    for row in _rooms():
        above |= set(row)
        for package in ("gateway", "interfaces"):
            for name, path in _modules(package).items():
                module = f"{package}.{name}"
                if _room_of(module, row) is None:
                    continue
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("gateway.", "interfaces.")):
                        room = _room_of(node.module or "", above)
                        assert room is not None, f"{module} needs {node.module}, which comes later"


def test_what_the_table_of_changes_names_is_there() -> None:
    """Each place is a file, and each name in capitals is defined in one of the files of its row."""
    changes = rows(ARCHITECTURE.section("## To change X, go to Y"))
    assert len(changes) >= 20
    for change, target in changes:
        paths = [ROOT / name for name in re.findall(r"`((?:gateway|interfaces)/[\w/.]*)`", target)]
        assert paths, change
        assert [path for path in paths if not path.exists()] == []
        files = [file for path in paths for file in (path.glob("*.py") if path.is_dir() else [path])]
        text = "".join(file.read_text() for file in files)
        names = re.findall(r"`([A-Z][A-Z_]+|[A-Z][a-z]\w+)`", target)
        assert [name for name in names if not re.search(rf"^(?:class )?{name}\b", text, re.MULTILINE)] == [], change


def test_the_flow_names_classes() -> None:
    flow = ARCHITECTURE.only("text").text
    source = "".join(path.read_text() for path in _modules("gateway").values())
    names = set(re.findall(r"\b[A-Z]\w+", flow))
    assert {"Outbox", "MgClient", "Router"} <= names
    assert all(re.search(rf"^class {name}\b", source, re.MULTILINE) for name in names), names


def test_architecture_names_the_threads_and_the_states_of_the_link() -> None:
    assert 'name="mqtt-dial"' in _modules("gateway")["mqtt.dialler"].read_text()
    assert "`mqtt-dial`" in ARCHITECTURE.section("## The threads")
    text = " ".join(ARCHITECTURE.section("## The threads").split())
    states = (LinkState.IDLE, LinkState.CONNECTING, LinkState.AWAITING_CONNACK, LinkState.UP, LinkState.BACKING_OFF)
    assert " -> ".join(state.value for state in states) in text


# --- migration


def test_every_old_option_has_its_row() -> None:
    """The rows list the options that the translation knows, and the new place of each."""
    table = rows(MIGRATION.section("## Every option"))
    old = [re.findall(r"`\[(\w+)\] (\w+)`", cells[0])[0] for cells in table]
    targets = {(section, option.lower()): set(re.findall(r"`([a-z_.]+)`", cells[1]))
               for (section, option), cells in zip(old, table, strict=True)}  # fmt: skip
    for at, option in ini_config.NEW_PLACES.items():
        assert dotted(at) in targets[option], option
    without = {("MQTT", "usecredentials"), ("MQTT", "filename"), ("MAP", "mapping"), ("LOG", "debug")}
    mail = {("LOG", f"{prefix}{name}") for prefix in ("", "email") for name in ("port", "address", "host")}
    assert set(targets) == {*ini_config.NEW_PLACES.values(), *without, *ini_config.OBSOLETE} - mail | {
        ("LOG", "emailhost"), ("LOG", "host")}  # fmt: skip
    assert all("no effect" in cells[2] or "the same" in cells[2]
               for option, cells in zip(targets, table, strict=True) if option in ini_config.OBSOLETE)  # fmt: skip


# --- CHANGELOG


def test_the_changelog_has_its_form() -> None:
    releases = re.findall(r"^## (.*)$", CHANGELOG.text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release) for release in releases[1:])
    parts = re.findall(r"^### (.*)$", CHANGELOG.text, re.MULTILINE)
    assert set(parts) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert __version__.partition(".dev")[0] in CHANGELOG.section("## [Unreleased]")


# --- configuration


def _described(options: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of a table of options as their schema describes them: name, default, meaning."""
    table = []
    for name, option in options.items():
        meaning = option["description"]
        if "enum" in option:
            meaning += f" One of {', '.join(map(str, option['enum']))}."
        default = option.get("default")
        has_none = default in (None, "") or option.get("type") == "object"
        shown = "" if has_none else f"`{default if isinstance(default, str) else json.dumps(default)}`"
        table.append([f"`{name}`", shown, meaning])
    return table


def _option_tables() -> dict[str, Mapping[str, Any]]:
    options = config_schema()["properties"]
    groups = {
        "### `mqtt`": options["mqtt"]["properties"],
        "### `mqtt.tls`": options["mqtt"]["properties"]["tls"]["properties"],
        "### `outbox`": options["outbox"]["properties"],
        "### `commands`": options["commands"]["properties"],
        "### `filters`": config_schema()["$defs"]["filters"]["properties"],
        "### `interface`, `interfaces`": interface_schema(type("Any", (), {"SCHEMA": {}}))["properties"],
        "### `home_assistant`": options["home_assistant"]["properties"],
        "### An entity": config_schema()["$defs"]["home_assistant_entity"]["properties"],
        "### `web`": options["web"]["properties"],
        "### `log`": options["log"]["properties"],
    }
    named = {name for heading in groups for name in re.findall(r"`(\w+)", heading)}
    named -= {"home_assistant", "web"}  # they may be mappings, and need not
    return {"### The gateway": {name: o for name, o in options.items() if name not in named}, **groups}


@pytest.mark.parametrize("heading", _option_tables())
def test_options_are_described_as_in_their_schema(heading: str) -> None:
    assert rows(CONFIGURATION.section(heading)) == _described(_option_tables()[heading])


def _device_tables() -> dict[str, Mapping[str, Any]]:
    schema = device_schema()
    parts = schema["$defs"]
    options = {
        "### A device": schema["properties"],
        "### A point": parts["declared_point"]["properties"],
        "### `publish`": parts["declared_publish"]["properties"],
    }
    return {
        heading: {
            name: {**parts.get(option.get("$ref", "").rpartition("/")[2], {}), **option}
            for name, option in table.items()
        }
        for heading, table in options.items()
    }


@pytest.mark.parametrize("heading", _device_tables())
def test_options_of_devices_are_described_as_in_their_schema(heading: str) -> None:
    assert rows(DEVICES.section(heading)) == _described(_device_tables()[heading])


def _home_assistant_tables() -> dict[str, Mapping[str, Any]]:
    schema = config_schema()
    return {
        "### `home_assistant`": schema["properties"]["home_assistant"]["properties"],
        "### An entity": schema["$defs"]["home_assistant_entity"]["properties"],
    }


@pytest.mark.parametrize("heading", _home_assistant_tables())
def test_options_of_home_assistant_are_described_as_in_their_schema(heading: str) -> None:
    assert rows(HOME_ASSISTANT.section(heading)) == _described(_home_assistant_tables()[heading])


def test_the_state_document_is_as_shown(tmp_path: Path) -> None:
    shown = json.loads(DEVICES.only("json state").text)
    file = tmp_path / "boiler.conf"
    file.write_text(DEVICES.blocks("yaml")[0].text)
    (interface,) = load_configuration(file, {}).interfaces
    words = interface.params["address"]
    model = Model(interface.devices, words)
    (state,) = model.states.values()
    wall = datetime.fromisoformat(shown["_time"]["temperature"]).timestamp()
    model.observe(InternalMsg(**words, action="TEMPERATURE", arguments={"celsius": 21.5}), 0.0, wall)
    assert json.loads(state_document(state)) == shown
    keys = {cells[0].strip("`") for cells in rows(DEVICES.section("## The documents of a device"))}
    assert {key for key in shown if key.startswith("_")} < keys


def test_the_document_of_an_outcome_is_as_shown() -> None:
    requested = json.loads(DEVICES.only("json command").text)
    shown = json.loads(DEVICES.only("json outcome").text)
    command = InternalMsg(True, sender=shown["sender"], action=requested.pop("action"), arguments=requested)
    wall = datetime.fromisoformat(shown["_time"]).timestamp()
    assert json.loads(outcome_document(command.reply(shown["response"], shown["reason"]), wall)) == shown
    table = " ".join(cells[0] for cells in rows(DEVICES.section("## The outcome of a command")))
    assert re.findall("`(.*?)`", table) == list(shown)


def test_the_document_of_an_event_is_as_shown() -> None:
    shown = json.loads(DEVICES.only("json event").text)
    wall = datetime.fromisoformat(shown["_time"]).timestamp()
    assert json.loads(event_document(Event("entry", shown["point"], shown["value"], wall))) == shown
    table = rows(DEVICES.section("## Events"))
    assert [cells[0].strip("`") for cells in table] == list(shown)


def test_exit_codes_are_those_of_the_command_line() -> None:
    table = CONFIGURATION.section("## Commands and exit codes").partition("| code | meaning |")[2]
    codes = (cli.EXIT_OK, cli.EXIT_FAILED, cli.EXIT_USAGE, cli.EXIT_HANG, cli.EXIT_CONFIGURATION)
    assert [cells[0] for cells in rows(f"|||{table}")] == [str(code) for code in codes]


# --- maps


@pytest.fixture
def lamp_map(tmp_path: Path) -> MsgMap:
    """The map of docs/maps.md."""
    return _map_of(next(block for block in MAPS.blocks("json") if "map" in block.marks), tmp_path)


def _map_of(block: Block, folder: Path) -> MsgMap:
    file = folder / block.settings["file"]
    file.write_text(block.text)
    return load_map(file, sender="hall")


def _pairs(mark: str, folder: Path) -> Iterator[tuple[MsgMap, str, str]]:
    """Yield the pairs of lines of each block with this mark, and the map before it."""
    msg_map: MsgMap | None = None
    assert any(mark in block.marks for block in MAPS.blocks("text"))
    for block in MAPS.blocks("json", "text"):
        if "map" in block.marks:
            msg_map = _map_of(block, folder)
        elif mark in block.marks:
            assert msg_map is not None
            for line, below in block.pairs():
                yield msg_map, line, below


def _message(line: str) -> InternalMsg:
    """Return the message of a line in the format of `watch`."""
    head, *arguments = re.split(r" (?=\w+=)", line)
    kind, address, action = head.split(" ")
    words = ("" if word == "-" else word for word in address.split("/"))
    values: dict[str, Argument] = {
        name: ast.literal_eval(value) for name, _, value in (text.partition("=") for text in arguments)
    }
    msg = InternalMsg(kind == "command", **dict(zip(ADDRESS_FIELDS, words, strict=True)), action=action,
                      arguments=values)  # fmt: skip
    assert str(msg) == line
    return msg


def test_map_reads_as_shown(tmp_path: Path) -> None:
    for msg_map, received, message in _pairs("read", tmp_path):
        topic, _, payload = received.partition(" ")
        assert str(msg_map.mqtt2internal(topic, payload.encode())) == message


def test_map_writes_as_shown(tmp_path: Path) -> None:
    for msg_map, message, written in _pairs("write", tmp_path):
        publication = msg_map.internal2mqtt(_message(message))
        assert f"{publication.topic} {publication.payload.decode()}" == written


def test_the_kinds_of_findings_are_all_there() -> None:
    sources = "".join((ROOT / "gateway" / "map_tools" / f"{name}.py").read_text() for name in ("proof", "filter_proof"))
    made = set(re.findall(r'Flaw\(\s*"(\w+)",\s*"([\w-]+)"', sources)) | {("error", "unloadable")}
    table = rows(MAPS.section("## Proving a map"))
    assert {(cells[0], cells[1].strip("`")) for cells in table if len(cells) == 3} == made


def test_map_refuses_as_shown(tmp_path: Path) -> None:
    for msg_map, received, reason in _pairs("refused", tmp_path):
        topic, _, payload = received.partition(" ")
        with pytest.raises(MessageError) as refused:
            msg_map.mqtt2internal(topic, payload.encode())
        assert str(refused.value) == reason


def test_map_refuses_to_write_as_shown(tmp_path: Path) -> None:
    for msg_map, message, reason in _pairs("refused-write", tmp_path):
        with pytest.raises(MessageError) as refused:
            msg_map.internal2mqtt(_message(message))
        assert str(refused.value) == reason


@pytest.mark.parametrize("payload", [b"", b"\xff", b"x" * (256 * 1024 + 1), b'{"a": ' + b"[" * 21 + b"]" * 21 + b"}"])
def test_what_the_page_on_maps_says_is_refused_is_refused(lamp_map: MsgMap, payload: bytes) -> None:
    lamp_map.mqtt2internal("home/lighting//office/lamp/switch/C", b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}")
    with pytest.raises(PayloadError):
        lamp_map.mqtt2internal("home/lighting//office/lamp/switch/C", payload)


# --- interfaces


def test_quoted_code_is_in_its_file() -> None:
    quotes = [block for block in INTERFACES.blocks("python") if "from" in block.settings]
    assert len(quotes) >= 3
    for block in quotes:
        assert block.text in (ROOT / block.settings["from"]).read_text(), f"{block.place} is not in its file"


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """The files of docs/interfaces.md, in a folder."""
    for block in INTERFACES.blocks():
        if "file" in block.settings:
            (tmp_path / block.settings["file"]).write_text(block.text)
    return tmp_path


@contextmanager
def _running(conf: Path, **params: object) -> Iterator[Desk]:
    """Run the interface of a configuration, with some of its options changed, as the gateway does."""
    (options,) = load_configuration(conf, {}).interfaces
    desk = Desk(options.msg_map)
    options_used = {**options.params, **params}
    supervisor = Supervisor(
        options.name, lambda: options.cls(options_used, desk.inbox, desk.outlet), desk.inbox, desk.outlet
    )  # fmt: skip
    supervisor.start()
    try:
        yield desk
        assert supervisor.failures == 0
    finally:
        supervisor.request_stop()
        assert supervisor.join(1.5), f"{options.name} does not stop in time"


def test_example_of_hooks_lets_pass_by_day_and_makes_a_switch_of_a_button(
    examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (options,) = load_configuration(examples / "hooked.conf", {}).interfaces
    by_day, switch = (step.function for each in options.filters.incoming for step in each.steps
                      if isinstance(step, HookStep))  # fmt: skip
    button = InternalMsg(function="lighting", location="hall", device="button", sender="b", action="PRESSED")
    assert switch(button) == button.replace(iscmd=True, device="lamp", action="LAMP_ON")
    for hour, passes in ((5, False), (6, True), (21, True), (22, False)):
        monkeypatch.setattr("time.localtime", lambda hour=hour: SimpleNamespace(tm_hour=hour))
        assert by_day(button) == (button if passes else None)


def test_example_of_a_receipt_deletes_only_what_is_safe(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("not sent")
    (block,) = [block for block in INTERFACES.blocks("python") if block.settings.get("file") == "empty.py"]
    scope: dict[str, Any] = {}
    exec(block.text, scope)
    deleted: list[object] = []
    good, bad = SimpleNamespace(values={"celsius": 5}), SimpleNamespace(values={"celsius": float("nan")})
    desk = Desk()
    with pytest.raises(DeliveryError):
        scope["empty"](SimpleNamespace(records=lambda: [good, bad], delete=deleted.append), desk.outlet)
    assert deleted == [good]
    assert [msg.arguments["celsius"] for msg in desk.collect()] == [5]


def test_example_thermometer(examples: Path) -> None:
    (examples / "temp").write_text("48123\n")
    with _running(examples / "thermometer.conf", file=str(examples / "temp")) as desk:
        (msg,) = desk.wait_messages(1)
        assert str(msg) == "status climate/-/cellar/cpu/thermometer TEMPERATURE celsius=48.123"
        desk.wait_availability("online")


def test_example_thermometer_without_its_file(examples: Path, expected_logs: Any) -> None:
    expected_logs.expect("[Errno 2] No such file")
    with _running(examples / "thermometer.conf", file=str(examples / "none")) as desk:
        desk.wait_availability("offline")


def test_example_doorbell_opens(examples: Path) -> None:
    with _running(examples / "doorbell.conf", port=0) as desk:
        desk.wait_availability("online")


def test_example_test_of_the_doorbell(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(examples)  # as pytest does it
    tests = [test for name, test in runpy.run_path(str(examples / "test_doorbell.py")).items()
             if name.startswith("test_")]  # fmt: skip
    assert len(tests) == 1
    tests[0]()


@pytest.mark.parametrize(("name", "count"), [("test_heater.py", 5), ("test_pool.py", 3)])
def test_example_tests(name: str, count: int, examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(examples)
    tests = [test for name, test in runpy.run_path(str(examples / name)).items() if name.startswith("test_")]
    assert len(tests) == count
    for test in tests:
        test()


def _heater_command(action: str, **arguments: Any) -> InternalMsg:
    words = {"function": "heating", "location": "hall", "device": "heater"}
    return InternalMsg(iscmd=True, **words, action=action, arguments=arguments)


def test_example_heater_runs(examples: Path) -> None:
    with _running(examples / "heater.conf") as desk:
        desk.wait_availability("online")
        desk.inbox.push(_heater_command("SET_TARGET", celsius=19))
        outcome, target = desk.wait_messages(2)
        assert (outcome.argument("response"), target.action) == ("OK", "TARGET")


def test_example_parrot(examples: Path) -> None:
    with _running(examples / "parrot.conf") as desk:
        desk.inbox.push(InternalMsg(iscmd=True, device="cage", action="HELLO"))
        (msg,) = desk.wait_messages(1)
        assert str(msg) == "status -/-/-/cage/parrot HELLO response='OK' reason=''"


def test_example_clock(examples: Path) -> None:
    with _running(examples / "clock.conf", interval=0.01) as desk:
        assert {msg.action for msg in desk.wait_messages(3)} == {"TIME"}


def test_example_of_the_original(examples: Path) -> None:
    with _running(examples / "fan.conf") as desk:
        desk.inbox.push(InternalMsg(iscmd=True, function="Climate", device="Fan", sender="me", action="FAN_ON"))
        off, on = desk.wait_messages(2)
        assert str(off) == "status Climate/-/-/Fan/fan FAN_OFF by='fan'"
        assert str(on) == "status Climate/-/-/Fan/fan FAN_ON response='OK' reason=''"


def test_example_code_is_clean(examples: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=120", "--select=E,F,I,B,UP", "."],
        cwd=examples, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


def test_the_entry_point_is_of_the_group_that_is_searched() -> None:
    (group,) = tomllib.loads(INTERFACES.only("toml").text)["project"]["entry-points"].items()
    assert group[0] == ENTRY_POINTS
    assert all(re.fullmatch(r"[\w.]+:\w+", value) for value in group[1].values())


# --- operations


def _templates() -> list[re.Pattern[str]]:
    """Return a pattern for every text in the source that has words and places for values."""
    patterns = []
    for path in (*_modules("gateway").values(), *_modules("interfaces").values()):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values]
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = re.sub(r"%[\d.]*[a-z]", "\0", node.value).replace("%%", "%")
            else:
                continue
            if len(re.findall(r"[a-z]", text)) >= 6:
                patterns.append(re.compile(re.escape(text).replace("\0", ".+")))
    return patterns


def test_each_section_of_operations_is_in_its_table_of_contents() -> None:
    beginning = OPERATIONS.text.partition("\n## ")[0]
    headings = re.findall(r"(?m)^## (.*)$", OPERATIONS.text)
    assert len(headings) > 20
    missing = [
        text
        for text in headings
        if f"](#{re.sub(r'[^a-z0-9 -]', '', text.lower()).replace(' ', '-')})" not in beginning
    ]
    assert not missing


def _messages() -> list[str]:
    headings = ("### The broker", "### Messages", "### Devices and interfaces", "### Stop")
    return [cells[0].strip("`") for heading in headings for cells in rows(OPERATIONS.section(heading))]


def test_messages_of_the_log_are_those_of_the_program() -> None:
    patterns = _templates()
    assert not any(pattern.fullmatch("the gateway has gone shopping") for pattern in patterns)
    assert len(_messages()) >= 25
    unknown = [text for text in _messages() if not any(pattern.fullmatch(text) for pattern in patterns)]
    assert not unknown, "no such text in the source any more"


def _texts_to_search_for() -> list[str]:
    """Return the texts that the pages tell a reader to look for in the log."""
    searches = re.findall(r"[Ss]earch\s+the\s+log\s+for\s([^.;]*)", OPERATIONS.prose)
    quoted = [text for search in searches for text in re.findall(r"`([^`]+)`", search)]
    cells = [cells[0] for cells in rows(README.section("### If nothing arrives"))]
    return [*quoted, *(cell.strip("`") for cell in cells if cell.startswith("`"))]


def test_what_to_search_the_log_for_is_in_the_source() -> None:
    source = "".join(path.read_text() for path in (*_modules("gateway").values(), *_modules("interfaces").values()))
    assert len(_texts_to_search_for()) >= 6
    assert not [text for text in _texts_to_search_for() if text not in source]


def _password_file(folder: Path) -> Path:
    tool = find_tool("mosquitto_passwd")
    assert tool is not None
    subprocess.run([tool, "-b", "-c", str(folder / "passwd"), "gateway", "secret"], check=True, capture_output=True)
    (folder / "gate.password").write_text("secret\n")
    return folder / "passwd"


def test_an_outage_is_logged_as_shown(tmp_path: Path) -> None:
    """With the settings for Mosquitto that the page gives, too."""
    mosquitto_or_skip()
    listener, *settings = OPERATIONS.only("text mosquitto").text.splitlines()
    assert listener == "listener 1883"
    extra = "\n".join(settings).replace("/etc/mosquitto/passwd", str(_password_file(tmp_path)))
    mqtt = {"username": "gateway", "password_file": "gate.password", "reconnect_max": 1}
    with Mosquitto(tmp_path, f"{extra}\n") as broker:
        conf = write_conf(tmp_path, broker.port, "hall", mqtt=mqtt, interface={"type": "dummy"})
        with GatewayProcess(conf) as gateway:
            with broker.client("home/#", username="gateway", password="secret") as client:
                for line in OPERATIONS.only("text availability").text.splitlines():
                    topic, payload = line.split()
                    client.wait_topic(topic, payload.encode())
            broker.kill()
            gateway.wait_log("nothing listens")
            broker.start()
            gateway.wait_log("connected to", count=2)
            gateway.stop()
    shown = _told(OPERATIONS.only("text run=").text)
    missing = set(shown) - set(_told(gateway.log))
    assert not missing, f"not in the log: {missing}; but:\n{gateway.log}"


def test_certificates_made_as_shown_are_trusted_however_strictly(tmp_path: Path) -> None:
    tool_or_skip("openssl", "openssl")
    (block,) = [block for block in OPERATIONS.blocks("sh") if "openssl" in block.text]
    for line in block.text.replace("192.168.1.10", "127.0.0.1").splitlines():
        ran = subprocess.run(shlex.split(line), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{line}: {ran.stderr}"
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as by default since Python 3.13
    with (
        Peer(stay_silent, tls=server_context(tmp_path / "broker.pem", tmp_path / "broker.key")) as peer,
        closing(dial(Server("127.0.0.1", peer.port), 5.0, context)) as connection,
    ):
        assert isinstance(connection, ssl.SSLSocket)


def test_a_stop_lasts_no_longer_than_the_page_says() -> None:
    seconds = {float(text) for text in re.findall(r"([\d.]+) s", OPERATIONS.section("## Stopping"))}
    assert {STOP_SECONDS, STOP_LINK_SECONDS} <= seconds
