"""The script of a simulated device: its schema, its checks, and the parts that a device is made of. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.core.quoting import did_you_mean
from gateway.errors import GatewayError, Problem
from interfaces.rules.code_pages import encoding_problems
from interfaces.rules.content import Content, make_content
from interfaces.rules.decoding import ValueReader, check_decode_rule
from interfaces.rules.extractors import extractor_kinds
from interfaces.rules.layout import LayoutError
from interfaces.rules.message_template import CodecError, PartialValues
from interfaces.rules.nested import make_reader
from interfaces.rules.template import Template, TemplateError
from interfaces.serial_interface.framing.wire import FrameCodec, FramingError, check_framings, checksums, framing_names
from interfaces.serial_interface.schema import read_schema
from interfaces.serial_interface.simulation.faults import check_faults

_SHARED = ("encoding", "framing", "write_framing", "checksum")  # options that a script has in common with the interface
_KINDS = {"write": "write", "hex": "hex", "write_binary": "binary"}  # how the rules call what is written

OptionPath = tuple[str | int, ...]


class ActionError(GatewayError):
    """A simulated device cannot write what its script says."""


def script_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a script: that beside this module, with the framing and the rules of the interface."""
    own = json.loads(Path(__file__).with_name("script.json").read_text(encoding="utf-8"))
    interface = read_schema()
    shared = {name: interface["properties"][name] for name in _SHARED}
    definitions = {**interface["$defs"], **own["$defs"]}
    return {**own, "properties": {**shared, **own["properties"]}, "$defs": definitions}


def make_codec(params: Mapping[str, Any]) -> FrameCodec:
    """Return the framings of a device: those in which it hears, and those in which it writes."""
    return FrameCodec(params["framing"], params.get("checksum"), params.get("write_framing"))


class Action:
    """What a device does: it changes its state, and writes frames. It counts only `when` its values are so."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._when = {name: _listed(value) for name, value in options.get("when", {}).items()}
        self._changes = {name: _listed(value) for name, value in options.get("set", {}).items()}
        self._count = 0  # how often the state was changed
        self._contents = list(_contents(options, encoding))
        self.framing: str = options.get("framing", "")
        """The name of the framing in which it is written; empty: that of all that is written."""

    def counts(self, values: Mapping[str, Any]) -> bool:
        """Return whether it is to be done, since `values` are as it wants them."""
        return all(values.get(name) in wanted for name, wanted in self._when.items())

    def perform(self, values: Mapping[str, Any], state: dict[str, Any]) -> list[bytes]:
        """Change `state`, and return the content of each frame to write, from it and the `values` of a frame.

        Raises `ActionError` if a value is missing or does not fit.
        """
        try:
            known = {**state, **values}
            for name, alternatives in self._changes.items():
                value = alternatives[self._count % len(alternatives)]
                state[name] = Template(value).value(known) if isinstance(value, str) else value
            self._count += bool(self._changes)
            known = {**state, **values}
            return [content.make(known) for content in self._contents]
        except KeyError as err:
            raise ActionError(f"there is no value {err.args[0]!a}") from err
        except (CodecError, TemplateError) as err:
            raise ActionError(str(err)) from err


class Say:
    """What a device sends without being asked: first after `at` seconds, then after each `every`, if there is one."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self.at: float = options["at"]
        self.every: float | None = options.get("every")
        self.action = Action(options, encoding)


