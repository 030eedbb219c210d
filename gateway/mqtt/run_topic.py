"""The topic that shows what a broker remembers, and which of its messages had waited in a session. Pure.

The gateway subscribes to a topic of its own and publishes tokens there, retained and with QoS 1: one when a link is up,
and more as long as it lasts. Four conclusions follow from what comes back. None of them could be drawn from the time
that a message takes:

- The broker first sends what it has retained there. If that is the last token that it has acknowledged, it still has
  everything that we had it retain. If it is an older one, the broker has returned to an earlier copy of its memory; if
  it is anything else, or nothing, its memory is lost (or was never ours).
- A token comes back after everything that waited in the session, because a broker has one queue for each client. What
  comes before the first token may have waited for hours; what comes after it is new. The token separates the two.
- What comes after any token was sent after that token: see `promptness`.
- If no token comes back, an access rule forbids the topic. Then nothing separates old messages from new ones, and
  therefore no session is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from gateway.core.backoff import Backoff, no_jitter

_TIMEOUT = 10.0  # s after which a token is not expected to come back any more, if nothing had waited on its link
_MAX_TIMEOUT = 60.0  # s of the same if something had waited: a slow network may take so long for it
_EARLY_CLOSES = 3  # links in a row that ended before the SUBACK: some brokers close the link instead of refusing
_FIRST_RETRY, _LAST_RETRY = 10.0, 86_400.0  # s until a link uses a topic again that was refused: rules can change


class RunTopic:
    """Knows, for the link that is up, what the tokens on `topic` prove. `run_id` identifies this process.

    `on_forgotten` is called once on each link on which the broker turns out not to remember what this process has had
    it retain, and `on_forbidden` when the topic turns out to be unusable. Without a `topic` nothing is known, and
    `on_forgotten` is called immediately. `chance` returns a secret that no other client can guess.
    """

    def __init__(
        self,
        topic: str,
        run_id: str,
        on_forgotten: Callable[[], None],
        on_forbidden: Callable[[], None],
        clock: Callable[[], float],
        chance: Callable[[], bytes] = lambda: os.urandom(8).hex().encode(),
    ) -> None:
        self._chance = chance
        self._secret = chance()
        self.topic = topic
        self.is_used = bool(topic)
        """Whether the topic is subscribed to and published on, on this link."""
        self.may_have_waited = False
        """Whether a message that is received now may be older than the link."""
        self._run_id = run_id.encode()
        self._on_forgotten = on_forgotten
        self._on_forbidden = on_forbidden
        self._clock = clock
        self._number = 0  # of the newest token,
        self._first = 0  # of the first one of this link,
        self._acknowledged = 0  # and of the last one that a broker has acknowledged
        self._is_waiting = False  # for a token of this link
        self._is_remembered = False
        self._acknowledged_at: float | None = None  # when the broker acknowledged the first token of this link
        self._last_message = 0.0
        self._early_closes = 0  # in a row
        self._delays = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self._use_again_at = clock()

    @property
    def time_left(self) -> float:
        """The seconds until a topic that was refused may be used again."""
        return max(0.0, self._use_again_at - self._clock())

    @property
    def is_waiting(self) -> bool:
        """Whether the first token of this link is still to come back."""
        return self._is_waiting

    @property
    def token(self) -> bytes:
        """The newest payload: it identifies the process, and differs from earlier tokens."""
        return b"%s %d %s" % (self._run_id, self._number, self._secret)

    def _number_of(self, payload: bytes) -> int:
        """Return the number of a token of this process, 0 for anything else."""
        run_id, number, *_ = (*payload.split(b" ", 2), b"")
        return int(number) if run_id == self._run_id and number.isdigit() and len(number) < 20 else 0

    def next_token(self) -> bytes:
        """Return a new token, to be published now."""
        self._number += 1
        return self.token

    def connecting(self) -> None:
        """Decide whether the next link uses the topic."""
        self.is_used = bool(self.topic) and self._clock() >= self._use_again_at

    def link_up(self, *, session_present: bool) -> None:
        """Start with a new link, whose session may contain messages that have waited."""
        self._first = self._number + 1
        self._secret = self._chance()  # no other client can publish our token before we do
        self.next_token()
        self.may_have_waited = session_present
        self._is_remembered, self._acknowledged_at = False, None
        self._last_message = self._clock()
        self._is_waiting = self.is_used
        if not self.is_used:
            self._on_forgotten()

    def subscribed(self) -> None:
        """Record that the broker has answered all subscriptions."""
        self._early_closes = 0

    def closed_early(self) -> None:
        """Record that the broker has closed the link before it answered the subscriptions."""
        self._early_closes += 1
        if self._early_closes >= _EARLY_CLOSES:
            self._early_closes = 0
            self.forbid()

    def message_came(self) -> None:
        """Record that the broker is still sending what had waited."""
        self._last_message = self._clock()

    def on_message(self, payload: bytes, *, retain: bool) -> bool:
        """Return whether a message on the topic is a token of this link that has come back."""
        number = self._number_of(payload)
        if retain:
            self._is_remembered = self._is_remembered or 0 < self._acknowledged <= number
            return False
        if not self._first <= number <= self._number or payload.rpartition(b" ")[2] != self._secret:
            return False
        if self._is_waiting:
            self._is_waiting = self.may_have_waited = False
            self._delays.reset()
            if not self._is_remembered:
                self._on_forgotten()
        return True

    def token_acknowledged(self, payload: bytes) -> None:
        """Record that the broker has acknowledged a token."""
        self._acknowledged = max(self._acknowledged, self._number_of(payload))
        if self._acknowledged_at is None:
            self._acknowledged_at = self._clock()

    def check(self) -> None:
        """Forbid the topic if its first token was acknowledged long ago and has not come back."""
        if not self._is_waiting or self._acknowledged_at is None:
            return
        now = self._clock()
        since = max(self._acknowledged_at, self._last_message) if self.may_have_waited else self._acknowledged_at
        if now - since > _TIMEOUT or now - self._acknowledged_at > _MAX_TIMEOUT:
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
        self._on_forbidden()

    def try_again(self) -> None:
        """Use the topic again from the next link on: the access rules may have been changed."""
        self._delays.reset()
        self._use_again_at = self._clock()
