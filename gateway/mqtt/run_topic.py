"""The topic that tells what a broker still remembers, and what of its messages had waited. Pure.

On each link the gateway subscribes to a topic of its own and publishes a token there, retained and with QoS 1. Three
things follow from what comes back, none of which can be guessed from the time that a message takes:

- The broker sends first what it has retained there. If that is a token of this process, the broker has kept what we
  had it retain. If it is anything else, or nothing, its memory is gone (or was never ours).
- The token itself comes back behind everything that waited in the session (MQTT 5.0, section 4.6: messages are
  delivered in the order in which they were published). What comes before it may have waited for hours; what comes
  behind it is new. It is the barrier between the two.
- If the token never comes back, an access rule forbids the topic. Then there is no barrier, and so no session.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.backoff import Backoff

_PATIENCE = 10.0  # s without any message, on a link that answers, after which the token will not come any more
_FIRST_RETRY, _LAST_RETRY = 10.0, 86_400.0  # s until a link uses a topic again that was refused: rules can change


class RunTopic:
    """What is known of the link that is up. `topic` is where the token goes, `run_id` tells this process from others.

    `on_forgotten` is called once on each link on which it turns out that the broker does not remember what this
    process has had it retain, and `on_forbidden` when the topic turns out not to be usable, with whether what has come
    on the link may have waited. Without a `topic` nothing is known, and the former is assumed at once.
    """

    def __init__(
        self,
        topic: str,
        run_id: str,
        on_forgotten: Callable[[], None],
        on_forbidden: Callable[[bool], None],
        clock: Callable[[], float],
    ) -> None:
        self.topic = topic
        self.is_used = bool(topic)
        """Whether the topic is subscribed to and published on, on this link."""
        self.may_have_waited = False
        """Whether what comes now may be older than the link."""
        self._run_id = run_id.encode()
        self._on_forgotten = on_forgotten
        self._on_forbidden = on_forbidden
        self._clock = clock
        self._links = 0
        self._is_waiting = False  # for the token of this link
        self._is_remembered = False
        self._taken_at: float | None = None  # when the broker had acknowledged the token
        self._last_message = 0.0
        self._delays = Backoff(_FIRST_RETRY, _LAST_RETRY, lambda _, longest: longest)
        self._use_again_at = clock()

    @property
    def token(self) -> bytes:
        """The payload of this link: it tells the process, and the link from earlier ones."""
        return b"%s %d" % (self._run_id, self._links)

    def connecting(self) -> None:
        """Decide whether the link that is being made uses the topic."""
        self.is_used = bool(self.topic) and self._clock() >= self._use_again_at

    def link_up(self, *, session_present: bool) -> None:
        """Begin with a new link, whose session may hold messages that have waited."""
        self._links += 1
        self.may_have_waited = session_present
        self._is_remembered, self._taken_at = False, None
        self._last_message = self._clock()
        self._is_waiting = self.is_used
        if not self.is_used:
            self._on_forgotten()

    def message_came(self) -> None:
        """Record that the broker is still sending what had waited."""
        self._last_message = self._clock()

    def take(self, payload: bytes, *, retain: bool) -> None:
        """Record a message on the topic: what the broker had retained, or a token that comes back."""
        if not self._is_waiting:
            return
        if retain:
            self._is_remembered = self._is_remembered or payload.split(b" ")[0] == self._run_id
        elif payload == self.token:
            self._is_waiting = self.may_have_waited = False
            self._delays.reset()
            if not self._is_remembered:
                self._on_forgotten()

    def token_taken(self) -> None:
        """Record that the broker has acknowledged the token."""
        self._taken_at = self._clock()

    def look(self, heard_since: float) -> None:
        """See whether the token is overdue; `heard_since`: the broker has answered what was sent to it then."""
        if not self._is_waiting or self._taken_at is None or heard_since < self._taken_at:
            return
        if self._clock() - max(self._taken_at, self._last_message) > _PATIENCE:
            self.forbid()

    def forbid(self) -> None:
        """Do without the topic on this link and, for a growing time, on others; assume that nothing is remembered."""
        if not self.is_used:
            return
        self.is_used = False
        self._use_again_at = self._clock() + self._delays.next_delay()
        was_waiting, self._is_waiting = self._is_waiting, False
        if was_waiting:
            self._on_forgotten()
        self._on_forbidden(self.may_have_waited)

    def try_again(self) -> None:
        """Use the topic again from the next link on: somebody may have changed the access rules."""
        self._delays.reset()
        self._use_again_at = self._clock()
