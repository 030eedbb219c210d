"""Readers of all feeds, and commands, never take all threads of the web server together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from gateway.page import command
from gateway.page.feed import MOST_WAITING, Feed
from gateway.web.connections import THREADS
from tests.support.waiting import wait_until


def test_of_the_readers_of_all_feeds_only_some_wait() -> None:
    places = threading.BoundedSemaphore(MOST_WAITING)
    feeds = Feed(places=places), Feed(is_raw=True, places=places)
    with ThreadPoolExecutor(2 * THREADS) as pool:
        readers = [pool.submit(feed.read, -1, lambda _: True, 60) for feed in feeds for _ in range(THREADS)]
        wait_until(lambda: sum(reader.done() for reader in readers) == 2 * THREADS - MOST_WAITING)
        for feed in feeds:
            feed.close()
    assert all(reader.result().notes == [] for reader in readers)
    assert MOST_WAITING + command.MOST_WAITING < THREADS
