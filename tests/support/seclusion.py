"""Namespaces of its own for a command of the tests: nothing but itself is on the network there. Needs root.

What it has started, also programs that put themselves into the background, ends with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

_INSIDE = "TESTS_INSIDE"


def is_secluded() -> bool:
    """Return whether this process runs where `seclude` has started it."""
    return _INSIDE in os.environ


def seclude(module: str, *arguments: str, network: str = "ip link set lo up") -> int:
    """Run `python -m module ARGUMENTS` in namespaces of its own, after the commands `network`; return its code."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    unshare = shutil.which("unshare", path=path) or "unshare"
    namespaces = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["sh", "-euc", f'{network}\nexec "$@"', "sh", sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PATH": path, _INSIDE: "1"}
    return subprocess.run([unshare, *namespaces, *command], env=environment, check=False).returncode


def cannot_run(reason: str) -> int:
    """Say on standard error why a command cannot run here, and return its exit code."""
    print(f"cannot run here: {reason}", file=sys.stderr)
    return 3
