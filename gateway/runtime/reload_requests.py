"""Requests to reload: their clients, the configuration that was read, and whether a running gateway can use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.configuration.settings import Configuration
from gateway.core.inbox import Wakeup
from gateway.core.package_logger import package_logger
from gateway.errors import ConfigurationError, GatewayError
from gateway.runtime.process_limits import apply_process_limits
from gateway.runtime.reloader import Reloader

if TYPE_CHECKING:
    from gateway.control.protocol import Answer

LOG = package_logger(__name__)

_MOST_WAITING = 100  # who wait for a reload; of more, while reading hangs, those who have waited longest are not told
_MOST_FINDINGS = 20  # lines about what is wrong with a configuration


class ReloadRequests:
    """Collects requests, has the configuration read by `load`, and answers the requests.

    `wakeup` is set when the main thread has something to do here. Only the main thread calls the methods, except
    `request`, which may be called by a signal handler and by any thread.
    """

    def __init__(self, load: Callable[[], Configuration], wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._reloader = Reloader(load, wakeup.set)
        self._is_requested = False
        self._answers: list[tuple[int, Answer]] = []  # with the number of the reading that each of them waits for
        self._due: list[Answer] = []  # those that wait for the configuration which `poll` has returned last

    @property
    def is_reading(self) -> bool:
        """Whether the configuration is to be read again, is being read, or its result waits for `poll`."""
        return self._is_requested or self._reloader.is_reading

    def request(self) -> None:
        """Read the configuration again soon; returns immediately."""
        self._is_requested = True
        self._wakeup.set()

    def request_for(self, answer: Answer) -> None:
        """Read the configuration again, and send the outcome to `answer`."""
        self._answers = [*self._answers[1 - _MOST_WAITING :], (self._reloader.request(), answer)]

    def poll(self, running: Configuration) -> Configuration | None:
        """Return a new configuration to replace the `running` one, if there is one; reject one that cannot.

        After it has been applied, call `report_applied`.
        """
        if self._is_requested:
            self._is_requested = False
            self._reloader.request()
        result = self._reloader.result()
        if result is None:
            return None
        self._due = [answer for number, answer in self._answers if number <= self._reloader.fetched]
        self._answers = self._answers[len(self._due) :]
        problem = result if isinstance(result, GatewayError) else _problem_of(result, running)
        if problem is not None:
            self._reject(problem)
            return None
        return result if isinstance(result, Configuration) else None

    def report_applied(self, configuration: Configuration, changes: str) -> None:
        """Log that `configuration` is in use now, and answer the requests for it."""
        LOG.info("reloaded %s: %s", configuration.file, changes)
        for answer in self._due:
            answer({"file": str(configuration.file), "changes": changes})
        self._due = []

    def _reject(self, problem: GatewayError) -> None:
        findings = str(problem).splitlines()
        shown = findings[:_MOST_FINDINGS]
        for finding in shown:
            LOG.error("reload rejected; running configuration unchanged: %s", finding)
        if len(findings) > len(shown):
            shown.append(f"... and {len(findings) - len(shown)} more")
        for answer in self._due:
            answer.refuse(
                "\n".join(["reload rejected; running configuration unchanged:", *shown]),
                is_configuration_wrong=isinstance(problem, ConfigurationError),
            )
        self._due = []


def _problem_of(configuration: Configuration, running: Configuration) -> GatewayError | None:
    """Return why a gateway cannot change over to a configuration that is valid in itself; None if it can."""
    if configuration.name != running.name:
        return GatewayError(f"the name cannot change to {configuration.name!a} while the gateway runs: restart it")
    try:
        apply_process_limits(len(configuration.interfaces))
    except GatewayError as err:
        return err
    return None
