"""Devices that come to be at their first reading: which one a template stands for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.devices.point import ADDRESS_OF_DEVICE, Device
from gateway.devices.value import is_equal, is_value
from gateway.message import Argument, InternalMsg

MAX_ID = 64
"""The characters that an id may have, as in a configuration: it is a level of a topic."""

_NO_ID = re.compile(r"[^A-Za-z0-9_-]")


def as_id(text: str) -> str:
    """Return `text` with `_` in place of each character that may not stand in an id."""
    return _NO_ID.sub("_", text)


def instance_of(template: Device, msg: InternalMsg, own: Mapping[str, str]) -> Device | None:
    """Return the device that a template stands for where `msg` is one of its messages; None if it is not.

    A word of the address, or an argument of `where`, that is written in braces is free, and so is a field that the id
    of the template names. A message of another sender is none of them. Characters that may not stand in an id become
    `_`.
    """
    if msg.sender or not any(feed.action == msg.action for point in template.points for feed in point.feeds):
        return None
    words: dict[str, str] = {}
    passed: tuple[object, ...] = msg[1:5]  # texts, unless an interface has passed something else
    for field, word in zip(ADDRESS_OF_DEVICE, passed, strict=True):
        wanted = template.address.get(field, f"{{{field}}}" if f"{{{field}}}" in template.id else own.get(field, ""))
        if not isinstance(word, str) or (not wanted.startswith("{") and wanted != word):
            return None
        words[field] = word
    where: dict[str, Argument] = {}
    for name, value in template.where.items():
        is_free = isinstance(value, str) and value.startswith("{")
        argument = msg.arguments.get(name)
        if name not in msg.arguments or not (is_value(argument) if is_free else is_equal(argument, value)):
            return None
        where[name] = argument
    texts = {**words, **{name: str(value) for name, value in where.items()}}
    device_id = as_id(filled(template.id, texts))
    return template._replace(id=device_id, name=filled(template.name, texts), address=words, where=where)


def remade(
    template: Device, address: Mapping[str, str], where: Mapping[str, Argument], own: Mapping[str, str]
) -> Device | None:
    """Return the device that a template made of a message with the words of `address` and the arguments `where`.

    None: the template does not make it any more.
    """
    action = next((feed.action for point in template.points for feed in point.feeds), "")
    words = {field: address[field] for field in ADDRESS_OF_DEVICE}
    return instance_of(template, InternalMsg(False, action=action, arguments=where, **words), own)


def could_make(template: Device, device_id: str) -> bool:
    """Return whether some message may make `device_id` of the template."""
    parts = [re.escape(as_id(part)) for part in re.split(r"\{\w+\}", template.id)]
    return len(device_id) <= MAX_ID and re.fullmatch("[A-Za-z0-9_-]*".join(parts), device_id) is not None


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return `text` with the words in braces replaced by `words`; others stay."""
    return re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), text)


def fits(where: Mapping[str, Argument], arguments: Mapping[str, Argument]) -> bool:
    """Return whether `arguments` have the values of `where`."""
    return all(is_equal(arguments.get(name), value) for name, value in where.items())


def may_fit(where: Mapping[str, Argument], arguments: Mapping[str, Argument]) -> bool:
    """Return whether `arguments`, of which some may be unknown, have no other values than `where`."""
    return all(is_equal(arguments.get(name, value), value) for name, value in where.items())
