from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control import client
from gateway.control.place import connect, file_of, folders_to_search, listen, peer_of, remove
from gateway.control.protocol import ControlError
from gateway.core.own_files import open_own_folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = open_own_folder(tmp_path)
    yield descriptor
    os.close(descriptor)


def test_a_socket_is_for_its_owner_only_and_says_who_is_there(folder: int, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener = listen(folder, "gw")
    finally:
        os.umask(before)
    status = (tmp_path / "gw.sock").stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    with listener, connect(folder, "gw", 1.0) as client:
        server, _ = listener.accept()
        with server:
            for end in (server, client):
                assert peer_of(end) == (os.getpid(), os.geteuid(), os.getegid())


def test_what_a_killed_one_has_left_is_replaced(folder: int) -> None:
    listen(folder, "gw").close()
    with pytest.raises(ConnectionRefusedError):
        connect(folder, "gw", 1.0)
    with listen(folder, "gw"), connect(folder, "gw", 1.0):
        pass


def test_one_that_runs_keeps_its_socket(folder: int) -> None:
    with listen(folder, "gw"):
        with pytest.raises(ControlError, match=rf"another gateway called 'gw' runs \(process id {os.getpid()}\)"):
            listen(folder, "gw")
        sockets = []
        with pytest.raises(BlockingIOError):
            while True:  # until its backlog is full, since it hangs
                sockets.append(connect(folder, "gw", 0.0))
        with pytest.raises(ControlError, match="another gateway called 'gw' runs: give one of them another name"):
            listen(folder, "gw")
        for sock in sockets:
            sock.close()


def test_whoever_comes_behind_many_others_waits_for_a_place(folder: int, tmp_path: Path) -> None:
    with listen(folder, "gw") as listener, contextlib.ExitStack() as stack:
        with pytest.raises(BlockingIOError):
            while True:
                stack.enter_context(connect(folder, "gw", 0.0))
        with pytest.raises(BlockingIOError):
            connect(folder, "gw", 0.05)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "LONGEST_ANSWER", 0.05)
            with pytest.raises(ControlError, match="the gateway 'gw' accepts no requests") as caught:
                client.ask("gw", "health", {"RUNTIME_DIRECTORY": str(tmp_path)})
            assert not isinstance(caught.value, client.NotRunningError), "it runs"
        release = threading.Timer(0.2, lambda: stack.enter_context(listener.accept()[0]))
        release.start()
        stack.enter_context(connect(folder, "gw", 10.0))
        release.join()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link"])
def test_what_is_no_socket_is_neither_followed_nor_removed(kind: str, folder: int, tmp_path: Path) -> None:
    path, other = tmp_path / "gw.sock", tmp_path / "other.sock"
    with listen(folder, "other"):
        if kind == "file":
            path.write_text("mine")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(other if kind == "link" else tmp_path / "nothing")
        before = path.lstat()
        with pytest.raises(ControlError, match=r"gw.sock exists and is no socket: remove it"):
            listen(folder, "gw")
        with pytest.raises(OSError, match="no socket"):
            connect(folder, "gw", 1.0)
        assert path.lstat() == before


def test_of_many_that_begin_at_once_one_has_the_socket(folder: int) -> None:
    listen(folder, "gw").close()  # stale
    made: list[socket.socket] = []
    refused: list[ControlError] = []
    barrier = threading.Barrier(8)

    def begin() -> None:
        own = os.open(f"/proc/self/fd/{folder}", os.O_RDONLY)  # a lock belongs to what was opened
        barrier.wait()
        try:
            made.append(listen(own, "gw"))
        except ControlError as err:
            refused.append(err)
        finally:
            os.close(own)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7), refused
    made[0].close()


def test_only_its_own_file_is_removed(folder: int, tmp_path: Path) -> None:
    first = listen(folder, "gw")
    file = file_of(folder, "gw")
    (tmp_path / "gw.sock").unlink()
    with listen(folder, "gw"):
        remove(folder, "gw", file)
        assert (tmp_path / "gw.sock").exists(), "that of a later one"
        remove(folder, "gw", file_of(folder, "gw"))
        assert not (tmp_path / "gw.sock").exists()
        remove(folder, "gw", file)
    first.close()


def test_a_long_path_does_not_matter_and_a_long_name_is_said(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["x" * 60] * 4)
    folder = open_own_folder(deep, create=True)
    with listen(folder, "gw"), connect(folder, "gw", 1.0):
        pass
    with pytest.raises(ControlError, match=r"is too long for a control socket: use at most 8\d bytes"):
        listen(folder, "ä" * 60)
    os.close(folder)


def test_the_folder_of_systemd_comes_first(tmp_path: Path) -> None:
    environment = {"RUNTIME_DIRECTORY": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/1"}
    assert list(folders_to_search(environment))[:2] == [tmp_path, Path("/run/user/1/mqttgateway")]
    assert Path("/run/mqttgateway") in folders_to_search({})
