from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.configuration.interface_loader import find_interface
from gateway.configuration.load_config import load_configuration
from gateway.configuration.page_file import editable_options, page_file_of
from gateway.configuration.settings import Configuration
from gateway.errors import ConfigurationError

CONF = """\
root: home
topics: [home/#]
mqtt: {username: u, password: "${BROKER}"}
interfaces:
  stove:
    type: serial
    port: /dev/ttyS77
    defaults:
      decode: {publish: {on_change: true}}
      polls: {every: 30}
    decode:
      - name: temperature
        regex: 'T (?P<t>-?[0-9.]+)'
        message: {action: TEMP, arguments: {t: "{t}"}}
    encode:
      - match: {action: UNLOCK}
        write: "${CODE}#"
    conversation:
      polls:
        - {name: ask, write: "?", response: {regex: "A"}}
    devices:
      - id: stove
        points: {t: {from: TEMP.t}}
  clock: {type: dummy}
"""
ENVIRONMENT = {"BROKER": "very-secret", "CODE": "4711-0815", "OTHER": "not-for-rules"}
NEW_RULE = "[{name: new, regex: 'N (?P<t>.*)', message: {action: TEMP, arguments: {t: '{t}'}}}]"


def load(folder: Path, page: str | None, conf: str = CONF) -> Configuration:
    path = folder / "gw.conf"
    path.write_text(conf)
    if page is not None:
        (folder / "gw.page.yaml").write_text(page)
    return load_configuration(path, ENVIRONMENT)


def findings(folder: Path, page: str, conf: str = CONF) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, page, conf)
    return [str(finding).replace(f"{folder}/", "") for finding in caught.value.findings]


def test_the_file_lies_beside_the_configuration() -> None:
    assert page_file_of(Path("/etc/x/boiler.conf")) == Path("/etc/x/boiler.page.yaml")


def test_rules_of_the_page_replace_those_of_the_configuration(tmp_path: Path) -> None:
    before = load(tmp_path, None)
    after = load(tmp_path, f"interfaces: {{stove: {{decode: {NEW_RULE}}}}}")
    old, new = before.interfaces[0].params, after.interfaces[0].params
    assert [rule["name"] for rule in new["decode"]] == ["new"]
    assert new["decode"][0]["publish"]["on_change"] is True  # the defaults of the configuration count for them
    assert {name: value for name, value in new.items() if name != "decode"} == {
        name: value for name, value in old.items() if name != "decode"
    }
    file = tmp_path / "gw.page.yaml"
    assert file in after.files
    assert after.hash != before.hash
    note = f"{file}: the interface 'stove' has its decode from here: what gw.conf has is not used"
    assert note in after.notes
    assert note not in before.notes


def test_a_page_file_for_a_single_interface(tmp_path: Path) -> None:
    conf = "root: home\ntopics: []\ninterface: {type: serial, port: /dev/ttyS77}\n"
    configuration = load(tmp_path, f"interface: {{decode: {NEW_RULE}}}", conf)
    assert [rule["name"] for rule in configuration.interfaces[0].params["decode"]] == ["new"]
    assert any("the interface has its decode from here" in note for note in configuration.notes)


def test_the_defaults_of_polls_stay_when_those_of_rules_are_replaced(tmp_path: Path) -> None:
    configuration = load(tmp_path, "interfaces: {stove: {defaults: {decode: {publish: {refresh: 9}}}}}")
    params = configuration.interfaces[0].params
    assert params["conversation"]["polls"][0]["every"] == 30
    assert params["decode"][0]["publish"]["refresh"] == 9


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    before = load(tmp_path, None)
    for text in ("", "# nothing\n", "interfaces: {}\n", "interfaces: {stove: {}}\n", "interfaces:\n  stove:\n"):
        after = load(tmp_path, text)
        assert after._replace(files=before.files, hash=before.hash, interfaces=before.interfaces) == before
        assert [each.params for each in after.interfaces] == [each.params for each in before.interfaces]


