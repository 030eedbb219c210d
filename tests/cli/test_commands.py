from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.cli.commands import COMMANDS
from gateway.cli.main import build_parser


@pytest.mark.parametrize("name", COMMANDS)
def test_the_function_of_every_command_exists(name: str) -> None:
    assert callable(COMMANDS[name].load())


def test_no_command_is_imported_before_it_is_executed() -> None:
    script = "import sys, gateway.cli.main as main; main.build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "gateway.cli.commands" in imported
    assert imported.isdisjoint(command.function.partition(":")[0] for command in COMMANDS.values())


def test_the_main_help_lists_every_command_with_its_summary() -> None:
    lines = build_parser().format_help().splitlines()
    for name, command in COMMANDS.items():
        (line,) = [line for line in lines if line.endswith(f" {command.summary}")]
        assert line.split()[0] == name
        assert len(line) <= 120


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_begins_with_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    usage, _, text = capsys.readouterr().out.partition("\n\n")
    assert usage.startswith(f"usage: mqttgateway {name}")
    assert text.startswith((COMMANDS[name].details or COMMANDS[name].summary).partition("\n")[0])
