from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.workbench.page_store import PageStore, StoreError
from tests.support.disk import small_disk


def store_in(folder: Path) -> PageStore:
    conf = folder / "gw.conf"
    conf.write_text("interface: {type: dummy}\n")
    return PageStore(conf)


def test_a_text_is_written_as_a_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert store.read() is None
    store.write("a: ü\n")
    assert store.read() == "a: ü\n"
    assert stat.S_IMODE((tmp_path / "gw.page.yaml").stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gw.conf", "gw.page.yaml"]
    store.write(None)
    store.write(None)
    assert store.read() is None


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    store, previous = store_in(tmp_path), os.umask(0o077)
    try:
        store.write("a")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o640


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_written_through_a_link(tmp_path: Path, is_there: bool) -> None:
    store, target = store_in(tmp_path), tmp_path / "target"
    if is_there:
        target.write_text("untouched")
    store.file.symlink_to(target)
    for text in ("evil", None):
        with pytest.raises(StoreError, match="is a link, through which the page does not write: remove it"):
            store.write(text)
    assert target.exists() == is_there
    assert store.file.is_symlink()


def test_a_link_to_nothing_is_no_missing_file(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.file.symlink_to("nowhere")
    with pytest.raises(StoreError, match="is a link to nothing: remove it"):
        store.read()


def test_a_folder_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    os.mkfifo(store.file)
    with pytest.raises(StoreError, match="is no ordinary file"):
        store.write("a")


def test_a_folder_that_cannot_be_written_to_comes_with_a_remedy() -> None:
    folder = Path("/sys/kernel")  # not even root can create a file there
    with pytest.raises(StoreError) as caught:
        PageStore(folder / "gw.conf").write("a")
    assert "let the user of the gateway write to /sys/kernel; or download the result" in str(caught.value)


def test_the_remedy_for_the_folder_of_the_service_names_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/sys/kernel")
    monkeypatch.setattr("gateway.workbench.page_store.SERVICE_CONF", folder)
    with pytest.raises(StoreError) as caught:
        PageStore(folder / "gw.conf").write("a")
    for part in ("chmod 1770 /sys/kernel", "ReadWritePaths=/sys/kernel", "systemctl edit mqttgateway@"):
        assert part in str(caught.value)


@pytest.mark.root
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024) as folder:
        store = store_in(folder)
        store.write("before\n")
        with pytest.raises(StoreError, match="No space left on device: make room"):
            store.write("x" * 200_000)
        assert store.read() == "before\n"
        assert sorted(path.name for path in folder.iterdir()) == ["gw.conf", "gw.page.yaml"]


def test_the_edition_changes_with_either_file(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    editions = [store.edition()]
    store.write("a")
    editions.append(store.edition())
    (tmp_path / "gw.conf").write_text("interface: {type: serial}\n")
    editions.append(store.edition())
    assert len(set(editions)) == 3
    assert store.edition() == editions[-1]


def test_what_was_replaced_is_known_until_somebody_else_writes(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert store.earlier() is None
    previous = None
    for text in ("one", "two"):
        store.write(text)
        store.remember(previous)
        previous = text
    assert store.earlier() == ("one",)
    store.write("one")
    store.forget()
    assert store.earlier() == (None,)
    store.file.write_text("by hand")
    assert store.earlier() is None


def test_without_the_key_no_secret_is_guessed_by_the_edition(tmp_path: Path) -> None:
    """It was a hash of the files: whoever knew the rest could try passwords."""
    conf = tmp_path / "gw.conf"
    conf.write_text("mqtt: {password: 1234}\n")
    assert PageStore(conf, "one").edition() == PageStore(conf, "one").edition()
    editions = {PageStore(conf, key).edition() for key in ("one", "two", "", "")}
    assert len(editions) == 4


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    store = store_in(tmp_path)
    make(store.file)
    with pytest.raises(StoreError, match="no ordinary file: remove it"):
        store.read()
    assert store.edition()


def test_what_a_killed_gateway_has_left_is_removed(tmp_path: Path) -> None:
    """Each kill in the middle of a save left a file for ever."""
    store = store_in(tmp_path)
    (tmp_path / ".gw.page.yaml.0123456789ab").write_text("half")
    for other in (".gw.page.yaml.swp", ".other.page.yaml.0123456789ab"):
        (tmp_path / other).write_text("of somebody else")
    store.write("whole")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".gw.page.yaml.swp", ".other.page.yaml.0123456789ab", "gw.conf", "gw.page.yaml"]
