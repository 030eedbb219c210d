"""The schema of the serial interface and the registries list the same: a new entry is needed in both."""

from __future__ import annotations

import re
from typing import Any

import pytest

from interfaces.rules.content import CONTENTS
from interfaces.rules.extractors import EXTRACTORS
from interfaces.rules.layout import Layout, LayoutError
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.framing.checksum import FORMS, find_algorithm
from interfaces.serial_interface.framing.framers import COMMON_OPTIONS, FRAMINGS

PROPERTIES = SerialInterface.SCHEMA["properties"]
DEFINITIONS = SerialInterface.SCHEMA["$defs"]
FRAMING = DEFINITIONS["framing"]["properties"]
_KIND = "|".join(FRAMINGS)


def framings_named_in(description: str) -> set[str]:
    """Return the framings that the description of an option names before a colon."""
    groups = re.findall(rf"(?:^|\. )((?:{_KIND})(?:, (?:{_KIND}))*): ", description)
    return {name for group in groups for name in group.split(", ")}


def test_framings() -> None:
    assert FRAMING["type"]["enum"] == list(FRAMINGS)
    assert framings_named_in(FRAMING["type"]["description"]) == FRAMINGS.keys()


@pytest.mark.parametrize("option", [name for name in FRAMING if name not in COMMON_OPTIONS])
def test_the_framings_of_an_option(option: str) -> None:
    readers = {name for name, framer in FRAMINGS.items() if option in framer.OPTIONS}
    assert framings_named_in(FRAMING[option]["description"]) == readers


@pytest.mark.parametrize("name", FRAMINGS)
def test_the_options_of_a_framing(name: str) -> None:
    framer = FRAMINGS[name]
    assert {*framer.OPTIONS, *COMMON_OPTIONS} <= FRAMING.keys()
    assert set(framer.REQUIRED) <= set(framer.OPTIONS)
    assert not any("default" in FRAMING[option] for option in framer.REQUIRED), "it would never be missing"


def test_checksums() -> None:
    checksum = DEFINITIONS["checksum"]["properties"]
    assert checksum["form"]["enum"] == list(FORMS)
    listed = re.findall(r"[a-z]+(?:-[0-9/a-z]+)+|\bxor\b|\blrc\b", checksum["type"]["description"])
    assert len(listed) >= 8
    assert all(find_algorithm(name) for name in listed)


@pytest.mark.parametrize("section", ["decode", "response"])
def test_extractors(section: str) -> None:
    options = (
        PROPERTIES["decode"]["items"]["properties"] if section == "decode" else DEFINITIONS["reader"]["properties"]
    )
    others = {
        "for", "name", "framing", "nested", "join", "values", "until", "same", "message", "messages", "publish",
        "reply", "ignore",
    }  # fmt: skip
    assert [name for name in options if name not in others] == list(EXTRACTORS)


@pytest.mark.parametrize(
    "options",
    [
        PROPERTIES["encode"]["items"]["properties"],
        PROPERTIES["conversation"]["properties"]["polls"]["items"]["properties"],
        DEFINITIONS["step"]["properties"],
    ],
    ids=["encode", "polls", "step"],
)
def test_contents(options: dict[str, Any]) -> None:
    others = {
        "for",
        "name",
        "framing",
        "match",
        "arguments",
        "response",
        "refusal",
        "timeout",
        "retries",
        "every",
        "on_open",
        "only_idle",
        "steps",
        "pause",
        "baudrate",
    }
    assert [name for name in options if name not in others] == list(CONTENTS)


FOUND_OR_CHOSEN: dict[str, dict[str, Any]] = {
    "find": {"bytes": "61"},
    "switch": {"on": "n", "cases": {"*": []}},
    "repeat": {"fields": [{"type": "u8"}]},
}


@pytest.mark.parametrize("kind", FOUND_OR_CHOSEN)
def test_types_that_depend_on_the_frame_are_only_read(kind: str) -> None:
    layout = Layout([{"type": "u8", "name": "n"}, {"type": kind, **FOUND_OR_CHOSEN[kind]}])
    assert layout.read(b"ba") == {"n": 98}
    with pytest.raises(LayoutError, match="can be read, but not written"):
        layout.check_writable()


@pytest.mark.parametrize("kind", [*DEFINITIONS["field"]["properties"]["type"]["enum"]])
def test_every_type_of_field_is_read(kind: str) -> None:
    options = FOUND_OR_CHOSEN.get(kind) or {"name": "x", "length": 2}
    assert Layout([{"type": "u8", "name": "n"}, {"type": kind, **options}]).read(b"babababab") is not None


@pytest.mark.parametrize(
    "kind", [kind for kind in DEFINITIONS["field"]["properties"]["type"]["enum"] if kind not in FOUND_OR_CHOSEN]
)
def test_every_other_type_of_field_is_written_as_well(kind: str) -> None:
    layout = Layout([{"type": kind, "name": "x", "length": 2}])
    frame = layout.write({"x": b"ab" if kind in ("bytes", "text", "skip") else 7})
    assert layout.read(frame) is not None


@pytest.mark.parametrize("section", ["decode", "encode", "polls"])
def test_the_alternatives_of_defaults(section: str) -> None:
    part = PROPERTIES["defaults"]["properties"][section]
    entries = PROPERTIES["conversation"] if section == "polls" else SerialInterface.SCHEMA
    options = entries["properties"][section]["items"]["properties"]
    assert {name for group in part["alternatives"] for name in group} <= options.keys()
    registered = EXTRACTORS if section == "decode" else [*CONTENTS, "steps"]
    assert list(registered) in part["alternatives"]
    excluded = {name for group in part["alternatives"] if "steps" in group for name in group}
    of_a_step = DEFINITIONS["step"]["properties"].keys() & options.keys() - {"for", "name"}
    assert excluded == ({*of_a_step, "steps"} if section != "decode" else set())
