"""Converters: from the text or number in a frame to a value, and back. Pure; no code is evaluated.

A pipeline is a list of steps, each a name (`float`) or a name with its setting (`{scale: 0.1}`). Reading applies the
steps from first to last; writing applies them from last to first, each of them reversed.

`CONVERTERS` is the registry. To add a converter, write a function that returns a `Converter`, and enter it in the table
of its module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interfaces.rules.bytes_converter import BYTES_CONVERTERS
from interfaces.rules.conversion import ConversionError, Converter, Step
from interfaces.rules.number_converters import NUMBER_CONVERTERS
from interfaces.rules.text_converters import TEXT_CONVERTERS
from interfaces.rules.time_converters import TIME_CONVERTERS

CONVERTERS: Mapping[str, Callable[[Any], Converter]] = {
    **NUMBER_CONVERTERS,
    **TEXT_CONVERTERS,
    **TIME_CONVERTERS,
    **BYTES_CONVERTERS,
}
"""The converters by name."""


_EXAMPLES: Mapping[str, str] = {
    "text": "{text: utf-8}",
    "strip": '{strip: "0"}',
    "remove": '{remove: " "}',
    "replace": '{replace: {"/": "_"}}',
    "bool": '{bool: {"true": [OPEN], "false": [SHUT]}}',
    "enum": '{enum: {"0": "off", "1": "heat"}}',
    "timestamp": '{timestamp: "%d%m%y %H%M%S"} or {timestamp: {format: "%d%m%y %H%M%S", zone: Europe/Berlin}}',
    "bytes": "{bytes: hex}",
}
"""The converters whose setting is no number, each with one."""


def pipeline(steps: Step | Sequence[Step]) -> Converter:
    """Return the converter that applies `steps`; raise `ConversionError` if a step or its setting is wrong."""
    listed = [steps] if isinstance(steps, str | Mapping) else list(steps)
    converters = [_converter(step) for step in listed]
    if len(converters) == 1:
        return converters[0]

    behind_bytes = [False, *(converter.makes_bytes for converter in converters)]
    writers = [
        converter.write_bytes if is_behind and converter.write_bytes is not None else converter.write
        for converter, is_behind in zip(converters, behind_bytes, strict=False)
    ][::-1]

    def read(value: Any) -> Any:
        for converter in converters:
            value = converter.read(value)
            if value == "":  # nothing is left: no number is missing in it, it counts as empty
                break
        return value

    def write(value: Any) -> Any:
        for write_step in writers:
            value = write_step(value)
        return value

    return Converter(read, write)


def _converter(step: Step) -> Converter:
    options = {step: None} if isinstance(step, str) else step
    name, setting = next(iter(options.items()), ("", None))
    make = CONVERTERS.get(name)
    if make is None or len(options) != 1:
        raise ConversionError(f"{step!a} is not a converter: use one of {', '.join(CONVERTERS)}")
    try:
        return make(setting)
    except (TypeError, AttributeError, KeyError) as err:  # it is of another kind, a number instead of a text, say
        example = _EXAMPLES.get(name, name)
        raise ConversionError(f"{name}: {setting!a} is not a valid setting: write it as in {example}") from err
    except (ValueError, OverflowError, re.error, ConversionError) as err:
        raise ConversionError(f"{name}: {setting!a} is not a valid setting: {err}") from err
