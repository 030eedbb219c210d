from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.cli.main import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, EXIT_USAGE, main
from gateway.cli.migrate import convert
from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.errors import ConfigurationError
from gateway.translation.mqtt_map import MsgMap

LAYOUTS = Path(__file__).parents[1] / "fixtures" / "ini"
LAYOUT_FILES = sorted(LAYOUTS.glob("*/dummy2mqtt.*"))
SECRET = "top%secret"
PATCHED = f"[MQTT]\nroot: home\ntopics:\nusername: me\n# the password\npassword: {SECRET}\n"


def comparable(configuration: Configuration) -> Any:
    """Return the content of a configuration, without the name of its file."""

    def shown(msg_map: MsgMap) -> Any:
        fields = {name: (field.maptype, field.entries) for name, field in msg_map.fields.items()}
        return msg_map.root, msg_map.topics, msg_map.sender, msg_map.status_qos, fields

    interfaces = [(i.name, i.cls.__name__, i.params, shown(i.msg_map)) for i in configuration.interfaces]
    no_folders = tuple(finding.what for finding in configuration.no_folders)
    bare = configuration._replace(file=Path(), files=(), hash="", interfaces=(), notes=(), no_folders=())
    return bare, no_folders, interfaces, configuration.secrets


def write(folder: Path, text: str) -> Path:
    path = folder / "dummy2mqtt.conf"
    path.write_text(text)
    return path


def notes_of_the_file(conf: Path) -> list[str]:
    """Return the notes on a configuration, but for those on the lamp of the dummy, which is at another address."""
    return [note for note in load_configuration(conf, {}).notes if "no command for the point" not in note]


@pytest.mark.parametrize("layout", LAYOUT_FILES, ids=[file.parent.name for file in LAYOUT_FILES])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside", "elsewhere"])
def test_old_and_new_file_are_equivalent_in_every_layout(tmp_path: Path, layout: Path, elsewhere: bool) -> None:
    shutil.copytree(layout.parent, tmp_path / "old")
    (tmp_path / "new").mkdir()
    old = tmp_path / "old" / layout.name
    new = tmp_path / "new" / "lamp.conf" if elsewhere else None
    assert convert(old, new, {}) == EXIT_OK
    new = new or old.with_suffix(".yaml")
    assert comparable(load_configuration(new, {})) == comparable(load_configuration(old, {}))
    assert not notes_of_the_file(new)
    comments = [line.lstrip("; #").strip() for line in layout.read_text().splitlines() if line[:1] in ("#", ";")]
    text = new.read_text()
    assert all(comment in text for comment in comments)
    for note in notes_of_the_file(old):
        assert note.split(": ", 2)[2] in text


def test_there_is_a_fixture_of_every_layout() -> None:
    assert [file.parent.name for file in LAYOUT_FILES] == ["v0.1", "v0.15", "v1", "v1-credentials", "v1-no-map", "v2"]


def test_comments_keep_their_places(tmp_path: Path) -> None:
    old = write(
        tmp_path,
        "# my lamp\n[INTERFACE]\n# seconds\ninterval: 3\n\n# broker\n[MQTT]\n; the big one\nhost: b\n# slow\n"
        "timeout: 1\n# of the house\nroot: home\ntopics: home/#, home/+/#\n"
        "[LOG]\n# quiet\nconsolelevel: WARN\n# the end",
    )
    assert convert(old, None, {}) == EXIT_OK
    assert (
        (tmp_path / "dummy2mqtt.yaml").read_text()
        == """\
# Written by mqttgateway migrate from dummy2mqtt.conf.
# my lamp
name: dummy2mqtt
# of the house
root: home
topics: ["home/#", "home/+/#"]

# broker
mqtt:
  # the big one
  host: b
  # slow
  # was [MQTT] timeout: 1 (no longer has a meaning: the gateway waits for the network without polling)

interface:
  type: dummy
  # seconds
  interval: 3

log:
  # quiet
  level: warning
# the end
"""
    )


