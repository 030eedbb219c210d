"""A sequence of random events, and a look at the broker after each group of them."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.restart.expected import Expected
from tests.restart.plant import UNITS, Plant
from tests.restart.setup import Setup, write_conf
from tests.restart.shrinking import Shrinking
from tests.support.broker import Mosquitto
from tests.support.forked import ForkedGateway
from tests.support.waiting import wait_until

_DEADLINE = 10.0  # s within which the documents are right
_RECONNECTS = 45.0  # s that a gateway may take to open a port again that was away, or to connect again
_SAVES = "persistence true\nautosave_on_changes true\nautosave_interval 1\n"
_DEVICES = ("boiler", "probe", "tank", *(f"unit{unit}" for unit in UNITS))


class Sequence:
    """Random events: the same for the same seed. Their logs are in `folder`.

    `looks` counts the looks at the broker, and `slowest` is the longest time (s) until all was right.
    """

    def __init__(self, folder: Path, seed: int, *, is_on_disk: bool, is_forgetful: bool = False) -> None:
        self.looks, self.slowest = 0, 0.0
        self._chance = random.Random(seed)
        self._folder = folder
        self._is_on_disk = is_on_disk
        self._outbox = {"file": str(folder / "gw.outbox")} if is_on_disk else {"store": "memory"}
        self._database = folder / "mosquitto.db"
        persistence = "" if is_forgetful else f"persistence_location {folder}/\n{_SAVES}"
        self._is_forgetful = is_forgetful
        self._broker = Mosquitto(folder, f"allow_anonymous true\n{persistence}")
        if not is_forgetful:
            config = self._broker.config
            config.write_text(config.read_text().replace("persistence false\n", ""))
        self._plant = Plant(folder)
        self._setup = Setup()
        self._expected = Expected(self._setup, is_on_disk)
        self._conf, self._log = folder / "gw.conf", folder / "gateway.log"
        self._gateway: ForkedGateway | None = None
        self._starts = 0
        self._reloads = 0  # the lines about reloads that the log has, once the last one was applied
        self._probe_silent_at = self._probe_pause = 0.0
        self._is_certain = False  # whether the gateway receives what the plant sends now
        self._report: Callable[[str], None] = lambda _line: None
        self._shrinking: Shrinking | None = None
        self._may_shrink = False  # whether documents may lose values until the next look

    def run(self, steps: int, report: Callable[[str], None] = lambda _line: None) -> list[str]:
        """Run `steps` groups of events; return what is wrong after the last of them, which is the first such."""
        self._report = report
        for device, values in self._plant.values.items():
            for point, value in values.items():
                self._expected.now[device, point] = value
        self._log.touch()
        with self._broker, self._plant, self._broker.client("home/gw/+/state") as listener:
            self._shrinking = Shrinking(listener)
            try:
                self._write_conf()
                self._start_gateway()
                problems = self._look()
                for step in range(steps):
                    if problems:
                        break
                    problems = self._step(step)
            finally:
                if self._gateway is not None:
                    self._gateway.kill()
                    self._gateway.wait(10)
        if "Traceback" in self._log.read_text(errors="replace"):
            problems.append("there is a traceback in the log")
        return problems

    def log_tail(self) -> list[str]:
        """Return the end of the log of the gateways."""
        return self._log.read_text(errors="replace").splitlines(keepends=True)[-60:]

    def _note(self, text: str) -> None:
        with self._log.open("a") as log:
            log.write(f"------ {text}\n")
        self._report(f"  {text}")

    def _step(self, step: int) -> list[str]:
        for _ in range(self._chance.choice((1, 1, 1, 2, 3, 4))):
            events = self._events()
            event = self._chance.choice(list(events))
            self._note(f"{step}: {event}")
            problem = events[event]()
            if problem:
                return [problem]
            _wait(self._chance.choice((0.0, 0.0, 0.1, 0.5, 1.5)))
        if (self._broker.process is None or self._gateway is None) and self._chance.random() < 0.3:
            return []  # more happens meanwhile
        repairs = [self._start_gateway] if self._gateway is None else []
        repairs += [self._start_broker] if self._broker.process is None else []
        self._chance.shuffle(repairs)
        for repair in repairs:
            self._note(f"{step}: {repair.__name__.strip('_')}")
            repair()
            _wait(self._chance.choice((0.0, 0.3, 1.0)))
        return self._look()

    # --- what can happen

    def _events(self) -> dict[str, Callable[[], str | None]]:
        events: dict[str, Callable[[], str | None]] = {}
        if self._broker.process is not None:
            events |= {"kill broker": self._kill_broker, "stop broker": self._stop_broker}
        else:
            events |= {"start broker": self._start_broker, "start broker, empty": self._start_empty_broker}
        if self._gateway is not None:
            events |= {"stop gateway": self._stop_gateway, "kill gateway": self._kill_gateway}
            events |= {f"reload: {change}": lambda change=change: self._reload(change) for change in self._changes()}  # type: ignore[misc]
        else:
            events["start gateway"] = self._start_gateway
            events |= {f"edit: {change}": lambda change=change: self._edit(change) for change in self._changes()}  # type: ignore[misc]
        events["unplug" if self._plant.is_plugged_in else "plug in"] = self._toggle_line
        events["take file away" if self._plant.has_file else "put file back"] = self._toggle_file
        for device in _DEVICES:
            name = "wakes" if device in self._plant.silent else "is silent"
            events[f"{device} {name}"] = lambda device=device: self._toggle_silent(device)  # type: ignore[misc]
        events["a value changes"] = self._change_value
        if self._is_certain:
            events |= {"a value is sent once": self._tell}
            if self._broker.process is not None:
                events |= {"command for the boiler": self._command_boiler, "command for the fan": self._command_fan}
                if self._setup.has_tanks:
                    events["command for the pump"] = self._command_pump
        return events

    def _changes(self) -> dict[str, Setup]:
        setup = self._setup
        return {
            "rename a point": setup._replace(
                temperature_key="temp" if setup.temperature_key == "temperature" else "temperature"
            ),
            "probe": setup._replace(has_probe=not setup.has_probe),
            "fan": setup._replace(has_fan=not setup.has_fan),
            "tanks": setup._replace(has_tanks=not setup.has_tanks),
            "id of the meters": setup._replace(meter_id="m{unit}" if len(setup.meter_id) > 7 else "meter{unit}"),
            "silence of the meters": setup._replace(meter_silence=5 - setup.meter_silence),
        }

    def _kill_broker(self) -> None:
        self._broker.kill()

    def _stop_broker(self) -> None:
        assert self._broker.process is not None
        self._broker.process.terminate()
        self._broker.process.wait(10)
        self._broker.process = None

    def _start_broker(self) -> None:
        if self._is_forgetful:
            self._expected.lost_memory()
        self._broker.start()

    def _start_empty_broker(self) -> None:
        self._database.unlink(missing_ok=True)
        self._expected.lost_memory()
        self._broker.start()

    def _start_gateway(self) -> None:
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self._folder / "none"),
                       "XDG_STATE_HOME": str(self._folder / "state"), "XDG_RUNTIME_DIR": str(self._folder)}  # fmt: skip
        self._starts += 1
        self._gateway = ForkedGateway(["--conf", str(self._conf)], Path(os.devnull), self._log, environment)
        self._plant.is_listened_to = True
        self._expected.started(self._setup)

    def _stop_gateway(self) -> None:
        self._end_gateway(signal.SIGTERM)

    def _kill_gateway(self) -> None:
        self._end_gateway(signal.SIGKILL)

    def _end_gateway(self, number: int) -> None:
        assert self._gateway is not None
        if number == signal.SIGTERM:
            self._wait_log("started with", self._starts)
        self._plant.is_listened_to = self._is_certain = False
        self._gateway.send_signal(number)
        self._gateway.wait(15)
        self._gateway, self._reloads = None, 0
        self._may_shrink = self._may_shrink or not self._is_on_disk
        self._expected.ended(is_killed=number == signal.SIGKILL)

    def _wait_log(self, text: str, count: int) -> None:
        wait_until(lambda: self._log.read_text(errors="replace").count(text) >= count, 15, f"{text!r} in the log")

    def _write_conf(self) -> None:
        plant = self._plant
        write_conf(self._conf, self._setup, self._broker.port, plant.line.path, plant.file, self._outbox)

    def _edit(self, change: str) -> None:
        self._setup = self._changes()[change]
        self._may_shrink = True
        self._write_conf()

    def _reload(self, change: str) -> None:
        assert self._gateway is not None
        self._edit(change)
        self._wait_log("started with", self._starts)
        self._reloads = self._log.read_text(errors="replace").count(": reloaded ") + 1
        self._is_certain = False
        self._gateway.send_signal(signal.SIGHUP)
        self._expected.reloaded(self._setup)

    def _toggle_line(self) -> None:
        self._is_certain = False
        if self._plant.is_plugged_in:
            self._plant.unplug()
        else:
            self._plant.plug_in()
        self._expected.interface("bus", self._plant.is_plugged_in)

    def _toggle_file(self) -> None:
        self._is_certain = False
        if self._plant.has_file:
            self._plant.take_file_away()
        else:
            self._plant.put_file_back()
        self._expected.interface("water", self._plant.has_file)

    def _toggle_silent(self, device: str) -> None:
        is_silent = device not in self._plant.silent
        self._plant.set_silent(device, is_silent)
        if device == "probe":
            now = time.monotonic()
            self._probe_pause = 0.0 if is_silent else now - self._probe_silent_at
            self._probe_silent_at = now
        self._expected.silence(device, is_silent)

    def _change_value(self) -> None:
        device = self._chance.choice(_DEVICES)
        ((point, _),) = self._plant.values[device].items()
        value = self._chance.randint(1, 999) + (0.5 if device == "boiler" else 0)
        self._note(f"  {device}.{point} = {value}")
        self._plant.set_value(device, point, value)
        self._expected.measure(device, point, value)

    def _tell(self) -> None:
        device = self._chance.choice(("boiler", *(f"unit{unit}" for unit in UNITS)))
        value = self._chance.randint(1, 999)
        if device in self._plant.silent or not self._plant.is_plugged_in:
            return
        line, point = (f"G {value}", "target") if device == "boiler" else (f"E {device[-1]} {value}", "total")
        self._note(f"  {line}")
        self._plant.send_once(line)
        self._expected.tell(device, point, value)

    # --- commands

    def _command_boiler(self) -> str | None:
        is_on, self._plant.refuses = self._chance.random() < 0.5, self._chance.random() < 0.3
        expected = "OK" if not self._plant.refuses else "REFUSED"
        expected = "TIMEOUT" if "boiler" in self._plant.silent else expected
        expected = expected if self._plant.is_plugged_in else "OFFLINE"
        problem = self._command("heating//", "boiler", "HEAT", {"on": is_on}, expected)
        if not problem and expected == "OK":
            self._expected.tell("boiler", "heater", is_on)
        return problem

    def _command_fan(self) -> str | None:
        level = self._chance.randint(0, 9)
        expected = "OK" if self._plant.is_plugged_in else "OFFLINE"
        problem = self._command("heating//", "fan", "FAN", {"level": level}, expected)
        if not problem and expected == "OK" and self._setup.has_fan:
            self._expected.tell("fan", "level", level)
        return problem

    def _command_pump(self) -> str | None:
        is_on = self._chance.random() < 0.5
        expected = "OK" if self._plant.has_file else "OFFLINE"
        problem = self._command("water//cellar", "pump", "PUMP", {"on": is_on}, expected)
        if not problem and expected == "OK":
            self._plant.values["pump"]["on"] = is_on
            self._expected.measure("pump", "on", is_on)
        return problem

    def _command(self, address: str, device: str, action: str, arguments: Mapping[str, Any], response: str) -> str:
        """Send a command; return what is wrong with its outcome, or nothing.

        `address` is function/gateway/location.
        """
        self._note(f"  {action} {dict(arguments)}: {response}")
        with self._broker.client(f"home/{address}/{device}/gw/S") as client:

            def outcomes() -> list[Any]:
                payloads = [json.loads(payload) for _, payload in client.pairs()]
                return [each for each in payloads if each["action"] == action and "response" in each]

            client.publish(f"home/{address}/{device}/tester/C", json.dumps({"action": action, **arguments}))
            try:
                wait_until(outcomes, _DEADLINE)
            except AssertionError:
                return f"{action} has no outcome within {_DEADLINE:.0f} s"
            _wait(0.3)
            found = [each["response"] for each in outcomes()]
            return (
                "" if found == [response] else f"{action} has the outcomes {found} instead of {response}: {outcomes()}"
            )

    # --- the look

    def _look(self) -> list[str]:
        """Return what is wrong at the broker, once it has had its time."""
        if self._reloads:
            self._wait_log(": reloaded ", self._reloads)
        if not _is_met(lambda: not self._links(), _RECONNECTS):
            return self._links()
        began = time.monotonic()
        deadline = _DEADLINE + self._probe_pause  # units that are silent for long are asked ever less often
        if not _is_met(lambda: not self._problems(), deadline):
            return self._problems() or [f"not right within {deadline:.0f} s, but just after"]
        self.slowest = max(self.slowest, time.monotonic() - began)
        _wait(0.5)
        retained = self._retained()
        problems = list(self._expected.problems(retained))
        if problems:
            return [f"right, and half a second later: {problem}" for problem in problems]
        shrunken = list(self._shrinking.found()) if self._shrinking is not None else []
        if shrunken and not self._may_shrink:
            return shrunken
        self._may_shrink = False
        self.looks += 1
        self._expected.observed(retained)
        self._is_certain, self._probe_pause = True, 0.0
        return []

    def _links(self) -> list[str]:
        return list(self._expected.links(self._retained()))

    def _problems(self) -> list[str]:
        return list(self._expected.problems(self._retained()))

    def _retained(self) -> dict[str, bytes]:
        """Return what a client that connects now finds retained, by topic."""
        with self._broker.client("home/#", "look") as client:
            client.publish("look", b"")
            client.wait_topic("look")  # behind all that is retained
            return {m.topic: bytes(m.payload) for m in list(client.messages) if m.retain}


def _is_met(condition: Callable[[], bool], timeout: float) -> bool:
    try:
        wait_until(condition, timeout, pause=0.1)
    except AssertionError:
        return False
    return True


def _wait(seconds: float) -> None:
    """Wait for `seconds`."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 5, pause=0.01)
