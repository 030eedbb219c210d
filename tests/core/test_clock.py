from __future__ import annotations

import subprocess
import sys
import time

import pytest

from gateway.core.clock import boot_time

SHIFTED = 100_000  # s


def test_it_goes_on_as_time_does() -> None:
    before = boot_time()
    assert before <= boot_time() < before + 60
    assert abs(boot_time() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


@pytest.mark.root
def test_the_time_in_which_the_machine_was_suspended_counts() -> None:
    """In a namespace in which the machine has been suspended for a day, according to the kernel's clocks."""
    code = "import time; from gateway.core.clock import boot_time; print(boot_time() - time.monotonic())"
    command = ["unshare", "--time", "--fork", "--boottime", str(SHIFTED), "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= SHIFTED - 60
