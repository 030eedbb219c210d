"""The steps of a command, a poll or the opening while they are executed: each makes a transaction. Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.message import InternalMsg
from interfaces.rules.message_template import CodecError, single_values
from interfaces.rules.own_values import OWN_VALUES, OwnValues
from interfaces.rules.steps import Step
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.transaction import Priority, Result, Transaction


class Asked(NamedTuple):
    """The subject of a transaction: the step that it executes, and the run that this belongs to."""

    run: Run
    step: Step


class Run:
    """The steps of one command, poll or opening: one after the other, each if the earlier one has succeeded.

    What the device has answered may stand in what later steps write. `wrap` returns the bytes of a frame in the
    framing of a name, `own` has the values of the gateway, `timeout` (s) is that of steps without one. `arguments` are
    those of the command, `written` how they are written. `is_opening`: the speed that they set lasts.
    """

    def __init__(
        self,
        subject: Any,
        steps: Sequence[Step],
        priority: Priority,
        wrap: Callable[[bytes, str], bytes],
        own: OwnValues,
        timeout: float,
        arguments: Mapping[str, Any] | None = None,
        written: Mapping[str, Any] | None = None,
        *,
        is_opening: bool = False,
    ) -> None:
        self.subject = subject
        self.priority = priority
        self.is_opening = is_opening
        self.answers: dict[str, Any] = {}
        """The values of the answers so far."""
        self.made: set[object] = set()
        """Of the messages that the answers have made so far: address and action."""
        self.read: dict[object, InternalMsg] = {}
        """The last message of each address and action that the rules have made of the answers so far."""
        self._steps = steps
        self._wrap = wrap
        self._own = own
        self._timeout = timeout
        self._arguments = arguments or {}
        self._written = written or {}
        self._index = 0

    def start(self) -> Transaction:
        """Return the transaction of the first step.

        Raises `CodecError` or `FramingError` if this step cannot be written, or a later one as far as that is known.
        """
        known = {**self._own.values(), **self._written} if len(self._steps) > 1 else {}
        for step in self._steps[1:]:
            if step.content is not None and step.names <= known.keys():
                self._wrap(step.make(known), step.framing)
        return self._transaction()

    def reason(self, result: Result) -> str:
        """Return why the present step has failed, with its number if there are several, and one has begun."""
        count = len(self._steps)
        has_place = result.reason and count > 1 and (self._index or result.transaction.attempts)
        return f"step {self._index + 1} of {count}: {result.reason}" if has_place else result.reason

    def _transaction(self) -> Transaction:
        step = self._steps[self._index]
        answer, values = step.answer, {**self.answers, **self._written}
        own_names = step.names & OWN_VALUES - values.keys()
        transaction = Transaction(
            self._data(step, self._own.values() if own_names else {}),
            self.priority,
            Asked(self, step),
            timeout=self._timeout if answer.timeout is None else answer.timeout,
            retries=answer.retries,
        )
        self._expect_answer(transaction, {})
        if own_names:
            transaction.prepare = functools.partial(self._prepare, own_names)
            if own_names == step.names and not answer.has_same:
                transaction.question = step
        if answer.response is not None and answer.response.has_end:
            transaction.ends = answer.response.ends
        transaction.is_opening = self.is_opening
        transaction.pause = step.pause
        transaction.baudrate = step.baudrate(values)
        if len(self._steps) > 1 or transaction.baudrate:
            transaction.follow = self._follow
        return transaction

    def _data(self, step: Step, own: Mapping[str, Any]) -> bytes:
        """Return the bytes of a step, with these values of the gateway."""
        if step.content is None:
            return b""
        return self._wrap(step.make({**own, **self.answers, **self._written}), step.framing)

    def _expect_answer(self, transaction: Transaction, own: Mapping[str, Any]) -> None:
        """Have a transaction read the answer to its step, which was written with these values of the gateway."""
        answer, known = transaction.subject.step.answer, {**own, **self.answers, **self._arguments}
        if answer.response is not None:
            transaction.response = answer.response.read_for(known)
        if answer.refusal is not None:
            transaction.refusal = answer.refusal.read_for(known)

    def _prepare(self, own_names: Collection[str], transaction: Transaction) -> None:
        """Write a transaction with the values that the gateway has at this moment; the counter goes on."""
        own = self._own.take(own_names)
        transaction.data = self._data(transaction.subject.step, own)
        self._expect_answer(transaction, own)

    def _follow(self, result: Result) -> Transaction | None:
        for values in single_values(result.values):
            self.answers.update(values)
        if self._index + 1 == len(self._steps):
            return None
        self._index += 1
        try:
            return self._transaction()
        except FramingError as err:
            raise CodecError(str(err)) from err
