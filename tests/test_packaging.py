"""The distribution: the wheel and the sdist are built, the wheel works in a new environment; and the systemd unit."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from gateway import __version__, start_gateway
from gateway.cli import main as cli
from gateway.configuration.option_docs import default_configuration
from gateway.runtime import interface_hosts
from tests.support.docs import ROOT, page

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


_SHIPPED = (
    "*.py", "*.json", "*.conf", "*.sim", "*.service", "*.rules", "*.sysusers", "py.typed",
    "*.html", "*.css", "*.js", "*.svg",
)  # fmt: skip


def _shipped_files() -> set[str]:
    """Return the files that a wheel must hold, under the names that they have in it."""
    names = set()
    for folder, inside in (("gateway", "gateway"), ("interfaces", "interfaces"), ("maps", "gateway/maps"),
                           ("conf", "gateway/conf"), ("systemd", "gateway/systemd"),
                           ("packaging", "gateway/packaging")):  # fmt: skip
        root = ROOT / folder
        search = root.glob if folder == "packaging" else root.rglob  # what is in its folders stays in the checkout
        for pattern in _SHIPPED:
            names |= {f"{inside}/{path.relative_to(root)}" for path in search(pattern)}
    return names


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it.

    Built from a copy, so that nothing that was built here before can slip in; without isolation, and so without
    the network, where the setuptools that is installed is recent enough.
    """
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "benchmarks")
    shutil.copytree(ROOT, source, ignore=ignored)
    is_recent = int(metadata.version("setuptools").partition(".")[0]) >= 77
    built = subprocess.run(
        [sys.executable, "-m", "build", *(["--no-isolation"] if is_recent else []), "--outdir", folder, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "is absent from the `packages`" not in built.stdout + built.stderr, "whoever installs it is not warned"
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def test_wheel_holds_configurations_maps_schemas_and_license(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "gateway/configuration/config_schema.json",
        "gateway/configuration/map_schema.json",
        "gateway/logs/options_schema.json",
        "gateway/mqtt/options_schema.json",
        "gateway/outbox/options_schema.json",
        "gateway/routing/options_schema.json",
        "gateway/py.typed",
        "interfaces/py.typed",
        "gateway/conf/dummy2mqtt.conf",
        "gateway/maps/dummy_map.json",
        "gateway/systemd/mqttgateway@.service",
    } <= _shipped_files()
    info = f"mqttgateway-{__version__}.dist-info"
    assert {name for name in names if not name.startswith(info)} == _shipped_files()
    assert {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt", f"{info}/METADATA"} <= names


def test_wheel_is_for_any_machine(wheel: Path) -> None:
    assert wheel.name == f"mqttgateway-{__version__}-py3-none-any.whl"


def test_sdist_holds_what_a_wheel_is_built_from(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    shipped = {re.sub(r"^gateway/(conf|maps|packaging|systemd)/", r"\1/", name) for name in _shipped_files()}
    assert {"pyproject.toml", "README.md", "LICENSE", *shipped} <= names


# --- installed


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the wheel, installed with pip into a new environment.

    The packages that it needs are those of the environment of the tests: a line in a .pth file brings them in,
    but not the project itself, whose own .pth file is not looked at there.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (needed,) = Path(sys.prefix).glob("lib/python3*/site-packages")
    (packages / "needed.pth").write_text(f"{needed}\n")
    return folder / "bin" / "mqttgateway"


def _run(command: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return subprocess.run(
        [command, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_installed_command_says_its_version(command: Path, tmp_path: Path) -> None:
    ran = _run(command, "--version", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, f"mqttgateway {__version__}\n"), ran.stderr


@pytest.mark.parametrize("conf", sorted(path.name for path in (ROOT / "conf").glob("*.conf")))
def test_installed_command_checks_its_examples_from_any_folder(command: Path, tmp_path: Path, conf: str) -> None:
    ran = _run(command, "check", "--conf", conf, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (installed_conf,) = command.parents[1].glob("lib/python3*/site-packages/gateway/conf")
    assert ran.stdout.startswith(f"{installed_conf / conf}: OK\n"), "its own files are used, not those of the checkout"


def test_installed_command_prints_its_options(command: Path, tmp_path: Path) -> None:
    ran = _run(command, "options", folder=tmp_path)
    assert ran.stdout == default_configuration()


def _lines_of(kind: str) -> list[list[str]]:
    """Return the words of the lines of the README's shell blocks, those of `pip` and `ln` without their folders."""
    blocks = [block for block in page("README.md").blocks("sh") if block.kind == kind]
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.text.splitlines()]
    return [[word for word in words if word != "sudo"] for words in lines]


def test_the_update_of_the_readme_updates_although_the_version_is_the_same(wheel: Path, tmp_path: Path) -> None:
    old = tmp_path / "old" / wheel.name
    old.parent.mkdir()
    with zipfile.ZipFile(wheel) as new, zipfile.ZipFile(old, "w") as archive:
        for name in new.namelist():
            what = new.read(name)
            archive.writestr(name, b"raise SystemExit('old')" if name == "gateway/cli/main.py" else what)
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    (needed,) = Path(sys.prefix).glob("lib/python3*/site-packages")
    (packages / "needed.pth").write_text(f"{needed}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv" / "bin" / "python"), "--quiet",
           "--disable-pip-version-check", "--no-input"]  # fmt: skip
    command = tmp_path / "venv" / "bin" / "mqttgateway"

    def install(words: list[str], file: Path) -> None:
        arguments = [str(file) if word == "dist/*.whl" else word for word in words]
        subprocess.run([*pip, *arguments, "--no-index"], check=True, capture_output=True)

    install(["install", "--no-deps", "dist/*.whl"], old)
    assert _run(command, "--version", folder=tmp_path).stderr == "old\n"
    install(["install", "dist/*.whl"], wheel)
    assert _run(command, "--version", folder=tmp_path).stderr == "old\n", "pip keeps it, as the README says"
    updates = [words[1:] for words in _lines_of("sh update") if words[0].endswith("/pip")]
    assert len(updates) == 2
    for words in updates:
        install(words, wheel)
    ran = _run(command, "--version", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, f"mqttgateway {__version__}\n"), ran.stderr


def test_both_pages_give_the_same_commands_for_an_update() -> None:
    readme, operations = (
        [block.text for block in page(name).blocks("sh") if block.kind == "sh update"]
        for name in ("README.md", "docs/operations.md")
    )
    assert readme == operations
    assert len(readme) == 1


def test_the_link_of_the_readme_can_be_made_again(tmp_path: Path) -> None:
    (words,) = [words for words in _lines_of("sh") if words[0] == "ln"]
    (tmp_path / "a").touch()
    for _ in "first", "again":
        subprocess.run([*words[:-2], tmp_path / "a", tmp_path / "b"], check=True)


def _imported() -> Iterator[tuple[str, str]]:
    """Yield file and top-level package of every import of something that is neither Python's nor ours."""
    ours = {*sys.stdlib_module_names, "gateway", "interfaces"}
    for path in [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "interfaces").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            yield from ((path.name, name.partition(".")[0]) for name in names if name.partition(".")[0] not in ours)


def test_everything_that_is_imported_is_declared() -> None:
    extras = [line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines]
    declared = {re.split(r"[^\w-]", line)[0].lower() for line in [*PROJECT["dependencies"], *extras]}
    owners = metadata.packages_distributions()
    imported = {(file, owner.lower().replace("_", "-")) for file, package in _imported() for owner in owners[package]}
    assert ("client.py", "paho-mqtt") in imported
    assert not [f"{file} needs {owner}" for file, owner in sorted(imported) if owner not in declared]


# --- systemd

UNIT = ROOT / "systemd" / "mqttgateway@.service"


def test_unit_fits_the_program() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    program, *words = service["ExecStart"].split()
    assert Path(program).name == "mqttgateway"
    assert cli.build_parser().parse_args(words).conf == "%i.conf"
    assert service["RestartPreventExitStatus"].split() == [str(cli.EXIT_USAGE), str(cli.EXIT_CONFIGURATION)]
    assert service["Type"] == "notify"
    program, *words = service["ExecReload"].split()
    assert (Path(program).name, cli.build_parser().parse_args(words).command) == ("mqttgateway", "reload")
    assert service["RestartForceExitStatus"] == "SIGHUP", "one that comes before Python runs"
    assert int(service["TimeoutStopSec"]) >= 5 + interface_hosts.STOP_SECONDS + start_gateway.STOP_LINK_SECONDS
    assert program in (ROOT / "README.md").read_text(), "the README says where it is installed"


def test_unit_is_taken_by_systemd(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is missing")
    program = Path(sys.executable).parent / "mqttgateway"
    assert os.access(program, os.X_OK)
    text = re.sub(r"(?m)^(Exec\w+)=\S+", rf"\1={program}", UNIT.read_text())
    (tmp_path / UNIT.name).write_text(text)
    ran = subprocess.run([verify, "verify", tmp_path / UNIT.name], capture_output=True, text=True, check=False)
    ours = [line for line in ran.stderr.splitlines() if UNIT.name in line]
    assert (ran.returncode, ours) == (0, [])


def test_unit_leaves_nearly_nothing_open(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing")
    ran = subprocess.run([analyze, "security", "--offline=true", UNIT], capture_output=True, text=True, check=False)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", ran.stdout)
    assert exposure is not None, ran.stdout + ran.stderr
    assert float(exposure[1]) <= 1.5, ran.stdout


def test_the_installed_command_writes_the_files_of_the_service(command: Path, tmp_path: Path) -> None:
    ran = _run(command, "install-service", "--root", str(tmp_path / "image"), folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    unit = tmp_path / "image" / "etc/systemd/system/mqttgateway@.service"
    assert f"ExecStart={command} --conf %i.conf\n" in unit.read_text()
    assert (tmp_path / "image" / "etc/sysusers.d/mqttgateway.conf").is_file()
    assert (tmp_path / "image" / "etc/udev/rules.d/60-mqttgateway.rules").is_file()
