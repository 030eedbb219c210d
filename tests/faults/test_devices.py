"""An interface that raises, hangs, or dies affects no other: the stream of its neighbour continues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Mosquitto
from tests.support.configuration import trial
from tests.support.health import wait_named
from tests.support.stream import Stream

BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "raises": (trial("Failing", failures=100), "bad: the interface failed and will be restarted", "bad fails, and is"),
    "raises SystemExit": (
        trial("Failing", failures=100, quits=True),
        "bad: the interface failed",
        "bad fails, and is started again and again: SystemExit",
    ),
    "a thread of its own dies": (trial("Dying"), "died: ValueError('on purpose')", "died: ValueError('on purpose')"),
    "never comes back": (trial("Stuck"), "bad: interface thread did not stop within 1.5 s", ""),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_neighbour_that_fails(kind: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    options, message, named = BROKEN[kind]
    with Stream(tmp_path, mosquitto.port, count=1000, rate=800, more={"bad": options}) as stream:
        gateway = stream.start()
        stream.wait_accepted(1000)
        if named:  # an interface may wait in `loop` as long as it likes: that it hangs shows only when it is stopped
            wait_named(gateway, named)
        stream.proxy.cut(reset=True)
        gateway.stop()
        assert message in gateway.log
        stream.reconfigure(rate=0)
        stream.start()  # on a busy machine the link may not have been up again in time for the stop
        assert stream.finish().delivered == 1000
