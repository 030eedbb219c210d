"""The program's name and version, and where its files are looked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigurationError, Finding

NAME = "mqttgateway"

SERVICE_CONF = Path("/etc") / NAME
"""Where the configurations of the systemd unit are."""

SERVICE_STATE = Path("/var/lib") / NAME
"""What `StateDirectory=` of the systemd unit stands for, which only the unit itself is told."""


def shipped(kind: str) -> Path:
    """Return the folder of the files that ship with the program; `kind` is `conf` or `maps`."""
    # Not by importlib.resources, which brings in what unpacks archives: a run must start fast.
    return Path(str(importlib.import_module(f"gateway.{kind}").__file__)).parent


def expanded(path: str) -> Path:
    """Return `path` with `~` and `~user` replaced by home folders; unchanged where there is no such user or home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_file(path: Path) -> bool:
    """Tell whether there is a file at `path`; where nobody may look, or no file can be, there is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at `path`; where nobody may look, or none can be, there is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # ValueError: a NUL in it
        return False


def find_configuration(given: str, environment: Mapping[str, str]) -> Path:
    """Return the path of the configuration called `given`.

    Looked for as given, in `$XDG_CONFIG_HOME/mqttgateway`, in `/etc/mqttgateway`, and last among the
    shipped examples. Raises `ConfigurationError` naming these places.
    """
    places = [expanded(given), *(folder / given for folder in _folders(environment)), shipped("conf") / given]
    return _first(given, places, f"shipped examples: {', '.join(shipped_configurations())}")


def find_map(given: str, beside: Path, environment: Mapping[str, str]) -> Path:
    """Return the path of the map called `given` in a configuration of the folder `beside`.

    Looked for in that folder, in the configuration folders, and last among the shipped maps. Raises
    `ConfigurationError` naming these places.
    """
    folders = [beside, *_folders(environment), shipped("maps")]
    return _first(given, [folder / expanded(given) for folder in folders], "check the name")


def state_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder for what outlives a run, or None where there is none.

    That of systemd (`StateDirectory=`), or else `mqttgateway` in the state folder of the user, if there is one (XDG
    Base Directory Specification, 0.8).
    """
    home = expanded("~/.local/state")
    return (
        _of_systemd(environment, "STATE_DIRECTORY")
        or _of_user(environment, "XDG_STATE_HOME")
        or (home / NAME if home.is_dir() else None)
    )


def existing_state_folder(environment: Mapping[str, str], file: str) -> Path | None:
    """Return the folder in which the state called `file` of a gateway lies that a command is to look at.

    That is the folder of the service (`SERVICE_STATE`) if the file is there and we may look, or if there is no other
    folder; else the one that a gateway started here would use. None: there is none.
    """
    own = state_folder(environment)
    is_service = _of_systemd(environment, "STATE_DIRECTORY") is not None
    if not is_service and (is_file(SERVICE_STATE / file) or (own is None and is_folder(SERVICE_STATE))):
        return SERVICE_STATE
    return own


def runtime_folders(environment: Mapping[str, str]) -> list[Path]:
    """Return the folders for what a running gateway leaves to be found by, the best one first."""
    own = f"{NAME}-{os.geteuid()}"  # in a folder that all users have
    temporary = Path(environment.get("TMPDIR", ""))
    folders = (
        _of_systemd(environment, "RUNTIME_DIRECTORY"),
        _of_user(environment, "XDG_RUNTIME_DIR"),
        temporary / own if temporary.is_absolute() else None,
        Path("/tmp") / own,  # noqa: S108
    )
    return [folder for folder in folders if folder is not None]


def find_legacy(given: str, beside: Path) -> Path | None:
    """Return the file called `given` in a configuration of the original, in the folder `beside`; None if there is none.

    Looked for in that folder, in the working directory, and beside the program.
    """
    folders = (beside, Path(), Path(sys.argv[0]).parent)
    return next((path.absolute() for path in (folder / expanded(given) for folder in folders) if is_file(path)), None)


def shipped_configurations() -> list[str]:
    """Return the names of the shipped configurations."""
    return sorted(path.name for path in shipped("conf").glob("*.conf"))


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    yield _of_user(environment, "XDG_CONFIG_HOME") or expanded("~/.config") / NAME
    yield SERVICE_CONF


def _of_systemd(environment: Mapping[str, str], variable: str) -> Path | None:
    """Return the first folder that systemd has made for the unit (systemd.exec, `StateDirectory=` and the like)."""
    folder = environment.get(variable, "").split(":")[0]
    return Path(folder) if folder else None


def _of_user(environment: Mapping[str, str], variable: str) -> Path | None:
    """Return our folder in one of the user's; a path that is not absolute is ignored, as XDG wants it."""
    folder = environment.get(variable, "")
    return Path(folder) / NAME if folder.startswith("/") else None


def _first(given: str, places: list[Path], remedy: str) -> Path:
    places = list(dict.fromkeys(places))
    for place in places:
        if is_file(place):
            return place
    if given and is_folder(places[0]):
        raise ConfigurationError([Finding(given, 0, 0, "", "it is a folder", "name the file in it")])
    folders = ", ".join(str(place.parent) for place in places)
    raise ConfigurationError([Finding(given, 0, 0, "", f"no such file (looked in {folders})", remedy)])
