"""The level of the log is changed while the gateway runs: of all of it, or of one part."""

from __future__ import annotations

import logging

import pytest

from gateway.core.package_logger import package_logger
from gateway.logs.init_logger import LogOptions, init_logger
from gateway.logs.levels import set_level

MQTT, OUTBOX = package_logger("gateway.mqtt.client"), package_logger("gateway.outbox.outbox")

pytestmark = pytest.mark.usefixtures("root_logger")


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    for logger in (MQTT, OUTBOX):
        logger.debug("%s", "debug")
        logger.info("%s", "info")
    return [" ".join(line.rsplit(" ", 2)[-2:]) for line in capsys.readouterr().err.splitlines()]


def test_one_part_is_logged_in_detail_and_the_others_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    init_logger(LogOptions(), (), {})
    set_level("mqtt", "debug")
    assert written(capsys) == ["mqttgateway.mqtt: debug", "mqttgateway.mqtt: info", "mqttgateway.outbox: info"]
    set_level("outbox", "error")
    assert written(capsys) == ["mqttgateway.mqtt: debug", "mqttgateway.mqtt: info"]
    set_level("", "info")
    assert written(capsys) == ["mqttgateway.mqtt: info", "mqttgateway.outbox: info"]
    set_level("", "error")
    assert written(capsys) == []
    set_level("", "debug")
    assert len(written(capsys)) == 4


def test_a_new_set_up_forgets_it(capsys: pytest.CaptureFixture[str]) -> None:
    init_logger(LogOptions(), (), {})
    set_level("mqtt", "debug")
    init_logger(LogOptions(), (), {})
    assert written(capsys) == ["mqttgateway.mqtt: info", "mqttgateway.outbox: info"]
    assert logging.getLogger("mqttgateway.mqtt").level == logging.NOTSET


@pytest.mark.parametrize(("part", "level", "problem"), [
    ("nope", "debug", "there is no part 'nope' of the log: use one of configuration, "),
    ("", "loud", "there is no level 'loud': use one of debug, info, warning, error, critical"),
])  # fmt: skip
def test_what_does_not_exist_is_refused(part: str, level: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        set_level(part, level)
