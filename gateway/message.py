"""Messages in their two forms: internal, as interfaces use them, and external, as the broker gets them.

Pure data. Nothing here does I/O or uses a map.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeAlias

Argument: TypeAlias = "str | int | float | bool | list[Argument] | dict[str, Argument] | None"
"""The value of an argument: anything that JSON can represent."""

ADDRESS_FIELDS = ("function", "gateway", "location", "device", "sender")
"""The fields that form a topic, in the order of its levels."""

ADDRESS, ADDRESS_AND_ACTION = slice(1, 6), slice(1, 7)
"""Their positions in an `InternalMsg`, which is a tuple: slicing it is the cheapest key for a table look-up."""

OUTCOME_WORDS = frozenset(("response", "reason", "requested"))
"""The reserved arguments: the outcome of a command is in them. No map changes them."""

_NO_ARGUMENTS: Mapping[str, Argument] = MappingProxyType({})
_new = tuple.__new__  # every reading creates two of these objects; the constructor of NamedTuple takes twice as long


class ReplyTo(NamedTuple):
    """The response topic of a command, and the correlation data that identifies the command in the response.

    The topic is `""` if there is none: the correlation data alone still identifies a duplicate of the command.
    `command` is a number that identifies the command within this process; 0: it has none. `sender` and `requested` are
    the sender and the arguments of the command, which its outcome takes along (see `InternalMsg.request`); None: they
    are not known. `read` are the names of those arguments of the outcome that the answer of the device contained (see
    `InternalMsg.with_read`). Source: MQTT 5.0, section 4.10.
    """

    topic: str
    correlation: bytes = b""
    command: int = 0
    sender: str = ""
    requested: Mapping[str, Argument] | None = None
    read: frozenset[str] = frozenset()


class ReportRule(NamedTuple):
    """When a reading goes out that comes again and again.

    `on_change`: only if it has changed, a number by more than its `deadband` (one for all arguments, or one for each
    by name). `interval`: at most every so many seconds; the last value within an interval goes out at its end.
    `refresh`: again after so many seconds, though nothing has changed or arrived. `by`: the arguments that tell
    readings apart, where address and action do not.
    """

    on_change: bool = False
    deadband: float | Mapping[str, float] = 0.0
    interval: float = 0.0
    refresh: float | None = None
    by: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return the rule that a `publish` option stands for. A deadband implies `on_change`."""
        deadband = options.get("deadband", 0.0)
        return cls(
            options.get("on_change", False) or "deadband" in options,
            deadband if isinstance(deadband, Mapping) else float(deadband),
            float(options.get("interval", 0.0)),
            options.get("refresh"),
            tuple(options.get("by", ())),
        )

    def deadband_of(self, argument: str) -> float:
        """Return how far a number in `argument` must move to count as changed."""
        return self.deadband.get(argument, 0.0) if isinstance(self.deadband, Mapping) else self.deadband


class _Fields(NamedTuple):
    iscmd: bool
    function: str
    gateway: str
    location: str
    device: str
    sender: str
    action: str
    arguments: Mapping[str, Argument]
    reply_to: ReplyTo | None
    report: ReportRule | None
    time: float | None
    uncompared: tuple[str, ...]


