from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.paths import shipped, shipped_configurations
from gateway.errors import ConfigurationError
from gateway.map_tools.check import MAX_OF_A_KIND, Report, check_file

LOOSE = """\
{
  "root": "home",
  "topics": ["home/+/+/+/+/panel/C"],
  "location": {"maptype": "loose", "map": {
    "office": ["office", "study"]
  }}
}
"""

WRONG = """\
{
  "root": "home",
  "topics": ["home/lamps/+/+/+/+/C"],
  "function": {"maptype": "strict", "map": {"lighting": ["lighting"]}},
  "device": {"maptype": "loose", "map": {"lamp": ["lamp/1"]}},
  "action": {"maptype": "strict", "map": {"LAMP_ON": ["on"], "LAMP_OFF": ["on"]}}
}
"""


def check(folder: Path, text: str, name: str = "map.json") -> Report:
    path = folder / name
    path.write_text(text)
    return check_file(path, {}, sender="gw")


def data_of(report: Report) -> Any:
    return json.loads(report.as_json())


def test_a_map_without_findings(tmp_path: Path) -> None:
    report = check(tmp_path, '{"root": "home", "topics": ["home/+/+/+/+/panel/C"]}')
    assert report.is_ok
    assert list(report.lines()) == [f"{tmp_path}/map.json: OK"]


def test_a_map_with_a_note_is_ok(tmp_path: Path) -> None:
    report = check(tmp_path, LOOSE)
    assert report.is_ok
    assert list(report.lines()) == [
        (
            f"{tmp_path}/map.json:5:26: note: location.map.office[1]: the internal word 'study', which is not in the "
            "map, is refused: in MQTT it means 'office': give it an entry if an interface uses it [collision]"
        ),
        (
            "    status -/-/study/-/- on: not sent: location: 'study' would be written as 'study', which is read as "
            "'office': give it a word of its own in the map"
        ),
        f"{tmp_path}/map.json: OK: 1 note",
    ]


def test_a_map_with_a_warning_is_not_ok(tmp_path: Path) -> None:
    report = check(tmp_path, LOOSE.replace("/panel/C", "/+/#"))
    assert not report.is_ok
    assert list(report.lines())[-1] == f"{tmp_path}/map.json: not OK: 1 warning, 3 notes"


def test_the_report_as_json(tmp_path: Path) -> None:
    assert data_of(check(tmp_path, LOOSE)) == {
        "version": 1,
        "file": f"{tmp_path}/map.json",
        "good": True,
        "counts": {"error": 0, "warning": 0, "note": 1},
        "left_out": {},
        "findings": [
            {
                "severity": "note",
                "kind": "collision",
                "file": f"{tmp_path}/map.json",
                "line": 5,
                "column": 26,
                "where": "location.map.office[1]",
                "what": "the internal word 'study', which is not in the map, is refused: in MQTT it means 'office'",
                "remedy": "give it an entry if an interface uses it",
                "example": {
                    "message": {
                        "command": False,
                        "function": "",
                        "gateway": "",
                        "location": "study",
                        "device": "",
                        "sender": "",
                        "action": "on",
                        "arguments": {},
                    },
                    "outcome": "not sent: location: 'study' would be written as 'study', which is read as 'office': "
                    "give it a word of its own in the map",
                },
            }
        ],
    }


def test_a_message_from_mqtt_as_json(tmp_path: Path) -> None:
    (finding,) = [each for each in data_of(check(tmp_path, LOOSE.replace("/panel/C", "/#")))["findings"]
                  if each["kind"] == "open-end"]  # fmt: skip
    assert set(finding["example"]) == {"topic", "payload", "outcome"}
    assert finding["example"]["topic"] == "home/x/x/x/x"


def test_load_errors_of_a_map_are_reported_with_examples(tmp_path: Path) -> None:
    report = check(tmp_path, WRONG)
    assert not report.is_ok
    findings = {(each.finding.line, each.finding.column, each.kind): each for each in report.findings}
    assert set(findings) == {
        (3, 14, "unloadable"),
        (5, 42, "unwritable"),
        (5, 51, "unloadable"),
        (6, 43, "unwritable"),
        (6, 55, "unreadable"),
        (6, 75, "unloadable"),
    }
    assert "home/lamps////other/C" in str(findings[3, 14, "unloadable"].example)
    assert "which is read as 'LAMP_OFF'" in str(findings[6, 43, "unwritable"].example)
    assert "read as: command lighting/-/-/-/other LAMP_OFF" in str(findings[6, 55, "unreadable"].example)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"root": "home"}',
        '{"root": "home", "root": "site", "topics": []}',
        '{"root": "a//b", "topics": ["#/a"]}',
        '{"root": "home", "topics": [], "action": {"maptype": "lose"}}',
        '{"root": "home", "topics": [], "action": {"maptype": "strict"}}',
        '{"root": "home", "topics": [], "argkey": {"maptype": "strict", "map": {"a": ["action"]}}}',
    ],
)
def test_a_map_that_does_not_load_is_never_ok(tmp_path: Path, text: str) -> None:
    report = check(tmp_path, text)
    assert report.counts["error"] and not report.is_ok
    assert all(each.finding.line for each in report.findings)


def test_a_configuration_that_does_not_load(tmp_path: Path) -> None:
    report = check(tmp_path, "root: home\ntopics: [home/#]\ninterface: {type: nothing}\n", "gw.conf")
    assert [(each.severity, each.kind, each.finding.line) for each in report.findings] == [("error", "unloadable", 3)]


@pytest.mark.parametrize(("name", "text"), [("map.json", "{"), ("gw.conf", "a: [")])
def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not JSON|not YAML"):
        check(tmp_path, text, name)


def test_findings_beyond_the_limit_are_only_counted(tmp_path: Path) -> None:
    entries = {f"W{number}": [f"w{number}"] for number in range(20_000)}
    text = json.dumps({"root": "home", "topics": [], "action": {"maptype": "loose", "map": entries}})
    report = check(tmp_path, text)
    assert report.counts == {"note": 40_001}
    assert report.left_out == dict.fromkeys(("collision", "undeclared-alias"), 20000 - MAX_OF_A_KIND)
    assert len(report.findings) == 2 * MAX_OF_A_KIND + 1
    assert f"{tmp_path}/map.json: {20_000 - MAX_OF_A_KIND} more of the kind [collision]" in list(report.lines())


@pytest.mark.parametrize("path", sorted(shipped("maps").glob("*.json")), ids=lambda path: path.name)
def test_shipped_maps_are_ok(path: Path) -> None:
    report = check_file(path, {}, sender="gw")
    assert report.is_ok, "\n".join(report.lines())


@pytest.mark.parametrize("name", shipped_configurations())
def test_the_maps_of_shipped_configurations_are_ok(name: str) -> None:
    report = check_file(shipped("conf") / name, {}, sender="gw")
    assert {each.severity for each in report.findings} <= {"note"}, "\n".join(report.lines())
