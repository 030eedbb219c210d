"""The view in which somebody edits the rules of an interface beside the frames that they are for."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.configuration.settings import InterfaceOptions
from gateway.control.protocol import ControlError, WrongConfigurationError
from gateway.core.deadline import DeadlineError, ending_when
from gateway.core.quoting import did_you_mean
from gateway.core.tap import FRAME, Note
from gateway.errors import ConfigurationError, Finding, GatewayError, UsageError
from gateway.logs.redaction import Redactor
from gateway.page.feed import Feed
from gateway.page.source import Source
from gateway.web.access import RequestError
from gateway.web.app import Request, Route
from gateway.workbench.bench import Bench, Opened, WorkbenchError, command_from
from gateway.workbench.explanation import frame_from_hex, frame_from_text
from gateway.workbench.page_store import PageStore, StoreError
from gateway.workbench.trial import (
    EDITOR,
    LONGEST,
    LONGEST_LOAD,
    MOST_FRAMES,
    MOST_TEXT,
    TrialError,
    load_trial,
    secrets_of,
    try_frames,
)

_MOST_RECENT = 50  # frames
_MOST_COMMANDS = 20
_LONGEST_REST = LONGEST_LOAD + LONGEST  # s
_LONGEST_WAIT = 1.0  # s, of a trial, until the rest after the last one is over


class Workbench:
    """Answers what the workbench asks for: the text of rules, what they do, and their way into use and back.

    Trials are done one at a time, and at most for half of the time, since they take it from the data path.
    """

    def __init__(self, source: Source, messages: Feed, token: str | None) -> None:
        self._source = source
        self._messages = messages
        path = source.gateway.configuration.file
        self._bench = Bench(path, os.environ)
        self._store = PageStore(path, token or "")
        self._lock = threading.Lock()  # held by who changes the page file
        self._trial_lock = threading.Lock()
        self._closed = threading.Event()
        self._last_opened: tuple[object, Opened] | None = None  # and what it depends on: it is read for each trial
        self._rests_until = 0.0

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {
            ("GET", "/api/workbench"): Route(self._open),
            ("POST", "/api/workbench/try"): Route(self._try),
            ("POST", "/api/workbench/save"): Route(self._save, is_writing=True),
            ("POST", "/api/workbench/undo"): Route(self._undo, is_writing=True),
            ("POST", "/api/workbench/discard"): Route(self._discard, is_writing=True),
        }

    def close(self) -> None:
        """End what is being tried or checked: the main thread waits for the threads of the page to end."""
        self._closed.set()

    # --- reading

    def _open(self, request: Request) -> dict[str, Any]:
        configuration = self._source.gateway.configuration
        names = [interface.name for interface in configuration.interfaces]
        name = request.query.get("interface") or (names[0] if names else "")
        interface = self._interface(name)
        edition = self._store.edition()  # first: if the file changes now, a save will be refused
        opened = self._opened(interface, edition)
        return {
            "interfaces": names,
            "interface": name,
            **opened._asdict(),
            "file": str(self._store.file),
            "configuration": configuration.file.name,
            "edition": edition,
            "is_undoable": opened.is_editable and self._store.earlier() is not None,
            "frames": [self._source.masker().mask(ascii(frame)[2:-1]) for frame in self._recent(name)],
        }

    def _opened(self, interface: InterfaceOptions, edition: str) -> Opened:
        secrets = self._source.gateway.configuration.secrets
        depends_on = (interface.name, interface.cls, edition, secrets)
        last = self._last_opened
        if last is not None and last[0] == depends_on:
            return last[1]
        try:
            opened = self._bench.open(interface, self._store.read(), secrets)
            self._last_opened = depends_on, opened
            return opened
        except (WorkbenchError, ConfigurationError, StoreError) as err:
            return Opened("", (), (), True, False, self._source.masker().mask(Redactor().text(str(err))))

    def _recent(self, interface: str) -> list[bytes]:
        def is_wanted(note: Note) -> bool:
            return note.interface == interface and any(stage == FRAME for stage, _, _ in note.steps)

        notes = self._messages.recent(is_wanted, _MOST_RECENT)
        frames = [detail for _, note in notes for stage, _, detail in note.steps if stage == FRAME]
        return list(dict.fromkeys(frame for frame in frames if isinstance(frame, bytes)))

    def _interface(self, name: object) -> InterfaceOptions:
        interfaces = self._source.gateway.configuration.interfaces
        found = [interface for interface in interfaces if interface.name == name]
        if not found:
            remedy = did_you_mean(str(name), [interface.name for interface in interfaces])
            raise RequestError("404 Not Found", f"there is no interface {str(name)[:100]!a}: {remedy}")
        return found[0]

    # --- trying

    def _try(self, request: Request) -> dict[str, Any]:
        body = request.body
        interface, text = self._interface(body.get("interface")), _text(body)
        with self._in_turn():
            if not self._opened(interface, self._store.edition()).is_editable:
                raise WorkbenchError("the options of this interface cannot be edited here: the page says why")
            try:
                base = self._bench.base(self._source.gateway.configuration)
                at = self._bench.place(interface, base.document)
                if secrets_of(base, at) and not request.visitor.may_write:
                    raise RequestError(
                        "401 Unauthorized",
                        "the options of this interface use variables of the environment, which may be secrets: to try "
                        "them, enter the token of the page",
                    )
                trial = load_trial(base, at, text)
            except ConfigurationError as err:
                return {"findings": _shown(err.findings, interface), "results": []}
            encoding = trial.interface.params.get("encoding", "utf-8")
            results: list[dict[str, Any]] = []
            frames = list(_frames(body, encoding))
            commands = list(_commands(body, base.path.stem))
            inputs = [*(each for each in frames), *(each for each in commands)]
            done = try_frames(
                trial,
                [each for each in frames if isinstance(each, bytes)],
                [each for each in commands if not isinstance(each, str)],
            )
            for each in inputs:
                if isinstance(each, str):
                    results.append({"lines": [{"text": each, "is_problem": True}]})
                    continue
                try:
                    results.append(next(done))
                except (GatewayError, OSError) as err:
                    results.append({"lines": [{"text": trial.masker.mask(str(err)), "is_problem": True}]})
                    break
            return {"findings": [], "results": results}

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Do one trial at a time, and rest after it for as long as it took."""
        rest = self._rests_until - time.monotonic()
        if rest > _LONGEST_WAIT or not self._trial_lock.acquire(blocking=False):
            raise RequestError("429 Too Many Requests", "another trial is being done: try it again in a moment")
        try:
            self._closed.wait(max(0.0, rest))
            began = time.monotonic()
            try:
                with ending_when(self._closed.is_set):
                    yield
            finally:
                ended = time.monotonic()
                self._rests_until = ended + min(_LONGEST_REST, ended - began)
        finally:
            self._trial_lock.release()

    # --- writing

    def _save(self, request: Request) -> dict[str, Any]:
        interface, text = self._interface(request.body.get("interface")), _text(request.body)
        with self._lock:
            self._check_edition(request)
            opened = self._opened(interface, self._store.edition())
            if not opened.is_editable:
                raise WorkbenchError(opened.note)
            previous = self._store.read()
            try:
                base = self._bench.base(self._source.gateway.configuration)
                with ending_when(self._closed.is_set):
                    load_trial(base, self._bench.place(interface, base.document), text, math.inf)
                    page = self._bench.new_page(interface, previous, text)
                    self._bench.validate(page)
            except (DeadlineError, TrialError):
                raise WorkbenchError("the page ends: nothing was saved") from None
            except ConfigurationError as err:
                try:
                    findings: Iterable[Finding] = self._bench.in_editor(interface, text, err.findings)
                except ConfigurationError:
                    findings = err.findings
                return {"is_saved": False, "findings": _shown(findings, interface)}
            if page == previous:
                return {"is_saved": True, "changes": "nothing has changed", "edition": self._store.edition()}
            changes = self._apply(page, previous)
            self._store.remember(previous)
            return {"is_saved": True, "changes": changes, "edition": self._store.edition()}

    def _undo(self, request: Request) -> dict[str, Any]:
        with self._lock:
            self._check_edition(request)
            earlier = self._store.earlier()
            if earlier is None:
                raise WorkbenchError(
                    "there is nothing to take back: the page file was changed elsewhere since, or never"
                )
            changes = self._apply(earlier[0], self._store.read())
            self._store.forget()
            return {"is_saved": True, "changes": changes, "edition": self._store.edition()}

    def _discard(self, request: Request) -> dict[str, Any]:
        interface = self._interface(request.body.get("interface"))
        with self._lock:
            self._check_edition(request)
            previous = self._store.read()
            page = self._bench.without(interface, previous)
            if page == previous:
                return {"is_saved": True, "changes": "nothing has changed", "edition": self._store.edition()}
            changes = self._apply(page, previous)
            self._store.remember(previous)
            return {"is_saved": True, "changes": changes, "edition": self._store.edition()}

    def _check_edition(self, request: Request) -> None:
        if request.body.get("edition") != self._store.edition():
            raise WorkbenchError(
                "the configuration or its page file has been changed since this was opened, by hand or in another "
                "window: copy what you have typed, and open the interface again"
            )

    def _apply(self, page: str | None, previous: str | None) -> str:
        """Write a page file and have it used; return what has changed. Put the previous one back if that fails."""
        self._store.write(page)
        gateway = self._source.gateway
        try:
            answer: Mapping[str, Any] = self._source.ask(gateway.reload_for)
        except ControlError as err:
            self._store.write(previous)
            if not isinstance(err, WrongConfigurationError):  # it may have been read all the same
                gateway.errands.add(gateway.reload)
            raise WorkbenchError(f"this was taken back, and the page file is as before: {err}") from err
        return str(answer["changes"])


