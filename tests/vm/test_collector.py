"""What the machine under test tells the outside, in which only what arrived as a whole counts."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.vm.collector import Collector


def _told(collector: Collector, text: bytes, expected: bytes = b"") -> None:
    with socket.create_connection(("127.0.0.1", collector.port), 10) as sock:
        sock.sendall(text)
        if expected:
            assert sock.recv(100) == expected
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""


def test_the_journal_has_whole_lines_and_the_next_load_gets_the_last_number(tmp_path: Path) -> None:
    with Collector(tmp_path / "journal", rate=200) as collector:
        _told(collector, b"load\nd0 1\nd1 2\nd0 3", expected=b"-1 200\n")
        collector.wait_idle()
        assert (tmp_path / "journal").read_text() == "d0 1\nd1 2\n"
        collector.rate = 0
        _told(collector, b"load\n", expected=b"2 0\n")


def test_an_outbox_may_be_missing_only_before_the_first_status(tmp_path: Path) -> None:
    with Collector(tmp_path / "journal", rate=200) as collector:
        _told(collector, b"outbox missing\n")
        _told(collector, b"outbox ok\n")
        assert collector.outboxes == ["ok"]
        (tmp_path / "journal").write_text("d0 1\n")
        _told(collector, b"outbox missing\n")
        assert collector.outboxes == ["ok", "missing"]
