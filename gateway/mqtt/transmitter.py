"""Sends waiting messages, in the thread that has put them or in the main thread: whichever gets the send lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.core.clock import boot_time
from gateway.core.inbox import Wakeup
from gateway.message import Publication
from gateway.mqtt.link_log import LOG
from gateway.mqtt.link_state import LinkState, LinkStateMachine
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.send_lock import Progress, SendLock
from gateway.mqtt.sender import Sender


class Transmitter:
    """Owns the send lock, and sends the messages of `sender` while the link is up.

    `Outbox.attach` connects an outbox with it: `request_send` and `send_directly` may be called by any thread. `wakeup`
    ends the wait of the main thread when there is something that only it can do. `clock` is that of the send lock.
    """

    def __init__(
        self,
        client: HookedClient,
        link: LinkStateMachine,
        sender: Sender,
        wakeup: Wakeup,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._client = client
        self._link = link
        self._sender = sender
        self.send_lock = SendLock(self._send_waiting, wakeup, clock)
        self.request_send = self.send_lock.request_send
        """Ask for queued messages to be sent: by this thread if the lock is free, otherwise by the lock holder."""

    # --- any thread

    def send_directly(self, publications: Sequence[Publication], may_wait: bool) -> bool:
        """Send publications past the outbox; return whether they were accepted. Otherwise put them into the outbox.

        Those that `may_wait` for more of their kind are not accepted while others follow each other closely.
        """

        def send() -> Progress | None:
            is_all = self._sender.send_directly(publications) if self._link.state is LinkState.UP else None
            return None if is_all is None else Progress.DONE if is_all else Progress.STUCK

        try:
            return self.send_lock.send_directly(send, may_wait)
        except Exception as err:  # noqa: BLE001  (as in `_send_waiting`)
            LOG.debug("sending directly: %r", err)
            return False

    def _send_waiting(self) -> Progress:
        """Send what window and connection have room for. Called with the send lock, in whatever thread has it."""
        if self._link.state is not LinkState.UP:
            return Progress.DONE
        if not self._client.mg_is_buffered:
            return Progress.STUCK
        try:
            self._sender.send_pending()
            is_written = self._client.mg_flush()
            self._sender.settle()
        except Exception as err:  # noqa: BLE001
            # The thread of an interface must not fail over the link. The main thread meets the same error when it
            # sends, and drops the link.
            LOG.debug("sending: %r", err)
            return Progress.STUCK
        if not is_written:
            return Progress.STUCK
        return Progress.MORE if self._sender.has_more else Progress.DONE

    # --- the main thread, with the send lock

    @property
    def has_more(self) -> bool:
        """Whether `send` would send something immediately; it stops after a while, so that the main thread can read."""
        return self._link.state is LinkState.UP and self._sender.has_more

    def send(self) -> None:
        """Send what window and connection have room for, changed states, and all that is to be written to the socket.

        Raises what paho raises where it cannot handle something.
        """
        if self._link.state is LinkState.UP and self._sender.send_pending():
            self._client.loop_write()
            self._sender.settle()
        if self._link.state is LinkState.UP:
            self._sender.publish_states()
        if self._client.want_write():
            self._client.loop_write()
            self._sender.settle()