class InternalMsg(_Fields):
    """A command or status in the words of the gateway, independent of MQTT.

    A missing word is `""`; `None` is converted to that. An empty `sender` is replaced by the name of the gateway
    when the message is published. Messages are immutable: `replace` and `reply` return a new one.
    `reply_to` is not part of the content: it holds the response topic of a command (see `answered_at`). Neither are
    `report`, the rule that decides when a reading is published (see `reported_by`), `time`, at which the device has
    given it (s, Unix time; None: unknown; see `read_at`), and `uncompared`, the arguments that always differ, such as
    the time, so that they tell nothing new (see `with_uncompared`); copies of the message keep these three.
    """

    __slots__ = ()
    __iter__ = None  # type: ignore[assignment]  # so that returning one message instead of a list of messages is noticed

    def __new__(
        cls,
        iscmd: bool = False,
        function: str | None = "",
        gateway: str | None = "",
        location: str | None = "",
        device: str | None = "",
        sender: str | None = "",
        action: str | None = "",
        arguments: Mapping[str, Argument] | None = None,
    ) -> Self:
        """Create a message without a response topic."""
        return super().__new__(
            cls,
            iscmd,
            "" if function is None else function,
            "" if gateway is None else gateway,
            "" if location is None else location,
            "" if device is None else device,
            "" if sender is None else sender,
            "" if action is None else action,
            MappingProxyType(dict(arguments)) if arguments else _NO_ARGUMENTS,
            None,
            None,
            None,
            (),
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, tuple):
            return isinstance(other, InternalMsg) and self[:8] == other[:8]
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __copy__(self) -> InternalMsg:
        return self

    def replace(self, **changes: Any) -> InternalMsg:
        """Return a copy with other words or arguments, and without response topic: see `answered_at`."""
        copy = InternalMsg(**{**dict(zip(self._fields, self[:8], strict=False)), **changes})
        return copy if self[9:] == (None, None, ()) else _new(InternalMsg, (*copy[:9], *self[9:]))

    _replace = __replace__ = replace  # the names that other named tuples and `copy.replace` use

    def with_arguments(self, arguments: Mapping[str, Argument]) -> InternalMsg:
        """Return a copy with other arguments, faster than `replace`. The mapping must not be changed afterwards."""
        return _new(InternalMsg, (*self[:7], MappingProxyType(arguments), *self[8:]))

    def without_arguments(self, names: Collection[str]) -> InternalMsg:
        """Return a copy without the arguments of these names."""
        return self.with_arguments({name: value for name, value in self.arguments.items() if name not in names})

    def argument(self, name: str, default: Argument = None) -> Argument:
        """Return the argument called `name`, or `default` if the message has none of that name."""
        return self.arguments.get(name, default)

    def has_words(self, words: Mapping[str, Collection[str]]) -> bool:
        """Return whether each field in `words` has one of the words given for it."""
        return all(getattr(self, field) in accepted for field, accepted in words.items())

    def reply(self, response: str, reason: str = "") -> InternalMsg:
        """Return the outcome of this command: the status that answers it.

        `response` is `OK` or a short code for the kind of failure (see docs/commands.md), and `reason` says why, for
        people. The outcome has the same address and action. After `OK`, the requested state has been reached, and the
        arguments are those of the command; after a failure they are under `requested`, where no subscriber mistakes
        them for the state of the device. The sender is empty, so that the gateway fills in its own name: an outcome
        in the name of the client would be dropped by the client as an echo.
        """
        requested = dict(self.arguments)
        arguments: dict[str, Argument] = {"response": response, "reason": reason}
        if response == "OK":
            arguments = {**{key: requested[key] for key in requested if key not in OUTCOME_WORDS}, **arguments}
        elif requested:
            arguments["requested"] = requested
        return self.replace(iscmd=False, sender="", arguments=arguments).answered_at(self.request)

    def with_read(self, values: Mapping[str, Argument]) -> InternalMsg:
        """Return this outcome with `values` that the answer of the device contained.

        They go before what was requested, and count as readings of the device even if they are equal to it.
        """
        read = {name: value for name, value in values.items() if name not in OUTCOME_WORDS}
        reply_to = (self.reply_to or ReplyTo(""))._replace(read=frozenset(read))
        return self.with_arguments({**read, **self.arguments, **read}).answered_at(reply_to)

    @property
    def request(self) -> ReplyTo:
        """What the outcome of this command takes along: where it is answered, who sent it, and what it requested."""
        return (self.reply_to or ReplyTo(""))._replace(sender=self.sender, requested=self.arguments)

    @property
    def is_outcome(self) -> bool:
        """Whether this is the outcome of a command (see `reply`)."""
        return not self.iscmd and "response" in self.arguments

    def answered_at(self, reply_to: ReplyTo | None) -> InternalMsg:
        """Return this message with another response topic: where a command is answered, or a response goes."""
        if reply_to is self.reply_to:
            return self
        return _new(InternalMsg, (*self[:8], reply_to, *self[9:]))

    def reported_by(self, rule: ReportRule | None) -> InternalMsg:
        """Return this message with the rule by which it goes out: only what has changed, and not too often."""
        return _new(InternalMsg, (*self[:9], rule, *self[10:]))

    def read_at(self, time: float) -> InternalMsg:
        """Return this message with the time at which the device has given it (s, Unix time)."""
        return _new(InternalMsg, (*self[:10], time, self[11]))

    def with_uncompared(self, names: tuple[str, ...]) -> InternalMsg:
        """Return this message with the names of the arguments that are no readings, since they always differ."""
        return _new(InternalMsg, (*self[:11], names))

    def __str__(self) -> str:
        """Return the message as one readable line: kind, address, action, arguments."""
        address = "/".join(_shown(getattr(self, name)) for name in ADDRESS_FIELDS)
        arguments = "".join(f" {_shown(key)}={shown(value)}" for key, value in self.arguments.items())
        return f"{'command' if self.iscmd else 'status'} {address} {_shown(self.action)}{arguments}"