def _shown(findings: Iterable[Finding], interface: InterfaceOptions) -> list[dict[str, Any]]:
    """Return findings as JSON shows them; those in what was typed have no file.

    The file of the configuration may have changed since it was read: what others quote of it may be a new secret.
    """
    around = (f"interfaces.{interface.name}.", "interface.")
    hide = Redactor().text
    return [
        {
            **finding._asdict(),
            **({} if finding.file == EDITOR else {"what": hide(finding.what), "remedy": hide(finding.remedy)}),
            "file": "" if finding.file == EDITOR else finding.file,
            "where": next(
                (finding.where[len(each) :] for each in around if finding.where.startswith(each)), finding.where
            ),
        }
        for finding in findings
    ]


def _text(body: Mapping[str, Any]) -> str:
    text = body.get("text")
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise RequestError("400 Bad Request", f"'text' is a text of at most {MOST_TEXT} characters")
    return text


def _frames(body: Mapping[str, Any], encoding: str) -> Iterator[bytes | str]:
    """Yield the frames of a request, or for each that is wrong why it is."""
    make = frame_from_hex if body.get("notation") == "hex" else None
    for number, text in enumerate(_list(body, "frames", MOST_FRAMES), 1):
        try:
            yield make(text, f"frame {number}") if make else frame_from_text(text, encoding, f"frame {number}")
        except UsageError as err:
            yield str(err)


def _commands(body: Mapping[str, Any], sender: str) -> Iterator[Any]:
    for text in _list(body, "commands", _MOST_COMMANDS):
        try:
            yield command_from(text, sender)
        except GatewayError as err:
            yield str(err)


def _list(body: Mapping[str, Any], name: str, most: int) -> list[str]:
    values = body.get(name, [])
    is_right = isinstance(values, list) and len(values) <= most and all(isinstance(each, str) for each in values)
    if not is_right or sum(map(len, values)) > MOST_TEXT:
        raise RequestError(
            "400 Bad Request", f"{name!r} is a list of at most {most} texts, of {MOST_TEXT} characters in total"
        )
    return values  # type: ignore[no-any-return]
