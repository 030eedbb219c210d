from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto, mosquitto_or_skip
from tests.support.browser import Browser
from tests.support.house import House


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of a process: to start it takes seconds."""
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    mosquitto_or_skip()
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def seen_house(tmp_path: Path, shared_broker: Mosquitto) -> Iterator[House]:
    """A house whose page a browser shows."""
    with House(tmp_path, shared_broker) as house:
        yield house
