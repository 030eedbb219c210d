from __future__ import annotations

import errno
import os
import pwd
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from gateway import __version__
from gateway.core.paths import (
    NAME,
    existing_state_folder,
    expanded,
    find_configuration,
    find_legacy,
    find_map,
    runtime_folders,
    shipped,
    shipped_configurations,
)
from gateway.errors import ConfigurationError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and, below it, the current folder: both empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return tmp_path / "home"


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_the_version_is_that_of_the_installed_program() -> None:
    assert __version__ == metadata.version(NAME)


def test_the_shipped_files_exist() -> None:
    assert {"default.conf", "dummy2mqtt.conf", "serial2mqtt.conf"} <= set(shipped_configurations())
    assert (shipped("maps") / "dummy_map.json").is_file()


def test_a_configuration_is_searched_for_in_the_folders_in_order(home: Path, tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    name = "dummy2mqtt.conf"
    assert find_configuration(name, environment) == shipped("conf") / name
    xdg = put(tmp_path / "xdg" / NAME / name)
    assert find_configuration(name, environment) == xdg
    put(tmp_path / "here" / name)
    assert find_configuration(name, environment) == Path(name)


def test_without_an_xdg_folder_or_with_a_relative_one_it_is_the_one_below_home(home: Path) -> None:
    path = put(home / ".config" / NAME / "my.conf")
    put(Path("relative") / NAME / "my.conf")
    assert find_configuration("my.conf", {}) == path
    assert find_configuration("my.conf", {"XDG_CONFIG_HOME": "relative"}) == path


def test_an_absolute_path_and_a_path_from_home_are_used_unchanged(home: Path, tmp_path: Path) -> None:
    path = put(home / "my.conf")
    assert find_configuration(str(path), {}) == path
    assert find_configuration("~/my.conf", {}) == path


def test_a_configuration_that_is_nowhere_names_the_places_and_the_examples(home: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_configuration("my.conf", {"XDG_CONFIG_HOME": "/xdg"})
    assert str(caught.value) == (
        f"my.conf: no such file (looked in ., /xdg/mqttgateway, /etc/mqttgateway, {shipped('conf')}): "
        f"shipped examples: {', '.join(shipped_configurations())}"
    )


def test_a_folder_is_no_configuration(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="it is a folder: name the file in it"):
        find_configuration(str(tmp_path), {})


def test_a_map_is_searched_for_beside_its_configuration_first(home: Path, tmp_path: Path) -> None:
    name, beside = "dummy_map.json", tmp_path / "beside"
    assert find_map(name, beside, {}) == shipped("maps") / name
    own = put(home / ".config" / NAME / name)
    assert find_map(name, beside, {}) == own
    assert find_map(name, put(beside / name).parent, {}) == beside / name
    assert find_map(str(own), beside, {}) == own
    assert find_map(f"~/.config/{NAME}/{name}", beside, {}) == own


def test_a_map_that_is_nowhere_names_the_places(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_map("my.json", tmp_path, {"XDG_CONFIG_HOME": "/xdg"})
    assert str(caught.value) == (
        f"my.json: no such file (looked in {tmp_path}, /xdg/mqttgateway, /etc/mqttgateway, {shipped('maps')}): "
        f"check the name"
    )


def test_a_user_who_does_not_exist_is_part_of_a_path_that_does_not_either(home: Path, tmp_path: Path) -> None:
    assert expanded("~no-such-user/x") == Path("~no-such-user/x")
    for find in (find_configuration, lambda given, environment: find_map(given, tmp_path, environment)):
        with pytest.raises(ConfigurationError, match="no such file"):
            find("~no-such-user/x.conf", {})


def test_without_a_home_folder_the_shipped_files_are_still_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> NoReturn:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)  # a container that runs under a number without a name
    assert os.path.expanduser("~") == "~"  # noqa: PTH111
    assert find_configuration("dummy2mqtt.conf", {}) == shipped("conf") / "dummy2mqtt.conf"


def test_a_folder_without_access_is_skipped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def guarded(path: Path, **options: bool) -> os.stat_result:
        if str(path).startswith("/etc/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", guarded)
    assert find_configuration("dummy2mqtt.conf", {}) == shipped("conf") / "dummy2mqtt.conf"


@pytest.mark.parametrize("given", ["", "a\0b", "\udcff", "x" * 5000])
def test_names_that_no_file_can_have_are_not_found_and_nothing_worse(given: str, home: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        find_configuration(given, {})


def test_a_legacy_file_is_found_beside_the_configuration_then_here_then_beside_the_program(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [str(tmp_path / "bin" / "mqttgateway")])
    beside = tmp_path / "conf"
    assert find_legacy("maps/x.map", beside) is None
    for folder in (tmp_path / "bin", tmp_path / "here", beside):
        path = put(folder / "maps" / "x.map")
        assert find_legacy("maps/x.map", beside) == path
    absolute = put(tmp_path / "absolute.map")
    assert find_legacy(str(absolute), beside) == absolute
    assert find_legacy(str(tmp_path), beside) is None  # a folder is no file


def test_the_path_of_a_legacy_file_is_absolute(home: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "here" / "sub" / "x.map")
    assert find_legacy("x.map", Path("sub")) == path


def test_a_running_gateway_is_found_in_folders_that_do_not_depend_on_where_it_was_started() -> None:
    own = f"mqttgateway-{os.geteuid()}"
    assert runtime_folders({"TMPDIR": "here"}) == [Path("/tmp") / own]
    assert runtime_folders({"TMPDIR": "/scratch"}) == [Path("/scratch") / own, Path("/tmp") / own]


def test_a_command_reads_the_state_folder_of_the_service(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = home.parent / "var"
    monkeypatch.setattr("gateway.core.paths.SERVICE_STATE", service)
    own = {"XDG_STATE_HOME": str(home / "state")}
    assert existing_state_folder({}, "gw.outbox") is None
    assert existing_state_folder(own, "gw.outbox") == home / "state" / NAME
    put(service / "other.outbox")
    assert existing_state_folder({}, "gw.outbox") == service, "where else?"
    assert existing_state_folder(own, "gw.outbox") == home / "state" / NAME, "it has none"
    put(service / "gw.outbox")
    assert existing_state_folder(own, "gw.outbox") == service
    assert existing_state_folder({**own, "STATE_DIRECTORY": "/unit"}, "gw.outbox") == Path("/unit"), "as the service"
