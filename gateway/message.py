"""The two forms of a message: internal, as interfaces speak it, and as it goes to the broker.

Pure data. Nothing here may do I/O or know a map.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeAlias

Argument: TypeAlias = "str | int | float | bool | list[Argument] | dict[str, Argument] | None"
"""What an argument may hold: anything that JSON can say."""

ADDRESS_FIELDS = ("function", "gateway", "location", "device", "sender")
"""The fields that stand in a topic, in the order of its levels."""

ADDRESS, ADDRESS_AND_ACTION = slice(1, 6), slice(1, 7)
"""Where these stand in an `InternalMsg`, which is a tuple: at no cost, for whoever looks up each one that comes."""

OUTCOME_WORDS = frozenset(("response", "reason", "requested"))
"""The names of arguments in which the gateway says the outcome of a command. They are its own: no map touches them."""

_NO_ARGUMENTS: Mapping[str, Argument] = MappingProxyType({})
_new = tuple.__new__  # each line of a device makes two of these: what NamedTuple has for it takes twice as long


class ReplyTo(NamedTuple):
    """Where the sender of a command wants its answer as well, and the data that tells the answer apart.

    The topic is `""` where there is none: the correlation data alone tells that a command comes a second time.
    `command` is a number by which the command is known while this process lives; 0: it has none.
    Source: MQTT 5.0, section 4.10.
    """

    topic: str
    correlation: bytes = b""
    command: int = 0


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


class InternalMsg(_Fields):
    """A command or status in the words of the gateway, without anything of MQTT.

    A missing word is `""`; `None` is taken for it. An empty `sender` is filled with the gateway's own
    name when the message is written. Messages are immutable: `replace` or `reply` make a new one.
    `reply_to` is not part of what is said: it tells where a command asked to be answered (`answered_at`).
    """

    __slots__ = ()
    __iter__ = None  # type: ignore[assignment]  # who gives one message where several are wanted is to hear of it

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
        """Make a message that nobody has asked to be answered."""
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
        """Return the same message with other words or arguments, and nowhere to be answered: see `answered_at`."""
        return InternalMsg(**{**dict(zip(self._fields, self[:8], strict=False)), **changes})

    _replace = __replace__ = replace  # as of other named tuples, and for `copy.replace`

    def with_arguments(self, arguments: Mapping[str, Argument]) -> InternalMsg:
        """Return the same message with other arguments, at less cost than a new one; nobody may change them later."""
        return _new(InternalMsg, (*self[:7], MappingProxyType(arguments), self[8]))

    def argument(self, name: str, default: Argument = None) -> Argument:
        """Return the argument called `name`, or `default` where the message has none of that name."""
        return self.arguments.get(name, default)

    def has_words(self, words: Mapping[str, Collection[str]]) -> bool:
        """Tell whether each field that `words` names has one of its words."""
        return all(getattr(self, field) in known for field, known in words.items())

    def reply(self, response: str, reason: str = "") -> InternalMsg:
        """Return the outcome of this command: the status that answers it.

        `response` is `OK` or a short code that says how it failed (see docs/commands.md), and `reason` says why, for
        people. The outcome has the same address and action. After `OK`, what was wanted is so, and the arguments are
        those of the command; after a failure they stand under `requested`, where nobody takes them for a state. Its
        sender is left empty, so that the gateway fills in its own: an outcome in the asker's name would be dropped
        by the asker as an echo.
        """
        wanted = dict(self.arguments)
        arguments: dict[str, Argument] = {"response": response, "reason": reason}
        if response == "OK":
            arguments = {**{key: wanted[key] for key in wanted if key not in OUTCOME_WORDS}, **arguments}
        elif wanted:
            arguments["requested"] = wanted
        return self.replace(iscmd=False, sender="", arguments=arguments).answered_at(self.reply_to)

    @property
    def is_outcome(self) -> bool:
        """Whether this is the outcome of a command (see `reply`)."""
        return not self.iscmd and "response" in self.arguments

    def answered_at(self, reply_to: ReplyTo | None) -> InternalMsg:
        """Return this message with where it is to be answered, or, for an answer, where it is to go as well."""
        if reply_to is self.reply_to:
            return self
        return _new(InternalMsg, (*self[:8], reply_to))

    def __str__(self) -> str:
        """Return the message as one line for people: kind, address, action, arguments."""
        address = "/".join(_shown(getattr(self, name)) for name in ADDRESS_FIELDS)
        arguments = "".join(f" {_shown(key)}={value!a}" for key, value in self.arguments.items())
        return f"{'command' if self.iscmd else 'status'} {address} {_shown(self.action)}{arguments}"


def own_word_problem(name: str) -> str:
    """Return why no argument may be called `name`; `""` if one may."""
    if name not in OUTCOME_WORDS:
        return ""
    return f"{name!a} is the gateway's own word, in which it says the outcome of a command"


def _shown(word: object) -> str:
    if isinstance(word, str) and word.isprintable():
        return word or "-"
    return ascii(word)


class Lane(enum.IntEnum):
    """Where a publication waits for the broker. A lower number goes first; a higher one is dropped first."""

    REPLY = 0
    """Answers to commands."""
    EVENT = 1
    """What happened: each one counts."""
    LATEST = 2
    """States: only the newest of each topic waits."""
    BULK = 3
    """Measurements in great number, that nobody waits for."""


class Publication(NamedTuple):
    """A message ready for the broker.

    Topic, payload (bytes), QoS (0 or 1), retain flag, and whether it commands; where it waits, and for how long it
    is worth sending (s; None: as configured); and, for an answer to a command of MQTT 5, the correlation data that
    came with the command.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    is_command: bool = False
    lane: Lane = Lane.EVENT
    lifetime: float | None = None
    correlation: bytes = b""

    def with_payload(self, payload: bytes) -> Publication:
        """Return the same with another payload, at less cost than a new one."""
        return _new(Publication, (self[0], payload, *self[2:]))

    def answering(self, reply_to: ReplyTo) -> Publication:
        """Return the same, for whoever asked to be answered at `reply_to`."""
        return self._replace(topic=reply_to.topic, retain=False, lane=Lane.REPLY, correlation=reply_to.correlation)


class Arrival(NamedTuple):
    """A message as the broker has delivered it: topic, payload, QoS and flags.

    `resumed` tells that it may have waited in the session, and `late` for how long (s) the network may have held it
    back, if that is longer than a command may be old (0: it is not). The rest is of MQTT 5 (section 3.3.2.3): the
    seconds that were left until it expires (None: it does not), and where its answer is to go.
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
"""The last level of the topic by which a gateway finds out what its broker remembers."""

ONLINE, OFFLINE = b"online", b"offline"
"""The payloads of an availability topic."""
