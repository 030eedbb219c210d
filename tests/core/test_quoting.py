from __future__ import annotations

import pytest

from gateway.core.quoting import close_matches, did_you_mean, quote


@pytest.mark.parametrize(
    ("word", "known", "remedy"),
    [
        ("hsot", ["port", "host"], "did you mean 'host'?"),
        ("certfile", ["keyfile", "cafile", "certifle", "x"], "did you mean 'certifle' or 'cafile' or 'keyfile'?"),
        ("HOST", ["port", "host"], "did you mean 'host'?"),
        ("Hsot", ["port", "Host"], "did you mean 'Host'?"),
        ("zzz", ["b", "a"], "known here: a, b"),
        ("zzz", [], "remove it"),
    ],
)
def test_a_remedy_names_the_similar_words_or_else_all_known_words(word: str, known: list[str], remedy: str) -> None:
    assert did_you_mean(word, known) == remedy


def test_a_word_of_megabytes_is_compared_by_its_beginning() -> None:
    assert close_matches("host" + "x" * 5_000_000, ["host" + "x" * 96, "port"]) == ["host" + "x" * 96]


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("on", "'on'"), ("\u00e9\n", r"'\xe9\n'"), (5, "5"), ("x" * 78, f"'{'x' * 78}'"), ("x" * 79, f"'{'x' * 75}...'")],
)
def test_a_quoted_value_is_escaped_and_at_most_80_characters_long(value: object, quoted: str) -> None:
    assert quote(value) == quoted
    assert len(quote(value)) <= 80
