"""Every command's exit code in every outcome: each row of the table in docs/configuration.md is tried."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import shipped_conf, write_conf
from tests.support.docs import page, rows
from tests.support.gateway_process import GatewayProcess, run_line
from tests.support.peer import Peer, serve
from tests.support.simulation import SimulateProcess
from tests.support.waiting import wait_until

LAMP = ("--function", "lighting", "--location", "office", "--device", "lamp", "--action")
HEAT = ("--function", "heating", "--location", "hall", "--device", "boiler", "--action")
BOILER: Mapping[str, Any] = {
    "type": "serial",
    "port": "/dev/ttyUSB0",
    "address": {"function": "heating", "location": "hall", "device": "boiler"},
    "decode": [
        {
            "regex": "T (?P<t>[0-9.]+)",
            "values": {"t": "float"},
            "message": {"action": "TEMPERATURE", "arguments": {"celsius": "{t}"}},
        },
        {"regex": "N (?P<n>.+)", "message": {"action": "NAME", "device": "{n}"}},
    ],
    "encode": [
        {"match": {"action": "HEAT_ON"}, "write": "H1"},
        {
            "match": {"action": "SET"},
            "write": "S{n}",
            "arguments": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
        },
    ],
}
MAP = '{"root": "home", "topics": ["home/+/+/+/+/panel/C"], %s}'


class Scene:
    """A folder with configurations and maps, and a broker; the commands run there."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.broker = folder, broker
        shipped_conf(folder, "dummy2mqtt.conf", broker.port).rename(folder / "lamp.conf")
        away = free_port()
        write_conf(folder, away, "away", interface={"type": "dummy"}, outbox={"store": "memory"})
        for name, port in ("known", broker.port), ("unknown", away):
            write_conf(folder, port, name, interface={"type": "dummy"}, home_assistant=True, outbox={"store": "memory"})
        write_conf(folder, away, "boiler", interface=dict(BOILER))
        write_conf(folder, away, "nolog", interface={"type": "dummy"}, log={"file": "/no/such/folder/gw.log"})
        write_conf(folder, away, "nobox", interface={"type": "dummy"}, outbox={"file": "/no/such/folder/gw.outbox"})
        site = {"root": "site", "topics": []}
        write_conf(folder, away, "two", interfaces={"a": {"type": "dummy"}, "b": {"type": "dummy", "map": site}})
        (folder / "bad.conf").write_text("interface: {type: dumy}\n")
        (folder / "one.json").write_text(MAP % '"_": ""')
        (folder / "other.json").write_text(MAP % '"action": {"maptype": "loose", "map": {"ON": ["on"]}}')
        (folder / "open.json").write_text(MAP.replace("panel/C", "#") % '"_": ""')
        shutil.copy(
            Path(__file__).parents[1] / "fixtures" / "ini" / "v1-no-map" / "dummy2mqtt.conf", folder / "old.conf"
        )
        self._environment = {**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"),
                             "XDG_RUNTIME_DIR": str(folder)}  # fmt: skip

    def ended(self, line: str) -> int:
        """Return the exit code of a command line."""
        ran = run_line(line.split(), self.folder, self._environment, timeout=30)
        assert "Traceback" not in ran.stdout + ran.stderr, ran.stderr
        return ran.returncode

    def running(self, name: str = "lamp", *arguments: str) -> GatewayProcess:
        return GatewayProcess(self.folder / f"{name}.conf", *arguments)


Outcome: TypeAlias = Callable[[Scene], int]


def command(line: str, *previous: str) -> Outcome:
    """Execute a command, after the commands `previous`."""

    def outcome(scene: Scene) -> int:
        for earlier in previous:
            scene.ended(earlier)
        return scene.ended(line)

    return outcome


def changed_unit(scene: Scene) -> int:
    """Remove the files of the service after a person has changed the unit."""
    unit = scene.folder / "image" / "etc" / "systemd" / "system" / "mqttgateway@.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    return scene.ended("uninstall-service --root image")


def beside_a_gateway(
    line: str, name: str = "lamp", log_text: str = "connected to", *, breaks_it: bool = False, after: str = ""
) -> Outcome:
    """Execute a command while a gateway runs, `after` another one; `breaks_it`: its configuration was made invalid."""

    def outcome(scene: Scene) -> int:
        with scene.running(name) as gateway:
            gateway.wait_log(log_text)
            wait_until((scene.folder / "mqttgateway" / f"{name}.sock").exists)
            if breaks_it:
                shutil.copy(scene.folder / "bad.conf", scene.folder / f"{name}.conf")
            if after:
                scene.ended(after)
            return scene.ended(line)

    return outcome


