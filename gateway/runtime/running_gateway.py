"""What a running gateway consists of, for the parts that read it, or act on it, from outside of its wiring."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from gateway.configuration.settings import Configuration
from gateway.core.errands import Errands
from gateway.mqtt.client import MgClient
from gateway.outbox.outbox import Outbox
from gateway.routing.router import Router
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.stats import Stats

if TYPE_CHECKING:
    from gateway.control.protocol import Answer
    from gateway.outbox.writer import OutboxWriter
    from gateway.runtime.health import Health


class RunningGateway(Protocol):
    """The parts of a gateway."""

    @property
    def configuration(self) -> Configuration: ...  # noqa: D102
    @property
    def client(self) -> MgClient: ...  # noqa: D102
    @property
    def outbox(self) -> Outbox: ...  # noqa: D102
    @property
    def writer(self) -> OutboxWriter | None: ...  # noqa: D102
    @property
    def hosts(self) -> Mapping[str, InterfaceHost]: ...  # noqa: D102
    @property
    def errands(self) -> Errands: ...  # noqa: D102
    @property
    def received(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def router(self) -> Router: ...  # noqa: D102
    @property
    def started(self) -> float: ...  # noqa: D102
    @property
    def main_thread(self) -> int: ...  # noqa: D102
    @property
    def control_failure(self) -> str: ...  # noqa: D102
    @property
    def page_failure(self) -> str: ...  # noqa: D102
    @property
    def live_topics(self) -> Collection[str]: ...  # noqa: D102
    def stats(self) -> Stats: ...  # noqa: D102
    def health(self) -> Health: ...  # noqa: D102
    def reload(self) -> None: ...  # noqa: D102
    def reload_for(self, answer: Answer) -> None: ...  # noqa: D102
    def clear_retained(self, topic: str) -> bool: ...  # noqa: D102
