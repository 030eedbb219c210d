"""An `MgClient` with its outbox, wakeup and clocks; the test runs its loop, step by step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from gateway.core.inbox import Wakeup
from gateway.message import Arrival, Publication
from gateway.mqtt.client import MgClient
from gateway.mqtt.link_state import LinkState
from gateway.mqtt.options import MqttOptions
from gateway.outbox.outbox import Outbox

DEFAULTS: dict[str, Any] = {"host": "127.0.0.1", "client_id": "test", "connect_timeout": 5.0}
"""The options of a link that a test does not set."""


class ShiftedClock:
    """The monotonic clock, advanced by `shift` seconds; within `frozen` it is stopped."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        return self.shift + (time.monotonic() if self._stopped_at is None else self._stopped_at)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the clock: no time passes by it within this context."""
        self._stopped_at = time.monotonic()
        try:
            yield
        finally:
            self._stopped_at = None


class Link:
    """A client for the broker at `port`; `client` are options of `MgClient`, other keywords are those of `MqttOptions`.

    The delays of the backoff are always `delay` seconds; `bounds` are the upper bounds of the drawn delays.
    `steps` counts the steps of the loop. `send_clock` is that of the send lock, for bursts and a blocked main thread.
    """

    def __init__(
        self,
        port: int,
        *filters: str,
        delay: float = 0.0,
        availability: str = "",
        on_msg: Callable[[Arrival], None] | None = None,
        outbox: Outbox | None = None,
        client: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        options = {**DEFAULTS, **options}
        self.delay = delay
        self.bounds: list[float] = []
        self.received: list[tuple[str, bytes, bool]] = []
        self.steps = 0
        self.clock = ShiftedClock()
        self.send_clock = ShiftedClock()
        self.wakeup = Wakeup()
        self.outbox = Outbox() if outbox is None else outbox  # an empty one is false
        self.client = MgClient(
            MqttOptions(port=port, **options),
            self.outbox,
            self.wakeup,
            filters=filters,
            on_msg=on_msg or (lambda got: self.received.append((got.topic, got.payload, got.retain))),
            availability_topic=availability,
            clock=self.clock,
            uniform=self._uniform,
            send_clock=self.send_clock,
            **(client or {}),
        )
        self.outbox.attach(self.client.transmitter)

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.mg_stop(0.0)
        self.wakeup.close()

    def _uniform(self, low: float, high: float) -> float:
        assert low == 0
        self.bounds.append(high)
        return self.delay

    @property
    def state(self) -> LinkState:
        return self.client.link_state

    @property
    def failure(self) -> str:
        return str(self.client.last_failure)

    def put(self, topic: str, payload: bytes = b"", qos: int = 1) -> None:
        assert self.outbox.put(Publication(topic, payload, qos))

    def connect(self) -> None:
        """Start to connect, and run the loop until the link is up and its subscriptions are answered."""
        self.client.mg_connect()
        self.run_until(lambda: self.state is LinkState.UP and self.client.is_subscribed, "the link to be up")

    def pass_time(self, seconds: float) -> None:
        """Advance the clock by `seconds`, as if the broker had sent something at their end."""
        self.clock.shift += seconds
        self.client.link.monitor.last_received = self.clock()

    def step(self, timeout: float) -> None:
        self.steps += 1
        self.client.loop_with_reconnect(timeout)

    def run_until(self, condition: Callable[[], object], what: str = "it", timeout: float = 10) -> None:
        """Run the loop until `condition()` is true; fail after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout} s for {what}: {self.client!r}, {self.failure}"
            self.step(0.05)

    def run_for(self, seconds: float) -> int:
        """Run the loop for `seconds`, each step as long as it takes; return the number of steps."""
        previous, deadline = self.steps, time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self.step(remaining)
        return self.steps - previous
