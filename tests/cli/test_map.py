from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.cli.main import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.test_main import Result, run, run_process

MAP = """\
{
  "root": "home",
  "topics": ["home/lighting/+/+/+/panel/C"],
  "function": {"maptype": "strict", "map": {"lighting": ["lighting"]}},
  "action": {"maptype": "strict", "map": {"LAMP_ON": ["on", "ON"]}}
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A map and a configuration with two maps in the current folder; no other file can be found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "lamp.json").write_text(MAP)
    (tmp_path / "other.json").write_text(MAP.replace('["on", "ON"]', '["ON", "on"]'))
    (tmp_path / "gw.conf").write_text(
        "map: lamp.json\ninterfaces:\n  a: {type: dummy}\n  b:\n    type: dummy\n"
        "    map: {root: site, topics: [site/+/+/+/+/panel/C]}\n"
    )
    return tmp_path


def run_map(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    return run(capsys, "map", *arguments)


# --- check


def test_check_of_a_map_without_flaws_is_ok_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("lamp.json", "gw.conf"):
        result = run_map(capsys, "check", file)
        assert (result.code, result.out, result.err) == (EXIT_OK, f"{file}: OK\n", "")


def test_check_of_a_map_with_a_warning_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "lamp.json").write_text(MAP.replace("/panel/C", "/#"))
    result = run_map(capsys, "check", "lamp.json")
    assert result.code == EXIT_FAILED
    assert "lamp.json:3:14: warning: topics[0]: " in result.out
    assert run_map(capsys, "check", "--json", "lamp.json").code == EXIT_FAILED


def test_check_with_json_prints_only_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(run_map(capsys, "check", "lamp.json", "--json").out)["good"] is True


def test_the_name_of_the_gateway_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "lamp.json").write_text(
        MAP.replace('"action"', '"sender": {"maptype": "loose", "map": {"x": ["me"]}}, "action"')
    )
    assert run_map(capsys, "check", "lamp.json").code == EXIT_OK
    assert run_map(capsys, "check", "lamp.json", "--name", "me").code == EXIT_FAILED


# --- explain


def test_explain_a_message_from_mqtt(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "explain", "--map", "lamp.json", "home/lighting///lamp/panel/C", "ON")
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out == (
        "  filter    'home/lighting/+/+/+/panel/C' matches  (lamp.json:3)\n"
        "  function  'lighting' -> 'lighting', its first word  (lamp.json:4)\n"
        "  gateway   '' is unchanged: the field has no map\n"
        "  location  '' is unchanged: the field has no map\n"
        "  device    'lamp' is unchanged: the field has no map\n"
        "  sender    'panel' is unchanged: the field has no map\n"
        "  kind      a command\n"
        "  action    'ON' -> 'LAMP_ON', an alias  (lamp.json:5)\n"
        "read as: command lighting/-/-/lamp/panel LAMP_ON\n"
    )


def test_explain_a_message_that_is_not_received_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "explain", "--map", "lamp.json", "home/lighting///lamp/panel/C", "ON", "--retain")
    assert result.code == EXIT_FAILED
    assert result.out.endswith(
        "\ndropped: a retained command is not executed, unless a delivery rule of the map has replay\n"
    )


def test_explain_a_message_that_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--function", "lighting", "--action", "LAMP_ON", "--arg", "level=5"]
    result = run_map(capsys, "explain", "--map", "lamp.json", *words, "--status", "--name", "me")
    assert result.code == EXIT_OK
    assert "  topic     home/lighting////me/S\n" in result.out
    assert '  payload   {"action": "on", "level": 5}\n' in result.out
    assert "  QoS       1\n  delivery  lane event, not retained\nsent\n" in result.out
    assert run_map(capsys, "explain", "--map", "lamp.json", "--action", "NOPE").code == EXIT_FAILED


def test_explain_with_the_maps_of_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    topic = "site/x///lamp/panel/C"
    result = run_map(capsys, "explain", "--conf", "gw.conf", topic, "on")
    assert result.code == EXIT_OK  # one of the two
    assert "lamp.json (a):\n" in result.out and "gw.conf (b):\n" in result.out
    assert run(capsys, "--conf", "gw.conf", "map", "explain", topic, "on").out == result.out
    assert run_map(capsys, "explain", "--conf", "gw.conf", "--interface", "a", topic, "on").code == EXIT_FAILED
    only = run_map(capsys, "explain", "--conf", "gw.conf", "--interface", "b", topic, "on")
    assert (only.code, "gw.conf (b):" in only.out) == (EXIT_OK, False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["explain", "--map", "lamp.json"], "map explain: give a TOPIC and a PAYLOAD, or a message"),
        (["explain", "--map", "lamp.json", "a/b"], "map explain: give a TOPIC and a PAYLOAD, or a message"),
        (["explain", "--map", "lamp.json", "a/b", "on", "--action", "X"], "map explain: give a TOPIC and a PAYLOAD"),
        (["explain", "a/b", "on"], "map explain: which map? give --map FILE"),
        (["explain", "--map", "lamp.json", "--arg", "x"], "--arg: 'x' is not NAME=VALUE"),
        (["explain", "--map", "lamp.json", "--action", "X", "--interface", "y"], "there are: none, it is a map"),
        (["explain", "--conf", "gw.conf", "--action", "X", "--interface", "y"], "there are: a, b"),
        (["graph", "gw.conf", "--svg", "x.svg"], "--svg draws one map: choose it with --interface, one of a, b"),
        (["check"], "the following arguments are required: FILE"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, *arguments)
    assert (result.code, result.out) == (EXIT_USAGE, "")
    assert error in result.err


# --- diff


def test_diff_of_a_map_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "diff", "lamp.json", "lamp.json")
    assert (result.code, result.out, result.err) == (EXIT_OK, "", "")
    assert run_map(capsys, "diff", "gw.conf", "gw.conf").code == EXIT_OK


def test_diff_of_two_maps(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "diff", "lamp.json", "other.json")
    assert result.code == EXIT_FAILED
    assert result.out == (
        "action, written: 'LAMP_ON' was written as 'on', is written as 'ON'\n"
        "    status lighting/-/-/-/- LAMP_ON\n"
        "      - home/lighting////mqttgateway/S on\n"
        "      + home/lighting////mqttgateway/S ON\n"
    )


def test_diff_of_configurations_goes_by_their_interfaces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "new.conf").write_text("name: gw\nmap: other.json\ninterfaces:\n  a: {type: dummy}\n  c: {type: dummy}\n")
    result = run_map(capsys, "diff", "gw.conf", "new.conf")
    assert result.code == EXIT_FAILED
    assert "'LAMP_ON' was written as 'on', is written as 'ON'" in result.out
    assert "gw.conf (b): only in the old file\n" in result.out
    assert run_map(capsys, "diff", "new.conf", "gw.conf").out.count("only in the new file") == 1


def test_diff_of_much_is_cut_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {f"W{number}": [f"w{number}"] for number in range(150)}
    for name, words in (("one.json", entries), ("two.json", {word: [word] for word in entries})):
        data = {"root": "home", "topics": [], "action": {"maptype": "strict", "map": words}}
        (folder / name).write_text(json.dumps(data))
    result = run_map(capsys, "diff", "one.json", "two.json")
    assert result.out.count("action, written: ") == 100
    assert "action: 50 more of the kind written\n" in result.out


# --- graph


def test_graph_in_a_terminal_that_shows_boxes_and_in_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, sign in (("utf-8", "◀─┬─▶"), ("ascii", "<-+->")):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        result = run_process("map", "graph", "lamp.json")
        assert (result.code, result.err) == (EXIT_OK, "")
        assert f"  LAMP_ON {sign} on\n" in result.out


def test_graph_as_svg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "graph", "lamp.json", "-o", "lamp.svg")
    assert (result.code, result.out) == (EXIT_OK, "")
    text = (folder / "lamp.svg").read_text()
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert run_map(capsys, "graph", "lamp.json", "--svg", "-").out == text


def test_graph_of_one_map_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "graph", "gw.conf", "--interface", "b")
    assert "root site\n" in result.out and "root home\n" not in result.out


def test_a_picture_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, "graph", "lamp.json", "--svg", "nowhere/lamp.svg")
    assert (result.code, result.err) == (
        EXIT_FAILED,
        "mqttgateway: nowhere/lamp.svg: cannot be written: No such file or directory\n",
    )


# --- files


@pytest.mark.parametrize(
    "arguments",
    [["check", "no.json"], ["explain", "--map", "no.json", "a", "b"], ["diff", "lamp.json", "no.json"],
     ["graph", "no.json"], ["check", "broken.json"], ["graph", "broken.json"]],
)  # fmt: skip
def test_a_file_that_cannot_be_read_ends_with_78(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.json").write_text("{")
    result = run_map(capsys, *arguments)
    assert (result.code, result.out) == (EXIT_CONFIGURATION, "")
    assert "no.json: no such file" in result.err or "broken.json:1:2: not JSON" in result.err


def test_a_map_that_is_wrong_ends_with_78_where_it_is_to_be_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "lamp.json").write_text(MAP.replace('"root": "home"', '"root": "home/"'))
    for arguments in (["graph", "lamp.json"], ["diff", "lamp.json", "other.json"]):
        assert run_map(capsys, *arguments).code == EXIT_CONFIGURATION
    assert run_map(capsys, "check", "lamp.json").code == EXIT_FAILED


@pytest.mark.parametrize("command", ["check", "explain", "diff", "graph"])
def test_every_command_has_a_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_map(capsys, command, "--help")
    assert result.code == EXIT_OK
    assert f"\n  mqttgateway map {command} " in result.out
