"""Fixtures of every test: it must log no unexpected warning and leave no thread; and fixtures of the boundary."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from gateway.core.package_logger import TRAFFIC
from gateway.core.throttled_exception import Throttle, ThrottledException
from tests.support.broker import Mosquitto, mosquitto_or_skip

settings.register_profile("project", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, derandomize=False, max_examples=1000)  # make fuzz
settings.load_profile("project")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that are marked `root` without root's rights; in CI they fail."""
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        missing = f"{item.name} needs root"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape unpaired surrogates in the log of a test, which must pass between two processes as text."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


class ExpectedLogs:
    """Log texts that a test expects at WARNING or above; each must occur at least once, except allowed ones."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.allowed: list[str] = []

    def expect(self, *parts: str) -> None:
        self.parts += parts

    def allow(self, *parts: str) -> None:
        """Allow texts that occur with some versions of a broker only."""
        self.allowed += parts


@pytest.fixture
def expected_logs() -> ExpectedLogs:
    return ExpectedLogs()


@pytest.fixture(autouse=True, scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set an empty home, so that the files of the user who runs the tests are neither read nor changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            patch.delenv(name, raising=False)
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # not shared by parallel tests
        yield


@pytest.fixture(autouse=True)
def reset_throttles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the throttles, so that reports of one test do not suppress those of the next."""
    classes: list[type[ThrottledException]] = [ThrottledException]
    for cls in classes:
        classes += cls.__subclasses__()
        monkeypatch.setattr(cls, "throttle", Throttle(cls.most_new_keys, longest=cls.longest_period))


@pytest.fixture(autouse=True)
def no_unexpected_warning(caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    texts = [r.getMessage() for when in ("setup", "call") for r in caplog.get_records(when)
             if r.levelno >= logging.WARNING]  # fmt: skip
    expected = expected_logs.parts + expected_logs.allowed
    unexpected = [text for text in texts if not any(part in text for part in expected)]
    assert not unexpected, f"unexpected warnings in the log: {unexpected}"
    missing = [part for part in expected_logs.parts if not any(part in text for text in texts)]
    assert not missing, f"expected in the log, but missing: {missing}; logged: {texts}"


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, which is restored at the end."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield root
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # its disk is full
            handler.close()
    root.setLevel(level)
    logging.getLogger(TRAFFIC).setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    threads = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    for thread in set(threading.enumerate()) - threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"thread {thread.name!r} is still running"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto for this test, on a free port of the loopback."""
    mosquitto_or_skip()
    with Mosquitto(tmp_path) as broker:
        yield broker
