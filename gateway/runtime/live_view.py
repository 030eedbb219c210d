"""What a client of the control socket sees of the messages that it follows: which ones, and in which form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.control.protocol import ControlError, encode_line
from gateway.core.tap import ARRIVED, DROPPED, HELD, MESSAGE, PUBLISH, READ, RULE, TAP, Follower, Note, Step
from gateway.core.topic import filter_matches, filter_problem
from gateway.logs.masking import Masker, masker_of
from gateway.message import Arrival, InternalMsg, Publication, iso_time, shown

_MOST_NOTES = 200  # in one piece: 4,000 a second, so that the threads of the data path are not kept waiting
_LONGEST_TEXT = 1000  # characters of a payload or a message that are shown, and bytes of a frame
_MOST_WORDS = 1000  # topics, devices and rules whose masked form is kept


class Wanted(NamedTuple):
    """Which notes a client wants to see. An empty text: all of them. Words are patterns with `*` and `?`.

    `device` is compared with the name of the interface and with the device of the message, `outcome` with the outcome
    and with the stage at which a message was dropped, in any case: codes are in capitals, and stages are not.
    `drops`: only what was dropped. All of them are compared with what is shown, where secrets are masked: by patterns a
    secret could be found out otherwise, one character after the other.
    """

    device: str = ""
    rule: str = ""
    topic: str = ""
    outcome: str = ""
    drops: bool = False

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Wanted:
        """Return what the arguments of a request ask for. Raises `ControlError` if the topic is no filter."""
        wanted = cls(**{name: arguments[name] for name in cls._fields if name in arguments})
        problem = filter_problem(wanted.topic) if wanted.topic else ""
        if problem:
            raise ControlError(f"the filter {wanted.topic!a:.200}: {problem}")
        return wanted

    def matches(self, note: Note, mask: Callable[[str], str] = str) -> bool:
        """Return whether `note` is to be shown, in which `mask` hides secrets."""
        if self.drops and note.outcome != DROPPED:
            return False
        ends = (note.outcome, note.where)
        if self.outcome and not _fits((end.lower() for end in map(mask, ends) if end), self.outcome.lower()):
            return False
        if self.device and not _fits(map(mask, _devices(note)), self.device):
            return False
        rules = (mask(_word(detail)) for stage, _, detail in note.steps if stage == RULE)
        if self.rule and not _fits(rules, self.rule):
            return False
        return not self.topic or any(filter_matches(self.topic, mask(topic)) for topic in _topics(note.steps))


def _fits(words: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(word, pattern) for word in words)


def _topics(steps: Sequence[Step]) -> Iterator[str]:
    for _, _, detail in steps:
        if isinstance(detail, Publication | Arrival):
            yield detail.topic


def _devices(note: Note) -> Iterator[str]:
    yield note.interface
    is_message = False
    for stage, _, detail in note.steps:
        if stage == MESSAGE and isinstance(detail, InternalMsg):
            is_message = True
            yield _word(detail.device)
    for _, _, detail in () if is_message else note.steps:
        if isinstance(detail, Arrival):  # the map could not read it: any level may be the device
            yield from detail.topic.split("/")
        elif isinstance(detail, Publication) and "/" in detail.topic:  # the document of a device: it has its own level
            yield detail.topic.split("/")[-2]


class _Secrets(NamedTuple):
    """What is masked, and how; `mask_word` is for words that come again and again."""

    secrets: Collection[str]
    masker: Masker
    mask_word: Callable[[str], str]

    @classmethod
    def of(cls, secrets: Collection[str]) -> _Secrets:
        masker = masker_of(tuple(secrets))
        return cls(secrets, masker, lru_cache(_MOST_WORDS)(masker.mask))


class NoteWriter:
    """Writes notes as lines of JSON. What `secrets` returns, which a reload may change, is masked in them."""

    def __init__(self, secrets: Callable[[], Collection[str]]) -> None:
        self._secrets = secrets
        self._present = _Secrets.of(secrets())

    def line(self, note: Note) -> bytes:
        """Return the line of a note, which all views share. Any thread may call it."""
        note.line = line = note.line or encode_line({"note": self._known().masker.masked(document(note))})
        return line

    def is_wanted(self, note: Note, wanted: Wanted) -> bool:
        """Return whether `note` is to be shown. Any thread may call it."""
        return wanted.matches(note, self._known().mask_word)

    def _known(self) -> _Secrets:
        present, secrets = self._present, self._secrets()
        if secrets != present.secrets:
            self._present = present = _Secrets.of(secrets)
        return present


class LiveView:
    """The stream of one client."""

    def __init__(self, wanted: Wanted, secrets: Callable[[], Collection[str]], *, is_raw: bool = False) -> None:
        self._wanted = wanted
        self._writer = NoteWriter(secrets)
        self._follower = Follower()
        TAP.follow(self._follower, is_raw=is_raw)

    def lines(self) -> bytes:
        """Return what is new: notes, and before them how many were lost."""
        recorder = TAP.recorder
        if recorder is not None:
            recorder.tell_waiting()
        notes, lost = self._follower.take(_MOST_NOTES)
        lines = [encode_line({"lost": lost})] if lost else []
        lines += [self._writer.line(note) for note in notes if self._writer.is_wanted(note, self._wanted)]
        return b"".join(lines)

    def close(self) -> None:
        """Follow no longer."""
        TAP.unfollow(self._follower)


def document(note: Note) -> dict[str, Any]:
    """Return a note as JSON shows it. The times of its stages (ms) count from the stage before."""
    stages = []
    previous = note.steps[0][1]
    for stage, at, detail in note.steps:
        stages.append({"stage": stage, "ms": round((at - previous) * 1000, 3), **_content(stage, detail)})
        previous = at
    result = {
        "time": iso_time(note.time),
        "interface": note.interface,
        "direction": _direction(note),
        "outcome": note.outcome,
        "stages": stages,
    }
    if note.outcome in (DROPPED, HELD):
        result["where"] = note.where
    if note.reason:
        result["reason"] = note.reason
    return result


def _direction(note: Note) -> str:
    stage = note.steps[0][0]
    if stage == ARRIVED:
        return "to device"
    return "from gateway" if stage == PUBLISH else "from device"


def _content(stage: str, detail: Any) -> dict[str, Any]:
    if isinstance(detail, bytes):
        return {"text": _cut(ascii(detail[: _LONGEST_TEXT + 1])[2:-1]), "hex": _cut_hex(detail), "bytes": len(detail)}
    if stage == READ:
        return {"bytes": detail}
    if stage == RULE:
        return {"rule": _cut(_word(detail))}
    if isinstance(detail, Publication | Arrival):
        payload = detail.payload[: 4 * _LONGEST_TEXT + 4].decode(errors="backslashreplace")
        return {
            "topic": detail.topic,
            "payload": _cut(payload),
            "bytes": len(detail.payload),
            "qos": detail.qos,
            "retain": bool(detail.retain),
        }
    if detail is None:
        return {}
    text = shown(detail)
    if isinstance(detail, InternalMsg):
        with suppress(Exception):  # its words are those of an interface, which may be anything
            text = str(detail)
    return {"message": _cut(text)}


def _word(value: object) -> str:
    """Return a word of an interface, which may be anything, as a text."""
    return value if isinstance(value, str) else shown(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _cut_hex(data: bytes) -> str:
    return data.hex() if len(data) <= _LONGEST_TEXT else f"{data[:_LONGEST_TEXT].hex()}..."
