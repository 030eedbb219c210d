"""The packages that the tests need, as pyproject.toml declares them. It imports nothing that may be missing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def required_packages() -> Iterator[str]:
    """Yield the names of the packages that a run and its tests import; type stubs are only for the static checks."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if not name.startswith("types-"):
            yield name


def missing_packages() -> list[str]:
    """Return the names of the required packages that are not installed in this environment."""
    missing = []
    for name in required_packages():
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return missing
