from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.cli.migrate import convert
from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.errors import ConfigurationError
from gateway.logs.init_logger import LogOptions
from gateway.mqtt.options import MqttOptions
from interfaces.dummy_interface import DummyInterface
from tests.support.broker import Mosquitto
from tests.support.gateway_process import GatewayProcess, run_command

LAYOUTS = Path(__file__).parents[2] / "fixtures" / "ini"

MINIMAL = "[INTERFACE]\n[MQTT]\nroot: home\ntopics: home/#\n"
NO_MEANING = "no longer has a meaning"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, text: str, name: str = "dummy2mqtt.conf") -> Configuration:
    (folder / name).write_text(text)
    return load_configuration(folder / name, {"NAME": "value"})


def notes(folder: Path, text: str) -> list[str]:
    """Return the notes about a valid configuration, without the folder."""
    return [note.replace(f"{folder}/", "") for note in load(folder, text).notes]


def options_of(reported: Iterable[str]) -> list[str]:
    """Return what is spoken of: line, column and option."""
    return [": ".join(note.partition(".conf:")[2].split(": ")[:2]) for note in reported]


def findings(folder: Path, text: str, name: str = "dummy2mqtt.conf") -> list[str]:
    """Return the findings in an invalid configuration, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, name)
    return [str(finding).replace(f"{folder}/", "") for finding in caught.value.findings]


# --- every layout, as it is


def test_the_layout_of_0_1() -> None:
    configuration = load_configuration(LAYOUTS / "v0.1" / "dummy2mqtt.conf", {})
    assert configuration.mqtt == MqttOptions("broker.example", 1883, keepalive=30, client_id="dummy2mqtt")
    assert configuration.log == LogOptions(
        "warning", str(LAYOUTS / "v0.1/data/dummy2mqtt.log"), 50_000_000, 3, file_level="debug"
    )
    assert (configuration.name, configuration.root) == ("dummy2mqtt", "old")
    assert options_of(configuration.notes) == [
        "7:1: [MQTT] timeout",
        "8:1: [MQTT] reconnect_delay",
        "9:1: [MQTT] max_reconnect_attempts",
        "15:1: [LOG] host",
    ]


def test_the_layout_of_0_15() -> None:
    configuration = load_configuration(LAYOUTS / "v0.15" / "dummy2mqtt.conf", {})
    assert configuration.log == LogOptions("warning")
    (interface,) = configuration.interfaces
    assert interface.params == {"interval": 2.5, "location": "hall"}
    assert interface.msg_map.topics == ("home/lighting/#", "home/+/dummy/#")
    assert configuration.notes == ()


def test_the_layout_of_1() -> None:
    configuration = load_configuration(LAYOUTS / "v1" / "dummy2mqtt.conf", {})
    assert configuration.mqtt == MqttOptions("test.example.org", 1884, keepalive=45, client_id="dummy2mqtt")
    assert configuration.log == LogOptions("debug", str(LAYOUTS / "v1/dummy2mqtt.log"), 20_000, 4, file_level="info")
    (interface,) = configuration.interfaces
    assert (interface.name, interface.cls, interface.params["location"]) == ("dummy", DummyInterface, "attic")
    assert interface.msg_map.topics == ("attic/lighting/+/+/+/+/C",)
    reported = ["22:1: [MQTT] timeout", "38:1: [LOG] emailhost", "9:1: [INTERFACE] port"]
    assert options_of(configuration.notes) == reported


def test_a_file_with_next_to_nothing_in_it_has_the_defaults() -> None:
    configuration = load_configuration(LAYOUTS / "v1-no-map" / "dummy2mqtt.conf", {})
    assert configuration.mqtt == MqttOptions(client_id="dummy2mqtt")
    assert configuration.log == LogOptions("warning")
    assert configuration.interfaces[0].msg_map.topics == ("home/lighting/+/hall/+/+/C", "home//dummy/+/+/+/C")


def test_credentials_are_taken_letter_by_letter() -> None:
    configuration = load_configuration(LAYOUTS / "v1-credentials" / "dummy2mqtt.conf", {"HOME": "/home/me"})
    password = '100% s3cret: "${HOME}"'
    assert configuration.mqtt == MqttOptions(client_id="gate-client", username="gate%keeper", password=password)
    assert configuration.secrets == (password,)


def test_the_layout_of_2_with_the_broker_in_a_common_file() -> None:
    configuration = load_configuration(LAYOUTS / "v2" / "dummy2mqtt.cfg", {})
    assert configuration.mqtt == MqttOptions("house.example", 1885, keepalive=90, client_id="cellar-client")
    assert configuration.log == LogOptions(
        "info", str(LAYOUTS / "v2/dummy2mqtt.log"), 50_000_000, 3, file_level="error"
    )
    assert configuration.interfaces[0].params["location"] == "cellar"
    assert configuration.root == "cellar"


# --- the interface


def test_the_type_is_that_of_the_file_name_or_the_one_that_is_set(folder: Path) -> None:
    assert load(folder, MINIMAL, "dummy.cfg").interfaces[0].cls is DummyInterface
    text = MINIMAL.replace("[INTERFACE]", "[INTERFACE]\ntype: dummy")
    assert load(folder, text, "old.conf").interfaces[0].cls is DummyInterface


def test_a_python_file_with_the_former_name_beside_it_goes_first(folder: Path) -> None:
    (folder / "dummy_interface.py").write_text(
        "class dummyInterface:\n    def __init__(self, params, i, o): pass\n    def loop(self): pass\n"
    )
    (interface,) = load(folder, MINIMAL + "[INTERFACE]\nPort: /dev/tty\nSpeed: 010\n").interfaces
    assert interface.cls.__name__ == "dummyInterface"
    assert interface.params == {"port": "/dev/tty", "speed": "010"}  # as ever: names in lower case, values as text


def test_where_nothing_tells_the_type_the_dummy_is_run_and_that_is_reported(folder: Path) -> None:
    configuration = load(folder, MINIMAL, "old.conf")
    assert configuration.interfaces[0].cls is DummyInterface
    (note,) = configuration.notes
    assert note.endswith(
        "old.conf: [INTERFACE]: the type of the interface is unknown, since there is no old_interface.py: "
        "using the dummy: add a type under [INTERFACE], the path of a Python file for example"
    )


def test_a_type_that_does_not_exist_is_reported(folder: Path) -> None:
    reported = findings(folder, MINIMAL.replace("[INTERFACE]", "[INTERFACE]\ntype: dumy"))
    assert reported == ["dummy2mqtt.conf:2:7: [INTERFACE] type: no interface is called 'dumy': did you mean 'dummy'?"]


def test_a_python_file_that_cannot_be_imported_is_reported(folder: Path) -> None:
    (folder / "dummy_interface.py").write_text("import nothing_of_that_name\n")
    (reported,) = findings(folder, "# no section INTERFACE\n[MQTT]\nroot: home\n")
    assert reported.startswith(
        "dummy2mqtt.conf: [INTERFACE] type: dummy_interface.py cannot be imported: ModuleNotFoundErr"
    )
    assert reported.endswith(": fix the file")


def test_a_file_name_that_cannot_be_a_sender_is_reported(folder: Path) -> None:
    text = MINIMAL.replace("[INTERFACE]", "[INTERFACE]\ntype: dummy")
    (reported,) = findings(folder, text, "a+b.conf")
    assert (
        reported == "a+b.conf: 'a+b' cannot be the sender of messages: '+' is not allowed in a topic: use a plain name"
    )


def test_options_get_the_type_that_the_interface_wants(folder: Path) -> None:
    assert load(folder, MINIMAL + "[INTERFACE]\ninterval: 3\n").interfaces[0].params["interval"] == 3
    (folder / "typed.py").write_text(
        "class Typed:\n    SCHEMA = {'properties': {'on': {'type': 'boolean'}, 'name': {'type': 'string'}}}\n"
        "    def loop(self): pass\n"
    )
    text = MINIMAL + "[INTERFACE]\ntype: typed.py\non: Yes\nname: 5\n"
    assert load(folder, text).interfaces[0].params == {"on": True, "name": "5"}
    assert findings(folder, text.replace("Yes", "often")) == [
        'dummy2mqtt.conf:7:5: [INTERFACE] on: expected true or false, found "often"'
    ]


def test_an_option_that_the_interface_does_not_know_is_not_read(folder: Path) -> None:
    assert notes(folder, MINIMAL + "[INTERFACE]\nlocatoin: x\n") == [
        (
            "dummy2mqtt.conf:6:1: [INTERFACE] locatoin: the interface dummy has no such option; it is ignored: "
            "did you mean 'location'?"
        )
    ]


# --- the map


@pytest.mark.parametrize(
    ("option_text", "file"),
    [
        ("mapping: on", "dummy2mqtt.map"),
        ("mapping: on\nmapfilename: .", "dummy2mqtt.map"),
        ("mapping: YES\nmapfilename: maps/", "maps/dummy2mqtt.map"),
        ("mapping: 1\nmapfilename: ./maps/../my.json", "my.json"),
        ("mapping: on\nmapfilename: ..", "../dummy2mqtt.map"),
        ("mapfilename: my.json", "my.json"),  # of before there was 'mapping'
    ],
)
def test_a_map_is_found_by_the_rules_of_a_version_before_3_0(folder: Path, option_text: str, file: str) -> None:
    folder = folder / "conf"
    (folder / "maps").mkdir(parents=True)
    (folder / file).write_text('{"root": "mapped", "topics": []}')
    assert load(folder, f"[MQTT]\n{option_text}\n").root == "mapped"


@pytest.mark.parametrize(
    "option_text", ["mapping: off\nmapfilename: my.json", "mapping: on\nmapfilename:", "mapfilename: my.json"]
)
def test_without_mapping_or_file_there_is_no_map(folder: Path, option_text: str) -> None:
    configuration = load(folder, f"{MINIMAL}{option_text}\n")
    assert (configuration.root, configuration.interfaces[0].msg_map.topics) == ("home", ("home/#",))
    assert load(folder, "[MQTT]\nmapfilename: my.json\ntopics: /lighting/#").root == ""
    assert load(folder, "[MQTT]\nmapfilename: my.json\nroot: home").root == "home"


def test_a_map_in_the_working_directory_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "my.json").write_text('{"root": "here", "topics": []}')
    monkeypatch.chdir(folder / "here")
    assert load(folder, "[MQTT]\nmapping: on\nmapfilename: my.json\n").root == "here"
    monkeypatch.chdir(folder)
    (reported,) = findings(folder, "[MQTT]\nmapping: on\nmapfilename: my.json\n")
    assert reported.startswith("dummy2mqtt.conf:3:14: [MQTT] mapfilename: my.json: no such file (looked in ")


def test_without_root_topics_begin_with_a_slash_as_ever(folder: Path) -> None:
    configuration = load(folder, "[MQTT]\nroot:\ntopics: , /lighting/# ,,\n")
    (interface,) = configuration.interfaces
    assert (configuration.root, interface.msg_map.topics) == ("", ("/lighting/#",))
    msg = interface.msg_map.mqtt2internal("/lighting///lamp/me/C", b"on")
    assert msg.device == "lamp"
    assert interface.msg_map.internal2mqtt(msg).topic == "/lighting///lamp/me/C"
    assert configuration.availability_topic() == "dummy2mqtt/availability"


def test_topics_have_their_places(folder: Path) -> None:
    assert findings(folder, "[MQTT]\nroot: home\ntopics: home/#, a+\n  home/# , b#\n") == [
        "dummy2mqtt.conf:3:17: [MQTT] topics: 'a+': '+' must be a whole level: correct the filter",
        "dummy2mqtt.conf:4:12: [MQTT] topics: 'b#': '#' must be the whole last level: correct the filter",
    ]


def test_topics_that_can_match_nothing_are_reported_and_left_out(folder: Path) -> None:
    text = "[MQTT]\nroot: home\ntopics: home/#, house/#,\n home/lighting/C, +/lighting/#\n"
    (interface,) = load(folder, text).interfaces
    assert interface.msg_map.topics == ("home/#", "+/lighting/#")
    remedy = "a topic has seven levels, the last of them C or S"
    assert notes(folder, text) == [
        f"dummy2mqtt.conf:3:1: [MQTT] topics: {topic!r} matches no topic under the root 'home', so the gateway "
        f"does not subscribe to it: {remedy}"
        for topic in ("home/lighting/C", "house/#")
    ]
    assert findings(folder, text.replace("home\n", "ho+me\n", 1))[0].startswith("dummy2mqtt.conf:2:7: [MQTT] root: '+'")


# --- the log


@pytest.mark.parametrize(
    ("option_text", "level", "file_level"),
    [
        ("", "warning", "info"),
        ("consolelevel: debug", "debug", "info"),
        ("consolelevel: Info\nfilelevel: Warn", "info", "warning"),
        ("consolelevel: CRITICAL", "warning", "info"),  # standard error got every warning, whatever the option was
        ("consolelevel: none\ndebug: on", "warning", "debug"),
        ("debug: off", "warning", "info"),
        ("debug: on\nfilelevel: ERROR", "warning", "error"),
    ],
)
def test_levels_are_those_of_a_version_before_3_0(folder: Path, option_text: str, level: str, file_level: str) -> None:
    log = load(folder, f"{MINIMAL}[LOG]\nlogfilename: x.log\n{option_text}\n").log
    assert log == LogOptions(level, str(folder / "x.log"), 50_000_000, 3, file_level=file_level)


@pytest.mark.parametrize("option_text", ["logfilename:", "logfilename: .\nfilelevel: NONE", "filelevel: DEBUG"])
def test_without_name_or_level_there_is_no_log_file(folder: Path, option_text: str) -> None:
    assert load(folder, f"{MINIMAL}[LOG]\n{option_text}\n").log == LogOptions("warning")


def test_a_log_file_that_is_there_is_gone_on_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "dummy2mqtt.log").write_text("before")
    monkeypatch.chdir(folder / "here")
    assert load(folder, f"{MINIMAL}[LOG]\nlogfilename: .\n").log.file == str(folder / "here" / "dummy2mqtt.log")


# --- notes and findings


@pytest.mark.parametrize(
    ("option_text", "reported"),
    [
        ("[MQTT]\ntimeout: 0.01", f"[MQTT] timeout: {NO_MEANING}: the gateway waits for the network without polling"),
        ("[MQTT]\nkeepalive: 0", "[MQTT] keepalive: 0 switched keepalive off; a dead link is now always noticed"),
        ("[MQTT]\nhots: x", "[MQTT] hots: unknown option; it is ignored: did you mean 'host'?"),
        ("[LOG]\nemailhost: x\nemailport: 25", f"[LOG] emailhost: {NO_MEANING}: the gateway sends no mails"),
        ("[LOG]\nlogfilename: .\nfilename: x\nfile: y", "[LOG] file: unknown option; it is ignored: did you"),
        ("[LOG]\nconsolelevel: loud", "[LOG] consolelevel: 'loud' is not a level: warnings and errors are written"),
        ("[LOG]\nlogfilename: .\nfilelevel: loud", "[LOG] filelevel: 'loud' is not a level: no log file is written"),
        ("[LOG]\nlogfilename: .\nfilenum: 0", "[LOG] filenum: 0 let the file grow without limit; 3 files of 50 MB"),
        (
            "[MQTT]\nhost: a\nhost: b",
            "[MQTT] host: duplicate option, first in line 6; the last one is used: remove one",
        ),
        ("[Mqtt]\nhost: a", "[Mqtt]: unknown section; it is ignored: did you mean 'MQTT'?"),
    ],
)
def test_what_has_no_meaning_is_reported_once(folder: Path, option_text: str, reported: str) -> None:
    (note,) = notes(folder, f"{MINIMAL}{option_text}\n")
    assert reported in note
    assert note.startswith("dummy2mqtt.conf:")


@pytest.mark.parametrize("option_text", ["[CONFIG]\nlocation: x\nerror: y", "[LOG]\nemailhost:\nemailport:"])
def test_what_never_had_one_is_not(folder: Path, option_text: str) -> None:
    assert notes(folder, f"{MINIMAL}{option_text}\n") == []


def test_what_counts_in_every_section_is_reported_only_where_all_is_read(folder: Path) -> None:
    (note,) = notes(folder, f"[DEFAULT]\nhost: b\n{MINIMAL}")
    assert "[DEFAULT] host: the interface dummy has no such option" in note
    assert load(folder, f"[DEFAULT]\nhost: b\n{MINIMAL}").mqtt.host == "b"


@pytest.mark.parametrize(
    ("option_text", "reported"),
    [
        ("port: many", '6:7: [MQTT] port: expected a whole number, found "many": for example 1883'),
        ("port: 0", "6:7: [MQTT] port: expected at least 1, found 0: for example 1883"),
        ("host:", "6:6: [MQTT] host: it is empty: for example 127.0.0.1"),
        ("mapping: perhaps", "6:1: [MQTT] mapping: expected on or off, found 'perhaps'"),
        ("useCredentials: on", ("6:1: [MQTT] usecredentials: it is on, but there is no username: add username: and "
                               "password:")),
        ("useCredentials: perhaps", "6:1: [MQTT] usecredentials: expected on or off, found 'perhaps'"),
        ("password: secret", "6:11: [MQTT] password: it needs 'username' too: add 'username'"),
        ("filename: nope.cfg", "6:1: [MQTT] filename: no such file: nope.cfg: check the path"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported_with_its_place_and_old_name(folder: Path, option_text: str, reported: str) -> None:
    assert findings(folder, f"{MINIMAL}[MQTT]\n{option_text}\n") == [f"dummy2mqtt.conf:{reported}"]


def test_what_is_wrong_in_a_common_file_is_reported_with_its_place(folder: Path) -> None:
    common = folder / "mqtt.cfg"
    common.write_text("[MQTT]\nport: many\n")
    text = f"{MINIMAL}[MQTT]\nfilename: mqtt.cfg\nport: 1\n"
    assert findings(folder, text) == [
        'mqtt.cfg:2:7: [MQTT] port: expected a whole number, found "many": for example 1883'
    ]
    common.write_text("nonsense\n")
    assert findings(folder, text) == ["mqtt.cfg:1:1: no [SECTION] before it: put it into a section, for example [MQTT]"]


def test_a_comment_at_the_end_of_a_line_is_one_as_in_python_2(folder: Path) -> None:
    text = "[MQTT]\nhost: broker ; in the cellar\nroot: home\t;; ours; mine\ntopics: home/#\nclientid: a;b\n"
    configuration = load(folder, f"{text}[LOG]\nconsolelevel: debug ; for now\n")
    assert (configuration.mqtt.host, configuration.root, configuration.log.level) == ("broker", "home", "debug")
    assert configuration.mqtt.client_id == "a;b"
    assert notes(folder, text) == [
        f"dummy2mqtt.conf:{what} is read as a comment, as in Python 2: put it on a line of its own"
        for what in ("2:1: [MQTT] host: '; in the cellar'", "3:1: [MQTT] root: ';; ours; mine'")
    ]


def test_where_any_text_may_stand_it_is_left_and_reported(folder: Path) -> None:
    (folder / "dummy_interface.py").write_text(
        "import mqttgateway\nclass I:\n    def __init__(self, *_): ...\n    def loop(self): ...\n"
    )
    text = "[INTERFACE]\ncommand: up ;down\n[MQTT]\nroot: home\nusername: me\npassword: a ;b\n"
    configuration = load(folder, text)
    assert configuration.mqtt.password == "a ;b"
    assert configuration.interfaces[0].params == {"command": "up ;down"}
    reported = notes(folder, text)
    assert options_of(reported) == ["2:1: [INTERFACE] command", "6:1: [MQTT] password"]
    assert all("belong to the value" in note and ";b" not in note for note in reported)


def test_credentials_that_are_switched_off_are_not_used(folder: Path) -> None:
    configuration = load(folder, f"{MINIMAL}useCredentials: false\nusername: username\npassword: password\n")
    assert (configuration.mqtt.username, configuration.secrets) == (None, ())


def test_a_dollar_is_a_dollar(folder: Path) -> None:
    assert load(folder, f"{MINIMAL}[INTERFACE]\nlocation: ${{NAME}}\n").interfaces[0].params["location"] == "${NAME}"


# --- run


def test_an_old_configuration_runs_against_a_broker_and_says_what_it_does_not_read(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    conf = tmp_path / "dummy2mqtt.conf"
    text = (LAYOUTS / "v1" / "dummy2mqtt.conf").read_text()
    conf.write_text(text.replace("test.example.org", "127.0.0.1").replace("1884", str(mosquitto.port)))
    (tmp_path / "attic_map.json").write_text((LAYOUTS / "v1" / "attic_map.json").read_text())
    with mosquitto.client("attic/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("attic/dummy2mqtt/dummy/availability", b"online")
        gateway.wait_log("connected to")
        sent = run_command(
            conf, "send", "--function", "lighting", "--location", "attic", "--device", "lamp", "--action", "LAMP_ON"
        )
        assert (sent.returncode, sent.stderr) == (0, "")
        assert "LAMP_ON response='OK'" in sent.stdout
        listener.wait_topic("attic/lighting//attic/lamp/dummy2mqtt/S")
        gateway.stop()
    assert gateway.log.count(NO_MEANING) == 2  # timeout, mail
    assert gateway.log.count("[INTERFACE] port") == 1
    log = (tmp_path / "dummy2mqtt.log").read_text()
    assert "connected to" in log
    assert "DEBUG" not in log


def test_what_is_not_read_is_reported_even_where_only_warnings_are_written(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    conf = tmp_path / "dummy2mqtt.conf"
    conf.write_text(f"{MINIMAL}port: {mosquitto.port}\ntimeout: 0.01\n[LOG]\nconsolelevel: NONE\n")
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/dummy2mqtt/dummy/availability", b"online")
        gateway.stop()
    (reported,) = gateway.log.splitlines()
    assert f"WARNING mqttgateway.runtime: {conf}:6:1: [MQTT] timeout: {NO_MEANING}" in reported


# --- what only Python 2 took, and what is hardly there


def test_a_text_that_is_not_utf_8_is_read_as_latin_1_and_reported(folder: Path) -> None:
    common = "[MQTT]\nhost: broker.example\n# für alle\n"
    (folder / "mqtt.conf").write_bytes(common.encode("latin-1"))
    path = folder / "dummy2mqtt.conf"
    path.write_bytes((MINIMAL + "filename: mqtt.conf\n# über 5 €\nusername: Jürgen\n").encode("cp1252"))
    configuration = load_configuration(path, {})
    assert configuration.mqtt.username == "Jürgen"
    assert [note.replace(f"{folder}/", "") for note in configuration.notes] == [
        "dummy2mqtt.conf: not UTF-8 at byte 67, and read as Latin-1: save it as UTF-8",
        "mqtt.conf: not UTF-8 at byte 31, and read as Latin-1: save it as UTF-8",
    ]
    assert convert(path, None, {}) == 0
    written = (folder / "dummy2mqtt.yaml").read_text("utf-8")
    assert "# über 5 €" in written
    assert "# für alle" in written


def test_yaml_that_is_not_utf_8_is_refused(folder: Path) -> None:
    (folder / "gw.conf").write_bytes("root: Küche\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 7: save it as UTF-8"):
        load_configuration(folder / "gw.conf", {})


def test_a_lone_section_is_a_configuration_with_all_defaults(folder: Path) -> None:
    configuration = load(folder, "[INTERFACE]\n")
    assert configuration.mqtt == MqttOptions(client_id="dummy2mqtt")
    assert [each.cls for each in configuration.interfaces] == [DummyInterface]
    assert configuration.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "LONG",
        "LONG: 1",
        "[LONG]\nx: 1",
        "[MQTT]\nport: LONG",
        "[MQTT]\nhost: LONG /",
        "[MQTT]\nfilename: LONG",
        "[MQTT]\nmapping: LONG",
        "[MQTT]\nuseCredentials: LONG",
        "[MAP]\nmapping: on\nmapfilename: LONG",
        "[LOG]\nconsolelevel: LONG",
        "[MAP]\nroot: home\ntopics: LONG",
        "[INTERFACE]\ntype: LONG",
        "[INTERFACE]\nLONG: 1",
    ],
)
def test_what_is_reported_stays_short_whatever_stands_there(text: str, folder: Path) -> None:
    text = f"[MQTT]\n{text}\n".replace("LONG", "x" * 300_000)
    try:
        reported = notes(folder, text)
    except ConfigurationError as err:
        reported = [str(finding) for finding in err.findings]
    assert reported
    assert max(map(len, reported)) < 4000
