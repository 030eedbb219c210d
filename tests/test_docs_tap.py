"""The live view on the pages of the documentation: it shows what a gateway with the shipped configuration tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.configuration import shipped_conf
from tests.support.device import PtyDevice
from tests.support.docs import page
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

COMMAND = "home/security//frontgate/gate/me/C"


def normalised(text: str) -> list[str]:
    """Return the lines without times, each message in one."""
    text = re.sub(r" ?\n {4,}", " ", text)
    text = re.sub(r"(?m)^\d\d:\d\d:\d\d\.\d{3}", "TIME", text)
    text = re.sub(r" +\+\d+\.\d{3} s", " LATER", text)
    return [re.sub(r" \([0-9.]+ m?s\)", "", line) for line in text.splitlines() if not line.startswith("$")]


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [("docs/operations.md", "messages", ()), ("docs/serial.md", "raw", ("--raw",))],
)
def test_the_live_view_is_as_shown(
    tmp_path: Path, mosquitto: Mosquitto, name: str, kind: str, options: tuple[str, ...]
) -> None:
    block = re.search(rf"(?ms)^```text tap={kind}\n(.*?)^```$", page(name).text)
    assert block is not None
    with PtyDevice(tmp_path) as device:
        conf = shipped_conf(tmp_path, "serial2mqtt.conf", mosquitto.port, device.path)
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("is open")
            gateway.wait_log("connected to")
            with GatewayProcess(conf, "tap", *options) as tap, mosquitto.client() as client:

                def is_followed() -> bool:
                    device.write(b"33\r\n")
                    # Alone in its read: other lines may be shown before, and the next frame come with it.
                    return "4 bytes -> '33'" in tap.output if kind == "messages" else bool(tap.output)

                wait_until(is_followed, 20, lambda: tap.log, pause=0.2)
                device.write(b"21\r\n")
                client.publish(COMMAND, "gate_open")
                tap.wait_output(r"written.*21\\n")
                device.write(b"21\r\n")
                shown = set(normalised(block[1]))

                def is_shown() -> bool:
                    # Again, since two lines may have come in one read, which is then one of more bytes.
                    device.write(b"21\r\n")
                    return shown <= set(normalised(tap.output))

                wait_until(is_shown, 20, lambda: f"{shown}\n{tap.output}", pause=0.2)
