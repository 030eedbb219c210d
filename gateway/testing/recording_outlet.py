"""An outlet that records what an interface sends, so that a test needs neither a gateway nor a broker."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.receipt import Receipt
from gateway.message import InternalMsg, Publication
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Source
from gateway.routing.outlet import LinkStatus, Outlet
from gateway.translation.mqtt_map import MsgMap


class RecordingOutlet(Outlet):
    """The `msglist_out` of an interface under test.

    `messages` holds what the interface has sent, in order, `availability` what it has reported with `set_available`,
    and `heard_devices` the devices that it has reported with `heard`. A test may set `is_crowded`, and the link with
    `set_link`. As in a gateway, a message that cannot be written to MQTT is refused and logged, and not recorded.
    Every message counts as delivered immediately: `flush` and the methods of a receipt never wait.
    """

    is_crowded = False

    def __init__(self, name: str = "test") -> None:
        self.messages: list[InternalMsg] = []
        self.availability: list[bool] = []
        self.heard_devices: list[str] = []
        msg_map = MsgMap("test", sender=name)
        super().__init__(name, msg_map, _DeliveringOutbox(), self.availability.append, record_sent=self.messages.append)

    def clear(self) -> None:
        """Forget the recorded messages and reports."""
        self.messages.clear()
        self.availability.clear()
        self.heard_devices.clear()

    def set_link(self, up: bool, session_present: bool = False) -> None:
        """Set the state of the link to the broker, which `Interface.is_connected` returns; at first it is down."""
        self.link = LinkStatus(up, session_present, self.link.number + up)

    def heard(self, device: str) -> None:
        """Record that the interface has called `heard` for `device`."""
        self.heard_devices.append(device)


class _DeliveringOutbox(Outbox):
    """An outbox that delivers each publication immediately, and keeps nothing."""

    def put(self, publication: Publication, receipt: Receipt | None = None, source: Source | None = None) -> bool:  # noqa: ARG002
        if receipt is not None:
            receipt.mark_delivered()
        return True

    def put_all(self, publications: Sequence[Publication]) -> int:  # noqa: ARG002
        return 0

    def wait_for_room(self, longest: float = 0.2) -> None:
        """Return immediately."""

    def flush(self, source: Source, timeout: float) -> None:
        """Return immediately."""