def iso_time(wall: float) -> str:
    """Return a time (s, Unix time) as messages and documents contain it: in UTC, to the millisecond.

    Raises `ValueError`, `OverflowError` or `OSError` for a year outside of 1 to 9999. Source: RFC 3339.
    """
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reserved_argument(name: str) -> str:
    """Return the text of the error that an argument is called `name`, one of `OUTCOME_WORDS`."""
    return f"{name!a} is reserved: the gateway publishes the outcome of a command in it"


def _shown(word: object) -> str:
    if isinstance(word, str) and word.isprintable():
        return word or "-"
    return shown(word)


def shown(value: object) -> str:
    """Return `value` as a log or an error shows it; an object of an interface may fail to show itself."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (and so do integers of thousands of digits)
        return f"a value of the type {type(value).__name__}"


class Lane(enum.IntEnum):
    """The queue in which a publication waits for the broker. Lower ones are sent first, higher ones dropped first."""

    REPLY = 0
    """Answers to commands."""
    EVENT = 1
    """Events: every one matters."""
    LATEST = 2
    """States: only the newest one of each topic and `Publication.key` waits."""
    BULK = 3
    """Measurements in large numbers, which are not urgent."""


class Publication(NamedTuple):
    """A message ready for the broker.

    Topic, payload (bytes), QoS (0 or 1), retain flag, whether it is a command; the lane in which it waits, its
    lifetime (s; None: as configured); and, for the response to a command (MQTT 5), the correlation data of the command.
    `key` tells the states of one topic apart: one that waits is replaced only by another one with the same key.
    `user_property` is a user property of MQTT 5, name and value; two empty texts: there is none.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    is_command: bool = False
    lane: Lane = Lane.EVENT
    lifetime: float | None = None
    correlation: bytes = b""
    key: bytes = b""
    user_property: tuple[str, str] = ("", "")

    def with_payload(self, payload: bytes) -> Publication:
        """Return a copy with another payload, faster than `_replace`."""
        return _new(Publication, (self[0], payload, *self[2:]))

    def keyed(self, key: bytes) -> Publication:
        """Return a copy with another key."""
        return _new(Publication, (*self[:8], key, self[9]))

    def answering(self, reply_to: ReplyTo) -> Publication:
        """Return a copy that is a response on the topic of `reply_to`."""
        return self._replace(topic=reply_to.topic, retain=False, lane=Lane.REPLY, correlation=reply_to.correlation)


class Arrival(NamedTuple):
    """A message as the broker has delivered it: topic, payload, QoS and flags.

    `resumed`: it may have been queued in the broker's session. `late`: for how long (s) the network may have delayed
    it, if that is longer than the maximum age of a command (0: it is not). From MQTT 5 (section 3.3.2.3) are `expiry`,
    the seconds that were left until it expires (None: never), and `reply_to`, its response topic.
    """

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 0
    duplicate: bool = False
    resumed: bool = False
    expiry: int | None = None
    reply_to: ReplyTo | None = None
    late: float = 0.0


RUN = "run"
"""The last level of the topic by which a gateway finds out what its broker has stored for it."""

HEALTH = "health"
"""The last level of the topic on which a gateway tells how it is."""

MANAGE = "manage"
"""The last level of the topic of requests that manage a gateway."""

REQUEST_ENDS = (f"/{HEALTH}/check", f"/{MANAGE}", f"/{MANAGE}/reply")
"""The ends of the topics on which gateways are asked and managed."""

ONLINE, OFFLINE = b"online", b"offline"
"""The payloads of an availability topic."""
