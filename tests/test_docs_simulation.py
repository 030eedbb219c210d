"""docs/simulation.md: every script and configuration is valid; what the device does, and the code, are as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_script import load_script
from interfaces.serial_interface.simulation.device import SimulatedDevice
from interfaces.serial_interface.simulation.faults import EFFECTS
from interfaces.serial_interface.simulation.playback import Playback
from interfaces.serial_interface.simulation.script import script_schema
from tests.support.docs import page, rows

DOC = page("docs/simulation.md")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page, which is the current one."""
    for block in DOC.blocks("yaml"):
        (tmp_path / block.settings["file"]).write_text(block.text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_file_is_valid(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix == ".conf":
            load_configuration(path, {})
        else:
            load_script(path, {}, SimulatedDevice.schema(), SimulatedDevice.check)


def test_the_device_does_what_is_shown(folder: Path) -> None:
    (interface,) = load_configuration(folder / "thermometer.conf", {}).interfaces
    script = load_script(folder / "thermometer.sim", {}, SimulatedDevice.schema(), SimulatedDevice.check)
    played = Playback(interface.params, script)
    played.run(7)
    (shown,) = [block.text for block in DOC.blocks("text") if "thermometer.sim" in block.text]
    lines = [f"{at:9.3f} {text}" for at, text in played.events]
    assert shown.splitlines() == ["$ mqttgateway simulate thermometer.sim --pty /tmp/ttyThermometer", *lines]


def test_the_code_works(folder: Path) -> None:
    (block,) = DOC.blocks("python")
    exec(compile(block.text, block.place, "exec"), {})


def test_every_option_is_described() -> None:
    shown = set(re.findall(r"`([a-z_]+)[`:]", " ".join(" ".join(cells) for cells in rows(DOC.text))))
    items = [script_schema()["properties"][name]["items"]["properties"] for name in ("says", "answers", "faults")]
    options = {name for properties in items for name in properties} | set(script_schema()["properties"])
    elsewhere = {"name", "faults", "from", "to"}  # in the text
    assert options - elsewhere <= shown
    assert set(EFFECTS) <= shown


def test_its_links_lead_somewhere_and_its_lines_are_not_too_long() -> None:
    for target in DOC.links():
        name, _, anchor = target.partition("#")
        assert anchor in page(f"docs/{name}").anchors(), target
    assert [line for line in DOC.prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []
