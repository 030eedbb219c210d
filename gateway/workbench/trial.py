"""Tries rules that somebody types: the options of one interface, with frames, without a device. Bounded in time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from gateway.configuration.document import Document
from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_config import load_one_interface
from gateway.configuration.load_context import LoadContext
from gateway.configuration.load_interfaces import Known
from gateway.configuration.page_file import apply_page, read_page
from gateway.configuration.settings import InterfaceOptions
from gateway.configuration.yaml_reader import variables
from gateway.core.deadline import DeadlineError, check_deadline, ending_when
from gateway.errors import GatewayError, Problem
from gateway.logs.masking import Masker
from gateway.message import InternalMsg
from gateway.workbench.explanation import Published, explain_command, explain_frame


class TrialError(GatewayError):
    """A trial takes too long."""


EDITOR = "line"
"""What stands for the name of a file in findings about a text that somebody types."""

MOST_FRAMES = 200
MOST_TEXT = 256 * 1024
"""Characters of the options, and of all frames together."""

_MOST_PARTS = 200  # of the explanation of one frame
LONGEST = 2.0
"""Seconds after which no further frame is tried."""

LONGEST_LOAD = 5.0
"""Seconds after which a trial ends if the options are still being checked."""


class Base(NamedTuple):
    """The configuration into which options are tried: its file, its document, and what need not be loaded again."""

    path: Path
    document: Document
    environment: Mapping[str, str]
    known: Known


class Trial(NamedTuple):
    """An interface with the options that are tried, and what masks the values of its variables."""

    interface: InterfaceOptions
    masker: Masker


def load_trial(base: Base, at: DataPath, text: str, longest: float = LONGEST_LOAD) -> Trial:
    """Return the interface at path `at` with the options in `text`.

    Raises `ConfigurationError` with what is wrong, or `TrialError` if it takes more than `longest` seconds to find out.
    """
    try:
        with _ending_at(time.monotonic() + longest):
            return _load_trial(base, at, text)
    except DeadlineError:
        why = f"these rules take more than {longest:g} s to check, too long to try them here"
        raise TrialError(f"{why}: save them, or use 'mqttgateway check --conf {base.path.name}'") from None


def secrets_of(base: Base, at: DataPath) -> list[str]:
    """Return the values of variables of the environment that results of a trial could contain; the port is in none.

    No other secret is masked in them: whoever types a guess would see by the mask whether it is right.
    """
    raws = (raw for path, raw in base.document.raw.items() if path[: len(at)] == at and path[len(at)] != "port")
    return [base.environment[name] for raw in raws for name in variables(raw) if name in base.environment]


def _load_trial(base: Base, at: DataPath, text: str) -> Trial:
    context = LoadContext(base.path, base.document, base.environment, is_run=False)
    context.secrets += secrets_of(base, at)
    page = read_page(text, EDITOR, base.document, base.environment, at)
    apply_page(context, page, base.known.classes)
    interface = load_one_interface(context, at, base.known)
    return Trial(interface, Masker(context.secrets))


def try_frames(trial: Trial, frames: Sequence[bytes], commands: Iterable[InternalMsg] = ()) -> Iterator[dict[str, Any]]:
    """Yield what becomes of each frame and command, as JSON shows it, for `LONGEST` s at most."""
    wall = time.time()
    end = time.monotonic() + LONGEST
    parts = (
        *(explain_frame(trial.interface, frame, wall) for frame in frames),
        *(explain_command(trial.interface, msg) for msg in commands),
    )
    for each in parts:
        try:
            with _ending_at(end):
                check_deadline()
                result = _result(each, trial.masker)
        except DeadlineError:
            result = {"lines": [{"text": f"not tried: the trial has taken {LONGEST:g} s", "is_problem": True}]}
        yield result


def _ending_at(end: float) -> AbstractContextManager[None]:
    return ending_when(lambda: time.monotonic() > end)


def _result(parts: Iterable[str | Problem | Published], masker: Masker) -> dict[str, Any]:
    shown: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Published):
            shown.append(_message(part, masker))
        else:
            shown.append({"text": masker.mask(str(part)), "is_problem": isinstance(part, Problem)})
        if len(shown) == _MOST_PARTS:
            shown.append({"text": "and more, which is not shown", "is_problem": False})
            break
    return {"lines": shown}


def _message(part: Published, masker: Masker) -> dict[str, Any]:
    publication = part.publication
    return {
        "text": masker.mask(str(part.msg or part.original)),
        "is_problem": publication is None,
        "problem": masker.mask(part.problem),
        "topic": masker.mask(publication.topic) if publication else "",
        "payload": masker.mask(publication.payload.decode("utf-8", "backslashreplace")) if publication else "",
        "readings": [
            {**reading._asdict(), "value": masker.mask(_shown(reading.value)), "reason": masker.mask(reading.reason)}
            for reading in part.readings
        ],
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
