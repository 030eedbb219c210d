"""The page of a running gateway: its views, and the server that answers for them."""

from __future__ import annotations

import socket
import threading
from typing import Any

from gateway import __version__
from gateway.core.package_logger import package_logger
from gateway.page.command import Commands
from gateway.page.device import DeviceView
from gateway.page.feed import MOST_WAITING, Feed
from gateway.page.files import file_routes
from gateway.page.history import History, Sampler
from gateway.page.live import Live
from gateway.page.overview import Overview
from gateway.page.source import Source
from gateway.page.unknown import UnknownView
from gateway.page.workbench import Workbench
from gateway.runtime.running_gateway import RunningGateway
from gateway.web.access import NO_TLS, Access
from gateway.web.app import App, Request, Route
from gateway.web.options import WebOptions
from gateway.web.server import WebServer

LOG = package_logger(__name__)


class Page:
    """Serves the page of `gateway` as `options` say. Raises `OSError` if its address cannot be listened on."""

    def __init__(self, gateway: RunningGateway, options: WebOptions) -> None:
        self._options = options
        self._source = Source(gateway)
        places = threading.Semaphore(MOST_WAITING)
        self._feeds = Feed(places), Feed(places, is_raw=True)
        self._history, self._commands, self._unknown = History(), Commands(self._source), UnknownView(self._source)
        self._workbench = Workbench(self._source, self._feeds[0], options.token)
        name = socket.gethostname()
        access = Access(options, (name, name.partition(".")[0], f"{name.partition('.')[0]}.local"))
        self.routes = self._routes()
        """What answers, by method and path."""
        try:
            self._server = WebServer(options, App(access, self.routes), self._release)
        except OSError:
            self._unknown.close()
            raise
        self._sampler = Sampler(self._source, self._history)
        self.address = f"http://{options.listen.rpartition(':')[0]}:{self._server.port}/"
        LOG.info("the page is at %s%s", self.address, "" if options.is_local else f": {NO_TLS}")

    def close(self) -> None:
        """End the server, with everybody who waits for something."""
        self._server.close()
        self._sampler.close()

    def _release(self) -> None:
        self._source.close()
        self._commands.close()
        self._unknown.close()
        self._workbench.close()
        for feed in self._feeds:
            feed.close()

    def _routes(self) -> dict[tuple[str, str], Route]:
        source, history = self._source, self._history
        views = (
            Overview(source, history),
            DeviceView(source, history, self._feeds[0]),
            self._commands,
            Live(source, *self._feeds),
            self._unknown,
            self._workbench,
        )
        routes = {("GET", "/api/session"): Route(self._session, is_public=True), **file_routes()}
        for view in views:
            routes.update(view.routes())
        if self._options.metrics:
            from gateway.page.metrics import Metrics  # its library takes 2 MiB

            routes.update(Metrics(source).routes())
        return routes

    def _session(self, request: Request) -> dict[str, Any]:
        """Return what whoever asks may do. Who may not read learns nothing of the gateway."""
        visitor = request.visitor
        result: dict[str, Any] = {
            "may_read": visitor.may_read,
            "may_write": visitor.may_write,
            "has_token": self._options.token is not None,
            "note": "" if visitor.is_secure else NO_TLS,
        }
        if visitor.may_read:
            result |= {"name": self._source.gateway.configuration.name, "version": __version__}
        return result
