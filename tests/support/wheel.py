"""The wheel of this checkout, for tests that install it elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.units import CannotRunError

_ROOT = Path(__file__).parents[2]


def build_wheel(folder: Path) -> Path:
    """Build the wheel, of a copy of what it is made of, and return its path. Raises `CannotRunError`."""
    source = folder / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "benchmarks")
    shutil.copytree(_ROOT, source, ignore=ignored)
    built = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source],
                           capture_output=True, text=True, check=False)  # fmt: skip
    if built.returncode:
        raise CannotRunError(f"the wheel cannot be built: {built.stdout}{built.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel
