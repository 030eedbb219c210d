"""The topic that tells what a broker still remembers, and what of its messages had waited. Pure.

The gateway subscribes to a topic of its own and publishes tokens there, retained and with QoS 1: one at the beginning
of each link, and more as long as it lasts. Four things follow from what comes back, none of which can be guessed from
the time that a message takes:

- The broker sends first what it has retained there. If that is the last token that it has acknowledged, it has kept
  what we had it retain. If it is an older one, the broker has gone back to an earlier copy of its memory; if it is
  anything else, or nothing, its memory is gone (or was never ours).
- A token comes back behind everything that waited in the session, for a broker has one queue for each. What comes
  before the first one may have waited for hours; what comes behind it is new. It is the barrier between the two.
- What comes behind any token was sent after that: see `promptness`.
- If no token comes back, an access rule forbids the topic. Then there is no barrier, and so no session.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from gateway.core.backoff import Backoff, no_jitter

_PATIENCE = 10.0  # s after which a token of a link on which nothing had waited will not come back any more
_LONGEST = 60.0  # s of the same where something had waited: a slow network may take so long for it
_CLOSED = 3  # links in a row that ended before the SUBACK: the broker does not say no, but closes
_FIRST_RETRY, _LAST_RETRY = 10.0, 86_400.0  # s until a link uses a topic again that was refused: rules can change


class RunTopic:
    """What is known of the link that is up. `topic` is where tokens go, `run_id` tells this process from others.

    `on_forgotten` is called once on each link on which it turns out that the broker does not remember what this
    process has had it retain, and `on_forbidden` when the topic turns out not to be usable. Without a `topic` nothing
    is known, and the former is assumed at once. `chance` makes what nobody can guess.
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
        """Whether what comes now may be older than the link."""
        self._run_id = run_id.encode()
        self._on_forgotten = on_forgotten
        self._on_forbidden = on_forbidden
        self._clock = clock
        self._number = 0  # of the newest token,
        self._first = 0  # of the first one of this link,
        self._taken = 0  # and of the last one that a broker has acknowledged
        self._is_waiting = False  # for a token of this link
        self._is_remembered = False
        self._taken_at: float | None = None  # when the broker had acknowledged the first one
        self._last_message = 0.0
        self._closed = 0  # links in a row
        self._delays = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self._use_again_at = clock()

    @property
    def token(self) -> bytes:
        """The newest payload: it tells the process, and this token from earlier ones."""
        return b"%s %d %s" % (self._run_id, self._number, self._secret)

    def _number_of(self, payload: bytes) -> int:
        """Return the number of a token of this process, 0 for anything else."""
        run_id, number, *_ = (*payload.split(b" ", 2), b"")
        return int(number) if run_id == self._run_id and number.isdigit() and len(number) < 20 else 0

    def next_token(self) -> bytes:
        """Return another token, to be published now."""
        self._number += 1
        return self.token

    def connecting(self) -> None:
        """Decide whether the link that is being made uses the topic."""
        self.is_used = bool(self.topic) and self._clock() >= self._use_again_at

    def link_up(self, *, session_present: bool) -> None:
        """Begin with a new link, whose session may hold messages that have waited."""
        self._first = self._number + 1
        self._secret = self._chance()  # nobody may publish our token before we do
        self.next_token()
        self.may_have_waited = session_present
        self._is_remembered, self._taken_at = False, None
        self._last_message = self._clock()
        self._is_waiting = self.is_used
        if not self.is_used:
            self._on_forgotten()

    def subscribed(self) -> None:
        """Record that the broker has answered all subscriptions."""
        self._closed = 0

    def closed_early(self) -> None:
        """Record a link that the broker has closed before it had answered the subscriptions."""
        self._closed += 1
        if self._closed >= _CLOSED:
            self._closed = 0
            self.forbid()

    def message_came(self) -> None:
        """Record that the broker is still sending what had waited."""
        self._last_message = self._clock()

    def take(self, payload: bytes, *, retain: bool) -> bool:
        """Return whether a message on the topic is a token of this link that has come back."""
        number = self._number_of(payload)
        if retain:
            self._is_remembered = self._is_remembered or 0 < self._taken <= number
            return False
        if not self._first <= number <= self._number or payload.rpartition(b" ")[2] != self._secret:
            return False
        if self._is_waiting:
            self._is_waiting = self.may_have_waited = False
            self._delays.reset()
            if not self._is_remembered:
                self._on_forgotten()
        return True

    def token_taken(self, payload: bytes) -> None:
        """Record that the broker has acknowledged a token."""
        self._taken = max(self._taken, self._number_of(payload))
        if self._taken_at is None:
            self._taken_at = self._clock()

    def look(self) -> None:
        """See whether the first token is overdue, since the broker has acknowledged it."""
        if not self._is_waiting or self._taken_at is None:
            return
        now = self._clock()
        since = max(self._taken_at, self._last_message) if self.may_have_waited else self._taken_at
        if now - since > _PATIENCE or now - self._taken_at > _LONGEST:
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
        """Use the topic again from the next link on: somebody may have changed the access rules."""
        self._delays.reset()
        self._use_again_at = self._clock()
