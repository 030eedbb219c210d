from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from gateway.core.inbox import Wakeup
from gateway.runtime.signals import handle_signals


class Recorder:
    """Records what the signals ask for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.wakeup = Wakeup(for_signals=True)

    def stop(self) -> None:
        self.calls.append("stop")

    def reload(self) -> None:
        self.calls.append("reload")

    def signal_fileno(self) -> int:
        return self.wakeup.signal_fileno()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.wakeup.close()


@pytest.mark.parametrize(
    ("number", "call"), [(signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")]
)
def test_a_signal_stops_or_reloads_and_ends_a_wait(number: int, call: str, recorder: Recorder) -> None:
    with handle_signals(recorder):
        signal.raise_signal(number)
        assert recorder.calls == [call]
        assert os.read(recorder.wakeup.fileno(), 100) == bytes([number]), "what `run` waits for is readable"


def test_the_same_signal_sent_twice_within_a_moment_is_one_stop(recorder: Recorder) -> None:
    with handle_signals(recorder):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert recorder.calls == ["stop"]


def test_the_previous_handlers_are_restored(recorder: Recorder) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    previous = [signal.getsignal(number) for number in numbers]
    with handle_signals(recorder):
        assert [signal.getsignal(number) for number in numbers] != previous
    assert [signal.getsignal(number) for number in numbers] == previous
    assert signal.set_wakeup_fd(-1) == -1
