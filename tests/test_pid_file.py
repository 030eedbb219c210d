from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gateway.pid_file import PidFile, read_pid_file


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_what_is_said_is_read_and_nothing_is_left(environment: dict[str, str]) -> None:
    assert read_pid_file("gw", environment) is None
    file = PidFile("gw", environment)
    for text in ("", "1 a long line", "2 short"):
        file.say(text)
        assert read_pid_file("gw", environment) == (os.getpid(), text)
    file.close()
    assert read_pid_file("gw", environment) is None


def test_a_reader_never_finds_half_of_it(environment: dict[str, str]) -> None:
    file = PidFile("gw", environment)
    wanted = {(os.getpid(), text) for text in ("", "1 short", f"2 {'long ' * 100}".strip())}
    found: set[tuple[int, str] | None] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            found.add(read_pid_file("gw", environment))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(2000):
        for _, text in wanted:
            file.say(text)
    is_over.set()
    reader.join()
    file.close()
    assert found <= wanted
