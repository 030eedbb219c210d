"""The states in which cuts of the power, at any moment of a recorded run, leave a disk; and the outbox in them.

A machine takes half a minute to boot, and shows one state. Here, its writes are replayed up to a moment, those that
were not flushed are lost by chance, and the outbox is read from what remains: by e2fsck, which replays the journal as
the kernel does, and by the code with which the gateway opens it.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.outbox.store import open_store
from tests.support.broker import find_tool
from tests.support.ledger import Entry, entries_of
from tests.vm.check_outbox import check
from tests.vm.disk import Write, WriteCache

_OUTBOX = "/var/lib/mqttgateway/entry.outbox"


def outboxes(
    image: Path,
    history: Sequence[Write | None],
    moments: Sequence[int],
    chance: random.Random,
    *,
    is_lying: bool = False,
) -> Iterator[list[Entry]]:
    """Yield what waits in the outbox, in order, after a cut at each of the `moments`: positions in the history.

    `image` is that of the beginning, and is changed; with `is_lying`, its disk does nothing when it is flushed. Fails
    if the file is not intact.
    """
    cache, position = WriteCache(image, is_lying=is_lying), 0
    with contextlib.closing(cache):
        for moment in moments:
            for event in history[position:moment]:
                if event is None:
                    cache.flush()
                else:
                    cache.write(event.offset, event.data)
            position = moment
            state = image.with_suffix(".cut")
            cache.copy_cut(state, chance)
            yield _waiting(state)


def _waiting(state: Path) -> list[Entry]:
    """Return what waits in the outbox of an image."""
    repaired = _run("e2fsck", "-y", "-E", "journal_only", state)
    assert repaired.returncode in (0, 1), repaired.stdout + repaired.stderr
    outbox = state.with_suffix(".outbox")
    for ending in ("", "-wal"):
        copy = Path(f"{outbox}{ending}")
        for leftover in (copy, Path(f"{outbox}-shm")):
            leftover.unlink(missing_ok=True)
        dumped = _run("debugfs", "-R", f"dump {_OUTBOX}{ending} {copy}", state)
        if "File not found" in dumped.stderr:
            copy.unlink(missing_ok=True)
    result = check(outbox)
    assert result in ("ok", "missing"), result
    problems: list[str] = []
    store = open_store(outbox, problems.append)
    assert not problems, problems
    with contextlib.closing(store):
        return entries_of((row.topic, row.payload) for row in store.iterate())


def _run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = find_tool(tool)
    assert path is not None, f"{tool} is missing: apt install e2fsprogs"
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
