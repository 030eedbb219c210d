from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.control import server as server_module
from gateway.control.client import NotRunningError, ask
from gateway.control.place import connect
from gateway.control.protocol import MAX_REQUEST, Answer, ControlError, RequestKind
from gateway.control.server import MAX_CLIENTS, ControlServer
from gateway.core.errands import Errands
from gateway.core.own_files import open_own_folder
from gateway.errors import GatewayError
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until


class Desk:
    """A server with a recorder of its requests; `waiting` holds the answers that are still to be sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.threads: list[str] = []
        self.waiting: list[Answer] = []
        self.has_errand = threading.Event()
        self.errands = Errands(self.has_errand.set)
        kinds = {
            "echo": RequestKind(self._echo, {"text": str}, in_main_thread=False),
            "main": RequestKind(self._echo, {"text": str}),
            "wait": RequestKind(lambda _, answer: self.waiting.append(answer), in_main_thread=False),
            "refuse": RequestKind(self._refuse, in_main_thread=False),
            "break": RequestKind(self._break, in_main_thread=False),
        }
        self.server = ControlServer(open_own_folder(folder), "gw", kinds, self.errands)

    def _echo(self, arguments: Mapping[str, Any], answer: Answer) -> None:
        self.threads.append(threading.current_thread().name)
        answer({"text": arguments.get("text", "")})

    def _refuse(self, arguments: Mapping[str, Any], answer: Answer) -> None:
        raise GatewayError("not today")

    def _break(self, arguments: Mapping[str, Any], answer: Answer) -> None:
        raise ValueError("odd")

    def connect(self) -> socket.socket:
        folder = open_own_folder(self.folder)
        try:
            return connect(folder, "gw", 10.0)
        finally:
            os.close(folder)

    def close(self) -> None:
        self.server.close()

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        environment = {"RUNTIME_DIRECTORY": str(self.folder)}
        return ask("gw", request, environment, **arguments)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def read_line(sock: socket.socket) -> dict[str, Any]:
    with sock.makefile("rb") as stream:
        return json.loads(stream.readline())  # type: ignore[no-any-return]


def is_closed(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(1) == b""
    return True


# --- requests


def test_a_request_is_executed_in_its_thread(desk: Desk) -> None:
    assert desk.ask("echo", text="häll\0o") == {"text": "häll\0o"}
    results: list[dict[str, Any]] = []
    asker = threading.Thread(target=lambda: results.append(desk.ask("main", text="x" * 10_000)))
    asker.start()
    assert desk.has_errand.wait(10)
    desk.errands.run()
    asker.join()
    assert results == [{"text": "x" * 10_000}]
    assert desk.threads == ["control", threading.current_thread().name]


def test_a_refusal_has_a_reason(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a request on the control socket failed")
    for request, why in (
        ("refuse", "not today"),
        ("break", "this failed, which is a bug: ValueError: odd"),
        ("load", "there is no request 'load'; the requests are: break, echo, main, refuse, wait"),
    ):
        with pytest.raises(ControlError) as refused:
            desk.ask(request)
        assert str(refused.value) == why
    assert desk.ask("echo", text="next") == {"text": "next"}


def test_several_requests_of_one_client_are_answered_in_their_order(desk: Desk) -> None:
    with desk.connect() as sock:
        for part in (b'{"request": "ec', b'ho", "text": "1"}\n{"request": "echo", "text": "2"}\nnons', b"ense\n"):
            sock.sendall(part)
        with sock.makefile("rb") as stream:
            replies = [json.loads(stream.readline()) for _ in range(3)]
    assert [each.get("result", {}).get("text") for each in replies] == ["1", "2", None]
    assert "no JSON object" in replies[2]["error"]


def test_a_request_that_is_too_long_is_refused_and_the_client_disconnected(desk: Desk) -> None:
    with desk.connect() as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(b"x" * (4 * MAX_REQUEST))
        with contextlib.suppress(ConnectionResetError):  # the server had not read all of it yet
            assert "at most 65536 bytes" in read_line(sock)["error"]
            assert is_closed(sock)
    assert desk.ask("echo") == {"text": ""}


# --- permission


_STRANGER = """
import os, socket, sys
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(5)
sock.connect(sys.argv[1])
print(sock.makefile().readline())
"""


@pytest.mark.root
def test_another_user_is_refused() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        desk = Desk(folder)
        command = [sys.executable, "-c", _STRANGER, str(folder / "gw.sock")]

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, capture_output=True, text=True, check=False)

        try:
            assert "PermissionError" in run().stderr, "the file alone keeps others out"
            (folder / "gw.sock").chmod(0o666)  # as an administrator could do by mistake
            reply = json.loads(run().stdout)
            assert reply == {"ok": False, "error": "only root and the user that the gateway runs as may send requests"}
        finally:
            desk.server.close()


# --- clients that are slow, too many, or disconnected


def test_clients_over_the_limit_are_refused_with_the_reason(desk: Desk) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            stack.enter_context(desk.connect())
        with desk.connect() as sock:
            assert read_line(sock)["error"] == f"{MAX_CLIENTS} other clients are connected: try again later"
            assert is_closed(sock)
    wait_until(lambda: _answers(desk))


def test_a_client_that_is_refused_before_its_request_gets_the_reason(tmp_path: Path) -> None:
    """The refusal is sent before the request, which finds the connection closed."""
    refusal = b'{"error": "8 other clients are connected: try again later"}\n'
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "gw.sock"))
    listener.listen()

    def refuse() -> None:
        sock, _ = listener.accept()
        sock.sendall(refusal)
        sock.close()

    for begin in (b"x", b"x" * 50_000):  # the longer one is still being sent
        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(ControlError, match="8 other clients are connected: try again later"):
            ask("gw", "echo", {"RUNTIME_DIRECTORY": str(tmp_path)}, text=begin.decode())
        thread.join()
    listener.close()


def _answers(desk: Desk) -> bool:
    with contextlib.suppress(ControlError):
        return desk.ask("echo") == {"text": ""}
    return False


def test_a_slow_client_is_disconnected_and_blocks_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_TRANSFER", 0.3)
    with desk.connect() as silent, desk.connect() as slow:
        slow.sendall(b'{"request"')
        assert desk.ask("echo", text="meanwhile") == {"text": "meanwhile"}
        assert is_closed(silent)
        assert is_closed(slow)


def test_a_client_that_does_not_read_its_reply_is_disconnected(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_TRANSFER", 0.3)
    with desk.connect() as sock:
        line = json.dumps({"request": "echo", "text": "x" * 60_000}).encode() + b"\n"
        sock.settimeout(10)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                sock.sendall(line)
    assert desk.ask("echo") == {"text": ""}


def test_a_missing_answer_is_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_ANSWER", 0.2)
    with pytest.raises(ControlError, match="the gateway is busy or hangs: see its log"):
        desk.ask("wait")
    desk.waiting[0]({"late": True})
    assert desk.ask("echo") == {"text": ""}


def test_an_answer_for_a_disconnected_client_is_dropped(desk: Desk) -> None:
    with desk.connect() as sock:
        sock.sendall(b'{"request": "wait"}\n')
        wait_until(lambda: desk.waiting)
    desk.waiting[0]({"for": "no client"})
    assert desk.ask("echo") == {"text": ""}


def test_requests_that_clients_leave_to_a_main_thread_that_hangs_are_limited(desk: Desk) -> None:
    for _ in range(100):
        with desk.connect() as sock:
            sock.sendall(b'{"request": "main"}\n')
            assert desk.ask("echo") == {"text": ""}, "so the request before it has been read"
    with pytest.raises(ControlError, match="too many requests wait: the gateway hangs"):
        desk.ask("main")
    assert desk.ask("echo", text="others work") == {"text": "others work"}
    desk.errands.run()
    assert desk.threads.count(threading.current_thread().name) == 100


def test_without_a_free_descriptor_it_pauses_and_continues(desk: Desk) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as sock:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1, hard)
        )
        try:
            folder = str(desk.folder / "gw.sock")
            sock.settimeout(10)
            sock.connect(folder)
            descriptors = []
            with contextlib.suppress(OSError):
                while True:
                    descriptors.append(os.dup(0))
            before = time.process_time()
            time.sleep(0.3)
            assert time.process_time() - before < 0.2, "a busy loop"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in descriptors:
                os.close(descriptor)
        sock.sendall(b'{"request": "echo", "text": "later"}\n')
        assert read_line(sock)["result"] == {"text": "later"}


# --- closing


def test_closing_removes_the_socket_and_answers_waiting_clients(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.connect() as sock:
        sock.sendall(b'{"request": "wait"}\n')
        wait_until(lambda: desk.waiting)
        desk.server.close()
        assert read_line(sock) == {"ok": False, "error": "the gateway is being stopped"}
        assert is_closed(sock)
    desk.waiting[0]({"too": "late"})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotRunningError, match="no gateway called 'gw' runs here"):
        desk.ask("echo")


def test_it_sleeps_until_a_request_arrives(desk: Desk) -> None:
    desk.ask("echo")
    (task,) = [path for path in Path("/proc/self/task").iterdir() if _switches(path) >= 0 and _is_control(path)]
    wait_until(lambda: _sleeps(task))
    before, deadline = _switches(task), time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() >= deadline)
    assert _switches(task) == before


def _is_control(task: Path) -> bool:
    native = [thread.native_id for thread in threading.enumerate() if thread.name == "control"]
    return int(task.name) in native


def _switches(task: Path) -> int:
    line = next(line for line in (task / "status").read_text().splitlines() if line.startswith("voluntary"))
    return int(line.split()[1])


def _sleeps(task: Path) -> bool:
    return "State:\tS" in (task / "status").read_text()


# --- when its file is removed


@pytest.mark.parametrize("what", ["socket", "folder", "folder renamed", "another file in its place"])
def test_a_removed_socket_is_created_again(what: str, tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    """systemd-tmpfiles removes old files in /tmp, and so do people."""
    expected_logs.expect("the control socket was removed; created it again as ")
    folder = tmp_path / "mqttgateway-0"
    folder.mkdir(0o700)
    made = Desk(folder)
    made.server.check()
    file = folder / "gw.sock"
    waiting = made.connect()  # who is connected stays so
    waiting.sendall(b'{"request": "echo"}\n')
    with waiting.makefile("rb") as stream:
        stream.readline()
    file.unlink()
    if what == "folder":
        folder.rmdir()
    elif what == "folder renamed":
        folder.rename(tmp_path / "elsewhere")
    elif what == "another file in its place":
        connected = socket.socket(socket.AF_UNIX)
        connected.bind(str(file))  # without listening
        connected.close()

    made.server.check()
    wait_until(lambda: _answers(made))
    waiting.sendall(b'{"request": "echo", "text": "still"}\n')
    assert read_line(waiting)["result"] == {"text": "still"}
    waiting.close()
    made.close()
    assert not file.exists()


def test_a_socket_that_cannot_be_made_anew_is_said_and_tried_again(
    tmp_path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("the control socket was removed and cannot be created again: ", "created it again as ")
    made = Desk(tmp_path)
    file = tmp_path / "gw.sock"
    file.unlink()
    file.write_text("in the way")
    made.server.check()
    wait_until(lambda: "cannot be created again" in caplog.text)
    file.unlink()
    made.server.check()
    wait_until(lambda: _answers(made))
    made.close()


def test_the_kernel_knows_the_socket_by_its_path(desk: Desk) -> None:
    """Cleaners of /tmp leave a socket alone that is listed there."""
    assert f" {desk.folder.resolve()}/gw.sock\n" in Path("/proc/net/unix").read_text()
