"""Every exception this project raises, and the finding that says what is wrong in a file.

    GatewayError
    +-- ConfigurationError    a configuration or map cannot be used; carries all findings
    +-- UsageError            the command line cannot be used
    +-- MessageError          one message cannot be translated; it is dropped and counted, the rest goes on
    |   +-- TopicError        ... because of its topic
    |   +-- PayloadError      ... because of its payload
    |   +-- WordError         ... because of one word of it (a field, an argument)
    |   +-- RefusedError      ... or can be, and is refused for what it is
    |       +-- FilteredError ... by a filter of the configuration
    +-- DeviceError           the device is gone or does not answer; it is closed and opened again

Anything else that reaches a supervisor is a bug and is logged with its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import ClassVar, NamedTuple

_MAX_PART = 1000
"""Characters of a part of a finding, as it is written: a file may give a text of megabytes where a word is due."""


class GatewayError(Exception):
    """The root of this project's exceptions. `exit_code` is that of a command that ends with it."""

    exit_code: ClassVar[int] = 1


class UsageError(GatewayError):
    """The command line says something that cannot be."""

    exit_code: ClassVar[int] = 2


class MessageError(GatewayError):
    """One message cannot be translated, and why."""


class TopicError(MessageError):
    """The topic does not have the shape that the map reads."""


class PayloadError(MessageError):
    """The payload is neither a plain action nor a JSON object of the agreed form."""


class WordError(MessageError):
    """One word of the message is not in the map, or may not stand in a topic."""


class RefusedError(MessageError):
    """A message that can be read is refused: under which name it is counted, why, and the remedy.

    `is_answered` tells whether a command that is refused for it gets an outcome of its own; that of a duplicate is
    that of the first. `key` is that of the throttle, where the text of the error and the topic of the message would
    not do.
    """

    def __init__(self, kind: str, why: str, remedy: str = "", *, is_answered: bool = True, key: str = "") -> None:
        super().__init__(why)
        self.kind = kind
        self.remedy = remedy
        self.is_answered = is_answered
        self.key = key


class FilteredError(RefusedError):
    """A filter of the configuration holds the message back, as somebody wanted it to."""

    def __init__(self, why: str) -> None:
        super().__init__("filtered", why)


class DeviceError(GatewayError):
    """The device cannot be opened, has vanished, or did not take what was written to it."""


class Finding(NamedTuple):
    """One thing that is wrong in a file: its place, what was found, and what to do about it.

    `line` and `column` count from 1; 0 means that the place has none (the file itself, an environment
    variable, a command line).
    """

    file: str
    line: int
    column: int
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(_cut(part) for part in (place, self.where, self.what, self.remedy) if part)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_PART else f"{text[:_MAX_PART]}..."


MAX_FINDINGS = 100
"""Findings of one error that are kept: whoever has more mends these first. The number of the others is told."""


class MoreFindings(Finding):
    """Stands for findings that are not kept; how many, at least, is its `column`, which no place has without a line."""

    __slots__ = ()


class Problem(NamedTuple):
    """Something wrong with an option, before its place in a file is known: the way to it, what, and the remedy."""

    path: tuple[str | int, ...]
    what: str
    remedy: str = ""


class Refusal(str):
    """A line of `explain_frame` or `explain_command`: the frame is dropped, or the command is not executed."""

    __slots__ = ()


class ConfigurationError(GatewayError):
    """What was given cannot be used; `findings` holds everything that is wrong with it, in file order.

    Of very many it holds the first `MAX_FINDINGS`, and one that says how many more there are.
    """

    exit_code: ClassVar[int] = 78  # EX_CONFIG of sysexits.h; the systemd unit does not restart on it

    def __init__(self, findings: Iterable[Finding]) -> None:
        given = list(findings)
        more = sum(finding.column for finding in given if isinstance(finding, MoreFindings))
        found = sorted({finding for finding in given if not isinstance(finding, MoreFindings)})
        more += max(0, len(found) - MAX_FINDINGS)
        self.findings = tuple(found[:MAX_FINDINGS])
        if more:
            self.findings += (MoreFindings(found[0].file if found else "", 0, more, "", *_more(more)),)
        super().__init__("\n".join(map(str, self.findings)))


def _more(count: int) -> tuple[str, str]:
    return f"and at least {count} more" if count > 1 else "and more", "mend these first"


def bounded(findings: Iterable[Finding]) -> list[Finding]:
    """Return the first `MAX_FINDINGS` of `findings`, and, where there are more, one that says so; no more are made."""
    found = list(islice(findings, MAX_FINDINGS + 1))
    if len(found) > MAX_FINDINGS:
        found[MAX_FINDINGS:] = [MoreFindings(found[0].file, 0, 1, "", "and more", "mend these first")]
    return found
