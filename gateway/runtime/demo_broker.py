"""The embedded broker: amqtt, in a process of its own, on loopback. For trying out only, never for production.

It stores nothing on disk, has no authentication, and is about a hundred times slower than a real broker.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from gateway.core.package_logger import package_logger
from gateway.mqtt.options import MqttOptions

LOG = package_logger(__name__)

_START_DEADLINE = 15.0  # s; importing amqtt takes about one second on a fast machine, several on a Raspberry Pi
_STOP_DEADLINE = 2.0  # s


@contextlib.contextmanager
def running_if_needed(options: MqttOptions, stopping: Callable[[], bool]) -> Iterator[None]:
    """Run the embedded broker while the context lasts, if no broker answers at the address in `options`.

    Waits until it answers, or until `stopping()` is true.
    """
    if _answers(options):
        yield
        return
    if find_spec("amqtt") is None:
        LOG.warning(
            "no broker at %s:%d, and the embedded broker is not installed: apt install mosquitto, "
            "or, in a checkout, pip install '.[demo]'",
            options.host,
            options.port,
        )
        yield
        return
    process = _start(options, stopping)
    try:
        yield
    finally:
        _stop(process)


def _start(options: MqttOptions, stopping: Callable[[], bool]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway.runtime.demo_broker", options.host, str(options.port)]
    # In a session of its own, because Ctrl-C in a terminal goes to all processes of the session: the gateway still has
    # to publish its last messages when it stops.
    process = subprocess.Popen(  # noqa: S603  (no part of the command comes from outside)
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + _START_DEADLINE
    while process.poll() is None and time.monotonic() < deadline and not stopping():
        if _answers(options):
            LOG.info(
                "no broker at %s:%d: started the embedded broker (for trying out only)", options.host, options.port
            )
            return process
        time.sleep(0.05)
    LOG.warning("the embedded broker did not start at %s:%d", options.host, options.port)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(options: MqttOptions) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((options.host, options.port), 1.0):
        return True
    return False


async def _serve(host: str, port: int) -> None:
    """Run the broker until standard input is closed, which happens when the process that started this one ends."""
    import asyncio  # takes 4 MiB of memory, which a gateway must not

    from amqtt.broker import Broker

    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": bind}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    await broker.shutdown()


if __name__ == "__main__":
    import asyncio

    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
