"""The disk of the machine under test: what a cut of the power makes of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.disk import WriteCache

_OLD, _NEW = b"o" * 1024, b"n" * 1024


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(_OLD * 64)
    return path


@pytest.fixture
def cache(image: Path) -> Iterator[WriteCache]:
    made = WriteCache(image)
    yield made
    made.close()


def test_what_was_flushed_is_there_after_every_cut(cache: WriteCache) -> None:
    for block in range(8):
        cache.write(block * 1024, _NEW)
    cache.flush()
    for seed in range(20):
        cache.write(2048, _OLD)
        cache.cut(random.Random(seed))
        assert cache.read(0, 2048) == _NEW * 2
        cache.write(2048, _NEW)
        cache.flush()


def test_what_was_not_flushed_is_lost_in_any_combination(cache: WriteCache) -> None:
    seen = set()
    for seed in range(200):
        for block in range(3):
            cache.write(block * 1024, _OLD)
        cache.flush()
        for block in range(3):
            assert cache.read(block * 1024, 1024) == _OLD
            cache.write(block * 1024, _NEW)
            assert cache.read(block * 1024, 1024) == _NEW
        cache.cut(random.Random(seed))
        seen.add(tuple(cache.read(block * 1024, 1024) for block in range(3)))
    assert {
        (first, second, third) for first in (_OLD, _NEW) for second in (_OLD, _NEW) for third in (_OLD, _NEW)
    } < seen
    torn = {block for state in seen for block in state} - {_OLD, _NEW}
    assert torn == {b"n" * 512 + b"o" * 512}, "a write is torn only between its sectors"
    assert cache.lost_writes > 0


def test_a_lying_disk_loses_what_was_flushed(image: Path) -> None:
    states = set()
    for seed in range(20):
        image.write_bytes(_OLD)
        cache = WriteCache(image, is_lying=True)
        cache.write(0, _NEW)
        cache.flush()
        cache.cut(random.Random(seed))
        states.add(cache.read(0, 1024))
        cache.close()
    assert states >= {_OLD, _NEW}


def test_a_copy_is_cut_without_a_change_of_the_image(cache: WriteCache, image: Path, tmp_path: Path) -> None:
    cache.write(0, _NEW)
    cache.flush()
    cache.write(1024, _NEW)
    copies = set()
    for seed in range(20):
        cache.copy_cut(tmp_path / "copy", random.Random(seed))
        copy = (tmp_path / "copy").read_bytes()
        assert copy[:1024] == _NEW
        copies.add(copy[1024:2048])
    assert copies >= {_OLD, _NEW}
    assert image.read_bytes()[:2048] == _NEW * 2


def test_history_has_writes_and_flushes(image: Path) -> None:
    cache = WriteCache(image, is_recording=True)
    cache.write(512, b"a" * 512)
    cache.flush()
    assert cache.history == [(512, _OLD[:512], b"a" * 512), None]
    cache.close()
