"""How the views read a running gateway, and have its main thread do something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.control.protocol import Answer, ControlError, decode_reply
from gateway.errors import GatewayError
from gateway.logs.masking import Masker, masker_of
from gateway.runtime.health import Health
from gateway.runtime.live_view import NoteWriter
from gateway.runtime.running_gateway import RunningGateway

_SHORTEST = 0.5  # s; browsers that ask for the same within this time get the same
LONGEST_ANSWER = 30.0
"""Seconds for the main thread to answer."""


class Source:
    """A running gateway, for the threads of the web server."""

    def __init__(self, gateway: RunningGateway, longest_answer: float = LONGEST_ANSWER) -> None:
        self.gateway = gateway
        self._longest_answer = longest_answer
        self.writer = NoteWriter(lambda: gateway.configuration.secrets)
        """Writes what passes, without secrets, for all views."""
        self._lock = threading.Lock()
        self._health: Health | None = None
        self._gathered = 0.0
        self._replied = threading.Condition()
        self._is_closed = False

    def health(self) -> Health:
        """Return how the gateway is, or was half a second ago."""
        with self._lock:
            now = time.monotonic()
            if self._health is None or now - self._gathered > _SHORTEST:
                self._health, self._gathered = self.gateway.health(), now
            return self._health

    def masker(self) -> Masker:
        """Return what masks the secrets of the configuration that is in use now."""
        return masker_of(self.gateway.configuration.secrets)

    def ask(self, request: Callable[[Answer], object]) -> Mapping[str, Any]:
        """Have the main thread call `request`, and return what it answers.

        Raises `ControlError` if it refuses that, or does not answer in time. What it has not begun by then is never
        done: whoever is told so may ask again, and a command must not be executed twice.
        """
        replies: list[bytes] = []
        has_begun = is_given_up = False

        def receive(_: Answer, line: bytes) -> None:
            with self._replied:
                replies.append(line)
                self._replied.notify_all()

        def begin() -> None:
            nonlocal has_begun
            with self._replied:
                if is_given_up:
                    return
                has_begun = True
            answer = Answer(receive)
            try:
                request(answer)
            except GatewayError as err:
                answer.refuse(str(err))

        if not self.gateway.errands.add(begin):
            raise ControlError("too many requests wait: the gateway hangs: see its log")
        with self._replied:
            self._replied.wait_for(lambda: replies or self._is_closed, self._longest_answer)
            if replies:
                return decode_reply(replies[0])
            is_given_up = True
            what = "what you have asked for may be done or not" if has_begun else "nothing was done"
            if self._is_closed:
                raise ControlError(f"the page ends: {what}: see the log")
            seconds = f"{self._longest_answer:g} s"
            raise ControlError(f"no answer within {seconds}, and {what}: the gateway is busy or hangs: see its log")

    def close(self) -> None:
        """Let everybody go who waits for an answer: the main thread, which would give it, waits for them to end."""
        with self._replied:
            self._is_closed = True
            self._replied.notify_all()
