"""The files of the service: written, left alone when changed, and removed. In a booted system: tests/systemd."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from gateway.cli.main import main

FILES = (
    "etc/systemd/system/mqttgateway@.service",
    "etc/sysusers.d/mqttgateway.conf",
    "etc/udev/rules.d/60-mqttgateway.rules",
)


class Image:
    """The system in a folder, and what the command prints about it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def run(self, *words: str, code: int = 0) -> str:
        assert main([*words, "--root", str(self.folder)]) == code
        captured = self._capsys.readouterr()
        return captured.out + captured.err

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def image(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Image:
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "mqttgateway").touch(0o755)
    monkeypatch.setattr(sys, "executable", str(bin_folder / "python"))
    return Image(tmp_path / "image", capsys)


def test_the_files_are_written_with_the_program_that_runs(image: Image) -> None:
    output = image.run("install-service")
    assert image.files() == set(FILES)
    unit = (image.folder / FILES[0]).read_text()
    program = image.folder.parent / "venv/bin/mqttgateway"
    assert f"\nExecStart={program} --conf %i.conf\n" in unit
    assert f"\nExecReload={program} reload --conf %i.conf\n" in unit
    assert "/opt/mqttgateway/bin" not in unit
    for file in FILES:
        assert f"write        {image.folder / file} (" in output
        assert stat.S_IMODE((image.folder / file).stat().st_mode) == 0o644
    assert (image.folder / "etc/mqttgateway").is_dir()
    assert "sudo systemctl enable --now mqttgateway@NAME" in output, "what to do next"


def test_a_dry_run_changes_nothing(image: Image) -> None:
    output = image.run("install-service", "--dry-run")
    assert output.count("would write  ") == len(FILES)
    assert not image.folder.exists()
    image.run("install-service")
    assert image.run("uninstall-service", "--dry-run").count("would remove ") == len(FILES)
    assert image.files() == set(FILES)


def test_installing_again_updates_what_an_earlier_version_has_written(image: Image) -> None:
    image.run("install-service")
    before, _, _ = (image.folder / FILES[0]).read_text().rpartition("# ")
    assert image.run("install-service").count("unchanged    ") == len(FILES)
    other = image.folder.parent / "other" / "bin"
    other.mkdir(parents=True)
    (other / "mqttgateway").touch(0o755)
    sys.executable = str(other / "python")  # restored by the fixture
    assert f"write        {image.folder / FILES[0]}" in image.run("install-service")
    after = (image.folder / FILES[0]).read_text()
    assert after.startswith(before.replace(str(image.folder.parent / "venv"), str(other.parent)))


@pytest.mark.parametrize("change", ["edited", "of somebody else", "cut"])
def test_a_file_that_was_changed_is_neither_overwritten_nor_removed(change: str, image: Image) -> None:
    image.run("install-service")
    unit = image.folder / FILES[0]
    text = unit.read_text()
    changed = {
        "edited": text.replace("RestartSec=5", "RestartSec=1"),
        "of somebody else": "[Unit]\n",
        "cut": text[:500],
    }
    unit.write_text(changed[change])
    rules = image.folder / FILES[2]
    rules.unlink()
    output = image.run("install-service", code=1)
    assert (
        f"mqttgateway: nothing was done, because these files were changed, or written by somebody else: {unit}: "
        in output
    )
    assert not rules.exists(), "nothing was done"
    output = image.run("uninstall-service", code=1)
    assert f"left         {unit}: it was changed, or written by somebody else: remove it yourself" in output
    assert f"not there    {rules}" in output
    assert image.files() == {FILES[0]}
    assert unit.read_text() == changed[change]


def test_uninstalling_removes_what_was_written_and_says_what_stays(image: Image) -> None:
    image.run("install-service")
    other = image.folder / "etc/mqttgateway/entry.conf"
    other.write_text("interface: {type: dummy}\n")
    output = image.run("uninstall-service")
    assert output.count("remove       ") == len(FILES)
    assert "Not removed: the user mqttgateway, the configurations in /etc/mqttgateway, and what waits" in output
    assert image.files() == {"etc/mqttgateway/entry.conf"}
    assert image.run("uninstall-service").count("not there    ") == len(FILES)


def test_a_folder_that_cannot_be_written_is_named(image: Image) -> None:
    image.folder.mkdir()
    (image.folder / "etc").write_text("no folder")
    output = image.run("install-service", code=1)
    assert "Traceback" not in output
    assert str(image.folder / "etc") in output


def test_a_program_that_the_sandbox_hides_is_refused(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-service", "--dry-run"]) == 1
    program = image.folder.parent / "venv/bin/mqttgateway"
    assert f"mqttgateway: the service could not run {program}: its sandbox hides " in capsys.readouterr().err


@pytest.mark.parametrize("what", ["link to nowhere", "link to itself", "mask", "pipe", "folder"])
def test_what_is_no_file_is_left_alone(what: str, image: Image) -> None:
    image.run("install-service")
    path = image.folder / FILES[0]
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to({"mask": "/dev/null", "link to itself": path.name}.get(what, "/nowhere/unit"))
    before = path.lstat()
    assert "written by somebody else" in image.run("install-service", code=1)
    assert f"left         {path}" in image.run("uninstall-service", code=1)
    assert path.lstat().st_ino == before.st_ino