def test_a_note_about_an_option_that_stays_becomes_a_comment(tmp_path: Path) -> None:
    old = write(
        tmp_path, "[MQTT]\nroot: home\ntopics: home/#, x/#\n[LOG]\nconsolelevel: loud\nlogfilename: l\nfilenum: 0"
    )
    convert(old, None, {})
    lines = (tmp_path / "dummy2mqtt.yaml").read_text().splitlines()
    for start, below in (
        ("# 'x/#' matches no topic", 'topics: ["home/#"]'),
        ("  # 'loud' is not a level: warnings and errors are written", "  level: warning"),
    ):
        (index,) = [index for index, line in enumerate(lines) if line.startswith(start)]
        assert lines[index + 1] == below
    assert any(line.startswith("  # was [LOG] filenum: 0 (0 let the file grow") for line in lines)


WORDS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=20)
    .map(str.strip)
    .filter(lambda text: text and text[0] not in "#;"),
    st.sampled_from(["${HOME}", "$${X}", "true", "null", "1e5", "0x1f", "-", "a: b", "a #b", "[x]", "@x", "'"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "MQTT": st.fixed_dictionaries(
                {"root": st.sampled_from(["home", "a/b", "true", "12", "~", ""])},
                optional={
                    "host": st.sampled_from(["localhost", "::1", "10.0.0.1", "1883"]),
                    "port": st.integers(1, 65535).map(str),
                    "topics": st.sampled_from(["home/#", "a/b/#, home/+/lamp/#", "#", "x/y", ","]),
                    "keepalive": st.integers(0, 65535).map(str),
                    "clientid": WORDS,
                    "username": WORDS,
                    "timeout": st.just("0.01"),
                    "unknown": WORDS,
                },
            ),
            "INTERFACE": st.dictionaries(st.sampled_from(["port", "speed", "x y", "on", "123"]), WORDS, max_size=4),
            "LOG": st.fixed_dictionaries(
                {},
                optional={
                    "consolelevel": st.sampled_from(["debug", "INFO", "none", "loud"]),
                    "logfilename": st.sampled_from(["", ".", "x.log", "logs/", "/var/log/x.log"]),
                    "filelevel": st.sampled_from(["debug", "INFO", "none", "loud"]),
                    "filenum": st.integers(0, 9).map(str),
                    "filesize": st.integers(0, 99).map(str),
                    "debug": st.sampled_from(["on", "off"]),
                },
            ),
        },
    ),
    st.lists(WORDS, max_size=4),
    st.one_of(st.none(), WORDS),
)
def test_old_and_new_file_are_equivalent(
    tmp_path: Path, sections: dict[str, dict[str, str]], comments: list[str], password: str | None
) -> None:
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()  # the code of the interface may have been compiled
    (tmp_path / "dummy_interface.py").write_text("class Old:\n    def loop(self): pass\n")
    if password and "username" in sections.get("MQTT", {}):
        sections["MQTT"]["password"] = password
    lines = ["[CONFIG]"]
    for name, options in sections.items():
        lines += [f"[{name}]"]
        for option, value in options.items():
            lines += [f"# {comments[len(lines) % len(comments)]}"] if comments else []
            lines.append(f"{option}: {value}")
    old = write(tmp_path, "\n".join(lines))
    try:
        legacy = load_configuration(old, {})
    except ConfigurationError:
        assume(False)
    assert convert(old, None, {}) == EXIT_OK
    new = tmp_path / "dummy2mqtt.yaml"
    yaml.safe_load(new.read_text())  # it is YAML for others, too
    assert comparable(load_configuration(new, {})) == comparable(legacy)


def test_a_password_goes_into_a_file_for_its_owner_only_and_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(tmp_path, PATCHED + "timeout: 1\n")
    assert main(["migrate", str(old)]) == EXIT_OK
    output = capsys.readouterr()
    secret = tmp_path / "dummy2mqtt.password"
    assert output.out.splitlines() == [
        f"{secret}: the password; only its owner can read it, which must be the user that the gateway runs as",
        f"{tmp_path}/dummy2mqtt.yaml: the configuration",
        f"note: {old}:7:1: [MQTT] timeout: no longer has a meaning: the gateway waits for the network without polling",
    ]
    assert SECRET not in output.out + output.err + (tmp_path / "dummy2mqtt.yaml").read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert load_configuration(tmp_path / "dummy2mqtt.yaml", {}).mqtt.password == SECRET


