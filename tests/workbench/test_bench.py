from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.page_file import page_file_of
from gateway.errors import ConfigurationError
from gateway.workbench.bench import Bench, WorkbenchError, command_from
from gateway.workbench.page_text import raw_document
from gateway.workbench.trial import LONGEST, Trial, TrialError, load_trial, try_frames

CONF = """\
root: home
topics: []
interfaces:
  stove:
    type: serial
    port: /dev/ttyS77
    defaults:
      decode: {publish: {on_change: true}}
      polls: {every: 30}
    # What it says
    decode:
      - name: t
        regex: 'T (?P<t>[0-9]+)'
        message: {action: TEMP, arguments: {t: "{t}"}}
    encode:
      - {match: {action: OPEN}, write: "${CODE}#"}
  own: {type: own.py}
"""
CODE = """\
from pathlib import Path
from gateway.api import Interface
LOADED = Path(__file__).with_name("loaded")
LOADED.write_text(LOADED.read_text() + "x" if LOADED.exists() else "x")
class Own(Interface):
    SCHEMA = {"properties": {}}
    def loop(self): pass
"""
ENVIRONMENT = {"CODE": "4711-0815"}


class Desk:
    """A configuration, and its workbench."""

    def __init__(self, folder: Path, conf: str = CONF) -> None:
        self.path = folder / "gw.conf"
        self.path.write_text(conf)
        (folder / "own.py").write_text(CODE)
        self.configuration = load_configuration(self.path, ENVIRONMENT)
        self.bench = Bench(self.path, ENVIRONMENT)
        self.stove = self.configuration.interfaces[0]

    def text(self, page: str | None = None, index: int = 0) -> str:
        return self.bench.open(self.configuration.interfaces[index], page, self.configuration.secrets).text

    def trial(self, text: str, index: int = 0) -> Trial:
        base = self.bench.base(self.configuration)
        at = self.bench.place(self.configuration.interfaces[index], base.document)
        return load_trial(base, at, text, math.inf)

    def findings(self, text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            self.trial(text)
        return list(map(str, caught.value.findings))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_text_is_that_of_the_configuration_with_names_of_variables(desk: Desk) -> None:
    assert desk.text() == (
        "defaults:\n  decode: {publish: {on_change: true}}\n\n# What it says\ndecode:\n  - name: t\n"
        "    regex: 'T (?P<t>[0-9]+)'\n    message: {action: TEMP, arguments: {t: \"{t}\"}}\n\n"
        'encode:\n  - {match: {action: OPEN}, write: "${CODE}#"}\n'
    )


def test_the_text_can_be_tried_as_it_is(desk: Desk) -> None:
    results = list(try_frames(desk.trial(desk.text()), [b"T 5\r\n", b"X\r\n"], [command_from("OPEN", "gw")]))
    message = next(line for line in results[0]["lines"] if "topic" in line)
    assert (message["topic"], message["payload"]) == ("home/////gw/S", '{"action": "TEMP", "t": "5"}')
    assert any(line["is_problem"] and "no rule matches" in line["text"] for line in results[1]["lines"])
    assert "4711-0815" not in str(results)
    assert results[2]["lines"][0]["text"].startswith("writes '***#")


def test_findings_name_the_line_that_was_typed(desk: Desk) -> None:
    assert desk.findings("\ndecode:\n  - regex: '('\n    message: {action: A}\n")[0].startswith("line:3:12: ")
    assert desk.findings("port: /dev/null\n")[0].startswith("line:1:1: interfaces.stove.port: the page cannot change")
    assert desk.findings("decode: [\n")[0].startswith("line:2:1: not YAML")
    assert "the page cannot use a variable" in desk.findings("decode: [{regex: '${CODE}', message: {action: A}}]")[0]
    assert desk.findings("[]")
    assert desk.findings("5")


def test_a_trial_runs_no_code_again(desk: Desk, tmp_path: Path) -> None:
    before = (tmp_path / "loaded").read_text()
    desk.trial("devices: [{id: a, points: {x: {from: X.x, type: number}}}]\n", 1)
    assert (tmp_path / "loaded").read_text() == before


def test_only_what_differs_from_the_configuration_is_written(desk: Desk) -> None:
    text = desk.text()
    assert desk.bench.new_page(desk.stove, None, text) is None
    page = desk.bench.new_page(desk.stove, None, text.replace("TEMP", "HEAT"))
    assert page is not None
    data = raw_document(page).data
    assert list(data["interfaces"]["stove"]) == ["decode"]
    assert "    # What it says\n" in page
    assert desk.text(page) == text.replace("TEMP", "HEAT")
    assert desk.bench.validate(page).interfaces[0].params["decode"][0]["message"]["action"] == "HEAT"
    assert desk.bench.new_page(desk.stove, page, text) is None  # as it was


def test_defaults_of_rules_are_written_alone(desk: Desk) -> None:
    page = desk.bench.new_page(desk.stove, None, desk.text().replace("on_change: true", "refresh: 60"))
    assert page is not None
    assert raw_document(page).data["interfaces"]["stove"] == {"defaults": {"decode": {"publish": {"refresh": 60}}}}
    assert desk.bench.validate(page).interfaces[0].params["conversation"] == desk.stove.params["conversation"]


def test_a_list_that_becomes_empty_is_written(desk: Desk) -> None:
    page = desk.bench.new_page(desk.stove, None, "encode: []\n")
    assert page is not None
    assert raw_document(page).data["interfaces"]["stove"] == {"encode": []}
    assert desk.bench.without(desk.stove, page) is None


def test_what_is_wrong_with_the_whole_is_shown_in_the_line_that_was_typed(desk: Desk) -> None:
    text = "\ndevices:\n  - id: own\n    points: {t: {from: TEMP.t}}\n"
    page = desk.bench.new_page(desk.stove, None, text)
    with pytest.raises(ConfigurationError) as caught:
        desk.bench.validate(page)
    assert caught.value.findings[0].file == str(page_file_of(desk.path))
    (finding,) = desk.bench.in_editor(desk.stove, text, caught.value.findings)
    assert (finding.file, finding.line) == ("line", 3)


def test_a_secret_in_plain_text_is_not_shown(tmp_path: Path) -> None:
    conf = CONF.replace('write: "${CODE}#"', 'write: "4711-0815#"').replace("port:", "encoding: '${ENC}'\n    port:")
    path = tmp_path / "gw.conf"
    (tmp_path / "own.py").write_text(CODE)
    path.write_text(conf)
    configuration = load_configuration(path, {"ENC": "latin-1"})
    opened = Bench(path, {"ENC": "latin-1"}).open(configuration.interfaces[0], None, ("4711-0815",))
    assert (opened.text, opened.is_editable) == ("", False)
    assert "secret in plain text" in opened.note


def test_an_interface_of_code_has_devices_and_words(desk: Desk) -> None:
    opened = desk.bench.open(desk.configuration.interfaces[1], None, ())
    assert (opened.options, opened.has_rules) == (("devices", "words"), False)
    assert "is code and has no rules" in opened.note


def test_an_ini_file_cannot_be_edited(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.path.write_text("[INTERFACE]\nport = dummy\n")
    with pytest.raises(WorkbenchError, match=r"is an INI file.*mqttgateway migrate"):
        desk.text()


def test_an_interface_that_is_gone_is_said_to_be_so(desk: Desk) -> None:
    desk.path.write_text("root: home\ntopics: []\ninterfaces: {other: {type: dummy}}\n")
    with pytest.raises(WorkbenchError, match="has no interface 'stove' any more"):
        desk.text()


def test_a_change_of_the_configuration_is_seen(desk: Desk) -> None:
    desk.text()
    desk.path.write_text(CONF.replace("TEMP", "WARM"))
    assert "WARM" in desk.text()


# --- bounds


def test_slow_expressions_end_in_time(desk: Desk) -> None:
    rules = "".join(f"  - regex: '(.*)x(.*){number}y'\n    message: {{action: A}}\n" for number in range(1000))
    trial = desk.trial(f"decode:\n{rules}")
    frame = b"x" * 2000 + b"\r\n"
    began = time.monotonic()
    results = list(try_frames(trial, [frame] * 200))
    assert time.monotonic() - began < LONGEST + 5
    assert len(results) == 200
    assert "the trial has taken" in results[-1]["lines"][0]["text"]


_HUNDRED = ",".join(map(str, range(100)))


@pytest.mark.parametrize(
    "text",
    [
        f"decode:\n  - {{for: {{a: [{_HUNDRED}], b: [{_HUNDRED}]}}, regex: '{{a}}-{{b}}', message: {{action: A}}}}\n",
        "decode:\n"
        + "".join(f"  - {{regex: '(?P<a>{n}.*)x(.*)y(z?)', message: {{action: A}}}}\n" for n in range(4000)),
    ],
    ids=["repeated", "many"],
)
def test_rules_that_take_long_to_check_end_in_time(desk: Desk, text: str) -> None:
    base = desk.bench.base(desk.configuration)
    began = time.monotonic()
    with pytest.raises(TrialError, match=r"take more than 0\.2 s to check"):
        load_trial(base, ("interfaces", "stove"), text, 0.2)
    assert time.monotonic() - began < 5


def test_commands_as_people_write_them() -> None:
    msg = command_from("location=hall SET level=50 name=abc on=true", "gw")
    assert (msg.iscmd, msg.location, msg.action, msg.sender) == (True, "hall", "SET", "gw")
    assert dict(msg.arguments) == {"level": 50, "name": "abc", "on": True}
    for text in ("", "location=hall", "A B"):
        with pytest.raises(WorkbenchError):
            command_from(text, "gw")
