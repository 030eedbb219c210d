"""How an interface reads a frame or writes a command, and what is published of it; nothing is opened, or sent.

`mqttgateway check` prints it, and the page shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from gateway.configuration.interface_loader import failure_text, file_of
from gateway.configuration.settings import InterfaceOptions
from gateway.devices.model import Model
from gateway.devices.reading import Reading, Unset
from gateway.errors import ConfigurationError, Finding, GatewayError, MessageError, Problem, UsageError
from gateway.interface import Interface
from gateway.message import Argument, InternalMsg, Publication


class PointReading(NamedTuple):
    """What a point has read of a message: its value, None if it has none, and how good it is; `reason`: why it is bad.

    `device` is the id of its device.
    """

    device: str
    point: str
    value: Argument | None
    unit: str
    quality: str
    reason: str


class Published(NamedTuple):
    """What becomes of a message that a frame carries.

    `msg` is what is left of it, and None if nothing is left of `original`. Without a `publication`, `problem` says why
    it is not sent. `readings` are those that the message has given.
    """

    original: InternalMsg
    msg: InternalMsg | None
    readings: Sequence[PointReading] = ()
    publication: Publication | None = None
    user_property: tuple[str, str] = ("", "")
    problem: str = ""

    def lines(self) -> Iterator[str | Problem]:
        """Yield the message as lines for people; a `Problem` is a line about what is not sent."""
        yield from (
            f"  left out: the point {reading.device}.{reading.point}: {reading.reason}"
            for reading in self.readings
            if reading.reason
        )
        if self.msg is None:
            yield Problem((), f"  not sent: {self.problem}")
            return
        yield f"  {self.msg}"
        if self.publication is None:
            yield Problem((), f"    not sent: {self.problem}")
            return
        yield f"    topic    {self.publication.topic}"
        yield f"    payload  {self.publication.payload.decode('utf-8')}"
        name, value = self.user_property
        if name:
            yield f"    property {name}: {value}"


def explain_frame(interface: InterfaceOptions, frame: bytes, wall: float) -> Iterator[str | Problem | Published]:
    """Yield what becomes of a frame at the time `wall` (s, Unix time): texts, messages, and what is dropped.

    Raises `ConfigurationError` if the class of the interface fails.
    """
    with _failures_of(interface):
        for part in _class_of(interface).explain_frame(interface.params, frame):
            yield _published(interface, part, wall) if isinstance(part, InternalMsg) else part


def explain_command(interface: InterfaceOptions, msg: InternalMsg) -> Iterator[str | Problem]:
    """Yield what is written for a command, or why it is refused; raise like `explain_frame`."""
    with _failures_of(interface):
        yield from _class_of(interface).explain_command(interface.params, msg)


def _class_of(interface: InterfaceOptions) -> type[Interface]:
    return interface.cls if issubclass(interface.cls, Interface) else Interface


@contextmanager
def _failures_of(interface: InterfaceOptions) -> Iterator[None]:
    """Raise `ConfigurationError` for what the class of an interface raises: it may be from anywhere."""
    try:
        yield
    except (OSError, GatewayError):
        raise
    except (Exception, SystemExit) as err:
        file, name = file_of(interface.cls), interface.cls.__name__
        what = f"the class {name} fails: {failure_text(err, file)}"
        remedy = "fix its explain_frame(), explain_command() or addresses()"
        raise ConfigurationError([Finding(file or name, 0, 0, "", what, remedy)]) from err


def _published(interface: InterfaceOptions, original: InternalMsg, wall: float) -> Published:
    msg, readings = _observed(interface, original, wall)
    if msg is None:
        return Published(original, None, readings, problem=f"no value is left of {original}")
    reading_time = interface.reading_time
    if reading_time is not None:
        msg = reading_time.with_argument(reading_time.dated(msg, wall))
    result = Published(original, msg, readings)
    try:
        publication = interface.msg_map.internal2mqtt(msg)
    except MessageError as err:
        return result._replace(problem=str(err))
    if reading_time is not None:
        publication = reading_time.with_property(publication, msg)
        result = result._replace(user_property=publication.user_property)
    return result._replace(publication=publication)


def _observed(
    interface: InterfaceOptions, msg: InternalMsg, wall: float
) -> tuple[InternalMsg | None, Sequence[PointReading]]:
    """Return what is sent of a message, None if nothing is, and what its devices read of it."""
    if not interface.devices:
        return msg, ()
    model = Model(interface.devices, interface.own_address, interface.max_devices)
    left = model.observe(msg, 0.0, wall)
    return left, [
        _reading(state.device.id, reading)
        for state in model.states.values()
        for reading in state.reading_of.values()
        if reading.point is not None and (reading.reason or not isinstance(reading.value, Unset))
    ]


def _reading(device: str, reading: Reading) -> PointReading:
    point = reading.point
    key, unit = ("", "") if point is None else (point.key, point.unit or "")
    value = None if isinstance(reading.value, Unset) else reading.value
    return PointReading(device, key, value, unit, reading.quality.value, reading.reason)


# --- frames as people write them

_ESCAPES = {"\\\\": b"\\", "\\r": b"\r", "\\n": b"\n", "\\t": b"\t"}


def frame_from_text(text: str, encoding: str, named: str) -> bytes:
    r"""Return the frame that a text with the escapes \r, \n, \t, \\ and \xNN describes.

    Raises `UsageError`, which begins with `named`, where the text came from.
    """
    frame = b""
    for part in re.findall(r"\\x[0-9a-fA-F]{2}|\\.|\\$|[^\\]+", text, re.DOTALL):
        if part[0] != "\\":
            try:
                frame += part.encode(encoding)
            except UnicodeEncodeError as err:
                raise _not_bytes(named, text, f"it cannot be written as {encoding}") from err
        elif part in _ESCAPES:
            frame += _ESCAPES[part]
        elif part.startswith("\\x") and len(part) == 4:
            frame += bytes.fromhex(part[2:])
        else:
            raise _not_bytes(named, text, "escapes are \\r, \\n, \\t, \\\\ and \\xNN")
    return frame


def frame_from_hex(text: str, named: str) -> bytes:
    """Return the frame that hexadecimal digits describe; raise like `frame_from_text`."""
    try:
        return bytes.fromhex(text)
    except ValueError as err:
        raise _not_bytes(
            named, text, "for example --hex 'AA 55 01'" if named == "--hex" else "for example AA 55 01"
        ) from err


def _not_bytes(named: str, value: str, remedy: str) -> UsageError:
    return UsageError(f"{named}: {value!a} is not bytes: {remedy}")
