from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Collection

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from gateway.core.topic import (
    MAX_ROOT_LEVELS,
    MAX_TOPIC_LEVELS,
    MAX_WORD_BYTES,
    filter_can_match,
    filter_levels,
    filter_matches,
    filter_problem,
    root_problem,
    topic_problem,
    without_covered,
    word_problem,
)
from tests.support.strategies import any_words


def is_forbidden(sign: str) -> bool:
    """What MQTT forbids in a topic or lets a broker refuse: section 1.5.3, and the wildcards and separator."""
    code = ord(sign)
    not_a_character = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return sign in "+#/" or unicodedata.category(sign) in ("Cc", "Cs") or not_a_character


def test_exactly_the_forbidden_characters_are_invalid_in_a_word() -> None:
    wrong = [code for code in range(0x110000) if bool(word_problem(chr(code))) != is_forbidden(chr(code))]
    assert wrong == []


@given(any_words)
def test_a_word_is_invalid_with_any_forbidden_character_or_above_its_size_limit(word: str) -> None:
    too_long = len(word.encode("utf-8", "surrogatepass")) > MAX_WORD_BYTES
    assert bool(word_problem(word)) == (too_long or any(map(is_forbidden, word)))


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("", None),
        ("kitchen", None),
        ("Küche 1", None),
        ("a+b", "'+' is not allowed in a topic"),
        ("a/b", "'/' is not allowed in a topic"),
        ("a\x00b", r"'\x00' is not allowed in a topic"),
        ("\ud800", r"'\ud800' is not allowed in a topic"),
        ("x" * 256, None),
        ("x" * 257, "257 bytes are too long for a topic level (at most 256)"),
        ("é" * 128, None),
        ("é" * 129, "258 bytes are too long for a topic level (at most 256)"),
    ],
)
def test_the_problem_of_a_word_is_returned(word: str, problem: str | None) -> None:
    assert word_problem(word) == problem


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ("home", None),
        ("site/home", None),
        ("/".join("a" * MAX_ROOT_LEVELS), None),
        ("/".join("a" * (MAX_ROOT_LEVELS + 1)), "17 levels are too many for a root (at most 16)"),
        ("$SYS/home", "topics that begin with '$' belong to the broker"),
        ("", None),
        ("home/", "it ends with '/'"),
        ("/home", "it begins with '/'"),
        ("/", "it begins with '/'"),
        ("site//home", "it contains '//'"),
        ("site/+", "'+' is not allowed in a topic"),
        ("#", "'#' is not allowed in a topic"),
        ("site/" + "x" * 257, "257 bytes are too long for a topic level (at most 256)"),
    ],
)
def test_the_problem_of_a_root_is_returned(root: str, problem: str | None) -> None:
    assert root_problem(root) == problem


@pytest.mark.parametrize("valid", ["#", "+", "home/#", "home/+/#", "+/a//b", "/", "$SYS/#", "$share/group/home/+/#"])
def test_a_filter_that_brokers_accept_has_no_problem(valid: str) -> None:
    assert filter_problem(valid) is None


@pytest.mark.parametrize(
    ("invalid", "problem"),
    [
        ("", "it is empty"),
        ("home/#/a", "'#' must be the whole last level"),
        ("home/a#", "'#' must be the whole last level"),
        ("##", "'#' must be the whole last level"),
        ("home/a+", "'+' must be a whole level"),
        ("++/a", "'+' must be a whole level"),
        ("home/\x07", r"'\x07' is not allowed in a topic"),
        ("home/\ud800/#", r"'\ud800' is not allowed in a topic"),
    ],
)
def test_the_problem_of_a_filter_is_returned(invalid: str, problem: str | None) -> None:
    assert filter_problem(invalid) == problem


@pytest.mark.parametrize(
    "invalid", ["$share", "$share/", "$share/group", "$share/group/", "$share//home", "$share/+/home", "$share/a#/home"]
)
def test_a_shared_subscription_needs_a_group_and_a_filter(invalid: str) -> None:
    assert filter_problem(invalid) == "a shared subscription is written $share/GROUP/FILTER"


