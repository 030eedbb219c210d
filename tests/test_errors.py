from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import api, errors
from gateway.errors import MAX_FINDINGS, Finding, GatewayError, MoreFindings, Problem, bounded, distinct

PROJECT = Path(__file__).parents[1]
ELSEWHERE = {"NotOwnError": "OSError", "TemplateError": "ValueError", "ThrottledException": "Exception"}
"""Exceptions that derive from a built-in one instead, as the docstring of gateway.errors explains."""


def bases() -> Iterator[tuple[str, str]]:
    """Yield each public class of the project with each of its bases."""
    for package in ("gateway", "interfaces"):
        for path in (PROJECT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield from ((node.name, base.id) for base in node.bases if isinstance(base, ast.Name))


def test_every_error_derives_from_the_one_root_or_is_a_declared_exception_to_that() -> None:
    derived, result = {"GatewayError"}, set(bases())
    while more := {name for name, base in result if base in derived} - derived:
        derived |= more
    assert {"LinkError", "StoreError", "LockedStoreError", "ControlError", "ChecksumError"} <= derived, "all are found"
    builtin = {"Exception", "OSError", "ValueError", "RuntimeError", "TypeError", "KeyError", "LookupError"}
    assert {name: base for name, base in result if base in builtin} == {"GatewayError": "Exception", **ELSEWHERE}
    assert all(name in (errors.__doc__ or "") for name in ELSEWHERE)


def test_what_an_author_raises_or_catches_is_defined_in_the_module_of_errors() -> None:
    raised = [value for value in (getattr(api, name) for name in api.__all__)
              if inspect.isclass(value) and issubclass(value, BaseException)]  # fmt: skip
    assert len(raised) >= 2
    assert all(issubclass(error, GatewayError) and error.__module__ == "gateway.errors" for error in raised)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = {line.strip(" |+-").split(" ")[0] for line in (errors.__doc__ or "").splitlines() if "+--" in line}
    classes = (value for value in vars(errors).values() if inspect.isclass(value))
    assert drawn == {cls.__name__ for cls in classes if issubclass(cls, GatewayError)} - {"GatewayError"}


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(("polls", 1, "write"), "it is empty", "add text"), "polls.1.write: it is empty: add text"),
        (Problem((), "dropped: no rule matches"), "dropped: no rule matches"),
    ],
)
def test_a_problem_is_printed_with_what_it_has(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_finding_is_printed_with_its_place_and_its_parts_are_shortened() -> None:
    assert str(Finding("gw.conf", 3, 5, "root", "it is empty", "add one")) == "gw.conf:3:5: root: it is empty: add one"
    assert str(Finding("gw.conf", 0, 0, "", "no such file", "")) == "gw.conf: no such file"
    assert len(str(Finding("gw.conf", 0, 0, "", "x" * 10_000, ""))) < 1100


def test_of_findings_that_differ_only_by_their_note_the_first_is_kept() -> None:
    finding = Finding("f", 1, 2, "polls[0].hex", "wrong", "")
    noted = [finding.noted(f"unit: {unit}") for unit in range(1, 1000)]
    assert str(noted[0]) == "f:1:2: polls[0].hex (unit: 1): wrong"
    assert finding.noted("") == finding
    other = finding._replace(what="wrong, too")
    assert bounded([*noted, other]) == [noted[0], other]
    more = MoreFindings("f", 0, 1, "", "and more", "")
    seen: set[Finding] = set()
    assert list(distinct([more, noted[1], more], seen)) == [more, noted[1], more]
    assert list(distinct(noted, seen)) == []
    assert len(bounded(finding._replace(line=line) for line in range(MAX_FINDINGS + 2))) == MAX_FINDINGS + 1
