from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until
from tests.support.web import TOKEN, connect, fetch


def is_served(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return False
    return True


class Configured:
    """A gateway whose option `web` changes by a reload."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self._folder, self._broker = folder, broker
        self._conf = self._write(False)
        self._conf.chmod(0o600)
        self.gateway = GatewayProcess(self._conf)
        self.gateway.wait_log("connected to")

    def _write(self, web: Any) -> Path:
        return write_conf(self._folder, self._broker.port, interface=trial("Recorder"), web=web)

    def reload(self, web: Any) -> None:
        self._write(web)
        count = self.gateway.log.count(": reloaded ")
        self.gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.gateway.log.count(": reloaded ") > count, what=lambda: self.gateway.log)

    def status(self) -> str:
        with GatewayProcess(self._conf, "status") as command:
            command.wait()
            return command.output


@pytest.fixture
def configured(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Configured]:
    made = Configured(tmp_path, mosquitto)
    with made.gateway:
        yield made


def test_the_page_begins_moves_and_ends_by_a_reload(configured: Configured) -> None:
    first, second = free_port(), free_port()
    configured.reload({"listen": f"127.0.0.1:{first}"})
    configured.gateway.wait_log(f"the page is at http://127.0.0.1:{first}/")
    assert fetch(first, "/api/session").json["has_token"] is False
    configured.reload({"listen": f"127.0.0.1:{second}", "token": TOKEN})
    configured.gateway.wait_log(f"the page is at http://127.0.0.1:{second}/")
    assert not is_served(first)
    assert fetch(second, "/api/session", token=TOKEN).json["may_write"] is True
    configured.reload({"listen": f"127.0.0.1:{second}", "token": TOKEN[::-1]})
    configured.gateway.wait_log(f"the page is at http://127.0.0.1:{second}/", 2)
    assert fetch(second, "/api/session", token=TOKEN).status == 401
    configured.reload(False)
    wait_until(lambda: not is_served(second))
    assert configured.gateway.stop() < 5
    assert TOKEN not in configured.gateway.log


def test_a_page_that_others_can_reach_says_that_it_has_no_tls(configured: Configured) -> None:
    port = free_port()
    configured.reload({"listen": f"0.0.0.0:{port}", "token": TOKEN})
    configured.gateway.wait_log("This connection is not encrypted")
    configured.gateway.stop()


def test_a_port_that_is_taken_is_named_by_status_until_it_is_free(configured: Configured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        configured.reload({"listen": f"127.0.0.1:{port}"})
        configured.gateway.wait_log("free the address, or set another one in web.listen")
        text = " ".join(configured.status().split())
        assert f"the page cannot be served at 127.0.0.1:{port}: Address already in use" in text
        assert "free the address, or set another one in web.listen" in text
    configured.gateway.wait_log(f"the page is at http://127.0.0.1:{port}/", timeout=30)
    assert configured.status().startswith("gw is well")
    assert configured.gateway.log.count("cannot be served") == 1
    wait_until(lambda: fetch(port, "/api/overview").json["problems"] == [])  # the answer may be half a second old
    configured.gateway.stop()


def test_stopping_does_not_wait_for_who_waits(configured: Configured) -> None:
    port = free_port()
    configured.reload({"listen": f"127.0.0.1:{port}"})
    configured.gateway.wait_log(f"the page is at http://127.0.0.1:{port}/")
    readers = [connect(port) for _ in range(8)]
    try:
        for reader in readers:
            reader.sendall(b"GET /api/live?wait=20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert fetch(port, "/api/overview").status == 200
        assert configured.gateway.stop() < 4
    finally:
        for reader in readers:
            reader.close()
