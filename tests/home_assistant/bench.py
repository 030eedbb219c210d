"""A broker, a Home Assistant and, unless a scenario publishes by hand, a gateway with its boiler: all on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.home_assistant.plant import Boiler, points, write_conf
from tests.home_assistant.server import HomeAssistant
from tests.support.broker import Mosquitto
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

SETTLED = 10.0  # s after which nothing may be unknown

_STEADY = 2.0  # s for which what is right has to stay so

# What Home Assistant itself says about a broker that is away, which is true.
_BROKER_AWAY = (
    "failed to receive on socket",
    "The connection was lost",
    "Disconnected from MQTT server",
    "Failed to connect to MQTT server",
    "_async_resubscribe_and_publish_birth_message",  # it connects twice when the broker is back: its own traceback
)

# What it says when the document of a device is removed whose entities have been taken over by other documents.
_TAKEN_OVER = "No device components to cleanup"


class Bench:
    """What a scenario works with. `say` prints a line of measurements."""

    def __init__(self, release: str, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self.release = release
        self.form = "device" if release == "2026.11" else "components"
        self.seed = seed
        self.say = say
        self.folder = folder
        self.broker = Mosquitto(folder)
        self.ha = HomeAssistant(release, self.broker.port)
        self.boiler = Boiler(folder)
        self.points = points()
        self._gateway: GatewayProcess | None = None
        self._conf = folder / "boiler.conf"
        self._allowed: set[str] = set()  # parts of warnings in Home Assistant's log that are true

    def __enter__(self) -> Self:
        self.broker.start()
        self.ha.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_gateway()
        self.ha.__exit__(kind, err, trace)
        self.broker.kill()

    # --- the gateway

    @property
    def gateway(self) -> GatewayProcess:
        assert self._gateway is not None, "the gateway does not run"
        return self._gateway

    @property
    def gateway_log(self) -> str:
        return self._gateway.log if self._gateway else ""

    def start_gateway(self) -> None:
        """Start the gateway with the points as they are now, and wait until it is connected."""
        self._write_conf()
        self._gateway = GatewayProcess(self._conf)
        self._gateway.wait_log("mqtt: connected to")

    def stop_gateway(self) -> None:
        self.gateway.stop()
        self._gateway = None

    def kill_gateway(self) -> None:
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway = None

    def reload_gateway(self) -> None:
        """Make the gateway read the points as they are now."""
        self._write_conf()
        number = self.gateway.log.count(": reloaded ")
        self.gateway.process.send_signal(1)  # SIGHUP
        self.gateway.wait_log(": reloaded ", number + 1)

    def migrate_gateway(self, form: str) -> str:
        """Change the form of the announcements, as its owner does; return what the command prints."""
        self.form = form
        if form == "components":
            self._allowed.add(_TAKEN_OVER)
        self._write_conf()
        with GatewayProcess(self._conf, "ha", "--migrate") as command:
            wait_until(lambda: command.returncode is not None, 30, "the end of the command")
            assert command.returncode == 0, command.log
            return command.output.strip()

    def _write_conf(self) -> None:
        write_conf(self._conf, self.broker.port, self.boiler.line.path, self.points, self.form)

    # --- the broker

    def restart_broker(self, seconds: float = 1.0) -> None:
        """Kill the broker, which forgets everything, and start it again."""
        self._allowed.update(_BROKER_AWAY)
        self.broker.kill()
        over = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= over, seconds + 5, "the end of the pause")
        self.broker.start()

    # --- what must be true

    def shown(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the states of these entities; those that do not exist have none."""
        states = self.ha.api.states()
        return {each: states.get(each, {"state": "", "attributes": {}}) for each in ids}

    def wait_shown(self, wanted: dict[str, tuple[str, dict[str, Any]]], timeout: float = SETTLED) -> float:
        """Return after how many seconds all these entities had their state and their attributes."""
        began = time.monotonic()

        def wrong() -> dict[str, Any]:
            return {
                each: state
                for each, state in self.shown(wanted).items()
                if state["state"] != wanted[each][0] or not wanted[each][1].items() <= state["attributes"].items()
            }

        wait_until(lambda: not wrong(), timeout, lambda: f"right entities; wrong are {wrong()}", pause=0.05)
        return time.monotonic() - began

    def wait_settled(self, wanted: dict[str, tuple[str, dict[str, Any]]], timeout: float) -> float:
        """Return after how many seconds all these entities have had their state, and have kept it for two more.

        What has just been killed may look right for a moment, until others have noticed.
        """
        began = time.monotonic()
        right_at = -1.0

        def is_settled() -> bool:
            nonlocal right_at
            now = time.monotonic()
            is_right = all(state["state"] == wanted[each][0] for each, state in self.shown(wanted).items())
            right_at = -1.0 if not is_right else now if right_at < 0 else right_at
            return is_right and now - right_at >= _STEADY

        wait_until(is_settled, timeout + _STEADY, lambda: f"right entities; are {self.shown(wanted)}", pause=0.05)
        return right_at - began

    def wait_absent(self, ids: Iterable[str], since: float, timeout: float) -> float:
        """Return after how many seconds (since `since`, monotonic) all these entities were unavailable."""

        def is_absent(state: dict[str, Any]) -> bool:
            return bool(state["state"] == "unavailable")

        return max(self.ha.api.wait_change(each, is_absent, since, timeout)[0] for each in ids) - since

    def problems(self) -> list[str]:
        """Return the warnings and errors of Home Assistant's log, without those that are true."""
        return [entry for entry in self.ha.problems() if not any(part in entry for part in self._allowed)]
