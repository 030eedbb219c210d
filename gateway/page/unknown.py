"""The view of what the gateway could not use, each with the line to paste into configuration or map."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.counting import counted
from gateway.core.proposal import Proposal
from gateway.core.unknown import (
    CHECKSUM,
    FRAMING,
    PARTS,
    RULE,
    UNKNOWN,
    VALUE,
    WORD_IN,
    WORD_OUT,
    Collector,
    Example,
    Group,
)
from gateway.errors import MessageError, WordError
from gateway.interface import Interface
from gateway.logs.masking import Masker
from gateway.message import InternalMsg, iso_time
from gateway.page.source import Source
from gateway.translation.field_map import FieldMap
from gateway.web.app import Request, Route

_MOST_PROPOSED = 10  # groups for which a rule is proposed in one request: it takes some ms each, of the data path, too
_ADVICE = {
    VALUE: "A rule takes these frames, but none of their values can be read. Correct its converters (values), or let "
    "it take other frames.",
    CHECKSUM: "Check the type of the checksum and what it covers, then baudrate, parity and the cable. If only some "
    "frames are damaged, it is the line: the cable, its ground, its length, or a second sender.",
    PARTS: "A rule with join waits for the other frames of a text, and they do not come. Check its number and total.",
}
_MASKED = (
    "This contains a secret of the configuration, which is masked here. So nothing is proposed, for that would contain "
    "it, too, or parts of it. Write the rule, or the line of the map, by hand."
)
_CUT = "..."  # behind which a secret may be cut, too
_NO_FRAME = "Check framing, baudrate and parity in the configuration, and the cable."
_ENDS = ((b"\r\n", r"\r\n"), (b"\n", r"\n"), (b"\r", r"\r"), (b"\x00", r"\x00"), (b"\x03", r"\x03"))


class UnknownView:
    """Answers what could not be used. It is collected from the beginning to `close`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._collector = Collector()
        self._lock = threading.Lock()
        self._configuration: Configuration | None = None
        self._proposals: dict[tuple[int, int], Proposal] = {}
        UNKNOWN.collector = self._collector

    def close(self) -> None:
        """Collect no longer."""
        if UNKNOWN.collector is self._collector:
            UNKNOWN.collector = None

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {
            ("GET", "/api/unknown"): Route(self._answer),
            ("POST", "/api/unknown/clear"): Route(self._clear, is_writing=True),
        }

    def _clear(self, _: Request) -> dict[str, Any]:
        self._collector.clear()
        return {}

    def _answer(self, _: Request) -> dict[str, Any]:
        configuration = self._source.gateway.configuration
        interfaces = {interface.name: interface for interface in configuration.interfaces}
        groups, forgotten = self._collector.groups()
        masker = self._source.masker()
        shown = []
        with self._lock:  # one browser at a time works out what is new; the others find it done
            if configuration is not self._configuration:
                self._configuration, self._proposals = configuration, {}
            known = {_key(group) for group in groups}
            self._proposals = {key: proposal for key, proposal in self._proposals.items() if key in known}
            left = _MOST_PROPOSED
            for group in groups:
                interface = interfaces.get(group.interface)
                if interface is None:
                    continue
                if group.kind == RULE:
                    proposal = self._proposals.get(_key(group))
                    if proposal is None and left > 0:
                        left -= 1
                        proposal = self._proposals[_key(group)] = propose(interface, group)
                    if proposal is None or not proposal.is_taken:
                        shown.append(frame_entry(group, interface, proposal or Proposal()))
                elif group.kind in (WORD_IN, WORD_OUT):
                    entry = word_entry(group, interface)
                    if entry is not None:
                        shown.append(entry)
                else:
                    shown.append({**_entry(group), "advice": _advice(group)})
        if masker.masked(shown) is not shown:  # most have no secrets
            shown = [_without_secrets(entry, masker) for entry in shown]
        return {"groups": shown, "forgotten": forgotten, "time": time.time()}


def _key(group: Group) -> tuple[int, int]:
    return group.number, len(group.examples)


def propose(interface: InterfaceOptions, group: Group) -> Proposal:
    """Return what the interface proposes for the frames of a group."""
    if not issubclass(interface.cls, Interface):
        return Proposal(note="this interface was written for an earlier version, and proposes nothing")
    frames = [example.data for example in group.examples if example.is_whole]
    if not frames:
        return Proposal(note="these frames are too long for a proposal: write a rule for their beginning")
    try:
        return interface.cls.propose(interface.params, frames, interface.name)
    except Exception as err:  # noqa: BLE001  (the class may be from anywhere, and raise anything)
        return Proposal(note=f"its class fails to propose a rule: {type(err).__name__}: {err}")


def frame_entry(group: Group, interface: InterfaceOptions, proposal: Proposal) -> dict[str, Any]:
    """Return what the page shows of frames that no rule takes."""
    messages, lines = [], []
    for msg in proposal.messages:
        shown: dict[str, Any] = {"message": str(msg)}
        try:
            publication = interface.msg_map.internal2mqtt(msg)
        except MessageError as err:
            lines += _lines_of(interface, msg)
            shown["problem"] = str(err)
        else:
            shown |= {"topic": publication.topic, "payload": publication.payload.decode("utf-8", "backslashreplace")}
        messages.append(shown)
    return {
        **_entry(group),
        "option": proposal.option,
        "rule": proposal.rule,
        "ignore": proposal.ignore,
        "messages": messages,
        "lines": list({(line["field"], line["line"]): line for line in lines}.values()),
        "advice": proposal.note,
    }


