"""Filters: which messages pass, and in what form, by rules and by hooks. Pure, apart from what a hook does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from gateway.errors import FilteredError, RefusedError
from gateway.message import InternalMsg

Hook: TypeAlias = Callable[[InternalMsg], "InternalMsg | None"]
"""A function of the user: it returns the message in the form in which it passes, or None to drop it."""


class FilterRule(NamedTuple):
    """Allows or denies the messages that have one of the words given for each field.

    `kinds` says whether it applies to commands (True), to statuses (False), or to both.
    """

    is_allowing: bool
    words: Mapping[str, Collection[str]]
    kinds: Collection[bool] = (True, False)

    def matches(self, msg: InternalMsg) -> bool:
        """Return whether the rule applies to `msg`."""
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
        """Return what the hook returns for `msg`.

        Raises `FilteredError` if the hook drops the message, and `RefusedError` if the hook fails: a message that no
        rule or hook has allowed must not pass.
        """
        try:
            result = self.function(msg)
        except (Exception, SystemExit) as err:
            raise self._failure("failed", f"{type(err).__name__}: {err}", _place(err)) from err
        if result is None:
            raise FilteredError(f"the hook {self.name!a} drops it")
        kind = type(result).__name__
        if not isinstance(result, InternalMsg):
            raise self._failure("did not return a message", f"it returned an object of the type {kind}", kind)
        return result.answered_at(msg.reply_to)

    def _failure(self, event: str, detail: str, kind: str) -> RefusedError:
        remedy = f"{detail}: fix the hook; until then it lets no message pass"
        key = f"{self.name} {event} {kind}"
        return RefusedError("hook failed", f"the hook {self.name!a} {event}", remedy, key=key)


def _place(err: BaseException) -> str:
    """Return what distinguishes the faults of a function: the type of the exception, and the line that raised it.

    Its text is not part of that, since it may differ each time.
    """
    trace = err.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(err).__name__}{where}"


class MessageFilter(NamedTuple):
    """A list of rules and hooks, applied in their order; the first rule that matches a message decides.

    A message that no rule matches passes, unless the list has a rule that allows something: then it is denied.
    `name` is the place of the list in the configuration.
    """

    name: str
    steps: Sequence[FilterRule | HookStep]

    @property
    def passes_unmatched(self) -> bool:
        """Whether a message that no rule matches passes."""
        return not any(isinstance(step, FilterRule) and step.is_allowing for step in self.steps)

    def apply(self, msg: InternalMsg) -> InternalMsg:
        """Return `msg` in the form in which it passes; raise `FilteredError` or `RefusedError` if it does not pass."""
        for index, step in enumerate(self.steps):
            if isinstance(step, HookStep):
                msg = step.call(msg)
            elif step.matches(msg):
                if step.is_allowing:
                    return msg
                raise FilteredError(f"{self.name}[{index}] denies it")
        if not self.passes_unmatched:
            raise FilteredError(f"{self.name} does not allow it")
        return msg


class Filters(NamedTuple):
    """The filters of an interface, for the messages it receives and those it sends. A message must pass all of them."""

    incoming: Sequence[MessageFilter] = ()
    outgoing: Sequence[MessageFilter] = ()

    def within(self, outer: Filters) -> Filters:
        """Return these filters combined with `outer`, which are between them and MQTT."""
        return Filters((*outer.incoming, *self.incoming), (*self.outgoing, *outer.outgoing))


def apply_filters(filters: Sequence[MessageFilter], msg: InternalMsg) -> InternalMsg:
    """Return `msg` as it passes all of `filters`; raise `FilteredError` or `RefusedError` if it does not."""
    for message_filter in filters:
        msg = message_filter.apply(msg)
    return msg
