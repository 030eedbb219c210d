"""The errors that more than one part of the program handles, and the records that describe a mistake in a file.

    GatewayError
    +-- ConfigurationError    a configuration or map cannot be used; carries all findings
    +-- UsageError            the command line cannot be used
    +-- MessageError          one message cannot be translated; it is dropped and counted, processing goes on
    |   +-- TopicError        ... because of its topic
    |   +-- PayloadError      ... because of its payload
    |   +-- WordError         ... because of one word of it (a field, an argument)
    |   +-- RefusedError      ... or it can be translated, but a rule of the gateway refuses it
    |       +-- FilteredError ... namely a filter of the configuration
    |       +-- CommandRefusedError   ... or the interface that the command is for
    +-- DeviceError           the device is missing or does not respond; it is closed and opened again
    |   +-- DeviceAwaitedError    ... namely one that connects by itself, and is not connected
    +-- DeliveryError         a message was dropped, or not accepted or delivered in time
    +-- HangError             the process ends because an interface hangs, and is to be started again

The rule: what the author of an interface raises or catches is here, and so is each error that the whole program
handles in one way. An error that belongs to one package is defined there, beside the code that raises it, and derives
from `GatewayError`, too: such as `LinkError` in `gateway.mqtt`, `StoreError` in `gateway.outbox`, `ControlError` in
`gateway.control`. Two derive from a built-in exception instead, because code that knows nothing of this project
catches them: `NotOwnError` (`OSError`) and `TemplateError` (`ValueError`). `ThrottledException` is a counter of log
messages that can be raised as well.

Any other exception that reaches a supervisor is a bug, and is logged with its traceback.

Three classes describe what is wrong. A `Problem` is what a check yields: it knows the option, but not the file. It
becomes a `Finding` when its place in a file is known; a `ConfigurationError` carries all findings. A `RefusedError` is
about one message at run time, not about a file.

A function whose name ends with `problem` answers a question and raises nothing: it returns None, or a text that says
what is wrong. The caller knows the place and the remedy, and whether it is a finding, a refused message or an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import ClassVar, NamedTuple

_MAX_PART = 1000
"""Maximum number of characters printed of each part of a finding: a file may hold megabytes of text as one value."""


class GatewayError(Exception):
    """The base class of this project's errors. `exit_code` is that of a command that ends because of it."""

    exit_code: ClassVar[int] = 1


class UsageError(GatewayError):
    """The command line is invalid."""

    exit_code: ClassVar[int] = 2


class MessageError(GatewayError):
    """One message cannot be translated; the text says why."""


class TopicError(MessageError):
    """The topic does not have the form that the map reads."""


class PayloadError(MessageError):
    """The payload is neither a plain action nor a JSON object of the agreed form."""


class WordError(MessageError):
    """One word of the message is not in the map, or is not allowed in a topic.

    `field` and `word` are those that a strict map has not; they are empty if that is not the error.
    """

    def __init__(self, why: str, field: str = "", word: str = "") -> None:
        super().__init__(why)
        self.field = field
        self.word = word


class RefusedError(MessageError):
    """A message that can be read is refused by a rule of the gateway.

    `kind` is the name under which it is counted, `why` the text of the error, and `remedy` what to do about it.
    If `is_answered`, a command that is refused gets an outcome of its own; a duplicate does not, since the outcome of
    the first command is its outcome, too. `key` is the throttling key, for errors whose text and topic vary too much.
    """

    def __init__(self, kind: str, why: str, remedy: str = "", *, is_answered: bool = True, key: str = "") -> None:
        super().__init__(why)
        self.kind = kind
        self.remedy = remedy
        self.is_answered = is_answered
        self.key = key


class FilteredError(RefusedError):
    """A filter of the configuration drops the message, as intended."""

    def __init__(self, why: str) -> None:
        super().__init__("filtered", why)


class CommandRefusedError(RefusedError):
    """Raise it in a method that executes a command: the command is answered with REFUSED and the text of the error."""

    def __init__(self, why: str) -> None:
        super().__init__("refused by the device", why)


