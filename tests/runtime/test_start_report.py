"""What a log begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.runtime.start_report import start_lines
from tests.support.configuration import write_conf

RULE = {"regex": "x", "message": {"function": "a", "device": "b", "action": "X"}}


def load(tmp_path: Path, **options: Any) -> Configuration:
    return load_configuration(write_conf(tmp_path, 1883, "hall", **options), {"CODE": "hunter2"})


def lines_of(configuration: Configuration) -> list[str]:
    """Return the lines behind the one about the platform."""
    platform, *lines = start_lines(configuration)
    assert platform.startswith("Python 3.")
    return lines


def test_the_files_the_changed_options_and_the_places_are_named(tmp_path: Path) -> None:
    boiler = {"type": "serial", "port": "/dev/ttyUSB0", "baudrate": 9600, "decode": [RULE]}
    configuration = load(
        tmp_path,
        mqtt={"port": 1884, "username": "gate", "password": "hunter2", "tls": {"verify": False, "enabled": True}},
        outbox={"file": str(tmp_path / "o.outbox"), "discard": "new"},
        log={"levels": {"boiler": "debug"}},
        interfaces={"hall": {"type": "dummy"}, "boiler": boiler},
    )
    files, options, *interfaces, places = lines_of(configuration)
    assert files == f"files: {configuration.file}"
    assert options == (
        "options that are not the default: mqtt.port=1884, mqtt.username=gate, mqtt.password=***, "
        "mqtt.tls.enabled=True, mqtt.tls.verify=False, outbox.discard=new, log.levels={boiler: debug}"
    )
    assert interfaces == [
        "interface hall (DummyInterface): all options are the default",
        "interface boiler (SerialInterface): port=/dev/ttyUSB0, decode=[1 entry]",
    ]
    assert places == f"broker 127.0.0.1:1884, outbox {tmp_path}/o.outbox"


def test_an_interface_without_a_schema_shows_its_options(tmp_path: Path) -> None:
    (tmp_path / "pump.py").write_text(
        "class PumpInterface:\n    def __init__(self, params, msglist_in, msglist_out):\n        pass\n"
        "    def loop(self):\n        pass\n"
    )
    pump = {"type": "pump.py", "level": 4, "token": "hunter2", "table": {"a": [1]}}
    lines = lines_of(load(tmp_path, interface=pump))
    (line,) = (line for line in lines if line.startswith("interface"))
    assert line.endswith("(PumpInterface): level=4, token=***, table={1 entry}")
    assert f"{tmp_path}/pump.py" in lines[0]


@pytest.mark.parametrize("count", [10, 11, 500])
def test_very_many_interfaces_make_few_lines(count: int, tmp_path: Path) -> None:
    lines = lines_of(load(tmp_path, interfaces={f"hall{number}": {"type": "dummy"} for number in range(count)}))
    assert len([line for line in lines if line.startswith("interface")]) == 10
    more = [line for line in lines if line.startswith("and ")]
    assert more == ([] if count == 10 else [f"and {count - 10} more interface{'s' if count > 11 else ''}"])