class AnswerRule:
    """What a device does when it receives a frame that matches."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self.name: str = options.get("name") or str(options.get("regex", next(extractor_kinds(options))))
        self.delay: float = options["delay"]
        reading = {**options, "framing": options.get("read_framing", "")}  # `framing` itself is how it answers
        self.reader = ValueReader(reading, {}, encoding)
        self.action = Action(options, encoding)

    def match(self, frame: bytes, state: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """Return the values of a frame for each time that it is to be answered; None: it does not match.

        It is answered for each of its repetitions, if they are read apart.
        """
        try:
            sets = self.reader.read(frame)
        except CodecError:
            return None
        if self.reader.extractor.groups:
            sets = [values for values in sets or () if isinstance(values, PartialValues) and values.group]
        return [values for values in sets or () if self.action.counts({**state, **values})] or None


def _contents(options: Mapping[str, Any], encoding: str) -> Iterator[Content]:
    for option, kind in _KINDS.items():
        for value in _listed(options[option]) if option in options else ():
            yield make_content({kind: value}, encoding)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


# --- checks


def check_script(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a script that its schema cannot find."""
    encoding_problem = next(encoding_problems(params["encoding"]), None)
    if encoding_problem is not None:
        yield encoding_problem
        return
    framing_problems = list(check_framings(params, did_you_mean))
    for path, _, options in checksums(params):
        if "reply" in options:
            text = "a simulated device does not reply to a frame whose checksum is wrong"
            framing_problems.append(Problem((*path, "reply"), text, "remove it"))
    yield from framing_problems
    yield from _check_framing_names(params)
    codec = None if framing_problems else make_codec(params)
    state, encoding = params["state"], params["encoding"]
    for index, options in enumerate(params["says"]):
        if not any(name in options for name in (*_KINDS, "set")):
            yield Problem(("says", index), "it says nothing", f"add one of {', '.join(_KINDS)}, or 'set'")
        for problem in _check_action(options, frozenset(state), state, encoding, codec):
            yield problem._replace(path=("says", index, *problem.path))
    for index, options in enumerate(params["answers"]):
        problems = list(check_decode_rule(options, {}, encoding, needs_message=False))
        if not problems:
            values = make_reader(options, encoding).names
            names = None if values is None else frozenset(state) | values
            problems = list(_check_action(options, names, state, encoding, codec))
        yield from (problem._replace(path=("answers", index, *problem.path)) for problem in problems)
    yield from check_faults(params["faults"])


def _check_framing_names(params: Mapping[str, Any]) -> Iterator[Problem]:
    read, written = framing_names(params)
    for section in ("says", "answers"):
        for index, options in enumerate(params[section]):
            for option, names in (("read_framing", read), ("framing", written)):
                if option in options and (name := options[option]) not in names:
                    problem = f"there is no framing {name!a}"
                    yield Problem((section, index, option), problem, did_you_mean(name, names))


def _check_action(
    options: Mapping[str, Any],
    names: frozenset[str] | None,
    state: Mapping[str, Any],
    encoding: str,
    codec: FrameCodec | None,
) -> Iterator[Problem]:
    """Yield the problems of what a device does; `names` are the values that there are, None if that is not known."""
    for name in options.get("when", {}):
        yield from _missing(("when", name), (name,), names)
    for name, value in options.get("set", {}).items():
        if name not in state:
            yield Problem(("set", name), f"{name!a} is no part of the state", f"add it: state: {{{name}: ...}}")
        for text in _listed(value):
            if isinstance(text, str):
                yield from _check_template(("set", name), text, names)
    kinds = [option for option in _KINDS if option in options]
    if len(kinds) > 1:
        yield Problem((kinds[1],), f"it has {' and '.join(kinds)}", "keep one of them")
    for option in kinds:
        for content_path, value in _numbered(option, options[option]):
            content = {_KINDS[option]: value, "framing": options.get("framing", "")}
            yield from _check_content(content, content_path, names, encoding, codec)


def _numbered(option: str, value: Any) -> Iterator[tuple[OptionPath, Any]]:
    if isinstance(value, list):
        yield from (((option, index), each) for index, each in enumerate(value))
    else:
        yield (option,), value


def _check_template(path: OptionPath, text: str, names: frozenset[str] | None) -> Iterator[Problem]:
    try:
        needed = Template(text).names
    except TemplateError as err:
        yield Problem(path, str(err))
        return
    yield from _missing(path, needed, names)


def _check_content(
    options: Mapping[str, Any], path: OptionPath, names: frozenset[str] | None, encoding: str, codec: FrameCodec | None
) -> Iterator[Problem]:
    try:
        content = make_content(options, encoding)
        if codec is not None and not content.names:
            codec.wrap(content.make({}), options["framing"])
    except KeyError:
        return  # an unknown framing, which is reported elsewhere
    except (TemplateError, CodecError, LayoutError) as err:
        yield Problem((*path, *(err.path if isinstance(err, LayoutError) else ())), str(err))
        return
    except FramingError as err:
        yield Problem(path, f"it cannot be framed: {err}", "correct it, or add framing: raw")
        return
    yield from _missing(path, content.names, names)


def _missing(path: OptionPath, needed: Iterable[str], names: frozenset[str] | None) -> Iterator[Problem]:
    """Yield the values that are `needed`, but are not there."""
    for name in sorted(set(needed) - names) if names is not None else ():
        what = f"there is no value {name!a}, neither in the state nor in the frame"
        yield Problem(path, what, did_you_mean(name, names) if names else f"add it: state: {{{name}: ...}}")
