"""Signals that arrive before the gateway runs: a reload is done later, and a stop ends the process in order."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.early_signals import EarlySignals
from tests.support.broker import Mosquitto
from tests.support.configuration import write_conf
from tests.support.gateway_process import COMMAND, GatewayProcess

# An interface that sends its own process a signal while the configuration is being loaded, once.
_SIGNALLING = """
import os, pathlib, signal
once = pathlib.Path(__file__).with_suffix(".once")
if not once.exists():
    once.touch()
    os.kill(os.getpid(), signal.{name})

class Quiet:
    def __init__(self, params, msglist_in, msglist_out):
        pass

    def loop(self):
        pass
"""

# Sends the signal when the module of the command line is searched: the first moment in which our code runs.
_AT_IMPORT = """
import os, signal, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "gateway.cli.main":
            os.kill(os.getpid(), signal.{name})

sys.meta_path.insert(0, Finder)
sys.argv[1:] = {arguments!r}
from gateway.__main__ import main
sys.exit(main())
"""


def signalling_conf(folder: Path, port: int, name: str) -> Path:
    (folder / "quiet.py").write_text(_SIGNALLING.format(name=name))
    return write_conf(folder, port, interface={"type": "quiet.py"}, outbox={"store": "memory"})


def run_with_signal_at_import(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = _AT_IMPORT.format(name=name, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)


def test_a_reload_during_the_start_is_done_once_the_gateway_runs(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = signalling_conf(tmp_path, mosquitto.port, "SIGHUP")
    with GatewayProcess(conf, environment={"SOMETHING": "else"}) as gateway:
        gateway.wait_log(f"reloaded {conf}: ")
        gateway.wait_log("connected to")
        gateway.stop()
        assert gateway.log.count(": reloaded ") == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_during_the_start_ends_it_in_order(name: str, tmp_path: Path) -> None:
    conf = signalling_conf(tmp_path, 1, name)
    with GatewayProcess(conf, environment={"SOMETHING": "else"}) as gateway:
        assert gateway.wait() == 0
        assert gateway.log == ""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_before_the_first_import_ends_it_in_order(name: str, tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface={"type": "dummy"}, outbox={"store": "memory"})
    ran = run_with_signal_at_import(name, "--conf", str(conf))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_other_commands_are_ended_by_early_signals(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, 1, interface={"type": "dummy"})
    for name, code in (("SIGHUP", -signal.SIGHUP), ("SIGTERM", -signal.SIGTERM), ("SIGINT", 1)):
        ran = run_with_signal_at_import(name, "check", "--conf", str(conf))
        assert (ran.returncode, ran.stderr) == (code, ""), name


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    previous = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals = EarlySignals()
        signal.raise_signal(signal.SIGHUP)
        assert not signals.is_reload_wanted
        signals.release()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is previous[signal.SIGTERM]
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def test_the_entry_point_imports_nothing_else_before_signals_are_recorded() -> None:
    script = (
        "import sys, signal; before = set(sys.modules); import gateway.__main__;"
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["gateway", "gateway.__main__", "gateway.early_signals"]
    assert COMMAND[1:] == ("-m", "gateway"), "the tests use the same entry point as users"
