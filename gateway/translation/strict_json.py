"""Parses, writes and checks JSON strictly, so that no two programs can read it differently. Pure. Source: RFC 8259."""

from __future__ import annotations

import json
import json.encoder
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.core.quoting import quote
from gateway.errors import PayloadError
from gateway.message import Argument

MAX_DEPTH = 20
"""Most levels of nested lists and objects in an argument."""

JSON_SPACE = " \t\r\n"
"""Whitespace that is allowed around a value (section 2)."""


class NotJsonError(PayloadError):
    """A text is not JSON at all."""


class _AmbiguousError(Exception):
    """JSON that two programs could read differently; the text continues a sentence that begins with what it is."""


_PLAIN = (str, bool, int)  # made once: a union in the call of isinstance costs more than the call
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False)


def _make_encode() -> Callable[[Any, int], Iterable[str]]:
    """Return the encoder in C inside `json.dumps`, which makes a new one for each call.

    It is called with a value and 0, and returns the pieces of the text.
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        pieces: Callable[[Any, int], Iterable[str]] = make(
            None, _encoder.default, json.encoder.encode_basestring, None, ": ", ", ", False, False, False
        )
    except TypeError:  # another implementation or version of Python
        return lambda value, _: (_encoder.encode(value),)
    return pieces


_encode = _make_encode()


dump_text: Callable[[str], str] = json.encoder.encode_basestring
"""Return a text as JSON."""


def _dump_float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no JSON")
    return float.__repr__(value)


SCALARS: Mapping[type, Callable[[Any], str]] = {
    str: dump_text,
    int: int.__repr__,
    float: _dump_float,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _: "null",
}
"""Functions that write a value of each scalar type as JSON, at a third of the cost of `dump`; raise `ValueError`."""


def dump(value: Argument) -> str:
    """Return `value`, which `check_value` has accepted, as JSON; raise `PayloadError` if that is impossible."""
    try:
        return "".join(_encode(value, 0))
    except ValueError as err:  # an integer of thousands of digits
        raise PayloadError(f"the arguments cannot be written as JSON: {err}") from err


def load_scalar(text: str) -> Argument:
    """Return the number, boolean or null in `text`; raise `PayloadError` if the number is too large."""
    try:
        value: Argument = _decoder.decode(text)
    except _AmbiguousError as err:
        raise PayloadError(f"the payload {err}") from err
    except ValueError as err:  # an integer of thousands of digits
        raise PayloadError(f"the payload has a number that cannot be read: {err}") from err
    return value


def load(text: str, subject: str = "the payload") -> Any:
    """Return the JSON value in `text`, which begins with '{' for an object, or '[' for a list.

    Raises `NotJsonError` if it is none, and `PayloadError` for everything that programs could read differently. The
    error calls the text `subject`.
    """
    try:
        text = text.strip(JSON_SPACE)
        value, end = _decoder.raw_decode(text)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        if "\\u" in text:
            "".join(_encode(value, 0)).encode(
                "utf-8"
            )  # an escape sequence can denote an unpaired surrogate, which UTF-8 cannot
    except _AmbiguousError as err:
        raise PayloadError(f"{subject} {err}") from err
    except json.JSONDecodeError as err:
        raise NotJsonError(f"{subject} begins with '{text[:1]}' but is not JSON: {err}") from err
    except RecursionError as err:
        raise PayloadError(f"{subject} has lists or objects nested over {MAX_DEPTH} deep") from err
    except UnicodeEncodeError as err:
        raise PayloadError(f"{subject} has an unpaired surrogate, which is not a character: remove it") from err
    except ValueError as err:  # an integer of thousands of digits
        raise PayloadError(f"{subject} has a number that cannot be read: {err}") from err
    return value


def _unique(pairs: list[tuple[str, Argument]]) -> dict[str, Argument]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _AmbiguousError(f"contains {quote(twice)} twice")
    return members


def _refuse_constant(name: str) -> Argument:
    raise _AmbiguousError(f"holds {name}, which is not valid JSON: leave the argument out, or use null")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _AmbiguousError(f"has a number that cannot be read: {quote(text)}")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def check_value(key: str, value: object, depth: int = 1) -> None:
    """Raise `PayloadError` unless `value` can be written as JSON and is read back equal."""
    if value is None or isinstance(value, _PLAIN):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PayloadError(f"argument {quote(key)} is {value}, which is not valid JSON: leave it out, or use None")
        return
    if depth > MAX_DEPTH:
        raise PayloadError(f"argument {quote(key)} has lists or objects nested over {MAX_DEPTH} deep")
    if isinstance(value, list):
        for item in value:
            check_value(key, item, depth + 1)
    elif isinstance(value, dict) and all(isinstance(name, str) for name in value):
        for item in value.values():
            check_value(key, item, depth + 1)
    else:
        raise PayloadError(
            f"argument {quote(key)} holds a {type(value).__name__}: use text, a number, a boolean, None, "
            f"a list, or a dict with text keys"
        )
