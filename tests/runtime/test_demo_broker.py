"""The embedded broker: started and logged when no other broker answers, and ended together with its gateway."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from gateway.mqtt.options import MqttOptions
from gateway.runtime.demo_broker import running_if_needed
from tests.conftest import ExpectedLogs
from tests.support.broker import Listener, Mosquitto, free_port
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

STARTED = "started the embedded broker"


def embedded_brokers(port: int) -> list[int]:
    """Return the process ids of the embedded brokers for `port`."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # the process has just ended
            continue
        if b"gateway.runtime.demo_broker" in arguments and b"%d" % port in arguments:
            pids.append(int(folder.name))
    return pids


def demo_conf(folder: Path, port: int) -> Path:
    return write_conf(folder, port, interface=trial("Ticker"), mqtt={"demo_broker": True})


def test_it_runs_while_its_gateway_does(tmp_path: Path) -> None:
    conf = demo_conf(tmp_path, port := free_port())
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to", timeout=30)
        (broker,) = embedded_brokers(port)
        assert os.getsid(broker) != os.getsid(gateway.process.pid), "Ctrl-C would end the broker first"
        with Listener(port, "home/#") as listener:
            listener.wait_for(lambda message: b"TICK" in message.payload)
        assert gateway.stop() < 4
        assert not embedded_brokers(port)
        lines = [line for line in gateway.log.splitlines() if "embedded" in line]
        assert len(lines) == 1
        assert f"no broker at 127.0.0.1:{port}: {STARTED}" in lines[0]
        assert "Traceback" not in gateway.log


def test_it_ends_after_its_gateway_was_killed(tmp_path: Path) -> None:
    conf = demo_conf(tmp_path, port := free_port())
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to", timeout=30)
        assert embedded_brokers(port)
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait()
        wait_until(lambda: not embedded_brokers(port), 10, "the broker to end")


def test_a_stop_does_not_wait_until_it_has_started(tmp_path: Path) -> None:
    conf = demo_conf(tmp_path, port := free_port())
    with GatewayProcess(conf) as gateway:
        wait_until(lambda: embedded_brokers(port), what=lambda: gateway.log)
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        gateway.wait(15)
        assert time.monotonic() - began < 10
        assert not embedded_brokers(port)
        assert "Traceback" not in gateway.log


def test_it_is_not_started_where_a_broker_answers(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(demo_conf(tmp_path, mosquitto.port)) as gateway:
        gateway.wait_log("connected to")
        assert not embedded_brokers(mosquitto.port)
        gateway.stop()
        assert "embedded" not in gateway.log


def test_it_is_not_started_unless_the_configuration_requests_it(tmp_path: Path) -> None:
    with GatewayProcess(write_conf(tmp_path, port := free_port(), interface=trial("Recorder"))) as gateway:
        gateway.wait_log("nothing listens at")
        assert not embedded_brokers(port)


def test_without_amqtt_the_log_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, expected_logs: ExpectedLogs
) -> None:
    port = free_port()
    expected_logs.expect(
        f"no broker at 127.0.0.1:{port}, and the embedded broker is not installed: apt install mosquitto, "
        "or, in a checkout, pip install '.[demo]'"
    )
    monkeypatch.setitem(sys.modules, "amqtt", None)  # as Python marks a package that cannot be imported
    with running_if_needed(MqttOptions(port=port, demo_broker=True), lambda: False):
        assert not embedded_brokers(port)
