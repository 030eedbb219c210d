from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.core.package_logger import logger_name, package_logger

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("gateway.mqtt.client", "mqttgateway.mqtt"),
        ("gateway.configuration.legacy.ini_config", "mqttgateway.configuration"),
        ("gateway.start_gateway", "mqttgateway.runtime"),
        ("gateway.interface", "mqttgateway.interfaces"),
        ("interfaces.serial_interface.interface", "mqttgateway.interfaces"),
        ("gateway", "mqttgateway"),
        ("heatpump_mqtt.door", "heatpump_mqtt.door"),
        ("gateway_of_others.door", "gateway_of_others.door"),
    ],
)
def test_name_of_the_logger(module: str, name: str) -> None:
    assert logger_name(module) == name
    assert package_logger(module).name == name


def test_every_module_logs_under_the_name_of_its_package() -> None:
    """A logger made in another way would have the name of its module, and no filter for the package would match."""
    sources = [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "interfaces").rglob("*.py")]
    assert sources
    calls = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in sources
        for call in re.findall(r"getLogger\([^)]*\)", path.read_text())
        if call not in ("getLogger()", "getLogger(TRAFFIC)")
    ]
    assert sorted(calls) == [
        "gateway/core/package_logger.py: getLogger(logger_name(module)",
        "gateway/legacy_interface.py: getLogger(name)",  # the name comes from an interface that someone else wrote
    ]
