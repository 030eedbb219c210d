"""A gateway with a device on a serial line, and its page: what the tests of the page look at.

What must never be shown is planted everywhere in its configuration.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.page.page import Page
from gateway.web.options import WebOptions
from tests.support.broker import Mosquitto
from tests.support.device import PtyDevice
from tests.support.running import RunningGateway
from tests.support.waiting import wait_until
from tests.support.web import LOCAL, TOKEN, Reply, fetch

PASSWORD, PIN = "planted-password", "planted-pin-2718"
SECRETS = (PASSWORD, PIN, TOKEN)
ENVIRONMENT = {"HOUSE_PIN": PIN}
NAMES = ("planted-house", "planted-root", "planted-boiler", "planted-hall")
"""What whoever may not read learns nothing of."""

_CONF = """
root: planted-root
topics: ["planted-root/+/+/+/+/+/C"]
name: planted-house
mqtt: {port: BROKER, username: house, password: planted-password}
interface:
  type: serial
  port: LINE
  framing: {terminator: "\\n"}
  address: {function: heating, location: planted-hall, device: planted-boiler}
  decode:
    - {name: temperature, regex: "T (?P<t>.*)", values: {t: float},
       message: {action: TEMPERATURE, arguments: {celsius: "{t}"}}}
    - {name: note, regex: "N (?P<text>.*)", message: {action: NOTE, arguments: {text: "{text}"}}}
    - {name: heating, regex: "H(?P<on>[01])", values: {on: {bool: {"true": "1", "false": "0"}}},
       message: {action: HEATING, arguments: {on: "{on}"}}}
    - {name: pin, regex: "PIN ${HOUSE_PIN}", message: {action: PIN}}
  encode:
    - {match: {action: HEAT},
       arguments: {on: {type: boolean, convert: {bool: {"true": "1", "false": "0"}}}},
       write: "H{on}", response: {regex: "H[01]"}, refusal: {regex: "ERR.*"}}
    - {match: {action: PIN}, write: "PIN ${HOUSE_PIN}"}
  devices:
    - id: planted-boiler
      name: Boiler
      points:
        temperature: {from: TEMPERATURE.celsius, unit: "°C", class: temperature}
        note: {from: NOTE.text, type: text}
        heater: {from: HEATING.on, type: boolean, write: HEAT.on}
        pin: {write: PIN}
"""


def house_conf(folder: Path, port: int, line: Path, more: str = "") -> Path:
    """Write the configuration of the house; `more` is appended."""
    file = folder / "house.conf"
    file.touch(mode=0o600)
    file.write_text(_CONF.replace("BROKER", str(port)).replace("LINE", str(line)) + more)
    return file


class House:
    """A running gateway, the far end of its serial line, and its page at a free port."""

    def __init__(self, folder: Path, broker: Mosquitto, options: WebOptions = LOCAL) -> None:
        self._broker = broker
        self.line = PtyDevice(folder)
        self.running = RunningGateway(
            house_conf(folder, broker.port, self.line.path, f"web: {{token: {TOKEN}}}\n"), ENVIRONMENT
        )
        self.options = options

    def __enter__(self) -> Self:
        try:
            # The page is that of this test: that of the configuration would have a fixed port.
            gateway = self.running.gateway
            gateway.configuration = gateway.configuration._replace(web=WebOptions())
            self.running.__enter__()
            self.begin_page(self.options)
        except BaseException:
            self.line.unplug()
            raise
        wait_until(lambda: gateway.hosts["serial"].outlet.is_available, what="the device")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.page.close()
        self.running.stop()
        self.line.unplug()

    def begin_page(self, options: WebOptions) -> None:
        """Serve the page."""
        self.page = Page(self.running.gateway, options)

    @property
    def port(self) -> int:
        return int(self.page.address.rstrip("/").rpartition(":")[2])

    def fetch(self, path: str, body: Any = None, **more: Any) -> Reply:
        return fetch(self.port, path, body, **more)

    def say(self, text: str) -> None:
        """Have the device send a line."""
        self.line.write(text.encode() + b"\n")

    def command(self, action: str) -> None:
        """Send a command to the device, by way of the broker."""
        with self._broker.client() as client:
            client.publish(f"planted-root/heating//planted-hall/{NAMES[2]}/tester/C", action)
