"""The rules for MQTT topics and topic filters: which are valid, and whether a filter matches a topic.

Pure functions over text. Source: MQTT 3.1.1, sections 1.5.3 (UTF-8) and 4.7 (topics and filters). The functions
called `..._problem` return what is wrong, in words, or None if nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

MAX_WORD_BYTES = 256
"""Maximum size of one topic level, as UTF-8. MQTT allows 65,535 bytes for a whole topic; no word needs nearly that."""

MAX_ROOT_LEVELS = 16
"""Maximum number of levels in a root. Brokers disconnect a client that uses very many (Mosquitto at 200)."""

MAX_TOPIC_LEVELS = 64
"""The same for a whole topic that another client has chosen."""

# Wildcards and the separator; control characters; unpaired surrogates; non-characters. MQTT forbids some of
# them, and lets a broker close the connection because of the others, which Mosquitto does.
_ILLEGAL = re.compile(
    "[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | low) for plane in range(1, 17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def word_problem(word: str) -> str | None:
    """Return why `word` is not a valid topic level; None if it is valid. The empty word is valid."""
    match = _ILLEGAL.search(word)
    if match:
        return f"{match.group()!a} is not allowed in a topic"
    size = len(word.encode("utf-8"))
    if size > MAX_WORD_BYTES:
        return f"{size} bytes are too long for a topic level (at most {MAX_WORD_BYTES})"
    return None


def root_problem(root: str) -> str | None:
    """Return why `root` is not valid as the first level or levels of a topic; None if it is. One empty level is."""
    levels = root.split("/")
    if len(levels) > MAX_ROOT_LEVELS:
        return f"{len(levels)} levels are too many for a root (at most {MAX_ROOT_LEVELS})"
    if root.startswith("$"):
        return "topics that begin with '$' belong to the broker"
    if root and not all(levels):
        if not levels[0]:
            return "it begins with '/'"
        return "it contains '//'" if levels[-1] else "it ends with '/'"
    return first_word_problem(levels)


def topic_problem(topic: str) -> str | None:
    """Return why `topic` is not valid for publishing; None if it is."""
    levels = topic.split("/")
    if not topic:
        return "it is empty"
    if topic.startswith("$"):
        return "topics that begin with '$' belong to the broker"
    if len(levels) > MAX_TOPIC_LEVELS:
        return f"{len(levels)} levels are too many (at most {MAX_TOPIC_LEVELS})"
    return first_word_problem(levels)


def first_word_problem(words: Iterable[str]) -> str | None:
    """Return why the first invalid one of `words` is not a valid topic level; None if all are valid."""
    return next((problem for problem in map(word_problem, words) if problem), None)


def filter_problem(topic_filter: str) -> str | None:
    """Return why a broker would reject `topic_filter`; None if it is valid."""
    if not topic_filter:
        return "it is empty"
    prefix, *parts = topic_filter.split("/", 2)
    if prefix == "$share" and (len(parts) < 2 or not all(parts) or set("+#") & set(parts[0])):
        return "a shared subscription is written $share/GROUP/FILTER"
    levels = filter_levels(topic_filter)
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index < len(levels) - 1):
            return "'#' must be the whole last level"
        if "+" in level and level != "+":
            return "'+' must be a whole level"
        problem = None if level in ("+", "#") else word_problem(level)
        if problem:
            return problem
    return None


def filter_levels(topic_filter: str) -> list[str]:
    """Return the levels of a filter, without the `$share/GROUP/` of a shared subscription."""
    levels = topic_filter.split("/")
    return levels[2:] if levels[0] == "$share" else levels


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Return whether a broker delivers what is published on `topic` to a subscriber of `topic_filter`."""
    pattern, levels = filter_levels(topic_filter), topic.split("/")
    if pattern[0] in ("+", "#") and topic.startswith("$"):
        return False
    if pattern[-1] == "#":
        pattern = pattern[:-1]
        levels = levels[: len(pattern)]
    return len(pattern) == len(levels) and all(
        expected in ("+", level) for expected, level in zip(pattern, levels, strict=True)
    )


def filter_can_match(topic_filter: str, accepted: Sequence[Container[str] | None]) -> bool:
    """Return whether any accepted topic matches `topic_filter`.

    `accepted` holds, for each level of a topic, the words that are accepted there, or None for any word.
    """
    levels = filter_levels(topic_filter)
    if levels[-1] == "#":
        levels = levels[:-1]
        if len(levels) > len(accepted):
            return False
    elif len(levels) != len(accepted):
        return False
    return all(level == "+" or words is None or level in words for level, words in zip(levels, accepted, strict=False))


def without_covered(filters: Iterable[str]) -> tuple[str, ...]:
    """Return `filters` without those that another of them covers: a broker may deliver what both match twice.

    Source: MQTT 3.1.1, section 3.3.5. Shared subscriptions are never removed. Neither are invalid filters, so that
    the subscriber sees them rejected.
    """
    distinct = list(dict.fromkeys(filters))
    valid = [each for each in distinct if not filter_problem(each)]
    return tuple(
        each
        for each in distinct
        if each not in valid or not any(_covers(other, each) for other in valid if other != each)
    )


def _covers(wide: str, narrow: str) -> bool:
    """Return whether `wide` matches every topic that `narrow` matches."""
    if wide.startswith("$share/") or narrow.startswith("$share/"):
        return False
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    if wide_levels[-1] == "#":
        head = wide_levels[:-1]
        if len(narrow_levels) < len(head) or (len(narrow_levels) == len(head) and narrow_levels[-1:] == ["#"]):
            return False
        narrow_levels = narrow_levels[: len(head)]
        wide_levels = head
    elif len(wide_levels) != len(narrow_levels):
        return False
    return all(
        wider == narrower or (wider == "+" and narrower != "#")
        for wider, narrower in zip(wide_levels, narrow_levels, strict=True)
    )
