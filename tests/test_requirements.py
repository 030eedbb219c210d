"""A test run in an environment where something is missing says so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.requirements import missing_packages, required_packages, what_to_install

ROOT = Path(__file__).parents[1]


def test_what_the_tests_need_is_declared_and_here() -> None:
    required = list(required_packages())
    assert {"paho-mqtt", "pytest", "hypothesis"} <= set(required)
    assert missing_packages(iter(required)) == []
    assert missing_packages(iter(["pytest", "no-such-package-1"])) == ["no-such-package-1"]
    assert what_to_install() == ""


def test_a_run_without_it_says_in_one_line_what_to_do(tmp_path: Path) -> None:
    """As after `pip install .`: the packages of a run are installed, the checkout itself is not."""
    packages = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for path in packages.iterdir():
        if not path.name.startswith(("hypothesis", "__editable__", "mqttgateway")) and path.suffix != ".pth":
            (tmp_path / path.name).symlink_to(path)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", "-m", "pytest", "-q", "tests/test_requirements.py"]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    ran = run()
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "the tests need hypothesis: run this first: python -m pip install -e '.[dev,demo]'\n"
    for path in packages.glob("hypothesis*"):
        (tmp_path / path.name).symlink_to(path)
    ran = run()
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("the tests need the checkout itself to be installed, not a copy of it: run this first")
    assert ran.stderr.count("\n") == 1
