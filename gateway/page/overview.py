"""The view of the whole: link, interfaces, outbox, and what is wrong in plain words."""

from __future__ import annotations

from typing import Any

from gateway.page.source import Source
from gateway.runtime.health import assess, headline, summary
from gateway.web.app import Request, Route


class Overview:
    """Answers what the overview asks for."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {("GET", "/api/overview"): Route(self._overview)}

    def _overview(self, _: Request) -> dict[str, Any]:
        health = self._source.health()
        verdict = assess(health)
        return {
            "name": health.name,
            "version": health.version,
            "time": health.time,
            "level": str(verdict.level),
            "headline": headline(verdict, health),
            "summary": summary(health),
            "problems": [
                {"level": str(each.level), "what": each.what, "remedy": each.remedy, "since": each.since}
                for each in verdict.problems
            ],
        }
