from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli.main import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, EXIT_USAGE, main
from gateway.core.paths import shipped, shipped_configurations
from tests.support.broker import Mosquitto, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("root_logger")

GOOD = "root: home\ntopics: [home/#]\ninterface: {type: dummy}\n"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid configuration in the current folder, for a broker that does not run; no other file can be found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    path = tmp_path / "gw.conf"
    path.write_text(f"{GOOD}mqtt: {{port: {free_port()}, connect_timeout: 2}}\n")
    return path


class Result:
    """The output of a command, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """Run the command in this process."""
    try:
        code = main(arguments)
    except SystemExit as err:  # as argparse ends for --help and for a wrong command line
        code = int(err.code or 0)
    out, err_text = capsys.readouterr()
    return Result(code, out, err_text)


def run_process(*arguments: str, out: int = subprocess.PIPE) -> Result:
    """Run the command as a user does, in its own process."""
    command = [sys.executable, "-m", "gateway", *arguments]
    done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=30)
    return Result(done.returncode, done.stdout or "", done.stderr)


# --- done: 0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "--version")
    assert (result.code, result.out) == (EXIT_OK, f"mqttgateway {__version__}\n")


def test_the_help_is_worth_reading(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "--help")
    assert result.code == EXIT_OK
    for text in ("run a gateway", "exit codes: 0 done", "$XDG_CONFIG_HOME/mqttgateway", *shipped_configurations()):
        assert text in result.out


@pytest.mark.parametrize("command", ["check", "watch", "send", "options"])
def test_every_command_has_a_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, command, "--help")
    assert result.code == EXIT_OK
    assert result.out.startswith(f"usage: mqttgateway {command}")


def test_all_options(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "options")
    assert (result.code, result.out) == (EXIT_OK, (shipped("conf") / "default.conf").read_text())


@pytest.mark.parametrize(
    ("mqtt", "broker", "protocol"),
    [
        ("servers: [a, 'b:1884']", "a:1883, then b:1884", "MQTT 5; MQTT 3.1.1 if the broker refuses it"),
        ("version: 3.1.1", "127.0.0.1:1883", "MQTT 3.1.1"),
        ("session_expiry: 0", "127.0.0.1:1883", "MQTT 5; "),
        (
            "transport: websockets, path: /ws, tls: {enabled: true}",
            "127.0.0.1:1883 with websockets at /ws and TLS",
            "MQTT 5; ",
        ),
        ("transport: unix, host: /run/mqtt.sock", "/run/mqtt.sock", "MQTT 5; "),
    ],
)
def test_check_shows_how_the_broker_is_reached(
    mqtt: str, broker: str, protocol: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text(f"root: home\ntopics: []\ninterface: {{type: dummy}}\nmqtt: {{{mqtt}}}\n")
    lines = run(capsys, "check", "--conf", "gw.conf").out.splitlines()
    assert f"  broker        {broker}" in lines
    assert [line for line in lines if line.startswith(f"  protocol      {protocol}")]


DEVICES = """\
root: home
topics: [home/#]
interface:
  type: serial
  port: loop://
  decode:
    - {regex: "B(?P<volts>.*)", values: {volts: float}, message: {action: BATTERY, arguments: {volts: "{volts}"}}}
    - {regex: "C(?P<card>.*)", message: {action: CARD, arguments: {number: "{card}"}}}
    - {regex: "R", message: {action: RING}}
  encode:
    - {match: {action: LEVEL}, arguments: {level: {type: integer, minimum: 0, maximum: 10}}, write: "L{level}"}
    - {match: {action: MODE}, arguments: {mode: {choices: [eco, day]}}, write: "M{mode}"}
    - {match: {action: OPEN}, write: "O"}
    - {match: {action: CLOSE}, write: "C"}
  devices:
    - id: "{device}"
      name: "Room {device}"
      address: {device: "{device}"}
      points:
        level: {write: LEVEL.level, assumed: true, unit: "%"}
        mode: {write: MODE.mode}
        gate: {write: {OPEN: true, CLOSE: false}}
        bell: {write: OPEN}
        battery: {from: BATTERY.volts, type: number, unit: V}
        visitor: {from: [CARD.number, RING], type: event}
"""


def test_check_shows_the_devices_with_their_points(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text(DEVICES)
    result = run(capsys, "check", "--conf", "gw.conf")
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out.partition("    device ")[2] == (
        "     {device} (Room {device})\n"
        "                added at the first reading, at most 100 devices\n"
        "                home/gw/{device}/state\n"
        "                home/gw/{device}/availability\n"
        "                home/gw/{device}/outcome\n"
        "                home/gw/{device}/event\n"
        "      level    integer in %, 0 to 10, written by LEVEL.level, assumed after a command\n"
        "      mode     choice, one of eco, day, written by MODE.mode\n"
        "      gate     boolean, written by OPEN (true), CLOSE (false)\n"
        "      bell     event, written by OPEN\n"
        "      battery  number in V, from BATTERY.volts\n"
        "      visitor  event, from CARD.number, RING\n"
    )


def test_check_explains_which_method_a_command_calls(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lamp = ("check", "--conf", "gw.conf", "--device", "lamp", "--location", "office", "--action")
    result = run(capsys, *lamp, "LAMP_ON")
    assert (result.code, result.out) == (EXIT_OK, "command -/-/office/lamp/- LAMP_ON\n  calls switch_on()\n")
    result = run(capsys, *lamp, "LAMP_ON", "--arg", "level=5")
    assert (result.code, result.out.splitlines()[1:]) == (
        EXIT_FAILED,
        ["  refused: argument 'level' is unknown: this command has no arguments"],
    )
    result = run(capsys, "check", "--conf", "gw.conf", "--device", "door", "--action", "LAMP_ON")
    assert result.code == EXIT_FAILED
    assert (
        "  for another device: the commands of this interface are for device 'lamp', location 'office'; " in result.out
    )


@pytest.mark.parametrize("option", [("--frame", "x"), ("--action", "X")])
def test_a_class_that_cannot_explain_is_a_finding(
    option: tuple[str, str], conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("from gateway.api import DeviceInterface", "class Door(DeviceInterface):",
             "    explain_frame = explain_command = classmethod(lambda cls, params, data: 1 / 0)")  # fmt: skip
    Path("door.py").write_text("\n".join(lines))
    conf.write_text(GOOD.replace("dummy", "door.py"))
    result = run(capsys, "check", "--conf", "gw.conf", *option)
    path = conf.with_name("door.py")
    what = f"{path}: the class Door fails: ZeroDivisionError: division by zero ({path}:3): fix its explain_frame(), "
    assert (result.code, result.err) == (EXIT_CONFIGURATION, f"{what}explain_command() or addresses()\n")


def test_check_summarises_what_a_gateway_would_do(
    conf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/mqttgateway")
    conf.write_text("name: entry\nroot: home\ntopics: [home/+/#]\ninterfaces: {a: {type: dummy, sender: me}}\n")
    result = run(capsys, "check", "--conf", "gw.conf")
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out == (
        "gw.conf: OK\n"
        "  gateway       entry, client id entry\n"
        "  broker        127.0.0.1:1883\n"
        "  protocol      MQTT 5; MQTT 3.1.1 if the broker refuses it\n"
        "  outbox        /var/lib/mqttgateway/entry.outbox (when systemd runs the gateway)\n"
        "  availability  home/entry/availability\n"
        "                home/entry/a/availability\n"
        "  interface     a (interfaces.dummy_interface.DummyInterface)\n"
        "    root        home\n"
        "    sender      me\n"
        "    subscribes  home/+/#\n"
        "    device      a_lamp (Lamp)\n"
        "                home/entry/a_lamp/state\n"
        "                home/entry/a_lamp/availability\n"
        "                home/entry/a_lamp/outcome\n"
        "      on      boolean, from LAMP_STATE.on, written by LAMP_ON (true), LAMP_OFF (false)\n"
        "      uptime  integer in s, from LAMP_STATE.uptime\n"
    )


def test_check_has_a_note_where_a_lane_cannot_hold(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text(
        "map:\n  root: home\n  topics: []\n  delivery:\n    - {match: {action: BELL}, lane: reply}\n"
        "    - {match: {action: V}, lane: latest}\ninterface: {type: dummy}\n"
    )
    notes = [line for line in run(capsys, "check", "--conf", "gw.conf").out.splitlines() if line.startswith("  note ")]
    assert [note.partition(": ")[0] for note in notes] == ["  note          delivery[0]", "  note          delivery[1]"]
    assert "its lane reply has no effect within one topic" in notes[0]
    assert "its lane latest has no effect within one topic" in notes[1]


@pytest.mark.parametrize("name", shipped_configurations())
def test_check_accepts_every_shipped_configuration_from_any_folder(
    name: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "check", "--conf", name).code == EXIT_OK


def test_a_level_may_be_written_in_capitals(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--log-level", "DEBUG", "check", "--conf", "gw.conf").code == EXIT_OK


def test_options_may_stand_before_the_command_or_behind_it(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--conf", "gw.conf", "check"], ["check", "--conf", "gw.conf"]):
        assert run(capsys, *arguments).out.startswith("gw.conf: OK")


# --- wrong command line: 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "mqttgateway: which configuration? give --conf FILE, for example --conf dummy2mqtt.conf"),
        (["check"], "mqttgateway: which configuration? give --conf FILE, for example --conf dummy2mqtt.conf"),
        (["forget", "boiler"], "mqttgateway: forget needs a gateway and a topic: mqttgateway forget NAME DEVICE|TOPIC"),
        (["status"], "mqttgateway: which gateway? give its NAME, or --conf FILE"),
        (["reload"], "mqttgateway: which gateway? give its NAME, or --conf FILE"),
        (["outbox", "list"], "mqttgateway: which gateway? give its NAME, or --conf FILE"),
        (["--conf"], "mqttgateway: argument --conf: expected one argument"),
        (["--nope"], "mqttgateway: unrecognized arguments: --nope"),
        (
            ["watch", "--conf", "gw.conf", "--count", "0"],
            "mqttgateway watch: argument --count: expected a whole number of at least 1, found '0'",
        ),
        (
            ["watch", "--conf", "gw.conf", "--count", "1.5"],
            "mqttgateway watch: argument --count: expected a whole number of at least 1, found '1.5'",
        ),
        (
            ["send", "--conf", "gw.conf", "--wait", "long"],
            "mqttgateway send: argument --wait: expected seconds from 0 to 86400, such as 5, found 'long'",
        ),
        (
            ["gw.conf"],
            (
                "mqttgateway: 'gw.conf' is not known here: run a configuration with 'mqttgateway --conf gw.conf', "
                "check it with 'mqttgateway check --conf gw.conf'"
            ),
        ),
        (
            ["-c", "gw.conf"],
            (
                "mqttgateway: 'gw.conf' is not known here: run a configuration with 'mqttgateway --conf gw.conf', "
                "check it with 'mqttgateway check --conf gw.conf'"
            ),
        ),
        (["-c"], "mqttgateway: unrecognized arguments: -c: did you mean '--conf'?"),
        (["-v"], "mqttgateway: unrecognized arguments: -v: did you mean '--version'?"),
        (["--verison"], "mqttgateway: unrecognized arguments: --verison: did you mean '--version'?"),
        (["chekc", "--conf", "gw.conf"], "mqttgateway: 'chekc' is not known here: did you mean 'check'?"),
        (
            ["run", "--conf", "gw.conf"],
            "mqttgateway: 'run' is not known here: a gateway is run without a command: mqttgateway --conf FILE",
        ),
        (["help"], "mqttgateway: 'help' is not known here: did you mean '--help'?"),
        (
            ["check", "gw.conf"],
            "mqttgateway check: unrecognized arguments: gw.conf: did you mean --conf gw.conf?",
        ),
        (["check", "-c", "gw.conf"], "mqttgateway check: unrecognized arguments: -c gw.conf: did you mean '--conf'?"),
        (
            ["check", "--config=gw.conf"],
            "mqttgateway check: unrecognized arguments: --config=gw.conf: did you mean '--conf'?",
        ),
        (
            ["send", "--conf", "gw.conf", "--locaton", "hall"],
            "mqttgateway send: unrecognized arguments: --locaton hall: did you mean '--location'?",
        ),
        (
            ["send", "--conf", "gw.conf", "LAMP_ON"],
            "mqttgateway send: unrecognized arguments: LAMP_ON: did you mean --action LAMP_ON?",
        ),
        (
            ["map", "gw.conf"],
            "mqttgateway map: 'gw.conf' is not known here: to check it: mqttgateway map check gw.conf",
        ),
        (["map", "chek", "a.json"], "mqttgateway map: 'chek' is not known here: did you mean 'check'?"),
        (
            ["map", "check", "--conf", "gw.conf"],
            (
                "mqttgateway map check: unrecognized arguments: --conf: 'mqttgateway map check' takes its file without "
                "this option"
            ),
        ),
        (["outbox", "lst", "--conf", "gw.conf"], "mqttgateway outbox: 'lst' is not known here: did you mean 'list'?"),
        (
            ["--log-level", "warn", "--conf", "gw.conf"],
            "mqttgateway: 'warn' is not known here: did you mean 'warning'?",
        ),
        (
            ["send", "--conf", "gw.conf", "--wait", "nan"],
            "mqttgateway send: argument --wait: expected seconds from 0 to 86400, such as 5, found 'nan'",
        ),
    ],
)
def test_a_wrong_command_line_gives_one_line_and_names_the_help(
    arguments: list[str], error: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, *arguments)
    command = error.partition(":")[0]
    assert (result.code, result.out, result.err) == (EXIT_USAGE, "", f"{error}\nTry '{command} --help'.\n")


@pytest.mark.parametrize("arguments", [["nope"], ["--log-level", "loud", "check"]])
def test_a_wrong_choice_lists_the_valid_ones(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, *arguments)
    assert result.code == EXIT_USAGE
    assert "invalid choice" in result.err
    assert ("check" if arguments == ["nope"] else "debug") in result.err


# --- wrong configuration: 78


@pytest.mark.parametrize("command", [[], ["check"], ["watch"], ["send"]])
def test_all_errors_of_a_configuration_are_reported_with_their_places(
    command: list[str], conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text("root: home\ntopics: [home/#]\ninterface: {type: dumy}\nmqtt:\n  prt: 1\n")
    result = run(capsys, *command, "--conf", "gw.conf")
    assert (result.code, result.out) == (EXIT_CONFIGURATION, "")
    assert result.err == (
        "gw.conf:3:19: interface.type: no interface is called 'dumy': did you mean 'dummy'?\n"
        "gw.conf:5:3: mqtt.prt: unknown option: did you mean 'port'?\n"
    )


def test_for_a_missing_configuration_the_searched_folders_are_listed(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, "--conf", "nope.conf")
    assert (result.code, result.out) == (EXIT_CONFIGURATION, "")
    assert result.err.startswith(f"nope.conf: no such file (looked in ., {conf.parent}/.config/mqttgateway, /etc/mqttg")


def test_a_folder_instead_of_a_file_is_reported(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "check", "--conf", str(conf.parent))
    assert result.code == EXIT_CONFIGURATION
    assert result.err == f"{conf.parent}: it is a folder: name the file in it\n"


@pytest.mark.parametrize("name", ["", "a\0b", "~no-such-user/x.conf", "x" * 5000])
def test_a_name_that_no_file_can_have_is_not_found(name: str, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "check", "--conf", name)
    assert result.code == EXIT_CONFIGURATION
    assert "no such file" in result.err


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"\0", b"a: [", b"a: b: c", b"[" * 5000, b"{" * 5000, b"\t", b"a" * 100]
)
def test_a_file_that_is_no_configuration_is_reported(
    content: bytes, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_bytes(content)
    result = run(capsys, "check", "--conf", "gw.conf")
    assert result.code == EXIT_CONFIGURATION
    assert result.err.startswith("gw.conf:")


def test_an_invalid_message_on_the_command_line_is_reported(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "send", "--conf", "gw.conf", "--action", "A", "--arg", "level")
    assert result.code == EXIT_USAGE
    assert result.err == "mqttgateway: --arg: 'level' is not NAME=VALUE: for example --arg level=50\n"
    result = run(capsys, "send", "--conf", "gw.conf", "--interface", "x")
    assert result.code == EXIT_USAGE
    assert result.err == "mqttgateway: --interface: no interface is called 'x': there are: dummy\n"


@pytest.mark.parametrize("option", ["--frame=\\x", "--hex=xyz", "--frame=\\u1234", "--frame=é"])
def test_an_invalid_frame_on_the_command_line_is_reported(
    option: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, "check", "--conf", "gw.conf", option)
    if option == "--frame=é":
        assert result.code == EXIT_FAILED, "the dummy explains no frames"
    else:
        assert result.code == EXIT_USAGE
        assert "is not bytes" in result.err


def test_check_leaves_out_what_is_no_value_of_a_point(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = "{regex: 'T (?P<t>.*) (?P<h>.*)', values: {'*': auto}, message: {action: T, arguments: '*'}}"
    device = "{id: hall, points: {t: {from: T.t, unit: V, none: [-127]}, h: {from: T.h, unit: V}}}"
    conf.write_text(
        "root: home\ntopics: []\ninterface:\n  type: serial\n  port: /dev/a\n  reading_time: {argument: at}\n"
        f"  decode: [{rule}]\n  devices: [{device}]\n"
    )
    result = run(capsys, "check", "--conf", "gw.conf", "--frame", "T -127 40\\n")
    assert result.code == EXIT_OK
    assert "\n  left out: the point hall.t: -127 is no value\n  status -/-/-/-/- T h=40 at='" in result.out
    assert '    payload  {"action": "T", "h": 40, "at": "' in result.out
    result = run(capsys, "check", "--conf", "gw.conf", "--frame", "T -127 wet\\n")
    assert result.code == EXIT_FAILED
    assert "\n  left out: the point hall.h: 'wet' is no number of the point\n" in result.out
    assert result.out.endswith("  not sent: no value is left of status -/-/-/-/- T t=-127 h='wet'\n")


# --- several interfaces


@pytest.fixture
def two_boilers(conf: Path) -> Path:
    rules = 'decode: [{regex: "T (?P<t>.+)", message: {action: T}}], encode: [{match: {action: HEAT}, write: H}]'
    conf.write_text(
        "root: home\ntopics: []\ninterfaces:\n"
        f"  hall: {{type: serial, port: /dev/a, address: {{location: hall}}, {rules}}}\n"
        f"  attic: {{type: serial, port: /dev/b, address: {{location: attic}}, {rules.replace('T (', 'X (')}}}\n"
    )
    return conf


def test_without_a_name_all_interfaces_are_tried(two_boilers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "check", "--conf", "gw.conf", "--frame", "X 1")
    assert result.code == EXIT_OK
    hall, attic = result.out.split("attic:\n")
    assert hall.startswith("hall:\n") and "dropped: no rule matches\nthe nearest rule is " in hall
    assert "  status -/-/attic/-/- T\n" in attic
    result = run(capsys, "check", "--conf", "gw.conf", "--location", "attic", "--action", "HEAT")
    assert result.code == EXIT_OK
    assert (
        "hall:\ncommand -/-/attic/-/- HEAT\nnot for this device: no encode rule has these words\nattic:\n" in result.out
    )


def test_with_a_name_one_interface_is_tried(two_boilers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "check", "--conf", "gw.conf", "--frame", "X 1", "--interface", "hall")
    assert (result.code, "attic" in result.out, "hall:" in result.out) == (EXIT_FAILED, False, False)
    assert run(capsys, "check", "--conf", "gw.conf", "--frame", "X 1", "--interface", "attic").code == EXIT_OK
    result = run(capsys, "check", "--conf", "gw.conf", "--interface", "hall")
    assert (result.code, "  interface     hall (" in result.out, "attic" in result.out) == (EXIT_OK, True, False)


# --- failed: 1


@pytest.mark.parametrize("command", [["watch"], ["send", "--action", "A"]])
def test_without_a_broker_the_command_fails_with_the_reason(
    command: list[str], conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, *command, "--conf", "gw.conf")
    assert result.code == EXIT_FAILED
    assert result.err.startswith("mqttgateway: nothing listens at 127.0.0.1:")
    assert result.err.endswith(": is the broker running, and mqtt.port right?\n")


def test_a_message_that_the_map_cannot_write_is_not_sent(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "send", "--conf", "gw.conf", "--location", "a/b", "--action", "A")
    assert result.code == EXIT_FAILED
    assert result.err == "mqttgateway: not sent: location: 'a/b': '/' is not allowed in a topic\n"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("missing/gw.log", "No such file or directory"),
        (".", "Is a directory"),
        ("~no-such-user/gw.log", "No such file or directory"),
        ("a\\0b", "its name contains a NUL character"),
    ],
)
def test_a_log_file_that_cannot_be_opened_fails(
    file: str, reason: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text(f'{GOOD}log: {{file: "{file}"}}\n')
    result = run(capsys, "--conf", "gw.conf")
    assert result.code == EXIT_FAILED
    name = ascii(file.replace("\\0", "\0"))
    remedy = "correct log.file, or create its folder"
    assert result.err == f"mqttgateway: the log file {name} cannot be opened: {reason}: {remedy}\n"


# --- as a process


def test_exit_codes_of_the_process(conf: Path) -> None:
    bad = conf.with_name("bad.conf")
    bad.write_text("interface: {type: dummy}\n")
    assert run_process("check", "--conf", str(conf)).code == 0
    assert run_process("send", "--conf", str(conf), "--action", "A").code == 1
    assert run_process("--nope").code == 2
    assert run_process("--conf", str(bad)).code == 78


def test_a_file_name_that_is_not_utf_8_is_reported(conf: Path) -> None:
    result = run_process("check", "--conf", "\udcff.conf")
    assert result.code == EXIT_CONFIGURATION
    assert result.err.startswith("\\udcff.conf: no such file")
    conf.rename("\udcff.conf")
    result = run_process("check", "--conf", "\udcff.conf")
    assert result.code == EXIT_CONFIGURATION
    assert "cannot be the sender of messages" in result.err
    Path("\udcff.conf").write_text(f"name: gw\n{GOOD}")
    result = run_process("check", "--conf", "\udcff.conf")
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out.startswith("\\udcff.conf: OK\n")


@pytest.mark.parametrize("arguments", [["options"], ["check", "--conf", "dummy2mqtt.conf"]])
def test_a_closed_standard_output_is_no_error(arguments: list[str], conf: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = run_process(*arguments, out=writing)
    finally:
        os.close(writing)
    assert (result.code, result.err) == (EXIT_OK, "")


@pytest.mark.parametrize("arguments", [["options"], ["check", "--conf", "dummy2mqtt.conf"]])
def test_a_full_disk_is_reported(arguments: list[str], conf: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        result = run_process(*arguments, out=full)
    finally:
        os.close(full)
    assert (result.code, result.err) == (EXIT_FAILED, "mqttgateway: standard output: No space left on device\n")


def test_other_characters_are_escaped_for_an_ascii_terminal(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write_text("name: Küche\n" + GOOD)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = run_process("check", "--conf", "gw.conf")
    assert result.code == EXIT_OK
    assert "K\\xfcche, client id K\\xfcche" in result.out


@pytest.fixture
def running(conf: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A gateway with the most detailed log and with secrets of every kind, which has published some statuses."""
    monkeypatch.setenv("PASSWORD", "hunter2-a")
    monkeypatch.setenv("CODE", "hunter2-b")
    good = GOOD.replace("dummy", 'dummy, location: "${CODE}", interval: 0.1')
    conf.write_text(
        f"{good}"
        f'mqtt: {{port: {mosquitto.port}, username: u, password: "${{PASSWORD}}"}}\n'
        "log: {level: debug, traffic: true, file: gw.log}\n"
    )
    log = conf.with_name("gw.log")
    command = [sys.executable, "-m", "gateway", "--conf", "gw.conf"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:

            def is_under_way() -> bool:
                assert process.poll() is None, process.communicate()
                text = log.read_text() if log.exists() else ""
                return "connected to" in text and text.count("LAMP_STATE") >= 2

            wait_until(is_under_way)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_runs_until_a_signal_stops_it(number: signal.Signals, running: subprocess.Popen[str]) -> None:
    running.send_signal(number)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (EXIT_OK, "")
    assert "started with gw.conf" in err
    assert "stopped; " in err
    assert "Traceback" not in err


def test_a_run_logs_no_secret(running: subprocess.Popen[str], conf: Path) -> None:
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=20)
    written = err + conf.with_name("gw.log").read_text()
    assert "status lighting/-/***/lamp/- LAMP_STATE" in written
    assert "hunter2" not in written


@pytest.mark.parametrize("section", ["log", "outbox"])
def test_check_reports_a_missing_folder_and_does_not_create_it(
    section: str, conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text(
        f"root: home\ntopics: []\ninterface: {{type: dummy}}\nmqtt: {{port: 1}}\n"
        f"{section}: {{file: {tmp_path}/none/gw.file}}\n"
    )
    result = run(capsys, "check", "--conf", "gw.conf")
    assert (result.code, result.out) == (EXIT_CONFIGURATION, "")
    assert result.err == (
        f"gw.conf:5:{len(section) + 10}: {section}.file: there is no folder {tmp_path}/none: "
        "create it, or set another file\n"
    )
    result = run(capsys, "--conf", "gw.conf")
    assert result.code == EXIT_FAILED, "the disk that it is on may come later: the service tries again"
    assert "folder" in result.err
    assert not (tmp_path / "none").exists()