def word_entry(group: Group, interface: InterfaceOptions) -> dict[str, Any] | None:
    """Return what the page shows of a word that the map does not know; None if it knows it by now."""
    field_map = interface.msg_map.fields.get(group.field)
    if field_map is None:  # no word is missing: another one is wrong
        return {**_entry(group), "advice": ""}
    is_incoming = group.kind == WORD_IN
    try:
        field_map.read(group.shape) if is_incoming else field_map.write(group.shape)
    except WordError:
        return {**_entry(group), "lines": [map_line(field_map, group.shape, is_incoming=is_incoming)], "advice": ""}
    return None


def map_line(field_map: FieldMap, word: str, *, is_incoming: bool) -> dict[str, str]:
    """Return the line of a map that adds a word: its field, the line, and the internal word with its MQTT word."""
    if is_incoming:
        known = [internal for internal in field_map.entries if internal]
        internal, mqtt = _like(known, word), word
        words = [*field_map.entries.get(internal, ()), mqtt]  # one more word for the same
    else:
        taken = {mqtt for words in field_map.entries.values() for mqtt in words}
        internal, mqtt = word, _like(taken, "".join(char if char not in "/+#\x00" else "_" for char in word))
        while mqtt in taken:
            mqtt += "_"
        words = [mqtt]
    line = f"{_json(internal)}: [{', '.join(map(_json, words))}]"
    return {"field": field_map.field, "line": line, "internal": internal, "mqtt": mqtt}


def _like(known: Sequence[str] | set[str], word: str) -> str:
    """Return a word in capitals, or in small letters, if all known ones are."""
    for change in (str.lower, str.upper):
        if known and all(change(each) == each for each in known):
            return change(word)
    return word


def _json(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


def _lines_of(interface: InterfaceOptions, msg: InternalMsg) -> list[dict[str, str]]:
    """Return the lines that a strict map needs for the words of a message."""
    words = [(name, getattr(msg, name)) for name in ("function", "gateway", "location", "device", "action")]
    words += [("argkey", name) for name in msg.arguments]
    lines = []
    for name, word in words:
        field_map = interface.msg_map.fields[name]
        try:
            field_map.write(word)
        except WordError as err:
            if err.word:
                lines.append(map_line(field_map, word, is_incoming=False))
    return lines


def _entry(group: Group) -> dict[str, Any]:
    is_word = group.kind in (WORD_IN, WORD_OUT)
    return {
        "number": group.number,
        "interface": group.interface,
        "kind": group.kind,
        "shape": group.shape,
        "field": group.field,
        "count": group.times,
        "first": iso_time(group.first),
        "last": iso_time(group.last),
        "reason": group.reason,
        "examples": [
            {
                "text": _text(example, is_word=is_word),
                "hex": "" if is_word else f"{example.data.hex(' ')}{'' if example.is_whole else _CUT}",
                "bytes": example.size,
                "is_whole": example.is_whole,
            }
            for example in group.examples
        ],
        "lines": [],
    }


def _text(example: Example, *, is_word: bool) -> str:
    if is_word:
        return example.data.decode("utf-8", "replace")
    return f"{ascii(example.data)[2:-1]}{'' if example.is_whole else _CUT}"


def _advice(group: Group) -> str:
    if group.kind != FRAMING:
        return _ADVICE[group.kind]
    return framing_advice(b"".join(example.data for example in group.examples))


def framing_advice(data: bytes) -> str:
    """Return what to do about bytes that never become a frame: what ends the lines in them, if they are lines."""
    rest, found = data, {}
    for end, shown in _ENDS:
        if count := rest.count(end):
            found[shown] = count
            rest = rest.replace(end, b"")
    is_text = sum(0x20 <= byte < 0x7F for byte in rest) >= 0.9 * len(rest) if rest else bool(found)
    if found and is_text:
        ends = ", ".join(f"{shown} ({counted(count, 'time')})" for shown, count in found.items())
        likely = max(found, key=lambda shown: found[shown])
        return (
            f"These bytes are text, in which this occurs that may end a line: {ends}. Compare it with the terminator "
            f'that the configuration has for this interface; this one would be framing: {{terminator: "{likely}"}}.'
        )
    if is_text:
        return (
            "These bytes are text without any line end. If the device pauses after each message, use "
            "framing: {type: gap, gap: 0.05}; otherwise look for a start or stop marker in the examples (markers)."
        )
    return f"These bytes are no text. {_NO_FRAME} If the device sends bytes and no text, choose its framing (type)."


def _without_secrets(entry: dict[str, Any], masker: Masker) -> Any:
    """Return what is shown of a group without secrets.

    What was made of a text with a secret may have it in another form, or a part of it: that is left out.
    """
    texts = [each[form] for each in entry["examples"] for form in ("text", "hex")] + [entry["shape"]]
    if masker.masked(texts) is texts:
        return masker.masked(entry)
    is_word = entry["kind"] in (WORD_IN, WORD_OUT)
    rest = {name: entry[name] for name in entry if name not in ("option", "rule", "ignore", "messages")}
    shape = entry["shape"] if is_word or not entry["shape"] else entry["examples"][0]["text"]
    return masker.masked({**rest, "shape": shape, "lines": [], "advice": _MASKED})
