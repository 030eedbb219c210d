"""The framings and the checksums of one device, as its configuration declares them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from gateway.errors import GatewayError, Problem
from interfaces.serial_interface.framing.checksum import (
    Checksum,
    ChecksumError,
    algorithm_names,
    custom_algorithm,
    find_algorithm,
)
from interfaces.serial_interface.framing.escaping import ESCAPINGS
from interfaces.serial_interface.framing.framers import COMMON_OPTIONS, FRAMINGS
from interfaces.serial_interface.framing.several import Kind, NamedFrame, make_line_framer
from interfaces.serial_interface.framing.sums import check_parameters
from interfaces.serial_interface.schema import read_schema


class FramingError(GatewayError):
    """A frame cannot be sent with this framing, because a receiver would read something else."""


RAW = "raw"
"""The name of a framing that every device has: the bytes are written as they are, without a checksum."""


class FrameCodec:
    """The framings and checksums of one device, in both directions.

    `framing` and `checksum` are those sections of a configuration; `framing` may be a list. `write_framing` is the name
    of one of them, or another framing. `feed`, `flush_partial` and `finish` yield pairs: a frame, and `""` or the
    reason why its checksum is wrong. Frames of a framing with a name are `NamedFrame`s.
    """

    def __init__(
        self,
        framing: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        checksum: Mapping[str, Any] | None = None,
        write_framing: Mapping[str, Any] | str | None = None,
    ) -> None:
        self._kinds = [_make_kind(options, checksum) for options in as_list(framing)]
        self.framer = make_line_framer(self._kinds)
        first = self._kinds[0]
        self._is_single = self.framer is first.framer
        self._name = first.name
        self._writers = {kind.name: kind for kind in self._kinds if kind.name}
        self._writer = first
        self._is_chosen = write_framing is not None
        if isinstance(write_framing, str):
            self._writer = self._writers[write_framing]
        elif write_framing is not None:
            self._writer = _make_kind(write_framing, None)
            self._writers[self._writer.name] = self._writer

    def kind_of(self, frame: bytes) -> Kind:
        """Return the kind of a frame."""
        name = frame.framing if isinstance(frame, NamedFrame) else ""
        return next((kind for kind in self._kinds if kind.name == name), self._kinds[0])

    def feed(self, data: bytes, now: float = 0.0) -> Iterator[tuple[bytes, str]]:
        """Accept the bytes that have arrived at `now` (s); return the frames that are complete."""
        return self._verify(self.framer.feed(data, now))

    def flush_partial(self) -> Iterator[tuple[bytes, str]]:
        """Discard a partial frame that will never be complete; return the frames that it contains."""
        return self._verify(self.framer.flush_partial())

    def finish(self) -> Iterator[tuple[bytes, str]]:
        """Return the frames that end because the device has said that nothing will follow; discard the rest."""
        return self._verify(self.framer.finish())

    def _verify(self, frames: list[bytes]) -> Iterator[tuple[bytes, str]]:
        if not self._is_single:
            return ((frame, frame.error) for frame in frames if isinstance(frame, NamedFrame))
        if self._kinds[0].checksum is None and not self._name:
            return zip(frames, repeat(""))
        return self._verify_checksums(self._kinds[0], frames)

    def _verify_checksums(self, kind: Kind, frames: list[bytes]) -> Iterator[tuple[bytes, str]]:
        verify = (lambda _frame: None) if kind.checksum is None else kind.checksum.verify
        is_changed = kind.strips or bool(kind.name)
        for frame in self.framer.with_rejected(frames):
            try:
                verify(frame)
            except ChecksumError as err:
                intact = self.framer.without_stray_bytes(frame)
                yield (frame, str(err)) if intact is None else (kind.read(intact), "")
            else:
                yield kind.read(frame) if is_changed else frame, ""

    def wrap(self, content: bytes, framing: str = "") -> bytes:
        """Return the bytes to send for `content`, in the framing of this name, or in that in which all is written.

        Raises `FramingError` if a receiver would read something else, or if `content` has not the length, start or stop
        of a framing that was chosen for it.
        """
        if framing == RAW:
            return content
        try:
            if framing:
                return self._writers[framing].wrap(content, is_chosen=True)
            return self._writer.wrap(content, is_chosen=self._is_chosen)
        except (ValueError, ChecksumError) as err:
            raise FramingError(str(err)) from err


def as_list(framing: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the framings of a device, of which a configuration may have one or a list."""
    return [framing] if isinstance(framing, Mapping) else list(framing)


