"""Builds the filters of a configuration: `filters: {in: [...], out: [...]}`, for all interfaces or for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any

from gateway.configuration.document import Document, Path, dotted
from gateway.configuration.interface_loader import CodeNotFoundError, find_hook
from gateway.configuration.load_map import as_list, unknown_words
from gateway.core.paths import expanded
from gateway.errors import Finding
from gateway.routing.message_filter import FilterRule, Filters, HookStep, MessageFilter
from gateway.translation.mqtt_map import MsgMap

_KINDS = {"command": (True,), "status": (False,)}


class FilterLoader:
    """Builds filters that fit their schema; collects the errors that a schema cannot express in `findings`."""

    def __init__(self, document: Document, folder: FilePath) -> None:
        self._document = document
        self._folder = folder
        self._modules: dict[str, ModuleType] = {}
        self.files: list[FilePath] = []
        """The files that contain hooks."""
        self.findings: list[Finding] = []

    def build(self, options: Mapping[str, Any], at: Path, maps: Sequence[MsgMap]) -> Filters:
        """Return the filters in `options`, which stand at path `at`, for interfaces with these maps."""
        incoming, outgoing = (
            self._list(options[way], (*at, way), maps) if way in options else () for way in ("in", "out")
        )
        return Filters(incoming, outgoing)

    def _list(self, rules: Sequence[Mapping[str, Any]], at: Path, maps: Sequence[MsgMap]) -> tuple[MessageFilter]:
        steps = [step for index, rule in enumerate(rules) for step in self._step(rule, (*at, index), maps)]
        return (MessageFilter(dotted(at), tuple(steps)),)

    def _step(self, rule: Mapping[str, Any], at: Path, maps: Sequence[MsgMap]) -> Iterator[FilterRule | HookStep]:
        ((kind, value),) = rule.items()
        if kind == "hook":
            try:
                yield HookStep(value, find_hook(value, self._folder, self._modules))
                module = value.rpartition(":")[0]
                if module.endswith(".py"):
                    self.files.append(self._folder / expanded(module))
            except CodeNotFoundError as err:
                self.findings.append(self._document.finding((*at, kind), err.what, err.remedy))
            return
        match = dict(value)
        kinds = _KINDS.get(match.pop("kind", ""), (True, False))
        self.findings += unknown_words(self._document, (*at, kind), match, maps)
        yield FilterRule(kind == "allow", {field: tuple(as_list(words)) for field, words in match.items()}, kinds)
