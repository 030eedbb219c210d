"""What may stand in an MQTT topic and in a topic filter, and whether a filter can match.

Pure functions over text. Source: MQTT 3.1.1, sections 1.5.3 (UTF-8) and 4.7 (topics and filters).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

MAX_WORD_BYTES = 256
"""One level of a topic, as UTF-8. MQTT allows 65,535 bytes for a whole topic; no word needs near that."""

MAX_ROOT_LEVELS = 16
"""Brokers drop a client over very many levels (Mosquitto at 200); a root needs few."""

MAX_TOPIC_LEVELS = 64
"""The same, for a whole topic that somebody else has chosen."""

# Wildcards and separator; control characters; unpaired surrogates; non-characters. MQTT forbids some of
# them and lets a broker close the connection over the others, which Mosquitto does.
_ILLEGAL = re.compile(
    "[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | low) for plane in range(1, 17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def word_problem(word: str) -> str:
    """Say why `word` may not be a level of a topic; `""` if it may. The empty word may."""
    found = _ILLEGAL.search(word)
    if found:
        return f"{found.group()!a} may not stand in a topic"
    size = len(word.encode("utf-8"))
    if size > MAX_WORD_BYTES:
        return f"{size} bytes are too long for a topic level (at most {MAX_WORD_BYTES})"
    return ""


def root_problem(root: str) -> str:
    """Say why `root` may not be the first level or levels of a topic; `""` if it may. One empty level may."""
    levels = root.split("/")
    if len(levels) > MAX_ROOT_LEVELS:
        return f"{len(levels)} levels are too many for a root (at most {MAX_ROOT_LEVELS})"
    if root.startswith("$"):
        return "topics that begin with '$' belong to the broker"
    if root and not all(levels):
        if not levels[0]:
            return "it begins with '/'"
        return "it has '//' in it" if levels[-1] else "it ends with '/'"
    return next(filter(None, map(word_problem, levels)), "")


def topic_problem(topic: str) -> str:
    """Say why nothing may be published on `topic`; `""` if it may."""
    levels = topic.split("/")
    if not topic:
        return "it is empty"
    if topic.startswith("$"):
        return "topics that begin with '$' belong to the broker"
    if len(levels) > MAX_TOPIC_LEVELS:
        return f"{len(levels)} levels are too many (at most {MAX_TOPIC_LEVELS})"
    return next(filter(None, map(word_problem, levels)), "")


def filter_problem(topic_filter: str) -> str:
    """Say why a broker would refuse `topic_filter`; `""` if it would not."""
    if not topic_filter:
        return "it is empty"
    share, *rest = topic_filter.split("/", 2)
    if share == "$share" and (len(rest) < 2 or not all(rest) or set("+#") & set(rest[0])):
        return "a shared subscription is written $share/GROUP/FILTER"
    levels = filter_levels(topic_filter)
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index < len(levels) - 1):
            return "'#' may only be the whole last level"
        if "+" in level and level != "+":
            return "'+' may only be a whole level"
        problem = "" if level in ("+", "#") else word_problem(level)
        if problem:
            return problem
    return ""


def filter_levels(topic_filter: str) -> list[str]:
    """Split a filter into levels, without the `$share/GROUP/` of a shared subscription."""
    levels = topic_filter.split("/")
    return levels[2:] if levels[0] == "$share" else levels


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a broker sends what is published on `topic` to a subscriber of `topic_filter`."""
    wanted, levels = filter_levels(topic_filter), topic.split("/")
    if wanted[0] in ("+", "#") and topic.startswith("$"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(one in ("+", level) for one, level in zip(wanted, levels, strict=True))


def filter_can_match(topic_filter: str, accepted: Sequence[Container[str] | None]) -> bool:
    """Tell whether any accepted topic matches `topic_filter`.

    `accepted` holds, for each level of a topic, the words that may stand there, or None for any word.
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
    """Return `filters` without those that another of them covers: a broker may send what both match twice.

    Source: MQTT 3.1.1, section 3.3.5. Shared subscriptions are left as they are.
    """
    distinct = list(dict.fromkeys(filters))
    sound = [one for one in distinct if not filter_problem(one)]  # the others neither cover nor go unsaid
    return tuple(
        one for one in distinct if one not in sound or not any(_covers(other, one) for other in sound if other != one)
    )


def _covers(wide: str, narrow: str) -> bool:
    """Tell whether `wide` matches every topic that `narrow` matches."""
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
        one == other or (one == "+" and other != "#") for one, other in zip(wide_levels, narrow_levels, strict=True)
    )
