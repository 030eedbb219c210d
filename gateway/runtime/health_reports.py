"""Publishes the health document: at an interval, when something changes, and when it is asked for. For the main thread.

Changes are looked for whenever the main thread runs, but at most every few seconds: a thousand devices that come and go
bring about no more documents than one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from gateway.core.allowance import Allowance
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.message import Arrival, Lane, Publication, ReplyTo
from gateway.runtime.health import Health, Verdict, assess, headline
from gateway.runtime.health_document import LARGEST, health_document

LOG = package_logger(__name__)

_INTERVAL = 60.0  # s between two documents, if nothing changes
_SHORTEST = 3.0  # s between two looks at what has changed
_COUNTING = 0.5  # s in which the interfaces have counted again
_FRESH = 1.0  # s for which a document is an answer, too: however often it is asked for
_MOST_ANSWERS = 10  # a second: a flood of questions must not push messages out of the outbox
_PROPERTIES = 1024  # bytes of a packet beside topic and payload, more than it has


class TooManyQuestions(ThrottledException):
    """The health document was asked for more often than it is told."""


class HealthReports:
    """Publishes what `gather` returns, and has `refresh` make the interfaces count before that.

    `publish` takes topic and payload of a retained state; `answer` takes an answer to who has asked for the document.
    `largest_packet` returns how many bytes the broker accepts (None: any number). `on_headline` is called with the
    headline, whenever it has changed.
    """

    def __init__(
        self,
        gather: Callable[[], Health],
        refresh: Callable[[], None],
        publish: Callable[[str, bytes], None],
        answer: Callable[[Publication], object],
        largest_packet: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gather, self._refresh, self._publish, self._answer = gather, refresh, publish, answer
        self._largest_packet = largest_packet
        self._clock = clock
        self.on_headline: Callable[[str], None] = lambda _: None
        self.topic = ""
        self._headline = ""
        self._signature: Any = None  # of what was published last: what counts as a change
        self._look_at = self._count_at = self._publish_at = -math.inf
        self._has_to_look = False
        self._allowance = Allowance(_MOST_ANSWERS, clock=clock)
        self._document = b""
        self._made_at = -math.inf

    @property
    def check_topic(self) -> str:
        """The topic on which anyone may ask for the document."""
        return f"{self.topic}/check"

    @property
    def due_in(self) -> float:
        """The seconds until `step` has something to do, though nothing else wakes the main thread."""
        due = min(self._count_at, self._publish_at)
        return max(0.0, (min(due, self._look_at) if self._has_to_look else due) - self._clock())

    def step(self) -> None:
        """Publish the document, if it is due or if something has changed."""
        now = self._clock()
        if now >= self._count_at:
            self._count_at = now + _INTERVAL
            self._publish_at = min(self._publish_at, now + _COUNTING) if self._document else now
            self._refresh()
        self._has_to_look = now < self._look_at
        if self._has_to_look and now < self._publish_at:
            return
        self._look_at = now + _SHORTEST
        health = self._gather()
        verdict = assess(health)
        signature = _signature(health, verdict)
        if signature != self._signature or now >= self._publish_at:
            self._signature, self._publish_at = signature, math.inf
            self._publish(self.topic, self._make(health, verdict))
        line = headline(verdict, health)
        if line != self._headline:
            self._headline = line
            self.on_headline(line)

    def on_check(self, arrival: Arrival, reply_to: ReplyTo | None) -> None:
        """Answer who asks for the document: on the response topic, or on that of the document if there is none."""
        if arrival.retain:  # it would ask again at each connect
            return
        if not self._allowance.take():
            refused = TooManyQuestions(
                f"not answered: more than {_MOST_ANSWERS} messages a second on {self.check_topic} ask for the health "
                f"document: read it on {self.topic}, where it is retained"
            )
            if refused.trigger:
                LOG.warning(refused.report)
            return
        if self._clock() - self._made_at > _FRESH:
            health = self._gather()
            self._make(health, assess(health))
        if reply_to is None or not reply_to.topic:
            self._publish(self.topic, self._document)
        else:
            self._answer(Publication(self.topic, self._document, qos=1, lane=Lane.REPLY).answering(reply_to))

    def _make(self, health: Health, verdict: Verdict) -> bytes:
        largest = self._largest_packet()
        limit = LARGEST if largest is None else min(LARGEST, largest - len(self.topic.encode()) - _PROPERTIES)
        self._document, self._made_at = health_document(health, verdict, limit), self._clock()
        return self._document


def _signature(health: Health, verdict: Verdict) -> Any:
    """Return what is compared to see whether anything has changed: no number that changes all the time."""
    devices = {
        device.id: (device.is_online, device.age is None) for devices in health.devices.values() for device in devices
    }
    problems = [problem.what for problem in verdict.problems]
    interfaces = {name: interface.status for name, interface in health.interfaces.items()}
    return problems, interfaces, devices, (health.link.connects, health.link.broker), health.configuration_hash