def stopped(name: str, log_text: str) -> Outcome:
    def outcome(scene: Scene) -> int:
        with scene.running(name) as gateway:
            gateway.wait_log(log_text)
            gateway.process.send_signal(signal.SIGTERM)
            return gateway.wait()

    return outcome


def unconfirmed(scene: Scene) -> int:
    stopped("lamp", "connected to")(scene)
    return scene.ended("outbox purge --conf lamp.conf")


def interrupted(scene: Scene) -> int:
    with scene.running("lamp", "watch") as watch, scene.broker.client() as other:
        other.publish("home/x/availability", b"online", retain=True)
        watch.wait_output("online")
        watch.process.send_signal(signal.SIGINT)
        return watch.wait()


def tap_interrupted(scene: Scene) -> int:
    with scene.running("lamp") as gateway:
        gateway.wait_log("connected to")
        with scene.running("lamp", "tap") as tap:
            tap.wait_output("lamp")
            tap.process.send_signal(signal.SIGINT)
            return tap.wait()


def simulation_interrupted(scene: Scene) -> int:
    with SimulateProcess(scene.folder, "{}", "--tcp", "0") as device:
        return device.end()


def not_taken(scene: Scene) -> int:
    with Peer(serve(pubacks=0)) as peer:
        write_conf(scene.folder, peer.port, "peer", interface={"type": "dummy"})
        return scene.ended(f"send --conf peer.conf {' '.join(LAMP)} LAMP_STATE --status")


def to_lamp(action: str, *more: str, conf: str = "lamp") -> str:
    return " ".join(("send", "--conf", f"{conf}.conf", *LAMP, action, *more))


