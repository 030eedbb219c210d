"""The name of the program, and the folders that are searched for its files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigurationError, Finding

NAME = "mqttgateway"

SERVICE_CONF = Path("/etc") / NAME
"""The folder of the configurations of the systemd unit."""

SERVICE_STATE = Path("/var/lib") / NAME
"""The folder of `StateDirectory=` in the systemd unit; only the unit itself has it in its environment."""


SERVICE_SECRETS = Path("/etc/credstore")
"""Where systemd looks for what `LoadCredential=` in the systemd unit names."""


def shipped(kind: str) -> Path:
    """Return the folder of the files that ship with the program: `conf`, `maps`, `packaging` or `systemd`."""
    package = Path(__file__).parents[1]
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind  # in a checkout they lie at the top


def expanded(path: str) -> Path:
    """Return `path` with `~` and `~user` replaced by home folders; unchanged if there is no such user or home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_file(path: Path) -> bool:
    """Return whether there is a file at `path`; False also if access is denied, or the path is impossible."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at `path`; False also if access is denied, or the path is impossible."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # ValueError: a NUL in it
        return False


def find_configuration(name: str, environment: Mapping[str, str]) -> Path:
    """Return the path of the configuration called `name`.

    It is searched for as a path, in `$XDG_CONFIG_HOME/mqttgateway`, in `/etc/mqttgateway`, and last among the
    shipped examples. Raises `ConfigurationError` naming these places.
    """
    places = [expanded(name), *(folder / name for folder in _folders(environment)), shipped("conf") / name]
    return _first(name, places, f"shipped examples: {', '.join(shipped_configurations())}")


def find_script(name: str) -> Path:
    """Return the path of the script of a simulated device called `name`: a path, or the name of a shipped script.

    Raises `ConfigurationError` naming both places.
    """
    scripts = sorted(path.name for path in shipped("conf").glob("*.sim"))
    return _first(name, [expanded(name), shipped("conf") / name], f"shipped scripts: {', '.join(scripts)}")


def find_map(name: str, beside: Path, environment: Mapping[str, str]) -> Path:
    """Return the path of the map called `name` in a configuration of the folder `beside`.

    It is searched for in that folder, in the configuration folders, and last among the shipped maps. Raises
    `ConfigurationError` naming these places.
    """
    folders = [beside, *_folders(environment), shipped("maps")]
    return _first(name, [folder / expanded(name) for folder in folders], "check the name")


def state_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder for files that outlive a run; None if there is none.

    It is that of systemd (`StateDirectory=`), or else `mqttgateway` in the state folder of the user, if there is one
    (XDG Base Directory Specification, 0.8).
    """
    home = expanded("~/.local/state")
    return (
        _of_systemd(environment, "STATE_DIRECTORY")
        or _of_user(environment, "XDG_STATE_HOME")
        or (home / NAME if home.is_dir() else None)
    )


def existing_state_folder(environment: Mapping[str, str], file: str) -> Path | None:
    """Return the folder with the state file `file` of a gateway, for a command that reads it; None if there is none.

    It is the folder of the service (`SERVICE_STATE`) if the file is there and access is permitted, or if there is no
    other folder; else the one that a gateway started by this user would use.
    """
    user_folder = state_folder(environment)
    is_service = _of_systemd(environment, "STATE_DIRECTORY") is not None
    if not is_service and (is_file(SERVICE_STATE / file) or (user_folder is None and is_folder(SERVICE_STATE))):
        return SERVICE_STATE
    return user_folder


def runtime_folders(environment: Mapping[str, str]) -> list[Path]:
    """Return the folders for the files by which commands find a running gateway, the preferred one first."""
    user_name = f"{NAME}-{os.geteuid()}"  # in a folder that all users share
    temporary = Path(environment.get("TMPDIR", ""))
    folders = (
        _of_systemd(environment, "RUNTIME_DIRECTORY"),
        _of_user(environment, "XDG_RUNTIME_DIR"),
        temporary / user_name if temporary.is_absolute() else None,
        Path("/tmp") / user_name,  # noqa: S108
    )
    return [folder for folder in folders if folder is not None]


def find_legacy(name: str, beside: Path) -> Path | None:
    """Return the file called `name` in a legacy configuration of the folder `beside`; None if there is none.

    It is searched for in that folder, in the working directory, and in the folder of the program.
    """
    folders = (beside, Path(), Path(sys.argv[0]).parent)
    return next((path.absolute() for path in (folder / expanded(name) for folder in folders) if is_file(path)), None)


def shipped_configurations() -> list[str]:
    """Return the names of the shipped configurations."""
    return sorted(path.name for path in shipped("conf").glob("*.conf"))


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    yield _of_user(environment, "XDG_CONFIG_HOME") or expanded("~/.config") / NAME
    yield SERVICE_CONF


def _of_systemd(environment: Mapping[str, str], variable: str) -> Path | None:
    """Return the first folder that systemd has created for the unit (systemd.exec, `StateDirectory=` and the like)."""
    folder = environment.get(variable, "").split(":")[0]
    return Path(folder) if folder else None


def _of_user(environment: Mapping[str, str], variable: str) -> Path | None:
    """Return our folder in one of the user's folders; a relative path is ignored, as XDG requires."""
    folder = environment.get(variable, "")
    return Path(folder) / NAME if folder.startswith("/") else None


def _first(name: str, places: list[Path], remedy: str) -> Path:
    places = list(dict.fromkeys(places))
    for place in places:
        if is_file(place):
            return place
    if name and is_folder(places[0]):
        raise ConfigurationError([Finding(name, 0, 0, "", "it is a folder", "name the file in it")])
    folders = ", ".join(str(place.parent) for place in places)
    raise ConfigurationError([Finding(name, 0, 0, "", f"no such file (looked in {folders})", remedy)])
