"""Tries rules that somebody types: the options of one interface, with frames, without a device. Bounded in time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.configuration.document import Document
from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_config import load_one_interface
from gateway.configuration.load_context import LoadContext
from gateway.configuration.load_interfaces import Known
from gateway.configuration.page_file import apply_page, read_page
from gateway.configuration.settings import InterfaceOptions
from gateway.core.deadline import DEADLINE
from gateway.errors import Problem
from gateway.logs.masking import Masker
from gateway.message import InternalMsg
from gateway.workbench.explanation import Published, explain_command, explain_frame

EDITOR = "line"
"""What stands for the name of a file in findings about a text that somebody types."""

MOST_FRAMES = 200
MOST_TEXT = 256 * 1024
"""Characters of the options, and of all frames together."""

_MOST_PARTS = 200  # of the explanation of one frame
LONGEST = 2.0
"""Seconds after which no further frame is tried."""


class Base(NamedTuple):
    """The configuration into which options are tried: its file, its document, and what need not be loaded again."""

    path: Path
    document: Document
    environment: Mapping[str, str]
    known: Known


class Trial(NamedTuple):
    """An interface with the options that are tried, and what masks the secrets of the configuration."""

    interface: InterfaceOptions
    masker: Masker


def load_trial(base: Base, at: DataPath, text: str) -> Trial:
    """Return the interface at path `at` with the options in `text`; raise `ConfigurationError` with what is wrong."""
    context = LoadContext(base.path, base.document, base.environment, is_run=False)
    page = read_page(text, EDITOR, base.document, base.environment, at)
    apply_page(context, page, base.known.classes)
    interface = load_one_interface(context, at, base.known)
    return Trial(interface, Masker(context.secrets))


def try_frames(trial: Trial, frames: Sequence[bytes], commands: Iterable[InternalMsg] = ()) -> Iterator[dict[str, Any]]:
    """Yield what becomes of each frame and command, as JSON shows it, for `LONGEST` s at most."""
    wall = time.time()
    with DEADLINE.within(LONGEST):
        for frame in frames:
            yield _result(explain_frame(trial.interface, frame, wall), trial.masker)
        for msg in commands:
            yield _result(explain_command(trial.interface, msg), trial.masker)


def _result(parts: Iterable[str | Problem | Published], masker: Masker) -> dict[str, Any]:
    if DEADLINE.is_over:
        return {"lines": [{"text": f"not tried: the trial has taken {LONGEST:g} s", "is_problem": True}]}
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
    return (
        ""
        if value is None
        else value
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
