"""Configurations and maps that are wrong or too large everywhere: the findings are bounded, and say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.configuration.document import MAX_BYTES, MAX_VALUES
from gateway.configuration.json_reader import load_json
from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_map import load_map
from gateway.configuration.yaml_reader import load_yaml
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding

MANY = 20_000
BASE = "root: home\ntopics: []\ninterface: {type: dummy}\n"


def reported(text: str, tmp_path: Path, name: str = "gw.conf") -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError) as info:
        if name.endswith(".json"):
            load_map(path, sender="gw")
        else:
            load_configuration(path, {"LARGE": "x" * 1_000_000})
    return [str(finding).removeprefix(f"{path}:") for finding in info.value.findings]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (BASE + "".join(f"key{n}: 1\n" for n in range(MANY)), "4:1: key0: unknown option"),
        (BASE + "mqtt:\n" + "  host: x\n" * MANY, "6:3: mqtt.host: duplicate option, first in line 5"),
        (BASE + "".join(f'key{n}: "${{NAME{n}}}"\n' for n in range(MANY)), "4:7: key0: the environment variable"),
        (BASE + "mqtt: {" + ", ".join(f"k{n}: 1" for n in range(MANY)) + "}\n", "4:8: mqtt.k0: unknown option"),
        (BASE + "mqtt: &a [" + "*a, " * MANY + "]\n", "4:7: mqtt: the anchor '&a' is not supported"),
    ],
    ids=["unknown", "twice", "environment", "in one line", "aliases"],
)
def test_of_very_many_faults_the_first_are_told_and_that_there_are_more(text: str, first: str, tmp_path: Path) -> None:
    actual = reported(text, tmp_path)
    assert actual[0].startswith(first)
    assert len(actual) == MAX_FINDINGS + 1
    assert "more: fix these first" in actual[-1]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (json.dumps({"root": "home", "topics": [], **{f"k{n}": 1 for n in range(MANY)}}), "1:32: k0: unknown option"),
        ('{"root": "home", "topics": [], ' + ", ".join('"a": 1' for _ in range(MANY)) + "}", "1:40: a: duplicate"),
        (
            json.dumps({"root": "home", "topics": [], "device": {
                "maptype": "strict", "map": {f"d{n}": ["a/b"] for n in range(MANY)}}}),
            "1:79: device.map.d0[0]: 'a/b'",
        ),
    ],
    ids=["unknown", "twice", "words"],
)  # fmt: skip
def test_so_it_is_with_a_map(text: str, first: str, tmp_path: Path) -> None:
    actual = reported(text, tmp_path, "map.json")
    assert actual[0].startswith(first)
    assert len(actual) == MAX_FINDINGS + 1
    assert "more: fix these first" in actual[-1]


def test_a_text_of_very_many_values_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=f"over {MAX_VALUES} values: is it the right file"):
        load_yaml("- 1\n" * (MAX_VALUES + 10), "gw.conf", {})


def test_what_the_environment_fills_in_is_bounded(tmp_path: Path) -> None:
    actual = reported(BASE + 'name: "' + "${LARGE}" * 1000 + '"\n', tmp_path)
    assert actual == [f"4:7: name: environment variables insert over {MAX_BYTES // 1024**2} MiB: shorten their values"]


def test_a_place_far_behind_in_a_large_map_is_that_of_what_is_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.configuration.json_reader.MAX_VALUES", 10)
    document = load_json('{"a": 1,\n "b": [' + ", ".join(["0"] * 100) + "]}", "map.json")
    assert document.finding(("b", 2), "wrong").line == 2
    assert document.finding(("b", 90), "wrong")[:4] == ("map.json", 2, 7, "b[90]")


def test_findings_that_are_raised_again_count_once() -> None:
    first = ConfigurationError(Finding("f", n, 1, "", "wrong", "") for n in range(1, 251))
    again = ConfigurationError([*first.findings, Finding("a", 1, 1, "", "wrong too", "")])
    assert len(again.findings) == MAX_FINDINGS + 1
    assert again.findings[0].file == "a"
    assert again.findings[-1].what == "and at least 151 more"
