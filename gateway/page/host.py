"""Keeps the page of a gateway served: it begins, ends and moves with the configuration, and tries again if it fails."""

from __future__ import annotations

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.page.page import Page
from gateway.runtime.running_gateway import RunningGateway
from gateway.web.options import WebOptions

LOG = package_logger(__name__)


class PageFailed(ThrottledException):
    """The page cannot be served."""


class PageHost:
    """Serves the page of `gateway` while it is enabled. Only the main thread calls the methods."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self._options = WebOptions()
        self._page: Page | None = None
        self.failure = ""
        """Why the page cannot be served; `""`: it is, or is not to be. Any thread may read it."""

    def configure(self, options: WebOptions) -> None:
        """Serve the page as `options` say from now on."""
        if options != self._options:
            self.close()
            self._options = options
            self.check()

    def check(self) -> None:
        """Begin to serve the page, if that was not possible before."""
        options = self._options
        if not options.enabled or self._page is not None:
            return
        try:
            self._page = Page(self._gateway, options)
        except OSError as err:
            self.failure = f"the page cannot be served at {options.listen}: {err.strerror or err}"
            failed = PageFailed(f"{self.failure}: free the address, or set another one in web.listen")
            if failed.trigger:
                LOG.warning(failed.report)
            return
        self.failure = ""

    def close(self) -> None:
        """End serving it."""
        page, self._page, self.failure = self._page, None, ""
        if page is not None:
            page.close()
