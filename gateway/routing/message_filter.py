"""Which messages may pass, and in what form: by rules, and by hooks. Pure, but for what a hook does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from gateway.errors import FilteredError, RefusedError
from gateway.message import InternalMsg

Hook: TypeAlias = Callable[[InternalMsg], "InternalMsg | None"]
"""Somebody's function: it returns the message as it is to go on, or None to drop it."""


class FilterRule(NamedTuple):
    """Lets pass, or denies, the messages that have one of the words of each field it names.

    `kinds` tells whether it is for commands (True), for statuses (False), or both.
    """

    is_allowing: bool
    words: Mapping[str, Collection[str]]
    kinds: Collection[bool] = (True, False)

    def fits(self, msg: InternalMsg) -> bool:
        """Tell whether the rule is for `msg`."""
        return msg.iscmd in self.kinds and msg.has_words(self.words)

    def __str__(self) -> str:
        kinds = "messages" if len(self.kinds) > 1 else "commands" if True in self.kinds else "statuses"
        words = " and ".join(f"{field} {' or '.join(map(ascii, words))}" for field, words in self.words.items())
        return f"{'allow' if self.is_allowing else 'deny'} {kinds}{f' with {words}' if words else ''}"


class HookStep(NamedTuple):
    """A hook, and its name in the configuration."""

    name: str
    function: Hook

    def __str__(self) -> str:
        return f"hook {self.name}"

    def call(self, msg: InternalMsg) -> InternalMsg:
        """Return what the hook makes of `msg`. If it fails, the message is dropped: nobody has let it pass."""
        try:
            result = self.function(msg)
        except (Exception, SystemExit) as err:
            raise self._failed("failed", f"{type(err).__name__}: {err}", _place(err)) from err
        if result is None:
            raise FilteredError(f"the hook {self.name!a} drops it")
        if not isinstance(result, InternalMsg):
            raise self._failed("has returned no message", f"found {type(result).__name__}", type(result).__name__)
        return result.answered_at(msg.reply_to)

    def _failed(self, what: str, detail: str, kind: str) -> RefusedError:
        remedy = f"{detail}: mend it; until then it lets nothing pass"
        key = f"{self.name} {what} {kind}"
        return RefusedError("hook failed", f"the hook {self.name!a} {what}", remedy, key=key)


def _place(err: BaseException) -> str:
    """Return what tells one fault of a function from another: its type, and the line that it comes from.

    Not its text, which may be another each time.
    """
    trace = err.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(err).__name__}{where}"


class MessageFilter(NamedTuple):
    """A list of rules and hooks, done in their order; the first rule that fits a message ends it.

    What no rule fits passes, unless the list allows something: then it is denied. `name` tells where it stands
    in the configuration.
    """

    name: str
    steps: Sequence[FilterRule | HookStep]

    @property
    def passes_others(self) -> bool:
        """Whether what no rule fits passes."""
        return not any(isinstance(step, FilterRule) and step.is_allowing for step in self.steps)

    def passed(self, msg: InternalMsg) -> InternalMsg:
        """Return `msg` as it passes; raise `FilteredError` or `RefusedError` if it does not."""
        for index, step in enumerate(self.steps):
            if isinstance(step, HookStep):
                msg = step.call(msg)
            elif step.fits(msg):
                if step.is_allowing:
                    return msg
                raise FilteredError(f"{self.name}[{index}] denies it")
        if not self.passes_others:
            raise FilteredError(f"{self.name} does not allow it")
        return msg


class Filters(NamedTuple):
    """The filters of an interface: for what it is given, and for what it says. A message has to pass each."""

    incoming: Sequence[MessageFilter] = ()
    outgoing: Sequence[MessageFilter] = ()

    def within(self, outer: Filters) -> Filters:
        """Return these filters with those that lie between them and MQTT."""
        return Filters((*outer.incoming, *self.incoming), (*self.outgoing, *outer.outgoing))


def passed(filters: Sequence[MessageFilter], msg: InternalMsg) -> InternalMsg:
    """Return `msg` as it passes all of `filters`; raise `FilteredError` or `RefusedError` if it does not."""
    for one in filters:
        msg = one.passed(msg)
    return msg
