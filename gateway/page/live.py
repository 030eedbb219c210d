"""The live view: the messages and the bytes that pass, as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.core.tap import Note
from gateway.logs.masking import texts_in
from gateway.page.feed import Feed
from gateway.page.notes import answer
from gateway.page.source import Source
from gateway.runtime.live_view import Wanted
from gateway.web.access import RequestError
from gateway.web.app import Content, Request, Route

_LONGEST_WAIT = 20.0  # s; proxies end a request after 60
_FILTERS = ("device", "rule", "topic", "outcome")


class Live:
    """Answers what has come since a reader asked last: messages, or bytes of one interface."""

    def __init__(self, source: Source, messages: Feed, wire: Feed) -> None:
        self._source, self._messages, self._wire = source, messages, wire

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {
            ("GET", "/api/live"): Route(self._live),
            ("GET", "/api/live/interfaces"): Route(self._interfaces),
            ("GET", "/api/wire"): Route(self._bytes),
        }

    def _live(self, request: Request) -> Content:
        query = request.query
        arguments = {name: query[name] for name in _FILTERS if query.get(name)}
        wanted = Wanted.of({**arguments, "drops": query.get("drops") == "1"})
        return self._news(self._messages, request, lambda note: self._source.writer.is_wanted(note, wanted))

    def _interfaces(self, _: Request) -> dict[str, Any]:
        return {"interfaces": [interface.name for interface in self._source.gateway.configuration.interfaces]}

    def _bytes(self, request: Request) -> Content:
        interface = request.query.get("interface", "")
        if not request.visitor.may_write and self._holds_secret(interface):
            raise RequestError(
                "403 Forbidden",
                f"the options of {interface} contain a secret, which the device may repeat one character at a time: to "
                "see its bytes, enter the token of the page",
            )
        return self._news(self._wire, request, lambda note: note.interface == interface)

    def _holds_secret(self, interface: str) -> bool:
        """Return whether a secret stands in the options of an interface: no mask finds one that comes in pieces."""
        configuration = self._source.gateway.configuration
        texts = [text for each in configuration.interfaces if each.name == interface for text in texts_in(each.params)]
        return any(secret in text for secret in configuration.secrets for text in texts)

    def _news(self, feed: Feed, request: Request, wanted: Callable[[Note], bool]) -> Content:
        wait = min(float(request.number("wait", 0, 60)), _LONGEST_WAIT)
        news = feed.read(request.number("after", -1), wanted, wait)
        return answer(self._source.writer, news)
