"""Sends dead letters again: messages that no broker has accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.core.counting import counted
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.store import OutboxStore

_STEP = 50  # rows at a time: each may have 256 KiB


class Retried(NamedTuple):
    """What became of the dead letters that were to be sent again.

    `sent` ones wait in the outbox again. `outdated` ones are states of which there is a newer value; `full` ones found
    no room in the outbox. Both stay dead letters.
    """

    sent: int
    outdated: int
    full: int

    def __str__(self) -> str:
        words = [f"{counted(self.sent, 'dead letter is', 'dead letters are')} sent again"]
        if self.outdated:
            whose = "its" if self.outdated == 1 else "their"
            words.append(f"{_stay(self.outdated)}, because there is a newer value of {whose} topic")
        if self.full:
            words.append(f"{_stay(self.full)}, because the outbox is full: try again when it is emptier")
        return "; ".join(words)


def _stay(number: int) -> str:
    return counted(number, "stays", "stay")


def matching_dead_letters(store: OutboxStore, matches: Callable[[str], bool]) -> Iterator[tuple[DeadLetterRow, bool]]:
    """Yield the dead letters whose topic `matches`, each with whether it is a state with a newer one behind it.

    The caller may remove the rows that it has received from the file.
    """
    newest = store.newest_dead_states()
    after = 0
    while rows := list(store.iterate_dead_letters(after, _STEP)):
        for row in rows:
            after = row.number or after
            if matches(row.topic):
                yield row, bool(row.retain) and newest[row.topic] != row.number


def retry_in_file(store: OutboxStore, matches: Callable[[str], bool], now: float) -> Retried:
    """Move dead letters whose topic `matches` back to the waiting messages; `now` is Unix time (s).

    For a file that no gateway uses.
    """
    newer = {*store.retained(), *(topic for topic, _, _ in store.topics())}
    number = store.last_number()
    sent = outdated = 0
    for row, is_outdated in matching_dead_letters(store, matches):
        if is_outdated or (row.retain and row.topic in newer):
            outdated += 1
            continue
        number += 1
        sent += 1
        publication = row.publication()
        store.commit([Row.of(number, publication.lane, now, publication)], [], removed_dead_letters=[row.number])
    return Retried(sent, outdated, 0)