class DeviceError(GatewayError):
    """The device cannot be opened, has disappeared, or did not accept what was written to it."""


class DeviceAwaitedError(DeviceError):
    """The device connects to the gateway by itself, and has not done so, or has hung up: that is no failure.

    It is waited for. A device that connects for each reading counts as available in between: until it is away twice as
    long as usual.
    """


class DeliveryError(GatewayError):
    """A message was dropped, or not accepted or delivered in time; the text says why."""


class HangError(GatewayError):
    """The process ends because an interface hangs; the service manager starts it again. The text says where."""

    exit_code: ClassVar[int] = 75  # EX_TEMPFAIL of sysexits.h


class Problem(NamedTuple):
    """Something that is wrong: the path to the option, what is wrong with it, and the remedy.

    The path is empty where no option is meant: a line of `explain_frame` or `explain_command` that says that a frame
    is dropped, or that a command is refused, is such a problem.
    """

    path: tuple[str | int, ...]
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (".".join(map(str, self.path)), self.what, self.remedy) if part)


_NOTE = " ("


class Finding(NamedTuple):
    """A problem whose place is known: file, line, column, option, what is wrong, and what to do about it.

    `line` and `column` count from 1. 0 means that there is no line (the file itself, an environment variable, a
    command line).
    """

    file: str
    line: int
    column: int
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(_shortened(part) for part in (place, self.where, self.what, self.remedy) if part)

    def noted(self, note: str) -> Finding:
        """Return the finding with a note behind the option: which of several entries it is about, if it is repeated."""
        return self._replace(where=f"{self.where}{_NOTE}{note})") if note else self

    def without_note(self) -> Finding:
        """Return the finding without the note behind the option."""
        return self._replace(where=self.where.partition(_NOTE)[0])


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_PART else f"{text[:_MAX_PART]}..."


MAX_FINDINGS = 100
"""Maximum number of findings in one error; it also says how many more there are. Fixing these comes first anyway."""


class MoreFindings(Finding):
    """Stands for findings that were left out. Their least number is in `column`, unused without a line."""

    __slots__ = ()


class ConfigurationError(GatewayError):
    """A file or value cannot be used; `findings` holds everything that is wrong with it, in file order.

    If there are very many, it holds the first `MAX_FINDINGS`, and one that says how many more there are.
    """

    exit_code: ClassVar[int] = 78  # EX_CONFIG of sysexits.h; the systemd unit does not restart on it

    def __init__(self, findings: Iterable[Finding]) -> None:
        everything = list(findings)
        more = sum(finding.column for finding in everything if isinstance(finding, MoreFindings))
        distinct = sorted({finding for finding in everything if not isinstance(finding, MoreFindings)})
        more += max(0, len(distinct) - MAX_FINDINGS)
        self.findings = tuple(distinct[:MAX_FINDINGS])
        if more:
            self.findings += (MoreFindings(distinct[0].file if distinct else "", 0, more, "", *_more(more)),)
        super().__init__("\n".join(map(str, self.findings)))


def _more(count: int) -> tuple[str, str]:
    return f"and at least {count} more" if count > 1 else "and more", "fix these first"


def bounded(findings: Iterable[Finding]) -> list[Finding]:
    """Return the first `MAX_FINDINGS` of `findings`, and one that says so if there are more.

    No more than one beyond the limit is taken from the iterable: each may be costly to produce. Of findings that differ
    only by their note, the first is returned.
    """
    kept = list(islice(distinct(findings, set()), MAX_FINDINGS + 1))
    if len(kept) > MAX_FINDINGS:
        kept[MAX_FINDINGS:] = [MoreFindings(kept[0].file, 0, 1, "", "and more", "fix these first")]
    return kept


def distinct(findings: Iterable[Finding], seen: set[Finding]) -> Iterator[Finding]:
    """Yield the findings that are new to `seen`, except for their note, and add them to it."""
    for finding in findings:
        plain = finding.without_note()
        if isinstance(finding, MoreFindings):
            yield finding
        elif plain not in seen:
            seen.add(plain)
            yield finding