def test_the_text_of_another_page_file_can_be_checked_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "gw.conf").write_text(CONF)
    (tmp_path / "gw.page.yaml").write_text("interfaces: {stove: {port: /dev/null}}")
    page = f"interfaces: {{stove: {{decode: {NEW_RULE}}}}}"
    configuration = load_configuration(tmp_path / "gw.conf", ENVIRONMENT, page=page)
    assert [rule["name"] for rule in configuration.interfaces[0].params["decode"]] == ["new"]
    with pytest.raises(ConfigurationError):
        load_configuration(tmp_path / "gw.conf", ENVIRONMENT)


# --- what it may not contain


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("type", "evil.py"),
        ("port", "tcp://evil.example:1"),
        ("filters", "{out: [{hook: 'evil.py:run'}]}"),
        ("map", "/etc/passwd"),
        ("sender", "other"),
        ("tls", "{ca_file: /etc/shadow}"),
        ("conversation", "{polls: []}"),
        ("address", "{location: hall}"),
        ("framing", "{type: gap}"),
        ("encoding", "latin-1"),
        ("max_devices", "5"),
        ("include", "other.yaml"),
    ],
)
def test_an_option_that_is_not_of_the_page_is_refused_by_name(tmp_path: Path, option: str, value: str) -> None:
    (finding,) = findings(tmp_path, f"interfaces:\n  stove:\n    {option}: {value}\n")
    assert finding.startswith(f"gw.page.yaml:3:5: interfaces.stove.{option}: the page cannot change this option: ")


@pytest.mark.parametrize("section", ["mqtt", "web", "outbox", "log", "filters", "name", "home_assistant", "include"])
def test_a_section_of_the_gateway_is_refused_by_name(tmp_path: Path, section: str) -> None:
    (finding,) = findings(tmp_path, f"{section}: {{}}\n")
    assert finding.startswith(f"gw.page.yaml:1:1: {section}: the page cannot change this option: ")


def test_the_defaults_of_polls_are_refused(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "interfaces: {stove: {defaults: {polls: {every: 1}}}}\n")
    assert "interfaces.stove.defaults.polls: the page cannot change this option" in finding


def test_a_misspelled_option_is_recognised(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "interfaces: {stove: {decod: []}}\n")
    assert finding.endswith("did you mean 'decode' or 'encode'?")


def test_an_interface_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "interfaces:\n  stov: {decode: []}\n")
    assert finding == "gw.page.yaml:2:3: interfaces.stov: gw.conf has no such interface: did you mean 'stove'?"
    assert "gw.conf has no such interface" in findings(tmp_path, "interface: {decode: []}\n")[0]


@pytest.mark.parametrize("text", ["[]", "5", "interfaces: []", "interfaces: {stove: 5}"])
def test_a_text_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text)[0].startswith("gw.page.yaml:1:")


def test_a_text_that_is_no_yaml_is_reported_with_the_errors_of_the_configuration(tmp_path: Path) -> None:
    found = findings(tmp_path, "interfaces: [\n", CONF.replace("type: dummy", "type: dumy"))
    assert any(finding.startswith("gw.page.yaml:2:1: not YAML") for finding in found)
    assert any("'dumy'" in finding for finding in found)


def test_what_is_wrong_in_a_rule_is_shown_in_the_page_file(tmp_path: Path) -> None:
    page = "interfaces:\n  stove:\n    decode:\n      - regex: 'T (?P<t>'\n        message: {action: TEMP}\n"
    assert findings(tmp_path, page)[0].startswith("gw.page.yaml:4:16: interfaces.stove.decode[0].regex: ")


def test_a_rule_that_a_device_needs_is_missed_where_the_device_is_written(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "interfaces: {stove: {decode: []}}")
    assert finding.startswith("gw.conf:23:28: ")


# --- variables of the environment


@pytest.mark.parametrize("name", ["OTHER", "BROKER", "CODE", "NOT_SET"])
def test_a_variable_is_refused_since_it_may_be_a_secret(tmp_path: Path, name: str) -> None:
    page = (
        f"interfaces:\n  stove:\n    decode:\n      - regex: '${{{name}}}(?P<t>.)'\n        message: {{action: TEMP}}\n"
    )
    (finding,) = [each for each in findings(tmp_path, page) if "variable" in each]
    assert finding.startswith("gw.page.yaml:4:16: ")
    assert "the page cannot use a variable of the environment: write this rule into" in finding
    assert ENVIRONMENT.get(name, "unset") not in finding


