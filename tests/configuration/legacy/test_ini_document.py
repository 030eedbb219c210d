from __future__ import annotations

import configparser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.configuration.legacy.ini_document import Entry, Section, read_ini
from gateway.configuration.yaml_reader import is_ini
from gateway.errors import ConfigurationError

LINES = st.one_of(
    st.sampled_from(
        [
            "[A]",
            "[B]",
            "[DEFAULT]",
            " [B]",
            "[A] tail",
            "",
            "  ",
            "# c",
            "; c",
            "  # c",
            "x: 1",
            "x=2",
            "X : 3 ",
            "y:",
            "y = a=b:c",
            "  more",
            "\tmore %(x)s",
            "    deep",
            "novalue",
            ":x",
            "z: 100%",
            " w: 1",
        ]
    ),
    st.text(alphabet="ab=:#; [%]\t", max_size=8),
)


@settings(max_examples=500)
@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_a_text_is_read_as_configparser_reads_it(lines: list[str], ending: str) -> None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string("\n".join(lines))
    except configparser.Error:
        with pytest.raises(ConfigurationError):
            read_ini(ending.join(lines), "x.conf")
        return
    ini = read_ini(ending.join(lines), "x.conf")
    actual = {name: {option: entry.text for option, entry in ini.entries(name).items()}
             for name in ini.sections() if name != "DEFAULT"}  # fmt: skip
    assert actual == {name: dict(parser.items(name)) for name in parser.sections()}


@given(st.lists(LINES, max_size=12))
def test_every_place_is_where_the_text_stands(lines: list[str]) -> None:
    try:
        ini = read_ini("\n".join(lines), "x.conf")
    except ConfigurationError as err:
        assert all(1 <= finding.line <= len(lines) for finding in err.findings)
        return
    for item in ini.items:
        if isinstance(item, Section):
            line, column = item.place
            assert lines[line - 1][column - 1 :].startswith(f"[{item.name}]")
            continue
        line, column = item.key_place
        assert lines[line - 1][column - 1 :].lower().startswith(item.option)
        for (line, column), text in item.parts:
            assert lines[line - 1][column - 1 :].startswith(text)


@given(st.lists(LINES, max_size=12))
def test_no_comment_is_lost(lines: list[str]) -> None:
    try:
        ini = read_ini("\n".join(lines), "x.conf")
    except ConfigurationError:
        return
    kept = [line for item in ini.items for line in item.comments] + list(ini.comments)
    assert [line for line in kept if line] == [line.strip() for line in lines if line.strip()[:1] in ("#", ";")
                                               and line.strip()]  # fmt: skip


def test_an_option_has_its_place_its_comments_and_its_lines() -> None:
    ini = read_ini("# head\n\n[MQTT]\n# the broker\n  Host = a\n    b\n\n# end\n", "x.conf")
    section, entry = ini.items
    assert section == Section("MQTT", (3, 1), ("# head", ""))
    assert isinstance(entry, Entry)
    assert (entry.name, entry.key_place, entry.text) == ("[MQTT] host", (5, 3), "a\nb")
    assert entry.parts == (((5, 10), "a"), ((6, 5), "b"))
    assert entry.comments == ("# the broker",)
    assert ini.comments[1:] == ("# end", "")


def test_what_is_given_again_is_told_with_the_one_before() -> None:
    ini = read_ini("[A]\nx: 1\nX: 2\n[B]\nx: 3\n[A]\nx: 4\n", "x.conf")
    assert [(first.text, again.text) for first, again in ini.repeated()] == [("1", "2"), ("2", "4")]
    assert ini.entries("A")["x"].text == "4"


def test_every_line_that_is_not_ini_is_reported() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_ini("x: 1\n[A]\nnothing\n: 2\n", "x.conf")
    assert [str(finding) for finding in caught.value.findings] == [
        "x.conf:1:1: no [SECTION] before it: put it into a section, for example [MQTT]",
        "x.conf:3:1: 'nothing' is not an option: write it as option: value",
        "x.conf:4:1: ': 2' is not an option: write it as option: value",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[MQTT]\nhost: x\n", True),
        ("\n# comment\n; comment\n\n  [MQTT]  \n", True),
        ("root: home\n[MQTT]\n", False),
        ("# only a comment\n", False),
        ("", False),
        ("---\nroot: home\n", False),
        ("topics: [home/#]\n", False),
    ],
)
def test_ini_is_told_by_its_first_line(text: str, expected: bool) -> None:
    assert is_ini(text) == expected
