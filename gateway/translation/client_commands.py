"""The commands of a device as a client of the broker writes them: what the map of the gateway reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.devices.point import ADDRESS_OF_DEVICE, Device, Point, Write
from gateway.errors import GatewayError, MessageError, WordError
from gateway.message import Argument, InternalMsg, Publication
from gateway.translation.mqtt_map import MsgMap


class CommandError(GatewayError):
    """A command that a client cannot write; `remedy` says what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class ClientCommands:
    """Writes the commands of one device in the words of `msg_map`, as the client called `sender` does.

    `own` are the words of the messages of its interface.
    """

    def __init__(self, msg_map: MsgMap, device: Device, own: Mapping[str, str], sender: str) -> None:
        self._map = msg_map.of_client(sender)
        self._own_map = msg_map
        self._sender = sender
        self._words = {field: device.address.get(field, own.get(field, "")) for field in ADDRESS_OF_DEVICE}
        self._where = device.where

    def of_value(self, point: Point, value: Argument) -> InternalMsg:
        """Return the command that writes `value` to a point; that of a button, if it is None.

        Raises `CommandError` if no command of the point does so.
        """
        write = write_of(point, value)
        where = {**self._where, **point.where}
        arguments: dict[str, Argument] = {name: where[name] for name in write.where if name in where}
        if write.argument is not None:
            arguments[write.argument] = value
        return InternalMsg(True, **self._words, sender=self._sender, action=write.action, arguments=arguments)

    def written(self, msg: InternalMsg) -> Publication:
        """Return a command as the client publishes it.

        Raises `CommandError` if the map cannot write it, or would not read it since it does not know the sender.
        """
        try:
            publication = self._map.internal2mqtt(msg)
        except MessageError as err:
            remedy = "change the map, or the words of the device"
            raise CommandError(f"the map cannot write its command: {err}", remedy) from err
        try:
            self._own_map.mqtt2internal(publication.topic, publication.payload)
        except WordError as err:
            if str(err).startswith("sender:"):  # a strict map, which knows only its own sender
                what = f"the map does not know {self._sender!r}, the sender of its command"
                raise CommandError(what, f'add "{self._sender}": ["{self._sender}"] to "sender" in the map') from err
        except MessageError:
            pass  # `check` tells how the map reads it
        return publication


def write_of(point: Point, value: Argument) -> Write:
    """Return the command of a point for one value; the one without any if `value` is None, as that of a button.

    Raises `CommandError` if no command of the point has it.
    """
    for write in point.writes:
        if write.argument is None and write.value == value and type(write.value) is type(value):
            return write
    for write in point.writes:
        if write.argument is not None:
            return write
    what = f"no command of the point {point.key} sets it to {value!r}"
    raise CommandError(what, "name another point, or a value that it has")


def can_write(point: Point, value: Argument) -> bool:
    """Return whether a command of the point sets it to `value`."""
    for write in point.writes:
        known = write.choices if write.argument is not None else (write.value,)
        if (write.argument is not None and not known) or any(
            value == each and type(value) is type(each) for each in known
        ):
            return True
    return False