OUTCOMES: dict[tuple[str, str], tuple[Outcome, ...]] = {
    ("run", "stopped, and every accepted message has reached the broker or is on disk"): (
        stopped("lamp", "connected to"),
    ),
    ("run", "stopped, and messages were lost"): (stopped("away", "no connection to the broker"),),
    ("run", "it cannot start: the log file cannot be opened"): (command("--conf nolog.conf"),),
    ("run", "it cannot start: another gateway is using its outbox"): (beside_a_gateway("--conf lamp.conf"),),
    ("`check`", "the configuration can be used"): (command("check --conf lamp.conf"),),
    ("`check`", "the folder of `log.file` or `outbox.file` does not exist"): (
        command("check --conf nolog.conf"),
        command("check --conf nobox.conf"),
    ),
    ("`check --frame`, `--hex`", "an interface accepts each frame, and its messages can be written"): (
        command("check --conf boiler.conf --frame T\\x2021.5"),
        command("check --conf boiler.conf --hex 542032310d0a"),
    ),
    ("`check --frame`, `--hex`", "a frame is dropped, or one of its messages cannot be written"): (
        command("check --conf boiler.conf --frame HELLO"),
        command("check --conf boiler.conf --hex 48"),
        command("check --conf boiler.conf --frame N\\x20a/b"),
        command("check --conf boiler.conf --frame T\\x2021.5\\r\\nHELLO\\r\\n"),
        command("check --conf lamp.conf --frame T\\x2021.5"),
    ),
    ("`check --action`", "an interface writes the command to its device"): (
        command(f"check --conf boiler.conf {' '.join(HEAT)} HEAT_ON"),
        command(f"check --conf boiler.conf {' '.join(HEAT)} SET --arg n=9"),
        command(f"check --conf lamp.conf {' '.join(LAMP)} LAMP_ON"),
    ),
    ("`check --action`", "the command is rejected, or is not for a device of this gateway"): (
        command(f"check --conf boiler.conf {' '.join(HEAT)} SET --arg n=10"),
        command(f"check --conf boiler.conf {' '.join(HEAT)} SET"),
        command(f"check --conf boiler.conf {' '.join(LAMP)} HEAT_ON"),
        command(f"check --conf boiler.conf {' '.join(HEAT)} HEAT_ON --frame HELLO"),
        command(f"check --conf lamp.conf {' '.join(LAMP)} HEAT_ON"),
        command(f"check --conf lamp.conf {' '.join(HEAT)} LAMP_ON"),
    ),
    ("`watch`", "ended with Ctrl-C, or after N messages (`--count N`)"): (
        interrupted,
        beside_a_gateway("watch --conf lamp.conf --count 1"),
    ),
    ("`watch`", "no broker is available, or it refuses the connection"): (command("watch --conf away.conf"),),
    ("`tap`", "ended with Ctrl-C, after N messages (`--count N`) or S seconds (`--for S`)"): (
        tap_interrupted,
        beside_a_gateway("tap --conf lamp.conf --for 0.1"),
        beside_a_gateway("tap --conf lamp.conf --count 1"),
    ),
    ("`tap`", "no such gateway runs, or too many follow it already"): (command("tap --conf lamp.conf"),),
    ("`simulate`", "ended with Ctrl-C or SIGTERM, or with its terminal"): (simulation_interrupted,),
    ("`simulate`", "the port cannot be created"): (command("simulate modbus2mqtt.sim --pty one.json"),),
    ("`send`", "the answer is `OK`"): (beside_a_gateway(to_lamp("LAMP_ON")),),
    ("`send`", "the broker has the message (`--status`, or `--wait 0`)"): (
        command(to_lamp("LAMP_STATE", "--status")),
        command(to_lamp("LAMP_ON", "--wait", "0")),
    ),
    ("`send`", "the answer is not `OK`"): (beside_a_gateway(to_lamp("LAMP_STATE")),),
    ("`send`", "no answer has arrived"): (command(to_lamp("LAMP_ON", "--wait", "0.2")),),
    ("`send`", "the map cannot write the message"): (command(to_lamp("LAMP_ON", "--location", "a/b")),),
    ("`send`", "no broker is available, or it does not accept the message"): (
        command(to_lamp("LAMP_ON", conf="away")),
        not_taken,
    ),
    ("`status`", "the gateway is well; with `--alive`: it does not hang"): (
        beside_a_gateway("status lamp"),
        beside_a_gateway("status boiler --alive", "boiler", "cannot open"),
    ),
    ("`status`", "the gateway is degraded"): (beside_a_gateway("status lamp", after="interface close lamp dummy"),),
    ("`status`", "the gateway is down, or none with this name is running on this machine"): (
        beside_a_gateway("status boiler", "boiler", "cannot open"),
        command("status away"),
        command("status away --alive"),
    ),
    ("`forget`, `reload`, `interface`, `log-level`", "success"): (
        beside_a_gateway("interface restart lamp dummy"),
        beside_a_gateway("log-level lamp debug --part mqtt"),
        beside_a_gateway("forget lamp home/lamp/attic/availability"),
        beside_a_gateway("reload lamp"),
    ),
    ("`forget`, `reload`, `interface`, `log-level`", "no gateway with this name is running on this machine"): (
        command("interface open away dummy"),
        command("log-level away info"),
        command("forget away attic"),
        command("reload away"),
        command("reload --conf away.conf"),
    ),
    ("`interface`, `log-level`", "the gateway has no such interface, or its log no such part"): (
        beside_a_gateway("interface close lamp nope"),
        beside_a_gateway("log-level lamp info --part nope"),
    ),
    ("`diag`", "the archive is written, whether the gateway runs or not"): (command("diag lamp -o report.zip"),),
    ("`diag`", "the archive exists already, or cannot be written"): (
        command("diag lamp -o report.zip", "diag lamp -o report.zip"),
        command("diag lamp -o none/report.zip"),
    ),
    ("`forget`", "the gateway refuses: the topic was never retained, is still published, or does not belong to it"): (
        beside_a_gateway("forget lamp attic"),
        beside_a_gateway("forget lamp home/lamp/run"),
        beside_a_gateway("forget lamp house/lamp/x"),
    ),
    ("`reload`", "the configuration is wrong, according to the running gateway"): (
        beside_a_gateway("reload lamp", breaks_it=True),
        beside_a_gateway("reload --conf lamp.conf", breaks_it=True),
    ),
    ("`outbox`", "success, or the outbox is still empty"): (
        beside_a_gateway("outbox list lamp"),
        beside_a_gateway("outbox retry lamp"),
        command("outbox list --conf lamp.conf"),
        command("outbox export --conf lamp.conf"),
    ),
    ("`outbox`", "this configuration has no outbox on disk"): (command("outbox list --conf away.conf"),),
    ("`outbox list NAME`, `retry NAME`", "no gateway with this name is running on this machine"): (
        command("outbox list away"),
        command("outbox retry away"),
    ),
    ("`outbox retry`", "the gateway is running, and its outbox is in memory"): (
        beside_a_gateway("outbox retry away", "away", "no connection to the broker"),
    ),
    ("`outbox export`, `purge`", "the gateway is running and using its outbox"): (
        beside_a_gateway("outbox export --conf lamp.conf"),
        beside_a_gateway("outbox purge --conf lamp.conf --yes"),
    ),
    ("`outbox purge`", "not confirmed with `--yes`"): (unconfirmed,),
    ("`map check`", "the map has no errors or warnings; notes are possible"): (command("map check one.json"),),
    ("`map check`", "there is an error or a warning"): (command("map check open.json"),),
    ("`map explain`", "the message is received, or sent, by one map"): (
        command("map explain --map one.json home/a/b/c/d/panel/C on"),
        command("map explain --map one.json --action ON"),
    ),
    ("`map explain`", "it is not"): (
        command("map explain --map one.json home/a/b/c/d/other/C on"),
        command("map explain --map one.json --action ON --location a/b"),
    ),
    ("`map diff`", "the two maps are equivalent"): (command("map diff one.json one.json"),),
    ("`map diff`", "they are not"): (command("map diff one.json other.json"),),
    ("`ha --migrate`", "the broker has everything in the form of the configuration"): (
        beside_a_gateway("ha --conf known.conf --migrate", "known"),
    ),
    (
        "`ha --migrate`",
        "no gateway with this name is running, nothing is announced, or the broker does not have everything",
    ): (
        command("ha --conf known.conf --migrate"),
        beside_a_gateway("ha --conf lamp.conf --migrate"),
        beside_a_gateway("ha --conf unknown.conf --migrate", "unknown", "no connection"),
    ),
    ("`uninstall-service`", "the files are removed, or were not there"): (command("uninstall-service --root image"),),
    ("`uninstall-service`", "a file is left, because it was changed"): (changed_unit,),
    ("`map graph`, `options`, `migrate`, `ha`", "success"): (
        command("map graph one.json --svg map.svg"),
        command("options"),
        command("migrate old.conf"),
        command("ha --conf lamp.conf"),
    ),
    ("`map graph`, `migrate`", "a file cannot be written, or already exists"): (
        command("map graph one.json --svg /no/such/folder/map.svg"),
        command("migrate old.conf", "migrate old.conf"),
    ),
    ("`migrate`", "the configuration is YAML already"): (command("migrate lamp.conf"),),
    ("any", "an unknown option, command, interface or value, or a required option is missing"): (
        command("--nope"),
        command("chekc --conf lamp.conf"),
        command("check"),
        command("check --conf lamp.conf --interface x"),
        command(f"check --conf boiler.conf {' '.join(HEAT)} HEAT_ON --interface x"),
        command("check --conf lamp.conf --location office"),
        command("check --conf lamp.conf --hex xyz"),
        command(to_lamp("LAMP_ON", "--interface", "x")),
        command(to_lamp("LAMP_ON", "--wait", "-1")),
        command("send --conf lamp.conf --function lighting --device lamp"),
        command(to_lamp("LAMP_ON", conf="two")),
        command("watch --conf lamp.conf --count 0"),
        command("watch --conf lamp.conf --topic a#"),
        command("tap --conf lamp.conf --topic a#"),
        command("outbox nope --conf lamp.conf"),
        command("map"),
        command("map explain --map one.json"),
        command("map graph one.json --interface x"),
        command("migrate"),
    ),
    ("any", "a configuration or map that is wrong or does not exist"): (
        command("--conf bad.conf"),
        command("check --conf nope.conf"),
        command("watch --conf bad.conf"),
        command("send --conf bad.conf --action X"),
        command("outbox list --conf bad.conf"),
        command("map check nope.json"),
        command("map explain --map bad.conf a b"),
        command("map diff one.json nope.json"),
        command("map graph nope.json"),
        command("migrate nope.conf"),
    ),
}


def _table() -> dict[tuple[str, str], int]:
    section = page("docs/configuration.md").section("### Exit codes of each command")
    return {(cells[0], cells[1]): int(cells[2]) for cells in rows(section)}


def test_the_page_and_this_test_list_the_same_outcomes() -> None:
    assert list(_table()) == list(OUTCOMES)


@pytest.mark.parametrize(
    ("outcome", "attempt"),
    [(outcome, number) for outcome, tries in OUTCOMES.items() for number in range(len(tries))],
    ids=[
        f"{what}-{outcome[:30]}-{number}" for (what, outcome), tries in OUTCOMES.items() for number in range(len(tries))
    ],
)
def test_an_outcome_has_its_exit_code(
    outcome: tuple[str, str], attempt: int, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    assert OUTCOMES[outcome][attempt](Scene(tmp_path, mosquitto)) == _table()[outcome]