def test_a_variable_may_stay_where_the_configuration_has_it(tmp_path: Path) -> None:
    rules = '[{match: {action: HELLO}, write: H}, {match: {action: UNLOCK}, write: "${CODE}#"}]'
    page = f"interfaces: {{stove: {{encode: {rules}}}}}"
    configuration = load(tmp_path, page)
    assert configuration.interfaces[0].params["encode"][1]["write"] == "4711-0815#"
    assert "4711-0815" in configuration.secrets
    for other in ("${CODE}", "${CODE}##"):  # not the same text
        assert "the page cannot use a variable" in findings(tmp_path, page.replace("${CODE}#", other))[0]


def test_a_dollar_sign_can_be_written(tmp_path: Path) -> None:
    page = "interfaces: {stove: {encode: [{match: {action: X}, write: '$${CODE}'}]}}"
    # In a rule, braces name a value: the text has come as it was written.
    assert any("CODE" in finding and "4711" not in finding for finding in findings(tmp_path, page))


# --- words

MAP = {
    "root": "home",
    "topics": ["home/#"],
    "function": {"maptype": "none"},
    "gateway": {"maptype": "none"},
    "location": {"maptype": "strict", "map": {"hall": ["flur"]}},
    "device": {"maptype": "none"},
    "sender": {"maptype": "none"},
    "action": {"maptype": "none"},
    "argkey": {"maptype": "loose", "map": {"t": ["temp"]}},
    "argvalue": {"maptype": "none"},
}


def with_map(folder: Path) -> str:
    (folder / "map.json").write_text(json.dumps(MAP))
    return CONF.replace("root: home\ntopics: [home/#]\n", "map: map.json\n")


def test_words_are_added_to_the_map_of_the_interface_alone(tmp_path: Path) -> None:
    page = "interfaces: {stove: {words: {location: {hall: [diele], kitchen: [kueche]}}}}"
    configuration = load(tmp_path, page, with_map(tmp_path))
    stove, clock = (interface.msg_map.fields["location"] for interface in configuration.interfaces)
    assert [stove.read(word) for word in ("flur", "diele", "kueche")] == ["hall", "hall", "kitchen"]
    assert stove.write("hall") == "flur"  # what was there is still what is written
    assert not clock.knows("kueche")
    assert any("the map of the interface 'stove' has more words from here" in note for note in configuration.notes)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("{location: {kitchen: [flur]}}", "words.location.kitchen[0]: 'flur' is already an MQTT word of 'hall'"),
        ("{location: {kitchen: [a/b]}}", "words.location.kitchen[0]: 'a/b': "),
        ("{location: {kitchen: [x], cellar: [x]}}", "words.location.cellar[0]: 'x' is already an MQTT word of"),
        ("{device: {kitchen: [x]}}", "words.device: the map passes every word of 'device' unchanged"),
        ("{argkey: {t: [action]}}", "words.argkey.t[0]: the payload reserves 'action' for the action"),
        ("{locations: {}}", "words.locations: unknown option"),
        ("{location: {kitchen: x}}", "words.location.kitchen: expected a list"),
        ("{location: {kitchen: []}}", "words.location.kitchen: expected at least 1"),
        ("5", "words: expected a mapping"),
    ],
)
def test_words_that_the_map_cannot_have(tmp_path: Path, words: str, expected: str) -> None:
    (finding, *_) = findings(tmp_path, f"interfaces: {{stove: {{words: {words}}}}}", with_map(tmp_path))
    assert finding.startswith("gw.page.yaml:1:")
    assert expected in finding


# --- other configurations


def test_an_ini_file_has_no_page_file(tmp_path: Path) -> None:
    path = tmp_path / "old.conf"
    path.write_text("[CONFIG]\nlog_level = INFO\n[INTERFACE]\nport = dummy\n")
    (tmp_path / "old.page.yaml").write_text("interface: {port: evil}")
    try:
        notes = "\n".join(load_configuration(path, {}).notes)
    except ConfigurationError as err:  # what else may be missing in it
        notes = str(err)
        assert "old.page.yaml" not in notes
    else:
        assert "old.page.yaml is not used: a configuration in INI has no page file" in notes


