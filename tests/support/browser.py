"""Chromium, as people use it: Debian's, with its driver. Nothing is downloaded.

What the console of the browser tells as an error, such as a violation of the policy of the page, fails a test.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.support.broker import tool_or_skip
from tests.support.waiting import wait_until

PHONE, DESK = (360, 740), (1280, 900)

_FLAGS = (
    "headless=new",
    "no-sandbox",  # the tests may run as root
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
    "hide-scrollbars",
)


class Browser:
    """A running Chromium. Its windows are tabs of one person: they share what the browser keeps."""

    def __init__(self, folder: Path) -> None:
        driver = tool_or_skip("chromedriver", "chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = tool_or_skip("chromium", "chromium")
        for flag in _FLAGS:
            options.add_argument(f"--{flag}")
        options.add_argument(f"--user-data-dir={folder / 'profile'}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(20)
        self._folder = folder
        self._home = self.driver.current_window_handle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()
        shutil.rmtree(self._folder / "profile", ignore_errors=True)

    @contextlib.contextmanager
    def tab(self, address: str = "", size: tuple[int, int] = DESK, scheme: str = "light") -> Iterator[Tab]:
        """A new tab; at its end, its console must have no error."""
        self.driver.switch_to.window(self._home)
        self.driver.switch_to.new_window("tab")
        tab = Tab(self.driver)
        tab.look(size, scheme)
        try:
            if address:
                self.driver.get(address)
            yield tab
            tab.check_console()
        finally:
            tab.console()
            for handle in self.driver.window_handles:
                if handle != self._home:
                    self.driver.switch_to.window(handle)
                    self.driver.close()
            self.driver.switch_to.window(self._home)


class Tab:
    """One tab of a browser, in which a person looks at a page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.handle = driver.current_window_handle
        self.allowed: list[str] = []
        """Parts of errors in the console that are expected."""

    def look(self, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Show the page in a size (pixels), light or dark."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    @property
    def text(self) -> str:
        """What can be read now."""
        return str(self.run("return document.body.innerText"))

    def wait_text(self, text: str, timeout: float = 10) -> None:
        wait_until(lambda: text in self.text, timeout, lambda: f"{text!r} in:\n{self.text}", pause=0.05)

    def find(self, selector: str, text: str = "") -> WebElement:
        """Return the first visible element that a selector of CSS names, and that has a text, once there is one."""
        found: list[WebElement] = []

        def is_there() -> bool:
            with contextlib.suppress(StaleElementReferenceException):
                for each in self.driver.find_elements(By.CSS_SELECTOR, selector):
                    if each.is_displayed() and text in each.text:
                        found.append(each)
                        return True
            return False

        wait_until(is_there, what=lambda: f"{selector} with {text!r} in:\n{self.text}", pause=0.05)
        return found[0]

    def click(self, selector: str, text: str = "") -> None:
        """Click on an element, once it is there."""

        def is_clicked() -> bool:
            try:
                self.find(selector, text).click()
            except StaleElementReferenceException:
                return False
            return True

        wait_until(is_clicked, pause=0.05)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def tab_to(self, text: str, most: int = 60) -> None:
        """Press Tab until what has the focus has this text or label."""
        seen = []
        for _ in range(most):
            self.press(Keys.TAB)
            seen.append(self.focused)
            if text in seen[-1]:
                return
        raise AssertionError(f"Tab does not come to {text!r}: {seen}")

    @property
    def focused(self) -> str:
        """The text or label of what has the focus."""
        name = "each.getAttribute('aria-label') || each.innerText || each.id || each.tagName"
        return str(self.run(f"const each = document.activeElement; return {name}"))

    def use_token(self, token: str) -> None:
        """Enter a token, as a person does."""
        self.click("button", "Enter token")
        self.find("#token-input").send_keys(token)
        self.click("dialog button", "Use it")

    def screenshot(self, file: Path) -> None:
        """Write how the whole page looks."""
        height = min(4000, int(self.run("return document.documentElement.scrollHeight")))
        width = int(self.run("return innerWidth"))
        options = {
            "format": "png",
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
        }
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        file.write_bytes(base64.b64decode(data))

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def check_console(self) -> None:
        """Raise AssertionError if the console has an error, or a warning of the policy of the page."""
        self.driver.switch_to.window(self.handle)
        wrong = [text for text in self.console() if not any(part in text for part in self.allowed)]
        assert not wrong, f"errors in the console: {wrong}"

    def console(self) -> list[str]:
        """Return the errors and warnings in the console since the last call."""
        entries: Any = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in entries if each["level"] in ("SEVERE", "WARNING")]
