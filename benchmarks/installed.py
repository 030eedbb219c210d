"""The project as its users have it: installed from a wheel, without the development environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from benchmarks.lab import ROOT


def install(folder: Path) -> Path:
    """Build a wheel and install it into a new environment in `folder`; return the folder of its commands.

    It uses the packages of this environment, but not the hooks that start with Python here, such as the finder of an
    editable installation, which takes about 30 ms.
    """
    source, environment = folder / "source", folder / "environment"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "benchmarks")
    shutil.copytree(ROOT, source, ignore=ignored)
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", wheel], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "needed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return environment / "bin"
