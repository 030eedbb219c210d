"""docs/serial.md: every configuration is valid; every command and converter has the documented result."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from gateway.cli.main import main
from interfaces.rules.converters import CONVERTERS, pipeline
from tests.support.docs import without_times

DOC = Path(__file__).parent.parent / "docs" / "serial.md"
BLOCKS = re.findall(r"```(yaml|text)\n(.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", DOC.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_command_prints_the_documented_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown_commands = 0
    for kind, text in BLOCKS:
        if kind == "yaml":
            whole = text if "root:" in text else f"root: home\ntopics: []\n{text}"
            (tmp_path / "device.conf").write_text(whole, encoding="utf-8")
            assert main(["check", "--conf", "device.conf"]) == 0, capsys.readouterr().err + text
            capsys.readouterr()
            continue
        printed = ""
        for line in text.splitlines():
            if line.startswith("$ mqttgateway "):
                code = main(shlex.split(line)[2:])
                shown = capsys.readouterr().out
                assert code == ("refused: " in shown or "dropped: " in shown), f"{line}\n{shown}"
                printed += f"{line}\n{shown}"
                shown_commands += 1
        assert without_times(printed) == without_times(text)
    assert shown_commands >= 12


@pytest.mark.parametrize(("steps", "reads", "value"), ROWS)
def test_every_converter_returns_the_documented_value(steps: str, reads: str, value: str) -> None:
    result = pipeline(yaml.safe_load(steps)).read(json.loads(reads))
    assert result == json.loads(value)
    assert type(result) is type(json.loads(value))


def test_every_converter_is_documented() -> None:
    shown = {name for steps, _, _ in ROWS for name in re.findall(r"[a-z_]+", steps)}
    assert set(CONVERTERS) <= shown