def test_only_options_that_the_schema_marks_can_be_written() -> None:
    assert [".".join(map(str, path)) for path in editable_options(find_interface("serial", Path()))] == [
        "decode_every_rule", "decode", "encode", "defaults.decode", "defaults.encode", "devices",
    ]  # fmt: skip
    assert editable_options(find_interface("dummy", Path())) == [("devices",)]


class OwnDevices:
    """An interface whose own option `devices` is a file, and whose schema marks what no schema can allow."""

    SCHEMA: Mapping[str, Any] = {
        "properties": {
            "devices": {"type": "string", "format": "file"},
            "type": {"type": "string", "on_page": True},
            "port": {"type": "string", "on_page": True},
            "rules": {"type": "array", "on_page": True},
        }
    }


def test_an_option_of_a_class_with_a_name_of_the_page_is_not_that_of_the_page() -> None:
    assert editable_options(OwnDevices) == [("rules",)]


# --- nothing else can be changed by it

_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["/dev/null", "${OTHER}"])
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
_RULES = st.sampled_from(
    [
        [{"name": "n", "regex": "N(?P<t>.)", "message": {"action": "TEMP", "arguments": {"t": "{t}"}}}],
        [{"regex": "(?P<t>.)", "message": {"location": "hall", "action": "TEMP", "arguments": {"t": "{t}"}}}],
        [{"match": {"action": "A"}, "write": "a"}],
        [],
    ]
)
_OPTIONS = st.sampled_from(
    ["type", "port", "decode", "encode", "decode_every_rule", "defaults", "devices", "words", "filters", "map",
     "sender", "conversation", "address", "framing", "tls", "max_devices", "reading_time", "encoding"]
)  # fmt: skip
_INTERFACE = st.dictionaries(_OPTIONS | st.text(max_size=4), _VALUES | _RULES, max_size=3) | st.fixed_dictionaries(
    {"decode": _RULES}, optional={"encode": _RULES, "decode_every_rule": st.booleans()}
)
_PAGES = st.fixed_dictionaries(
    {},
    optional={
        "interfaces": st.dictionaries(st.sampled_from(["stove", "clock", "new"]), _INTERFACE, max_size=2),
        "mqtt": _VALUES,
        "web": _VALUES,
        "interface": _VALUES,
    },
)


@given(page=_PAGES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_page_file_changes_anything_but_rules_devices_and_words(tmp_path: Path, page: Any) -> None:
    before = load(tmp_path, None) if not (tmp_path / "gw.page.yaml").exists() else None
    if before is None:
        (tmp_path / "gw.page.yaml").unlink()
        before = load(tmp_path, None)
    try:
        after = load(tmp_path, json.dumps(page))
    except ConfigurationError as err:
        assert "not-for-rules" not in str(err)
        return
    assert len(after.interfaces) == len(before.interfaces)
    same = before._replace(interfaces=(), files=(), hash="", notes=(), warnings=(), log=before.log)
    assert after._replace(interfaces=(), files=(), hash="", notes=(), warnings=(), log=before.log) == same
    assert after.log == before.log
    for old, new in zip(before.interfaces, after.interfaces, strict=True):
        assert (new.name, new.cls, new.filters, new.reading_time, new.max_devices) == (
            old.name, old.cls, old.filters, old.reading_time, old.max_devices,
        )  # fmt: skip
        assert new.msg_map.root == old.msg_map.root
        assert (new.msg_map.sender, new.msg_map.topics) == (old.msg_map.sender, old.msg_map.topics)
        changed = {name for name in {*old.params, *new.params} if old.params.get(name) != new.params.get(name)}
        assert changed <= {"decode", "encode", "decode_every_rule"}


def test_a_pipe_instead_of_a_page_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "gw.conf").write_text(CONF)
    os.mkfifo(tmp_path / "gw.page.yaml")
    with pytest.raises(ConfigurationError, match=r"gw\.page\.yaml: no ordinary file: remove it"):
        load_configuration(tmp_path / "gw.conf", ENVIRONMENT)
