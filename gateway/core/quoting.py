"""Quote values in error messages, and suggest the word that a person probably meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.message import shown

_MAX_QUOTED = 80  # characters of a value in an error message
_MAX_COMPARED = 100  # characters of a word that is compared with others: a word in a file may have megabytes


def quote(value: object) -> str:
    """Return `value` as an error message shows it: in quotes, escaped, and cut to 80 characters."""
    text = shown(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= _MAX_QUOTED else f"{text[:76]}...{text[0]}"


def escaped(text: str, *, keeps_lines: bool = False) -> str:
    """Return `text` with its control characters escaped, which could change what a terminal shows, or what it does.

    With `keeps_lines`, line breaks stay.
    """
    if text.isprintable():
        return text
    kept = "\n" if keeps_lines else ""
    return "".join(c if c.isprintable() or c == kept else ascii(c)[1:-1] for c in text)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return a remedy that names the words of `known` that `word` may be a misspelling of.

    If none is similar, the remedy lists all known words.
    """
    candidates = sorted(set(candidates))
    close = close_matches(word, candidates)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known here: {', '.join(candidates)}" if candidates else "remove it"


def close_matches(word: str, candidates: Iterable[str]) -> list[str]:
    """Return the words of `known` that `word` may be a misspelling of, the most similar first; case is ignored."""
    import difflib  # here, since only a file with an error needs it

    word = word[:_MAX_COMPARED]
    by_case: dict[str, list[str]] = {}
    for candidate in candidates:
        by_case.setdefault(candidate.casefold(), []).append(candidate)
    if word.casefold() in by_case:
        return by_case[word.casefold()]
    return [candidate for match in difflib.get_close_matches(word.casefold(), by_case, n=3, cutoff=0.6)
            for candidate in by_case[match]]  # fmt: skip
