from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.page_file import interfaces_of
from gateway.workbench.page_text import indented, option_text, raw_document, with_interface

CONF = """\
interfaces:
  # The stove in the hall
  stove:
    type: serial
    # What it says
    # every second
    decode:   # rules
    - name: a
      regex: 'a'   # the letter

    # behind it
    - name: b
      regex: |
        b
          c
    # What it is told
    encode:
      - {match: {action: X}, write: "${CODE}"}

    # The end

  clock: {type: dummy, devices: [{id: a}]}
"""


def option(text: str, *path: str) -> str:
    return option_text(text, raw_document(text), path)


def test_an_option_comes_with_its_comments_at_the_left_margin() -> None:
    assert option(CONF, "interfaces", "stove", "decode") == (
        "# What it says\n# every second\ndecode:   # rules\n- name: a\n  regex: 'a'   # the letter\n\n# behind it\n"
        "- name: b\n  regex: |\n    b\n      c\n"
    )


def test_a_variable_keeps_its_name_and_what_follows_stays_away() -> None:
    expected = '# What it is told\nencode:\n  - {match: {action: X}, write: "${CODE}"}\n'
    assert option(CONF, "interfaces", "stove", "encode") == expected


def test_an_option_inside_a_line_is_written_anew() -> None:
    assert option(CONF, "interfaces", "clock", "devices") == "devices:\n  - {id: a}\n"
    flow = (
        '{"interface": {"decode": [{"regex": "(?P<a>.): #", "message": {"action": "on", "x": [1, 2.5, null, true]}}]}}'
    )
    assert option(flow, "interface", "decode") == (
        "decode:\n  - regex: '(?P<a>.): #'\n    message:\n      action: 'on'\n      x: [1, 2.5, null, true]\n"
    )


@pytest.mark.parametrize(
    "text", ["", "12:30", "on", "0x1", "null", "~", "- a", "a: b", "#", "é", "a\nb", "\u2028", " a", "-", "1e3", "*a"]
)
def test_a_text_that_is_written_anew_is_the_same_text(text: str) -> None:
    data = {"a": {text: [text, {"b": {"c": text}}]}}
    assert raw_document(option(json.dumps(data), "a")).data == data


_KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn", "Co"]), min_size=1, max_size=6)
_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
).filter(lambda value: "${" not in json.dumps(value))


@given(value=_DATA)
def test_whatever_is_written_anew_is_read_as_the_same(value: Any) -> None:
    text = option_text("", raw_document("{}").with_data({"key": value}), ("key",))
    assert raw_document(text).data == {"key": value}


@given(value=_DATA.filter(lambda value: isinstance(value, dict) and value), margin=st.integers(0, 4))
def test_a_text_further_to_the_right_means_the_same(value: Any, margin: int) -> None:
    text = option_text("", raw_document("{}").with_data({"key": value}), ("key",))
    assert raw_document(f"x:\n{indented(text, ' ' * (margin + 1))}").data == {"x": {"key": value}}


# --- the page file


def test_an_interface_is_added_changed_and_removed_and_the_others_stay() -> None:
    one = with_interface(None, ("interfaces", "stove"), "# a\ndecode:\n  - {regex: a}\n")
    assert one is not None
    assert raw_document(one).data == {"interfaces": {"stove": {"decode": [{"regex": "a"}]}}}
    two = with_interface(one, ("interfaces", "on: 1"), "words: {location: {a: [b]}}\n")
    assert two is not None
    assert "    # a\n" in two
    assert list(interfaces_of(raw_document(two).data)) == [("interfaces", "stove"), ("interfaces", "on: 1")]
    changed = with_interface(two, ("interfaces", "stove"), "encode: []\n")
    assert changed is not None
    assert raw_document(changed).data["interfaces"]["stove"] == {"encode": []}
    rest = with_interface(changed, ("interfaces", "on: 1"), "")
    assert with_interface(rest, ("interfaces", "stove"), "") is None


def test_the_file_of_a_single_interface() -> None:
    text = with_interface(None, ("interface",), "decode: []\n")
    assert text is not None
    assert raw_document(text).data == {"interface": {"decode": []}}


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\r", "\r\n", "\u2029", "\n"])
def test_no_line_end_leads_out_of_the_interface(end: str) -> None:
    text = with_interface(None, ("interfaces", "a"), f"decode: []{end}encode: []{end}")
    assert text is not None
    assert raw_document(text).data == {"interfaces": {"a": {"decode": [], "encode": []}}}