def test_the_levels_of_a_shared_subscription_are_those_of_its_filter() -> None:
    assert filter_levels("$share/group/home/#") == ["home", "#"]
    assert filter_levels("home//+") == ["home", "", "+"]


LEVELS = ("a", "b", "", "$x")
accepted_levels = st.none() | st.frozensets(st.sampled_from(LEVELS), min_size=1)
plain_filters = st.lists(st.sampled_from((*LEVELS, "+", "+", "+")), min_size=1, max_size=5).map("/".join).filter(bool)
filters = plain_filters | plain_filters.map(lambda text: f"{text}/#") | st.just("#")


@settings(max_examples=500)
@example("+/+/+/+/#", [None, None, None])
@given(filters, st.lists(accepted_levels, min_size=2, max_size=4))
def test_a_filter_can_match_exactly_when_a_client_finds_a_topic_for_it(
    topic_filter: str, accepted: list[Collection[str] | None]
) -> None:
    accepted[0] = {"a"}  # a root, which has no '$' and is not empty
    topics = itertools.product(*(LEVELS if words is None else words for words in accepted))
    result = any(topic_matches_sub(topic_filter, "/".join(topic)) for topic in topics)
    assert filter_can_match(topic_filter, accepted) == result
    assert filter_can_match(f"$share/group/{topic_filter}", accepted) == result


@pytest.mark.parametrize(
    ("filters", "remaining"),
    [
        (["h/#", "h/+/x", "h"], ["h/#"]),
        (["h/+/x", "h/a/x"], ["h/+/x"]),
        (["h/+/x", "h/a/+"], ["h/+/x", "h/a/+"]),
        (["$share/g/h/#", "h/a", "h/a"], ["$share/g/h/#", "h/a"]),
        (["#", "a/#/b"], ["#", "a/#/b"]),  # a invalid one is left, to be named
    ],
)
def test_filters_that_another_covers_are_removed(filters: list[str], remaining: list[str]) -> None:
    assert without_covered(filters) == tuple(remaining)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "+", "#"]), min_size=1, max_size=3).map("/".join), max_size=5))
def test_the_remaining_filters_match_everything_that_all_of_them_match(filters: list[str]) -> None:
    valid = [each for each in filters if not filter_problem(each)]
    remaining = without_covered(valid)
    topics = ["/".join(levels) for size in (1, 2, 3) for levels in itertools.product("ab", repeat=size)]
    for topic in topics:
        assert any(topic_matches_sub(f, topic) for f in valid) == any(topic_matches_sub(f, topic) for f in remaining)


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        ("a", None),
        ("a/b//c/", None),
        ("/", None),
        ("a/$b", None),
        ("", "it is empty"),
        ("$SYS/a", "topics that begin with '$' belong to the broker"),
        ("a/+", "'+' is not allowed in a topic"),
        ("a/#", "'#' is not allowed in a topic"),
        ("a\x00", "'\\x00' is not allowed in a topic"),
        ("a/" * MAX_TOPIC_LEVELS, "65 levels are too many (at most 64)"),
        ("a/" * (MAX_TOPIC_LEVELS - 1), None),
        ("a" * 257, "257 bytes are too long for a topic level (at most 256)"),
    ],
)
def test_a_valid_topic_is_one_that_every_broker_accepts(topic: str, problem: str | None) -> None:
    assert topic_problem(topic) == problem


# --- what a filter matches (MQTT 3.1.1, section 4.7)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/+", "/a", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "b/c", False),
        ("a/+/#", "a", False),
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("$share/g/a/+", "a/b", True),
        ("$share/g/a/+", "$share/g/a/b", False),
    ],
)
def test_what_a_filter_matches(topic_filter: str, topic: str, matches: bool) -> None:
    assert filter_matches(topic_filter, topic) is matches
