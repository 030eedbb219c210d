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
    """A good configuration in the current folder, for a broker that is not there; no other is to be found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    path = tmp_path / "gw.conf"
    path.write_text(f"{GOOD}mqtt: {{port: {free_port()}, connect_timeout: 2}}\n")
    return path


class Said:
    """What a command has said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    """Run the command in this process."""
    try:
        code = main(arguments)
    except SystemExit as err:  # as argparse ends for --help and for a wrong command line
        code = int(err.code or 0)
    out, err_text = capsys.readouterr()
    return Said(code, out, err_text)


def run_process(*arguments: str, out: int = subprocess.PIPE) -> Said:
    """Run the command as a user does, in a process of its own."""
    command = [sys.executable, "-m", "gateway", *arguments]
    done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=30)
    return Said(done.returncode, done.stdout or "", done.stderr)


# --- done: 0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "--version")
    assert (said.code, said.out) == (EXIT_OK, f"mqttgateway {__version__}\n")


def test_the_help_is_worth_reading(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "--help")
    assert said.code == EXIT_OK
    for text in ("run a gateway", "exit codes: 0 done", "$XDG_CONFIG_HOME/mqttgateway", *shipped_configurations()):
        assert text in said.out


@pytest.mark.parametrize("command", ["check", "watch", "send", "options"])
def test_every_command_has_a_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, command, "--help")
    assert said.code == EXIT_OK
    assert said.out.startswith(f"usage: mqttgateway {command}")


def test_all_options(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "options")
    assert (said.code, said.out) == (EXIT_OK, (shipped("conf") / "default.conf").read_text())


