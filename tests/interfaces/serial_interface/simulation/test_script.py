from __future__ import annotations

from pathlib import Path

import pytest

from gateway.configuration.load_script import load_script
from gateway.errors import ConfigurationError
from interfaces.serial_interface.simulation.script import check_script, script_schema


def findings(folder: Path, text: str) -> list[str]:
    file = folder / "device.sim"
    file.write_text(text)
    try:
        load_script(file, {}, script_schema(), check_script)
    except ConfigurationError as err:
        return [str(finding).removeprefix(f"{file}:") for finding in err.findings]
    return []


def test_an_empty_mapping_is_a_device_that_says_nothing(tmp_path: Path) -> None:
    assert findings(tmp_path, "{}") == []


def test_all_mistakes_are_reported_at_once_each_with_its_place(tmp_path: Path) -> None:
    text = """\
state: {volts: 12}
checksum: {type: crc-17}
says:
  - {every: 1, write: "V {volt}"}
  - {every: 1}
answers:
  - {write: "OK"}
  - {regex: 'SET (?P<value>[0-9]+)', set: {amps: "{valu}"}, when: {power: "ON"}}
  - {regex: '(', write: "OK"}
  - {regex: 'A', write: "A", hex: "41"}
  - {regex: 'B', write: ["B", "{b}"]}
faults:
  - {from: 5, to: 1, silent: true}
"""
    nowhere = "neither in the state nor in the frame"
    assert findings(tmp_path, text) == [
        "2:18: checksum.type: unknown checksum 'crc-17': did you mean 'crc-7' or 'crc-16' or 'crc-15'?",
        f"4:23: says[0].write: there is no value 'volt', {nowhere}: did you mean 'volts'?",
        "5:5: says[1]: it says nothing: add one of write, hex, write_binary, or 'set'",
        (
            "7:5: answers[0]: a rule has exactly one of regex, fields, pairs, lines, json, binary; this one has none: "
            "keep or add one of them: it describes how the rule reads a frame"
        ),
        "8:50: answers[1].set.amps: 'amps' is no part of the state: add it: state: {amps: ...}",
        f"8:50: answers[1].set.amps: there is no value 'valu', {nowhere}: did you mean 'value'?",
        f"8:75: answers[1].when.power: there is no value 'power', {nowhere}: known here: value, volts",
        (
            "9:13: answers[2].regex: not a regular expression: missing ), unterminated subpattern at position 0: "
            "correct it"
        ),
        "10:35: answers[3].hex: it has write and hex: keep one of them",
        f"11:31: answers[4].write[1]: there is no value 'b', {nowhere}: known here: volts",
        "13:19: faults[0].to: it ends at 1 s, before it begins: choose more than 5",
    ]


def test_a_mistake_of_the_schema_and_a_duplicate_option_are_reported_together(tmp_path: Path) -> None:
    text = "state: {}\nstate: {}\nanswer: []\n"
    assert findings(tmp_path, text) == [
        "2:1: state: duplicate option, first in line 1: remove one of the two",
        "3:1: answer: unknown option: did you mean 'answers'?",
    ]


def test_an_encoding_that_is_no_code_page_is_a_mistake(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "encoding: utf-16\nanswers: [{regex: A, write: B}]")
    assert finding.startswith("1:11: encoding: 'utf-16' has no code page")
    assert findings(tmp_path, "encoding: cp437\nanswers: [{regex: A, write: B}]") == []


@pytest.mark.parametrize("text", ["- 1", "", "just text"])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text)


def test_what_a_receiver_would_read_as_two_frames_is_a_mistake_unless_it_is_raw(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, 'says: [{write: "A\\r\\nB"}]')
    assert finding == (
        "1:16: says[0].write: it cannot be framed: it contains bytes that end a frame: correct it, or add framing: raw"
    )
    assert findings(tmp_path, 'says: [{write: "A\\r\\nB", framing: raw}]') == []


def test_an_answer_is_only_for_framings_that_are_received(tmp_path: Path) -> None:
    text = """framing: [{name: answer, start: ":"}, {name: block}]
write_framing: {name: sent, terminator: "\\n"}
answers:
  - {regex: A, read_framing: block, framing: sent, write: A}
  - {regex: A, read_framing: blocks, write: A}
  - {regex: A, read_framing: sent, write: A}
"""
    assert findings(tmp_path, text) == [
        "5:30: answers[1].read_framing: there is no framing 'blocks': did you mean 'block'?",
        "6:30: answers[2].read_framing: there is no framing 'sent': known here: answer, block",
    ]