def checksums(params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, Mapping[str, Any]]]:
    """Yield the checksums of what is read: the path, the name of the framing (or an empty text), and the options."""
    framing, checksum = params["framing"], params.get("checksum")
    framings = as_list(framing)
    for index, options in enumerate(framings):
        if options.get("checksum"):
            path = ("framing",) if isinstance(framing, Mapping) else ("framing", index)
            yield (*path, "checksum"), options.get("name", ""), options["checksum"]
    if checksum:
        yield ("checksum",), framings[0].get("name", ""), checksum


def framing_names(params: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of the framings that are read, and of all that may be written."""
    read = [options["name"] for options in as_list(params["framing"]) if "name" in options]
    other = params.get("write_framing")
    return read, [*read, *([other["name"]] if isinstance(other, Mapping) and "name" in other else []), RAW]


def _make_kind(options: Mapping[str, Any], checksum: Mapping[str, Any] | None) -> Kind:
    checksum = options.get("checksum", checksum)
    return Kind(
        options, _make_checksum(checksum) if checksum else None, strips=bool(checksum and checksum.get("strip"))
    )


def _make_checksum(options: Mapping[str, Any]) -> Checksum:
    kind, order = options["type"], options.get("byte_order", "big")
    algorithm = find_algorithm(kind, order) if isinstance(kind, str) else custom_algorithm(kind, order)
    if algorithm is None:
        raise FramingError(f"unknown checksum {kind!a}")
    return Checksum(
        algorithm,
        at=options.get("at"),
        start=options.get("from", 0),
        end=options.get("to"),
        form=options.get("form", "binary"),
        big_endian=order == "big",
    )


Near = Callable[[str, Iterable[str]], str]
"""Returns a remedy for a wrong word that names the most similar of the right ones."""


def check_framings(params: Mapping[str, Any], near: Near) -> Iterator[Problem]:
    """Yield the problems of framings and checksums that their schema cannot find."""
    framing, checksum, other = params["framing"], params.get("checksum"), params.get("write_framing")
    is_list = not isinstance(framing, Mapping)
    for index, options in enumerate(as_list(framing)):
        path: tuple[str | int, ...] = ("framing", index) if is_list else ("framing",)
        if checksum and (is_list or "checksum" in options):
            yield Problem(("checksum",), "a framing has its own checksum, or is in a list", "move it into the framing")
            checksum = None
        yield from _check_one(path, options, near)
        if checksum and options.get("prompts"):
            yield Problem((*path, "prompts"), "prompts have no checksum", "remove the checksum, or use a list")
        if options["type"] == RAW and not params.get("port", "udp://").startswith("udp://"):
            text = "a serial line has no packets: only what udp:// receives can be read as 'raw'"
            yield Problem((*path, "type"), text, "choose another type; to write without framing: write_framing")
    yield from _check_checksum(("checksum",), checksum, near)
    if is_list:
        yield from _check_list(framing)
    if isinstance(other, Mapping):
        yield from _check_one(("write_framing",), other, near)
        for name in ("embedded", "timeout", "prompts"):
            if other.get(name):
                text = f"{name!a} does nothing in a framing in which frames are only sent"
                yield Problem(("write_framing", name), text, "remove it, or move it to 'framing'")
        if "reply" in other.get("checksum", {}):
            text = "no frame is received in this framing"
            yield Problem(("write_framing", "checksum", "reply"), text, "move it to the checksum of a framing")
    elif other is not None and other not in (names := framing_names(params)[0]):
        yield Problem(("write_framing",), f"there is no framing {other!a}", near(other, names))


def _check_one(path: tuple[str | int, ...], options: Mapping[str, Any], near: Near) -> Iterator[Problem]:
    kind = options["type"]
    for problem in FRAMINGS[kind].check(options):
        yield problem._replace(path=(*path, *problem.path))
    for name in _useless_options(options):
        kinds = [other for other, framer in FRAMINGS.items() if name in framer.OPTIONS]
        text = f"framing of type {kind!a} has no option {name!a}: it would do nothing"
        yield Problem((*path, name), text, f"remove it, or set type to {' or '.join(kinds)}")
    for name in ("start", "stop", "terminator", "write_terminator", "preamble", "stuffing", "prompts"):
        option = options.get(name, "")
        for text in [option] if isinstance(option, str) else _texts(option):
            if any(ord(character) > 255 for character in text):
                yield Problem((*path, name), f"{text!a} is not bytes", 'write bytes as "\\xNN"')
    yield from _check_checksum((*path, "checksum"), options.get("checksum"), near)
    if options.get("name") == RAW:
        yield Problem((*path, "name"), "'raw' stands for bytes without framing", "choose another name")
    if options.get("embedded") and path == ("framing",):
        yield Problem((*path, "embedded"), "a single framing is not embedded in another one", "remove it")


def _useless_options(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of a framing that its type does not have. Their defaults are there whatever the type is."""
    known = (*COMMON_OPTIONS, *FRAMINGS[options["type"]].OPTIONS)
    schema = read_schema()["$defs"]["framing"]["properties"]
    yield from (name for name in options if name not in known and options[name] != schema[name].get("default"))


def _texts(option: Sequence[str] | Mapping[str, str]) -> Iterable[str]:
    return (*option, *option.values()) if isinstance(option, Mapping) else option


def _check_checksum(path: tuple[str | int, ...], checksum: Mapping[str, Any] | None, near: Near) -> Iterator[Problem]:
    kind = checksum["type"] if checksum else None
    if isinstance(kind, Mapping):
        for problem in check_parameters(kind):
            yield problem._replace(path=(*path, "type", *problem.path))
    elif kind is not None and find_algorithm(kind) is None:
        yield Problem((*path, "type"), f"unknown checksum {kind!a}", near(kind, algorithm_names()))
    start, end = (checksum.get("from", 0), checksum.get("to")) if checksum else (0, None)
    if end is not None and end <= start and (end < 0) is (start < 0):
        text = f"no byte is covered: offset {end} is not behind offset {start}, where the covered bytes begin"
        yield Problem((*path, "to"), text, "set 'to' to the offset behind the last covered byte")


def _check_list(framings: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield the problems of framings on one line."""
    names: set[str] = set()
    for index, options in enumerate(framings):
        name, kind = options.get("name"), options["type"]
        if name in names:
            yield Problem(("framing", index, "name"), f"two framings are called {name!a}", "rename one of them")
        names |= {name} if name else set()
        if not name and "reply" in options.get("checksum", {}):
            text = "a framing of several needs a name where a wrong checksum is replied to"
            yield Problem(("framing", index, "checksum", "reply"), text, "add name: ... to the framing")
        if kind in ("gap", RAW):
            text = f"framing of type {kind!a} cannot share a line with others"
            yield Problem(("framing", index, "type"), text, "choose another type")
        is_last = all(other.get("embedded") for other in framings[index + 1 :]) and not options.get("embedded")
        has_start = "start" in FRAMINGS[kind].OPTIONS
        has_delimiter = kind in ESCAPINGS and ESCAPINGS[kind].has_opening
        if not is_last and not has_delimiter and not (has_start and options.get("start")):
            text = "only the last framing may be without 'start': it reads what the others leave over"
            remedy = "move it to the end of the list"
            yield Problem(("framing", index), text, f"add start: ..., or {remedy}" if has_start else remedy)
        if options.get("prompts") and not is_last:
            yield Problem(("framing", index, "prompts"), "only the last framing can have prompts", "move it to the end")
    if all(options.get("embedded") for options in framings):
        yield Problem(("framing",), "every framing is embedded, and there is none to be embedded in", "add one")
