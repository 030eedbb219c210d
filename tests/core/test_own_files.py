from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.core.own_files import NotOwnError, open_own_folder, open_to_append, refuse_foreign_file

STRANGER = 65534


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which all may write, as /tmp."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def is_opened(path: Path, *, create: bool = False) -> bool:
    os.close(open_own_folder(path, create=create))
    return True


# --- folders


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    assert is_opened(tmp_path / "one" / "two", create=True)
    assert stat.S_IMODE((tmp_path / "one" / "two").stat().st_mode) == 0o700
    assert is_opened(tmp_path / "one" / "two", create=True), "and taken, if it is there"
    with pytest.raises(FileNotFoundError):
        open_own_folder(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(mode: int, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(NotOwnError, match="others may write to this folder: chmod go-w it"):
        open_own_folder(tmp_path)
    tmp_path.chmod(0o755)
    assert is_opened(tmp_path)


@pytest.mark.root
def test_a_folder_of_a_stranger_is_refused(shared: Path) -> None:
    folder = shared / "mqttgateway-0"
    folder.mkdir(0o700)
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(NotOwnError, match=f"this folder belongs to the user with id {STRANGER}"):
        open_own_folder(folder, create=True)


@pytest.mark.root
def test_root_accepts_a_folder_that_only_root_can_have_created(tmp_path: Path) -> None:
    folder = tmp_path / "gw"  # as systemd makes it for the user of a unit
    folder.mkdir(0o755)
    os.chown(folder, STRANGER, STRANGER)
    assert is_opened(folder)
    tmp_path.chmod(0o775)
    with pytest.raises(NotOwnError):
        open_own_folder(folder)


@pytest.mark.root
def test_a_link_of_a_stranger_is_refused_wherever_it_leads(shared: Path, tmp_path: Path) -> None:
    target = tmp_path / "own"
    target.mkdir(0o700)
    link = shared / "mqttgateway-0"
    link.symlink_to(target)
    assert is_opened(link), "one of our own"
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(NotOwnError, match="this link belongs to the user"):
        open_own_folder(link, create=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        open_own_folder(tmp_path / "file")


# --- files


def test_a_new_file_has_the_mode_and_is_appended_to(shared: Path) -> None:
    for path in (shared / "a.log", shared.parent / "b.log"):
        for text in (b"one\n", b"two\n"):
            descriptor = open_to_append(path, 0o640)
            os.write(descriptor, text)
            os.close(descriptor)
        assert path.read_bytes() == b"one\ntwo\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.root
def test_in_a_shared_folder_nothing_of_a_stranger_is_written_to(shared: Path) -> None:
    victim = shared.parent / "victim"
    victim.write_text("precious")
    link, file = shared / "link.log", shared / "file.log"
    link.symlink_to(victim)
    file.write_text("")
    os.close(open_to_append(link, 0o640))
    for path in (link, file):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        with pytest.raises(NotOwnError, match=f"belongs to the user with id {STRANGER}: remove it, or be that user"):
            open_to_append(path, 0o640)
    assert victim.read_text() == "precious"
    file.rename(shared.parent / "file.log")
    os.close(open_to_append(shared.parent / "file.log", 0o640))  # in a folder of ours no other user can have created it


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_pipe_without_a_reader_is_refused_immediately(is_shared: bool, shared: Path) -> None:
    """Opening it would wait for a reader for ever, and the gateway with it."""
    pipe = (shared if is_shared else shared.parent) / "gw.log"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a pipe without a reader: remove it"):
        open_to_append(pipe, 0o640)


def test_a_file_opened_to_append_blocks_on_writes(tmp_path: Path) -> None:
    descriptor = open_to_append(tmp_path / "gw.log", 0o640)
    assert os.get_blocking(descriptor)
    os.close(descriptor)


def test_a_file_that_all_may_write_to_is_refused_in_a_shared_folder(shared: Path) -> None:
    file = shared / "gw.outbox"
    refuse_foreign_file(file)  # none is there
    file.touch()
    refuse_foreign_file(file)
    file.chmod(0o666)
    with pytest.raises(NotOwnError, match="others may write to this file: chmod go-w it"):
        refuse_foreign_file(file)
    file.rename(shared.parent / "gw.outbox")
    refuse_foreign_file(shared.parent / "gw.outbox")


@pytest.mark.root
def test_a_file_of_a_stranger_is_refused_in_a_shared_folder(shared: Path) -> None:
    file = shared / "gw.outbox"
    file.touch(0o600)
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(NotOwnError, match=f"this file belongs to the user with id {STRANGER}"):
        refuse_foreign_file(file)
