"""The way back for what no broker took, and was set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.outbox.store import DeadLetterRow, OutboxStore, Row

_STEP = 50  # rows at a time: each may have 256 KiB


class Retried(NamedTuple):
    """What became of the messages that were to be sent again.

    `outdated` ones are states of which there is a newer value; `full` ones found no room in the outbox. Both stay
    set aside.
    """

    sent: int
    outdated: int
    full: int

    def __str__(self) -> str:
        words = [f"{self.sent} messages that were set aside are sent again"]
        if self.outdated:
            words.append(f"{self.outdated} stay, for there is a newer value of their topic")
        if self.full:
            words.append(f"{self.full} stay, for the outbox is full: try again when it is emptier")
        return "; ".join(words)


def dead_letters(store: OutboxStore, is_meant: Callable[[str], bool]) -> Iterator[tuple[DeadLetterRow, bool]]:
    """Yield what was set aside and whose topic is meant, each with whether it is a state with a newer one behind it.

    The caller may remove what it was given.
    """
    newest = store.newest_dead_states()
    after = 0
    while rows := list(store.iterate_dead_letters(after, _STEP)):
        for row in rows:
            after = row.number or after
            if is_meant(row.topic):
                yield row, bool(row.retain) and newest[row.topic] != row.number


def retry_in_file(store: OutboxStore, is_meant: Callable[[str], bool], now: float) -> Retried:
    """Put what was set aside back among what waits, in a file that no gateway uses; `now` is Unix time (s)."""
    newer = {*store.retained(), *(topic for topic, _, _ in store.topics())}
    number = store.last_number()
    sent = outdated = 0
    for row, is_outdated in dead_letters(store, is_meant):
        if is_outdated or (row.retain and row.topic in newer):
            outdated += 1
            continue
        number += 1
        sent += 1
        publication = row.publication()
        store.commit([Row.of(number, publication.lane, now, publication)], [], retried=[row.number])
    return Retried(sent, outdated, 0)
