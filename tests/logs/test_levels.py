"""Levels of the whole log, of parts of the program, and of interfaces."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.core.package_logger import PARTS, package_logger
from gateway.errors import ConfigurationError
from gateway.logs.init_logger import LogOptions, init_logger
from gateway.logs.levels import LogLevelError, reset_levels, set_level
from tests.conftest import ExpectedLogs

pytestmark = pytest.mark.usefixtures("root_logger")

MQTT = package_logger("gateway.mqtt.client")
INTERFACES = package_logger("gateway.interface")
OTHERS = logging.getLogger("heatpump.door")

Written = Callable[[], list[str]]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    """Return the lines since the last call."""
    return lambda: capsys.readouterr().err.splitlines()


def start(level: str = "info", /, *, to: str | None = None, **levels: str) -> None:
    options = LogOptions(level=level, levels=levels, file=to)
    init_logger(options, (), {"JOURNAL_STREAM": "1"}, ("boiler", "hall 2"))


def in_thread(name: str, log: Callable[[], None]) -> None:
    thread = threading.Thread(target=log, name=name)
    thread.start()
    thread.join()


def test_a_part_has_a_level_of_its_own(written: Written, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost")
    start(mqtt="debug", routing="error")
    MQTT.debug("connecting")
    INTERFACES.debug("nothing")
    package_logger("gateway.routing.router").warning("lost")
    assert written() == ["<7>mqttgateway.mqtt: connecting"]


def test_an_interface_has_a_level_of_its_own_that_counts_before_that_of_the_part(written: Written) -> None:
    start(interfaces="error", boiler="debug")
    INTERFACES.info("boiler: /dev/ttyUSB0 is open")
    INTERFACES.debug("boiler: reading")
    INTERFACES.info("hall 2: /dev/ttyUSB1 is open")
    INTERFACES.info("device 'flame' is online again", extra={"interface": "boiler"})
    INTERFACES.info("device 'lamp' is online again", extra={"interface": "hall 2"})
    assert written() == [
        "<6>mqttgateway.interfaces: boiler: /dev/ttyUSB0 is open",
        "<7>mqttgateway.interfaces: boiler: reading",
        "<6>mqttgateway.interfaces: device 'flame' is online again",
    ]


@pytest.mark.parametrize("thread", ["boiler", "boiler reader", "hall 2"])
def test_code_of_an_interface_logs_with_its_level_by_the_thread(thread: str, written: Written) -> None:
    options = LogOptions(levels={"boiler": "debug", "hall 2": "debug"})
    init_logger(options, (), {"JOURNAL_STREAM": "1"}, ("boiler", "hall 2"))
    in_thread(thread, lambda: OTHERS.debug("read 12 bytes"))
    in_thread("boilers", lambda: OTHERS.debug("of another thread"))
    assert written() == ["<7>heatpump.door: read 12 bytes"]


def test_the_link_is_no_concern_of_the_interface_whose_thread_sends(written: Written) -> None:
    start(boiler="critical")
    in_thread("boiler", lambda: MQTT.info("connected"))
    assert written() == ["<6>mqttgateway.mqtt: connected"]


def test_the_levels_are_those_of_the_file_as_well(written: Written, tmp_path: Path) -> None:
    start("warning", to=str(tmp_path / "gw.log"), mqtt="info")
    MQTT.info("connected")
    INTERFACES.info("boiler: opened")
    assert written() == ["<6>mqttgateway.mqtt: connected"]
    assert (tmp_path / "gw.log").read_text().count("\n") == 1


def test_records_that_no_handler_passes_are_not_even_created() -> None:
    start()
    assert not MQTT.isEnabledFor(logging.DEBUG)
    set_level("boiler", "debug")
    assert MQTT.isEnabledFor(logging.DEBUG)
    set_level("boiler", "configured")
    assert not MQTT.isEnabledFor(logging.DEBUG)


# --- while it runs


def test_the_level_of_the_whole_log_a_part_or_an_interface_changes_at_run_time(written: Written) -> None:
    start(mqtt="warning")

    def log() -> list[str]:
        MQTT.info("connected")
        INTERFACES.debug("boiler: reading")
        INTERFACES.debug("hall 2: reading")
        return [line.rpartition("mqttgateway.")[2] for line in written()]

    link, boiler, hall = "mqtt: connected", "interfaces: boiler: reading", "interfaces: hall 2: reading"
    assert log() == []
    set_level("mqtt", "info")
    assert log() == [link]
    set_level("boiler", "debug")
    assert log() == [link, boiler]
    set_level("", "debug")
    assert log() == [link, boiler, hall]
    set_level("mqtt", "configured")
    assert log() == [boiler, hall]
    set_level("", "configured")
    assert log() == [], "also those of interfaces"
    set_level("", "debug")
    reset_levels()
    assert log() == []


@pytest.mark.parametrize(
    ("name", "level", "text"),
    [
        ("mqqt", "debug", "'mqqt' is no part of the program and no interface: did you mean 'mqtt'?"),
        ("boilr", "debug", "'boilr' is no part of the program and no interface: did you mean 'boiler'?"),
        (
            "mqtt",
            "loud",
            "there is no level 'loud': the levels are debug, info, warning, error, critical, and configured",
        ),
        ("mqtt", "", "there is no level '': the levels are debug, info, warning, error, critical, and configured"),
    ],
)
def test_a_name_or_level_that_does_not_exist_is_refused(name: str, level: str, text: str) -> None:
    start()
    with pytest.raises(LogLevelError) as caught:
        set_level(name, level)
    assert str(caught.value) == text


# --- in a configuration


def load(tmp_path: Path, levels: str, interfaces: str = "boiler: {type: dummy}, mqtt: {type: dummy}") -> LogOptions:
    path = tmp_path / "gw.conf"
    path.write_text(f"root: home\ntopics: []\ninterfaces: {{{interfaces}}}\nlog:\n  levels: {levels}\n")
    return load_configuration(path, {}).log


def test_a_configuration_names_parts_and_interfaces(tmp_path: Path) -> None:
    levels = load(tmp_path, "{outbox: debug, boiler: warning}").levels
    assert levels == {"outbox": "debug", "boiler": "warning"}


@pytest.mark.parametrize(
    ("levels", "problem"),
    [
        ("{boilr: debug}", ":5:12: log.levels.boilr: 'boilr' is no part of the program and no interface: did you mean"),
        ("{mqtt: debug}", ":5:12: log.levels.mqtt: 'mqtt' is an interface and a part of the program: give the interf"),
        ("{outbox: loud}", ":5:20: log.levels.outbox: expected one of debug, info, warning, error, critical, found"),
    ],
)
def test_a_wrong_name_in_a_configuration_is_an_error_with_its_place(tmp_path: Path, levels: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, levels)
    assert problem in str(caught.value)


def test_an_interface_with_an_error_does_not_make_its_level_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, "{boiler: debug}", "boiler: {type: dummi}")
    assert "levels" not in str(caught.value)


def test_all_parts_that_log_have_levels() -> None:
    root = Path(__file__).parents[2]
    named = set()
    for folder in ("gateway", "interfaces"):
        for path in (root / folder).rglob("*.py"):
            if "package_logger(__name__)" in path.read_text():
                module = ".".join(path.relative_to(root).with_suffix("").parts)
                named.add(package_logger(module).name.removeprefix("mqttgateway."))
    assert named == {*PARTS} - {"logs"}, "logs: which lines were suppressed"
