from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import api
from gateway.api import InternalMsg, MsgList, RecordingOutlet, Wakeup
from gateway.configuration.interface_loader import BUILT_IN
from tests.support.docs import page, rows

PROJECT = Path(__file__).parents[1]


def test_every_name_of_the_api_exists_and_is_sorted() -> None:
    assert api.__all__ == sorted(api.__all__)
    assert [name for name in api.__all__ if not hasattr(api, name)] == []
    with pytest.raises(AttributeError, match=r"module 'gateway.api' has no attribute 'Outbox'"):
        _ = api.Outbox


def test_the_documentation_describes_exactly_the_names_of_the_api() -> None:
    table = rows(page("docs/interfaces.md").section("## The stable API"))
    described = [name.strip("`") for cells in table for name in cells[0].split(", ")]
    assert sorted(described) == api.__all__


def test_the_members_that_the_documentation_names_exist() -> None:
    classes = {"InternalMsg": InternalMsg, "MsgList": MsgList, "Outlet": RecordingOutlet(), "Wakeup": Wakeup}
    described = rows(page("docs/interfaces.md").section("### Their attributes and methods"))
    assert {cells[0].strip("`") for cells in described} == set(classes)
    for cells in described:
        members = re.findall(r"`([a-z_]+)(?:\(.*?\))?`", cells[1])
        assert members
        assert [name for name in members if not hasattr(classes[cells[0].strip("`")], name)] == []


def imported_by(*modules: str) -> set[str]:
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    return set(done.stdout.split())


def test_a_run_does_not_import_the_api() -> None:
    """It would cost each start the time to load one more module. The template, which shows the import, is excepted."""
    shipped = [target.partition(":")[0] for name, target in BUILT_IN.items() if name != "dummy"]
    loaded = imported_by("gateway.cli.main", "gateway.start_gateway", "gateway.configuration.load_config", *shipped)
    assert "gateway.runtime.supervisor" in loaded, "this is what a run imports"
    assert not {name for name in loaded if name.startswith(("gateway.api", "gateway.testing"))}


def test_the_api_brings_only_itself_into_a_run() -> None:
    run = ("gateway.cli.main", "gateway.start_gateway", "gateway.configuration.load_config")
    assert imported_by(*run, "gateway.api") - imported_by(*run) == {"gateway.api"}


def sources() -> list[Path]:
    return [PROJECT / "interfaces/dummy_interface.py", PROJECT / "tests/support/trial_interface.py"]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_the_template_needs_nothing_of_the_gateway_but_its_api(path: Path) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert {name for name in imported if name.partition(".")[0] == "gateway"} <= {"gateway.api"}


def test_the_snippets_of_the_documentation_need_nothing_of_the_gateway_but_its_api() -> None:
    result = 0
    for block in page("docs/interfaces.md").blocks("python"):
        if block.kind != "python file=":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway"):
                assert node.module == "gateway.api", block.text
                result += 1
    assert result >= 5
