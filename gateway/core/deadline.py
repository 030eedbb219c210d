"""When what is done now is to end: a trial of rules that somebody types must not take minutes. Pure.

Only what can take long asks. Each thread has a limit of its own; by default it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class DeadlineError(BaseException):
    """The time for a trial is over. It is no `Exception`, so that nothing takes it for a failure of what it ends."""


_is_over: ContextVar[Callable[[], bool] | None] = ContextVar("is_over", default=None)


def check_deadline() -> None:
    """Raise `DeadlineError` if what the current thread does is to end."""
    is_over = _is_over.get()
    if is_over is not None and is_over():
        raise DeadlineError


@contextmanager
def ending_when(is_over: Callable[[], bool]) -> Iterator[None]:
    """Let what is done inside end as soon as `is_over` returns true, or when what is around it is to end."""
    outer = _is_over.get()
    token = _is_over.set(is_over if outer is None else lambda: outer() or is_over())
    try:
        yield
    finally:
        _is_over.reset(token)
