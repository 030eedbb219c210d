"""Joins several frames that belong together into one text of several lines. Pure.

    join: {first: '!AIVDM,2,1,(?P<id>[0-9]),.*', next: '!AIVDM,2,2,(?P<id>[0-9]),.*', same: [id]}

Frames are collected from one that matches `first` to one that matches `until`, or, without `until`, to the next part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import Problem
from interfaces.rules.safe_regex import RegexError, safe_regex

MAX_OPEN = 16
"""Most texts of which a joiner collects the parts at the same time: the oldest makes room."""

MAX_BYTES = 65_536
"""Longest joined text in bytes."""

MAX_WAIT = 100
"""Frames that may come between two parts of one text: after more of them, the missing part is taken for lost."""

_Key: TypeAlias = tuple[str | None, ...]


class Joined(NamedTuple):
    """What has become of a frame: `text` is the whole text that it ends; None: it was collected, more are to come."""

    text: bytes | None = None
    parts: Sequence[bytes] = ()


class Unjoined(NamedTuple):
    """Frames that were collected, and dropped because the others of their text have not come: the first, how many."""

    frame: bytes
    frames: int
    reason: str


class _Open:
    """A text whose end has not come: its parts, its size in bytes, and how many frames there had been at the last."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.last = 0


class Joiner:
    """Collects the parts of texts from the frames of one device; `is_quick` is false if a frame can take long.

    `prefix` is how each of its frames begins. What it drops is kept in `dropped`, for the caller to take from there.
    """

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._encoding = encoding
        self._line_end = "\n".encode(encoding)
        self._first = safe_regex(options["first"])
        self._next = safe_regex(options["next"]) if "next" in options else None
        self._until = safe_regex(options["until"]) if "until" in options else None
        self._same: Sequence[str] = options.get("same", ())
        self._open: dict[_Key, _Open] = {}
        self._frames = 0
        self.dropped: list[Unjoined] = []
        regexes = [regex for regex in (self._first, self._next, self._until) if regex is not None]
        self.is_quick = all(regex.is_fast for regex in regexes)
        prefixes = [regex.prefix for regex in regexes] if self._next is not None else [""]
        self.prefix = _common_beginning(prefixes).encode(encoding, "ignore")

    def take(self, frame: bytes) -> Joined | None:
        """Collect a frame; None: it is no part of a text. Raises `RegexError`."""
        self._frames += 1
        try:
            text = frame.decode(self._encoding)
        except UnicodeDecodeError:
            return None
        if self._open:
            self._drop_old()
            place = self._place(text)
            if place is not None:
                key, is_last = place
                return self._add(key, frame, is_last=is_last)
        groups = self._first.match(text)
        if groups is None:
            return None
        key = self._key(groups)
        self._drop(key, "a new first frame has come")
        if len(self._open) == MAX_OPEN:
            self._drop(next(iter(self._open)), f"{MAX_OPEN} texts wait for their other frames")
        self._open[key] = _Open()
        return self._add(key, frame, is_last=False)

    def fits(self, frame: bytes) -> bool:
        """Return whether `take` would collect a frame, which it does not do now. Raises `RegexError`."""
        try:
            text = frame.decode(self._encoding)
        except UnicodeDecodeError:
            return False
        return (bool(self._open) and self._place(text) is not None) or self._first.match(text) is not None

    def reset(self) -> None:
        """Drop all parts: the frames that belong to them will not come."""
        for key in list(self._open):
            self._drop(key, "the port was opened again, or the rules are new")

    def drop(self, joined: Joined, reason: str) -> None:
        """Drop the parts of a text, except the last one, which may still be a frame for other rules."""
        self.dropped.append(Unjoined(joined.parts[0], len(joined.parts) - 1, reason))

    def _place(self, text: str) -> tuple[_Key, bool] | None:
        """Return which open text a frame belongs to, and whether it ends it; None: to none, or it is a first one."""
        if self._until is not None:
            key = self._open_key(self._until.match(text))
            if key is not None:
                return key, True
        if self._next is not None:
            key = self._open_key(self._next.match(text))
            return None if key is None else (key, self._until is None)
        if self._until is not None and self._first.match(text) is not None:
            return None  # the end was lost: this is the next text
        return (), self._until is None

    def _open_key(self, groups: Mapping[str, str | None] | None) -> _Key | None:
        key = None if groups is None else self._key(groups)
        return key if key in self._open else None

    def _key(self, groups: Mapping[str, str | None]) -> _Key:
        return tuple(groups[name] for name in self._same)

    def _add(self, key: _Key, frame: bytes, *, is_last: bool) -> Joined:
        text = self._open[key]
        text.parts.append(frame)
        text.size += len(frame) + len(self._line_end)
        text.last = self._frames
        if text.size > MAX_BYTES:
            self._drop(key, f"they have more than {MAX_BYTES} bytes")
            return Joined()
        if not is_last:
            return Joined()
        del self._open[key]
        return Joined(self._line_end.join(text.parts), text.parts)

    def _drop_old(self) -> None:
        for key in [key for key, text in self._open.items() if self._frames - text.last > MAX_WAIT]:
            self._drop(key, f"the next part has not come within {MAX_WAIT} frames")

    def _drop(self, key: _Key, reason: str) -> None:
        text = self._open.pop(key, None)
        if text is not None:
            self.dropped.append(Unjoined(text.parts[0], len(text.parts), reason))


def _common_beginning(texts: Sequence[str]) -> str:
    low, high = min(texts), max(texts)
    count = next((index for index, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:count]


def check_join(rule: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the option `join` of a rule, if it has one; paths begin at the rule."""
    options = rule.get("join", {})
    named: dict[str, Sequence[str]] = {}
    for part in ("first", "next", "until"):
        if part in options:
            try:
                named[part] = safe_regex(options[part]).names
            except RegexError as err:
                yield Problem(("join", part), str(err), "correct it")
                return
    if options.get("same") and "next" not in options:
        yield Problem(("join", "same"), "without 'next', any frame follows the first one, also of another text",
                      "add 'next'")  # fmt: skip
        return
    for index, name in enumerate(options.get("same", ())):
        for part, names in named.items():
            if name not in names:
                yield Problem(("join", "same", index), f"{name!a} is not a group of {part!a}",
                              f"add (?P<{name}>...) to it")  # fmt: skip
