"""`mqttgateway reload`: has the running gateway take over its changed configuration and map."""

from __future__ import annotations

import os
import signal
import time

from gateway.configuration.settings import Configuration
from gateway.errors import GatewayError
from gateway.pid_file import read_pid_file

_LONGEST = 20.0  # s that a gateway may take to read its files
_LOOK = 0.05  # s between two looks


def reload(configuration: Configuration) -> int:
    """Tell the running gateway to reload; print what it says, and return 0, or 1 if it took nothing over.

    The configuration has been checked on the way here; the gateway checks it again, in its own environment.
    """
    found = read_pid_file(configuration.name, os.environ)
    if found is None:
        raise GatewayError(
            f"no gateway called {configuration.name!a} runs here: start it, or 'systemctl reload' its unit"
        )
    pid, before = found
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as err:
        raise GatewayError(f"the gateway with process id {pid} cannot be told ({err.strerror}): use its user") from err
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        found = read_pid_file(configuration.name, os.environ)
        if found is None:
            raise GatewayError("the gateway has ended meanwhile")
        if found[1] != before:
            said = found[1].partition(" ")[2]  # behind the number of the reload
            print(said)  # noqa: T201
            return 0 if said.startswith("reloaded") else 1
        time.sleep(_LOOK)
    raise GatewayError(f"the gateway did not answer within {_LONGEST:g} s: see its log")
