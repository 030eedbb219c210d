"""The packages that the tests need beside the gateway's own code. This module imports nothing that may be missing."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
INSTALL = "python -m pip install -e '.[dev,demo]'"


def required_packages() -> Iterator[str]:
    """Yield the names of the packages that a run and its tests import; type stubs are only for the static checks."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if not name.startswith("types-"):
            yield name


def missing_packages(required: Iterator[str]) -> list[str]:
    """Return which of the packages are not installed in this environment."""
    missing = []
    for name in required:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return missing


def what_to_install() -> str:
    """Return in one line what is missing for the tests, and the command that installs it; `""` if nothing is."""
    missing = missing_packages(required_packages())
    if missing:
        return f"the tests need {', '.join(missing)}: run this first: {INSTALL}"
    if importlib.util.find_spec("gateway.conf") is None:
        # Installed as a copy, the examples in conf/ and maps/ belong to that copy, and the tests import the checkout.
        return f"the tests need the checkout itself to be installed, not a copy of it: run this first: {INSTALL}"
    return ""
