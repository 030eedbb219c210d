"""The option `stuffing`: which bytes of a frame are written as others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.errors import Problem

Stuffing = str | Mapping[str, str]
"""Bytes that are written twice, or each byte with those that are written for it."""


def codes_of(stuffing: Stuffing) -> Mapping[str, str]:
    """Return what is written for each of the bytes that are not written as they are."""
    return {stuffing: 2 * stuffing} if isinstance(stuffing, str) else stuffing


def check_stuffing(stuffing: Stuffing, stop: str) -> Iterator[Problem]:
    """Yield why a receiver could not tell the bytes of a frame from the stop marker, or from each other."""
    if isinstance(stuffing, str):
        if stop == stuffing or not stop.startswith(stuffing):
            text = f"stop {stop!a} does not begin with {stuffing!a} and go on, so that it could be data"
            yield Problem(("stuffing",), text, "set stop to the bytes of stuffing and those that follow them")
        return
    codes = list(stuffing.values())
    for plain, code in stuffing.items():
        path = ("stuffing", plain)
        other = next((each for each in codes if each is not code and code.startswith(each)), None)
        if len(plain) != 1:
            yield Problem(path, f"{plain!a} is not one byte", "list each byte with what is written for it")
        elif len(code) < 2:
            yield Problem(path, f"{code!a} is too short", "write at least two bytes: the escape byte, and another one")
        elif code[0] not in stuffing:
            what = f"{code!a} begins with an escape byte, but {code[0]!a} may be data, too"
            yield Problem(("stuffing",), what, "add what is written for this byte itself")
        elif other is not None:
            yield Problem(path, f"{code!a} begins with {other!a}, which stands for another byte", "correct one of them")
    if stop[:1] not in stuffing:
        yield Problem(("stop",), f"{stop[:1]!a} may be data, too", "add what is written for it to stuffing")
    for code in codes:
        if len(code) > 1 and (stop.startswith(code) or code.startswith(stop)):
            shown = (code, stop) if code.startswith(stop) else (stop, code)
            yield Problem(("stop",), f"{shown[0]!a} begins with {shown[1]!a}", "correct stop or stuffing")
