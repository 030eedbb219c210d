"""The outbox that is read from the image of a disk."""

from __future__ import annotations

import contextlib
import random
import subprocess
from pathlib import Path

import pytest

from gateway.message import Lane, Publication
from gateway.outbox.rows import Row
from gateway.outbox.store import open_store
from tests.support.broker import tool_or_skip
from tests.vm.disk import Write
from tests.vm.disk_states import outboxes


def _row(number: int) -> Row:
    return Row.of(number, Lane.EVENT, 0.0, Publication("home/load///d0/gw/S", b'{"number": %d}' % number, 1, False))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with an outbox in which two statuses wait, the second in the log of SQLite."""
    folder = tmp_path / "files/var/lib/mqttgateway"
    folder.mkdir(parents=True)
    with contextlib.closing(open_store(folder / "entry.outbox", pytest.fail)) as store:
        store.commit([_row(1)], [], [])
        store.empty_log()
        store.commit([_row(2)], [], [])
        image = tmp_path / "disk.img"
        image.write_bytes(b"")
        mkfs = tool_or_skip("mkfs.ext4", "e2fsprogs")
        subprocess.run([mkfs, "-q", "-F", "-d", tmp_path / "files", image, "16M"], check=True)
    return image


def test_the_outbox_is_read_with_its_log(image: Path) -> None:
    assert list(outboxes(image, [], [0, 0], random.Random(1))) == [[("d0", 1), ("d0", 2)]] * 2


def test_only_what_was_written_before_the_cut_is_there(image: Path) -> None:
    # The payload of the second status is changed on the disk, which the log of SQLite notices.
    old, new = b'{"number": 2}', b'{"number": 7}'
    data = image.read_bytes()
    offset = data.rindex(old)
    sector = offset // 512 * 512
    before = data[sector : sector + 1024]
    history: list[Write | None] = [Write(sector, before, before.replace(old, new)), None]
    first, second = outboxes(image, history, [0, 2], random.Random(1))
    assert first == [("d0", 1), ("d0", 2)]
    assert second == [("d0", 1)]