@pytest.mark.parametrize(
    ("mqtt", "broker", "protocol"),
    [
        ("servers: [a, 'b:1884']", "a:1883, then b:1884", "MQTT 5; MQTT 3.1.1 where that is refused"),
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
def test_check_says_how_the_broker_is_reached(
    mqtt: str, broker: str, protocol: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text(f"root: home\ntopics: []\ninterface: {{type: dummy}}\nmqtt: {{{mqtt}}}\n")
    lines = run(capsys, "check", "--conf", "gw.conf").out.splitlines()
    assert f"  broker        {broker}" in lines
    assert [line for line in lines if line.startswith(f"  protocol      {protocol}")]


def test_check_says_what_a_gateway_would_do(
    conf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/mqttgateway")
    conf.write_text("name: entry\nroot: home\ntopics: [home/+/#]\ninterfaces: {a: {type: dummy, sender: me}}\n")
    said = run(capsys, "check", "--conf", "gw.conf")
    assert (said.code, said.err) == (EXIT_OK, "")
    assert said.out == (
        "gw.conf: good\n"
        "  gateway       entry, client id entry\n"
        "  broker        127.0.0.1:1883\n"
        "  protocol      MQTT 5; MQTT 3.1.1 where that is refused\n"
        "  outbox        /var/lib/mqttgateway/entry.outbox (where systemd runs it)\n"
        "  availability  home/entry/availability\n"
        "                home/entry/a/availability\n"
        "  interface     a (interfaces.dummy_interface.DummyInterface)\n"
        "    root        home\n"
        "    sender      me\n"
        "    subscribes  home/+/#\n"
    )


def test_check_has_a_note_where_a_lane_cannot_hold(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text(
        "map:\n  root: home\n  topics: []\n  delivery:\n    - {match: {action: BELL}, lane: reply}\n"
        "    - {match: {location: hall}, lane: latest}\ninterface: {type: dummy}\n"
    )
    notes = [line for line in run(capsys, "check", "--conf", "gw.conf").out.splitlines() if line.startswith("  note ")]
    assert [note.partition(": ")[0] for note in notes] == ["  note          delivery[0]", "  note          delivery[1]"]
    assert "its lane reply has no effect within one topic" in notes[0]
    assert "only the newest message of each topic is kept" in notes[1]


@pytest.mark.parametrize("name", shipped_configurations())
def test_check_takes_every_shipped_configuration_from_any_folder(
    name: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "check", "--conf", name).code == EXIT_OK


def test_a_level_may_be_written_in_capitals(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--log-level", "DEBUG", "check", "--conf", "gw.conf").code == EXIT_OK


def test_options_may_stand_before_the_command_or_behind_it(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--conf", "gw.conf", "check"], ["check", "--conf", "gw.conf"]):
        assert run(capsys, *arguments).out.startswith("gw.conf: good")


# --- wrong command line: 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "mqttgateway: which configuration? give --conf FILE, for example --conf dummy2mqtt.conf"),
        (["check"], "mqttgateway: which configuration? give --conf FILE, for example --conf dummy2mqtt.conf"),
        (["forget", "boiler"], "mqttgateway: forget boiler: forget what? add a device or a topic"),
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
            "mqttgateway map check: unrecognized arguments: --conf: 'mqttgateway map check' takes its file without it",
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
def test_a_wrong_command_line_is_one_line_and_where_to_look(
    arguments: list[str], said: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = run(capsys, *arguments)
    command = said.partition(":")[0]
    assert (given.code, given.out, given.err) == (EXIT_USAGE, "", f"{said}\nTry '{command} --help'.\n")


@pytest.mark.parametrize("arguments", [["nope"], ["--log-level", "loud", "check"]])
def test_a_wrong_choice_names_those_there_are(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, *arguments)
    assert said.code == EXIT_USAGE
    assert "invalid choice" in said.err
    assert ("check" if arguments == ["nope"] else "debug") in said.err


# --- wrong configuration: 78


@pytest.mark.parametrize("command", [[], ["check"], ["watch"], ["send"]])
def test_a_wrong_configuration_is_said_with_every_place(
    command: list[str], conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text("root: home\ntopics: [home/#]\ninterface: {type: dumy}\nmqtt:\n  prt: 1\n")
    said = run(capsys, *command, "--conf", "gw.conf")
    assert (said.code, said.out) == (EXIT_CONFIGURATION, "")
    assert said.err == (
        "gw.conf:3:19: interface.type: no interface is called 'dumy': did you mean 'dummy'?\n"
        "gw.conf:5:3: mqtt.prt: unknown option: did you mean 'port'?\n"
    )


def test_a_configuration_that_is_not_there_names_the_places(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "--conf", "nope.conf")
    assert (said.code, said.out) == (EXIT_CONFIGURATION, "")
    assert said.err.startswith(f"nope.conf: no such file (looked in ., {conf.parent}/.config/mqttgateway, /etc/mqttg")


def test_a_folder_is_called_one(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "check", "--conf", str(conf.parent))
    assert said.code == EXIT_CONFIGURATION
    assert said.err == f"{conf.parent}: it is a folder: name the file in it\n"


@pytest.mark.parametrize("given", ["", "a\0b", "~no-such-user/x.conf", "x" * 5000])
def test_a_name_that_no_file_can_have_is_not_found(given: str, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "check", "--conf", given)
    assert said.code == EXIT_CONFIGURATION
    assert "no such file" in said.err


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"\0", b"a: [", b"a: b: c", b"[" * 5000, b"{" * 5000, b"\t", b"a" * 100]
)
def test_what_is_no_configuration_at_all_is_said(
    content: bytes, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_bytes(content)
    said = run(capsys, "check", "--conf", "gw.conf")
    assert said.code == EXIT_CONFIGURATION
    assert said.err.startswith("gw.conf:")


def test_a_message_on_the_command_line_that_is_none_is_said(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "send", "--conf", "gw.conf", "--action", "A", "--arg", "level")
    assert said.code == EXIT_USAGE
    assert said.err == "mqttgateway: --arg: 'level' is not NAME=VALUE: for example --arg level=50\n"
    said = run(capsys, "send", "--conf", "gw.conf", "--interface", "x")
    assert said.code == EXIT_USAGE
    assert said.err == "mqttgateway: --interface: no interface is called 'x': there are: dummy\n"


@pytest.mark.parametrize("option", ["--frame=\\x", "--hex=xyz", "--frame=\\u1234", "--frame=é"])
def test_a_frame_on_the_command_line_that_is_none_is_said(
    option: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "check", "--conf", "gw.conf", option)
    if option == "--frame=é":
        assert said.code == EXIT_FAILED, "the dummy explains no frames"
    else:
        assert said.code == EXIT_USAGE
        assert "is not bytes" in said.err


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
    said = run(capsys, "check", "--conf", "gw.conf", "--frame", "X 1")
    assert said.code == EXIT_OK
    hall, attic = said.out.split("attic:\n")
    assert hall.startswith("hall:\n") and hall.endswith("dropped: no rule matches\n")
    assert "  status -/-/attic/-/- T\n" in attic
    said = run(capsys, "check", "--conf", "gw.conf", "--location", "attic", "--action", "HEAT")
    assert said.code == EXIT_OK
    assert (
        "hall:\ncommand -/-/attic/-/- HEAT\nnot for this device: no encode rule has these words\nattic:\n" in said.out
    )


def test_with_a_name_one_interface_is_tried(two_boilers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "check", "--conf", "gw.conf", "--frame", "X 1", "--interface", "hall")
    assert (said.code, "attic" in said.out, "hall:" in said.out) == (EXIT_FAILED, False, False)
    assert run(capsys, "check", "--conf", "gw.conf", "--frame", "X 1", "--interface", "attic").code == EXIT_OK
    said = run(capsys, "check", "--conf", "gw.conf", "--interface", "hall")
    assert (said.code, "  interface     hall (" in said.out, "attic" in said.out) == (EXIT_OK, True, False)


# --- failed: 1


@pytest.mark.parametrize("command", [["watch"], ["send", "--action", "A"]])
def test_without_a_broker_a_visit_fails_with_the_reason(
    command: list[str], conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, *command, "--conf", "gw.conf")
    assert said.code == EXIT_FAILED
    assert said.err.startswith("mqttgateway: nothing listens at 127.0.0.1:")
    assert said.err.endswith(": is the broker running, and mqtt.port right?\n")


def test_a_message_that_the_map_cannot_write_is_not_sent(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "send", "--conf", "gw.conf", "--location", "a/b", "--action", "A")
    assert said.code == EXIT_FAILED
    assert said.err == "mqttgateway: not sent: location: 'a/b': '/' may not stand in a topic\n"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("missing/gw.log", "No such file or directory"),
        (".", "Is a directory"),
        ("~no-such-user/gw.log", "No such file or directory"),
        ("a\\0b", "its name holds a NUL character"),
    ],
)
def test_a_log_file_that_cannot_be_opened_fails(
    file: str, reason: str, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text(f'{GOOD}log: {{file: "{file}"}}\n')
    said = run(capsys, "--conf", "gw.conf")
    assert said.code == EXIT_FAILED
    name = ascii(file.replace("\\0", "\0"))
    remedy = "correct log.file, or make its folder"
    assert said.err == f"mqttgateway: the log file {name} cannot be opened: {reason}: {remedy}\n"


# --- as a process


def test_exit_codes_of_the_process(conf: Path) -> None:
    bad = conf.with_name("bad.conf")
    bad.write_text("interface: {type: dummy}\n")
    assert run_process("check", "--conf", str(conf)).code == 0
    assert run_process("send", "--conf", str(conf), "--action", "A").code == 1
    assert run_process("--nope").code == 2
    assert run_process("--conf", str(bad)).code == 78


def test_a_name_that_is_no_text_is_said_all_the_same(conf: Path) -> None:
    said = run_process("check", "--conf", "\udcff.conf")
    assert said.code == EXIT_CONFIGURATION
    assert said.err.startswith("\\udcff.conf: no such file")
    conf.rename("\udcff.conf")
    said = run_process("check", "--conf", "\udcff.conf")
    assert said.code == EXIT_CONFIGURATION
    assert "cannot be the sender of messages" in said.err
    Path("\udcff.conf").write_text(f"name: gw\n{GOOD}")
    said = run_process("check", "--conf", "\udcff.conf")
    assert (said.code, said.err) == (EXIT_OK, "")
    assert said.out.startswith("\\udcff.conf: good\n")


@pytest.mark.parametrize("arguments", [["options"], ["check", "--conf", "dummy2mqtt.conf"]])
def test_a_reader_that_has_enough_is_no_error(arguments: list[str], conf: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        said = run_process(*arguments, out=writing)
    finally:
        os.close(writing)
    assert (said.code, said.err) == (EXIT_OK, "")


@pytest.mark.parametrize("arguments", [["options"], ["check", "--conf", "dummy2mqtt.conf"]])
def test_a_disk_that_is_full_is_said(arguments: list[str], conf: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        said = run_process(*arguments, out=full)
    finally:
        os.close(full)
    assert (said.code, said.err) == (EXIT_FAILED, "mqttgateway: standard output: No space left on device\n")


def test_a_terminal_that_knows_only_ascii_gets_the_rest_escaped(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write_text("name: Küche\n" + GOOD)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    said = run_process("check", "--conf", "gw.conf")
    assert said.code == EXIT_OK
    assert "K\\xfcche, client id K\\xfcche" in said.out


@pytest.fixture
def running(conf: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A gateway at its most talkative, with secrets of every kind, that has published some statuses."""
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
def test_a_gateway_runs_until_it_is_told_to_stop(number: signal.Signals, running: subprocess.Popen[str]) -> None:
    running.send_signal(number)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (EXIT_OK, "")
    assert "started with gw.conf" in err
    assert "stopped; " in err
    assert "Traceback" not in err


def test_no_secret_is_said_by_a_run(running: subprocess.Popen[str], conf: Path) -> None:
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=20)
    written = err + conf.with_name("gw.log").read_text()
    assert "status lighting/-/***/lamp/- LAMP_STATE" in written
    assert "hunter2" not in written


@pytest.mark.parametrize("section", ["log", "outbox"])
def test_a_file_in_a_folder_that_is_not_there_is_found_by_check_and_nobody_makes_the_folder(
    section: str, conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text(
        f"root: home\ntopics: []\ninterface: {{type: dummy}}\nmqtt: {{port: 1}}\n"
        f"{section}: {{file: {tmp_path}/none/gw.file}}\n"
    )
    said = run(capsys, "check", "--conf", "gw.conf")
    assert (said.code, said.out) == (EXIT_CONFIGURATION, "")
    assert said.err == (
        f"gw.conf:5:{len(section) + 10}: {section}.file: there is no folder {tmp_path}/none: "
        "create it, or set another file\n"
    )
    said = run(capsys, "--conf", "gw.conf")
    assert said.code == EXIT_FAILED, "the disk that it is on may come later: the service tries again"
    assert "folder" in said.err
    assert not (tmp_path / "none").exists()