def test_a_password_that_is_not_used_is_written_nowhere(tmp_path: Path) -> None:
    convert(write(tmp_path, PATCHED + "useCredentials: no\n"), None, {})
    text = (tmp_path / "dummy2mqtt.yaml").read_text()
    assert "# was [MQTT] password\n" in text
    assert SECRET not in text
    assert not (tmp_path / "dummy2mqtt.password").exists()


@pytest.mark.parametrize("option", ["passwd", "pass", "api_key", "userpassword"])
@pytest.mark.parametrize("section", ["INTERFACE", "MQTT"])
def test_the_value_of_a_secret_that_is_left_out_is_written_nowhere(tmp_path: Path, section: str, option: str) -> None:
    convert(write(tmp_path, f"[MQTT]\nroot: home\n[{section}]\n{option}: {SECRET}\n"), None, {})
    text = (tmp_path / "dummy2mqtt.yaml").read_text()
    assert f"# was [{section}] {option} (" in text
    assert SECRET not in text


def test_the_new_file_can_be_read_by_those_who_could_read_the_old_one(tmp_path: Path) -> None:
    old = write(tmp_path, PATCHED)
    old.chmod(0o640)
    convert(old, None, {})
    assert stat.S_IMODE((tmp_path / "dummy2mqtt.yaml").stat().st_mode) == 0o640


@pytest.mark.parametrize("there", ["dummy2mqtt.yaml", "dummy2mqtt.password"])
def test_nothing_is_overwritten_and_nothing_half_written(
    tmp_path: Path, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(tmp_path, PATCHED)
    (tmp_path / there).write_text("mine")
    assert main(["migrate", str(old)]) == EXIT_FAILED
    assert capsys.readouterr().err == (
        f"mqttgateway: {tmp_path / there} cannot be written: File exists; nothing was written; remove it, or choose "
        "another with -o NEW.conf\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([there, "dummy2mqtt.conf"])
    assert (tmp_path / there).read_text() == "mine"


def test_a_map_of_another_folder_is_named_and_one_beside_it_copied(tmp_path: Path) -> None:
    for folder in ("old", "maps", "new"):
        (tmp_path / folder).mkdir()
    (tmp_path / "maps" / "far.json").write_text('{"root": "far", "topics": []}')
    (tmp_path / "old" / "near.json").write_text('{"root": "near", "topics": []}')
    new = tmp_path / "new" / "x.conf"
    for given_path, named, files in (
        ("../maps/far.json", f"{tmp_path}/old/../maps/far.json", {"x.conf"}),
        ("near.json", "near.json", {"x.conf", "near.json"}),
        ("dummy_map.json", "dummy_map.json", {"x.conf"}),  # a shipped one
    ):
        old = write(tmp_path / "old", f"[MQTT]\nmapping: on\nmapfilename: {given_path}\n")
        assert convert(old, new, {}) == EXIT_OK
        assert yaml.safe_load(new.read_text())["map"] == named
        assert {path.name for path in new.parent.iterdir()} == files
        for path in new.parent.iterdir():
            path.unlink()


def test_errors_of_the_old_file_are_reported_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(tmp_path, "[MQTT]\nport: many\n")
    assert main(["migrate", str(old)]) == EXIT_CONFIGURATION
    assert "dummy2mqtt.conf:2:7: [MQTT] port: expected a whole number" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [old]


def test_yaml_is_not_migrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = write(tmp_path, "root: home\ntopics: []\ninterface: {type: dummy}\n")
    assert main(["migrate", str(new)]) == EXIT_USAGE
    assert "is YAML already" in capsys.readouterr().err


def test_a_missing_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path, "[MQTT]\n")
    assert main(["migrate", str(old), "-o", str(tmp_path / "no" / "x.conf")]) == EXIT_FAILED
    assert "x.conf cannot be written: No such file or directory; nothing was written\n" in capsys.readouterr().err
