"""What the end of a transaction is: what it is called, and what has read the frame that ended it. Pure."""

from __future__ import annotations

from gateway.message import InternalMsg
from interfaces.rules.answers import Answer, AnswerReader
from interfaces.serial_interface.polling import Request
from interfaces.serial_interface.transaction import Outcome, Result


def name_of(subject: InternalMsg | Request) -> str:
    """Return what a log line calls a command or a request."""
    return f"request {subject.name!a}" if isinstance(subject, Request) else f"command {subject.action!a}"


def reader_of(result: Result) -> AnswerReader | None:
    """Return what has read the frame that ended a transaction; None: no frame has."""
    if not result.frame:
        return None
    answer: Answer = result.transaction.subject.step.answer
    return answer.refusal if result.outcome is Outcome.REFUSED else answer.response


def makes_messages(result: Result) -> bool:
    """Return whether the answer makes messages of its own, so that no decode rule is asked about it."""
    reader = reader_of(result)
    return reader is not None and bool(reader.messages)
